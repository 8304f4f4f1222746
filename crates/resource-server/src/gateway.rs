//! The gateway: a resource server in front of a folder or any HTTP service (`operations.md`
//! "[gateway]", protocol.md 2.1).
//!
//! A request goes: [`path`] (one canonical form, judged and forwarded alike), the gateway's own
//! places, [`route`] (what it needs, of whom), [`link`] (the owner's PAT), registration, guard,
//! and then [`backend`] - or back with a challenge.

mod authority;
mod backend;
mod link;
mod management;
mod owner;
mod path;
mod route;
mod store;
mod stream;
mod tunnel;

use crate::challenge::{plain, unauthorized, unreachable};
use crate::guard::{Guard, Need, Presented, Under, Verdict};
use crate::offline::{Offline, PatSource};
use crate::protection::{Protection, ProtectionError};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use backend::Backend;
use client::Client;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use jose::possession::Challenger;
use quick_cache::sync::Cache;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{Mutex, OnceCell};
use types::challenge::UmaChallenge;
use types::metadata::ProtectedResourceMetadata;
use types::{OwnResourceId, ResourceDescription, ScopeSet, Timestamp};

pub use management::Management;
pub use owner::FromTrustedProxy;
pub use route::{OwnerOf, Route};
pub use store::Store;

/// What stands behind the gateway.
#[derive(Clone, Debug)]
pub enum Behind {
    Folder(PathBuf),
    Upstream(String),
}

/// How PATs are got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatBy {
    /// Each owner links once, by code flow.
    Code,
    /// One owner, by client credentials with `acts_for`.
    ClientCredentials,
}

/// How RPTs are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The authorization server is asked, at most once a second for each.
    Introspect,
    /// JWT RPTs are checked here; others as above.
    Offline,
}

/// Whose word counts (protocol.md 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// That of the authorization servers which the operator lists.
    List,
    /// The same, and every permission must carry the owner's own token.
    RotRequired,
}

/// What the operator sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its identifier and public URL, without a slash at the end.
    pub resource: String,
    pub name: String,
    pub behind: Behind,
    pub authorization_server: String,
    pub pat: PatBy,
    pub check: Check,
    pub trust: Trust,
    /// Who may issue RMTs; none: owners manage nothing here.
    pub management: Option<Management>,
    pub owner_claim: String,
    pub routes: Vec<Route>,
}

/// What a call is about, and whose it is.
struct Wanted<'a> {
    matched: &'a route::Matched<'a>,
    owner: &'a str,
}

/// The gateway.
pub struct Gateway {
    settings: Settings,
    routes: RwLock<Arc<Vec<Route>>>,
    client: Client,
    /// Found at the first request that needs it, so that the two may start in any order.
    protection: OnceCell<Protection>,
    guard: Guard,
    store: Store,
    backend: Backend,
    /// Owners that were looked up, by path.
    owners: Cache<String, (Timestamp, String)>,
    /// Owners' tokens whose signature held.
    signed: Cache<[u8; 32], Arc<authority::Signed>>,
    challenger: Challenger,
    /// One at a time per owner renews a PAT or registers.
    turns: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

impl Gateway {
    pub fn new(settings: Settings, client: Client, store: Store) -> Self {
        let backend = Backend::new(&settings.behind);
        let guard = match settings.check {
            Check::Introspect => Guard::default(),
            Check::Offline => Guard::offline(Offline::new(&settings.resource, &client.credentials.client_id)),
        };
        let challenger = Challenger::new(jose::ambient::random(&*client.randomness));
        Self {
            routes: RwLock::new(Arc::new(settings.routes.clone())),
            settings,
            client,
            protection: OnceCell::new(),
            guard,
            store,
            backend,
            owners: Cache::new(10_000),
            signed: Cache::new(10_000),
            challenger,
            turns: Mutex::default(),
        }
    }

    fn routes(&self) -> Arc<Vec<Route>> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes other routes from now on; calls that are under way end under the old ones.
    pub fn replace_routes(&self, routes: Vec<Route>) {
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routes);
    }

