//! Interactive claims gathering (Grant 3.3.2, 3.3.3).
//!
//! 1. [`AuthorizationServer::begin_interaction`]: client and claims redirect URI first - while they
//!    are not right, an error is a page and never a redirect. Then the ticket, which is spent.
//! 2. The person logs in here, or proves an address by a code. What has happened so far travels in a
//!    sealed [`Interaction`], bound to her browser; nothing is stored for strangers.
//! 3. [`AuthorizationServer::finish_interaction`]: she agrees, the claims join the process, and the
//!    client gets a new ticket. She refuses: `access_denied`.

use crate::changes::Changes;
use crate::code_limits::Mailing;
use crate::history_limits::Line;
use crate::kept_proof::{Known, browser_of};
use crate::token::parameters::wants_email;
use crate::token::uma_ticket::{spend, spent_id};
use crate::{AuthorizationServer, RETRIES};
use identity::consent::ReachRequest;
use identity::session::Session;
use identity::way_back::WayBack;
use identity::{Account, Client, CommitError, Failure, Form, internal};
use jose::base64url;
use rules::Ticket;
use rules::claim::{Claim, Subject};
use rules::ticket::Process;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use types::email;
use types::throttle::{Taken, network_of};
use types::token::ID_TOKEN_FORMAT;
use types::{ClientId, ErrorCode, OwnerId, Refusal, ResourceServerId, Timestamp};
use url::Url;

/// Seconds that a mailed code is good.
pub const CODE_LIFETIME: i64 = 600;
/// Seconds that a person has for the claims pages.
const PAGE_LIFETIME: i64 = 1800;
const CODE_DIGITS: u64 = 100_000_000;

/// What the claims pages carry from step to step, sealed.
#[derive(Clone, Serialize, Deserialize)]
pub struct Interaction {
    ticket: Ticket,
    pub client: ClientId,
    pub redirect_uri: String,
    state: Option<String>,
    /// Hash of the browser's form cookie: nobody else can go on with it (Grant 5.1).
    browser: String,
    /// The address that a page shows as proved, once it does; it counts with the browser's proof alone.
    pub proven_email: Option<String>,
    /// A code that is on its way.
    pub(crate) awaiting: Option<Awaiting>,
    /// Challenge of the ticket with which it began (protocol.md 5.1).
    #[serde(default)]
    pub(crate) challenge: String,
    /// The client wants the resource server to see her address: she is told before she goes on.
    #[serde(default)]
    pub wants_email: bool,
}

impl Interaction {
    /// Whose things are asked for.
    pub fn owner(&self) -> &OwnerId {
        &self.ticket.owner
    }

    pub(crate) fn ticket(&self) -> &Ticket {
        &self.ticket
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Awaiting {
    pub(crate) email: String,
    /// Keyed digest of the code: the browser holds this, sealed, and must not learn the code.
    pub(crate) digest: String,
    pub(crate) expires: Timestamp,
}

/// What comes of an answer: the next ticket of the process, what is known of her by now, and what is written.
struct Step {
    ticket: String,
    claims: serde_json::Map<String, Value>,
    changes: Changes,
}

/// Which client would reach what is hers, at which resource server.
struct ReachedPlace {
    client: Arc<Client>,
    resource: ResourceServerId,
}

impl ReachedPlace {
    fn of<'a>(&'a self, interaction: &'a Interaction, session: &'a Session) -> ReachRequest<'a> {
        let (client, redirect_uri) = (&self.client, interaction.redirect_uri.as_str());
        ReachRequest { session, client, redirect_uri, resource: self.resource.as_str() }
    }
}

/// How an interaction fails.
pub enum InteractionError {
    /// Tell the person; nowhere is safe to send her.
    Page(Failure),
    /// Send the browser back with the error: [`identity::Identity::may_send_back`] says whether without a page.
    Back(WayBack),
}

impl From<Failure> for InteractionError {
    fn from(failure: Failure) -> Self {
        Self::Page(failure)
    }
}

pub(crate) fn page(what: &str) -> InteractionError {
    InteractionError::Page(Failure::Refused(Refusal::new(ErrorCode::InvalidRequest, what)))
}

