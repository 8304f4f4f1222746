//! Logging in and out, and where log-ins come back, here and at servers.

use super::{Desk, Fields, Shown, page, posted, see_other, shown};
use crate::person::{BEGUN_LIFETIME, Person, cookie, is_led_from_elsewhere};
use crate::{Caller, Manager, Trouble};
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::sync::Arc;

/// Cookie of a log-in that has begun, here or at a server.
const BEGUN: &str = "wl_desk_begun";

/// A cookie that says which log-in this browser began.
pub(super) fn with_begun(manager: &Manager, mut response: Response, state: &str) -> Response {
    let text = manager.cookies().set(BEGUN, state, BEGUN_LIFETIME);
    response.headers_mut().extend(HeaderValue::from_str(&text).ok().map(|value| (header::SET_COOKIE, value)));
    response
}

/// A page of ours, and no way out of this desk.
fn is_own(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains(|c: char| c == '\\' || c.is_control())
        && !["/login", "/logout", "/callback"].iter().any(|way| path.starts_with(way))
}

/// Before a log-in that a page of another site began in the browser of somebody who is logged in.
#[derive(Template)]
#[template(path = "login_go.html")]
struct LoginGoPage<'a> {
    name: &'a str,
    host: String,
    url: String,
}

/// Asks whoever is logged in, and was led here, whether she goes on; none: she is sent on at once.
async fn ask_before_log_in(manager: &Manager, parts: &Parts) -> Option<Response> {
    if !is_led_from_elsewhere(&parts.headers) {
        return None;
    }
    let person = manager.person(&parts.headers).await.ok().flatten()?;
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let host = super::things::host_of(&manager.settings.login);
    let body = ui::render(&LoginGoPage { name: &person.name, host, url: format!("/login{query}") });
    Some(page(manager, Some(&person), StatusCode::OK, "Log in again", "", &body))
}

pub(super) async fn log_in(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if let Some(asks) = ask_before_log_in(&manager, &parts).await {
        return asks;
    }
    let back = Fields::of_query(&parts).one("return").to_owned();
    let back = Some(back).filter(|back| is_own(back));
    match manager.begin_log_in(back).await {
        Ok((url, state)) => with_begun(&manager, see_other(&url), &state),
        Err(trouble) => shown(&manager, None, Err(trouble)),
    }
}

/// Where log-ins come back, here and at servers: only in the browser that began.
pub(super) async fn callback(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    let person = match manager.person(&parts.headers).await {
        // who she is cannot be read now: nothing is made of that
        Err(away @ Trouble::Store(_)) => return shown(&manager, None, Err(away)),
        // a cookie that came twice is nobody's, and somebody may be logging in to mend that
        known => known.ok().flatten(),
    };
    let caller = parts.extensions.get::<Caller>().copied();
    let answer = returned(&manager, &parts.headers, person.as_ref(), &query, caller).await;
    shown(&manager, person.as_ref(), answer)
}

async fn returned(
    manager: &Arc<Manager>,
    headers: &HeaderMap,
    person: Option<&Person>,
    query: &Fields,
    caller: Option<Caller>,
) -> Shown {
    let refused = |what: &str| Err(Trouble::Refused(what.to_owned()));
    let state = query.one("state");
    let brought = cookie(&manager.cookies(), headers, BEGUN)?;
    let Some(brought) = brought.filter(|_| !state.is_empty()) else {
        return refused("This answer does not belong to this browser. Start again.");
    };
    let begun = match manager.begun_log_in(&brought) {
        // a log-in that began before anybody was known: the browser alone has kept it
        Some(begun) if begun.flow.state == state => Some(begun),
        _ if brought == state => manager.store.take_begun(state, manager.now()).await?,
        _ => return refused("This answer does not belong to this browser. Start again."),
    };
    let Some(begun) = begun.filter(|begun| manager.now() < begun.expires) else {
        return refused("This was answered before, or took too long. Start again.");
    };
    match (&begun.linking, person) {
        // anybody has such a cookie: that the log-in is asked about a code is limited before it is asked (threat 41)
        (None, _) => {
            let Some(asked) = manager.callers.may_ask(caller, manager.now()) else {
                return Err(Trouble::TooMany("Too many log-ins come from your network. Try again in a minute.".into()));
            };
            let id = manager.finish_log_in(&begun, &query.0, person).await?;
            asked.give_back();
            // a log-in renews the session
            if let Some(before) = person {
                manager.log_out(before).await?;
            }
            let text = manager.session_line(&id);
            let mut response = see_other(begun.back.as_deref().unwrap_or("/"));
            response.headers_mut().extend(HeaderValue::from_str(&text).ok().map(|value| (header::SET_COOKIE, value)));
            Ok(response)
        }
        (Some(linking), Some(person)) => {
            let link = manager.finish_link(person, &begun, linking, &query.0).await?;
            manager.read_servers(&person.owner, [link.id.clone()]).await;
            manager.resume_tasks(&person.owner, &link).await?;
            Ok(see_other("/servers"))
        }
        (Some(_), None) => refused("You were logged out meanwhile. Log in, and link the server again."),
    }
}

#[derive(Template)]
#[template(path = "logged_out.html")]
struct LoggedOutPage {
    host: String,
    /// Where she logs out of the log-in itself.
    elsewhere: Option<String>,
}

pub(super) async fn log_out(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, _| {
        manager.log_out(person).await?;
        let login = &manager.settings.login;
        let elsewhere = manager.metadata_of(login).await.ok().and_then(|metadata| metadata.end_session_endpoint.clone());
        let body = ui::render(&LoggedOutPage { host: super::things::host_of(login), elsewhere });
        Ok(page(manager, None, StatusCode::OK, "Logged out", "", &body))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn threat_19_whoever_logs_in_comes_back_to_a_page_of_this_desk() {
        for own in ["/people", "/decide?request=x", "/thing/x"] {
            assert!(is_own(own), "{own}");
        }
        for other in
            ["", "people", "//evil.example", "/\\evil.example", "https://evil.example", "/\n/x", "/login", "/callback?code=x"]
        {
            assert!(!is_own(other), "{other:?}");
        }
    }
}
