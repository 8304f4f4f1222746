//! What she has: the list of it.

use super::{Desk, Fields, at_desk, page};
use crate::holdings::{Filter, Holdings, Thing, Who};
use crate::words;
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use std::collections::{BTreeMap, BTreeSet};

/// Things on one page.
const PAGE: usize = 100;

/// A choice of a select.
struct Choice {
    value: String,
    text: String,
    chosen: bool,
}

struct Row<'a> {
    /// Where a group begins.
    heading: Option<String>,
    key: &'a str,
    name: &'a str,
    place: String,
    guards: String,
    reach: String,
}

#[derive(Template)]
#[template(path = "things.html")]
struct ThingsPage<'a> {
    linked: usize,
    words: &'a str,
    servers: Vec<Choice>,
    guards: Vec<Choice>,
    groups: Vec<Choice>,
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
    again: Vec<Again>,
    csrf: &'a str,
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
    words::place(url)
}

pub(super) fn who_query(who: &Who) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("who", &who.key()).finish()
}

/// What servers say for themselves when they do not answer.
pub(super) fn troubles(holdings: &Holdings, reader: &ui::Reader) -> Vec<String> {
    let of = |known: &crate::holdings::Known| {
        let error = known.snapshot.error.as_ref()?;
        let since = known
            .snapshot
            .answered
            .map_or("It never answered".to_owned(), |at| format!("This is what it said on {}", reader.moment(at)));
        Some(format!("{}: {error}. {since}.", host_of(known.link.place.url())))
    };
    let audit = |known: &crate::holdings::Known| {
        let audit = known.snapshot.audit.as_ref()?;
        Some(audit.in_words(&host_of(known.link.place.url()), known.snapshot.head.as_ref(), reader))
    };
    let told = holdings.servers.iter().filter_map(audit).chain(holdings.servers.iter().filter_map(of));
    told.chain(doubts(holdings)).collect()
}

/// Most contradictions of one server that are told on a page of all.
const DOUBTS_OF_EACH: usize = 3;

/// What servers say against each other, or against her own word: one note for each server.
fn doubts(holdings: &Holdings) -> impl Iterator<Item = String> {
    let mut of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    holdings.doubts.iter().for_each(|doubt| of.entry(&doubt.server).or_default().push(&doubt.words));
    of.into_iter().map(|(server, all)| {
        let more = all.len().saturating_sub(DOUBTS_OF_EACH);
        let more = if more > 0 { format!("; and {more} more of this kind") } else { String::new() };
        let told = all.iter().take(DOUBTS_OF_EACH).copied().collect::<Vec<_>>().join("; it ");
        format!(
            "{} {told}{more}. Nothing is done by it; what you signed and what the keeper of a thing says counts.",
            host_of(server)
        )
    })
}

/// A server that still lists what she took back, and can be told again.
pub(super) struct Again {
    pub(super) server: String,
    pub(super) place: String,
    /// One word of hers, and which; without it, all of them.
    pub(super) word: Option<String>,
    pub(super) what: Option<String>,
}

/// The servers that may be told again, each once.
pub(super) fn told_again(holdings: &Holdings) -> Vec<Again> {
    let servers: BTreeSet<&str> =
        holdings.doubts.iter().filter(|doubt| doubt.again.is_some()).map(|doubt| doubt.server.as_str()).collect();
    let of = |server: &str| Again { server: server.to_owned(), place: host_of(server), word: None, what: None };
    servers.into_iter().map(of).collect()
}

/// By what the list is put together.
const GROUPS: [(&str, &str); 4] =
    [("", "one list"), ("server", "where it is kept"), ("guard", "who guards it"), ("type", "what it is")];

/// The heading that a thing stands under.
fn group_of(thing: &Thing, by: &str) -> String {
    match by {
        "server" => host_of(&thing.server),
        "guard" => match words::list(thing.guards.iter().map(|guard| host_of(&guard.issuer)).collect::<BTreeSet<_>>()) {
            none if none.is_empty() => "Not guarded".to_owned(),
            guards => guards,
        },
        "type" => {
            let kind = thing.description.resource_type.as_deref().unwrap_or_default();
            let last = kind.trim_end_matches('/').rsplit(['/', ':', '#']).next().unwrap_or_default();
            if last.is_empty() { "Of no kind".to_owned() } else { last.to_owned() }
        }
        _ => String::new(),
    }
}

/// Who reaches a thing, each counted once, whatever lets them in; empty: nobody but her.
fn reach_in_words(thing: &Thing) -> String {
    let all: BTreeSet<&Who> = thing.everybody().collect();
    match (all.contains(&Who::Anyone), all.len()) {
        (true, _) => "anyone".to_owned(),
        (false, 0) => String::new(),
        (false, 1) => "1 person".to_owned(),
        (false, more) => format!("{more} people"),
    }
}

pub(super) async fn list(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    at_desk(manager, &parts.headers, async |manager, person| {
        let holdings = manager.holdings(&person.owner).await?;
        let filter = filter_of(&query);
        let mut found = holdings.find(&filter);
        let by = GROUPS.iter().map(|(name, _)| *name).find(|name| *name == query.one("group")).unwrap_or_default();
        if !by.is_empty() {
            found.sort_by_cached_key(|thing| group_of(thing, by));
        }
        let from: usize = query.one("from").parse().unwrap_or(0);
        let mut last_heading = None;
        let mut is_new = |heading: &String| last_heading.replace(heading.clone()).as_ref() != Some(heading);
        let rows = found.iter().skip(from).take(PAGE).map(|thing| Row {
            heading: (!by.is_empty()).then(|| group_of(thing, by)).filter(&mut is_new),
            key: &thing.key,
            name: &thing.name,
            place: host_of(&thing.server),
            guards: words::list(thing.guards.iter().map(|guard| host_of(&guard.issuer)).collect::<BTreeSet<_>>()),
            reach: reach_in_words(thing),
        });
        let rows: Vec<_> = rows.collect();
        let (servers, guards) = holdings.places();
        let choices = |all: Vec<String>, chosen: &str| {
            all.into_iter().map(|value| Choice { text: host_of(&value), chosen: value == chosen, value }).collect()
        };
        let at = |from: usize| {
            let (base, by) = (query_of(&filter), if by.is_empty() { String::new() } else { format!("group={by}&") });
            format!("?{base}{}{by}from={from}", if base.is_empty() { "" } else { "&" })
        };
        let last = from.saturating_add(rows.len());
        let body = ui::render(&ThingsPage {
            linked: holdings.servers.len(),
            words: &filter.words,
            servers: choices(servers, &filter.server),
            guards: choices(guards, &filter.guard),
            groups: GROUPS
                .iter()
                .map(|(value, text)| Choice { value: (*value).to_owned(), text: (*text).to_owned(), chosen: *value == by })
                .collect(),
            shared: filter.shared,
            filtered: !query_of(&filter).is_empty(),
            total: holdings.things.len(),
            count: found.len(),
            first: from.saturating_add(1),
            last,
            before: (from > 0).then(|| at(from.saturating_sub(PAGE))),
            next: (last < found.len()).then(|| at(last)),
            rows,
            troubles: troubles(&holdings, &person.reader),
            again: told_again(&holdings),
            csrf: &person.csrf,
            query: query_of(&filter),
        });
        Ok(page(manager, Some(person), StatusCode::OK, "Things", "/", &body))
    })
    .await
}
