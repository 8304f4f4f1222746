//! The authorization endpoint, its consent page, and pushed requests.

use super::account::Question;
use super::login::{login_again_url, login_url};
use super::onward::answer_back;
use super::{secret, with_parts};
use crate::Host;
use crate::browser::{Visit, is_own_form, origin_of, see_other};
use crate::extract::{Parts, split};
use askama::Template;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use identity::authorization::{AuthorizationError, AuthorizationRequest, Step};
use identity::demands::prompt_after_log_in;
use identity::redirect_uri::place_of;
use identity::way_back::Visitor;
use identity::{Failure, Form};
use types::{ErrorCode, Refusal};

/// `POST /par` (RFC 9126).
pub(super) async fn push(State(app): State<Host>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let app = &app;
        let form = parts.form(body).await?;
        let (client, jkt) = parts.client(app, &form).await?;
        Ok(secret((StatusCode::CREATED, Json(app.identity.push(&client, form, jkt, &parts.address()).await?))))
    })
    .await
}

/// `GET /authorize`.
pub(super) async fn get(State(app): State<Host>, request: Request) -> Response {
    let (parts, _) = split(request);
    match parts.query() {
        Ok(form) => visit(&app, &parts, form).await,
        Err(error) => axum::response::IntoResponse::into_response(crate::error::ApiError::from(error)),
    }
}

/// `POST /authorize` (OpenID Connect Core 3.1.2.1).
pub(super) async fn post(State(app): State<Host>, request: Request) -> Response {
    let (parts, body) = split(request);
    match parts.form(body).await {
        // a client's page sent her by a form: browsers bring her cookies only when she comes by a link
        Ok(form) if !is_own_form(&app, &parts) => see_other(&format!("{}/authorize?{}", app.base(), form.encode())),
        Ok(form) => visit(&app, &parts, form).await,
        Err(error) => axum::response::IntoResponse::into_response(error),
    }
}

async fn visit(app: &Host, parts: &Parts, form: Form) -> Response {
    let visit = match Visit::begin(app, parts).await {
        Ok(visit) => visit,
        Err(answer) => return *answer,
    };
    match step(app, &visit, parts, &form).await {
        Ok(response) => response,
        Err(AuthorizationError::Back(back)) => answer_back(app, &visit, parts, back).await,
        Err(AuthorizationError::Page(failure)) => visit.error_page(app, failure),
    }
}

async fn step(app: &Host, visit: &Visit, parts: &Parts, form: &Form) -> Result<Response, AuthorizationError> {
    let by = Visitor { session: visit.session(), address: &parts.address() };
    let request = app.identity.read_authorization(form, &by).await?;
    Ok(match app.identity.next_step(&request, visit.session()).await? {
        Step::Back(url) => visit.answer(app, see_other(&url)),
        Step::Refused(back) => answer_back(app, visit, parts, back).await,
        Step::LogIn { again } => {
            let mut back = form.clone();
            let left = prompt_after_log_in(form.one("prompt").map_err(Failure::from)?.unwrap_or_default());
            match left.is_empty() {
                true => back.remove("prompt"),
                false => back.set("prompt", &left),
            }
            let back = format!("{}/authorize?{}", app.base(), back.encode());
            let to_log_in = if again { login_again_url } else { login_url };
            visit.answer(app, see_other(&to_log_in(app, &back, request.login_hint.as_deref())))
        }
        Step::Consent => consent_page(app, visit, form, &request, None).await?,
    })
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    base: String,
    csrf: String,
    client: String,
    declared: bool,
    host: String,
    account: &'a str,
    scopes: Vec<(String, &'static str)>,
    /// The resource server that it is for; none: this server.
    place: Option<Place>,
    /// Where she let it in before.
    elsewhere: Vec<Place>,
    query: String,
    needs_password: bool,
    has_password: bool,
    /// Her passkeys may answer instead.
    question: Question,
    known: String,
    error: Option<&'a str>,
}

/// A resource server, as pages name it: its URL was checked, its name may be its own word.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) url: String,
}

impl Place {
    pub(super) async fn of(app: &Host, resource: &str) -> Result<Self, Failure> {
        let server = app.identity.store.find_client_by_resource(resource).await?;
        let name = match server {
            Some(server) if server.declared => server.display_name(),
            Some(server) => format!("“{}”", server.display_name()),
            None => "a place that is not known here any more".to_owned(),
        };
        Ok(Self { name, url: resource.to_owned() })
    }
}

/// Where a client was let in before, other than where it wants to be now.
async fn elsewhere(app: &Host, visit: &Visit, request: &AuthorizationRequest) -> Result<Vec<Place>, Failure> {
    let Some(session) = visit.session() else { return Ok(Vec::new()) };
    let mut places = Vec::new();
    for consent in app.identity.store.list_consents(&session.account).await? {
        let Some(resource) = consent.resource.filter(|_| consent.client == request.client.id) else { continue };
        if request.resource.as_ref() != Some(&resource) {
            places.push(Place::of(app, &resource).await?);
        }
    }
    Ok(places)
}

