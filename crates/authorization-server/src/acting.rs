//! Who acts on an owner's things: she herself, or a delegate within what she was given (protocol.md 1.8, `?owner=`).
//! Called by policies, access requests and the lists of what is registered.

use crate::AuthorizationServer;
use crate::changes::{Changes, Requirement};
use identity::Failure;
use identity::access_token::PolicyToken;
use jose::UnverifiedToken;
use rules::access_request::State;
use rules::authority::{Authority, policy_ids};
use rules::delegation::{Delegate, Delegation, Named};
use rules::policy::Binding;
use rules::{AccessRequest, Policy, Resource};
use types::delegation::May;
use types::policy::PolicyDocument;
use types::{AccessRequestId, ErrorCode, GrantId, OwnerId, PermissionRequest, ScopeSet, Timestamp};

/// Resources of one signed token that are looked at before a delegate is shown it.
const MOST_PARTS_SHOWN: usize = 20;

fn not_delegated<T>() -> Result<T, Failure> {
    Failure::refuse(ErrorCode::AccessDenied, "what the owner delegated to you does not reach so far")
}

/// Who acts for an owner: she herself, or a delegate within what she was given.
#[derive(Clone, Debug)]
pub struct Acting {
    pub owner: OwnerId,
    /// As events name it.
    pub by: String,
    /// The delegate's own account, and what she was given.
    delegate: Option<(OwnerId, Vec<Delegation>)>,
    /// The consent by which an application acts: it must stand in the commit.
    grant: Option<GrantId>,
}

impl Acting {
    /// The owner herself; `by` is the client, or her own id where she is at her pages.
    pub fn own(owner: &OwnerId, by: &str) -> Self {
        Self { owner: owner.clone(), by: by.to_owned(), delegate: None, grant: None }
    }

    /// By a client with her PMT.
    pub fn of(pmt: &PolicyToken) -> Self {
        Self { grant: pmt.grant.clone(), ..Self::own(&pmt.owner, pmt.client.as_str()) }
    }

    /// The account that acts.
    pub fn account(&self) -> &OwnerId {
        self.delegate.as_ref().map_or(&self.owner, |(account, _)| account)
    }

    /// Whether this may be seen: delegates see what was delegated to them, and nothing else.
    pub fn sees(&self, resource: &Named<'_>) -> bool {
        self.delegate.as_ref().is_none_or(|(_, given)| given.iter().any(|one| one.names(resource)))
    }

    /// The scopes of this that may be seen; none: all.
    fn seen_scopes(&self, resource: &Named<'_>) -> Option<ScopeSet> {
        let (_, given) = self.delegate.as_ref()?;
        let named = given.iter().filter(|one| one.names(resource));
        Some(named.fold(ScopeSet::new(), |all, one| all.union(&one.scopes)))
    }

    /// The delegation under which this may be done; none where the owner does it herself.
    pub fn under(
        &self,
        may: May,
        resource: &Named<'_>,
        scopes: &ScopeSet,
        now: Timestamp,
    ) -> Result<Option<&Delegation>, Failure> {
        let Some((_, given)) = &self.delegate else { return Ok(None) };
        match given.iter().find(|one| one.lets(may, resource, scopes, now)) {
            Some(delegation) => Ok(Some(delegation)),
            None => not_delegated(),
        }
    }

    /// A delegate changes what she made herself, and nothing else.
    pub fn made(&self, delegation: Option<&str>) -> Result<(), Failure> {
        match &self.delegate {
            Some((_, given)) if !given.iter().any(|one| Some(one.id.as_str()) == delegation) => not_delegated(),
            _ => Ok(()),
        }
    }

    /// When something ends that was done under this delegation and should end then.
    pub(crate) fn end_of(&self, delegation: Option<&str>, wanted: Option<Timestamp>) -> Option<Timestamp> {
        let Some((_, given)) = &self.delegate else { return wanted };
        let under = given.iter().find(|one| Some(one.id.as_str()) == delegation).map(|one| one.expires_at);
        wanted.into_iter().chain(under).min()
    }

