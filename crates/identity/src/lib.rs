//! Accounts, sessions, keys, clients, and the OAuth and OpenID provider on them. Knows no UMA:
//! what a UMA server adds comes in through two doors, [`Grant`] (one more `grant_type`, one more
//! kind of token at refresh and revocation) and the [`Store`] it hands in, whose `commit` may add
//! consequences of its own to identity's changes.
//!
//! Called by `authorization-server` and `web`. A gateway or manager that logs people in by itself
//! mounts it without the rest.
//!
//! Every endpoint is a module with the same four beats: load, decide, save (one
//! [`Store::commit`]), answer. To add a grant type: a module in [`token`], a line in
//! [`token::exchange`], its name in [`metadata`].

pub mod access_token;
pub mod account;
pub mod authorization;
pub mod changes;
pub mod client;
pub mod client_authentication;
pub mod consent;
pub mod demands;
pub mod dpop;
pub mod error;
pub mod form;
mod hashing_queue;
pub mod id_token;
pub mod initial_access_token;
pub mod introspection;
pub mod keys;
pub mod known_browser;
pub mod limits;
pub mod log_in_limits;
pub mod login;
pub mod logout;
pub mod metadata;
mod next_step;
pub mod par;
pub mod passkey;
pub mod password;
pub mod pushed_limits;
pub mod redirect_uri;
pub mod registration;
pub mod remote_keys;
pub mod revocation;
pub mod session;
pub mod software_statement;
pub mod store;
pub mod token;
pub mod token_text;
pub mod undeclared;
pub mod unfit;
pub mod upstream;
pub mod userinfo;
pub mod way_back;
pub mod ways_in;
pub mod webfinger;

use jose::{Clock, Randomness};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use types::{ClientId, Issuer, Timestamp};

pub use account::Account;
pub use changes::{Changes, Requirement, SpentId, Write};
pub use client::Client;
pub use client_authentication::AuthenticatedClient;
pub use error::{Failure, internal};
pub use form::Form;
pub use keys::Keys;
pub use software_statement::IssuerKeys;
pub use store::{CommitError, Store};
pub use token::Grant;
pub use token_text::TokenKey;
pub use types::ReadError;
pub use unfit::Unfit;

/// What the operator sets.
#[derive(Clone, Debug)]
pub struct Settings {
    pub issuer: Issuer,
    /// Seconds that access tokens (PAT, PMT, RMT) live.
    pub access_token_lifetime: i64,
    /// Seconds that a refresh token lives; each use starts it anew.
    pub refresh_token_lifetime: i64,
    pub login_attempts_per_minute: u32,
    /// Requests of one client to the token endpoint.
    pub requests_per_minute_per_client: u32,
    /// Whether strangers may register clients (RFC 7591).
    pub open_registration: bool,
    /// Whose word on software counts (RFC 7591 2.3).
    pub software_statement_issuers: BTreeMap<Issuer, IssuerKeys>,
}

/// The provider: settings, its store, and the ambient it runs in.
pub struct Identity {
    pub settings: Settings,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
    pub keys: Keys,
    pub outbound: outbound::Outbound,
    pub passwords: password::Passwords,
    pub dpop: dpop::Memory,
    pub pushed_limits: pushed_limits::PushedLimits,
    pub log_in_limits: log_in_limits::LogInLimits,
    pub limits: limits::Limits,
    pub remote_keys: remote_keys::RemoteKeys,
    /// Other providers whose people may log in here; put there by the wiring.
    pub upstream: Vec<Arc<dyn upstream::Upstream>>,
    /// Where the next round of registrations begins.
    pub(crate) sweeping: Mutex<Option<ClientId>>,
    pub(crate) uses: client_authentication::Uses,
    pub(crate) unfit: unfit::UnfitLog,
}

impl Identity {
    pub fn new(
        settings: Settings,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
        keys: Keys,
        outbound: outbound::Outbound,
    ) -> Self {
        let started = clock.now();
        Self {
            log_in_limits: log_in_limits::LogInLimits::per_minute(settings.login_attempts_per_minute),
            limits: limits::Limits::new(settings.requests_per_minute_per_client),
            dpop: dpop::Memory::new(started, &*randomness),
            pushed_limits: pushed_limits::PushedLimits::default(),
            passwords: password::Passwords::default(),
            remote_keys: remote_keys::RemoteKeys::default(),
            upstream: Vec::new(),
            sweeping: Mutex::default(),
            uses: client_authentication::Uses::default(),
            unfit: unfit::UnfitLog::default(),
            settings,
            store,
            clock,
            randomness,
            keys,
            outbound,
        }
    }

    /// With other providers whose people may log in here.
    #[must_use]
    pub fn with_upstream(self, upstream: Vec<Arc<dyn upstream::Upstream>>) -> Self {
        Self { upstream, ..self }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn issuer(&self) -> &str {
        self.settings.issuer.as_str()
    }

    /// An endpoint's URL.
    pub fn url(&self, path: &str) -> String {
        types::path::appended_well_known(self.issuer(), path)
    }

    /// A short random id, 128 bits in base64url.
    pub fn random_id(&self) -> String {
        jose::ambient::random_text::<16>(&*self.randomness)
    }

    /// The text of a new token ([`token_text::mint`]).
    pub fn mint(&self, kind: token_text::TokenKind, of: &str, expires: Timestamp) -> String {
        token_text::mint(kind, of, expires, &*self.clock, &*self.randomness)
    }

    /// An id that begins with the millisecond of now, so that rows of what happens together lie together; 112 bits of it are random.
    pub fn timed_id(&self) -> [u8; 20] {
        let mut id: [u8; 20] = jose::ambient::random(&*self.randomness);
        let [_, _, millis @ ..] = self.clock.now_millis().to_be_bytes();
        id.iter_mut().zip(millis).for_each(|(byte, of_time)| *byte = of_time);
        id
    }

    /// The hidden field of every form, bound to the visitor's form cookie and to her session (Grant 5.1): a log-in makes
    /// another, and whoever brings a cookie and token of his own passes no form in somebody's session.
    pub fn form_token(&self, form_cookie: &str, session: Option<&session::Session>) -> String {
        let session = session.map(|session| session.id.as_str()).unwrap_or_default();
        self.keys.keyed_digest("form", [form_cookie.as_bytes(), b"\0", session.as_bytes()].concat().as_slice())
    }

    /// Whether a form brought it.
    pub fn is_form_token(&self, sent: &str, form_cookie: &str, session: Option<&session::Session>) -> bool {
        jose::digest::equal(self.form_token(form_cookie, session).as_bytes(), sent.as_bytes())
    }
}
