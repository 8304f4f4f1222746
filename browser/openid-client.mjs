// npm openid-client 6, unmodified, against `wayleave server`: discovery at the UMA path, need_info,
// request_submitted, rotation, PAR, DPoP. WORLD: {issuer, idTokens, callback}.
import assert from 'node:assert/strict';
import * as client from 'openid-client';
import { Person } from './people.mjs';

const world = JSON.parse(process.env.WORLD);
const UMA = 'urn:ietf:params:oauth:grant-type:uma-ticket';
const insecure = { execute: [client.allowInsecureRequests] };
const at = new URL(`${world.issuer}/.well-known/uma2-configuration`);
const discover = (id, secret) => client.discovery(at, id, undefined, client.ClientSecretBasic(secret), insecure);

const rs = await discover('photos-rs', 'photos-secret');
const metadata = rs.serverMetadata();
assert.equal(metadata.issuer, world.issuer);
assert.ok(metadata.permission_endpoint && metadata.resource_registration_endpoint);
const pat = (await client.clientCredentialsGrant(rs, { scope: 'uma_protection' })).access_token;
const manager = await discover('manager', 'manager-secret');
const pmt = (await client.clientCredentialsGrant(manager, { scope: 'uma_policy' })).access_token;

const api = async (config, token, method, url, body) => {
  const headers = new Headers({ 'content-type': 'application/json' });
  const answer = await client.fetchProtectedResource(config, token, new URL(url), method, body && JSON.stringify(body), headers);
  return answer.json();
};
const album = (await api(rs, pat, 'POST', metadata.resource_registration_endpoint, { resource_scopes: ['view', 'edit'] }))._id;
const required_claims = [{ name: 'email', value: ['bob@bar.example'] }];
await api(manager, pmt, 'POST', metadata.policy_endpoint, { resource_id: album, resource_scopes: ['view'], required_claims });
const ticketFor = async (scope) =>
  (await api(rs, pat, 'POST', metadata.permission_endpoint, { resource_id: album, resource_scopes: [scope] })).ticket;
const refused = async (promise) => {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof client.ResponseBodyError, error);
    return error.cause;
  }
  throw new assert.AssertionError({ message: 'it should have been refused' });
};
const claim = () => ({ claim_token: world.idTokens.pop(), claim_token_format: 'http://openid.net/specs/openid-connect-core-1_0.html#IDToken' });

// need_info, then claims, then an RPT; it introspects, it is refreshed with rotation
const viewer = await discover('viewer', 'viewer-secret');
const asked = await refused(client.genericGrantRequest(viewer, UMA, { ticket: await ticketFor('view') }));
assert.equal(asked.error, 'need_info');
assert.equal(asked.required_claims[0].name, 'email');
const granted = await client.genericGrantRequest(viewer, UMA, { ticket: asked.ticket, ...claim() });
assert.equal(granted.token_type, 'bearer');
const introspect = (token) => fetch(metadata.introspection_endpoint, { method: 'POST', headers: { authorization: `Bearer ${pat}` }, body: new URLSearchParams({ token }) }).then((a) => a.json());
assert.deepEqual((await introspect(granted.access_token)).permissions, [{ resource_id: album, resource_scopes: ['view'] }]);
const again = await client.refreshTokenGrant(viewer, granted.refresh_token);
assert.notEqual(again.refresh_token, granted.refresh_token);
await client.refreshTokenGrant(viewer, again.refresh_token);
assert.equal((await refused(client.refreshTokenGrant(viewer, granted.refresh_token))).error, 'invalid_grant');

// request_submitted, the owner approves, the poll succeeds
let submitted = await refused(client.genericGrantRequest(viewer, UMA, { ticket: await ticketFor('edit'), ...claim() }));
assert.equal(submitted.error, 'request_submitted');
const [request] = await api(manager, pmt, 'GET', metadata.access_requests_endpoint);
await api(manager, pmt, 'POST', `${metadata.access_requests_endpoint}/${request._id}`, { decision: 'approve' });
await new Promise((done) => setTimeout(done, submitted.interval * 1000 + 100));
const approved = await client.genericGrantRequest(viewer, UMA, { ticket: submitted.ticket });
assert.equal((await introspect(approved.access_token)).active, true);
await client.tokenRevocation(viewer, approved.access_token);
assert.equal((await introspect(approved.access_token)).active, false);

// DPoP: a bound RPT
const keys = await client.randomDPoPKeyPair('ES256');
const DPoP = client.getDPoPHandle(viewer, keys);
const bound = await client.genericGrantRequest(viewer, UMA, { ticket: await ticketFor('view'), ...claim() }, { DPoP });
assert.equal(bound.token_type, 'dpop');
assert.equal((await introspect(bound.access_token)).cnf.jkt, await DPoP.calculateThumbprint());

// code flow with PAR, PKCE and DPoP; the ID token is checked by the library
const verifier = client.randomPKCECodeVerifier();
const parameters = {
  redirect_uri: world.callback, scope: 'openid profile email', state: client.randomState(), nonce: client.randomNonce(),
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
};
const web = await discover('web', 'web-secret');
const handle = client.getDPoPHandle(web, keys);
const url = await client.buildAuthorizationUrlWithPAR(web, parameters, { DPoP: handle });
const back = await new Person().authorize(url.href, 'alice', 'alice-password', world.callback);
const checks = { pkceCodeVerifier: verifier, expectedState: parameters.state, expectedNonce: parameters.nonce };
const tokens = await client.authorizationCodeGrant(web, back, checks, undefined, { DPoP: handle });
assert.equal(tokens.claims().preferred_username, 'alice');
const info = await client.fetchUserInfo(web, tokens.access_token, tokens.claims().sub, { DPoP: handle });
assert.equal(info.email, 'alice@foo.example');

// dynamic registration
const made = await client.dynamicClientRegistration(new URL(world.issuer), { client_name: 'Stranger', redirect_uris: [world.callback] }, undefined, insecure);
assert.ok(made.clientMetadata().client_id);
console.log('openid-client: all of it works');
