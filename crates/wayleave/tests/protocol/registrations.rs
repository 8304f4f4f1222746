//! What registration answers is what is done, member by member (RFC 7591 2, 3.2.1; RFC 7592 2.2).

use crate::world::{Answer, World, form};
use serde_json::{Value, json};

async fn register(world: &World, metadata: Value) -> Answer {
    world.send("POST", "/register", &[("content-type", "application/json")], metadata.to_string()).await
}

/// RFC 7591 2, 3.2.1: what is not done is refused; what is answered is done.
#[tokio::test]
async fn threat_48_c12_what_registration_answers_is_done() {
    for world in World::each().await {
        let with = |member: &str, value: Value| {
            let mut metadata = json!({"redirect_uris": ["https://c.example/"]});
            metadata[member] = value;
            metadata
        };
        for (member, value) in [
            ("id_token_signed_response_alg", json!("PS256")),
            ("id_token_signed_response_alg", json!("none")),
            ("id_token_signed_response_alg", json!("HS256")),
            ("id_token_signed_response_alg", json!(7)),
            ("token_endpoint_auth_signing_alg", json!("PS256")),
            ("token_endpoint_auth_signing_alg", json!("none")),
            ("token_endpoint_auth_method", json!("client_secret_jwt")),
            ("token_endpoint_auth_method", json!("self_signed_tls_client_auth")),
            ("subject_type", json!("pairwise")),
            ("response_types", json!(["token"])),
            ("response_types", json!(["code", "code id_token"])),
            ("grant_types", json!(["implicit"])),
            ("grant_types", json!(["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"])),
            ("userinfo_signed_response_alg", json!("RS256")),
            ("userinfo_encrypted_response_alg", json!("RSA-OAEP")),
            ("id_token_encrypted_response_alg", json!("RSA-OAEP-256")),
            ("id_token_encrypted_response_enc", json!("A128GCM")),
            ("request_object_signing_alg", json!("ES256")),
            ("request_object_encryption_alg", json!("RSA-OAEP")),
            ("authorization_signed_response_alg", json!("ES256")),
            ("introspection_signed_response_alg", json!("ES256")),
            ("sector_identifier_uri", json!("https://c.example/sector.json")),
            ("default_max_age", json!(60)),
            ("default_acr_values", json!(["phr"])),
            ("require_signed_request_object", json!(true)),
            ("require_pushed_authorization_requests", json!(true)),
            ("tls_client_certificate_bound_access_tokens", json!(true)),
            ("require_auth_time", json!("yes")),
            ("application_type", json!("service")),
            ("access_token_format", json!("paseto")),
            ("dpop_bound_access_tokens", json!("yes")),
        ] {
            let answer = register(&world, with(member, value.clone())).await;
            assert_eq!(
                (answer.status, answer.get("error")),
                (400, "invalid_client_metadata"),
                "{member}: {value}: {}",
                answer.text
            );
        }
        let public = json!({"grant_types": ["client_credentials"], "token_endpoint_auth_method": "none"});
        register(&world, public).await.refused(400, "invalid_client_metadata");
        // what changes nothing is taken, and what is not kept is not told back
        for (member, value) in [
            ("require_auth_time", json!(true)),
            ("require_signed_request_object", json!(false)),
            ("request_uris", json!([])),
            ("userinfo_signed_response_alg", Value::Null),
            ("contacts", json!(["ops@c.example"])),
            ("logo_uri", json!("https://c.example/logo.png")),
            ("application_type", json!("native")),
            ("x_unknown", json!({"a": 1})),
        ] {
            let made = register(&world, with(member, value)).await;
            assert!(made.ok(201).json.get(member).is_none(), "{member}: {}", made.text);
            assert_eq!((made.get("id_token_signed_response_alg"), made.get("subject_type")), ("ES256", "public"), "{member}");
        }
        let plain = register(&world, json!({"redirect_uris": ["https://c.example/"]})).await;
        let path = format!("/register/{}", plain.ok(201).get("client_id"));
        let put = async |metadata: Value| world.call("PUT", &path, plain.get("registration_access_token"), metadata).await;
        put(with("id_token_signed_response_alg", json!("PS256"))).await.refused(400, "invalid_client_metadata");
        put(with("client_id", json!("viewer"))).await.refused(400, "invalid_client_metadata");
        put(with("client_secret", json!("of my own"))).await.refused(400, "invalid_client_metadata");
        // what was read may be sent back as it is (RFC 7592 2.2)
        let read = world.call("GET", &path, plain.get("registration_access_token"), Value::Null).await;
        assert_eq!(put(read.ok(200).json.clone()).await.ok(200).get("id_token_signed_response_alg"), "ES256");
    }
}

/// An algorithm that a client registered for its assertions is the only one.
#[tokio::test]
async fn threat_48_c12_an_assertion_is_signed_as_registered() {
    let world = World::one().await;
    let (ec, ed) = (jose::Algorithm::Es256, jose::Algorithm::EdDsa);
    let (ec, ed) = (jose::SigningKey::generate(ec).unwrap(), jose::SigningKey::generate(ed).unwrap());
    let metadata = json!({
        "grant_types": ["client_credentials"], "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256", "jwks": {"keys": [ec.public().to_jwk(), ed.public().to_jwk()]},
    });
    let made = register(&world, metadata).await;
    assert_eq!(made.ok(201).get("token_endpoint_auth_signing_alg"), "ES256");
    let id = made.get("client_id");
    for (key, jti, status) in [(&ec, "1", 200), (&ed, "2", 401)] {
        let claims = json!({"iss": id, "sub": id, "aud": crate::world::ISSUER, "exp": crate::world::START + 60, "jti": jti});
        let assertion = key.sign("JWT", &claims).unwrap();
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let fields = [("grant_type", "client_credentials"), ("client_assertion", &*assertion), ("client_assertion_type", kind)];
        world.send("POST", "/token", &[("content-type", "application/x-www-form-urlencoded")], form(&fields)).await.ok(status);
    }
}

/// Keys of which none reads verify nothing: whoever registers them is told which, and why.
#[tokio::test]
async fn threat_40_keys_that_do_not_read_are_named() {
    let world = World::on("memory", "").await;
    let good = jose::SigningKey::generate(jose::Algorithm::Es256).unwrap().public().to_jwk();
    let broken = json!({"kty": "EC", "crv": "P-256", "x": "x"});
    let mut private = good.clone();
    private["d"] = json!("AA");
    let rows = [
        (json!([]), "`keys`"),
        (json!({}), "`keys`"),
        (json!({"keys": "x"}), "`keys`"),
        (json!({"keys": []}), "`keys` is empty"),
        (json!({"keys": ["x"]}), "`keys[0]`"),
        (json!({"keys": [broken]}), "`keys[0]`: `x`"),
        (json!({"keys": [{"kty": "EC", "crv": "P-521"}, broken]}), "`keys[0]`: keys of this kind"),
        (json!({"keys": [good, private]}), "`keys[1]`: the key holds private members"),
    ];
    let metadata =
        |jwks| json!({"grant_types": ["client_credentials"], "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks});
    for (jwks, named) in rows {
        let answer = register(&world, metadata(jwks)).await;
        let said = answer.refused(400, "invalid_client_metadata").get("error_description");
        assert!(said.contains("`jwks`") && said.contains(named), "{said}");
    }
    // beside a good one, what does not read does no harm (RFC 7517 5)
    register(&world, metadata(json!({"keys": [broken, good]}))).await.ok(201);
}
