//! What came of a link, as whoever is at the browser reads it: at `/.wayleave/linked`, where neither code nor state stands in the
//! address. It is sealed in a cookie of her browser, so that nothing is written here and nobody puts words into the page. A
//! program that came back reads it at once.

use super::super::Gateway;
use super::super::browser::is_navigation;
use super::BEGUN_LIFETIME;
use super::pages::{cookies, page};
use crate::challenge::plain;
use askama::Template;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use types::Timestamp;
use types::spelling::visible;

/// Names that are shown of those to which no path leads.
const MOST_NAMES: usize = 5;
const LINKED_COOKIE: &str = "wl_linked";

#[derive(Template)]
#[template(path = "linked.html")]
struct LinkedPage<'a> {
    /// In words.
    owner: &'a str,
    name: &'a str,
    count: usize,
    /// More is being registered.
    goes_on: bool,
    /// Names to which no path leads: some of them, and how many more there are.
    unnamed: Vec<String>,
    more_unnamed: usize,
    issuer: &'a str,
    /// Where she sees what is registered there, if it is known.
    resources: Option<String>,
    /// Waits for her word.
    pending: bool,
}

#[derive(Template)]
#[template(path = "asked.html")]
struct AskedPage<'a> {
    owner: &'a str,
    name: &'a str,
    resource: &'a str,
    issuer: &'a str,
    /// Who is logged in there, in words.
    account: &'a str,
    action: String,
    waiting: &'a str,
}

/// What came of a link.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum CameOfIt {
    Linked {
        owner: String,
        issuer: String,
        count: usize,
        goes_on: bool,
        is_pending: bool,
    },
    /// Whoever is at the browser is asked; `waiting`: by which name.
    Asked {
        owner: String,
        issuer: String,
        account: String,
        waiting: String,
    },
}

/// The same in a cookie.
#[derive(Serialize, Deserialize)]
struct Sealed {
    came_of_it: CameOfIt,
    expires: Timestamp,
}

impl CameOfIt {
    /// Where it is read: at its own address, or at once.
    pub(super) async fn answer(self, gateway: &Gateway, is_at_browser: bool) -> Response {
        match is_at_browser {
            true => self.lead(gateway),
            false => self.show(gateway).await,
        }
    }

    fn lead(self, gateway: &Gateway) -> Response {
        let expires = gateway.client.clock.now().plus(BEGUN_LIFETIME);
        let kept = serde_json::to_vec(&Sealed { came_of_it: self, expires }).ok();
        let sealed =
            kept.and_then(|kept| gateway.sealing.seal(&kept, LINKED_COOKIE.as_bytes(), &*gateway.client.randomness).ok());
        let sealed = sealed.map(jose::base64url::encode).unwrap_or_default();
        let cookie = cookies(gateway).set(LINKED_COOKIE, &sealed, BEGUN_LIFETIME);
        let mut response = plain(StatusCode::SEE_OTHER, "Go on there.");
        let to = format!("{}/.wayleave/linked", gateway.settings.resource);
        for (name, value) in [(header::LOCATION, to), (header::SET_COOKIE, cookie)] {
            response.headers_mut().extend(HeaderValue::from_str(&value).ok().map(|value| (name, value)));
        }
        response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }

    pub(super) async fn show(&self, gateway: &Gateway) -> Response {
        match self {
            Self::Linked { owner, issuer, count, goes_on, is_pending } => {
                // it is linked, also where nobody can say right now where she sees what is there
                let peer = gateway.peer(issuer).await.ok();
                let metadata = peer.as_ref().map(|peer| &peer.protection.metadata);
                let has_page = metadata.is_some_and(|metadata| metadata.registered_resources_endpoint.is_some());
                let content = gateway.content_for_page(true).await;
                let unnamed = content.unnamed_of(owner);
                let shown: Vec<String> = unnamed.iter().take(MOST_NAMES).map(|name| visible(name)).collect();
                let body = LinkedPage {
                    more_unnamed: unnamed.len().saturating_sub(shown.len()),
                    unnamed: shown,
                    owner: &gateway.say_owner(owner).await,
                    name: &gateway.settings.name,
                    count: *count,
                    goes_on: *goes_on,
                    issuer,
                    resources: has_page.then(|| format!("{issuer}/my/resources")),
                    pending: *is_pending,
                };
                let title = if *is_pending { "Almost linked" } else { "Linked" };
                page(gateway, StatusCode::OK, title, &ui::render(&body))
            }
            Self::Asked { owner, issuer, account, waiting } => {
                let body = AskedPage {
                    owner,
                    name: &gateway.settings.name,
                    resource: &gateway.settings.resource,
                    issuer,
                    account,
                    action: format!("{}/.wayleave/link", gateway.settings.resource),
                    waiting,
                };
                page(gateway, StatusCode::OK, "Link this account?", &ui::render(&body))
            }
        }
    }
}

/// `GET /.wayleave/linked`.
pub(in super::super) async fn linked(gateway: &Gateway, request: &Parts) -> Response {
    match find(gateway, request).filter(|_| request.method == Method::GET) {
        Some(came_of_it) => came_of_it.show(gateway).await,
        None if is_navigation(request) => gateway.send_on("/", &[]),
        None => plain(StatusCode::NOT_FOUND, "Nothing is here."),
    }
}

fn find(gateway: &Gateway, request: &Parts) -> Option<CameOfIt> {
    let lines = request.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    let sealed = jose::base64url::decode(cookies(gateway).find(lines, LINKED_COOKIE).ok()??)?;
    let sealed: Sealed = serde_json::from_slice(&gateway.sealing.open(&sealed, LINKED_COOKIE.as_bytes())?).ok()?;
    (gateway.client.clock.now() < sealed.expires).then_some(sealed.came_of_it)
}
