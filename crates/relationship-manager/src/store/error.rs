//! What a store does not do, and why it is not opened.

use database::{CommitError, KeyCheckError, ReadError};

/// The store cannot be read or written right now; the cause is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manager's store does not answer: try again in a moment")]
pub struct StoreAway;

/// Why a store is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreClosed {
    #[error(
        "the manager's store was sealed with another key: restore the key file that goes with the store (nothing was changed)"
    )]
    OtherKey,
    #[error("in the manager's store a row of `{0}` does not open, and others do: restore the store from a backup")]
    Broken(&'static str),
    #[error(transparent)]
    Away(#[from] StoreAway),
}

pub(super) fn away(error: impl std::fmt::Display) -> StoreAway {
    tracing::error!(%error, "the manager's store fails");
    StoreAway
}

impl From<ReadError> for StoreAway {
    fn from(error: ReadError) -> Self {
        away(error)
    }
}

impl From<CommitError> for StoreAway {
    fn from(error: CommitError) -> Self {
        away(error)
    }
}

impl From<KeyCheckError> for StoreClosed {
    fn from(error: KeyCheckError) -> Self {
        match error {
            KeyCheckError::OtherKey => Self::OtherKey,
            KeyCheckError::Broken(table) => Self::Broken(table),
            KeyCheckError::Read(error) => Self::Away(error.into()),
            KeyCheckError::Write(error) => Self::Away(error.into()),
        }
    }
}
