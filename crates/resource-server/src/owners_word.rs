//! What an owner signed herself, for services that use the layer (protocol.md 3): a permission that carries a resource
//! owner token counts as far as she signed it, by a credential that the service trusts for her. The gateway has its own
//! (`gateway/authority.rs`), with credentials that owners register.

use crate::guard::Narrow;
use crate::protection::ProtectionError;
use async_trait::async_trait;
use jose::{KeySet, UnverifiedDelegation, UnverifiedToken, did};
use rules::authority::{OwnersToken, Presented, effective_scopes};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use types::introspection::Introspection;
use types::{GrantedPermission, OwnResourceId, ResourceId, ScopeSet, Timestamp};

/// The credentials of a service's owner, and what she took back.
pub struct OwnersWord {
    resource_server: String,
    /// Whose RPTs these are.
    issuer: String,
    /// Whether nothing else counts.
    required: bool,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    credentials: HashMap<String, KeySet>,
    withdrawn: BTreeSet<String>,
    /// What is registered: the service's own id, and its scopes.
    resources: HashMap<ResourceId, (OwnResourceId, ScopeSet)>,
}

impl OwnersWord {
    /// For the service of this `resource`, at this issuer. `required`: permissions without her token count for nothing.
    pub fn new(resource_server: impl Into<String>, issuer: impl Into<String>, required: bool) -> Self {
        Self { resource_server: resource_server.into(), issuer: issuer.into(), required, state: RwLock::default() }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Her tokens count by this DID (did:key or did:jwk) from now on.
    pub fn trust(&self, did: &str) -> Result<(), did::BadDid> {
        let keys = did::keys_of(did)?;
        self.change(|state| drop(state.credentials.insert(did.to_owned(), keys)));
        Ok(())
    }

    /// Nothing that is signed by it counts any more.
    pub fn forget(&self, did: &str) {
        self.change(|state| drop(state.credentials.remove(did)));
    }

    /// This token, or delegation, counts no more.
    pub fn withdraw(&self, jti: &str) {
        self.change(|state| {
            state.withdrawn.insert(jti.to_owned());
        });
    }

    /// Her tokens name a resource by the service's own id.
    pub fn know(&self, id: &ResourceId, own_id: &OwnResourceId, scopes: &ScopeSet) {
        self.change(|state| drop(state.resources.insert(id.clone(), (own_id.clone(), scopes.clone()))));
    }

    fn scopes(
        &self,
        answer: &Introspection,
        permission: &GrantedPermission,
        text: &str,
        now: Timestamp,
    ) -> Result<ScopeSet, String> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let unverified = UnverifiedToken::parse(text).map_err(|error| error.to_string())?;
        let owners = |signer: Option<String>| {
            let keys = state.credentials.get(&signer.unwrap_or_default());
            keys.ok_or_else(|| "it is signed by no credential of the owner".to_owned())
        };
        let (keys, delegation) = match unverified.delegation() {
            None => (owners(unverified.issuer())?.clone(), None),
            // a delegate's key is in her DID; that it is hers, the owner has signed
            Some(text) => {
                let delegation = UnverifiedDelegation::parse(&text).map_err(|error| error.to_string())?;
                let keys = owners(delegation.issuer())?;
                let delegation = delegation.verify(keys).map_err(|error| error.to_string())?;
                (did::keys_of(&delegation.sub).map_err(|error| error.to_string())?, Some(delegation))
            }
        };
        let token = unverified.verify(&keys).map_err(|error| error.to_string())?;
        let token = OwnersToken::of(token, delegation).map_err(|error| error.to_string())?;
        let (own_id, scopes) = state.resources.get(&permission.resource_id).ok_or("the resource has no id of its own here")?;
        let here = Presented {
            resource_server: &self.resource_server,
            own_id,
            resource_scopes: scopes,
            permitted: &permission.resource_scopes,
            issuer: &self.issuer,
            client: answer.client_id.as_ref(),
            jkt: answer.cnf.as_ref().and_then(|cnf| cnf.get("jkt")).and_then(|jkt| jkt.as_str()),
            withdrawn: token.ids().any(|id| state.withdrawn.contains(id)),
            now,
        };
        effective_scopes(&token, &here).map_err(|unfit| unfit.to_string())
    }
}

