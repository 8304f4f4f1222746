//! Sharing a thing with a person. What is wrong with a form is said at its field, and the form keeps what was typed.

use super::mailing::{self, Letter};
use super::notes::{self, Done, Mailed};
use super::resource::{Extra, render};
use super::words::{self, Reader, is_looking};
use super::{acting, posted};
use crate::Shared;
use crate::browser::{Visit, sentence};
use authorization_server::note::Undo;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use identity::access_token::PolicyToken;
use identity::{Failure, Form};
use serde_json::json;
use types::policy::{ClaimCondition, OnMissing, PolicyDocument};
use types::{ErrorCode, PolicyId, ResourceId, Scope, ScopeSet, path};

/// Most characters of a sentence that goes with a mail.
const MAX_SENTENCE: usize = 280;

/// The form as it was typed; before that, with what is commonly meant.
#[derive(Default)]
pub(super) struct ShareForm {
    pub(super) email: String,
    /// None: looking is ticked, and nothing else ever.
    scopes: Option<Vec<String>>,
    pub(super) lasts: String,
    pub(super) until: String,
    pub(super) message: String,
}

impl ShareForm {
    fn read(form: &Form) -> Result<Self, Failure> {
        let text = |name: &str| form.one(name).map(|text| text.unwrap_or_default().trim().to_owned());
        Ok(Self {
            email: text("email")?,
            scopes: Some(form.all("scope").to_vec()),
            lasts: text("for")?,
            until: text("until")?,
            message: text("message")?,
        })
    }

    /// Whether this is ticked.
    pub(super) fn is_chosen(&self, scope: &Scope) -> bool {
        match &self.scopes {
            Some(chosen) => chosen.iter().any(|one| one == scope.as_str()),
            None => is_looking(scope),
        }
    }

    /// Whether it lasts so long: until she ends it, where nothing is said.
    pub(super) fn is_lasting(&self, lasts: &str) -> bool {
        self.lasts == lasts || (lasts == "always" && self.lasts.is_empty())
    }

    /// Its fields, to be sent once more.
    fn fields(&self) -> Vec<mailing::Field> {
        let scopes = self.scopes.iter().flatten().map(|scope| ("scope", scope));
        let rest = [("email", &self.email), ("for", &self.lasts), ("until", &self.until), ("message", &self.message)];
        scopes.chain(rest).map(|(name, value)| mailing::Field { name, value: value.clone() }).collect()
    }
}

/// What is wrong, at its field.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) email: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) until: Option<String>,
    pub(super) message: Option<String>,
    /// Of all of it.
    pub(super) whole: Option<String>,
}

