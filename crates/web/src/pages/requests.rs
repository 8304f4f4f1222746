//! The inbox: what people ask the owner for, and her answers.

use super::notes::{self, Done, Told};
use super::things::{Picture, name_of, origins};
use super::words::{self, Reader};
use super::{acting, owner};
use crate::Shared;
use crate::browser::{Visit, sentence};
use crate::extract::split;
use crate::identity::{page, posted};
use askama::Template;
use authorization_server::note::Undo;
use authorization_server::store::Page;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use identity::access_token::PolicyToken;
use identity::{Failure, Form};
use std::collections::BTreeMap;
use types::access_request::{AccessRequestDocument, AccessRequestState, DecisionDocument, DecisionKind};
use types::spelling::{readable, visible};
use types::{AccessRequestId, ErrorCode, PermissionRequest, Refusal, ResourceId, Scope, ScopeSet, Timestamp, path};

/// Answered requests on one page.
const ANSWERED_AT_ONCE: usize = 50;

struct Choice {
    /// Resource and scope, as the form sends them back.
    value: String,
    text: String,
    checked: bool,
}

struct Item {
    id: String,
    who: String,
    client: String,
    verified: bool,
    when: String,
    until: String,
    message: Option<String>,
    picture: Option<Picture>,
    choices: Vec<Choice>,
    state: Option<(&'static str, &'static str)>,
    is_approved: bool,
    /// Until when what was approved lets somebody in.
    allowed: String,
    /// What was wrong with her answer, and how she chose.
    wrong: Option<String>,
    lasts: String,
    last_day: String,
}

/// An answer that was refused: the form keeps what was typed.
struct Refused {
    id: String,
    what: String,
    ticked: Vec<String>,
    lasts: String,
    last_day: String,
}

/// Things that requests are about, as they stand on the page.
type Things = BTreeMap<ResourceId, types::resource::OwnedResource>;

/// What she did before the page comes.
#[derive(Default)]
struct Before {
    told: Option<Told>,
    refused: Option<Refused>,
    /// The answered request behind which this page begins.
    after: Option<AccessRequestId>,
}

/// What stands on the page, and where the answered ones go on.
struct Found {
    all: Vec<AccessRequestDocument>,
    next: Option<AccessRequestId>,
}

#[derive(Template)]
#[template(path = "requests.html")]
struct RequestsPage {
    base: String,
    csrf: String,
    today: String,
    told: Option<Told>,
    /// What was wrong with an answer to a request that waits no more.
    wrong: Option<String>,
    waiting: Vec<Item>,
    decided: Vec<Item>,
    /// Where those go on, if they do.
    next: Option<String>,
}

/// `GET /my/requests`.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let owner = match owner(&app, visit, path::MY_REQUESTS) {
            Ok(owner) => owner,
            Err(login) => return Ok(*login),
        };
        let after = parts.query()?.one("after")?.map(AccessRequestId::from);
        let before = Before { told: notes::told(&app, visit, &parts).await?, refused: None, after };
        render(&app, visit, &owner, before).await
    })
    .await
}

async fn render(app: &Shared, visit: &Visit, owner: &PolicyToken, before: Before) -> Result<Response, Failure> {
    let Before { told, mut refused, after } = before;
    let Found { all, next } = find_requests(app, owner, after).await?;
    let (reader, things) = (visit.reader(app), things_of(app, owner, &all).await);
    let standing = app.authorization_server.find_standing(&acting(owner), &all).await?;
    let (mut waiting, mut decided) = (Vec::new(), Vec::new());
    for request in all {
        let is_pending = request.state == AccessRequestState::Pending;
        let mut item = item(&request, &things, standing.get(&request.id), &reader);
        if let Some(refused) = refused.take_if(|refused| is_pending && refused.id == item.id) {
            item.keep(refused);
        }
        if is_pending { waiting.push(item) } else { decided.push(item) }
    }
    let wrong = refused.map(|refused| refused.what);
    let pictures = origins(waiting.iter().filter_map(|item| item.picture.as_ref()));
    let (today, next) = (reader.zone.date(reader.now), next.map(|id| id.to_string()));
    let body = RequestsPage { base: app.base(), csrf: visit.csrf(app), today, told, wrong, waiting, decided, next };
    Ok(visit.page_with_pictures(app, "Requests", path::MY_REQUESTS, &ui::render(&body), &pictures))
}

