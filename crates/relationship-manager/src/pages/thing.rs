//! One thing: where it is, who can reach it, what somebody would get, and withdrawing a share of it.

use super::things::{Again, host_of, who_query};
use super::{Desk, Fields, Shown, at_desk, page, posted};
use crate::holdings::{Approval, Doubt, Guard, Holdings, Share, Thing};
use crate::person::Person;
use crate::undoing::NoteShown;
use crate::{Manager, Trouble, words};
use askama::Template;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use types::available_resource::RegistrationState;

struct GuardRow {
    place: String,
    state: &'static str,
    class: &'static str,
    scopes: String,
    linked: bool,
    /// This desk is linked to it, and it does not say that it guards the thing.
    silent: bool,
    plain: bool,
    page: Option<String>,
    /// The registration that she may let go.
    registration: Option<String>,
    error: Option<String>,
}

struct ShareRow {
    id: String,
    who: String,
    who_query: String,
    may: String,
    signed: bool,
    /// A server says that she signed it, and no key of hers did.
    not_signed: bool,
    /// What of it this desk does not understand.
    unclear: Option<String>,
    /// What else narrows it.
    limits: Vec<String>,
    delegated: bool,
    place: String,
    /// The same server, as its share is named by.
    at: String,
    /// Whether it can be put back once it is withdrawn.
    is_undoable: bool,
}

/// What she approved, and still lets somebody in.
struct ApprovalRow {
    link: String,
    request: String,
    who: String,
    who_query: String,
    may: String,
    place: String,
}

fn approval_row(approval: &Approval, reader: &ui::Reader) -> ApprovalRow {
    ApprovalRow {
        link: approval.link.clone(),
        request: approval.request.clone(),
        who: approval.who.in_words(),
        who_query: who_query(&approval.who),
        may: approval.in_words(reader),
        place: host_of(&approval.place),
    }
}

#[derive(Template)]
#[template(path = "thing.html")]
struct ThingPage<'a> {
    thing: &'a Thing,
    place: String,
    scopes: String,
    guards: Vec<GuardRow>,
    shares: Vec<ShareRow>,
    approvals: Vec<ApprovalRow>,
    /// What a server says of it against another's word, or her own.
    doubts: Vec<String>,
    again: Vec<Again>,
    /// Where it can be opened.
    link: Option<String>,
    /// Why it cannot be shared from here.
    why_not: Option<String>,
    /// Whether the desk can have it guarded by another server.
    kept_here: bool,
    told: Option<NoteShown>,
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
        scopes: words::scopes(&guard.scopes),
        linked: guard.link.is_some(),
        silent: guard.is_linked && guard.link.is_none() && !guard.plain,
        plain: guard.plain,
        registration: guard.registration.clone(),
        error: guard.error.clone(),
        page: page_of(guard),
    }
}

/// Longest link that is shown, in bytes.
const MAX_LINK_BYTES: usize = 2_000;

/// Where a thing can be opened, if whoever lists it says so of a page within the place that keeps it: a link elsewhere is none that
/// she would send (protocol.md 1.1 `resource_location`, 2.1).
pub(super) fn link_of(thing: &Thing) -> Option<String> {
    let text = thing.description.resource_location.as_deref().filter(|text| text.len() <= MAX_LINK_BYTES)?;
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (is_plain && client::uma::is_within(text, &thing.server)).then(|| url.into())
}

/// A page of the server that guards a thing, where an owner shares it, and mails that she does.
pub(super) fn page_of(guard: &Guard) -> Option<String> {
    guard.page.clone().filter(|page| page.starts_with("https://") || page.starts_with("http://"))
}

/// What did not read, in words.
pub(super) fn unclear_words(unclear: &[String]) -> String {
    if unclear.is_empty() { "something that it adds".to_owned() } else { words::list(unclear.to_vec()) }
}

fn share_row(share: &Share, reader: &ui::Reader) -> ShareRow {
    ShareRow {
        id: share.id.as_str().to_owned(),
        who: share.who.in_words(),
        who_query: who_query(&share.who),
        may: share.in_words(reader),
        signed: share.is_signed(),
        not_signed: share.listed().is_some_and(|listed| listed.not_signed),
        unclear: share.listed().filter(|listed| listed.partly_read).map(|listed| unclear_words(&listed.unclear)),
        limits: share.listed().map(|listed| words::limits_of(&listed.policy, reader)).unwrap_or_default(),
        delegated: share.delegated,
        place: host_of(&share.place),
        at: share.place.clone(),
        is_undoable: share.undo_of_withdrawal("").is_some(),
    }
}

