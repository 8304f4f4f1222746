//! A proxy asks whether a call may pass (design/browser.md, *Forward-auth*): who may ask, what it may ask about, and what is told.

mod identified;
mod twice;

use super::super::*;
use super::world::{RESOURCE, World, route_with, serve};
use axum::body::Body;
use jose::{KeySet, UnverifiedJws};
use serde_json::{Value, json};
use tower::ServiceExt;
use types::ScopeSet;

/// A gateway before a service that has everything, which a proxy serves.
async fn asked(family: OriginalIn) -> World {
    let behind = Behind::Upstream(serve(Router::new().fallback(async || "well")).await);
    let folder = std::env::temp_dir().join("wayleave-no-folder");
    let mut world = World::before(behind, Store::in_memory(), folder).await;
    let scopes = |guarded: &mut Guarded, methods: &[&str], scope: &str| {
        for method in methods {
            guarded.scopes.add(method, ScopeSet::parse(scope).unwrap()).unwrap();
        }
    };
    let routes = vec![
        Route { path: Pattern::parse("/public/{rest..}").unwrap(), access: Access::Public(["GET".to_owned()].into()) },
        route_with("/live", |guarded| {
            guarded.resource = Pattern::parse("/all").unwrap();
            guarded.takes_web_sockets = true;
        }),
        route_with("/mine/{rest..}", |guarded| {
            guarded.resource = Pattern::parse("/all").unwrap();
            scopes(guarded, &["PUT", "DELETE"], "edit");
            scopes(guarded, &["MOVE", "COPY", "PROPFIND", "LOCK"], "view");
        }),
        route_with("/other/{rest..}", |guarded| {
            guarded.resource = Pattern::parse("/other").unwrap();
            scopes(guarded, &["MOVE", "COPY"], "view");
        }),
    ];
    let settings = Settings { forward_auth: Some(family), routes, ..world.gateway.settings.clone() };
    let client = world.gateway.client.clone();
    world.gateway = Gateway::open(settings, client, Store::in_memory(), By::default()).await.unwrap();
    world.link().await;
    let first = ask(&world, "GET", "/mine/a", &[]).await;
    assert_eq!(first.0, 401, "it is registered");
    world
}

/// What a proxy is answered: the status, the fields and the text.
type Answered = (u16, http::HeaderMap, String);

fn field<'a>(answered: &'a Answered, name: &str) -> Option<&'a str> {
    answered.1.get(name).map(|value| value.to_str().unwrap())
}

async fn send(world: &World, request: http::request::Builder, is_trusted: bool) -> Answered {
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Caller("192.0.2.7".parse().unwrap()));
    if is_trusted {
        request.extensions_mut().insert(FromTrustedProxy);
    }
    let answer = world.gateway.clone().router().oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (parts.status.as_u16(), parts.headers, String::from_utf8(bytes.to_vec()).unwrap())
}

