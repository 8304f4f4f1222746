// A real Chromium opens a link that nginx serves and asks the gateway about: Bob proves his address, comes back and sees the
// picture; the application sees who he is and none of the gateway's cookies; scripts of other places get nothing by his session.
// WORLD: {photo, seen, live, issuer, outbox}.
import assert from 'node:assert/strict';
import { findCode, readMails, seePictures } from './look.mjs';
import { launch } from './people.mjs';

const world = JSON.parse(process.env.WORLD);
const browser = await launch();
const bob = await (await browser.newContext()).newPage();
const press = (page, name) => page.getByRole('button', { name }).click();

await bob.goto(world.photo);
assert.ok(bob.url().startsWith(world.issuer), bob.url());
await bob.getByLabel(/e-mail address/).fill('bob@bar.example');
await press(bob, 'Send code');
await bob.getByLabel(/^Code/).waitFor();
await bob.getByLabel(/^Code/).fill(await findCode(() => readMails(world.outbox).at(-1)));
await press(bob, 'Go on');
await bob.getByRole('checkbox').first().check();
await press(bob, /^(Share|Show my address)/);
await bob.waitForURL(world.photo);
await seePictures(bob, 1);
const cookies = await bob.context().cookies(world.photo);
assert.ok(cookies.some(({ name }) => name.startsWith('wl_session_')), JSON.stringify(cookies));

await bob.goto(world.seen);
const seen = await bob.evaluate('document.body.innerText');
assert.match(seen, /X-Wayleave-Subject: \S+/);
// one that says nothing stands over the session's
assert.ok(!/cookie|wl_|authorization/i.test(seen.replace(/^Cookie: _=$/m, '')), seen);

/** What a web socket of this page hears first, or that it is closed. */
const hear = (page) => page.evaluate((url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  socket.onmessage = ({ data }) => resolve(data);
  socket.onerror = () => resolve('closed');
}), world.live);
assert.equal(await hear(bob), 'hello');
assert.equal(await bob.evaluate((url) => fetch(url, { method: 'POST' }).then(({ status }) => status), world.seen), 403, 'he may view');

// a page of another origin, in his browser
const other = await bob.context().newPage();
await other.goto(`${world.issuer}/login`);
assert.equal(await hear(other), 'closed');
await browser.close();
console.log('forwarding: all of it works');
