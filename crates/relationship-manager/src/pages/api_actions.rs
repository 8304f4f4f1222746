//! What the JSON interface does: `POST /api/share`, `/api/withdrawals`, `/api/requests`, for whoever is logged in and sends the token
//! of `GET /api/me` as `X-CSRF-Token`. What is signed is signed on the pages alone, where it is shown before.

use super::Desk;
use crate::answering::Answered;
use crate::holdings::Who;
use crate::person::Person;
use crate::share::Sharing;
use crate::{Manager, Trouble};
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use types::access_request::DecisionDocument;
use types::{ScopeSet, Timestamp};

const CSRF: &str = "x-csrf-token";
const MAX_BODY: usize = 1024 * 1024;

fn refused(status: StatusCode, error: &str, what: impl Into<String>) -> Response {
    (status, Json(json!({"error": error, "error_description": what.into()}))).into_response()
}

/// Reads a call: who it is, and what is wanted.
async fn taken<T: DeserializeOwned>(manager: &Arc<Manager>, request: Request) -> Result<(Person, T), Response> {
    let (parts, body) = request.into_parts();
    let person = match manager.person(&parts.headers).await {
        Ok(Some(person)) => person,
        Ok(None) => return Err(refused(StatusCode::UNAUTHORIZED, "login_required", "log in at this desk first")),
        Err(trouble) => return Err(refused(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", trouble.to_string())),
    };
    if !crate::person::is_own_form(&manager.settings.url, &parts.headers) {
        return Err(refused(StatusCode::FORBIDDEN, "invalid_request", "this call came from another site than this desk"));
    }
    if parts.headers.get(CSRF).and_then(|value| value.to_str().ok()) != Some(person.csrf.as_str()) {
        let what = "send `csrf` of GET /api/me as the header X-CSRF-Token";
        return Err(refused(StatusCode::FORBIDDEN, "invalid_request", what));
    }
    let invalid = |what: String| refused(StatusCode::BAD_REQUEST, "invalid_request", what);
    let bytes = super::read_body(body, MAX_BODY).await;
    let bytes = bytes.ok_or_else(|| invalid("the body is too long, or did not arrive whole".into()))?;
    let wanted = types::json::parse(&bytes).map_err(|error| invalid(error.to_string()))?;
    Ok((person, wanted))
}

pub(super) async fn call<T: DeserializeOwned>(
    manager: Arc<Manager>,
    request: Request,
    work: impl AsyncFnOnce(&Arc<Manager>, &Person, T) -> Result<Value, Trouble>,
) -> Response {
    let mut response = match taken::<T>(&manager, request).await {
        Ok((person, wanted)) => match work(&manager, &person, wanted).await {
            Ok(value) => Json(value).into_response(),
            Err(Trouble::Refused(what)) => refused(StatusCode::BAD_REQUEST, "invalid_request", what),
            Err(Trouble::TooMany(what)) => refused(StatusCode::TOO_MANY_REQUESTS, "slow_down", what),
            Err(trouble) => refused(StatusCode::BAD_GATEWAY, "temporarily_unavailable", trouble.to_string()),
        },
        Err(response) => response,
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `{"things": [keys], "email" | "anyone": true, "resource_scopes", "expires_at"}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Share {
    things: Vec<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    anyone: bool,
    resource_scopes: ScopeSet,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

pub(super) async fn share(State(manager): Desk, request: Request) -> Response {
    call(manager, request, async |manager, person, wanted: Share| {
        let address = wanted.email.as_deref().map(|email| super::sharing::address_of(email.trim()));
        let who = match (address, wanted.anyone) {
            (Some(Ok(email)), false) => Who::Address(email),
            (None, true) => Who::Anyone,
            _ => return Err(Trouble::Refused("say `email`, an address, or `anyone`: true".into())),
        };
        if wanted.resource_scopes.is_empty() || wanted.things.is_empty() {
            return Err(Trouble::Refused("`things` and `resource_scopes` must each name at least one".into()));
        }
        if wanted.expires_at.is_some_and(|end| end <= manager.now()) {
            return Err(Trouble::Refused("`expires_at` is over".into()));
        }
        let holdings = manager.holdings(&person.owner).await?;
        if let Some(unknown) = wanted.things.iter().find(|key| holdings.thing(key).is_none()) {
            return Err(Trouble::Refused(format!("there is no thing `{unknown}`: `things` are keys of /api/things")));
        }
        let (things, scopes) = (wanted.things, wanted.resource_scopes);
        let sharing = Sharing { things, who, scopes, until: wanted.expires_at, at: None };
        let shared = manager.share(&person.owner, &sharing).await?;
        Ok(json!({"shared": shared.count, "failed": shared.failed}))
    })
    .await
}

/// One share (`{"thing", "policy_id"}`, with `"authorization_server"` where two servers have one of that id), one approval
/// (`{"server", "request_id"}`), or everything of somebody's (`{"who": key of /api/people}`). `{"again": server}`, with `"word"` for
/// one alone (both of the `contradictions` of /api/things), tells a server once more what it still lists.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Withdraw {
    #[serde(default)]
    who: Option<String>,
    #[serde(default)]
    thing: Option<String>,
    #[serde(default)]
    policy_id: Option<String>,
    #[serde(default)]
    authorization_server: Option<String>,
    #[serde(default)]
    server: Option<String>,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    again: Option<String>,
    #[serde(default)]
    word: Option<String>,
}

pub(super) async fn withdraw(State(manager): Desk, request: Request) -> Response {
    call(manager, request, async |manager, person, wanted: Withdraw| {
        if let (Some(server), Some(request), None, None) = (&wanted.server, &wanted.request_id, &wanted.who, &wanted.thing) {
            manager.withdraw_approval(&person.owner, server, request).await?;
            return super::api::withdrawn(manager, person).await;
        }
        if let (Some(server), None, None, None) = (&wanted.again, &wanted.who, &wanted.thing, &wanted.server) {
            manager.tell_again(&person.owner, server, wanted.word.as_deref()).await?;
            return super::api::withdrawn(manager, person).await;
        }
        match (wanted.who, wanted.thing, wanted.policy_id) {
            (Some(who), None, None) => {
                let who = Who::of_key(&who).ok_or_else(|| Trouble::Refused("`who` must be a key of /api/people".into()))?;
                let unread = manager.withdraw_everything(&person.owner, &who).await?;
                return super::api::withdrawn_but(manager, person, &who, &unread).await;
            }
            (None, Some(thing), Some(policy)) => {
                let share =
                    manager.holdings(&person.owner).await?.share(&thing, &policy, wanted.authorization_server.as_deref())?;
                manager.withdraw(&person.owner, &thing, share).await?;
            }
            _ => {
                return Err(Trouble::Refused(
                    "say `who`, or `thing` and `policy_id`, or `server` and `request_id`, or `again`".into(),
                ));
            }
        }
        super::api::withdrawn(manager, person).await
    })
    .await
}

/// `{"server": id of /api/servers, "request_id", "owner"}` with the members of a decision (protocol.md 1.4).
#[derive(Deserialize)]
struct Decide {
    server: String,
    request_id: String,
    /// Whose request it is, where she decides for somebody.
    #[serde(default)]
    owner: String,
    #[serde(flatten)]
    decision: DecisionDocument,
}

pub(super) async fn decide(State(manager): Desk, request: Request) -> Response {
    call(manager, request, async |manager, person, wanted: Decide| {
        if !wanted.request_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(Trouble::Refused("`request_id` must be an id of /api/requests".into()));
        }
        let answered = Answered { link: &wanted.server, request: &wanted.request_id, of: &wanted.owner };
        manager.decide(&person.owner, answered, None, wanted.decision).await?;
        Ok(json!({"decided": wanted.request_id}))
    })
    .await
}
