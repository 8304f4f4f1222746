"""PyPI authlib, unmodified, against `wayleave server`: registration, code with PKCE, the UMA grant,
introspection. WORLD: {issuer, idTokens, callback}."""

import html
import json
import os
import re
from urllib.parse import urljoin

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.common.security import generate_token
from joserfc import jwt
from joserfc.jwk import KeySet

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
world = json.loads(os.environ["WORLD"])
UMA = "urn:ietf:params:oauth:grant-type:uma-ticket"
metadata = requests.get(world["issuer"] + "/.well-known/uma2-configuration").json()


def submit(session, page, action, **fields):
    form = next(f for f in page.text.split("<form ")[1:] if action in f).split("</form>")[0]
    target = html.unescape(re.search(r'action="([^"]*)"', form).group(1))
    hidden = {html.unescape(n): html.unescape(v) for n, v in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)}
    return session.post(urljoin(page.url, target), data={**hidden, **fields}, allow_redirects=False)


def follow(session, answer):
    while answer.is_redirect:
        url = urljoin(answer.url, answer.headers["location"])
        if url.startswith(world["callback"]):
            return url
        answer = session.get(url, allow_redirects=False)
    return answer


# registration
registered = requests.post(metadata["registration_endpoint"], json={
    "client_name": "Authlib", "redirect_uris": [world["callback"]], "grant_types": ["authorization_code", "refresh_token"],
    "token_endpoint_auth_method": "client_secret_post",
})
assert registered.status_code == 201, registered.text
registered = registered.json()

# code with PKCE, as the client that was just registered
session = OAuth2Session(registered["client_id"], registered["client_secret"], scope="openid email", redirect_uri=world["callback"],
                        code_challenge_method="S256", token_endpoint_auth_method="client_secret_post")
verifier = generate_token(48)
url, state = session.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier, nonce="n")
browser = requests.Session()
page = follow(browser, browser.get(url, allow_redirects=False))
page = follow(browser, submit(browser, page, "/login", username="alice", password="alice-password"))
assert "does not know this application" in page.text, page.text
back = follow(browser, submit(browser, page, "/authorize/decision", decision="approve"))
token = session.fetch_token(metadata["token_endpoint"], authorization_response=back, state=state, code_verifier=verifier)
keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"]).json())
claims = jwt.decode(token["id_token"], keys, algorithms=["ES256", "EdDSA", "RS256"]).claims
assert claims["email"] == "alice@foo.example" and claims["nonce"] == "n", claims
token = session.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])
assert session.get(metadata["userinfo_endpoint"]).json()["email_verified"] is True


# PAT and PMT by client credentials; a resource, a policy, a ticket
def access(client_id, secret, scope):
    made = OAuth2Session(client_id, secret, scope=scope)
    made.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    return made


rs = access("photos-rs", "photos-secret", "uma_protection")
manager = access("manager", "manager-secret", "uma_policy")
album = rs.post(metadata["resource_registration_endpoint"], json={"resource_scopes": ["view"]}).json()["_id"]
policy = {"resource_id": album, "resource_scopes": ["view"], "required_claims": [{"name": "email", "value": ["bob@bar.example"]}]}
assert manager.post(metadata["policy_endpoint"], json=policy).status_code == 201
ticket = rs.post(metadata["permission_endpoint"], json={"resource_id": album, "resource_scopes": ["view"]}).json()["ticket"]

# the UMA grant, and introspection by PAT
viewer = OAuth2Session("viewer", "viewer-secret")
rpt = viewer.fetch_token(metadata["token_endpoint"], grant_type=UMA, ticket=ticket, claim_token=world["idTokens"].pop(),
                         claim_token_format="http://openid.net/specs/openid-connect-core-1_0.html#IDToken")
seen = rs.post(metadata["introspection_endpoint"], data={"token": rpt["access_token"]}).json()
assert seen["active"] and seen["permissions"][0]["resource_id"] == album, seen
# and plain RFC 7662 introspection by client credentials: an RPT is not told there
plain = OAuth2Session("photos-rs", "photos-secret").introspect_token(metadata["introspection_endpoint"], token=rpt["access_token"])
assert plain.json() == {"active": False}, plain.text
print("authlib: all of it works")
