//! WebFinger (RFC 7033) as far as it says which authorization server an address leads to (OpenID Connect Discovery 2).

use serde::{Deserialize, Serialize};

/// The relation of an issuer.
pub const ISSUER_RELATION: &str = "http://openid.net/specs/connect/1.0/issuer";
/// Where it is asked.
pub const WEBFINGER: &str = "/.well-known/webfinger";
/// Media type of the answer.
pub const JRD: &str = "application/jrd+json";

/// A JSON resource descriptor. Members that we do not know are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceDescriptor {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(default)]
    pub links: Vec<DescriptorLink>,
}

/// A link of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorLink {
    pub rel: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub href: Option<String>,
}
