//! Active content of a folder (design/browser.md) under a name of its own, where a browser may run it: nobody's session is there,
//! and what runs there reads nothing else. Whoever opens such a file with a session is sent there by a URL that is good for
//! this path, this session and a minute. The file is judged there once more, by what the session holds then.

use super::super::passage::Brought;
use super::super::{Active, Gateway, path};
use super::{Held, query_of};
use crate::challenge::plain;
use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jose::base64url;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use types::Timestamp;
use url::{Host, Url};

const PASS: &str = "wl_content";
const CONTEXT: &[u8] = b"content of a folder";
const PASS_SECONDS: i64 = 60;
/// It runs, as nobody: not even with what else is under this name.
const POLICY: &str = "sandbox allow-scripts allow-forms allow-popups; frame-ancestors 'none'";

/// By which one file is opened there.
#[derive(Serialize, Deserialize)]
struct Pass {
    path: String,
    /// Of the session; it is sealed, and nobody reads it there.
    cookie: String,
    until: Timestamp,
}

/// Whether a name can serve what strangers wrote, beside the gateway's own.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_content_origin(origin: &str, resource: &str) -> Result<(), String> {
    let (Ok(there), Ok(here)) = (Url::parse(origin), Url::parse(resource)) else {
        return Err("it must be a URL like https://files-content.example".to_owned());
    };
    if there.origin().ascii_serialization() != origin {
        return Err("it must be a URL without a path, like https://files-content.example".to_owned());
    }
    // what a browser counts as one site with it would be sent some of its cookies
    let is_one_site = match (there.host(), here.host()) {
        (Some(Host::Domain(there)), Some(Host::Domain(here))) => is_within(there, here) || is_within(here, there),
        (there, here) => there == here,
    };
    if is_one_site {
        return Err("it must have another host than `resource`, and not one below or above it".to_owned());
    }
    Ok(())
}

fn is_within(host: &str, above: &str) -> bool {
    host.strip_suffix(above).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn missing() -> Response {
    plain(StatusCode::NOT_FOUND, "Nothing is here, or not any more: open it again from where you were.")
}

fn protect(headers: &mut HeaderMap, cache: &'static str) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    // the pass stands in the URL
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

impl Gateway {
    /// The answer, or where it is to be had instead.
    pub(super) fn lead_to_content(
        &self,
        parts: &Parts,
        path: &path::CanonicalPath,
        held: Option<&Held>,
        answer: Response,
    ) -> Response {
        let is_active = parts.method == Method::GET && answer.extensions().get::<Active>().is_some();
        let (Some(origin), Some(held)) = (&self.settings.content_origin, held.filter(|_| is_active)) else { return answer };
        let until = self.client.clock.now().plus(PASS_SECONDS);
        let pass = Pass { path: path.encoded().to_owned(), cookie: held.cookie.clone(), until };
        let sealed = serde_json::to_vec(&pass).ok();
        let sealed = sealed.and_then(|plain| self.browsers.sealing.seal(&plain, CONTEXT, &*self.client.randomness).ok());
        let place = sealed.map(|sealed| format!("{origin}{}?{PASS}={}", path.encoded(), base64url::encode(sealed)));
        let Some(place) = place.and_then(|place| HeaderValue::from_str(&place).ok()) else { return answer };
        let mut response = plain(StatusCode::FOUND, "This is shown under another name.");
        response.headers_mut().insert(header::LOCATION, place);
        protect(response.headers_mut(), "no-store");
        response
    }

    /// Whether a call is to that other name: there is nothing but what a pass leads to.
    pub(in super::super) fn is_for_content(&self, parts: &Parts) -> bool {
        let Some(origin) = self.settings.content_origin.as_deref().and_then(|origin| Url::parse(origin).ok()) else {
            return false;
        };
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let called = parts.uri.authority().map(http::uri::Authority::as_str).or(host).unwrap_or_default();
        // as a browser reads it: the usual port may be left out
        let called = Url::parse(&format!("{}://{called}", origin.scheme()));
        called.is_ok_and(|called| called.origin() == origin.origin())
    }

    pub(in super::super) async fn serve_content(self: &Arc<Self>, mut parts: Parts) -> Response {
        let Ok(path) = path::CanonicalPath::parse(parts.uri.path()) else { return missing() };
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return super::wrong_method("GET, HEAD");
        }
        let Some(held) = self.held_by_pass(&parts, &path).await else { return missing() };
        for name in [header::AUTHORIZATION, header::COOKIE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
            parts.headers.remove(name);
        }
        parts.headers.remove("dpop");
        let Ok(whole) = self.judge_call(&mut parts, Brought::default(), &path, Some(&held)).await else { return missing() };
        let mut answer = self.let_in(parts, Body::empty(), &path, whole, None).await;
        if answer.extensions().get::<Active>().is_none() {
            return missing();
        }
        let headers = answer.headers_mut();
        headers.remove(header::CONTENT_DISPOSITION);
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        protect(headers, "private, no-store");
        answer
    }

    /// The session whose pass for this path it is.
    async fn held_by_pass(&self, parts: &Parts, path: &path::CanonicalPath) -> Option<Held> {
        let sealed = query_of(parts).into_iter().find(|(name, _)| name == PASS).map(|(_, value)| value)?;
        let plain = self.browsers.sealing.open(&base64url::decode(&sealed)?, CONTEXT)?;
        let pass: Pass = serde_json::from_slice(&plain).ok()?;
        if pass.path != path.encoded() || pass.until <= self.client.clock.now() {
            return None;
        }
        let session = self.read_session(&pass.cookie).await.ok()??;
        Some(Held { cookie: pass.cookie, session })
    }
}

#[cfg(test)]
impl Gateway {
    /// A browser whose session holds this token; its cookie.
    pub(in super::super) async fn hold(&self, owner: &str, issuer: &str, token: String) -> String {
        let held = self.begin_session(None, None).await.unwrap();
        let expires = self.client.clock.now().plus(600);
        let grant = super::session::Grant {
            owner: owner.into(),
            issuer: issuer.into(),
            token,
            expires,
            refresh_token: None,
            is_copied: false,
        };
        self.change_session(&held.cookie, |session| session.put_grant(grant)).await.unwrap();
        self.browsers.names.set_session(&held.cookie, 600).split(';').next().unwrap().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_has_a_host_of_its_own() {
        let resource = "https://files.example";
        for good in ["https://files-content.example", "https://content.test:8443", "http://localhost:9000"] {
            assert!(check_content_origin(good, resource).is_ok(), "{good}");
        }
        let bad = [
            "https://files.example",
            "https://files.example:8443",
            "https://content.files.example",
            "https://example",
            "https://content.test/",
            "https://content.test/x",
            "content.test",
            "",
        ];
        for bad in bad {
            assert!(check_content_origin(bad, resource).is_err(), "{bad}");
        }
        assert!(check_content_origin("http://localhost:9000", "http://127.0.0.1:9000").is_ok());
        assert!(check_content_origin("http://127.0.0.1:9001", "http://127.0.0.1:9000").is_err());
    }
}
