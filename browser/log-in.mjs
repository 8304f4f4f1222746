// A desk whose people log in at an authorization server, in a real Chromium: the second time, when nothing is asked any more, the
// log-in form's answer leads straight to another origin, which browsers hold to the policy of the form's page. WORLD: {desk}.
import { launch } from './people.mjs';

const world = JSON.parse(process.env.WORLD);
const browser = await launch();
const page = await (await browser.newContext()).newPage();
for (const time of ['first', 'second']) {
  await page.goto(world.desk);
  await page.getByLabel('User name or e-mail address').fill('alice');
  await page.getByLabel('Password').fill('alice-password');
  await page.keyboard.press('Enter');
  if (time === 'first') await page.getByRole('button', { name: 'Allow', exact: true }).click();
  await page.getByRole('heading', { name: 'Your things' }).waitFor();
  await page.context().clearCookies();
}
await browser.close();
