// How pages are looked at: axe in light and dark, wide and narrow, nothing scrolls sideways; pictures where they are wanted.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';

const axe = readFileSync(new URL('./node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const sizes = [{ name: 'wide', width: 1280, height: 900 }, { name: 'narrow', width: 390, height: 844 }];

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
  };
}
