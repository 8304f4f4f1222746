//! Forward-auth (design/browser.md, *Forward-auth*): a proxy asks at `/.wayleave/auth` whether a call may pass that it will make
//! itself. The call is judged as one that goes through this gateway, by the same rules, kept answers and history.
//!
//! 1. A trusted proxy asks, and nobody else; its fields name the call ([`original`]).
//! 2. What a proxy hands on as it came, and this gateway would have taken off or written anew, is refused: a field by which a
//!    service may read another call, a protocol that nobody here knows, a body that may go further than is seen.
//! 3. The call is judged, once for as often as it is asked about in a second ([`recent`]).
//! 4. 200 says who calls; 401 brings the challenge; a person who follows a link is sent on a visit.

pub(super) mod original;
mod recent;

use super::browser::{self, Attempts, Next};
use super::identity::Identity;
use super::owner::FromTrustedProxy;
use super::passage::{Brought, Refused, Whole};
use super::path::CanonicalPath;
use super::{Gateway, OriginalIn, fields, not_allowed, tunnel};
use crate::challenge::{Unlinked, plain};
use crate::presentation::{self, DPOP};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use original::{Original, asks_other_protocol, asks_web_socket};
pub(super) use recent::{AskedBefore, Recent};
use recent::{Before, Key};
use std::sync::Arc;

/// Where proxies ask; below it stands the path of the call, where a proxy writes that behind the place where it asks (Envoy).
const ASK: &str = "/.wayleave/auth";
const VISIT: HeaderName = HeaderName::from_static("x-wayleave-visit");

/// How a proxy is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// As the call itself would be; people are sent on.
    Whole,
    /// By 2xx, 401 and 403 alone (`?redirect=no`): nginx takes every other one for a fault.
    Three,
}

/// What becomes of a call.
enum Verdict {
    /// By everybody, or by whom this names.
    Passes(Option<Identity>),
    Refused(Box<Response>),
    /// A person is to show who she is; where she wants to go, and the answer that a program would get.
    Visits {
        to: String,
        answer: Box<Response>,
    },
}

impl From<Response> for Verdict {
    fn from(answer: Response) -> Self {
        Self::Refused(Box::new(answer))
    }
}