    /// Who does it under which delegations, as a name by which it is counted; none where the owner does it herself.
    pub(crate) fn name_of_delegate(&self) -> Option<String> {
        let (account, given) = self.delegate.as_ref()?;
        let mut ids: Vec<&str> = given.iter().map(|one| one.id.as_str()).collect();
        ids.sort_unstable();
        Some(format!("{} {account} {}", self.owner, ids.join(" ")))
    }

    /// By which consent it acts, where that is an application.
    pub(crate) fn grant(&self) -> Option<&GrantId> {
        self.grant.as_ref()
    }

    pub fn is_delegate(&self) -> bool {
        self.delegate.is_some()
    }
}

impl AuthorizationServer {
    /// Who acts: the owner, or for `?owner=` somebody to whom that owner delegated.
    pub async fn acting(&self, pmt: &PolicyToken, owner: Option<&str>) -> Result<Acting, Failure> {
        let Some(owner) = owner.map(OwnerId::new).filter(|owner| *owner != pmt.owner) else { return Ok(Acting::of(pmt)) };
        let given = self.delegated_by(&owner, &self.names_of(&pmt.owner).await?).await?;
        if given.is_empty() {
            return Failure::refuse(ErrorCode::AccessDenied, "nothing is delegated to you by an owner of this id");
        }
        let (by, delegate) = (pmt.owner.as_str().to_owned(), Some((pmt.owner.clone(), given)));
        Ok(Acting { owner, by, delegate, grant: pmt.grant.clone() })
    }

    /// What whoever decided is called, where that was another person than the owner.
    pub async fn decided_by_other(
        &self,
        owner: &OwnerId,
        event: &types::event::EventDocument,
    ) -> Result<Option<String>, Failure> {
        let Some(by) = event.by.as_deref().map(OwnerId::new).filter(|by| by != owner) else { return Ok(None) };
        let account = self.identity.store.find_account(&by).await?;
        Ok(account.map(|account| account.verified_email().unwrap_or(account.display_name()).to_owned()))
    }

    /// The same for whoever posts a token: a delegation that it carries, signed by the owner, need not have been posted
    /// before.
    pub async fn acting_by_token(&self, pmt: &PolicyToken, owner: Option<&str>, text: &str) -> Result<Acting, Failure> {
        let refused = match self.acting(pmt, owner).await {
            Err(Failure::Refused(refusal)) if refusal.code == ErrorCode::AccessDenied => Err(Failure::Refused(refusal)),
            other => return other,
        };
        let carried = UnverifiedToken::parse(text.trim()).ok().and_then(|token| token.delegation());
        let (Some(owner), Some(carried)) = (owner.map(OwnerId::new), carried) else { return refused };
        if self.is_closed(&owner).await? {
            return refused;
        }
        let signed = self.verify_delegation(&owner, &carried).await?;
        let hers = self.store.list_credentials(&pmt.owner).await?.iter().any(|credential| credential.subject == signed.sub);
        if !hers {
            return refused;
        }
        let delegation = Delegation::from_signed(&signed, &carried, owner.clone(), self.now());
        let (by, delegate) = (pmt.owner.as_str().to_owned(), Some((pmt.owner.clone(), vec![delegation])));
        Ok(Acting { owner, by, delegate, grant: pmt.grant.clone() })
    }

    /// Accounts that may decide this request for its owner.
    pub(crate) async fn deciders(&self, owner: &OwnerId, request: &AccessRequestId) -> Result<Vec<OwnerId>, Failure> {
        let now = self.now();
        let mut given = self.store.list_delegations(owner).await?;
        let is_closed = self.is_closed(owner).await?;
        given.retain(|one| !is_closed && one.stands(now) && one.may.contains(&May::Approve));
        let Some(request) = self.store.find_access_request(request).await?.filter(|_| !given.is_empty()) else {
            return Ok(Vec::new());
        };
        let mut deciders = Vec::new();
        for delegation in given {
            let accounts = match &delegation.delegate {
                Delegate::Account(account) => vec![account.clone()],
                Delegate::Email(email) => {
                    let found = self.identity.store.find_account_by_email(email).await?;
                    found.into_iter().map(|account| account.id).collect()
                }
                Delegate::Credential(id) => {
                    self.store.list_credentials_of_subject(id).await?.into_iter().map(|one| one.owner).collect()
                }
            };
            for account in accounts {
                let acting = Acting {
                    owner: owner.clone(),
                    by: String::new(),
                    delegate: Some((account.clone(), vec![delegation.clone()])),
                    grant: None,
                };
                if !deciders.contains(&account) && self.sees_request(&acting, &request).await? {
                    deciders.push(account);
                }
            }
        }
        Ok(deciders)
    }

