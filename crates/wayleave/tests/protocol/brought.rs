//! What an application brought in an owner's name ends with her consent (decision 0061): who is told of those that ask her, and
//! keys that sign as her.

use crate::authority::{Signer, photo};
use crate::oauth::{Browser, CHALLENGE, VERIFIER};
use crate::world::{Answer, ISSUER, World, form};
use authorization_server::credential::Registered;
use identity::Failure;
use identity::access_token::PolicyToken;
use jose::dpop::{Request, prove};
use jose::{Algorithm, Clock, SigningKey};
use serde_json::{Value, json};
use std::cell::Cell;
use types::ErrorCode;

const CALLBACK: &str = "https://helper.example/callback";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");

/// An application that nobody declared, let in by Alice to decide for her.
struct Helper<'w> {
    world: &'w World,
    client: String,
    registration: Answer,
    key: SigningKey,
    token: String,
    serial: Cell<u32>,
}

impl<'w> Helper<'w> {
    async fn let_in(world: &'w World, alice: &Browser<'w>) -> Self {
        let metadata = json!({
            "client_name": "Helper", "redirect_uris": [CALLBACK], "scope": "uma_policy",
            "token_endpoint_auth_method": "none", "dpop_bound_access_tokens": true,
        });
        let registration = world.send("POST", "/register", &[JSON], metadata.to_string()).await;
        let client = registration.ok(201).get("client_id").to_owned();
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let mut helper = Self { world, client, registration, key, token: String::new(), serial: Cell::default() };
        helper.token = helper.come_in(alice).await;
        helper
    }