impl AuthorizationServer {
    /// Takes the request of a client's browser; spends its ticket.
    pub async fn begin_interaction(&self, form: &Form, form_cookie: &str, from: &str) -> Result<Interaction, InteractionError> {
        let (client, redirect_uri) = self.check_claims_client(form, from).await?;
        // an empty `state=` was sent, and comes back (3.3.3)
        let state = form.all("state").first().cloned();
        let back = |error, what: &str| {
            let url = self.error_redirect(&redirect_uri, error, what, state.as_deref());
            InteractionError::Back(WayBack { client: client.clone(), url })
        };
        let bad_ticket = || back(ErrorCode::InvalidRequest, "the ticket is unknown, used or expired");
        let wants_email = wants_email(form);
        if form.check_unrepeated().is_err() || wants_email.is_err() {
            // a ticket that is presented is spent, whatever the answer (protocol.md 4)
            self.spend_presented(form, &client.id).await.map_err(InteractionError::Page)?;
            return Err(back(ErrorCode::InvalidRequest, "send each parameter once; `disclose` may be `email`"));
        }
        let text = form.one("ticket").ok().flatten().ok_or_else(bad_ticket)?;
        let ticket = self.open_ticket(text).await?.ok_or_else(bad_ticket)?;
        ticket.check(&client.id, self.now()).map_err(|_| bad_ticket())?;
        let mut changes = Changes::of_identity(vec![spend(&ticket)]);
        let expires = self.now().plus(self.settings.ticket_lifetime.max(PAGE_LIFETIME));
        let next = ticket.clone().next(client.id.clone(), expires);
        let mut wants_email = wants_email.unwrap_or_default();
        if ticket.stored {
            // a person takes her time: what was gathered must still be there when she is done
            let process = self.find_process(&ticket).await?.ok_or_else(bad_ticket)?;
            wants_email |= process.wants_email;
            changes.writes.push(self.put_process(&next, &process)?);
        }
        match self.store.commit(changes).await {
            Ok(()) => {}
            Err(CommitError::Spent) => return Err(bad_ticket()),
            Err(error) => return Err(InteractionError::Page(error.into())),
        }
        Ok(Interaction {
            ticket: next,
            client: client.id.clone(),
            redirect_uri,
            state,
            browser: browser_of(form_cookie),
            proven_email: None,
            awaiting: None,
            challenge: rules::ticket::challenge_of(text),
            wants_email,
        })
    }

    /// The interaction as a text for URLs and hidden fields.
    pub fn seal_interaction(&self, interaction: &Interaction) -> Result<String, Failure> {
        let plain = serde_json::to_vec(interaction).map_err(internal)?;
        Ok(base64url::encode(self.identity.keys.seal(&plain, "claims interaction", &*self.identity.randomness)?))
    }

    /// Opens it for the browser that it belongs to.
    pub fn open_interaction(&self, text: &str, form_cookie: &str) -> Result<Interaction, Failure> {
        let refuse = || {
            Failure::Refused(Refusal::new(
                ErrorCode::InvalidRequest,
                "this page has expired: go back to the application and start again",
            ))
        };
        let sealed = base64url::decode(text).ok_or_else(refuse)?;
        let plain = self.identity.keys.open(&sealed, "claims interaction").ok_or_else(refuse)?;
        let interaction: Interaction = serde_json::from_slice(&plain).map_err(internal)?;
        let same_browser = interaction.browser == browser_of(form_cookie);
        if same_browser && self.now() < interaction.ticket.expires { Ok(interaction) } else { Err(refuse()) }
    }

    /// Mails a code to an address that the person says is hers.
    pub async fn send_code(&self, mut interaction: Interaction, address: &str, from: &str) -> Result<Interaction, Failure> {
        let Some(normalized) = email::normalize(address.trim()) else {
            return Failure::refuse(ErrorCode::InvalidRequest, "that is no e-mail address: write it like name@example.org");
        };
        let now = self.now();
        let mailing = Mailing { from, process: &spent_id(&interaction.ticket), to: &normalized };
        let counted = self.codes.count_mail(&mailing, now)?;
        let number = u64::from_be_bytes(jose::ambient::random(&*self.identity.randomness)).checked_rem(CODE_DIGITS).unwrap_or(0);
        let code = format!("{number:08}");
        interaction.awaiting = Some(Awaiting {
            digest: self.code_digest(&interaction, &normalized, &code),
            email: normalized.clone(),
            expires: now.plus(CODE_LIFETIME),
        });
        let message = self.code_message(&interaction, &normalized, &code).await;
        let Ok(message) = message else {
            counted.give_back();
            return message.map(|_| interaction);
        };
        match self.mailer.send(message).await {
            Ok(()) => Ok(interaction),
            Err(unsent) => {
                if unsent.counts_for_nothing() {
                    counted.give_back();
                }
                Err(unsent.into())
            }
        }
    }

