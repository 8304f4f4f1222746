//! Requests that two programs read in two ways, and what strangers leave that people read later: seen by attacking the
//! server itself.

use crate::world::{Answer, UMA, World, basic, form};
use serde_json::{Value, json};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn threat_47_a_client_is_named_whole() {
    let world = World::one().await;
    let ask = async |id: &str, secret: &str| {
        let fields = form(&[("grant_type", "client_credentials")]);
        world.send("POST", "/token", &[FORM, ("authorization", &basic(id, secret))], fields).await.status
    };
    assert_eq!(ask("photos-rs", "photos-secret").await, 200);
    assert_eq!(ask("photos%2Drs", "photos%2dsecret").await, 200, "RFC 6749 2.3.1: encoded as in a form");
    for (id, secret) in [
        ("photos-rs&x", "photos-secret"),
        ("photos-rs&x=1", "photos-secret"),
        ("photos-rs=1", "photos-secret"),
        ("photos-rs", "photos-secret&x"),
        ("photos-rs", "photos-secret=x"),
        ("photos-rs", "photos-secret="),
        ("photos-rs\0", "photos-secret"),
        (" photos-rs", "photos-secret"),
        ("photos-rs", "photos-secret "),
    ] {
        assert_eq!(ask(id, secret).await, 401, "{id} {secret}");
    }
}

#[tokio::test]
async fn threat_47_a_body_is_read_as_it_is_or_not_at_all() {
    let world = World::one().await;
    let (photos, pat) = (basic("photos-rs", "photos-secret"), world.pat().await);
    let bearer = format!("Bearer {pat}");
    for coding in ["gzip", "br", "identity, gzip", "x", ""] {
        let headers = [FORM, ("authorization", &*photos), ("content-encoding", coding)];
        let answer = world.send("POST", "/token", &headers, form(&[("grant_type", "client_credentials")])).await;
        answer.refused(415, "invalid_request");
        let headers = [JSON, ("authorization", &*bearer), ("content-encoding", coding)];
        let resource = json!({"resource_scopes": ["view"]}).to_string();
        world.send("POST", "/uma/resources", &headers, resource).await.refused(415, "invalid_request");
    }
    let headers = [FORM, ("authorization", &*photos), ("content-encoding", "identity")];
    world.send("POST", "/token", &headers, form(&[("grant_type", "client_credentials")])).await.ok(200);
    // two types are none
    for second in ["application/json", "application/x-www-form-urlencoded"] {
        let headers = [FORM, ("content-type", second), ("authorization", &*photos)];
        let answer = world.send("POST", "/token", &headers, form(&[("grant_type", "client_credentials")])).await;
        answer.refused(415, "invalid_request");
    }
}

async fn register(world: &World, metadata: Value) -> Answer {
    world.send("POST", "/register", &[JSON], metadata.to_string()).await
}

#[tokio::test]
async fn threat_32_a_place_to_go_on_is_where_it_says() {
    let world = World::one().await;
    for uri in [
        "https://evil.example\\@a.example/",
        "https://a.example\\.evil.example/",
        "https://a.example@evil.example/",
        "https://user:pw@a.example/",
        "https:a.example",
        "https:/a.example/",
        "https:///a.example/",
        "https://a.example/ x",
        "https://a.example/\u{0}",
        "https://a.example/\n",
        "https://\u{430}.example/",
        "https://b\u{fc}cher.example/",
        "https://*.example/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://2130706433/",
        "https://a.example/<script>",
        "https://a.example/\"x",
        "com.example.app://user@host/",
    ] {
        for member in ["redirect_uris", "post_logout_redirect_uris", "claims_redirect_uris"] {
            let mut metadata = json!({"redirect_uris": ["https://c.example/"], "grant_types": ["authorization_code", UMA]});
            metadata[member] = json!([uri]);
            let answer = register(&world, metadata).await;
            assert_eq!((answer.status, answer.get("error")), (400, "invalid_redirect_uri"), "{member} {uri:?}");
        }
    }
    for uri in [
        "https://c.example",
        "https://c.example/cb?a=b&c=%20d",
        "https://C.example:8443/cb",
        "https://c.example:443/",
        "https://xn--bcher-kva.example/",
        "http://127.0.0.1/cb",
        "http://127.0.0.1:80/cb",
        "http://[::1]:5000/cb",
        "http://localhost:5000/",
        "com.example.app:/cb",
        "com.example.app://cb",
    ] {
        register(&world, json!({"redirect_uris": [uri]})).await.ok(201);
    }
}

