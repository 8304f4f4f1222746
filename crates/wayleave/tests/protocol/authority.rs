//! Resource owner credentials and tokens at the authorization server (protocol.md 3).

use crate::world::{Answer, ISSUER, World, scopes_of};
use jose::{Algorithm, SigningKey, did};
use serde_json::{Value, json};

pub(crate) const RS: &str = "http://127.0.0.1:9000";
const CREDENTIALS: &str = "/uma/credentials";

/// An owner with a key of her own.
pub(crate) struct Signer {
    pub(crate) key: SigningKey,
    pub(crate) did: String,
}

impl Signer {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let key = SigningKey::generate(algorithm).unwrap();
        let did = did::of_key(key.public());
        Self { key, did }
    }

    fn credential(&self) -> Value {
        json!({"cred_type": "did", "cred_value": {"id": self.did}})
    }

    /// Registers the credential; its id.
    pub(crate) async fn register(&self, world: &World, pmt: &str) -> String {
        let asked = world.call("POST", CREDENTIALS, pmt, self.credential()).await;
        let claims = json!({"aud": ISSUER, "nonce": asked.refused(400, "invalid_proof").get("challenge"), "iat": world.now()});
        self.prove(world, pmt, &claims).await.ok(201).get("_id").to_owned()
    }

    async fn prove(&self, world: &World, pmt: &str, claims: &Value) -> Answer {
        let mut body = self.credential();
        body["proof"] = json!(self.key.sign_as("credential-proof+jwt", &self.did, claims).unwrap());
        world.call("POST", CREDENTIALS, pmt, body).await
    }

    /// A token for Bob on `photo`, with changes.
    pub(crate) fn token(&self, world: &World, jti: &str, changes: Value) -> String {
        let mut claims = json!({
            "jti": jti, "iss": self.did, "aud": [RS, ISSUER], "iat": world.now(), "exp": world.now() + 86_400,
            "resource_owner_id": self.did,
            "resources": [{"resource_server": RS, "resource_id": "photo", "allowed_scopes": ["view", "print"]}],
            "allowed_rqp": {"claims": {"email": "Bob@BAR.example"}},
        });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.key.sign_as("rot+jwt", &self.did, &claims).unwrap()
    }
}

pub(crate) async fn post(world: &World, pmt: &str, token: &str) -> Answer {
    let bearer = format!("Bearer {pmt}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/rot+jwt")];
    world.send("POST", "/uma/policies", &headers, token).await
}

/// Registers Alice's `photo`.
pub(crate) async fn photo(world: &World, pat: &str) -> String {
    let description = json!({"resource_scopes": ["view", "edit", "print"], "_resource_id": "photo"});
    world.call("POST", "/uma/resources", pat, description).await.ok(201).get("_id").to_owned()
}

#[tokio::test]
async fn a_credential_is_registered_by_who_has_its_key_and_withdrawn() {
    for world in World::each().await {
        let (pmt, carols) = (world.access("manager").await, world.access("carols-manager").await);
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
            let alice = Signer::new(algorithm);
            let asked = world.call("POST", CREDENTIALS, &pmt, alice.credential()).await;
            let challenge = asked.refused(400, "invalid_proof").get("challenge").to_owned();
            assert_eq!(asked.json["expires_in"], 300);
            let good = json!({"aud": ISSUER, "nonce": challenge, "iat": world.now()});
            for (name, wrong) in [("aud", json!("https://rs.example")), ("nonce", json!("x")), ("iat", json!(1))] {
                let mut claims = good.clone();
                claims[name] = wrong;
                let again = alice.prove(&world, &pmt, &claims).await;
                assert_ne!(again.refused(400, "invalid_proof").get("challenge"), "", "{name}");
            }
            let thief = Signer { key: SigningKey::generate(algorithm).unwrap(), did: alice.did.clone() };
            thief.prove(&world, &pmt, &good).await.refused(400, "invalid_proof");
            alice.prove(&world, &carols, &good).await.refused(400, "invalid_proof");
            let id = alice.prove(&world, &pmt, &good).await.ok(201).get("_id").to_owned();
            alice.prove(&world, &pmt, &good).await.refused(409, "invalid_request");
            let path = format!("{CREDENTIALS}/{id}");
            assert_eq!(world.call("GET", &path, &pmt, Value::Null).await.ok(200).json["cred_value"]["id"], json!(alice.did));
            world.call("GET", &path, &carols, Value::Null).await.refused(404, "not_found");
            world.call("DELETE", &path, &carols, Value::Null).await.refused(404, "not_found");
            world.call("DELETE", &path, &pmt, Value::Null).await.ok(204);
            assert_eq!(world.call("GET", CREDENTIALS, &pmt, Value::Null).await.ok(200).json, json!([]));
        }
        for bad in [
            json!({"cred_type": "did", "cred_value": {"id": "did:key:zzz"}}),
            json!({"cred_type": "did", "cred_value": {"id": "did:web:127.0.0.1"}}),
            json!({"cred_type": "did", "cred_value": {}}),
            json!({"cred_type": "client", "cred_value": {"client_id": "c", "client_secret": "s"}}),
            json!({"cred_type": "client", "cred_value": {"client_id": "c"}}),
            json!({"cred_type": "client", "cred_value": {"client_id": "c", "jwks_uri": "http://169.254.169.254/"}}),
        ] {
            assert!((400..=401).contains(&world.call("POST", CREDENTIALS, &pmt, bad.clone()).await.status), "{bad}");
        }
    }
}

