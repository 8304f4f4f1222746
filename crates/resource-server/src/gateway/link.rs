//! Linking owners: a PAT by code flow with `openid`, renewed before it ends (protocol.md 1.0, 2, Federated
//! Authorization 1.3). At an authorization server that the operator lists, it is taken only if the account there is that
//! owner. At one that the owner chose, she has shown here who she is; unless the account there has her own e-mail, it
//! waits until she confirms it.

use super::enrolment::Enrolled;
use super::store::{Account, Begun, Link, LinkState};
use super::{Gateway, PatBy};
use crate::challenge::plain;
use crate::offline::PatSource;
use crate::protection::ProtectionError;
use askama::Template;
use async_trait::async_trait;
use axum::body::Body;
use axum::response::Response;
use client::ClientError;
use client::oauth::Authorized;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;
use types::Timestamp;
use types::token::{TokenResponse, UMA_PROTECTION};

/// Seconds that somebody has to log in.
const BEGUN_LIFETIME: i64 = 600;
const COOKIE: &str = "wl_link";
/// Stands for the owner of a PAT that is no owner's; no route can name it.
const NOBODY: &str = "";

/// For authorization servers that the owner has not linked.
pub(super) struct NoPats;

#[async_trait]
impl PatSource for NoPats {
    async fn pat(&self, _: &str) -> Result<String, ProtectionError> {
        Err(ProtectionError::Unauthorized)
    }
}

impl Gateway {
    /// A PAT of this owner at this authorization server that is good for a minute at least.
    pub(super) async fn pat(&self, owner: &str, issuer: &str) -> Result<String, ProtectionError> {
        // one of its own serves all owners
        let owner = if self.is_server_level(issuer) { NOBODY } else { owner };
        let now = self.client.clock.now();
        let fresh = |link: &Arc<Link>| link.state == LinkState::Active && link.expires > now.plus(60);
        if let Some(link) = self.store.find_link(owner, issuer)?.filter(fresh) {
            return Ok(link.access_token.clone());
        }
        let turn = self.link_turn(owner, issuer).await;
        let _held = turn.lock().await;
        let before = self.store.find_link(owner, issuer)?;
        if let Some(link) = before.clone().filter(fresh) {
            return Ok(link.access_token.clone());
        }
        let peer = self.peer(issuer).await?;
        let (client, metadata) = (&peer.protection.client, &peer.protection.metadata);
        if self.is_ready_made(issuer) {
            let tokens = self.asking(issuer, async { Ok(client.client_credentials(metadata, UMA_PROTECTION).await?) }).await?;
            let link = before.as_deref().cloned();
            return Ok(self.keep(owner, issuer, tokens, link.unwrap_or_else(|| new_link(now))).await?.access_token);
        }
        let link = before.filter(|link| link.state == LinkState::Active).ok_or(ProtectionError::Unauthorized)?;
        let Some(refresh) = &link.refresh_token else { return Err(ProtectionError::Unauthorized) };
        let renewed = async {
            match client.refresh(metadata, refresh).await {
                Err(ClientError::Refused { error, .. }) if error == "invalid_grant" => Err(ProtectionError::Unauthorized),
                other => Ok(other?),
            }
        };
        match self.asking(issuer, renewed).await {
            Ok(tokens) => Ok(self.keep(owner, issuer, tokens, (*link).clone()).await?.access_token),
            Err(ProtectionError::Unauthorized) => {
                tracing::info!(owner, issuer, "the owner has withdrawn this gateway there");
                self.store.put_link(owner, issuer, &Link { state: LinkState::Withdrawn, ..(*link).clone() }).await?;
                Err(ProtectionError::Unauthorized)
            }
            Err(error) => Err(error),
        }
    }

