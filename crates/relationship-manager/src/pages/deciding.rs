//! A policy just in time (protocol.md 1.4 (a)): she waits at an authorization server's page, which sent her here with a signed
//! request. She reads what it means, writes the policy - or signs it, where that server takes only what she signed -, and goes
//! back.

use super::keys::{Asking, brought};
use super::things::host_of;
use super::{Desk, Fields, at_desk, leading_to, page, posted, see_other};
use crate::for_other::ForOther;
use crate::holdings::{Holdings, Who};
use crate::person::Person;
use crate::share::{SharedAt, Sharing};
use crate::signing::Prepared;
use crate::store::Link;
use crate::{Manager, Trouble, words};
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use types::linked_manager::PolicyRequest;
use types::{ResourceId, ScopeSet};

/// What is signed instead.
struct ToSign {
    id: String,
    did: String,
    open: bool,
    passphrase: bool,
    known: String,
    asking: Asking,
    texts: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "decide.html")]
struct DecidePage<'a> {
    request: &'a str,
    place: String,
    client: String,
    host: &'a str,
    verified: bool,
    for_other: bool,
    promise: String,
    /// Each thing, and what would be possible with it.
    things: Vec<String>,
    /// How many more were asked for that this desk does not know.
    missing: usize,
    shown: String,
    until: String,
    sign: Option<ToSign>,
    /// Why nothing can be done here.
    why_not: Option<String>,
    csrf: &'a str,
}

/// One of the things that a request is about: what is shown of it is what is written of it.
struct Asked {
    id: ResourceId,
    /// None for a thing of somebody for whom she decides.
    key: Option<String>,
    name: String,
    scopes: ScopeSet,
}

/// What of the request this desk knows: things that the asking server does guard, as far as they offer what is asked for. For
/// somebody else, what that person lets her share. What is not here is neither shown nor written (threat 36).
fn asked_things(holdings: &Holdings, link: &Link, request: &PolicyRequest) -> Vec<Asked> {
    let other = request.owner.as_ref().map(|owner| {
        let known = holdings.server(&link.id);
        known.and_then(|known| known.snapshot.for_others.iter().find(|other| other.owner == owner.as_str()))
    });
    let own = |id: &ResourceId| {
        let thing = holdings.guarded(link.place.issuer(), id)?;
        let guard = thing.usable_guards().find(|guard| guard.link.as_ref() == Some(&link.id) && guard.id.as_ref() == Some(id))?;
        let name = format!("{}, kept at {}", thing.name, host_of(&thing.server));
        Some(Asked {
            id: id.clone(),
            key: Some(thing.key.clone()),
            name,
            scopes: guard.scopes.intersection(&request.resource_scopes),
        })
    };
    let of_other = |other: &ForOther, id: &ResourceId| {
        let scopes = other.shareable.get(id)?.intersection(&request.resource_scopes);
        let name = words::readable(other.names.get(id).map_or(id.as_str(), String::as_str));
        Some(Asked { id: id.clone(), key: None, name, scopes })
    };
    let mut seen = BTreeSet::new();
    let distinct = request.resources.iter().filter(|id| seen.insert((*id).clone()));
    let found = distinct.filter_map(|id| match other {
        None => own(id),
        Some(other) => of_other(other?, id),
    });
    found.filter(|asked| !asked.scopes.is_empty()).collect()
}

/// What she was shown, as one name that only this desk can give: of this session and this request.
fn shown_name(manager: &Manager, person: &Person, text: &str, about: &[Asked]) -> String {
    let things = json!(about.iter().map(|one| json!([one.id, one.name, one.scopes])).collect::<Vec<_>>()).to_string();
    let parts: [&[u8]; 5] = [&manager.csrf, person.session.as_bytes(), b"\0decide\0", text.as_bytes(), things.as_bytes()];
    jose::base64url::encode(jose::digest::sha256(&parts))
}

