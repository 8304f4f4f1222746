//! Resource management tokens (protocol.md 1, 2): who calls. One that is a JWT is checked by its issuer's keys, an
//! opaque one by asking the issuer; one that is bound to a key is nothing without its proof (RFC 9449).

use super::{not_found, refuse};
use crate::gateway::Gateway;
use crate::protection::ProtectionError;
use async_trait::async_trait;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use jose::dpop::{self, Seen};
use jose::{KeySet, UnverifiedJws};
use outbound::Request;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OnceCell};
use types::Timestamp;
use types::json::OneOrMany;
use types::metadata::Metadata;
use types::token::UMA_MANAGEMENT;

/// A key that is not known may be new; the keys are not read more often than this for it.
const KEYS_AT_MOST: Duration = Duration::from_secs(10);
const SKEW: i64 = 60;

/// Who may issue RMTs (`[gateway.management]`).
#[derive(Clone, Debug)]
pub struct Management {
    pub issuer: String,
    /// What names the owner: `preferred_username` or `sub`, or another claim of a JWT.
    pub owner_claim: String,
}

/// A gateway's own log-in, where it has one (protocol.md 2): it made the token, so nobody needs to be asked.
#[async_trait]
pub trait OwnLogIn: Send + Sync {
    /// What is known of a token that is for this gateway and good, its proof included; none for any other.
    async fn verify(&self, sent: &Sent<'_>) -> Result<Option<OwnToken>, ProtectionError>;
}

/// A token as it came.
pub struct Sent<'a> {
    pub token: &'a str,
    /// Sent as one that is bound to a key.
    pub bound: bool,
    pub proof: Option<&'a str>,
    pub method: &'a str,
    /// The URL that was called, without query.
    pub url: &'a str,
}

/// What a gateway's own log-in says of a token.
pub struct OwnToken {
    pub scope: String,
    /// As the routes name owners.
    pub owner: Option<String>,
}

/// What it takes to check them.
pub(crate) struct Tokens {
    resource: String,
    metadata: OnceCell<Metadata>,
    keys: Mutex<(KeySet, Option<Instant>)>,
    proofs: Seen,
}

