//! Whom she lets decide for her, and the end of that; and her receipts.

use super::things::{host_of, troubles};
use super::{Desk, at_desk, page, posted, see_other};
use crate::Trouble;
use crate::holdings::Known;
use crate::words;
use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;
use types::consent_receipt::ReceiptEvent;
use types::delegation::{Covered, DelegationDocument, May};

struct Row {
    link: String,
    id: String,
    who: String,
    may: String,
    until: String,
    place: String,
    signed: bool,
}

struct Server {
    link: String,
    place: String,
}

#[derive(Template)]
#[template(path = "delegations.html")]
struct DelegationsPage<'a> {
    rows: Vec<Row>,
    servers: Vec<Server>,
    for_others: Vec<String>,
    troubles: Vec<String>,
    csrf: &'a str,
}

fn row(known: &Known, one: &DelegationDocument) -> Row {
    let name = &one.delegate;
    let who = name.email.clone().or(name.resource_owner_id.clone()).or(name.account.as_ref().map(|id| id.as_str().to_owned()));
    let verbs = one.may.iter().map(|may| match may {
        May::Approve => "answer requests",
        May::Share => "share",
    });
    let about = match &one.resources {
        Covered::All => "everything of yours".to_owned(),
        Covered::Only(some) if some.len() == 1 => "one thing of yours".to_owned(),
        Covered::Only(some) => format!("{} things of yours", some.len()),
    };
    let scopes = words::list(one.resource_scopes.iter().map(ToString::to_string));
    Row {
        link: known.link.id.clone(),
        id: one.id.clone().unwrap_or_default(),
        who: who.unwrap_or_default(),
        may: format!("may {} for you: {scopes}, of {about}", words::list(verbs)),
        until: one.expires_at.map(words::day).unwrap_or_default(),
        place: host_of(known.link.place.url()),
        signed: one.delegation.is_some(),
    }
}

pub(super) async fn list(State(manager): Desk, request: Request) -> Response {
    at_desk(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner)?;
        let able = |known: &&Known| known.snapshot.delegations_endpoint.is_some();
        let servers = holdings.servers.iter().filter(able);
        let rows = holdings.servers.iter().flat_map(|known| known.snapshot.delegations.iter().map(move |one| row(known, one)));
        let others = holdings.servers.iter().flat_map(|known| {
            let place = host_of(known.link.place.url());
            known.snapshot.for_others.iter().map(move |one| format!("{}, at {place}", one.name))
        });
        let body = ui::render(&DelegationsPage {
            rows: rows.collect(),
            servers: servers
                .map(|known| Server { link: known.link.id.clone(), place: host_of(known.link.place.url()) })
                .collect(),
            for_others: others.collect(),
            troubles: troubles(&holdings),
            csrf: &person.csrf,
        });
        Ok(page(manager, Some(person), StatusCode::OK, "Who decides for you", "/people", &body))
    })
    .await
}

pub(super) async fn change(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let link = fields.one("link");
        if fields.one("what") == "end" {
            let holdings = manager.holdings(&person.owner)?;
            let known = holdings.server(link).ok_or_else(|| Trouble::Refused("This server is not linked any more.".into()))?;
            let who = known.snapshot.delegations.iter().find(|one| one.id.as_deref() == Some(fields.one("id")));
            let who = who.map(|one| row(known, one).who).ok_or_else(|| Trouble::Refused("This has ended already.".into()))?;
            let endpoint = known.snapshot.delegations_endpoint.clone().unwrap_or_default();
            let url = format!("{endpoint}/{}", fields.one("id"));
            manager.ask(&person.owner, vec![crate::share::deletion(known, format!("{who}: deciding for you"), url)]).await?;
            return Ok(see_other("/withdrawals"));
        }
        let may: Vec<&str> = fields.all("may").filter(|may| ["approve", "share"].contains(may)).collect();
        let scopes: Vec<&str> = fields.one("scopes").split([' ', ',']).filter(|scope| !scope.is_empty()).collect();
        let until = ui::end_of_date(fields.one("until")).filter(|end| *end > manager.now());
        let (Some(until), false, false) = (until, may.is_empty(), scopes.is_empty()) else {
            let what = "Say what she may do, with which scopes, and a last day that is not over.";
            return Err(Trouble::Refused(what.into()));
        };
        let body = json!({"delegate": {"email": fields.one("email")}, "resources": "all", "resource_scopes": scopes, "may": may,
            "expires_at": until});
        let at = |metadata: &types::metadata::Metadata| metadata.delegations_endpoint.clone();
        let answer = manager.api_at(&person.owner, link, Method::POST, at, Some(&body)).await?;
        manager.read_servers(&person.owner, [link.to_owned()]).await;
        if answer.status == 201 { Ok(see_other("/delegations")) } else { Err(Trouble::Refused(answer.refusal())) }
    })
    .await
}

struct ReceiptRow {
    when: String,
    what: String,
    place: String,
    verified: bool,
    ended: bool,
}

#[derive(Template)]
#[template(path = "receipts.html")]
struct ReceiptsPage {
    rows: Vec<ReceiptRow>,
    troubles: Vec<String>,
}

pub(super) async fn receipts(State(manager): Desk, request: Request) -> Response {
    at_desk(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner)?;
        let mut all: Vec<_> =
            holdings.servers.iter().flat_map(|known| known.snapshot.receipts.iter().map(move |kept| (known, kept))).collect();
        all.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.listed.receipt.consent_timestamp));
        let rows = all.into_iter().take(500).map(|(known, kept)| {
            let receipt = &kept.listed.receipt;
            let purpose = receipt.services.first().and_then(|service| service.purposes.first());
            let who = purpose.and_then(|purpose| purpose.third_party_name.clone()).unwrap_or_else(|| "somebody".to_owned());
            let ended = receipt.event == ReceiptEvent::Withdrawn;
            let verb = if ended { "You took back" } else { "You agreed" };
            let scopes = words::list(receipt.scopes.iter().map(ToString::to_string));
            let what = purpose.map(|purpose| purpose.purpose.clone()).unwrap_or_default();
            ReceiptRow {
                when: ui::in_words(receipt.consent_timestamp),
                what: format!("{verb}: {who}, {what} ({scopes})"),
                place: host_of(known.link.place.url()),
                verified: kept.verified,
                ended,
            }
        });
        let body = ui::render(&ReceiptsPage { rows: rows.collect(), troubles: troubles(&holdings) });
        Ok(page(manager, Some(person), StatusCode::OK, "Receipts", "/people", &body))
    })
    .await
}

/// All of them as a file, signed as they came.
pub(super) async fn export(State(manager): Desk, request: Request) -> Response {
    at_desk(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner)?;
        let all: Vec<_> = holdings.servers.iter().flat_map(|known| &known.snapshot.receipts).map(|kept| &kept.listed).collect();
        let mut response = serde_json::to_string_pretty(&all).unwrap_or_default().into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"wayleave-receipts.json\""));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    })
    .await
}