fn sharing_of(about: &[Asked], link: &Link, request: &PolicyRequest) -> Sharing {
    Sharing {
        things: about.iter().filter_map(|one| one.key.clone()).collect(),
        who: words::who(&request.required_claims),
        scopes: request.resource_scopes.clone(),
        until: None,
        at: Some(SharedAt { link: link.id.clone(), client: request.client.client_id.as_str().to_owned() }),
    }
}

async fn to_sign(
    manager: &Manager,
    person: &Person,
    holdings: &Holdings,
    (link, request): (&Link, &PolicyRequest),
) -> Result<Option<ToSign>, Trouble> {
    let demands = holdings.server(&link.id).and_then(|known| known.snapshot.demands_signature) == Some(true);
    if !demands || request.owner.is_some() {
        return Ok(None);
    }
    let Some(key) = manager.current_key(&person.owner).await? else {
        return Err(Trouble::Refused("That server takes only what you signed: make a key first.".into()));
    };
    let sharing = sharing_of(&asked_things(holdings, link, request), link, request);
    let (id, prepared): (String, Prepared) = manager.prepare(person, holdings, &sharing, &key.did);
    if prepared.drafts.is_empty() {
        return Err(Trouble::Refused("That server takes only what you signed, and this cannot be signed for from here.".into()));
    }
    let text = |claims: &Value| serde_json::to_string_pretty(claims).unwrap_or_default();
    Ok(Some(ToSign {
        id,
        open: manager.opened_key(person).is_some_and(|open| open.did == key.did),
        passphrase: key.kept.is_some(),
        known: key.known(),
        asking: Asking::of(manager, person),
        texts: prepared.drafts.iter().map(|draft| (draft.name.clone(), text(&draft.claims))).collect(),
        did: key.did,
    }))
}

pub(super) async fn show(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    at_desk(manager, &parts.headers, async |manager, person| {
        let text = query.one("request");
        let (asked, link) = manager.read_policy_request(person, text).await?;
        // what was put under guard a moment ago is to have its name: of who keeps it, and of who guards it
        if asked_things(&*manager.holdings(&person.owner).await?, &link, &asked).len() != asked.resources.len() {
            let holdings = manager.holdings(&person.owner).await?;
            let keepers = holdings.servers.iter().filter(|known| known.link.place.is_keeper()).map(|known| known.link.id.clone());
            manager.read_servers(&person.owner, keepers.chain([link.id.clone()])).await;
        }
        let holdings = manager.holdings(&person.owner).await?;
        let about = asked_things(&holdings, &link, &asked);
        let names: Vec<&str> = about.iter().map(|one| one.name.split(", kept at ").next().unwrap_or(&one.name)).collect();
        let scopes: ScopeSet = about.iter().flat_map(|one| one.scopes.iter().cloned()).collect();
        let missing = asked.resources.iter().collect::<BTreeSet<_>>().len().saturating_sub(about.len());
        let who = words::who(&asked.required_claims);
        let (sign, why_not) = match to_sign(manager, person, &holdings, (&link, &asked)).await {
            Ok(sign) => (sign, None),
            Err(trouble) => (None, Some(trouble.to_string())),
        };
        let body = ui::render(&DecidePage {
            request: text,
            place: host_of(link.place.issuer()),
            client: name_of_client(&asked.client),
            host: &asked.client_host,
            verified: asked.client.verified,
            for_other: asked.owner.is_some(),
            promise: words::may(&who, &names, &scopes),
            things: about.iter().map(|one| format!("{}: {}", one.name, words::scopes(&one.scopes))).collect(),
            missing,
            shown: shown_name(manager, person, text, &about),
            until: person.reader.zone.date(manager.now().plus(crate::signing::LIFETIME)),
            sign,
            why_not: match who {
                Who::Anyone => Some("It would let anyone in. Do that on the thing's own page.".into()),
                _ if about.is_empty() => Some(UNKNOWN.into()),
                _ => why_not,
            },
            csrf: &person.csrf,
        });
        let response = page(manager, Some(person), StatusCode::OK, "Let it in?", "/requests", &body);
        let back = url::Url::parse(&asked.return_uri);
        Ok(back.map(|back| leading_to(response, &back)).unwrap_or_else(|_| see_other("/requests")))
    })
    .await
}

