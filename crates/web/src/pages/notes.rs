//! What an owner's next page tells her of what she has just done, and *Undo* (docs/decisions/0052). The address of that page has
//! the name of the note alone: what it says is kept for her session, so that no link puts words into her page.

use super::{acting, posted, words};
use crate::Shared;
use crate::browser::{Visit, see_other};
use crate::extract::Parts;
use authorization_server::note::{Undo, Undone};
use axum::extract::{Request, State};
use axum::response::Response;
use identity::{Failure, Form};
use serde::{Deserialize, Serialize};
use types::policy::PolicyDocument;
use types::{ErrorCode, path};

/// What a page tells of what was done, and whether it went well.
pub(super) struct Told {
    pub(super) lines: Vec<String>,
    /// A mail that was sent.
    pub(super) letter: Option<String>,
    pub(super) is_well: bool,
    /// The note by which it is undone, while it can be.
    pub(super) undo: Option<String>,
}

/// What was done, in words.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) what: Option<String>,
    pub(super) mail: Option<Mailed>,
    /// What stays as it is where it is undone.
    pub(super) left: Option<String>,
}

/// What became of a mail.
#[derive(Serialize, Deserialize)]
pub(super) enum Mailed {
    Sent { to: String, text: String },
    NotSent { to: String, why: String },
}

impl Done {
    /// That alone was done.
    pub(super) fn of(what: String) -> Self {
        Self { what: Some(what), ..Self::default() }
    }

    fn told(self, undo: Option<String>) -> Told {
        let mut told = Told { lines: self.what.into_iter().collect(), letter: None, is_well: true, undo };
        match self.mail {
            None => {}
            Some(Mailed::Sent { to, text }) => {
                told.lines.push(format!("{to} gets this mail, sent just now:"));
                told.letter = Some(text);
            }
            Some(Mailed::NotSent { to, why }) => {
                told.lines.push(format!("{to} got no mail. {why} What you shared is shared."));
                told.is_well = false;
            }
        }
        told
    }
}

/// To a page of hers, which tells it. That it cannot be told undoes nothing.
pub(super) async fn tell(app: &Shared, visit: &Visit, place: &str, done: Done, undo: Option<Undo>) -> Response {
    let kept = async {
        let text = serde_json::to_string(&done).map_err(identity::internal)?;
        let Some(session) = visit.session() else { return Err(logged_out()) };
        app.authorization_server.keep_note(session, text, undo).await
    };
    let mut query = Form::default();
    match kept.await {
        Ok(note) => query.set("note", &note),
        Err(failure) => {
            tracing::warn!(?failure, "a note for an owner's page was not kept");
            return see_other(&format!("{}{place}", app.base()));
        }
    }
    see_other(&format!("{}{place}?{}", app.base(), query.encode()))
}

/// What a page has to tell by the note that its address names.
pub(super) async fn told(app: &Shared, visit: &Visit, parts: &Parts) -> Result<Option<Told>, Failure> {
    let query = parts.query()?;
    let (Some(id), Some(session)) = (query.one("note")?, visit.session()) else { return Ok(None) };
    let Some(note) = app.authorization_server.find_note(session, id).await? else { return Ok(None) };
    let done: Option<Done> = serde_json::from_str(&note.text).ok();
    Ok(done.map(|done| done.told(note.is_undoable.then(|| id.to_owned()))))
}

fn logged_out() -> Failure {
    Failure::Refused(types::Refusal::new(ErrorCode::InvalidRequest, "you are logged out: log in, and try again"))
}

/// `POST /my/undo`: `note`. What it tells of is undone, once.
pub(super) async fn undo(State(app): State<Shared>, request: Request) -> Response {
    posted(app, request, path::MY_RESOURCES.to_owned(), async |app, visit, owner, form| {
        let session = visit.session().ok_or_else(logged_out)?;
        let note = form.one("note")?.unwrap_or_default();
        let (undone, text) = app.authorization_server.undo(&acting(owner), session, note).await?;
        let left = serde_json::from_str::<Done>(&text).ok().and_then(|done| done.left);
        let (place, what) = match undone {
            Undone::Ended(share) => (place_of(&share), words::describe_end(&share)),
            Undone::PutBack(share) => {
                let sentence = words::sentence_of(app, &share, &visit.reader(app)).await?;
                (place_of(&share), format!("Put back: {sentence}."))
            }
            Undone::Asked { request, waits } => {
                let who = ui::name_party(&request.requesting_party);
                (path::MY_REQUESTS.to_owned(), words::describe_taking_back(&who, waits))
            }
        };
        let what = left.map_or_else(|| what.clone(), |left| format!("{what} {left}"));
        Ok(tell(app, visit, &place, Done::of(what), None).await)
    })
    .await
}

fn place_of(share: &PolicyDocument) -> String {
    match &share.resource_id {
        Some(id) => format!("{}/{id}", path::MY_RESOURCES),
        None => path::MY_RESOURCES.to_owned(),
    }
}
