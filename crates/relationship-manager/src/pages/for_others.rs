//! Sharing for somebody who lets her do so (protocol.md 1.8): what she may share, and as far as what. It ends with the
//! delegation, and the owner's history says that it was she.

use super::things::{host_of, troubles};
use super::{Desk, Fields, First, Shown, at_desk, page, posted};
use crate::for_other::ForOther;
use crate::holdings::{Holdings, Known, Who};
use crate::{Trouble, words};
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use types::{ResourceId, Scope, ScopeSet};

struct Choice {
    id: String,
    name: String,
    scopes: String,
}

struct Owner {
    link: String,
    of: String,
    name: String,
    place: String,
    things: First<Choice>,
    scopes: Vec<String>,
    /// The choice of until when.
    how_long: String,
}

#[derive(Template)]
#[template(path = "for_others.html")]
struct ForOthersPage<'a> {
    owners: Vec<Owner>,
    troubles: Vec<String>,
    done: Option<String>,
    csrf: &'a str,
}

/// What a thing of somebody else's is called.
fn name_of(other: &ForOther, id: &ResourceId) -> String {
    other.names.get(id).cloned().unwrap_or_else(|| id.as_str().to_owned())
}

fn owner(known: &Known, other: &ForOther) -> Owner {
    let scopes: BTreeSet<String> = other.shareable.values().flat_map(|scopes| scopes.iter().map(ToString::to_string)).collect();
    let things = other.shareable.iter().map(|(id, scopes)| Choice {
        id: id.as_str().to_owned(),
        name: name_of(other, id),
        scopes: words::list(scopes.iter().map(ToString::to_string)),
    });
    Owner {
        link: known.link.id.clone(),
        of: other.owner.clone(),
        name: other.name.clone(),
        place: host_of(known.link.place.url()),
        things: First::of(things),
        scopes: scopes.into_iter().collect(),
        how_long: String::new(),
    }
}

fn shown(manager: &crate::Manager, person: &crate::person::Person, holdings: &Holdings, done: Option<String>) -> Shown {
    let owners = holdings.servers.iter().flat_map(|known| {
        let sharing = known.snapshot.for_others.iter().filter(|other| !other.shareable.is_empty());
        sharing.map(move |other| owner(known, other))
    });
    let numbered = owners.zip(1..);
    let owners =
        numbered.map(|(owner, number)| Owner { how_long: super::how_long::choice_of(&person.reader, number), ..owner }).collect();
    let body = ui::render(&ForOthersPage { owners, troubles: troubles(holdings, &person.reader), done, csrf: &person.csrf });
    Ok(page(manager, Some(person), StatusCode::OK, "Share for others", "/people", &body))
}

pub(super) async fn list(State(manager): Desk, request: Request) -> Response {
    at_desk(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner).await?;
        shown(manager, person, &holdings, None)
    })
    .await
}

/// What a form wants to be shared: policies, and the sentence about it.
fn wanted(other: &ForOther, fields: &Fields, reader: &ui::Reader) -> Result<(Vec<Value>, String), Trouble> {
    fn refused<T>(what: &str) -> Result<T, Trouble> {
        Err(Trouble::Refused(what.to_owned()))
    }
    let address = match fields.one("email") {
        "" => return refused("Say whom you share with: an e-mail address."),
        typed => super::sharing::address_of(typed).map_err(Trouble::Refused)?,
    };
    let scopes: ScopeSet = fields.all("scope").filter_map(|text| Scope::parse(text).ok()).collect();
    let until = reader.chosen_end(fields.one("for"), fields.one("until")).or_else(refused)?;
    let (mut policies, mut names, mut all) = (Vec::new(), Vec::new(), ScopeSet::new());
    for (id, able) in &other.shareable {
        let able = able.intersection(&scopes);
        if able.is_empty() || !fields.all("thing").any(|thing| thing == id.as_str()) {
            continue;
        }
        let mut policy =
            json!({"resource_id": id, "resource_scopes": able, "required_claims": [{"name": "email", "value": [address]}]});
        if let (Some(until), Some(members)) = (until, policy.as_object_mut()) {
            members.insert("expires_at".into(), json!(until));
        }
        policies.push(policy);
        names.push(name_of(other, id));
        all = all.iter().chain(able.iter()).cloned().collect();
    }
    if policies.is_empty() {
        return refused("Choose at least one thing, and something that will be possible with it.");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (who, rest) = (Who::Address(address), ScopeSet::new());
    let promised = words::Promised { who: &who, things: &names, scopes: &all, rest: &rest, until };
    let promise = words::promise(&promised, reader);
    Ok((policies, promise))
}

pub(super) async fn share(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let holdings = manager.holdings(&person.owner).await?;
        let known = holdings.server(fields.one("link"));
        let other = known.and_then(|known| known.snapshot.for_others.iter().find(|other| other.owner == fields.one("of")));
        let (Some(known), Some(other)) = (known, other) else {
            return Err(Trouble::Refused("You may not share for this person any more.".into()));
        };
        let (policies, promise) = wanted(other, fields, &person.reader)?;
        let owner: String = form_urlencoded::byte_serialize(other.owner.as_bytes()).collect();
        let at = |metadata: &types::metadata::Metadata| {
            metadata.policy_endpoint.as_ref().map(|url| format!("{url}?atomic=true&owner={owner}"))
        };
        let answer = manager.api_at(&person.owner, &known.link.id, Method::POST, at, Some(&json!(policies))).await?;
        if answer.status != 201 {
            return Err(Trouble::Refused(answer.refusal()));
        }
        shown(manager, person, &holdings, Some(format!("For {}: {promise}", other.name)))
    })
    .await
}
