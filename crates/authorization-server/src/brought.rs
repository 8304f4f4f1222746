//! What an application brought in an owner's name, and what of it outlives that she let it in (decision 0061). Who is told of those
//! that ask her, and a key that signs as her, end with her consent: in the commit in which it ends, with an event. Shares and
//! delegations are her own once they are made: they stand on her pages, and she ends them there.
//!
//! A client that the operator declared brings what is hers by the operator's word: its keys stay until she removes them.

use crate::AuthorizationServer;
use crate::changes::{Changes, Write};
use crate::consequences::Consequences;
use crate::credential::Credential;
use crate::linked_manager::KeptManager;
use crate::pen::{Pen, raised_links};
use identity::consent::Consent;
use identity::{Client, Failure, ReadError};
use rules::delegation::Delegation;
use std::collections::BTreeSet;
use types::event::EventKind;
use types::token::UMA_POLICY;
use types::{ClientId, ErrorCode, GrantId, OwnerId, Timestamp};

/// Whether this is her word that the client acts for her.
fn lets_act(consent: &Consent, client: &ClientId) -> bool {
    consent.client == *client && consent.scopes.has(UMA_POLICY)
}

/// Whether what this client brought stands.
fn stands(client: Option<&Client>, consents: &[Consent]) -> bool {
    client.is_some_and(|client| {
        client.declared || consents.iter().any(|consent| lets_act(consent, &client.id) && consent.is_about(client))
    })
}

impl AuthorizationServer {
    /// Whether this client is there, and declared or let in by her.
    pub(crate) async fn may_act(&self, owner: &OwnerId, client: &ClientId) -> Result<bool, Failure> {
        let client = self.identity.store.find_client(client).await?;
        Ok(stands(client.as_deref(), &self.identity.store.list_consents(owner).await?))
    }

    /// What an application writes in her name rests on her word for it, also where there was a wait since its token was looked at:
    /// a key that it fetches from itself, the line at her things (threat 37). Nothing of it lands behind the end.
    ///
    /// # Errors
    ///
    /// `invalid_token` where that word is gone.
    pub(crate) async fn require_grant(&self, grant: Option<&GrantId>, changes: &mut Changes) -> Result<(), Failure> {
        let Some(grant) = grant else { return Ok(()) };
        let consent = self.identity.store.find_consent(grant).await?.filter(|consent| consent.scopes.has(UMA_POLICY));
        let client = match &consent {
            Some(consent) => self.identity.store.find_client(&consent.client).await?,
            None => None,
        };
        if !consent.zip(client).is_some_and(|(consent, client)| consent.is_about(&client)) {
            let what = "what this token hung on ended while you were at it: nothing was written";
            return Failure::refuse(ErrorCode::InvalidToken, what);
        }
        changes.identity.requires.push(identity::Requirement::ConsentStands(grant.clone()));
        Ok(())
    }

    /// Her managers that may be told who asks, and where she may decide.
    pub async fn standing_managers(&self, owner: &OwnerId) -> Result<Vec<KeptManager>, Failure> {
        let all = self.store.list_managers(owner).await?;
        let mut standing = Vec::with_capacity(all.len());
        for manager in all {
            let Some(client) = &manager.client else { continue };
            if self.may_act(owner, client).await? {
                standing.push(manager);
            }
        }
        Ok(standing)
    }

    /// Her keys, with who brought them.
    pub async fn credentials_of(&self, owner: &OwnerId) -> Result<Vec<Credential>, Failure> {
        Ok(self.store.list_credentials(owner).await?)
    }

    /// The owner keeps what this client registered as her keys: they are her own from now on.
    pub async fn keep_credentials(&self, owner: &OwnerId, client: &ClientId) -> Result<(), Failure> {
        let _turn = self.turns.alone(owner).await;
        let all = self.store.list_credentials(owner).await?.into_iter();
        let kept = all.filter(|one| one.client.as_ref() == Some(client));
        let writes: Vec<Write> = kept.map(|one| Write::PutCredential(Credential { client: None, ..one })).collect();
        if !writes.is_empty() {
            self.store.commit(Changes::of(writes)).await?;
        }
        Ok(())
    }
}

/// A key that ended with its client.
pub(crate) struct EndedKey {
    owner: OwnerId,
    subject: String,
    /// Delegations that were signed with it.
    delegations: Vec<String>,
}

/// Owners whom a client acts for no more by these changes.
struct Acted {
    owner: OwnerId,
    client: ClientId,
}

