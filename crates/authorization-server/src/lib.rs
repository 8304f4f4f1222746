//! The UMA 2.0 authorization server on top of `identity`: protection API, permission tickets, the
//! UMA grant, claims gathering, policies, access requests, events. A module per endpoint, its
//! [`Store`] trait, no HTTP framework and no SQL. Called by `web` (which speaks HTTP) and the wiring.
//!
//! Every protocol function has four beats: load, decide (in `rules`), save (one
//! [`Store::commit`]), answer. A decision is saved together with what it rests on; if that changed
//! meanwhile, it is loaded and decided again ([`RETRIES`] times).

pub mod access_request;
pub mod acting;
mod approval;
pub mod brought;
pub mod changes;
pub mod claims;
mod claims_client;
pub mod claims_interaction;
mod code_limits;
pub mod code_mail;
pub mod consent_receipt;
pub mod consequences;
pub mod credential;
mod crowds;
mod deciding;
pub mod delegated;
pub mod delegation;
mod digest;
pub mod discovery;
pub mod erasure;
pub mod event;
mod history_limits;
pub mod hot;
pub mod introspection;
pub mod invitation;
pub mod kept_proof;
pub mod linked_manager;
pub mod mailer;
pub mod metadata;
pub mod news;
pub mod note;
pub mod owner_settings;
pub mod page;
mod pen;
pub mod permission;
pub mod policy;
pub mod policy_interaction;
mod policy_room;
pub mod resource;
pub mod revocations;
pub mod sealed_ticket;
pub mod server_level;
pub mod share_mail;
pub mod signed_names;
mod signed_room;
pub mod simulation;
pub mod store;
pub mod token;
mod turns;
mod vouching;

use identity::Identity;
use rules::assessment::NoPolicy;
use std::collections::BTreeMap;
use std::sync::Arc;
use types::{Issuer, OwnerId, Timestamp};

pub use approval::Reach;
pub use changes::{Changes, Requirement, Write};
pub use event::Event;
pub use identity::IssuerKeys;
pub use mailer::Mailer;
pub use server_level::AnyPat;
pub use store::Store;

/// How often a decision is taken anew when what it rests on changes under it.
pub const RETRIES: usize = 5;

/// What the operator sets (`[assessment]`, `[profiles]`, `[[trusted_issuer]]`).
#[derive(Clone, Debug)]
pub struct Settings {
    pub partial_grants: bool,
    pub ticket_lifetime: i64,
    pub rpt_lifetime: i64,
    pub pct_lifetime: i64,
    pub poll_interval: i64,
    pub no_policy: NoPolicy,
    pub request_lifetime: i64,
    pub claim_token_max_age: i64,
    pub revoke_on_ticket_replay: bool,
    pub extensions: bool,
    pub trusted_issuers: BTreeMap<Issuer, TrustedIssuer>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            partial_grants: true,
            ticket_lifetime: 300,
            rpt_lifetime: 600,
            pct_lifetime: 2_592_000,
            poll_interval: 5,
            no_policy: NoPolicy::Ask,
            request_lifetime: 604_800,
            claim_token_max_age: 3600,
            revoke_on_ticket_replay: false,
            extensions: true,
            trusted_issuers: BTreeMap::new(),
        }
    }
}

/// An issuer of claim tokens, with where its keys are.
#[derive(Clone, Debug)]
pub struct TrustedIssuer {
    pub trust: rules::claim::Trust,
    pub keys: IssuerKeys,
}

/// The authorization server.
pub struct AuthorizationServer {
    pub settings: Settings,
    pub identity: Arc<Identity>,
    pub store: Arc<dyn Store>,
    pub mailer: Arc<dyn Mailer>,
    pub(crate) hot: hot::Hot,
    /// Requests as they come and are decided, for whoever listens.
    pub(crate) news: news::Newsroom,
    pub(crate) sealing: tokio::sync::Mutex<event::seal::Sealing>,
    closing: tokio::sync::watch::Sender<bool>,
    pub(crate) digests: digest::Digests,
    /// Turns at each owner's things, and of those who ask her.
    pub(crate) turns: turns::Turns,
    pub(crate) inboxes: turns::Turns,
    /// Of calls that are judged by much.
    pub(crate) heavy: outbound::Lines,
    pub(crate) notices: linked_manager::notices::Notices,
    /// Searches that are being sent.
    pub(crate) searching: discovery::sending::UnderWay,
    /// Proofs of addresses: codes sent, and guesses made.
    pub(crate) codes: code_limits::CodeLimits,
    /// Mails that tell of shares.
    pub(crate) share_mails: share_mail::ShareMails,
    /// Lines that others write into owners' histories.
    pub(crate) history_limits: history_limits::HistoryLimits,
    pub(crate) crowds: crowds::Crowds,
    pub(crate) delegates_changes: policy_room::DelegatesChanges,
    pub(crate) delegates_answers: policy_room::DelegatesAnswers,
    /// Resource servers that wait to be told of revocations.
    pub(crate) polls: revocations::Polls,
    pub(crate) signed_rooms: signed_room::SignedRooms,
}

impl AuthorizationServer {
    pub fn new(settings: Settings, identity: Arc<Identity>, store: Arc<dyn Store>, mailer: Arc<dyn Mailer>) -> Self {
        Self {
            settings,
            identity,
            store,
            mailer,
            hot: hot::Hot::default(),
            news: news::Newsroom::default(),
            sealing: tokio::sync::Mutex::default(),
            closing: tokio::sync::watch::Sender::new(false),
            digests: digest::Digests::default(),
            turns: turns::Turns::default(),
            inboxes: turns::Turns::default(),
            heavy: outbound::Lines::default(),
            notices: linked_manager::notices::Notices::default(),
            searching: discovery::sending::UnderWay::default(),
            codes: code_limits::CodeLimits::default(),
            share_mails: share_mail::ShareMails::default(),
            history_limits: history_limits::HistoryLimits::default(),
            crowds: crowds::Crowds::default(),
            delegates_changes: policy_room::DelegatesChanges::default(),
            delegates_answers: policy_room::DelegatesAnswers::default(),
            polls: revocations::Polls::default(),
            signed_rooms: signed_room::SignedRooms::default(),
        }
    }

    /// The process is about to end: whoever waits for news is sent away.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Waits until then.
    pub async fn closed(&self) {
        // the sender lives as long as this
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.identity.now()
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.identity.settings.issuer
    }
}

/// In whose name something is asked elsewhere for an owner.
pub(crate) fn name_of(owner: &OwnerId) -> String {
    format!("owner {}", owner.as_str())
}
