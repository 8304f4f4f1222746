// A real Chromium sits at the relationship manager's desk; axe looks at every page; pictures of each are taken.
// WORLD: {desk, pictures?}; Alice's servers are linked already.
import assert from 'node:assert/strict';
import { looker } from './look.mjs';
import { launch } from './people.mjs';

const world = JSON.parse(process.env.WORLD);
const browser = await launch();
const page = await (await browser.newContext()).newPage();
const lookAt = looker(world.pictures, { prefix: 'desk-', isQuick: true });
const look = (name) => lookAt(page, name);
const press = (name) => page.getByRole('button', { name, exact: true }).click();
const heading = (name) => page.getByRole('heading', { name }).first().waitFor();

await page.goto(world.desk);
await page.getByLabel('User name or e-mail address').fill('alice');
await page.getByLabel('Password').fill('alice-desk-password');
await page.keyboard.press('Enter');
await heading('Your things');
await look('things');
await page.getByLabel('Search').fill('nothing of that name');
await page.keyboard.press('Enter');
await page.getByText('Nothing fits that').waitFor();
await page.getByRole('link', { name: 'Show all' }).click();
await page.getByText('Filters').click();
await page.getByLabel('Put together by').selectOption('server');
await press('Show');
await page.waitForURL(/group=server/);
await look('grouped');
await page.goto(world.desk);

// a key of her own, registered everywhere
await page.getByRole('link', { name: 'Keys' }).click();
await heading('Your keys');
await look('keys-none');
await page.getByLabel(/^Passphrase/).fill('correct horse battery staple');
await page.getByLabel('The same again').fill('correct horse battery staple');
await press('Make the key');
await page.getByText('It is open').waitFor();
await press('Register it there');
await page.getByText('Not registered yet at').waitFor({ state: 'detached' });
await look('keys');
await page.getByRole('link', { name: 'Things' }).click();

// one thing, and a share of it, step by step
await page.getByRole('link', { name: 'Holiday' }).first().click();
await heading('Who can reach it');
await look('thing');
await page.getByLabel(/^Somebody who proves this address/).fill('bob@bar.example');
await press('Try it');
await page.getByText('bob@bar.example would').waitFor();
await look('tried');
await page.getByRole('link', { name: 'Have it guarded elsewhere' }).click();
await heading('Who guards it');
await look('guard');
await page.getByRole('radio').first().check();
await press('Have it guarded there');
await heading(/^Guarded by/);
await look('guarded');
await page.goto(`${world.desk}/`);
await page.getByRole('link', { name: 'Holiday' }).first().click();
await heading('Who can reach it');
await page.getByRole('link', { name: 'Share it' }).click();
await page.getByLabel(/^With whom/).waitFor();
await look('share');
await press('Go on');
await page.getByText('Say whom you share with').waitFor();
await page.getByLabel(/^With whom/).fill('bob@bar.example');
await page.getByLabel('view').check();
await page.getByLabel('for a week').check();
await look('share-wrong');
await page.getByLabel(/^Last day/).fill('2033-12-01');
assert.ok(await page.getByRole('radio', { name: 'until a date' }).isChecked(), 'whoever types a date means it');
await press('Go on');
await page.getByText('Whoever proves the address bob@bar.example may view Holiday, until and including 1 December 2033; not edit or delete.').waitFor();
await page.getByText('Exactly what you sign').click();
await page.getByText('allowed_rqp').waitFor();
await look('review');
await press('Sign and share');
await heading('Shared');
await page.getByText('this desk sends no mail').waitFor();
await page.getByRole('button', { name: /^Copy link/ }).waitFor();
await look('shared');

// who reaches what, and the end of it
await page.getByRole('link', { name: 'People' }).click();
await heading('Who can reach your things');
await look('people');
await page.getByRole('link', { name: 'bob@bar.example' }).click();
await heading('What bob@bar.example can reach');
await look('person');
await page.getByLabel(/^I am sure/).check();
await press('Withdraw everything');
await heading('What you withdrew');
await page.getByText('2 of 2 confirmed').waitFor();
await look('withdrawals');

// somebody decides for her, for a while
await page.goto(`${world.desk}/delegations`);
await heading('Who decides for you');
await page.getByLabel(/^Who/).fill('carol@foo.example');
await page.getByLabel('Last day').fill('2033-12-01');
await press('Let them decide');
await page.getByText('carol@foo.example may answer requests for you').first().waitFor();
await look('delegations');
// by a key: signed, and shown before
await page.getByLabel(/^Who/).fill('did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH');
await page.getByLabel('Last day').fill('2033-12-01');
await press('Let them decide');
await heading('Let them decide?');
await page.getByText('resource_scopes').first().waitFor();
await look('sign');
await page.getByRole('link', { name: 'Do not' }).click();
await page.goto(`${world.desk}/receipts`);
await page.getByText('You took back: bob@bar.example').first().waitFor();
await look('receipts');

