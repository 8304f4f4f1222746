// From the mail to the album and back, in a real Chromium: Alice links a gateway and shares a thing by mail; Bob opens the mail's
// link, proves his address, sees the thing and downloads it; he asks for another, Alice allows it for a week on her phone, he sees
// it without a second code, and she undoes it; what changes something he does once that was shared, too. WORLD: {issuer, gateway,
// behind, outbox, hosts?, pictures?}.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { launch } from './people.mjs';
import { findCode, looker, readMails, seePictures, tryUntilSeen, until } from './look.mjs';

const world = JSON.parse(process.env.WORLD);
const browser = await launch(world.hosts);
const look = looker(world.pictures, { prefix: `from-mail-${world.behind}-` });
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();
const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

/** A picture of a page that is another program's, and not looked at by axe. */
async function show(page, name) {
  for (const [width, size] of [[1280, 'wide'], [390, 'narrow']]) {
    await page.setViewportSize({ width, height: 844 });
    if (world.pictures) await page.screenshot({ path: `${world.pictures}/from-mail-${world.behind}-${name}-${size}.png` });
  }
}

/** Bob sees a list of files by WsgiDAV, with its style, and a picture of it. */
async function seeList(page, { path }) {
  await page.getByRole('heading', { name: `Index of ${path.replace(/\/$/, '')}` }).waitFor();
  await until('style of the list', () => page.evaluate(() => [...document.styleSheets].some((sheet) => sheet.href && sheet.cssRules.length > 0)));
  await show(page, 'list');
  await page.getByRole('link', { name: 'cliffs.jpg' }).click();
  await page.waitForURL(/cliffs\.jpg$/);
  await seePictures(page, 1);
  await page.goBack();
}

/** Bob sees an album as the gateway shows it. */
async function seeAlbum(page, { name }) {
  await page.getByRole('heading', { name }).waitFor();
  await seePictures(page, 2, '.tiles img');
  await look(page, 'album');
}

/** Bob sees a notebook. */
async function seeNotebook(page, { name }) {
  await page.getByRole('heading', { name }).waitFor();
  await page.getByRole('listitem').filter({ hasText: 'by the sea' }).waitFor();
  await look(page, 'notebook');
}

/** A form of the application's own is sent, and what was typed is kept. */
async function write(page, note) {
  await page.getByLabel('Note').fill(note);
  await press(page, 'Keep');
  await page.getByRole('listitem').filter({ hasText: note }).waitFor();
}

/** Alice, whose they are, has written into both notebooks. */
async function writeNotes(page) {
  await write(page, 'by the sea');
  await page.goto(world.gateway + other.path);
  await write(page, 'by the sea');
}

/** Bob, who may view, sends the form: a page says that nothing was saved. He asks, she allows it, and then it is. */
async function mayWrite(bob, hers) {
  await bob.getByLabel('Note').fill('from Bob');
  await press(bob, 'Keep');
  await bob.getByRole('heading', { name: 'You may not change this' }).waitFor();
  await look(bob, 'not-saved');
  await bob.getByRole('link', { name: 'Back to the page' }).click();
  await bob.getByLabel('Note').fill('from Bob');
  await bob.getByRole('listitem').filter({ hasText: 'by the sea' }).waitFor();
  assert.equal(await bob.getByRole('listitem').count(), 1);
  await press(bob, 'Keep');
  await bob.getByLabel(/A sentence/).fill('May I write, too?');
  await press(bob, 'Ask for access');
  await bob.getByRole('heading', { name: 'Waiting for an answer' }).waitFor();
  await hers.goto(`${world.issuer}/my/requests`);
  const asked = hers.getByRole('article').filter({ hasText: 'May I write, too?' });
  await asked.waitFor();
  await hers.setViewportSize(phone.viewport);
  // what she took back before waits as well
  await asked.getByRole('button', { name: 'Allow for a week', exact: true }).tap();
  await things.see(bob, shared);
  assert.equal(bob.url(), world.gateway + shared.path);
  await write(bob, 'from Bob');
}

