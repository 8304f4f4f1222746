//! The key by which the gateway proves that it is itself (`private_key_jwt`, identities), and what is made of it.

use super::store::Store;
use crate::protection::ProtectionError;
use jose::seal::SealingKey;
use jose::{Algorithm, SigningKey};

/// Name of the key in the store.
pub(super) const KEY: &str = "signing-key";

/// Its key, and whether it was made just now.
pub(super) async fn find_or_make(store: &Store) -> Result<(Vec<u8>, bool), ProtectionError> {
    if let Some(kept) = store.find_secret(KEY).await? {
        return Ok((kept, false));
    }
    let refused = |error: jose::KeyError| ProtectionError::Refused(error.to_string());
    let made = SigningKey::generate(Algorithm::Es256).and_then(|key| key.to_pkcs8()).map_err(refused)?;
    store.put_secret(KEY, made.clone()).await?;
    Ok((made, true))
}

/// Of what browsers keep while somebody links.
pub(super) fn sealing_key(pkcs8: &[u8]) -> Result<SealingKey, jose::KeyError> {
    SealingKey::new(&jose::digest::hmac_sha256(pkcs8, b"links that have begun"))
}
