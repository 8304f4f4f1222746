//! What a browser keeps for the desk: it can neither read nor change it.

use super::{Store, StoreAway, away};
use jose::SystemRandomness;
use jose::seal::SealingKey;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a seal for browsers is for: no row's, and no row is one.
const IN_BROWSER: &[u8] = b"in a browser";

impl Store {
    pub(super) fn key(&self) -> Result<&SealingKey, StoreAway> {
        self.records.key.as_ref().ok_or_else(|| away("there is no key"))
    }

    /// What a browser keeps for this desk.
    pub(crate) fn sealed_for_browser(&self, value: &impl Serialize) -> Result<String, StoreAway> {
        let plain = serde_json::to_vec(value).map_err(away)?;
        Ok(jose::base64url::encode(self.key()?.seal(&plain, IN_BROWSER, &SystemRandomness).map_err(away)?))
    }

    /// What it brings back, if it is that.
    pub(crate) fn opened_from_browser<T: DeserializeOwned>(&self, text: &str) -> Option<T> {
        serde_json::from_slice(&self.key().ok()?.open(&jose::base64url::decode(text)?, IN_BROWSER)?).ok()
    }
}
