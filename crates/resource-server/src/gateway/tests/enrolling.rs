//! Row 46, C-8: nobody waits until a large folder is registered, and nobody keeps others waiting.

use super::super::*;
use super::world::{SOONER_THAN_A_HANGING_ONE, World, route, route_with};
use axum::body::Body;
use http::request::Parts;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store::Standing;
use types::OwnResourceId;

pub(super) fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{n:05}.jpg")).collect()
}

pub(super) async fn folder_of(store: Store, count: usize) -> World {
    let names = names(count);
    World::new(store, &names.iter().map(String::as_str).collect::<Vec<_>>()).await
}

fn call(method: &str, query: &str) -> Parts {
    let request = Request::builder().method(method).uri(format!("/x{query}")).body(()).unwrap();
    request.into_parts().0
}

pub(super) async fn manage(world: &World, method: &str, path: &str) -> (u16, serde_json::Value) {
    let (path, query) = path.split_once('?').map_or((path, String::new()), |(path, query)| (path, format!("?{query}")));
    let answer =
        world.gateway.managed("alice", &call(method, &query), Body::empty(), path).await.unwrap_or_else(|refusal| refusal);
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn threat_46_c08_a_link_does_not_wait_until_a_large_folder_is_registered() {
    let world = folder_of(Store::in_memory(), 1_200).await;
    world.asked.hang_but_for(Some(""));
    let begun = Instant::now();
    let enrolled = world.link_and_enrol("alice").await;
    // twelve hundred files are looked at meanwhile, but no answer is waited for: a hanging one would be, for each of them
    assert!(enrolled.goes_on && begun.elapsed() < Duration::from_secs(30), "{enrolled:?} {:?}", begun.elapsed());
    world.until("all are written down", async || world.count("alice", Standing::Pending).await == 1_200).await;
    let (status, page) = manage(&world, "GET", "my-resources?limit=2").await;
    assert_eq!((status, page.as_array().unwrap().len()), (200, 2));
    assert_eq!(page[0]["registrations"][0]["state"], "pending", "{page}");
    world.until("eight wait for their answers", async || world.asked.most_at_once.load(Ordering::SeqCst) == 8).await;
    world.asked.hang_but_for(None);
    world.until_registered("alice", 1_200).await;
    world.assert_each_once(1_200);
    assert_eq!(world.asked.most_at_once.load(Ordering::SeqCst), 8);
    assert_eq!(world.asked.listed.load(Ordering::SeqCst), 1, "one look is for all of them");
    let page = manage(&world, "GET", "my-resources?limit=2").await.1;
    assert_eq!(page[0]["registrations"][0]["state"], "active", "{page}");
}

#[tokio::test]
async fn threat_46_c08_a_small_folder_is_registered_when_the_page_comes() {
    let world = folder_of(Store::in_memory(), 20).await;
    let enrolled = world.link_and_enrol("alice").await;
    assert_eq!(enrolled, enrolment::Enrolled { registered: 20, goes_on: false });
    world.assert_each_once(20);
    assert_eq!(world.link_and_enrol("alice").await.registered, 0, "the second time there is nothing to do");
}

#[tokio::test]
async fn threat_46_c08_two_links_at_one_moment_register_everything_once() {
    let world = folder_of(Store::in_memory(), 400).await;
    tokio::join!(world.link_and_enrol("alice"), world.link_and_enrol("alice"));
    world.gateway.tend().await;
    world.until_registered("alice", 400).await;
    assert!(world.gateway.store.find_unwalked("alice").await.unwrap().is_none());
    world.assert_each_once(400);
}

#[tokio::test]
async fn threat_46_c08_a_call_goes_first_and_registers_nothing_twice() {
    let world = folder_of(Store::in_memory(), 600).await;
    world.asked.hang_but_for(Some("/00555.jpg"));
    world.link_and_enrol("alice").await;
    world.until("all are written down", async || world.count("alice", Standing::Pending).await == 600).await;
    assert_eq!(world.status("/00555.jpg", None).await, 401, "by that call");
    assert_eq!(world.registered(), ["/00555.jpg"]);
    // one that is just being told is waited for
    let called = tokio::join!(world.status("/00000.jpg", None), async { world.asked.hang_but_for(None) });
    assert_eq!(called.0, 401);
    world.until_registered("alice", 600).await;
    world.assert_each_once(600);
}

#[tokio::test]
async fn threat_46_c08_what_is_gone_or_taken_back_meanwhile_is_not_registered() {
    let world = folder_of(Store::in_memory(), 600).await;
    world.asked.hang_but_for(Some(""));
    world.link_and_enrol("alice").await;
    world.until("all are written down", async || world.count("alice", Standing::Pending).await == 600).await;
    for name in names(600).iter().skip(500) {
        std::fs::remove_file(world.folder.join(name)).unwrap();
    }
    // she takes one back that has not been told, and one that is just being told
    for (own_id, hangs) in [("/00450.jpg", true), ("/00000.jpg", false)] {
        let id = world.gateway.store.registrations("alice", &own_id.into()).await.unwrap()[0].id.clone();
        let path = format!("my-resources/{}/registrations/{id}", own_id.replace('/', "%2F"));
        let release = async {
            if !hangs {
                world.asked.hang_but_for(None);
            }
        };
        assert_eq!(tokio::join!(manage(&world, "DELETE", &path), release).0.0, 204, "{own_id}");
        assert!(world.gateway.store.find_opinion("alice", &own_id.into()).await.unwrap().placed);
    }
    world.until("nothing is on its way", async || world.count("alice", Standing::Pending).await == 0).await;
    world.gateway.tend().await;
    world
        .until("it was walked through again", async || world.gateway.store.find_unwalked("alice").await.unwrap().is_none())
        .await;
    let told = world.registered();
    assert!(!told.contains(&"/00450.jpg".to_owned()) && !told.contains(&"/00599.jpg".to_owned()));
    assert_eq!(world.count("alice", Standing::Active).await, 498);
    world.assert_each_once(499);
    assert_eq!(world.asked.deleted.lock().unwrap().len(), 1, "what was told is taken back there");
}

#[tokio::test]
async fn threat_46_c08_nothing_is_registered_after_she_left() {
    let world = folder_of(Store::in_memory(), 1_200).await;
    world.asked.answer_after(100, 401);
    world.link_and_enrol("alice").await;
    let left = async || {
        world.count("alice", Standing::Pending).await == 0 && world.gateway.store.find_unwalked("alice").await.unwrap().is_none()
    };
    world.until("nothing is on its way any more", left).await;
    let told = world.registered().len();
    assert!((100..108).contains(&told), "{told}");
    world.asked.answer_well();
    world.gateway.tend().await;
    assert_eq!(world.status("/01000.jpg", None).await, 403);
    assert_eq!(world.registered().len(), told);
    // she comes back: what is there from before is found again
    world.asked.listed.store(0, Ordering::SeqCst);
    world.link_and_enrol("alice").await;
    world.until_registered("alice", 1_200).await;
    world.assert_each_once(1_200);
}

#[tokio::test]
async fn threat_46_c08_a_server_with_too_much_to_do_is_asked_again_later() {
    let world = folder_of(Store::in_memory(), 300).await;
    for (told, status) in [(50, 429), (100, 503), (150, 500)] {
        world.asked.answer_after(told, status);
        if told == 50 {
            world.link_and_enrol("alice").await;
        }
        world.gateway.expect_news(&destination(&world));
        world.gateway.tend().await;
        let waits = async || world.registered().len() == told && !world.gateway.backlog.runs(&destination(&world));
        world.until("the run has halted", waits).await;
        assert_eq!(world.count("alice", Standing::Failed).await, 0, "{status} is no refusal");
        world.gateway.tend().await;
        assert!(!world.gateway.backlog.runs(&destination(&world)), "it is left alone for a while");
    }
    world.asked.answer_well();
    world.gateway.expect_news(&destination(&world));
    world.gateway.tend().await;
    world.until_registered("alice", 300).await;
    world.assert_each_once(300);
}

pub(super) fn destination(world: &World) -> told::Destination {
    told::Destination { owner: "alice".into(), issuer: world.issuer.clone() }
}

#[tokio::test]
async fn threat_46_c08_an_owner_of_thousands_keeps_nobody_elses_link_waiting() {
    let world = folder_of(Store::in_memory(), 0).await;
    for owner in ["alice", "bob"] {
        std::fs::create_dir(world.folder.join(owner)).unwrap();
    }
    for name in names(1_500) {
        std::fs::write(world.folder.join("alice").join(name), "x").unwrap();
    }
    std::fs::write(world.folder.join("bob/one.jpg"), "x").unwrap();
    world.asked.lists_nothing.store(true, Ordering::SeqCst);
    world.gateway.replace_routes(vec![route_with("/{user}/{photo}", |guarded| guarded.owner = OwnerOf::Path("user".into()))]);
    world.link_and_enrol("alice").await;
    let enrolled = world.link_and_enrol("bob").await;
    assert_eq!(enrolled, enrolment::Enrolled { registered: 1, goes_on: false });
    assert!(world.count("alice", Standing::Pending).await > 0, "hers go on");
    world.until_registered("alice", 1_500).await;
    world.assert_each_once(1_501);
}

/// S31's kind: what is on its way to a server that hangs comes first in the store, and in nobody's way.
#[tokio::test]
async fn threat_46_c08_a_server_that_hangs_starves_no_other() {
    let (world, other) = (folder_of(Store::in_memory(), 5).await, folder_of(Store::in_memory(), 0).await);
    other.asked.hang_but_for(Some(""));
    let gateway = &world.gateway;
    let now = gateway.client.clock.now();
    let link = store::Link { access_token: "pat".into(), expires: now.plus(3_600), ..link::new_link(now) };
    for n in 0..200 {
        let owner = format!("a{n:03}");
        gateway.store.put_link(&owner, &other.issuer, &link).await.unwrap();
        let pending: Vec<_> =
            (0..5).map(|n| gateway.pending(&owner, &format!("/{n}").as_str().into(), &other.issuer, None)).collect();
        gateway.store.change_registrations(&pending, &[]).await.unwrap();
    }
    // of one owner, what hangs comes first too
    gateway.store.put_link("alice", &other.issuer, &link).await.unwrap();
    world.link().await;
    let hers: Vec<_> = names(700).iter().map(|name| format!("/{name}").as_str().into()).collect::<Vec<OwnResourceId>>();
    let pending: Vec<_> = hers.iter().map(|own_id| gateway.pending("alice", own_id, &other.issuer, None)).collect();
    gateway.store.change_registrations(&pending, &[]).await.unwrap();
    gateway.store.change_registrations(&[gateway.pending("alice", &"/z.jpg".into(), &world.issuer, None)], &[]).await.unwrap();
    let begun = Instant::now();
    gateway.tend().await;
    world.until("it is registered", async || world.registered() == ["/z.jpg"]).await;
    assert!(begun.elapsed() < SOONER_THAN_A_HANGING_ONE, "{:?}", begun.elapsed());
    assert!(other.asked.most_at_once.load(Ordering::SeqCst) <= 8);
}

/// Anybody can call: what is refused is not asked for again by each call.
#[tokio::test]
async fn threat_46_c08_calls_do_not_repeat_what_was_refused() {
    let world = folder_of(Store::in_memory(), 3).await;
    world.link().await;
    world.asked.hears_all.store(true, Ordering::SeqCst);
    world.asked.answer_after(0, 400);
    for _ in 0..50 {
        assert_eq!(world.status("/00000.jpg", None).await, 403);
    }
    assert!(world.registered().len() <= 2, "{:?}", world.registered());
    assert_eq!(world.status("/00001.jpg", None).await, 403);
    assert_eq!(world.registered().last().map(String::as_str), Some("/00001.jpg"), "another is tried");
}

/// A pipe, a socket or a link is no thing of hers: it is registered nowhere, and looked at once.
#[tokio::test]
async fn threat_46_c08_what_is_no_file_is_not_there() {
    let world = folder_of(Store::in_memory(), 2).await;
    let _listening = std::os::unix::net::UnixListener::bind(world.folder.join("app.sock")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", world.folder.join("passwd")).unwrap();
    assert_eq!(world.link_and_enrol("alice").await.registered, 2);
    let listed = manage(&world, "GET", "my-resources").await.1;
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    world.gateway.tend().await;
    world.until("nothing is to be done", async || !world.gateway.backlog.is_unfinished(&destination(&world))).await;
    assert!(world.gateway.store.find_unwalked("alice").await.unwrap().is_none());
    world.assert_each_once(2);
}

/// One thing of several files is registered as long as one of them is there.
#[tokio::test]
async fn threat_46_c08_another_file_stands_for_the_same_thing() {
    let world = folder_of(Store::in_memory(), 0).await;
    std::fs::create_dir(world.folder.join("holiday")).unwrap();
    for name in ["a.jpg", "b.jpg"] {
        std::fs::write(world.folder.join("holiday").join(name), "x").unwrap();
    }
    world
        .gateway
        .replace_routes(vec![route_with("/{album}/{photo}", |guarded| guarded.resource = Pattern::parse("/{album}").unwrap())]);
    world.asked.hang_but_for(Some(""));
    world.link_and_enrol("alice").await;
    world.until("it is written down", async || world.count("alice", Standing::Pending).await == 1).await;
    let own_id = OwnResourceId::from("/holiday");
    let found = world.gateway.store.registrations("alice", &own_id).await.unwrap()[0].clone();
    std::fs::remove_file(world.folder.join(found.found_at.as_ref().unwrap().trim_start_matches('/'))).unwrap();
    world.gateway.store.change_registrations(&[found], &[]).await.unwrap();
    world.asked.hang_but_for(None);
    world.until_registered("alice", 1).await;
    world.assert_each_once(1);
    assert!(world.asked.deleted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn threat_46_c08_a_link_that_she_confirms_is_enrolled() {
    let world = folder_of(Store::in_memory(), 5).await;
    let now = world.gateway.client.clock.now();
    let link = store::Link { access_token: "pat".into(), expires: now.plus(3_600), ..link::new_link(now) };
    let links = [
        (world.issuer.clone(), store::Link { state: store::LinkState::Pending, ..link.clone() }),
        ("https://other.example".to_owned(), store::Link { preferred: true, ..link }),
    ];
    world.gateway.store.change_links("alice", &links, None).await.unwrap();
    let path = format!("authorization-servers/{}", world.issuer.replace(':', "%3A").replace('/', "%2F"));
    let call = call("PUT", "");
    let wanted = serde_json::json!({"default": true}).to_string();
    let answer = world.gateway.managed("alice", &call, Body::from(wanted), &path).await.unwrap();
    assert_eq!(answer.status(), 200);
    let all = world.gateway.store.list_links("alice").await.unwrap();
    assert_eq!(all.iter().filter(|(_, link)| link.preferred).count(), 1, "one is the usual one");
    world.until_registered("alice", 5).await;
    world.assert_each_once(5);
}

/// RFC 6585 4: who says when to come again is asked then, for this owner; others are as they were.
#[tokio::test]
async fn threat_46_c08_calls_heed_when_a_server_says_to_come_again() {
    let world = folder_of(Store::in_memory(), 20).await;
    world.link().await;
    world.asked.hears_all.store(true, Ordering::SeqCst);
    world.asked.answer_after(0, 429);
    for name in names(20) {
        assert_eq!(world.status(&format!("/{name}"), None).await, 403);
    }
    // one may be put off for what it is; where another is as well, no more are asked for
    assert_eq!(world.registered().len(), 2, "{:?}", world.registered());
    let at = |owner: &str| told::Destination { owner: owner.into(), issuer: world.issuer.clone() };
    let asked = async |owner: &str| world.gateway.asking_for(&at(owner), async { Ok(()) }).await;
    assert!(asked("alice").await.is_ok(), "tickets for what is known are another matter");
    let later = async { Err::<(), _>(ProtectionError::Later(600)) };
    assert!(world.gateway.asking_for(&at("alice"), later).await.is_err());
    assert!(asked("alice").await.is_err() && asked("bob").await.is_ok());
    world.gateway.end_rest(&at("alice"));
    assert!(asked("alice").await.is_ok());
}

/// A call to what is on its way waits for the list of what is there, and not for ever.
#[tokio::test]
async fn threat_46_c08_a_list_that_never_comes_keeps_no_call_waiting() {
    let world = folder_of(Store::in_memory(), 10).await;
    world.asked.listing_hangs.store(true, Ordering::SeqCst);
    world.link_and_enrol("alice").await;
    world.until("the list is asked for", async || world.asked.listed.load(Ordering::SeqCst) == 1).await;
    let begun = Instant::now();
    let paths: Vec<String> = names(10).iter().map(|name| format!("/{name}")).collect();
    let statuses = futures_util::future::join_all(paths.iter().map(|path| world.status(path, None))).await;
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    assert_eq!(statuses, [403; 10]);
    assert_eq!(world.asked.listed.load(Ordering::SeqCst), 1, "one look is for all of them");
}

/// Of calls whose PAT is refused at one time, one gets another.
#[tokio::test]
async fn threat_46_a_pat_that_was_refused_is_renewed_once() {
    let world = folder_of(Store::in_memory(), 1).await;
    let now = world.gateway.client.clock.now();
    let link = store::Link {
        access_token: "refused".into(),
        expires: now.plus(3_600),
        refresh_token: Some("refresh".into()),
        ..link::new_link(now)
    };
    world.gateway.store.put_link("alice", &world.issuer, &link).await.unwrap();
    *world.asked.logged_in.lock().unwrap() = Some(serde_json::json!({}));
    let all = (0..20).map(|_| world.gateway.renew_pat("alice", &world.issuer, "refused"));
    let done = futures_util::future::join_all(all).await;
    assert!(done.into_iter().all(|done| done == Ok(true)));
    assert_eq!(world.asked.tokens.load(Ordering::SeqCst), 1);
    let kept = world.gateway.store.find_link("alice", &world.issuer).await.unwrap().unwrap();
    assert!(kept.access_token == "pat" && kept.refresh_token.as_deref() == Some("refresh"));
    // a life of a minute or less is used, to its half
    let tokens =
        |life: i64| serde_json::from_value(serde_json::json!({"access_token": "p", "token_type": "b", "expires_in": life}));
    for (life, renewed_after) in [(3_600, 3_540), (60, 30), (2, 1), (0, 0), (-5, 0), (i64::MAX, 366 * 86_400 - 60)] {
        let kept = world.gateway.with_tokens(tokens(life).unwrap(), link::new_link(now));
        let after = now.until(kept.renewed_at());
        assert!((renewed_after..=renewed_after + 2).contains(&after), "{life}: {after}");
    }
}

/// Before a service: what a route names whole is there, whoever has called. What no route names any more goes.
#[tokio::test]
async fn a_service_has_what_its_routes_name_whole() {
    let service = super::world::serve(Router::new().fallback(async || "here")).await;
    let world = World::before(Behind::Upstream(service), Store::in_memory(), std::env::temp_dir().join("wayleave-none")).await;
    let named = |path: &str, resource: &str| route_with(path, |guarded| guarded.resource = Pattern::parse(resource).unwrap());
    let others = route_with("/bob", |guarded| guarded.owner = OwnerOf::Named("bob".into()));
    world.gateway.replace_routes(vec![named("/app/{rest..}", "/app"), named("/dav/", "/dav/"), route("/notes/{note}"), others]);
    assert_eq!(world.link_and_enrol("alice").await, enrolment::Enrolled { registered: 2, goes_on: false });
    assert_eq!(world.registered(), ["/app", "/dav/"]);
    assert_eq!(world.status("/notes/1", None).await, 401, "registered by that call");
    world.gateway.replace_routes(vec![named("/app/{rest..}", "/app"), named("/new", "/new")]);
    world.link_and_enrol("alice").await;
    world.until("they are taken back", async || world.asked.deleted.lock().unwrap().len() == 2).await;
    world.until_registered("alice", 2).await;
    let mut deleted = world.asked.deleted.lock().unwrap().clone();
    deleted.sort();
    assert_eq!(
        (deleted, world.registered()),
        (vec!["r2".into(), "r3".into()], ["/app", "/dav/", "/notes/1", "/new"].map(str::to_owned).to_vec())
    );
}
