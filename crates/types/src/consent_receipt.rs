//! A consent receipt (protocol.md 1.6): what an owner was told or agreed to, as a record that she can keep. The members are
//! those of Kantara's Consent Receipt 1.1; `event`, `replaces` and `_id` arrange them after ISO/IEC TS 27560, which keeps a
//! record for each thing that happens to a consent.

use crate::{OwnerId, PolicyId, ResourceId, ScopeSet, Timestamp};
use serde::{Deserialize, Serialize};

/// `typ` of a signed receipt, and its media type.
pub const TYPE: &str = "consent-receipt+jwt";
/// The version of the members (Consent Receipt 1.1, 4.3.1).
pub const VERSION: &str = "KI-CR-v1.1.0";

/// What a receipt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptEvent {
    /// She agreed for the first time, or to other terms.
    Given,
    /// She took it back; the receipt names the one that it ends.
    Withdrawn,
}

/// Who is responsible for what is done with the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Controller {
    pub pii_controller: String,
    pub on_behalf: bool,
    pub pii_controller_url: String,
}

/// What for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Purpose {
    pub purpose: String,
    /// `EXPLICIT`: she did something for it.
    pub consent_type: String,
    /// What may be done with the data.
    pub pii_category: Vec<String>,
    pub primary_purpose: bool,
    /// When it ends, in words.
    pub termination: String,
    pub third_party_disclosure: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub third_party_name: Option<String>,
}

/// A service, and its purposes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub service: String,
    pub purposes: Vec<Purpose>,
}

/// A receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsentReceipt {
    #[serde(rename = "_id")]
    pub id: String,
    pub version: String,
    pub jurisdiction: String,
    pub consent_timestamp: Timestamp,
    pub collection_method: String,
    #[serde(rename = "consentReceiptID")]
    pub consent_receipt_id: String,
    /// The key that signs it, by its id at `jwks_uri`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    pub language: String,
    /// The account; not on the first notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pii_principal_id: Option<OwnerId>,
    pub pii_controllers: Vec<Controller>,
    pub policy_url: String,
    pub services: Vec<Service>,
    pub sensitive: bool,
    #[serde(rename = "spiCat")]
    pub spi_cat: Vec<String>,
    pub event: ReceiptEvent,
    /// The receipt that this one takes the place of, or ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    #[serde(rename = "policy_id", default, skip_serializing_if = "Option::is_none")]
    pub policy_id: Option<PolicyId>,
    #[serde(rename = "resource_id", default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<ResourceId>,
    #[serde(rename = "scopes", default, skip_serializing_if = "ScopeSet::is_empty")]
    pub scopes: ScopeSet,
    #[serde(rename = "client_id", default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Who did it: an account, a client, or a delegate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A receipt as it is listed: what it says, and the same signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedReceipt {
    #[serde(flatten)]
    pub receipt: ConsentReceipt,
    /// `typ` `consent-receipt+jwt`, with `iss` and `iat` beside the members.
    pub receipt_jwt: String,
}
