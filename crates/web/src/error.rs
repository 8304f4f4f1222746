//! The one place that knows HTTP statuses. Handlers give a [`Failure`]; here it becomes a response:
//! the published code, one sentence that says what to do, and nothing else. Causes go to the log.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use identity::{Failure, Identity};
use types::error::ErrorBody;
use types::{ErrorCode, Refusal};

/// A failure on its way out.
#[derive(Debug)]
pub struct ApiError {
    pub failure: Failure,
    /// Where a token was refused: how to come in.
    door: Option<Door>,
    /// For whoever must repeat its proof with one (RFC 9449 8, 9).
    nonce: Option<String>,
}

/// How a token was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Bearer,
    Dpop,
}

/// The door of a protected API: what was sent there, and the realm that it opens.
#[derive(Debug)]
struct Door {
    sent: Option<Scheme>,
    realm: String,
}

impl<T: Into<Failure>> From<T> for ApiError {
    fn from(failure: T) -> Self {
        Self { failure: failure.into(), door: None, nonce: None }
    }
}

impl ApiError {
    /// A token that does not open a protected API: 401 and how to authenticate, where a client's own proof at the token
    /// endpoint would be 400 (RFC 6750 3, RFC 9449 7.1).
    pub fn at_door(failure: Failure, sent: Option<Scheme>, identity: &Identity) -> Self {
        let door = Door { sent, realm: identity.issuer().to_owned() };
        Self { door: Some(door), ..Self::with_nonce(failure, identity) }
    }

    /// A proof that was refused, with the nonce that the next one may need.
    pub fn with_nonce(failure: Failure, identity: &Identity) -> Self {
        let wanted = matches!(&failure, Failure::Refused(refusal) if refusal.code == ErrorCode::UseDpopNonce);
        Self { failure, door: None, nonce: wanted.then(|| identity.dpop.nonce(identity.now())) }
    }
}

impl Door {
    fn status_of(code: ErrorCode) -> StatusCode {
        match code {
            ErrorCode::InvalidDpopProof | ErrorCode::UseDpopNonce => StatusCode::UNAUTHORIZED,
            code => status_of(code),
        }
    }

    /// The scheme that was tried comes first, with the error; who sent no token is told no error (RFC 6750 3.1).
    fn challenges(&self, code: ErrorCode) -> Vec<String> {
        let algorithms = identity::dpop::ALGORITHMS.join(" ");
        let (bearer, dpop) = (format!("Bearer realm=\"{}\"", self.realm), format!("DPoP algs=\"{algorithms}\""));
        let error = format!(", error=\"{code}\"");
        match (code, self.sent) {
            (ErrorCode::InvalidToken, None) => vec![bearer, dpop],
            (ErrorCode::InvalidToken | ErrorCode::InvalidDpopProof | ErrorCode::UseDpopNonce, Some(Scheme::Dpop)) => {
                vec![dpop + &error, bearer]
            }
            (ErrorCode::InvalidDpopProof | ErrorCode::UseDpopNonce, _) => vec![dpop + &error],
            (ErrorCode::InvalidToken, _) => vec![bearer + &error, dpop],
            (ErrorCode::InvalidRequest | ErrorCode::InsufficientScope, Some(Scheme::Dpop)) => vec![dpop + &error],
            (ErrorCode::InvalidRequest | ErrorCode::InsufficientScope, _) => vec![bearer + &error],
            _ => Vec::new(),
        }
    }
}

const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Result of a handler.
pub type Answer<T> = Result<T, ApiError>;

/// When which status is used.
pub fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidClient | ErrorCode::InvalidToken => StatusCode::UNAUTHORIZED,
        ErrorCode::InsufficientScope | ErrorCode::NeedInfo | ErrorCode::RequestDenied | ErrorCode::RequestSubmitted => {
            StatusCode::FORBIDDEN
        }
        ErrorCode::AccessDenied => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::UnsupportedMethodType => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ErrorCode::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::ServerError | ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Codes that only mean a status have no published name of their own.
fn published(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Conflict | ErrorCode::PreconditionFailed | ErrorCode::RequestTooLarge | ErrorCode::UnsupportedMediaType => {
            "invalid_request"
        }
        ErrorCode::TooManyRequests => "temporarily_unavailable",
        code => code.as_str(),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let refusal = match self.failure {
            Failure::Refused(refusal) => refusal,
            Failure::Unavailable(cause) => {
                tracing::error!(%cause, "a request could not be answered");
                Refusal::new(ErrorCode::TemporarilyUnavailable, "this cannot be answered right now: try again in a moment")
            }
        };
        let body = ErrorBody { error: published(refusal.code).to_owned(), ..ErrorBody::from(&refusal) };
        let status = self.door.as_ref().map_or_else(|| status_of(refusal.code), |_| Door::status_of(refusal.code));
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        let challenges = match (&self.door, refusal.code) {
            (Some(door), code) => door.challenges(code),
            (None, ErrorCode::InvalidClient) => vec!["Basic realm=\"clients\"".to_owned()],
            (None, ErrorCode::InvalidToken | ErrorCode::InsufficientScope) => vec![format!("Bearer error=\"{}\"", refusal.code)],
            _ => Vec::new(),
        };
        for challenge in challenges.iter().filter_map(|challenge| HeaderValue::from_str(challenge).ok()) {
            headers.append(header::WWW_AUTHENTICATE, challenge);
        }
        headers.extend(self.nonce.and_then(|nonce| Some((DPOP_NONCE, HeaderValue::from_str(&nonce).ok()?))));
        match refusal.code {
            ErrorCode::TemporarilyUnavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            ErrorCode::TooManyRequests => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            }
            _ => {}
        }
        response
    }
}

/// No route.
pub async fn not_found() -> Response {
    ApiError::from(Failure::Refused(Refusal::new(ErrorCode::NotFound, "nothing is here: look into the metadata for what is")))
        .into_response()
}

/// `HEAD` where `GET` does something: it is no visit, so nothing is done, and nothing said of what would be (RFC 9110 9.2.1,
/// 9.3.2). Programs look ahead, and nobody who opens a link does.
pub(crate) async fn look_ahead() -> Response {
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], ()).into_response()
}

/// A route, but not with this method (Federated Authorization 3.2).
pub async fn method_not_allowed() -> Response {
    ApiError::from(Failure::Refused(Refusal::new(
        ErrorCode::UnsupportedMethodType,
        "this endpoint has no such method: see `Allow`",
    )))
    .into_response()
}
