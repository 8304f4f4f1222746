// A real Chromium opens a link of a gateway as Bob, without the help of any program of ours: he proves his address, sees the
// thing, is told of what he may not see, asks for it and sees it when Alice has allowed it. axe looks at each page of the
// gateway; pictures of each are taken where they are wanted. WORLD: {issuer, photo, hidden, outbox, pictures?}.
import assert from 'node:assert/strict';
import { findCode, looker, readMails, seePictures } from './look.mjs';
import { launch } from './people.mjs';

const world = JSON.parse(process.env.WORLD);
const browser = await launch();
const look = looker(world.pictures);

// axe is put into the page by the test: the page's own policy is looked at by other tests
const bob = await (await browser.newContext({ bypassCSP: true })).newPage();
const press = (page, name) => page.getByRole('button', { name }).click();

await bob.goto(world.photo);
await bob.getByLabel(/e-mail address/).fill('bob@bar.example');
await press(bob, 'Send code');
await bob.getByLabel(/^Code/).waitFor();
await bob.getByLabel(/^Code/).fill(await findCode(() => readMails(world.outbox).at(-1)));
await press(bob, 'Go on');
await bob.getByRole('checkbox').first().check();
await press(bob, /^(Share|Show my address)/);
await bob.waitForURL(world.photo);
await seePictures(bob, 1);
// by its address a browser shows it in its own way, which a policy may stop
const plain = await (await browser.newContext({ storageState: await bob.context().storageState() })).newPage();
const refusals = [];
plain.on('console', (message) => { if (/Content Security Policy/.test(message.text())) refusals.push(message.text()); });
await plain.goto(world.photo);
await seePictures(plain, 1);
assert.deepEqual(refusals, []);
if (world.pictures) await plain.screenshot({ path: `${world.pictures}/picture-by-its-address.png` });
await plain.context().close();
const cookies = await bob.context().cookies(world.photo);
const session = cookies.find(({ name }) => name.startsWith('wl_session_'));
assert.ok(session?.httpOnly && session.sameSite === 'Lax' && session.path === '/', JSON.stringify(cookies));

await bob.goto(world.hidden);
await bob.getByRole('heading', { name: 'Not shared with you' }).waitFor();
await look(bob, 'not-shared');
await bob.getByLabel(/A sentence/).fill('It is Bob, from the choir');
await press(bob, 'Ask for access');
await bob.getByRole('heading', { name: 'Waiting for an answer' }).waitFor();
await look(bob, 'waiting');

const alice = await (await browser.newContext()).newPage();
await alice.goto(`${world.issuer}/my/requests`);
await alice.getByLabel('User name or e-mail address').fill('alice');
await alice.getByLabel('Password').fill('alice-password');
await alice.keyboard.press('Enter');
await alice.getByRole('heading', { name: 'bob@bar.example asks' }).waitFor();
await press(alice, /^(Approve|Allow)/);
await seePictures(bob, 1);

await bob.goto(new URL('/.wayleave/logout', world.photo).href);
await look(bob, 'log-out');
await press(bob, 'Log out');
await bob.getByRole('heading', { name: 'Logged out' }).waitFor();
await look(bob, 'logged-out');
// and at the server, which knows his address for an hour
await bob.getByRole('link', { name: /^Log out at/ }).click();
await bob.getByRole('heading', { name: 'Log out?' }).waitFor();
await press(bob, 'Log out');
await bob.waitForURL(`${world.issuer}/login`);
await bob.goto(new URL('/', world.photo).href);
await bob.getByLabel('Your user name').waitFor();
await look(bob, 'home');
await bob.goto(new URL('/.wayleave/visit?state=x&ticket=y', world.photo).href);
await look(bob, 'open-again');
await bob.goto(world.photo);
await bob.waitForURL((url) => url.href.startsWith(world.issuer));
await bob.getByLabel(/e-mail address/).waitFor();
await browser.close();
console.log('visits: all of it works');
