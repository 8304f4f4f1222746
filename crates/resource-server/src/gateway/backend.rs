//! What stands behind the gateway: a folder, or an HTTP service.

use super::folder::{Folder, With};
use super::path::CanonicalPath;
use super::upstream::Upstream;
use super::{Behind, Passing};
use crate::protection::ProtectionError;
use axum::body::Body;
use axum::response::Response;
use client::Client;
use http::Method;
use http::request::Parts;

pub(super) enum Backend {
    Folder(Box<Folder>),
    Upstream(Box<Upstream>),
}

impl Backend {
    pub(super) fn new(behind: &Behind, resource: &str, client: &Client) -> Self {
        let with = || With { randomness: client.randomness.clone(), clock: client.clock.clone() };
        match behind {
            Behind::Folder(folder) => Self::Folder(Box::new(Folder::new(folder.clone(), resource, with()))),
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

    /// Whether it judges by itself all that a call reaches below its path: a folder knows what is there.
    pub(super) async fn judges_what_is_below(&self, method: &Method, path: &CanonicalPath) -> bool {
        match self {
            Self::Folder(_) if matches!(method.as_str(), "COPY" | "MOVE" | "DELETE" | "PROPFIND") => true,
            // a lock goes as far as its directory, and nothing is below a file
            Self::Folder(folder) => !folder.is_directory(path).await,
            Self::Upstream(_) => false,
        }
    }

    pub(super) fn is_folder(&self) -> bool {
        matches!(self, Self::Folder(_))
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
