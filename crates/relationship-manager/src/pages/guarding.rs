//! Who guards what: choosing a server for things, moving them, letting one go; and which servers a resource server knows.

use super::sharing::chosen;
use super::things::host_of;
use super::{Desk, Fields, Shown, at_desk, page, posted, see_other};
use crate::guarding::{Guarded, Move, carried_name};
use crate::holdings::{Share, Thing, Who};
use crate::person::Person;
use crate::{Trouble, words};
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use types::available_resource::PatState;
use types::policy::PolicyDocument;

/// A server that could guard.
struct Possible {
    issuer: String,
    place: String,
    /// What is to be known before.
    hint: &'static str,
}

/// What a server that would be left lists as shared.
struct Along {
    /// What the box stands for.
    name: String,
    thing: String,
    who: String,
    may: String,
    /// Everything else that it says.
    conditions: Vec<String>,
    /// It lets in whoever comes.
    anyone: bool,
    delegated: bool,
}

#[derive(Template)]
#[template(path = "guard.html")]
struct GuardPage<'a> {
    along: Vec<Along>,
    /// What she signed for the use of the old server.
    signed: Vec<String>,
    names: Vec<&'a str>,
    more: usize,
    keys: Vec<&'a str>,
    possible: Vec<Possible>,
    csrf: &'a str,
}

#[derive(Template)]
#[template(path = "guarded.html")]
struct GuardedPage<'a> {
    place: String,
    outcome: &'a Guarded,
}

#[derive(Template)]
#[template(path = "guard_go.html")]
struct GoPage<'a> {
    place: String,
    host: String,
    url: &'a str,
}

/// What could come along with a thing, wherever it goes.
fn along(thing: &Thing, reader: &ui::Reader) -> Vec<Along> {
    let guards = thing.guards.iter().filter(|guard| guard.registration.is_some());
    let of = |guard| {
        let row = |(share, policy): (&Share, &PolicyDocument)| Along {
            name: carried_name(thing, policy),
            thing: thing.name.clone(),
            who: share.who.in_words(),
            may: format!("may {}", words::scopes(&share.scopes)),
            conditions: words::conditions_of(policy, reader),
            anyone: share.who == Who::Anyone,
            delegated: share.delegated,
        };
        thing.carriable(guard).map(row).collect::<Vec<_>>()
    };
    guards.flat_map(of).collect()
}

/// What she signed about a thing.
fn signed(thing: &Thing) -> impl Iterator<Item = String> {
    thing.shares.iter().filter(|share| share.is_signed()).map(|share| format!("{}: {}", thing.name, share.who.name()))
}

fn hint_of(pat: PatState) -> &'static str {
    match pat {
        PatState::Active => "",
        PatState::Pending => "waits for you to say that the account there is yours",
        PatState::None => "you will be asked to log in there first",
        PatState::Withdrawn => "it takes that server's word no more: you will be asked to log in there again",
    }
}

pub(super) async fn form(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    at_desk(manager, &parts.headers, async |manager, person| {
        let holdings = manager.holdings(&person.owner).await?;
        let things: Vec<&Thing> = chosen(&holdings, &query);
        if things.is_empty() {
            return Err(Trouble::Refused("Choose at least one thing to be guarded.".into()));
        }
        let possible = holdings.possible_guards(&things).into_iter().map(|one| Possible {
            place: host_of(&one.issuer),
            hint: hint_of(one.pat),
            issuer: one.issuer,
        });
        let body = ui::render(&GuardPage {
            along: things.iter().flat_map(|thing| along(thing, &person.reader)).collect(),
            signed: things.iter().flat_map(|thing| signed(thing)).collect(),
            names: things.iter().take(10).map(|thing| thing.name.as_str()).collect(),
            more: things.len().saturating_sub(10),
            keys: things.iter().map(|thing| thing.key.as_str()).collect(),
            possible: possible.collect(),
            csrf: &person.csrf,
        });
        Ok(page(manager, Some(person), StatusCode::OK, "Who guards it", "/", &body))
    })
    .await
}

pub(super) async fn carry_out(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let things: Vec<String> = fields.all("thing").map(str::to_owned).collect();
        let issuer = fields.one("issuer");
        if issuer.is_empty() || things.is_empty() {
            return Err(Trouble::Refused("Choose a server.".into()));
        }
        let along = fields.all("along").map(str::to_owned).collect();
        let wanted = Move { things, issuer: issuer.to_owned(), along };
        let outcome = manager.guard_by(&person.owner, &wanted).await?;
        if let (Some(url), true) = (&outcome.authorize, outcome.failed.is_empty()) {
            return Ok(go(manager, person, &host_of(issuer), url));
        }
        let status = if outcome.done > 0 { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
        let body = ui::render(&GuardedPage { place: host_of(issuer), outcome: &outcome });
        Ok(page(manager, Some(person), status, "Guarded", "/", &body))
    })
    .await
}

/// She is shown where she would go, before she goes.
fn go(manager: &crate::Manager, person: &Person, place: &str, url: &str) -> Response {
    let host = url::Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let body = ui::render(&GoPage { place: place.to_owned(), host: host_of(&host), url });
    page(manager, Some(person), StatusCode::OK, "Log in there", "/", &body)
}

pub(super) async fn let_go(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        if fields.one("sure") != "yes" {
            return Err(Trouble::Refused("Tick that you are sure: nobody gets in by that server any more.".into()));
        }
        manager.unguard(&person.owner, fields.one("thing"), fields.one("registration")).await?;
        Ok(see_other("/withdrawals"))
    })
    .await
}

/// An authorization server for a resource server: introduced, or confirmed.
pub(super) async fn server(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| -> Shown {
        let link = fields.one("link");
        match fields.one("what") {
            "introduce" => match manager.introduce(&person.owner, link, fields.one("server")).await? {
                Some(url) => Ok(go(manager, person, fields.one("server"), &url)),
                None => Ok(see_other("/servers")),
            },
            "confirm" => {
                manager.confirm_guard(&person.owner, link, fields.one("issuer")).await?;
                Ok(see_other("/servers"))
            }
            "seen" => {
                manager.settle_audit(&person.owner, link).await?;
                Ok(see_other("/servers"))
            }
            _ => Err(Trouble::Refused("Nothing was asked for.".into())),
        }
    })
    .await
}