await page.getByRole('link', { name: 'History' }).click();
await heading('What happened');
await page.getByText('Shared: Holiday').first().waitFor();
await look('history');
await page.getByRole('link', { name: /^Requests/ }).click();
await heading('Requests');
await page.getByText('Nobody is waiting for you').waitFor();
// Bob asks meanwhile: the page says so by itself
const refused = await fetch(world.photo);
const ticket = /ticket="([^"]+)"/.exec(refused.headers.get('www-authenticate'))[1];
const body = new URLSearchParams({
  grant_type: 'urn:ietf:params:oauth:grant-type:uma-ticket', ticket, client_id: 'viewer', client_secret: 'viewer-secret',
  claim_token: world.bob, claim_token_format: 'http://openid.net/specs/openid-connect-core-1_0.html#IDToken',
});
const asked = await fetch(`${world.server}/token`, { method: 'POST', body });
assert.equal((await asked.json()).error, 'request_submitted');
await page.getByRole('heading', { name: 'bob@bar.example' }).waitFor();
await page.getByRole('link', { name: 'Requests 1' }).waitFor();
await look('requests-one');
await page.getByText('Other…').click();
await look('requests-other');
await press('Allow for a week');
await page.getByText(/^bob@bar.example may view .*until and including/).first().waitFor();
await look('requests-allowed');
// a look takes longer than Undo is offered
await page.reload();
await press('Undo');
await page.getByText('bob@bar.example waits for your answer again.').waitFor();
await page.getByRole('heading', { name: 'bob@bar.example' }).waitFor();
await look('requests-undone');
await page.goto(`${world.desk}/for-others`);
await heading('Share for others');
await look('for-others');

// her key shows who she is, and nothing else
const me = new URLSearchParams({ client_id: 'http://127.0.0.1:9001/claims', response_type: 'id_token', scope: 'openid', nonce: 'n', audience: world.server });
await page.goto(`${world.desk}/self-issued?${me}`);
await heading('Show who you are?');
await look('self-issued');

// she opens her own album with Viewer, which nothing lets in yet: the server's page sends her here
const own = /ticket="([^"]+)"/.exec((await fetch(world.photo)).headers.get('www-authenticate'))[1];
const form = new URLSearchParams({
  grant_type: 'urn:ietf:params:oauth:grant-type:uma-ticket', ticket: own, client_id: 'viewer', client_secret: 'viewer-secret',
});
const need = await (await fetch(`${world.server}/token`, { method: 'POST', body: form })).json();
assert.equal(need.error, 'need_info');
const claims = new URLSearchParams({ client_id: 'viewer', ticket: need.ticket, claims_redirect_uri: 'http://127.0.0.1:9001/claims' });
await page.goto(`${need.redirect_user}?${claims}`);
await page.getByRole('link', { name: 'I have an account here' }).click();
await page.getByLabel('User name or e-mail address').fill('alice');
await page.getByLabel('Password').fill('alice-password');
await page.keyboard.press('Enter');
await page.getByRole('link', { name: /^Decide at/ }).waitFor();
await look('claims-hers');
await page.getByRole('link', { name: /^Decide at/ }).click();
await page.getByText('Whoever proves the address alice@foo.example may view Holiday').waitFor();
await look('decide');
await press('Allow it, and go back');
await page.getByRole('heading', { name: /^Open your own things at/ }).waitFor();
await page.goto(world.desk);
await look('requests');
await page.getByRole('link', { name: 'Servers' }).click();
await heading('Your servers');
await look('servers');
await page.getByLabel(/^Link a server/).fill('http://127.0.0.1:9');
await press('Find it');
await heading('No answer');
await look('error');
await page.goto(`${world.desk}/servers`);
await page.getByLabel(/^Link a server/).fill(world.server);
await press('Find it');
await heading('Log in there');
await look('server-go');
await page.getByRole('link', { name: 'Do not' }).click();
await page.getByText('Let another server guard your things').click();
await page.getByLabel(/^May be guarded by/).fill(world.other);
await press('Introduce it');
await heading('Log in there');
await look('guard-go');
await page.goto(`${world.desk}/servers`);
await press('Log out');
await heading('Logged out');
await look('logged-out');
await page.getByRole('link', { name: 'Log out there, too' }).click();
await page.locator('#main').getByRole('button', { name: 'Log out' }).click();
await page.getByRole('heading', { name: 'Log out?' }).waitFor({ state: 'detached' });
await page.goto(`${world.desk}/people`);
await heading(/^Log in/);
await page.getByLabel('User name or e-mail address').fill('alice');
await page.getByLabel('Password').fill('alice-desk-password');
await page.keyboard.press('Enter');
await heading('Who can reach your things');
await browser.close();
