//! Whose key a resource owner credential is (protocol.md 3): the name under which its tokens come, and its keys - in the
//! DID itself, in its document (did:web), or in a client's key set. Called where credentials are registered and where
//! tokens signed by them are checked: authorization server and resource server.

use jose::{KeySet, did};
use outbound::{Outbound, Request};
use serde_json::Value;
use types::credential::CredentialType;

/// Why there is no name, or no key; one sentence for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error("{0}")]
    Unusable(String),
    /// Its place does not answer: another time it may.
    #[error("`{0}` does not answer with keys")]
    Unreachable(String),
}

fn unusable<T>(what: impl Into<String>) -> Result<T, CredentialError> {
    Err(CredentialError::Unusable(what.into()))
}

/// The name under which its tokens come, or why it cannot be a credential.
pub fn subject_of(kind: CredentialType, value: &Value) -> Result<String, CredentialError> {
    let Some(members) = value.as_object() else { return unusable("`cred_value` must be an object") };
    let text = |name: &str| members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match kind {
        CredentialType::Did => match text("id") {
            Some(did) if did.starts_with("did:") => Ok(did.to_owned()),
            _ => unusable("`cred_value.id` must be a DID: of `did:key`, `did:jwk` or `did:web`"),
        },
        CredentialType::Client => {
            if members.contains_key("client_secret") {
                return unusable("`cred_value.client_secret` must be left out: whoever checks a shared secret could also sign");
            }
            match (members.contains_key("jwks"), members.contains_key("jwks_uri")) {
                (false, false) => return unusable("`cred_value.jwks` or `cred_value.jwks_uri` is missing: the keys that sign"),
                (true, true) => return unusable("`cred_value.jwks` and `cred_value.jwks_uri` are both there: leave one out"),
                (false, true) if text("jwks_uri").is_none() => return unusable("`cred_value.jwks_uri` must be a URL"),
                _ => {}
            }
            match text("client_id") {
                Some(id) => Ok(id.to_owned()),
                None => unusable("`cred_value.client_id` must be a text: what tokens by this credential name as their `iss`"),
            }
        }
    }
}

/// Its keys as they are now.
pub async fn keys_of(outbound: &Outbound, kind: CredentialType, value: &Value) -> Result<KeySet, CredentialError> {
    let subject = subject_of(kind, value)?;
    match (kind, value.get("jwks"), value.get("jwks_uri").and_then(Value::as_str)) {
        (CredentialType::Did, ..) if subject.starts_with("did:web:") => keys_of_did_web(outbound, &subject).await,
        (CredentialType::Did, ..) => {
            did::keys_of(&subject).or_else(|error| unusable(format!("`cred_value.id`: `{subject}`: {error}")))
        }
        (CredentialType::Client, Some(jwks), _) => match usable(jwks) {
            Some(keys) => Ok(keys),
            None => unusable("`cred_value.jwks` must be a JWK set with a usable public signing key"),
        },
        (CredentialType::Client, None, uri) => {
            let set = fetch(outbound, uri.unwrap_or_default()).await?;
            usable(&set).ok_or_else(|| CredentialError::Unreachable(uri.unwrap_or_default().to_owned()))
        }
    }
}

fn usable(set: &Value) -> Option<KeySet> {
    KeySet::from_json(set).filter(|keys| !keys.is_empty())
}

async fn fetch(outbound: &Outbound, url: &str) -> Result<Value, CredentialError> {
    let unreachable = || CredentialError::Unreachable(url.to_owned());
    let answer = outbound.send(Request::get(url)).await.map_err(|_| unreachable())?;
    if answer.status != 200 {
        return Err(unreachable());
    }
    types::json::parse(&answer.body).map_err(|_| unreachable())
}

/// The document of a did:web, fetched by the guarded client; it must be of that DID.
async fn keys_of_did_web(outbound: &Outbound, did: &str) -> Result<KeySet, CredentialError> {
    let none = || CredentialError::Unusable(format!("`{did}` has no document with a usable key"));
    let document = fetch(outbound, &did::document_url(did).ok_or_else(none)?).await?;
    did::keys_in_document(did, &document).map_err(|_| none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s41_what_is_wrong_with_a_credential_is_said_by_its_member() {
        use serde_json::json;
        for (kind, value, member) in [
            (CredentialType::Did, json!("did:key:z"), "cred_value"),
            (CredentialType::Did, json!({}), "cred_value.id"),
            (CredentialType::Did, json!({"id": "z6Mk"}), "cred_value.id"),
            (CredentialType::Client, json!({"jwks": {"keys": []}}), "cred_value.client_id"),
            (CredentialType::Client, json!({"client_id": 7, "jwks": {}}), "cred_value.client_id"),
            (CredentialType::Client, json!({"client_id": "desk"}), "cred_value.jwks"),
            (
                CredentialType::Client,
                json!({"client_id": "desk", "jwks": {}, "jwks_uri": "https://a.example"}),
                "cred_value.jwks_uri",
            ),
            (CredentialType::Client, json!({"client_id": "desk", "jwks_uri": 7}), "cred_value.jwks_uri"),
            (CredentialType::Client, json!({"client_id": "desk", "client_secret": "s"}), "cred_value.client_secret"),
        ] {
            let said = subject_of(kind, &value).unwrap_err().to_string();
            assert!(said.contains(&format!("`{member}`")), "{value}: {said}");
        }
    }
}
