//! Tokens that an authorization server replaces at each renewal: whoever hangs up, and whatever answer is lost, ends nothing of
//! anybody (row 27, decision 0068).

use super::super::*;
use super::world::{World, serve};
use axum::response::IntoResponse;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use store::{Link, LinkState};
use tokio::sync::Semaphore;

/// A server that replaces refresh tokens. Whoever brings one that it has replaced is out, unless it has patience.
struct Rotating {
    latest: AtomicUsize,
    asked: AtomicUsize,
    reused: AtomicUsize,
    /// The one before is good, too.
    is_patient: AtomicBool,
    /// It has done what it was asked, and its answer goes out when there is one of these.
    answers: Semaphore,
    /// It says that it is broken, whatever it has done.
    breaks: AtomicBool,
    /// It knows no client.
    refuses: AtomicBool,
    /// Seconds that its tokens live.
    life: AtomicUsize,
    /// What was given back to it.
    returned: std::sync::Mutex<Vec<String>>,
}

impl Rotating {
    fn renew(&self, form: &str) -> (StatusCode, serde_json::Value) {
        self.asked.fetch_add(1, SeqCst);
        if self.refuses.load(SeqCst) {
            return (StatusCode::UNAUTHORIZED, json!({"error": "invalid_client"}));
        }
        let brought = form_urlencoded::parse(form.as_bytes()).find(|(name, _)| name == "refresh_token");
        let brought: usize = brought.and_then(|(_, token)| token.strip_prefix('r')?.parse().ok()).unwrap_or(usize::MAX);
        let latest = self.latest.load(SeqCst);
        let is_good = brought == latest || (self.is_patient.load(SeqCst) && brought + 1 == latest);
        if !is_good {
            self.reused.fetch_add(1, SeqCst);
            return (StatusCode::BAD_REQUEST, json!({"error": "invalid_grant"}));
        }
        let next = latest + 1;
        self.latest.store(next, SeqCst);
        if self.breaks.load(SeqCst) {
            return (StatusCode::BAD_GATEWAY, json!({}));
        }
        (
            StatusCode::OK,
            json!({"access_token": format!("a{next}"), "refresh_token": format!("r{next}"), "token_type": "Bearer",
                "expires_in": self.life.load(SeqCst)}),
        )
    }
}

/// A gateway at such a server, whose owner's PAT is over.
struct Renewing {
    gateway: Arc<Gateway>,
    server: Arc<Rotating>,
    issuer: String,
    _world: World,
}

impl Renewing {
    async fn new() -> Self {
        let server = Arc::new(Rotating {
            latest: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            reused: AtomicUsize::new(0),
            is_patient: AtomicBool::new(false),
            answers: Semaphore::new(0),
            breaks: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            life: AtomicUsize::new(3_600),
            returned: std::sync::Mutex::default(),
        });
        let asked = server.clone();
        let token = move |form: String| {
            let server = asked.clone();
            // as ours: what has begun is carried out, whoever hangs up
            let carried = tokio::spawn(async move {
                let answer = server.renew(&form);
                server.answers.acquire().await.unwrap().forget();
                answer
            });
            async move {
                let (status, body) = carried.await.unwrap();
                (status, axum::Json(body)).into_response()
            }
        };
        let metadata = |request: axum::extract::Request| async move {
            let issuer = format!("http://{}", request.headers()["host"].to_str().unwrap());
            let at = |path: &str| format!("{issuer}{path}");
            axum::Json(json!({"issuer": issuer, "token_endpoint": at("/token"), "jwks_uri": at("/jwks"),
                "authorization_endpoint": at("/authorize"), "permission_endpoint": at("/perm"),
                "introspection_endpoint": at("/introspect"), "revocation_endpoint": at("/revoke"), "resource_registration_endpoint": at("/rreg")}))
        };
        let given_back = server.clone();
        let revoke = move |form: String| async move {
            let token = form_urlencoded::parse(form.as_bytes()).find(|(name, _)| name == "token").unwrap().1.into_owned();
            given_back.returned.lock().unwrap().push(token);
        };
        let router = Router::new()
            .route("/revoke", axum::routing::post(revoke))
            .route("/.well-known/uma2-configuration", axum::routing::get(metadata))
            .route("/token", axum::routing::post(token));
        let issuer = serve(router).await;
        let world = World::new(Store::in_memory(), &["a.jpg"]).await;
        let settings = Settings { authorization_servers: vec![issuer.clone()], ..world.gateway.settings.clone() };
        let by = By { browser_client: Some(Credentials::secret("visitors", "secret")), ..By::default() };
        let gateway = Gateway::open(settings, world.gateway.client.clone(), Store::in_memory(), by).await.unwrap();
        let renewing = Self { gateway, server, issuer, _world: world };
        renewing.link().await;
        renewing
    }

