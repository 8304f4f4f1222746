//! Sealing for the server's own eyes: AES-256-GCM-SIV, which stays sound if a nonce ever repeats.
//! Used for tickets, stored signing keys and gathered claims.

use crate::ambient::{Randomness, random};
use crate::key::KeyError;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};

/// Length of a sealing key in bytes.
pub const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// A key that seals and opens.
pub struct SealingKey(LessSafeKey);

impl SealingKey {
    pub fn new(key: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        let key = UnboundKey::new(&AES_256_GCM_SIV, key).map_err(|_| KeyError)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals `plain`; `context` must be the same at opening. Adds 28 bytes.
    pub fn seal(&self, plain: &[u8], context: &[u8], randomness: &dyn Randomness) -> Result<Vec<u8>, KeyError> {
        let nonce = random::<NONCE_BYTES>(randomness);
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut sealed)
            .map_err(|_| KeyError)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`SealingKey::seal`] made; `None` for anything else.
    pub fn open(&self, sealed: &[u8], context: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_at_checked(NONCE_BYTES)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let plain = self.0.open_in_place(nonce, Aad::from(context), &mut body).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandomness;

    #[test]
    fn only_the_same_key_and_context_open() {
        let key = SealingKey::new(&[7; 32]).unwrap();
        let sealed = key.seal(b"ticket", b"https://as.example ticket", &SystemRandomness).unwrap();
        assert_eq!(key.open(&sealed, b"https://as.example ticket").unwrap(), b"ticket");
        assert!(key.open(&sealed, b"https://as.example claims").is_none());
        assert!(SealingKey::new(&[8; 32]).unwrap().open(&sealed, b"https://as.example ticket").is_none());
        let mut flipped = sealed.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert!(key.open(&flipped, b"https://as.example ticket").is_none());
        assert!(key.open(b"short", b"").is_none());
    }
}
