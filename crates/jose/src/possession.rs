//! Proof that somebody has a credential's key (protocol.md 3): a challenge that says for whom and for how long, kept by
//! nobody, and a JWT over it. Called where credentials are registered: authorization server and resource server.

use crate::jwk::KeySet;
use crate::jws::UnverifiedJws;
use crate::{base64url, digest};
use serde::Deserialize;
use types::Timestamp;
use types::credential::PROOF_TYPE;
use types::json::OneOrMany;

/// Seconds that a challenge is good.
pub const LIFETIME: i64 = 300;

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
    pub fn challenge(&self, claimed: &Claimed<'_>, now: Timestamp) -> String {
        self.of(claimed, now.plus(LIFETIME))
    }

    fn of(&self, claimed: &Claimed<'_>, expires: Timestamp) -> String {
        let lengths = [claimed.owner.len(), claimed.credential.len()].map(|length| length.to_be_bytes());
        let [owner, credential] = &lengths;
        let parts = [owner, claimed.owner.as_bytes(), credential, claimed.credential.as_bytes(), claimed.audience.as_bytes()];
        let message = [&expires.0.to_be_bytes()[..], &parts.concat()].concat();
        base64url::encode([&expires.0.to_be_bytes()[..], &digest::hmac_sha256(&self.key, &message)].concat())
    }

    /// Checks a proof by these keys. The error is one sentence for whoever sent it.
    pub fn check(&self, proof: &str, keys: &KeySet, claimed: &Claimed<'_>, now: Timestamp) -> Result<(), String> {
        let jws = UnverifiedJws::parse(proof).and_then(|jws| jws.expect_type(PROOF_TYPE)).and_then(|jws| jws.verify(keys));
        let proof = jws.and_then(|jws| jws.claims::<Proof>()).map_err(|error| format!("the proof is not good: {error}"))?;
        let nonce = base64url::decode(&proof.nonce).unwrap_or_default();
        let expires = nonce.get(..8).and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes).map(Timestamp);
        let ours = expires.is_some_and(|end| {
            now < end && digest::equal(self.of(claimed, end).as_bytes(), base64url::encode(&nonce).as_bytes())
        });
        if !ours || proof.iat > now.plus(60) || now > proof.iat.plus(LIFETIME) {
            return Err("the challenge is not one of ours for this credential, or too old: sign this one".into());
        }
        if proof.aud.len() != 1 || !proof.aud.contains(claimed.audience) {
            return Err("the proof must be for this server alone (`aud`)".into());
        }
        Ok(())
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
        let challenge = challenger.challenge(&claimed, Timestamp(1_000));
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
}