    /// As a router, for the wiring to serve.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new().fallback(answer).with_state(self)
    }

    pub(crate) async fn protection(&self) -> Result<&Protection, ProtectionError> {
        let find = || Protection::discover(self.client.clone(), &self.settings.authorization_server);
        self.protection.get_or_try_init(find).await
    }

    async fn turn(&self, owner: &str) -> Arc<Mutex<()>> {
        self.turns.lock().await.entry(owner.to_owned()).or_default().clone()
    }

    /// Whether any route can belong to this owner.
    fn has_owner(&self, owner: &str) -> bool {
        self.routes().iter().any(|route| route.may_belong_to(owner))
    }

    async fn protected(self: &Arc<Self>, mut parts: Parts, body: Body, path: &path::CanonicalPath) -> Response {
        let method = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
        let routes = self.routes();
        let Some(matched) = route::find(&routes, path) else {
            return plain(StatusCode::NOT_FOUND, "Nothing is here.");
        };
        let Some(scopes) = matched.route.scopes.get(method.as_str()) else {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "This cannot be done here.");
            response
                .headers_mut()
                .extend(HeaderValue::from_str(&matched.route.allowed_methods()).ok().map(|v| (header::ALLOW, v)));
            return response;
        };
        let owner = match self.owner_of(&matched, &mut parts, path).await {
            Ok(Some(owner)) => owner,
            Ok(None) => return plain(StatusCode::NOT_FOUND, "Nothing is here."),
            Err(error) => {
                tracing::warn!(%error, "nobody says whose this is");
                return plain(StatusCode::SERVICE_UNAVAILABLE, "It cannot be told whose this is right now: try again.");
            }
        };
        let wanted = Wanted { matched: &matched, owner: &owner };
        match self.admit(&parts, path, &wanted, scopes).await {
            Ok(need) => {
                let token = parts.headers.get(header::AUTHORIZATION).cloned();
                let answer = self.backend.forward(parts, body, path).await;
                stream::watched(self.clone(), answer, owner, token, need)
            }
            Err(response) => *response,
        }
    }

    /// Lets the call pass, or gives the answer that goes back in its place.
    async fn admit(
        self: &Arc<Self>,
        parts: &Parts,
        path: &path::CanonicalPath,
        wanted: &Wanted<'_>,
        scopes: &ScopeSet,
    ) -> Result<Need, Box<Response>> {
        let away = |error: ProtectionError| {
            tracing::warn!(%error, owner = wanted.owner, "no ticket can be had");
            Box::new(unreachable())
        };
        let protection = self.protection().await.map_err(away)?;
        let own_id = OwnResourceId::new(wanted.matched.own_id.clone());
        let missing = || Box::new(plain(StatusCode::NOT_FOUND, "Nothing is here."));
        let resource = match self.store.find_registration(wanted.owner, &own_id) {
            Some(id) => id,
            None => {
                let pat = self.pat(wanted.owner).await.map_err(away)?;
                if !self.backend.exists(path).await {
                    return Err(missing());
                }
                self.register(protection, &pat, wanted).await.map_err(away)?
            }
        };
        let need = Need { resource, scopes: scopes.clone() };
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let url = format!("{}{}", self.settings.resource, path.encoded());
        let presented =
            Presented { authorization: text("authorization"), dpop: text("dpop"), method: parts.method.as_str(), url: &url };
        let pats: Arc<dyn PatSource> = self.clone();
        let under = Under { protection, pats: &pats, owner: wanted.owner, narrow: Some(&**self) };
        match self.guard.judge(&under, &presented, std::slice::from_ref(&need)).await {
            Verdict::Allowed(_) => return Ok(need),
            Verdict::Insufficient => {}
            Verdict::Failed(error) => return Err(away(error)),
        }
        let pat = self.pat(wanted.owner).await.map_err(away)?;
        let ticket = self.ticket(protection, &pat, &need, wanted).await.map_err(away)?;
        Err(Box::new(unauthorized(&UmaChallenge {
            realm: Some(self.settings.name.clone()),
            as_uri: self.settings.authorization_server.clone(),
            ticket,
            resource_metadata: Some(self.metadata_url()),
        })))
    }

    /// A ticket. Where the server refuses it, what it knows of the resource may be old: it is told anew, or registered
    /// again where it has forgotten it.
    async fn ticket(
        &self,
        protection: &Protection,
        pat: &str,
        need: &Need,
        wanted: &Wanted<'_>,
    ) -> Result<String, ProtectionError> {
        match protection.request_ticket(pat, &[need.to_request()]).await {
            Err(ProtectionError::Refused(why)) => {
                let description = self.description(wanted.matched.route, &wanted.matched.own_id);
                if protection.update(pat, &need.resource, &description).await.is_ok() {
                    return protection.request_ticket(pat, &[need.to_request()]).await;
                }
                tracing::info!(why, "a resource is registered anew");
                self.store.forget_registration(wanted.owner, &OwnResourceId::new(wanted.matched.own_id.clone())).await?;
                let resource = self.register(protection, pat, wanted).await?;
                protection.request_ticket(pat, &[Need { resource, ..need.clone() }.to_request()]).await
            }
            other => other,
        }
    }

    async fn register(
        &self,
        protection: &Protection,
        pat: &str,
        wanted: &Wanted<'_>,
    ) -> Result<types::ResourceId, ProtectionError> {
        let turn = self.turn(wanted.owner).await;
        let _held = turn.lock().await;
        let own_id = OwnResourceId::new(wanted.matched.own_id.clone());
        if let Some(id) = self.store.find_registration(wanted.owner, &own_id) {
            return Ok(id);
        }
        let id = protection.register(pat, &self.description(wanted.matched.route, &wanted.matched.own_id)).await?;
        self.store.put_registration(wanted.owner, &own_id, &id).await?;
        Ok(id)
    }

    /// What is told of a resource: little (Federated Authorization 8).
    fn description(&self, route: &Route, own_id: &str) -> ResourceDescription {
        let routes = self.routes();
        let scopes = routes.iter().filter(|other| other.resource == route.resource).flat_map(Route::all_scopes);
        ResourceDescription {
            resource_scopes: scopes.collect(),
            name: Some(readable(own_id)),
            resource_type: route.resource_type.clone(),
            own_id: Some(OwnResourceId::new(own_id)),
            resource_location: Some(format!("{}{own_id}", self.settings.resource)),
            ..ResourceDescription::default()
        }
    }

    fn metadata_url(&self) -> String {
        types::path::inserted_well_known(&self.settings.resource, types::path::OAUTH_PROTECTED_RESOURCE)
    }

    fn metadata(&self) -> Response {
        let scopes: ScopeSet = self.routes().iter().flat_map(Route::all_scopes).collect();
        let managed = self.settings.management.as_ref();
        let document = ProtectedResourceMetadata {
            resource: self.settings.resource.clone(),
            authorization_servers: vec![self.settings.authorization_server.clone()],
            scopes_supported: scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            bearer_methods_supported: vec!["header".to_owned()],
            jwks_uri: None,
            resource_management_endpoint: managed.map(|_| format!("{}{}", self.settings.resource, management::BASE)),
            resource_management_authorization_servers: managed.map(|by| by.issuer.clone()).into_iter().collect(),
            resource_owner_credentials_endpoint: managed
                .map(|_| format!("{}{}/my-credentials", self.settings.resource, management::BASE)),
        };
        let mut response = axum::response::IntoResponse::into_response(axum::Json(document));
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }
}

