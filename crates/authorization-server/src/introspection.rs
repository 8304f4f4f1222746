//! Introspection of RPTs (Federated Authorization 5, protocol.md 4): by PAT, of that owner and
//! resource server; everything else is inactive. What a scope rested on is looked at anew each time,
//! so a withdrawn share is gone from the moment its withdrawal is acknowledged.

use crate::AuthorizationServer;
use identity::Failure;
use identity::TokenKey;
use identity::access_token::ProtectionToken;
use identity::token_text::{self, TokenKind};
use jose::UnverifiedJws;
use rules::Ticket;
use rules::rpt::{self, Authorities, Basis, Foundations, GrantedScope, Rpt};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use types::introspection::Introspection;
use types::json::OneOrMany;
use types::{AccessRequestId, GrantId, GrantedPermission, OwnerId, PolicyId, ResourceId, Scope};

/// What stands of the foundations of some scopes, read in one go.
#[derive(Default)]
struct Loaded {
    resources: HashMap<ResourceId, Arc<rules::Resource>>,
    policies: HashMap<PolicyId, u64>,
    authorities: Authorities,
    approvals: HashSet<AccessRequestId>,
    consents: HashSet<GrantId>,
    /// Who of the owners lets nothing pass but what she signed.
    demanding: HashMap<OwnerId, bool>,
}

impl Foundations for Loaded {
    fn has_scope(&self, resource: &ResourceId, scope: &Scope) -> bool {
        self.resources.get(resource).is_some_and(|resource| resource.has_scope(scope))
    }
    fn policy_stands(&self, id: &PolicyId, version: u64) -> bool {
        self.policies.get(id) == Some(&version)
    }
    fn approval_stands(&self, id: &AccessRequestId) -> bool {
        self.approvals.contains(id)
    }
    fn consent_stands(&self, id: &GrantId) -> bool {
        self.consents.contains(id)
    }
    fn demands_signature(&self, resource: &ResourceId) -> bool {
        let owner = self.resources.get(resource).map(|resource| &resource.owner);
        owner.and_then(|owner| self.demanding.get(owner)).copied().unwrap_or_default()
    }
    fn is_signed(&self, id: &PolicyId) -> bool {
        self.authorities.contains_key(id)
    }
}

/// Whether it is the owner's own, by her account here.
pub(crate) fn rests_on_owner(granted: &GrantedScope) -> bool {
    granted.basis.iter().any(|basis| matches!(basis, Basis::Owner { .. }))
}

impl AuthorizationServer {
    /// What a resource server may know of a token that was presented to it.
    pub async fn introspect(&self, pat: &ProtectionToken, text: &str) -> Result<Introspection, Failure> {
        Ok(self.introspect_with_scopes(pat, text).await?.0)
    }

    /// The same with what the scopes rest on.
    pub(crate) async fn introspect_with_scopes(
        &self,
        pat: &ProtectionToken,
        text: &str,
    ) -> Result<(Introspection, Vec<GrantedScope>), Failure> {
        let inactive = || Ok((Introspection::inactive(), Vec::new()));
        let Some((_, rpt)) = self.find_rpt_by_text(text).await? else { return inactive() };
        let for_caller = rpt.owner == pat.owner && rpt.resource_server == pat.resource_server;
        if !for_caller || self.now() >= rpt.expires || rpt.pat_grant != pat.grant {
            return inactive();
        }
        self.told_of(rpt).await
    }

    /// What is told of an RPT to whoever may ask.
    pub(crate) async fn told_of(&self, rpt: Rpt) -> Result<(Introspection, Vec<GrantedScope>), Failure> {
        // what a client was given ends with it (RFC 7592 2.3)
        if !self.is_of_standing_client(&rpt).await? {
            return Ok((Introspection::inactive(), Vec::new()));
        }
        let (left, permissions) = self.standing_permissions(&rpt).await?;
        if left.is_empty() {
            return Ok((Introspection::inactive(), Vec::new()));
        }
        let answer = Introspection {
            active: true,
            permissions: Some(permissions),
            iss: Some(self.issuer().as_str().to_owned()),
            aud: Some(OneOrMany::One(self.resource_server_id(&rpt.resource_server).await?.as_str().to_owned())),
            exp: Some(rpt.expires),
            iat: Some(rpt.issued),
            token_type: Some(identity::token::token_type(rpt.cnf.as_ref())),
            cnf: rpt.cnf.as_ref().map(|jkt| json!({"jkt": jkt})),
            sub: Some(self.pairwise_subject(&rpt)),
            email: rpt.email,
            is_owner: left.iter().any(rests_on_owner).then_some(true),
            client_id: Some(rpt.client),
            ..Introspection::default()
        };
        Ok((answer, left))
    }

    /// Whether its client is there, with the credentials of when it was issued, and whoever vouched for whom it speaks of.
    pub(crate) async fn is_of_standing_client(&self, rpt: &Rpt) -> Result<bool, Failure> {
        let client = self.identity.store.find_client(&rpt.client).await?;
        let vouches = client.is_some_and(|client| client.vouches_for(rpt.issued));
        Ok(vouches && self.stands_by(&rpt.requesting_party, rpt.issued).await?)
    }

