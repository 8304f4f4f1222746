// Somebody else's OpenID provider (oidc-provider of npm, unmodified): it logs owners in for a gateway that federates,
// and gives them management tokens for it; people for servers and desks that let them log in there. Says `ready:` when it listens, and runs until it is ended.
import { generateKeyPairSync } from "node:crypto";
import { Provider } from "oidc-provider";

const world = JSON.parse(process.env.WORLD);
const gateway = world.gateway;
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const key = { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "ES256", kid: "one" };

const provider = new Provider(world.issuer, {
  clients: [
    {
      client_id: "desk",
      client_secret: "desk-secret-of-some-length",
      redirect_uris: ["http://127.0.0.1:9003/callback", ...(world.redirect_uris ?? [])],
      grant_types: ["authorization_code"],
      response_types: ["code"],
      id_token_signed_response_alg: "ES256",
      scope: "openid profile email uma_management",
    },
  ],
  scopes: ["openid", "profile", "email", "uma_management"],
  // told at userinfo alone, as the standard has it
  claims: { openid: ["sub"], profile: ["name", "preferred_username"], email: ["email", "email_verified"] },
  pkce: { required: () => true },
  features: {
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: Boolean(gateway),
      defaultResource: () => gateway,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: "uma_management",
        audience: gateway,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "ES256" } },
      }),
    },
  },
  jwks: { keys: [key] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: `${id} elsewhere`, preferred_username: id, email: `${id}@foo.example`, email_verified: true }) }),
  extraTokenClaims: (_, token) => ({ preferred_username: token.accountId }),
});
provider.listen(world.port, "127.0.0.1", () => console.log(`ready: ${world.issuer}`));
