//! Who calls, as a proxy hears it that asks again and again: what is kept of it is told of nobody else, of nothing else, and of
//! nobody who may not call any more (decisions 0036 and 0038).

use super::*;
use crate::gateway::store::tests::denying;

/// An RPT by which this person may do these things.
fn rpt_of(world: &World, sub: &str, permissions: &Value) -> String {
    let now = world.gateway.client.clock.now().0;
    let claims = json!({"iss": world.issuer, "aud": RESOURCE, "jti": format!("{sub}{permissions}"), "iat": now, "exp": now + 600,
        "client_id": "viewer", "sub": sub, "permissions": permissions});
    format!("Bearer {}", world.key.sign("at+jwt", &claims).unwrap())
}

/// What the JWT of an answer says.
fn claims_of(world: &World, answered: &Answered) -> Value {
    let keys = KeySet::from_json(&json!({"keys": [world.gateway.key.public().to_jwk()]})).unwrap();
    let jwt = UnverifiedJws::parse(field(answered, "x-wayleave-identity").unwrap()).unwrap().verify(&keys).unwrap();
    jwt.claims::<Value>().unwrap().into_inner()
}

#[tokio::test]
async fn threat_47_whoever_asks_again_hears_of_this_call_alone_who_makes_it() {
    let world = asked(OriginalIn::Original).await;
    let both = json!([{"resource_id": "r1", "resource_scopes": ["view", "edit"]}]);
    let one = json!([{"resource_id": "r1", "resource_scopes": ["view"]}]);
    let (bob, carol, editor) = (rpt_of(&world, "bob", &one), rpt_of(&world, "carol", &one), rpt_of(&world, "bob", &both));
    let Behind::Upstream(audience) = &world.gateway.settings.behind else { panic!() };
    // each of them after each other, and twice
    for _ in 0..2 {
        for (bearer, sub, scopes) in
            [(&bob, "bob", "view"), (&carol, "carol", "view"), (&editor, "bob", "edit view"), (&bob, "bob", "view")]
        {
            let answered = ask(&world, "GET", "/mine/a", &[("authorization", bearer.as_str())]).await;
            assert_eq!(answered.0, 200, "{sub} {scopes}: {}", answered.2);
            let claims = claims_of(&world, &answered);
            assert_eq!((field(&answered, "x-wayleave-subject"), &claims["sub"]), (Some(sub), &json!(sub)));
            assert_eq!((field(&answered, "x-wayleave-scopes"), &claims["scope"]), (Some(scopes), &json!(scopes)));
            assert_eq!((&claims["iss"], &claims["aud"]), (&json!(RESOURCE), &json!(audience)));
            let (now, exp, iat) = (world.gateway.client.clock.now().0, &claims["exp"], &claims["iat"]);
            let (left, life) = (exp.as_i64().unwrap() - now, exp.as_i64().unwrap() - iat.as_i64().unwrap());
            assert!(left * 2 >= life, "{left} of {life} seconds are left of it");
        }
    }
}

#[tokio::test]
async fn threat_47_who_may_not_call_any_more_is_not_told_of() {
    let world = asked(OriginalIn::Original).await;
    let one = json!([{"resource_id": "r1", "resource_scopes": ["view"]}]);
    let bob = rpt_of(&world, "bob", &one);
    let call = async || ask(&world, "GET", "/mine/a", &[("authorization", bob.as_str())]).await;
    assert_eq!((call().await.0, call().await.0), (200, 200));
    let rule = denying();
    world.gateway.store.put_rule("alice", &rule).await.unwrap();
    let refused = call().await;
    assert_eq!(refused.0, 401);
    assert!(!refused.1.keys().any(|name| name.as_str().starts_with("x-wayleave")), "{:?}", refused.1);
    // other routes, by which the same path needs something else
    world.gateway.store.delete_rule("alice", &rule.id).await.unwrap();
    assert_eq!(call().await.0, 200);
    let routes = vec![route_with("/mine/{rest..}", |guarded| {
        guarded.resource = Pattern::parse("/all").unwrap();
        guarded.scopes = [("GET".to_owned(), ScopeSet::parse("edit").unwrap())].into_iter().collect();
    })];
    world.gateway.replace_routes(routes);
    let refused = call().await;
    assert!(refused.0 == 401 && !refused.1.contains_key("x-wayleave-identity"), "{}", refused.0);
}