    /// Works with a PAT; one that is not taken any more is renewed once.
    pub(super) async fn with_pat<'w, T>(
        &self,
        owner: &str,
        issuer: &str,
        work: impl Fn(String) -> BoxFuture<'w, Result<T, ProtectionError>> + Send + Sync,
    ) -> Result<T, ProtectionError> {
        let pat = self.pat(owner, issuer).await?;
        match work(pat.clone()).await {
            // of several that were refused at one time, one renews it
            Err(ProtectionError::Unauthorized)
                if self.pat(owner, issuer).await? != pat || self.renew_pat(owner, issuer).await? =>
            {
                work(self.pat(owner, issuer).await?).await
            }
            other => other,
        }
    }

    /// After the server refused a PAT before its end: whether another is to be had. An error: that cannot be told now.
    pub(super) async fn renew_pat(&self, owner: &str, issuer: &str) -> Result<bool, ProtectionError> {
        let owner = if self.is_server_level(issuer) { NOBODY } else { owner };
        let turn = self.link_turn(owner, issuer).await;
        let held = turn.lock().await;
        if let Some(link) = self.store.find_link(owner, issuer)?.filter(|link| link.state == LinkState::Active) {
            let ended = Link { expires: Timestamp(0), ..(*link).clone() };
            self.store.put_link(owner, issuer, &ended).await?;
        }
        drop(held);
        match self.pat(owner, issuer).await {
            Ok(_) => Ok(true),
            Err(ProtectionError::Unauthorized) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether there is a PAT of hers there, or one to be had.
    pub(super) fn is_linked(&self, owner: &str, issuer: &str) -> Result<bool, ProtectionError> {
        let link = self.store.find_link(owner, issuer)?;
        Ok(link.is_some_and(|link| link.state == LinkState::Active) || self.is_ready_made(issuer))
    }

    /// One at a time changes a link.
    pub(super) async fn link_turn(&self, owner: &str, issuer: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.turn(&format!("{owner} {issuer}")).await
    }

    /// Whether PATs there need no owner to come by.
    pub(super) fn is_ready_made(&self, issuer: &str) -> bool {
        self.settings.pat != PatBy::Code && self.is_listed(issuer)
    }

    /// Whether its PAT there is no owner's.
    pub(super) fn is_server_level(&self, issuer: &str) -> bool {
        self.settings.pat == PatBy::ServerLevel && self.is_listed(issuer)
    }

    /// Where what she has not placed is registered: her own choice, else where nobody needs to link, else where she
    /// linked first.
    pub(super) fn preferred_server(&self, owner: &str) -> Result<Option<String>, ProtectionError> {
        let mut links = self.store.list_links(owner)?;
        links.retain(|(_, link)| link.state == LinkState::Active);
        let ready = || self.settings.authorization_servers.iter().find(|issuer| self.is_ready_made(issuer)).cloned();
        let first = || links.iter().min_by_key(|(_, link)| link.created).map(|(issuer, _)| issuer.clone());
        Ok(links.iter().find(|(_, link)| link.preferred).map(|(issuer, _)| issuer.clone()).or_else(ready).or_else(first))
    }

    async fn keep(&self, owner: &str, issuer: &str, tokens: TokenResponse, link: Link) -> Result<Link, ProtectionError> {
        let link = self.with_tokens(tokens, link);
        self.store.put_link(owner, issuer, &link).await?;
        Ok(link)
    }

    pub(super) fn with_tokens(&self, tokens: TokenResponse, link: Link) -> Link {
        let expires = self.client.clock.now().plus(tokens.expires_in.unwrap_or(300));
        let refresh_token = tokens.refresh_token.or(link.refresh_token);
        Link { access_token: tokens.access_token, expires, refresh_token, ..link }
    }

    pub(super) fn callback_url(&self) -> String {
        format!("{}/.wayleave/callback", self.settings.resource)
    }

    /// Begins a log-in of an owner who has shown here who she is; where to send her.
    pub(super) async fn begin_chosen(
        &self,
        owner: &str,
        issuer: &str,
        login_hint: Option<&str>,
    ) -> Result<String, ProtectionError> {
        let begun = self.begin(owner, issuer, login_hint, true).await?;
        self.store.put_begun(&begun.flow.state, &begun, self.client.clock.now()).await?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("begun", &begun.flow.state);
        query.extend_pairs(login_hint.map(|hint| ("login_hint", hint)));
        Ok(format!("{}/.wayleave/link?{}", self.settings.resource, query.finish()))
    }

    async fn begin(&self, owner: &str, issuer: &str, login_hint: Option<&str>, chosen: bool) -> Result<Begun, ProtectionError> {
        let peer = self.introduced(issuer).await?;
        let scope = format!("openid profile email {UMA_PROTECTION}");
        let (url, flow) =
            peer.protection.client.begin_code(&peer.protection.metadata, &self.callback_url(), &scope, login_hint)?;
        let expires = self.client.clock.now().plus(BEGUN_LIFETIME);
        Ok(Begun { owner: owner.to_owned(), flow, expires, url: Some(url), chosen })
    }

    /// Keeps what a log-in brought, if it is hers: who she is there, and whether it waits for her word.
    async fn take(&self, begun: &Begun, authorized: Authorized) -> Result<LinkState, String> {
        let issuer = begun.flow.issuer.as_str();
        let text = |name: &str| authorized.account.get(name).and_then(|value| value.as_str());
        let verified = authorized.account.get("email_verified").and_then(serde_json::Value::as_bool) == Some(true);
        let account =
            Account { sub: text("sub").map(str::to_owned), email: text("email").filter(|_| verified).map(str::to_owned) };
        let is_owner = self.is_listed(issuer) && text(&self.settings.owner_claim) == Some(begun.owner.as_str());
        if !is_owner && !begun.chosen {
            // the PAT is somebody else's: give it back
            let (peer, there) = (self.peer(issuer).await.map_err(|error| error.to_string())?, text(&self.settings.owner_claim));
            let token = authorized.tokens.refresh_token.as_deref().unwrap_or(&authorized.tokens.access_token);
            peer.protection.client.revoke(&peer.protection.metadata, token).await.map_err(|error| error.to_string())?;
            return Err(format!(
                "You are logged in as `{}`, but this is for `{}`. Log out there, and log in as the owner.",
                there.unwrap_or_default(),
                begun.owner
            ));
        }
        let turn = self.link_turn(&begun.owner, issuer).await;
        let _held = turn.lock().await;
        let unkept = |_| "This cannot be kept right now. Try again.".to_owned();
        let links = self.store.list_links(&begun.owner).map_err(unkept)?;
        let known =
            |link: &Link| link.state == LinkState::Active && link.account.email.is_some() && link.account.email == account.email;
        let before = links.iter().find(|(of, _)| of == issuer).map(|(_, link)| link);
        let again = before.is_some_and(|link| {
            link.state != LinkState::Pending && link.account.sub.is_some() && link.account.sub == account.sub
        });
        let hers = is_owner || again || links.iter().any(|(_, link)| known(link));
        let state = if hers { LinkState::Active } else { LinkState::Pending };
        // what belongs to another account there renews nothing of this one
        let kept = before.cloned().unwrap_or_else(|| new_link(self.client.clock.now()));
        let link = Link { state, account, refresh_token: kept.refresh_token.filter(|_| again), ..kept };
        let kept = self.keep_new(&begun.owner, issuer, authorized.tokens, link).await;
        kept.map(|()| state).map_err(|_| "This could not be kept right now. Try again.".to_owned())
    }
}

pub(super) fn new_link(now: Timestamp) -> Link {
    Link {
        access_token: String::new(),
        expires: Timestamp(0),
        refresh_token: None,
        state: LinkState::Active,
        account: Account::default(),
        created: now,
        preferred: false,
    }
}

fn query_of(request: &Parts) -> Vec<(String, String)> {
    form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

/// `GET /.wayleave/link?owner=alice`, at one of the operator's servers (`&authorization_server=`, the first where it is
/// left out); or `?begun=`, where she has begun by managing.
pub(super) async fn begin(gateway: &Gateway, request: &Parts) -> Response {
    let query = query_of(request);
    let get = |name: &str| query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    let now = gateway.client.clock.now();
    let begun = match (get("begun"), get("owner")) {
        (Some(state), _) => {
            // once: whoever opens it first has it
            let Ok(begun) = gateway.store.take_begun(state, now).await else {
                return plain(StatusCode::SERVICE_UNAVAILABLE, "This cannot be read right now: try again in a moment.");
            };
            let Some(begun) = begun.filter(|begun| begun.url.is_some()) else {
                return plain(StatusCode::BAD_REQUEST, "This link was used before, or is too old: ask for another.");
            };
            begun
        }
        (None, Some(owner)) if gateway.has_owner(owner) => {
            let issuer = get("authorization_server").or(gateway.settings.authorization_servers.first().map(String::as_str));
            let Some(issuer) = issuer.filter(|issuer| gateway.is_listed(issuer)) else {
                return plain(StatusCode::NOT_FOUND, "This authorization server is not offered here.");
            };
            if !gateway.is_known(issuer) && !may_link(gateway, request) {
                return too_many();
            }
            match gateway.begin(owner, issuer, None, false).await {
                Ok(begun) => begun,
                Err(error) => {
                    tracing::warn!(%error, issuer, "a log-in cannot begin");
                    return match error {
                        ProtectionError::Store => {
                            plain(StatusCode::SERVICE_UNAVAILABLE, "This cannot be kept right now: try again in a moment.")
                        }
                        _ => crate::challenge::unreachable(),
                    };
                }
            }
        }
        _ => return plain(StatusCode::NOT_FOUND, "No owner of this name is served here: call /.wayleave/link?owner=NAME."),
    };
    send(gateway, &begun)
}

/// Whether one more stranger may have the authorization server asked (threat 41).
fn may_link(gateway: &Gateway, request: &Parts) -> bool {
    gateway.strangers.may_link(request.extensions.get().copied(), std::time::Instant::now())
}

fn too_many() -> Response {
    plain(StatusCode::TOO_MANY_REQUESTS, "Too many links were begun from your network: try again later.")
}

/// To the authorization server, in this browser alone.
fn send(gateway: &Gateway, begun: &Begun) -> Response {
    let secure = if gateway.settings.resource.starts_with("https:") { "; Secure" } else { "" };
    // nobody is known yet: her browser keeps it, and nothing is written here
    let kept = serde_json::to_vec(&Begun { url: None, ..begun.clone() }).ok();
    let kept = kept.and_then(|kept| gateway.sealing.seal(&kept, COOKIE.as_bytes(), &*gateway.client.randomness).ok());
    let Some(sealed) = kept.map(jose::base64url::encode) else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "This cannot be kept right now: try again in a moment.");
    };
    let cookie = format!("{COOKIE}={sealed}; Path=/.wayleave; HttpOnly; SameSite=Lax; Max-Age={BEGUN_LIFETIME}{secure}");
    let mut response = plain(StatusCode::SEE_OTHER, "Log in at the authorization server.");
    for (name, value) in [(header::LOCATION, begun.url.clone().unwrap_or_default()), (header::SET_COOKIE, cookie)] {
        response.headers_mut().extend(HeaderValue::from_str(&value).ok().map(|value| (name, value)));
    }
    response
}