    /// Whether this account may decide this request for its owner, as things stand now.
    pub(crate) async fn may_decide(
        &self,
        owner: &OwnerId,
        account: &OwnerId,
        request: &AccessRequestId,
    ) -> Result<bool, Failure> {
        let mut given = self.delegated_by(owner, &self.names_of(account).await?).await?;
        given.retain(|one| one.may.contains(&May::Approve));
        let Some(request) = self.store.find_access_request(request).await?.filter(|_| !given.is_empty()) else {
            return Ok(false);
        };
        let delegate = Some((account.clone(), given));
        let acting = Acting { owner: owner.clone(), by: String::new(), delegate, grant: None };
        self.sees_request(&acting, &request).await
    }

    /// Whether a delegate may write this policy; it then ends with the delegation at the latest.
    pub(crate) async fn allow_policy(&self, acting: &Acting, policy: &mut Policy, changes: &mut Changes) -> Result<(), Failure> {
        if !acting.is_delegate() {
            return Ok(());
        }
        let scopes = policy.scopes.clone();
        let delegation = match &policy.binding {
            Binding::Bound { resource } => {
                let resource = self.owned_resource(&acting.owner, resource).await?;
                let server = self.resource_server_id(&resource.resource_server).await?;
                acting.under(May::Share, &named(&resource, &server), &scopes, self.now())?
            }
            Binding::Waiting { resource_server, own_id } => {
                let named = Named { id: None, resource_server, own_id: Some(own_id) };
                acting.under(May::Share, &named, &scopes, self.now())?
            }
        };
        if let Some(delegation) = delegation {
            let end = policy.expires_at.map_or(delegation.expires_at, |end| end.min(delegation.expires_at));
            policy.expires_at = Some(end);
            policy.delegation = Some(delegation.id.clone());
            changes.requires.push(Requirement::DelegationStands { owner: acting.owner.clone(), id: delegation.id.clone() });
        }
        Ok(())
    }

    /// What is to be seen of this policy: all that its delegate made; of others, as much as was delegated, and nothing of
    /// what was signed for more (protocol.md 1.8).
    pub(crate) async fn shown_policy(&self, acting: &Acting, policy: &Policy) -> Result<Option<PolicyDocument>, Failure> {
        if !acting.is_delegate() || (policy.delegation.is_some() && acting.made(policy.delegation.as_deref()).is_ok()) {
            return Ok(Some(policy.to_document()));
        }
        let seen = self.seen_scopes_of_policy(acting, policy).await?;
        let is_shown = match &policy.authority {
            Some(authority) => self.sees_all_signed(acting, authority).await?,
            None => !seen.is_empty(),
        };
        Ok(is_shown.then(|| PolicyDocument { resource_scopes: seen, ..policy.to_document() }))
    }

    /// Of a policy's scopes, those that a delegate may see.
    async fn seen_scopes_of_policy(&self, acting: &Acting, policy: &Policy) -> Result<ScopeSet, Failure> {
        let seen = match &policy.binding {
            Binding::Bound { resource } => self.seen_scopes_of(acting, resource).await?,
            Binding::Waiting { resource_server, own_id } => {
                acting.seen_scopes(&Named { id: None, resource_server, own_id: Some(own_id) })
            }
        };
        Ok(seen.unwrap_or_default().intersection(&policy.scopes))
    }

