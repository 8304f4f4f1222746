//! Client registration and authentication (RFC 7591, 7592, 7523; Grant 2; protocol.md 1.7).

use crate::world::{UMA, World, basic, form};
use serde_json::{Value, json};

async fn register(world: &World, metadata: Value) -> crate::world::Answer {
    world.send("POST", "/register", &[("content-type", "application/json")], metadata.to_string()).await
}

/// Cases: X-15, G-2-7, G-2-8, G-3.3-3, F-1.5-3, G-3.3.2-8, F-1.4-1
#[tokio::test]
async fn a_client_registers_is_read_changed_used_and_deleted() {
    for world in World::each().await {
        let metadata = json!({"client_name": "Stranger", "grant_types": [UMA], "scope": "download", "claims_redirect_uris": ["https://c.example/claims"], "unknown": 1});
        let made = register(&world, metadata.clone()).await;
        let (id, secret, token) =
            (made.ok(201).get("client_id"), made.get("client_secret"), made.get("registration_access_token"));
        assert_eq!(made.json["claims_redirect_uris"], metadata["claims_redirect_uris"]);
        assert_eq!(made.json["client_secret_expires_at"], 0);
        let pat = world.pat().await;
        let album = world.resource(&pat, "view download").await;
        world.share(&album, "view download", "").await;
        let ticket = world.ticket(&pat, &album, "view").await;
        let authorization = basic(id, secret);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let fields = form(&[("grant_type", UMA), ("ticket", &ticket), ("scope", "download")]);
        let got = world.send("POST", "/token", &headers, fields).await;
        assert_eq!(crate::world::scopes_of(&world.introspect(&pat, got.ok(200).get("access_token")).await).len(), 2);
        let path = format!("/register/{id}");
        assert_eq!(world.call("GET", &path, token, Value::Null).await.ok(200).get("client_name"), "Stranger");
        world.call("GET", &path, "wrong", Value::Null).await.refused(401, "invalid_token");
        let changed = world.call("PUT", &path, token, json!({"client_name": "Friend", "grant_types": [UMA]})).await;
        assert_eq!((changed.ok(200).get("client_name"), changed.get("scope")), ("Friend", ""));
        world.call("DELETE", &path, token, Value::Null).await.ok(204);
        world.call("GET", &path, token, Value::Null).await.refused(401, "invalid_token");
        let ticket = world.ticket(&pat, &album, "view").await;
        world
            .send("POST", "/token", &headers, form(&[("grant_type", UMA), ("ticket", &ticket)]))
            .await
            .refused(401, "invalid_client");
    }
}