#[tokio::test]
async fn an_owner_signs_a_share_before_anything_is_registered_and_bob_gets_in() {
    for world in World::each().await {
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        let alice = Signer::new(Algorithm::EdDsa);
        alice.register(&world, &pmt).await;
        let token = alice.token(&world, "p1", json!({}));
        let made = post(&world, &pmt, &token).await;
        assert_eq!((made.ok(201).get("_id"), made.get("state"), made.get("authority")), ("p1", "waiting", &*token));
        post(&world, &pmt, &token).await.refused(409, "invalid_request");
        let photo = photo(&world, &pat).await;
        let ticket = world.ticket(&pat, &photo, "view edit").await;
        let rpt = world.trade_as_bob("viewer", &ticket, &[]).await.ok(200).get("access_token").to_owned();
        let seen = world.introspect(&pat, &rpt).await;
        assert_eq!(scopes_of(&seen), [format!("{photo} view")], "what was requested and signed, and nothing else");
        assert_eq!(seen["permissions"][0]["authority"], json!(token));
        assert_eq!(seen["permissions"].as_array().unwrap().len(), 1);
        // the JWT carries it too
        let ticket = world.ticket(&pat, &photo, "print").await;
        let jwt = world.trade_as_bob("jwt-viewer", &ticket, &[]).await.ok(200).get("access_token").to_owned();
        let claims: Value = serde_json::from_slice(&jose::base64url::decode(jwt.split('.').nth(1).unwrap()).unwrap()).unwrap();
        assert_eq!(claims["permissions"][0]["authority"], json!(token));
        // a plain share beside it gives a permission of its own
        world.share(&photo, "view", "bob@bar.example").await;
        let ticket = world.ticket(&pat, &photo, "view").await;
        let both = world.trade_as_bob("viewer", &ticket, &[]).await.ok(200).get("access_token").to_owned();
        let seen = world.introspect(&pat, &both).await;
        let authorities: Vec<_> = seen["permissions"].as_array().unwrap().iter().map(|p| p["authority"].clone()).collect();
        assert_eq!(authorities, [Value::Null, json!(token)]);
        // she withdraws what she signed: the plain share goes on
        world
            .call("PUT", "/uma/policies/p1", &pmt, json!({"resource_id": photo, "resource_scopes": ["edit"]}))
            .await
            .refused(400, "invalid_request");
        world.withdraw("p1").await;
        assert_eq!(world.introspect(&pat, &rpt).await, json!({"active": false}));
        assert_eq!(world.introspect(&pat, &both).await["permissions"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_token_counts_only_as_it_was_signed_and_for_whom() {
    let world = World::one().await;
    let pmt = world.access("manager").await;
    let (alice, stranger) = (Signer::new(Algorithm::EdDsa), Signer::new(Algorithm::EdDsa));
    alice.register(&world, &pmt).await;
    for (token, why) in [
        (stranger.token(&world, "a", json!({})), "a credential of nobody here"),
        (Signer { key: stranger.key, did: alice.did.clone() }.token(&world, "b", json!({})), "forged"),
        (alice.token(&world, "c", json!({"aud": [RS, "https://other.example"]})), "for another server"),
        (alice.token(&world, "d", json!({"exp": world.now(), "iat": 1})), "over"),
        (alice.token(&world, "e", json!({"allowed_rqp": null})), "nobody is named"),
        (alice.token(&world, "f", json!({"delegation": "x"})), "a delegate's"),
        (alice.token(&world, "g", json!({"padding": "x".repeat(5_000)})), "too long"),
        (alice.key.sign_as("at+jwt", &alice.did, &json!({})).unwrap(), "another type"),
        ("nonsense".to_owned(), "nonsense"),
    ] {
        assert_eq!(post(&world, &pmt, &token).await.status, 400, "{why}");
    }
    let inside = json!({"resource_id": "x", "resource_scopes": ["view"], "authority": "x"});
    world.call("POST", "/uma/policies", &pmt, inside).await.refused(400, "invalid_request");
}

/// What is demanded is demanded: an owner's setting, a key, a client.
#[tokio::test]
async fn only_what_she_signed_passes_if_she_wants_it_so() {
    for world in World::each_with("[assessment]\nno_policy = \"deny\"\n").await {
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        let photo = photo(&world, &pat).await;
        let alice = Signer::new(Algorithm::EdDsa);
        let credential = alice.register(&world, &pmt).await;
        world.share(&photo, "view", "bob@bar.example").await;
        let try_it = async |client: &str, scope: &str| {
            let ticket = world.ticket(&pat, &photo, scope).await;
            world.trade_as_bob(client, &ticket, &[]).await
        };
        try_it("viewer", "view").await.ok(200);
        let demand = json!({"require_resource_owner_token": true});
        world.call("PUT", "/uma/owner-settings", &pmt, demand).await.ok(200);
        try_it("viewer", "view").await.refused(403, "request_denied");
        // asked, she cannot approve what would not pass; and a share that she did not sign is no reason to ask her again
        world
            .call("PUT", "/uma/owner-settings", &pmt, json!({"require_resource_owner_token": true, "no_policy": "ask"}))
            .await
            .ok(200);
        try_it("viewer", "view").await.refused(403, "request_denied");
        // of what she has not thought yet, she is asked
        try_it("viewer", "print").await.refused(403, "request_submitted");
        let waiting =
            world.call("GET", "/uma/access-requests", &pmt, Value::Null).await.json[0]["_id"].as_str().unwrap().to_owned();
        let path = format!("/uma/access-requests/{waiting}");
        world.call("POST", &path, &pmt, json!({"decision": "approve"})).await.refused(400, "invalid_request");
        world.call("POST", &path, &pmt, json!({"decision": "deny"})).await.ok(200);
        world.call("PUT", "/uma/owner-settings", &pmt, json!({"require_resource_owner_token": true})).await.ok(200);
        let for_viewer = json!({"aud": [RS, ISSUER], "allowed_rqp": {"client_id": ["viewer"]}});
        post(&world, &pmt, &alice.token(&world, "for-viewer", for_viewer)).await.ok(201);
        try_it("printer", "view").await.refused(403, "request_denied");
        let rpt = try_it("viewer", "view").await.ok(200).get("access_token").to_owned();
        let bound = json!({"allowed_rqp": {"cnf": {"jkt": "a-key-that-nobody-proves"}}});
        post(&world, &pmt, &alice.token(&world, "bound", bound)).await.ok(201);
        try_it("printer", "print").await.refused(403, "request_denied");
        // her key is withdrawn, and all that it signed with it
        world.call("DELETE", &format!("{CREDENTIALS}/{credential}"), &pmt, Value::Null).await.ok(204);
        assert_eq!(world.introspect(&pat, &rpt).await, json!({"active": false}), "{}", world.engine);
        try_it("viewer", "view").await.refused(403, "request_denied");
        let events = world.call("GET", "/uma/events", &pmt, Value::Null).await.ok(200).text.clone();
        assert!(events.contains("credential.registered") && events.contains("credential.withdrawn"));
    }
}

/// Threat 24: Carol signs for Alice's photo. Her word is about her own resources alone.
#[tokio::test]
async fn threat_24_nobody_signs_for_somebody_elses_resource() {
    for world in World::each().await {
        let (pat, carols) = (world.pat().await, world.access("carols-manager").await);
        let photo = photo(&world, &pat).await;
        let carol = Signer::new(Algorithm::EdDsa);
        carol.register(&world, &carols).await;
        let several = json!({"allowed_rqp": {}, "resources": [
            {"resource_server": RS, "resource_id": "photo", "allowed_scopes": ["view"]},
            {"resource_server": RS, "resource_id": "other", "allowed_scopes": ["view"]},
        ]});
        let made = post(&world, &carols, &carol.token(&world, "mine", several)).await;
        assert_eq!(made.ok(201).get("state"), "waiting", "Carol has no such photo");
        let ticket = world.ticket(&pat, &photo, "view").await;
        world.trade_as_bob("viewer", &ticket, &[]).await.refused(403, "request_submitted");
        let mine = async || world.call("GET", "/uma/policies", &carols, Value::Null).await.ok(200).json.as_array().unwrap().len();
        assert_eq!(mine().await, 2);
        world.call("DELETE", "/uma/policies/mine", &carols, Value::Null).await.ok(204);
        assert_eq!(mine().await, 0, "{}: a token ends as a whole", world.engine);
    }
}

const ARCHIVE: &str = "[[client]]\nclient_id = \"archive\"\nclient_secret = \"archive-secret\"\nresource = \"https://archive.example\"\n\
    grant_types = [\"client_credentials\"]\nscope = \"uma_protection\"\n\
    [[client]]\nclient_id = \"nameless\"\nclient_secret = \"nameless-secret\"\ngrant_types = [\"client_credentials\"]\nscope = \"uma_protection\"\n";

/// A resource server that the operator does not know fills nobody's list with things that she never heard of.
#[tokio::test]
async fn threat_32_a_strangers_resource_server_speaks_of_what_was_signed_for_it_alone() {
    for world in World::each_with(ARCHIVE).await {
        let identity: &dyn identity::Store = &world.store;
        let known = identity.find_client(&"archive".into()).await.unwrap().unwrap();
        let stranger = identity::Client { declared: false, ..std::sync::Arc::unwrap_or_clone(known) };
        let writes = vec![identity::Write::PutClient(stranger)];
        world.store.commit_changes(authorization_server::Changes::of_identity(writes)).await.unwrap();
        let (pat, pmt) = (world.access("archive").await, world.access("manager").await);
        let alice = Signer::new(Algorithm::EdDsa);
        alice.register(&world, &pmt).await;
        let resources =
            json!([{"resource_server": "https://archive.example", "resource_id": "box-7", "allowed_scopes": ["view"]}]);
        let token = alice.token(&world, "p1", json!({"aud": ["https://archive.example", ISSUER], "resources": resources}));
        post(&world, &pmt, &token).await.ok(201);
        let ask = async |id: &str| {
            let body = json!({"resource_id": id, "resource_scopes": ["view"], "resource_owner_id": alice.did});
            world.call("POST", types::path::PERMISSIONS, &pat, body).await
        };
        for made_up in ["box-8", "Click https://evil.example"] {
            ask(made_up).await.refused(400, "invalid_resource_id");
        }
        ask("box-7").await.ok(201);
        let list = world.call("GET", "/uma/registered-resources", &pmt, Value::Null).await.ok(200).json.clone();
        assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    }
}

/// Protocol.md 3: one PAT of the resource server's own, and nothing registered.
#[tokio::test]
async fn threat_24_a_resource_server_without_owners_sees_what_one_signer_signed() {
    for world in World::each_with(ARCHIVE).await {
        let (pat, pmt) = (world.access("archive").await, world.access("manager").await);
        let (alice, other) = (Signer::new(Algorithm::EdDsa), Signer::new(Algorithm::EdDsa));
        alice.register(&world, &pmt).await;
        let archive =
            |id: &str| json!([{"resource_server": "https://archive.example", "resource_id": id, "allowed_scopes": ["view"]}]);
        let aud = json!(["https://archive.example", ISSUER]);
        let token = alice.token(&world, "p1", json!({"aud": aud, "resources": archive("box-7")}));
        post(&world, &pmt, &token).await.ok(201);
        let ask = async |token: &str, body: Value| world.call("POST", types::path::PERMISSIONS, token, body).await;
        let wanted =
            |signer: &str, scopes: Value| json!({"resource_id": "box-7", "resource_scopes": scopes, "resource_owner_id": signer});
        ask(&pat, json!({"resource_id": "box-7", "resource_scopes": ["view"]})).await.refused(400, "invalid_request");
        ask(&pat, wanted(&other.did, json!(["view"]))).await.refused(400, "invalid_resource_id");
        ask(&world.access("nameless").await, wanted(&alice.did, json!(["view"]))).await.refused(403, "insufficient_scope");
        let description = json!({"resource_scopes": ["view"], "_resource_id": "box-7"});
        world.call("POST", "/uma/resources", &pat, description).await.refused(403, "insufficient_scope");
        // an application's id is a name that anybody may register: it finds no owner
        let app =
            json!({"cred_type": "client", "cred_value": {"client_id": "app", "jwks": {"keys": [other.key.public().to_jwk()]}}});
        let asked =
            world.call("POST", CREDENTIALS, &pmt, app.clone()).await.refused(400, "invalid_proof").get("challenge").to_owned();
        let proof = json!({"aud": ISSUER, "nonce": asked, "iat": world.now()});
        let mut proven = app;
        proven["proof"] = json!(other.key.sign("credential-proof+jwt", &proof).unwrap());
        world.call("POST", CREDENTIALS, &pmt, proven).await.ok(201);
        ask(&pat, wanted("app", json!(["view"]))).await.refused(400, "invalid_resource_id");
        // a share that is not signed counts for nothing here
        let server = "https://archive.example";
        world.policy(json!({"resource_server": server, "_resource_id": "box-7", "resource_scopes": ["view", "edit"]})).await;
        for viewer in ["viewer", "jwt-viewer"] {
            let ticket = ask(&pat, wanted(&alice.did, json!(["view", "edit"]))).await.ok(201).get("ticket").to_owned();
            let given = world.trade_as_bob(viewer, &ticket, &[]).await;
            let rpt = given.ok(200).get("access_token").to_owned();
            let fields = [("grant_type", "refresh_token"), ("refresh_token", given.get("refresh_token"))];
            let renewed = world.token(viewer, &fields).await.ok(200).get("access_token").to_owned();
            assert_eq!(scopes_of(&world.introspect(&pat, &renewed).await), ["box-7 view"]);
            let seen = world.introspect(&pat, &rpt).await;
            assert_eq!(scopes_of(&seen), ["box-7 view"], "{viewer}: by the resource server's own id, and as signed: {seen}");
            assert_eq!(seen["permissions"][0]["authority"], json!(token));
            if viewer == "jwt-viewer" {
                let claims = jose::UnverifiedJws::parse(&rpt).unwrap().claimed_value("permissions").unwrap();
                assert_eq!((&claims[0]["resource_id"], &claims[0]["authority"]), (&json!("box-7"), &json!(token)));
            }
            // it is nobody else's to ask about, and sees nothing of others
            let photos = world.pat().await;
            assert_eq!(world.introspect(&photos, &rpt).await, json!({"active": false}));
        }
        let photos = world.pat().await;
        let photo = photo(&world, &photos).await;
        world.share(&photo, "view", "bob@bar.example").await;
        let ticket = world.ticket(&photos, &photo, "view").await;
        let unsigned = world.trade_as_bob("viewer", &ticket, &[]).await.ok(200).get("access_token").to_owned();
        assert_eq!(world.introspect(&pat, &unsigned).await, json!({"active": false}));
        // nobody asks the owner for what only her key can give
        let ticket = ask(&pat, wanted(&alice.did, json!(["edit"]))).await.ok(201).get("ticket").to_owned();
        world.trade_as_bob("viewer", &ticket, &[]).await.refused(403, "request_denied");
        // withdrawn is withdrawn
        let ticket = ask(&pat, wanted(&alice.did, json!(["view"]))).await.ok(201).get("ticket").to_owned();
        let given = world.trade_as_bob("viewer", &ticket, &[]).await;
        world.withdraw("p1").await;
        assert_eq!(world.introspect(&pat, given.ok(200).get("access_token")).await, json!({"active": false}));
        let fields = [("grant_type", "refresh_token"), ("refresh_token", given.get("refresh_token"))];
        world.token("viewer", &fields).await.refused(400, "invalid_grant");
    }
}

/// A challenge proves a key once, whatever became of it, and however many come at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threat_49_s34_a_challenge_is_answered_once() {
    for world in World::each().await {
        let world = std::sync::Arc::new(world);
        let (alice, pmt) = (Signer::new(Algorithm::EdDsa), world.access("manager").await);
        let asked = world.call("POST", CREDENTIALS, &pmt, alice.credential()).await;
        let claims = json!({"aud": ISSUER, "nonce": asked.get("challenge"), "iat": world.now()});
        let mut body = alice.credential();
        body["proof"] = json!(alice.key.sign_as("credential-proof+jwt", &alice.did, &claims).unwrap());
        let same = (0..8).map(|_| {
            let (world, pmt, body) = (world.clone(), pmt.clone(), body.clone());
            tokio::spawn(async move { world.call("POST", CREDENTIALS, &pmt, body).await })
        });
        let answers: Vec<_> = futures_util::future::join_all(same).await.into_iter().map(Result::unwrap).collect();
        let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        assert_eq!(made.len(), 1);
        // the others were late for the challenge, or for the credential
        assert!(answers.iter().all(|answer| [201, 400, 409].contains(&answer.status)));
        // withdrawn, it does not come back by the old proof
        world.call("DELETE", &format!("{CREDENTIALS}/{}", made[0].get("_id")), &pmt, Value::Null).await.ok(204);
        let fresh = world.call("POST", CREDENTIALS, &pmt, body).await;
        assert_ne!(fresh.refused(400, "invalid_proof").get("challenge"), asked.get("challenge"));
        let again = json!({"aud": ISSUER, "nonce": fresh.get("challenge"), "iat": world.now()});
        alice.prove(&world, &pmt, &again).await.ok(201);
    }
}
