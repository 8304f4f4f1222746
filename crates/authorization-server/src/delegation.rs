//! Delegations (protocol.md 1.8): an owner lets somebody decide for her. Here they are made, listed and withdrawn; what
//! one allows is in `rules::delegation`, and calls of delegates go through [`crate::acting`].

use crate::changes::{Changes, Requirement, Write};
use crate::page::{page_of_all, place_of};
use crate::pen::raised_links;
use crate::store::Page;
use crate::{AuthorizationServer, RETRIES};
use identity::access_token::PolicyToken;
use identity::account::Standing;
use identity::{CommitError, Failure};
use jose::UnverifiedDelegation;
use rules::delegation::{Delegate, Delegation};
use types::delegation::DelegationDocument;
use types::event::EventKind;
use types::{ErrorCode, OwnerId, Refusal, Timestamp};

/// Most delegations of one owner that stand at once.
const MAX_DELEGATIONS: usize = 200;
/// Most bytes that those have together: they are read whole wherever somebody may decide for her.
const MAX_BYTES: usize = 256 * 1024;
/// Most signed ones of an owner that she withdrew before their end.
const MAX_WITHDRAWN: usize = 1_000;

fn place(delegation: &Delegation) -> String {
    place_of(delegation.created, &format!("{} {}", delegation.owner, delegation.id))
}

/// The same of one that is listed.
pub fn place_of_document(document: &DelegationDocument) -> String {
    let owner = document.owner.as_ref().map(OwnerId::as_str).unwrap_or_default();
    let created = document.created.unwrap_or(Timestamp(0));
    place_of(created, &format!("{owner} {}", document.id.as_deref().unwrap_or_default()))
}

fn not_found() -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::NotFound, "no delegation of yours has this id"))
}

impl AuthorizationServer {
    /// What delegations call this account: itself, its verified address, a credential of its own.
    pub(crate) async fn names_of(&self, account: &OwnerId) -> Result<Vec<Delegate>, Failure> {
        let mut names = vec![Delegate::Account(account.clone())];
        let known = self.identity.store.find_account(account).await?;
        let address = known.as_ref().and_then(|account| account.verified_email()).and_then(types::email::normalize);
        names.extend(address.map(Delegate::Email));
        names.extend(self.store.list_credentials(account).await?.into_iter().map(|one| Delegate::Credential(one.subject)));
        Ok(names)
    }

    /// Whether the operator closed this owner's account: nobody acts in her name meanwhile (threat 36).
    pub(crate) async fn is_closed(&self, owner: &OwnerId) -> Result<bool, Failure> {
        let account = self.identity.store.find_account(owner).await?;
        Ok(account.is_some_and(|account| account.standing == Standing::Gone))
    }

    /// What this owner delegated to whoever has one of these names, and stands.
    pub(crate) async fn delegated_by(&self, owner: &OwnerId, names: &[Delegate]) -> Result<Vec<Delegation>, Failure> {
        let (mut all, now) = (Vec::new(), self.now());
        if self.is_closed(owner).await? {
            return Ok(all);
        }
        for name in names {
            all.extend(self.store.list_delegations_between(owner, &name.key()).await?);
        }
        all.retain(|one| one.stands(now));
        Ok(all)
    }

    /// `GET {delegations_endpoint}`: those of this owner that stand. A page of it, and where it goes on, if it does.
    pub async fn list_delegations(
        &self,
        pmt: &PolicyToken,
        page: &Page<String>,
    ) -> Result<(Vec<DelegationDocument>, Option<String>), Failure> {
        let now = self.now();
        let mut all = self.store.list_delegations(&pmt.owner).await?;
        all.retain(|one| one.stands(now));
        let (all, last) = page_of_all(all, place, page);
        Ok((all.iter().map(Delegation::to_document).collect(), last))
    }