/// What is known of a token that is good.
struct Known {
    scope: String,
    owner: Option<String>,
    cnf: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: OneOrMany,
    exp: Timestamp,
    #[serde(default)]
    nbf: Option<Timestamp>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    cnf: Option<Value>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Tokens {
    pub(crate) fn new(resource: &str) -> Self {
        Self { resource: resource.to_owned(), metadata: OnceCell::new(), keys: Mutex::default(), proofs: Seen::default() }
    }
}

fn unauthorized() -> Response {
    let what =
        "send an access token with scope `uma_management` for this resource server, with its proof if it is bound to a key";
    let mut response = refuse(StatusCode::UNAUTHORIZED, "invalid_token", what);
    for challenge in ["Bearer error=\"invalid_token\"", "DPoP error=\"invalid_token\", algs=\"EdDSA ES256\""] {
        response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

fn away(error: &ProtectionError) -> Response {
    tracing::warn!(%error, "a management token cannot be checked");
    refuse(StatusCode::BAD_GATEWAY, "temporarily_unavailable", "the issuer of your token does not answer")
}

impl Gateway {
    /// The owner whose RMT this is.
    pub(super) async fn managing_owner(&self, parts: &Parts) -> Result<String, Response> {
        let Some(management) = &self.settings.management else {
            return Err(crate::challenge::plain(StatusCode::NOT_FOUND, "Nothing is here."));
        };
        let mut sent = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(one), None) = (sent.next(), sent.next()) else { return Err(unauthorized()) };
        let (scheme, token) = one.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(unauthorized)?;
        let bound = scheme.eq_ignore_ascii_case("dpop");
        if !bound && !scheme.eq_ignore_ascii_case("bearer") {
            return Err(unauthorized());
        }
        let token = token.trim();
        if let Some(own) = &self.own_log_in {
            return self.known_here(own, parts, token, bound).await;
        }
        let is_jwt = token.bytes().filter(|byte| *byte == b'.').count() == 2;
        let known = if is_jwt { self.check_signed(management, token).await } else { self.ask_about(management, token).await };
        let known = known.map_err(|error| away(&error))?.ok_or_else(unauthorized)?;
        if !self.has_key(&known, bound, token, parts) {
            return Err(unauthorized());
        }
        self.may_manage(&known.scope, known.owner).map_err(|refusal| *refusal)
    }

    /// A token of this gateway's own log-in.
    async fn known_here(&self, own: &Arc<dyn OwnLogIn>, parts: &Parts, token: &str, bound: bool) -> Result<String, Response> {
        let mut proofs = parts.headers.get_all("dpop").iter();
        let (proof, more) = (proofs.next().and_then(|value| value.to_str().ok()), proofs.next());
        if more.is_some() {
            return Err(unauthorized());
        }
        let url = format!("{}{}", self.settings.resource, parts.uri.path());
        let sent = Sent { token, bound, proof, method: parts.method.as_str(), url: &url };
        let known = own.verify(&sent).await.map_err(|error| away(&error))?.ok_or_else(unauthorized)?;
        self.may_manage(&known.scope, known.owner).map_err(|refusal| *refusal)
    }

    fn may_manage(&self, scope: &str, owner: Option<String>) -> Result<String, Box<Response>> {
        if !scope.split(' ').any(|scope| scope == UMA_MANAGEMENT) {
            let what = "this needs the scope `uma_management`";
            return Err(Box::new(refuse(StatusCode::FORBIDDEN, "insufficient_scope", what)));
        }
        owner.filter(|owner| self.has_owner(owner)).ok_or_else(|| Box::new(not_found()))
    }

    async fn management_metadata(&self, management: &Management) -> Result<&Metadata, ProtectionError> {
        let find = || self.client.discover_openid(&management.issuer);
        Ok(self.rmts.metadata.get_or_try_init(find).await?)
    }

    async fn ask_about(&self, management: &Management, token: &str) -> Result<Option<Known>, ProtectionError> {
        let metadata = self.management_metadata(management).await?;
        let answer = self.client.introspect(metadata, token).await?;
        if !answer.active || answer.aud.as_deref() != Some(&self.settings.resource) {
            return Ok(None);
        }
        let owner = if management.owner_claim == "sub" { answer.sub } else { answer.username };
        Ok(Some(Known { scope: answer.scope.unwrap_or_default(), owner, cnf: answer.cnf }))
    }

    /// RFC 9068 4.
    async fn check_signed(&self, management: &Management, token: &str) -> Result<Option<Known>, ProtectionError> {
        let Some(claims) = self.verify_signed(management, token).await? else { return Ok(None) };
        let now = self.client.clock.now();
        let in_time = now < claims.exp && claims.nbf.is_none_or(|nbf| nbf <= now.plus(SKEW));
        if claims.iss != management.issuer || !claims.aud.contains(&self.rmts.resource) || !in_time {
            return Ok(None);
        }
        let owner = claims.others.get(&management.owner_claim).and_then(Value::as_str).map(str::to_owned);
        Ok(Some(Known { scope: claims.scope, owner, cnf: claims.cnf }))
    }

    async fn verify_signed(&self, management: &Management, token: &str) -> Result<Option<Claims>, ProtectionError> {
        let by = |keys: &KeySet| {
            let jws = UnverifiedJws::parse(token).and_then(|jws| jws.expect_type("at+jwt")).and_then(|jws| jws.verify(keys));
            jws.and_then(|jws| jws.claims::<Claims>()).map(jose::Verified::into_inner)
        };
        let mut keys = self.rmts.keys.lock().await;
        match by(&keys.0) {
            Ok(claims) => return Ok(Some(claims)),
            Err(jose::JwsError::NoKey) if keys.1.is_none_or(|read| read.elapsed() >= KEYS_AT_MOST) => {}
            Err(_) => return Ok(None),
        }
        let uri = &self.management_metadata(management).await?.jwks_uri;
        let answer = self.client.outbound.send(Request::get(uri)).await.map_err(|_| ProtectionError::Unreachable)?;
        let set = types::json::parse::<Value>(&answer.body).ok().and_then(|set| KeySet::from_json(&set));
        *keys = (set.ok_or(ProtectionError::Unreachable)?, Some(Instant::now()));
        Ok(by(&keys.0).ok())
    }

    /// A bound token counts only with its proof, a bearer token only without.
    fn has_key(&self, known: &Known, bound: bool, token: &str, parts: &Parts) -> bool {
        let jkt = known.cnf.as_ref().and_then(|cnf| cnf.get("jkt")).and_then(Value::as_str);
        let mut proofs = parts.headers.get_all("dpop").iter();
        let (proof, more) = (proofs.next().and_then(|value| value.to_str().ok()), proofs.next());
        match (jkt, bound, proof) {
            (None, false, _) => known.cnf.is_none(),
            (Some(jkt), true, Some(proof)) if more.is_none() => {
                let url = format!("{}{}", self.settings.resource, parts.uri.path());
                let request = dpop::Request { method: parts.method.as_str(), url: &url, access_token: Some(token) };
                let now = self.client.clock.now();
                dpop::check(proof, &request, now).is_ok_and(|proof| proof.jkt == jkt && self.rmts.proofs.remember(&proof, now))
            }
            _ => false,
        }
    }
}
