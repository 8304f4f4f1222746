//! What happened to an owner's things at this server.

use super::words::{self, Reader};
use super::{acting, owner, things};
use crate::Shared;
use crate::extract::split;
use crate::identity::page;
use askama::Template;
use authorization_server::store::Page;
use axum::extract::{Request, State};
use axum::response::Response;
use identity::Failure;
use identity::access_token::PolicyToken;
use serde_json::Value;
use std::collections::BTreeMap;
use types::event::{Crowd, EventDocument, EventKind, Restored};
use types::spelling::visible;
use types::{ResourceId, path};

struct Entry {
    when: String,
    what: String,
    /// Names of what it is about, where a line does not say them all; and how many there are beside.
    things: Vec<String>,
    more: usize,
    who: String,
    scopes: String,
    outcome: Option<(&'static str, &'static str)>,
}

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    base: String,
    entries: Vec<Entry>,
    next: Option<String>,
}

/// `GET /my/history`.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let owner = match owner(&app, visit, path::MY_HISTORY) {
            Ok(owner) => owner,
            Err(login) => return Ok(*login),
        };
        let after = parts.query()?.one("after")?.map(types::EventId::from);
        let page = Page { after, limit: 50 };
        let events = app.authorization_server.list_events(&owner, &page).await?;
        let next = events.last().filter(|_| events.len() == page.limit).map(|event| event.id.as_str().to_owned());
        let reader = visit.reader(&app);
        let (mut entries, mut names) = (Vec::new(), Names::default());
        for event in events {
            entries.push(entry(&app, &owner, event, &reader, &mut names).await?);
        }
        let body = ui::render(&HistoryPage { base: app.base(), entries, next });
        Ok(visit.page(&app, "History", path::MY_HISTORY, &body, &[]))
    })
    .await
}

/// Most names of one event on a page, and how many of them stand in its line.
const MOST_NAMES: usize = 20;
const NAMED_IN_LINE: usize = 3;

/// Names of her things, each read once for a page.
#[derive(Default)]
struct Names(BTreeMap<ResourceId, String>);

impl Names {
    async fn find(&mut self, app: &Shared, owner: &PolicyToken, id: &ResourceId) -> String {
        if let Some(name) = self.0.get(id) {
            return name.clone();
        }
        let thing = app.authorization_server.read_owned_resource(&acting(owner), id).await.ok();
        let name = thing.map_or_else(|| "something that is gone".to_owned(), |thing| things::name_of(&thing));
        self.0.insert(id.clone(), name.clone());
        name
    }
}

async fn entry(
    app: &Shared,
    owner: &PolicyToken,
    event: EventDocument,
    reader: &Reader,
    names_of: &mut Names,
) -> Result<Entry, Failure> {
    let mut names = Vec::new();
    for id in event.named_things().take(MOST_NAMES) {
        names.push(names_of.find(app, owner, id).await);
    }
    let (kind, count) = (ui::event_in_words(&event), event.count_things());
    let about = ui::few_in_words(&names, count);
    Ok(Entry {
        when: reader.zone.moment(event.time, reader.now),
        what: if about.is_empty() { kind.to_owned() } else { format!("{kind}: {about}") },
        more: count.saturating_sub(names.len()),
        things: if count > NAMED_IN_LINE { names } else { Vec::new() },
        who: who(app, owner, &event, reader).await?,
        scopes: words::may(&event.scopes),
        outcome: event.outcome.map(ui::outcome_in_words),
    })
}

/// Whom it is about, through which application, and who decided.
async fn who(app: &Shared, owner: &PolicyToken, event: &EventDocument, reader: &Reader) -> Result<String, Failure> {
    let crowd = Crowd::of(event).map(ui::crowd_in_words);
    let restored = Restored::of(event).map(|restored| ui::state_in_words(restored, reader));
    let mut person = event.claims.get("email").map(text_of).or(crowd).or(restored);
    let is_share = matches!(event.kind, EventKind::PolicyCreated | EventKind::PolicyUpdated | EventKind::PolicyDeleted);
    if let (None, true, Some(id)) = (&person, is_share, &event.policy_id) {
        // what was written before events of shares named people
        let policy = app.authorization_server.read_policy(&acting(owner), id).await.ok();
        person = policy.map(|policy| words::who(&policy.document));
    }
    let client = match &event.client_id {
        Some(id) => Some(things::client_name_at(app, id, event.time).await?),
        None => None,
    };
    let mut who = match (person, client, is_share) {
        (Some(person), Some(client), _) => format!("{person} with {client}"),
        (Some(person), None, true) => format!("with {person}"),
        (Some(person), None, false) => person,
        (None, client, _) => client.unwrap_or_default(),
    };
    if let Some(name) = &event.by_name {
        let by = format!("by {}", visible(name));
        who = if who.is_empty() { by } else { format!("{who}; {by}") };
    }
    Ok(who)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => visible(text),
        Value::Array(all) => all.iter().map(text_of).collect::<Vec<_>>().join(" or "),
        other => visible(&other.to_string()),
    }
}
