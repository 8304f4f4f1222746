//! Resource owner tokens as signed objects (protocol.md 3): what an owner says with her own key about who may do what
//! with which of her resources. Their form and signature are checked here; what they allow is in
//! `rules::authority`.

use crate::jwk::KeySet;
use crate::jws::{JwsError, UnverifiedJws, Verified};
use crate::key::{KeyError, SigningKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::json::OneOrMany;
use types::{OwnResourceId, ResourceServerId, ScopeSet, Timestamp};

/// `typ` of a resource owner token.
pub const TYPE: &str = "rot+jwt";
/// Longest token.
pub const MAX_BYTES: usize = 4 * 1024;
/// Most resources in one.
pub const MAX_RESOURCES: usize = 16;
const MAX_ID: usize = 128;

/// What the owner says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceOwnerToken {
    /// Also the id of the policy that it is.
    pub jti: String,
    /// The credential that signs.
    pub iss: String,
    /// Resource servers and authorization servers that it is for.
    pub aud: OneOrMany,
    pub iat: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Timestamp>,
    pub exp: Timestamp,
    /// The owner's credential; `iss`, unless a delegate signs.
    pub resource_owner_id: String,
    pub resources: Vec<AllowedResource>,
    /// Who may; empty: anyone.
    pub allowed_rqp: AllowedParty,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<String>,
}

/// One resource, by the name its resource server has for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedResource {
    pub resource_server: ResourceServerId,
    pub resource_id: OwnResourceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_location: Option<String>,
    pub allowed_scopes: ScopeSet,
}

/// The requesting party that a token is for. Values are one or several, any of which will do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedParty {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<OneOrMany>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuer: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// The key that the requesting party must prove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    pub jkt: String,
}

/// Why a token is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotError {
    #[error("a resource owner token has at most 4 KiB")]
    TooLong,
    #[error(transparent)]
    Jws(#[from] JwsError),
    #[error("{0}")]
    Content(&'static str),
}

/// A token that nobody has checked yet.
pub struct UnverifiedToken(UnverifiedJws);

impl UnverifiedToken {
    /// Bounds its size, and looks at its type.
    pub fn parse(text: &str) -> Result<Self, RotError> {
        if text.len() > MAX_BYTES {
            return Err(RotError::TooLong);
        }
        Ok(Self(UnverifiedJws::parse(text)?.expect_type(TYPE)?))
    }

    /// The credential that it says it is signed by; to find its keys and for nothing else.
    pub fn issuer(&self) -> Option<String> {
        self.0.claimed("iss")
    }

    /// The delegation that it says it rests on; to find whose keys to verify it by.
    pub fn delegation(&self) -> Option<String> {
        self.0.claimed("delegation")
    }

    /// Checks signature and form.
    pub fn verify(self, keys: &KeySet) -> Result<Verified<ResourceOwnerToken>, RotError> {
        let token = self.0.verify(keys)?.claims::<ResourceOwnerToken>()?;
        check(&token)?;
        Ok(token)
    }
}

/// Whether it can name a token, a policy and a delegation.
pub(crate) fn is_jti(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c))
}

fn check(token: &ResourceOwnerToken) -> Result<(), RotError> {
    let content = |fits: bool, what| if fits { Ok(()) } else { Err(RotError::Content(what)) };
    content(is_jti(&token.jti), "`jti` must be 1 to 128 of A-Z a-z 0-9 - _ . ~")?;
    content(!token.aud.is_empty(), "`aud` must name who it is for")?;
    content((1..=MAX_RESOURCES).contains(&token.resources.len()), "`resources` must be 1 to 16")?;
    content(token.resources.iter().all(|one| !one.allowed_scopes.is_empty()), "each resource needs `allowed_scopes`")?;
    content(token.iat < token.exp && token.nbf.is_none_or(|nbf| nbf < token.exp), "`exp` must lie behind `iat` and `nbf`")?;
    content(
        token.delegation.is_some() || token.iss == token.resource_owner_id,
        "`iss` must be the owner, where nobody is delegated",
    )?;
    let one_value = |value: &Value| match value {
        Value::Array(all) => !all.is_empty() && all.iter().all(|one| !one.is_array() && !one.is_object()),
        Value::Object(_) | Value::Null => false,
        _ => true,
    };
    content(
        token.allowed_rqp.claims.values().all(one_value),
        "each claim of `allowed_rqp` needs a value, or an array of values",
    )?;
    let one_server = token.allowed_rqp.client_id.is_none() || authorization_servers(token) == 1;
    content(one_server, "with `client_id`, `aud` names exactly one authorization server: client ids are its own")
}

