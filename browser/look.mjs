// How pages are looked at: axe in light and dark, wide and narrow, nothing scrolls sideways; pictures where they are wanted.
// And how a script waits for what comes in its time, on a slow machine as on a fast one.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const axe = readFileSync(new URL('./node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const sizes = [{ name: 'wide', width: 1280, height: 900 }, { name: 'narrow', width: 390, height: 844 }];

/** How long something that comes is waited for. */
const LONGEST_MS = 60_000;

/** What `look` gives, tried again until it is something; a page that goes away meanwhile has not shown it yet. */
export async function until(what, look) {
  const end = Date.now() + LONGEST_MS;
  let last = 'it gave nothing';
  while (Date.now() < end) {
    try {
      const found = await look();
      if (found) return found;
    } catch (error) {
      last = error.message;
    }
    await sleep(50);
  }
  throw new assert.AssertionError({ message: `in ${LONGEST_MS / 1000} seconds there is no ${what}: ${last}` });
}

/** Does something again and again until a place of the page is seen. */
export async function tryUntilSeen(place, act) {
  await until(`such place as ${place}`, async () => {
    await act();
    await place.waitFor({ timeout: 1_000 });
    return true;
  });
}

/** Pictures come after the words of their page: waits until there are as many, and each is seen. */
export async function seePictures(page, count, selector = 'img') {
  let widths = [];
  const areSeen = async () => {
    widths = await page.$$eval(selector, (all) => all.map((one) => (one.complete ? one.naturalWidth : 0)));
    return widths.length === count && widths.every((width) => width > 0);
  };
  await until('picture', areSeen).catch(() => assert.fail(`${page.url()} shows ${count} pictures as ${selector}: ${widths}`));
}

/** Mails that lie in a folder, oldest first. */
export const readMails = (folder) => readdirSync(folder).sort().map((name) => readFileSync(`${folder}/${name}`, 'utf8'));

/** The code of the newest of some mails, once there is one. */
export const findCode = (readNewest) => until('code in the newest mail', async () => (await readNewest())?.match(/\b\d{8}\b/)?.[0]);

/** The newest mail that a page of an outbox shows, in a page of its own. */
export async function readShownMail(context, url) {
  const page = await context.newPage();
  try {
    await page.goto(url);
    return await page.locator('pre').first().textContent({ timeout: 5_000 });
  } finally {
    await page.close();
  }
}

/** On the smallest phone nothing scrolls sideways, and the bar at its bottom has five places at most that a thumb can hit. */
async function fits(page, name) {
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

/** Looks at pages, and keeps pictures of them in `pictures`, if that is a folder; their names begin with `prefix`. Where much is
 * looked at, `isQuick` leaves out half of the looks where nobody wants pictures, and what axe holds for slight. */
export function looker(pictures, { prefix = '', isQuick = false } = {}) {
  if (pictures) mkdirSync(pictures, { recursive: true });
  const all = sizes.flatMap((size) => ['light', 'dark'].map((colorScheme) => ({ ...size, name: `${size.name}-${colorScheme}`, colorScheme })));
  const looks = all.filter(({ name }) => pictures || !isQuick || ['wide-light', 'narrow-dark'].includes(name));
  const counts = ({ impact }) => !isQuick || ['serious', 'critical'].includes(impact);
  return async (page, name) => {
    const before = page.viewportSize();
    for (const { name: way, width, height, colorScheme } of looks) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      const result = await page.evaluate(`(async () => { ${axe}; return axe.run(); })()`);
      assert.deepEqual(result.violations.filter(counts).map((v) => `${name} ${way}: ${v.id} ${v.nodes[0].html}`), []);
      const wide = await page.evaluate('document.documentElement.scrollWidth > window.innerWidth');
      assert.ok(!wide, `${name} ${way} scrolls sideways`);
      if (pictures) await page.screenshot({ path: `${pictures}/${prefix}${name}-${way}.png`, fullPage: true });
    }
    await fits(page, name);
    await page.setViewportSize(before);
  };
}
