//! The desk's pages and its JSON. Rendered on the server; they work without JavaScript, on a phone first.

mod api;
mod api_actions;
mod deciding;
mod delegations;
mod for_others;
mod guarding;
mod history;
mod how_long;
mod keys;
mod live;
mod logging_in;
mod offers;
mod people;
mod receipts;
mod requests;
mod self_issued;
mod servers;
mod sharing;
mod thing;
mod things;
mod undoing;

use crate::person::{Person, is_own_form};
use crate::{Manager, Trouble};
use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::sync::Arc;
use std::time::Duration;

/// Longest notice.
const MAX_NOTICE: usize = 64 * 1024;
/// Longest form.
const MAX_FORM: usize = 1024 * 1024;
/// A body that takes longer than this is not waited for.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
type Desk = State<Arc<Manager>>;
type Shown = Result<Response, Trouble>;

/// Everything that a manager serves.
pub fn router(manager: Arc<Manager>) -> Router {
    Router::new()
        .route("/", get(things::list))
        .route("/thing/{key}", get(thing::show))
        .route("/share", get(sharing::share_form).post(sharing::share))
        .route("/thing/{key}/try", post(thing::what_if))
        .route("/withdraw", post(thing::withdraw))
        .route("/undo", post(undoing::undo))
        .route("/guard", get(guarding::form).post(guarding::carry_out))
        .route("/unguard", post(guarding::let_go))
        .route("/history", get(history::show))
        .route("/people", get(people::list))
        .route("/people/show", get(people::show))
        .route("/people/withdraw", post(people::withdraw))
        .route("/requests", get(requests::list).post(requests::decide))
        .route("/servers", get(servers::list).post(servers::add))
        .route("/servers/read", post(servers::read))
        .route("/servers/unlink", post(servers::unlink))
        .route("/servers/guard", post(guarding::server))
        .route("/delegations", get(delegations::list).post(delegations::change))
        .route("/offers", post(offers::answer))
        .route("/for-others", get(for_others::list).post(for_others::share))
        .route("/receipts", get(receipts::list))
        .route("/receipts/export", get(receipts::export))
        .route("/notify", post(notify))
        .route("/self-issued", get(self_issued::show).post(self_issued::decide))
        .route("/.well-known/openid-configuration", get(self_issued::metadata))
        .route("/decide", get(deciding::show).head(look_ahead).post(deciding::decide))
        .route("/keys", get(keys::list).post(keys::change))
        .route("/keys/export", get(keys::export).post(keys::export_by_passphrase))
        .route("/withdrawals", get(people::withdrawals).post(people::tell_again))
        .route("/api/things", get(api::things))
        .route("/api/people", get(api::people))
        .route("/api/servers", get(api::servers))
        .route("/api/me", get(api::me))
        .route("/api/share", post(api_actions::share))
        .route("/api/withdrawals", get(api::withdrawals).post(api_actions::withdraw))
        .route("/api/requests", get(api::requests).post(api_actions::decide))
        .route("/api/offers", get(api::offers).post(offers::answer_json))
        .route("/api/shared-with-me", get(api::shared_with_me))
        .route("/api/history", get(api::history))
        .route("/login", get(logging_in::log_in).head(look_ahead))
        .route("/callback", get(logging_in::callback).head(look_ahead))
        .route("/logout", post(logging_in::log_out))
        .route("/live", get(live::stream))
        .route("/assets/passkey.js", get(async || asset(SCRIPT, ui::PASSKEY_SCRIPT)))
        .route("/assets/pages.js", get(async || asset(SCRIPT, ui::PAGES_SCRIPT)))
        .route("/assets/presses.js", get(async || asset(SCRIPT, ui::PRESSES_SCRIPT)))
        .route("/assets/live.js", get(async || asset(SCRIPT, ui::LIVE_SCRIPT)))
        .route("/assets/style.css", get(async || asset("text/css; charset=utf-8", ui::STYLE)))
        .route("/assets/icon.svg", get(async || asset("image/svg+xml", ui::ICON)))
        .fallback(not_found)
        .with_state(manager)
        .layer(axum::middleware::from_fn(come_back))
}

