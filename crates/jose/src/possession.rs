//! Proof that somebody has a credential's key (protocol.md 3): a challenge that says for whom and for how long, kept by
//! nobody, and a JWT over it. Called where credentials are registered: authorization server and resource server.

use crate::jwk::KeySet;
use crate::jws::UnverifiedJws;
use crate::{Randomness, ambient, base64url, digest};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use types::Timestamp;
use types::credential::PROOF_TYPE;
use types::json::OneOrMany;

/// Seconds that a challenge is good.
pub const LIFETIME: i64 = 300;

/// Random bytes of a challenge: two of one second are two.
const RANDOM: usize = 16;

/// A challenge that was answered rightly. It proves something once: whoever checked it spends it before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a challenge is good once: spend it"]
pub struct Answered {
    pub nonce: String,
    pub expires: Timestamp,
}

/// Answers that were spent, for whoever makes new challenges after a restart. Nobody else fills it: an answer needs a key
/// and a challenge of ours.
#[derive(Default)]
pub struct SpentAnswers(Mutex<HashMap<String, Timestamp>>);

impl SpentAnswers {
    /// Whether it is spent now for the first time.
    pub fn spend(&self, answered: Answered, now: Timestamp) -> bool {
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spent.retain(|_, expires| now < *expires);
        spent.insert(answered.nonce, answered.expires).is_none()
    }
}

/// Makes challenges, and knows its own.
pub struct Challenger {
    key: [u8; 32],
}

/// Who proves which credential to whom.
#[derive(Clone, Copy)]
pub struct Claimed<'a> {
    pub owner: &'a str,
    pub credential: &'a str,
    /// The issuer or `resource` that the proof must be for.
    pub audience: &'a str,
}

#[derive(Deserialize)]
struct Proof {
    aud: OneOrMany,
    nonce: String,
    iat: Timestamp,
}

impl Challenger {
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// A challenge for this owner and credential.
    pub fn challenge(&self, claimed: &Claimed<'_>, now: Timestamp, randomness: &dyn Randomness) -> String {
        self.of(claimed, now.plus(LIFETIME), &ambient::random::<RANDOM>(randomness))
    }

    fn of(&self, claimed: &Claimed<'_>, expires: Timestamp, random: &[u8]) -> String {
        let lengths = [claimed.owner.len(), claimed.credential.len()].map(|length| length.to_be_bytes());
        let [owner, credential] = &lengths;
        let parts = [owner, claimed.owner.as_bytes(), credential, claimed.credential.as_bytes(), claimed.audience.as_bytes()];
        let head = [&expires.0.to_be_bytes()[..], random].concat();
        let message = [&head[..], &parts.concat()].concat();
        base64url::encode([&head[..], &digest::hmac_sha256(&self.key, &message)].concat())
    }

    /// Checks a proof by these keys. The error is one sentence for whoever sent it.
    pub fn check(&self, proof: &str, keys: &KeySet, claimed: &Claimed<'_>, now: Timestamp) -> Result<Answered, String> {
        let jws = UnverifiedJws::parse(proof).and_then(|jws| jws.expect_type(PROOF_TYPE)).and_then(|jws| jws.verify(keys));
        let proof = jws.and_then(|jws| jws.claims::<Proof>()).map_err(|error| format!("the proof is not good: {error}"))?;
        let nonce = base64url::decode(&proof.nonce).unwrap_or_default();
        let expires = nonce.get(..8).and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes).map(Timestamp);
        let random = nonce.get(8..).and_then(|rest| rest.get(..RANDOM)).unwrap_or_default();
        let is_ours =
            |end: &Timestamp| digest::equal(self.of(claimed, *end, random).as_bytes(), base64url::encode(&nonce).as_bytes());
        let ours = expires.filter(|end| now < *end && is_ours(end));
        let too_old = proof.iat > now.plus(60) || now > proof.iat.plus(LIFETIME);
        let Some(expires) = ours.filter(|_| !too_old) else {
            return Err("the challenge is not one of ours for this credential, or too old: sign this one".into());
        };
        if proof.aud.len() != 1 || !proof.aud.contains(claimed.audience) {
            return Err("the proof must be for this server alone (`aud`)".into());
        }
        Ok(Answered { nonce: base64url::encode(&nonce), expires })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, SigningKey, did};
    use serde_json::json;

    #[test]
    fn a_challenge_is_good_for_its_owner_credential_server_and_time() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let did = did::of_key(key.public());
        let keys = did::keys_of(&did).unwrap();
        let challenger = Challenger::new([7; 32]);
        let claimed = Claimed { owner: "alice", credential: &did, audience: "https://as.example" };
        let challenge = challenger.challenge(&claimed, Timestamp(1_000), &crate::SystemRandomness);
        let proof = key.sign_as(PROOF_TYPE, &did, &json!({"aud": claimed.audience, "nonce": challenge, "iat": 1_000})).unwrap();
        let check = |claimed: &Claimed<'_>, now| challenger.check(&proof, &keys, claimed, Timestamp(now)).is_ok();
        assert!(check(&claimed, 1_000) && check(&claimed, 1_299));
        assert!(!check(&claimed, 1_300), "too late");
        assert!(!check(&Claimed { owner: "carol", ..claimed }, 1_000));
        assert!(!check(&Claimed { credential: "did:key:z", ..claimed }, 1_000));
        assert!(!check(&Claimed { audience: "https://rs.example", ..claimed }, 1_000));
        assert!(Challenger::new([8; 32]).check(&proof, &keys, &claimed, Timestamp(1_000)).is_err());
        let stranger = did::keys_of(&did::of_key(SigningKey::generate(Algorithm::EdDsa).unwrap().public())).unwrap();
        assert!(challenger.check(&proof, &stranger, &claimed, Timestamp(1_000)).is_err());
    }

    #[test]
    fn threat_49_s34_an_answer_is_spent_once() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let did = did::of_key(key.public());
        let challenger = Challenger::new([7; 32]);
        let claimed = Claimed { owner: "alice", credential: &did, audience: "https://as.example" };
        let fresh = || challenger.challenge(&claimed, Timestamp(1_000), &crate::SystemRandomness);
        let (one, other) = (fresh(), fresh());
        assert_ne!(one, other, "of the same second");
        let spent = SpentAnswers::default();
        let answer = |nonce: &str| {
            let proof = key.sign_as(PROOF_TYPE, &did, &json!({"aud": claimed.audience, "nonce": nonce, "iat": 1_000})).unwrap();
            challenger.check(&proof, &did::keys_of(&did).unwrap(), &claimed, Timestamp(1_000))
        };
        assert!(spent.spend(answer(&one).unwrap(), Timestamp(1_000)));
        assert!(!spent.spend(answer(&one).unwrap(), Timestamp(1_200)));
        assert!(spent.spend(answer(&other).unwrap(), Timestamp(1_200)));
        // another spelling of the same bytes is the same challenge, or none
        for spelled in [format!("{one}="), format!("{one}A"), one.replace('-', "+").replace('_', "/") + "\n"] {
            assert!(answer(&spelled).is_err(), "{spelled}");
        }
    }
}
