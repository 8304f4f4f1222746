//! Resource owner credentials (protocol.md 3): registered with proof of possession, and withdrawn with all that was
//! signed by them. And resource owner tokens posted as policies, which count under a credential of their poster.

use crate::acting::Acting;
use crate::changes::{Changes, Requirement, Write};
use crate::page::{page_of_all, place_of};
use crate::pen::raised_links;
use crate::policy::Versioned;
use crate::store::Page;
use crate::{AuthorizationServer, RETRIES, name_of};
use client::credential::{self, CredentialError};
use identity::access_token::PolicyToken;
use identity::{CommitError, Failure, SpentId};
use jose::possession::{self, Challenger, Claimed};
use jose::{KeySet, UnverifiedToken, digest};
use rules::authority::{self, OwnersToken};
use rules::delegation::Delegate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use types::credential::{CredentialChallenge, CredentialDocument, CredentialRegistration, CredentialType};
use types::event::EventKind;
use types::{ClientId, ErrorCode, OwnerId, Refusal};

const CHALLENGE: &str = "credential challenge";
/// Seconds that an answered challenge, or a token, is remembered after its end.
const SPENT_AFTER: i64 = 3_600;
/// Most credentials of one owner.
const MAX_CREDENTIALS: usize = 50;
/// Longest value of one, in bytes.
const MAX_VALUE: usize = 8 * 1024;

/// A token is taken once: whoever has kept its text does not bring back what the owner has withdrawn.
fn taken_once(token: &OwnersToken, owner: &OwnerId) -> SpentId {
    let (issuer, id) = (owner.as_str().to_owned(), token.jti.clone());
    SpentId { kind: "resource owner token", issuer, id, expires: token.exp.plus(SPENT_AFTER), made: Some(token.iat) }
}

/// A credential as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Credential {
    pub owner: OwnerId,
    /// What tokens name as their `iss`: the DID, or the client id.
    pub subject: String,
    pub document: CredentialDocument,
    /// The client by which it was registered: it ends with what the owner agreed to for that client ([`crate::brought`]). None
    /// where she keeps it by herself, and of older stores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientId>,
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

fn refused(error: CredentialError) -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::InvalidRequest, error.to_string()))
}

