//! The same as JSON, for whoever is logged in (what it does is in `api_actions`): `/api/me`, `/api/things?q=&server=&guard=&shared=yes&from=&limit=`, `/api/people`,
//! `/api/servers`, `/api/withdrawals`, `/api/history`, `/api/requests`,
//! `/api/offers`, `/api/shared-with-me`.

use super::{Desk, Fields};
use crate::holdings::{Filter, Holdings, Who};
use crate::person::Person;
use crate::task::Standing;
use crate::withdrawing::Unread;
use crate::{Manager, Trouble};
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;

/// Most things in one answer.
const LIMIT: usize = 1_000;

async fn answer(
    manager: Arc<Manager>,
    headers: &HeaderMap,
    work: impl AsyncFnOnce(&Arc<Manager>, &Person) -> Result<Value, Trouble>,
) -> Response {
    let refused = |status: StatusCode, error: &str, what: String| {
        (status, Json(json!({"error": error, "error_description": what}))).into_response()
    };
    let mut response = match manager.person(headers).await {
        Ok(Some(person)) => match work(&manager, &person).await {
            Ok(value) => Json(value).into_response(),
            Err(trouble) => refused(StatusCode::BAD_GATEWAY, "temporarily_unavailable", trouble.to_string()),
        },
        Ok(None) => refused(StatusCode::UNAUTHORIZED, "login_required", "log in at this desk first".into()),
        Err(trouble) => refused(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", trouble.to_string()),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) async fn things(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    answer(manager, &parts.headers, async |manager, person| {
        let holdings = manager.holdings(&person.owner).await?;
        let filter = Filter {
            words: query.one("q").to_owned(),
            server: query.one("server").to_owned(),
            guard: query.one("guard").to_owned(),
            shared: query.one("shared") == "yes",
        };
        let found = holdings.find(&filter);
        let from: usize = query.one("from").parse().unwrap_or(0);
        let limit: usize = query.one("limit").parse().unwrap_or(100).min(LIMIT);
        let things: Vec<Value> = found.iter().skip(from).take(limit).map(|thing| thing_json(&holdings, thing)).collect();
        Ok(json!({"total": found.len(), "things": things}))
    })
    .await
}

fn thing_json(holdings: &Holdings, thing: &crate::holdings::Thing) -> Value {
    let guards = thing.guards.iter().map(|guard| {
        json!({"issuer": guard.issuer, "state": guard.state, "resource_id": guard.id, "resource_scopes": guard.scopes,
            "linked": guard.link.is_some()})
    });
    let doubts = holdings.doubts.iter().filter(|doubt| doubt.thing.as_ref() == Some(&thing.key));
    let doubts = doubts.map(|doubt| json!({"server": doubt.server, "says": doubt.words, "word": doubt.again}));
    let shares = thing.shares.iter().map(|share| {
        json!({"policy_id": share.id, "authorization_server": share.place, "who": share.who.name(),
            "resource_scopes": share.scopes, "expires_at": share.until, "signed": share.is_signed(),
            "partly_read": share.listed().is_some_and(|listed| listed.partly_read)})
    });
    let approvals = thing.approvals.iter().map(|approval| {
        json!({"request_id": approval.request, "server": approval.link, "authorization_server": approval.place,
            "who": approval.who.name(), "resource_scopes": approval.scopes, "expires_at": approval.until})
    });
    json!({"key": thing.key, "name": thing.name, "resource_server": thing.server, "resource_scopes": thing.description.resource_scopes,
        "guards": guards.collect::<Vec<_>>(), "shares": shares.collect::<Vec<_>>(), "contradictions": doubts.collect::<Vec<_>>(), "approvals": approvals.collect::<Vec<_>>()})
}

pub(super) async fn people(State(manager): Desk, request: Request) -> Response {
    answer(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner).await?;
        let all = holdings.people().into_iter().map(|(who, count)| json!({"who": who.name(), "key": who.key(), "things": count}));
        Ok(json!(all.collect::<Vec<_>>()))
    })
    .await
}

