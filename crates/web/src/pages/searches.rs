//! The owner's consent to a search: what would be told of her, to whom, and what only she can add.

use super::owner;
use crate::Shared;
use crate::extract::split;
use crate::identity::page;
use askama::Template;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use identity::Failure;
use serde_json::{Map, Value};
use types::{ErrorCode, path};

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    base: String,
    csrf: String,
    id: String,
    resource_servers: Vec<(Option<String>, String)>,
    known: Vec<(String, String)>,
    unknown: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "searched.html")]
struct SearchedPage {
    base: String,
    approved: bool,
}

/// A claim's name as people say it.
fn in_words(name: &str) -> String {
    match name {
        "birthdate" => "date of birth".into(),
        "email" => "e-mail address".into(),
        other => other.replace('_', " "),
    }
}

/// `GET /my/searches/{id}`.
pub(super) async fn show(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let owner = match owner(&app, visit, &format!("{}/{id}", path::MY_SEARCHES)) {
            Ok(owner) => owner,
            Err(login) => return Ok(*login),
        };
        let question = app.authorization_server.search_question(&owner, &id).await?;
        let known = question.known.into_iter().map(|(name, value)| (in_words(&name), value)).collect();
        let unknown = question.unknown.into_iter().map(|name| (name.clone(), in_words(&name))).collect();
        let resource_servers = question.resource_servers;
        let body = SearchPage { base: app.base(), csrf: visit.csrf(&app), id: question.id, resource_servers, known, unknown };
        Ok(visit.page(&app, "Search for your things", "consent", &ui::render(&body), &[]))
    })
    .await
}

/// `POST /my/searches/{id}`: `decision`, and `self_...` for each claim that she adds.
pub(super) async fn decide(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, body) = split(request);
    page(&app, &parts, async |visit| {
        let owner = match owner(&app, visit, &format!("{}/{id}", path::MY_SEARCHES)) {
            Ok(owner) => owner,
            Err(login) => return Ok(*login),
        };
        let form = parts.form(body).await.map_err(|error| error.failure)?;
        visit.check_csrf(&app, &parts, &form)?;
        let approve = match form.one("decision")? {
            Some("approve") => true,
            Some("deny") => false,
            _ => return Failure::refuse(ErrorCode::InvalidRequest, "allow it or refuse it"),
        };
        let said = form.iter().filter_map(|(name, value)| Some((name.strip_prefix("self_")?.to_owned(), Value::from(value))));
        let said: Map<String, Value> = said.collect();
        app.authorization_server.decide_search(&owner, &id, approve, said).await?;
        let uma = app.authorization_server.clone();
        // she does not wait for the resource servers
        if let Err(error) = uma.send_new_search(&owner.owner, &id).await {
            tracing::error!(%error, "a search could not be sent yet");
        }
        let body = SearchedPage { base: app.base(), approved: approve };
        Ok(visit.page(&app, "Search for your things", "consent", &ui::render(&body), &[]))
    })
    .await
}
