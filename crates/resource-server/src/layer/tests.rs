use super::*;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::post;
use client::{Client, Credentials};
use jose::{Clock, SystemClock, SystemRandomness};
use outbound::{Outbound, Settings};
use serde_json::json;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tower::ServiceExt;
use types::metadata::Metadata;
use types::{ScopeSet, Timestamp};

/// One whose authorization server is nowhere: whoever asks it is answered 403.
fn server() -> Arc<ResourceServer> {
    let client = Client {
        outbound: Outbound::new(Settings { allow_http: true, allow_private_networks: true, ..Settings::default() }).unwrap(),
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials: Credentials::secret("notes-rs", "notes-secret"),
        dpop_key: None,
    };
    let metadata = Metadata {
        issuer: "http://127.0.0.1:1".into(),
        token_endpoint: "http://127.0.0.1:1/token".into(),
        ..Metadata::default()
    };
    Arc::new(ResourceServer::new(Protection { client, metadata }, "notes", "http://127.0.0.1:9100"))
}

#[tokio::test]
async fn threat_47_s38_a_service_behind_the_layer_sees_no_doubled_credentials() {
    let reached = Arc::new(AtomicBool::new(false));
    let reach = reached.clone();
    let service = tower::service_fn(move |_: Request| {
        reach.store(true, Ordering::SeqCst);
        std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())))
    });
    let need = Need { resource: ResourceId::from("note"), scopes: ScopeSet::parse("read").unwrap() };
    let guarded = UmaLayer::new(server(), move |_| Some(need.clone())).layer(service);
    for (fields, status, scheme) in [
        (&[("authorization", "Bearer a"), ("authorization", "Bearer b")][..], 400, "Bearer "),
        (&[("authorization", "Bearer a, Bearer b")], 400, "Bearer "),
        (&[("authorization", "DPoP a"), ("dpop", "p"), ("dpop", "q")], 401, "DPoP "),
    ] {
        let mut request = http::Request::builder().uri("/notes/1");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let answer = guarded.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), status, "{fields:?}");
        assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with(scheme), "{fields:?}");
    }
    assert!(!reached.load(Ordering::SeqCst));
}

/// A service of an application: one note behind the layer, by a route that decodes what it is named with; `/open/{name}` is
/// everybody's. Its authorization server is nowhere: what is protected is answered 403.
fn notes() -> Router {
    let need = Need { resource: ResourceId::from("note"), scopes: ScopeSet::parse("read").unwrap() };
    let names = move |parts: &Parts| (parts.method == Method::GET && parts.uri.path() == "/notes/secret").then(|| need.clone());
    let note = axum::routing::get(|axum::extract::Path(name): axum::extract::Path<String>| async move { name });
    Router::new().route("/notes/{name}", note.clone()).route("/open/{name}", note).layer(UmaLayer::new(server(), names))
}

/// Threat 26: a path in other letters is the same place, and `HEAD` says what `GET` would.
#[tokio::test]
async fn threat_26_another_spelling_is_no_way_past_the_layer() {
    let nested = Router::new().nest("/api", notes());
    for (method, path, status) in [
        ("GET", "/notes/secret", 403),
        ("HEAD", "/notes/secret", 403),
        ("GET", "/notes/s%65cret", 403),
        ("GET", "/notes/%73%65%63%72%65%74", 403),
        ("HEAD", "/notes/s%65cret?x=1", 403),
        ("GET", "/notes%2fsecret", 400),
        ("GET", "/open/%2e%2e/notes/secret", 400),
        ("GET", "/open/../notes/secret", 400),
        ("GET", "//notes/secret", 400),
        ("GET", "/notes/secret%00", 400),
        ("GET", "/notes/secret;x", 400),
        ("GET", "/notes/s%2565cret", 400),
        ("GET", "/notes/secret/", 404),
        ("GET", "/notes/another", 200),
        ("GET", "/open/a%20note", 200),
        ("HEAD", "/open/secret", 200),
    ] {
        for (router, base) in [(notes(), ""), (nested.clone(), "/api")] {
            let request = http::Request::builder().method(method).uri(format!("{base}{path}")).body(Body::empty()).unwrap();
            let answer = router.oneshot(request).await.unwrap();
            // what no route of a nested router takes does not come to its layer
            let is_nowhere = status == 400 && !base.is_empty() && answer.status() == 404;
            assert!(is_nowhere || answer.status() == status, "{method} {base}{path}: {}", answer.status());
        }
    }
}

/// A clock in the hand of the test.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// An authorization server that gives PATs for 300 seconds until it hangs, and knows one RPT until it is withdrawn.
struct Asked {
    clock: Arc<Hand>,
    pats: AtomicUsize,
    hangs: AtomicBool,
    withdrawn: AtomicBool,
}

