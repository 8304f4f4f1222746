//! DPoP proofs (RFC 9449): made by `client`, checked by `identity` at the authorization server and
//! by `resource-server` at the guard. Replay and nonces are the checker's; they need memory.

use crate::jws::{UnverifiedJws, Verified};
use crate::key::{KeyError, SigningKey};
use crate::{PublicKey, base64url, digest, htu};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use types::Timestamp;

/// How long a proof is good, and how far its clock may differ, in seconds (protocol.md 4).
pub const PROOF_LIFETIME: i64 = 60;

/// A proof that was checked: which key made it, and what makes it unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpopProof {
    /// Thumbprint of the key: the `jkt` of `cnf`.
    pub jkt: String,
    pub jti: String,
    pub iat: Timestamp,
    pub nonce: Option<String>,
}

/// Why a proof was refused (RFC 9449 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DpopError {
    #[error("the DPoP proof is no JWS of type `dpop+jwt` with a public `jwk` in its header")]
    Form,
    #[error("the DPoP proof's signature does not verify with its own key")]
    Signature,
    #[error("the DPoP proof's `htm` or `htu` is not of this request")]
    Request,
    #[error("the DPoP proof's `iat` is not within 60 seconds of now")]
    Stale,
    #[error("the DPoP proof's `ath` is not the hash of the access token sent with it")]
    AccessToken,
}

#[derive(Serialize, Deserialize)]
struct ProofClaims {
    jti: String,
    htm: String,
    htu: String,
    iat: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
    /// Not asked for, and honoured where they are there (RFC 7519 4.1.4, 4.1.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exp: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
}

/// How long one is remembered at least: a proof of a minute ahead is good for two, and for longer by a clock that is set back a little.
const REMEMBERED: Duration = Duration::from_secs(240);

/// Which proofs were seen: each `jti` of a key is good once in its minute. In memory alone: what was made before this memory
/// began may have been used before, and does not count (RFC 9449 11.1).
pub struct Seen {
    began: Timestamp,
    /// The same by a clock that nobody sets.
    started: Instant,
    proofs: Mutex<Proofs>,
}

/// What was seen in the period that runs, and in the one before it. By a clock that nobody sets: one that leaps ahead and back forgets
/// none that is good again. A period that is over is dropped whole: nobody looks through all that came while others wait.
struct Proofs {
    since: Instant,
    now: HashSet<[u8; 32]>,
    before: HashSet<[u8; 32]>,
}

impl Proofs {
    fn new(now: Instant) -> Self {
        Self { since: now, now: HashSet::new(), before: HashSet::new() }
    }

    /// Whether it is the first time.
    fn remember(&mut self, id: [u8; 32], at: Instant) -> bool {
        let passed = at.saturating_duration_since(self.since);
        if passed >= REMEMBERED {
            let last = std::mem::take(&mut self.now);
            self.before = if passed < REMEMBERED * 2 { last } else { HashSet::new() };
            self.since = at;
        }
        !self.before.contains(&id) && self.now.insert(id)
    }
}

impl Seen {
    /// A memory that begins with its process.
    pub fn since(began: Timestamp) -> Self {
        Self { began, started: Instant::now(), proofs: Mutex::new(Proofs::new(Instant::now())) }
    }

    /// From which time on proofs count.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// Remembers a proof; `false` where it was seen before, or may have been.
    pub fn remember(&self, proof: &DpopProof) -> bool {
        // later on a proof of before is too old by itself; and a clock that is set back shuts nobody out for longer
        let may_be_of_before = self.started.elapsed().as_secs() < PROOF_LIFETIME.unsigned_abs().saturating_mul(2);
        if may_be_of_before && proof.iat < self.began {
            return false;
        }
        let id = digest::sha256(&[proof.jkt.as_bytes(), b"\0", proof.jti.as_bytes()]);
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner).remember(id, Instant::now())
    }
}

/// The request that a proof is about.
pub struct Request<'a> {
    pub method: &'a str,
    /// The URL that was called, as it was called; query and fragment do not count.
    pub url: &'a str,
    /// The access token sent along; its hash must then be in the proof.
    pub access_token: Option<&'a str>,
}

