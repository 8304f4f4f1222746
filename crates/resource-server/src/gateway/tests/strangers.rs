//! Row 41: what anybody can make a gateway write, register and fetch.

use super::super::*;
use super::world::{World, serve};
use axum::body::Body;
use http::Method;
use std::sync::atomic::Ordering;

/// A service that has `/real` and nothing else, and changes at anything but `GET` and `HEAD`.
async fn service() -> (Behind, Arc<std::sync::atomic::AtomicUsize>) {
    let changed = Arc::<std::sync::atomic::AtomicUsize>::default();
    let count = changed.clone();
    let router = Router::new().fallback(move |request: Request| {
        if !matches!(*request.method(), Method::GET | Method::HEAD) || request.headers().contains_key("cookie") {
            count.fetch_add(1, Ordering::SeqCst);
        }
        let status = if request.uri().path() == "/real" { StatusCode::OK } else { StatusCode::NOT_FOUND };
        async move { status }
    });
    (Behind::Upstream(serve(router).await), changed)
}

async fn before_a_service() -> (World, Arc<std::sync::atomic::AtomicUsize>) {
    let (behind, changed) = service().await;
    let world = World::before(behind, Store::in_memory(), std::env::temp_dir().join("wayleave-no-folder")).await;
    world.link().await;
    (world, changed)
}

/// What a service answers to a query is found by it, and a service that does not know `HEAD` is asked for a byte.
#[tokio::test]
async fn threat_41_s16_the_service_is_asked_as_it_can_answer() {
    let headers = Arc::<StdMutex<Vec<String>>>::default();
    let seen = headers.clone();
    let router = Router::new().fallback(move |request: Request| {
        seen.lock().unwrap().extend(request.headers().keys().map(|name| name.as_str().to_owned()));
        let is_asked_for_a_byte = request.headers().get("range").is_some_and(|range| range == "bytes=0-0");
        let status = match (request.uri().path(), request.uri().query(), request.method()) {
            ("/search", Some("q=1"), _) => StatusCode::OK,
            ("/get-only", _, &Method::GET) if is_asked_for_a_byte => StatusCode::PARTIAL_CONTENT,
            ("/get-only" | "/gone", _, &Method::HEAD) => StatusCode::METHOD_NOT_ALLOWED,
            ("/no-head", _, &Method::HEAD) => StatusCode::NOT_IMPLEMENTED,
            ("/no-head", ..) => StatusCode::OK,
            _ => StatusCode::NOT_FOUND,
        };
        async move { status }
    });
    let behind = Behind::Upstream(serve(router).await);
    let world = World::before(behind, Store::in_memory(), std::env::temp_dir().join("wayleave-no-folder")).await;
    world.link().await;
    for (path, status) in
        [("/search", 404), ("/search?q=2", 404), ("/search?q=1", 401), ("/get-only", 401), ("/no-head", 401), ("/gone", 404)]
    {
        assert_eq!(world.status(path, None).await, status, "{path}");
    }
    assert_eq!(world.registered(), ["/search", "/get-only", "/no-head"]);
    let headers = headers.lock().unwrap();
    assert!(headers.iter().all(|name| ["host", "via", "range"].contains(&name.as_str())), "{headers:?}");
}

#[tokio::test]
async fn threat_41_s16_only_what_the_service_answers_for_is_registered() {
    let (world, changed) = before_a_service().await;
    for n in 0..20 {
        assert_eq!(world.status(&format!("/made-up-{n}"), None).await, 404);
    }
    assert!(world.registered().is_empty());
    assert_eq!(world.status("/real", None).await, 401);
    assert_eq!(world.registered(), ["/real"]);
    assert_eq!(changed.load(Ordering::SeqCst), 0, "the service was asked and nothing else");
    let mut limited = 0;
    for n in 0..200 {
        limited += usize::from(world.status(&format!("/more-{n}"), None).await == 429);
    }
    assert!(limited > 50, "{limited}");
    let wait = world.get("/one-more", None).await.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
    assert!((1..=3_600).contains(&wait), "it says when to come again: {wait}");
    assert_eq!(world.status("/real", None).await, 401, "what is known stays as it was");
    assert_eq!(world.gateway.store.list_registrations("alice").await.unwrap().len(), 1);
}

/// A service that is down says nothing: neither that a thing is there, nor that it is not.
#[tokio::test]
async fn threat_41_s16_what_a_service_does_not_say_is_not_told() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let behind = Behind::Upstream(format!("http://{nobody}"));
    let world = World::before(behind, Store::in_memory(), std::env::temp_dir().join("wayleave-no-folder")).await;
    world.link().await;
    assert_eq!(world.status("/real", None).await, 502);
    assert!(world.registered().is_empty());
}