/// What waits, whole, and a page of what was answered: that may be much, and what she left for later is not to stand behind it.
async fn find_requests(app: &Shared, owner: &PolicyToken, after: Option<AccessRequestId>) -> Result<Found, Failure> {
    let (server, acting) = (&app.authorization_server, acting(owner));
    let mut all = server.list_waiting(&acting).await?;
    let (page, next) = server.list_access_requests(&acting, &Page { after, limit: ANSWERED_AT_ONCE }).await?;
    all.extend(page.into_iter().filter(|request| request.state != AccessRequestState::Pending));
    Ok(Found { all, next })
}

async fn things_of(app: &Shared, owner: &PolicyToken, requests: &[AccessRequestDocument]) -> Things {
    let mut things = Things::new();
    for permission in requests.iter().flat_map(|request| &request.permissions) {
        if !things.contains_key(&permission.resource_id) {
            let thing = app.authorization_server.read_owned_resource(&acting(owner), &permission.resource_id).await.ok();
            things.extend(thing.map(|thing| (permission.resource_id.clone(), thing)));
        }
    }
    things
}

/// What her answer means, in words.
fn describe_answer(request: &AccessRequestDocument, item: &Item) -> String {
    let what = item.choices.iter().map(|choice| choice.text.as_str()).collect::<Vec<_>>().join(", ");
    match request.state {
        AccessRequestState::Approved => format!("{} may {what}, with {}{}.", item.who, item.client, item.allowed),
        _ => format!("{} was not let in.", item.who),
    }
}

/// Until when an answer lets somebody in: as the share that it wrote, where it stands.
fn end_of_answer(request: &AccessRequestDocument, standing: Option<&Option<Timestamp>>) -> Option<Timestamp> {
    match standing {
        Some(share) => *share,
        None => request.approved_until,
    }
}

fn item(request: &AccessRequestDocument, things: &Things, standing: Option<&Option<Timestamp>>, reader: &Reader) -> Item {
    let choices = request.permissions.iter().flat_map(|permission| {
        let name = things.get(&permission.resource_id).map_or_else(|| "something that is gone".to_owned(), name_of);
        let scopes = words::least_first(&permission.resource_scopes);
        let choice = move |scope: Scope| Choice {
            value: format!("{} {scope}", permission.resource_id),
            text: format!("{} {name}", readable(scope.as_str())),
            checked: true,
        };
        scopes.into_iter().map(choice)
    });
    let end = end_of_answer(request, standing);
    let first = request.permissions.first().and_then(|permission| things.get(&permission.resource_id));
    Item {
        id: request.id.as_str().to_owned(),
        who: ui::name_party(&request.requesting_party),
        client: match (&request.client.name, request.client.verified) {
            (Some(name), true) => readable(name),
            (Some(name), false) => ui::quote(&readable(name)),
            (None, _) => readable(request.client.client_id.as_str()),
        },
        verified: request.client.verified,
        when: reader.zone.moment(request.created, reader.now),
        until: reader.zone.moment(request.expires_at, reader.now),
        message: request.message.as_deref().map(visible).filter(|words| !words.is_empty()),
        picture: first.map(Picture::of),
        choices: choices.collect(),
        state: match request.state {
            AccessRequestState::Pending => None,
            AccessRequestState::Approved if end.is_some_and(|end| end <= reader.now) => Some(("ended", "wait")),
            AccessRequestState::Approved => Some(("approved", "")),
            AccessRequestState::Denied => Some(("refused", "no")),
            AccessRequestState::Expired => Some(("ran out", "wait")),
        },
        is_approved: request.state == AccessRequestState::Approved,
        allowed: match (request.state, end) {
            (AccessRequestState::Approved, Some(end)) => format!(", {}", reader.until(end)),
            (AccessRequestState::Approved, None) => ", until you end it".to_owned(),
            _ => String::new(),
        },
        wrong: None,
        lasts: "once".to_owned(),
        last_day: String::new(),
    }
}

