//! Consent receipts (protocol.md 1.6) as the desk keeps them: verified once by the keys of the server that gave them, and
//! kept whatever that server says later.

use crate::Trouble;
use crate::sync::Asking;
use jose::{KeySet, UnverifiedJws};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::consent_receipt::{ConsentReceipt, ListedReceipt, TYPE};
use types::metadata::Metadata;

/// Newest receipts that are asked for, and most that are kept of a server.
const NEWEST: usize = 200;
const KEPT: usize = 5_000;

/// A receipt as it is kept: what a server said once stays, whatever it says later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptReceipt {
    #[serde(flatten)]
    pub(crate) listed: ListedReceipt,
    /// Whether the signature was that server's, and said the same.
    pub(crate) verified: bool,
}

impl Asking<'_> {
    /// New receipts, verified; those that are kept stay.
    pub(crate) async fn receipts(&self, metadata: &Metadata, keys: &KeySet, kept: &mut Vec<KeptReceipt>) -> Result<(), Trouble> {
        let Some(url) = &metadata.consent_receipts_endpoint else { return Ok(()) };
        let answer = self.page(&format!("{url}?limit={NEWEST}")).await?;
        // one that this desk does not understand is left out, and no other for it
        let items = answer.body.as_array().into_iter().flatten();
        let listed: Vec<ListedReceipt> = items.filter_map(|item| serde_json::from_value(item.clone()).ok()).collect();
        let new = |one: &ListedReceipt| !kept.iter().any(|known| known.listed.receipt_jwt == one.receipt_jwt);
        let mut new: Vec<ListedReceipt> = listed.into_iter().filter(new).collect();
        if new.is_empty() {
            return Ok(());
        }
        let kept_before = std::mem::take(kept);
        kept.extend(new.drain(..).map(|listed| KeptReceipt { verified: is_verified(&listed, keys, &metadata.issuer), listed }));
        kept.extend(kept_before);
        kept.truncate(KEPT);
        Ok(())
    }
}

/// Whether this server signed it, and signed what it says.
fn is_verified(listed: &ListedReceipt, keys: &KeySet, issuer: &str) -> bool {
    let jws = UnverifiedJws::parse(&listed.receipt_jwt).and_then(|jws| jws.expect_type(TYPE));
    let claims = jws.and_then(|jws| jws.verify(keys)).and_then(|jws| jws.claims::<Value>());
    claims.is_ok_and(|claims| {
        let signed: Option<ConsentReceipt> = serde_json::from_value(claims.clone().into_inner()).ok();
        claims.get("iss").and_then(Value::as_str) == Some(issuer) && signed.as_ref() == Some(&listed.receipt)
    })
}
