//! Notes: what her next page tells of what she has just done at this desk, and what it takes to undo that (docs/decisions/0053).
//! A note is kept here for her session, and the address of the page has its name alone: no link puts words into her page. What it
//! undoes is undone once, within [`UNDO_SECONDS`]; after a restart there is none, and she changes it where it stands.

use crate::answering::Answered;
use crate::ending::{Ending, deletion};
use crate::holdings::{Holdings, ListedPolicy, Share};
use crate::person::Person;
use crate::share::{Made, is_written_for, segment, written_of};
use crate::words::who_asked;
use crate::{Manager, Trouble, lock};
use http::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use types::Timestamp;
use types::access_request::{AccessRequestDocument, AccessRequestState};
use types::metadata::Metadata;
use types::policy::PolicyDocument;

/// Seconds that a page tells of what was done.
const NOTE_SECONDS: i64 = 600;
/// Seconds in which it can be undone. Pages offer it for ten; whoever reads without script, or slowly, has more.
const UNDO_SECONDS: i64 = 120;
/// Most notes of an owner, and of all; the oldest give way.
const MOST_OF_OWNER: usize = 8;
const MOST: usize = 1_000;
/// Most shares that are undone by one press, most bytes of one that is put back, and longest text of a note.
const MOST_MADE: usize = 200;
const MAX_POLICY_BYTES: usize = 16 * 1024;
const MAX_TEXT_CHARACTERS: usize = 2_000;
/// What stands for the status of a server that does not answer.
const AWAY: u16 = 503;

/// What was done, and can be undone.
#[derive(Clone, Debug)]
pub(crate) enum Undo {
    /// These shares were written: they end, and no others.
    Share(Vec<Made>),
    /// This share was taken back at this server: it is written anew, of this thing.
    Withdrawal { link: String, thing: String, policy: Value },
    /// This request was approved.
    Answer { link: String, request: String },
}

/// What a page tells.
pub(crate) struct NoteShown {
    pub(crate) what: String,
    /// The note by which it is undone, while it can be.
    pub(crate) undo: Option<String>,
}

/// What was undone, in words, and the page on which it is told.
pub(crate) struct Undone {
    pub(crate) what: String,
    pub(crate) page: String,
}

struct Note {
    owner: String,
    session: String,
    written: Timestamp,
    what: String,
    undo: Option<Undo>,
    /// It was tried, and came to nothing that is known.
    was_tried: bool,
}

/// Notes by name.
#[derive(Default)]
pub(crate) struct Notes(HashMap<String, Note>);

impl Notes {
    fn put(&mut self, id: String, note: Note) {
        let now = note.written;
        self.0.retain(|_, kept| now < kept.written.plus(NOTE_SECONDS));
        while self.0.values().filter(|kept| kept.owner == note.owner).count() >= MOST_OF_OWNER {
            self.drop_oldest(|kept| kept.owner == note.owner);
        }
        if self.0.len() >= MOST {
            self.drop_oldest(|_| true);
        }
        self.0.insert(id, note);
    }

    fn drop_oldest(&mut self, of: impl Fn(&Note) -> bool) {
        let oldest = self.0.iter().filter(|(_, note)| of(note)).min_by_key(|(_, note)| note.written);
        if let Some(id) = oldest.map(|(id, _)| id.clone()) {
            self.0.remove(&id);
        }
    }

    fn find(&self, session: &str, id: &str, now: Timestamp) -> Option<NoteShown> {
        let note = self.0.get(id).filter(|note| note.session == session && now < note.written.plus(NOTE_SECONDS))?;
        let is_undoable = note.undo.is_some() && now < note.written.plus(UNDO_SECONDS);
        Some(NoteShown { what: note.what.clone(), undo: is_undoable.then(|| id.to_owned()) })
    }

    /// The note with what it undoes, once: [`Self::put`] it again where nothing came of it.
    fn take(&mut self, session: &str, id: &str, now: Timestamp) -> Option<Note> {
        let note = self.0.get_mut(id).filter(|note| note.session == session)?;
        if note.undo.is_none() || now >= note.written.plus(UNDO_SECONDS) {
            return None;
        }
        self.0.remove(id)
    }
}