/// What she did before the page comes.
#[derive(Default)]
struct Before {
    told: Option<NoteShown>,
    tried: Option<Tried>,
}

/// Lines of a thing's own history and receipts on its page.
const SHORT: usize = 10;

async fn shown(manager: &Arc<Manager>, person: &Person, key: &str, before: Before) -> Shown {
    let holdings = manager.holdings(&person.owner).await?;
    let thing = thing_of(&holdings, key)?;
    let all = &thing.description.resource_scopes;
    let about = |line: &super::history::Line| line.keys.iter().any(|of| of == key);
    let doubts = || holdings.doubts.iter().filter(|doubt| doubt.thing.as_deref() == Some(key));
    let body = ui::render(&ThingPage {
        thing,
        place: host_of(&thing.server),
        scopes: words::scopes(all),
        guards: thing.guards.iter().map(guard_row).collect(),
        shares: thing.shares.iter().map(|share| share_row(share, &person.reader)).collect(),
        approvals: thing.approvals.iter().map(|one| approval_row(one, &person.reader)).collect(),
        doubts: doubts().map(|doubt| format!("{} {}.", host_of(&doubt.server), doubt.words)).collect(),
        again: doubts().filter_map(again).collect(),
        link: link_of(thing),
        why_not: thing.guard_for(all).is_none().then(|| thing.why_not()),
        kept_here: holdings.keeper(&thing.server).is_some() && thing.description.own_id.is_some(),
        tried: before.tried,
        told: before.told,
        happened: super::history::lines(&holdings, &person.reader).into_iter().filter(about).take(SHORT).collect(),
        receipts: super::receipts::rows(&holdings, &person.reader)
            .into_iter()
            .filter(|row| row.key.as_deref() == Some(key))
            .take(SHORT)
            .collect(),
        csrf: &person.csrf,
    });
    Ok(page(manager, Some(person), StatusCode::OK, &thing.name, "/", &body))
}

/// One thing's word that its server may be told of again.
fn again(doubt: &Doubt) -> Option<Again> {
    let word = Some(doubt.again.clone()?);
    Some(Again { server: doubt.server.clone(), place: host_of(&doubt.server), word, what: Some(doubt.words.clone()) })
}

fn thing_of<'a>(holdings: &'a Holdings, key: &str) -> Result<&'a Thing, Trouble> {
    holdings.thing(key).ok_or_else(|| Trouble::Refused("There is no such thing at your servers any more.".into()))
}

pub(super) async fn show(State(manager): Desk, Path(key): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    at_desk(manager, &parts.headers, async |manager, person| {
        let before = Before { told: manager.find_note(person, query.one("note")), tried: None };
        shown(manager, person, &key, before).await
    })
    .await
}

/// What would somebody with this address get? Asked of the server that guards it, which decides by what it grants by.
pub(super) async fn what_if(State(manager): Desk, Path(key): Path<String>, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let holdings = manager.holdings(&person.owner).await?;
        let thing = thing_of(&holdings, &key)?;
        let email = match fields.one("email") {
            "" => String::new(),
            typed => super::sharing::address_of(typed).map_err(Trouble::Refused)?,
        };
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
        shown(manager, person, &key, Before { tried: Some(Tried::of(email, &answer.body)), ..Before::default() }).await
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
            "denied" | "request_denied" | "invalid_scope" => (format!("{who} would be refused."), "error"),
            "need_info" => (format!("{who} would not be let in yet, and be asked to show who they are."), "warn"),
            _ => ("What the server would do could not be read.".to_owned(), "warn"),
        };
        Self { email, words, class, reasons: reasons.collect() }
    }
}

/// What becomes of it stands below.
const WITHDRAWN: &str = "Taken back: it lets nobody in any more at each server that has confirmed it.";

pub(super) async fn withdraw(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let holdings = manager.holdings(&person.owner).await?;
        let thing = fields.one("thing");
        if !fields.one("approval").is_empty() {
            manager.withdraw_approval(&person.owner, fields.one("link"), fields.one("approval")).await?;
            return Ok(manager.tell(person, "/withdrawals", WITHDRAWN.to_owned(), None));
        }
        let place = Some(fields.one("place")).filter(|place| !place.is_empty());
        let share = holdings.share(thing, fields.one("policy"), place)?;
        let (undo, what) = (share.1.undo_of_withdrawal(thing), format!("{}: {}. {WITHDRAWN}", share.0, share.1.who.name()));
        manager.withdraw(&person.owner, thing, share).await?;
        Ok(manager.tell(person, "/withdrawals", what, undo))
    })
    .await
}
