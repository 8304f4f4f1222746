//! A parameter that came twice means whatever each reader takes of it: it is refused everywhere, and a ticket that came with
//! it is spent (RFC 6749 3.1, 3.2; protocol.md 4; threat 47).

use crate::interaction::get;
use crate::oauth::{Browser, CHALLENGE};
use crate::world::{UMA, World, basic, form};
use serde_json::{Value, json};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[tokio::test]
async fn threat_47_a_doubled_parameter_is_refused_at_every_endpoint() {
    let world = World::one().await;
    let basic = basic("photos-rs", "photos-secret");
    let headers = [FORM, ("authorization", &*basic)];
    let code = [
        ("response_type", "code"),
        ("client_id", "photos-rs"),
        ("redirect_uri", "http://127.0.0.1:9000/callback"),
        ("scope", "uma_protection"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (path, fields) in [
        ("/token", &[("grant_type", "client_credentials"), ("scope", "uma_protection")][..]),
        ("/token", &[("grant_type", "refresh_token"), ("refresh_token", "x"), ("scope", "y")]),
        ("/token", &[("grant_type", "authorization_code"), ("code", "x"), ("code_verifier", "y"), ("redirect_uri", "z")]),
        ("/token", &[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", "x"), ("scope", "y")]),
        ("/par", &code),
        ("/revoke", &[("token", "x"), ("token_type_hint", "y")]),
        ("/introspect", &[("token", "x"), ("token_type_hint", "y")]),
    ] {
        for (name, value) in fields.iter().filter(|(name, _)| *name != "resource") {
            for second in [*value, "other", ""] {
                let twice = [fields, &[(*name, second)]].concat();
                let answer = world.send("POST", path, &headers, form(&twice)).await;
                answer.refused(400, "invalid_request");
            }
        }
        // also one that nobody here knows, and the client's own
        for name in ["unknown", "client_id"] {
            let twice = [fields, &[(name, "photos-rs"), (name, "photos-rs")]].concat();
            assert_eq!(world.send("POST", path, &headers, form(&twice)).await.status, 400, "{path} {name}");
        }
    }
    for (name, value) in code {
        let answer = world.get(&format!("/authorize?{}", form(&[&code[..], &[(name, value)]].concat()))).await;
        match name {
            "client_id" | "redirect_uri" => assert_eq!((answer.status, answer.header("location")), (400, ""), "{name}"),
            _ => assert_eq!(get(&answer.location().1, "error").as_deref(), Some("invalid_request"), "{name}"),
        }
    }
    for name in ["id_token_hint", "client_id", "post_logout_redirect_uri", "state", "unknown"] {
        let answer = world.get(&format!("/logout?{}", form(&[(name, "x"), (name, "x")]))).await;
        assert_eq!((answer.status, answer.header("location")), (400, ""), "{name}");
    }
}

#[tokio::test]
async fn threat_47_a_doubled_parameter_of_a_query_is_refused() {
    let world = World::one().await;
    let (pat, pmt) = (world.pat().await, world.access("manager").await);
    let (album, owner) =
        (world.resource(&pat, "view").await, world.app.identity.find_account_by_name("alice").await.unwrap().unwrap());
    let simulation = json!({"permissions": [{"resource_id": album, "resource_scopes": ["view"]}]});
    for (method, path, token, names, body) in [
        ("GET", "/uma/resources", &pat, &["limit", "after"][..], Value::Null),
        ("GET", "/uma/policies", &pmt, &["limit", "after", "role", "owner"], Value::Null),
        ("POST", "/uma/policies", &pmt, &["owner", "atomic"], json!([{"resource_id": album, "resource_scopes": ["view"]}])),
        ("POST", "/uma/policies/simulate", &pmt, &["owner"], simulation),
        ("GET", "/uma/registered-resources", &pmt, &["limit", "after", "owner"], Value::Null),
        ("GET", "/uma/access-requests", &pmt, &["limit", "after", "owner"], Value::Null),
        ("GET", "/uma/access-requests/stream", &pmt, &["owner"], Value::Null),
        ("GET", "/uma/events", &pmt, &["limit", "after"], Value::Null),
        ("GET", "/uma/events/chain", &pmt, &["limit", "after"], Value::Null),
        ("GET", "/uma/consent-receipts", &pmt, &["limit", "after"], Value::Null),
        ("GET", "/uma/delegations", &pmt, &["role", "limit", "after"], Value::Null),
        ("GET", "/uma/credentials", &pmt, &["limit", "after"], Value::Null),
        ("GET", "/uma/linked-managers", &pmt, &["limit", "after"], Value::Null),
        ("GET", "/uma/discovery-requests", &pmt, &["limit", "after"], Value::Null),
        ("GET", "/uma/revocations", &pat, &["after"], Value::Null),
    ] {
        for name in names {
            let value = match *name {
                "limit" => "5",
                "owner" => owner.id.as_str(),
                "role" => "delegate",
                _ => "0",
            };
            let query = form(&[(name, value), (name, value)]);
            let answer = world.call(method, &format!("{path}?{query}"), token, body.clone()).await;
            assert_eq!((answer.status, answer.get("error")), (400, "invalid_request"), "{method} {path} {name}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn threat_47_a_ticket_beside_a_doubled_parameter_is_spent() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let viewer = "http://127.0.0.1:9001/claims";
        for twice in [("state", "a"), ("unknown", "a"), ("scope", "view")] {
            let ticket = world.ticket(&pat, &album, "view").await;
            let fields = [("client_id", "viewer"), ("claims_redirect_uri", viewer), ("ticket", &*ticket), twice, twice];
            let back = Browser::new(&world).open(&format!("/claims?{}", form(&fields))).await;
            assert_eq!(get(&back.location().1, "error").as_deref(), Some("invalid_request"), "{twice:?}");
            world.trade_as_bob("viewer", &ticket, &[]).await.refused(400, "invalid_grant");
            // the same at the other endpoint
            let ticket = world.ticket(&pat, &album, "view").await;
            world.trade_as_bob("viewer", &ticket, &[twice, twice]).await.refused(400, "invalid_request");
            world.trade_as_bob("viewer", &ticket, &[]).await.refused(400, "invalid_grant");
        }
        // two tickets are none: neither was presented
        let (ticket, other) = (world.ticket(&pat, &album, "view").await, world.ticket(&pat, &album, "view").await);
        for second in [&ticket, &other] {
            let fields = [("client_id", "viewer"), ("claims_redirect_uri", viewer), ("ticket", &*ticket), ("ticket", second)];
            let back = Browser::new(&world).open(&format!("/claims?{}", form(&fields))).await;
            assert_eq!(get(&back.location().1, "error").as_deref(), Some("invalid_request"));
            world.trade_as_bob("viewer", &ticket, &[("ticket", second)]).await.refused(400, "invalid_request");
        }
        world.trade_as_bob("viewer", &other, &[]).await.ok(200);
        // what does not say in one way who asks, or where to go, spends nobody's
        let ticket = world.ticket(&pat, &album, "view").await;
        for twice in [("client_id", "viewer"), ("claims_redirect_uri", viewer)] {
            let fields = [("client_id", "viewer"), ("claims_redirect_uri", viewer), ("ticket", &*ticket), twice];
            assert_eq!(Browser::new(&world).open(&format!("/claims?{}", form(&fields))).await.status, 400);
        }
        world.trade_as_bob("viewer", &ticket, &[]).await.ok(200);
        // the grant itself, twice
        let ticket = world.ticket(&pat, &album, "view").await;
        world.trade_as_bob("viewer", &ticket, &[("grant_type", UMA)]).await.refused(400, "invalid_request");
        world.trade_as_bob("viewer", &ticket, &[]).await.refused(400, "invalid_grant");
        // somebody else's ticket is not spent by whoever saw it
        let ticket = world.ticket(&pat, &album, "view").await;
        let next = world.trade("viewer", &ticket, &[]).await.refused(403, "need_info").get("ticket").to_owned();
        world.trade("printer", &next, &[("state", "a"), ("state", "a")]).await.refused(400, "invalid_request");
        world.trade_as_bob("viewer", &next, &[]).await.ok(200);
    }
}
