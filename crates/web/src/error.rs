//! The one place that knows HTTP statuses. Handlers give a [`Failure`]; here it becomes a response:
//! the published code, one sentence that says what to do, and nothing else. Causes go to the log.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use identity::Failure;
use types::error::ErrorBody;
use types::{ErrorCode, Refusal};

/// A failure on its way out.
#[derive(Debug)]
pub struct ApiError(pub Failure);

impl<T: Into<Failure>> From<T> for ApiError {
    fn from(failure: T) -> Self {
        Self(failure.into())
    }
}

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
        let refusal = match self.0 {
            Failure::Refused(refusal) => refusal,
            Failure::Unavailable(cause) => {
                tracing::error!(%cause, "a request could not be answered");
                Refusal::new(ErrorCode::TemporarilyUnavailable, "this cannot be answered right now: try again in a moment")
            }
        };
        let body = ErrorBody { error: published(refusal.code).to_owned(), ..ErrorBody::from(&refusal) };
        let mut response = (status_of(refusal.code), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        match refusal.code {
            ErrorCode::InvalidClient => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"clients\""));
            }
            ErrorCode::InvalidToken | ErrorCode::InsufficientScope => {
                let value = format!("Bearer error=\"{}\"", refusal.code);
                headers.extend(HeaderValue::from_str(&value).ok().map(|value| (header::WWW_AUTHENTICATE, value)));
            }
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
    ApiError(Failure::Refused(Refusal::new(ErrorCode::NotFound, "nothing is here: look into the metadata for what is")))
        .into_response()
}

/// A route, but not with this method (Federated Authorization 3.2).
pub async fn method_not_allowed() -> Response {
    ApiError(Failure::Refused(Refusal::new(ErrorCode::UnsupportedMethodType, "this endpoint has no such method: see `Allow`")))
        .into_response()
}
