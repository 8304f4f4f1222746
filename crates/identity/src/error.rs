//! How protocol functions fail: with a refusal for the caller, or because we cannot answer now.

use crate::store::CommitError;
use types::{ErrorCode, ReadError, Refusal};

/// Why a protocol function did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The caller's fault; published as it stands.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Ours, for now: 503 with `Retry-After`. The text is for the log.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl Failure {
    pub fn refuse<T>(code: ErrorCode, description: impl Into<String>) -> Result<T, Self> {
        Err(Self::Refused(Refusal::new(code, description)))
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Unkept(what) => Self::Refused(Refusal::new(ErrorCode::InvalidRequest, what)),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// A failure of our own making, with what to log.
pub fn internal(what: impl std::fmt::Display) -> Failure {
    Failure::Unavailable(what.to_string())
}