    async fn link(&self) {
        let now = self.gateway.client.clock.now();
        let link = Link { access_token: "a0".into(), refresh_token: Some("r0".into()), ..link::new_link(now) };
        self.gateway.store.put_link("alice", &self.issuer, &link).await.unwrap();
    }

    async fn kept(&self) -> Arc<Link> {
        self.gateway.store.find_link("alice", &self.issuer).await.unwrap().unwrap()
    }

    /// Somebody calls, and is gone as soon as the server has done what it was asked.
    async fn call_and_hang_up(&self, call: impl Future<Output = ()> + Send + 'static) {
        let asked = self.server.asked.load(SeqCst);
        let calling = tokio::spawn(call);
        self.until(async || self.server.asked.load(SeqCst) > asked).await;
        calling.abort();
        assert!(calling.await.is_err());
    }

    async fn hang_up_during_pat(&self) {
        let (gateway, issuer) = (self.gateway.clone(), self.issuer.clone());
        self.call_and_hang_up(async move { drop(gateway.pat("alice", &issuer).await) }).await;
    }

    /// Keeps house until the server was asked so often.
    async fn until_asked(&self, times: usize) {
        let begun = Instant::now();
        while self.server.asked.load(SeqCst) < times {
            assert!(begun.elapsed() < Duration::from_secs(60), "it is not asked again");
            self.gateway.tend().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until(&self, holds: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not come to this");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn threat_27_whoever_hangs_up_while_a_pat_is_renewed_ends_no_link() {
    let world = Renewing::new().await;
    world.hang_up_during_pat().await;
    world.server.answers.add_permits(9);
    assert_eq!(world.gateway.pat("alice", &world.issuer).await.as_deref(), Ok("a1"), "what came is kept");
    assert_eq!((world.server.asked.load(SeqCst), world.server.reused.load(SeqCst)), (1, 0));
    assert!(world.kept().await.state == LinkState::Active && world.kept().await.refresh_token.as_deref() == Some("r1"));
}

/// However many come and go, one renews.
#[tokio::test]
async fn threat_27_one_renewal_at_a_time_is_under_way() {
    let world = Renewing::new().await;
    world.hang_up_during_pat().await;
    for _ in 0..20 {
        let (gateway, issuer) = (world.gateway.clone(), world.issuer.clone());
        let calling = tokio::spawn(async move { drop(gateway.pat("alice", &issuer).await) });
        tokio::task::yield_now().await;
        calling.abort();
    }
    world.server.answers.add_permits(99);
    assert_eq!(world.gateway.pat("alice", &world.issuer).await.as_deref(), Ok("a1"));
    assert_eq!(world.server.asked.load(SeqCst), 1);
}

#[tokio::test]
async fn threat_27_whoever_hangs_up_while_a_session_is_renewed_loses_nothing() {
    let world = Renewing::new().await;
    let cookie = world.gateway.begin_session_to_renew("alice", &world.issuer, "r0").await;
    let (gateway, issuer, shown) = (world.gateway.clone(), world.issuer.clone(), cookie.clone());
    world.call_and_hang_up(async move { drop(gateway.present_of(&shown, "alice", &issuer).await) }).await;
    world.server.answers.add_permits(9);
    assert_eq!(world.gateway.present_of(&cookie, "alice", &world.issuer).await.as_deref(), Some("Bearer a1"));
    assert_eq!((world.server.asked.load(SeqCst), world.server.reused.load(SeqCst)), (1, 0));
}

/// Nobody has to call for it: house-keeping asks again with the same token, while the server lets it be used.
#[tokio::test]
async fn threat_27_a_lost_answer_is_asked_for_again_by_itself() {
    let world = Renewing::new().await;
    world.server.answers.add_permits(99);
    world.server.is_patient.store(true, SeqCst);
    world.server.breaks.store(true, SeqCst);
    assert!(world.gateway.pat("alice", &world.issuer).await.is_err());
    let kept = world.kept().await;
    assert!(kept.state == LinkState::Active && kept.renewal_asked.is_some() && kept.refresh_token.as_deref() == Some("r0"));
    world.server.breaks.store(false, SeqCst);
    world.until_asked(2).await;
    world.until(async || world.kept().await.renewal_asked.is_none()).await;
    assert!(world.kept().await.refresh_token.as_deref() == Some("r2") && world.server.reused.load(SeqCst) == 0);
}

#[tokio::test]
async fn threat_27_a_lost_answer_for_a_session_is_asked_for_again_by_itself() {
    let world = Renewing::new().await;
    world.server.answers.add_permits(99);
    world.server.is_patient.store(true, SeqCst);
    world.server.breaks.store(true, SeqCst);
    let cookie = world.gateway.begin_session_to_renew("alice", &world.issuer, "r0").await;
    assert_eq!(world.gateway.present_of(&cookie, "alice", &world.issuer).await, None);
    world.server.breaks.store(false, SeqCst);
    world.until_asked(2).await;
    assert_eq!(world.gateway.present_of(&cookie, "alice", &world.issuer).await.as_deref(), Some("Bearer a2"));
    assert_eq!((world.server.asked.load(SeqCst), world.server.reused.load(SeqCst)), (2, 0));
}

/// What the process before this one asked, and did not hear of.
#[tokio::test]
async fn threat_27_what_a_crash_lost_is_asked_for_again_at_the_next_start() {
    let world = Renewing::new().await;
    world.server.answers.add_permits(99);
    let asked = Link { renewal_asked: Some(Timestamp(1)), ..(*world.kept().await).clone() };
    world.gateway.store.put_link("alice", &world.issuer, &asked).await.unwrap();
    world.until_asked(1).await;
    world.until(async || world.kept().await.refresh_token.as_deref() == Some("r1")).await;
    assert!(world.kept().await.renewal_asked.is_none() && world.kept().await.state == LinkState::Active);
}

/// Only a plain no ends a link, and what is not known to be the owner's will is not called so.
#[tokio::test]
async fn threat_27_a_no_that_a_lost_answer_may_have_brought_about_is_nobodys_will() {
    for is_lost in [false, true] {
        let world = Renewing::new().await;
        world.server.answers.add_permits(99);
        world.server.breaks.store(is_lost, SeqCst);
        if is_lost {
            assert_ne!(world.gateway.pat("alice", &world.issuer).await, Err(ProtectionError::Unauthorized));
            assert!(world.kept().await.state == LinkState::Active);
        }
        world.server.latest.store(7, SeqCst);
        world.gateway.end_rest(&told::Destination { owner: "alice".into(), issuer: world.issuer.clone() });
        assert_eq!(world.gateway.pat("alice", &world.issuer).await, Err(ProtectionError::Unauthorized));
        assert_eq!((world.kept().await.state, world.kept().await.may_be_lost()), (LinkState::Withdrawn, is_lost));
    }
}

#[tokio::test]
async fn threat_27_the_end_waits_for_renewals_under_way() {
    let world = Renewing::new().await;
    world.hang_up_during_pat().await;
    let closing = tokio::spawn({
        let gateway = world.gateway.clone();
        async move { gateway.close().await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!closing.is_finished());
    world.server.answers.add_permits(1);
    closing.await.unwrap();
    assert_eq!(world.kept().await.refresh_token.as_deref(), Some("r1"));
}

/// What a stranger's call begins goes on without him.
#[tokio::test]
async fn threat_27_whoever_hangs_up_while_a_thing_is_registered_keeps_it_from_nobody() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    world.link().await;
    world.asked.hang_but_for(Some("/another"));
    let router = world.gateway.clone().router();
    let request = Request::get("/a.jpg").body(axum::body::Body::empty()).unwrap();
    let calling = tokio::spawn(tower::ServiceExt::oneshot(router, request));
    world.until("it is being registered", async || world.asked.now.load(SeqCst) == 1).await;
    calling.abort();
    assert!(calling.await.is_err());
    world.asked.hang_but_for(None);
    world.until("it is registered", async || world.count("alice", store::Standing::Active).await == 1).await;
    assert_eq!(world.status("/a.jpg", None).await, 401);
    world.assert_each_once(1);
}

/// A link that ends while its server is asked stays ended, whatever that server answers.
#[tokio::test]
async fn a_renewal_brings_back_no_link_that_has_ended_meanwhile() {
    let world = Renewing::new().await;
    world.hang_up_during_pat().await;
    let ended = Link { state: LinkState::Withdrawn, refresh_token: None, renewal_asked: None, ..(*world.kept().await).clone() };
    world.gateway.store.put_link("alice", &world.issuer, &ended).await.unwrap();
    world.server.answers.add_permits(9);
    world.gateway.close().await;
    world.until(async || *world.server.returned.lock().unwrap() == ["r1"]).await;
    let kept = world.kept().await;
    assert!(kept.state == LinkState::Withdrawn && kept.access_token == "a0" && !kept.may_be_lost());
}

/// She is let in to more, or ends her session, while the server is asked: what it answers is about what she had before.
#[tokio::test]
async fn what_comes_of_a_renewal_touches_only_what_was_renewed() {
    for (is_granted, ends) in [(true, false), (false, false), (true, true)] {
        let world = Renewing::new().await;
        let cookie = world.gateway.begin_session_to_renew("alice", &world.issuer, "r0").await;
        world.server.latest.store(if is_granted { 0 } else { 7 }, SeqCst);
        let (gateway, issuer, shown) = (world.gateway.clone(), world.issuer.clone(), cookie.clone());
        world.call_and_hang_up(async move { drop(gateway.present_of(&shown, "alice", &issuer).await) }).await;
        match ends {
            true => world.gateway.end_session_to_renew(&cookie).await,
            false => world.gateway.let_in_to_more(&cookie, "alice", &world.issuer, "wider").await,
        }
        world.server.answers.add_permits(9);
        world.gateway.close().await;
        let returned: &[&str] = if is_granted { &["r1", "a1"] } else { &[] };
        world.until(async || *world.server.returned.lock().unwrap() == returned).await;
        let has = world.gateway.present_of(&cookie, "alice", &world.issuer).await;
        assert_eq!(has.as_deref(), (!ends).then_some("Bearer wider"));
    }
}

/// A refusal is an answer: what was lost before it is not asked for again.
#[tokio::test]
async fn threat_27_a_refusal_of_a_sessions_renewal_is_an_answer() {
    let world = Renewing::new().await;
    world.server.answers.add_permits(99);
    world.server.breaks.store(true, SeqCst);
    let cookie = world.gateway.begin_session_to_renew("alice", &world.issuer, "r0").await;
    assert_eq!(world.gateway.present_of(&cookie, "alice", &world.issuer).await, None);
    world.server.refuses.store(true, SeqCst);
    assert_eq!(world.gateway.present_of(&cookie, "alice", &world.issuer).await, None);
    assert!(world.gateway.backlog.renewals.take_due(Instant::now() + Duration::from_secs(60)).is_empty());
}

/// A server that gives tokens which are over at once, or refuses: of all who wait for one renewal, nobody asks it anew, and the owner
/// does not stand behind them.
#[tokio::test]
async fn threat_46_whoever_waits_for_a_renewal_takes_what_comes_of_it() {
    for refuses in [false, true] {
        let world = Renewing::new().await;
        world.server.life.store(0, SeqCst);
        world.server.refuses.store(refuses, SeqCst);
        let pat = || {
            let (gateway, issuer) = (world.gateway.clone(), world.issuer.clone());
            tokio::spawn(async move { gateway.pat("alice", &issuer).await })
        };
        let mut waiting = vec![pat()];
        world.until(async || world.server.asked.load(SeqCst) == 1).await;
        waiting.extend((0..30).map(|_| pat()));
        let line = world.gateway.link_turn("alice", &world.issuer).await;
        // each of them holds the turn that it waits for
        world.until(async || Arc::strong_count(&line) > 31).await;
        world.server.answers.add_permits(99);
        for one in waiting {
            assert_eq!(one.await.unwrap().is_ok(), !refuses);
        }
        assert_eq!(world.server.asked.load(SeqCst), 1, "one for all");
        assert!(pat().await.unwrap().is_ok() != refuses && world.server.asked.load(SeqCst) == 2, "whoever comes later asks anew");
    }
}

/// She closes the page before the new cookie reaches her: what she had is where it was. A renewal that is under way moves along.
#[tokio::test]
async fn threat_48_a_session_that_moves_to_another_cookie_is_lost_by_nobody() {
    let world = Renewing::new().await;
    let cookie = world.gateway.begin_session_to_renew("alice", &world.issuer, "r0").await;
    let (gateway, issuer, shown) = (world.gateway.clone(), world.issuer.clone(), cookie.clone());
    world.call_and_hang_up(async move { drop(gateway.present_of(&shown, "alice", &issuer).await) }).await;
    world.server.answers.add_permits(9);
    let lost = world.gateway.move_session(&cookie).await;
    assert!(world.gateway.shows(&cookie).await, "the new cookie went to nobody");
    let new = world.gateway.move_session(&cookie).await;
    assert_eq!(world.gateway.present_of(&new, "alice", &world.issuer).await.as_deref(), Some("Bearer a1"));
    assert_eq!((world.server.asked.load(SeqCst), world.server.reused.load(SeqCst)), (1, 0));
    assert!(world.gateway.shows(&new).await && !world.gateway.shows(&cookie).await, "the old one ends when the new one is shown");
    assert!(world.gateway.shows(&new).await && !world.gateway.shows(&lost).await, "of those that nobody showed one is left");
}

/// A session that moved is one, under whichever cookie: where it ends, nothing of it is left that somebody could show later.
#[tokio::test]
async fn threat_48_a_log_out_ends_what_the_session_became_and_what_it_was() {
    for ends_the_old in [true, false] {
        let world = Renewing::new().await;
        let cookie = world.gateway.begin_session_to_renew("alice", &world.issuer, "r0").await;
        let new = world.gateway.move_session(&cookie).await;
        world.gateway.end_session_to_renew(if ends_the_old { &cookie } else { &new }).await;
        assert!(!world.gateway.shows(&cookie).await && !world.gateway.shows(&new).await, "{ends_the_old}");
        assert_eq!(world.gateway.present_of(&new, "alice", &world.issuer).await, None);
    }
}
