//! DPoP at the authorization server (RFC 9449): what `jose::dpop` checks without memory, and here
//! the memory: each `jti` once in its minute, and nonces that do not outlive a restart.

use crate::Failure;
pub use jose::dpop::Request as ProofRequest;
use jose::dpop::{Request, Seen};
use jose::{DpopProof, Randomness, Verified, base64url, digest};
use std::sync::{Mutex, PoisonError};
use types::{ErrorCode, Refusal, Timestamp};

/// Algorithms of proofs that are taken.
pub const ALGORITHMS: [&str; 3] = ["EdDSA", "ES256", "RS256"];
/// Seconds that a nonce is good; the one before it still counts.
const NONCE_LIFETIME: i64 = 120;

/// What the server remembers of proofs. No rows: a proof made before this process started counts
/// only with a nonce of this process.
pub struct Memory {
    started: Timestamp,
    nonce_key: [u8; 32],
    /// What is older than this process is told by its nonce.
    seen: Seen,
    /// The nonce of this period: it goes with every answer.
    current: Mutex<(i64, String)>,
}

impl Memory {
    pub fn new(started: Timestamp, randomness: &dyn Randomness) -> Self {
        Self {
            started,
            nonce_key: jose::ambient::random(randomness),
            seen: Seen::since(Timestamp(i64::MIN)),
            current: Mutex::default(),
        }
    }

    /// The nonce to send in `DPoP-Nonce`.
    pub fn nonce(&self, now: Timestamp) -> String {
        let period = now.0.div_euclid(NONCE_LIFETIME);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 != period {
            *current = (period, self.nonce_of(period));
        }
        current.1.clone()
    }

    fn nonce_of(&self, period: i64) -> String {
        base64url::encode(digest::hmac_sha256(&self.nonce_key, &period.to_be_bytes()))
    }

    /// Checks a proof whole: form, request, time, nonce, replay.
    pub fn check(&self, proof: &str, request: &Request<'_>, now: Timestamp) -> Result<Verified<DpopProof>, Failure> {
        let proof = jose::dpop::check(proof, request, now)
            .map_err(|error| Refusal::new(ErrorCode::InvalidDpopProof, error.to_string()))?;
        self.check_nonce(&proof, now)?;
        if !self.seen.remember(&proof) {
            return Failure::refuse(ErrorCode::InvalidDpopProof, "this DPoP proof was used before: make a new one");
        }
        Ok(proof)
    }

    fn check_nonce(&self, proof: &DpopProof, now: Timestamp) -> Result<(), Failure> {
        let period = now.0.div_euclid(NONCE_LIFETIME);
        let good = match proof.nonce.as_deref() {
            Some(nonce) => nonce == self.nonce_of(period) || nonce == self.nonce_of(period.saturating_sub(1)),
            // made while this process ran, by a clock that can be believed
            None => proof.iat >= self.started && proof.iat <= now.plus(5),
        };
        if good {
            Ok(())
        } else {
            Failure::refuse(ErrorCode::UseDpopNonce, "repeat the request with the nonce of `DPoP-Nonce` in the proof")
        }
    }
}
