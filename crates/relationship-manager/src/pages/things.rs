//! What she has: the list, one thing, and withdrawing a share of it.

use super::{Desk, Fields, Shown, at_desk, page, posted, see_other};
use crate::holdings::{Filter, Guard, Holdings, Share, Thing, Who};
use crate::person::Person;
use crate::{Manager, Trouble, words};
use askama::Template;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
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
    /// Where a group begins.
    heading: Option<String>,
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
    let audit = |known: &crate::holdings::Known| {
        let audit = known.snapshot.audit.as_ref()?;
        Some(audit.in_words(&host_of(known.link.place.url()), known.snapshot.head.as_ref()))
    };
    holdings.servers.iter().filter_map(audit).chain(holdings.servers.iter().filter_map(of)).collect()
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

pub(super) async fn list(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    at_desk(manager, &parts.headers, async |manager, person| {
        let holdings = manager.holdings(&person.owner)?;
        let filter = filter_of(&query);
        let mut found = holdings.find(&filter);
        let by = GROUPS.iter().map(|(name, _)| *name).find(|name| *name == query.one("group")).unwrap_or_default();
        if !by.is_empty() {
            found.sort_by_cached_key(|thing| group_of(thing, by));
        }
        let from: usize = query.one("from").parse().unwrap_or(0);
        let mut last_heading = None;
        let rows = found.iter().skip(from).take(PAGE).map(|thing| Row {
            heading: (!by.is_empty()).then(|| group_of(thing, by)).filter(|heading| {
                let new = last_heading.as_ref() != Some(heading);
                last_heading = Some(heading.clone());
                new
            }),
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
    plain: bool,
    page: Option<String>,
    /// The registration that she may let go.
    registration: Option<String>,
    error: Option<String>,
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
    /// Whether the desk can have it guarded by another server.
    kept_here: bool,
    /// Somebody was tried.
    tried: Option<Tried>,
    happened: Vec<super::history::Line>,
    receipts: Vec<super::receipts::ReceiptRow>,
    csrf: &'a str,
}

/// What somebody would get.
struct Tried {
    email: String,
    words: String,
    class: &'static str,
    reasons: Vec<String>,
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
        plain: guard.plain,
        registration: guard.registration.clone(),
        error: guard.error.clone(),
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

/// Lines of a thing's own history and receipts on its page.
const SHORT: usize = 10;

fn shown(manager: &Arc<Manager>, person: &Person, key: &str, tried: Option<Tried>) -> Shown {
    let holdings = manager.holdings(&person.owner)?;
    let thing = thing_of(&holdings, key)?;
    let all = &thing.description.resource_scopes;
    let about = |line: &super::history::Line| line.thing.as_ref().is_some_and(|(_, of)| of == key);
    let body = ui::render(&ThingPage {
        thing,
        place: host_of(&thing.server),
        scopes: words::list(all.iter().map(ToString::to_string)),
        guards: thing.guards.iter().map(guard_row).collect(),
        shares: thing.shares.iter().map(|share| share_row(&holdings, share)).collect(),
        why_not: thing.guard_for(all).is_none().then(|| thing.why_not()),
        kept_here: holdings.keeper(&thing.server).is_some() && thing.description.own_id.is_some(),
        tried,
        happened: super::history::lines(&holdings).into_iter().filter(about).take(SHORT).collect(),
        receipts: super::receipts::rows(&holdings)
            .into_iter()
            .filter(|row| row.key.as_deref() == Some(key))
            .take(SHORT)
            .collect(),
        csrf: &person.csrf,
    });
    Ok(page(manager, Some(person), StatusCode::OK, &thing.name, "/", &body))
}

fn thing_of<'a>(holdings: &'a Holdings, key: &str) -> Result<&'a Thing, Trouble> {
    holdings.thing(key).ok_or_else(|| Trouble::Refused("There is no such thing at your servers any more.".into()))
}

pub(super) async fn show(State(manager): Desk, Path(key): Path<String>, request: Request) -> Response {
    at_desk(manager, request.headers(), async |manager, person| shown(manager, person, &key, None)).await
}

/// What would somebody with this address get? Asked of the server that guards it, which decides by what it grants by.
pub(super) async fn what_if(State(manager): Desk, Path(key): Path<String>, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let holdings = manager.holdings(&person.owner)?;
        let thing = thing_of(&holdings, &key)?;
        let email = fields.one("email").to_lowercase();
        let guard = thing.guard_for(&thing.description.resource_scopes);
        let guard = guard.ok_or_else(|| Trouble::Refused(format!("It cannot be asked: {}.", thing.why_not())))?;
        let claims = if email.is_empty() { json!({}) } else { json!({"email": email}) };
        let body = json!({"permissions": [{"resource_id": guard.id, "resource_scopes": guard.scopes}], "claims": claims});
        let at = |metadata: &types::metadata::Metadata| metadata.policy_endpoint.as_ref().map(|url| format!("{url}/simulate"));
        let link = guard.link.clone().unwrap_or_default();
        let answer = manager.api_at(&person.owner, &link, Method::POST, at, Some(&body)).await?;
        if answer.status != 200 {
            return Err(Trouble::Refused(answer.refusal()));
        }
        shown(manager, person, &key, Some(Tried::of(email, &answer.body)))
    })
    .await
}

impl Tried {
    fn of(email: String, answer: &Value) -> Self {
        let granted: BTreeSet<&str> = answer
            .get("permissions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .flat_map(|one| one.get("resource_scopes").and_then(Value::as_array).into_iter().flatten())
            .filter_map(Value::as_str)
            .collect();
        let reasons =
            answer.get("reasons").and_then(Value::as_array).into_iter().flatten().filter_map(|one| {
                Some(format!("{}: {}", one.get("scope")?.as_str()?, one.get("why")?.as_str()?.replace('_', " ")))
            });
        let who = if email.is_empty() { "Somebody unknown".to_owned() } else { email.clone() };
        let (words, class) = match answer.get("result").and_then(Value::as_str).unwrap_or_default() {
            _ if !granted.is_empty() => (format!("{who} would be let in, to {}.", words::list(granted)), ""),
            "request_submitted" | "submitted" => (format!("{who} would not be let in; you would be asked."), "warn"),
            "need_info" => (format!("{who} would not be let in yet, and be asked to show who they are."), "warn"),
            _ => (format!("{who} would be refused."), "error"),
        };
        Self { email, words, class, reasons: reasons.collect() }
    }
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
