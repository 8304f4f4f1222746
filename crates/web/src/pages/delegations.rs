//! `/my/delegations`: who decides for this owner here, and the end of that. Made by a manager, or signed; seen and ended here
//! by whoever has none.

use super::{Reader, owner};
use crate::Shared;
use crate::browser::see_other;
use crate::extract::split;
use crate::identity::{page, posted};
use askama::Template;
use authorization_server::store::Page;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use types::delegation::{Covered, DelegationDocument, May};
use types::path;

struct Row {
    id: String,
    who: String,
    may: String,
    until: String,
    signed: bool,
}

#[derive(Template)]
#[template(path = "delegations.html")]
struct DelegationsPage {
    base: String,
    csrf: String,
    given: Vec<Row>,
    /// What others let her do.
    taken: Vec<Row>,
    /// Whether there are more of those.
    has_more: bool,
}

/// Most that others let her do, on one page.
const MOST_TAKEN: usize = 200;

fn row(one: DelegationDocument, reader: &Reader) -> Row {
    let verbs = one.may.iter().map(|may| match may {
        May::Approve => "answer requests",
        May::Share => "share",
    });
    let about = match &one.resources {
        Covered::All => "everything".to_owned(),
        Covered::Only(some) if some.len() == 1 => "one thing".to_owned(),
        Covered::Only(some) => format!("{} things", some.len()),
    };
    let name = one.delegate;
    let delegate = name.email.or(name.resource_owner_id).or(name.account.map(|id| id.as_str().to_owned()));
    Row {
        id: one.id.unwrap_or_default(),
        who: one.owner_name.or(delegate).unwrap_or_default(),
        may: format!("{} of {about}, as far as: {}", verbs.collect::<Vec<_>>().join(" and "), one.resource_scopes),
        until: one.expires_at.map(|end| reader.until(end)).unwrap_or_default(),
        signed: one.delegation.is_some(),
    }
}

/// `GET /my/delegations`.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let owner = match owner(&app, visit, path::MY_DELEGATIONS) {
            Ok(owner) => owner,
            Err(login) => return Ok(*login),
        };
        let server = &app.authorization_server;
        let whole = Page { after: None, limit: usize::MAX };
        let given = server.list_delegations(&owner, &whole).await?.0;
        // who delegates to her, and how often, others choose
        let (taken, more) = server.list_delegated(&owner, &Page { after: None, limit: MOST_TAKEN }).await?;
        let reader = visit.reader(&app);
        let rows = |all: Vec<DelegationDocument>| all.into_iter().map(|one| row(one, &reader)).collect();
        let (given, taken) = (rows(given), rows(taken));
        let body =
            ui::render(&DelegationsPage { base: app.base(), csrf: visit.csrf(&app), given, taken, has_more: more.is_some() });
        Ok(visit.page(&app, "Delegates", path::MY_DELEGATIONS, &body, &[]))
    })
    .await
}

/// `POST /my/delegations/{id}/end`.
pub(super) async fn end(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    posted(&app, request, async |visit, _parts, _form| {
        let owner = match owner(&app, visit, path::MY_DELEGATIONS) {
            Ok(owner) => owner,
            Err(login) => return Ok(*login),
        };
        app.authorization_server.delete_delegation(&owner, &id).await?;
        Ok(see_other(&format!("{}{}", app.base(), path::MY_DELEGATIONS)))
    })
    .await
}
