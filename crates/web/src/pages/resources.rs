//! The list of an owner's things.

use super::things::{Picture, name_of, origins, place_of};
use super::{acting, owner};
use crate::Shared;
use crate::extract::split;
use crate::identity::page;
use askama::Template;
use authorization_server::Reach;
use authorization_server::store::Page;
use axum::extract::{Request, State};
use axum::response::Response;
use identity::Failure;
use types::spelling::readable;
use types::{Scope, path, token};

struct Item {
    id: String,
    name: String,
    picture: Picture,
    server: String,
    /// Who reaches it, in words; empty: nobody but her.
    reach: String,
}

/// A place from which she can have her things guarded here.
struct Linkable {
    name: String,
    url: String,
}

#[derive(Template)]
#[template(path = "resources.html")]
struct ListPage {
    base: String,
    items: Vec<Item>,
    linkable: Option<Linkable>,
    next: Option<String>,
}

/// `GET /my/resources`.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let owner = match owner(&app, visit, path::MY_RESOURCES) {
            Ok(owner) => owner,
            Err(login) => return Ok(*login),
        };
        let after = parts.query()?.one("after")?.map(types::ResourceId::from);
        let page = Page { after, limit: 50 };
        let (resources, next) = app.authorization_server.list_owned_resources(&acting(&owner), &page).await?;
        let ids: Vec<_> = resources.iter().map(|resource| resource.id.clone()).collect();
        let reach = app.authorization_server.find_reach(&acting(&owner), &ids).await?;
        let mut items = Vec::new();
        for (resource, reach) in resources.into_iter().zip(reach) {
            items.push(Item {
                name: name_of(&resource),
                picture: Picture::of(&resource),
                server: place_of(&app, &resource.resource_server).await?,
                id: resource.id.as_str().to_owned(),
                reach: in_words(&reach),
            });
        }
        // the store has them in the order of their ids, which says nothing to her
        items.sort_by_cached_key(|item| (item.name.to_lowercase(), item.id.clone()));
        let username = visit.person.as_ref().map(|(account, _)| account.username.as_str()).unwrap_or_default();
        let linkable = if items.is_empty() { linkable(&app, username).await? } else { None };
        let pictures = origins(items.iter().map(|item| &item.picture));
        let next = next.map(|id| id.as_str().to_owned());
        let body = ui::render(&ListPage { base: app.base(), items, linkable, next });
        Ok(visit.page_with_pictures(&app, "Your things", path::MY_RESOURCES, &body, &pictures))
    })
    .await
}

/// `2 people`, each counted once.
fn in_words(reach: &Reach) -> String {
    let people = match reach.people {
        0 => String::new(),
        1 => "1 person".to_owned(),
        more => format!("{more} people"),
    };
    match (reach.is_open, people.is_empty(), reach.others) {
        (true, _, _) => "anyone".to_owned(),
        (false, _, 0) => people,
        (false, true, _) => "shared".to_owned(),
        (false, false, _) => format!("{people}, and others"),
    }
}

/// The first place that the operator knows and that begins links at its own pages, as a gateway does.
async fn linkable(app: &Shared, username: &str) -> Result<Option<Linkable>, Failure> {
    let protects = Scope::parse(token::UMA_PROTECTION).map_err(identity::internal)?;
    let clients = app.identity.store.list_clients(None, 100).await?;
    let places = clients.into_iter().filter(|client| client.declared && client.scope.contains(&protects));
    let found = places.filter_map(|client| {
        let resource = client.resource.as_deref()?.trim_end_matches('/').to_owned();
        let leads_to_gateway = client.redirect_uris.iter().any(|uri| *uri == format!("{resource}/.wayleave/callback"));
        let mut query = identity::Form::default();
        query.set("owner", username);
        let url = format!("{resource}/.wayleave/link?{}", query.encode());
        leads_to_gateway.then(|| Linkable { name: readable(client.name.as_deref().unwrap_or(&resource)), url })
    });
    Ok({ found }.next())
}
