//! What she has: the list, one thing, sharing and withdrawing.

use super::{Desk, Fields, Shown, at_desk, page, posted, see_other};
use crate::holdings::{Filter, Guard, Holdings, Share, Thing, Who};
use crate::person::Person;
use crate::share::Sharing;
use crate::words::{self, promise};
use crate::{Manager, Trouble};
use askama::Template;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::StatusCode;
use std::collections::BTreeSet;
use std::sync::Arc;
use types::available_resource::RegistrationState;
use types::{Scope, ScopeSet};

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

fn filter_of(query: &Fields) -> Filter {
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
        signed: share.signed,
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

struct ScopeBox {
    name: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "share.html")]
struct SharePage<'a> {
    names: Vec<&'a str>,
    more: usize,
    /// Things that cannot be shared from here, and why.
    left_out: Vec<String>,
    keys: Vec<&'a str>,
    scopes: Vec<ScopeBox>,
    email: String,
    until: String,
    anyone: bool,
    error: Option<String>,
    csrf: &'a str,
}

#[derive(Template)]
#[template(path = "share_review.html")]
struct ReviewPage<'a> {
    promise: String,
    warning: Option<&'static str>,
    names: Vec<&'a str>,
    keys: Vec<&'a str>,
    scopes: Vec<String>,
    who: &'a str,
    until: &'a str,
    csrf: &'a str,
}

#[derive(Template)]
#[template(path = "shared.html")]
struct SharedPage<'a> {
    promise: String,
    count: usize,
    failed: &'a [String],
    who_query: String,
}

/// The things that a form is about: those that are named, or all that fit a search.
fn chosen<'a>(holdings: &'a Holdings, fields: &Fields) -> Vec<&'a Thing> {
    if fields.one("all") == "yes" {
        return holdings.find(&filter_of(fields));
    }
    let mut seen = BTreeSet::new();
    fields.all("thing").filter(|key| seen.insert((*key).to_owned())).filter_map(|key| holdings.thing(key)).collect()
}

pub(super) async fn share_form(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    at_desk(manager, &parts.headers, async |manager, person| {
        let holdings = manager.holdings(&person.owner)?;
        form(manager, person, &chosen(&holdings, &query), &query, None)
    })
    .await
}

fn form(manager: &Manager, person: &Person, things: &[&Thing], fields: &Fields, error: Option<String>) -> Shown {
    if things.is_empty() {
        return Err(Trouble::Refused("Choose at least one thing to share.".into()));
    }
    let can = |thing: &&&Thing| thing.guard_for(&thing.description.resource_scopes).is_some();
    let (able, unable): (Vec<&Thing>, Vec<&Thing>) = things.iter().partition(|thing| can(thing));
    let offered: BTreeSet<String> = able
        .iter()
        .flat_map(|thing| thing.guards.iter().flat_map(|guard| guard.scopes.iter().map(ToString::to_string)))
        .collect();
    let wanted: Vec<&str> = fields.all("scope").collect();
    let body = ui::render(&SharePage {
        names: able.iter().take(10).map(|thing| thing.name.as_str()).collect(),
        more: able.len().saturating_sub(10),
        left_out: unable.iter().take(10).map(|thing| format!("{}: {}", thing.name, thing.why_not())).collect(),
        keys: able.iter().map(|thing| thing.key.as_str()).collect(),
        scopes: offered.into_iter().map(|name| ScopeBox { chosen: wanted.contains(&name.as_str()), name }).collect(),
        email: fields.one("email").to_owned(),
        until: fields.one("until").to_owned(),
        anyone: fields.one("anyone") == "yes",
        error,
        csrf: &person.csrf,
    });
    Ok(page(manager, Some(person), StatusCode::OK, "Share", "/", &body))
}

