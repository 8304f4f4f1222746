//! The gateway: a resource server in front of a folder or any HTTP service (`operations.md`
//! "[gateway]", protocol.md 2.1).
//!
//! A request goes: [`path`] (one canonical form, judged and forwarded alike), the gateway's own
//! places, [`route`] (what it needs, of whom), [`admission`] (what is registered of it and where, the guard; strangers wait in
//! [`questions`]; what everybody may see goes by [`public`]; a person with a browser is led by [`browser`]), [`passage`] with
//! what it reaches beside its path ([`elsewhere`], [`below`]), and then [`backend`], which is told who calls ([`identity`]) and
//! whose places are ours ([`relocation`]) - or back with a challenge ([`tickets`]). Where a proxy makes the calls, it asks first
//! ([`forward_auth`]). What a folder holds is shown to people by [`viewer`]. Beside it stand [`link`] (owners' PATs),
//! [`registration`] with what is done in the background ([`enrolment`], [`backlog`]), and the owner's side, [`management`], with
//! what applications of hers [`brought`].

mod admission;
mod alone;
mod attempts;
mod authority;
mod backend;
mod backlog;
mod below;
mod beneath;
mod brought;
mod browser;
mod content;
mod cors;
mod credential_keys;
mod discovery;
mod documents;
mod elsewhere;
mod enrolment;
mod fields;
mod folder;
mod forward_auth;
mod givers;
mod history;
mod identity;
mod link;
mod management;
mod operation;
mod own_key;
mod owner;
#[doc(hidden)]
pub mod parsers;
mod part_files;
mod passage;
mod peer;
mod pending;
mod public;
mod questions;
mod reach;
mod registration;
mod relocation;
mod route;
mod settings;
mod store;
mod strangers;
mod streams;
mod tickets;
mod told;
mod tunnel;
mod unlinked;
mod upstream;
mod viewer;

use crate::challenge::plain;
use crate::fetched_keys::FetchedKeys;
use crate::guard::Need;
use crate::matching::Matching;
use crate::path;
use crate::presentation;
use crate::protection::ProtectionError;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use backend::Backend;
use client::{Client, Credentials};
use http::{HeaderValue, StatusCode, header, request::Parts};
use jose::dpop::Seen;
use jose::possession::{Challenger, SpentAnswers};
use jose::seal::SealingKey;
use jose::{Algorithm, SigningKey};
use passage::Passing;
use peer::Peer;
use quick_cache::sync::Cache;
use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError, RwLock, Weak};
use std::time::Instant;
use tokio::sync::Mutex;
use types::Timestamp;
use url::Url;

pub use browser::check_content_origin;
use folder::Active;
pub use management::{Application, Management, OwnLogIn, OwnToken, Sent, Unfit};
pub use owner::FromTrustedProxy;
use route::Matched;
pub use route::{Access, Guarded, MethodScopes, OwnerOf, Pattern, Route, find_hidden, parse_method};
pub use settings::{Behind, Check, OriginalIn, PatBy, Settings, Trust};
pub use store::{NAME, Store, StoreError};
pub use types::peer::Caller;
pub use viewer::process::run_thumbnail_process;

/// Its public key.
const JWKS: &str = "/.wayleave/jwks";

/// Where authorization servers ask whether somebody is known here.
const DISCOVER: &str = "/.wayleave/discover";

/// How this gateway knows people by itself.
#[derive(Clone, Default)]
pub struct By {
    /// A log-in of its own.
    pub own_log_in: Option<Arc<dyn OwnLogIn>>,
    /// Its records.
    pub matching: Option<Arc<dyn Matching>>,
    /// As whom it leads people with browsers, at the authorization servers that the operator lists.
    pub browser_client: Option<Credentials>,
}

/// What a call is about, and whose it is.
struct Wanted {
    owner: String,
    /// By the gateway's own ids.
    needs: Arc<[Need]>,
    takes_web_sockets: bool,
    /// Whether whoever calls chooses what a new resource is called, and nobody else has spoken for it.
    is_named_by_caller: bool,
}