/// Whether this is a place where proxies ask.
pub(super) fn is_ask(path: &str) -> bool {
    path.strip_prefix(ASK).is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

impl Gateway {
    pub(super) async fn forward_auth(self: &Arc<Self>, parts: Parts) -> Response {
        let Some(family) = self.settings.forward_auth else { return plain(StatusCode::NOT_FOUND, "Nothing is here.") };
        if parts.extensions.get::<FromTrustedProxy>().is_none() {
            return plain(StatusCode::FORBIDDEN, "Here asks a proxy that `gateway.trusted_proxies` names, and nobody else.");
        }
        let asked = parts.uri.path_and_query().map(|target| target.as_str()).unwrap_or_default();
        let below = asked.strip_prefix(ASK).unwrap_or_default();
        let is_below = below.starts_with('/');
        if !is_below && parts.method != Method::GET {
            return not_allowed("GET");
        }
        let original = match Original::read(&parts.headers, family, self.resource.as_ref()) {
            Ok(original) => original,
            Err(unreadable) => {
                tracing::info!(%unreadable, "a proxy asks about a call that it does not name: look at its configuration");
                return unreadable_ask();
            }
        };
        // a proxy that names the call twice names one
        if is_below && below != original.sent {
            return unreadable_ask();
        }
        let answers = if !is_below && says_no_redirect(below) { Answers::Three } else { Answers::Whole };
        let cookies = fields::others_cookies(&parts.headers);
        match self.judge_original(original, family, parts).await {
            Verdict::Passes(identity) => passes(identity, cookies),
            Verdict::Refused(answer) => refused(*answer, answers),
            Verdict::Visits { to, answer } => self.visits(&to, *answer, answers),
        }
    }

    async fn judge_original(self: &Arc<Self>, original: Original, family: OriginalIn, ask: Parts) -> Verdict {
        let is_unknown_protocol = asks_other_protocol(&ask.headers);
        let Some((call, path)) = original.into_call(ask) else {
            let what = "This path is ambiguous: write it without empty segments, dots, encoded slashes and semicolons.";
            return plain(StatusCode::BAD_REQUEST, what).into();
        };
        if let Err(ambiguous) = presentation::check(&call) {
            return Verdict::Refused(ambiguous.answer());
        }
        if self.is_own(&path) {
            return plain(StatusCode::NOT_FOUND, "Nothing is here.").into();
        }
        let named = [&self.owner_headers()[..], &self.settings.pass_headers];
        if let Some(name) = fields::find_override(&call.headers, family, &named) {
            tracing::info!(%name, "a call was refused that could be read as another one, or as somebody else's: see `pass_headers`");
            let what = "A field of this call could make another one of it, or somebody else's: leave it out.";
            return plain(StatusCode::FORBIDDEN, what).into();
        }
        let is_web_socket = asks_web_socket(&call.headers);
        let is_judged = tunnel::Asked::read(&call).is_some() && self.backend.has_web_sockets();
        if is_unknown_protocol || is_web_socket && !is_judged {
            return plain(StatusCode::FORBIDDEN, "This would become something that is not judged here.").into();
        }
        match self.public_methods(&path) {
            Some(_) if is_web_socket => plain(StatusCode::FORBIDDEN, "A public route takes no web sockets.").into(),
            Some(methods) => match self.judge_public(&call, &path, &methods) {
                Ok(_) => Verdict::Passes(None),
                Err(answer) => Verdict::Refused(answer),
            },
            None => Box::pin(self.judge_guarded(call, &path)).await,
        }
    }

    /// As [`Gateway::guarded`] does, and makes nothing of it.
    async fn judge_guarded(self: &Arc<Self>, mut call: Parts, path: &CanonicalPath) -> Verdict {
        let has_token = call.headers.contains_key(header::AUTHORIZATION);
        let held = match has_token || self.is_read_elsewhere(&call) {
            true => None,
            false => match self.find_held(&call.headers).await {
                Ok(held) => held,
                Err(answer) => return Verdict::Refused(answer),
            },
        };
        if held.is_some() && self.is_forged(&call) {
            let what = "With a session, this is done from a page of this server alone.";
            return plain(StatusCode::FORBIDDEN, what).into();
        }
        let to = (!has_token && browser::is_navigation(&call)).then(|| to_of(&call)).flatten();
        // of a call that shows nothing nothing is written down
        let key = (has_token || held.is_some()).then(|| Key::of(&call));
        let before = key.map_or(Before::Never, |key| self.recent.begin(key, self.recent.now()));
        // its proof was seen, by this gateway, with this call
        if let Before::LetIn(whole) = &before
            && call.headers.contains_key(DPOP)
            && self.still_lets_in(whole).await
        {
            return Verdict::Passes(self.identify_whole(whole, path));
        }
        if matches!(before, Before::Refused) {
            call.extensions.insert(AskedBefore);
        }
        // what was presented for a session is left out where it is judged again
        let spare = held.as_ref().map(|_| call.clone());
        let (mut held, mut attempts) = (held, Attempts::default());
        loop {
            let refused = match self.judge_call(&mut call, Brought::unseen(), path, held.as_ref()).await {
                Ok(whole) => return self.let_pass(whole, path, key.filter(|_| !matches!(before, Before::LetIn(_)))),
                Err(refused) => refused,
            };
            let (Some(unpresented), Some(now), None) = (spare.as_ref(), held.take(), to.as_ref()) else {
                return refuse(to, refused);
            };
            held = match Box::pin(self.widen(unpresented, now, refused, &mut attempts)).await {
                Next::Page(page) => return Verdict::Refused(page),
                Next::Again(held) => Some(*held),
            };
            call = unpresented.clone();
        }
    }

    /// It may pass; `key`: by which that is remembered for a second.
    fn let_pass(&self, whole: Whole, path: &CanonicalPath, key: Option<Key>) -> Verdict {
        let identity = self.identify_whole(&whole, path);
        if let Some(key) = key {
            self.note_whole(&whole);
            self.recent.keep(key, Arc::new(whole));
        }
        Verdict::Passes(identity)
    }

    fn visits(&self, to: &str, answer: Response, answers: Answers) -> Response {
        let to: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
        let Ok(place) = HeaderValue::from_str(&format!("{}/.wayleave/visit?to={to}", self.settings.resource)) else {
            return refused(answer, answers);
        };
        if answers == Answers::Whole {
            let mut sent = plain(StatusCode::FOUND, "Show who you are.");
            sent.headers_mut().insert(header::LOCATION, place);
            return sent;
        }
        let mut answer = answer;
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
        answer.headers_mut().insert(VISIT, place);
        answer
    }
}

fn unreadable_ask() -> Response {
    let what = "The proxy does not say of which call it asks: it sends one method and one address within `gateway.resource`, in the \
                fields that `[gateway.forward_auth]` names.";
    plain(StatusCode::BAD_REQUEST, what)
}

/// Whether the query of an ask wants no redirects.
fn says_no_redirect(below: &str) -> bool {
    let query = below.strip_prefix('?').unwrap_or_default();
    // as the book writes it, nothing has to be decoded
    query == "redirect=no" || form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "redirect" && value == "no")
}

/// Where somebody wants to go, if she can be led back there.
fn to_of(call: &Parts) -> Option<String> {
    let to = call.uri.path_and_query()?.as_str();
    browser::read_to(to).map(|_| to.to_owned())
}

/// A person is led on where she can be.
fn refuse(to: Option<String>, refused: Refused) -> Verdict {
    let status = refused.answer.status();
    // a page says of what nobody has linked where that is done
    let is_unlinked = refused.answer.extensions().get::<Unlinked>().is_some();
    let may_be_led =
        refused.owner.is_some() && (is_unlinked || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND));
    match to.filter(|_| may_be_led) {
        Some(to) => Verdict::Visits { to, answer: refused.answer },
        None => Verdict::Refused(refused.answer),
    }
}

fn refused(mut answer: Response, answers: Answers) -> Response {
    let status = answer.status();
    if answers == Answers::Three && status.is_client_error() && status != StatusCode::UNAUTHORIZED {
        *answer.status_mut() = StatusCode::FORBIDDEN;
    }
    answer
}

/// Who calls, for the proxy to write over what the caller wrote; and the cookies that are the service's.
fn passes(identity: Option<Identity>, cookies: Option<HeaderValue>) -> Response {
    let mut answer = plain(StatusCode::OK, "It may pass.");
    if let Some(identity) = identity {
        identity.write(answer.headers_mut());
    }
    answer.headers_mut().extend(cookies.map(|cookies| (header::COOKIE, cookies)));
    answer
}