impl Consequences {
    pub(crate) fn pen(&self) -> Pen<'_> {
        Pen { store: &*self.store, clock: &*self.clock, randomness: &*self.randomness, issuer: &self.issuer }
    }

    /// What ends with the consents that end, or are narrowed, here.
    pub(crate) async fn end_brought(
        &self,
        changes: &identity::Changes,
        writes: &mut Vec<Write>,
    ) -> Result<Vec<EndedKey>, ReadError> {
        let mut keys = Vec::new();
        for acted in self.list_acted(changes).await? {
            self.end_managers(&acted, writes).await?;
            keys.extend(self.end_keys(&acted, writes).await?);
        }
        Ok(keys)
    }

    async fn list_acted(&self, changes: &identity::Changes) -> Result<Vec<Acted>, ReadError> {
        let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
        for (changed, _) in changes.consents() {
            let (owner, client) = (&changed.account, &changed.client);
            if !seen.insert((owner.as_str().to_owned(), client.as_str().to_owned())) {
                continue;
            }
            let mut left = self.reads.list_consents(owner).await?;
            if !left.iter().any(|consent| lets_act(consent, client)) {
                continue;
            }
            for (consent, given) in changes.consents().filter(|(one, _)| one.account == *owner && one.client == *client) {
                left.retain(|known| known.id != consent.id);
                left.extend(given.then(|| consent.clone()));
            }
            if !left.iter().any(|consent| lets_act(consent, client)) {
                all.push(Acted { owner: owner.clone(), client: client.clone() });
            }
        }
        Ok(all)
    }

    async fn end_managers(&self, acted: &Acted, writes: &mut Vec<Write>) -> Result<(), ReadError> {
        for manager in self.store.list_managers(&acted.owner).await? {
            if manager.client.as_ref() != Some(&acted.client) {
                continue;
            }
            let mut event = self.pen().event(&acted.owner, EventKind::ManagerUnlinked);
            event.document.by = Some(acted.owner.as_str().to_owned());
            event.document.claims.insert("iss".into(), serde_json::json!(manager.document.issuer));
            writes.push(Write::DeleteManager { owner: manager.owner, id: manager.id });
            writes.push(Write::AppendEvent(event));
        }
        Ok(())
    }

    async fn end_keys(&self, acted: &Acted, writes: &mut Vec<Write>) -> Result<Vec<EndedKey>, ReadError> {
        let Acted { owner, client } = acted;
        let mut brought = self.store.list_credentials(owner).await?;
        brought.retain(|credential| credential.client.as_ref() == Some(client));
        if brought.is_empty() || self.reads.find_client(client).await?.is_some_and(|client| client.declared) {
            return Ok(Vec::new());
        }
        let (pen, now) = (self.pen(), self.clock.now());
        let (mut changes, mut keys, by) = (Changes::default(), Vec::new(), owner.as_str());
        for credential in brought {
            let mut event = pen.event(owner, EventKind::CredentialWithdrawn);
            event.document.by = Some(by.to_owned());
            changes.writes.push(Write::AppendEvent(event));
            let signed = self.signed_by(owner, &credential.subject, now).await?;
            let delegations = signed.iter().map(|one| one.id.clone()).collect();
            pen.end_delegations(owner, signed, by, &mut changes).await?;
            pen.end_signed(owner, &credential.subject, by, &mut changes).await?;
            changes.writes.push(Write::DeleteCredential { owner: owner.clone(), id: credential.document.id });
            keys.push(EndedKey { owner: owner.clone(), subject: credential.subject, delegations });
        }
        writes.append(&mut changes.writes);
        writes.extend(raised_links(owner, &self.reads.list_consents(owner).await?));
        Ok(keys)
    }

    async fn signed_by(&self, owner: &OwnerId, subject: &str, now: Timestamp) -> Result<Vec<Delegation>, ReadError> {
        let mut all = self.store.list_delegations(owner).await?;
        all.retain(|one| one.stands(now) && one.signed.as_ref().is_some_and(|signed| signed.credential == subject));
        Ok(all)
    }

    /// What was committed between the look at what there is and the end; behind the end nothing new can come.
    pub(crate) async fn list_left_of(&self, keys: &[EndedKey]) -> Result<Changes, ReadError> {
        let mut left = Changes::default();
        for EndedKey { owner, subject, delegations } in keys {
            self.pen().end_signed(owner, subject, owner.as_str(), &mut left).await?;
            self.pen().end_what_was_done(owner, delegations, owner.as_str(), &mut left).await?;
        }
        Ok(left)
    }
}
