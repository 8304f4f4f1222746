//! Identifiers as distinct types, so that a client's id is never taken for an owner's.
//! Made at the edge (from a URL, a form, a row), compared byte for byte (Grant 1.1).

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! identifier {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is; an id is opaque to whoever did not make it.
            pub fn new(text: impl Into<String>) -> Self { Self(text.into()) }
            /// The text as it stands on the wire and in the store.
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl From<&str> for $name { fn from(text: &str) -> Self { Self(text.to_owned()) } }
        impl From<String> for $name { fn from(text: String) -> Self { Self(text) } }
    )+};
}

identifier! {
    /// An account here; also the `sub` of its ID tokens. A resource owner is an account, or a
    /// client that owns resources itself.
    AccountId,
    /// An OAuth `client_id` (RFC 6749 2.2).
    ClientId,
    /// The `_id` that the authorization server gave a registered resource (Federated
    /// Authorization 3.2).
    ResourceId,
    /// The resource server's own name of a resource, `_resource_id` (protocol.md 1.1).
    OwnResourceId,
    /// The `_id` of a policy.
    PolicyId,
    /// The `_id` of an access request.
    AccessRequestId,
    /// The `_id` of an event.
    EventId,
    /// A standing consent of an account to a client: what "linked applications" lists, and what a
    /// PAT by code flow hangs on.
    GrantId,
    /// An issuer identifier, compared byte for byte (RFC 8414 2).
    Issuer,
    /// The `resource` of a resource server: its URL (RFC 9728), or its `client_id` where it has
    /// none (protocol.md 1.0).
    ResourceServerId,
}

impl OwnResourceId {
    /// Longest name of a resource, in bytes: it stands in keys and indexes, of the resource server and of the authorization server.
    pub const MOST_BYTES: usize = 1_024;

    /// Why it is no name of a resource, where it is none.
    pub fn unfit(&self) -> Option<String> {
        match self.0.len() {
            bytes if bytes > Self::MOST_BYTES => Some(format!("may have at most {} bytes", Self::MOST_BYTES)),
            _ => self.0.contains('\0').then(|| "may have no zero byte".to_owned()),
        }
    }
}

impl Issuer {
    /// One spelling for all that a reader would take for this issuer: scheme and host in lower case, no default port, no slash
    /// at the end. Trust is given to the exact text alone (RFC 8414 2); this is for what must not be had twice.
    pub fn canonical(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else { return self.0.clone() };
        let scheme = scheme.to_ascii_lowercase();
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = host.to_ascii_lowercase();
        let port = if scheme == "https" { ":443" } else { ":80" };
        let host = host.strip_suffix(port).unwrap_or(&host);
        format!("{scheme}://{host}{}", path.trim_end_matches('/'))
    }
}

/// Who a resource belongs to: the account, or the client that is itself the owner (Grant 1.2:
/// an owner may be a legal entity).
pub type OwnerId = AccountId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_issuer_are_one() {
        let canonical = |text: &str| Issuer::from(text).canonical();
        for same in ["https://idp.example", "https://idp.example/", "HTTPS://IDP.example:443", "https://idp.example//"] {
            assert_eq!(canonical(same), "https://idp.example", "{same}");
        }
        for other in ["http://idp.example", "https://idp.example:8443", "https://idp.example/t", "https://idp.example/T"] {
            assert_ne!(canonical(other), "https://idp.example", "{other}");
        }
        assert_ne!(canonical("https://idp.example/t"), canonical("https://idp.example/T"));
        assert_eq!(canonical("did:key:z6Mk"), "did:key:z6Mk");
    }
}
