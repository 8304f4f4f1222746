//! The inbox over all servers: what people ask her for, and her answers.

use super::things::{host_of, troubles};
use super::{Desk, Fields, First, Person, at_desk, page, posted, see_other};
use crate::answering::{Answered, party_of, seen_name};
use crate::for_other::ForOther;
use crate::holdings::{Holdings, Known};
use crate::undoing::{NoteShown, Undo};
use crate::{Manager, Trouble, words};
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;
use types::access_request::{AccessRequestDocument, AccessRequestState, DecisionDocument, DecisionKind};
use types::spelling::visible;
use types::{PermissionRequest, Scope};
use ui::Reader;

struct Wish {
    resource: String,
    name: String,
    scopes: Vec<ScopeChoice>,
}

/// A scope of a wish, and whether its box is ticked.
struct ScopeChoice {
    name: String,
    is_ticked: bool,
}

/// An answer that was refused: the form keeps what was ticked.
struct Refused {
    link: String,
    of: String,
    request: String,
    what: String,
    ticked: Vec<PermissionRequest>,
}

struct RequestRow {
    link: String,
    /// Account and name of somebody else for whom she may decide.
    of: String,
    of_name: String,
    id: String,
    /// The request as it is shown: what is answered is that one.
    seen: String,
    who: String,
    /// Whoever cannot be read is let in to nothing.
    is_readable: bool,
    /// What of the request did not read.
    unclear: Option<String>,
    client: String,
    verified: bool,
    place: String,
    when: String,
    until: String,
    /// What whoever asks wrote to her.
    message: Option<String>,
    wishes: Vec<Wish>,
    /// What was wrong with her answer.
    wrong: Option<String>,
    /// Whether her answer may stand for the next time: that shares, which somebody she decides for must have let her do
    /// (protocol.md 1.8).
    may_remember: bool,
    /// The server takes only what she signs: the query of a share that does.
    sign: Option<String>,
}

#[derive(Template)]
#[template(path = "requests.html")]
struct RequestsPage<'a> {
    told: Option<NoteShown>,
    /// What was wrong with an answer to a request that waits no more.
    wrong: Option<String>,
    today: String,
    waiting: First<RequestRow>,
    /// How many people would let her decide for them.
    offers: usize,
    troubles: Vec<String>,
    csrf: &'a str,
}

fn row(
    holdings: &Holdings,
    known: &Known,
    other: Option<&ForOther>,
    request: &AccessRequestDocument,
    reader: &Reader,
) -> RequestRow {
    let unclear = match other {
        None => known.snapshot.unclear_requests.get(request.id.as_str()),
        Some(other) => other.unclear.get(request.id.as_str()),
    };
    let name_of = |id: &types::ResourceId| {
        if let Some(other) = other {
            return other.names.get(id).cloned().unwrap_or_else(|| "something".to_owned());
        }
        let here = known.link.place.issuer();
        holdings.guarded(here, id).map_or_else(|| "something".to_owned(), |thing| thing.name.clone())
    };
    let demands = other.is_none() && known.snapshot.demands_signature == Some(true);
    let sign = || {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for permission in &request.permissions {
            let thing = holdings.guarded(known.link.place.issuer(), &permission.resource_id)?;
            query.append_pair("thing", &thing.key);
            query.extend_pairs(permission.resource_scopes.iter().map(|scope| ("scope", scope.to_string())));
        }
        let email = request.requesting_party.get("email").and_then(|email| email.as_str())?;
        Some(query.append_pair("email", email).append_pair("sign", "yes").finish())
    };
    let may_share = |asked: &PermissionRequest, other: &ForOther| {
        other.shareable.get(&asked.resource_id).is_some_and(|scopes| asked.resource_scopes.is_subset(scopes))
    };
    RequestRow {
        may_remember: other.is_none_or(|other| request.permissions.iter().all(|asked| may_share(asked, other))),
        sign: demands.then(sign).flatten(),
        link: known.link.id.clone(),
        of: other.map(|other| other.owner.clone()).unwrap_or_default(),
        of_name: other.map(|other| other.name.clone()).unwrap_or_default(),
        id: request.id.as_str().to_owned(),
        seen: seen_name(request),
        is_readable: party_of(request).is_some(),
        unclear: unclear.map(|unclear| words::list(unclear.iter().cloned())),
        who: party_of(request).map_or_else(|| "Somebody whose name this desk cannot read".to_owned(), words::readable),
        client: ui::within_quotes(&words::readable(request.client.name.as_deref().unwrap_or(request.client.client_id.as_str()))),
        verified: request.client.verified,
        place: host_of(known.link.place.url()),
        when: reader.moment(request.created),
        until: reader.moment(request.expires_at),
        message: request.message.as_deref().map(visible).filter(|words| !words.is_empty()),
        wrong: None,
        wishes: request
            .permissions
            .iter()
            .map(|permission| Wish {
                resource: permission.resource_id.as_str().to_owned(),
                name: name_of(&permission.resource_id),
                scopes: ui::least_first(&permission.resource_scopes).iter().map(ScopeChoice::ticked).collect(),
            })
            .collect(),
    }
}