    /// `POST {delegations_endpoint}`.
    pub async fn create_delegation(
        &self,
        pmt: &PolicyToken,
        document: DelegationDocument,
    ) -> Result<DelegationDocument, Failure> {
        let delegation = Delegation::from_document(document, self.identity.random_id(), pmt.owner.clone(), self.now())?;
        self.save_delegation(delegation, pmt).await
    }

    /// `POST {delegations_endpoint}` with `application/delegation+jwt`.
    pub async fn create_signed_delegation(&self, pmt: &PolicyToken, text: &str) -> Result<DelegationDocument, Failure> {
        let delegation = self.verify_delegation(&pmt.owner, text.trim()).await?;
        let delegation = Delegation::from_signed(&delegation, text.trim(), pmt.owner.clone(), self.now());
        self.save_delegation(delegation, pmt).await
    }

    async fn save_delegation(&self, delegation: Delegation, pmt: &PolicyToken) -> Result<DelegationDocument, Failure> {
        // one at a time, so that the number holds
        let _turn = self.turns.alone(&delegation.owner).await;
        self.check_room(&delegation).await?;
        let document = delegation.to_document();
        let mut requires = Changes::default();
        self.require_grant(pmt.grant.as_ref(), &mut requires).await?;
        if let Some(signed) = &delegation.signed {
            self.require_credential(&delegation.owner, &signed.credential, &mut requires).await?;
        }
        let writes = self.pen().delegation_writes(delegation, EventKind::DelegationCreated, pmt.client.as_str());
        match self.store.commit(Changes { writes, ..requires }).await {
            Ok(()) => Ok(document),
            Err(CommitError::Changed) => {
                Failure::refuse(ErrorCode::InvalidRequest, "the credential that signed it, or your token, was withdrawn just now")
            }
            Err(CommitError::Taken) => {
                Failure::refuse(ErrorCode::Conflict, "a delegation has this `jti` already, or had it and was withdrawn")
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether its owner may have one more. It is her own calls alone that fill this.
    async fn check_room(&self, new: &Delegation) -> Result<(), Failure> {
        let full = |what: &str| Failure::refuse(ErrorCode::InvalidRequest, what);
        let now = self.now();
        let mut standing = self.store.list_delegations(&new.owner).await?;
        standing.retain(|one| one.stands(now));
        if standing.len() >= MAX_DELEGATIONS {
            return full("the owner has 200 delegations: withdraw one first");
        }
        let sizes = standing.iter().chain([new]).map(types::json::size_of);
        if sizes.fold(0, usize::saturating_add) > MAX_BYTES {
            return full(
                "the delegations of one owner have 256 KiB at most together: name fewer resources in it, or withdraw one first",
            );
        }
        if new.signed.is_some() && self.store.count_withdrawn_delegations(&new.owner).await? >= MAX_WITHDRAWN {
            return full(
                "the owner has withdrawn 1000 signed delegations that had not run out, and these are remembered: \
                 make it without a signature, or wait until one of them runs out",
            );
        }
        Ok(())
    }

    /// `DELETE {delegations_endpoint}/{_id}`: what was done under it ends with it.
    pub async fn delete_delegation(&self, pmt: &PolicyToken, id: &str) -> Result<(), Failure> {
        for tried in 0..RETRIES {
            let _turn = self.turns.take(&pmt.owner, tried).await;
            let found = self.store.find_delegation(&pmt.owner, id).await?;
            let found = found.filter(|one| one.stands(self.now())).ok_or_else(not_found)?;
            let changes = Changes::of(self.end_delegations(&pmt.owner, vec![found], pmt.client.as_str()).await?);
            match self.store.commit(changes).await {
                Ok(()) => return self.sweep_delegation(&pmt.owner, id, pmt.client.as_str()).await,
                Err(CommitError::Changed) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("policies change too fast".into()))
    }

    /// Delegations that were signed by this credential of hers.
    pub(crate) async fn signed_by(&self, owner: &OwnerId, credential: &str) -> Result<Vec<Delegation>, Failure> {
        let all = self.store.list_delegations(owner).await?;
        let by_it = |one: &Delegation| one.signed.as_ref().is_some_and(|signed| signed.credential == credential);
        Ok(all.into_iter().filter(|one| one.stands(self.now()) && by_it(one)).collect())
    }

    /// They are over, and all that was done under them.
    pub(crate) async fn end_delegations(&self, owner: &OwnerId, ended: Vec<Delegation>, by: &str) -> Result<Vec<Write>, Failure> {
        let mut changes = Changes::default();
        self.pen().end_delegations(owner, ended, by, &mut changes).await?;
        changes.writes.extend(raised_links(owner, &self.identity.store.list_consents(owner).await?));
        Ok(changes.writes)
    }

    /// What was on its way while a delegation ended, and was committed between the look at what there is and its end.
    /// Behind the end nothing new can come: whoever writes under a delegation requires that it stands.
    pub(crate) async fn sweep_delegation(&self, owner: &OwnerId, id: &str, by: &str) -> Result<(), Failure> {
        let mut changes = Changes::default();
        self.pen().end_what_was_done(owner, &[id.to_owned()], by, &mut changes).await?;
        if !changes.writes.is_empty() {
            self.store.commit(changes).await?;
        }
        Ok(())
    }

    /// The signed form, by a credential that this owner registered here, and for this server.
    pub(crate) async fn verify_delegation(
        &self,
        owner: &OwnerId,
        text: &str,
    ) -> Result<jose::Verified<jose::Delegation>, Failure> {
        let refuse = |what: String| Failure::Refused(Refusal::new(ErrorCode::InvalidRequest, what));
        let unverified = UnverifiedDelegation::parse(text).map_err(|error| refuse(format!("the `delegation`: {error}")))?;
        let signer = unverified.issuer().unwrap_or_default();
        let keys = self.keys_of_signer(owner, &signer).await?;
        let keys =
            keys.ok_or_else(|| refuse("the `delegation`: `iss` must be a credential that its owner registered here".into()))?;
        let delegation = unverified.verify(&keys).map_err(|error| refuse(format!("the `delegation`: {error}")))?;
        if !delegation.aud.contains(self.issuer().as_str()) {
            return Err(refuse(format!("the `delegation`: `aud` must name this server, `{}`", self.issuer())));
        }
        if delegation.exp <= self.now() {
            return Err(refuse("the `delegation`: `exp` must lie ahead, and it has expired".into()));
        }
        if delegation.nbf.is_some_and(|begin| begin > self.now().plus(rules::claim::CLOCK_SKEW)) {
            return Err(refuse("the `delegation`: `nbf` lies ahead, and it does not count yet".into()));
        }
        Ok(delegation)
    }

    /// A signed delegation comes with a token: it stands, and is known from now on, so that its owner sees it and can
    /// withdraw it.
    pub(crate) async fn take_delegation(
        &self,
        owner: &OwnerId,
        signed: &jose::Verified<jose::Delegation>,
        text: &str,
        by: &str,
        changes: &mut Changes,
    ) -> Result<(), Failure> {
        match self.store.find_delegation(owner, &signed.jti).await? {
            Some(known) if !known.stands(self.now()) => {
                Failure::refuse(ErrorCode::InvalidRequest, "the owner has withdrawn this delegation")
            }
            Some(known) if known.signed.as_ref().is_none_or(|known| known.text != text) => {
                Failure::refuse(ErrorCode::Conflict, "another delegation has this `jti`")
            }
            Some(known) => {
                changes.requires.push(Requirement::DelegationStands { owner: owner.clone(), id: known.id });
                Ok(())
            }
            None => {
                let made = Delegation::from_signed(signed, text, owner.clone(), self.now());
                self.check_room(&made).await?;
                changes.writes.extend(self.pen().delegation_writes(made, EventKind::DelegationCreated, by));
                Ok(())
            }
        }
    }
}
