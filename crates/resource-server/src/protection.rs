//! The protection API as its caller (Federated Authorization 3 to 5). Every call is made with a PAT;
//! which one is the caller's business.

use client::{Client, ClientError, OutboundError};
use outbound::{Method, Party, Request, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;
use types::introspection::{Introspection, NARROWING};
use types::metadata::Metadata;
use types::permission::{PermissionTicket, ServerPermissionRequest};
use types::resource::RegisteredResource;
use types::revocations::Revocations;
use types::spelling::readable;
use types::{PermissionRequest, ResourceDescription, ResourceId};

/// How long somebody who calls a protected resource waits for its authorization server.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most resources of one owner that a list is read for.
const MOST_LISTED: usize = 200_000;
/// Seconds until a server that has too much to do is asked again, where it does not say, and the longest that it can say.
const USUAL_WAIT: u64 = 5;
const LONGEST_WAIT: u64 = 600;
/// The same of one that does not answer: it is left alone so long.
const UNREACHABLE_WAIT: u64 = 10;

/// An authorization server, seen from a resource server.
#[derive(Clone)]
pub struct Protection {
    pub client: Client,
    pub metadata: Metadata,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtectionError {
    /// The PAT is no good any more: renew it, or ask the owner again.
    #[error("the authorization server does not take the PAT any more")]
    Unauthorized,
    /// There is none to ask: the owner has not said which one guards her things.
    #[error("its owner has not linked it with an authorization server")]
    Unlinked,
    #[error("the authorization server cannot be reached")]
    Unreachable,
    /// It has too much to do, and says when to come again.
    #[error("the authorization server asks to be asked again in {0} s")]
    Later(u64),
    /// Nobody was asked: so many from here ask it already.
    #[error("too many questions to the authorization server are under way from here")]
    Busy,
    #[error("the authorization server refused: {0}")]
    Refused(String),
    /// What this resource server keeps itself cannot be read or written: nothing passes, and nothing is concluded from it.
    #[error("the store of this resource server cannot be read or written")]
    Store,
}

impl ProtectionError {
    /// In how many seconds it is worth to come again (RFC 9110 10.2.3), where that is known.
    pub fn seconds_to_wait(&self) -> Option<u64> {
        match self {
            Self::Later(seconds) => Some((*seconds).max(1)),
            Self::Busy => Some(1),
            Self::Unreachable => Some(UNREACHABLE_WAIT),
            Self::Unauthorized | Self::Unlinked | Self::Refused(_) | Self::Store => None,
        }
    }
}

impl From<ClientError> for ProtectionError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Outbound(OutboundError::Busy(_)) => Self::Busy,
            ClientError::Outbound(_) => Self::Unreachable,
            ClientError::NotNow { seconds: Some(seconds), .. } => Self::Later(seconds.min(LONGEST_WAIT)),
            ClientError::NotNow { .. } => Self::Later(USUAL_WAIT),
            other => Self::Refused(other.to_string()),
        }
    }
}

impl Protection {
    /// Reads the issuer's metadata.
    pub async fn discover(client: Client, issuer: &str) -> Result<Self, ProtectionError> {
        let metadata = client.discover(issuer).await?;
        Ok(Self { client, metadata })
    }

    /// Registers a resource.
    pub async fn register(&self, pat: &str, description: &ResourceDescription) -> Result<ResourceId, ProtectionError> {
        let body = serde_json::to_value(description).map_err(|error| ProtectionError::Refused(error.to_string()))?;
        let request = Request::json(Method::POST, self.registration()?, &body);
        let registered: RegisteredResource = self.json(pat, request, 201).await?;
        Ok(registered.id)
    }

    /// Ids of everything registered with this PAT, page by page.
    pub async fn list(&self, pat: &str) -> Result<Vec<ResourceId>, ProtectionError> {
        let mut all: Vec<ResourceId> = Vec::new();
        loop {
            let after = all.last().map(|id| format!("&after={id}")).unwrap_or_default();
            let url = format!("{}?limit=1000{after}", self.registration()?);
            let page: Vec<ResourceId> = read(&self.send(pat, Request::get(&url)).await?)?;
            let more = page.len() == 1000 && page.last() != all.last();
            all.extend(page);
            if !more {
                return Ok(all);
            }
            if all.len() >= MOST_LISTED {
                return Err(ProtectionError::Refused(format!("it lists more than {MOST_LISTED} resources")));
            }
        }
    }

    /// Replaces a registered description; `false`: no such resource is registered there.
    pub async fn update(&self, pat: &str, id: &ResourceId, description: &ResourceDescription) -> Result<bool, ProtectionError> {
        let body = serde_json::to_value(description).map_err(|error| ProtectionError::Refused(error.to_string()))?;
        let url = format!("{}/{id}", self.registration()?);
        let answer = self.send(pat, Request::json(Method::PUT, &url, &body).patience(PATIENCE)).await?;
        if answer.status == 404 {
            return Ok(false);
        }
        check(&answer, 200)?;
        read::<RegisteredResource>(&answer).map(|_| true)
    }

    /// Takes a registration back (Federated Authorization 3.2.4); one that is gone already is gone.
    pub async fn delete(&self, pat: &str, id: &ResourceId) -> Result<(), ProtectionError> {
        let url = format!("{}/{id}", self.registration()?);
        let answer = self.send(pat, Request { method: Method::DELETE, ..Request::get(&url) }).await?;
        if answer.status == 404 { Ok(()) } else { check(&answer, 204) }
    }

