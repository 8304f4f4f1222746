//! A link in a browser (threat 42): it begins with a cookie, comes back to that browser alone, and where nobody knows that
//! the account there is the owner's, whoever is at the browser is told both names and asked.
//!
//! 1. `GET /.wayleave/link` sends the person to the authorization server, and its answer comes to `/.wayleave/callback`.
//! 2. An account that is known to be the owner's is linked. Of every other nothing is kept or told to anybody yet: the page
//!    says which account it is, and under whose name at this gateway the link was begun.
//! 3. `POST /.wayleave/link` is the answer to that page, of the same browser, once.
//!
//! What came of it is read at an address without code and state ([`super::came_of_it`]).

use super::super::browser::{OPENER_POLICY, is_navigation};
use super::super::enrolment::Enrolled;
use super::super::store::{Account, Begun, LinkState};
use super::super::{Gateway, store};
use super::account::Came;
use super::came_of_it::CameOfIt;
use super::waiting::Brought;
use super::{BEGUN_LIFETIME, COOKIE};
use crate::challenge::plain;
use crate::protection::ProtectionError;
use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use http::{Method, StatusCode, header};
use types::spelling::readable;

/// Longest form that is read, in bytes.
const MAX_FORM_BYTES: usize = 4 * 1_024;
const OTHER_BROWSER: &str =
    "This answer does not belong to this browser, or another link was begun in it meanwhile. Start again.";

fn query_of(request: &Parts) -> Vec<(String, String)> {
    form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

/// `/.wayleave/link`.
pub(in super::super) async fn link(gateway: &Gateway, request: &Parts, body: Body) -> Response {
    match request.method {
        Method::GET => begin(gateway, request).await,
        Method::HEAD => look_ahead(),
        Method::POST => shown(gateway, decide(gateway, request, body).await),
        _ => wrong_method("GET, HEAD, POST"),
    }
}

/// Nobody who opens a link: nothing is begun or finished (RFC 9110 9.2.1).
fn look_ahead() -> Response {
    plain(StatusCode::OK, "Open this in a browser.")
}

fn wrong_method(allowed: &'static str) -> Response {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "This cannot be done here.");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// `?owner=alice`, at one of the operator's servers (`&authorization_server=`, the first where it is left out); or
/// `?begun=`, where she has begun by managing.
async fn begin(gateway: &Gateway, request: &Parts) -> Response {
    let query = query_of(request);
    let get = |name: &str| query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    let now = gateway.client.clock.now();
    // a path of hers says whose it is
    let named = get("owner").map(str::to_owned).or_else(|| gateway.find_owner_of(get("for")?));
    let begun = match (get("begun"), named.as_deref()) {
        (Some(state), _) => {
            // once: whoever opens it first has it
            let Ok(begun) = gateway.store.take_begun(state, now).await else {
                return plain(StatusCode::SERVICE_UNAVAILABLE, "This cannot be read right now: try again in a moment.");
            };
            let Some(begun) = begun.filter(|begun| begun.url.is_some()) else {
                return plain(StatusCode::BAD_REQUEST, "This link was used before, or is too old: ask for another.");
            };
            begun
        }
        (None, Some(owner)) if gateway.has_owner(owner) => match begin_here(gateway, request, owner, get).await {
            Ok(begun) => begun,
            Err(refusal) => return *refusal,
        },
        (None, named) if is_navigation(request) => {
            return gateway.home_page(StatusCode::NOT_FOUND, named.map(|_| "Nobody of this name has anything here."));
        }
        _ => return plain(StatusCode::NOT_FOUND, "No owner of this name is served here: call /.wayleave/link?owner=NAME."),
    };
    send(gateway, &begun)
}

async fn begin_here<'q>(
    gateway: &Gateway,
    request: &Parts,
    owner: &str,
    get: impl Fn(&str) -> Option<&'q str>,
) -> Result<Begun, Box<Response>> {
    let issuer = get("authorization_server").or(gateway.settings.authorization_servers.first().map(String::as_str));
    let Some(issuer) = issuer.filter(|issuer| gateway.is_listed(issuer)) else {
        return Err(Box::new(plain(StatusCode::NOT_FOUND, "This authorization server is not offered here.")));
    };
    if !gateway.is_known(issuer) {
        check_stranger(gateway, request)?;
    }
    gateway.begin(owner, issuer, None, false).await.map_err(|error| {
        tracing::warn!(%error, issuer, "a log-in cannot begin");
        Box::new(match error {
            ProtectionError::Store => {
                plain(StatusCode::SERVICE_UNAVAILABLE, "This cannot be kept right now: try again in a moment.")
            }
            error => crate::challenge::without_ticket(&error),
        })
    })
}

/// Whether one more stranger may have the authorization server asked (threat 41); else the answer to one who may not.
fn check_stranger(gateway: &Gateway, request: &Parts) -> Result<(), Box<Response>> {
    let asked = gateway.strangers.may_link(request.extensions.get().copied(), std::time::Instant::now());
    asked.map_err(|wait| {
        let what = "Too many links were begun from your network: try again later.";
        let mut response = plain(StatusCode::TOO_MANY_REQUESTS, what);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        Box::new(response)
    })
}

pub(super) fn cookies(gateway: &Gateway) -> ui::Cookies {
    ui::Cookies::of(&gateway.settings.resource)
}

/// To the authorization server, in this browser alone.
fn send(gateway: &Gateway, begun: &Begun) -> Response {
    // nobody is known yet: her browser keeps it, and nothing is written here
    let kept = serde_json::to_vec(&Begun { url: None, ..begun.clone() }).ok();
    let kept = kept.and_then(|kept| gateway.sealing.seal(&kept, COOKIE.as_bytes(), &*gateway.client.randomness).ok());
    let Some(sealed) = kept.map(jose::base64url::encode) else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "This cannot be kept right now: try again in a moment.");
    };
    let cookie = cookies(gateway).set(COOKIE, &sealed, BEGUN_LIFETIME);
    let mut response = plain(StatusCode::SEE_OTHER, "Log in at the authorization server.");
    for (name, value) in [(header::LOCATION, begun.url.clone().unwrap_or_default()), (header::SET_COOKIE, cookie)] {
        response.headers_mut().extend(HeaderValue::from_str(&value).ok().map(|value| (name, value)));
    }
    response
}

