// A real Chromium does Alice's and Bob's parts in `wayleave demo`; axe looks at every page; pictures of
// each are taken, light and dark, wide and narrow. WORLD: {issuer, gateway, viewer, pictures?}.
import assert from 'node:assert/strict';
import { findCode, looker, readShownMail, seePictures, tryUntilSeen, until } from './look.mjs';
import { launch } from './people.mjs';

const world = JSON.parse(process.env.WORLD);
const browser = await launch();
const look = looker(world.pictures, { isQuick: true });

const person = async () => (await browser.newContext({ javaScriptEnabled: true })).newPage();
const [alice, bob] = [await person(), await person()];
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();

// Alice links the gateway
await alice.goto(`${world.gateway}/.wayleave/link?owner=alice`);
await look(alice, 'login');
await alice.getByLabel('User name or e-mail address').fill('alice');
await alice.getByLabel('Password').fill('wrong');
await press(alice, 'Log in');
await alice.getByText('do not go together').waitFor();
await alice.getByLabel('Password').fill('alice-password');
await alice.keyboard.press('Enter');
await alice.getByRole('heading', { name: /Let .* in/ }).waitFor();
await look(alice, 'consent');
await press(alice, 'Allow');
await alice.getByRole('heading', { name: 'Linked' }).waitFor();
await look(alice, 'linked');

// she shares an album
await alice.goto(`${world.issuer}/my/resources`);
await look(alice, 'resources');
await alice.getByRole('link', { name: 'Holiday 2025' }).click();
await alice.getByLabel(/^With/).waitFor();
await look(alice, 'resource');
await alice.getByLabel(/^With/).fill('bob@bar.example');
assert.ok(await alice.getByRole('checkbox', { name: 'view' }).isChecked());
for (const scope of ['edit', 'delete']) assert.ok(!(await alice.getByRole('checkbox', { name: scope }).isChecked()), `${scope} is never ticked at first`);
await press(alice, 'Share');
await alice.getByText('bob@bar.example may view').first().waitFor();
await alice.getByLabel(/What could the person/).fill('bob@bar.example');
await press(alice, 'See');
await alice.getByText('bob@bar.example could view.').waitFor();
await look(alice, 'resource-shared');

// Bob, a stranger, opens it in a third party's application
async function bobProves() {
  await bob.getByLabel(/Your e-mail address/).fill('bob@bar.example');
  await press(bob, 'Send code');
  await bob.getByText('It is on its way to').waitFor();
  await look(bob, 'claims-code');
  await bob.getByLabel('Code from the message').fill('12345678');
  await press(bob, 'Go on');
  await bob.getByText('That is not the code that was sent').waitFor();
  assert.ok(!(await bob.getByText('It is on its way to').isVisible()), 'only what is wrong');
  await look(bob, 'claims-code-wrong');
  const outbox = await bob.context().newPage();
  await outbox.goto(`${world.viewer}/outbox`);
  await look(outbox, 'viewer-outbox');
  await outbox.close();
  await bob.getByLabel('Code from the message').fill(await findCode(() => readShownMail(bob.context(), `${world.viewer}/outbox`)));
  await press(bob, 'Go on');
  await bob.getByRole('heading', { name: 'Show my address to Viewer?' }).waitFor();
  await look(bob, 'claims-share');
  await press(bob, 'Show my address');
}
await bob.goto(world.viewer);
await look(bob, 'viewer-home');
await press(bob, 'Open');
await bob.getByRole('heading', { name: 'Show who you are' }).waitFor();
await look(bob, 'claims');
await bobProves();
await bob.getByRole('heading', { name: 'holiday 2025' }).waitFor();
await seePictures(bob, 3);
await look(bob, 'viewer-album');

// he asks for another album; Alice approves
await bob.goto(`${world.viewer}/open?url=${encodeURIComponent(`${world.gateway}/garden`)}`);
// in this browser he has proved who he is: there is no second code
await bob.getByRole('heading', { name: 'Show my address to Viewer?' }).waitFor();
assert.equal(await bob.getByLabel(/Code|e-mail address/).count(), 0);
await press(bob, 'Show my address');
await bob.getByRole('heading', { name: 'The owner is asked' }).waitFor();
await look(bob, 'viewer-asked');
await alice.goto(`${world.issuer}/my/requests`);
await alice.getByRole('heading', { name: 'bob@bar.example asks' }).waitFor();
await look(alice, 'requests');
await press(alice, 'Allow for a week');
await alice.getByText('Nobody is waiting for you.').waitFor();
await look(alice, 'requests-answered');
await tryUntilSeen(bob.getByRole('heading', { name: 'garden' }), async () => {
  // an application asks no sooner than its server told it
  const again = bob.getByRole('button', { name: 'Look again', exact: true });
  if (await again.isVisible()) await again.click({ timeout: 5_000 });
});

// she withdraws the first share; he is out
await alice.goto(`${world.issuer}/my/resources`);
await alice.getByRole('link', { name: 'Holiday 2025' }).click();
await alice.getByText('Withdraw…').click();
await press(alice, 'Withdraw this share');
await alice.getByText('Only you.').waitFor();
// a slip: she puts it back, and takes it back once more
await press(alice, 'Undo');
await alice.getByText(/^Put back: bob@bar.example may/).waitFor();
await look(alice, 'put-back');
await alice.getByText('Withdraw…').click();
await press(alice, 'Withdraw this share');
await alice.getByText('Only you.').waitFor();
// Undo is offered for a moment
await alice.getByRole('button', { name: 'Undo' }).waitFor({ state: 'detached', timeout: 20000 });
// what was read may be believed for a second
await until('page without the album', async () => {
  await bob.goto(`${world.viewer}/open?url=${encodeURIComponent(`${world.gateway}/holiday-2025`)}`);
  return await bob.getByRole('heading').count() > 0 && await bob.getByRole('heading', { name: 'holiday 2025' }).count() === 0;
});
await alice.goto(`${world.issuer}/my/history`);
await look(alice, 'history');
await alice.goto(`${world.issuer}/my/delegations`);
await look(alice, 'delegates');
await alice.goto(`${world.issuer}/applications`);
await look(alice, 'applications');
await alice.goto(`${world.issuer}/authorize?client_id=nobody`);
await look(alice, 'error');
await alice.goto(`${world.issuer}/logout`);
await look(alice, 'logout');
await browser.close();
console.log('pages: all of it works');
