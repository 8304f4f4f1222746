//! Every place that reads a signed token takes the kinds that are meant for it, and no other, however well they are signed
//! (RFC 8725 3.11, rule 7): a table of all kinds of ours and of others against each place.

use crate::authority::Signer;
use crate::interaction::get;
use crate::oauth::{Browser, CHALLENGE, tokens};
use crate::world::{Answer, ISSUER, UMA, World, form};
use jose::{Algorithm, SigningKey, UnverifiedJws};
use serde_json::{Value, json};
use std::sync::Arc;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Those of ours, and of standards that others follow.
const KINDS: [&str; 24] = [
    "JWT",
    "at+jwt",
    "dpop+jwt",
    "rot+jwt",
    "delegation+jwt",
    "credential-proof+jwt",
    "event-head+jwt",
    "consent-receipt+jwt",
    "access-request+jwt",
    "policy-request+jwt",
    "discovery+jwt",
    "pat-assertion+jwt",
    "initial-access+jwt",
    "client-authentication+jwt",
    "identity-claims+jwt",
    "logout+jwt",
    "secevent+jwt",
    "oauth-authz-req+jwt",
    "token-introspection+jwt",
    "openid4vci-proof+jwt",
    "dc+sd-jwt",
    "JOSE",
    "jwt+x",
    "",
];

/// What a token says, whoever signed it.
fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&jose::base64url::decode(payload).unwrap()).unwrap()
}

/// The kinds that a place took.
async fn taken(mut ask: impl AsyncFnMut(&'static str) -> bool) -> Vec<&'static str> {
    let mut taken = Vec::new();
    for kind in KINDS {
        if ask(kind).await {
            taken.push(kind);
        }
    }
    taken
}

/// A token of a trusted issuer that says what has happened says of nobody who calls (OpenID Connect Back-Channel Logout 2.4).
#[tokio::test]
async fn a_token_of_events_is_no_claim_token() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    for (more, status) in [
        (json!({}), 200),
        (json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}), 403),
        (json!({"events": {}}), 403),
    ] {
        let ticket = world.ticket(&pat, &album, "view").await;
        let token = world.id_token("viewer", more.clone());
        let claim = [("claim_token", token.as_str()), ("claim_token_format", crate::world::ID_TOKEN)];
        assert_eq!(world.trade("viewer", &ticket, &claim).await.status, status, "{more}");
    }
}

/// The key by which the server signs.
fn own_key(world: &World, algorithm: Algorithm) -> Arc<SigningKey> {
    world.app.identity.keys.signing_key(algorithm, types::Timestamp(world.now())).unwrap()
}

#[tokio::test]
async fn rule_7_a_hint_is_an_id_token() {
    let world = World::one().await;
    let browser = Browser::new(&world);
    browser.log_in("alice").await;
    let claims = claims_of(tokens(&browser).await.ok(200).get("id_token"));
    let key = own_key(&world, Algorithm::Es256);
    let good = taken(async |kind| {
        let hint = key.sign(kind, &claims).unwrap();
        let fields = [
            ("response_type", "code"),
            ("client_id", "photos-rs"),
            ("redirect_uri", "http://127.0.0.1:9000/callback"),
            ("scope", "openid profile uma_protection"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("prompt", "none"),
            ("id_token_hint", &*hint),
        ];
        let back = browser.open(&format!("/authorize?{}", form(&fields))).await.location().1;
        match (get(&back, "code"), get(&back, "error").as_deref()) {
            (Some(_), _) => true,
            (None, Some("invalid_request")) => false,
            (_, other) => panic!("{other:?}"),
        }
    });
    assert_eq!(good.await, ["JWT"]);
    // at the end of a session a hint that is none proves nothing, and she is asked
    let good = taken(async |kind| {
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let hint = key.sign(kind, &claims).unwrap();
        browser.open(&format!("/logout?{}", form(&[("id_token_hint", &hint)]))).await.status == 303
    });
    assert_eq!(good.await, ["JWT"]);
}

#[tokio::test]
async fn rule_7_a_claim_token_has_no_kind_of_its_own() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let good = taken(async |kind| {
        let claims = claims_of(&world.id_token("viewer", json!({})));
        let token = world.idp.sign(kind, &claims).unwrap();
        let ticket = world.ticket(&pat, &album, "view").await;
        let fields = [("claim_token", &*token), ("claim_token_format", crate::world::ID_TOKEN)];
        world.trade("viewer", &ticket, &fields).await.status == 200
    });
    assert_eq!(good.await, ["JWT"]);
}

