//! A visit: a person on her way from something guarded to the authorization server and back (Grant 3.3.2, 3.3.3). It is sealed
//! in a cookie of her browser, so that nobody else comes back with it and nothing is written before she is known; it is good
//! for 10 minutes, and once: its ticket is spent when it is traded.
//!
//! 1. [`Gateway::begin_visit`] sends her there, with a ticket for the thing. Where there is no such thing, the ticket is for
//!    another of the same owner: on the way she cannot tell.
//! 2. `GET /.wayleave/visit?state=&ticket=`, or `/.wayleave/visit/{hash of the issuer}`, is her way back ([`super::client`]): the
//!    ticket is traded, and her session begins under a new cookie.
//! 3. She is sent on to where she wanted to go, which answers by what her session holds now.
//!
//! `GET /.wayleave/visit?to=` begins one for a path of this gateway.

use super::super::Gateway;
use super::super::path::CanonicalPath;
use super::super::store::Registered;
use super::super::told::Destination;
use super::changing::is_about_form;
use super::client::{WayBack, is_way_back};
use super::session::{Held, LONGEST_SECONDS, Session, Waiting};
use super::trade::{Asks, BrowserClient, Outcome, Trade};
use super::{Next, query_of, set_cookies};
use crate::challenge::plain;
use crate::guard::Need;
use crate::protection::ProtectionError;
use axum::body::Body;
use axum::response::Response;
use client::uma::{PersonSending, is_from};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use jose::{base64url, digest};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use types::peer::Caller;
use types::{ResourceId, ScopeSet, Timestamp};

const LIFETIME_SECONDS: i64 = 600;
/// Visits of one browser that are under way: so many tabs.
const MOST_AT_ONCE: usize = 4;
/// Longest path and query to which somebody is led back, in bytes: it is kept in a cookie.
const MAX_TO_BYTES: usize = 1_200;
const CONTEXT: &[u8] = b"visit";

/// What a browser keeps of it.
#[derive(Serialize, Deserialize)]
struct Visit {
    /// The `state` with which she comes back.
    id: String,
    /// Hash of the ticket with which she was sent: she brings another.
    ticket: String,
    way: Way,
    expires: Timestamp,
    /// Where she comes back, and whether the server says then that it is its answer.
    way_back: WayBack,
    says_issuer: bool,
}

/// Where somebody wants to go.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Way {
    /// Path and query.
    pub(super) to: String,
    pub(super) owner: String,
    pub(super) issuer: String,
    /// The ticket is for something else: there is no such thing.
    pub(super) is_elsewhere: bool,
    /// She pressed *Ask for access*.
    pub(super) asks: bool,
    pub(super) message: Option<String>,
    /// The application there sees her address, and she is told so.
    #[serde(default)]
    pub(super) shows_address: bool,
}

impl Way {
    /// To something that she may see, and that may not be there.
    pub(super) fn to_nothing(to: String) -> Self {
        Self {
            to,
            owner: String::new(),
            issuer: String::new(),
            is_elsewhere: true,
            asks: true,
            message: None,
            shows_address: false,
        }
    }

    /// Whether she goes to where she is told that the application sees her address, though she is known.
    pub(super) fn has_to_tell(&self, session: &Session) -> bool {
        self.shows_address && !session.shows_address_at(&self.issuer)
    }

    /// How its ticket is traded: where there is no such thing, nobody is asked.
    pub(super) fn asks(&self) -> Asks<'_> {
        match self.asks && !self.is_elsewhere {
            true => Asks::Owner { message: self.message.as_deref() },
            false => Asks::Nobody,
        }
    }

    /// Where her owner was asked: the ticket with which it is asked on, and how often.
    pub(super) fn waiting(&self, asked: Option<(String, u64)>, now: Timestamp) -> Waiting {
        let (ticket, interval) = asked.map_or((None, None), |(ticket, seconds)| (Some(ticket), Some(seconds)));
        let (to, owner, issuer) = (self.to.clone(), self.owner.clone(), self.issuer.clone());
        Waiting { to, owner, issuer, ticket, interval_seconds: interval.unwrap_or(5), asked: now }
    }
}