/// The gateway.
pub struct Gateway {
    settings: Settings,
    /// `resource`, as it is read; none: nothing is within it.
    resource: Option<Url>,
    /// Where what it says of itself is read.
    metadata_path: String,
    routes: RwLock<Arc<Vec<Route>>>,
    client: Client,
    /// By which it proves itself where nobody configured it.
    key: Arc<SigningKey>,
    store: Store,
    backend: Backend,
    /// Who tells the service behind who calls.
    identities: Option<identity::Identities>,
    myself: Weak<Self>,
    /// Authorization servers that were found.
    peers: RwLock<HashMap<String, Arc<Peer>>>,
    /// Those that let everybody wait, and until when they are left alone.
    resting: StdMutex<HashMap<String, Instant>>,
    /// Questions for strangers that are under way.
    questions: questions::Questions,
    /// When the log was last told that one is away.
    told_away: StdMutex<HashMap<String, Instant>>,
    /// Owners of whom the log was told that they have not linked.
    unlinked: unlinked::ToldUnlinked,
    /// Who gave a token.
    givers: givers::Givers,
    /// Owners that were looked up and when, by where and for which path.
    owners: Cache<[u8; 32], (Instant, String)>,
    /// Owners' tokens whose signature held.
    signed: Cache<[u8; 32], Arc<authority::Signed>>,
    credential_keys: credential_keys::CredentialKeys,
    rmts: management::Tokens,
    /// Who logs owners in here, where nobody else does.
    own_log_in: Option<Arc<dyn OwnLogIn>>,
    /// Who knows this server's people, where it cannot log them in.
    matching: Option<Arc<dyn Matching>>,
    /// Discovery tokens that were seen, and until when that is remembered.
    discovered: StdMutex<HashMap<String, Timestamp>>,
    looking: Arc<tokio::sync::Semaphore>,
    /// Keys of authorization servers that look for somebody.
    server_keys: StdMutex<HashMap<String, Arc<FetchedKeys>>>,
    open: history::Open,
    /// What those without a token made it do.
    strangers: strangers::Strangers,
    /// DPoP proofs that were seen, of whichever token.
    proofs: Arc<Seen>,
    introductions: link::Introductions,
    /// Accounts that somebody logged in with, and has not said yet whether to link.
    waiting: link::WaitingAccounts,
    finished_links: link::Finished,
    /// Seals what a browser keeps for it while somebody links.
    sealing: SealingKey,
    browsers: browser::Browsers,
    challenger: Challenger,
    /// Its key is of this process, so what was answered before a restart is no answer after it.
    answers: SpentAnswers,
    /// One at a time renews a PAT of an owner, or introduces this gateway.
    turns: Mutex<HashMap<String, Arc<Mutex<()>>>>,
    backlog: backlog::Backlog,
    contents: content::Contents,
    /// Calls about which a proxy asked a moment ago.
    recent: forward_auth::Recent,
    viewer: viewer::Viewer,
}

/// Turns that are kept before a look which of them somebody has.
const MOST_TURNS: usize = 1_000;