async fn asked_server() -> (Arc<ResourceServer>, Arc<Asked>) {
    let asked = Arc::new(Asked {
        clock: Arc::new(Hand(AtomicI64::new(1_000))),
        pats: AtomicUsize::new(0),
        hangs: AtomicBool::new(false),
        withdrawn: AtomicBool::new(false),
    });
    let (a, b) = (asked.clone(), asked.clone());
    let pat = move || {
        let asked = a.clone();
        async move {
            asked.pats.fetch_add(1, Ordering::SeqCst);
            if asked.hangs.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            axum::Json(json!({"access_token": "pat", "token_type": "Bearer", "expires_in": 300}))
        }
    };
    let introspect = move || {
        let active = !b.withdrawn.load(Ordering::SeqCst);
        let permissions = json!([{"resource_id": "note", "resource_scopes": ["read"]}]);
        std::future::ready(axum::Json(json!({"active": active, "permissions": permissions})))
    };
    let ticket = || std::future::ready((http::StatusCode::CREATED, axum::Json(json!({"ticket": "t"}))));
    let router = Router::new().route("/token", post(pat)).route("/introspect", post(introspect)).route("/perm", post(ticket));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut client = server().protection.client.clone();
    client.clock = asked.clock.clone();
    let metadata = Metadata {
        token_endpoint: format!("{issuer}/token"),
        introspection_endpoint: Some(format!("{issuer}/introspect")),
        permission_endpoint: Some(format!("{issuer}/perm")),
        issuer,
        ..Metadata::default()
    };
    (Arc::new(ResourceServer::new(Protection { client, metadata }, "notes", "http://127.0.0.1:9100")), asked)
}

/// A service behind the layer that reads what it is sent, and keeps what came whole.
type Kept = Arc<std::sync::Mutex<Vec<Bytes>>>;

async fn send(server: &Arc<ResourceServer>, kept: &Kept, body: Body) -> u16 {
    let kept = kept.clone();
    let service = tower::service_fn(move |request: Request| {
        let kept = kept.clone();
        async move {
            if let Ok(whole) = axum::body::to_bytes(request.into_body(), 1 << 20).await {
                kept.lock().unwrap().push(whole);
            }
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let need = Need { resource: ResourceId::from("note"), scopes: ScopeSet::parse("read").unwrap() };
    let guarded = UmaLayer::new(server.clone(), move |_| Some(need.clone())).layer(service);
    let request = http::Request::put("/notes/1").header("authorization", "Bearer rpt").body(body).unwrap();
    guarded.oneshot(request).await.unwrap().status().as_u16()
}

/// Row 46: whoever has a PAT that is good waits for nobody who gets another.
#[tokio::test]
async fn threat_46_s23_a_pat_that_is_got_anew_keeps_nobody_waiting() {
    let (server, asked) = asked_server().await;
    let kept = Kept::default();
    let calls = (0..20).map(|_| send(&server, &kept, Body::empty()));
    assert!(futures_util::future::join_all(calls).await.iter().all(|status| *status == 200));
    assert_eq!(asked.pats.load(Ordering::SeqCst), 1, "one at a time gets it");
    asked.hangs.store(true, Ordering::SeqCst);
    asked.clock.0.fetch_add(250, Ordering::SeqCst);
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(send(&server, &kept, Body::empty()).await, 200);
        tokio::task::yield_now().await;
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    while asked.pats.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
}

/// Row 44 at the layer: what is sent while it may arrives, and what outlives the permission does not.
#[tokio::test]
async fn threat_44_s18_a_service_behind_the_layer_takes_nothing_after_a_withdrawal() {
    let (server, asked) = asked_server().await;
    let kept = Kept::default();
    assert_eq!(send(&server, &kept, Body::from("whole")).await, 200);
    let (pieces, mut body) = tokio::sync::mpsc::channel::<Result<Bytes, Infallible>>(1);
    let body = futures_util::stream::poll_fn(move |context| body.poll_recv(context));
    let sending = send(&server, &kept, Body::from_stream(body));
    let withdrawing_it = asked.clone();
    let withdrawing = async move {
        pieces.send(Ok(Bytes::from_static(b"half"))).await.unwrap();
        // there is room again only when somebody who was let in reads
        let room = pieces.reserve().await.unwrap();
        withdrawing_it.withdrawn.store(true, Ordering::SeqCst);
        // an answer of introspection is kept for a second, by a clock that no test sets either
        tokio::time::sleep(Duration::from_millis(900)).await;
        room.send(Ok(Bytes::from_static(b"rest")));
    };
    let (status, ()) = tokio::join!(sending, withdrawing);
    assert_eq!(status, 403);
    assert_eq!(*kept.lock().unwrap(), [Bytes::from_static(b"whole")]);
    asked.withdrawn.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(900)).await;
    let limited = ResourceServer::new(server.protection.clone(), "notes", "http://127.0.0.1:9100");
    let limited = Arc::new(limited.limiting(UploadLimits { max_bytes: 3, ..UploadLimits::default() }));
    assert_eq!(send(&limited, &kept, Body::from("four")).await, 413);
    assert_eq!(kept.lock().unwrap().len(), 1);
}
