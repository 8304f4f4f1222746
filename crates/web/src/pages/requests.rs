//! The inbox: what people ask the owner for, and her answers.

use super::{acting, owner};
use crate::Shared;
use crate::browser::see_other;
use crate::extract::split;
use crate::identity::{page, posted};
use askama::Template;
use authorization_server::store::Page;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use identity::{Failure, Form};
use std::collections::BTreeMap;
use types::access_request::{AccessRequestDocument, AccessRequestState, DecisionDocument, DecisionKind};
use types::spelling::readable;
use types::{AccessRequestId, ErrorCode, PermissionRequest, ResourceId, Scope, ScopeSet, path};

struct Choice {
    /// Resource and scope, as the form sends them back.
    value: String,
    text: String,
}

struct Item {
    id: String,
    who: String,
    client: String,
    verified: bool,
    when: String,
    until: String,
    choices: Vec<Choice>,
    state: Option<(&'static str, &'static str)>,
}

#[derive(Template)]
#[template(path = "requests.html")]
struct RequestsPage {
    base: String,
    csrf: String,
    waiting: Vec<Item>,
    decided: Vec<Item>,
}

/// `GET /my/requests`.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let owner = match owner(&app, visit, path::MY_REQUESTS) {
            Ok(owner) => owner,
            Err(login) => return Ok(*login),
        };
        let all = app.authorization_server.list_access_requests(&acting(&owner), &Page { after: None, limit: 200 }).await?.0;
        let (mut waiting, mut decided) = (Vec::new(), Vec::new());
        for request in all {
            let mut names = BTreeMap::new();
            for permission in &request.permissions {
                let resource = app.authorization_server.read_owned_resource(&acting(&owner), &permission.resource_id).await.ok();
                let name = resource.and_then(|resource| resource.description.name);
                let name = name.map_or_else(|| "a resource that is gone".into(), |name| readable(&name));
                names.insert(permission.resource_id.clone(), name);
            }
            let pending = request.state == AccessRequestState::Pending;
            let item = item(&request, &names);
            if pending { waiting.push(item) } else { decided.push(item) }
        }
        let body = ui::render(&RequestsPage { base: app.base(), csrf: visit.csrf(&app), waiting, decided });
        Ok(visit.page(&app, "Requests", path::MY_REQUESTS, &body, &[]))
    })
    .await
}

fn item(request: &AccessRequestDocument, names: &BTreeMap<ResourceId, String>) -> Item {
    let text = |name: &str| request.requesting_party.get(name).and_then(|value| value.as_str());
    let choices = request.permissions.iter().flat_map(|permission| {
        let name = names.get(&permission.resource_id).cloned().unwrap_or_default();
        permission
            .resource_scopes
            .iter()
            .map(move |scope| Choice { value: format!("{} {scope}", permission.resource_id), text: format!("{scope} {name}") })
    });
    Item {
        id: request.id.as_str().to_owned(),
        who: readable(text("email").or(text("name")).or(text("sub")).unwrap_or("Somebody")),
        client: match (&request.client.name, request.client.verified) {
            (Some(name), true) => readable(name),
            (Some(name), false) => format!("“{}”", readable(name)),
            (None, _) => request.client.client_id.as_str().to_owned(),
        },
        verified: request.client.verified,
        when: ui::in_words(request.created),
        until: ui::in_words(request.expires_at),
        choices: choices.collect(),
        state: match request.state {
            AccessRequestState::Pending => None,
            AccessRequestState::Approved => Some(("approved", "")),
            AccessRequestState::Denied => Some(("refused", "no")),
            AccessRequestState::Expired => Some(("ran out", "wait")),
        },
    }
}

/// `POST /my/requests/{id}`: `decision`, with the scopes that are ticked, and `remember`.
pub(super) async fn decide(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    posted(&app, request, async |visit, _parts, form| {
        let owner = match owner(&app, visit, path::MY_REQUESTS) {
            Ok(owner) => owner,
            Err(login) => return Ok(*login),
        };
        let decision = match form.one("decision")? {
            Some("approve") => DecisionDocument {
                decision: DecisionKind::Approve,
                permissions: Some(ticked(form)?),
                expires_at: None,
                remember: form.one("remember")?.is_some(),
            },
            Some("deny") => DecisionDocument {
                decision: DecisionKind::Deny,
                permissions: None,
                expires_at: None,
                remember: form.one("remember")?.is_some(),
            },
            Some("withdraw") => {
                app.authorization_server.delete_access_request(&acting(&owner), &AccessRequestId::new(id)).await?;
                return Ok(see_other(&format!("{}{}", app.base(), path::MY_REQUESTS)));
            }
            _ => return Failure::refuse(ErrorCode::InvalidRequest, "choose to approve or to refuse"),
        };
        app.authorization_server.decide_access_request(&acting(&owner), &AccessRequestId::new(id), decision).await?;
        Ok(see_other(&format!("{}{}", app.base(), path::MY_REQUESTS)))
    })
    .await
}

fn ticked(form: &Form) -> Result<Vec<PermissionRequest>, Failure> {
    let mut permissions: BTreeMap<ResourceId, ScopeSet> = BTreeMap::new();
    for value in form.all("permission") {
        if let Some((resource, scope)) = value.split_once(' ').and_then(|(id, scope)| Some((id, Scope::parse(scope).ok()?))) {
            permissions.entry(ResourceId::from(resource)).or_default().insert(scope);
        }
    }
    if permissions.is_empty() {
        return Failure::refuse(ErrorCode::InvalidRequest, "tick what you approve, or refuse the request");
    }
    Ok(permissions.into_iter().map(|(resource_id, resource_scopes)| PermissionRequest { resource_id, resource_scopes }).collect())
}