    /// An RPT that a client brings along for more (Grant 3.3.1): what is good for nobody, or was given to the resource server by
    /// an agreement that has ended, goes on in no other. Nor does one that is over: what it let pass is judged anew.
    pub(crate) async fn find_rpt_to_upgrade(&self, text: &str, ticket: &Ticket) -> Result<Option<(TokenKey, Rpt)>, Failure> {
        let Some((key, rpt)) = self.find_rpt_by_text(text).await? else { return Ok(None) };
        let is_of_this_link = rpt.by_own_id || rpt.pat_grant == ticket.pat_grant;
        let is_over = rpt.expires <= self.now();
        Ok((is_of_this_link && !is_over && self.is_of_standing_client(&rpt).await?).then_some((key, rpt)))
    }

    /// The RPT of a text, opaque or JWT. A JWT of ours names its row in `jti`.
    pub(crate) async fn find_rpt_by_text(&self, text: &str) -> Result<Option<(TokenKey, Rpt)>, Failure> {
        let key = match token_text::key_of(TokenKind::Rpt, text) {
            Some(key) => Some(key),
            None => self.jti_of_own_jwt(text).and_then(|jti| token_text::key_of(TokenKind::Rpt, &jti)),
        };
        let Some(key) = key else { return Ok(None) };
        let found = self.store.find_rpt(&key).await?;
        // the `jti` of a signed RPT is no token: resource servers read it in the revocations
        Ok(found.filter(|rpt| rpt.jti.as_deref() != Some(text)).map(|rpt| (key, rpt)))
    }

    fn jti_of_own_jwt(&self, text: &str) -> Option<String> {
        let jws = UnverifiedJws::parse(text).ok()?.expect_type("at+jwt").ok()?;
        let verified = jws.verify(&self.identity.keys.own_key_set(self.now())).ok()?;
        let claims = verified.claims::<serde_json::Value>().ok()?;
        claims.get("jti")?.as_str().map(str::to_owned)
    }

    /// Scopes of an RPT that still stand, and the permission objects that they are.
    pub(crate) async fn standing_permissions(&self, rpt: &Rpt) -> Result<(Vec<GrantedScope>, Vec<GrantedPermission>), Failure> {
        let (left, authorities) = self.standing_with_authorities(&rpt.scopes).await?;
        let mut permissions = rpt::to_permissions(&left, &authorities);
        if rpt.by_own_id {
            for permission in &mut permissions {
                let resource = self.store.find_resource(&permission.resource_id).await?;
                if let Some(own_id) = resource.as_ref().and_then(|resource| resource.description.own_id.as_ref()) {
                    permission.resource_id = ResourceId::new(own_id.as_str());
                }
            }
        }
        Ok((left, permissions))
    }

    /// The scopes that still rest on something.
    pub(crate) async fn standing_scopes(&self, scopes: &[GrantedScope]) -> Result<Vec<GrantedScope>, Failure> {
        Ok(self.standing_with_authorities(scopes).await?.0)
    }

    /// The same, with the resource owner tokens that they rest on.
    pub(crate) async fn standing_with_authorities(
        &self,
        scopes: &[GrantedScope],
    ) -> Result<(Vec<GrantedScope>, Authorities), Failure> {
        let mut loaded = Loaded::default();
        for granted in scopes {
            if !loaded.resources.contains_key(&granted.resource)
                && let Some(resource) = self.store.find_resource(&granted.resource).await?
            {
                if !loaded.demanding.contains_key(&resource.owner) {
                    let demands = self.requires_authority(&resource.owner).await?;
                    loaded.demanding.insert(resource.owner.clone(), demands);
                }
                loaded.resources.insert(granted.resource.clone(), resource);
            }
            for basis in &granted.basis {
                self.load_basis(basis, &mut loaded).await?;
            }
        }
        Ok((rpt::standing(scopes, &loaded, self.now()), loaded.authorities))
    }

    /// The consent, if it stands and still says that the client reaches what is hers.
    pub(crate) async fn find_owners_reach(&self, consent: &GrantId) -> Result<Option<GrantId>, Failure> {
        let found = self.identity.store.find_consent(consent).await?;
        let Some(found) = found.filter(|found| found.scopes.has(types::token::AS_OWNER)) else { return Ok(None) };
        let client = self.identity.store.find_client(&found.client).await?;
        Ok(client.filter(|client| found.is_about(client)).map(|_| found.id.clone()))
    }

    async fn load_basis(&self, basis: &Basis, loaded: &mut Loaded) -> Result<(), Failure> {
        match basis {
            Basis::Policy { id, .. } if !loaded.policies.contains_key(id) => {
                if let Some(policy) = self.store.find_policy(id).await? {
                    loaded.policies.insert(id.clone(), policy.version);
                    loaded.authorities.extend(policy.authority.map(|authority| (id.clone(), authority.token)));
                }
            }
            Basis::Approval { id, .. } if !loaded.approvals.contains(id) => {
                let request = self.store.find_access_request(id).await?;
                if request.is_some_and(|request| matches!(request.state, rules::access_request::State::Approved { .. })) {
                    loaded.approvals.insert(id.clone());
                }
            }
            Basis::Owner { consent } if !loaded.consents.contains(consent) => {
                loaded.consents.extend(self.find_owners_reach(consent).await?);
            }
            _ => {}
        }
        Ok(())
    }

    /// `sub` of an RPT: the requesting party as this resource server alone knows it, or the client
    /// where no person is known (protocol.md 4).
    pub(crate) fn pairwise_subject(&self, rpt: &Rpt) -> String {
        if !rpt.requesting_party.is_known() {
            return rpt.client.as_str().to_owned();
        }
        let party = serde_json::to_vec(&rpt.requesting_party.person()).unwrap_or_default();
        let message = [rpt.resource_server.as_str().as_bytes(), b"\0", &party].concat();
        self.identity.keys.keyed_digest("pairwise subject", &message)
    }
}