impl Item {
    fn keep(&mut self, refused: Refused) {
        for choice in &mut self.choices {
            choice.checked = refused.ticked.contains(&choice.value);
        }
        self.wrong = Some(refused.what);
        self.lasts = refused.lasts;
        self.last_day = refused.last_day;
    }
}

/// `POST /my/requests/{id}`: `decision`, with the scopes that are ticked. `week` and `always` stand for the requests to come, as
/// `never` does for a refusal; `approve` lasts as long as `for` and `until` say, and `remember` makes it stand, too. `undo` and
/// `withdraw` take back what was approved.
pub(super) async fn decide(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    posted(&app, request, async |visit, _parts, form| {
        let owner = match owner(&app, visit, path::MY_REQUESTS) {
            Ok(owner) => owner,
            Err(login) => return Ok(*login),
        };
        match answer(&app, visit, &owner, &AccessRequestId::new(id.clone()), form).await {
            Ok(response) => Ok(response),
            Err(Failure::Refused(refusal)) if refusal.code != ErrorCode::NotFound => {
                let text = |name: &str| form.all(name).first().cloned().unwrap_or_default();
                let refused = Refused {
                    id,
                    what: sentence(&refusal.description),
                    ticked: form.all("permission").to_vec(),
                    lasts: text("for"),
                    last_day: text("until"),
                };
                let before = Before { refused: Some(refused), ..Before::default() };
                let mut response = render(&app, visit, &owner, before).await?;
                *response.status_mut() = crate::error::status_of(refusal.code);
                Ok(response)
            }
            Err(failure) => Err(failure),
        }
    })
    .await
}

async fn answer(
    app: &Shared,
    visit: &Visit,
    owner: &PolicyToken,
    id: &AccessRequestId,
    form: &Form,
) -> Result<Response, Failure> {
    let server = &app.authorization_server;
    let decision = match decision_of(form, &visit.reader(app))? {
        Meant::Decision(decision) => decision,
        Meant::TakenBack { and_waits } => {
            let request = server.read_access_request(&acting(owner), id).await?;
            let waits = server.withdraw_approval(&acting(owner), id, and_waits).await?.is_some();
            let what = words::describe_taking_back(&ui::name_party(&request.requesting_party), waits);
            return Ok(notes::tell(app, visit, path::MY_REQUESTS, Done::of(what), None).await);
        }
    };
    let decided = [server.decide_access_request(&acting(owner), id, decision).await?];
    let (things, standing) = (things_of(app, owner, &decided).await, server.find_standing(&acting(owner), &decided).await);
    let [request] = decided;
    let what = describe_answer(&request, &item(&request, &things, standing.unwrap_or_default().get(id), &visit.reader(app)));
    let undo = (request.state == AccessRequestState::Approved).then(|| Undo::Approval(id.clone()));
    Ok(notes::tell(app, visit, path::MY_REQUESTS, Done::of(what), undo).await)
}

/// What a form means.
#[derive(Debug)]
enum Meant {
    Decision(DecisionDocument),
    /// She takes back what she approved; who asked waits again where she undoes what she has just done.
    TakenBack {
        and_waits: bool,
    },
}

