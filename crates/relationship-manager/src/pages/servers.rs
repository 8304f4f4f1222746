//! Her servers: linking one, how each stands, and letting one go.

use super::logging_in::with_begun;
use super::things::host_of;
use super::{Desk, at_desk, page, posted, see_other};
use crate::Trouble;
use crate::holdings::Known;
use crate::store::Place;
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use types::available_resource::PatState;

struct ServerRow {
    id: String,
    place: String,
    url: String,
    kind: &'static str,
    account: Option<String>,
    ended: bool,
    error: Option<String>,
    read: String,
    count: usize,
    /// What is wrong with its history.
    audit: Option<String>,
    /// Of a resource server: authorization servers that wait for her word, and whether it takes others.
    waiting: Vec<Waiting>,
    keeps: bool,
}

struct Waiting {
    issuer: String,
    place: String,
    account: String,
}

#[derive(Template)]
#[template(path = "servers.html")]
struct ServersPage<'a> {
    servers: Vec<ServerRow>,
    /// Whether one of them keeps things.
    keeps: bool,
    csrf: &'a str,
}

#[derive(Template)]
#[template(path = "server_go.html")]
struct GoPage<'a> {
    typed: &'a str,
    host: String,
    url: &'a str,
}

fn row(known: &Known, reader: &ui::Reader) -> ServerRow {
    let (kind, count) = match known.link.place {
        Place::AuthorizationServer { .. } => ("Authorization server", known.snapshot.guarded.len()),
        Place::BareStandard { .. } => ("Authorization server of the bare standard: shared on its own pages", 0),
        Place::ResourceServer { .. } => ("Resource server", known.snapshot.available.len()),
    };
    let pending = known.snapshot.servers.iter().filter(|one| one.pat == PatState::Pending);
    let waiting = pending.map(|one| Waiting {
        issuer: one.issuer.clone(),
        place: host_of(&one.issuer),
        account: one.account.as_ref().and_then(|who| who.email.clone().or(who.sub.clone())).unwrap_or_default(),
    });
    let place = host_of(known.link.place.url());
    ServerRow {
        audit: known.snapshot.audit.as_ref().map(|audit| audit.in_words(&place, known.snapshot.head.as_ref(), reader)),
        waiting: waiting.collect(),
        keeps: matches!(known.link.place, Place::ResourceServer { .. }),
        id: known.link.id.clone(),
        place,
        url: known.link.place.url().to_owned(),
        kind,
        account: known.link.account.clone(),
        ended: known.link.ended,
        error: known.snapshot.error.clone(),
        read: known.snapshot.answered.map_or_else(|| "not read yet".to_owned(), |at| format!("read {}", reader.moment(at))),
        count,
    }
}

pub(super) async fn list(State(manager): Desk, request: Request) -> Response {
    at_desk(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner).await?;
        let servers: Vec<ServerRow> = holdings.servers.iter().map(|known| row(known, &person.reader)).collect();
        let keeps = servers.iter().any(|one| one.keeps);
        let body = ui::render(&ServersPage { servers, keeps, csrf: &person.csrf });
        Ok(page(manager, Some(person), StatusCode::OK, "Servers", "/servers", &body))
    })
    .await
}

/// Finds the server, and shows where it would send her before she goes.
pub(super) async fn add(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let typed = fields.one("server");
        let (url, state) = manager.begin_link(person, typed).await.map_err(Trouble::of_a_look)?;
        let host = url::Url::parse(&url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        let body = ui::render(&GoPage { typed, host: host_of(&host), url: &url });
        let response = page(manager, Some(person), StatusCode::OK, "Log in there", "/servers", &body);
        Ok(with_begun(manager, response, &state))
    })
    .await
}

/// Asks all of them now; those that are slow are read on behind the page.
pub(super) async fn read(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, _| {
        let holdings = manager.holdings(&person.owner).await?;
        manager.read_servers(&person.owner, holdings.servers.iter().map(|known| known.link.id.clone())).await;
        Ok(see_other("/servers"))
    })
    .await
}

pub(super) async fn unlink(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        manager.unlink(&person.owner, fields.one("id")).await?;
        Ok(see_other("/servers"))
    })
    .await
}
