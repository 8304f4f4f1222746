//! A call that `dav-server` carries out on the folder, with what the gateway knows of it: where it is, under which conditions,
//! by whose permission, and why it ended where it did not come to its end.

use super::conditions::{Conditions, Verdict};
use super::files::{Opened, Properties, Version};
use super::gates::GatePass;
use super::named::PropertyName;
use crate::gateway::path::CanonicalPath;
use crate::gateway::reach::{Methods, Reach};
use crate::watch::Permission;
use std::sync::{Arc, Mutex, PoisonError};

/// Why a call did not come to its end, where a status of `dav-server`'s would not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// What it was about changed meanwhile (RFC 9110 13.1).
    Changed,
    /// Its permission ended.
    Withdrawn,
    /// Something that is no file is where the file was to be.
    InTheWay,
    /// Others were at it for too long.
    Busy,
}

pub(super) struct Call {
    pub(super) method: http::Method,
    pub(super) path: CanonicalPath,
    /// Where `COPY` and `MOVE` lead.
    pub(super) destination: Option<CanonicalPath>,
    /// Whether what is there may be replaced (RFC 4918 10.6).
    pub(super) overwrites: bool,
    pub(super) now_seconds: i64,
    pub(super) conditions: Conditions,
    /// What was there when `If` was judged by its entity-tags (RFC 4918 10.4); none: it was not.
    pub(super) judged_by: Option<Option<Version>>,
    pub(super) permission: Arc<dyn Permission>,
    pub(super) reach: Arc<dyn Reach>,
    /// Properties that it names (RFC 4918 9.1); none: it is about all of them.
    pub(super) named: Option<Arc<[PropertyName]>>,
    /// Properties of the thing that is told last: they are read once for all of their names.
    pub(super) properties: Mutex<Option<(CanonicalPath, Properties)>>,
    /// What a directory is judged and changed with.
    pub(super) pass: Mutex<Option<Arc<GatePass>>>,
    /// What is read: conditions and ranges were judged by it.
    pub(super) opened: Mutex<Option<Opened>>,
    pub(super) outcome: Mutex<Outcome>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Outcome {
    pub(super) ended: Option<Ended>,
    /// Whether the file that was written is a new one.
    pub(super) is_new: Option<bool>,
}

impl Call {
    pub(super) fn outcome(&self) -> Outcome {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut Outcome)) {
        change(&mut self.outcome.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn end(&self, ended: Ended) {
        self.note(|outcome| outcome.ended = Some(ended));
    }

    /// Nothing comes into what it judges any more.
    pub(super) fn hold(&self, pass: GatePass) {
        *self.pass.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(pass));
    }

    pub(super) fn pass(&self) -> Option<Arc<GatePass>> {
        self.pass.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it judged has been changed, or is left.
    pub(super) fn let_go(&self) {
        self.pass.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// What was opened of this path before.
    pub(super) fn take_opened(&self, path: &CanonicalPath) -> Option<Opened> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.take().filter(|_| *path == self.path)
    }

    pub(super) fn version_opened(&self, path: &CanonicalPath) -> Option<Version> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.as_ref().filter(|_| *path == self.path).map(|opened| opened.version.clone())
    }

    /// The last look before something changes for everybody (threat 44).
    pub(super) async fn is_still_allowed(&self) -> bool {
        let is_allowed = self.permission.clone().look().await;
        if !is_allowed {
            self.end(Ended::Withdrawn);
        }
        is_allowed
    }

    /// Judges the conditions once more, of what is there at the moment when it is to change.
    pub(super) fn holds_for(&self, path: &CanonicalPath, current: Option<&Version>) -> bool {
        let is_same = path.segments() == self.path.segments();
        let tag = current.map(Version::tag).unwrap_or_default();
        let is_as_judged = self.judged_by.as_ref().is_none_or(|before| before.as_ref() == current);
        let is_met = self.conditions.judge(current.map(|version| version.as_current(&tag))) == Verdict::Perform;
        let holds = !is_same || is_met && is_as_judged;
        let is_replaced = current.is_some() && self.is_destination(path) && !self.overwrites;
        if !holds || is_replaced {
            self.end(Ended::Changed);
        }
        holds && !is_replaced
    }

    pub(super) fn is_destination(&self, path: &CanonicalPath) -> bool {
        self.destination.as_ref().is_some_and(|destination| destination.segments() == path.segments())
    }

    /// Of what a place in the destination of a COPY is made.
    pub(super) fn source_of(&self, path: &CanonicalPath) -> Option<CanonicalPath> {
        let destination = self.destination.as_ref().filter(|_| self.method.as_str() == "COPY")?;
        let below = path.segments().strip_prefix(destination.segments())?;
        below.iter().try_fold(self.path.without_slash(), |path, name| path.join(name))
    }

    /// Whether a directory is looked into in order to delete it: then it goes as a whole, and nothing of it is told.
    pub(super) fn removes(&self, path: &CanonicalPath) -> bool {
        match self.method.as_str() {
            "DELETE" | "MOVE" => true,
            _ => self.destination.as_ref().is_some_and(|destination| path.is_within(destination)),
        }
    }

    /// Whether whoever calls may have something written there by a COPY.
    pub(super) async fn may_write(&self, path: CanonicalPath) -> bool {
        self.reach.clone().may(&["COPY", "PUT"], path).await
    }

    /// Whether what is in a directory may be listed to whoever calls.
    pub(super) async fn may_list(&self, path: CanonicalPath) -> bool {
        let needed: Methods = match self.method.as_str() {
            "PROPFIND" => &["PROPFIND"],
            "GET" | "HEAD" => &["GET"],
            // it was judged before, and takes its time: what has come meanwhile is judged at its turn
            "COPY" => &["COPY"],
            // all that it reaches was judged before
            _ => return true,
        };
        self.reach.clone().may(needed, path).await
    }
}
