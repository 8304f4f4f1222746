//! The inbox over all servers: what people ask her for, and her answers.

use super::things::{host_of, troubles};
use super::{Desk, First, at_desk, page, posted, see_other};
use crate::answering::{Answered, party_of, seen_name};
use crate::for_other::ForOther;
use crate::holdings::{Holdings, Known};
use crate::{Trouble, words};
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use types::access_request::{AccessRequestDocument, AccessRequestState, DecisionDocument, DecisionKind};
use types::{PermissionRequest, Scope};

struct Wish {
    resource: String,
    name: String,
    scopes: Vec<String>,
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
    until: String,
    wishes: Vec<Wish>,
    /// Whether her answer may stand for the next time: that shares, which somebody she decides for must have let her do
    /// (protocol.md 1.8).
    may_remember: bool,
    /// The server takes only what she signs: the query of a share that does.
    sign: Option<String>,
}

#[derive(Template)]
#[template(path = "requests.html")]
struct RequestsPage<'a> {
    waiting: First<RequestRow>,
    /// How many people would let her decide for them.
    offers: usize,
    troubles: Vec<String>,
    csrf: &'a str,
}

fn row(holdings: &Holdings, known: &Known, other: Option<&ForOther>, request: &AccessRequestDocument) -> RequestRow {
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
        client: words::readable(request.client.name.as_deref().unwrap_or(request.client.client_id.as_str())),
        verified: request.client.verified,
        place: host_of(known.link.place.url()),
        until: ui::in_words(request.expires_at),
        wishes: request
            .permissions
            .iter()
            .map(|permission| Wish {
                resource: permission.resource_id.as_str().to_owned(),
                name: name_of(&permission.resource_id),
                scopes: permission.resource_scopes.iter().map(ToString::to_string).collect(),
            })
            .collect(),
    }
}

pub(super) async fn list(State(manager): Desk, request: Request) -> Response {
    at_desk(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner)?;
        let mut waiting = Vec::new();
        for known in &holdings.servers {
            let own = known.snapshot.requests.iter().map(|request| (None, request));
            let others = known.snapshot.for_others.iter();
            let others = others.flat_map(|other| other.requests.iter().map(move |request| (Some(other), request)));
            let pending = own.chain(others).filter(|(_, request)| request.state == AccessRequestState::Pending);
            waiting.extend(pending.map(|(other, request)| row(&holdings, known, other, request)));
        }
        let body = ui::render(&RequestsPage {
            waiting: First::of(waiting.into_iter()),
            offers: holdings
                .servers
                .iter()
                .map(|known| known.snapshot.offers.len().saturating_add(known.snapshot.more_offers))
                .sum(),
            troubles: troubles(&holdings),
            csrf: &person.csrf,
        });
        Ok(page(manager, Some(person), StatusCode::OK, "Requests", "/requests", &body))
    })
    .await
}

pub(super) async fn decide(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let remember = fields.one("remember") == "yes";
        let of = |decision, permissions| DecisionDocument { decision, permissions, expires_at: None, remember };
        let decision = match fields.one("decision") {
            "deny" => of(DecisionKind::Deny, None),
            "approve" => {
                // each box is a resource and one of its scopes
                let mut permissions: Vec<PermissionRequest> = Vec::new();
                for (resource, scope) in fields.all("grant").filter_map(|text| text.split_once(' ')) {
                    let Ok(scope) = Scope::parse(scope) else { continue };
                    match permissions.iter_mut().find(|one| one.resource_id.as_str() == resource) {
                        Some(one) => drop(one.resource_scopes.insert(scope)),
                        None => permissions.push(PermissionRequest {
                            resource_id: resource.into(),
                            resource_scopes: std::iter::once(scope).collect(),
                        }),
                    }
                }
                if permissions.is_empty() {
                    return Err(Trouble::Refused("Choose what to allow, or refuse the request.".into()));
                }
                of(DecisionKind::Approve, Some(permissions))
            }
            _ => return Err(Trouble::Refused("Allow or refuse it.".into())),
        };
        let answered = Answered { link: fields.one("link"), request: fields.one("request"), of: fields.one("of") };
        manager.decide(&person.owner, answered, Some(fields.one("seen")), decision).await?;
        Ok(see_other("/requests"))
    })
    .await
}

impl RequestRow {
    /// What it is about, in one line.
    fn in_words(&self) -> String {
        words::list(self.wishes.iter().map(|wish| format!("{} {}", words::list(wish.scopes.clone()), wish.name)))
    }
}
