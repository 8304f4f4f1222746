//! The owner's side of a gateway (protocol.md 2, 3): what she has here and where it is registered, the authorization
//! servers that she chooses, her credentials and withdrawn tokens, her rules, and the history. Each call needs an RMT.

mod application;
mod asking;
mod credentials;
mod registrations;
pub(super) mod resources;
mod servers;
mod token;
mod told;

use super::Gateway;
use crate::protection::ProtectionError;
use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use types::OwnResourceId;
use types::brought::BroughtBy;

pub use application::Application;
pub(super) use token::Tokens;
pub use token::{Management, OwnLogIn, OwnToken, Sent, Unfit};

/// Before all of it.
pub(super) const BASE: &str = "/.wayleave/manage";
const MAX_BODY: usize = 64 * 1024;

type Answer = Result<Response, Response>;

/// Who manages: an owner, by an application of hers.
pub(super) struct Managing {
    pub(super) owner: String,
    pub(super) by: Option<BroughtBy>,
    /// Whether it is known that she has not withdrawn it; else it changes nothing.
    pub(super) is_sure: bool,
}

fn refuse(status: StatusCode, error: &str, what: &str) -> Response {
    (status, Json(json!({"error": error, "error_description": what}))).into_response()
}

fn not_found() -> Response {
    refuse(StatusCode::NOT_FOUND, "not_found", "nothing of yours is here")
}

fn invalid(what: &str) -> Response {
    refuse(StatusCode::BAD_REQUEST, "invalid_request", what)
}

fn unavailable() -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "this cannot be kept right now: try again")
}

/// What the gateway has kept cannot be read: that is told, and not taken for nothing.
fn unreadable(error: impl Into<ProtectionError>) -> Response {
    let _logged = error.into();
    refuse(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "what is kept here cannot be read right now: try again")
}

