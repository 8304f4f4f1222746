//! What the operator sets (`operations.md`, `[gateway]`).

use super::management::Management;
use super::route::Route;
use crate::watch::UploadLimits;
use std::path::PathBuf;

/// What stands behind the gateway.
#[derive(Clone, Debug)]
pub enum Behind {
    Folder(PathBuf),
    Upstream(String),
}

/// How PATs are got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatBy {
    /// Each owner links once, by code flow.
    Code,
    /// One owner, by client credentials with `acts_for`.
    ClientCredentials,
    /// One of its own and no owner's (protocol.md 3): nothing is registered, and only what owners signed passes.
    ServerLevel,
}

/// How RPTs are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The authorization server is asked, at most once a second for each.
    Introspect,
    /// JWT RPTs are checked here; others as above.
    Offline,
}

/// Whose word counts (protocol.md 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Owners register where they like.
    Any,
    /// At the authorization servers which the operator lists.
    List,
    /// Where they like, and every permission must carry the owner's own token.
    RotRequired,
}

/// In which fields a proxy that asks about a call names it (`[gateway.forward_auth]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginalIn {
    /// `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri`.
    Forwarded,
    /// `X-Original-Method` and `X-Original-URL`.
    Original,
}

/// What the operator sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its identifier and public URL, without a slash at the end.
    pub resource: String,
    pub name: String,
    pub behind: Behind,
    /// Those that the operator offers; the first is the usual one.
    pub authorization_servers: Vec<String>,
    pub pat: PatBy,
    pub check: Check,
    pub trust: Trust,
    /// Who may issue RMTs; none: owners manage nothing here.
    pub management: Option<Management>,
    pub owner_claim: String,
    pub routes: Vec<Route>,
    pub uploads: UploadLimits,
    /// Header fields that the service gets from anybody, beside those that always pass.
    pub pass_headers: Vec<String>,
    /// Origins whose scripts may call and read what is guarded; `*`: all. None: nothing is said of it.
    pub cors_origins: Vec<String>,
    /// None: no proxy asks here.
    pub forward_auth: Option<OriginalIn>,
    /// Where active content of a folder is shown; none: nowhere.
    pub content_origin: Option<String>,
    /// Where it keeps thumbnails of what is in a folder; none: each is made anew.
    pub thumbnails: Option<PathBuf>,
    /// Program and arguments of the process that makes a thumbnail: it is run with the longest side in pixels as one more
    /// argument, and calls [`super::run_thumbnail_process`]. Empty: none are made, and icons are shown.
    pub thumbnail_command: Vec<String>,
}
