// Bob proves his address once and shows it to each application, in a real Chromium; axe looks at every page, at 390 and 1280,
// light and dark. WORLD: {issuer, resource, folder, pictures?}.
import assert from 'node:assert/strict';
import { findCode, looker, readMails, until } from './look.mjs';
import { launch } from './people.mjs';

const world = JSON.parse(process.env.WORLD);
const browser = await launch();
const look = looker(world.pictures);

const basic = (id) => ({ authorization: `Basic ${Buffer.from(`${id}:${id.split('-')[0]}-secret`).toString('base64')}` });
const token = async (id, scope) => {
  const body = new URLSearchParams({ grant_type: 'client_credentials', scope });
  return (await (await fetch(`${world.issuer}/token`, { method: 'POST', headers: basic(id), body })).json()).access_token;
};
const [pat, pmt] = [await token('photos-rs', 'uma_protection'), await token('manager', 'uma_policy')];
const call = async (bearer, path, body) => {
  const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' };
  return (await fetch(`${world.issuer}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).json();
};
const share = async (name) => {
  const album = (await call(pat, '/uma/resources', { resource_scopes: ['view'], name }))._id;
  const required_claims = [{ name: 'email', value: ['bob@bar.example'] }];
  await call(pmt, '/uma/policies', { resource_id: album, resource_scopes: ['view'], required_claims });
  return album;
};
const [holiday, garden] = [await share('Holiday 2025'), await share('Garden')];

// a client's place to go on is not there in this story: the browser is stopped on its way to it
const context = await browser.newContext();
let went;
await context.route(/127\.0\.0\.1:900[13]\//, (route) => {
  went = new URL(route.request().url());
  return route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>On</title>' });
});
const page = await context.newPage();
const press = (name) => page.getByRole('button', { name, exact: true }).click();
const enter = async (client, album, more = {}) => {
  const { ticket } = await call(pat, '/uma/permissions', { resource_id: album, resource_scopes: ['view'] });
  await page.goto(`${world.issuer}/claims?${new URLSearchParams({ client_id: client, ticket, ...more })}`);
};
const heading = (name) => page.getByRole('heading', { name, exact: true }).waitFor();
const mails = () => readMails(`${world.folder}/wayleave-data/outbox`);
const trade = async (client, ticket) => {
  const body = new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:uma-ticket', ticket, disclose: 'email' });
  const rpt = (await (await fetch(`${world.issuer}/token`, { method: 'POST', headers: basic(client), body })).json()).access_token;
  const asked = await fetch(`${world.issuer}/introspect`, { method: 'POST', headers: { authorization: `Bearer ${pat}` }, body: new URLSearchParams({ token: rpt }) });
  return asked.json();
};

// a stranger proves an address: nothing that is wrong is kept for later
await enter('viewer', holiday);
await heading('Show who you are');
await look(page, 'proof-who');
await page.getByLabel(/Your e-mail address/).fill('b..ob@bar.example');
await press('Send code');
await page.getByRole('alert').waitFor();
assert.equal(await page.getByLabel(/Your e-mail address/).inputValue(), 'b..ob@bar.example', 'the form keeps what was typed');
await look(page, 'proof-who-wrong');
await page.getByLabel(/Your e-mail address/).fill('bob@bar.example');
await press('Send code');
await heading('Type the code');
await look(page, 'proof-code');
await page.getByLabel(/^Code/).fill('12345678');
await press('Go on');
await page.getByRole('alert').waitFor();
assert.equal(await page.getByRole('status').count(), 0, 'only what is wrong');
await look(page, 'proof-code-wrong');
await press('Send a new code');
// the page looks as it did before
await until('second mail', () => mails().length === 2);
await page.getByRole('alert').waitFor({ state: 'detached' });
await heading('Type the code');
await page.getByLabel(/^Code/).fill(await findCode(() => mails().at(-1)));
await press('Go on');
await heading('Show my address to Viewer?');
await look(page, 'proof-show');
await press('Show my address');
await page.waitForURL(/9001/);
assert.equal((await trade('viewer', went.searchParams.get('ticket'))).email, undefined, 'he was not told so');

// the second album, and another application that shows his address to its server: no second code
await enter('printer', garden, { disclose: 'email' });
await heading('Show my address to Print shop?');
await page.getByText('will see your e-mail address').waitFor();
await look(page, 'proof-show-disclosed');
await press('Show my address');
await page.waitForURL(/9003/);
assert.equal((await trade('printer', went.searchParams.get('ticket'))).email, 'bob@bar.example');
assert.equal(mails().length, 2);

// somebody else sits down at this browser, and says so; Bob's page in the history shows nobody
await enter('viewer', garden);
await heading('Show my address to Viewer?');
await press('This is not me, or use another address');
await heading('Show who you are');
await page.goBack();
await page.reload();
await heading('Show who you are');

// who has an account logs in, and is asked with it; she leaves it the same way
await page.getByRole('link', { name: 'I have an account here' }).click();
await page.getByLabel('User name or e-mail address').fill('alice');
await page.getByLabel('Password').fill('alice-password');
await press('Log in');
// what Viewer wants is her own
await page.getByRole('heading', { name: /^Open your own things at/ }).waitFor();
await look(page, 'proof-show-account');
await press('This is not me: log out, and use another address');
await heading('Show who you are');
await browser.close();
console.log('claims: all of it works');
