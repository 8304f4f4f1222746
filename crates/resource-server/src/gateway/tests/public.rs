//! What everybody may see, and what stands below one route whole.

use super::super::*;
use super::world::{World, route_with, serve};
use axum::body::Body;
use std::collections::BTreeSet;
use tower::ServiceExt;
use types::ScopeSet;

fn public(path: &str, methods: &[&str]) -> Route {
    let methods: BTreeSet<String> = methods.iter().map(|method| (*method).to_owned()).collect();
    Route { path: Pattern::parse(path).unwrap(), access: Access::Public(methods) }
}

/// A gateway before a service that answers with what it was asked, and which routes lead there.
async fn before_a_service(routes: Vec<Route>) -> World {
    let echo = async |request: Request| {
        let has_token = request.headers().contains_key(header::AUTHORIZATION);
        format!("{} {} {has_token}", request.method(), request.uri().path())
    };
    let behind = Behind::Upstream(serve(Router::new().fallback(echo)).await);
    let world = World::before(behind, Store::in_memory(), std::env::temp_dir().join("wayleave-no-folder")).await;
    assert!(routes.iter().all(|route| route.check().is_ok()));
    world.gateway.replace_routes(routes);
    world.link().await;
    world
}

impl World {
    async fn answer_of(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let answer = self.gateway.clone().router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

#[tokio::test]
async fn everybody_sees_what_is_public_and_nothing_else() {
    let all = route_with("/{rest..}", |guarded| guarded.resource = Pattern::parse("/all").unwrap());
    let world = before_a_service(vec![public("/static/{rest..}", &["GET", "HEAD", "OPTIONS"]), all]).await;
    assert_eq!(world.answer_of("GET", "/static/css/style.css", &[]).await, (200, "GET /static/css/style.css false".into()));
    assert_eq!(world.answer_of("GET", "/static/", &[]).await, (200, "GET /static/ false".into()));
    assert_eq!(world.answer_of("GET", "/static/a", &[("authorization", "Bearer x")]).await, (200, "GET /static/a false".into()));
    assert_eq!(world.answer_of("POST", "/static/a", &[]).await.0, 405);
    for guarded in ["/static", "/", "/other/", "/other/deep/page"] {
        assert_eq!(world.answer_of("GET", guarded, &[]).await.0, 401, "{guarded}");
    }
    for ambiguous in ["/static/../other", "/static//a", "/static/%2e%2e/other", "/static/a%2f..", "/static/a//"] {
        assert_eq!(world.answer_of("GET", ambiguous, &[]).await.0, 400, "{ambiguous}");
    }
    assert_eq!(world.answer_of("HEAD", "/static/a", &[]).await.0, 200);
    assert_eq!(world.answer_of("GET", "/.wayleave/link/", &[]).await.0, 404, "no route reaches the gateway's own places");
}

/// Row 39: nobody's permission is asked, so nothing that needs one may come along.
#[tokio::test]
async fn threat_39_a_public_call_reaches_nothing_that_is_guarded() {
    let inside = route_with("/open/{name}/private", |guarded| guarded.resource = Pattern::parse("/private").unwrap());
    let world = before_a_service(vec![inside, public("/open/{rest..}", &["GET", "DELETE", "REPORT"])]).await;
    for (method, fields, expected) in [
        ("GET", vec![], 200),
        ("DELETE", vec![], 403),
        ("REPORT", vec![], 200),
        ("REPORT", vec![("depth", "infinity")], 403),
        ("GET", vec![("destination", "/open/b")], 403),
        ("GET", vec![("if", "</open/other> (<urn:x>)")], 403),
        ("GET", vec![("connection", "content-length")], 400),
    ] {
        assert_eq!(world.answer_of(method, "/open/a", &fields).await.0, expected, "{method} {fields:?}");
    }
}

/// Row 26: the route that is public takes nothing of what the route before it guards, and nobody is let in as another's guest.
#[tokio::test]
async fn threat_26_a_slash_more_or_less_opens_nothing() {
    let of_user = route_with("/u/{user}/{file}", |guarded| guarded.owner = OwnerOf::Path("user".into()));
    let hers = route_with("/hers/{rest..}", |guarded| guarded.resource = Pattern::parse("/hers").unwrap());
    let all = route_with("/u/{rest..}", |guarded| guarded.resource = Pattern::parse("/all").unwrap());
    let world = before_a_service(vec![of_user, hers, all, public("/{rest..}", &["GET", "POST"])]).await;
    assert_eq!(world.answer_of("GET", "/other", &[]).await.0, 200);
    for path in ["/hers/", "/hers", "/hers/a", "/HERS/a", "/Hers"] {
        assert_eq!(world.answer_of("GET", path, &[]).await.0, 401, "{path}");
    }
    for path in ["/u/bob/diary/", "/U/bob/diary"] {
        assert_ne!(world.answer_of("GET", path, &[("authorization", "Bearer x")]).await.0, 200, "{path}");
    }
    assert_eq!(world.answer_of("GET", "/u/bob/diary/", &[]).await.0, 404, "two owners are nobody");
}

/// Row 26: whoever may delete all of Alice's deletes nothing of Bob's, whose name is written in other letters.
#[tokio::test]
async fn threat_26_nobody_deletes_what_may_be_another_persons() {
    let deletes = |guarded: &mut Guarded| guarded.scopes.add("DELETE", ScopeSet::parse("view").unwrap()).unwrap();
    let of_user = route_with("/u/{user}/{file}", |guarded| {
        guarded.owner = OwnerOf::Path("user".into());
        deletes(guarded);
    });
    let all = route_with("/{rest..}", |guarded| {
        guarded.resource = Pattern::parse("/all").unwrap();
        deletes(guarded);
    });
    let world = before_a_service(vec![of_user, all]).await;
    assert_eq!(world.answer_of("GET", "/other", &[]).await.0, 401);
    let bearer = format!("Bearer {}", world.rpt("r1"));
    for (path, expected) in
        [("/other", 200), ("/u", 403), ("/U", 403), ("/u/bob", 403), ("/U/bob", 403), ("/u/BOB", 403), ("/%C3%BA/b", 403)]
    {
        assert_eq!(world.answer_of("DELETE", path, &[("authorization", &bearer)]).await.0, expected, "{path}");
    }
}

/// Row 47: there are services that fold the case of a method, and extensions that name places in their bodies.
#[tokio::test]
async fn threat_47_a_method_is_written_in_capitals() {
    let routes = vec![route_with("/files/{rest..}", |guarded| {
        guarded.resource = Pattern::parse("/files").unwrap();
        guarded.scopes.add("write", ScopeSet::parse("view").unwrap()).unwrap();
    })];
    let world = before_a_service(routes).await;
    assert_eq!(world.answer_of("GET", "/files/", &[]).await.0, 401);
    let bearer = format!("Bearer {}", world.rpt("r1"));
    let with = [("authorization", bearer.as_str())];
    for (method, expected) in
        [("DELETE", 200), ("delete", 405), ("Get", 405), ("get", 405), ("move", 405), ("FOO", 405), ("BIND", 405), ("TRACK", 405)]
    {
        assert_eq!(world.answer_of(method, "/files/a", &with).await.0, expected, "{method}");
    }
}

#[tokio::test]
async fn one_permission_opens_all_that_follows_and_a_class_of_methods() {
    let routes = vec![route_with("/files/{rest..}", |guarded| {
        guarded.resource = Pattern::parse("/files").unwrap();
        guarded.scopes = MethodScopes::default();
        guarded.scopes.add("read", ScopeSet::parse("view").unwrap()).unwrap();
        guarded.scopes.add("write", ScopeSet::parse("edit").unwrap()).unwrap();
    })];
    let world = before_a_service(routes).await;
    assert_eq!(world.answer_of("GET", "/files/", &[]).await.0, 401);
    let bearer = format!("Bearer {}", world.rpt("r1"));
    let with = [("authorization", bearer.as_str())];
    for (method, path) in [("GET", "/files/"), ("GET", "/files/a/b.txt"), ("OPTIONS", "/files/a/"), ("PROPFIND", "/files/a/")] {
        assert_eq!(world.answer_of(method, path, &with).await, (200, format!("{method} {path} false")), "{method} {path}");
    }
    for (method, path, expected) in [("PUT", "/files/a", 401), ("GET", "/files", 404), ("TRACE", "/files/a", 405)] {
        assert_eq!(world.answer_of(method, path, &with).await.0, expected, "{method} {path}");
    }
}