impl Gateway {
    /// Brings an older store along, and makes its key where there is none.
    pub async fn open(settings: Settings, client: Client, store: Store, by: By) -> Result<Arc<Self>, ProtectionError> {
        if let Some(issuer) = settings.authorization_servers.first() {
            store.adopt(issuer).await?;
        }
        store.note_served_as(&settings.resource).await?;
        let refused = |error: &dyn std::fmt::Display| ProtectionError::Refused(error.to_string());
        let (pkcs8, is_new) = own_key::find_or_make(&store).await?;
        // nobody was here before a key that is new
        let now = Timestamp(client.clock.now_millis().div_euclid(1_000));
        let began = if is_new { Timestamp(0) } else { now.plus(1) };
        let key = Arc::new(SigningKey::from_pkcs8(Algorithm::Es256, &pkcs8).map_err(|error| refused(&error))?);
        let sealing = own_key::sealing_key(&pkcs8).map_err(|error| refused(&error))?;
        let browsers = browser::Browsers::new(&settings.resource, &pkcs8, by.browser_client).map_err(|error| refused(&error))?;
        let proofs = Arc::new(Seen::since(began));
        let gateway = Arc::new_cyclic(|myself| Self {
            routes: RwLock::new(Arc::new(settings.routes.clone())),
            backend: Backend::new(&settings.behind, &settings.resource, &client),
            answers: SpentAnswers::default(),
            challenger: Challenger::new(jose::ambient::random(&*client.randomness)),
            rmts: management::Tokens::new(&settings.resource, proofs.clone()),
            own_log_in: by.own_log_in,
            matching: by.matching,
            discovered: StdMutex::default(),
            looking: discovery::looking(),
            server_keys: StdMutex::default(),
            resource: Url::parse(&settings.resource).ok(),
            metadata_path: documents::metadata_path(&settings.resource),
            identities: identity::Identities::of(&settings, &key),
            viewer: viewer::Viewer::open(&settings),
            settings,
            client,
            key,
            store,
            myself: myself.clone(),
            peers: RwLock::default(),
            resting: StdMutex::default(),
            questions: questions::Questions::default(),
            told_away: StdMutex::default(),
            unlinked: unlinked::ToldUnlinked::default(),
            givers: givers::Givers::default(),
            owners: Cache::new(10_000),
            signed: Cache::new(10_000),
            credential_keys: credential_keys::CredentialKeys::default(),
            open: history::Open::default(),
            strangers: strangers::Strangers::default(),
            proofs,
            introductions: link::Introductions::default(),
            waiting: link::WaitingAccounts::default(),
            finished_links: link::Finished::default(),
            sealing,
            browsers,
            turns: Mutex::default(),
            backlog: backlog::Backlog::default(),
            contents: content::Contents::default(),
            recent: forward_auth::Recent::default(),
        });
        gateway.backend.sweep();
        Ok(gateway)
    }

    fn routes(&self) -> Arc<Vec<Route>> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes other routes from now on; calls that are under way end under the old ones.
    pub fn replace_routes(&self, routes: Vec<Route>) {
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routes);
    }

    /// Waits, a second at most, until what the process before this one may have seen is told by its time from what is new.
    pub async fn wait_for_new_proofs(&self) {
        let began = self.proofs.began().0.saturating_mul(1_000);
        let left = began.saturating_sub(self.client.clock.now_millis()).clamp(0, 1_000);
        tokio::time::sleep(std::time::Duration::from_millis(left.unsigned_abs())).await;
    }

    /// As a router, for the wiring to serve.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new().fallback(answer).with_state(self)
    }

    async fn turn(&self, owner: &str) -> Arc<Mutex<()>> {
        let mut turns = self.turns.lock().await;
        // names of owners can be made up: what nobody waits for is not kept
        if turns.len() >= MOST_TURNS && !turns.contains_key(owner) {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        turns.entry(owner.to_owned()).or_default().clone()
    }

    /// Whether a path is the gateway's own, and no route's.
    fn is_own(&self, path: &path::CanonicalPath) -> bool {
        let own = path.encoded();
        let begins = |with: &str| own.starts_with(with);
        own == self.metadata_path || begins("/.wayleave/") || begins("/.well-known/oauth-protected-resource")
    }

    /// Whether any route can belong to this owner.
    fn has_owner(&self, owner: &str) -> bool {
        self.routes().iter().any(|route| route.may_belong_to(owner))
    }

    /// Whose a call is and what it needs, or the answer that goes back in its place.
    async fn wanted(&self, parts: &mut Parts, path: &path::CanonicalPath) -> Result<Wanted, Box<Response>> {
        let missing = || Box::new(plain(StatusCode::NOT_FOUND, "Nothing is here."));
        let routes = self.routes();
        let found = match self.may_be_shown(parts, path) {
            true => route::find_collection(&routes, path),
            false => route::find(&routes, path),
        };
        let Some(Matched::Guarded(matched)) = found else { return Err(missing()) };
        let Some(needs) = matched.needs(|route| route.scopes.get(parts.method.as_str())) else {
            return Err(Box::new(not_allowed(&matched.route.scopes.allowed())));
        };
        if needs.iter().any(|need| need.resource.as_str().len() > types::OwnResourceId::MOST_BYTES) {
            return Err(Box::new(plain(StatusCode::URI_TOO_LONG, "This name is too long: nothing is kept by it.")));
        }
        let owner = self.one_owner_of(&matched, parts, path).await.map_err(|error| {
            tracing::warn!(%error, "nobody says whose this is");
            Box::new(plain(StatusCode::SERVICE_UNAVAILABLE, "It cannot be told whose this is right now: try again."))
        })?;
        let owner = owner.ok_or_else(missing)?;
        let (takes_web_sockets, is_named_by_caller) = (matched.route.takes_web_sockets, matched.route.is_named_by_caller());
        Ok(Wanted { owner, needs, takes_web_sockets, is_named_by_caller })
    }
}