/// What a scope means, in plain words.
pub(super) fn meaning(scope: &str) -> &'static str {
    match scope {
        "openid" => "know that it is you",
        "profile" => "see your name and user name",
        "email" => "see your e-mail address",
        "offline_access" => "keep its access while you are away",
        types::token::UMA_PROTECTION => "register what it keeps for you, and ask here who may reach it",
        types::token::UMA_POLICY => "see and change who may reach your things, and answer requests for you",
        types::token::UMA_MANAGEMENT => "manage what is kept for you there: who guards it, and whose signature counts",
        types::token::AS_OWNER => "reach what is yours there, as you do",
        _ => "use what it calls by this name",
    }
}

async fn consent_page(
    app: &Host,
    visit: &Visit,
    form: &Form,
    request: &AuthorizationRequest,
    error: Option<&str>,
) -> Result<Response, Failure> {
    let known: Vec<String> = match &visit.person {
        Some((account, _)) => app.identity.list_passkeys(&account.id).await?.into_iter().map(|one| one.passkey.id).collect(),
        None => Vec::new(),
    };
    let account = visit.person.as_ref().map(|(account, _)| account.display_name()).unwrap_or_default();
    let host = place_of(&request.redirect_uri);
    let page = ConsentPage {
        base: app.base(),
        csrf: visit.csrf(app),
        client: ui::within_quotes(&request.client.display_name()),
        declared: request.client.declared,
        host,
        account,
        scopes: request.scope.iter().map(|scope| (scope.as_str().to_owned(), meaning(scope.as_str()))).collect(),
        place: match &request.resource {
            Some(resource) => Some(Place::of(app, resource).await?),
            None => None,
        },
        elsewhere: elsewhere(app, visit, request).await?,
        query: form.encode(),
        needs_password: app.identity.needs_password(request),
        has_password: visit.person.as_ref().is_some_and(|(account, _)| account.password_hash.is_some()),
        question: Question::of(app, visit),
        known: known.join(" "),
        error,
    };
    Ok(visit.page(app, "Allow access?", "consent", &ui::render(&page), &origin_of(&request.redirect_uri)))
}

/// `POST /authorize/decision`: the answer to the consent page.
pub(super) async fn decide(State(app): State<Host>, request: Request) -> Response {
    let (parts, body) = split(request);
    let form = match parts.form(body).await {
        Ok(form) => form,
        Err(error) => return axum::response::IntoResponse::into_response(error),
    };
    let visit = match Visit::begin(&app, &parts).await {
        Ok(visit) => visit,
        Err(answer) => return *answer,
    };
    match decided(&app, &visit, &parts, &form).await {
        Ok(response) => response,
        Err(AuthorizationError::Back(back)) => answer_back(&app, &visit, &parts, back).await,
        Err(AuthorizationError::Page(failure)) => visit.error_page(&app, failure),
    }
}

async fn decided(app: &Host, visit: &Visit, parts: &Parts, form: &Form) -> Result<Response, AuthorizationError> {
    visit.check_csrf(app, parts, form)?;
    let original =
        Form::parse(form.one("request").map_err(Failure::from)?.unwrap_or_default().as_bytes()).map_err(Failure::from)?;
    let by = Visitor { session: visit.session(), address: &parts.address() };
    let request = app.identity.read_authorization(&original, &by).await?;
    let Some((account, session)) = &visit.person else {
        return Err(Failure::Refused(Refusal::new(
            ErrorCode::LoginRequired,
            "You are logged out. Go back to the application and start again.",
        ))
        .into());
    };
    match form.one("decision").map_err(Failure::from)? {
        Some("approve") => {}
        Some("deny") => return Ok(see_other(&app.identity.deny_authorization(&request).await?)),
        _ => return Err(Failure::Refused(Refusal::new(ErrorCode::InvalidRequest, "choose to allow or to refuse")).into()),
    }
    if app.identity.needs_password(&request) {
        let by_passkey = form.one("credential").map_err(Failure::from)?.is_some_and(|id| !id.is_empty());
        let wrong = if by_passkey {
            match super::account::by_passkey(app, visit, parts, form, Some(&account.id)).await {
                Ok(right) => right.is_none().then(|| "That passkey is not yours here.".to_owned()),
                Err(Failure::Refused(refusal)) => Some(crate::browser::sentence(&refusal.description)),
                Err(failure) => return Err(failure.into()),
            }
        } else {
            let password = form.one("password").map_err(Failure::from)?.unwrap_or_default();
            let right = app.identity.check_own_password(session, password).await?;
            (!right).then(|| "That is not your password.".to_owned())
        };
        if let Some(wrong) = wrong {
            return Ok(consent_page(app, visit, &original, &request, Some(&wrong)).await?);
        }
    }
    Ok(see_other(&app.identity.issue_code(&request, session).await?))
}