/// Audiences that are none of the resource servers.
fn authorization_servers(token: &ResourceOwnerToken) -> usize {
    let servers: Vec<&str> = token.resources.iter().map(|one| one.resource_server.as_str()).collect();
    token.aud.iter().filter(|aud| !servers.contains(aud)).count()
}

/// Signs a token with an owner's key, whose DID it then names as its key.
pub fn sign(key: &SigningKey, token: &ResourceOwnerToken) -> Result<String, KeyError> {
    key.sign_as(TYPE, &token.iss, token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, did};
    use serde_json::json;

    fn token(change: impl FnOnce(&mut Value)) -> (SigningKey, Value) {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let did = did::of_key(key.public());
        let mut claims = json!({
            "jti": "p1", "iss": did, "aud": ["https://rs.example", "https://as.example"], "iat": 1, "exp": 100,
            "resource_owner_id": did,
            "resources": [{"resource_server": "https://rs.example", "resource_id": "ABC", "allowed_scopes": ["view"]}],
            "allowed_rqp": {"claims": {"email": "bob@bar.example"}},
        });
        change(&mut claims);
        (key, claims)
    }

    fn read(key: &SigningKey, claims: &Value, typ: &str) -> Result<Verified<ResourceOwnerToken>, RotError> {
        let header = json!({"typ": typ, "alg": "EdDSA", "kid": claims["iss"]});
        let text = key.sign_with_header(&header, claims).unwrap();
        let unverified = UnverifiedToken::parse(&text)?;
        let keys = did::keys_of(&unverified.issuer().unwrap()).unwrap();
        unverified.verify(&keys)
    }

    #[test]
    fn an_owners_word_is_read_back_if_she_signed_it() {
        let (key, claims) = token(|_| {});
        let read_back = read(&key, &claims, TYPE).unwrap();
        assert_eq!(read_back.resources[0].resource_id.as_str(), "ABC");
        let again = sign(&key, &read_back).unwrap();
        let keys = did::keys_of(&read_back.iss).unwrap();
        assert_eq!(UnverifiedToken::parse(&again).unwrap().verify(&keys).unwrap(), read_back);
        let stranger = SigningKey::generate(Algorithm::EdDsa).unwrap();
        assert!(matches!(read(&stranger, &claims, TYPE), Err(RotError::Jws(JwsError::Signature))));
        assert!(matches!(read(&key, &claims, "at+jwt"), Err(RotError::Jws(JwsError::Type))));
    }

    #[test]
    fn what_is_missing_too_much_or_of_another_form_is_refused() {
        let changes: [fn(&mut Value); 14] = [
            |c| drop(c.as_object_mut().unwrap().remove("allowed_rqp")),
            |c| drop(c.as_object_mut().unwrap().remove("exp")),
            |c| c["exp"] = json!(1),
            |c| c["nbf"] = json!(100),
            |c| c["jti"] = json!("a/b"),
            |c| c["jti"] = json!(""),
            |c| c["aud"] = json!([]),
            |c| c["resources"] = json!([]),
            |c| c["resources"] = Value::Array(vec![c["resources"][0].clone(); 17]),
            |c| c["resources"][0]["allowed_scopes"] = json!([]),
            |c| c["resource_owner_id"] = json!("did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"),
            |c| c["allowed_rqp"] = json!({"everybody": true}),
            |c| c["allowed_rqp"] = json!({"claims": {"email": []}}),
            |c| {
                c["allowed_rqp"] = json!({"client_id": "viewer"});
                c["aud"] = json!(["https://rs.example", "https://as.example", "https://other.example"]);
            },
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let (key, claims) = token(change);
            assert!(read(&key, &claims, TYPE).is_err(), "change {at}: {claims}");
        }
        let (key, claims) = token(|c| c["padding"] = json!("x".repeat(5_000)));
        assert_eq!(read(&key, &claims, TYPE).unwrap_err(), RotError::TooLong);
        let (key, anyone) = token(|c| c["allowed_rqp"] = json!({}));
        assert!(read(&key, &anyone, TYPE).is_ok(), "an empty one is anyone");
    }
}
