//! A proxy that asks twice about one call (design/browser.md, *Forward-auth*): one line of history, and one use of a proof.

use super::*;
use jose::dpop;
use std::time::{Duration, Instant};

/// Her history has one line for a call, however often it is asked about in a second.
#[tokio::test]
async fn a_call_that_is_asked_about_twice_is_one_call() {
    let world = asked(OriginalIn::Original).await;
    let counts = async || {
        world.gateway.write_history().await;
        let lines = world.gateway.store.list_history("alice", None, 100).await.unwrap();
        let count = |outcome| lines.iter().filter(|line| line.what.outcome == outcome).map(|line| line.count).sum::<u64>();
        (count(history::Outcome::Allowed), count(history::Outcome::Refused))
    };
    let bearer = bearer(&world);
    let good = [("authorization", bearer.as_str())];
    // the time of this test, in which it takes as long as it takes
    let now = Instant::now();
    world.gateway.recent.stand_at(now);
    for place in ["/mine/a", "/mine/a", "/mine/a?b", "/mine/a"] {
        assert_eq!(ask(&world, "GET", place, &good).await.0, 200);
    }
    for _ in 0..3 {
        assert_eq!(ask(&world, "PUT", "/mine/a", &good).await.0, 401);
    }
    assert_eq!(counts().await, (2, 1));
    world.gateway.recent.stand_at(now + Duration::from_millis(1_000));
    let before = counts().await;
    assert_eq!(ask(&world, "GET", "/mine/a", &good).await.0, 200);
    assert_eq!(ask(&world, "PUT", "/mine/a", &good).await.0, 401);
    assert_eq!(counts().await, (before.0 + 1, before.1 + 1), "another second, another call");
}

/// RFC 9449 4.3: a proof is for the call at the proxy, and for no other; asked about twice it is used once.
#[tokio::test]
async fn a_proof_is_for_the_call_and_not_for_the_ask() {
    let world = asked(OriginalIn::Original).await;
    world.gateway.wait_for_new_proofs().await;
    let begun = Instant::now();
    world.gateway.recent.stand_at(begun);
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let now = world.gateway.client.clock.now();
    let claims = json!({"iss": world.issuer, "aud": RESOURCE, "jti": "bound", "iat": now.0, "exp": now.0 + 600,
        "client_id": "viewer", "sub": "bob", "cnf": {"jkt": key.public().thumbprint()},
        "permissions": [{"resource_id": "r1", "resource_scopes": ["view"]}]});
    let rpt = world.key.sign("at+jwt", &claims).unwrap();
    let prove = |method: &str, path: &str, jti: &str| {
        let url = format!("{RESOURCE}{path}");
        let request = dpop::Request { method, url: &url, access_token: Some(&rpt) };
        dpop::prove(&key, &request, jti.to_owned(), world.gateway.client.clock.now(), None).unwrap()
    };
    let bound = format!("DPoP {rpt}");
    let call = async |path: &str, proof: &str| ask(&world, "GET", path, &[("authorization", &bound), ("dpop", proof)]).await.0;
    let proof = prove("GET", "/mine/a", "1");
    assert_eq!((call("/mine/a", &proof).await, call("/mine/a", &proof).await), (200, 200), "asked twice");
    assert_eq!((call("/mine/a?x", &proof).await, call("/mine/b", &proof).await), (401, 401), "another call");
    let more = [("authorization", bound.as_str()), ("dpop", proof.as_str()), ("depth", "infinity")];
    assert_eq!(ask(&world, "GET", "/mine/a", &more).await.0, 401, "another call");
    world.gateway.recent.stand_at(begun + Duration::from_millis(1_000));
    assert_eq!(call("/mine/a", &proof).await, 401, "another time");
    for (method, path) in [("GET", "/.wayleave/auth"), ("HEAD", "/mine/a"), ("GET", "/mine/c")] {
        assert_eq!(call("/mine/a", &prove(method, path, &format!("{method}{path}"))).await, 401, "{method} {path}");
    }
    assert_eq!(ask(&world, "GET", "/mine/a", &[("authorization", &bound)]).await.0, 401);
}
