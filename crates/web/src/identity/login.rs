//! Log-in.

use super::account::{Elsewhere, Purpose, Question, elsewhere};
use crate::Host;
use crate::browser::{Visit, origin_of, safe_return, see_other};
use crate::extract::{Parts, split};
use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use identity::login::Caller;
use identity::way_back::Visitor;
use identity::{Failure, Form};
use types::ErrorCode;

/// The longest name that a page fills in, in bytes.
const MAX_HINT_BYTES: usize = 256;

/// Where to send somebody who must log in first.
pub(crate) fn login_url(app: &Host, back: &str, hint: Option<&str>) -> String {
    let mut form = Form::default();
    form.set("return", back);
    if let Some(hint) = hint.filter(|hint| hint.len() <= MAX_HINT_BYTES) {
        form.set("hint", hint);
    }
    format!("{}{}?{}", app.base(), types::path::LOGIN, form.encode())
}

/// Where to send somebody who must prove herself anew, wherever she does so.
pub(crate) fn login_again_url(app: &Host, back: &str, hint: Option<&str>) -> String {
    format!("{}&again=1", login_url(app, back, hint))
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    base: String,
    csrf: String,
    back: String,
    username: &'a str,
    error: Option<&'a str>,
    again: bool,
    question: Question,
    elsewhere: Vec<Elsewhere>,
}

/// What a log-in page is about.
pub(super) struct Asked<'a> {
    /// Where she goes on.
    pub(super) back: String,
    /// She must prove herself anew, also at another provider.
    pub(super) again: bool,
    pub(super) username: &'a str,
    pub(super) error: Option<&'a str>,
    /// From where.
    pub(super) address: String,
}

/// Where an answer to the log-in may lead without a page between: the client of a request that waits, where she has agreed
/// before. Browsers hold the form to it.
async fn leads_to(app: &Host, visit: &Visit, address: &str, back: &str) -> Vec<String> {
    let Some(query) = back.strip_prefix(&format!("{}{}?", app.base(), types::path::AUTHORIZE)) else { return Vec::new() };
    let Ok(form) = Form::parse(query.as_bytes()) else { return Vec::new() };
    let by = Visitor { session: visit.session(), address };
    let request = app.identity.read_authorization(&form, &by).await;
    request.map(|request| origin_of(&request.redirect_uri)).unwrap_or_default()
}

pub(super) async fn login_page(app: &Host, visit: &Visit, asked: Asked<'_>) -> Response {
    let Asked { back, again, username, error, address } = asked;
    let targets = leads_to(app, visit, &address, &back).await;
    let (question, elsewhere) = (Question::of(app, visit), elsewhere(app, &back, &Purpose::LogIn { again }));
    let page = LoginPage { base: app.base(), csrf: visit.csrf(app), back, username, error, again, question, elsewhere };
    visit.page(app, "Log in", "login", &ui::render(&page), &targets)
}

/// For pages: what goes wrong becomes a page too.
pub(crate) async fn page(app: &Host, parts: &Parts, handler: impl AsyncFnOnce(&Visit) -> Result<Response, Failure>) -> Response {
    let visit = match Visit::begin(app, parts).await {
        Ok(visit) => visit,
        Err(answer) => return *answer,
    };
    match handler(&visit).await {
        Ok(response) => response,
        Err(failure) => visit.error_page(app, failure),
    }
}

/// For forms of our pages: read, and from this browser's own page.
pub(crate) async fn posted(
    app: &Host,
    request: Request,
    handler: impl AsyncFnOnce(&Visit, &Parts, &Form) -> Result<Response, Failure>,
) -> Response {
    let (parts, body) = split(request);
    let form = match parts.form(body).await {
        Ok(form) => form,
        Err(error) => return error.into_response(),
    };
    page(app, &parts, async |visit| {
        visit.check_csrf(app, &parts, &form)?;
        handler(visit, &parts, &form).await
    })
    .await
}

/// `GET /login`.
pub(super) async fn get(State(app): State<Host>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let query = parts.query()?;
        let back = safe_return(&app, query.one("return")?);
        let username = query.one("hint")?.filter(|hint| hint.len() <= MAX_HINT_BYTES).unwrap_or_default();
        let (again, address) = (query.one("again")?.is_some(), parts.address());
        Ok(login_page(&app, visit, Asked { back, again, username, error: None, address }).await)
    })
    .await
}

/// `POST /login`: `username` and `password`.
pub(super) async fn post(State(app): State<Host>, request: Request) -> Response {
    posted(&app, request, async |visit, parts, form| {
        let (back, again) = (safe_return(&app, form.one("return")?), form.one("again")?.is_some());
        let (username, password) = (form.one("username")?.unwrap_or_default(), form.one("password")?.unwrap_or_default());
        let address = parts.address();
        let caller = Caller { address: &address, known: &visit.known };
        match app.identity.check_password(username, password, &caller).await {
            Ok(Some(account)) => {
                let cookie = app.identity.start_session(&account.id, visit.session_cookie.as_deref()).await?;
                visit.begin_session(&app, visit.answer(&app, see_other(&back)), &cookie).await
            }
            Ok(None) => {
                let error = Some("That user name and password do not go together.");
                Ok(login_page(&app, visit, Asked { back, again, username, error, address }).await)
            }
            Err(Failure::Refused(refusal)) => {
                let what = crate::browser::sentence(&refusal.description);
                // a name that is none is not shown again
                let username = if refusal.code == ErrorCode::TooManyRequests { username } else { "" };
                let mut response = login_page(&app, visit, Asked { back, again, username, error: Some(&what), address }).await;
                *response.status_mut() = crate::error::status_of(refusal.code);
                Ok(response)
            }
            Err(failure) => Err(failure),
        }
    })
    .await
}
