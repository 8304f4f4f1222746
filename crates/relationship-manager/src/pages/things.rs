//! What she has: the list, one thing, and withdrawing a share of it.

use super::{Desk, Fields, at_desk, page, posted, see_other};
use crate::holdings::{Filter, Guard, Holdings, Share, Thing, Who};
use crate::{Trouble, words};
use askama::Template;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::StatusCode;
use std::collections::BTreeSet;
use types::available_resource::RegistrationState;

/// Things on one page.
const PAGE: usize = 100;

/// A choice of a select.
struct Choice {
    value: String,
    text: String,
    chosen: bool,
}

struct Row<'a> {
    key: &'a str,
    name: &'a str,
    place: String,
    guards: String,
    shared: usize,
}

#[derive(Template)]
#[template(path = "things.html")]
struct ThingsPage<'a> {
    linked: usize,
    words: &'a str,
    servers: Vec<Choice>,
    guards: Vec<Choice>,
    shared: bool,
    filtered: bool,
    total: usize,
    count: usize,
    rows: Vec<Row<'a>>,
    first: usize,
    last: usize,
    before: Option<String>,
    next: Option<String>,
    /// Those that do not answer.
    troubles: Vec<String>,
    query: String,
}

pub(super) fn filter_of(query: &Fields) -> Filter {
    Filter {
        words: query.one("q").chars().take(200).collect(),
        server: query.one("server").to_owned(),
        guard: query.one("guard").to_owned(),
        shared: query.one("shared") == "yes",
    }
}

fn query_of(filter: &Filter) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("q", &filter.words), ("server", &filter.server), ("guard", &filter.guard)] {
        query.extend_pairs((!value.is_empty()).then_some((name, value)));
    }
    query.extend_pairs(filter.shared.then_some(("shared", "yes")));
    query.finish()
}

/// A server as people read it: without scheme.
pub(super) fn host_of(url: &str) -> String {
    url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/').to_owned()
}

/// What servers say for themselves when they do not answer.
pub(super) fn troubles(holdings: &Holdings) -> Vec<String> {
    let of = |known: &crate::holdings::Known| {
        let error = known.snapshot.error.as_ref()?;
        let since = known
            .snapshot
            .answered
            .map_or("It never answered".to_owned(), |at| format!("This is what it said on {}", ui::in_words(at)));
        Some(format!("{}: {error}. {since}.", host_of(known.link.place.url())))
    };
    holdings.servers.iter().filter_map(of).collect()
}

pub(super) async fn list(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    at_desk(manager, &parts.headers, async |manager, person| {
        let holdings = manager.holdings(&person.owner)?;
        let filter = filter_of(&query);
        let found = holdings.find(&filter);
        let from: usize = query.one("from").parse().unwrap_or(0);
        let rows = found.iter().skip(from).take(PAGE).map(|thing| Row {
            key: &thing.key,
            name: &thing.name,
            place: host_of(&thing.server),
            guards: words::list(thing.guards.iter().map(|guard| host_of(&guard.issuer)).collect::<BTreeSet<_>>()),
            shared: thing.shares.iter().map(|share| &share.who).collect::<BTreeSet<_>>().len(),
        });
        let rows: Vec<_> = rows.collect();
        let (servers, guards) = holdings.places();
        let choices = |all: Vec<String>, chosen: &str| {
            all.into_iter().map(|value| Choice { text: host_of(&value), chosen: value == chosen, value }).collect()
        };
        let at = |from: usize| {
            let base = query_of(&filter);
            format!("?{base}{}from={from}", if base.is_empty() { "" } else { "&" })
        };
        let last = from.saturating_add(rows.len());
        let body = ui::render(&ThingsPage {
            linked: holdings.servers.len(),
            words: &filter.words,
            servers: choices(servers, &filter.server),
            guards: choices(guards, &filter.guard),
            shared: filter.shared,
            filtered: !query_of(&filter).is_empty(),
            total: holdings.things.len(),
            count: found.len(),
            first: from.saturating_add(1),
            last,
            before: (from > 0).then(|| at(from.saturating_sub(PAGE))),
            next: (last < found.len()).then(|| at(last)),
            rows,
            troubles: troubles(&holdings),
            query: query_of(&filter),
        });
        Ok(page(manager, Some(person), StatusCode::OK, "Things", "/", &body))
    })
    .await
}

struct GuardRow {
    place: String,
    state: &'static str,
    class: &'static str,
    scopes: String,
    linked: bool,
    page: Option<String>,
}

struct ShareRow {
    policy: String,
    who: String,
    who_query: String,
    may: String,
    signed: bool,
    delegated: bool,
    place: String,
}

#[derive(Template)]
#[template(path = "thing.html")]
struct ThingPage<'a> {
    thing: &'a Thing,
    place: String,
    scopes: String,
    guards: Vec<GuardRow>,
    shares: Vec<ShareRow>,
    /// Why it cannot be shared from here.
    why_not: Option<String>,
    csrf: &'a str,
}

fn guard_row(guard: &Guard) -> GuardRow {
    let (state, class) = match guard.state {
        RegistrationState::Active => ("active", ""),
        RegistrationState::Pending => ("being registered", "wait"),
        RegistrationState::Moving => ("on the move", "wait"),
        RegistrationState::Failed => ("failed", "no"),
    };
    GuardRow {
        place: host_of(&guard.issuer),
        state,
        class,
        scopes: words::list(guard.scopes.iter().map(ToString::to_string)),
        linked: guard.link.is_some(),
        page: guard.page.clone().filter(|page| page.starts_with("https://") || page.starts_with("http://")),
    }
}

pub(super) fn who_query(who: &Who) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("who", &who.key()).finish()
}

fn share_row(holdings: &Holdings, share: &Share) -> ShareRow {
    ShareRow {
        policy: share.policy.as_str().to_owned(),
        who: share.who.in_words(),
        who_query: who_query(&share.who),
        may: share.in_words(),
        signed: share.token.is_some(),
        delegated: share.delegated,
        place: holdings.server(&share.link).map(|known| host_of(known.link.place.url())).unwrap_or_default(),
    }
}

pub(super) async fn show(State(manager): Desk, Path(key): Path<String>, request: Request) -> Response {
    at_desk(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner)?;
        let thing =
            holdings.thing(&key).ok_or_else(|| Trouble::Refused("There is no such thing at your servers any more.".into()))?;
        let all = &thing.description.resource_scopes;
        let body = ui::render(&ThingPage {
            thing,
            place: host_of(&thing.server),
            scopes: words::list(all.iter().map(ToString::to_string)),
            guards: thing.guards.iter().map(guard_row).collect(),
            shares: thing.shares.iter().map(|share| share_row(&holdings, share)).collect(),
            why_not: thing.guard_for(all).is_none().then(|| thing.why_not()),
            csrf: &person.csrf,
        });
        Ok(page(manager, Some(person), StatusCode::OK, &thing.name, "/", &body))
    })
    .await
}

pub(super) async fn withdraw(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let holdings = manager.holdings(&person.owner)?;
        let thing = fields.one("thing");
        let gone = || Trouble::Refused("This share is not there any more.".into());
        let share = holdings.share(thing, fields.one("policy")).ok_or_else(gone)?;
        manager.withdraw(&person.owner, &[share]).await?;
        Ok(see_other("/withdrawals"))
    })
    .await
}