/// The last segment in words: `/albums/holiday-2025` is `holiday 2025`.
fn readable(own_id: &str) -> String {
    let last = own_id.rsplit('/').find(|segment| !segment.is_empty()).unwrap_or(own_id);
    let stem = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
    let words = stem.replace(['-', '_'], " ");
    let mut chars = words.chars();
    chars.next().map(|c| c.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or(words)
}

async fn answer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // an id of a resource is a path, and stands encoded in the paths of management
    if management::is_managed(parts.uri.path()) {
        let below = parts.uri.path().strip_prefix(management::BASE).unwrap_or_default().to_owned();
        return gateway.manage(&parts, body, &below).await;
    }
    let Ok(path) = path::CanonicalPath::parse(parts.uri.path()) else {
        return plain(
            StatusCode::BAD_REQUEST,
            "This path is ambiguous: write it without empty segments, dots, encoded slashes and semicolons.",
        );
    };
    let metadata_path = url::Url::parse(&gateway.metadata_url()).map(|url| url.path().to_owned()).unwrap_or_default();
    match path.encoded() {
        own if own == metadata_path => gateway.metadata(),
        "/.wayleave/link" => link::begin(&gateway, &parts).await,
        "/.wayleave/callback" => link::callback(&gateway, &parts).await,
        own if own.starts_with("/.wayleave/") || own.starts_with("/.well-known/oauth-protected-resource") => {
            plain(StatusCode::NOT_FOUND, "Nothing is here.")
        }
        _ => gateway.protected(parts, body, &path).await,
    }
}
