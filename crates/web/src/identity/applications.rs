//! `/applications`: who has standing access, to what, at which place; each consent ends by itself, with what the application
//! brought in her name. And the keys that sign as her.

use super::authorize::{Place, meaning};
use super::login::{login_url, page, posted};
use crate::Host;
use crate::browser::see_other;
use crate::extract::split;
use crate::pages::Reader;
use askama::Template;
use authorization_server::credential::Credential;
use authorization_server::linked_manager::KeptManager;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use identity::consent::Consent;
use identity::{Client, Failure};
use types::spelling::readable;
use types::{AccountId, ClientId, ErrorCode, GrantId, Refusal};

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
    /// It is told who asks her, and for what.
    told: bool,
    /// How many keys it brought that sign as her, and that end with it.
    keys: usize,
}

/// A key that signs as her.
struct Key {
    id: String,
    name: String,
    since: String,
    /// Who brought it, where that is known.
    by: Option<String>,
}

/// What applications brought in her name.
#[derive(Default)]
struct Brought {
    managers: Vec<KeptManager>,
    credentials: Vec<Credential>,
}

impl Brought {
    async fn of(app: &Host, account: &AccountId) -> Result<Self, Failure> {
        match &app.authorization_server {
            Some(uma) => {
                Ok(Self { managers: uma.standing_managers(account).await?, credentials: uma.credentials_of(account).await? })
            }
            None => Ok(Self::default()),
        }
    }

    async fn list_keys(&self, app: &Host, reader: &Reader) -> Result<Vec<Key>, Failure> {
        let mut keys = Vec::with_capacity(self.credentials.len());
        for credential in &self.credentials {
            let by = match &credential.client {
                Some(client) => app.identity.store.find_client(client).await?.map(|client| quoted(&client)),
                None => None,
            };
            keys.push(Key {
                id: credential.document.id.clone(),
                name: readable(&credential.subject),
                since: reader.zone.moment(credential.document.created, reader.now),
                by,
            });
        }
        Ok(keys)
    }
}

impl Application {
    async fn of(app: &Host, consent: Consent, brought: &Brought, reader: &Reader) -> Result<Self, Failure> {
        let decides = consent.scopes.has(types::token::UMA_POLICY);
        let is_by_it = |by: &Option<ClientId>| decides && by.as_ref() == Some(&consent.client);
        let (told, keys) = (
            brought.managers.iter().any(|manager| is_by_it(&manager.client) && manager.document.notification_endpoint.is_some()),
            brought.credentials.iter().filter(|credential| is_by_it(&credential.client)).count(),
        );
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
            decides,
            told,
            keys: if client.as_ref().is_some_and(|client| client.declared) { 0 } else { keys },
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
    keys: Vec<Key>,
}

/// `GET /applications`: what has standing access, and how to end it.
pub(super) async fn get(State(app): State<Host>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let Some((account, _)) = &visit.person else {
            return Ok(see_other(&login_url(&app, &format!("{}/applications", app.base()), None)));
        };
        let brought = Brought::of(&app, &account.id).await?;
        let mut applications = Vec::new();
        for consent in app.identity.store.list_consents(&account.id).await? {
            applications.push(Application::of(&app, consent, &brought, &visit.reader(&app)).await?);
        }
        let keys = brought.list_keys(&app, &visit.reader(&app)).await?;
        applications.sort_by(|one, other| one.name.cmp(&other.name));
        let body = ui::render(&ApplicationsPage { base: app.base(), csrf: visit.csrf(&app), applications, keys });
        Ok(visit.page(&app, "Applications", "/applications", &body, &[]))
    })
    .await
}

fn logged_out() -> Failure {
    Refusal::new(ErrorCode::LoginRequired, "You are logged out. Log in and try again.").into()
}

/// `POST /applications/{id}/withdraw`: with `keep_keys`, the keys that it brought stay hers.
pub(super) async fn withdraw(State(app): State<Host>, Path(id): Path<String>, request: Request) -> Response {
    posted(&app, request, async |visit, _parts, form| {
        let Some((account, _)) = &visit.person else { return Err(logged_out()) };
        let grant = GrantId::new(id);
        if form.one("keep_keys")?.is_some()
            && let Some(uma) = &app.authorization_server
            && let Some(consent) = app.identity.store.find_consent(&grant).await?.filter(|one| one.account == account.id)
        {
            uma.keep_credentials(&account.id, &consent.client).await?;
        }
        app.identity.withdraw_consent(&account.id, &grant).await?;
        Ok(see_other(&format!("{}/applications", app.base())))
    })
    .await
}

/// `POST /applications/keys/{id}/remove`: what was signed with it is gone with it.
pub(super) async fn remove_key(State(app): State<Host>, Path(id): Path<String>, request: Request) -> Response {
    posted(&app, request, async |visit, _parts, _form| {
        let Some((account, _)) = &visit.person else { return Err(logged_out()) };
        if let Some(uma) = &app.authorization_server {
            match uma.end_credential(&account.id, &id, account.id.as_str()).await {
                // it is gone: that is what she wants
                Err(Failure::Refused(refusal)) if refusal.code == ErrorCode::NotFound => {}
                other => other?,
            }
        }
        Ok(see_other(&format!("{}/applications", app.base())))
    })
    .await
}
