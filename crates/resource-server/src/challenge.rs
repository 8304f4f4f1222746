//! The answers to a call that may not pass (Grant 3.2): 401 with a ticket, or 403 with the warning
//! where no ticket can be had.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use types::challenge::{UNREACHABLE_WARNING, UmaChallenge};

/// 401 with the challenge; scripts of any origin may read it.
pub fn unauthorized(challenge: &UmaChallenge) -> Response {
    let mut response = plain(
        StatusCode::UNAUTHORIZED,
        "This is protected: ask the authorization server named in WWW-Authenticate, with the ticket.",
    );
    if let Ok(value) = HeaderValue::from_str(&challenge.to_string()) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

/// 403 with the warning of Grant 3.2.2.
pub fn unreachable() -> Response {
    let mut response = plain(StatusCode::FORBIDDEN, "Its authorization server cannot be asked right now.");
    response.headers_mut().insert(header::WARNING, HeaderValue::from_static(UNREACHABLE_WARNING));
    response
}

/// A short text answer.
pub fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(format!("{text}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
