//! The mail that tells somebody of a share: who, what, until when, a sentence of the owner's, and the link. Whoever knows all
//! of it gets in nowhere: the address is proved where the link leads. She reads it before it is sent, and what was sent after.

use super::acting;
use super::notes::Mailed;
use super::things::name_of;
use super::words;
use crate::Shared;
use crate::browser::{Visit, sentence};
use askama::Template;
use authorization_server::mailer::Message;
use authorization_server::share_mail::{addresses_of, link_of};
use axum::response::Response;
use identity::access_token::PolicyToken;
use identity::{Account, Failure};
use types::policy::PolicyDocument;
use types::resource::OwnedResource;
use types::spelling::readable;
use types::{ErrorCode, PolicyId, path};

/// A mail, before it is sent.
pub(super) struct Letter {
    message: Message,
    /// The share that it tells of, in words.
    share: String,
}

/// A hidden field of a form.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// The form that sends it.
pub(super) struct Asked {
    pub(super) action: String,
    pub(super) fields: Vec<Field>,
    /// What is told of is not shared yet: that comes with it.
    pub(super) shares: bool,
    /// Where she goes instead; none: the form is opened again.
    pub(super) back: Option<String>,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage<'a> {
    base: String,
    csrf: String,
    letter: &'a Letter,
    asked: Asked,
}

fn name_of_owner(account: &Account) -> String {
    let name = readable(account.display_name());
    match account.verified_email().map(readable) {
        Some(email) if email != name => format!("{name} ({email})"),
        _ => name,
    }
}

impl Letter {
    /// To an address that the share names. Nothing in it is anybody's but the server's, the owner's, and the name of the thing.
    pub(super) fn of(
        app: &Shared,
        visit: &Visit,
        thing: &OwnedResource,
        share: &PolicyDocument,
        to: &str,
        words: Option<String>,
    ) -> Result<Self, Failure> {
        let refuse = |what: &str| Failure::refuse(ErrorCode::InvalidRequest, what);
        let Some((account, _)) = &visit.person else { return refuse("You are logged out. Log in and try again.") };
        let Some(to) = types::email::normalize(to.trim()).filter(|to| addresses_of(share).contains(to)) else {
            return refuse("Write an e-mail address, like bob@bar.example.");
        };
        let Some(link) = link_of(thing) else {
            return refuse("The place that keeps this has not said where it can be opened: there is no link to mail.");
        };
        let reader = visit.reader(app);
        let name = readable(account.display_name());
        let until = share.expires_at.map(|end| reader.until(end));
        let (until, hers) = match until {
            Some(until) => (until.clone(), until),
            None => (format!("until {name} ends it"), "until you end it".to_owned()),
        };
        let quoted = words.map(|words| format!("{name} writes:\n\n    “{}”\n\n", ui::within_quotes(&words))).unwrap_or_default();
        let text = format!(
            "{} shares something with you:\n\n    “{}”\n\nYou may {}, {until}.\n\n{quoted}Open it:\n{link}\n\n\
             You will be asked to show that {to} is your address; nobody gets in by this mail alone.\n\
             {} sent it once, because {name} wanted it to.\n",
            name_of_owner(account),
            ui::within_quotes(&name_of(thing)),
            words::may_in_mail(&share.resource_scopes),
            readable(&app.site),
        );
        let message = Message::new(&to, format!("{name} shares something with you"), text)?;
        Ok(Self { message, share: format!("{to} may {}, {hers}", words::may(&share.resource_scopes)) })
    }
}

/// What would be sent, and the buttons.
pub(super) fn confirm(app: &Shared, visit: &Visit, letter: &Letter, asked: Asked) -> Response {
    let body = ui::render(&MailPage { base: app.base(), csrf: visit.csrf(app), letter, asked });
    visit.page(app, "Mail it", path::MY_RESOURCES, &body, &[])
}

/// Sends it. That it could not be sent undoes no share.
pub(super) async fn send(app: &Shared, owner: &PolicyToken, policy: &PolicyId, letter: &Letter) -> Mailed {
    let message = letter.message.clone();
    let to = message.to.clone();
    match app.authorization_server.mail_share(&acting(owner), policy, message).await {
        Ok(()) => Mailed::Sent { to, text: letter.message.text.clone() },
        Err(Failure::Refused(refusal)) => Mailed::NotSent { to, why: sentence(&refusal.description) },
        Err(Failure::Unavailable(cause)) => {
            tracing::warn!(%cause, "a mail of a share was not sent");
            let why = "Mail cannot be sent right now: copy the link, or try again in a while.".into();
            Mailed::NotSent { to, why }
        }
    }
}
