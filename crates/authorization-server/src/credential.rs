//! Resource owner credentials (protocol.md 3): registered with proof of possession, and withdrawn with all that was
//! signed by them. And resource owner tokens posted as policies, which count under a credential of their poster.

use crate::changes::{Changes, Write};
use crate::policy::Versioned;
use crate::store::Page;
use crate::{AuthorizationServer, RETRIES};
use identity::access_token::PolicyToken;
use identity::{CommitError, Failure};
use jose::possession::{self, Challenger, Claimed};
use jose::{KeySet, PublicKey, ResourceOwnerToken, UnverifiedToken, Verified, did, digest};
use rules::Policy;
use rules::authority;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::credential::{CredentialChallenge, CredentialDocument, CredentialRegistration, CredentialType};
use types::event::EventKind;
use types::{ErrorCode, OwnerId, Refusal};

const CHALLENGE: &str = "credential challenge";
/// Most credentials of one owner.
const MAX_CREDENTIALS: usize = 50;

/// A credential as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Credential {
    pub owner: OwnerId,
    /// What tokens name as their `iss`: the DID, or the client id.
    pub subject: String,
    pub document: CredentialDocument,
}

/// What registration answers.
pub enum Registered {
    Credential(CredentialDocument),
    /// What to sign, and to come back with.
    Challenge(CredentialChallenge),
}

fn invalid<T>(what: impl Into<String>) -> Result<T, Failure> {
    Failure::refuse(ErrorCode::InvalidRequest, what)
}

fn not_found() -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::NotFound, "no credential of yours has this id"))
}

/// The name under which its tokens come, or why it cannot be a credential.
fn subject_of(registration: &CredentialRegistration) -> Result<String, Failure> {
    let value = &registration.cred_value;
    let text = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match registration.cred_type {
        CredentialType::Did => match text("id") {
            Some(did) if did.starts_with("did:") => Ok(did.to_owned()),
            _ => invalid("`cred_value` must be `{\"id\": \"did:...\"}`"),
        },
        CredentialType::Client => {
            if value.get("client_secret").is_some() {
                return invalid("a shared secret is no credential: whoever checks it could also sign");
            }
            let has_keys = value.get("jwks").is_some() != value.get("jwks_uri").is_some();
            match text("client_id") {
                Some(id) if has_keys => Ok(id.to_owned()),
                _ => invalid("`cred_value` must be client metadata with `client_id`, and `jwks` or `jwks_uri`"),
            }
        }
    }
}

impl AuthorizationServer {
    /// `POST {resource_owner_credentials_endpoint}`.
    pub async fn register_credential(
        &self,
        pmt: &PolicyToken,
        registration: CredentialRegistration,
    ) -> Result<Registered, Failure> {
        let subject = subject_of(&registration)?;
        let keys = self.keys_of(registration.cred_type, &subject, &registration.cred_value).await?;
        let claimed = Claimed { owner: pmt.owner.as_str(), credential: &subject, audience: self.issuer().as_str() };
        let Some(proof) = &registration.proof else {
            return Ok(self.challenge(&claimed, "sign the challenge with the credential's key, and send it as `proof`"));
        };
        if let Err(what) = self.challenger().check(proof, &keys, &claimed, self.now()) {
            return Ok(self.challenge(&claimed, &what));
        }
        let known = self.store.list_credentials(&pmt.owner).await?;
        if known.iter().any(|credential| credential.subject == subject) {
            return Failure::refuse(ErrorCode::Conflict, "this credential is registered already");
        }
        if known.len() >= MAX_CREDENTIALS {
            return invalid(format!("at most {MAX_CREDENTIALS} credentials: withdraw one first"));
        }
        let document = CredentialDocument {
            id: self.identity.random_id(),
            cred_type: registration.cred_type,
            cred_value: registration.cred_value,
            created: self.now(),
            last_used: None,
        };
        let credential = Credential { owner: pmt.owner.clone(), subject, document: document.clone() };
        let mut changes = self.credential_changes(pmt, EventKind::CredentialRegistered).await?;
        changes.writes.push(Write::PutCredential(credential));
        self.store.commit(changes).await?;
        Ok(Registered::Credential(document))
    }