#[async_trait]
impl Narrow for OwnersWord {
    async fn narrow(&self, answer: &Arc<Introspection>, now: Timestamp) -> Result<Vec<GrantedPermission>, ProtectionError> {
        let mut counted = Vec::new();
        for permission in answer.permissions.iter().flatten() {
            match &permission.authority {
                None if self.required => {}
                None => counted.push(permission.clone()),
                Some(text) => match self.scopes(answer, permission, text, now) {
                    Ok(resource_scopes) => counted.push(GrantedPermission { resource_scopes, ..permission.clone() }),
                    Err(why) => tracing::info!(resource = %permission.resource_id, why, "an owner's token does not count"),
                },
            }
        }
        Ok(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::{Algorithm, SigningKey};
    use serde_json::json;

    /// Threat 22: what a service that uses the layer believes.
    #[tokio::test]
    async fn threat_22_a_service_believes_its_owner_and_no_server() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let did = did::of_key(key.public());
        let rot = |aud: &str, scopes: &[&str]| {
            let claims = json!({"jti": "r1", "iss": did, "resource_owner_id": did, "aud": ["https://notes.example", aud], "iat": 100,
                "exp": 200, "allowed_rqp": {},
                "resources": [{"resource_server": "https://notes.example", "resource_id": "note-1", "allowed_scopes": scopes}]});
            key.sign_as("rot+jwt", &did, &claims).unwrap()
        };
        let answer = |authority: Option<String>| Introspection {
            active: true,
            permissions: Some(vec![GrantedPermission {
                resource_id: "x".into(),
                resource_scopes: ScopeSet::parse("read write").unwrap(),
                exp: None,
                iat: None,
                nbf: None,
                authority,
            }]),
            ..Introspection::default()
        };
        let word = OwnersWord::new("https://notes.example", "https://as.example", true);
        let counted = async |authority: Option<String>| -> Vec<String> {
            let counted = word.narrow(&Arc::new(answer(authority)), Timestamp(150)).await.unwrap();
            counted.iter().map(|permission| permission.resource_scopes.to_string()).collect()
        };
        let good = rot("https://as.example", &["read", "own"]);
        word.know(&"x".into(), &"note-1".into(), &ScopeSet::parse("read write").unwrap());
        assert!(counted(Some(good.clone())).await.is_empty(), "nobody has said that this is her key");
        word.trust(&did).unwrap();
        assert_eq!(counted(Some(good.clone())).await, ["read"]);
        assert!(counted(None).await.is_empty(), "the server's word alone");
        assert!(counted(Some(rot("https://evil.example", &["read"]))).await.is_empty(), "for another server");
        // a delegate's word, by a key that only Alice's signature names
        let carols = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let carol = did::of_key(carols.public());
        let delegated = |signer: &SigningKey, scopes: &[&str], aud: &str| {
            let delegation = json!({"jti": "d1", "iss": did, "sub": carol, "aud": ["https://notes.example", aud], "iat": 100, "exp": 200,
                "resources": ["note-1"], "resource_scopes": scopes, "may": ["share"]});
            let claims = json!({"jti": "r2", "iss": carol, "resource_owner_id": did,
                "aud": ["https://notes.example", "https://as.example"], "iat": 100, "exp": 200, "allowed_rqp": {},
                "delegation": signer.sign_as("delegation+jwt", &did, &delegation).unwrap(),
                "resources": [{"resource_server": "https://notes.example", "resource_id": "note-1", "allowed_scopes": ["read", "write"]}]});
            carols.sign_as("rot+jwt", &carol, &claims).unwrap()
        };
        assert_eq!(counted(Some(delegated(&key, &["write"], "https://as.example"))).await, ["write"]);
        assert!(counted(Some(delegated(&carols, &["write"], "https://as.example"))).await.is_empty(), "delegated by herself");
        assert!(counted(Some(delegated(&key, &["write"], "https://other.example"))).await.is_empty(), "for another server");
        word.withdraw("d1");
        assert!(counted(Some(delegated(&key, &["write"], "https://as.example"))).await.is_empty(), "taken back");
        word.withdraw("r1");
        assert!(counted(Some(good.clone())).await.is_empty());
        word.forget(&did);
        assert!(counted(Some(good)).await.is_empty() && word.trust("did:web:a.example").is_err());
    }
}
