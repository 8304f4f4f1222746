//! The owner's pages: her resources, who may reach them, requests, history. They call the same
//! protocol functions as the API, with her session in the place of a PMT.

mod delegations;
mod history;
mod mailing;
mod notes;
mod requests;
mod resource;
mod resources;
mod searches;
mod sharing;
mod things;
mod what_if;
mod words;

use crate::Shared;
use crate::browser::{Visit, see_other};
use crate::extract::split;
use crate::identity::{login_url, page};
use authorization_server::acting::Acting;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use identity::access_token::PolicyToken;
use identity::{Failure, Form};
use types::path;
pub(crate) use words::Reader;

/// Routes of the owner's pages.
pub fn router() -> Router<Shared> {
    Router::new()
        .route("/", get(home))
        .route(path::MY_RESOURCES, get(resources::list))
        .route(&format!("{}/{{id}}", path::MY_RESOURCES), get(resource::show))
        .route(&format!("{}/{{id}}/share", path::MY_RESOURCES), post(sharing::share))
        .route(&format!("{}/{{id}}/what-if", path::MY_RESOURCES), post(what_if::what_if))
        .route(&format!("{}/{{id}}/policies/{{policy}}/withdraw", path::MY_RESOURCES), post(resource::withdraw))
        .route(&format!("{}/{{id}}/policies/{{policy}}/mail", path::MY_RESOURCES), post(sharing::mail))
        .route("/my/undo", post(notes::undo))
        .route(path::MY_REQUESTS, get(requests::list))
        .route(&format!("{}/{{id}}", path::MY_REQUESTS), post(requests::decide))
        .route(&format!("{}/{{id}}", path::MY_SEARCHES), get(searches::show).post(searches::decide))
        .route(path::MY_HISTORY, get(history::list))
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

/// A form of an owner: read, from our own page, and hers.
async fn posted(
    app: Shared,
    request: Request,
    back: String,
    handler: impl AsyncFnOnce(&Shared, &Visit, &PolicyToken, &Form) -> Result<Response, Failure>,
) -> Response {
    let (parts, body) = split(request);
    let form = match parts.form(body).await {
        Ok(form) => form,
        Err(error) => return error.into_response(),
    };
    page(&app, &parts, async |visit| {
        visit.check_csrf(&app, &parts, &form)?;
        match owner(&app, visit, &back) {
            Ok(owner) => handler(&app, visit, &owner, &form).await,
            Err(login) => Ok(*login),
        }
    })
    .await
}
