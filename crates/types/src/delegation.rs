//! A delegation on the wire (protocol.md 1.8). What it allows is in `rules/delegation.rs`.

use crate::{OwnResourceId, OwnerId, ResourceServerId, ScopeSet, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a delegate may do for the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum May {
    /// Decide access requests.
    Approve,
    /// Write policies, and resource owner tokens by a credential of the delegate's own.
    Share,
}

/// The resources that a delegation is about: `"all"`, or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Covered {
    All,
    Only(Vec<ResourceName>),
}

/// One of them. In a posted delegation a plain id is the authorization server's; in a signed one it is the resource
/// server's own, whose name an authorization server cannot choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ResourceName {
    Id(String),
    Own(OwnResource),
}

/// A resource by the name its server has for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnResource {
    pub resource_server: ResourceServerId,
    #[serde(alias = "_resource_id")]
    pub resource_id: OwnResourceId,
}

impl Serialize for Covered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => "all".serialize(serializer),
            Self::Only(some) => some.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Covered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Word(String),
            Some(Vec<ResourceName>),
        }
        match Form::deserialize(deserializer) {
            Ok(Form::Word(word)) if word == "all" => Ok(Self::All),
            Ok(Form::Some(some)) => Ok(Self::Only(some)),
            _ => Err(D::Error::custom("`resources` must be \"all\", or an array of resource ids")),
        }
    }
}

/// Who is delegated; one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelegateName {
    /// A verified address of the delegate's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The account's id at this authorization server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<OwnerId>,
    /// A credential that the delegate registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_owner_id: Option<String>,
}

/// A delegation as it is posted and read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelegationDocument {
    #[serde(rename = "_id", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub delegate: DelegateName,
    pub resources: Covered,
    pub resource_scopes: ScopeSet,
    pub may: Vec<May>,
    /// 90 days from now where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Not sent by clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Account id of whoever delegates: what a delegate names as `?owner=`. Not sent by clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerId>,
    /// What she is called. Not sent by clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_name: Option<String>,
    /// The signed form, where she signed it; posted as `application/delegation+jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<String>,
}
