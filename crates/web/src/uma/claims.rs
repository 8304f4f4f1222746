//! The claims interaction endpoint and its pages (Grant 3.3.2, 3.3.3).

use crate::Shared;
use crate::browser::{Visit, origin_of, see_other, with_proof};
use crate::extract::split;
use crate::identity::{answer_back, login_again_url, page, posted, quoted};
use askama::Template;
use authorization_server::AuthorizationServer;
use authorization_server::claims_interaction::{Interaction, InteractionError};
use authorization_server::kept_proof::Known;
use authorization_server::signed_names::SignedNames;
use axum::extract::{Request, State};
use axum::response::Response;
use identity::redirect_uri::place_of;
use identity::{Account, Failure, Form};
use types::{ErrorCode, Refusal};

/// `GET /claims`: a client sent somebody here. Her ticket is spent, and she goes on at a page that
/// she may reload.
pub(super) async fn begin(State(app): State<Shared>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let form = parts.query()?;
        match app.authorization_server.begin_interaction(&form, &visit.form_cookie, &parts.address()).await {
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
    /// Where the application leads back to.
    host: String,
    /// Where the thing is kept.
    place: String,
    awaited: Option<&'a str>,
    /// What would be shown, once somebody is known.
    shared: Vec<(&'static str, String)>,
    /// Whether an address is among it.
    has_address: bool,
    logged_in: bool,
    /// Whether the resource server sees her address.
    discloses: bool,
    /// The owner signed a share that names her: whoever reads it there.
    signed: SignedNames,
    /// What is asked for is her own.
    owns: bool,
    /// She is asked to log in once more when she goes on.
    logs_in_again: bool,
    /// Managers at which she may decide about it: host and query.
    deciding: Vec<(String, String)>,
    problem: Problem<'a>,
}

/// What did not work, beside what was typed.
#[derive(Clone, Copy, Default)]
struct Problem<'a> {
    error: Option<&'a str>,
    typed: &'a str,
}

fn claim_name(name: &str) -> Option<&'static str> {
    match name {
        "email" => Some("E-mail address"),
        "name" => Some("Name"),
        "preferred_username" => Some("User name"),
        _ => None,
    }
}

async fn render(app: &Shared, visit: &Visit, interaction: Interaction, problem: Problem<'_>) -> Result<Response, Failure> {
    let server = &app.authorization_server;
    let account = visit.person.as_ref().map(|(account, _)| account);
    let interaction = interaction.showing(visit.find_proof(app).await?.as_ref());
    let client = app.identity.store.find_client(&interaction.client).await?;
    let shared = server.claims_to_share(&interaction, account);
    let signed = server.find_signed_names(&interaction, client.as_deref(), &shared).await?;
    let sealed = server.seal_interaction(&interaction)?;
    let logs_in_again = match &visit.person {
        Some((_, session)) => server.needs_log_in_again(&interaction, session).await?,
        None => false,
    };
    let body = ClaimsPage {
        base: app.base(),
        csrf: visit.csrf(app),
        login: crate::identity::login_url(app, &format!("{}/claims/continue?i={sealed}", app.base()), None),
        client: client.as_ref().map_or_else(|| interaction.client.as_str().to_owned(), |client| quoted(client)),
        declared: client.as_ref().is_some_and(|client| client.declared),
        host: place_of(&interaction.redirect_uri),
        place: server.place_of_thing(&interaction).await?,
        awaited: AuthorizationServer::awaited_email(&interaction),
        has_address: shared.iter().any(|(name, _)| name == "email"),
        logged_in: account.is_some(),
        discloses: interaction.wants_email,
        signed,
        shared: shared
            .iter()
            .filter_map(|(name, value)| Some((claim_name(name)?, value.as_str().unwrap_or_default().to_owned())))
            .collect(),
        owns: account.is_some_and(|account| account.id == *interaction.owner()),
        logs_in_again,
        deciding: deciding(app, &interaction, account, &sealed).await?,
        sealed,
        problem,
    };
    Ok(visit.page(app, "Show who you are", "claims", &ui::render(&body), &origin_of(&interaction.redirect_uri)))
}

