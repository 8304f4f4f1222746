//! The page of one thing: who can reach it, and the forms that change that.

use super::notes::{self, Done, Told};
use super::sharing::{ShareForm, Wrong};
use super::things::{Picture, name_of, origins, place_of};
use super::words::{self, Reader};
use super::{acting, owner, posted};
use crate::Shared;
use crate::browser::{Visit, sentence};
use crate::extract::split;
use crate::identity::page;
use askama::Template;
use authorization_server::note::can_be_put_back;
use authorization_server::share_mail::{addresses_of, has_ended, link_of};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use identity::Failure;
use identity::access_token::PolicyToken;
use types::access_request::AccessRequestDocument;
use types::policy::PolicyDocument;
use types::resource::OwnedResource;
use types::spelling::readable;
use types::{PolicyId, ResourceId, Scope, path};

struct Share {
    id: String,
    sentence: String,
    waiting: bool,
    /// Whether it can be put back once it is withdrawn.
    is_undoable: bool,
    warnings: Vec<String>,
    /// Whom a mail could tell of it.
    addresses: Vec<String>,
}

/// What she approved once, and still lets somebody in.
struct Approval {
    id: String,
    sentence: String,
}

/// Something that somebody could do with it.
struct Choice {
    scope: String,
    meaning: &'static str,
    checked: bool,
}

/// What somebody could do: a sentence, and one for each of its reasons.
pub(super) struct Supposed {
    pub(super) answer: String,
    pub(super) reasons: Vec<String>,
}

/// What a page shows beside the thing.
#[derive(Default)]
pub(super) struct Extra {
    pub(super) form: ShareForm,
    pub(super) wrong: Wrong,
    pub(super) told: Option<Told>,
    pub(super) supposed: Option<Supposed>,
    pub(super) asked: String,
}

#[derive(Template)]
#[template(path = "resource.html")]
struct ResourcePage {
    base: String,
    csrf: String,
    id: String,
    name: String,
    description: Option<String>,
    picture: Picture,
    server: String,
    link: Option<String>,
    choices: Vec<Choice>,
    shares: Vec<Share>,
    ended: Vec<Share>,
    approvals: Vec<Approval>,
    today: String,
    form: ShareForm,
    wrong: Wrong,
    told: Option<Told>,
    supposed: Option<Supposed>,
    asked: String,
}

const ENDED_WITH_IT: &str = "What you had allowed the same person once ended with it.";

/// Her shares of a thing.
struct Shares {
    standing: Vec<Share>,
    ended: Vec<Share>,
    documents: Vec<PolicyDocument>,
}

async fn shares(app: &Shared, owner: &PolicyToken, thing: &OwnedResource, reader: &Reader) -> Result<Shares, Failure> {
    let mut all = Shares { standing: Vec::new(), ended: Vec::new(), documents: Vec::new() };
    for policy in &thing.policies {
        let document = app.authorization_server.read_policy(&acting(owner), policy).await?.document;
        let share = Share {
            id: policy.as_str().to_owned(),
            sentence: words::sentence_of(app, &document, reader).await?,
            waiting: document.state.is_some(),
            is_undoable: can_be_put_back(&document),
            warnings: document.warnings.iter().map(|warning| sentence(warning)).collect(),
            // a link opens in a browser, which is none of the applications that a share may name
            addresses: if document.client_id.is_empty() { addresses_of(&document) } else { Vec::new() },
        };
        if has_ended(&document, reader.now) {
            all.ended.push(share);
        } else {
            all.standing.push(share);
            all.documents.push(document);
        }
    }
    Ok(all)
}

fn approval(request: &AccessRequestDocument, resource: &ResourceId, reader: &Reader) -> Approval {
    let here = request.permissions.iter().filter(|one| one.resource_id == *resource);
    let scopes: Vec<&str> = here.flat_map(|one| one.resource_scopes.iter().map(Scope::as_str)).collect();
    let who = ui::name_party(&request.requesting_party);
    let client = readable(request.client.name.as_deref().unwrap_or(request.client.client_id.as_str()));
    let until = request.approved_until.map(|until| format!(", {}", reader.until(until))).unwrap_or_default();
    Approval {
        id: request.id.as_str().to_owned(),
        sentence: format!("{who} may {}, with {}{until}", scopes.join(", "), ui::quote(&client)),
    }
}

