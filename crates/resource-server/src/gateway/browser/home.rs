//! Where a gateway says what it is, and how somebody leaves it: `/` where no route is, `/.wayleave/` and `/.wayleave/logout`.

use super::super::Gateway;
use super::super::passage::Refused;
use super::super::path::CanonicalPath;
use super::super::route::{self, Matched};
use super::session::{Held, Session};
use super::{navigation, read_form, read_to, set_cookies, wrong_method};
use crate::challenge::plain;
use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use std::sync::{Arc, PoisonError};
use types::metadata::Metadata;
use url::Url;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    name: &'a str,
    link: String,
    error: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "visit_logged_out.html")]
struct LoggedOutPage {
    places: Vec<LogOutPlace>,
}

/// Where somebody may be known still.
struct LogOutPlace {
    host: String,
    url: String,
}

/// Whether somebody opens the beginning of this server, where nothing is.
pub(super) fn is_home(path: &CanonicalPath, refused: &Refused) -> bool {
    path.segments().is_empty() && refused.owner.is_none() && refused.answer.status() == StatusCode::NOT_FOUND
}

impl Gateway {
    /// What this server is, and how an owner begins here.
    pub(in super::super) fn home_page(&self, status: StatusCode, error: Option<&str>) -> Response {
        let body = HomePage { name: &self.settings.name, link: self.own_url("link"), error };
        let mut response = self.own_page(status, &self.settings.name, &ui::render(&body));
        // browsers hold a form to where its answer leads
        let listed = self.settings.authorization_servers.first();
        let page = listed.and_then(|issuer| {
            self.find_page(issuer, |all| Some(&all.authorization_endpoint)).or_else(|| Url::parse(issuer).ok())
        });
        let origin = page.map(|page| page.origin().ascii_serialization());
        if let Ok(policy) = HeaderValue::from_str(&ui::content_security_policy(origin.as_slice())) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }

    /// A page of an authorization server that was found.
    fn find_page(&self, issuer: &str, which: impl Fn(&Metadata) -> Option<&String>) -> Option<Url> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        let url = Url::parse(which(&peers.get(issuer)?.protection.metadata)?).ok()?;
        Some(url).filter(|url| matches!(url.scheme(), "http" | "https"))
    }

    /// Whose a path is, where it says so itself.
    pub(in super::super) fn find_owner_of(&self, to: &str) -> Option<String> {
        let path = CanonicalPath::parse(read_to(to)?.path()).ok()?;
        let routes = self.routes();
        let found = route::find(&routes, &path).or_else(|| route::find_collection(&routes, &path));
        let Some(Matched::Guarded(matched)) = found else { return None };
        matched.owner.clone()
    }

    /// `/.wayleave/`.
    pub(in super::super) async fn start(self: &Arc<Self>, parts: &Parts) -> Response {
        match self.find_held(&parts.headers).await {
            _ if !navigation::is_navigation(parts) => plain(StatusCode::NOT_FOUND, "Nothing is here."),
            Ok(Some(held)) => self.log_out_page(&held),
            Ok(None) => self.send_on("/", &[]),
            Err(answer) => self.in_words(&answer),
        }
    }

    /// `/.wayleave/logout`: by a form of ours, or by a page of ours.
    pub(in super::super) async fn log_out(self: &Arc<Self>, parts: &Parts, body: Body) -> Response {
        let held = match self.find_held(&parts.headers).await {
            Ok(held) => held,
            Err(answer) => return *answer,
        };
        let out = |status, title: &str, what: &str| self.say_page(status, title, what, None);
        let Some(held) = held else {
            return out(StatusCode::OK, "Logged out", "Nobody is logged in here with this browser.");
        };
        match parts.method {
            Method::HEAD => return plain(StatusCode::OK, "Open this in a browser."),
            Method::GET => return self.log_out_page(&held),
            Method::POST => {}
            _ => return wrong_method("GET, HEAD, POST"),
        }
        let form = read_form(body, 4 * 1_024).await.unwrap_or_default();
        let has_token = form.iter().any(|(name, value)| name == "csrf" && self.is_form_token(&held, value));
        let is_ours = match navigation::origin_of(&parts.headers, &self.browsers.origin) {
            navigation::CameFrom::Here => true,
            navigation::CameFrom::Unsaid => has_token,
            navigation::CameFrom::Elsewhere => false,
        };
        if !is_ours {
            return out(StatusCode::FORBIDDEN, "Not logged out", "This form did not come from a page of this server.");
        }
        self.leave(held).await
    }

    async fn leave(self: &Arc<Self>, held: Held) -> Response {
        let last = match self.end_session(&held.cookie).await {
            Ok(last) => last.unwrap_or(held.session),
            Err(error) => return self.cannot_lead(&error),
        };
        let body = LoggedOutPage { places: self.places_of(&last) };
        let gateway = self.clone();
        tokio::spawn(async move { gateway.return_grants(last.into_grants()).await });
        let mut response = self.own_page(StatusCode::OK, "Logged out", &ui::render(&body));
        set_cookies(&mut response, &[self.browsers.names.set_session("", 0)]);
        response
    }

    /// The servers that let her in here: each may know her browser still.
    fn places_of(&self, session: &Session) -> Vec<LogOutPlace> {
        let place = |issuer: &String| {
            let url = self.find_page(issuer, |all| all.end_session_endpoint.as_ref())?;
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            Some(LogOutPlace { host: format!("{}{port}", url.host_str()?), url: url.into() })
        };
        session.issuers().iter().filter_map(place).collect()
    }
}
