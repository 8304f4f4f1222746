//! The page of somebody who waits for an owner's answer. It is one page, whatever is waited for (design/browser.md 5): it does the
//! same at the same pace where nobody could be asked, and looks again only where she presses for it.

use super::super::Gateway;
use super::changing::form_of;
use super::session::Held;
use askama::Template;
use axum::response::Response;
use http::StatusCode;

/// After how many seconds a waiting page loads itself anew without script, whatever it waits for.
const RELOAD_SECONDS: u64 = 5;

#[derive(Template)]
#[template(path = "visit_waiting.html")]
struct WaitingPage<'a> {
    action: String,
    to: &'a str,
    is_about_form: bool,
    news: String,
    log_out: String,
    csrf: String,
    name: &'a str,
}

impl Gateway {
    pub(super) fn waiting_page(&self, held: &Held, here: &str) -> Response {
        let to: String = form_urlencoded::byte_serialize(here.as_bytes()).collect();
        let form = form_of(here);
        let body = WaitingPage {
            action: self.visit_url(),
            to: form.as_deref().unwrap_or(here),
            is_about_form: form.is_some(),
            news: format!("{}/news?to={to}", self.visit_url()),
            log_out: self.own_url("logout"),
            csrf: self.form_token(held),
            name: &self.settings.name,
        };
        let body = ui::render(&body);
        self.own_page_with(StatusCode::ACCEPTED, "Waiting for an answer", &body, Some(("waiting.js", RELOAD_SECONDS)))
    }
}
