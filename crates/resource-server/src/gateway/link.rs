//! Linking owners: a PAT by code flow with `openid`, taken only if the account is that owner, and
//! renewed before it ends (protocol.md 1.0, Federated Authorization 1.3).

use super::store::{Begun, Link};
use super::{Behind, Gateway, PatBy, Wanted};
use crate::challenge::plain;
use crate::guard::Under;
use crate::offline::PatSource;
use crate::protection::ProtectionError;
use askama::Template;
use async_trait::async_trait;
use axum::body::Body;
use axum::response::Response;
use client::ClientError;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;
use types::token::{TokenResponse, UMA_PROTECTION};

/// Seconds that somebody has to log in.
const BEGUN_LIFETIME: i64 = 600;
const COOKIE: &str = "wl_link";

#[async_trait]
impl PatSource for Gateway {
    async fn pat(&self, owner: &str) -> Result<String, ProtectionError> {
        let now = self.client.clock.now();
        let fresh = |link: &Link| link.expires > now.plus(60);
        if let Some(link) = self.store.find_link(owner).filter(fresh) {
            return Ok(link.access_token);
        }
        let turn = self.turn(owner).await;
        let _held = turn.lock().await;
        let before = self.store.find_link(owner);
        if let Some(link) = before.clone().filter(fresh) {
            return Ok(link.access_token);
        }
        let protection = self.protection().await?;
        let renewed = match (self.settings.pat, before.and_then(|link| link.refresh_token)) {
            (PatBy::ClientCredentials, _) => protection.client.client_credentials(&protection.metadata, UMA_PROTECTION).await,
            (PatBy::Code, Some(refresh)) => protection.client.refresh(&protection.metadata, &refresh).await,
            (PatBy::Code, None) => return Err(ProtectionError::Unauthorized),
        };
        match renewed {
            Ok(tokens) => Ok(self.keep(owner, tokens).await?.access_token),
            Err(ClientError::Refused { error, .. }) if error == "invalid_grant" => {
                self.store.delete_link(owner).await?;
                Err(ProtectionError::Unauthorized)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Gateway {
    /// Whether a call that was let in may go on.
    pub(super) async fn still_allows(self: &Arc<Self>, owner: &str, token: &HeaderValue, need: &crate::guard::Need) -> bool {
        let (Ok(protection), Ok(token)) = (self.protection().await, token.to_str()) else { return false };
        let pats: Arc<dyn PatSource> = self.clone();
        let under = Under { protection, pats: &pats, owner, narrow: Some(&**self) };
        self.guard.still_allows(&under, token, std::slice::from_ref(need)).await
    }

    async fn keep(&self, owner: &str, tokens: TokenResponse) -> Result<Link, ProtectionError> {
        let expires = self.client.clock.now().plus(tokens.expires_in.unwrap_or(300));
        let link = Link { access_token: tokens.access_token, expires, refresh_token: tokens.refresh_token };
        self.store.put_link(owner, &link).await?;
        Ok(link)
    }

    /// Registers everything in the folder that a route leads to.
    async fn register_folder(&self, owner: &str) -> Result<usize, ProtectionError> {
        let Behind::Folder(folder) = &self.settings.behind else { return Ok(0) };
        let protection = self.protection().await?;
        let pat = self.pat(owner).await?;
        let (mut count, routes) = (0_usize, self.routes());
        for path in super::backend::walk(folder).await {
            let Some(matched) = super::route::find(&routes, &path) else { continue };
            let own_id = types::OwnResourceId::new(matched.own_id.clone());
            // what only a call can say whose it is, is registered by that call
            if matched.owner.as_deref() == Some(owner) && self.store.find_registration(owner, &own_id).is_none() {
                self.register(protection, &pat, &Wanted { matched: &matched, owner }).await?;
                count = count.saturating_add(1);
            }
        }
        Ok(count)
    }

    fn callback_url(&self) -> String {
        format!("{}/.wayleave/callback", self.settings.resource)
    }
}

fn query_of(request: &Parts) -> Vec<(String, String)> {
    form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

/// `GET /.wayleave/link?owner=alice`.
pub(super) async fn begin(gateway: &Gateway, request: &Parts) -> Response {
    let owner = query_of(request).into_iter().find(|(name, _)| name == "owner").map(|(_, value)| value);
    let Some(owner) = owner.filter(|owner| gateway.has_owner(owner)) else {
        return plain(StatusCode::NOT_FOUND, "No owner of this name is served here: call /.wayleave/link?owner=NAME.");
    };
    let protection = match gateway.protection().await {
        Ok(protection) => protection,
        Err(_) => return crate::challenge::unreachable(),
    };
    let scope = format!("openid profile email {UMA_PROTECTION}");
    let Ok((url, flow)) = protection.client.begin_code(&protection.metadata, &gateway.callback_url(), &scope) else {
        return crate::challenge::unreachable();
    };
    let now = gateway.client.clock.now();
    let state = flow.state.clone();
    let begun = Begun { owner, flow, expires: now.plus(BEGUN_LIFETIME) };
    if gateway.store.put_begun(&state, &begun, now).await.is_err() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "This cannot be kept right now: try again in a moment.");
    }
    let secure = if gateway.settings.resource.starts_with("https:") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={state}; Path=/.wayleave; HttpOnly; SameSite=Lax; Max-Age={BEGUN_LIFETIME}{secure}");
    let mut response = plain(StatusCode::SEE_OTHER, "Log in at the authorization server.");
    for (name, value) in [(header::LOCATION, url), (header::SET_COOKIE, cookie)] {
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
    issuer: &'a str,
}

/// `GET /.wayleave/callback`: only in the browser that began, only if the account is the owner.
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
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    if state.is_empty() || !pairs.any(|(name, value)| name == COOKIE && value == state) {
        return Err("This answer does not belong to this browser. Start again.".into());
    }
    let begun = gateway.store.take_begun(&state, gateway.client.clock.now()).await;
    let begun = begun.ok_or("This was answered before, or took too long. Start again.")?;
    let away = |_| "The authorization server does not answer. Try again.".to_owned();
    let protection = gateway.protection().await.map_err(away)?;
    let authorized =
        protection.client.finish_code(&protection.metadata, &begun.flow, &query).await.map_err(|error| error.to_string())?;
    let account = authorized.account.get(&gateway.settings.owner_claim).and_then(|value| value.as_str()).unwrap_or_default();
    if account != begun.owner {
        // the PAT is somebody else's: give it back
        if let Some(endpoint) = &protection.metadata.revocation_endpoint {
            let token = authorized.tokens.refresh_token.as_deref().unwrap_or(&authorized.tokens.access_token);
            protection.client.revoke(endpoint, token).await.map_err(|error| error.to_string())?;
        }
        return Err(format!(
            "You are logged in as `{account}`, but this is for `{}`. Log out there, and log in as the owner.",
            begun.owner
        ));
    }
    gateway.keep(&begun.owner, authorized.tokens).await.map_err(away)?;
    let count = gateway.register_folder(&begun.owner).await.map_err(|error| error.to_string())?;
    let body = LinkedPage { owner: &begun.owner, name: &gateway.settings.name, count, issuer: &protection.metadata.issuer };
    Ok(page(gateway, StatusCode::OK, "Linked", &ui::render(&body)))
}

fn page(gateway: &Gateway, status: StatusCode, title: &str, body: &str) -> Response {
    // the gateway's own pages carry their style with them: every path of it may be somebody's file
    let shell = ui::Page {
        site: &gateway.settings.name,
        title,
        base: &gateway.settings.authorization_server,
        links: &[],
        person: None,
        narrow: true,
        body,
    };
    let mut response = Response::new(Body::from(ui::render(&shell)));
    *response.status_mut() = status;
    let policy = format!(
        "default-src 'none'; style-src {0}; img-src {0}; frame-ancestors 'none'; base-uri 'none'",
        gateway.settings.authorization_server
    );
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
    }
    response
}
