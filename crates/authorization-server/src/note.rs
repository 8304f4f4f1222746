//! Notes: what an owner's next page tells her of what she has just done, and what it takes to undo that (docs/decisions/0052).
//!
//! A note stays here, sealed for her session, and her browser's address has its name alone: nobody else writes into her page, and
//! a note that somebody finds in an address opens in no other session. What it undoes is undone once, within [`UNDO_SECONDS`].
//! Called by the owner's pages.

use crate::acting::Acting;
use crate::changes::{Changes, Requirement, Write};
use crate::{AuthorizationServer, RETRIES};
use identity::session::Session;
use identity::{CommitError, Failure, SpentId, internal};
use rules::Policy;
use serde::{Deserialize, Serialize};
use types::access_request::AccessRequestDocument;
use types::event::EventKind;
use types::policy::PolicyDocument;
use types::{AccessRequestId, ErrorCode, PolicyId, Timestamp};

/// Seconds that a page tells of what was done.
pub const NOTE_SECONDS: i64 = 600;
/// Seconds in which it can be undone. Pages offer it for ten; whoever reads without script, or slowly, has more.
pub const UNDO_SECONDS: i64 = 120;

/// What was done, and can be undone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// This share was made: it alone ends, as long as it is as it was made.
    Share { policy: PolicyId, version: u64 },
    /// This share was taken back: its terms are written anew.
    Withdrawal(Box<Policy>),
    /// This request was approved: who asked waits again.
    Approval(AccessRequestId),
}

/// A note, as its owner's page finds it.
#[derive(Clone, Debug)]
pub struct Note {
    /// In the words of whoever wrote it.
    pub text: String,
    pub is_undoable: bool,
}

/// What became of it.
#[derive(Clone, Debug)]
pub enum Undone {
    /// The share that she made has ended.
    Ended(PolicyDocument),
    /// The share that she took back is there again.
    PutBack(PolicyDocument),
    /// What she approved has ended; whether who asked waits again.
    Asked { request: Box<AccessRequestDocument>, waits: bool },
}

/// A share that was taken back.
pub struct Withdrawn {
    pub document: PolicyDocument,
    /// Nothing where it cannot be put back.
    pub undo: Option<Undo>,
    /// How many approvals of the same person ended with it.
    pub approvals: usize,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    text: String,
    undo: Option<Undo>,
    written: Timestamp,
}

fn refuse<T>(code: ErrorCode, what: &str) -> Result<T, Failure> {
    Failure::refuse(code, what)
}

/// What a note is sealed for: its own row, and the session of whom it tells.
fn context_of(id: &str, session: &Session) -> String {
    format!("note {id} to {} in {}", session.account, session.id)
}

/// Whether a share that is taken back can be put back as it was: what is signed ends as a whole, and what a delegate shared is his.
pub fn can_be_put_back(policy: &PolicyDocument) -> bool {
    policy.authority.is_none() && policy.delegation.is_none()
}

impl Undo {
    /// That this share, which ends, is put back.
    pub(crate) fn of_withdrawal(policy: Policy) -> Option<Self> {
        can_be_put_back(&policy.to_document()).then(|| Self::Withdrawal(Box::new(policy)))
    }
}

impl AuthorizationServer {
    /// Keeps a note for the next pages of this session; its name.
    pub async fn keep_note(&self, session: &Session, text: String, undo: Option<Undo>) -> Result<String, Failure> {
        let (id, written) = (self.identity.random_id(), self.now());
        let plain = serde_json::to_vec(&Kept { text, undo, written }).map_err(internal)?;
        let sealed = self.identity.keys.seal(&plain, &context_of(&id, session), &*self.identity.randomness)?;
        let row = Write::PutProof { id: id.clone(), sealed, expires: written.plus(NOTE_SECONDS) };
        self.store.commit(Changes::of(vec![row])).await?;
        Ok(id)
    }

    /// The note of this name, if it is one of this session.
    pub async fn find_note(&self, session: &Session, id: &str) -> Result<Option<Note>, Failure> {
        let kept = self.kept_note(session, id).await?;
        Ok(kept.map(|kept| Note { is_undoable: kept.undo.is_some() && self.is_in_time(kept.written), text: kept.text }))
    }