/// This method is not let through; these are.
fn not_allowed(methods: &str) -> Response {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "This cannot be done here.");
    let allowed = HeaderValue::from_str(methods).ok();
    response.headers_mut().extend(allowed.map(|allowed| (header::ALLOW, allowed)));
    response
}

async fn answer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let mut scripting = gateway.scripting(&request);
    if let Some(preflight) = scripting.as_mut().and_then(|scripting| scripting.preflight.take()) {
        return preflight;
    }
    let mut answer = answer_call(gateway, request).await;
    if let Some(scripting) = scripting {
        scripting.write(answer.headers_mut());
    }
    answer
}

async fn answer_call(gateway: Arc<Gateway>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if gateway.is_for_content(&parts) {
        return Box::pin(gateway.serve_content(parts)).await;
    }
    // an id of a resource is a path, and stands encoded in the paths of management
    if management::is_managed(parts.uri.path()) {
        let below = parts.uri.path().strip_prefix(management::BASE).unwrap_or_default().to_owned();
        // what has begun is carried out, also when nobody waits for the answer any more
        let managed = tokio::spawn(async move { gateway.manage(&parts, body, &below).await });
        return managed.await.unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR, "This did not work: look again."));
    }
    // what a proxy asks about is another call, and looked at there
    if !forward_auth::is_ask(parts.uri.path())
        && let Err(ambiguous) = presentation::check(&parts)
    {
        return *ambiguous.answer();
    }
    let Ok(path) = path::CanonicalPath::parse(parts.uri.path()) else {
        let what = "This path is ambiguous: write it without empty segments, dots, encoded slashes and semicolons.";
        let answer = plain(StatusCode::BAD_REQUEST, what);
        return if browser::is_navigation(&parts) { gateway.in_words(&answer) } else { answer };
    };
    match path.encoded() {
        own if own == gateway.metadata_path => gateway.metadata(),
        JWKS => gateway.jwks(),
        // each is boxed by itself: a call would carry the room of the largest with it, wherever it is moved
        DISCOVER => Box::pin(discovery::discover(&gateway, &parts, body)).await,
        "/.wayleave/link" => Box::pin(link::link(&gateway, &parts, body)).await,
        "/.wayleave/linked" => Box::pin(link::linked(&gateway, &parts)).await,
        "/.wayleave/callback" => Box::pin(link::callback(&gateway, &parts)).await,
        "/.wayleave/visit" => Box::pin(gateway.visit(&parts, body)).await,
        "/.wayleave/" => Box::pin(gateway.start(&parts)).await,
        "/.wayleave/visit/news" => Box::pin(gateway.news(&parts)).await,
        "/.wayleave/yours" => Box::pin(gateway.yours(&parts, body)).await,
        "/.wayleave/logout" => Box::pin(gateway.log_out(&parts, body)).await,
        own if let Some(place) = own.strip_prefix("/.wayleave/visit/") => Box::pin(gateway.visit_from(&parts, place)).await,
        own if let Some(asset) = browser::asset(own) => asset,
        own if forward_auth::is_ask(own) => Box::pin(gateway.forward_auth(parts)).await,
        _ if gateway.is_own(&path) => plain(StatusCode::NOT_FOUND, "Nothing is here."),
        _ => match gateway.public_methods(&path).or_else(|| gateway.public_collection(&parts, &path)) {
            Some(methods) => Box::pin(gateway.public(parts, body, &path, &methods)).await,
            None => Box::pin(gateway.guarded(parts, body, &path)).await,
        },
    }
}

#[cfg(test)]
mod tests;