/// `GET /.wayleave/callback`: only in the browser that began.
pub(in super::super) async fn callback(gateway: &Gateway, request: &Parts) -> Response {
    match request.method {
        Method::GET => shown(gateway, finish(gateway, request).await),
        Method::HEAD => look_ahead(),
        _ => wrong_method("GET, HEAD"),
    }
}

fn shown(gateway: &Gateway, done: Result<Response, String>) -> Response {
    done.unwrap_or_else(|what| {
        let what = ui::ErrorPage { title: "Not linked", what: &what };
        page(gateway, StatusCode::BAD_REQUEST, "Not linked", &ui::render(&what))
    })
}

async fn finish(gateway: &Gateway, request: &Parts) -> Result<Response, String> {
    let query = query_of(request);
    let state = query.iter().find(|(name, _)| name == "state").map(|(_, value)| value.clone()).unwrap_or_default();
    let begun = begun_here(gateway, &request.headers)?.filter(|begun| begun.flow.state == state).ok_or(OTHER_BROWSER)?;
    if begun.expires <= gateway.client.clock.now() {
        return Err("This took too long. Start again.".into());
    }
    // one at a time of each: a code that is sent twice ends what it was good for
    let turn = gateway.turn(&format!("callback {state}")).await;
    let _held = turn.lock().await;
    let is_at_browser = is_at_browser(&request.headers);
    if let Some(came_of_it) = gateway.finished_links.find(&state, gateway.client.clock.now()) {
        return Ok(answer(gateway, came_of_it, is_at_browser).await);
    }
    // anybody can begin, and come back with any code
    if let Err(refusal) = check_stranger(gateway, request) {
        return Ok(*refusal);
    }
    let away = |_| "The authorization server does not answer. Try again.".to_owned();
    let peer = gateway.peer(&begun.flow.issuer).await.map_err(away)?;
    let (client, metadata) = (&peer.protection.client, &peer.protection.metadata);
    let authorized = client.finish_code(metadata, &begun.flow, &query).await.map_err(|error| error.to_string())?;
    let (owner, issuer) = (begun.owner.clone(), begun.flow.issuer.clone());
    let came_of_it = match gateway.take(&begun, authorized, is_at_browser).await? {
        Came::Kept(state) => linked(gateway, owner, issuer, state).await,
        Came::Asked { name, account } => CameOfIt::Asked { owner, issuer, account: in_words(&account), waiting: name },
    };
    gateway.finished_links.note(&state, &came_of_it, gateway.client.clock.now());
    Ok(answer(gateway, came_of_it, is_at_browser).await)
}

/// To whoever came back; where she is still asked, her browser keeps what it began.
async fn answer(gateway: &Gateway, came_of_it: CameOfIt, is_at_browser: bool) -> Response {
    let is_linked = matches!(came_of_it, CameOfIt::Linked { .. });
    let answer = came_of_it.answer(gateway, is_at_browser).await;
    if is_linked { forgetting(gateway, answer) } else { answer }
}

