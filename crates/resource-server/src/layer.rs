//! The `tower` layer: judges every request before the service sees it, and watches it to its end, its body and the
//! answer's. A web socket that the service makes of a call is the service's own to watch.
//!
//! Routers decode paths and answer `HEAD` by what answers `GET`. So that neither is a way past whoever says what a request
//! needs, both see a path in its one form, one that could be read in two ways is refused (threat 26), and `HEAD` needs what
//! `GET` does.

use crate::challenge;
use crate::guard::{Guard, MOST_BYTES, Narrow, Need, Presented, Under, Verdict};
use crate::offline::{Offline, PatSource};
use crate::own_pat::OwnPat;
use crate::owners_word::OwnersWord;
use crate::path::CanonicalPath;
use crate::presentation;
use crate::protection::{Protection, ProtectionError};
use crate::watch::{self, Permission, UploadLimits, Watch};
use async_trait::async_trait;
use axum::extract::{OriginalUri, Request};
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use jose::dpop::Seen;
use outbound::Party;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};
use types::challenge::UmaChallenge;
use types::{ResourceDescription, ResourceId};

/// What a request needs; `None`: it is not protected.
pub type NeedOf = dyn Fn(&Parts) -> Option<Need> + Send + Sync;

/// A resource server with one owner, whose PAT comes by client credentials (`acts_for`).
pub struct ResourceServer {
    pub protection: Protection,
    pub realm: String,
    /// Its identifier: the URL before all it serves (RFC 9728).
    pub resource: String,
    guard: Guard,
    /// DPoP proofs that were seen.
    proofs: Arc<Seen>,
    /// What of a permission counts beside the server's word.
    word: Option<Arc<OwnersWord>>,
    pat: Arc<OwnPat>,
    uploads: UploadLimits,
}

impl ResourceServer {
    pub fn new(protection: Protection, realm: impl Into<String>, resource: impl Into<String>) -> Self {
        let proofs = Arc::new(Seen::since(protection.client.clock.now()));
        let (guard, pat, uploads) = (Guard::new(proofs.clone()), Arc::default(), UploadLimits::default());
        Self { protection, realm: realm.into(), resource: resource.into(), guard, proofs, word: None, pat, uploads }
    }

    /// The same, taking so much of whoever is let in, and for so long.
    pub fn limiting(mut self, uploads: UploadLimits) -> Self {
        self.uploads = uploads;
        self
    }

    /// The same, believing the owner (protocol.md 3). What is registered afterwards with an id of the service's own is
    /// known to it.
    pub fn believing(mut self, word: Arc<OwnersWord>) -> Self {
        self.word = Some(word);
        self
    }

    /// The same, checking JWT RPTs by itself (protocol.md 4).
    pub fn offline(mut self) -> Self {
        self.guard = Guard::offline(
            Offline::new(&self.resource, &self.protection.client.credentials.client_id, MOST_BYTES),
            self.proofs.clone(),
        );
        self
    }

    /// Puts a resource under protection.
    pub async fn register(&self, description: &ResourceDescription) -> Result<ResourceId, ProtectionError> {
        let id = self.protection.register(&self.pat.get(&self.protection).await?, description).await?;
        if let (Some(word), Some(own_id)) = (&self.word, &description.own_id) {
            word.know(&id, own_id, &description.resource_scopes);
        }
        Ok(id)
    }

    /// Whether a request that was let in may go on.
    async fn still_allows(self: &Arc<Self>, authorization: &HeaderValue, need: &Need) -> bool {
        let Ok(authorization) = authorization.to_str() else { return false };
        let pats: Arc<dyn PatSource> = self.clone();
        self.guard.still_allows(&self.under(&pats), authorization, std::slice::from_ref(need)).await
    }

    fn under<'a>(&'a self, pats: &'a Arc<dyn PatSource>) -> Under<'a> {
        let narrow = self.word.as_deref().map(|word| word as &dyn Narrow);
        Under { protection: &self.protection, pats, owner: "", narrow, line: None }
    }