pub(super) async fn decide(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let (asked, link) = manager.read_policy_request(person, fields.one("request")).await?;
        if fields.one("decision") != "approve" {
            return Ok(see_other(&asked.return_uri));
        }
        let about = asked_things(&*manager.holdings(&person.owner).await?, &link, &asked);
        if about.is_empty() || fields.one("shown") != shown_name(manager, person, fields.one("request"), &about) {
            return Err(Trouble::Refused(
                "This is about something else than you were shown. Go back, and look at it again.".into(),
            ));
        }
        // a passphrase that was mistyped is no answer yet
        let prepared = fields.one("prepared");
        let key = match prepared.is_empty() {
            true => None,
            false => {
                let passphrase = fields.all("passphrase").next().unwrap_or_default();
                Some(manager.key_for(person, fields.one("did"), passphrase, brought(fields)).await?)
            }
        };
        if !manager.decides_first(&asked) {
            return Err(Trouble::Refused("You have answered this already. Go back to the application.".into()));
        }
        match key {
            None => write(manager, person, fields, &Written { asked: &asked, link: &link, about: &about }).await?,
            Some(key) => {
                let signed = manager.sign(person, prepared, &key).await?;
                if let Some(failed) = signed.failed.into_iter().next() {
                    return Err(Trouble::Refused(failed));
                }
            }
        }
        Ok(see_other(&asked.return_uri))
    })
    .await
}

/// What an application is called: by its own word alone, it stands between quotation marks.
fn name_of_client(client: &types::access_request::RequestingClient) -> String {
    let name = words::readable(client.name.as_deref().unwrap_or(client.client_id.as_str()));
    if client.verified { name } else { ui::quote(&name) }
}

const UNKNOWN: &str = "It is about things that this desk does not know, or that the servers which keep them do not have guarded \
     there: nothing can be allowed from here.";

/// What is written, and where.
struct Written<'a> {
    asked: &'a PolicyRequest,
    link: &'a Link,
    about: &'a [Asked],
}

/// One policy for each thing that she was shown, for whoever is there and this client alone.
async fn write(manager: &Arc<Manager>, person: &Person, fields: &Fields, written: &Written<'_>) -> Result<(), Trouble> {
    let Written { asked, link, about } = *written;
    if asked.required_claims.is_empty() {
        return Err(Trouble::Refused("It would let anyone in. Do that on the thing's own page.".into()));
    }
    let until = match fields.one("until") {
        "" => None,
        text => match person.reader.end_of_date(text) {
            Some(end) => Some(end),
            None => return Err(Trouble::Refused("The last day must be a date that is not over.".into())),
        },
    };
    let policies: Vec<Value> = about
        .iter()
        .map(|one| {
            let mut policy = json!({"resource_id": one.id, "resource_scopes": one.scopes,
                "required_claims": asked.required_claims, "client_id": [asked.client.client_id]});
            if let (Some(until), Some(members)) = (until, policy.as_object_mut()) {
                members.insert("expires_at".into(), json!(until));
            }
            policy
        })
        .collect();
    let query = match &asked.owner {
        Some(owner) => {
            format!("?atomic=true&owner={}", form_urlencoded::byte_serialize(owner.as_str().as_bytes()).collect::<String>())
        }
        None => "?atomic=true".to_owned(),
    };
    let at = |metadata: &types::metadata::Metadata| metadata.policy_endpoint.as_ref().map(|url| format!("{url}{query}"));
    let answer = manager.api_at(&person.owner, &link.id, Method::POST, at, Some(&json!(policies))).await?;
    manager.read_servers(&person.owner, [link.id.clone()]).await;
    if answer.status == 201 { Ok(()) } else { Err(Trouble::Refused(answer.refusal())) }
}