impl Wrong {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// The sentence of a form: one line, and short.
pub(super) fn sentence_of(text: &str) -> Result<Option<String>, String> {
    let words = types::spelling::visible(text);
    match words.chars().count() {
        0 => Ok(None),
        count if count > MAX_SENTENCE => Err(format!("Write at most {MAX_SENTENCE} characters: these are {count}.")),
        _ => Ok(Some(words)),
    }
}

fn chosen_scopes(form: &ShareForm) -> Result<ScopeSet, String> {
    let chosen = form.scopes.iter().flatten().map(|text| Scope::parse(text)).collect::<Result<ScopeSet, _>>();
    match chosen {
        Ok(scopes) if scopes.is_empty() => Err("Choose at least one thing that the person may do.".into()),
        Ok(scopes) => Ok(scopes),
        Err(error) => Err(sentence(&error.to_string())),
    }
}

/// The share that a form means.
fn document_of(id: &ResourceId, form: &ShareForm, reader: &Reader) -> Result<PolicyDocument, Wrong> {
    let mut wrong = Wrong::default();
    if form.email.is_empty() {
        wrong.email = Some("Write the address of the person you share with.".into());
    }
    let scopes = chosen_scopes(form).unwrap_or_else(|what| {
        wrong.scope = Some(what);
        ScopeSet::new()
    });
    let expires_at = reader.chosen_end(&form.lasts, &form.until).unwrap_or_else(|what| {
        wrong.until = Some(what.into());
        None
    });
    wrong.message = sentence_of(&form.message).err();
    if !wrong.is_nothing() {
        return Err(wrong);
    }
    let condition =
        ClaimCondition { name: "email".into(), value: vec![json!(form.email)], issuer: vec![], claim_token_format: vec![] };
    Ok(PolicyDocument {
        resource_id: Some(id.clone()),
        resource_scopes: scopes,
        required_claims: vec![condition],
        expires_at,
        on_missing: OnMissing::Gather,
        ..PolicyDocument::default()
    })
}

/// Where a refused share is said: about the address, if that is what does not read.
fn wrong_of(refusal: &types::Refusal, form: &ShareForm) -> Wrong {
    let what = Some(sentence(&refusal.description));
    match types::email::normalize(&form.email) {
        None => Wrong { email: what, ..Wrong::default() },
        Some(_) => Wrong { whole: what, ..Wrong::default() },
    }
}

/// What the buttons of the form mean.
struct Wish {
    /// Tell the person, too.
    mails: bool,
    /// She has read what would be sent.
    is_confirmed: bool,
    /// She goes back to the form.
    changes: bool,
}

/// `POST /my/resources/{id}/share`: `email`, `scope`, `for`, `until`, `message`; with `mail`, the letter is shown first, and
/// sent once `confirm` comes with it.
pub(super) async fn share(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    let back = format!("{}/{id}", path::MY_RESOURCES);
    posted(app, request, back.clone(), async |app, visit, owner, form| {
        let id = ResourceId::new(id);
        let sent = |name: &str| form.one(name).map(|value| value.is_some());
        let wish = Wish { mails: sent("mail")?, is_confirmed: sent("confirm")?, changes: sent("change")? };
        let form = ShareForm::read(form)?;
        if wish.changes {
            return render(app, visit, owner, &id, Extra { form, ..Extra::default() }).await;
        }
        match make(app, visit, owner, &id, &form, &wish).await {
            Ok(Made::Asked(response)) => Ok(response),
            Ok(Made::Shared { done, undo }) => Ok(notes::tell(app, visit, &back, *done, undo).await),
            Err(Refused::Wrong { wrong, status }) => {
                let extra = Extra { form, wrong, ..Extra::default() };
                let mut response = render(app, visit, owner, &id, extra).await?;
                *response.status_mut() = status;
                Ok(response)
            }
            Err(Refused::Failure(failure)) => Err(failure),
        }
    })
    .await
}

enum Made {
    /// The letter is shown, and nothing is done yet.
    Asked(Response),
    Shared {
        done: Box<Done>,
        undo: Option<Undo>,
    },
}

enum Refused {
    Wrong { wrong: Wrong, status: http::StatusCode },
    Failure(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Wrong> for Refused {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong { wrong, status: crate::error::status_of(ErrorCode::InvalidRequest) }
    }
}

async fn make(
    app: &Shared,
    visit: &Visit,
    owner: &PolicyToken,
    id: &ResourceId,
    form: &ShareForm,
    wish: &Wish,
) -> Result<Made, Refused> {
    let document = document_of(id, form, &visit.reader(app))?;
    let letter = if wish.mails { Some(letter_of(app, visit, owner, id, form, &document).await?) } else { None };
    if let (Some(letter), false) = (&letter, wish.is_confirmed) {
        let asked = mailing::Asked {
            action: format!("{}/{id}/share", path::MY_RESOURCES),
            fields: form.fields(),
            shares: true,
            back: None,
        };
        return Ok(Made::Asked(mailing::confirm(app, visit, letter, asked)));
    }
    let made = app.authorization_server.create_policy(&acting(owner), document).await.map_err(|failure| match failure {
        Failure::Refused(refusal) => {
            Refused::Wrong { wrong: wrong_of(&refusal, form), status: crate::error::status_of(refusal.code) }
        }
        failure => Refused::Failure(failure),
    })?;
    let sentence = words::sentence_of(app, &made.document, &visit.reader(app)).await?;
    let mut done = Done::of(format!("Shared: {sentence}."));
    let policy = made.document.id;
    if let (Some(letter), Some(policy)) = (letter, &policy) {
        done.mail = Some(mailing::send(app, owner, policy, &letter).await);
    }
    if let Some(Mailed::Sent { to, .. }) = &done.mail {
        done.left = Some(format!("The mail to {to} is sent and cannot be called back; its link opens nothing by this share."));
    }
    let undo = policy.map(|policy| Undo::Share { policy, version: made.version });
    Ok(Made::Shared { done: Box::new(done), undo })
}

async fn letter_of(
    app: &Shared,
    visit: &Visit,
    owner: &PolicyToken,
    id: &ResourceId,
    form: &ShareForm,
    document: &PolicyDocument,
) -> Result<Letter, Refused> {
    let thing = app.authorization_server.read_owned_resource(&acting(owner), id).await?;
    let sentence = sentence_of(&form.message).unwrap_or_default();
    Letter::of(app, visit, &thing, document, &form.email, sentence).map_err(|failure| match failure {
        Failure::Refused(refusal) => wrong_of(&refusal, form).into(),
        failure => Refused::Failure(failure),
    })
}

/// `POST /my/resources/{id}/policies/{policy}/mail`: tells somebody of a share that there is.
pub(super) async fn mail(State(app): State<Shared>, Path((id, policy)): Path<(String, String)>, request: Request) -> Response {
    let back = format!("{}/{id}", path::MY_RESOURCES);
    posted(app, request, back.clone(), async |app, visit, owner, form| {
        let (id, policy) = (ResourceId::new(id), PolicyId::new(policy));
        let thing = app.authorization_server.read_owned_resource(&acting(owner), &id).await?;
        let share = app.authorization_server.read_policy(&acting(owner), &policy).await?.document;
        if share.resource_id.as_ref() != Some(&id) {
            return Failure::refuse(ErrorCode::NotFound, "this share is of something else");
        }
        let (to, message) = (form.one("to")?.unwrap_or_default(), form.one("message")?.unwrap_or_default());
        let words = match sentence_of(message) {
            Ok(words) => words,
            Err(what) => return Failure::refuse(ErrorCode::InvalidRequest, what),
        };
        let letter = Letter::of(app, visit, &thing, &share, to, words)?;
        if form.one("confirm")?.is_some() {
            let done = Done { mail: Some(mailing::send(app, owner, &policy, &letter).await), ..Done::default() };
            return Ok(notes::tell(app, visit, &back, done, None).await);
        }
        let field = |name: &'static str, value: &str| mailing::Field { name, value: value.to_owned() };
        let asked = mailing::Asked {
            action: format!("{back}/policies/{policy}/mail"),
            fields: vec![field("to", to), field("message", message)],
            shares: false,
            back: Some(back),
        };
        Ok(mailing::confirm(app, visit, &letter, asked))
    })
    .await
}

#[cfg(test)]
mod tests;
