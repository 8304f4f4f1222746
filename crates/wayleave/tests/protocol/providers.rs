//! Log-in at other providers, as far as strangers can make us call them (threat 46).

use async_trait::async_trait;
use axum::body::Body;
use http::Request;
use identity::upstream::{Upstream, UpstreamAccount};
use identity::{Failure, Identity, Keys, Settings};
use jose::{SystemClock, SystemRandomness};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use store::Store;
use tower::ServiceExt;

const ISSUER: &str = "http://127.0.0.1:8080";
const THERE: &str = "https://login.bar.example";

/// A provider that counts who is sent to it, and what it is asked.
#[derive(Default)]
struct Counting {
    begun: AtomicU32,
    finished: AtomicU32,
}

#[async_trait]
impl Upstream for Counting {
    fn issuer(&self) -> &str {
        THERE
    }
    fn name(&self) -> &str {
        "Bar"
    }
    fn makes_accounts(&self) -> bool {
        true
    }
    fn email_domains(&self) -> &[String] {
        &[]
    }
    async fn begin(&self, _: &str, _: bool) -> Result<(String, String), Failure> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Ok((format!("{THERE}/authorize"), "flow".into()))
    }
    async fn finish(&self, _: &str, _: &[(String, String)]) -> Result<UpstreamAccount, Failure> {
        self.finished.fetch_add(1, Ordering::Relaxed);
        Failure::refuse(types::ErrorCode::InvalidRequest, "nobody came")
    }
}

async fn site(provider: Arc<dyn Upstream>) -> web::Site {
    let store = Store::in_memory();
    let keys = Keys::new([7; 32]).unwrap();
    keys.load(&store, &SystemClock, &SystemRandomness).await.unwrap();
    let settings = Settings {
        issuer: ISSUER.into(),
        access_token_lifetime: 60,
        refresh_token_lifetime: 60,
        login_attempts_per_minute: 10,
        requests_per_minute_per_client: 10,
        open_registration: false,
        software_statement_issuers: Default::default(),
    };
    let outbound = outbound::Outbound::new(outbound::Settings::default()).unwrap();
    let (clock, randomness) = (Arc::new(SystemClock), Arc::new(SystemRandomness));
    let identity = Identity::new(settings, Arc::new(store), clock, randomness, keys, outbound);
    let identity = Arc::new(identity.with_upstream(vec![provider]));
    web::log_in_site(Arc::new(web::Provider::alone(identity, "Here".into())))
}

async fn get(site: &web::Site, from: &str, path: &str, cookies: &str) -> (u16, Vec<String>) {
    let mut request = Request::builder().uri(path).header("cookie", cookies).body(Body::empty()).unwrap();
    request.extensions_mut().insert(web::PeerAddress(from.parse().unwrap()));
    let answer = site.clone().oneshot(request).await.unwrap();
    let set =
        answer.headers().get_all("set-cookie").iter().map(|line| line.to_str().unwrap().split(';').next().unwrap().to_owned());
    (answer.status().as_u16(), set.collect())
}

#[tokio::test]
async fn threat_46_whoever_comes_back_from_a_provider_is_counted_before_it_is_asked() {
    let provider = Arc::new(Counting::default());
    let site = site(provider.clone()).await;
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("issuer", THERE).finish();
    let leave = format!("/login/elsewhere?{query}");
    let (status, cookies) = get(&site, "192.0.2.1", &leave, "").await;
    assert_eq!((status, provider.begun.load(Ordering::Relaxed)), (303, 1));
    let carried = cookies.join("; ");
    // without what the browser carries, nobody is asked anything
    assert_eq!(get(&site, "192.0.2.1", "/login/callback?code=x&state=y", "").await.0, 400);
    assert_eq!(provider.finished.load(Ordering::Relaxed), 0);
    let mut statuses = Vec::new();
    for n in 0..400 {
        statuses.push(get(&site, &format!("192.0.2.{}", n % 200), "/login/callback?code=x&state=y", &carried).await.0);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 400).count(), 299, "with the way there");
    assert!(statuses[299..].iter().all(|status| *status == 429));
    assert_eq!(provider.finished.load(Ordering::Relaxed), 299);
    assert_eq!(get(&site, "192.0.2.9", &leave, "").await.0, 429);
    assert_eq!(get(&site, "198.51.100.1", "/login/callback?code=x&state=y", &carried).await.0, 400);
}

