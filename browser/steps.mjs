// A person follows the steps that `wayleave demo` prints, in this order and at the addresses that stand there, in a real
// Chromium. WORLD: {said, pictures?}: what it printed.
import assert from 'node:assert/strict';
import { launch } from './people.mjs';
import { findCode, looker, readShownMail, seePictures, tryUntilSeen } from './look.mjs';

const world = JSON.parse(process.env.WORLD);
const look = looker(world.pictures);
const steps = world.said.split(/\n(?=[ \d]\d\. )/).slice(1);
assert.equal(steps.length, 7, world.said);
const url = (number) => steps[number - 1].match(/http:\S+/)[0].replace(/[.,]$/, '');
const browser = await launch();
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();
const alice = await (await browser.newContext()).newPage();
const bob = await (await browser.newContext({ bypassCSP: true })).newPage();

// whoever comes before Alice has linked anything is told so
await bob.goto(url(4));
await bob.getByRole('heading', { name: 'Not ready yet' }).waitFor();
await look(bob, 'steps-0-not-linked');

await alice.goto(url(1));
await alice.getByLabel('User name or e-mail address').fill('alice');
await alice.getByLabel('Password').fill('alice-password');
await alice.keyboard.press('Enter');
await press(alice, 'Allow');
await alice.getByRole('heading', { name: 'Linked' }).waitFor();

await alice.goto(url(2));
await alice.getByRole('link', { name: 'Holiday 2025' }).click();
await alice.getByLabel(/^With/).fill('bob@bar.example');
await press(alice, 'Mail it to them…');
await press(alice, 'Share, and send it');
await alice.getByText('bob@bar.example gets this mail, sent just now').waitFor();

await bob.goto(url(3));
await look(bob, 'steps-3-outbox');
await bob.locator('pre').first().getByRole('link').first().click();
await bob.getByLabel(/e-mail address/).fill('bob@bar.example');
await press(bob, 'Send code');
await bob.getByLabel(/^Code/).fill(await findCode(() => readShownMail(bob.context(), url(3))));
await press(bob, 'Go on');
await bob.getByLabel(/^Remember this/).check();
await press(bob, 'Show my address');
await bob.waitForURL(/\/holiday-2025/);
if (world.pictures) await bob.screenshot({ path: `${world.pictures}/steps-3-album.png` });

// no second code
await bob.goto(url(4));
await seePictures(bob, 1);

await bob.goto(url(5));
await bob.getByRole('heading', { name: 'Not shared with you' }).waitFor();
await bob.getByLabel(/A sentence/).fill('It is Bob, from the choir');
await press(bob, 'Ask for access');
await bob.getByRole('heading', { name: 'Waiting for an answer' }).waitFor();

await alice.goto(url(6));
await press(alice, 'Allow for a week');
await seePictures(bob, 1);
assert.equal(bob.url(), url(5));

await alice.goto(url(7));
await alice.getByRole('link', { name: 'Holiday 2025' }).click();
await alice.getByText('Withdraw…').first().click();
await press(alice, 'Withdraw this share');
await alice.getByText('Only you.').waitFor();
// within a second
await tryUntilSeen(bob.getByRole('heading', { name: 'Not shared with you' }), () => bob.goto(url(4)));
await browser.close();
console.log('steps: each leads somewhere');