/// A path of this gateway that somebody names; none: it is none, or one of the gateway's own.
pub(in super::super) fn read_to(to: &str) -> Option<Uri> {
    let uri: Uri = to.parse().ok()?;
    // what is left out of it when it is read would still stand where she is sent
    let is_plain = to.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let is_path = is_plain && uri.scheme().is_none() && uri.authority().is_none() && to.starts_with('/') && !to.starts_with("//");
    let path = CanonicalPath::parse(uri.path()).ok()?;
    // in whichever letters: a proxy before it may not tell them apart
    let path = path.with_slash().encoded().to_ascii_lowercase();
    let is_own = ["/.wayleave/", "/.well-known/oauth-protected-resource"].iter().any(|own| path.starts_with(own));
    (is_path && !is_own && to.len() <= MAX_TO_BYTES).then_some(uri)
}

/// Path and query of a call.
pub(super) fn to_of(parts: &Parts) -> String {
    parts.uri.path_and_query().map_or_else(|| parts.uri.path().to_owned(), |to| to.as_str().to_owned())
}

impl Gateway {
    /// `/.wayleave/visit`, and below it where people come back from one server alone.
    pub(in super::super) async fn visit(self: &Arc<Self>, parts: &Parts, body: Body) -> Response {
        let query = query_of(parts);
        let mut named = query.iter().filter(|(name, _)| name == "to").map(|(_, value)| value.as_str());
        // of two, nobody can tell which was meant: none is a path
        let to = named.next().map(|to| if named.next().is_some() { "" } else { to });
        match (&parts.method, to) {
            // who only looks ahead neither begins nor ends anything (RFC 9110 9.2.1)
            (&Method::HEAD, _) => plain(StatusCode::OK, "Open this in a browser."),
            (&Method::GET, Some(to)) => self.visit_to(parts, to, is_about_form(&query)).await,
            (&Method::GET, None) => self.come_back(parts, &query, None).await,
            (&Method::POST, _) => self.ask(parts, body).await,
            _ => super::wrong_method("GET, HEAD, POST"),
        }
    }

    /// `/.wayleave/visit/{hash of the issuer}`.
    pub(in super::super) async fn visit_from(self: &Arc<Self>, parts: &Parts, place: &str) -> Response {
        match parts.method {
            Method::HEAD => plain(StatusCode::OK, "Open this in a browser."),
            Method::GET => self.come_back(parts, &query_of(parts), Some(place)).await,
            _ => super::wrong_method("GET, HEAD"),
        }
    }

    /// Leads somebody to a path, as if she had opened it, or says whether she may send a form there.
    async fn visit_to(self: &Arc<Self>, parts: &Parts, to: &str, is_about_form: bool) -> Response {
        let Some(uri) = read_to(to) else {
            return plain(StatusCode::BAD_REQUEST, "`to` is a path within this server.");
        };
        let held = match self.find_held(&parts.headers).await {
            Ok(held) => held,
            Err(answer) => return *answer,
        };
        let held = match held {
            Some(held) if is_about_form => return self.visit_form(parts, held, to, uri).await,
            held => held,
        };
        match self.look(parts, Method::GET, uri, held.as_ref()).await {
            Ok(()) => self.send_on(to, &[]),
            Err(looked) => match self.lead(&looked.parts, held, looked.refused, true).await {
                Next::Page(page) => *page,
                Next::Again(_) => self.send_on(to, &[]),
            },
        }
    }

    /// Sends her to the authorization server.
    pub(super) async fn begin_visit(&self, parts: &Parts, way: Way, ticket: &str, endpoint: Option<String>) -> Response {
        match self.sent_person(parts, way, ticket, endpoint).await {
            Ok(response) => response,
            Err(error) => self.cannot_lead(&error),
        }
    }

