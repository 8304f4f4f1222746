//! What stands behind the gateway: a folder, or an HTTP service.

use super::folder::Folder;
use super::path::CanonicalPath;
use super::upstream::Upstream;
use super::{Behind, Passing};
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
    pub(super) fn new(behind: &Behind, randomness: Arc<dyn Randomness>) -> Self {
        match behind {
            Behind::Folder(folder) => Self::Folder(Folder::new(folder.clone(), randomness)),
            Behind::Upstream(url) => Self::Upstream(Box::new(Upstream::new(url))),
        }
    }

    /// Removes what writers left that were killed, in the background.
    pub(super) fn sweep(&self) {
        if let Self::Folder(folder) = self {
            folder.sweep();
        }
    }

    /// Whether something can be there; only a folder knows.
    pub(super) async fn exists(&self, path: &CanonicalPath) -> bool {
        match self {
            Self::Folder(folder) => folder.exists(path).await,
            Self::Upstream(_) => true,
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