#[tokio::test]
async fn threat_41_s16_tokens_of_unknown_issuers_are_one_line() {
    let world = World::new(Store::in_memory(), &["a.jpg", "b.jpg"]).await;
    world.link().await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    for n in 0..100 {
        let claims = serde_json::json!({"iss": format!("https://{n}.example"), "permissions": [{"resource_id": n, "x": n}]});
        let path = if n % 2 == 0 { "/a.jpg" } else { "/b.jpg" };
        assert_eq!(world.status(path, Some(&key.sign("at+jwt", &claims).unwrap())).await, 401);
    }
    world.gateway.write_history().await;
    let told = world.gateway.store.list_history("alice", None, 1_000).await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].count, 100);
}

#[tokio::test]
async fn threat_41_s17_a_link_that_nobody_finishes_writes_nothing() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let answer = world.get("/.wayleave/link?owner=alice", None).await;
    assert_eq!(answer.status(), 303);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    let to = url::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    let state = to.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    assert!(!cookie.contains(&state), "it is sealed");
    assert_eq!(world.asked.pushed.load(Ordering::SeqCst), 0);
    assert!(world.gateway.store.take_begun(&state, Timestamp(0)).await.unwrap().is_none(), "no row");
    // of another browser, or made up
    for cookie in ["", "wl_link=made-up", "wl_link=", &format!("wl_link={state}")] {
        let request = Request::get(format!("/.wayleave/callback?state={state}&code=c")).header("cookie", cookie);
        let router = world.gateway.clone().router();
        let answer = tower::ServiceExt::oneshot(router, request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 400, "{cookie}");
    }
}

/// Where all owners have one PAT, made-up names of owners have one limit.
#[tokio::test]
async fn threat_41_s16_made_up_owners_of_one_account_have_one_limit() {
    let (world, _) = before_a_service().await;
    let routes = vec![super::world::route_with("/{user}/{file}", |guarded| guarded.owner = OwnerOf::Path("user".into()))];
    let settings = Settings { pat: PatBy::ClientCredentials, routes, ..world.gateway.settings.clone() };
    let client = world.gateway.client.clone();
    let gateway = Gateway::open(settings, client, Store::in_memory(), By::default()).await.unwrap();
    let mut taken = 0;
    for n in 0..1_000 {
        let path = path::CanonicalPath::parse(&format!("/made-up-{n}/x")).unwrap();
        let mut request = Request::put(path.encoded()).body(()).unwrap();
        request.extensions_mut().insert(Caller(std::net::IpAddr::from([10, 0, u8::try_from(n % 250).unwrap(), 1])));
        let mut parts = request.into_parts().0;
        parts.method = Method::GET;
        let wanted = gateway.wanted(&mut parts, &path).await.unwrap();
        parts.method = Method::PUT;
        taken += usize::from(gateway.check_stranger(&wanted, &path, strangers::Asker::of(&parts)).await.is_ok());
    }
    assert_eq!(taken, 100);
}

/// A client that the server knows as another gateway has tokens for that one: nothing is done with them (threat 21).
#[tokio::test]
async fn a_client_that_the_server_knows_as_another_place_is_given_no_work() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let open = async || {
        let settings = Settings { pat: PatBy::ClientCredentials, ..world.gateway.settings.clone() };
        Gateway::open(settings, world.gateway.client.clone(), Store::in_memory(), By::default()).await.unwrap()
    };
    let call = async |gateway: &Arc<Gateway>| {
        let request = Request::get("/a.jpg").body(Body::empty()).unwrap();
        tower::ServiceExt::oneshot(gateway.clone().router(), request).await.unwrap()
    };
    *world.asked.logged_in.lock().unwrap() = Some(serde_json::json!({"sub": "x", "known_as": "https://other.example"}));
    let gateway = open().await;
    for _ in 0..3 {
        let answer = call(&gateway).await;
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("warning")), (403, true));
    }
    let count = |what: &std::sync::atomic::AtomicUsize| what.load(Ordering::SeqCst);
    assert_eq!((count(&world.asked.tokens), count(&world.asked.revoked)), (1, 1), "it is given back, and not had again at once");
    assert!(world.registered().is_empty() && gateway.kept_link("alice", &world.issuer).await.unwrap().is_none());
    for own in [super::world::RESOURCE.to_owned(), format!("{}/", super::world::RESOURCE)] {
        *world.asked.logged_in.lock().unwrap() = Some(serde_json::json!({"sub": "x", "known_as": own}));
        assert_eq!(call(&open().await).await.status(), 401, "{own}");
    }
}

/// Whoever has begun can come back as often as they like: the authorization server is asked so often and no more.
#[tokio::test]
async fn threat_41_s17_codes_that_are_made_up_have_nobody_asked_without_end() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let answer = world.get("/.wayleave/link?owner=alice", None).await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let to = url::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    let state = to.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    for n in 0..250 {
        let url = format!("/.wayleave/callback?state={state}&code={n}&iss={}", world.issuer);
        let request = Request::get(url).header("cookie", &cookie).body(Body::empty()).unwrap();
        let answer = tower::ServiceExt::oneshot(world.gateway.clone().router(), request).await.unwrap();
        *statuses.entry(answer.status().as_u16()).or_default() += 1;
        world.get("/.wayleave/link?owner=alice", None).await;
    }
    assert_eq!(statuses, [(400, 199), (429, 51)].into());
    assert_eq!(world.asked.tokens.load(Ordering::SeqCst), 199);
    assert_eq!((world.asked.found.load(Ordering::SeqCst), world.registered().len()), (1, 0));
}