/// `HEAD` where `GET` does something: it is no visit, and nothing is done (RFC 9110 9.2.1).
async fn look_ahead() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], ()).into_response()
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What every page needs, kept by the browser for a while: a page waits for its style before it is painted.
fn asset(media: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, media), (header::CACHE_CONTROL, "max-age=300")], text).into_response()
}

async fn not_found(State(manager): Desk, request: Request) -> Response {
    let person = manager.person(request.headers()).await.ok().flatten();
    error_page(&manager, person.as_ref(), StatusCode::NOT_FOUND, "Not here", "There is no such page at this desk.")
}

/// The links of every page, and which of them this is.
fn links(current: &str) -> Vec<ui::Link> {
    let all = [
        ("/", "Things", "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4"),
        (
            "/people",
            "People",
            "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 20c0-3.5 2.5-5.5 6-5.5s6 2 6 5.5M16 5a3 3 0 0 1 0 6M18 15c2 .5 3 2.5 3 5",
        ),
        ("/requests", "Requests", "M4 5h16v11h-6l-4 4v-4H4z"),
        ("/history", "History", "M12 7v5l3 2M4 12a8 8 0 1 1 2.5 5.8M4 20v-4h4"),
        ("/servers", "Servers", "M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01"),
        ("/keys", "Keys", "M8 16a4 4 0 1 1 3-6.6l9-.4v3h-2v2h-3v-2l-3.5.1A4 4 0 0 1 8 16zM7 12h.01"),
    ];
    all.map(|(path, text, icon)| ui::Link { path, text, icon, current: path == current, count: 0 }).into()
}

/// A page for somebody at the desk.
fn page(manager: &Manager, person: Option<&Person>, status: StatusCode, title: &str, current: &str, body: &str) -> Response {
    let links = if person.is_some() { links(current) } else { Vec::new() };
    let at_desk = person.map(|person| ui::Person { name: person.name.clone(), csrf: person.csrf.clone() });
    let narrow = person.is_none();
    let scripts: &[&str] = if person.is_some() { &["presses.js", "pages.js", "live.js"] } else { &[] };
    // a script tells the next page in which zone its reader lives
    let body = &format!("{body}\n<data hidden data-zone value=\"{}\"></data>", manager.cookies().name(ui::ZONE_COOKIE));
    let shell = ui::Page { site: &manager.settings.name, title, base: "", links: &links, person: at_desk, narrow, scripts, body };
    let mut response = (status, Html(ui::render(&shell))).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&ui::content_security_policy(&[])) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // no other origin learns where she was; our own forms say theirs (under `no-referrer` browsers would say `null`)
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// What did not work, and where she goes on.
#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage<'a> {
    title: &'a str,
    what: &'a str,
    /// No answer came: nobody knows what was done.
    is_open: bool,
    is_known: bool,
}

fn error_page(manager: &Manager, person: Option<&Person>, status: StatusCode, title: &str, what: &str) -> Response {
    let body = TroublePage { title, what, is_open: false, is_known: person.is_some() };
    page(manager, person, status, title, "", &ui::render(&body))
}

/// Most rows of one list on a page: what a server lists may be without end.
const LISTED_AT_MOST: usize = 200;

/// The first rows of a list, and how many there are beside.
struct First<T> {
    rows: Vec<T>,
    more: usize,
}

impl<T> First<T> {
    fn of(all: impl Iterator<Item = T>) -> Self {
        let mut all = all.fuse();
        let rows = all.by_ref().take(LISTED_AT_MOST).collect();
        Self { rows, more: all.count() }
    }
}

/// To another page of ours.
fn see_other(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().extend(HeaderValue::from_str(to).ok().map(|to| (header::LOCATION, to)));
    // where it leads rests on who asks: no cache answers the next one with it
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn shown(manager: &Manager, person: Option<&Person>, answer: Shown) -> Response {
    match answer {
        Ok(response) => response,
        Err(trouble) => {
            let (status, title) = match &trouble {
                Trouble::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "Not now"),
                Trouble::Away(_) | Trouble::NotFound(_) => (StatusCode::BAD_GATEWAY, "No answer"),
                Trouble::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "Wait a moment"),
                Trouble::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "Wait a moment"),
                Trouble::Refused(_) => (StatusCode::BAD_REQUEST, "That did not work"),
            };
            let is_open = matches!(trouble, Trouble::Away(_));
            let body = TroublePage { title, what: &trouble.to_string(), is_open, is_known: person.is_some() };
            page(manager, person, status, title, "", &ui::render(&body))
        }
    }
}

