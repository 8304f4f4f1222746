//! Sharing, step by step: the form, what it means in plain words and what would be signed, and what came of it.

use super::keys::{Asking, brought};
use super::thing::{link_of, page_of};
use super::things::{filter_of, who_query};
use super::{Desk, Fields, Shown, at_desk, how_long, page, posted};
use crate::holdings::{Holdings, Thing, Who};
use crate::person::Person;
use crate::share::{Shared, Sharing};
use crate::signing::LIFETIME;
use crate::undoing::{NoteShown, Undo};
use crate::words::{Promised, promise};
use crate::{Manager, Trouble};
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use std::collections::BTreeSet;
use std::sync::Arc;
use types::{Scope, ScopeSet};

struct ScopeBox {
    name: String,
    /// What it means, where a page knows.
    meaning: &'static str,
    chosen: bool,
}

impl ScopeBox {
    fn of(scope: &Scope, wanted: &[&str]) -> Self {
        Self { name: scope.to_string(), meaning: ui::meaning_of(scope), chosen: wanted.contains(&scope.as_str()) }
    }
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
    anyone: bool,
    /// The choice of until when.
    how_long: String,
    /// Whether she has a key, and wants to sign by it.
    has_key: bool,
    sign: bool,
    wrong: Wrong,
    csrf: &'a str,
}

/// What is wrong with a form, at its field.
#[derive(Default)]
struct Wrong {
    email: Option<String>,
    scope: Option<String>,
    until: Option<String>,
    /// Of all of it.
    whole: Option<String>,
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
    lasts: &'a str,
    until: &'a str,
    to_sign: Option<ToSign>,
    csrf: &'a str,
}

#[derive(Template)]
#[template(path = "shared.html")]
struct SharedPage<'a> {
    told: Option<NoteShown>,
    promise: String,
    shared: &'a Shared,
    links: Vec<LinkRow>,
    /// Whether there is one person to whom a link could be sent.
    is_for_somebody: bool,
    who_query: String,
    csrf: &'a str,
}

/// The link to a thing that was shared, and where its server mails it.
struct LinkRow {
    name: String,
    link: String,
    page: Option<String>,
}

/// Most links on one page.
const MOST_LINKS: usize = 10;

/// What she may send to whom she shared with. This desk sends no mail itself: a server mails for its own owners alone, and by
/// its own pages (decision 0033).
fn links_of(holdings: &Holdings, sharing: &Sharing) -> Vec<LinkRow> {
    let row = |thing: &Thing| {
        let page = thing.guard_of(sharing).and_then(page_of);
        Some(LinkRow { name: thing.name.clone(), link: link_of(thing)?, page })
    };
    sharing.things.iter().filter_map(|key| row(holdings.thing(key)?)).take(MOST_LINKS).collect()
}

/// The things that a form is about: those that are named, or all that fit a search.
pub(super) fn chosen<'a>(holdings: &'a Holdings, fields: &Fields) -> Vec<&'a Thing> {
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
        let holdings = manager.holdings(&person.owner).await?;
        form(manager, person, &chosen(&holdings, &query), &query, Wrong::default()).await
    })
    .await
}

async fn form(manager: &Manager, person: &Person, things: &[&Thing], fields: &Fields, wrong: Wrong) -> Shown {
    if things.is_empty() {
        return Err(Trouble::Refused("Choose at least one thing to share.".into()));
    }
    let can = |thing: &&&Thing| thing.guard_for(&thing.description.resource_scopes).is_some();
    let (able, unable): (Vec<&Thing>, Vec<&Thing>) = things.iter().partition(|thing| can(thing));
    let offered: ScopeSet =
        able.iter().flat_map(|thing| thing.guards.iter().flat_map(|guard| guard.scopes.iter().cloned())).collect();
    let wanted: Vec<&str> = fields.all("scope").collect();
    let has_key = manager.current_key(&person.owner).await?.is_some();
    let body = ui::render(&SharePage {
        names: able.iter().take(10).map(|thing| thing.name.as_str()).collect(),
        more: able.len().saturating_sub(10),
        left_out: unable.iter().take(10).map(|thing| format!("{}: {}", thing.name, thing.why_not())).collect(),
        keys: able.iter().map(|thing| thing.key.as_str()).collect(),
        scopes: ui::least_first(&offered).iter().map(|scope| ScopeBox::of(scope, &wanted)).collect(),
        email: fields.one("email").to_owned(),
        anyone: fields.one("anyone") == "yes",
        how_long: how_long::choice(&person.reader, fields, has_key, wrong.until.as_deref()),
        has_key,
        // by her own word unless she said otherwise
        sign: fields.one("step").is_empty() || fields.one("sign") == "yes",
        wrong,
        csrf: &person.csrf,
    });
    Ok(page(manager, Some(person), StatusCode::OK, "Share", "/", &body))
}