/// Checks everything of RFC 9449 4.3 that needs no memory.
pub fn check(proof: &str, request: &Request<'_>, now: Timestamp) -> Result<Verified<DpopProof>, DpopError> {
    let jws = UnverifiedJws::parse(proof).map_err(|_| DpopError::Form)?;
    let jws = jws.expect_type("dpop+jwt").map_err(|_| DpopError::Form)?;
    let jwk = jws.header().jwk.as_ref().ok_or(DpopError::Form)?;
    let key = PublicKey::from_jwk(jwk).map_err(|_| DpopError::Form)?;
    let jws = jws.verify_with(&key).map_err(|_| DpopError::Signature)?;
    let claims = jws.claims::<ProofClaims>().map_err(|_| DpopError::Form)?.into_inner();
    // RFC 9449 4.3: method and URL of this request, the latter as RFC 3986 compares URLs
    if claims.htm != request.method || !htu::is_same(&claims.htu, request.url) {
        return Err(DpopError::Request);
    }
    if (claims.iat.0.saturating_sub(now.0)).abs() > PROOF_LIFETIME || claims.jti.is_empty() || claims.jti.len() > 256 {
        return Err(DpopError::Stale);
    }
    if claims.exp.is_some_and(|end| end <= now) || claims.nbf.is_some_and(|begin| now.plus(PROOF_LIFETIME) < begin) {
        return Err(DpopError::Stale);
    }
    if request.access_token.is_some_and(|token| claims.ath.as_deref() != Some(hash_of(token).as_str())) {
        return Err(DpopError::AccessToken);
    }
    Ok(Verified::vouch(DpopProof { jkt: key.thumbprint(), jti: claims.jti, iat: claims.iat, nonce: claims.nonce }))
}

/// Makes a proof for one request.
pub fn prove(
    key: &SigningKey,
    request: &Request<'_>,
    jti: String,
    now: Timestamp,
    nonce: Option<String>,
) -> Result<String, KeyError> {
    let mut jwk = key.public().to_jwk();
    if let Some(object) = jwk.as_object_mut() {
        for member in ["kid", "alg", "use"] {
            object.remove(member);
        }
    }
    let header = json!({"typ": "dpop+jwt", "alg": key.algorithm().as_str(), "jwk": jwk});
    let claims = ProofClaims {
        jti,
        htm: request.method.to_owned(),
        htu: request.url.to_owned(),
        iat: now,
        ath: request.access_token.map(hash_of),
        exp: None,
        nbf: None,
        nonce,
    };
    key.sign_with_header(&header, &claims)
}

fn hash_of(token: &str) -> String {
    base64url::encode(digest::sha256(&[token.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;

    #[test]
    fn threat_08_a_proof_is_good_once_also_after_a_restart() {
        let now = Timestamp(1_800_000_000);
        let proof = |jti: &str, iat| DpopProof { jkt: "k".into(), jti: jti.into(), iat, nonce: None };
        let seen = Seen::since(now);
        assert!(seen.remember(&proof("1", now)) && !seen.remember(&proof("1", now)));
        assert!(!seen.remember(&proof("2", now.plus(-1))), "the process before may have seen it");
        assert!(seen.remember(&proof("3", now.plus(1))), "a new one is good at once");
    }

    #[test]
    fn a_proof_is_good_for_its_request_its_token_and_its_minute() {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let now = Timestamp(1_800_000_000);
        let request = Request { method: "GET", url: "https://rs.example/photo", access_token: Some("rpt") };
        let proof = prove(&key, &request, "1".into(), now, None).unwrap();
        assert_eq!(check(&proof, &request, now).unwrap().jkt, key.public().thumbprint());
        // C-7: another spelling of the same URL
        assert!(check(&proof, &Request { url: "HTTPS://rs.example:443/ph%6Fto", ..request }, now).is_ok());
        let other = |r: Request<'_>, at| check(&proof, &r, at).unwrap_err();
        assert_eq!(other(Request { method: "PUT", ..request }, now), DpopError::Request);
        assert_eq!(other(Request { url: "https://rs.example/", ..request }, now), DpopError::Request);
        assert_eq!(other(Request { access_token: Some("x"), ..request }, now), DpopError::AccessToken);
        // what makes it stricter is honoured
        let timed = |exp: Option<i64>, nbf: Option<i64>| {
            let claims =
                json!({"jti": "2", "htm": "GET", "htu": request.url, "iat": now, "ath": hash_of("rpt"), "exp": exp, "nbf": nbf});
            let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.public().to_jwk()});
            check(&key.sign_with_header(&header, &claims).unwrap(), &request, now).map(|_| ())
        };
        assert_eq!(timed(Some(now.0 + 1), Some(now.0)), Ok(()));
        assert_eq!(timed(Some(now.0), None), Err(DpopError::Stale));
        assert_eq!(timed(None, Some(now.0 + 61)), Err(DpopError::Stale));
        assert_eq!(other(request, now.plus(61)), DpopError::Stale);
    }

    #[test]
    fn threat_46_a_proof_is_remembered_for_its_time_and_what_is_over_is_dropped_whole() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut proofs = Proofs::new(begun);
        assert!(proofs.remember([1; 32], at(239)) && proofs.remember([2; 32], at(240)));
        assert!(!proofs.remember([1; 32], at(470)) && !proofs.remember([2; 32], at(470)), "each for four minutes at least");
        assert!(proofs.remember([3; 32], at(480)) && proofs.remember([1; 32], at(480)));
        assert!(!proofs.remember([2; 32], at(480)));
        assert!(proofs.remember([3; 32], at(2_000)) && proofs.before.is_empty(), "nobody came for long");
    }
}
