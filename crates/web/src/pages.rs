//! The owner's pages: her resources, who may reach them, requests, history. They call the same
//! protocol functions as the API, with her session in the place of a PMT.

mod delegations;
mod requests;
mod resources;
mod searches;

use crate::Shared;
use crate::browser::{Visit, see_other};
use crate::extract::split;
use crate::identity::{login_url, page};
use askama::Template;
use authorization_server::acting::Acting;
use authorization_server::store::Page;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use identity::access_token::PolicyToken;
use types::path;

/// Routes of the owner's pages.
pub fn router() -> Router<Shared> {
    Router::new()
        .route("/", get(home))
        .route(path::MY_RESOURCES, get(resources::list))
        .route(&format!("{}/{{id}}", path::MY_RESOURCES), get(resources::show))
        .route(&format!("{}/{{id}}/share", path::MY_RESOURCES), post(resources::share))
        .route(&format!("{}/{{id}}/what-if", path::MY_RESOURCES), post(resources::what_if))
        .route(&format!("{}/{{id}}/policies/{{policy}}/withdraw", path::MY_RESOURCES), post(resources::withdraw))
        .route(path::MY_REQUESTS, get(requests::list))
        .route(&format!("{}/{{id}}", path::MY_REQUESTS), post(requests::decide))
        .route(&format!("{}/{{id}}", path::MY_SEARCHES), get(searches::show).post(searches::decide))
        .route(path::MY_HISTORY, get(history))
        .route(path::MY_DELEGATIONS, get(delegations::list))
        .route(&format!("{}/{{id}}/end", path::MY_DELEGATIONS), post(delegations::end))
}

/// She herself acts at her pages, and events name her.
pub(crate) fn acting(owner: &PolicyToken) -> Acting {
    Acting::own(&owner.owner, owner.owner.as_str())
}

/// The owner behind a visit, or the way to log in.
pub(crate) fn owner(app: &Shared, visit: &Visit, back: &str) -> Result<PolicyToken, Box<Response>> {
    match visit.session() {
        Some(session) => Ok(PolicyToken::of_session(session)),
        None => Err(Box::new(visit.answer(app, see_other(&login_url(app, &format!("{}{back}", app.base()), None))))),
    }
}

/// `GET /`: to the resources, or to log-in.
async fn home(State(app): State<Shared>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let to = if visit.person.is_some() { path::MY_RESOURCES } else { path::LOGIN };
        Ok(visit.answer(&app, see_other(&format!("{}{to}", app.base()))))
    })
    .await
}

struct Entry {
    when: String,
    what: String,
    who: String,
    scopes: String,
    outcome: Option<(&'static str, &'static str)>,
}

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    base: String,
    entries: Vec<Entry>,
    next: Option<String>,
}

/// `GET /my/history`.
async fn history(State(app): State<Shared>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let owner = match owner(&app, visit, path::MY_HISTORY) {
            Ok(owner) => owner,
            Err(login) => return Ok(*login),
        };
        let after = parts.query()?.one("after")?.map(types::EventId::from);
        let page = Page { after, limit: 50 };
        let events = app.authorization_server.list_events(&owner, &page).await?;
        let next = events.last().filter(|_| events.len() == page.limit).map(|event| event.id.as_str().to_owned());
        let mut entries = Vec::new();
        for event in events {
            let resource = match &event.resource_id {
                Some(id) => app.authorization_server.read_owned_resource(&acting(&owner), id).await.ok(),
                None => None,
            };
            let name = resource.and_then(|resource| resource.description.name);
            let email = event.claims.get("email").and_then(|email| email.as_str());
            let client = event.client_id.as_ref().map(|client| client.as_str());
            let mut who = [email, client].into_iter().flatten().collect::<Vec<_>>().join(" with ");
            if let Some(name) = event.by_name {
                who = if who.is_empty() { format!("by {name}") } else { format!("{who}; by {name}") };
            }
            entries.push(Entry {
                when: ui::in_words(event.time),
                what: match name {
                    Some(name) => format!("{}: {name}", ui::kind_in_words(event.kind)),
                    None => ui::kind_in_words(event.kind).to_owned(),
                },
                who,
                scopes: event.scopes.to_string(),
                outcome: event.outcome.map(ui::outcome_in_words),
            });
        }
        let body = ui::render(&HistoryPage { base: app.base(), entries, next });
        Ok(visit.page(&app, "History", path::MY_HISTORY, &body, &[]))
    })
    .await
}