/// What became of a request, in words; what she answered for somebody else is undone on that person's pages.
fn describe_answer(holdings: &Holdings, answered: Answered<'_>, reader: &Reader) -> Option<(String, bool)> {
    let known = holdings.server(answered.link)?;
    let request = holdings.request(answered).filter(|request| request.state != AccessRequestState::Pending)?;
    let other = known.snapshot.for_others.iter().find(|other| other.owner == answered.of);
    let row = row(holdings, known, other, request, reader);
    let stands = known.end_of_written(request);
    let lets_in = request.lets_in(reader.now) || stands.is_some();
    let until = match stands {
        Some(None) => ", until you end it".to_owned(),
        Some(Some(end)) => format!(", {}", reader.until(end)),
        None => request.approved_until.map(|end| format!(", {}", reader.until(end))).unwrap_or_default(),
    };
    let what = match lets_in {
        true => format!("{} may {}, with “{}”{until}.", row.who, row.in_words(), row.client),
        false => format!("{} was not let in.", row.who),
    };
    Some((what, lets_in && answered.of.is_empty()))
}

pub(super) async fn list(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    at_desk(manager, &parts.headers, async |manager, person| {
        show(manager, person, StatusCode::OK, manager.find_note(person, query.one("note")), None).await
    })
    .await
}

/// The page; `refused`: an answer of hers that did not do, which is told where it stands, or above where that waits no more.
async fn show(
    manager: &Arc<Manager>,
    person: &Person,
    status: StatusCode,
    told: Option<NoteShown>,
    mut refused: Option<Refused>,
) -> Result<Response, Trouble> {
    let holdings = manager.holdings(&person.owner).await?;
    let mut waiting = Vec::new();
    for known in &holdings.servers {
        let own = known.snapshot.requests.iter().map(|request| (None, request));
        let others = known.snapshot.for_others.iter();
        let others = others.flat_map(|other| other.requests.iter().map(move |request| (Some(other), request)));
        let pending = own.chain(others).filter(|(_, request)| request.state == AccessRequestState::Pending);
        waiting.extend(pending.map(|(other, request)| row(&holdings, known, other, request, &person.reader)));
    }
    if let Some(one) = &refused
        && let Some(row) = waiting.iter_mut().find(|row| one.is_of(row))
    {
        row.keep(one);
        refused = None;
    }
    let offers =
        holdings.servers.iter().map(|known| known.snapshot.offers.len().saturating_add(known.snapshot.more_offers)).sum();
    let body = ui::render(&RequestsPage {
        told,
        wrong: refused.map(|refused| refused.what),
        today: person.reader.today(),
        waiting: First::of(waiting.into_iter()),
        offers,
        troubles: troubles(&holdings, &person.reader),
        csrf: &person.csrf,
    });
    Ok(page(manager, Some(person), status, "Requests", "/requests", &body))
}

pub(super) async fn decide(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let answered = Answered { link: fields.one("link"), request: fields.one("request"), of: fields.one("of") };
        let done = match decision_of(fields, &person.reader) {
            Ok(decision) => manager.decide(&person.owner, answered, Some(fields.one("seen")), decision).await,
            Err(trouble) => Err(trouble),
        };
        match done {
            Ok(()) => {}
            Err(Trouble::Refused(what)) => {
                let (link, of, request) = (answered.link.to_owned(), answered.of.to_owned(), answered.request.to_owned());
                let refused = Refused { link, of, request, what, ticked: ticked(fields) };
                return show(manager, person, StatusCode::BAD_REQUEST, None, Some(refused)).await;
            }
            Err(trouble) => return Err(trouble),
        }
        let (link, request) = (answered.link.to_owned(), answered.request.to_owned());
        Ok(match describe_answer(&*manager.holdings(&person.owner).await?, answered, &person.reader) {
            Some((what, is_undoable)) => {
                manager.tell(person, "/requests", what, is_undoable.then_some(Undo::Answer { link, request }))
            }
            None => see_other("/requests"),
        })
    })
    .await
}

/// What she decided: `week` and `always` stand for the requests to come, as `never` does for a refusal; `approve` lasts as long
/// as `for` and `until` say, and `remember` makes it stand, too.
fn decision_of(fields: &Fields, reader: &Reader) -> Result<DecisionDocument, Trouble> {
    let ticked_to_stand = fields.one("remember") == "yes";
    let denial = |remember| DecisionDocument { decision: DecisionKind::Deny, permissions: None, expires_at: None, remember };
    let lasts = match fields.one("decision") {
        "deny" => return Ok(denial(ticked_to_stand)),
        "never" => return Ok(denial(true)),
        standing @ ("week" | "always") => standing,
        "approve" => fields.one("for"),
        _ => return Err(Trouble::Refused("Allow it, or say no.".into())),
    };
    let permissions = ticked(fields);
    if permissions.is_empty() {
        return Err(Trouble::Refused("Choose what to allow, or say no.".into()));
    }
    let expires_at = end_of(lasts, fields.one("until"), reader)?;
    // a date is chosen by being written
    let remember = ticked_to_stand || expires_at.is_some() || !matches!(lasts, "" | "once");
    Ok(DecisionDocument { decision: DecisionKind::Approve, permissions: Some(permissions), expires_at, remember })
}

