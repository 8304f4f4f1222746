//! What a person with a browser reads where there is nothing to show her: one page for all that is not for her, the page of
//! who waits, and the answers of the gateway in words.

use super::super::Gateway;
use super::super::path::CanonicalPath;
use super::super::route::{self, Matched};
use super::asking::MAX_MESSAGE_CHARS;
use super::session::Held;
use super::visit::read_to;
use crate::challenge::Unlinked;
use crate::protection::ProtectionError;
use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use std::sync::PoisonError;
use types::OwnResourceId;
use url::Url;

pub(in super::super) const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Title and words.
const NOT_READY: (&str, &str) = (
    "Not ready yet",
    "Its owner has not said yet which server decides who may see this. If it is yours, link it first; else ask whoever gave you this address.",
);

/// A page of the gateway's own.
pub(in super::super) struct OwnPage<'a> {
    pub(in super::super) status: StatusCode,
    /// Who may log out at its head.
    pub(in super::super) held: Option<&'a Held>,
    pub(in super::super) title: &'a str,
    pub(in super::super) body: &'a str,
    pub(in super::super) is_narrow: bool,
    /// One of ours.
    pub(in super::super) script: Option<&'a str>,
    /// Without script it loads itself anew after so many seconds.
    pub(in super::super) reload_seconds: Option<u64>,
    /// What it may load and where its forms lead.
    pub(in super::super) policy: String,
}

#[derive(Template)]
#[template(path = "visit_closed.html")]
struct ClosedPage<'a> {
    name: &'a str,
    action: String,
    log_out: String,
    csrf: String,
    to: &'a str,
    message: &'a str,
    error: Option<&'a str>,
    most: usize,
}

/// What she wants to send to a path, and may not.
pub(super) struct Changing<'a> {
    pub(super) to: &'a str,
    /// The page from which she comes.
    pub(super) back: &'a str,
    /// She shows first who she is.
    pub(super) is_unknown: bool,
    /// She has sent something, and it is lost.
    pub(super) was_sent: bool,
}

#[derive(Template)]
#[template(path = "visit_changing.html")]
struct ChangingPage<'a> {
    title: &'a str,
    name: &'a str,
    action: String,
    log_out: String,
    csrf: String,
    changing: &'a Changing<'a>,
    back: String,
    message: &'a str,
    error: Option<&'a str>,
    most: usize,
}

#[derive(Template)]
#[template(path = "visit_note.html")]
struct NotePage<'a> {
    title: &'a str,
    what: &'a str,
    /// Where it may go on, and in which words.
    on: Option<Onward>,
}

struct Onward {
    url: String,
    text: &'static str,
}

#[derive(Template)]
#[template(path = "visit_leaving.html")]
struct LeavingPage<'a> {
    name: &'a str,
    /// To which she goes, with its port.
    host: &'a str,
    url: &'a str,
}

#[derive(Template)]
#[template(path = "visit_log_out.html")]
struct LogOutPage<'a> {
    name: &'a str,
    action: String,
    csrf: String,
    /// Where an owner sees what counts for her.
    yours: String,
}