/// Whether a share says all that was approved: who reads both would think that there are two.
fn is_said(request: &AccessRequestDocument, resource: &ResourceId, shares: &[PolicyDocument]) -> bool {
    let email = request.requesting_party.get("email").and_then(|email| email.as_str()).and_then(types::email::normalize);
    let Some(email) = email else { return false };
    let mut here = request.permissions.iter().filter(|one| one.resource_id == *resource);
    here.all(|one| {
        shares.iter().any(|share| {
            share.client_id == [request.client.client_id.clone()]
                && addresses_of(share) == [email.clone()]
                && share.valid_from.is_none()
                && share.max_uses.is_none()
                && share.expires_at.is_none_or(|end| request.approved_until.is_some_and(|until| until <= end))
                && one.resource_scopes.is_subset(&share.resource_scopes)
        })
    })
}

pub(super) async fn render(
    app: &Shared,
    visit: &Visit,
    owner: &PolicyToken,
    id: &ResourceId,
    extra: Extra,
) -> Result<Response, Failure> {
    let thing = app.authorization_server.read_owned_resource(&acting(owner), id).await?;
    let reader = visit.reader(app);
    let shares = shares(app, owner, &thing, &reader).await?;
    let mut approvals = app.authorization_server.list_approvals(&acting(owner), id).await?;
    approvals.retain(|request| !is_said(request, id, &shares.documents));
    let (name, picture) = (name_of(&thing), Picture::of(&thing));
    let pictures = origins(std::iter::once(&picture));
    let choice = |scope: &Scope| Choice {
        checked: extra.form.is_chosen(scope),
        scope: scope.as_str().to_owned(),
        meaning: words::meaning(scope),
    };
    let body = ui::render(&ResourcePage {
        base: app.base(),
        csrf: visit.csrf(app),
        id: id.as_str().to_owned(),
        name: name.clone(),
        picture,
        server: place_of(app, &thing.resource_server).await?,
        link: link_of(&thing),
        choices: words::least_first(&thing.description.resource_scopes).iter().map(choice).collect(),
        description: thing.description.description,
        shares: shares.standing,
        ended: shares.ended,
        approvals: approvals.iter().map(|request| approval(request, id, &reader)).collect(),
        today: reader.zone.date(reader.now),
        form: extra.form,
        wrong: extra.wrong,
        told: extra.told,
        supposed: extra.supposed,
        asked: extra.asked,
    });
    Ok(visit.page_with_pictures(app, &name, path::MY_RESOURCES, &body, &pictures))
}

/// `GET /my/resources/{id}`: where `user_access_policy_uri` leads.
pub(super) async fn show(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| match owner(&app, visit, &format!("{}/{id}", path::MY_RESOURCES)) {
        Ok(owner) => {
            let told = notes::told(&app, visit, &parts).await?;
            render(&app, visit, &owner, &ResourceId::new(id.clone()), Extra { told, ..Extra::default() }).await
        }
        Err(login) => Ok(*login),
    })
    .await
}

/// `POST /my/resources/{id}/policies/{policy}/withdraw`.
pub(super) async fn withdraw(
    State(app): State<Shared>,
    Path((id, policy)): Path<(String, String)>,
    request: Request,
) -> Response {
    let back = format!("{}/{id}", path::MY_RESOURCES);
    posted(app, request, back.clone(), async |app, visit, owner, _| {
        let withdrawn = app.authorization_server.withdraw_share(&acting(owner), &PolicyId::new(policy)).await?;
        let (share, is_over) = (&withdrawn.document, has_ended(&withdrawn.document, visit.reader(app).now));
        let mut done = Done::of(words::describe_end(share));
        if is_over {
            done = Done::of("Removed from what has ended.".to_owned());
        } else if withdrawn.approvals > 0 {
            let left = "What you had allowed the same person once stays ended.";
            done = Done { left: Some(left.to_owned()), ..Done::of(format!("{} {ENDED_WITH_IT}", words::describe_end(share))) };
        }
        Ok(notes::tell(app, visit, &back, done, withdrawn.undo.filter(|_| !is_over)).await)
    })
    .await
}