pub(super) async fn servers(State(manager): Desk, request: Request) -> Response {
    answer(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner).await?;
        let all = holdings.servers.iter().map(|known| {
            json!({"id": known.link.id, "url": known.link.place.url(), "account": known.link.account, "ended": known.link.ended,
            "answered": known.snapshot.answered, "error": known.snapshot.error,
            "kind": match known.link.place {
                crate::store::Place::AuthorizationServer { .. } => "authorization_server",
                crate::store::Place::BareStandard { .. } => "plain_authorization_server",
                crate::store::Place::ResourceServer { .. } => "resource_server",
            }})
        });
        Ok(json!(all.collect::<Vec<_>>()))
    })
    .await
}

pub(super) async fn history(State(manager): Desk, request: Request) -> Response {
    answer(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner).await?;
        let all = super::history::lines(&holdings, &person.reader).into_iter().take(LIMIT).map(|line| {
            let (thing, key) = line.thing.unzip();
            json!({"time": line.time, "what": line.what, "thing": thing, "key": key, "keys": line.keys, "who": line.who,
                "server": line.place, "outcome": line.tag.map(|(text, _)| text)})
        });
        Ok(json!(all.collect::<Vec<_>>()))
    })
    .await
}

pub(super) async fn me(State(manager): Desk, request: Request) -> Response {
    answer(manager, request.headers(), async |_, person| Ok(json!({"name": person.name, "csrf": person.csrf}))).await
}

pub(super) async fn requests(State(manager): Desk, request: Request) -> Response {
    answer(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner).await?;
        let all = holdings.servers.iter().flat_map(|known| {
            let own = known.snapshot.requests.iter().map(|request| (None, request));
            let others = known.snapshot.for_others.iter();
            let others = others.flat_map(|other| other.requests.iter().map(move |request| (Some(&other.owner), request)));
            own.chain(others).map(move |(owner, request)| json!({"server": known.link.id, "owner": owner, "request": request}))
        });
        Ok(json!(all.collect::<Vec<_>>()))
    })
    .await
}

pub(super) async fn offers(State(manager): Desk, request: Request) -> Response {
    answer(manager, request.headers(), async |manager, person| {
        Ok(super::offers::as_json(&*manager.holdings(&person.owner).await?))
    })
    .await
}

pub(super) async fn shared_with_me(State(manager): Desk, request: Request) -> Response {
    answer(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner).await?;
        Ok(json!(holdings.servers.iter().flat_map(|known| &known.snapshot.shared_with_me).collect::<Vec<_>>()))
    })
    .await
}

pub(super) async fn withdrawals(State(manager): Desk, request: Request) -> Response {
    answer(manager, request.headers(), async |manager, person| withdrawn(manager, person).await).await
}

/// The same after everything of somebody's was withdrawn, with the servers that could not be read for it.
pub(super) async fn withdrawn_but(
    manager: &Arc<Manager>,
    person: &Person,
    who: &Who,
    unread: &[Unread],
) -> Result<Value, Trouble> {
    let mut all = withdrawn(manager, person).await?;
    let what = format!("{}: what else this server shares", who.name());
    let away = "it could not be read: what this desk does not know of may stand there. Withdraw it again once it answers";
    let unclear = "it lists what this desk cannot read: look on its own pages whether that lets them reach something";
    let not_read = |one: &Unread| {
        let why = if one.has_answered { unclear } else { away };
        json!({"id": null, "group": null, "what": what, "server": one.url, "created": manager.now(), "state": "not_read", "why": why})
    };
    all.as_array_mut().into_iter().for_each(|all| all.extend(unread.iter().map(not_read)));
    Ok(all)
}

/// What was withdrawn lately, and where it stands.
pub(super) async fn withdrawn(manager: &Arc<Manager>, person: &Person) -> Result<Value, Trouble> {
    let all = manager.list_tasks(&person.owner).await?;
    let all = all.iter().map(|task| {
        let (state, why) = match &task.standing {
            Standing::Waiting { why } => ("waiting", why.as_ref()),
            Standing::Confirmed { .. } => ("confirmed", None),
            Standing::Refused { why } => ("refused", Some(why)),
            Standing::Unheard { why } => ("not_told", Some(why)),
        };
        json!({"id": task.id, "group": task.group, "what": task.what, "server": task.server, "created": task.created,
            "state": state, "why": why})
    });
    Ok(json!(all.collect::<Vec<_>>()))
}