/// As the gateway's family has it.
fn about(world: &World, place: &str, method: &str, path: &str, fields: &[(&str, &str)]) -> http::request::Builder {
    let mut request = Request::get(place);
    let named = match world.gateway.settings.forward_auth.unwrap() {
        OriginalIn::Original => vec![("x-original-method", method.to_owned()), ("x-original-url", format!("{RESOURCE}{path}"))],
        OriginalIn::Forwarded => vec![
            ("x-forwarded-method", method.to_owned()),
            ("x-forwarded-proto", "https".to_owned()),
            ("x-forwarded-host", "photos.example".to_owned()),
            ("x-forwarded-uri", path.to_owned()),
        ],
    };
    for (name, value) in named {
        request = request.header(name, value);
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request
}

async fn ask(world: &World, method: &str, path: &str, fields: &[(&str, &str)]) -> Answered {
    send(world, about(world, "/.wayleave/auth", method, path, fields), true).await
}

/// As nginx does.
async fn ask_for_nginx(world: &World, method: &str, path: &str, fields: &[(&str, &str)]) -> Answered {
    send(world, about(world, "/.wayleave/auth?redirect=no", method, path, fields), true).await
}

fn bearer(world: &World) -> String {
    format!("Bearer {}", world.rpt("r1"))
}

#[tokio::test]
async fn a_proxy_hears_who_calls_as_the_service_would() {
    for family in [OriginalIn::Original, OriginalIn::Forwarded] {
        let world = asked(family).await;
        let bearer = bearer(&world);
        let planted =
            [("authorization", bearer.as_str()), ("x-wayleave-subject", "mallory"), ("x-wayleave-email", "m@evil.example")];
        for (method, path) in [("GET", "/mine/a"), ("HEAD", "/mine/a?b=%2F..%2f&c"), ("GET", "/mine/caf%C3%A9/")] {
            let answered = ask(&world, method, path, &planted).await;
            assert_eq!(answered.0, 200, "{method} {path}: {}", answered.2);
            for (name, value) in [("x-wayleave-subject", "bob"), ("x-wayleave-client", "viewer"), ("x-wayleave-scopes", "view")] {
                assert_eq!(field(&answered, name), Some(value), "{name}");
            }
            assert!(!answered.1.contains_key("x-wayleave-email") && field(&answered, "cache-control") == Some("no-store"));
            let keys = KeySet::from_json(&json!({"keys": [world.gateway.key.public().to_jwk()]})).unwrap();
            let jwt = UnverifiedJws::parse(field(&answered, "x-wayleave-identity").unwrap()).unwrap().verify(&keys).unwrap();
            let claims = jwt.claims::<Value>().unwrap().into_inner();
            let Behind::Upstream(upstream) = &world.gateway.settings.behind else { panic!() };
            assert_eq!((&claims["iss"], &claims["aud"], &claims["sub"]), (&json!(RESOURCE), &json!(upstream), &json!("bob")));
        }
        let public = ask(&world, "GET", "/public/style.css", &planted).await;
        assert!(public.0 == 200 && !public.1.keys().any(|name| name.as_str().starts_with("x-wayleave")), "{:?}", public.1);
        let challenged = ask(&world, "GET", "/mine/a", &[]).await;
        assert!(challenged.0 == 401 && field(&challenged, "www-authenticate").unwrap().starts_with("UMA "), "{:?}", challenged.1);
    }
}

#[tokio::test]
async fn threat_47_nobody_but_a_trusted_proxy_asks() {
    let mut world = asked(OriginalIn::Original).await;
    let bearer = bearer(&world);
    let good = |place: &str| about(&world, place, "GET", "/mine/a", &[("authorization", bearer.as_str())]);
    assert_eq!(send(&world, good("/.wayleave/auth"), false).await.0, 403);
    assert_eq!(send(&world, good("/.wayleave/auth/mine/a"), false).await.0, 403);
    assert_eq!(send(&world, good("/.wayleave/auth"), true).await.0, 200);
    for method in ["POST", "HEAD", "PUT"] {
        let answered = send(&world, good("/.wayleave/auth").method(method), true).await;
        assert_eq!((answered.0, field(&answered, "allow")), (405, Some("GET")), "{method}");
    }
    assert_eq!(send(&world, good("/.wayleave/authority"), true).await.0, 404);
    // where a proxy writes the path behind that, it names the same call
    for (place, expected) in [("/.wayleave/auth/mine/a", 200), ("/.wayleave/auth/mine/b", 400), ("/.wayleave/auth/", 400)] {
        assert_eq!(send(&world, good(place).method("POST"), true).await.0, expected, "{place}");
    }
    let settings = Settings { forward_auth: None, ..world.gateway.settings.clone() };
    let request = good("/.wayleave/auth");
    let client = world.gateway.client.clone();
    world.gateway = Gateway::open(settings, client, Store::in_memory(), By::default()).await.unwrap();
    assert_eq!(send(&world, request, true).await.0, 404, "the operator wants none");
}

/// What an ask does not say in one way is no call; the other family says nothing.
#[tokio::test]
async fn threat_26_an_ask_names_one_call_of_this_gateway() {
    let world = asked(OriginalIn::Original).await;
    let bearer = bearer(&world);
    let other = [
        ("x-forwarded-method", "DELETE"),
        ("x-forwarded-uri", "/other/a"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "gopher"),
        ("authorization", bearer.as_str()),
    ];
    assert_eq!(ask(&world, "GET", "/mine/a", &other).await.0, 200, "of the other family nobody hears");
    let (method, url) = ("x-original-method", "x-original-url");
    let good = "https://photos.example/mine/a";
    for fields in [
        &[][..],
        &[(method, "GET")],
        &[(url, good)],
        &[(method, "GET"), (url, good), (url, good)],
        &[(method, "GET"), (method, "GET"), (url, good)],
        &[(method, "GET"), (url, "/mine/a")],
        &[(method, "GET"), (url, "https://evil.example/mine/a")],
        &[(method, "GET"), (url, "https://photos.example:8443/mine/a")],
        &[(method, "GET"), (url, "https://photos.example.evil.example/mine/a")],
        &[(method, "GET"), (url, "https://photos.example@evil.example/mine/a")],
        &[(method, "GET"), (url, "https://bob@photos.example/mine/a")],
        &[(method, "GET"), (url, "http://photos.example/mine/a")],
        &[(method, "GET"), (url, "//photos.example/mine/a")],
        &[(method, "GET"), (url, "https://evil.example\\@photos.example/mine/a")],
        &[(method, "GET"), (url, "")],
        &[(method, ""), (url, good)],
        &[(method, "GET, DELETE"), (url, good)],
    ] {
        for place in ["/.wayleave/auth", "/.wayleave/auth?redirect=no"] {
            let mut request = Request::get(place).header("authorization", &bearer);
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            assert_eq!(send(&world, request, true).await.0, 400, "{fields:?}");
        }
    }
    let world = asked(OriginalIn::Forwarded).await;
    let bearer = format!("Bearer {}", world.rpt("r1"));
    for doubled in ["x-forwarded-method", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-uri"] {
        assert_eq!(
            ask(&world, "GET", "/mine/a", &[("authorization", bearer.as_str()), (doubled, "GET")]).await.0,
            400,
            "{doubled}"
        );
    }
    let other = [(method, "DELETE"), (method, "DELETE"), (url, "https://evil.example/"), ("authorization", bearer.as_str())];
    assert_eq!(ask(&world, "GET", "/mine/a", &other).await.0, 400, "a proxy that names calls by these lets callers write those");
}

/// What a service might read in another way than it was judged lets nothing pass.
#[tokio::test]
async fn threat_26_what_a_proxy_hands_on_is_what_was_judged() {
    let world = asked(OriginalIn::Original).await;
    let bearer = bearer(&world);
    let call = async |method: &str, path: &str, fields: &[(&str, &str)]| {
        let all = [&[("authorization", bearer.as_str())], fields].concat();
        let (whole, three) = (ask(&world, method, path, &all).await.0, ask_for_nginx(&world, method, path, &all).await.0);
        (whole, three)
    };
    for path in [
        "/mine/../other/a",
        "/mine/%2e%2e/other/a",
        "/mine//a",
        "//mine/a",
        "/public/..%2fmine/a",
        "/public/%2e%2e/mine/a",
        "/public/x;/../mine",
        "/public\\..\\mine",
        "/public/a#/../../mine",
        "/mine/a%00",
        "/mine/a%0d%0aX-Wayleave-Subject:%20alice",
        "/mine/%zz",
    ] {
        assert_eq!(call("GET", path, &[]).await, (400, 403), "{path}");
    }
    for (path, expected) in [
        ("/none", 404),
        ("/.wayleave/manage/resources", 404),
        ("/.wayleave/visit", 404),
        ("/.well-known/oauth-protected-resource", 404),
        ("/mine", 404),
        ("/mine/a?access_token=x", 400),
    ] {
        assert_eq!(call("GET", path, &[]).await, (expected, 403), "{path}");
    }
    for (method, path) in
        [("POST", "/mine/a"), ("CONNECT", "/mine/a"), ("get", "/mine/a"), ("POST", "/public/a"), ("TRACE", "/public/a")]
    {
        assert_eq!(call(method, path, &[]).await, (405, 403), "{method} {path}");
    }
    for (method, path, fields, expected) in [
        ("PUT", "/mine/a", &[][..], 401),
        ("GET", "/other/a", &[], 401),
        ("MOVE", "/mine/a", &[("destination", "/mine/b")], 403),
        ("MOVE", "/mine/a", &[], 400),
        ("COPY", "/mine/a", &[("destination", "https://evil.example/mine/b")], 403),
        ("COPY", "/mine/a", &[("destination", "/other/b"), ("depth", "0")], 403),
        ("GET", "/mine/a", &[("depth", "0"), ("depth", "infinity")], 400),
        ("GET", "/mine/a", &[("x-http-method-override", "DELETE")], 403),
        ("GET", "/mine/a", &[("x-rewrite-url", "/other/a")], 403),
        ("GET", "/public/a", &[("x-rewrite-url", "/mine/a")], 403),
        ("GET", "/mine/a", &[("x_wayleave_subject", "alice")], 403),
        ("GET", "/mine/a", &[("x.wayleave.subject", "alice")], 403),
        ("GET", "/mine/a", &[("x_forwarded_for", "127.0.0.1")], 403),
        ("GET", "/mine/a", &[("upgrade", "h2c")], 403),
        ("GET", "/mine/a", &[("http2-settings", "x")], 403),
        ("GET", "/public/a", &[("upgrade", "websocket")], 403),
        ("GET", "/mine/a", &[("authorization", "Bearer other")], 400),
    ] {
        let three = if expected == 401 { 401 } else { 403 };
        assert_eq!(call(method, path, fields).await, (expected, three), "{method} {path} {fields:?}");
    }
    for (fields, expected) in
        [(&[("x-original-uri", "/other/a")][..], 200), (&[("x-real-ip", "192.0.2.7")], 200), (&[("expect", "100-continue")], 200)]
    {
        assert_eq!(call("GET", "/mine/a", fields).await.0, expected, "{fields:?}");
    }
}

#[tokio::test]
async fn threat_39_a_web_socket_is_judged_however_the_proxy_shows_it() {
    let world = asked(OriginalIn::Original).await;
    let bearer = bearer(&world);
    let (key, version) = (("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("sec-websocket-version", "13"));
    let upgrade = ("upgrade", "websocket");
    for (path, fields, expected) in [
        ("/live", &[upgrade, key, version][..], 200),
        ("/live", &[key, version], 200),
        ("/live", &[("connection", "close"), upgrade, key, version], 200),
        ("/live", &[], 200),
        ("/live", &[upgrade], 403),
        ("/live", &[upgrade, upgrade, key, version], 403),
        ("/live", &[upgrade, key, key, version], 403),
        ("/live", &[upgrade, key, ("sec-websocket-version", "8")], 403),
        ("/live", &[("upgrade", "websocket, h2c"), key, version], 403),
        ("/mine/a", &[upgrade, key, version], 403),
        ("/mine/a", &[key, version], 403),
        ("/public/a", &[key, version], 403),
    ] {
        let all = [&[("authorization", bearer.as_str())], fields].concat();
        assert_eq!(ask(&world, "GET", path, &all).await.0, expected, "{path} {fields:?}");
    }
}

/// A person is led; programs and scripts are not.
#[tokio::test]
async fn a_person_is_sent_on_a_visit_and_comes_back_to_where_she_was() {
    let world = asked(OriginalIn::Original).await;
    let html = [("accept", "text/html"), ("sec-fetch-mode", "navigate")];
    let place = "https://photos.example/.wayleave/visit?to=%2Fmine%2Fa%2520b%3Fx%3D%252F%26y%3D%252f".to_owned();
    let sent = ask(&world, "GET", "/mine/a%20b?x=%2F&y=%2f", &html).await;
    assert_eq!((sent.0, field(&sent, "location")), (302, Some(place.as_str())));
    assert!(!sent.1.contains_key("set-cookie") && !sent.1.contains_key("x-wayleave-visit"));
    let told = ask_for_nginx(&world, "GET", "/mine/a%20b?x=%2F&y=%2f", &html).await;
    assert_eq!((told.0, field(&told, "x-wayleave-visit")), (401, Some(place.as_str())));
    assert!(field(&told, "www-authenticate").unwrap().starts_with("UMA ") && !told.1.contains_key("location"));
    let other = format!("Bearer {}", world.rpt("r9"));
    for (method, fields) in [
        ("GET", &[("accept", "*/*")][..]),
        ("GET", &[("accept", "text/html"), ("sec-fetch-mode", "cors")]),
        ("HEAD", &html),
        ("GET", &[("accept", "text/html"), ("authorization", other.as_str())]),
    ] {
        for answered in [ask(&world, method, "/mine/a", fields).await, ask_for_nginx(&world, method, "/mine/a", fields).await] {
            assert!(answered.0 == 401 && !answered.1.contains_key("x-wayleave-visit"), "{method} {fields:?}: {}", answered.0);
        }
    }
    // where nothing is guarded nobody is led, and too long a way is none
    let long = format!("/mine/{}", "a".repeat(2_000));
    assert_eq!((ask(&world, "GET", "/none", &html).await.0, ask(&world, "GET", &long, &html).await.0), (404, 401));
    assert_eq!((ask_for_nginx(&world, "GET", "/none", &html).await.0), 403);
}

/// The gateway's own cookies do not go on to a service by a proxy either.
#[tokio::test]
async fn threat_42_a_proxy_is_told_the_cookies_that_are_the_services() {
    let world = asked(OriginalIn::Original).await;
    for (lines, expected) in [
        (&[][..], None),
        (&["a=1; wl_session_0a1b2c3d=secret; b=2"], Some("a=1; b=2")),
        (&["__Host-wl_session=secret", "c=3"], Some("c=3")),
        (&["__Host-wl_visit_x=secret"], Some("_=")),
    ] {
        let fields: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
        let answered = ask(&world, "GET", "/public/a", &fields).await;
        assert_eq!((answered.0, field(&answered, "cookie")), (200, expected), "{lines:?}");
    }
}
