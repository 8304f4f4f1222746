//! The relationship manager: an owner's one desk over many servers (protocol.md 1, 2). It links the authorization servers
//! and resource servers that she names, shows in one list what she has and who can reach it, shares and withdraws, and
//! answers requests, whoever runs the servers. Served by `wayleave manager`.
//!
//! It knows servers by their standards alone: everything here goes over the wire. What they last said is kept
//! ([`sync`]), so that a slow or dead one never holds up a page; what is asked of them is kept until they confirm it
//! ([`task`]).

mod answering;
mod callers;
mod consent_receipt;
mod delegating;
mod ending;
mod fetched;
mod for_other;
mod guarding;
mod history;
mod holdings;
mod ledger;
mod link;
mod news;
mod notice;
mod pages;
mod passkey;
mod person;
mod renewal;
mod share;
mod signing;
mod store;
mod sync;
mod task;
mod undoing;
mod vault;
mod vault_queue;
mod withdrawing;
mod words;

pub use pages::router;
pub use store::{NAME, Store, StoreAway, StoreClosed};
pub use types::peer::Caller;

use client::{Client, ClientError, Credentials};
use fetched::Fetched;
use holdings::Holdings;
use jose::{Algorithm, KeySet, SigningKey};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use types::Timestamp;
use types::metadata::Metadata;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most servers, and most owners, of whom something is kept in memory.
const KEPT_AT_MOST: usize = 1_000;
/// Seconds that a server's metadata are kept.
const METADATA_KEPT_SECONDS: i64 = 300;

/// What a manager is told by its configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its own URL, without a slash at the end.
    pub url: String,
    /// Name on its pages.
    pub name: String,
    /// Where its people log in.
    pub login: String,
}

/// Something did not work; one sentence for the person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreAway),
    /// A server said no, or something that cannot be right.
    #[error("{0}")]
    Refused(String),
    /// A server does not answer.
    #[error("{0}")]
    Away(String),
    /// A server does not answer where nothing was to be changed.
    #[error("{0}")]
    NotFound(String),
    /// She does more at once than one person does.
    #[error("{0}")]
    TooMany(String),
    /// Too many people do something slow right now.
    #[error("{0}")]
    Busy(String),
}

impl Trouble {
    /// The same of a call that changes nothing: where no answer came, there is nothing that may have been done.
    pub(crate) fn of_a_look(self) -> Self {
        match self {
            Self::Away(what) => Self::NotFound(format!("{what}. Nothing was linked: look at the address, and try again.")),
            other => other,
        }
    }
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Outbound(_) | ClientError::NotNow { .. } => Self::Away(error.to_string()),
            ClientError::Protocol(_) | ClientError::UnnamedResource | ClientError::Refused { .. } | ClientError::NotTold(_) => {
                Self::Refused(error.to_string())
            }
        }
    }
}

/// How often something of an owner's has changed, and what is known of her, once somebody looked.
type Looked = (u64, Option<Arc<Holdings>>);

