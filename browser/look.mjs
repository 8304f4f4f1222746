// How pages are looked at: axe in light and dark, wide and narrow, nothing scrolls sideways; pictures where they are wanted.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';

const axe = readFileSync(new URL('./node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const sizes = [{ name: 'wide', width: 1280, height: 900 }, { name: 'narrow', width: 390, height: 844 }];

/** On the smallest phone nothing scrolls sideways, and the bar at its bottom has five places at most that a thumb can hit. */
export async function fits(page, name) {
  await page.setViewportSize({ width: 320, height: 640 });
  const wide = await page.evaluate('document.documentElement.scrollWidth > window.innerWidth');
  assert.ok(!wide, `${name} scrolls sideways at 320 px`);
  const places = await page.evaluate(() => [...document.querySelectorAll('header.top nav > ul > li')]
    .filter((item) => getComputedStyle(item).display !== 'none')
    .map((item) => {
      const { width, height, bottom } = item.getBoundingClientRect();
      const target = item.querySelector('a, summary');
      return { text: item.innerText, width, height, below: window.innerHeight - bottom, cut: target.scrollWidth > target.clientWidth };
    }));
  assert.ok(places.length <= 5, `${name} has ${places.length} places`);
  for (const { text, width, height, below, cut } of places) {
    assert.ok(width >= 44 && height >= 44 && Math.abs(below) <= 1 && !cut, `${name}: ${text} ${width} x ${height}, ${below} above the edge`);
  }
}

/** Looks at pages, and keeps pictures of them in `pictures`, if that is a folder. */
export function looker(pictures) {
  if (pictures) mkdirSync(pictures, { recursive: true });
  return async (page, name) => {
    for (const { name: size, width, height } of sizes) {
      for (const colorScheme of ['light', 'dark']) {
        const way = `${size}-${colorScheme}`;
        await page.setViewportSize({ width, height });
        await page.emulateMedia({ colorScheme });
        const result = await page.evaluate(`(async () => { ${axe}; return axe.run(); })()`);
        assert.deepEqual(result.violations.map((v) => `${name} ${way}: ${v.id} ${v.nodes[0].html}`), []);
        const wide = await page.evaluate('document.documentElement.scrollWidth > window.innerWidth');
        assert.ok(!wide, `${name} ${way} scrolls sideways`);
        if (pictures) await page.screenshot({ path: `${pictures}/${name}-${way}.png`, fullPage: true });
      }
    }
    const size = page.viewportSize();
    await fits(page, name);
    await page.setViewportSize(size);
  };
}