/// A page that only somebody who is logged in sees.
async fn at_desk(
    manager: Arc<Manager>,
    headers: &HeaderMap,
    work: impl AsyncFnOnce(&Arc<Manager>, &Person) -> Shown,
) -> Response {
    match manager.person(headers).await {
        Ok(Some(person)) => {
            let answer = work(&manager, &person).await;
            shown(&manager, Some(&person), answer)
        }
        Ok(None) => see_other("/login"),
        Err(trouble) => shown(&manager, None, Err(trouble)),
    }
}

/// The same page, whose form's answer leads to this place (browsers hold forms to that).
fn leading_to(mut response: Response, url: &url::Url) -> Response {
    if let Ok(policy) = HeaderValue::from_str(&ui::content_security_policy(&[url.origin().ascii_serialization()])) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Whoever must log in first comes back to the page that she wanted.
async fn come_back(request: Request, next: Next) -> Response {
    let wanted = (request.method() == Method::GET).then(|| request.uri().path_and_query().map(ToString::to_string)).flatten();
    let mut response = next.run(request).await;
    let to_log_in = response.headers().get(header::LOCATION).is_some_and(|to| to == "/login");
    if let Some(wanted) = wanted.filter(|wanted| to_log_in && wanted != "/") {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("return", &wanted).finish();
        if let Ok(to) = HeaderValue::from_str(&format!("/login?{query}")) {
            response.headers_mut().insert(header::LOCATION, to);
        }
    }
    response
}

/// Parameters of a URL or a form, in order.
#[derive(Clone, Debug, Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of_query(parts: &Parts) -> Self {
        Self(form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect())
    }

    fn one(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.trim()).unwrap_or_default()
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// A form that somebody at the desk sent from one of our pages.
async fn posted(
    manager: Arc<Manager>,
    request: Request,
    work: impl AsyncFnOnce(&Arc<Manager>, &Person, &Fields) -> Shown,
) -> Response {
    let (parts, body) = request.into_parts();
    let fields = match read_form(body).await {
        Ok(fields) => fields,
        Err(what) => return error_page(&manager, None, StatusCode::BAD_REQUEST, "That did not work", what),
    };
    at_desk(manager, &parts.headers, async |manager, person| {
        if !is_own_form(&manager.settings.url, &parts.headers) {
            let what = "This form came from another site than this desk. Open the page here, and send it from there.";
            return Ok(error_page(manager, Some(person), StatusCode::FORBIDDEN, "Not from here", what));
        }
        // of equal length, and nothing to be timed: the field is a hash of the session's cookie, new with each log-in
        if fields.one("csrf") != person.csrf {
            let what =
                "This form is not from a page of yours, or the desk was restarted. Go back, load the page again, and send it.";
            return Ok(error_page(manager, Some(person), StatusCode::FORBIDDEN, "Send it again", what));
        }
        work(manager, person, &fields).await
    })
    .await
}

/// A body as far as this many bytes, that comes within a moment; whoever sends it slower holds nothing open here.
async fn read_body(body: Body, most: usize) -> Option<axum::body::Bytes> {
    tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, most)).await.ok()?.ok()
}

async fn read_form(body: Body) -> Result<Fields, &'static str> {
    let bytes = read_body(body, MAX_FORM).await.ok_or("The form is too large, or did not arrive whole.")?;
    Ok(Fields(form_urlencoded::parse(&bytes).into_owned().collect()))
}

/// Where authorization servers say that somebody waits: signed by them, and about a link that was made here.
async fn notify(State(manager): Desk, request: Request) -> Response {
    let Some(bytes) = read_body(request.into_body(), MAX_NOTICE).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    match manager.take_notice(&String::from_utf8_lossy(&bytes)).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(Trouble::Refused(what)) => (StatusCode::BAD_REQUEST, what).into_response(),
        Err(trouble) => (StatusCode::SERVICE_UNAVAILABLE, trouble.to_string()).into_response(),
    }
}