    async fn come_in(&self, alice: &Browser<'_>) -> String {
        let asked = form(&[
            ("response_type", "code"),
            ("client_id", &self.client),
            ("redirect_uri", CALLBACK),
            ("scope", "uma_policy"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        let page = alice.open(&format!("/authorize?{asked}")).await;
        let agreed = [("decision", "approve"), ("password", "alice-password")];
        let back = alice.submit(&page, "/authorize/decision", &agreed).await;
        let code = back.location().1.into_iter().find(|(name, _)| name == "code").unwrap().1;
        let proof = self.proof("POST", "/token", None);
        let fields: [(&str, &str); 5] = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
            ("client_id", &self.client),
        ];
        let made = self.world.send("POST", "/token", &[FORM, ("dpop", &proof)], form(&fields)).await;
        made.ok(200).get("access_token").to_owned()
    }

    fn proof(&self, method: &str, path: &str, token: Option<&str>) -> String {
        self.serial.set(self.serial.get() + 1);
        let url = format!("{ISSUER}{path}");
        let id = format!("{}{}", self.client, self.serial.get());
        prove(&self.key, &Request { method, url: &url, access_token: token }, id, self.world.clock.now(), None).unwrap()
    }

    async fn send(&self, method: &str, path: &str, media: &str, body: String) -> Answer {
        let (bound, proof) = (format!("DPoP {}", self.token), self.proof(method, path, Some(&self.token)));
        let headers = [("authorization", &*bound), ("dpop", &*proof), ("content-type", media)];
        self.world.send(method, path, &headers, body).await
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send(method, path, JSON.1, body.to_string()).await
    }

    async fn link(&self) {
        let body = json!({"issuer": "https://helper.example", "sub": "x", "notification_endpoint": "https://helper.example/n",
            "policy_interaction_endpoint": "https://helper.example/decide"});
        self.call("POST", "/uma/linked-managers", body).await.ok(201);
    }

    /// A key of its own, as hers.
    async fn bring_key(&self) -> Signer {
        let own = Signer::new(Algorithm::EdDsa);
        let mut body = json!({"cred_type": "did", "cred_value": {"id": own.did}});
        let asked = self.call("POST", "/uma/credentials", body.clone()).await;
        let nonce = asked.refused(400, "invalid_proof").get("challenge").to_owned();
        let claims = json!({"aud": ISSUER, "nonce": nonce, "iat": self.world.now()});
        body["proof"] = json!(own.key.sign_as("credential-proof+jwt", &own.did, &claims).unwrap());
        self.call("POST", "/uma/credentials", body).await.ok(201);
        own
    }

    async fn post_token(&self, token: String) -> Answer {
        self.send("POST", "/uma/policies", "application/rot+jwt", token).await
    }
}

/// The form that withdraws it.
async fn withdraw(alice: &Browser<'_>, fields: &[(&str, &str)]) -> Answer {
    let page = alice.open("/applications").await;
    // the operator's desk stands there, too
    let (_, helpers) = page.text.split_once("<strong>“Helper”</strong>").unwrap();
    let (_, rest) = helpers.split_once("action=\"/applications/").unwrap();
    let path = format!("/applications/{}", rest.split('"').next().unwrap());
    assert!(path.ends_with("/withdraw"), "{path}");
    alice.submit(&page, &path, fields).await.ok(303);
    page
}

async fn managers(world: &World) -> usize {
    let pmt = world.access("manager").await;
    let listed = world.call("GET", "/uma/linked-managers", &pmt, Value::Null).await.ok(200).json.as_array().unwrap().len();
    let alice = world.app.identity.store.find_account_by_username("alice").await.unwrap().unwrap();
    let told = world.app.authorization_server.standing_managers(&alice.id).await.unwrap().len();
    assert_eq!(listed, told, "the list says who is told");
    told
}

async fn events(world: &World) -> String {
    let pmt = world.access("manager").await;
    world.call("GET", "/uma/events", &pmt, Value::Null).await.text
}

#[tokio::test]
async fn threat_31_an_application_that_was_withdrawn_is_told_nothing_more() {
    for world in World::each().await {
        let alice = Browser::new(&world);
        alice.log_in("alice").await;
        let helper = Helper::let_in(&world, &alice).await;
        helper.link().await;
        assert_eq!(managers(&world).await, 1);
        let page = withdraw(&alice, &[]).await;
        assert!(page.text.contains("is told who asks you"), "{}", page.text);
        assert_eq!(managers(&world).await, 0, "{}", world.engine);
        let ended = events(&world).await;
        assert!(ended.contains("manager.unlinked") && ended.contains("https://helper.example"), "{ended}");
        // what she lets in again is told when it links again, and not before
        let again = Helper { token: helper.come_in(&alice).await, ..helper };
        assert_eq!(managers(&world).await, 0);
        again.link().await;
        assert_eq!(managers(&world).await, 1);
        // one that leaves by itself is told no more either
        let own = format!("Bearer {}", again.registration.get("registration_access_token"));
        let path = format!("/register/{}", again.client);
        world.send("DELETE", &path, &[("authorization", &own)], "").await.ok(204);
        assert_eq!(managers(&world).await, 0);
    }
}

#[tokio::test]
async fn keys_that_an_application_brought_end_with_it_and_what_they_signed() {
    for world in World::each().await {
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        let photo = photo(&world, &pat).await;
        let alice = Browser::new(&world);
        alice.log_in("alice").await;
        let helper = Helper::let_in(&world, &alice).await;
        let (own, declared) = (helper.bring_key().await, Signer::new(Algorithm::EdDsa));
        declared.register(&world, &pmt).await;
        helper.post_token(own.token(&world, "t1", json!({}))).await.ok(201);
        let ticket = world.ticket(&pat, &photo, "view").await;
        let rpt = world.trade_as_bob("viewer", &ticket, &[]).await.ok(200).get("access_token").to_owned();
        let page = withdraw(&alice, &[]).await;
        assert!(page.text.contains(&own.did) && page.text.contains("Brought by “Helper”"), "{}", page.text);
        assert_eq!(world.introspect(&pat, &rpt).await, json!({"active": false}), "{}", world.engine);
        let left = world.call("GET", "/uma/credentials", &pmt, Value::Null).await.text;
        assert!(!left.contains(&own.did) && left.contains(&declared.did), "the operator's desk brought the other: {left}");
        let listed = world.call("GET", "/uma/policies", &pmt, Value::Null).await;
        assert_eq!(listed.ok(200).json, json!([]), "what it signed is gone");
        assert!(events(&world).await.contains("credential.withdrawn"));
        // what she keeps stays, and ends on her page
        let helper = Helper { token: helper.come_in(&alice).await, ..helper };
        let kept = helper.bring_key().await;
        withdraw(&alice, &[("keep_keys", "yes")]).await;
        let credentials = world.call("GET", "/uma/credentials", &pmt, Value::Null).await;
        let all = credentials.ok(200).json.as_array().unwrap().clone();
        let hers = all.iter().find(|one| one["cred_value"]["id"] == json!(kept.did)).unwrap()["_id"].as_str().unwrap();
        let page = alice.open("/applications").await;
        alice.submit(&page, &format!("/applications/keys/{hers}/remove"), &[]).await.ok(303);
        let left = world.call("GET", "/uma/credentials", &pmt, Value::Null).await.text;
        assert!(!left.contains(&kept.did) && left.contains(&declared.did), "{left}");
    }
}

/// What an application has under way while its owner ends it does not land behind the end.
#[tokio::test]
async fn nothing_that_an_application_writes_lands_behind_its_end() {
    for world in World::each().await {
        let account = world.app.identity.find_account_by_username("alice").await.unwrap().unwrap();
        let gone = PolicyToken { client: "helper".into(), owner: account.id, grant: Some(types::GrantId::new("gone")) };
        let server = &world.app.authorization_server;
        let document = json!({"delegate": {"email": "carol@foo.example"}, "resources": "all", "resource_scopes": ["view"],
            "may": ["share"]});
        let refused = server.create_delegation(&gone, serde_json::from_value(document).unwrap()).await;
        assert!(matches!(refused, Err(Failure::Refused(refusal)) if refusal.code == ErrorCode::InvalidToken));
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        let policy = json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": []});
        let policy = serde_json::from_value(policy).unwrap();
        let acting = authorization_server::acting::Acting::of(&gone);
        let refused = server.create_policy(&acting, policy).await;
        assert!(matches!(refused, Err(Failure::Refused(refusal)) if refusal.code == ErrorCode::InvalidToken));
    }
}

/// A key whose registration waited, for the application's own host or for its turn, does not land behind the withdrawal.
#[tokio::test]
async fn no_key_lands_behind_the_end_of_the_application_that_brings_it() {
    for world in World::each().await {
        let (server, pmt) = (&world.app.authorization_server, world.access("manager").await);
        let alice = Browser::new(&world);
        alice.log_in("alice").await;
        let helper = Helper::let_in(&world, &alice).await;
        let owner = world.app.identity.find_account_by_username("alice").await.unwrap().unwrap().id;
        let consents = world.app.identity.store.list_consents(&owner).await.unwrap();
        let grant = consents.iter().find(|consent| consent.client.as_str() == helper.client).unwrap().id.clone();
        // as its token was understood before the wait
        let token = PolicyToken { client: helper.client.as_str().into(), owner, grant: Some(grant) };
        let own = Signer::new(Algorithm::EdDsa);
        let body = json!({"cred_type": "did", "cred_value": {"id": own.did}});
        let Ok(Registered::Challenge(asked)) =
            server.register_credential(&token, serde_json::from_value(body.clone()).unwrap()).await
        else {
            panic!("a challenge comes first")
        };
        let claims = json!({"aud": ISSUER, "nonce": asked.challenge, "iat": world.now()});
        let mut proven = body;
        proven["proof"] = json!(own.key.sign_as("credential-proof+jwt", &own.did, &claims).unwrap());
        withdraw(&alice, &[]).await;
        let refused = server.register_credential(&token, serde_json::from_value(proven).unwrap()).await;
        assert!(matches!(refused, Err(Failure::Refused(refusal)) if refusal.code == ErrorCode::InvalidToken), "{}", world.engine);
        assert!(!world.call("GET", "/uma/credentials", &pmt, Value::Null).await.text.contains(&own.did), "{}", world.engine);
    }
}