    pub(crate) fn code_digest(&self, interaction: &Interaction, email: &str, code: &str) -> String {
        self.identity.keys.keyed_digest("mailed code", format!("{}\0{email}\0{code}", spent_id(&interaction.ticket)).as_bytes())
    }

    /// The address that a code is awaited for.
    pub fn awaited_email(interaction: &Interaction) -> Option<&str> {
        interaction.awaiting.as_ref().map(|awaiting| awaiting.email.as_str())
    }

    /// What would be stated about the person, for her to read before she agrees.
    pub fn claims_to_share(&self, interaction: &Interaction, account: Option<&Account>) -> Vec<(String, Value)> {
        let mut claims = Vec::new();
        if let Some(account) = account {
            // what somebody calls himself at a provider is no word of this server
            claims.extend((!account.is_of_provider()).then(|| ("name".to_owned(), json!(account.display_name()))));
            claims.push(("preferred_username".to_owned(), json!(account.username)));
            claims.extend(account.verified_email().map(|email| ("email".to_owned(), json!(email))));
        } else if let Some(email) = &interaction.proven_email {
            claims.push(("email".to_owned(), json!(email)));
        }
        claims
    }

    /// The person agreed: claims join the process, and the browser goes back with the next ticket.
    pub async fn finish_interaction(&self, interaction: &Interaction, known: &Known<'_>, keep: bool) -> Result<String, Failure> {
        for _ in 0..RETRIES {
            let mut step = self.next_step(interaction, known, keep).await?;
            let line = self.write_gathered(interaction, known, &mut step).await?;
            let done = self.store.commit(step.changes).await;
            if let (Err(_), Some(line)) = (&done, line) {
                line.give_back();
            }
            match done {
                Ok(()) => {
                    return Ok(self.redirect(
                        &interaction.redirect_uri,
                        &[("ticket", &step.ticket)],
                        interaction.state.as_deref(),
                    ));
                }
                Err(CommitError::Spent) => {
                    let what = "this page was answered before: go back to the application";
                    return Failure::refuse(ErrorCode::InvalidRequest, what);
                }
                // what she agreed to was agreed to or ended in another window just now
                Err(CommitError::Taken | CommitError::Changed) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("what she agreed to changes too fast".into()))
    }

    /// The next ticket of the process, and what is written with it.
    async fn next_step(&self, interaction: &Interaction, known: &Known<'_>, keep: bool) -> Result<Step, Failure> {
        let ticket = &interaction.ticket;
        let mut process = match ticket.stored {
            true => self.find_process(ticket).await?.ok_or_else(|| internal("a process has ended meanwhile"))?,
            false => Process { permissions: ticket.permissions.clone(), ..Process::default() },
        };
        self.begin_anew_if_taken_back(&mut process).await?;
        let mut changes = Changes::of_identity(vec![spend(ticket)]);
        self.state_claims(interaction, known, &mut process)?;
        if let Some((_, session)) = known.account.filter(|(account, _)| account.id == ticket.owner) {
            let place = self.find_reached_place(interaction).await?;
            let reach = place.of(interaction, session);
            process.as_owner = Some(self.identity.agree_to_owners_reach(&reach, &mut changes.identity).await?);
        }
        process.keep_claims |= keep;
        let next = ticket.clone().next(interaction.client.clone(), self.now().plus(self.settings.ticket_lifetime));
        let text = self.next_text(next, &process, &mut changes).await?;
        Ok(Step { ticket: text, claims: process.claims.to_object(), changes })
    }

    /// Writes into the owner's history who showed herself, if so much was not written of it already.
    async fn write_gathered(
        &self,
        interaction: &Interaction,
        known: &Known<'_>,
        step: &mut Step,
    ) -> Result<Option<Taken<'_>>, Failure> {
        let (owner, client) = (interaction.owner(), &interaction.client);
        let declared = self.identity.store.find_client(client).await?.is_some_and(|client| client.declared);
        let (network, text) = (&network_of(known.from), &json!(step.claims).to_string());
        let taken = self.history_limits.take(&Line { owner, client, declared, network, text }, self.now());
        // what she does herself is always written
        if taken.is_none() && known.account.is_none_or(|(account, _)| account.id != *owner) {
            return Ok(None);
        }
        let mut event = self.event(owner, types::event::EventKind::ClaimsGathered);
        event.document.client_id = Some(client.clone());
        event.document.claims = std::mem::take(&mut step.claims);
        step.changes.writes.push(crate::Write::AppendEvent(event));
        Ok(taken)
    }

