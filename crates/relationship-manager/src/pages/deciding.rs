//! A policy just in time (protocol.md 1.4 (a)): she waits at an authorization server's page, which sent her here with a signed
//! request. She reads what it means, writes the policy - or signs it, where that server takes only what she signed -, and goes
//! back.

use super::keys::{Asking, brought};
use super::things::host_of;
use super::{Desk, Fields, at_desk, leading_to, page, posted, see_other};
use crate::holdings::{Holdings, Thing, Who};
use crate::person::Person;
use crate::share::Sharing;
use crate::signing::Prepared;
use crate::store::Link;
use crate::{Manager, Trouble, words};
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use types::linked_manager::PolicyRequest;

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
    until: String,
    sign: Option<ToSign>,
    /// Why nothing can be done here.
    why_not: Option<String>,
    csrf: &'a str,
}

/// Things that the request is about, as this desk knows them.
fn things<'a>(holdings: &'a Holdings, link: &Link, request: &PolicyRequest) -> Vec<&'a Thing> {
    request.resources.iter().filter_map(|id| holdings.guarded(link.place.issuer(), id)).collect()
}

fn sharing_of(things: &[&Thing], request: &PolicyRequest) -> Sharing {
    Sharing {
        things: things.iter().map(|thing| thing.key.clone()).collect(),
        who: words::who(&request.required_claims),
        scopes: request.resource_scopes.clone(),
        until: None,
    }
}

fn to_sign(
    manager: &Manager,
    person: &Person,
    holdings: &Holdings,
    (link, request): (&Link, &PolicyRequest),
) -> Result<Option<ToSign>, Trouble> {
    let demands = holdings.server(&link.id).and_then(|known| known.snapshot.demands_signature) == Some(true);
    if !demands || request.owner.is_some() {
        return Ok(None);
    }
    let Some(key) = manager.current_key(&person.owner)? else {
        return Err(Trouble::Refused("That server takes only what you signed: make a key first.".into()));
    };
    let sharing = sharing_of(&things(holdings, link, request), request);
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
        // what was put under guard a moment ago is to have its name
        let known = |holdings: &Holdings| things(holdings, &link, &asked).len() == asked.resources.len();
        if asked.owner.is_none() && !known(&*manager.holdings(&person.owner)?) {
            manager.read_servers(&person.owner, [link.id.clone()]).await;
        }
        let holdings = manager.holdings(&person.owner)?;
        let about = things(&holdings, &link, &asked);
        let names: Vec<&str> = match (about.is_empty(), asked.resources.len()) {
            (true, 1) => vec!["one thing"],
            (true, _) => vec!["some things"],
            _ => about.iter().map(|thing| thing.name.as_str()).collect(),
        };
        let who = words::who(&asked.required_claims);
        let (sign, why_not) = match to_sign(manager, person, &holdings, (&link, &asked)) {
            Ok(sign) => (sign, None),
            Err(trouble) => (None, Some(trouble.to_string())),
        };
        let body = ui::render(&DecidePage {
            request: text,
            place: host_of(link.place.issuer()),
            client: asked.client.name.clone().unwrap_or_else(|| asked.client.client_id.as_str().to_owned()),
            host: &asked.client_host,
            verified: asked.client.verified,
            for_other: asked.owner.is_some(),
            promise: words::may(&who, &names, &asked.resource_scopes),
            until: ui::date_of(manager.now().plus(90 * 86_400)),
            sign,
            why_not: if matches!(who, Who::Anyone) {
                Some("It would let anyone in. Do that on the thing's own page.".into())
            } else {
                why_not
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
        match fields.one("prepared") {
            "" => write(manager, person, fields, (&asked, &link)).await?,
            prepared => {
                let passphrase = fields.all("passphrase").next().unwrap_or_default();
                let key = manager.key_for(person, fields.one("did"), passphrase, brought(fields)).await?;
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

/// One policy for each resource, for whoever is there and this client alone.
async fn write(
    manager: &Arc<Manager>,
    person: &Person,
    fields: &Fields,
    (asked, link): (&PolicyRequest, &Link),
) -> Result<(), Trouble> {
    if asked.required_claims.is_empty() {
        return Err(Trouble::Refused("It would let anyone in. Do that on the thing's own page.".into()));
    }
    let until = match fields.one("until") {
        "" => None,
        text => match ui::end_of_date(text).filter(|end| *end > manager.now()) {
            Some(end) => Some(end),
            None => return Err(Trouble::Refused("The last day must be a date that is not over.".into())),
        },
    };
    let policies: Vec<Value> = asked
        .resources
        .iter()
        .map(|id| {
            let mut policy = json!({"resource_id": id, "resource_scopes": asked.resource_scopes,
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