/// Cases: G-2-8
#[tokio::test]
async fn bad_metadata_are_refused() {
    let world = World::one().await;
    for (metadata, error) in [
        (json!({"claims_redirect_uris": "https://c.example"}), "invalid_client_metadata"),
        (json!({"claims_redirect_uris": [], "grant_types": [UMA]}), "invalid_redirect_uri"),
        (json!({"claims_redirect_uris": ["/relative"], "grant_types": [UMA]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["https://c.example/#f"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["javascript:alert(1)"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["http://c.example/"]}), "invalid_redirect_uri"),
        (json!({}), "invalid_redirect_uri"),
        (json!({"grant_types": ["password"]}), "invalid_client_metadata"),
        (json!({"grant_types": [UMA], "jwks": {"keys": [{"kty": "oct", "k": "AA"}]}}), "invalid_client_metadata"),
        (json!({"grant_types": [UMA], "token_endpoint_auth_method": "private_key_jwt"}), "invalid_client_metadata"),
        (json!({"grant_types": [UMA], "token_endpoint_auth_method": "tls_client_auth"}), "invalid_client_metadata"),
        (json!({"grant_types": [UMA], "software_statement": "x"}), "invalid_software_statement"),
        (json!({"redirect_uris": ["https://m.example/"], "scope": "uma_policy"}), "invalid_client_metadata"),
        (
            json!({"redirect_uris": ["https://rs.example/"], "scope": "uma_protection", "token_endpoint_auth_method": "none"}),
            "invalid_client_metadata",
        ),
    ] {
        register(&world, metadata).await.refused(400, error);
    }
}

/// Threat 23: nobody is somebody else's resource server.
#[tokio::test]
async fn threat_23_a_resource_is_claimed_by_its_own_keys_only() {
    let world = World::one().await;
    let claim =
        json!({"redirect_uris": ["https://evil.example/"], "scope": "uma_protection", "resource": "https://bank.example"});
    register(&world, claim.clone()).await.refused(400, "invalid_client_metadata");
    let mut with_keys = claim;
    with_keys["token_endpoint_auth_method"] = json!("private_key_jwt");
    with_keys["jwks_uri"] = json!("https://127.0.0.1/jwks");
    register(&world, with_keys).await.refused(400, "invalid_client_metadata");
}

/// Threat 17: a key set is not fetched from inside.
#[tokio::test]
async fn threat_17_jwks_uri_does_not_lead_inside() {
    let world = World::one().await;
    let metadata =
        json!({"grant_types": [UMA], "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://169.254.169.254/keys"});
    let id = register(&world, metadata).await.ok(201).get("client_id").to_owned();
    let key = jose::SigningKey::generate(jose::Algorithm::Es256).unwrap();
    let claims = json!({"iss": id, "sub": id, "aud": crate::world::ISSUER, "exp": crate::world::START + 60, "jti": "1"});
    let assertion = key.sign("JWT", &claims).unwrap();
    let fields = [
        ("grant_type", UMA),
        ("ticket", "x"),
        ("client_assertion", &*assertion),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
    ];
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    world.send("POST", "/token", &headers, form(&fields)).await.refused(401, "invalid_client");
}

/// Cases: G-3.3.1-15
#[tokio::test]
async fn an_assertion_is_good_once_for_this_server_and_this_client() {
    for world in World::each().await {
        let key = jose::SigningKey::generate(jose::Algorithm::Es256).unwrap();
        let keys = json!({"keys": [key.public().to_jwk()]});
        let metadata =
            json!({"grant_types": ["client_credentials"], "token_endpoint_auth_method": "private_key_jwt", "jwks": keys});
        let id = register(&world, metadata).await.ok(201).get("client_id").to_owned();
        let send = async |changes: Value| {
            let mut claims =
                json!({"iss": id, "sub": id, "aud": crate::world::ISSUER, "exp": crate::world::START + 60, "jti": "1"});
            claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            let assertion = key.sign("JWT", &claims).unwrap();
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            let fields =
                [("grant_type", "client_credentials"), ("client_assertion", &*assertion), ("client_assertion_type", kind)];
            world.send("POST", "/token", &[("content-type", "application/x-www-form-urlencoded")], form(&fields)).await
        };
        send(json!({})).await.ok(200);
        send(json!({})).await.refused(401, "invalid_client");
        send(json!({"jti": "2", "aud": "https://other.example"})).await.refused(401, "invalid_client");
        send(json!({"jti": "3", "exp": 1})).await.refused(401, "invalid_client");
        send(json!({"jti": "4", "iss": "viewer"})).await.refused(401, "invalid_client");
        send(json!({"jti": "5", "aud": format!("{}/token", crate::world::ISSUER)})).await.ok(200);
    }
}

#[tokio::test]
async fn one_method_of_authentication_and_the_right_one() {
    let world = World::one().await;
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let post = |fields: &[(&str, &str)]| form(&[&[("grant_type", "client_credentials")], fields].concat());
    world.send("POST", "/token", &headers, post(&[("client_id", "photos-rs"), ("client_secret", "photos-secret")])).await.ok(200);
    for fields in [
        &[][..],
        &[("client_id", "photos-rs")],
        &[("client_id", "photos-rs"), ("client_secret", "x")],
        &[("client_id", "nobody"), ("client_secret", "x")],
    ] {
        world.send("POST", "/token", &headers, post(fields)).await.refused(401, "invalid_client");
    }
    let authorization = basic("photos-rs", "photos-secret");
    let both = [("content-type", "application/x-www-form-urlencoded"), ("authorization", authorization.as_str())];
    world
        .send("POST", "/token", &both, post(&[("client_secret", "photos-secret"), ("client_id", "photos-rs")]))
        .await
        .refused(400, "invalid_request");
    world.send("POST", "/token", &both, post(&[("client_id", "viewer")])).await.refused(401, "invalid_client");
    // a public client cannot use what needs credentials
    world.token("phone", &[("grant_type", "client_credentials")]).await.refused(400, "unauthorized_client");
}

const VENDOR: &str = "https://vendor.example";

/// Cases: X-15
#[tokio::test]
async fn a_software_statement_counts_if_its_issuer_is_trusted() {
    let trusted = format!("[[trusted_issuer]]\nissuer = \"{VENDOR}\"\njwks_file = \"idp.json\"\nsoftware_statements = true\n");
    for world in World::each_with(&trusted).await {
        let sign = |iss: &str, more: Value| {
            let mut claims = json!({"iss": iss, "software_id": "4NRB1", "client_name": "Viewer by Vendor", "scope": "download"});
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            world.idp.sign("JWT", &claims).unwrap()
        };
        let with = |statement: &str| json!({"grant_types": [UMA], "client_name": "Anything", "scope": "admin", "software_statement": statement});
        let statement = sign(VENDOR, json!({}));
        let made = register(&world, with(&statement)).await;
        assert_eq!(made.ok(201).get("client_name"), "Viewer by Vendor", "what the statement says counts");
        assert_eq!((made.get("scope"), made.get("software_id")), ("download", "4NRB1"));
        assert_eq!(made.get("software_statement"), statement, "and it is told back as it was");
        let path = format!("/register/{}", made.get("client_id"));
        let read = world.call("GET", &path, made.get("registration_access_token"), Value::Null).await;
        assert_eq!(read.ok(200).get("software_statement"), statement);
        let stranger = jose::SigningKey::generate(jose::Algorithm::EdDsa).unwrap();
        let forged = stranger.sign("JWT", &json!({"iss": VENDOR})).unwrap();
        for (statement, error) in [
            (sign("https://else.example", json!({})), "unapproved_software_statement"),
            (forged, "invalid_software_statement"),
            (sign(VENDOR, json!({"exp": 1})), "invalid_software_statement"),
            (sign(VENDOR, json!({"redirect_uris": 7})), "invalid_software_statement"),
        ] {
            register(&world, with(&statement)).await.refused(400, error);
        }
        // what a stranger may never be, no statement makes of it
        let wide = sign(VENDOR, json!({"may_push_claims": true, "acts_for": "alice"}));
        let made = register(&world, with(&wide)).await;
        assert!(made.ok(201).json.get("may_push_claims").is_none() && made.json.get("acts_for").is_none());
    }
}

/// Protocol.md 1.7: what nobody uses does not stay.
#[tokio::test]
async fn threat_32_registrations_that_nobody_uses_end() {
    for world in World::each().await {
        let metadata = json!({"grant_types": [UMA]});
        let (unused, used) = (register(&world, metadata.clone()).await, register(&world, metadata).await);
        let sweep = async || world.app.identity.sweep_registrations().await.unwrap();
        let read = async |made: &crate::world::Answer| {
            let path = format!("/register/{}", made.get("client_id"));
            world.call("GET", &path, made.get("registration_access_token"), Value::Null).await.status
        };
        let authorization = basic(used.get("client_id"), used.get("client_secret"));
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        world.send("POST", "/token", &headers, form(&[("grant_type", UMA), ("ticket", "x")])).await.ok(400);
        world.pass(86_399);
        sweep().await;
        assert_eq!((read(&unused).await, read(&used).await), (200, 200));
        world.pass(1);
        sweep().await;
        assert_eq!((read(&unused).await, read(&used).await), (401, 200), "{}", world.engine);
        world.pass(7_776_000);
        sweep().await;
        assert_eq!(read(&used).await, 401, "nothing of it can be alive any more");
    }
}

/// Protocol.md 1.7: what comes by mail is good once, for the domain it went to, and worth a higher limit only.
#[tokio::test]
async fn threat_32_an_initial_access_token_is_single_use_and_of_one_domain() {
    for world in World::each().await {
        world.app.authorization_server.invite("Carol@Bar.example").await.unwrap();
        let mail = world.mailbox.0.lock().unwrap().pop().unwrap();
        assert_eq!(mail.to, "carol@bar.example");
        let token = mail.text.split("Bearer ").nth(1).unwrap().trim().to_owned();
        let with = async |token: &str, metadata: &Value| world.call("POST", "/register", token, metadata.clone()).await;
        let at = |host: &str| json!({"grant_types": [UMA], "claims_redirect_uris": [format!("https://{host}/claims")]});
        for elsewhere in ["foo.example", "evilbar.example", "bar.example.evil.example"] {
            with(&token, &at(elsewhere)).await.refused(401, "invalid_token");
        }
        let hers = at("viewer.bar.example");
        let made = with(&token, &hers).await;
        assert!(made.ok(201).json.get("may_push_claims").is_none(), "a stranger as before");
        with(&token, &hers).await.refused(401, "invalid_token");
        with("rubbish", &hers).await.refused(401, "invalid_token");
        let late = world.app.identity.initial_access_token("bar.example").unwrap();
        world.pass(7 * 86_400);
        with(&late, &hers).await.refused(401, "invalid_token");
        // three hundred a minute come from one network; who was invited still gets in
        let invited = world.app.identity.initial_access_token("bar.example").unwrap();
        let refused = async || register(&world, hers.clone()).await.status == 429;
        let mut count = 0;
        while count < 301 && !refused().await {
            count += 1;
        }
        assert_eq!(count, 300, "{}", world.engine);
        with(&invited, &hers).await.ok(201);
    }
}
