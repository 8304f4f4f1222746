//! The log-in that a gateway has by itself where no other issuer is configured for its management (protocol.md 2,
//! `operations.md` "[gateway.management]"), and a manager where its `login` is `built-in`: `identity` mounted below
//! `/.wayleave/login`, with the accounts and clients of the configuration, in a store of its own.

use crate::assemble::Sealed;
use crate::commands::gateway::is_sealed;
use crate::config::{ClientConfig, Config, GatewayConfig, ManagerConfig};
use crate::{Exit, assemble, declared, whole_file};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use database::Location;
use http::Request;
use identity::access_token::Presented;
use identity::{Failure, Identity, Keys};
use jose::{Clock, SystemClock, SystemRandomness};
use resource_server::ProtectionError;
use resource_server::gateway::{self, Application, OwnLogIn, OwnToken, Sent, Unfit};
use std::convert::Infallible;
use std::sync::Arc;
use tower::{ServiceExt, service_fn};
use types::{ErrorCode, Refusal};

/// The path of its issuer.
const BASE: &str = "/.wayleave/login";
/// Where RFC 8414 puts the metadata of an issuer with a path.
const INSERTED: &str = "/.well-known/oauth-authorization-server/.wayleave/login";
/// The client that stands for the gateway itself, so that it can be named as `resource`.
const GATEWAY: &str = "wayleave-gateway";
/// The client that a manager is at its own log-in: public, with PKCE.
pub const MANAGER: &str = "wayleave-manager";

/// The party that logs people in by itself.
struct Party<'a> {
    /// Its own URL.
    url: &'a str,
    /// Where the party keeps what it knows; the log-in is kept beside it.
    store: Location,
    /// The log-in's schema, where that is a database.
    schema: &'static str,
    /// The party's own there, if it is sealed with the same key.
    sealed: Option<&'static str>,
    name: String,
    /// What it is as a client of its own log-in.
    client: ClientConfig,
}

/// What a gateway is as a client of its own log-in.
pub(crate) fn client_of_gateway(section: &GatewayConfig) -> ClientConfig {
    ClientConfig { client_id: GATEWAY.into(), resource: Some(section.resource.clone()), ..ClientConfig::default() }
}

/// What a manager is as a client of its own log-in.
pub(crate) fn client_of_manager(section: &ManagerConfig) -> ClientConfig {
    ClientConfig {
        client_id: MANAGER.into(),
        name: Some(section.name.clone()),
        grant_types: vec!["authorization_code".into()],
        scope: "openid profile email".into(),
        redirect_uris: vec![format!("{}/callback", section.url)],
        ..ClientConfig::default()
    }
}

/// Names of schemas of log-ins in a database.
const SCHEMA_OF_GATEWAY: &str = "wayleave_gateway_login";
const SCHEMA_OF_MANAGER: &str = "wayleave_manager_login";

/// Where the log-in of a party is that keeps its things here; in a database it has a schema of its own.
fn location_beside(location: &Location) -> Location {
    match location {
        Location::File(path) => Location::File(path.with_extension("login.db")),
        other => other.clone(),
    }
}

/// The store of the log-in of a party that has this one.
pub(crate) fn store_beside(store: &str) -> String {
    match store.strip_prefix("sqlite:") {
        Some(path) => format!("sqlite:{}", std::path::Path::new(path).with_extension("login.db").display()),
        None => store.to_owned(),
    }
}

/// A party's own log-in.
pub struct LogIn {
    pub identity: Arc<Identity>,
    pub site: web::Site,
    resource: String,
}

impl LogIn {
    /// Its issuer, for a party of this URL.
    pub fn issuer_of(url: &str) -> String {
        format!("{url}{BASE}")
    }

    /// A gateway's.
    pub async fn open(config: &Config, section: &GatewayConfig) -> Result<Self, Exit> {
        let client = client_of_gateway(section);
        let store = assemble::location(config, "gateway.store", &section.store())?;
        let name = section.name.clone().unwrap_or_else(|| section.client_id.clone());
        // a store of before has no key yet, and then none is missing
        let sealed = is_sealed(&store)?.then_some(gateway::NAME);
        Self::of(config, Party { url: &section.resource, store, schema: SCHEMA_OF_GATEWAY, sealed, name, client }).await
    }

    /// A manager's.
    pub async fn of_manager(config: &Config, section: &ManagerConfig) -> Result<Self, Exit> {
        let store = assemble::location(config, "manager.store", &section.store())?;
        let (client, name) = (client_of_manager(section), section.name.clone());
        Self::of(
            config,
            Party { url: &section.url, store, schema: SCHEMA_OF_MANAGER, sealed: Some(relationship_manager::NAME), name, client },
        )
        .await
    }