/// Whether a browser sent this: each says so where it is at a place that can be trusted (Fetch Metadata).
fn is_at_browser(headers: &HeaderMap) -> bool {
    ["sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site"].iter().any(|name| headers.contains_key(*name))
}

/// Who somebody is at an authorization server.
fn in_words(account: &Account) -> String {
    let known = [account.email.as_deref(), account.sub.as_deref()].into_iter().flatten();
    match known.map(readable).find(|text| !text.is_empty()) {
        Some(text) => text,
        None => "an account without a name".to_owned(),
    }
}

/// `POST /.wayleave/link`: what whoever is at the browser says to it.
async fn decide(gateway: &Gateway, request: &Parts, body: Body) -> Result<Response, String> {
    let lines = |name: header::HeaderName| request.headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let origin = url::Url::parse(&gateway.settings.resource).map(|url| url.origin().ascii_serialization());
    let site = header::HeaderName::from_static("sec-fetch-site");
    if !ui::is_own_form(&origin.unwrap_or_default(), lines(header::ORIGIN), lines(site)) {
        return Err("This form did not come from a page of this server. Start again.".into());
    }
    let bytes = axum::body::to_bytes(body, MAX_FORM_BYTES).await.map_err(|_| "This form is too long.".to_owned())?;
    let form: Vec<(String, String)> = form_urlencoded::parse(&bytes).into_owned().collect();
    let get = |wanted: &str| {
        let mut values = form.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        values.next().filter(|_| values.next().is_none()).unwrap_or_default()
    };
    let begun = begun_here(gateway, &request.headers)?.ok_or(OTHER_BROWSER)?;
    let brought = gateway.waiting.take(get("waiting"), &begun.flow.state, gateway.client.clock.now());
    let brought = brought.ok_or("This was answered before, or took too long. Start again.")?;
    match get("decision") {
        "link" => {
            let Brought { owner, issuer, .. } = &brought;
            let (owner, issuer) = (owner.clone(), issuer.clone());
            let state = gateway.keep_account(brought).await?;
            let came_of_it = linked(gateway, owner, issuer, state).await;
            Ok(forgetting(gateway, came_of_it.show(gateway).await))
        }
        _ => {
            if let Err(error) = gateway.give_back(&brought).await {
                tracing::info!(error, issuer = brought.issuer, "tokens that nobody wanted could not be given back");
            }
            let what = "Nothing was linked, and nobody was told who you are.";
            let body = ui::render(&ui::ErrorPage { title: "Not linked", what });
            Ok(forgetting(gateway, page(gateway, StatusCode::OK, "Not linked", &body)))
        }
    }
}

async fn linked(gateway: &Gateway, owner: String, issuer: String, state: LinkState) -> CameOfIt {
    let is_pending = state == store::LinkState::Pending;
    let enrolled = match is_pending {
        true => Enrolled { registered: 0, goes_on: false },
        false => gateway.wait_for_enrolment(&owner).await,
    };
    CameOfIt::Linked { owner, issuer, count: enrolled.registered, goes_on: enrolled.goes_on, is_pending }
}

/// The browser keeps nothing of what has ended.
fn forgetting(gateway: &Gateway, mut response: Response) -> Response {
    let cookie = cookies(gateway).set(COOKIE, "", 0);
    response.headers_mut().extend(HeaderValue::from_str(&cookie).ok().map(|value| (header::SET_COOKIE, value)));
    response
}

/// What this browser began, and kept.
fn begun_here(gateway: &Gateway, headers: &HeaderMap) -> Result<Option<Begun>, String> {
    let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    let sealed = cookies(gateway).find(lines, COOKIE).map_err(|doubled| doubled.to_string())?;
    Ok(sealed.and_then(|sealed| opened(gateway, sealed)))
}

fn opened(gateway: &Gateway, sealed: &str) -> Option<Begun> {
    let plain = gateway.sealing.open(&jose::base64url::decode(sealed)?, COOKIE.as_bytes())?;
    serde_json::from_slice(&plain).ok()
}

pub(super) fn page(gateway: &Gateway, status: StatusCode, title: &str, body: &str) -> Response {
    // what these pages load is the gateway's own: no server that somebody links says what her page does
    let base = format!("{}/.wayleave", gateway.settings.resource);
    let site = gateway.settings.name.as_str();
    let shell = ui::Page { site, title, base: &base, links: &[], person: None, narrow: true, scripts: &["presses.js"], body };
    let mut response = Response::new(Body::from(gateway.lead_home(&ui::render(&shell), &base)));
    *response.status_mut() = status;
    let policy = format!(
        "default-src 'none'; style-src {base}/assets/; script-src {base}/assets/; img-src {base}/assets/; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (OPENER_POLICY, "same-origin"),
    ] {
        response.headers_mut().extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
    }
    response
}