/// A note while it is undone. Where nothing is known to have come of it, or whoever pressed has gone meanwhile, it is put back: she
/// may press again, as long as she might before.
struct TakenNote<'m> {
    manager: &'m Manager,
    id: &'m str,
    note: Option<Note>,
}

impl Drop for TakenNote<'_> {
    fn drop(&mut self) {
        if let Some(note) = self.note.take() {
            lock(&self.manager.notes).put(self.id.to_owned(), Note { was_tried: true, ..note });
        }
    }
}

impl ListedPolicy {
    /// The same share as it would be written anew; none where it cannot be: what was signed, what somebody else wrote for her, what
    /// this desk cannot read whole, and what was used up.
    fn written_anew(&self) -> Option<Value> {
        let policy = &self.policy;
        if self.partly_read || self.not_signed || self.by_delegate.is_some() || policy.authority.is_some() {
            return None;
        }
        let left = policy.max_uses.map(|most| most.saturating_sub(policy.uses.unwrap_or(0)));
        if policy.delegation.is_some() || left == Some(0) {
            return None;
        }
        let bare = PolicyDocument { id: None, max_uses: left, uses: None, state: None, warnings: Vec::new(), ..policy.clone() };
        serde_json::to_value(bare).ok().filter(|policy| types::json::size_of(policy) <= MAX_POLICY_BYTES)
    }
}

impl Share {
    /// What it takes to put it back; none where it cannot be.
    pub(crate) fn undo_of_withdrawal(&self, thing: &str) -> Option<Undo> {
        let listed = self.listed()?;
        let policy = listed.written_anew()?;
        Some(Undo::Withdrawal { link: listed.link.clone(), thing: thing.to_owned(), policy })
    }
}

impl Undo {
    /// That what was just shared ends, where its servers have said how they call all of it.
    pub(crate) fn of_sharing(count: usize, made: &[Made]) -> Option<Self> {
        (count > 0 && made.len() == count && count <= MOST_MADE).then(|| Self::Share(made.to_vec()))
    }
}

impl Manager {
    /// Keeps a note for the next pages of her session; its name.
    pub(crate) fn keep_note(&self, person: &Person, what: String, undo: Option<Undo>) -> String {
        let id = self.new_id();
        let what = what.chars().take(MAX_TEXT_CHARACTERS).collect();
        let (owner, session) = (person.owner.clone(), person.session.clone());
        let note = Note { owner, session, written: self.now(), what, undo, was_tried: false };
        lock(&self.notes).put(id.clone(), note);
        id
    }

    /// What a page has to tell by the note of this name, if it is one of her session.
    pub(crate) fn find_note(&self, person: &Person, id: &str) -> Option<NoteShown> {
        lock(&self.notes).find(&person.session, id, self.now())
    }

    /// Undoes what the note of this name tells of, once.
    pub(crate) async fn undo(self: &Arc<Self>, person: &Person, id: &str) -> Result<Undone, Trouble> {
        let Some(note) = lock(&self.notes).take(&person.session, id, self.now()) else {
            let what =
                "There is nothing to undo here any more: it was undone before, or too long ago. Change it where it stands.";
            return Err(Trouble::Refused(what.into()));
        };
        let mut taken = TakenNote { manager: self, id, note: Some(note) };
        let undone = match &taken.note {
            Some(note) => self.undo_noted(person, note).await?,
            None => return Err(Trouble::Refused("This cannot be undone.".into())),
        };
        taken.note = None;
        Ok(undone)
    }