/// Managers at which she may decide about what is asked for, where that is hers.
async fn deciding(
    app: &Shared,
    interaction: &Interaction,
    account: Option<&Account>,
    sealed: &str,
) -> Result<Vec<(String, String)>, Failure> {
    let Some(account) = account else { return Ok(Vec::new()) };
    let managers = app.authorization_server.deciding_managers(interaction, account).await?;
    let listed = managers.into_iter().map(|manager| {
        let mut query = Form::default();
        query.set("i", sealed);
        query.set("m", &manager.id);
        // where she would go, whatever it calls itself
        (place_of(manager.document.policy_interaction_endpoint.as_deref().unwrap_or_default()), query.encode())
    });
    Ok(listed.collect())
}

/// The page once more, with what did not work.
async fn render_refused(
    app: &Shared,
    visit: &Visit,
    interaction: Interaction,
    refusal: Refusal,
    typed: &str,
) -> Result<Response, Failure> {
    let error = crate::browser::sentence(&refusal.description);
    let mut response = render(app, visit, interaction, Problem { error: Some(&error), typed }).await?;
    *response.status_mut() = crate::error::status_of(refusal.code);
    Ok(response)
}

/// `GET /claims/continue`.
pub(super) async fn show(State(app): State<Shared>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let query = parts.query()?;
        let interaction = app.authorization_server.open_interaction(query.one("i")?.unwrap_or_default(), &visit.form_cookie)?;
        render(&app, visit, interaction, Problem::default()).await
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
        let interaction = app.authorization_server.open_interaction(form.one("i")?.unwrap_or_default(), &visit.form_cookie)?;
        let from = parts.address();
        if let Some(email) = form.one("email")? {
            send_code(&app, visit, interaction, email, &from).await
        } else if let Some(code) = form.one("code")? {
            check_code(&app, visit, interaction, code, &from).await
        } else {
            decide(&app, visit, form, interaction, &from).await
        }
    })
    .await
}

async fn send_code(app: &Shared, visit: &Visit, interaction: Interaction, email: &str, from: &str) -> Result<Response, Failure> {
    match app.authorization_server.send_code(interaction.clone(), email, from).await {
        Ok(next) => Ok(see_other(&url_of(app, &next)?)),
        Err(Failure::Refused(refusal)) => render_refused(app, visit, interaction, refusal, email).await,
        Err(unavailable) => Err(unavailable),
    }
}

async fn check_code(app: &Shared, visit: &Visit, interaction: Interaction, code: &str, from: &str) -> Result<Response, Failure> {
    match app.authorization_server.check_code(interaction.clone(), code, &visit.browser(), from).await {
        Ok(proved) => Ok(with_proof(app, see_other(&url_of(app, &proved.interaction)?), &proved.cookie)),
        Err(Failure::Refused(refusal)) => render_refused(app, visit, interaction, refusal, "").await,
        Err(unavailable) => Err(unavailable),
    }
}

async fn decide(app: &Shared, visit: &Visit, form: &Form, interaction: Interaction, from: &str) -> Result<Response, Failure> {
    let server = &app.authorization_server;
    match form.one("decision")? {
        Some("approve") => {
            let account = visit.person.as_ref().map(|(account, session)| (account, session));
            if let Some((_, session)) = account
                && server.needs_log_in_again(&interaction, session).await?
            {
                let (back, hint) = (url_of(app, &interaction)?, account.map(|(account, _)| account.username.as_str()));
                return Ok(see_other(&login_again_url(app, &back, hint)));
            }
            let proof = visit.find_proof(app).await?;
            let known = Known { account, proof: proof.as_ref(), from };
            let is_shown = account.is_some() || interaction.shows(known.proof);
            match server.finish_interaction(&interaction, &known, form.one("keep")?.is_some()).await {
                Ok(url) => Ok(see_other(&url)),
                Err(Failure::Refused(refusal)) if !is_shown => render_refused(app, visit, interaction, refusal, "").await,
                Err(failure) => Err(failure),
            }
        }
        Some("deny") => Ok(see_other(&server.refuse_interaction(&interaction).await?)),
        // whoever is known here is not she, or she wants to show another address
        Some("other") => visit.leave(app, see_other(&url_of(app, &interaction.begin_anew())?)).await,
        _ => Err(Refusal::new(ErrorCode::InvalidRequest, "choose to show your address or to go back").into()),
    }
}