/// A relationship manager.
pub struct Manager {
    pub settings: Settings,
    store: Store,
    /// For everything it says elsewhere; without credentials.
    client: Client,
    /// What it authenticates with at servers that it registered with.
    key: Arc<SigningKey>,
    /// The client at its log-in, where the configuration has one.
    login_client: Option<Credentials>,
    /// Metadata of servers, and what this desk is at those where it registered; by issuer.
    metadata: Fetched<Arc<Metadata>>,
    registrations: Fetched<String>,
    registering: person::Registering,
    /// Keys of servers that send notices, by URL.
    keys: Fetched<Arc<KeySet>>,
    /// Whom anybody may make it ask.
    callers: callers::Callers,
    /// What is known of each owner, made when it is first looked at; the number changes with each change below it.
    holdings: Mutex<HashMap<String, Looked>>,
    /// Links that are, or were, being read anew.
    reading: Mutex<HashMap<(String, String), Arc<sync::Reading>>>,
    /// Keys that are open, and who guesses.
    vault: Mutex<vault::Vault>,
    /// What was shown to be signed.
    prepared: Mutex<HashMap<String, signing::Prepared>>,
    /// What pages tell of what was done.
    notes: Mutex<undoing::Notes>,
    /// Requests for a policy that were answered, until they run out.
    answered: Mutex<HashMap<String, Timestamp>>,
    /// The line before slow derivations of keys.
    slow: vault_queue::VaultQueue,
    /// Servers that are being asked for what is on its way.
    tending: Mutex<HashSet<store::OwnersServer>>,
    /// One at a time renews the tokens of a link.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<link::Turn>>>>,
    renewals: client::renewals::Renewals<store::LinkName>,
    myself: Weak<Self>,
    csrf: [u8; 32],
    /// Whoever has a page open.
    news: news::News,
    /// The time that a reading was given last.
    read_last: AtomicI64,
    closing: watch::Sender<bool>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Manager {
    /// Waits until another process serves this desk's store: then this one stops.
    pub async fn is_taken_over(&self) {
        self.store.is_taken_over().await;
    }

    /// Whether no other process can have begun to serve this desk's store. While it is not so, nothing is answered.
    pub fn is_sure(&self) -> bool {
        self.store.is_sure()
    }

    /// The last that it does: whoever serves its store next need not wait for it.
    pub async fn leave_store(&self) {
        self.store.leave().await;
    }

    /// `client` carries the way out, clock and randomness; `login_client` the credentials at the log-in, if they are
    /// configured.
    pub async fn open(
        settings: Settings,
        client: Client,
        login_client: Option<Credentials>,
        store: Store,
    ) -> Result<Arc<Self>, StoreClosed> {
        store.check_key().await?;
        store.note_served_as(&settings.url).await?;
        let key = store.secret("client key", || SigningKey::generate(Algorithm::Es256).ok()?.to_pkcs8().ok()).await?;
        let bound = store.secret("dpop key", || SigningKey::generate(Algorithm::Es256).ok()?.to_pkcs8().ok()).await?;
        let read = |pkcs8: &[u8]| SigningKey::from_pkcs8(Algorithm::Es256, pkcs8).map(Arc::new).map_err(|_| StoreAway);
        let csrf = jose::ambient::random(&*client.randomness);
        let client = Client { credentials: Credentials::none(), dpop_key: Some(read(&bound)?), ..client };
        let key = read(&key)?;
        Ok(Arc::new_cyclic(|myself| Self {
            settings,
            store,
            client,
            key,
            login_client,
            metadata: Fetched::kept_for(METADATA_KEPT_SECONDS),
            registrations: Fetched::kept_for(METADATA_KEPT_SECONDS),
            registering: person::Registering::default(),
            keys: Fetched::kept_for(fetched::FAILURE_KEPT_SECONDS),
            callers: callers::Callers::default(),
            holdings: Mutex::default(),
            reading: Mutex::default(),
            tending: Mutex::default(),
            turns: Mutex::default(),
            renewals: client::renewals::Renewals::default(),
            myself: myself.clone(),
            vault: Mutex::default(),
            prepared: Mutex::default(),
            notes: Mutex::default(),
            answered: Mutex::default(),
            slow: vault_queue::VaultQueue::default(),
            csrf,
            news: news::News::default(),
            read_last: AtomicI64::default(),
            closing: watch::Sender::new(false),
        }))
    }

    /// Ends what would go on for ever. Called by the wiring when it is time to stop.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    async fn closed(&self) {
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    fn now(&self) -> Timestamp {
        self.client.clock.now()
    }

    fn new_id(&self) -> String {
        store::new_id(&*self.client.randomness)
    }

    fn callback(&self) -> String {
        format!("{}/callback", self.settings.url)
    }

    /// The metadata of an authorization server: UMA's where it has them, else OpenID's.
    async fn metadata_of(&self, issuer: &str) -> Result<Arc<Metadata>, Trouble> {
        let client = self.client.at(issuer);
        let fetch = async {
            match client.discover(issuer).await {
                Err(ClientError::Protocol(_)) => Ok(Arc::new(client.discover_openid(issuer).await?)),
                other => Ok(Arc::new(other?)),
            }
        };
        self.metadata.get(&*self.client.clock, issuer, fetch).await
    }

    /// What is on its way: renewals whose answer was lost, and tasks that servers have yet to confirm. Called by the wiring every few seconds.
    pub async fn tend(self: &Arc<Self>) {
        self.repeat_lost_renewals().await;
        self.tend_tasks().await;
    }
}
