//! Log-out, by a person's own wish or by an application's (OpenID Connect RP-Initiated Logout 1.0).

use super::login::page;
use crate::Host;
use crate::browser::{Visit, origin_of, see_other};
use crate::extract::{Parts, split};
use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use identity::logout::{LogoutRequest, PARAMETERS};
use identity::redirect_uri::place_of;
use identity::{Failure, Form};

struct Field {
    name: &'static str,
    value: String,
}

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutPage {
    base: String,
    csrf: String,
    /// The application that asks.
    client: Option<String>,
    /// What it sent.
    fields: Vec<Field>,
}

#[derive(Template)]
#[template(path = "logged_out.html")]
struct LoggedOutPage {
    back: String,
    host: String,
}

/// `GET /logout`: asks first, so that a link cannot log anybody out - unless an application shows an ID token about her.
pub(super) async fn get(State(app): State<Host>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let form = parts.query()?;
        let request = app.identity.read_logout(&form, &parts.address()).await?;
        match visit.session() {
            // she is known by an address that she proved, and comes by herself
            None if request.client.is_none() && visit.find_proof(&app).await?.is_some() => {
                Ok(question(&app, visit, &form, &request))
            }
            None => Ok(nobody_left(&app, visit, &request)),
            Some(session) if request.is_about(session) => log_out(&app, visit, &request).await,
            Some(_) => Ok(question(&app, visit, &form, &request)),
        }
    })
    .await
}

/// `POST /logout`: our own form, or an application's, for whose cookies browsers want a link.
pub(super) async fn post(State(app): State<Host>, request: Request) -> Response {
    let (parts, body) = split(request);
    let form = match parts.form(body).await {
        Ok(form) => form,
        Err(error) => return error.into_response(),
    };
    if form.all("csrf").is_empty() && PARAMETERS.iter().any(|name| !form.all(name).is_empty()) {
        return see_other(&format!("{}{}?{}", app.base(), types::path::LOGOUT, form.encode()));
    }
    page(&app, &parts, async |visit| decided(&app, visit, &parts, &form).await).await
}

async fn decided(app: &Host, visit: &Visit, parts: &Parts, form: &Form) -> Result<Response, Failure> {
    visit.check_csrf(app, parts, form)?;
    let request = app.identity.read_logout(form, &parts.address()).await?;
    log_out(app, visit, &request).await
}

/// Ends the session, and sends the browser on.
async fn log_out(app: &Host, visit: &Visit, request: &LogoutRequest) -> Result<Response, Failure> {
    let next = request.back.clone().unwrap_or_else(|| format!("{}/login", app.base()));
    visit.leave(app, see_other(&next)).await
}

/// Nobody is logged in. Whoever only names an application sends no browser on: she follows a link, or not.
fn nobody_left(app: &Host, visit: &Visit, request: &LogoutRequest) -> Response {
    match &request.back {
        None => see_other(&format!("{}/", app.base())),
        Some(back) if request.is_proven() => see_other(back),
        Some(back) => {
            let host = place_of(back);
            let body = ui::render(&LoggedOutPage { back: back.clone(), host });
            visit.page(app, "You are logged out", "login", &body, &[])
        }
    }
}

fn question(app: &Host, visit: &Visit, form: &Form, request: &LogoutRequest) -> Response {
    let sent = |name: &'static str| form.all(name).first().map(|value| Field { name, value: value.clone() });
    let body = ui::render(&LogoutPage {
        base: app.base(),
        csrf: visit.csrf(app),
        client: request.client.as_ref().map(|client| client.display_name()),
        fields: PARAMETERS.into_iter().filter_map(sent).collect(),
    });
    let targets = request.back.as_deref().map(origin_of).unwrap_or_default();
    visit.page(app, "Log out?", "login", &body, &targets)
}
