// Passkeys in a real Chromium with a virtual authenticator: logging in at the desk and at an authorization server, allowing an
// application, and opening the key that signs (the `prf` extension). WORLD: {desk, server, pictures?}; both on localhost,
// because no browser makes passkeys for an address.
import assert from 'node:assert/strict';
import { looker } from './look.mjs';
import { launch } from './people.mjs';

const world = JSON.parse(process.env.WORLD);
const browser = await launch();
const page = await (await browser.newContext()).newPage();
const errors = [];
page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));

/** A device of Alice's; gone when it is taken away. */
const devices = await page.context().newCDPSession(page);
await devices.send('WebAuthn.enable');
const device = (more = {}) => devices.send('WebAuthn.addVirtualAuthenticator', { options: {
  protocol: 'ctap2', ctap2Version: 'ctap2_1', transport: 'internal', hasResidentKey: true, hasUserVerification: true,
  isUserVerified: true, automaticPresenceSimulation: true, hasPrf: true, ...more,
} });

const lookAt = looker(world.pictures, { prefix: 'passkey-', isQuick: true });
const look = (name) => lookAt(page, name);
const press = (name) => page.getByRole('button', { name, exact: true }).click();
const heading = (name) => page.getByRole('heading', { name }).first().waitFor();
async function logIn(password) {
  await page.getByLabel('User name or e-mail address').fill('alice');
  await page.getByLabel('Password').fill(password);
  await page.keyboard.press('Enter');
}

const { authenticatorId } = await device();

// at the desk: a passkey beside the password, and then in its place
await page.goto(world.desk);
await look('login');
await logIn('alice-desk-password');
await heading('Your things');
await page.goto(`${world.desk}/keys`);
await page.getByRole('link', { name: 'How you log in here' }).click();
await heading('How you log in');
await page.getByLabel('What to call it').fill('My phone');
await press('Add a passkey');
await page.getByText('added').first().waitFor();
await look('account');
// the same device twice is said, and nothing happens
await press('Add a passkey');
await page.getByText('This device has a passkey for this place already.').waitFor();
await page.context().clearCookies();
await page.goto(world.desk);
await heading('Log in');
await press('Use a passkey');
await heading('Your things');

// a key that a passkey opens
await page.goto(`${world.desk}/keys`);
await page.getByLabel('What to call the passkey').last().fill('My phone');
await press('Make the key with a passkey');
await page.getByText('It is open').waitFor();
await press('Register it there');
await page.getByText('Not registered yet at').waitFor({ state: 'detached' });
await press('Close it');
await page.getByRole('button', { name: 'Open it with your passkey' }).waitFor();
await look('keys');
assert.equal(await page.getByRole('link', { name: 'Export it' }).count(), 0, 'there is nothing to export without a passphrase');
await press('Open it with your passkey');
await page.getByText('It is open').waitFor();
await press('Close it');

// what she signs by it
await page.goto(world.desk);
await page.getByRole('link', { name: 'Holiday' }).first().click();
await page.getByRole('link', { name: 'Share it' }).click();
await page.getByLabel(/^With whom/).fill('bob@bar.example');
await page.getByLabel('view').check();
await press('Go on');
await page.getByText('Exactly what you sign').waitFor();
await look('sign');
await press('Sign with your passkey');
await heading('Shared');
await page.goto(world.desk);
await page.getByRole('link', { name: 'Holiday' }).first().click();
await page.getByText('signed', { exact: true }).first().waitFor();

// a passphrase beside it; the only way in cannot be taken away
await page.goto(`${world.desk}/keys`);
await press('Remove My phone');
await page.getByText('Nothing else opens this key').waitFor();
await page.goto(`${world.desk}/keys`);
await page.getByText('It is open').waitFor();
await page.getByText('Give it a passphrase, too').click();
await page.getByLabel(/^Passphrase/).first().fill('correct horse battery staple');
await page.getByLabel('The same again').first().fill('correct horse battery staple');
await press('Set it');
await page.getByRole('link', { name: 'Export it' }).waitFor();

// at the authorization server, which asks again before something may decide for her
await page.goto(`${world.server}/account`);
await logIn('alice-password');
await heading('How you log in');
await press('Add a passkey');
await page.getByText('added').first().waitFor();
await page.goto(`${world.desk}/servers`);
await page.getByLabel(/^Link a server/).fill(world.server);
await press('Find it');
await page.getByRole('link', { name: /^Go to/ }).click();
await heading(/^Let/);
await look('consent');
await press('Allow, with your passkey');
await heading('Your servers');
await page.getByText(world.server.replace('http://', '')).first().waitFor();

// a device that does not make sure that it is she lets nobody in, and the page says what to do
await devices.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
await page.context().clearCookies();
await page.goto(world.desk);
await press('Use a passkey');
await page.getByText('No passkey was used. Try again, or go on without one.').waitFor();
assert.deepEqual(errors.filter((text) => /Content.Security|Refused/.test(text)), []);
await browser.close();