/// What a form says, or what is wrong with it.
fn sharing_of(reader: &ui::Reader, things: &[&Thing], fields: &Fields) -> Result<Sharing, Wrong> {
    let scopes: ScopeSet = fields.all("scope").filter_map(|text| Scope::parse(text).ok()).collect();
    let no_scope = scopes.is_empty().then(|| "Choose at least one thing that will be possible.".to_owned());
    let until = reader.chosen_end(fields.one("for"), fields.one("until"));
    let (who, until) = match (who_of(fields), until, no_scope) {
        (Ok(who), Ok(until), None) => (who, until),
        (who, until, scope) => {
            return Err(Wrong { email: who.err(), scope, until: until.err().map(str::to_owned), whole: None });
        }
    };
    let things =
        things.iter().filter(|thing| thing.guard_for(&scopes).is_some()).map(|thing| thing.key.clone()).collect::<Vec<_>>();
    if things.is_empty() {
        return Err(Wrong { whole: Some("None of these offers what you chose.".into()), ..Wrong::default() });
    }
    Ok(Sharing { things, who, scopes, until, at: None })
}

fn who_of(fields: &Fields) -> Result<Who, String> {
    match (fields.one("anyone") == "yes", fields.one("email")) {
        (true, "") => Ok(Who::Anyone),
        (true, _) => Err("Choose either one address, or anyone.".into()),
        (false, "") => Err("Say whom you share with: an e-mail address.".into()),
        (false, typed) => Ok(Who::Address(address_of(typed)?)),
    }
}

/// An address in the one form in which it compares; whether it is anybody's is for the servers to see.
pub(super) fn address_of(typed: &str) -> Result<String, String> {
    types::email::normalize(typed).ok_or_else(|| format!("“{typed}” is no e-mail address."))
}

pub(super) async fn share(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let holdings = manager.holdings(&person.owner).await?;
        let things = chosen(&holdings, fields);
        let sharing = match sharing_of(&person.reader, &things, fields) {
            Ok(sharing) => sharing,
            Err(wrong) => return form(manager, person, &things, fields, wrong).await,
        };
        match fields.one("step") {
            "confirm" if fields.one("sign") == "yes" => sign(manager, person, &holdings, &sharing, fields).await,
            "confirm" => carry_out(manager, person, &holdings, &sharing).await,
            "back" => form(manager, person, &things, fields, Wrong::default()).await,
            _ => review(manager, person, &holdings, &sharing, fields).await,
        }
    })
    .await
}

/// What she promises. What is signed has an end, also where she named none.
fn sentence(person: &Person, holdings: &Holdings, sharing: &Sharing, signed: bool) -> String {
    let until = sharing.until.or_else(|| signed.then(|| person.reader.now.plus(LIFETIME)));
    let things: Vec<&Thing> = sharing.things.iter().filter_map(|key| holdings.thing(key)).collect();
    let offered = things.iter().flat_map(|thing| thing.description.resource_scopes.iter().cloned());
    let rest = offered.collect::<ScopeSet>().difference(&sharing.scopes);
    let names: Vec<&str> = things.iter().map(|thing| thing.name.as_str()).collect();
    promise(&Promised { who: &sharing.who, things: &names, scopes: &sharing.scopes, rest: &rest, until }, &person.reader)
}

const CANNOT_SIGN: &str = "Nothing can be signed for these: link the server that keeps them first. Only it can say which server \
     guards them, and it must believe your signature. You can also share them without your signature.";

/// What she is shown before she signs it.
struct ToSign {
    id: String,
    did: String,
    /// The tokens, as they will be signed.
    texts: Vec<(String, String)>,
    /// Things that cannot be signed for.
    left_out: usize,
    open: bool,
    passphrase: bool,
    /// Passkeys that open the key.
    known: String,
    asking: Asking,
}

