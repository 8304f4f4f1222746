//! Her servers: linking one, how each stands, and letting one go.

use super::things::host_of;
use super::{Desk, at_desk, page, posted, see_other, with_begun};
use crate::holdings::Known;
use crate::store::Place;
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

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
}

#[derive(Template)]
#[template(path = "servers.html")]
struct ServersPage<'a> {
    servers: Vec<ServerRow>,
    csrf: &'a str,
}

#[derive(Template)]
#[template(path = "server_go.html")]
struct GoPage<'a> {
    typed: &'a str,
    host: String,
    url: &'a str,
}

fn row(known: &Known) -> ServerRow {
    let (kind, count) = match known.link.place {
        Place::AuthorizationServer { .. } => ("Authorization server", known.snapshot.guarded.len()),
        Place::ResourceServer { .. } => ("Resource server", known.snapshot.available.len()),
    };
    ServerRow {
        id: known.link.id.clone(),
        place: host_of(known.link.place.url()),
        url: known.link.place.url().to_owned(),
        kind,
        account: known.link.account.clone(),
        ended: known.link.ended,
        error: known.snapshot.error.clone(),
        read: known.snapshot.answered.map_or_else(|| "not read yet".to_owned(), |at| format!("read {}", ui::in_words(at))),
        count,
    }
}

pub(super) async fn list(State(manager): Desk, request: Request) -> Response {
    at_desk(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner)?;
        let body = ui::render(&ServersPage { servers: holdings.servers.iter().map(row).collect(), csrf: &person.csrf });
        Ok(page(manager, Some(person), StatusCode::OK, "Servers", "/servers", &body))
    })
    .await
}

/// Finds the server, and shows where it would send her before she goes.
pub(super) async fn add(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let typed = fields.one("server");
        let (url, state) = manager.begin_link(person, typed).await?;
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
        let holdings = manager.holdings(&person.owner)?;
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
