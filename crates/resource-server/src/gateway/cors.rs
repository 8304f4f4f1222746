//! Scripts of other origins (`[gateway.cors]`; Fetch standard, "HTTP-access control"). Where the operator lists none, the gateway says
//! nothing of it, and the service goes on to say what it likes. Else the gateway says it alone, of what is guarded: it answers
//! preflights, which bring no token, and lets the listed origins read answers, the challenge among them. It never allows credentials
//! that a browser adds by itself: scripts bring tokens, and the cookies of somebody's browser are not theirs to use.

use super::path::CanonicalPath;
use super::route::{self, Matched};
use super::{Gateway, management};
use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};

/// Stands for every origin.
const ANY: &str = "*";
const BEGINNING: &str = "access-control-";
/// How long a browser may remember a preflight's answer.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("600");
/// Names of fields that one preflight may ask for.
const MOST_FIELDS: usize = 64;
/// What scripts may read beside the few fields that they always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "WWW-Authenticate, Warning, Retry-After, ETag, Location, Content-Location, Content-Range, Content-Disposition, Accept-Ranges, Link, \
     Allow, DAV, Lock-Token, Upload-Offset",
);
const VARIES: HeaderValue = HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

/// What the gateway says to scripts of a call.
pub(super) struct Scripting {
    /// As `Access-Control-Allow-Origin` says it; none: it may not be read.
    origin: Option<HeaderValue>,
    /// The answer to a preflight.
    pub(super) preflight: Option<Response>,
}

impl Scripting {
    /// Puts it in the place of what the service says.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let services: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(BEGINNING)).cloned().collect();
        for name in services {
            headers.remove(name);
        }
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = &self.origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

impl Gateway {
    /// None: nothing is said of it here.
    pub(super) fn scripting(&self, request: &Request<Body>) -> Option<Scripting> {
        let path = request.uri().path();
        if self.settings.cors_origins.is_empty() || management::is_managed(path) {
            return None;
        }
        // in whatever letters it is written, the gateway's own is no route's
        let path = CanonicalPath::parse(path).ok().filter(|path| !self.is_own(path))?;
        let routes = self.routes();
        let Matched::Guarded(matched) = route::find(&routes, &path)? else { return None };
        let origin = self.allowed_origin(request.headers());
        let is_preflight = request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let allowed = origin.as_ref().filter(|_| is_preflight);
        let preflight = allowed.map(|origin| preflight(origin, request.headers(), &matched.route.scopes.allowed()));
        Some(Scripting { origin, preflight })
    }

    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut sent = headers.get_all(ORIGIN).iter();
        let (Some(origin), None) = (sent.next(), sent.next()) else { return None };
        let listed = &self.settings.cors_origins;
        match listed.iter().any(|one| one == ANY) {
            true => Some(HeaderValue::from_static(ANY)),
            false => listed.iter().any(|one| one.as_bytes() == origin.as_bytes()).then(|| origin.clone()),
        }
    }
}

fn preflight(origin: &HeaderValue, asked: &HeaderMap, methods: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS);
    headers.insert(VARY, VARIES);
    headers.extend(HeaderValue::from_str(methods).ok().map(|methods| (ACCESS_CONTROL_ALLOW_METHODS, methods)));
    // `*` would not stand for `Authorization`
    let lists = asked.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|value| value.to_str().ok());
    let names = lists.flat_map(|list| list.split(',')).filter_map(|name| name.trim().parse::<HeaderName>().ok());
    let names: Vec<String> = names.take(MOST_FIELDS).map(|name| name.as_str().to_owned()).collect();
    let fields = HeaderValue::from_str(&names.join(", ")).ok().filter(|_| !names.is_empty());
    headers.extend(fields.map(|fields| (ACCESS_CONTROL_ALLOW_HEADERS, fields)));
    response
}
