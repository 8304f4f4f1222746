//! What happened, at all servers, the newest first: what authorization servers granted and refused, and what resource
//! servers then let through.

use super::things::{host_of, troubles};
use super::{Desk, Fields, at_desk, page};
use crate::consent_receipt::KeptReceipt;
use crate::history::{Told, claim};
use crate::holdings::{Holdings, Known};
use crate::words;
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use std::collections::HashMap;
use types::event::{Crowd, EventDocument, Restored};
use types::{PolicyId, Timestamp};

/// Most names of one event.
const MOST_NAMES: usize = 20;
/// Lines on one page.
const PAGE: usize = 100;

/// A line, as a person reads it.
pub(super) struct Line {
    pub(super) time: Timestamp,
    pub(super) when: String,
    pub(super) what: String,
    /// Of what, and its page.
    pub(super) thing: Option<(String, String)>,
    /// Keys of all things that it is about.
    pub(super) keys: Vec<String>,
    /// Names of other things that it is about, and how many there are beside.
    pub(super) others: Vec<String>,
    pub(super) more: usize,
    pub(super) who: String,
    pub(super) place: String,
    pub(super) tag: Option<(&'static str, &'static str)>,
}

impl Line {
    fn fits(&self, words: &[String]) -> bool {
        let thing = self.thing.as_ref().map(|(name, _)| name.as_str()).unwrap_or_default();
        let others = self.others.join("\n");
        let all = format!("{}\n{thing}\n{others}\n{}\n{}", self.what, self.who, self.place).to_lowercase();
        words.iter().all(|word| all.contains(word.as_str()))
    }
}

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    words: String,
    lines: Vec<Line>,
    before: Option<String>,
    next: Option<String>,
    troubles: Vec<String>,
}

/// What is known, and who reads it.
struct Seen<'a> {
    holdings: &'a Holdings,
    reader: &'a ui::Reader,
}

/// Whom a policy was for, as its receipts say; also of one that is gone.
type Parties<'a> = HashMap<&'a PolicyId, &'a str>;

fn parties(known: &Known) -> Parties<'_> {
    fn of(kept: &KeptReceipt) -> Option<(&PolicyId, &str)> {
        let receipt = &kept.listed.receipt;
        let purpose = receipt.services.first().and_then(|service| service.purposes.first());
        Some((receipt.policy_id.as_ref()?, purpose?.third_party_name.as_deref()?))
    }
    known.snapshot.receipts.iter().filter_map(of).collect()
}

fn of_event(seen: &Seen<'_>, known: &Known, parties: &Parties<'_>, event: &EventDocument) -> Line {
    let Seen { holdings, reader } = seen;
    let issuer = known.link.place.issuer();
    let thing = event.resource_id.as_ref().and_then(|id| holdings.guarded(issuer, id));
    let name = |id| holdings.guarded(issuer, id).map_or_else(|| "something".to_owned(), |thing| thing.name.clone());
    let others: Vec<String> = event.named_things().skip(1).take(MOST_NAMES).map(name).collect();
    let keys = event.named_things().filter_map(|id| holdings.guarded(issuer, id)).map(|thing| thing.key.clone()).collect();
    let party = event.policy_id.as_ref().and_then(|id| parties.get(id).copied());
    let crowd = Crowd::of(event).map(ui::crowd_in_words);
    let restored = Restored::of(event).map(|restored| ui::state_in_words(restored, reader));
    let beside = crowd.as_deref().or(restored.as_deref());
    let email = claim(event, "email").or_else(|| claim(event, "sub")).or(party).or(beside);
    let client = event.client_id.as_ref().map(|client| client.as_str());
    let scopes = words::scopes(&event.scopes);
    let mut who = [email, client].into_iter().flatten().collect::<Vec<_>>().join(" with ");
    if !scopes.is_empty() {
        who = if who.is_empty() { scopes } else { format!("{who}: {scopes}") };
    }
    if let Some(name) = event.by_name.as_deref().map(words::readable).filter(|name| !name.is_empty()) {
        who = if who.is_empty() { format!("by {name}") } else { format!("{who}; by {name}") };
    }
    Line {
        time: event.time,
        when: reader.moment(event.time),
        what: ui::event_in_words(event).to_owned(),
        thing: thing.map(|thing| (thing.name.clone(), thing.key.clone())),
        keys,
        more: event.count_things().saturating_sub(others.len()).saturating_sub(1),
        others,
        who,
        place: host_of(issuer),
        tag: event.outcome.map(ui::outcome_in_words),
    }
}

fn of_told(seen: &Seen<'_>, known: &Known, told: &Told) -> Line {
    let Seen { holdings, reader } = seen;
    let server = known.link.place.url();
    let thing = holdings.kept(server, &told.resource_id);
    let scopes = words::scopes(&told.resource_scopes);
    let times = if told.count == 1 { "once".to_owned() } else { format!("{} times", told.count) };
    let allowed = told.outcome == "allowed";
    let word = match &told.authority {
        Some(_) => ", by your own signed word",
        None if allowed => ", by the word of its authorization server",
        None => "",
    };
    let kinds = told.kinds.map_or_else(String::new, |kinds| format!(", at least {kinds} different"));
    let why = told.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    // where many applications are one line, it says of whom
    let who = told.client_id.as_deref().or(told.sub.as_deref().filter(|_| told.kinds.is_some())).unwrap_or_default();
    Line {
        time: told.time,
        when: reader.moment(told.time),
        what: format!("{} {times}{kinds}{word}{why}", if allowed { "Reached" } else { "Turned away" }),
        thing: thing.map(|thing| (thing.name.clone(), thing.key.clone())),
        keys: thing.map(|thing| thing.key.clone()).into_iter().collect(),
        others: Vec::new(),
        more: 0,
        who: [who, &scopes].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": "),
        place: host_of(server),
        tag: Some(if allowed { ("let through", "") } else { ("refused", "no") }),
    }
}

/// Everything that is known to have happened, the newest first.
pub(super) fn lines(holdings: &Holdings, reader: &ui::Reader) -> Vec<Line> {
    let seen = Seen { holdings, reader };
    let of = |known: &Known| {
        let parties = parties(known);
        let events = known.snapshot.events.iter().map(|event| of_event(&seen, known, &parties, event));
        let told = known.snapshot.told.iter().map(|told| of_told(&seen, known, told));
        events.chain(told).collect::<Vec<_>>()
    };
    let mut all: Vec<Line> = holdings.servers.iter().flat_map(of).collect();
    all.sort_by_key(|line| std::cmp::Reverse(line.time));
    all
}

pub(super) async fn show(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    at_desk(manager, &parts.headers, async |manager, person| {
        let holdings = manager.holdings(&person.owner).await?;
        let text: String = query.one("q").chars().take(200).collect();
        let wanted: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        let mut found: Vec<Line> = lines(&holdings, &person.reader).into_iter().filter(|line| line.fits(&wanted)).collect();
        let from: usize = query.one("from").parse().unwrap_or(0);
        let at = |from: usize| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs((!text.is_empty()).then_some(("q", text.as_str()))).append_pair("from", &from.to_string());
            format!("/history?{}", query.finish())
        };
        let next = (from.saturating_add(PAGE) < found.len()).then(|| at(from.saturating_add(PAGE)));
        let before = (from > 0).then(|| at(from.saturating_sub(PAGE)));
        let lines = found.drain(..).skip(from).take(PAGE).collect();
        let body = ui::render(&HistoryPage { words: text, lines, before, next, troubles: troubles(&holdings, &person.reader) });
        Ok(page(manager, Some(person), StatusCode::OK, "History", "/history", &body))
    })
    .await
}