    /// An event, and the owner's links raised: what is being decided on her old credentials is decided again.
    async fn credential_changes(&self, pmt: &PolicyToken, kind: EventKind) -> Result<Changes, Failure> {
        let mut event = self.event(&pmt.owner, kind);
        event.document.by = Some(pmt.client.as_str().to_owned());
        let mut writes = vec![Write::AppendEvent(event)];
        for consent in self.identity.store.list_consents(&pmt.owner).await? {
            if consent.links_resource_server() {
                writes.push(Write::RaiseLink { owner: pmt.owner.clone(), resource_server: consent.client });
            }
        }
        Ok(Changes::of(writes))
    }

    fn challenge(&self, claimed: &Claimed<'_>, what: &str) -> Registered {
        Registered::Challenge(CredentialChallenge {
            error: ErrorCode::InvalidProof.as_str().to_owned(),
            error_description: what.to_owned(),
            challenge: self.challenger().challenge(claimed, self.now()),
            expires_in: possession::LIFETIME,
        })
    }

    fn challenger(&self) -> Challenger {
        Challenger::new(digest::sha256(&[self.identity.keys.keyed_digest(CHALLENGE, b"").as_bytes()]))
    }

    /// Keys of a credential: in the DID itself, in its document (did:web), or in the client's set.
    async fn keys_of(&self, kind: CredentialType, subject: &str, value: &Value) -> Result<KeySet, Failure> {
        match (kind, value.get("jwks"), value.get("jwks_uri").and_then(Value::as_str)) {
            (CredentialType::Did, ..) if subject.starts_with("did:web:") => self.keys_of_did_web(subject).await,
            (CredentialType::Did, ..) => did::keys_of(subject).or_else(|error| invalid(format!("`{subject}`: {error}"))),
            (CredentialType::Client, Some(jwks), _) => match KeySet::from_json(jwks).filter(|keys| !keys.is_empty()) {
                Some(keys) => Ok(keys),
                None => invalid("`jwks` must be a JWK set with a usable public signing key"),
            },
            (CredentialType::Client, None, uri) => self.identity.fetch_keys(uri.unwrap_or_default()).await,
        }
    }

    /// The document of a did:web, fetched by the guarded client; it must be of that DID.
    async fn keys_of_did_web(&self, did: &str) -> Result<KeySet, Failure> {
        let unusable = || Refusal::new(ErrorCode::InvalidRequest, format!("`{did}` has no document with a usable key"));
        let url = did_web_url(did).ok_or_else(unusable)?;
        let answer = self.identity.outbound.send(outbound::Request::get(&url)).await.map_err(|_| unusable())?;
        let document: Value = types::json::parse(&answer.body).map_err(|_| unusable())?;
        if document.get("id").and_then(Value::as_str) != Some(did) {
            return Err(unusable().into());
        }
        let methods = document.get("verificationMethod").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut keys = Vec::new();
        for method in &methods {
            let id = method.get("id").and_then(Value::as_str).filter(|id| id.starts_with(did));
            let key = method.get("publicKeyJwk").and_then(|jwk| PublicKey::from_jwk(jwk).ok());
            if let (Some(id), Some(key)) = (id, key) {
                keys.push(key.clone().with_kid(id.to_owned()));
                keys.push(key.with_kid(did.to_owned()));
            }
        }
        if keys.is_empty() { Err(unusable().into()) } else { Ok(KeySet::new(keys)) }
    }

    pub async fn list_credentials(&self, pmt: &PolicyToken) -> Result<Vec<CredentialDocument>, Failure> {
        Ok(self.store.list_credentials(&pmt.owner).await?.into_iter().map(|credential| credential.document).collect())
    }

    async fn own_credential(&self, owner: &OwnerId, id: &str) -> Result<Credential, Failure> {
        let all = self.store.list_credentials(owner).await?;
        all.into_iter().find(|credential| credential.document.id == id).ok_or_else(not_found)
    }

    pub async fn read_credential(&self, pmt: &PolicyToken, id: &str) -> Result<CredentialDocument, Failure> {
        Ok(self.own_credential(&pmt.owner, id).await?.document)
    }