    /// A registered description.
    pub async fn read(&self, pat: &str, id: &ResourceId) -> Result<ResourceDescription, ProtectionError> {
        let url = format!("{}/{id}", self.registration()?);
        read(&self.send(pat, Request::get(&url)).await?)
    }

    /// A ticket for these permissions (Federated Authorization 4), for this party of those who ask.
    pub async fn request_ticket(
        &self,
        pat: &str,
        permissions: &[PermissionRequest],
        by: &Party,
    ) -> Result<String, ProtectionError> {
        self.ticket(pat, &json!(permissions), by).await
    }

    /// The same with a PAT of no owner's (protocol.md 3).
    pub async fn request_server_ticket(
        &self,
        pat: &str,
        permissions: &[ServerPermissionRequest],
        by: &Party,
    ) -> Result<String, ProtectionError> {
        self.ticket(pat, &json!(permissions), by).await
    }

    async fn ticket(&self, pat: &str, permissions: &Value, by: &Party) -> Result<String, ProtectionError> {
        let url = self.metadata.permission_endpoint.as_deref().ok_or_else(|| missing("permission"))?;
        let request = Request::json(Method::POST, url, permissions).by(by.clone());
        let ticket: PermissionTicket = self.json(pat, request, 201).await?;
        Ok(ticket.ticket)
    }

    /// What the server knows of a token (Federated Authorization 5); asked for this party of those who ask.
    pub async fn introspect(&self, pat: &str, token: &str, by: &Party) -> Result<Introspection, ProtectionError> {
        let url = self.metadata.introspection_endpoint.as_deref().ok_or_else(|| missing("introspection"))?;
        let pairs = [("token", token), ("token_type_hint", "access_token")];
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let answer = self.send(pat, Request::form(url, form).patience(PATIENCE).by(by.clone())).await?;
        check(&answer, 200)?;
        let answer: Introspection = types::answer::parse(&answer.body, &NARROWING).map_err(unreadable)?;
        // they are kept, and told to owners
        if answer.names_shortly() { Ok(answer) } else { Err(ProtectionError::Refused("it names somebody too long".into())) }
    }

    /// What is revoked of JWT RPTs, once it is something else than `after` says (protocol.md 4).
    pub async fn revocations(&self, pat: &str, after: &str, patience: Duration) -> Result<Revocations, ProtectionError> {
        let endpoint = self.metadata.revocations_endpoint.as_deref().ok_or_else(|| missing("revocations"))?;
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("after", after).finish();
        let answer = self.send(pat, Request::get(&format!("{endpoint}?{query}")).patience(patience)).await?;
        check(&answer, 200)?;
        read(&answer)
    }

    fn registration(&self) -> Result<&str, ProtectionError> {
        self.metadata.resource_registration_endpoint.as_deref().ok_or_else(|| missing("resource registration"))
    }

    async fn json<T: DeserializeOwned>(&self, pat: &str, request: Request<'_>, wanted: u16) -> Result<T, ProtectionError> {
        let answer = self.send(pat, request.patience(PATIENCE)).await?;
        check(&answer, wanted)?;
        types::answer::parse(&answer.body, &[]).map_err(unreadable)
    }

    async fn send(&self, pat: &str, request: Request<'_>) -> Result<Response, ProtectionError> {
        let request = request.header("authorization", &format!("Bearer {pat}"));
        let answer = self.client.outbound.send(request).await.map_err(ClientError::from)?;
        if answer.status == 401 {
            return Err(ProtectionError::Unauthorized);
        }
        // RFC 6585 4; RFC 9110 10.2.3
        let wait = answer.header("retry-after").map(|text| text.trim().parse().unwrap_or(USUAL_WAIT).min(LONGEST_WAIT));
        match answer.status.as_u16() {
            429 => return Err(ProtectionError::Later(wait.unwrap_or(USUAL_WAIT))),
            503 if wait.is_some() => return Err(ProtectionError::Later(wait.unwrap_or(USUAL_WAIT))),
            500.. => return Err(ProtectionError::Unreachable),
            _ => {}
        }
        Ok(answer)
    }
}

fn missing(what: &str) -> ProtectionError {
    ProtectionError::Refused(format!("its metadata name no {what} endpoint"))
}

fn check(answer: &Response, wanted: u16) -> Result<(), ProtectionError> {
    if answer.status.as_u16() == wanted {
        return Ok(());
    }
    let error = types::answer::parse::<types::error::ErrorBody>(&answer.body, &[]);
    // said with whatever status, it is no refusal
    if error.as_ref().is_ok_and(|body| body.error == "temporarily_unavailable") {
        return Err(ProtectionError::Later(USUAL_WAIT));
    }
    Err(ProtectionError::Refused(match error {
        // in its own words, which go into the log, to owners and to their desks
        Ok(body) => format!("{} ({})", readable(&body.error_description.unwrap_or_default()), readable(&body.error)),
        Err(_) => format!("HTTP {}", answer.status.as_u16()),
    }))
}

/// What is read strictly: an id or an end that is left out would let more pass.
fn read<T: DeserializeOwned>(answer: &Response) -> Result<T, ProtectionError> {
    types::json::parse(&answer.body).map_err(unreadable)
}

fn unreadable(error: types::json::BadJson) -> ProtectionError {
    ProtectionError::Refused(readable(&format!("its answer does not read: {error}")))
}