/// What she decided.
fn decision_of(form: &Form, reader: &Reader) -> Result<Meant, Failure> {
    let ticked_to_stand = form.one("remember")?.is_some();
    let refusal = |what: &str| Failure::from(Refusal::new(ErrorCode::InvalidRequest, what));
    let lasts = match form.one("decision")? {
        Some("withdraw") => return Ok(Meant::TakenBack { and_waits: false }),
        Some("undo") => return Ok(Meant::TakenBack { and_waits: true }),
        Some("deny") => return Ok(Meant::Decision(denial(ticked_to_stand))),
        Some("never") => return Ok(Meant::Decision(denial(true))),
        Some("week") => "week",
        Some("always") => "always",
        Some("approve") => form.one("for")?.unwrap_or("once"),
        _ => return Err(refusal("Allow it, or say no.")),
    };
    let (permissions, until) = (Some(ticked(form)?), form.one("until")?.unwrap_or_default());
    let is_other = form.one("decision")? == Some("approve");
    let expires_at = match (lasts, until) {
        ("once", "") => None,
        ("week" | "always", typed) if !is_other && !typed.is_empty() => {
            return Err(refusal("You wrote a date as well: clear it, or allow it under “Other”."));
        }
        ("once", until) => reader.chosen_end("date", until).map_err(refusal)?,
        (lasts, until) => reader.chosen_end(lasts, until).map_err(refusal)?,
    };
    let remember = ticked_to_stand || lasts != "once" || expires_at.is_some();
    Ok(Meant::Decision(DecisionDocument { decision: DecisionKind::Approve, permissions, expires_at, remember }))
}

fn denial(remember: bool) -> DecisionDocument {
    DecisionDocument { decision: DecisionKind::Deny, permissions: None, expires_at: None, remember }
}

fn ticked(form: &Form) -> Result<Vec<PermissionRequest>, Failure> {
    let mut permissions: BTreeMap<ResourceId, ScopeSet> = BTreeMap::new();
    for value in form.all("permission") {
        if let Some((resource, scope)) = value.split_once(' ').and_then(|(id, scope)| Some((id, Scope::parse(scope).ok()?))) {
            permissions.entry(ResourceId::from(resource)).or_default().insert(scope);
        }
    }
    if permissions.is_empty() {
        return Failure::refuse(ErrorCode::InvalidRequest, "tick what you allow, or say no");
    }
    Ok(permissions.into_iter().map(|(resource_id, resource_scopes)| PermissionRequest { resource_id, resource_scopes }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ui::Zone;

    #[test]
    fn each_button_means_what_it_says() {
        let reader = Reader { zone: Zone::default(), now: types::Timestamp(1_796_133_900) };
        let decide = |query: &str| {
            let form = Form::parse(format!("permission=A+view&{query}").as_bytes()).unwrap();
            decision_of(&form, &reader)
        };
        for (query, approves, remembers, until) in [
            ("decision=week", true, true, Some("until and including 8 December")),
            ("decision=week&for=once", true, true, Some("until and including 8 December")),
            ("decision=always", true, true, None),
            ("decision=approve", true, false, None),
            ("decision=approve&remember=yes", true, true, None),
            ("decision=approve&for=once", true, false, None),
            ("decision=approve&for=once&until=2026-12-05", true, true, Some("until and including 5 December")),
            ("decision=approve&for=month", true, true, Some("until and including 1 January 2027")),
            ("decision=approve&for=date&until=2026-12-05", true, true, Some("until and including 5 December")),
            ("decision=deny", false, false, None),
            ("decision=deny&remember=yes", false, true, None),
            ("decision=never", false, true, None),
        ] {
            let Meant::Decision(made) = decide(query).unwrap() else { panic!("{query}") };
            let end = made.expires_at.map(|end| reader.until(end));
            assert_eq!((made.decision == DecisionKind::Approve, made.remember), (approves, remembers), "{query}");
            assert_eq!(end.as_deref(), until, "{query}");
        }
        for (query, waits) in [("decision=withdraw", false), ("decision=undo", true)] {
            assert!(matches!(decide(query), Ok(Meant::TakenBack { and_waits }) if and_waits == waits), "{query}");
        }
        for query in [
            "",
            "decision=maybe",
            "decision=approve&for=date",
            "decision=approve&for=date&until=2020-01-01",
            "decision=week&until=2026-12-05",
            "decision=always&for=once&until=2026-12-05",
        ] {
            assert!(decide(query).is_err(), "{query}");
        }
    }
}