/// While the authorization server is away nothing is registered, and nobody's share of an hour is used up.
#[tokio::test]
async fn threat_41_s16_an_authorization_server_that_is_away_uses_up_nothing() {
    let (world, _) = before_a_service().await;
    let registered = async |n: usize, method: Method| {
        let path = path::CanonicalPath::parse(&format!("/real?{n}").replace('?', "%3F")).unwrap();
        let own_id = types::OwnResourceId::from(path.encoded());
        let mut request = Request::get("/real").body(()).unwrap();
        request.extensions_mut().insert(Caller([192, 0, 2, 1].into()));
        let mut parts = request.into_parts().0;
        let wanted = world.gateway.wanted(&mut parts, &path).await.unwrap();
        parts.method = method;
        let real = path::CanonicalPath::parse("/real").unwrap();
        let asker = strangers::Asker::of(&parts);
        world.gateway.guarding(&wanted, &own_id, &real, asker).await.map_err(|answer| answer.status().as_u16())
    };
    for status in [503, 429] {
        world.asked.answer_after(0, status);
        for n in 0..150 {
            // another thing each time, of which nobody has tried any before
            let n = n + usize::from(status) * 1_000;
            world.gateway.end_rest(&told::Destination { owner: "alice".into(), issuer: world.issuer.clone() });
            for (n, method) in [(n, Method::GET), (n + 500_000, Method::PUT)] {
                assert!(registered(n, method).await.is_ok_and(|guarding| guarding.is_empty()), "{status} {n}");
            }
        }
    }
    world.asked.answer_well();
    world.gateway.end_rest(&told::Destination { owner: "alice".into(), issuer: world.issuer.clone() });
    for (n, method) in [(1, Method::GET), (2, Method::PUT)] {
        assert_eq!(registered(n, method).await.unwrap().len(), 1, "everything is well again");
    }
}

/// What was tried a moment ago asks nobody, and takes nothing.
#[tokio::test]
async fn threat_41_s16_the_same_thing_again_and_again_uses_up_little() {
    let (world, _) = before_a_service().await;
    world.asked.answer_after(0, 400);
    for _ in 0..150 {
        assert_eq!(world.status("/real", None).await, 403);
    }
    assert_eq!(world.status("/made-up", None).await, 404, "the share of this network is not used up");
}

/// Whoever makes names up fills nobody's list: one machine has a part of an owner's share, and what nobody made is taken back.
#[tokio::test]
async fn threat_41_s16_one_machine_makes_up_so_many_things_and_no_more() {
    let (world, _) = before_a_service().await;
    let route = super::world::route_with("/{thing}", |guarded| {
        guarded.scopes.add("PUT", types::ScopeSet::parse("edit").unwrap()).unwrap();
    });
    world.gateway.replace_routes(vec![route]);
    let put = async |path: &str, from: [u8; 4]| {
        let mut request = Request::put(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Caller(std::net::IpAddr::from(from)));
        tower::ServiceExt::oneshot(world.gateway.clone().router(), request).await.unwrap().status().as_u16()
    };
    let mut taken = 0;
    for n in 0..100 {
        taken += usize::from(put(&format!("/you-won-{n}"), [192, 0, 2, 1]).await != 429);
    }
    assert_eq!(taken, 40, "one machine");
    for n in 0..100 {
        taken += usize::from(put(&format!("/you-won-more-{n}"), [192, 0, 2, 2]).await != 429);
    }
    assert_eq!(taken, 60, "one network");
    assert_ne!(put("/real", [198, 51, 100, 1]).await, 429, "others have their part");
}

/// Whoever comes while a thing is being registered for somebody else waits for that, and is told whom to ask as well.
#[tokio::test]
async fn threat_46_those_who_come_first_at_once_are_all_told_whom_to_ask() {
    let world = World::new(Store::in_memory(), &["a.jpg", "b.jpg"]).await;
    world.link().await;
    world.asked.hang_but_for(Some(""));
    let first = async { tokio::join!(world.status("/a.jpg", None), world.status("/a.jpg", None)) };
    let others = async {
        world.until("one is being registered", async || world.asked.now.load(Ordering::SeqCst) > 0).await;
        let all = futures_util::future::join_all((0..20).map(|_| world.status("/a.jpg", None)));
        let answers = async {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            world.asked.hang_but_for(None);
        };
        tokio::join!(all, answers).0
    };
    let (first, others) = tokio::join!(first, others);
    assert_eq!((first, others), ((401, 401), vec![401; 20]));
    world.assert_each_once(1);
}