async fn register(world: &World, metadata: Value, headers: &[(&str, &str)]) -> Answer {
    world.send("POST", "/register", &[&[JSON], headers].concat(), metadata.to_string()).await
}

#[tokio::test]
async fn rule_7_a_client_proves_itself_by_an_assertion_and_a_key_by_its_proof() {
    let world = World::one().await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let keys = json!({"keys": [key.public().to_jwk()]});
    let metadata = json!({"grant_types": ["client_credentials"], "token_endpoint_auth_method": "private_key_jwt", "jwks": keys});
    let made = register(&world, metadata, &[]).await;
    let id = made.ok(201).get("client_id");
    let mut serial = 0;
    let mut assertion = |kind: &str| {
        serial += 1;
        let jti = serial.to_string();
        let claims = json!({"iss": id, "sub": id, "aud": ISSUER, "exp": world.now() + 60, "iat": world.now(), "jti": jti,
            "htm": "POST", "htu": format!("{ISSUER}/token")});
        key.sign(kind, &claims).unwrap()
    };
    let good = taken(async |kind| {
        let assertion = assertion(kind);
        let fields =
            [("grant_type", "client_credentials"), ("client_assertion", &*assertion), ("client_assertion_type", ASSERTION)];
        world.send("POST", "/token", &[FORM], form(&fields)).await.status == 200
    });
    assert_eq!(good.await, ["JWT", "client-authentication+jwt"]);
    let good = taken(async |kind| {
        let signed = SigningKey::generate(Algorithm::Es256).unwrap();
        let request = jose::dpop::Request { method: "POST", url: "http://127.0.0.1:8080/token", access_token: None };
        let proof = jose::dpop::prove(&signed, &request, kind.into(), types::Timestamp(world.now()), None).unwrap();
        let claims = proof.split('.').nth(1).unwrap().to_owned();
        let header = json!({"typ": kind, "alg": "ES256", "jwk": signed.public().to_jwk()}).to_string();
        let proof = match kind {
            "dpop+jwt" => proof,
            _ => format!("{}.{claims}.{}", jose::base64url::encode(header), proof.split('.').nth(2).unwrap()),
        };
        let basic = crate::world::basic("viewer", "viewer-secret");
        let headers = [FORM, ("authorization", &*basic), ("dpop", &proof)];
        let answer = world.send("POST", "/token", &headers, form(&[("grant_type", UMA), ("ticket", "x")])).await;
        answer.get("error") == "invalid_grant"
    });
    assert_eq!(good.await, ["dpop+jwt"]);
}

#[tokio::test]
async fn rule_7_what_comes_with_a_registration_has_its_own_kind() {
    let vendor =
        "[[trusted_issuer]]\nissuer = \"https://vendor.example\"\njwks_file = \"idp.json\"\nsoftware_statements = true\n";
    let world = World::on("memory", vendor).await;
    let good = taken(async |kind| {
        let statement = world.idp.sign(kind, &json!({"iss": "https://vendor.example", "software_id": "1"})).unwrap();
        register(&world, json!({"grant_types": [UMA], "software_statement": statement}), &[]).await.status == 201
    });
    assert_eq!(good.await, ["JWT"]);
    let own = own_key(&world, Algorithm::EdDsa);
    let good = taken(async |kind| {
        let invited = world.app.identity.initial_access_token("bar.example").unwrap();
        let bearer = format!("Bearer {}", own.sign(kind, &claims_of(&invited)).unwrap());
        register(&world, json!({"grant_types": [UMA]}), &[("authorization", &bearer)]).await.status == 201
    });
    assert_eq!(good.await, ["initial-access+jwt"]);
}