/// Whoever is to be asked first has too much to do.
fn not_now(seconds: Option<u64>) -> Response {
    let what = "whether you may do this cannot be asked right now: try again";
    let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", what);
    let seconds = HeaderValue::from(seconds.unwrap_or(1));
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

fn busy() -> Response {
    refuse(StatusCode::CONFLICT, "conflict", "another operation on this resource is running: try again when it has ended")
}

/// What an authorization server did not do.
fn not_done(issuer: &str, error: &ProtectionError) -> Response {
    match error {
        ProtectionError::Store => unavailable(),
        ProtectionError::Busy => not_now(error.seconds_to_wait()),
        ProtectionError::Refused(why) => {
            let what = format!("`{issuer}` would not: {why}");
            refuse(StatusCode::BAD_GATEWAY, "authorization_server_refused", &what)
        }
        _ => {
            let what = format!("`{issuer}` does not answer: try again");
            refuse(StatusCode::BAD_GATEWAY, "authorization_server_unreachable", &what)
        }
    }
}

/// A segment of a path, decoded once.
fn decoded(segment: &str) -> Option<String> {
    percent_encoding::percent_decode_str(segment).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn query_of(parts: &Parts) -> BTreeMap<String, String> {
    form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

/// `?limit=` of a list (protocol.md 1.1); none where it is no good.
fn limit_of(query: &BTreeMap<String, String>) -> Option<usize> {
    let limit = query.get("limit").map_or(Ok(100), |text| text.parse::<usize>());
    limit.ok().filter(|limit| (1..=1_000).contains(limit))
}

fn bad_limit() -> Response {
    invalid("`limit` must be a number from 1 to 1000")
}

/// A page of a list, with a link to the next where there is more.
fn paged<T: serde::Serialize>(base: &str, limit: usize, mut all: Vec<T>, id: impl Fn(&T) -> String) -> Response {
    let more = all.len() > limit;
    all.truncate(limit);
    let last = all.last().filter(|_| more).map(id);
    let mut response = Json(all).into_response();
    if let Some(last) = last {
        let after: String = form_urlencoded::byte_serialize(last.as_bytes()).collect();
        let link = format!("<{base}?limit={limit}&after={after}>; rel=\"next\"");
        response.headers_mut().extend(HeaderValue::from_str(&link).ok().map(|link| (header::LINK, link)));
    }
    response
}

impl Gateway {
    /// Everything below [`BASE`].
    pub(super) async fn manage(&self, parts: &Parts, body: Body, path: &str) -> Response {
        let answer = match self.managing_owner(parts).await {
            Ok(managing) => self.managed_by(&managing, parts, body, path).await,
            Err(refusal) => Err(refusal),
        };
        let mut response = answer.unwrap_or_else(|refusal| refusal);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// For an owner who is there herself.
    #[cfg(test)]
    pub(super) async fn managed(&self, owner: &str, parts: &Parts, body: Body, path: &str) -> Answer {
        self.managed_by(&Managing { owner: owner.to_owned(), by: None, is_sure: true }, parts, body, path).await
    }

    /// For an owner who has shown who she is.
    pub(super) async fn managed_by(&self, managing: &Managing, parts: &Parts, body: Body, path: &str) -> Answer {
        let owner = managing.owner.as_str();
        // what nobody answers for may look, and brings, moves and ends nothing
        if !managing.is_sure && !super::route::is_reading(parts.method.as_str()) {
            return Err(not_now(None));
        }
        let path: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match path.as_slice() {
            ["my-resources", rest @ ..] => self.managed_resources(managing, parts, body, rest).await,
            ["authorization-servers", rest @ ..] => self.managed_servers(managing, parts, body, rest).await,
            ["my-credentials", rest @ ..] => self.managed_credentials(managing, parts, body, rest).await,
            ["my-withdrawn-tokens"] => self.withdrawn_tokens(owner, parts, body).await,
            ["my-history"] => self.history(owner, parts).await,
            ["my-rules", rest @ ..] => self.managed_rules(owner, parts, body, rest).await,
            _ => Err(not_found()),
        }
    }

    async fn managed_resources(&self, managing: &Managing, parts: &Parts, body: Body, rest: &[&str]) -> Answer {
        let (owner, method) = (managing.owner.as_str(), parts.method.as_str());
        let Some((id, below)) = rest.split_first() else {
            return if method == "GET" { self.list_resources(owner, parts).await } else { Err(wrong_method()) };
        };
        let own_id = OwnResourceId::new(decoded(id).ok_or_else(not_found)?);
        match (method, below) {
            ("GET", []) => self.read_resource(owner, &own_id).await,
            ("PATCH", []) => self.change_resource(owner, &own_id, read(body).await?).await,
            ("GET", ["registrations"]) => self.list_registrations(owner, &own_id).await,
            ("POST", ["registrations"]) => self.create_registration(managing, &own_id, read(body).await?).await,
            ("PUT", ["registrations", id]) => self.move_registration(managing, &own_id, id, read(body).await?).await,
            ("DELETE", ["registrations", id]) => self.delete_registration(owner, &own_id, id).await,
            (_, [] | ["registrations"] | ["registrations", _]) => Err(wrong_method()),
            _ => Err(not_found()),
        }
    }
}

fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

fn wrong_method() -> Response {
    refuse(StatusCode::METHOD_NOT_ALLOWED, "unsupported_method_type", "this cannot be done here")
}

async fn read<T: for<'de> Deserialize<'de>>(body: Body) -> Result<T, Response> {
    let too_long = |_| refuse(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", "the body is too long");
    let bytes = axum::body::to_bytes(body, MAX_BODY).await.map_err(too_long)?;
    types::json::parse(&bytes).map_err(|error| invalid(&error.to_string()))
}

/// Whether a path is one of ours.
pub(super) fn is_managed(path: &str) -> bool {
    path.strip_prefix(BASE).is_some_and(|rest| rest.starts_with('/'))
}
