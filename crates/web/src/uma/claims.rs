//! The claims interaction endpoint and its pages (Grant 3.3.2, 3.3.3).

use crate::Shared;
use crate::browser::{Visit, origin_of, see_other};
use crate::extract::split;
use crate::identity::{answer_back, page, posted, quoted};
use askama::Template;
use authorization_server::AuthorizationServer;
use authorization_server::claims_interaction::{Interaction, InteractionError};
use axum::extract::{Request, State};
use axum::response::Response;
use identity::consent::place_of;
use identity::{Failure, Form};
use types::{ErrorCode, Refusal};

/// `GET /claims`: a client sent somebody here. Her ticket is spent, and she goes on at a page that
/// she may reload.
pub(super) async fn begin(State(app): State<Shared>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let form = parts.query()?;
        match app.authorization_server.begin_interaction(&form, &visit.form_cookie).await {
            Ok(interaction) => Ok(visit.answer(&app, see_other(&url_of(&app, &interaction)?))),
            Err(InteractionError::Back(back)) => Ok(answer_back(&app, visit, &parts, back).await),
            Err(InteractionError::Page(failure)) => Err(failure),
        }
    })
    .await
}

fn url_of(app: &Shared, interaction: &Interaction) -> Result<String, Failure> {
    Ok(format!("{}/claims/continue?i={}", app.base(), app.authorization_server.seal_interaction(interaction)?))
}

#[derive(Template)]
#[template(path = "claims.html")]
struct ClaimsPage<'a> {
    base: String,
    csrf: String,
    sealed: String,
    login: String,
    client: String,
    declared: bool,
    host: String,
    awaited: Option<&'a str>,
    /// What would be shared, once somebody is known.
    shared: Vec<(&'static str, String)>,
    /// Whether the resource server sees her address.
    discloses: bool,
    /// Host of the resource server.
    place: String,
    /// What is asked for is her own.
    owns: bool,
    /// Managers at which she may decide about it: host and query.
    deciding: Vec<(String, String)>,
    error: Option<String>,
}

fn claim_name(name: &str) -> Option<&'static str> {
    match name {
        "email" => Some("E-mail address"),
        "name" => Some("Name"),
        "preferred_username" => Some("User name"),
        _ => None,
    }
}

async fn render(app: &Shared, visit: &Visit, interaction: &Interaction, error: Option<String>) -> Result<Response, Failure> {
    let account = visit.person.as_ref().map(|(account, _)| account);
    let client = app.identity.store.find_client(&interaction.client).await?;
    let shared = app.authorization_server.claims_to_share(interaction, account);
    let sealed = app.authorization_server.seal_interaction(interaction)?;
    let managers = match account {
        Some(account) => app.authorization_server.deciding_managers(interaction, account).await?,
        None => Vec::new(),
    };
    let deciding = managers.into_iter().map(|manager| {
        let mut query = Form::default();
        query.set("i", &sealed);
        query.set("m", &manager.id);
        // where she would go, whatever it calls itself
        (place_of(manager.document.policy_interaction_endpoint.as_deref().unwrap_or_default()), query.encode())
    });
    let deciding = deciding.collect();
    let body = ClaimsPage {
        base: app.base(),
        csrf: visit.csrf(app),
        login: crate::identity::login_url(app, &format!("{}/claims/continue?i={sealed}", app.base()), None),
        sealed,
        client: client.as_ref().map_or_else(|| interaction.client.as_str().to_owned(), |client| quoted(client)),
        declared: client.as_ref().is_some_and(|client| client.declared),
        host: place_of(&interaction.redirect_uri),
        awaited: AuthorizationServer::awaited_email(interaction),
        shared: shared
            .iter()
            .filter_map(|(name, value)| Some((claim_name(name)?, value.as_str().unwrap_or_default().to_owned())))
            .collect(),
        discloses: interaction.wants_email,
        place: app.authorization_server.place_of_thing(interaction).await?,
        owns: account.is_some_and(|account| account.id == *interaction.owner()),
        deciding,
        error,
    };
    Ok(visit.page(app, "Show who you are", "claims", &ui::render(&body), &origin_of(&interaction.redirect_uri)))
}

/// `GET /claims/continue`.
pub(super) async fn show(State(app): State<Shared>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let query = parts.query()?;
        let interaction = app.authorization_server.open_interaction(query.one("i")?.unwrap_or_default(), &visit.form_cookie)?;
        render(&app, visit, &interaction, None).await
    })
    .await
}

/// `GET /claims/manager?i=&m=`: what is asked for is hers to decide, and she does so at her manager.
pub(super) async fn to_manager(State(app): State<Shared>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let (query, server) = (parts.query()?, &app.authorization_server);
        let interaction = server.open_interaction(query.one("i")?.unwrap_or_default(), &visit.form_cookie)?;
        let Some((account, _)) = &visit.person else {
            return Err(Refusal::new(ErrorCode::LoginRequired, "You are logged out. Go back to the application.").into());
        };
        let back = format!("{}{}", app.origin(), url_of(&app, &interaction)?);
        let url = server.policy_request(&interaction, account, query.one("m")?.unwrap_or_default(), back).await?;
        Ok(see_other(&url))
    })
    .await
}

/// `POST /claims/continue`: an address, a code, or the decision.
pub(super) async fn post(State(app): State<Shared>, request: Request) -> Response {
    posted(&app, request, async |visit, parts, form| {
        let server = &app.authorization_server;
        let interaction = server.open_interaction(form.one("i")?.unwrap_or_default(), &visit.form_cookie)?;
        let step = if let Some(email) = form.one("email")? {
            server.send_code(interaction.clone(), email, &parts.address()).await
        } else if let Some(code) = form.one("code")? {
            server.check_code(interaction.clone(), code, &parts.address())
        } else {
            return decide(&app, visit, form, &interaction).await;
        };
        match step {
            Ok(next) => Ok(see_other(&url_of(&app, &next)?)),
            Err(Failure::Refused(refusal)) => {
                let status = crate::error::status_of(refusal.code);
                let mut response =
                    render(&app, visit, &interaction, Some(crate::browser::sentence(&refusal.description))).await?;
                *response.status_mut() = status;
                Ok(response)
            }
            Err(unavailable) => Err(unavailable),
        }
    })
    .await
}

async fn decide(app: &Shared, visit: &Visit, form: &Form, interaction: &Interaction) -> Result<Response, Failure> {
    let server = &app.authorization_server;
    match form.one("decision")? {
        Some("approve") => {
            let account = visit.person.as_ref().map(|(account, session)| (account, session.auth_time));
            let keep = form.one("keep")?.is_some();
            Ok(see_other(&server.finish_interaction(interaction, account, keep).await?))
        }
        Some("deny") => Ok(see_other(&server.refuse_interaction(interaction).await?)),
        _ => Err(Refusal::new(ErrorCode::InvalidRequest, "choose to share or to refuse").into()),
    }
}