async fn to_sign(
    manager: &Manager,
    person: &Person,
    holdings: &Holdings,
    sharing: &Sharing,
    fields: &Fields,
) -> Result<Option<ToSign>, Trouble> {
    let Some(key) = manager.current_key(&person.owner).await?.filter(|_| fields.one("sign") == "yes") else { return Ok(None) };
    let (id, prepared) = manager.prepare(person, holdings, sharing, &key.did);
    if prepared.drafts.is_empty() {
        return Err(Trouble::Refused(CANNOT_SIGN.into()));
    }
    let text = |claims: &serde_json::Value| serde_json::to_string_pretty(claims).unwrap_or_default();
    Ok(Some(ToSign {
        id,
        open: manager.opened_key(person).is_some_and(|open| open.did == key.did),
        left_out: sharing.things.len().saturating_sub(prepared.drafts.len()),
        passphrase: key.kept.is_some(),
        known: key.known(),
        asking: Asking::of(manager, person),
        texts: prepared.drafts.iter().map(|draft| (draft.name.clone(), text(&draft.claims))).collect(),
        did: key.did,
    }))
}

/// Signs what she was shown.
async fn sign(manager: &Arc<Manager>, person: &Person, holdings: &Holdings, sharing: &Sharing, fields: &Fields) -> Shown {
    let promise = sentence(person, holdings, sharing, true);
    let passphrase = fields.all("passphrase").next().unwrap_or_default();
    let key = manager.key_for(person, fields.one("did"), passphrase, brought(fields)).await?;
    let shared = manager.sign(person, fields.one("prepared"), &key).await?;
    Ok(shared_page(manager, person, holdings, sharing, Came { promise, shared: &shared }))
}

async fn review(manager: &Manager, person: &Person, holdings: &Holdings, sharing: &Sharing, fields: &Fields) -> Shown {
    let things: Vec<&Thing> = sharing.things.iter().filter_map(|key| holdings.thing(key)).collect();
    // what she reads is what she agrees to, also where another day has begun until then
    let last_day = sharing.until.map(|end| person.reader.zone.date(end.plus(-1)));
    let odd = |address: &String| !address.is_ascii() || address.contains("@xn--") || address.contains(".xn--");
    let odd = matches!(&sharing.who, Who::Address(address) if odd(address));
    let to_sign = to_sign(manager, person, holdings, sharing, fields).await?;
    let body = ui::render(&ReviewPage {
        promise: sentence(person, holdings, sharing, to_sign.is_some()),
        warning: match sharing.who {
            Who::Anyone => Some("Anyone who finds the address of these things will get in, without saying who they are."),
            _ if odd => Some("This address has letters that look like others. Check that it is who you mean."),
            _ => None,
        },
        names: things.iter().take(50).map(|thing| thing.name.as_str()).collect(),
        keys: things.iter().map(|thing| thing.key.as_str()).collect(),
        scopes: ui::least_first(&sharing.scopes).iter().map(ToString::to_string).collect(),
        who: match &sharing.who {
            Who::Address(address) => address,
            _ => "",
        },
        lasts: if last_day.is_some() { "date" } else { "always" },
        until: last_day.as_deref().unwrap_or_default(),
        to_sign,
        csrf: &person.csrf,
    });
    Ok(page(manager, Some(person), StatusCode::OK, "Share?", "/", &body))
}

async fn carry_out(manager: &Arc<Manager>, person: &Person, holdings: &Holdings, sharing: &Sharing) -> Shown {
    let promise = sentence(person, holdings, sharing, false);
    let shared = manager.share(&person.owner, sharing).await?;
    Ok(shared_page(manager, person, holdings, sharing, Came { promise, shared: &shared }))
}

/// What was promised, and what came of it.
struct Came<'a> {
    promise: String,
    shared: &'a Shared,
}

/// What came of it, and *Undo* where that is one press.
fn shared_page(manager: &Manager, person: &Person, holdings: &Holdings, sharing: &Sharing, came: Came<'_>) -> Response {
    let Came { promise, shared } = came;
    let undo = Undo::of_sharing(shared.count, &shared.made);
    let told = (shared.count > 0).then(|| {
        let is_undoable = undo.is_some();
        let note = manager.keep_note(person, promise.clone(), undo);
        NoteShown { what: promise.clone(), undo: is_undoable.then_some(note) }
    });
    let who_query = who_query(&sharing.who);
    let has_begun = shared.count > 0 || shared.on_the_way > 0;
    let links = if has_begun { links_of(holdings, sharing) } else { Vec::new() };
    let is_for_somebody = matches!(sharing.who, Who::Address(_));
    let body = ui::render(&SharedPage { told, promise, shared, links, is_for_somebody, who_query, csrf: &person.csrf });
    let status = if has_begun { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
    page(manager, Some(person), status, "Shared", "/", &body)
}