    /// What is said of her joins the process.
    fn state_claims(&self, interaction: &Interaction, known: &Known<'_>, process: &mut Process) -> Result<(), Failure> {
        let (name, account) = (known.subject_of(interaction)?, known.account);
        // protocol.md 1.3: who was somebody else here a step before does not become a second person in one process
        let subject = Subject { iss: self.issuer().clone(), sub: name.clone() };
        if process.requesting_party.admit(subject).is_err() {
            return Failure::refuse(
                ErrorCode::InvalidRequest,
                "somebody else has shown already, in this same request, who they are: go back to the application and start again",
            );
        }
        process.rest_on_word_of(self.now());
        let mut shared = self.claims_to_share(interaction, account.map(|(account, _)| account));
        if interaction.wants_email {
            let email = shared.iter().find(|(claim, _)| claim == "email").and_then(|(_, value)| value.as_str());
            process.wants_email = true;
            process.disclosed_email = email.map(str::to_owned);
        }
        shared.push(("sub".to_owned(), json!(name)));
        let auth_time = account.map(|(_, session)| session.auth_time);
        for (name, value) in shared {
            process.claims.state(Claim { name, value, issuer: self.issuer().clone(), format: ID_TOKEN_FORMAT.into(), auth_time });
        }
        Ok(())
    }

    /// Whether she must log in once more before this client gets what is hers.
    pub async fn needs_log_in_again(&self, interaction: &Interaction, session: &Session) -> Result<bool, Failure> {
        if session.account != *interaction.owner() {
            return Ok(false);
        }
        let place = self.find_reached_place(interaction).await?;
        self.identity.needs_log_in_again(&place.of(interaction, session)).await
    }

    async fn find_reached_place(&self, interaction: &Interaction) -> Result<ReachedPlace, Failure> {
        let gone = || Refusal::new(ErrorCode::InvalidRequest, "this application is not known here any more");
        let client = self.identity.store.find_client(&interaction.client).await?.ok_or_else(gone)?;
        Ok(ReachedPlace { client, resource: self.resource_server_id(&interaction.ticket.resource_server).await? })
    }

    /// The person refused.
    pub async fn refuse_interaction(&self, interaction: &Interaction) -> Result<String, Failure> {
        match self.store.commit(Changes::of_identity(vec![spend(&interaction.ticket)])).await {
            Ok(()) | Err(CommitError::Spent) => {}
            Err(error) => return Err(error.into()),
        }
        let (uri, state) = (&interaction.redirect_uri, interaction.state.as_deref());
        Ok(self.error_redirect(uri, ErrorCode::AccessDenied, "the person refused", state))
    }

    fn error_redirect(&self, uri: &str, error: ErrorCode, what: &str, state: Option<&str>) -> String {
        self.redirect(uri, &[("error", error.as_str()), ("error_description", what)], state)
    }

    /// The URI with parameters added; a query that is there already is kept (3.3.3). It says which server answers, as that of a
    /// log-in does (RFC 9207 2): a client that comes here from another server's page notices.
    fn redirect(&self, uri: &str, parameters: &[(&str, &str)], state: Option<&str>) -> String {
        let Ok(mut url) = Url::parse(uri) else { return uri.to_owned() };
        let own = [("iss", self.issuer().as_str())];
        url.query_pairs_mut().extend_pairs(parameters).extend_pairs(state.map(|state| ("state", state))).extend_pairs(own);
        url.into()
    }
}