/// What is served below `/.wayleave/assets/`.
pub(in super::super) fn asset(path: &str) -> Option<Response> {
    let (kind, text) = match path {
        "/.wayleave/assets/style.css" => ("text/css; charset=utf-8", ui::STYLE),
        "/.wayleave/assets/icon.svg" => ("image/svg+xml", ui::ICON),
        "/.wayleave/assets/presses.js" => ("text/javascript; charset=utf-8", ui::PRESSES_SCRIPT),
        "/.wayleave/assets/waiting.js" => ("text/javascript; charset=utf-8", ui::WAITING_SCRIPT),
        "/.wayleave/assets/album.js" => ("text/javascript; charset=utf-8", ui::ALBUM_SCRIPT),
        _ => return None,
    };
    let mut response = Response::new(Body::from(text));
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

impl Gateway {
    pub(in super::super) fn own_url(&self, place: &str) -> String {
        format!("{}/.wayleave/{place}", self.settings.resource)
    }

    /// A page of the gateway's own, of which nobody keeps or frames anything.
    pub(super) fn own_page(&self, status: StatusCode, title: &str, body: &str) -> Response {
        self.own_page_with(status, title, body, None)
    }

    /// With a script of ours, without which the page loads itself anew after so many seconds.
    pub(super) fn own_page_with(&self, status: StatusCode, title: &str, body: &str, reload: Option<(&str, u64)>) -> Response {
        let policy = ui::content_security_policy(&[]);
        let (script, reload_seconds) = (reload.map(|(script, _)| script), reload.map(|(_, seconds)| seconds));
        self.render_page(&OwnPage { status, held: None, title, body, is_narrow: true, script, reload_seconds, policy })
    }

    pub(in super::super) fn render_page(&self, page: &OwnPage<'_>) -> Response {
        let base = format!("{}/.wayleave", self.settings.resource);
        let site = self.settings.name.as_str();
        let OwnPage { title, body, is_narrow: narrow, .. } = *page;
        let person = page.held.map(|held| ui::Person { name: String::new(), csrf: self.form_token(held) });
        let scripts: Vec<&str> = std::iter::once("presses.js").chain(page.script).collect();
        let shell = ui::Page { site, title, base: &base, links: &[], person, narrow, scripts: &scripts, body };
        let mut html = self.lead_home(&ui::render(&shell), &base);
        if let Some(seconds) = page.reload_seconds {
            let tag = format!("<noscript><meta http-equiv=\"refresh\" content=\"{seconds}\"></noscript>\n</head>");
            html = html.replacen("</head>", &tag, 1);
        }
        let mut response = Response::new(Body::from(html));
        *response.status_mut() = page.status;
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, page.policy.as_str()),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // no page of the service holds a window of ours, in which it could press what she may press
            (OPENER_POLICY, "same-origin"),
        ] {
            response.headers_mut().extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        }
        response
    }

    /// A page whose name leads to the beginning of this server, and not to that of its own pages at `base`.
    pub(in super::super) fn lead_home(&self, html: &str, base: &str) -> String {
        let brand = |base: &str| format!("class=\"brand\" href=\"{base}/\"");
        html.replacen(&brand(base), &brand(&self.settings.resource), 1)
    }

    /// The origin to which the form of a page about this path leads. Browsers hold a form to where its answer leads, and that
    /// is where she shows who she is; what other owners chose has no place in this page's policy.
    async fn form_target(&self, to: &str) -> Option<String> {
        let issuer = self.server_of(to).await?;
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        let page = peers.get(&issuer)?.protection.metadata.claims_interaction_endpoint.clone()?;
        Some(Url::parse(&page).ok()?.origin().ascii_serialization())
    }

    /// The authorization server that guards what a path leads to, or something else of its owner.
    async fn server_of(&self, to: &str) -> Option<String> {
        let path = CanonicalPath::parse(read_to(to)?.path()).ok()?;
        let routes = self.routes();
        let Matched::Guarded(matched) = route::find(&routes, &path)? else { return None };
        let looked_up = || self.find_looked_up(matched.route, &path);
        let Some(owner) = matched.owner.clone().or_else(looked_up) else {
            return self.settings.authorization_servers.first().cloned();
        };
        let registered = self.store.registrations(&owner, &OwnResourceId::from(matched.own_id.as_str())).await.ok();
        if let Some(one) = registered.iter().flat_map(|all| all.iter()).find(|one| one.guards()) {
            return Some(one.issuer.clone());
        }
        Some(self.store.find_guarding(&owner).await.ok()??.issuer)
    }

    /// Absent, hidden, refused, expired and withdrawn are this one page.
    pub(super) async fn closed_page(&self, status: StatusCode, held: &Held, to: &str, wrong: Option<(&str, &str)>) -> Response {
        let body = ClosedPage {
            name: &self.settings.name,
            action: self.visit_url(),
            log_out: self.own_url("logout"),
            csrf: self.form_token(held),
            to,
            message: wrong.map_or("", |(_, typed)| typed),
            error: wrong.map(|(what, _)| what),
            most: MAX_MESSAGE_CHARS,
        };
        self.page_that_asks(status, "Not shared with you", &ui::render(&body), to).await
    }

    /// Somebody sent a form, or wants to, and may not.
    pub(super) async fn changing_page(
        &self,
        status: StatusCode,
        held: &Held,
        changing: &Changing<'_>,
        wrong: Option<(&str, &str)>,
    ) -> Response {
        let title = if changing.is_unknown { "Show again who you are" } else { "You may not change this" };
        let body = ChangingPage {
            title,
            name: &self.settings.name,
            action: self.visit_url(),
            log_out: self.own_url("logout"),
            csrf: self.form_token(held),
            changing,
            back: format!("{}{}", self.settings.resource, changing.back),
            message: wrong.map_or("", |(_, typed)| typed),
            error: wrong.map(|(what, _)| what),
            most: MAX_MESSAGE_CHARS,
        };
        self.page_that_asks(status, title, &ui::render(&body), changing.to).await
    }

    /// A page with a form whose answer may lead to where she shows who she is.
    async fn page_that_asks(&self, status: StatusCode, title: &str, body: &str, to: &str) -> Response {
        let mut response = self.own_page(status, title, body);
        let policy = ui::content_security_policy(self.form_target(to).await.as_slice());
        // in the place of the page's own: of two policies both hold, and the form would lead nowhere
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }

    /// A few words, with a link to a path of this gateway where it is worth to try again.
    pub(super) fn say_page(&self, status: StatusCode, title: &str, what: &str, again: Option<&str>) -> Response {
        let on = again.map(|to| Onward { url: format!("{}{to}", self.settings.resource), text: "Try again" });
        self.own_page(status, title, &ui::render(&NotePage { title, what, on }))
    }

    pub(super) fn log_out_page(&self, held: &Held) -> Response {
        let body = LogOutPage {
            name: &self.settings.name,
            action: self.own_url("logout"),
            csrf: self.form_token(held),
            yours: self.own_url("yours"),
        };
        self.own_page(StatusCode::OK, "Log out", &ui::render(&body))
    }

    pub(super) fn no_such_visit(&self) -> Response {
        let what = "This was opened in another browser, was used before, or took longer than ten minutes. Open the link that you were given again.";
        self.say_page(StatusCode::BAD_REQUEST, "Open the link again", what, None)
    }

    /// Before somebody goes to a page that no operator chose: she sees where it is.
    pub(super) fn leaving_page(&self, url: &str) -> Response {
        let page = Url::parse(url).ok();
        let port = page.as_ref().and_then(Url::port).map(|port| format!(":{port}")).unwrap_or_default();
        let host = format!("{}{port}", page.as_ref().and_then(Url::host_str).unwrap_or_default());
        let body = LeavingPage { name: &self.settings.name, host: &host, url };
        self.own_page(StatusCode::OK, "Show who you are", &ui::render(&body))
    }

    pub(super) fn answer_of_another(&self) -> Response {
        let what = "You come back from another server than the one that you were sent to. Nothing was opened. Open the link that you were given again.";
        self.say_page(StatusCode::BAD_REQUEST, "This is another server's answer", what, None)
    }

    pub(super) fn nobody_shown(&self, way: &super::visit::Way) -> Response {
        let what = "Nobody was told who you are, and so it cannot be said whether this is shared with you.";
        self.say_page(StatusCode::FORBIDDEN, "You did not show who you are", what, Some(&way.to))
    }

    pub(super) fn too_many(&self, wait: i64) -> Response {
        let what = "Too many people of your network came here at once. Try again later.";
        let mut response = self.say_page(StatusCode::TOO_MANY_REQUESTS, "Try again later", what, None);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        response
    }

    /// Nobody can be led to the authorization server, for now or at all.
    pub(super) fn cannot_lead(&self, error: &ProtectionError) -> Response {
        let (status, title, what) = match error {
            ProtectionError::Refused(_) | ProtectionError::Unauthorized => (
                StatusCode::FORBIDDEN,
                "This cannot be opened in a browser here",
                "This server and the one that keeps watch over this have not agreed on how people with browsers get in. Whoever runs it finds how in the book, under [gateway.browser].",
            ),
            ProtectionError::Store => {
                (StatusCode::SERVICE_UNAVAILABLE, "Not now", "What is kept here cannot be read right now. Try again in a moment.")
            }
            _ => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Not now",
                "The server that says who may see this does not answer right now. Try again in a moment.",
            ),
        };
        let mut response = self.say_page(status, title, what, None);
        let wait = error.seconds_to_wait().map(HeaderValue::from);
        response.headers_mut().extend(wait.map(|wait| (header::RETRY_AFTER, wait)));
        response
    }

    /// The same about a path: what its owner has not linked, she links from there.
    pub(super) fn refused_page(&self, answer: &Response, to: &str) -> Response {
        if answer.extensions().get::<Unlinked>().is_none() || self.find_owner_of(to).is_none() {
            return self.in_words(answer);
        }
        let (title, what) = NOT_READY;
        let to: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
        let on = Some(Onward { url: format!("{}?for={to}", self.own_url("link")), text: "It is mine: link it" });
        let page = self.own_page(answer.status(), title, &ui::render(&NotePage { title, what, on }));
        with_fields_of(answer, page)
    }

    /// An answer of the gateway as a page, with the same status and fields.
    pub(in super::super) fn in_words(&self, answer: &Response) -> Response {
        let (title, what) = match answer.status() {
            StatusCode::NOT_FOUND => ("Nothing is here", "There is nothing at this address. Look at how it is written."),
            StatusCode::TOO_MANY_REQUESTS => ("Try again later", "Too much was asked for here. Try again later."),
            StatusCode::METHOD_NOT_ALLOWED => ("This cannot be done here", "This cannot be done at this address."),
            StatusCode::BAD_REQUEST => (
                "This address does not read",
                "Something about this address can be read in two ways. Ask whoever gave it to you.",
            ),
            StatusCode::FORBIDDEN if answer.extensions().get::<Unlinked>().is_some() => NOT_READY,
            StatusCode::FORBIDDEN => {
                ("Not now", "The server that says who may see this cannot be asked right now. Try again later.")
            }
            status if status.is_server_error() => ("Not now", "This does not work right now. Try again in a moment."),
            _ => ("This did not work", "This address cannot be opened."),
        };
        with_fields_of(answer, self.say_page(answer.status(), title, what, None))
    }
}

fn with_fields_of(answer: &Response, mut page: Response) -> Response {
    for name in [header::RETRY_AFTER, header::ALLOW, header::WARNING] {
        page.headers_mut().extend(answer.headers().get(&name).cloned().map(|value| (name, value)));
    }
    page
}