    /// Lets a request pass, or gives the answer that goes back in its place.
    pub async fn admit(self: &Arc<Self>, parts: &Parts, need: &Need) -> Result<(), Box<Response>> {
        presentation::check(parts).map_err(presentation::Ambiguous::answer)?;
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        // a nested router has taken the beginning of the path away; the proof is for what was called
        let called = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
        let url = format!("{}{}", self.resource.trim_end_matches('/'), called.path());
        let presented = Presented {
            authorization: text(header::AUTHORIZATION.as_str()),
            dpop: text("dpop"),
            method: parts.method.as_str(),
            url: &url,
        };
        let needs = std::slice::from_ref(need);
        let kept = self.pat.kept();
        let away = |error: ProtectionError, used: &str| {
            tracing::warn!(%error, "no ticket can be had");
            if error == ProtectionError::Unauthorized {
                // the next call gets another PAT
                self.pat.forget(used);
            }
            Box::new(challenge::without_ticket(&error))
        };
        let pats: Arc<dyn PatSource> = self.clone();
        let is_unproven = match self.guard.judge(&self.under(&pats), &presented, needs).await {
            Verdict::Allowed(_) => return Ok(()),
            Verdict::Failed(error) => return Err(away(error, &kept)),
            verdict => verdict == Verdict::Unproven,
        };
        let pat = self.pat.get(&self.protection).await.map_err(|error| away(error, &kept))?;
        let ticket = self
            .protection
            .request_ticket(&pat, &[need.to_request()], &Party::default())
            .await
            .map_err(|error| away(error, &pat))?;
        let answer = challenge::unauthorized(&UmaChallenge {
            realm: Some(self.realm.clone()),
            as_uri: self.protection.metadata.issuer.clone(),
            ticket,
            resource_metadata: None,
        });
        Err(Box::new(if is_unproven { challenge::asking_for_proof(answer) } else { answer }))
    }
}

/// What let a call in.
struct LetIn {
    server: Arc<ResourceServer>,
    authorization: Option<HeaderValue>,
    need: Need,
}

impl Permission for LetIn {
    fn look(self: Arc<Self>) -> BoxFuture<'static, bool> {
        async move {
            match &self.authorization {
                Some(authorization) => self.server.still_allows(authorization, &self.need).await,
                None => false,
            }
        }
        .boxed()
    }
}

#[async_trait]
impl PatSource for ResourceServer {
    async fn pat(&self, _: &str) -> Result<String, ProtectionError> {
        self.pat.get(&self.protection).await
    }
}

/// The layer.
#[derive(Clone)]
pub struct UmaLayer {
    server: Arc<ResourceServer>,
    need: Arc<NeedOf>,
}

impl UmaLayer {
    /// `need` says what each request needs, from its method and path: `GET` where it is `HEAD`, and a path with nothing encoded
    /// that need not be. In a nested router that path is what the router leaves of it, as for every service there.
    pub fn new(server: Arc<ResourceServer>, need: impl Fn(&Parts) -> Option<Need> + Send + Sync + 'static) -> Self {
        Self { server, need: Arc::new(need) }
    }
}

impl UmaLayer {
    /// Whoever may read something may know that it is there, and nobody else.
    fn need_of(&self, parts: &mut Parts) -> Option<Need> {
        if parts.method != Method::HEAD {
            return (self.need)(parts);
        }
        parts.method = Method::GET;
        let need = (self.need)(parts);
        parts.method = Method::HEAD;
        need
    }
}

/// The same place with its path in one form, with a slash at the end where there was one; none where it could be read in
/// two ways.
fn in_one_form(uri: &Uri) -> Option<Uri> {
    let raw = uri.path();
    let (path, slash) = match raw.strip_suffix('/') {
        Some(path) if !path.is_empty() => (path, "/"),
        _ => (raw, ""),
    };
    let one = format!("{}{slash}", CanonicalPath::parse(path).ok()?.encoded());
    if one == raw {
        return Some(uri.clone());
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{one}{query}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn ambiguous() -> Response {
    let what = "This path is ambiguous: write it without empty segments, dots, encoded slashes and semicolons.";
    challenge::plain(StatusCode::BAD_REQUEST, what)
}

impl<S> Layer<S> for UmaLayer {
    type Service = Guarded<S>;
    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { layer: self.clone(), inner }
    }
}

/// A service behind the layer.
#[derive(Clone)]
pub struct Guarded<S> {
    layer: UmaLayer,
    inner: S,
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = Response> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response;
    type Error = S::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let layer = self.layer.clone();
        // the service that was polled ready is the one to be called
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let Some(uri) = in_one_form(&parts.uri) else { return Ok(ambiguous()) };
            parts.uri = uri;
            let Some(need) = layer.need_of(&mut parts) else { return inner.call(Request::from_parts(parts, body)).await };
            if let Err(answer) = layer.server.admit(&parts, &need).await {
                return Ok(*answer);
            }
            // the token is for the guard; the service has no use for it
            let authorization = parts.headers.remove(header::AUTHORIZATION);
            parts.headers.remove(presentation::DPOP);
            let permission = LetIn { server: layer.server.clone(), authorization, need };
            let mut watch = Watch::begin(Arc::new(permission), watch::INTERVAL);
            let (body, was_cut) = watch::incoming(body, layer.server.uploads, &watch);
            let answer = watch.during(inner.call(Request::from_parts(parts, body))).await;
            // whatever the service made of a part: the call was not carried out
            match (was_cut.get(), answer) {
                (Some(cut), _) | (None, Err(cut)) => Ok(challenge::plain(cut.status(), cut.words())),
                (None, Ok(answer)) => Ok(watch.answered(answer?)),
            }
        })
    }
}

#[cfg(test)]
mod tests;