    async fn undo_noted(self: &Arc<Self>, person: &Person, note: &Note) -> Result<Undone, Trouble> {
        let owner = person.owner.as_str();
        match &note.undo {
            None => Err(Trouble::Refused("This cannot be undone.".into())),
            Some(Undo::Share(made)) => {
                let holdings = self.holdings(owner).await?;
                self.ask(owner, holdings.ending_of(made).wanted).await?;
                let what = "Taken back: what you have just shared lets nobody in any more at each server that has confirmed it.";
                Ok(Undone { what: what.into(), page: "/withdrawals".into() })
            }
            Some(Undo::Withdrawal { link, thing, policy }) => {
                self.put_back(owner, link, policy, note.was_tried).await?;
                let what = "Put back: the same share is there again. What was opened by the old one stays closed.";
                Ok(Undone { what: what.into(), page: format!("/thing/{thing}") })
            }
            Some(Undo::Answer { link, request }) => {
                let answered = Answered { link, request, of: "" };
                Ok(Undone { what: self.undo_answer(owner, answered).await?, page: "/requests".into() })
            }
        }
    }

    /// `was_tried`: an answer may have been lost, so that the share is there already.
    async fn put_back(self: &Arc<Self>, owner: &str, link: &str, policy: &Value, was_tried: bool) -> Result<(), Trouble> {
        if was_tried {
            self.read_servers(owner, [link.to_owned()]).await;
            if self.known_holdings(owner).await?.lists_already(link, policy) {
                return Ok(());
            }
        }
        let at = |metadata: &Metadata| metadata.policy_endpoint.clone();
        let answer = self.api_at(owner, link, Method::POST, at, Some(policy)).await?;
        if answer.status == 201 {
            self.note_made(owner, link, written_of(std::slice::from_ref(policy), std::iter::once(Some(&answer.body)))).await;
        }
        self.read_servers(owner, [link.to_owned()]).await;
        if answer.status == 201 { Ok(()) } else { Err(Trouble::Refused(answer.refusal())) }
    }

    /// What she has just allowed is undone whole: at a server that can, whoever asked waits again; at another one the request ends,
    /// and the share that it wrote since her answer was to stand. What came of it, in words.
    pub(crate) async fn undo_answer(self: &Arc<Self>, owner: &str, answered: Answered<'_>) -> Result<String, Trouble> {
        let holdings = self.holdings(owner).await?;
        let own = Answered { of: "", ..answered };
        let is_approved = |request: &&AccessRequestDocument| request.state == AccessRequestState::Approved;
        let request = holdings.request(own).filter(is_approved).cloned();
        let Some(request) = request else { return Err(Trouble::Refused("This has ended already.".into())) };
        let who = who_asked(&request).name().to_owned();
        let name = segment(request.id.as_str());
        let at = |metadata: &Metadata| metadata.access_requests_endpoint.as_ref().map(|url| format!("{url}/{name}/undo"));
        let status = match self.api_at(owner, answered.link, Method::POST, at, Some(&json!({}))).await {
            Ok(answer) if matches!(answer.status, 400..=499) && !matches!(answer.status, 404 | 405 | 409 | 429) => {
                return Err(Trouble::Refused(answer.refusal()));
            }
            Ok(answer) => answer.status,
            Err(Trouble::Away(_)) => AWAY,
            Err(trouble) => return Err(trouble),
        };
        match status {
            200 | 204 => self.read_servers(owner, [answered.link.to_owned()]).await,
            409 => return Err(Trouble::Refused("This has ended already.".into())),
            // one that has no such call, and one that is away: what she allowed ends as soon as it answers
            _ => self.ask(owner, holdings.ending_of_answer(answered.link, &request).wanted).await?,
        }
        Ok(match status {
            200 => format!("Taken back: {who} waits for your answer again."),
            204 => format!("Taken back: {who} gets in no more by what you allowed, and may ask again."),
            _ => format!(
                "Taken back: {who} gets in no more by what you allowed at each server that has confirmed it, and may ask again."
            ),
        })
    }
}

impl Holdings {
    /// Whether a server lists a share that says the same.
    fn lists_already(&self, link: &str, policy: &Value) -> bool {
        let mut listed = self.things.iter().flat_map(|thing| &thing.shares).filter_map(Share::listed);
        listed.any(|listed| listed.link == link && listed.written_anew().as_ref() == Some(policy))
    }

