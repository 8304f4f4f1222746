//! Scripts of other origins, where the operator lists some.

use super::super::*;
use super::world::{World, route_with, serve};
use axum::body::Body;
use std::sync::atomic::Ordering;
use tower::ServiceExt;

const APP: &str = "https://app.example";

/// A gateway before a service that lets every origin in, with credentials; scripts of these may call.
async fn allowing(origins: &[&str]) -> (Arc<Gateway>, World) {
    let service = async || {
        let fields = [("access-control-allow-origin", "https://evil.example"), ("access-control-allow-credentials", "true")];
        (fields, [("etag", "1")], "here")
    };
    let behind = Behind::Upstream(serve(Router::new().fallback(service)).await);
    let world = World::before(behind, Store::in_memory(), std::env::temp_dir().join("wayleave-no-folder")).await;
    let everybody = Route { path: Pattern::parse("/open").unwrap(), access: Access::Public(["GET".to_owned()].into()) };
    let routes = vec![everybody, route_with("/{rest..}", |guarded| guarded.resource = Pattern::parse("/all").unwrap())];
    let cors_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    let settings = Settings { routes, cors_origins, ..world.gateway.settings.clone() };
    let store = Store::in_memory();
    let gateway = Gateway::open(settings, world.gateway.client.clone(), store, By::default()).await.unwrap();
    let now = gateway.client.clock.now();
    let link = store::Link { access_token: "pat".into(), expires: now.plus(3_600), ..link::new_link(now) };
    gateway.store.put_link("alice", &world.issuer, &link).await.unwrap();
    (gateway, world)
}

async fn call(gateway: &Arc<Gateway>, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    gateway.clone().router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

/// What is said to scripts.
fn said(answer: &Response) -> Vec<String> {
    let all = answer.headers().iter().filter(|(name, _)| name.as_str().starts_with("access-control-"));
    let mut all: Vec<String> =
        all.map(|(name, value)| format!("{}: {}", &name.as_str()[15..], value.to_str().unwrap())).collect();
    all.retain(|line| !line.starts_with("expose-headers"));
    all.sort();
    all
}

const PREFLIGHT: [(&str, &str); 2] =
    [("access-control-request-method", "GET"), ("access-control-request-headers", "authorization, X-Own")];

#[tokio::test]
async fn listed_origins_call_and_read_and_no_other() {
    let (gateway, world) = allowing(&[APP, "http://127.0.0.1:3000"]).await;
    let answer = call(&gateway, "OPTIONS", "/a/b", &[&PREFLIGHT[..], &[("origin", APP)]].concat()).await;
    assert_eq!(answer.status(), 204);
    let expected =
        ["allow-headers: authorization, x-own", "allow-methods: GET, HEAD", &format!("allow-origin: {APP}"), "max-age: 600"];
    assert_eq!(said(&answer), expected);
    assert_eq!(world.asked.tickets.load(Ordering::SeqCst), 0, "nobody was asked");
    let challenged = call(&gateway, "GET", "/a", &[("origin", APP)]).await;
    assert_eq!((challenged.status().as_u16(), said(&challenged)), (401, vec![format!("allow-origin: {APP}")]));
    assert!(challenged.headers()["access-control-expose-headers"].to_str().unwrap().contains("WWW-Authenticate"));
    let bearer = format!("Bearer {}", world.rpt("r1"));
    let read = call(&gateway, "GET", "/a", &[("origin", APP), ("authorization", &bearer)]).await;
    assert_eq!((read.status().as_u16(), said(&read)), (200, vec![format!("allow-origin: {APP}")]));
    for origin in
        ["https://evil.example", "https://app.example.evil.example", "https://app.example:8443", "null", "http://app.example", ""]
    {
        let preflight = call(&gateway, "OPTIONS", "/a", &[&PREFLIGHT[..], &[("origin", origin)]].concat()).await;
        assert_eq!((preflight.status().as_u16(), said(&preflight)), (405, vec![]), "{origin}");
        let read = call(&gateway, "GET", "/a", &[("origin", origin), ("authorization", &bearer)]).await;
        assert_eq!((read.status().as_u16(), said(&read)), (200, vec![]), "{origin}");
        let varies: Vec<_> = read.headers().get_all("vary").iter().collect();
        assert!(varies.iter().any(|value| *value == "Origin"), "{varies:?}");
    }
    let twice = call(&gateway, "GET", "/a", &[("origin", APP), ("origin", "https://evil.example")]).await;
    assert_eq!(said(&twice), [""; 0]);
    // the service says it of what everybody may see, and the gateway of its own places
    let open = call(&gateway, "GET", "/open", &[("origin", APP)]).await;
    assert_eq!(said(&open), ["allow-credentials: true", "allow-origin: https://evil.example"]);
    assert_eq!(said(&call(&gateway, "GET", "/.wayleave/link", &[("origin", APP)]).await), [""; 0]);
}

/// The gateway's own is no route's, in whatever letters it is written; what anybody may read of it goes on to be readable.
#[tokio::test]
async fn threat_26_the_gateways_own_places_are_no_routes_to_scripts() {
    let (gateway, _world) = allowing(&[APP]).await;
    for path in ["/%2ewayleave/logout", "/.wayleave/logout", "/.wayleave/%6cink", "/.well-known/oauth-protected-resource"] {
        let preflight = call(&gateway, "OPTIONS", path, &[&PREFLIGHT[..], &[("origin", APP)]].concat()).await;
        assert_ne!(preflight.status(), 204, "{path}");
        assert!(!said(&preflight).contains(&format!("allow-origin: {APP}")), "{path}");
    }
    for path in ["/.well-known/oauth-protected-resource", "/.wayleave/jwks"] {
        assert_eq!(said(&call(&gateway, "GET", path, &[("origin", APP)]).await), ["allow-origin: *"], "{path}");
    }
}

#[tokio::test]
async fn every_origin_may_be_let_in_and_never_with_credentials() {
    let (gateway, world) = allowing(&["*"]).await;
    let preflight = call(&gateway, "OPTIONS", "/a", &[&PREFLIGHT[..], &[("origin", "null")]].concat()).await;
    assert_eq!((preflight.status().as_u16(), said(&preflight).contains(&"allow-origin: *".to_owned())), (204, true));
    assert_eq!(call(&gateway, "GET", "/a", &[]).await.status(), 401);
    let bearer = format!("Bearer {}", world.rpt("r1"));
    let read = call(&gateway, "GET", "/a", &[("origin", "https://any.example"), ("authorization", &bearer)]).await;
    assert_eq!((read.status().as_u16(), said(&read)), (200, vec!["allow-origin: *".to_owned()]));
}

#[tokio::test]
async fn nothing_is_said_where_none_is_listed() {
    let (gateway, world) = allowing(&[]).await;
    let preflight = call(&gateway, "OPTIONS", "/a", &[&PREFLIGHT[..], &[("origin", APP)]].concat()).await;
    assert_eq!((preflight.status().as_u16(), said(&preflight)), (405, vec![]));
    assert_eq!(call(&gateway, "GET", "/a", &[]).await.status(), 401);
    let bearer = format!("Bearer {}", world.rpt("r1"));
    let read = call(&gateway, "GET", "/a", &[("origin", APP), ("authorization", &bearer)]).await;
    assert_eq!(said(&read), ["allow-credentials: true", "allow-origin: https://evil.example"], "the service's own");
}
