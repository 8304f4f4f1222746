// Alice shares an album at her server's pages and has Bob mailed, in a real Chromium; Bob asks for another with a sentence of
// his, and she answers. WORLD: {issuer, gateway, viewer, pictures?}.
import assert from 'node:assert/strict';
import { launch } from './people.mjs';
import { findCode, looker, readShownMail, until } from './look.mjs';

const world = JSON.parse(process.env.WORLD);
const browser = await launch();
const look = looker(world.pictures);
const context = await browser.newContext({ timezoneId: 'Pacific/Auckland', permissions: ['clipboard-read', 'clipboard-write'] });
const alice = await context.newPage();
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();

// before anything is linked, one button leads on
await alice.goto(`${world.issuer}/login`);
await alice.getByLabel('User name or e-mail address').fill('alice');
await alice.getByLabel('Password').fill('alice-password');
await alice.keyboard.press('Enter');
await alice.getByRole('heading', { name: 'Your things' }).waitFor();
await look(alice, 'sharing-empty');
for (const [place, name] of [['/my/requests', 'requests'], ['/my/delegations', 'delegates']]) {
  await alice.goto(world.issuer + place);
  await look(alice, `sharing-empty-${name}`);
}
await alice.goto(`${world.issuer}/nowhere`);
await alice.getByRole('heading', { name: 'Nothing is here' }).waitFor();
await look(alice, 'sharing-nowhere');
await alice.getByRole('link', { name: 'Go to the start' }).click();
await alice.getByRole('link', { name: /^Link / }).click();
await press(alice, 'Allow');
await alice.getByRole('heading', { name: 'Linked' }).waitFor();

// the form says what is wrong where it is wrong
await alice.goto(`${world.issuer}/my/resources`);
await look(alice, 'sharing-things');
await alice.getByRole('link', { name: 'Holiday 2025' }).click();
await alice.getByLabel('Last day').waitFor();
await look(alice, 'sharing-thing');
const today = await alice.getByLabel('Last day').getAttribute('min');
assert.match(today, /^\d{4}-\d\d-\d\d$/);
await alice.getByLabel(/^With/).fill('bob@bar.example');
await alice.getByLabel('Last day').fill('2020-01-01');
assert.ok(await alice.getByRole('radio', { name: 'until a date' }).isChecked(), 'whoever types a date means it');
await alice.evaluate(() => { document.getElementById('until').removeAttribute('min'); });
await press(alice, 'Share');
await alice.getByText('That day is over').waitFor();
assert.equal(await alice.getByLabel(/^With/).inputValue(), 'bob@bar.example');
await look(alice, 'sharing-wrong');

// a week, with a sentence, by mail: read before, and shown after
await alice.getByLabel('Last day').fill('');
await alice.getByRole('radio', { name: 'for a week' }).check();
await alice.getByLabel(/^A sentence of yours/).fill('Look at the cliffs, and tell me which is yours.');
await press(alice, 'Mail it to them…');
await alice.getByRole('heading', { name: 'bob@bar.example gets this mail' }).waitFor();
await look(alice, 'sharing-mail');
await press(alice, 'Change it');
await alice.getByLabel(/^A sentence of yours/).waitFor();
await press(alice, 'Mail it to them…');
await press(alice, 'Share, and send it');
await alice.getByText('bob@bar.example gets this mail, sent just now').waitFor();
// her week ends with a day of hers, which is none of Greenwich
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'long', timeZone: 'Pacific/Auckland' }).format(Date.now() + 7 * 86_400_000);
await alice.getByText(new RegExp(`bob@bar.example may view, until and including ${day}`)).first().waitFor();
await look(alice, 'sharing-sent');
const mail = await readShownMail(context, `${world.viewer}/outbox`);
for (const words of ['Holiday 2025', `until and including ${day}`, 'Look at the cliffs', `${world.gateway}/holiday-2025`]) assert.ok(mail.includes(words), `${words}: ${mail}`);

// the link is there for copying
await alice.getByRole('button', { name: 'Copy link' }).click();
await alice.getByRole('button', { name: 'Copied' }).waitFor();
await until('link in the clipboard', async () => (await alice.evaluate('navigator.clipboard.readText()')) === `${world.gateway}/holiday-2025`);

// without script all of it is there, and the link is shown
const plain = await (await browser.newContext({ javaScriptEnabled: false, storageState: await context.storageState() })).newPage();
await plain.goto(alice.url());
assert.equal(await plain.getByRole('button', { name: 'Copy link' }).count(), 0);
assert.equal(await plain.getByLabel(/^The link to it/).inputValue(), `${world.gateway}/holiday-2025`);
await plain.getByText('Mail it…').click();
await plain.getByLabel(/^A sentence of yours/).first().fill('Once more.');
await press(plain, 'See the mail');
await press(plain, 'Send it');
await plain.getByText('bob@bar.example gets this mail, sent just now').waitFor();

// somebody asks, and she answers
const bob = await (await browser.newContext()).newPage();
await bob.goto(`${world.viewer}/open?url=${encodeURIComponent(`${world.gateway}/garden`)}`);
await bob.getByLabel(/Your e-mail address/).fill('bob@bar.example');
await press(bob, 'Send code');
await bob.getByLabel('Code from the message').fill(await findCode(() => readShownMail(context, `${world.viewer}/outbox`)));
await press(bob, 'Go on');
await bob.locator('button[name=decision][value=approve]').click();
await bob.getByRole('heading', { name: 'The owner is asked' }).waitFor();
await alice.goto(`${world.issuer}/my/resources`);
await alice.getByRole('link', { name: 'Requests 1 waiting' }).click();
await alice.getByRole('heading', { name: 'bob@bar.example asks' }).waitFor();
await look(alice, 'sharing-request');
await alice.getByText('Other…').click();
await look(alice, 'sharing-request-other');
// neither a press that began elsewhere decides anything, nor the second of two
const stopped = await alice.evaluate(() => {
  const button = document.querySelector('button[value=week]');
  const press = (detail) => !button.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true, detail }));
  const second = press(2);
  window.dispatchEvent(new Event('focus'));
  return { second, first: press(1) };
});
assert.deepEqual(stopped, { second: true, first: true });
await press(alice, 'Allow for a week');
await alice.getByText(/bob@bar.example may view garden/i).first().waitFor();
await look(alice, 'sharing-allowed');
// a look takes longer than Undo is offered
await alice.reload();
await press(alice, 'Undo');
await alice.getByText('bob@bar.example waits for your answer again.').waitFor();
await look(alice, 'sharing-undone');
assert.equal(await alice.getByText(/may view garden/i).count(), 0);
await alice.goto(`${world.issuer}/my/history`);
await look(alice, 'sharing-history');
await browser.close();
console.log('sharing: all of it works');
