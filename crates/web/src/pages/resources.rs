//! Resources, shares and what-if.

use super::{acting, owner};
use crate::Shared;
use crate::browser::{Visit, see_other, sentence};
use crate::extract::split;
use crate::identity::page;
use askama::Template;
use authorization_server::policy::Simulation;
use authorization_server::store::Page;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use identity::access_token::PolicyToken;
use identity::{Failure, Form};
use serde_json::json;
use types::access_request::AccessRequestDocument;
use types::policy::{ClaimCondition, OnMissing, PolicyDocument};
use types::resource::OwnedResource;
use types::spelling::readable;
use types::{ErrorCode, PermissionRequest, PolicyId, Refusal, ResourceId, Scope, ScopeSet, path};

struct Item {
    id: String,
    name: String,
    server: String,
    shares: usize,
}

#[derive(Template)]
#[template(path = "resources.html")]
struct ListPage {
    base: String,
    items: Vec<Item>,
    next: Option<String>,
}

/// `GET /my/resources`.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let owner = match owner(&app, visit, path::MY_RESOURCES) {
            Ok(owner) => owner,
            Err(login) => return Ok(*login),
        };
        let after = parts.query()?.one("after")?.map(ResourceId::from);
        let page = Page { after, limit: 50 };
        let resources = app.authorization_server.list_owned_resources(&acting(&owner), &page).await?.0;
        let next = resources.last().filter(|_| resources.len() == page.limit).map(|resource| resource.id.as_str().to_owned());
        let items = resources
            .into_iter()
            .map(|resource| Item {
                name: name_of(&resource),
                id: resource.id.as_str().to_owned(),
                server: resource.resource_server.as_str().to_owned(),
                shares: resource.policies.len(),
            })
            .collect();
        let body = ui::render(&ListPage { base: app.base(), items, next });
        Ok(visit.page(&app, "Resources", path::MY_RESOURCES, &body, &[]))
    })
    .await
}

fn name_of(resource: &OwnedResource) -> String {
    readable(resource.description.name.as_deref().unwrap_or(resource.id.as_str()))
}

struct Share {
    id: String,
    sentence: String,
    waiting: bool,
    warnings: Vec<String>,
}

/// What she approved once, and still lets somebody in.
struct Approval {
    id: String,
    sentence: String,
}

fn approval(request: &AccessRequestDocument, resource: &ResourceId) -> Approval {
    let said = |name: &str| request.requesting_party.get(name).and_then(|value| value.as_str());
    let here = request.permissions.iter().filter(|one| one.resource_id == *resource);
    let scopes: Vec<&str> = here.flat_map(|one| one.resource_scopes.iter().map(Scope::as_str)).collect();
    let who = readable(said("email").or(said("sub")).unwrap_or("Somebody"));
    let client = readable(request.client.name.as_deref().unwrap_or(request.client.client_id.as_str()));
    let until = request.approved_until.map(|until| format!(", until {}", ui::in_words(until))).unwrap_or_default();
    Approval {
        id: request.id.as_str().to_owned(), sentence: format!("{who} may {}, with “{client}”{until}", scopes.join(", "))
    }
}

#[derive(Template)]
#[template(path = "resource.html")]
struct ResourcePage {
    base: String,
    csrf: String,
    id: String,
    name: String,
    description: Option<String>,
    server: String,
    /// Each with whether it is ticked at first: looking is, nothing else ever.
    scopes: Vec<(String, bool)>,
    shares: Vec<Share>,
    approvals: Vec<Approval>,
    error: Option<String>,
    answer: Option<(String, Vec<String>)>,
    asked: String,
}

