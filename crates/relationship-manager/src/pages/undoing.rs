//! *Undo*, and the pages that tell of what was done.

use super::{Desk, posted, see_other};
use crate::Manager;
use crate::person::Person;
use crate::undoing::Undo;
use axum::extract::{Request, State};
use axum::response::Response;

impl Manager {
    /// To a page of hers, which tells it.
    pub(super) fn tell(&self, person: &Person, page: &str, what: String, undo: Option<Undo>) -> Response {
        let note = self.keep_note(person, what, undo);
        see_other(&format!("{page}?{}", form_urlencoded::Serializer::new(String::new()).append_pair("note", &note).finish()))
    }
}

/// `POST /undo`: `note`. What it tells of is undone, once.
pub(super) async fn undo(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let undone = manager.undo(person, fields.one("note")).await?;
        Ok(manager.tell(person, &undone.page, undone.what, None))
    })
    .await
}
