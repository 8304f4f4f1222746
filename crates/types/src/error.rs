//! The one catalogue of wire errors: every `error` code that any endpoint answers, with the
//! section that defines it. `web/error.rs` alone maps codes to HTTP statuses.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// A published error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {$(
            $(#[$doc])*
            #[serde(rename = $text)]
            $name,
        )+}

        impl ErrorCode {
            /// The code as it stands in `error`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

codes! {
    /// RFC 6749 5.2; Federated Authorization 6.
    InvalidRequest = "invalid_request",
    /// RFC 6749 5.2: client authentication failed.
    InvalidClient = "invalid_client",
    /// RFC 6749 5.2; Grant 3.3.6: ticket, code or refresh token is not good.
    InvalidGrant = "invalid_grant",
    /// RFC 6749 5.2.
    UnauthorizedClient = "unauthorized_client",
    /// RFC 6749 5.2.
    UnsupportedGrantType = "unsupported_grant_type",
    /// RFC 6749 4.1.2.1.
    UnsupportedResponseType = "unsupported_response_type",
    /// RFC 6749 5.2; Grant 3.3.6; Federated Authorization 4.3.
    InvalidScope = "invalid_scope",
    /// RFC 6749 4.1.2.1.
    AccessDenied = "access_denied",
    /// RFC 6749 4.1.2.1.
    ServerError = "server_error",
    /// RFC 6749 4.1.2.1.
    TemporarilyUnavailable = "temporarily_unavailable",
    /// OpenID Connect Core 3.1.2.6.
    LoginRequired = "login_required",
    /// OpenID Connect Core 3.1.2.6.
    ConsentRequired = "consent_required",
    /// OpenID Connect Core 3.1.2.6.
    RequestNotSupported = "request_not_supported",
    /// OpenID Connect Core 3.1.2.6; RFC 9126.
    InvalidRequestUri = "invalid_request_uri",
    /// RFC 6750 3.1.
    InvalidToken = "invalid_token",
    /// RFC 6750 3.1.
    InsufficientScope = "insufficient_scope",
    /// RFC 8707 2.
    InvalidTarget = "invalid_target",
    /// RFC 7591 3.2.2.
    InvalidRedirectUri = "invalid_redirect_uri",
    /// RFC 7591 3.2.2.
    InvalidClientMetadata = "invalid_client_metadata",
    /// RFC 7591 3.2.2.
    InvalidSoftwareStatement = "invalid_software_statement",
    /// RFC 7591 3.2.2.
    UnapprovedSoftwareStatement = "unapproved_software_statement",
    /// RFC 7009 2.2.1.
    UnsupportedTokenType = "unsupported_token_type",
    /// A credential's key was not proven (protocol.md 3).
    InvalidProof = "invalid_proof",
    /// RFC 9449 5.
    InvalidDpopProof = "invalid_dpop_proof",
    /// RFC 9449 8.
    UseDpopNonce = "use_dpop_nonce",
    /// Grant 3.3.6.
    NeedInfo = "need_info",
    /// Grant 3.3.6.
    RequestDenied = "request_denied",
    /// Grant 3.3.6.
    RequestSubmitted = "request_submitted",
    /// Federated Authorization 4.3.
    InvalidResourceId = "invalid_resource_id",
    /// Federated Authorization 3.2.
    NotFound = "not_found",
    /// Federated Authorization 3.2.
    UnsupportedMethodType = "unsupported_method_type",
    /// A precondition (`If-Match`) or a state stands against it (protocol.md 1.2, 1.4).
    Conflict = "conflict",
    /// RFC 9110 13: `If-Match` names a version that is gone.
    PreconditionFailed = "precondition_failed",
    /// RFC 9110 15.5.14.
    RequestTooLarge = "request_too_large",
    /// RFC 9110 15.5.16.
    UnsupportedMediaType = "unsupported_media_type",
    /// RFC 6585 4.
    TooManyRequests = "too_many_requests",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal as the caller sees it: the code, and one sentence that says what to do. It never
/// carries a cause, a secret or another party's data; those go to the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {description}")]
pub struct Refusal {
    pub code: ErrorCode,
    pub description: String,
}

impl Refusal {
    pub fn new(code: ErrorCode, description: impl Into<String>) -> Self {
        Self { code, description: description.into() }
    }
}

/// The JSON body of every refusal (RFC 6749 5.2, Federated Authorization 6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    pub error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_uri: Option<String>,
}

impl From<&Refusal> for ErrorBody {
    fn from(refusal: &Refusal) -> Self {
        Self { error: refusal.code.as_str().to_owned(), error_description: Some(refusal.description.clone()), error_uri: None }
    }
}
