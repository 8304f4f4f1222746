// Somebody else's OpenID provider (oidc-provider of npm, unmodified): it logs owners in for a gateway that federates,
// and gives them management tokens for it. Says `ready:` when it listens, and runs until it is ended.
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
      redirect_uris: ["http://127.0.0.1:9003/callback"],
      grant_types: ["authorization_code"],
      response_types: ["code"],
      id_token_signed_response_alg: "ES256",
      scope: "openid uma_management",
    },
  ],
  scopes: ["openid", "uma_management"],
  pkce: { required: () => true },
  features: {
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: true,
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
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: (_, token) => ({ preferred_username: token.accountId }),
});
provider.listen(world.port, "127.0.0.1", () => console.log(`ready: ${world.issuer}`));