    /// The end of these shares alone.
    fn ending_of(&self, made: &[Made]) -> Ending {
        let mut ending = Ending::default();
        for Made { link, policy } in made {
            let Some(known) = self.server(link) else { continue };
            let Some(endpoint) = &known.snapshot.policy_endpoint else { continue };
            let what = "what you had just shared".to_owned();
            ending.wanted.push(deletion(known, what, format!("{endpoint}/{}", segment(policy))));
        }
        ending
    }

    /// The end of an approval, and of the share that its server wrote for it.
    fn ending_of_answer(&self, link: &str, request: &AccessRequestDocument) -> Ending {
        let mut ending = Ending::default();
        let Some(known) = self.server(link) else { return ending };
        for policy in known.snapshot.policies.iter().filter(|policy| is_written_for(policy, request)) {
            let (Some(id), Some(endpoint)) = (&policy.id, &known.snapshot.policy_endpoint) else { continue };
            let what = format!("{}: what you allowed", who_asked(request).name());
            ending.wanted.push(deletion(known, what, format!("{endpoint}/{}", segment(id.as_str()))));
        }
        self.end_approvals(|known, one| known.link.id == link && one.id == request.id, &mut ending);
        ending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn note(session: &str, written: Timestamp) -> Note {
        let undo = Some(Undo::Answer { link: "l".into(), request: "q".into() });
        Note { owner: session.into(), session: session.into(), written, what: "Done.".into(), undo, was_tried: false }
    }

    #[test]
    fn a_note_is_of_one_session_and_undoes_once() {
        let mut notes = Notes::default();
        notes.put("n".into(), note("hers", NOW));
        assert!(notes.find("theirs", "n", NOW).is_none() && notes.take("theirs", "n", NOW).is_none());
        assert!(notes.find("hers", "n", NOW).is_some_and(|told| told.undo.is_some()));
        let later = NOW.plus(UNDO_SECONDS);
        assert!(notes.find("hers", "n", later).is_some_and(|told| told.undo.is_none()));
        assert!(notes.take("hers", "n", later).is_none());
        assert!(notes.take("hers", "n", NOW).is_some() && notes.take("hers", "n", NOW).is_none());
        notes.put("m".into(), note("hers", NOW));
        assert!(notes.find("hers", "m", NOW.plus(NOTE_SECONDS)).is_none());
    }

    #[test]
    fn notes_are_few() {
        let mut notes = Notes::default();
        for n in 0..20 {
            notes.put(format!("a{n}"), note("hers", NOW.plus(n)));
        }
        assert_eq!(notes.0.len(), MOST_OF_OWNER);
        assert!(notes.find("hers", "a19", NOW.plus(20)).is_some() && notes.find("hers", "a0", NOW.plus(20)).is_none());
        for n in 0..MOST {
            notes.put(format!("b{n}"), note(&n.to_string(), NOW.plus(30)));
        }
        assert_eq!(notes.0.len(), MOST);
    }

    /// What is put back says what was there, and what is left of its uses.
    #[test]
    fn a_share_is_put_back_as_it_was_or_not_at_all() {
        let listed = |more: Value| {
            let mut policy = json!({"_id": "p", "resource_id": "r", "resource_scopes": ["view"], "required_claims": [],
                "client_id": ["viewer"], "expires_at": 5, "on_missing": "ask"});
            policy.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            ListedPolicy {
                link: "l".into(),
                policy: serde_json::from_value(policy).unwrap(),
                partly_read: false,
                unclear: Vec::new(),
                not_signed: false,
                by_delegate: None,
            }
        };
        let anew = listed(json!({"max_uses": 5, "uses": 2, "warnings": ["x"]})).written_anew().unwrap();
        assert_eq!(
            anew,
            json!({"resource_id": "r", "resource_scopes": ["view"], "required_claims": [], "client_id": ["viewer"],
                "expires_at": 5, "on_missing": "ask", "max_uses": 3})
        );
        for more in [json!({"max_uses": 2, "uses": 2}), json!({"authority": "x"}), json!({"delegation": "d"})] {
            assert_eq!(listed(more.clone()).written_anew(), None, "{more}");
        }
        let partly = ListedPolicy { partly_read: true, ..listed(json!({})) };
        assert_eq!(partly.written_anew(), None);
    }
}