    async fn sent_person(
        &self,
        parts: &Parts,
        way: Way,
        ticket: &str,
        endpoint: Option<String>,
    ) -> Result<Response, ProtectionError> {
        if way.to.len() > MAX_TO_BYTES {
            return Ok(plain(StatusCode::URI_TOO_LONG, "This address is too long to come back to."));
        }
        let BrowserClient { client, metadata, way_back } = self.browser_client(&way.issuer).await?;
        let endpoint = endpoint.or(metadata.claims_interaction_endpoint.clone());
        let endpoint = endpoint.ok_or_else(|| ProtectionError::Refused("it names no `claims_interaction_endpoint`".into()))?;
        let way_back_url = self.way_back_url(&way.issuer, way_back);
        let person = PersonSending { disclose_email: way.shows_address, ..PersonSending::to(&endpoint, ticket, &way_back_url) };
        let sent = client.send_person(&metadata, &person)?;
        let says_issuer = metadata.claims_response_iss_parameter_supported;
        let is_listed = self.is_listed(&way.issuer);
        let (id, expires) = (sent.state, self.client.clock.now().plus(LIFETIME_SECONDS));
        let visit = Visit { ticket: hash_of(ticket), id: id.clone(), way, expires, way_back, says_issuer };
        let plain_text = serde_json::to_vec(&visit).map_err(|error| ProtectionError::Refused(error.to_string()))?;
        let sealed = self.browsers.sealing.seal(&plain_text, CONTEXT, &*self.client.randomness);
        let sealed = sealed.map_err(|error| ProtectionError::Refused(error.to_string()))?;
        let lines = parts.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
        let mut cookies = self.browsers.names.end_old_visits(lines, MOST_AT_ONCE.saturating_sub(1));
        cookies.push(self.browsers.names.set_visit(&id, &base64url::encode(sealed), LIFETIME_SECONDS));
        let mut response = match is_listed {
            true => sent_to(&sent.url, "Show who you are at the authorization server."),
            // an owner chose that server, and nobody looked at where it sends people
            false => self.leaving_page(&sent.url),
        };
        set_cookies(&mut response, &cookies);
        Ok(response)
    }

    /// To a path of this gateway, with these cookies.
    pub(in super::super) fn send_on(&self, to: &str, cookies: &[String]) -> Response {
        let mut response = sent_to(&format!("{}{to}", self.settings.resource), "Go on there.");
        set_cookies(&mut response, cookies);
        response
    }

    /// The visit of this browser to which an answer belongs.
    fn find_visit(&self, parts: &Parts, state: &str) -> Option<Visit> {
        let lines = parts.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
        let sealed = base64url::decode(self.browsers.names.find_visit(lines, state).ok()??)?;
        let visit: Visit = serde_json::from_slice(&self.browsers.sealing.open(&sealed, CONTEXT)?).ok()?;
        // Grant 5.1: the answer is to what this browser was sent with
        let is_its = digest::equal(visit.id.as_bytes(), state.as_bytes());
        Some(visit).filter(|visit| is_its && self.client.clock.now() < visit.expires)
    }

    async fn come_back(self: &Arc<Self>, parts: &Parts, query: &[(String, String)], place: Option<&str>) -> Response {
        let get = |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let Some(visit) = self.find_visit(parts, get("state").unwrap_or_default()) else {
            return self.no_such_visit();
        };
        let ended = self.browsers.names.set_visit(&visit.id, "", 0);
        let ticket = get("ticket").filter(|ticket| hash_of(ticket) != visit.ticket);
        let issuer = visit.way.issuer.as_str();
        let is_its_answer = is_way_back(visit.way_back, issuer, place) && is_from(issuer, visit.says_issuer, query);
        let mut response = match (get("error"), ticket) {
            // threat 15: whoever gets a ticket of another server's goes on with it in her place
            _ if !is_its_answer => {
                tracing::warn!(issuer, "somebody came back with the answer of another authorization server");
                self.answer_of_another()
            }
            (None, Some(ticket)) => self.return_with(parts, visit.way, ticket).await,
            (Some(_), _) => self.nobody_shown(&visit.way),
            (None, None) => self.no_such_visit(),
        };
        set_cookies(&mut response, &[ended]);
        response
    }