    /// Opens its store, and brings accounts and clients in line.
    async fn of(config: &Config, party: Party<'_>) -> Result<Self, Exit> {
        let location = location_beside(&party.store);
        let key = match &location {
            Location::Memory => jose::ambient::random(&SystemRandomness),
            beside => {
                let own = party.sealed.map(|schema| Sealed { location: &party.store, schema });
                let beside = Sealed { location: beside, schema: party.schema };
                let stores: Vec<_> = own.into_iter().chain([beside]).collect();
                assemble::read_key_file(config, &SystemRandomness, &stores).await?
            }
        };
        location.file().into_iter().for_each(|file| whole_file::sweep(file));
        let store = assemble::open_store(&location, party.schema).await?;
        let _turn = store.take_turn().await.map_err(Exit::failed)?;
        let keys = Keys::new(key).map_err(Exit::failed)?;
        keys.load(&store, &SystemClock, &SystemRandomness).await.map_err(Exit::failed)?;
        store.note_issuer(&Self::issuer_of(party.url), SystemClock.now()).await.map_err(Exit::failed)?;
        let settings =
            identity::Settings { issuer: Self::issuer_of(party.url).as_str().into(), ..assemble::identity_settings(config)? };
        let (clock, randomness) = (Arc::new(SystemClock), Arc::new(SystemRandomness));
        let outbound = assemble::outbound(config, &[])?;
        let identity = Identity::new(settings, Arc::new(store), clock, randomness, keys, outbound);
        let identity = Arc::new(identity.with_upstream(crate::upstream::of(config)?));
        declared::declare(config, std::slice::from_ref(&party.client), &identity).await?;
        let site = web::log_in_site(Arc::new(web::Provider::alone(identity.clone(), party.name)));
        Ok(Self { identity, site, resource: party.url.to_owned() })
    }
}

#[async_trait]
impl OwnLogIn for LogIn {
    async fn verify(&self, sent: &Sent<'_>) -> Result<OwnToken, Unfit> {
        let presented =
            Presented { token: sent.token, dpop_scheme: sent.bound, dpop: sent.proof, method: sent.method, url: sent.url };
        let token = match self.identity.check_access_token(&presented).await {
            Ok(token) if token.resource.as_ref() == Some(&self.resource) => token,
            Ok(_) => return Err(Unfit::Token { bound: sent.bound }),
            Err(Failure::Refused(refusal)) => return Err(self.unfit(&refusal, sent.bound)),
            Err(_) => return Err(Unfit::Away(ProtectionError::Unreachable)),
        };
        let away = |_| Unfit::Away(ProtectionError::Unreachable);
        let owner = match &token.account {
            Some(id) => self.identity.store.find_account(id).await.map_err(away)?,
            None => None,
        };
        let client = self.identity.store.find_client(&token.client).await.map_err(away)?;
        let application = Application {
            client: Some(token.client.clone()),
            name: client.as_ref().map(|client| client.display_name()),
            grant: token.grant.clone(),
            declared: client.is_some_and(|client| client.declared),
        };
        let owner = owner.map(|account| account.username);
        Ok(OwnToken { scope: token.scope.to_string(), owner, application: Some(application) })
    }

    async fn stands(&self, grant: &str) -> Result<bool, ProtectionError> {
        let found = self.identity.find_managing(&self.resource, grant).await;
        found.map(|found| found.is_some()).map_err(|_| ProtectionError::Unreachable)
    }
}

impl LogIn {
    fn unfit(&self, refusal: &Refusal, bound: bool) -> Unfit {
        match refusal.code {
            ErrorCode::InvalidDpopProof => Unfit::Proof,
            ErrorCode::UseDpopNonce => Unfit::Nonce(self.identity.dpop.nonce(self.identity.now())),
            _ => Unfit::Token { bound },
        }
    }
}

/// The gateway with its log-in before it, where it has one.
pub async fn answer(log_in: Option<Arc<LogIn>>, gateway: Router, request: Request<Body>) -> Result<Response, Infallible> {
    let path = request.uri().path();
    let below = path.strip_prefix(BASE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match log_in.filter(|_| below || path == INSERTED) {
        Some(log_in) => log_in.site.clone().oneshot(request).await,
        None => gateway.oneshot(request).await,
    }
}

/// The same, for the accept loop.
pub fn before(
    log_in: Option<Arc<LogIn>>,
    gateway: Router,
) -> impl tower::Service<
    Request<Body>,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send,
> + Clone
+ Send
+ Sync
+ 'static {
    service_fn(move |request| answer(log_in.clone(), gateway.clone(), request))
}
