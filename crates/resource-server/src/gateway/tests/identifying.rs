//! What a service behind the gateway is told of a call: who makes it, and how it is reached.

use super::super::*;
use super::world::{RESOURCE, World, route_with, serve};
use axum::body::Body;
use jose::{KeySet, UnverifiedJws};
use serde_json::{Value, json};
use tower::ServiceExt;
use types::ScopeSet;
use types::peer::Proxies;

/// A gateway before a service at a path, which answers with the fields that it saw, sends whoever asks for `/away` to itself
/// under its own name, and sets a cookie.
async fn before_a_service() -> World {
    let answer = async |request: Request| {
        let fields = request.headers().iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
        let mut response = Response::new(Body::from(fields.collect::<String>()));
        let host = request.headers()["host"].to_str().unwrap();
        let location = format!("http://{host}/app/there?a=b");
        response.headers_mut().insert("location", location.parse().unwrap());
        response.headers_mut().insert("x-wayleave-subject", HeaderValue::from_static("evil"));
        response.headers_mut().append("set-cookie", HeaderValue::from_static("a=1; Path=/app/"));
        response
    };
    let behind = Behind::Upstream(format!("{}/app", serve(Router::new().fallback(answer)).await));
    let world = World::before(behind, Store::in_memory(), std::env::temp_dir().join("wayleave-no-folder")).await;
    world.gateway.replace_routes(vec![
        Route { path: Pattern::parse("/public").unwrap(), access: Access::Public(["GET".to_owned()].into()) },
        route_with("/mailed/{rest..}", |guarded| {
            guarded.resource = Pattern::parse("/all").unwrap();
            guarded.tells_email = true;
        }),
        route_with("/{rest..}", |guarded| {
            guarded.resource = Pattern::parse("/all").unwrap();
            guarded.scopes.add("PUT", ScopeSet::parse("edit").unwrap()).unwrap();
        }),
    ]);
    world.link().await;
    assert_eq!(world.status("/first", None).await, 401, "it is registered");
    world
}

/// Who sends them: anybody, or a trusted proxy.
fn call(path: &str, bearer: Option<&str>, is_trusted: bool) -> Request {
    let mut request = Request::get(path);
    for (name, value) in [
        ("x-wayleave-subject", "mallory"),
        ("X-Wayleave-Identity", "mallory"),
        ("X-Wayleave-Scopes", "everything"),
        ("X-Wayleave-Email", "mallory@evil.example"),
        ("X-Wayleave-Tomorrow", "mallory"),
        ("X_Wayleave_Client", "mallory"),
        ("x-wayleave_subject", "mallory"),
        ("x.wayleave.subject", "mallory"),
        ("X-WayleaveSubject", "mallory"),
        ("X-Forwarded-For", "198.51.100.66"),
        ("X-Forwarded-Host", "mallory.example"),
        ("X-Forwarded-Proto", "mallory"),
        ("X-Forwarded-Prefix", "/mallory"),
    ] {
        request = request.header(name, value);
    }
    if let Some(bearer) = bearer {
        request = request.header("authorization", format!("Bearer {bearer}"));
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Caller("192.0.2.7".parse().unwrap()));
    if is_trusted {
        request.extensions_mut().insert(Proxies(vec!["10.0.0.1".parse().unwrap()]));
        request.extensions_mut().insert(FromTrustedProxy);
    }
    request
}

async fn told(world: &World, path: &str, bearer: Option<&str>, is_trusted: bool) -> (Response, String) {
    let mut answer = world.gateway.clone().router().oneshot(call(path, bearer, is_trusted)).await.unwrap();
    let body = std::mem::take(answer.body_mut());
    let body = axum::body::to_bytes(body, 100_000).await.unwrap();
    (answer, String::from_utf8(body.to_vec()).unwrap())
}

fn field<'t>(told: &'t str, name: &str) -> Option<&'t str> {
    let mut all = told.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let (one, more) = (all.next(), all.next());
    assert_eq!(more, None, "{name} twice");
    one
}

