//! Resource management tokens (protocol.md 1, 2): who calls. One that is a JWT is checked by its issuer's keys, and its issuer is
//! asked whether it was withdrawn; an opaque one by asking the issuer. One that is bound to a key is nothing without its proof
//! (RFC 9449).

use super::asking::Askers;
use super::{Application, Managing, not_found, refuse};
use crate::fetched_keys::FetchedKeys;
use crate::gateway::Gateway;
use crate::gateway::brought::Grants;
use crate::gateway::strangers::Asker;
use crate::protection::ProtectionError;
use async_trait::async_trait;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use jose::dpop::{self, Seen};
use jose::{KeySet, UnverifiedJws};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;
use types::json::OneOrMany;
use types::metadata::Metadata;
use types::token::UMA_MANAGEMENT;
use types::{ClientId, Timestamp};

/// A key that is not known may be new; the keys are not read more often than this for it.
const KEYS_AT_MOST: Duration = Duration::from_secs(10);
/// How long is waited for the issuer's metadata, and how long they are not asked for again after a failure.
const PATIENCE: Duration = Duration::from_secs(5);
const RESTED: Duration = Duration::from_secs(2);
const SKEW: i64 = 60;
/// Seconds that a JWT counts of which its server cannot be asked.
const YOUNG_SECONDS: i64 = 60;

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
    /// What is known of a token that is for this gateway and good, its proof included.
    async fn verify(&self, sent: &Sent<'_>) -> Result<OwnToken, Unfit>;
    /// Whether what an owner agreed to for an application stands ([`Application::grant`]).
    async fn stands(&self, grant: &str) -> Result<bool, ProtectionError>;
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

/// Why a call has no owner.
pub enum Unfit {
    Missing,
    Several,
    /// Unknown, expired, for another place, or without the key that it is bound to.
    Token {
        bound: bool,
    },
    /// The proof is missing, old, used, of another call, or there twice.
    Proof,
    /// A proof with this nonce is wanted (RFC 9449 9).
    Nonce(String),
    Away(ProtectionError),
}

/// What a gateway's own log-in says of a token.
pub struct OwnToken {
    pub scope: String,
    /// As the routes name owners.
    pub owner: Option<String>,
    /// By which the owner manages.
    pub application: Option<Application>,
}

/// What it takes to check them.
pub(crate) struct Tokens {
    resource: String,
    metadata: OnceCell<Metadata>,
    /// When they could not be read.
    failed: Mutex<Option<Instant>>,
    keys: FetchedKeys,
    proofs: Arc<Seen>,
    /// Whether owners let applications manage still.
    pub(in crate::gateway) grants: Grants,
    /// Who may have its issuer asked about a token.
    pub(super) askers: Askers,
}

/// What is known of a token that is good.
pub(super) struct Known {
    pub(super) scope: String,
    pub(super) owner: Option<String>,
    pub(super) cnf: Option<Value>,
    pub(super) application: Application,
    /// Whether it is known that its owner has not withdrawn it.
    pub(super) is_sure: bool,
}

/// A JWT whose signature and claims hold.
pub(super) struct Signed {
    pub(super) known: Known,
    /// Given so lately that a withdrawal need not be known yet.
    pub(super) is_young: bool,
}

/// What a call shows, and whether it is known that it stands.
struct Shown {
    token: OwnToken,
    is_sure: bool,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: OneOrMany,
    exp: Timestamp,
    #[serde(default)]
    nbf: Option<Timestamp>,
    #[serde(default)]
    iat: Option<Timestamp>,
    #[serde(default)]
    client_id: Option<ClientId>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    cnf: Option<Value>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Tokens {
    pub(crate) fn new(resource: &str, proofs: Arc<Seen>) -> Self {
        let (failed, keys) = (Mutex::default(), FetchedKeys::default());
        let (resource, metadata, grants) = (resource.to_owned(), OnceCell::new(), Grants::default());
        Self { resource, metadata, failed, keys, proofs, grants, askers: Askers::default() }
    }

    fn has_just_failed(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|when| when.elapsed() < RESTED)
    }

    fn note_failure(&self) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

const BEARER: &str = "Bearer realm=\"management\"";
const DPOP: &str = "DPoP algs=\"EdDSA ES256 RS256\"";

impl Unfit {
    /// As RFC 6750 3 and RFC 9449 7.1 and 9 want it: the scheme that was tried first, with its error.
    fn answer(self) -> Response {
        let with = |challenge: &str, error: &str| format!("{challenge}, error=\"{error}\"");
        let token = "send an access token with scope `uma_management` for this resource server";
        let proof = "send one new DPoP proof for this call, by the key that the token is bound to";
        let (status, error, what, challenges) = match &self {
            Self::Missing => (StatusCode::UNAUTHORIZED, "invalid_token", token, vec![BEARER.to_owned(), DPOP.to_owned()]),
            Self::Several => {
                let what = "send one `Authorization` header, not several";
                (StatusCode::BAD_REQUEST, "invalid_request", what, vec![with(BEARER, "invalid_request")])
            }
            Self::Token { bound } => {
                let (tried, other) = if *bound { (DPOP, BEARER) } else { (BEARER, DPOP) };
                (StatusCode::UNAUTHORIZED, "invalid_token", token, vec![with(tried, "invalid_token"), other.to_owned()])
            }
            Self::Proof => (StatusCode::UNAUTHORIZED, "invalid_dpop_proof", proof, vec![with(DPOP, "invalid_dpop_proof")]),
            Self::Nonce(_) => {
                let what = "repeat the call with the nonce of `DPoP-Nonce` in the proof";
                (StatusCode::UNAUTHORIZED, "use_dpop_nonce", what, vec![with(DPOP, "use_dpop_nonce")])
            }
            Self::Away(error) => return away(error),
        };
        let mut response = refuse(status, error, what);
        let headers = response.headers_mut();
        for challenge in challenges.iter().filter_map(|challenge| HeaderValue::from_str(challenge).ok()) {
            headers.append(header::WWW_AUTHENTICATE, challenge);
        }
        if let Self::Nonce(nonce) = &self {
            headers.extend(HeaderValue::from_str(nonce).ok().map(|nonce| (HeaderName::from_static("dpop-nonce"), nonce)));
        }
        response
    }
}

fn away(error: &ProtectionError) -> Response {
    if matches!(error, ProtectionError::Busy | ProtectionError::Later(_)) {
        return super::not_now(error.seconds_to_wait());
    }
    refuse(StatusCode::BAD_GATEWAY, "temporarily_unavailable", "the issuer of your token does not answer")
}

/// The token of a call, which may be there once.
fn token_of(parts: &Parts) -> Result<(bool, &str), Unfit> {
    let mut sent = parts.headers.get_all(header::AUTHORIZATION).iter();
    let one = match (sent.next(), sent.next()) {
        (Some(one), None) => one,
        (None, _) => return Err(Unfit::Missing),
        // of several, nobody knows which counts (RFC 6750 3.1)
        _ => return Err(Unfit::Several),
    };
    let (scheme, token) = one.to_str().ok().and_then(|value| value.split_once(' ')).ok_or(Unfit::Missing)?;
    let bound = scheme.eq_ignore_ascii_case("dpop");
    if !bound && !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Unfit::Missing);
    }
    Ok((bound, token.trim()))
}