#[tokio::test]
async fn rule_7_only_an_access_token_is_told_of() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let rpt = world.bobs_rpt("jwt-viewer", &pat, &album).await.get("access_token").to_owned();
    let (claims, own) = (claims_of(&rpt), own_key(&world, Algorithm::EdDsa));
    assert_eq!(UnverifiedJws::parse(&rpt).unwrap().header().typ.as_deref(), Some("at+jwt"));
    let good = taken(async |kind| world.introspect(&pat, &own.sign(kind, &claims).unwrap()).await["active"] == true);
    assert_eq!(good.await, ["at+jwt"]);
    // an assertion by which a searched resource server gets a PAT is one of its kind
    let good = taken(async |kind| {
        let claims = json!({"iss": ISSUER, "aud": format!("{ISSUER}/token"), "client_id": "photos-rs", "sub": "x", "search": "x",
            "jti": kind, "exp": world.now() + 60});
        let assertion = own.sign(kind, &claims).unwrap();
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        world.token("photos-rs", &[("grant_type", grant), ("assertion", &assertion)]).await.get("error") != "invalid_grant"
    });
    assert_eq!(good.await, [""; 0]);
}

#[tokio::test]
async fn rule_7_what_an_owner_signs_is_taken_for_what_it_is() {
    let world = World::one().await;
    let (pat, pmt, alice) = (world.pat().await, world.access("manager").await, Signer::new(Algorithm::EdDsa));
    crate::authority::photo(&world, &pat).await;
    let asked = json!({"cred_type": "did", "cred_value": {"id": alice.did}});
    let good = taken(async |kind| {
        let challenge = world.call("POST", "/uma/credentials", &pmt, asked.clone()).await.get("challenge").to_owned();
        let claims = json!({"aud": ISSUER, "nonce": challenge, "iat": world.now()});
        let mut body = asked.clone();
        body["proof"] = json!(alice.key.sign_as(kind, &alice.did, &claims).unwrap());
        let made = world.call("POST", "/uma/credentials", &pmt, body).await;
        if made.status == 201 {
            world.call("DELETE", &format!("/uma/credentials/{}", made.get("_id")), &pmt, Value::Null).await.ok(204);
        }
        made.status == 201
    });
    assert_eq!(good.await, ["credential-proof+jwt"]);
    alice.register(&world, &pmt).await;
    let post = async |path: &str, media: &str, text: &str| {
        let bearer = format!("Bearer {pmt}");
        world.send("POST", path, &[("authorization", &*bearer), ("content-type", media)], text).await.status == 201
    };
    let good = taken(async |kind| {
        let claims = claims_of(&alice.token(&world, &format!("rot-{}", kind.replace('+', "-")), json!({})));
        post("/uma/policies", "application/rot+jwt", &alice.key.sign_as(kind, &alice.did, &claims).unwrap()).await
    });
    assert_eq!(good.await, ["rot+jwt"]);
    let good = taken(async |kind| {
        let claims = json!({"iss": alice.did, "sub": Signer::new(Algorithm::EdDsa).did, "aud": [crate::authority::RS, ISSUER],
            "jti": format!("delegation-{}", kind.replace('+', "-")), "iat": world.now(), "exp": world.now() + 60, "resources": "all",
            "resource_scopes": ["view"], "may": ["share"]});
        let text = alice.key.sign_as(kind, &alice.did, &claims).unwrap();
        post("/uma/delegations", "application/delegation+jwt", &text).await
    });
    assert_eq!(good.await, ["delegation+jwt"]);
}
