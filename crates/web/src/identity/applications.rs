//! `/applications`: who has standing access, to what, at which place; each consent ends by itself.

use super::authorize::{Place, meaning};
use super::login::{login_url, page, posted};
use crate::Host;
use crate::browser::see_other;
use crate::extract::split;
use crate::pages::Reader;
use askama::Template;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use identity::consent::Consent;
use identity::{Client, Failure};
use types::spelling::readable;
use types::{ErrorCode, GrantId, Refusal};

/// One consent: an application at a place.
struct Application {
    id: String,
    /// As it was called when she agreed.
    name: String,
    /// What it calls itself by now, where that is something else.
    now: Option<String>,
    /// Where it led her back to, where nobody here vouches for it.
    host: Option<String>,
    since: String,
    place: Option<Place>,
    may: Vec<&'static str>,
    protects: bool,
    decides: bool,
}

impl Application {
    async fn of(app: &Host, consent: Consent, reader: &Reader) -> Result<Self, Failure> {
        let client = app.identity.store.find_client(&consent.client).await?;
        let shown = consent.shown.as_ref().filter(|_| client.as_ref().is_none_or(|client| !client.declared));
        let now = client.as_ref().map_or_else(|| consent.client.as_str().to_owned(), |client| quoted(client));
        let name = match (shown, &client) {
            (Some(shown), _) => ui::quote(&readable(&shown.name)),
            (None, Some(client)) if !client.declared => ui::quote(&client.display_name_at(consent.created)),
            (None, _) => now.clone(),
        };
        Ok(Self {
            now: Some(now).filter(|now| *now != name && client.is_some()),
            host: shown.map(|shown| readable(&shown.place)).filter(|place| !place.is_empty()),
            name,
            id: consent.id.as_str().to_owned(),
            since: reader.zone.moment(consent.created, reader.now),
            protects: consent.links_resource_server(),
            decides: consent.scopes.has(types::token::UMA_POLICY),
            may: consent.scopes.iter().map(|scope| meaning(scope.as_str())).collect(),
            place: match &consent.resource {
                Some(resource) => Some(Place::of(app, resource).await?),
                None => None,
            },
        })
    }
}

/// What a stranger calls itself stands in quotes.
pub(crate) fn quoted(client: &Client) -> String {
    match client.declared {
        true => client.display_name(),
        false => ui::quote(&client.display_name()),
    }
}

#[derive(Template)]
#[template(path = "applications.html")]
struct ApplicationsPage {
    base: String,
    csrf: String,
    applications: Vec<Application>,
}

/// `GET /applications`: what has standing access, and how to end it.
pub(super) async fn get(State(app): State<Host>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let Some((account, _)) = &visit.person else {
            return Ok(see_other(&login_url(&app, &format!("{}/applications", app.base()), None)));
        };
        let mut applications = Vec::new();
        for consent in app.identity.store.list_consents(&account.id).await? {
            applications.push(Application::of(&app, consent, &visit.reader(&app)).await?);
        }
        applications.sort_by(|one, other| one.name.cmp(&other.name));
        let body = ui::render(&ApplicationsPage { base: app.base(), csrf: visit.csrf(&app), applications });
        Ok(visit.page(&app, "Applications", "/applications", &body, &[]))
    })
    .await
}

/// `POST /applications/{id}/withdraw`.
pub(super) async fn withdraw(State(app): State<Host>, Path(id): Path<String>, request: Request) -> Response {
    posted(&app, request, async |visit, _parts, _form| {
        let Some((account, _)) = &visit.person else {
            return Err(Refusal::new(ErrorCode::LoginRequired, "You are logged out. Log in and try again.").into());
        };
        app.identity.withdraw_consent(&account.id, &GrantId::new(id)).await?;
        Ok(see_other(&format!("{}/applications", app.base())))
    })
    .await
}