/// A policy in plain words: who may do what, until when.
fn in_words(policy: &PolicyDocument) -> String {
    let who = match policy.required_claims.as_slice() {
        [] => "Anyone".to_owned(),
        conditions => {
            let each = conditions.iter().map(|condition| {
                let values: Vec<_> =
                    condition.value.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
                match condition.name.as_str() {
                    "email" => values.join(" or "),
                    name => format!("somebody whose {name} is {}", values.join(" or ")),
                }
            });
            each.collect::<Vec<_>>().join(" and ")
        }
    };
    let scopes: Vec<_> = policy.resource_scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    let mut text = format!("{who} may {}", scopes.join(", "));
    if !policy.client_id.is_empty() {
        let clients: Vec<_> = policy.client_id.iter().map(|client| client.as_str().to_owned()).collect();
        text.push_str(&format!(", with {}", clients.join(" or ")));
    }
    if let Some(from) = policy.valid_from {
        text.push_str(&format!(", from {}", ui::in_words(from)));
    }
    if let Some(end) = policy.expires_at {
        text.push_str(&format!(", until {}", ui::in_words(end)));
    }
    if let Some(most) = policy.max_uses {
        text.push_str(&format!(", {} of {most} times used", policy.uses.unwrap_or(0)));
    }
    text
}

async fn render(app: &Shared, visit: &Visit, owner: &PolicyToken, id: &ResourceId, extra: Extra) -> Result<Response, Failure> {
    let resource = app.authorization_server.read_owned_resource(&acting(owner), id).await?;
    let mut shares = Vec::new();
    for policy in &resource.policies {
        let document = app.authorization_server.read_policy(&acting(owner), policy).await?.document;
        shares.push(Share {
            id: policy.as_str().to_owned(),
            sentence: in_words(&document),
            waiting: document.state.is_some(),
            warnings: document.warnings.iter().map(|warning| sentence(warning)).collect(),
        });
    }
    let approvals = app.authorization_server.list_approvals(&acting(owner), id).await?;
    let name = name_of(&resource);
    let body = ResourcePage {
        approvals: approvals.iter().map(|request| approval(request, id)).collect(),
        base: app.base(),
        csrf: visit.csrf(app),
        id: id.as_str().to_owned(),
        server: resource.resource_server.as_str().to_owned(),
        scopes: resource
            .description
            .resource_scopes
            .iter()
            .map(|scope| (scope.as_str().to_owned(), matches!(scope.as_str(), "view" | "read")))
            .collect(),
        description: resource.description.description,
        shares,
        error: extra.error,
        answer: extra.answer,
        asked: extra.asked,
        name: name.clone(),
    };
    Ok(visit.page(app, &name, path::MY_RESOURCES, &ui::render(&body), &[]))
}

#[derive(Default)]
struct Extra {
    error: Option<String>,
    answer: Option<(String, Vec<String>)>,
    asked: String,
}

/// `GET /my/resources/{id}`: where `user_access_policy_uri` leads.
pub(super) async fn show(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| match owner(&app, visit, &format!("{}/{id}", path::MY_RESOURCES)) {
        Ok(owner) => render(&app, visit, &owner, &ResourceId::new(id.clone()), Extra::default()).await,
        Err(login) => Ok(*login),
    })
    .await
}

/// A form of an owner: read, from our own page, and hers.
async fn posted(
    app: Shared,
    request: Request,
    back: String,
    handler: impl AsyncFnOnce(&Shared, &Visit, &PolicyToken, &Form) -> Result<Response, Failure>,
) -> Response {
    let (parts, body) = split(request);
    let form = match parts.form(body).await {
        Ok(form) => form,
        Err(error) => return error.into_response(),
    };
    page(&app, &parts, async |visit| {
        visit.check_csrf(&app, &parts, &form)?;
        match owner(&app, visit, &back) {
            Ok(owner) => handler(&app, visit, &owner, &form).await,
            Err(login) => Ok(*login),
        }
    })
    .await
}

/// `POST /my/resources/{id}/share`.
pub(super) async fn share(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    let back = format!("{}/{id}", path::MY_RESOURCES);
    posted(app, request, back.clone(), async |app, visit, owner, form| {
        let id = ResourceId::new(id);
        let made = match share_document(&id, form) {
            Ok(document) => app.authorization_server.create_policy(&acting(owner), document).await.map(drop),
            Err(failure) => Err(failure),
        };
        match made {
            Ok(()) => Ok(see_other(&format!("{}{back}", app.base()))),
            Err(Failure::Refused(refusal)) => {
                let extra = Extra { error: Some(sentence(&refusal.description)), ..Extra::default() };
                let mut response = render(app, visit, owner, &id, extra).await?;
                *response.status_mut() = crate::error::status_of(refusal.code);
                Ok(response)
            }
            Err(unavailable) => Err(unavailable),
        }
    })
    .await
}

