//! What stands behind the gateway: a folder, or an HTTP service.

use super::folder::Folder;
use super::path::CanonicalPath;
use super::upstream::Upstream;
use super::{Behind, Passing};
use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use jose::Randomness;
use std::path::Path;
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

/// Every file and directory below, as the path that leads to it. Links are left out.
pub(super) async fn walk(folder: &Path) -> Vec<CanonicalPath> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), String::new())];
    while let Some((directory, prefix)) = open.pop() {
        let Ok(mut entries) = tokio::fs::read_dir(&directory).await else { continue };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type().await) else { continue };
            if name.starts_with('.') || kind.is_symlink() {
                continue;
            }
            let encoded = percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC).to_string();
            let path = format!("{prefix}/{encoded}");
            found.extend(CanonicalPath::parse(&path));
            if kind.is_dir() {
                open.push((entry.path(), path));
            }
        }
    }
    found
}