#[tokio::test]
async fn threat_32_what_a_stranger_leaves_is_short_and_reads_as_it_is_written() {
    let world = World::one().await;
    let with = |member: &str, value: Value| {
        let mut metadata = json!({"redirect_uris": ["https://c.example/"]});
        metadata[member] = value;
        metadata
    };
    let many = |n: usize| (0..n).map(|n| format!("s{n}")).collect::<Vec<_>>();
    for (member, value) in [
        ("client_name", json!("x".repeat(201))),
        ("client_name", json!("\u{202e}knaB")),
        ("client_name", json!("Bank\n")),
        ("client_name", json!("Bank\u{0}")),
        ("client_name", json!("Bank\u{2066}")),
        ("software_id", json!("x".repeat(201))),
        ("software_version", json!("1\u{7f}")),
        ("scope", json!(many(201).join(" "))),
        ("grant_types", json!(vec!["authorization_code"; 17])),
    ] {
        let answer = register(&world, with(member, value)).await;
        assert_eq!((answer.status, answer.get("error")), (400, "invalid_client_metadata"), "{member}: {}", answer.text);
    }
    register(&world, with("client_name", json!("Über-Fotos \u{1f4f7} & Söhne"))).await.ok(201);
    let made = register(&world, with("contacts", json!(["x"]))).await;
    made.ok(201);
    for (method, path) in [("POST", "/register".to_owned()), ("PUT", format!("/register/{}", made.get("client_id")))] {
        let long = with("contacts", json!(["x".repeat(70_000)]));
        world.call(method, &path, made.get("registration_access_token"), long).await.refused(413, "invalid_request");
    }
    // three thousand a day of one network
    let address = "192.0.2.1";
    let metadata = json!({"grant_types": [UMA]}).to_string();
    let mut made = 0;
    for _ in 0..12 {
        while made < 4_000 && world.send_from(address, "POST", "/register", &[JSON], metadata.clone()).await.status == 201 {
            made += 1;
        }
        world.pass(60);
    }
    assert_eq!(made, 3_000);
}

/// What makes a token stricter is honoured: one that begins later does not count yet (RFC 7519 4.1.5, RFC 7523 3).
#[tokio::test]
async fn threat_48_c16_what_is_not_yet_good_is_not_good() {
    let world = World::one().await;
    let key = jose::SigningKey::generate(jose::Algorithm::Es256).unwrap();
    let keys = json!({"keys": [key.public().to_jwk()]});
    let metadata = json!({"grant_types": ["client_credentials"], "token_endpoint_auth_method": "private_key_jwt", "jwks": keys});
    let made = register(&world, metadata).await;
    let id = made.ok(201).get("client_id");
    let ask = async |more: Value| {
        let mut claims =
            json!({"iss": id, "sub": id, "aud": crate::world::ISSUER, "exp": world.now() + 600, "jti": more.to_string()});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let assertion = key.sign("JWT", &claims).unwrap();
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let fields = [("grant_type", "client_credentials"), ("client_assertion", &*assertion), ("client_assertion_type", kind)];
        world.send("POST", "/token", &[FORM], form(&fields)).await.status
    };
    for (more, status) in [
        (json!({"nbf": world.now() + 60}), 200),
        (json!({"nbf": world.now() + 61}), 401),
        (json!({"iat": world.now() + 61}), 401),
        (json!({"iat": world.now(), "nbf": world.now() - 500}), 200),
        (json!({"nbf": "soon"}), 401),
    ] {
        assert_eq!(ask(more.clone()).await, status, "{more}");
    }
    let (pmt, alice) = (world.access("manager").await, crate::authority::Signer::new(jose::Algorithm::EdDsa));
    alice.register(&world, &pmt).await;
    let carol = crate::authority::Signer::new(jose::Algorithm::EdDsa);
    let post = async |nbf: i64| {
        let claims = json!({"iss": alice.did, "sub": carol.did, "aud": [crate::authority::RS, crate::world::ISSUER],
            "jti": format!("d{nbf}"), "iat": world.now(), "nbf": nbf, "exp": world.now() + 6_000, "resources": "all",
            "resource_scopes": ["view"], "may": ["share"]});
        let text = alice.key.sign_as("delegation+jwt", &alice.did, &claims).unwrap();
        let bearer = format!("Bearer {pmt}");
        let headers = [("authorization", &*bearer), ("content-type", "application/delegation+jwt")];
        world.send("POST", "/uma/delegations", &headers, text).await.status
    };
    assert_eq!((post(world.now() + 60).await, post(world.now() + 61).await), (201, 400));
}