/** What a script of a page of this place hears that puts a file there. The album's own page loads nothing by scripts. */
async function put(page) {
  await page.goto(`${world.gateway}/.wayleave/logout`);
  return page.evaluate(async (place) => (await fetch(place, { method: 'PUT', body: 'a note' })).status, `${shared.path}note.txt`);
}

/** Bob, who may view, puts nothing there; Alice does. */
async function mayPut(bob, hers) {
  assert.equal(await put(bob), 403, 'he may view');
  await openAsOwner(hers);
  const status = await put(hers);
  assert.ok(status === 201 || status === 204, `she puts a file there: ${status}`);
  await bob.goto(world.gateway + shared.path);
  await bob.getByText('note.txt').first().waitFor();
}

/** The same of a folder, whose beginning shows Alice all that is hers. */
async function mayPutInFolder(bob, hers) {
  await mayPut(bob, hers);
  await hers.goto(`${world.gateway}/`);
  for (const { name } of [shared, other]) await hers.getByRole('link', { name: `${name} Yours` }).waitFor();
  await show(hers, 'beginning');
  await bob.goto(`${world.gateway}/`);
  assert.equal(await bob.getByRole('link', { name: /Yours/ }).count(), 0);
  await look(bob, 'beginning');
}

const things = {
  folder: {
    shared: { name: 'Holiday 2025', link: '/holiday-2025', path: '/holiday-2025/' }, other: { name: 'Garden', path: '/garden/' },
    see: seeAlbum, change: mayPutInFolder, download: 'Download all', file: 'holiday-2025.zip',
  },
  wsgidav: {
    shared: { name: 'Holiday 2025', link: '/holiday-2025/', path: '/holiday-2025/' }, other: { name: 'Garden', path: '/garden/' },
    isOpenedFirst: true, see: seeList, change: mayPut, download: 'letters.zip', file: 'letters.zip',
  },
  django: {
    shared: { name: 'Notes', link: '/notes/', path: '/notes/' }, other: { name: 'Diary', path: '/diary/' },
    isOpenedFirst: true, prepare: writeNotes, see: seeNotebook, change: mayWrite, download: 'Download', file: 'notes.txt',
  },
}[world.behind];
const { shared, other } = things;
const mails = () => readMails(world.outbox);
const codes = () => mails().map((text) => text.match(/\b\d{8}\b/)?.[0]).filter(Boolean);

async function logIn(page) {
  await page.getByLabel('User name or e-mail address').fill('alice');
  await page.getByLabel('Password').fill('alice-password');
  await page.keyboard.press('Enter');
}

/** Alice links what keeps her things; where that cannot list them, she opens the one that she wants to share. */
async function link(alice) {
  await alice.goto(`${world.gateway}/.wayleave/link?owner=alice`);
  await look(alice, 'login');
  await logIn(alice);
  await alice.getByRole('heading', { name: /Let .* in/ }).waitFor();
  await look(alice, 'consent');
  await press(alice, 'Allow');
  await alice.getByRole('heading', { name: 'Linked' }).waitFor();
  await look(alice, 'linked');
  if (!things.isOpenedFirst) return;
  await openAsOwner(alice, true);
  await things.prepare?.(alice);
}

/** She opens what she shares as its owner. */
async function openAsOwner(page, isLookedAt) {
  await page.goto(world.gateway + shared.path);
  if (page.url().startsWith(world.issuer)) {
    if (isLookedAt) await look(page, 'owner');
    await page.getByRole('checkbox').first().check();
    await page.locator('button[name=decision][value=approve]').click();
  }
  await page.waitForURL(world.gateway + shared.path);
}

/** She shares it by mail. */
async function share(alice) {
  await alice.goto(`${world.issuer}/my/resources`);
  await look(alice, 'things');
  await alice.getByRole('link', { name: shared.name }).click();
  await alice.getByLabel(/^With/).fill('bob@bar.example');
  await alice.getByLabel(/^A sentence of yours/).fill('Look at the cliffs.');
  await look(alice, 'thing');
  await press(alice, 'Mail it to them…');
  await alice.getByRole('heading', { name: 'bob@bar.example gets this mail' }).waitFor();
  await look(alice, 'mail');
  await press(alice, 'Share, and send it');
  await alice.getByText('bob@bar.example gets this mail, sent just now').waitFor();
  await look(alice, 'sent');
}