    /// Trades what she brought, and begins her session.
    async fn return_with(self: &Arc<Self>, parts: &Parts, way: Way, ticket: &str) -> Response {
        let caller: Option<Caller> = parts.extensions.get().copied();
        let counted = match self.strangers.may_visit(caller, std::time::Instant::now()) {
            Ok(counted) => counted,
            Err(wait) => return self.too_many(wait),
        };
        let held = match self.find_held(&parts.headers).await {
            Ok(held) => held,
            Err(answer) => return *answer,
        };
        let trade = Trade { owner: &way.owner, issuer: &way.issuer, ticket, held: held.as_ref(), caller, asks: way.asks() };
        let outcome = match self.trade(&trade).await {
            Ok(Outcome::Spent) => return self.no_such_visit(),
            Ok(outcome) => outcome,
            Err(error) => return self.cannot_lead(&error),
        };
        if matches!(outcome, Outcome::Granted { .. } | Outcome::Waits { .. }) {
            // whom the server knows is no flood; others leave nothing here
            self.strangers.give_back_visit(counted);
        }
        match self.settle(parts, held, &way, outcome).await {
            Ok(held) => self.send_on(&way.to, &[self.browsers.names.set_session(&held.cookie, LONGEST_SECONDS)]),
            Err(error) => self.cannot_lead(&error),
        }
    }

    /// Keeps what came of her way in a session under a new cookie.
    async fn settle(
        self: &Arc<Self>,
        parts: &Parts,
        held: Option<Held>,
        way: &Way,
        outcome: Outcome,
    ) -> Result<Held, ProtectionError> {
        let caller = parts.extensions.get().copied();
        let held = match held {
            // what brought nothing moves nothing: whoever has a copy of a cookie takes nobody's session along by coming back. Who
            // asks her owner cannot tell by it whether anybody was asked (threat 47)
            Some(held) if !way.asks && matches!(outcome, Outcome::Closed | Outcome::Shows { .. }) => held,
            held => self.begin_session(held, caller).await?,
        };
        let session = self.keep_outcome(&held.cookie, way, outcome, caller).await?;
        Ok(Held { session: session.ok_or(ProtectionError::Store)?, ..held })
    }

    /// A ticket for something of the same owner, where there is nothing at a path; and at which server.
    pub(super) async fn ticket_elsewhere(
        self: &Arc<Self>,
        other: &Registered,
        caller: Option<Caller>,
    ) -> Result<String, ProtectionError> {
        let peer = self.peer(&other.issuer).await?;
        let first = self.scopes_of(other).iter().next().and_then(|scope| ScopeSet::parse(scope.as_str()).ok());
        let scopes = first.ok_or(ProtectionError::Unauthorized)?;
        let needs = [Need { resource: ResourceId::new(other.own_id.as_str()), scopes }];
        let _place = self.wait_for_ticket(&other.issuer, caller).await?;
        self.asking_for(&Destination::of(other), self.ticket(&peer, &other.owner, &needs, &[other], caller)).await
    }
}

fn sent_to(url: &str, what: &'static str) -> Response {
    let mut response = plain(StatusCode::SEE_OTHER, what);
    response.headers_mut().extend(HeaderValue::from_str(url).ok().map(|url| (header::LOCATION, url)));
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn hash_of(ticket: &str) -> String {
    base64url::encode(digest::sha256(&[ticket.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_42_nobody_is_led_away_from_here() {
        for good in ["/", "/a", "/a/b?c=d&e=%2F", "/a/", "/%C3%A4"] {
            assert!(read_to(good).is_some(), "{good}");
        }
        let long = format!("/{}", "a".repeat(MAX_TO_BYTES));
        for bad in [
            "",
            "a",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "https://evil.example/",
            "http:/a",
            "/..//evil",
            "/a//b",
            "/\\evil.example",
            "/%2fevil.example",
            "/%5cevil.example",
            "/%2Fevil.example/..",
            "\\\\evil.example",
            "/\t/evil.example",
            "/%09/evil.example",
            "/%252fevil.example",
            "//bob@evil.example",
            "//evil.example:80/",
            "@evil.example",
            ".evil.example",
            ":80/",
            "?x",
            "#x",
            "/a#b",
            "/a?b#c",
            "/\u{e4}",
            "/a b",
            " /a",
            "/a ",
            "HTTPS://photos.example/a",
            "https:/evil.example",
            "https:evil.example",
            "/./evil",
            "/%2e%2e/evil",
            "/;@evil.example",
            "/.wayleave/link",
            "/.wayleave",
            "/.wayleave/auth",
            "/.wayleave/visit?to=/a",
            "/%2ewayleave/link",
            "/.waYleave/link",
            "/a\r\nb",
            "javascript:alert(1)",
            "*",
            &long,
        ] {
            assert!(read_to(bad).is_none(), "{bad}");
        }
    }
}