/// Each box is a resource and one of its scopes.
fn ticked(fields: &Fields) -> Vec<PermissionRequest> {
    let mut permissions: Vec<PermissionRequest> = Vec::new();
    for (resource, scope) in fields.all("grant").filter_map(|text| text.split_once(' ')) {
        let Ok(scope) = Scope::parse(scope) else { continue };
        match permissions.iter_mut().find(|one| one.resource_id.as_str() == resource) {
            Some(one) => drop(one.resource_scopes.insert(scope)),
            None => permissions
                .push(PermissionRequest { resource_id: resource.into(), resource_scopes: std::iter::once(scope).collect() }),
        }
    }
    permissions
}

/// Until when, as she chose it; none: this once, or until she ends it.
fn end_of(lasts: &str, date: &str, reader: &Reader) -> Result<Option<types::Timestamp>, Trouble> {
    let chosen = match (lasts, date) {
        ("" | "once", "") => Ok(None),
        ("" | "once", date) => reader.chosen_end("date", date),
        ("week" | "always", date) if !date.is_empty() => Err("You wrote a date as well: clear it, or allow it under “Other”."),
        (lasts, date) => reader.chosen_end(lasts, date),
    };
    chosen.map_err(|what| Trouble::Refused(what.into()))
}

impl RequestRow {
    /// What it is about, in one line.
    fn in_words(&self) -> String {
        let scopes = |wish: &Wish| words::list(wish.scopes.iter().map(|scope| scope.name.clone()));
        words::list(self.wishes.iter().map(|wish| format!("{} {}", scopes(wish), wish.name)))
    }

    /// As she answered it.
    fn keep(&mut self, refused: &Refused) {
        for wish in &mut self.wishes {
            let is_ticked = |scope: &str| {
                let mut same = refused.ticked.iter().filter(|one| one.resource_id.as_str() == wish.resource);
                same.any(|one| one.resource_scopes.iter().any(|own| own.as_str() == scope))
            };
            wish.scopes.iter_mut().for_each(|scope| scope.is_ticked = is_ticked(&scope.name));
        }
        self.wrong = Some(refused.what.clone());
    }
}

impl Refused {
    fn is_of(&self, row: &RequestRow) -> bool {
        self.link == row.link && self.of == row.of && self.request == row.id
    }
}

impl ScopeChoice {
    fn ticked(scope: &Scope) -> Self {
        Self { name: scope.to_string(), is_ticked: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_button_means_what_it_says() {
        let reader = Reader { zone: ui::Zone::default(), now: types::Timestamp(1_796_133_900) };
        let fields = |form: &str| Fields(form_urlencoded::parse(form.as_bytes()).into_owned().collect());
        let decide = |more: &str| decision_of(&fields(&format!("grant=A+view&grant=A+edit&{more}")), &reader);
        for (query, approves, remembers, until) in [
            ("decision=week", true, true, Some("until and including 8 December")),
            ("decision=always", true, true, None),
            ("decision=approve", true, false, None),
            ("decision=approve&remember=yes", true, true, None),
            ("decision=approve&for=once", true, false, None),
            ("decision=approve&for=once&until=2026-12-05", true, true, Some("until and including 5 December")),
            ("decision=approve&for=day", true, true, Some("until and including 2 December")),
            ("decision=approve&for=month", true, true, Some("until and including 1 January 2027")),
            ("decision=approve&for=date&until=2026-12-05", true, true, Some("until and including 5 December")),
            ("decision=deny", false, false, None),
            ("decision=deny&remember=yes", false, true, None),
            ("decision=never", false, true, None),
        ] {
            let made = decide(query).unwrap();
            let end = made.expires_at.map(|end| reader.until(end));
            assert_eq!(
                (made.decision == DecisionKind::Approve, made.remember, end.as_deref()),
                (approves, remembers, until),
                "{query}"
            );
        }
        for query in [
            "",
            "decision=maybe",
            "decision=approve&for=date",
            "decision=approve&for=date&until=2020-01-01",
            "decision=approve&for=for-ever",
            "decision=week&until=2026-12-05",
        ] {
            assert!(decide(query).is_err(), "{query}");
        }
        assert!(decision_of(&fields("decision=week"), &reader).is_err(), "nothing is ticked");
    }
}