#[derive(Template)]
#[template(path = "linked.html")]
struct LinkedPage<'a> {
    owner: &'a str,
    name: &'a str,
    count: usize,
    /// More is being registered.
    goes_on: bool,
    issuer: &'a str,
    /// Where she sees what is registered there, if it is known.
    resources: Option<String>,
    /// Waits for her word.
    pending: bool,
}

/// `GET /.wayleave/callback`: only in the browser that began.
pub(super) async fn callback(gateway: &Gateway, request: &Parts) -> Response {
    match finish(gateway, request).await {
        Ok(response) => response,
        Err(what) => {
            page(gateway, StatusCode::BAD_REQUEST, "Not linked", &ui::render(&ui::ErrorPage { title: "Not linked", what: &what }))
        }
    }
}

async fn finish(gateway: &Gateway, request: &Parts) -> Result<Response, String> {
    let query = query_of(request);
    let state = query.iter().find(|(name, _)| name == "state").map(|(_, value)| value.clone()).unwrap_or_default();
    let cookies = request.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut kept = pairs.filter(|(name, _)| *name == COOKIE).filter_map(|(_, sealed)| opened(gateway, sealed));
    let begun =
        kept.find(|begun| begun.flow.state == state).ok_or("This answer does not belong to this browser. Start again.")?;
    if begun.expires <= gateway.client.clock.now() {
        return Err("This took too long. Start again.".into());
    }
    // anybody can begin, and come back with any code
    if !may_link(gateway, request) {
        return Ok(too_many());
    }
    let away = |_| "The authorization server does not answer. Try again.".to_owned();
    let peer = gateway.peer(&begun.flow.issuer).await.map_err(away)?;
    let (client, metadata) = (&peer.protection.client, &peer.protection.metadata);
    let authorized = client.finish_code(metadata, &begun.flow, &query).await.map_err(|error| error.to_string())?;
    let state = gateway.take(&begun, authorized).await?;
    let pending = state == LinkState::Pending;
    let enrolled = match pending {
        true => Enrolled { registered: 0, goes_on: false },
        false => gateway.wait_for_enrolment(&begun.owner).await,
    };
    let resources = metadata.registered_resources_endpoint.is_some().then(|| format!("{}/my/resources", metadata.issuer));
    let body = LinkedPage {
        owner: &begun.owner,
        name: &gateway.settings.name,
        count: enrolled.registered,
        goes_on: enrolled.goes_on,
        issuer: &metadata.issuer,
        resources,
        pending,
    };
    let title = if pending { "Almost linked" } else { "Linked" };
    Ok(page(gateway, StatusCode::OK, title, &ui::render(&body)))
}

/// What a browser kept.
fn opened(gateway: &Gateway, sealed: &str) -> Option<Begun> {
    let plain = gateway.sealing.open(&jose::base64url::decode(sealed)?, COOKIE.as_bytes())?;
    serde_json::from_slice(&plain).ok()
}

fn page(gateway: &Gateway, status: StatusCode, title: &str, body: &str) -> Response {
    // the gateway's own pages carry their style with them: every path of it may be somebody's file
    let base = gateway.settings.authorization_servers.first().map(String::as_str).unwrap_or_default();
    let shell =
        ui::Page { site: &gateway.settings.name, title, base, links: &[], person: None, narrow: true, script: None, body };
    let mut response = Response::new(Body::from(ui::render(&shell)));
    *response.status_mut() = status;
    let policy = format!("default-src 'none'; style-src {base}; img-src {base}; frame-ancestors 'none'; base-uri 'none'");
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
    }
    response
}