    /// Whether a delegate sees all that a token of the owner's is for: its text names everything in it, at all servers. One that is
    /// for very much is not shown, however much was delegated.
    async fn sees_all_signed(&self, acting: &Acting, authority: &Authority) -> Result<bool, Failure> {
        if authority.parts > MOST_PARTS_SHOWN {
            return Ok(false);
        }
        for id in policy_ids(&authority.id, authority.parts) {
            // a part whose resource is gone is named in the text still
            let Some(part) = self.store.find_policy(&id).await? else { return Ok(false) };
            let seen = self.seen_scopes_of_policy(acting, &part).await?;
            if seen.is_empty() || !part.scopes.is_subset(&seen) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The scopes of this resource that may be seen; none: all.
    pub(crate) async fn seen_scopes_of(&self, acting: &Acting, id: &types::ResourceId) -> Result<Option<ScopeSet>, Failure> {
        if !acting.is_delegate() {
            return Ok(None);
        }
        let Some(resource) = self.store.find_resource(id).await? else { return Ok(Some(ScopeSet::new())) };
        let server = self.resource_server_id(&resource.resource_server).await?;
        Ok(acting.seen_scopes(&named(&resource, &server)))
    }

    /// Whether this policy is about something that is to be seen.
    pub(crate) async fn sees_policy(&self, acting: &Acting, policy: &Policy) -> Result<bool, Failure> {
        if !acting.is_delegate() {
            return Ok(true);
        }
        match &policy.binding {
            Binding::Bound { resource } => self.sees_resource(acting, resource).await,
            Binding::Waiting { resource_server, own_id } => {
                Ok(acting.sees(&Named { id: None, resource_server, own_id: Some(own_id) }))
            }
        }
    }

    /// Whether this resource is to be seen.
    pub(crate) async fn sees_resource(&self, acting: &Acting, id: &types::ResourceId) -> Result<bool, Failure> {
        if !acting.is_delegate() {
            return Ok(true);
        }
        let Some(resource) = self.store.find_resource(id).await? else { return Ok(false) };
        let server = self.resource_server_id(&resource.resource_server).await?;
        Ok(acting.sees(&named(&resource, &server)))
    }

    /// Whether this request is to be seen: it is about nothing but what was delegated, and some of it may be decided.
    pub(crate) async fn sees_request(&self, acting: &Acting, request: &AccessRequest) -> Result<bool, Failure> {
        let mut covered = !acting.is_delegate();
        for permission in &request.permissions {
            if !self.sees_resource(acting, &permission.resource_id).await? {
                return Ok(false);
            }
            let seen = self.seen_scopes_of(acting, &permission.resource_id).await?;
            covered |= seen.is_none_or(|seen| !seen.intersection(&permission.resource_scopes).is_empty());
        }
        Ok(covered)
    }

    /// A delegate's decision on a request: within one delegation, and no longer than that lasts. What is remembered decides
    /// the requests to come as well, which is sharing (protocol.md 1.8).
    pub(crate) async fn allow_decision(
        &self,
        acting: &Acting,
        remember: bool,
        request: &mut AccessRequest,
        changes: &mut Changes,
    ) -> Result<(), Failure> {
        let Some((_, given)) = &acting.delegate else { return Ok(()) };
        let permissions: Vec<PermissionRequest> = match &request.state {
            State::Approved { permissions, .. } => permissions.clone(),
            _ => request.permissions.clone(),
        };
        let mut fits: Vec<&Delegation> = given.iter().collect();
        for permission in permissions.iter().filter(|permission| !permission.resource_scopes.is_empty()) {
            let resource = self.owned_resource(&acting.owner, &permission.resource_id).await?;
            let server = self.resource_server_id(&resource.resource_server).await?;
            let named = named(&resource, &server);
            let lets = |one: &Delegation, may| one.lets(may, &named, &permission.resource_scopes, self.now());
            if remember && !given.iter().any(|one| lets(one, May::Share)) {
                let what = "to remember a decision is to share, and that was not delegated to you: decide without `remember`";
                return Failure::refuse(ErrorCode::AccessDenied, what);
            }
            fits.retain(|one| lets(one, May::Approve));
        }
        let Some(delegation) = fits.first() else { return not_delegated() };
        if let State::Approved { until, .. } = &mut request.state {
            *until = (*until).min(delegation.expires_at);
        }
        request.delegation = Some(delegation.id.clone());
        changes.requires.push(Requirement::DelegationStands { owner: acting.owner.clone(), id: delegation.id.clone() });
        Ok(())
    }
}

/// As delegations name it.
pub(crate) fn named<'a>(resource: &'a Resource, server: &'a types::ResourceServerId) -> Named<'a> {
    Named { id: Some(&resource.id), resource_server: server, own_id: resource.description.own_id.as_ref() }
}