/// The proof of a call, which may be there once (RFC 9449 4.3).
fn proof_of(parts: &Parts) -> Result<Option<&str>, Unfit> {
    let mut proofs = parts.headers.get_all("dpop").iter();
    match (proofs.next(), proofs.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => one.to_str().map(Some).map_err(|_| Unfit::Proof),
        _ => Err(Unfit::Proof),
    }
}

impl Gateway {
    /// The owner whose RMT this is.
    pub(super) async fn managing_owner(&self, parts: &Parts) -> Result<Managing, Response> {
        let Some(management) = &self.settings.management else {
            return Err(crate::challenge::plain(StatusCode::NOT_FOUND, "Nothing is here."));
        };
        let told = |unfit: Unfit| {
            // anybody can send a token
            if let Unfit::Away(error) = &unfit
                && self.is_worth_a_line(&format!("management tokens of {}", management.issuer))
            {
                tracing::warn!(%error, "a management token cannot be checked");
            }
            unfit.answer()
        };
        let Shown { token: known, is_sure } = self.known_owner(management, parts).await.map_err(told)?;
        let is_bound = token_of(parts).is_ok_and(|(bound, _)| bound);
        let owner = self.may_manage(&known.scope, known.owner, is_bound).map_err(|refusal| *refusal)?;
        let now = self.client.clock.now();
        let by = known.application.map(|application| application.brings(&management.issuer, now));
        Ok(Managing { owner, by, is_sure })
    }

    async fn known_owner(&self, management: &Management, parts: &Parts) -> Result<Shown, Unfit> {
        let (bound, token) = token_of(parts)?;
        let proof = proof_of(parts)?;
        let url = format!("{}{}", self.settings.resource, parts.uri.path());
        let sent = Sent { token, bound, proof, method: parts.method.as_str(), url: &url };
        if let Some(own) = &self.own_log_in {
            return Ok(Shown { token: own.verify(&sent).await?, is_sure: true });
        }
        let is_jwt = token.bytes().filter(|byte| *byte == b'.').count() == 2;
        let known = if is_jwt {
            self.check_own_jwt(management, token, Asker::of(parts).caller).await
        } else {
            self.check_opaque(management, token, Asker::of(parts).caller).await
        };
        let known = known.map_err(Unfit::Away)?.ok_or(Unfit::Token { bound })?;
        self.check_key(&known, &sent)?;
        let token = OwnToken { scope: known.scope, owner: known.owner, application: Some(known.application) };
        Ok(Shown { token, is_sure: known.is_sure })
    }