    async fn kept_note(&self, session: &Session, id: &str) -> Result<Option<Kept>, Failure> {
        let Some(sealed) = self.store.find_proof(id).await? else { return Ok(None) };
        let plain = self.identity.keys.open(&sealed, &context_of(id, session));
        let kept = plain.and_then(|plain| serde_json::from_slice::<Kept>(&plain).ok());
        Ok(kept.filter(|kept| self.now() < kept.written.plus(NOTE_SECONDS)))
    }

    fn is_in_time(&self, written: Timestamp) -> bool {
        self.now() < written.plus(UNDO_SECONDS)
    }

    /// Undoes what the note of this name tells of, once; and what the note told.
    pub async fn undo(&self, acting: &Acting, session: &Session, id: &str) -> Result<(Undone, String), Failure> {
        let kept = self.kept_note(session, id).await?;
        let Some(Kept { text, undo: Some(undo), written }) = kept else {
            return refuse(ErrorCode::NotFound, "there is nothing to undo here any more");
        };
        if !self.is_in_time(written) {
            return refuse(
                ErrorCode::Conflict,
                "it is too late to undo this by one press: look at the list, and change it there",
            );
        }
        let expires = written.plus(NOTE_SECONDS);
        let spent = SpentId { kind: "undo", issuer: String::new(), id: id.to_owned(), expires, made: None };
        let undone = match undo {
            Undo::Share { policy, version } => self.end_share(acting, &policy, version, &spent).await?,
            Undo::Withdrawal(policy) => self.put_share_back(acting, *policy, &spent).await?,
            Undo::Approval(request) => {
                let document = self.read_access_request(acting, &request).await?;
                let waits = self.withdraw_approval(acting, &request, true).await?.is_some();
                // the request has gone by that name: a note that stays undoes nothing more
                if let Err(error) = self.store.commit(Changes::of(vec![Write::DeleteProof(id.to_owned())])).await {
                    tracing::warn!(%error, "a note that was used was not deleted");
                }
                Undone::Asked { request: Box::new(document), waits }
            }
        };
        Ok((undone, text))
    }

    /// It alone: not what else lets the same person in.
    async fn end_share(&self, acting: &Acting, id: &PolicyId, version: u64, spent: &SpentId) -> Result<Undone, Failure> {
        for tried in 0..RETRIES {
            let _turn = self.turns.take(&acting.owner, tried).await;
            let document = self.read_policy(acting, id).await?.document;
            let mut changes = self.deletion_of_policy(acting, id, Some(version)).await?;
            spend(&mut changes, spent);
            match self.store.commit(changes).await {
                Ok(()) => return Ok(Undone::Ended(document)),
                Err(error) => retry(error)?,
            }
        }
        Err(Failure::Unavailable("a policy changes too fast".into()))
    }

    /// A policy of the same terms: what rested on the old one has ended, and rests on nothing again.
    async fn put_share_back(&self, acting: &Acting, before: Policy, spent: &SpentId) -> Result<Undone, Failure> {
        let id = PolicyId::new(self.identity.random_id());
        for tried in 0..RETRIES {
            let _turn = self.turns.take(&acting.owner, tried).await;
            let mut again = Policy { id: id.clone(), version: 0, receipt: None, ..before.clone() };
            let mut changes = Changes::default();
            changes.requires.push(Requirement::PolicyAbsent(id.clone()));
            spend(&mut changes, spent);
            self.bind_allowed(acting, &mut again, &mut changes).await?;
            self.check_room_for(acting, std::slice::from_ref(&again)).await?;
            self.write_policy(&again, EventKind::PolicyCreated, &acting.by, &mut changes);
            match self.store.commit(changes).await {
                Ok(()) => return Ok(Undone::PutBack(again.to_document())),
                Err(error) => retry(error)?,
            }
        }
        Err(Failure::Unavailable("resources change too fast".into()))
    }
}

fn spend(changes: &mut Changes, spent: &SpentId) {
    changes.identity.writes.push(identity::Write::Spend(spent.clone()));
    changes.writes.push(Write::DeleteProof(spent.id.clone()));
}

/// Whether a commit may be tried once more.
fn retry(error: CommitError) -> Result<(), Failure> {
    match error {
        CommitError::Changed => Ok(()),
        CommitError::Spent => refuse(ErrorCode::Conflict, "this was undone already"),
        error => Err(error.into()),
    }
}