/// What a form says, or what is wrong with it.
fn sharing_of(manager: &Manager, things: &[&Thing], fields: &Fields) -> Result<Sharing, String> {
    let address = fields.one("email").to_lowercase();
    let who = match (fields.one("anyone") == "yes", address.as_str()) {
        (true, "") => Who::Anyone,
        (true, _) => return Err("Choose either one address, or anyone.".into()),
        (false, address) if is_address(address) => Who::Address(address.to_owned()),
        (false, "") => return Err("Say whom you share with: an e-mail address.".into()),
        (false, other) => return Err(format!("“{other}” is no e-mail address.")),
    };
    let scopes: ScopeSet = fields.all("scope").filter_map(|text| Scope::parse(text).ok()).collect();
    if scopes.is_empty() {
        return Err("Choose at least one thing that will be possible.".into());
    }
    let until = match fields.one("until") {
        "" => None,
        text => match ui::end_of_date(text).filter(|end| *end > manager.now()) {
            Some(end) => Some(end),
            None => return Err("The last day must be a date that is not over.".into()),
        },
    };
    let things =
        things.iter().filter(|thing| thing.guard_for(&scopes).is_some()).map(|thing| thing.key.clone()).collect::<Vec<_>>();
    if things.is_empty() {
        return Err("None of these offers what you chose.".into());
    }
    Ok(Sharing { things, who, scopes, until })
}

/// One `@`, something on both sides of it, no space: whether it is anybody's is for the servers to see.
fn is_address(text: &str) -> bool {
    let halves = text.split_once('@');
    halves.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
        && !text.contains(char::is_whitespace)
        && text.len() <= 254
}

pub(super) async fn share(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let holdings = manager.holdings(&person.owner)?;
        let things = chosen(&holdings, fields);
        let sharing = match sharing_of(manager, &things, fields) {
            Ok(sharing) => sharing,
            Err(what) => return form(manager, person, &things, fields, Some(what)),
        };
        match fields.one("step") {
            "confirm" => carry_out(manager, person, &holdings, &sharing).await,
            "back" => form(manager, person, &things, fields, None),
            _ => Ok(review(manager, person, &holdings, &sharing, fields)),
        }
    })
    .await
}

fn sentence(holdings: &Holdings, sharing: &Sharing) -> String {
    let things: Vec<&Thing> = sharing.things.iter().filter_map(|key| holdings.thing(key)).collect();
    let offered = things.iter().flat_map(|thing| thing.description.resource_scopes.iter().cloned());
    let rest = offered.collect::<ScopeSet>().difference(&sharing.scopes);
    let names: Vec<&str> = things.iter().map(|thing| thing.name.as_str()).collect();
    promise(&sharing.who, &names, &sharing.scopes, &rest, sharing.until)
}

fn review(manager: &Manager, person: &Person, holdings: &Holdings, sharing: &Sharing, fields: &Fields) -> Response {
    let things: Vec<&Thing> = sharing.things.iter().filter_map(|key| holdings.thing(key)).collect();
    let odd = matches!(&sharing.who, Who::Address(address) if !address.is_ascii());
    let body = ui::render(&ReviewPage {
        promise: sentence(holdings, sharing),
        warning: match sharing.who {
            Who::Anyone => Some("Anyone who finds the address of these things will get in, without saying who they are."),
            _ if odd => Some("This address has letters that look like others. Check that it is who you mean."),
            _ => None,
        },
        names: things.iter().take(50).map(|thing| thing.name.as_str()).collect(),
        keys: things.iter().map(|thing| thing.key.as_str()).collect(),
        scopes: sharing.scopes.iter().map(ToString::to_string).collect(),
        who: match &sharing.who {
            Who::Address(address) => address,
            _ => "",
        },
        until: fields.one("until"),
        csrf: &person.csrf,
    });
    page(manager, Some(person), StatusCode::OK, "Share?", "/", &body)
}

async fn carry_out(manager: &Arc<Manager>, person: &Person, holdings: &Holdings, sharing: &Sharing) -> Shown {
    let promise = sentence(holdings, sharing);
    let shared = manager.share(&person.owner, sharing).await?;
    let who_query = who_query(&sharing.who);
    let body = ui::render(&SharedPage { promise, count: shared.count, failed: &shared.failed, who_query });
    let status = if shared.count > 0 { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
    Ok(page(manager, Some(person), status, "Shared", "/", &body))
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