impl AuthorizationServer {
    /// `POST {resource_owner_credentials_endpoint}`.
    pub async fn register_credential(
        &self,
        pmt: &PolicyToken,
        registration: CredentialRegistration,
    ) -> Result<Registered, Failure> {
        if types::json::size_of(&registration.cred_value) > MAX_VALUE {
            return invalid(format!("`cred_value` has at most {MAX_VALUE} bytes"));
        }
        let subject = credential::subject_of(registration.cred_type, &registration.cred_value).map_err(refused)?;
        let keys = self.keys_of(&pmt.owner, registration.cred_type, &registration.cred_value).await?;
        let claimed = Claimed { owner: pmt.owner.as_str(), credential: &subject, audience: self.issuer().as_str() };
        let Some(proof) = &registration.proof else {
            return Ok(self.challenge(&claimed, "sign the challenge with the credential's key, and send it as `proof`"));
        };
        let answered = match self.challenger().check(proof, &keys, &claimed, self.now()) {
            Ok(answered) => answered,
            Err(what) => return Ok(self.challenge(&claimed, &what)),
        };
        let is_first = self.spend_answer(&pmt.owner, answered).await?;
        let _turn = self.turns.alone(&pmt.owner).await;
        let known = self.store.list_credentials(&pmt.owner).await?;
        if known.iter().any(|credential| credential.subject == subject) {
            return Failure::refuse(ErrorCode::Conflict, "this credential is registered already");
        }
        if !is_first {
            return Ok(self.challenge(&claimed, "this challenge was answered before: sign this one"));
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
            by: None,
        };
        let (owner, client) = (pmt.owner.clone(), Some(pmt.client.clone()));
        let credential = Credential { owner, subject, document: document.clone(), client };
        let by = pmt.client.as_str();
        let mut changes = self.credential_changes(&pmt.owner, by, EventKind::CredentialRegistered).await?;
        changes.writes.push(Write::PutCredential(credential));
        // the keys may have been fetched from the very application, which answers when it likes
        self.require_grant(pmt.grant.as_ref(), &mut changes).await?;
        match self.store.commit(changes).await {
            Ok(()) => Ok(Registered::Credential(document)),
            Err(CommitError::Changed) => {
                Failure::refuse(ErrorCode::InvalidToken, "what this token hung on ended just now: no key was registered")
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A challenge is good once, whatever comes of it (protocol.md 3).
    async fn spend_answer(&self, owner: &OwnerId, answered: possession::Answered) -> Result<bool, Failure> {
        let spent = SpentId {
            kind: "challenge",
            issuer: owner.as_str().to_owned(),
            id: answered.nonce,
            expires: answered.expires.plus(SPENT_AFTER),
            made: Some(answered.expires.plus(possession::LIFETIME.saturating_neg())),
        };
        match self.store.commit(Changes::of_identity(vec![identity::Write::Spend(spent)])).await {
            Ok(()) => Ok(true),
            Err(CommitError::Spent) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// An event, and the owner's links raised: what is being decided on her old credentials is decided again.
    async fn credential_changes(&self, owner: &OwnerId, by: &str, kind: EventKind) -> Result<Changes, Failure> {
        let mut event = self.event(owner, kind);
        event.document.by = Some(by.to_owned());
        let mut writes = vec![Write::AppendEvent(event)];
        writes.extend(raised_links(owner, &self.identity.store.list_consents(owner).await?));
        Ok(Changes::of(writes))
    }

    fn challenge(&self, claimed: &Claimed<'_>, what: &str) -> Registered {
        Registered::Challenge(CredentialChallenge {
            error: ErrorCode::InvalidProof.as_str().to_owned(),
            error_description: what.to_owned(),
            challenge: self.challenger().challenge(claimed, self.now(), &*self.identity.randomness),
            expires_in: possession::LIFETIME,
        })
    }

    fn challenger(&self) -> Challenger {
        Challenger::new(digest::sha256(&[self.identity.keys.keyed_digest(CHALLENGE, b"").as_bytes()]))
    }

    /// Keys of a credential that this account registered here.
    pub(crate) async fn keys_of_signer(&self, account: &OwnerId, signer: &str) -> Result<Option<KeySet>, Failure> {
        let credentials = self.store.list_credentials(account).await?;
        match credentials.into_iter().find(|credential| credential.subject == signer) {
            Some(one) => Ok(Some(self.keys_of(account, one.document.cred_type, &one.document.cred_value).await?)),
            None => Ok(None),
        }
    }

    async fn keys_of(&self, account: &OwnerId, kind: CredentialType, value: &Value) -> Result<KeySet, Failure> {
        credential::keys_of(&self.identity.outbound.in_name_of(&name_of(account)), kind, value).await.map_err(refused)
    }

    /// `GET {resource_owner_credentials_endpoint}`, the oldest first: a page of it, and where it goes on, if it does.
    pub async fn list_credentials(
        &self,
        pmt: &PolicyToken,
        page: &Page<String>,
    ) -> Result<(Vec<CredentialDocument>, Option<String>), Failure> {
        let all = self.store.list_credentials(&pmt.owner).await?;
        let documents = all.into_iter().map(|credential| credential.document).collect();
        Ok(page_of_all(documents, |one: &CredentialDocument| place_of(one.created, &one.id), page))
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
        self.end_credential(&pmt.owner, id, pmt.client.as_str()).await
    }

    /// The same, by whoever may say so: an application of hers, or the owner on her page.
    pub async fn end_credential(&self, owner: &OwnerId, id: &str, by: &str) -> Result<(), Failure> {
        let credential = self.own_credential(owner, id).await?;
        let mut changes = self.credential_changes(owner, by, EventKind::CredentialWithdrawn).await?;
        changes.writes.push(Write::DeleteCredential { owner: owner.clone(), id: id.to_owned() });
        let delegations = self.signed_by(owner, &credential.subject).await?;
        let ended: Vec<String> = delegations.iter().map(|delegation| delegation.id.clone()).collect();
        if !delegations.is_empty() {
            changes.writes.extend(self.end_delegations(owner, delegations, by).await?);
        }
        let names = self.names_of(owner).await?;
        self.delete_signed(owner, by, &names, &credential.subject, &mut changes).await?;
        self.store.commit(changes).await?;
        for id in &ended {
            self.sweep_delegation(owner, id, by).await?;
        }
        // what was committed between the look and the end; behind the end nothing new can come
        let mut left = Changes::default();
        self.delete_signed(owner, by, &names, &credential.subject, &mut left).await?;
        if !left.writes.is_empty() {
            self.store.commit(left).await?;
        }
        Ok(())
    }

    /// What is signed rests on the credentials of those who signed it: one that is withdrawn meanwhile lets nothing in.
    async fn require_signers(&self, acting: &Acting, token: &OwnersToken, changes: &mut Changes) -> Result<(), Failure> {
        if let Some(delegation) = token.signed_delegation() {
            self.require_credential(&acting.owner, &delegation.iss, changes).await?;
            // the owner herself posts what her delegate signed: the delegate's key is in its name
            if !acting.is_delegate() && delegation.sub == token.iss {
                return Ok(());
            }
        }
        self.require_credential(acting.account(), &token.iss, changes).await
    }

    /// A credential of this name of this account, as long as it stands.
    pub(crate) async fn require_credential(&self, of: &OwnerId, subject: &str, changes: &mut Changes) -> Result<(), Failure> {
        let all = self.store.list_credentials(of).await?;
        let Some(found) = all.into_iter().find(|credential| credential.subject == subject) else {
            return invalid("the credential that signed it was withdrawn just now");
        };
        changes.requires.push(Requirement::CredentialStands { owner: of.clone(), id: found.document.id });
        Ok(())
    }

    /// What she signed for herself with it, and as a delegate for others: found by the key, and not by who delegated what to
    /// her, of which anybody may make as much as he likes (threat 46).
    async fn delete_signed(
        &self,
        of: &OwnerId,
        by: &str,
        names: &[Delegate],
        subject: &str,
        changes: &mut Changes,
    ) -> Result<(), Failure> {
        for owner in self.store.list_owners_signed_for(subject).await? {
            if owner != *of && self.delegated_by(&owner, names).await?.is_empty() {
                continue;
            }
            for policy in self.store.list_policies_signed_by(subject, &owner).await? {
                self.write_policy(&policy, EventKind::PolicyDeleted, by, changes);
            }
        }
        Ok(())
    }

    /// `POST {policy_endpoint}` with `application/rot+jwt`.
    pub async fn create_token_policy(&self, acting: &Acting, text: &str) -> Result<Versioned, Failure> {
        let token = self.verify_token(acting, text.trim()).await?;
        let parts = authority::policies_of(&token, text.trim(), &acting.owner, self.issuer().as_str(), self.now())?.len();
        let taken = self.take_changes(acting, parts)?;
        let made = self.create_of_token(acting, text.trim(), &token).await;
        if made.is_err() {
            taken.give_back();
        }
        made
    }

    async fn create_of_token(&self, acting: &Acting, text: &str, token: &OwnersToken) -> Result<Versioned, Failure> {
        for tried in 0..RETRIES {
            let _turn = match token.signed_delegation() {
                // it may be one more, and so many may stand
                Some(_) => self.turns.alone(&acting.owner).await,
                None => self.turns.take(&acting.owner, tried).await,
            };
            let mut policies = authority::policies_of(token, text, &acting.owner, self.issuer().as_str(), self.now())?;
            let mut changes = Changes::of_identity(vec![identity::Write::Spend(taken_once(token, &acting.owner))]);
            self.require_grant(acting.grant(), &mut changes).await?;
            self.require_signers(acting, token, &mut changes).await?;
            if let (Some(delegation), Some(signed)) = (token.signed_delegation(), token.delegation.as_deref()) {
                self.take_delegation(&acting.owner, delegation, signed, &acting.by, &mut changes).await?;
            }
            for policy in &mut policies {
                changes.requires.push(Requirement::PolicyAbsent(policy.id.clone()));
                self.bind(policy, &mut changes).await?;
            }
            self.check_room_for(acting, &policies).await?;
            for policy in &mut policies {
                policy.version = authority::first_version(text);
                self.write_policy(policy, EventKind::PolicyCreated, &acting.by, &mut changes);
            }
            match self.store.commit(changes).await {
                Ok(()) => {
                    let first = policies.first().map(Versioned::of);
                    return first.ok_or_else(|| identity::internal("a token without resources was verified"));
                }
                Err(CommitError::Taken) => {
                    return Failure::refuse(ErrorCode::Conflict, "a policy has this `jti` already: sign the token with another");
                }
                Err(CommitError::Spent) => {
                    return Failure::refuse(
                        ErrorCode::Conflict,
                        "this token was posted before, or signed before this server was restored from a backup, and is taken \
                         once: what was withdrawn comes back by a token that you sign anew, with another `jti`",
                    );
                }
                Err(CommitError::Changed) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("resources change too fast".into()))
    }

    /// Signature by a credential that this owner registered here, times, and that it is for this server.
    /// Where a delegate signed it: a delegation by such a credential, and the delegate's key.
    async fn verify_token(&self, acting: &Acting, text: &str) -> Result<OwnersToken, Failure> {
        let refuse = |what: String| Failure::Refused(Refusal::new(ErrorCode::InvalidRequest, what));
        let unverified = UnverifiedToken::parse(text).map_err(|error| refuse(error.to_string()))?;
        let issuer = unverified.issuer().unwrap_or_default();
        let delegation = match unverified.delegation() {
            Some(text) => Some(self.verify_delegation(&acting.owner, &text).await?),
            None if acting.is_delegate() => {
                return invalid("`delegation` is missing: a delegate's token carries the one that its owner signed");
            }
            None => None,
        };
        let registered = self.keys_of_signer(acting.account(), &issuer).await?;
        let keys = match (registered, &delegation) {
            (Some(keys), _) => keys,
            // the owner herself posts what her delegate signed
            (None, Some(delegation)) if delegation.sub == issuer && !acting.is_delegate() => {
                self.keys_of(acting.account(), CredentialType::Did, &json!({"id": issuer})).await?
            }
            (None, _) => return invalid("`iss` must be a credential that you registered here: register it first"),
        };
        let token = unverified.verify(&keys).map_err(|error| refuse(error.to_string()))?;
        let token = OwnersToken::of(token, delegation).map_err(|error| refuse(error.to_string()))?;
        if !token.aud.contains(self.issuer().as_str()) {
            return invalid(format!("`aud` must name this server, `{}`: the token is not for it", self.issuer()));
        }
        if token.ends() <= self.now() {
            return invalid("`exp` must lie ahead: the token, or its `delegation`, has expired");
        }
        Ok(token)
    }
}