    /// Withdraws a credential: what was signed by it is gone with it.
    pub async fn delete_credential(&self, pmt: &PolicyToken, id: &str) -> Result<(), Failure> {
        let credential = self.own_credential(&pmt.owner, id).await?;
        let mut changes = self.credential_changes(pmt, EventKind::CredentialWithdrawn).await?;
        changes.writes.push(Write::DeleteCredential { owner: pmt.owner.clone(), id: id.to_owned() });
        let mut after = None;
        loop {
            let page = Page { after: after.take(), limit: 1_000 };
            let policies = self.store.list_policies(&pmt.owner, &page).await?;
            let Some(last) = policies.last() else { break };
            after = Some(last.id.clone());
            let signed = |policy: &&Policy| policy.authority.as_ref().is_some_and(|a| a.credential == credential.subject);
            for policy in policies.iter().filter(signed) {
                self.write_policy(policy, EventKind::PolicyDeleted, pmt.client.as_str(), &mut changes);
            }
        }
        self.store.commit(changes).await?;
        Ok(())
    }

    /// `POST {policy_endpoint}` with `application/rot+jwt`.
    pub async fn create_token_policy(&self, pmt: &PolicyToken, text: &str) -> Result<Versioned, Failure> {
        let token = self.verify_token(&pmt.owner, text.trim()).await?;
        for _ in 0..RETRIES {
            let policies = authority::policies_of(&token, text.trim(), &pmt.owner, self.now())?;
            let (mut changes, mut first) = (Changes::default(), None);
            for mut policy in policies {
                changes.requires.push(crate::Requirement::PolicyAbsent(policy.id.clone()));
                self.bind(&mut policy, &mut changes).await?;
                self.write_policy(&policy, EventKind::PolicyCreated, pmt.client.as_str(), &mut changes);
                first.get_or_insert(Versioned::of(&policy));
            }
            match self.store.commit(changes).await {
                Ok(()) => return first.ok_or_else(|| identity::internal("a token without resources was verified")),
                Err(CommitError::Taken) => {
                    return Failure::refuse(ErrorCode::Conflict, "a policy has this `jti` already: sign the token with another");
                }
                Err(CommitError::Changed) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("resources change too fast".into()))
    }

    /// Signature by a credential that this owner registered here, times, and that it is for this server.
    async fn verify_token(&self, owner: &OwnerId, text: &str) -> Result<Verified<ResourceOwnerToken>, Failure> {
        let refuse = |what: String| Failure::Refused(Refusal::new(ErrorCode::InvalidRequest, what));
        let unverified = UnverifiedToken::parse(text).map_err(|error| refuse(error.to_string()))?;
        let issuer = unverified.issuer().unwrap_or_default();
        let credentials = self.store.list_credentials(owner).await?;
        let credential = credentials.into_iter().find(|credential| credential.subject == issuer);
        let credential =
            credential.ok_or_else(|| refuse("the token is signed by a credential that you have not registered here".into()))?;
        let keys = self.keys_of(credential.document.cred_type, &credential.subject, &credential.document.cred_value).await?;
        let token = unverified.verify(&keys).map_err(|error| refuse(error.to_string()))?;
        if token.delegation.is_some() {
            return invalid("delegations are not taken here");
        }
        if !token.aud.contains(self.issuer().as_str()) {
            return invalid("the token is not for this server: `aud` must name its issuer");
        }
        if token.exp <= self.now() {
            return invalid("the token has expired");
        }
        Ok(token)
    }
}

/// Where the document of a did:web is (its method's specification, 3.2).
fn did_web_url(did: &str) -> Option<String> {
    let parts: Vec<String> = did.strip_prefix("did:web:")?.split(':').map(|part| part.replace("%3A", ":")).collect();
    let (host, path) = parts.split_first()?;
    let fits = !host.is_empty() && parts.iter().all(|part| !part.contains(['/', '?', '#', '@', '%']));
    let path = if path.is_empty() { "/.well-known".to_owned() } else { format!("/{}", path.join("/")) };
    fits.then(|| format!("https://{host}{path}/did.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_did_web_leads_to_its_document_and_nowhere_else() {
        assert_eq!(did_web_url("did:web:a.example").as_deref(), Some("https://a.example/.well-known/did.json"));
        assert_eq!(did_web_url("did:web:a.example%3A8443:u:alice").as_deref(), Some("https://a.example:8443/u/alice/did.json"));
        for did in ["did:web:", "did:web:a/b", "did:web:a.example:..%2f", "did:web:u@a.example", "did:key:z"] {
            assert_eq!(did_web_url(did), None, "{did}");
        }
    }
}