fn chosen_scopes(form: &Form) -> Result<ScopeSet, Failure> {
    let scopes = form.all("scope").iter().map(|text| Scope::parse(text)).collect::<Result<ScopeSet, _>>();
    let scopes = scopes.map_err(|error| Refusal::new(ErrorCode::InvalidRequest, error.to_string()))?;
    if scopes.is_empty() {
        return Failure::refuse(ErrorCode::InvalidRequest, "Choose at least one thing that the person may do.");
    }
    Ok(scopes)
}

fn share_document(id: &ResourceId, form: &Form) -> Result<PolicyDocument, Failure> {
    let email = form.one("email")?.unwrap_or_default().trim().to_owned();
    if email.is_empty() {
        return Failure::refuse(ErrorCode::InvalidRequest, "Write the address of the person you share with.");
    }
    let expires_at = match form.one("until")? {
        None => None,
        Some(date) => match ui::end_of_date(date) {
            Some(end) => Some(end),
            None => return Failure::refuse(ErrorCode::InvalidRequest, "Write the last day as a date, like 2030-12-31."),
        },
    };
    Ok(PolicyDocument {
        resource_id: Some(id.clone()),
        resource_scopes: chosen_scopes(form)?,
        required_claims: vec![ClaimCondition {
            name: "email".into(),
            value: vec![json!(email)],
            issuer: vec![],
            claim_token_format: vec![],
        }],
        expires_at,
        on_missing: OnMissing::Gather,
        ..PolicyDocument::default()
    })
}

/// `POST /my/resources/{id}/policies/{policy}/withdraw`.
pub(super) async fn withdraw(
    State(app): State<Shared>,
    Path((id, policy)): Path<(String, String)>,
    request: Request,
) -> Response {
    let back = format!("{}/{id}", path::MY_RESOURCES);
    posted(app, request, back.clone(), async |app, _, owner, _| {
        app.authorization_server.withdraw_share(&acting(owner), &PolicyId::new(policy)).await?;
        Ok(see_other(&format!("{}{back}", app.base())))
    })
    .await
}

/// `POST /my/resources/{id}/what-if`: what would somebody with this address get?
pub(super) async fn what_if(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    posted(app, request, format!("{}/{id}", path::MY_RESOURCES), async |app, visit, owner, form| {
        let id = ResourceId::new(id);
        let email = form.one("email")?.unwrap_or_default().trim().to_owned();
        let resource = app.authorization_server.read_owned_resource(&acting(owner), &id).await?;
        let mut allowed = Vec::new();
        let mut reasons = Vec::new();
        for scope in resource.description.resource_scopes.iter() {
            let permissions =
                vec![PermissionRequest { resource_id: id.clone(), resource_scopes: [scope.clone()].into_iter().collect() }];
            let claims = if email.is_empty() {
                serde_json::Map::new()
            } else {
                [("email".to_owned(), json!(email))].into_iter().collect()
            };
            let result =
                app.authorization_server.simulate(&acting(owner), Simulation { permissions, client_id: None, claims }).await?;
            if result.result == "granted" {
                allowed.push(scope.as_str().to_owned());
            }
            reasons.extend(result.reasons.into_iter().map(|reason| sentence(&format!("{}: {}", reason.scope, reason.why))));
        }
        let who = if email.is_empty() { "Somebody unknown".to_owned() } else { email.clone() };
        let answer = match allowed.as_slice() {
            [] => format!("{who} could do nothing."),
            some => format!("{who} could {}.", some.join(", ")),
        };
        render(app, visit, owner, &id, Extra { answer: Some((answer, reasons)), asked: email, ..Extra::default() }).await
    })
    .await
}