/// A provider that says whom a test wants it to.
struct Saying(Mutex<&'static str>);

#[async_trait]
impl Upstream for Saying {
    fn issuer(&self) -> &str {
        THERE
    }
    fn name(&self) -> &str {
        "Bar"
    }
    fn makes_accounts(&self) -> bool {
        true
    }
    fn email_domains(&self) -> &[String] {
        &[]
    }
    async fn begin(&self, _: &str, _: bool) -> Result<(String, String), Failure> {
        Ok((format!("{THERE}/authorize"), "flow".into()))
    }
    async fn finish(&self, _: &str, _: &[(String, String)]) -> Result<UpstreamAccount, Failure> {
        let sub = (*self.0.lock().unwrap()).to_owned();
        let claims = serde_json::Map::from_iter([("name".to_owned(), sub.clone().into())]);
        Ok(UpstreamAccount { sub, claims })
    }
}

/// A browser's cookies.
type Jar = BTreeMap<String, String>;

/// Opens a page, from another site or from a page of this one: its status, where it leads, and its text.
async fn open(site: &web::Site, jar: &mut Jar, path: &str, from: &str) -> (u16, String, String) {
    let cookies = jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    let mut request = Request::builder().uri(path).header("cookie", cookies).header("sec-fetch-site", from);
    request = request.header("sec-fetch-dest", "document").extension(web::PeerAddress("192.0.2.1".parse().unwrap()));
    let answer = site.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    for line in answer.headers().get_all("set-cookie") {
        let (name, value) = line.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
        jar.insert(name.to_owned(), value.to_owned());
    }
    let to = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default();
    let status = answer.status().as_u16();
    let bytes = axum::body::to_bytes(answer.into_body(), 1_000_000).await.unwrap();
    (status, to, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn threat_42_nobody_is_logged_in_as_somebody_else_by_a_link() {
    let provider = Arc::new(Saying(Mutex::new("alice")));
    let site = site(provider.clone()).await;
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("issuer", THERE).finish();
    let (leave, back) = (format!("/login/elsewhere?{query}"), "/login/callback?code=x&state=y");
    let mut jar = Jar::new();
    // begun while nobody was logged in: another tab keeps the way there
    assert_eq!(open(&site, &mut jar, &leave, "cross-site").await.0, 303);
    let mut other_tab = jar.clone();
    assert_eq!(open(&site, &mut jar, back, "cross-site").await.0, 303);
    let session = jar["wl_session"].clone();
    // a link of another site asks her first, and sends her nowhere
    for from in ["cross-site", "same-site"] {
        let (status, to, page) = open(&site, &mut jar, &leave, from).await;
        assert!(
            status == 200 && to.is_empty() && page.contains("logged in as <strong>alice</strong>"),
            "{from}: {status} {page}"
        );
        assert!(page.contains(&leave.replace('&', "&#38;")), "{page}");
    }
    // whoever it begins with, she comes back as herself or not at all
    *provider.0.lock().unwrap() = "mallory";
    assert_eq!(open(&site, &mut jar, &leave, "same-origin").await.0, 303);
    let (status, _, page) = open(&site, &mut jar, back, "cross-site").await;
    assert!(status == 400 && page.contains("You are logged in as somebody else"), "{status} {page}");
    other_tab.insert("wl_session".to_owned(), session.clone());
    assert_eq!(open(&site, &mut other_tab, back, "cross-site").await.0, 400);
    assert_eq!((&jar["wl_session"], &other_tab["wl_session"]), (&session, &session));
    assert!(open(&site, &mut jar, "/account", "same-origin").await.2.contains(">alice<"), "she is who she was");
    *provider.0.lock().unwrap() = "alice";
    assert_eq!(open(&site, &mut jar, &leave, "none").await.0, 303);
    assert_eq!(open(&site, &mut jar, back, "cross-site").await.0, 303, "and proves herself anew");
    assert_ne!(jar["wl_session"], session);
}
