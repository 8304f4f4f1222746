// How soon a desk is seen in Chromium: first useful paint of its first page, and from a search to its answer on the screen; the
// slowest of ten. For `wayleave bench desk --browser`. WORLD: {desk, password}.
import { launch } from './people.mjs';

const world = JSON.parse(process.env.WORLD);
const browser = await launch();
const page = await (await browser.newContext()).newPage();
await page.goto(world.desk);
await page.getByLabel('User name or e-mail address').fill('alice');
await page.getByLabel('Password').fill(world.password);
await page.keyboard.press('Enter');
await page.getByRole('heading', { name: 'Your things' }).waitFor();
const paint = () => page.evaluate(() => new Promise((done) => {
  new PerformanceObserver((list) => list.getEntriesByName('first-contentful-paint').forEach((entry) => done(entry.startTime)))
    .observe({ type: 'paint', buffered: true });
}));
let first = 0;
let filter = 0;
for (let round = 0; round < 10; round++) {
  await page.goto(world.desk);
  first = Math.max(first, await paint());
  await page.getByLabel('Search').fill(`other-${round}`);
  await Promise.all([page.waitForURL(/q=other/), page.keyboard.press('Enter')]);
  filter = Math.max(filter, await paint());
}
console.log(JSON.stringify({ first, filter }));
await browser.close();