#[tokio::test]
async fn threat_47_the_service_hears_of_the_gateway_alone_who_calls() {
    let world = before_a_service().await;
    let rpt = world.rpt("r1");
    for (is_trusted, way) in [(false, "192.0.2.7"), (true, "192.0.2.7, 10.0.0.1")] {
        let (answer, told) = told(&world, "/a", Some(&rpt), is_trusted).await;
        assert_eq!(answer.status(), 200);
        assert!(!told.contains("mallory") && !told.contains("everything") && !told.contains("198.51.100.66"), "{told}");
        for (name, value) in [
            ("x-wayleave-subject", "bob"),
            ("x-wayleave-client", "viewer"),
            ("x-wayleave-scopes", "view"),
            ("x-forwarded-for", way),
            ("x-forwarded-host", "photos.example"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-prefix", "/"),
        ] {
            assert_eq!(field(&told, name), Some(value), "{name}");
        }
        assert!(field(&told, "x-wayleave-email").is_none() && !told.contains("authorization"), "{told}");
        let (_, jwks) = self::told(&world, "/.wayleave/jwks", None, false).await;
        let keys = KeySet::from_json(&serde_json::from_str(&jwks).unwrap()).unwrap();
        let jwt = UnverifiedJws::parse(field(&told, "x-wayleave-identity").unwrap()).unwrap().verify(&keys).unwrap();
        let claims = jwt.claims::<Value>().unwrap().into_inner();
        let Behind::Upstream(upstream) = &world.gateway.settings.behind else { panic!() };
        assert_eq!(
            (&claims["iss"], &claims["aud"], &claims["sub"], &claims["client_id"], &claims["scope"]),
            (&json!(RESOURCE), &json!(upstream), &json!("bob"), &json!("viewer"), &json!("view"))
        );
        assert!(!answer.headers().contains_key("x-wayleave-subject"));
        assert_eq!(answer.headers()["location"], "https://photos.example/there?a=b");
        assert_eq!(answer.headers()["set-cookie"], "a=1; Path=/");
    }
}

#[tokio::test]
async fn of_who_sees_what_is_public_nothing_is_said() {
    let world = before_a_service().await;
    for is_trusted in [false, true] {
        let (answer, told) = told(&world, "/public", Some(&world.rpt("r1")), is_trusted).await;
        assert_eq!((answer.status().as_u16(), told.contains("wayleave-")), (200, false), "{told}");
        assert!(!told.contains("mallory"), "{told}");
        assert_eq!(field(&told, "x-forwarded-host"), Some("photos.example"));
    }
}

/// An RPT of Bob's that names him and his address so.
fn rpt_of(world: &World, resource_id: &str, sub: &str, email: &str) -> String {
    let now = world.gateway.client.clock.now().0;
    let claims = json!({"iss": world.issuer, "aud": RESOURCE, "jti": format!("{sub}{email}"), "iat": now, "exp": now + 600,
        "client_id": "viewer", "sub": sub, "email": email,
        "permissions": [{"resource_id": resource_id, "resource_scopes": ["view"]}]});
    world.key.sign("at+jwt", &claims).unwrap()
}

#[tokio::test]
async fn an_address_is_told_where_the_route_says_so() {
    let world = before_a_service().await;
    let email = async |path: &str, sent: &str| {
        let (answer, told) = told(&world, path, Some(&rpt_of(&world, "r1", "bob", sent)), false).await;
        assert_eq!(answer.status(), 200, "{sent}");
        field(&told, "x-wayleave-email").map(str::to_owned)
    };
    assert_eq!(email("/a", "bob@bar.example").await, None);
    assert_eq!(email("/mailed/a", "Bob@Bar.example").await.as_deref(), Some("bob@bar.example"));
    for wrong in ["bob@bar.example\r\nX-Wayleave-Scopes: all", "bob", "", "b\u{f6}b@bar.example", "bob@bar.example, x@y.example"]
    {
        assert_eq!(email("/mailed/a", wrong).await, None, "{wrong:?}");
    }
    let (_, told) = told(&world, "/a", Some(&rpt_of(&world, "r1", "bob\r\nX-Wayleave-Scopes: all", "x")), false).await;
    assert_eq!((field(&told, "x-wayleave-subject"), field(&told, "x-wayleave-scopes")), (None, Some("view")));
}

/// Row 47: an owner brings a server of her own, which says that Mallory is Bob.
#[tokio::test]
async fn threat_47_a_server_that_an_owner_brought_names_nobody_of_another() {
    let world = before_a_service().await;
    let settings = Settings {
        trust: Trust::Any,
        authorization_servers: vec!["https://as.example".into()],
        routes: world.gateway.routes().to_vec(),
        ..world.gateway.settings.clone()
    };
    let gateway = Gateway::open(settings, world.gateway.client.clone(), Store::in_memory(), By::default()).await.unwrap();
    let link = store::Link {
        access_token: "pat".into(),
        expires: gateway.client.clock.now().plus(3_600),
        ..link::new_link(Timestamp(1))
    };
    gateway.store.put_link("alice", &world.issuer, &link).await.unwrap();
    let open = async |bearer: Option<&str>| {
        let answer = gateway.clone().router().oneshot(call("/mailed/a", bearer, false)).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 100_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(open(None).await.0, 401, "it is registered");
    let (status, told) = open(Some(&rpt_of(&world, "r2", "bob", "bob@bar.example"))).await;
    assert_eq!(status, 200, "{told}");
    let subject = field(&told, "x-wayleave-subject").unwrap();
    assert!(subject.len() == 43 && field(&told, "x-wayleave-client").unwrap().len() == 43, "{told}");
    assert!(field(&told, "x-wayleave-email").is_none() && !told.contains("bob@"), "{told}");
}