/** Bob follows the mail's link, and proves that its address is his. */
async function open(bob) {
  const mail = mails().at(-1);
  assert.ok(mail.includes(shared.name) && mail.includes('Look at the cliffs.'), mail);
  const url = mail.match(/https?:\/\/\S+/)[0];
  assert.ok([shared.link, shared.path].includes(url.slice(world.gateway.length)), url);
  await bob.goto(url);
  await bob.getByRole('heading', { name: 'Show who you are' }).waitFor();
  await look(bob, 'who');
  await bob.getByLabel(/e-mail address/).fill('bob@bar.example');
  await press(bob, 'Send code');
  await bob.getByLabel(/^Code/).waitFor();
  await look(bob, 'code');
  await bob.getByLabel(/^Code/).fill(await findCode(() => mails().at(-1)));
  await press(bob, 'Go on');
  await bob.getByRole('checkbox').first().check();
  await look(bob, 'show');
  await press(bob, /^(Share|Show my address)/);
  await bob.waitForURL(world.gateway + shared.path);
}

/** He has it as a file. */
async function download(bob) {
  const coming = bob.waitForEvent('download');
  await bob.getByRole('link', { name: things.download }).click();
  const file = await coming;
  assert.equal(file.suggestedFilename(), things.file);
  assert.ok(statSync(await file.path()).size > 0);
}

const alice = await (await browser.newContext()).newPage();
await link(alice);
await share(alice);
// axe is put into Bob's pages by the test: the pages' own policy is looked at by other tests
const bob = await (await browser.newContext({ bypassCSP: true, acceptDownloads: true })).newPage();
await open(bob);
await things.see(bob, shared);
await download(bob);

// he asks for another
await bob.goto(world.gateway + other.path);
await bob.getByRole('heading', { name: 'Not shared with you' }).waitFor();
await look(bob, 'not-shared');
await bob.getByLabel(/A sentence/).fill('It is Bob, from the choir');
await press(bob, 'Ask for access');
await bob.getByRole('heading', { name: 'Waiting for an answer' }).waitFor();
await look(bob, 'waiting');

// Alice, on her phone
const hers = await (await browser.newContext(phone)).newPage();
await hers.goto(`${world.issuer}/my/requests`);
await logIn(hers);
await hers.getByRole('heading', { name: 'bob@bar.example asks' }).waitFor();
await hers.getByText('It is Bob, from the choir').waitFor();
await look(hers, 'request');
await hers.setViewportSize(phone.viewport);
await hers.getByRole('button', { name: 'Allow for a week', exact: true }).tap();
await hers.getByText(new RegExp(`bob@bar.example may .*${other.name}`, 'i')).first().waitFor();
await look(hers, 'allowed');

// his page goes on by itself, and nobody sent him a second code
await things.see(bob, other);
assert.equal(bob.url(), world.gateway + other.path);
assert.equal(codes().length, 1, 'one code is enough');

// she undoes it
await hers.setViewportSize(phone.viewport);
// a look takes longer than Undo is offered
await hers.reload();
await hers.getByRole('button', { name: 'Undo', exact: true }).tap();
await hers.getByText('bob@bar.example waits for your answer again.').waitFor();
assert.equal(await hers.getByText(new RegExp(`may .*${other.name}`, 'i')).count(), 0);
await look(hers, 'undone');
// what was read may be believed for a second
await tryUntilSeen(bob.getByRole('heading', { name: 'Not shared with you' }), () => bob.goto(world.gateway + other.path));
await bob.goto(world.gateway + shared.link);
await things.see(bob, shared);

// what changes something is shared apart
await things.change(bob, hers);
await browser.close();
console.log(`from mail to album, ${world.behind}: all of it works`);
