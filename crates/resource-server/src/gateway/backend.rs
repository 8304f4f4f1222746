//! What stands behind the gateway: a folder, or an HTTP service.

use super::folder::Folder;
use super::path::CanonicalPath;
use super::upstream::Upstream;
use super::{Behind, Passing};
use crate::protection::ProtectionError;
use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use jose::Randomness;
use std::sync::Arc;

pub(super) enum Backend {
    Folder(Folder),
    Upstream(Box<Upstream>),
}

impl Backend {
    pub(super) fn new(behind: &Behind, resource: &str, randomness: Arc<dyn Randomness>) -> Self {
        match behind {
            Behind::Folder(folder) => Self::Folder(Folder::new(folder.clone(), randomness)),
            Behind::Upstream(url) => Self::Upstream(Box::new(Upstream::new(url, resource))),
        }
    }

    /// Removes what writers left that were killed, in the background.
    pub(super) fn sweep(&self) {
        if let Self::Folder(folder) = self {
            folder.sweep();
        }
    }

    /// Whether something can be there; only a folder knows. An error: it cannot tell now, and nothing is concluded from it.
    pub(super) async fn exists(&self, path: &CanonicalPath) -> Result<bool, ProtectionError> {
        match self {
            Self::Folder(folder) => folder.look_for(path).await.map_err(|error| {
                tracing::error!(%error, path = path.encoded(), "whether this is in the folder cannot be told");
                ProtectionError::Store
            }),
            Self::Upstream(_) => Ok(true),
        }
    }

    /// Whether a call can become a web socket there.
    pub(super) fn has_web_sockets(&self) -> bool {
        matches!(self, Self::Upstream(_))
    }

    pub(super) async fn forward(&self, parts: Parts, body: Body, path: &CanonicalPath, passing: &Passing) -> Response {
        match self {
            Self::Folder(folder) => folder.serve(&parts, body, path, passing).await,
            Self::Upstream(upstream) => upstream.forward(parts, body, path, passing).await,
        }
    }
}