    fn may_manage(&self, scope: &str, owner: Option<String>, is_bound: bool) -> Result<String, Box<Response>> {
        if !scope.split(' ').any(|scope| scope == UMA_MANAGEMENT) {
            let what = "this needs the scope `uma_management`";
            let mut response = refuse(StatusCode::FORBIDDEN, "insufficient_scope", what);
            // RFC 6750 3.1, by the scheme that was used (RFC 9449 7.1)
            let scheme = if is_bound { DPOP } else { BEARER };
            let challenge = format!("{scheme}, error=\"insufficient_scope\", scope=\"{UMA_MANAGEMENT}\"");
            let challenge = HeaderValue::from_str(&challenge).ok();
            response.headers_mut().extend(challenge.map(|challenge| (header::WWW_AUTHENTICATE, challenge)));
            return Err(Box::new(response));
        }
        owner.filter(|owner| self.has_owner(owner)).ok_or_else(|| Box::new(not_found()))
    }

    /// One at a time reads them, and a failure is remembered for a moment: anybody can send a token.
    pub(super) async fn management_metadata(&self, management: &Management) -> Result<&Metadata, ProtectionError> {
        let client = self.client.at(&management.issuer);
        let find = async {
            if self.rmts.has_just_failed() {
                return Err(ProtectionError::Unreachable);
            }
            let found = tokio::time::timeout(PATIENCE, client.discover_openid(&management.issuer)).await;
            let found = found.map_err(|_| ProtectionError::Unreachable).and_then(|found| Ok(found?));
            found.inspect_err(|error| {
                // where nobody was asked, nobody has failed
                if *error != ProtectionError::Busy {
                    self.rmts.note_failure();
                }
            })
        };
        self.rmts.metadata.get_or_try_init(|| find).await
    }

    /// RFC 9068 4.
    pub(super) async fn check_signed(&self, management: &Management, token: &str) -> Result<Option<Signed>, ProtectionError> {
        let Some(claims) = self.verify_signed(management, token).await? else { return Ok(None) };
        let now = self.client.clock.now();
        let in_time = now < claims.exp && claims.nbf.is_none_or(|nbf| nbf <= now.plus(SKEW));
        if claims.iss != management.issuer || !claims.aud.contains(&self.rmts.resource) || !in_time {
            return Ok(None);
        }
        let owner = claims.others.get(&management.owner_claim).and_then(Value::as_str).map(str::to_owned);
        let is_young = claims.iat.is_some_and(|iat| now < iat.plus(YOUNG_SECONDS));
        let application = Application { client: claims.client_id, name: None, grant: None, declared: false };
        Ok(Some(Signed { known: Known { scope: claims.scope, owner, cnf: claims.cnf, application, is_sure: true }, is_young }))
    }

    async fn verify_signed(&self, management: &Management, token: &str) -> Result<Option<Claims>, ProtectionError> {
        let by = |keys: &KeySet| {
            let jws = UnverifiedJws::parse(token).and_then(|jws| jws.expect_type("at+jwt")).and_then(|jws| jws.verify(keys));
            jws.and_then(|jws| jws.claims::<Claims>()).map(jose::Verified::into_inner)
        };
        match by(&self.rmts.keys.known()) {
            Ok(claims) => return Ok(Some(claims)),
            Err(jose::JwsError::NoKey) => {}
            Err(_) => return Ok(None),
        }
        let uri = &self.management_metadata(management).await?.jwks_uri;
        let client = self.client.at(&management.issuer);
        let keys = self.rmts.keys.read(&client.outbound, uri, KEYS_AT_MOST).await?;
        Ok(by(&keys).ok())
    }

    /// A bound token counts only with its proof, a bearer token only without.
    fn check_key(&self, known: &Known, sent: &Sent<'_>) -> Result<(), Unfit> {
        let jkt = known.cnf.as_ref().and_then(|cnf| cnf.get("jkt")).and_then(Value::as_str);
        let (jkt, proof) = match (jkt, sent.bound, sent.proof) {
            (None, false, _) if known.cnf.is_none() => return Ok(()),
            (Some(jkt), true, Some(proof)) => (jkt, proof),
            (Some(_), true, None) => return Err(Unfit::Proof),
            _ => return Err(Unfit::Token { bound: sent.bound }),
        };
        let request = dpop::Request { method: sent.method, url: sent.url, access_token: Some(sent.token) };
        let now = self.client.clock.now();
        let proof = dpop::check(proof, &request, now).map_err(|_| Unfit::Proof)?;
        if proof.jkt != jkt {
            return Err(Unfit::Token { bound: true });
        }
        if self.rmts.proofs.remember(&proof) { Ok(()) } else { Err(Unfit::Proof) }
    }
}
