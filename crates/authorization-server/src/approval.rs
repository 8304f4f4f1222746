//! Approvals: requests that the owner approved, and that let somebody in until they end or she withdraws them (protocol.md 1.4).
//! They are no policies, so whoever asks who can reach a resource must be told of them beside the policies, and whoever takes a
//! share back means that person, whatever it was by which she got in. Called by the owner's pages.

use crate::AuthorizationServer;
use crate::acting::Acting;
use crate::store::Page;
use identity::Failure;
use types::access_request::AccessRequestDocument;
use types::policy::PolicyDocument;
use types::{PolicyId, ResourceId};

/// Requests that are read at once.
const PAGE: usize = 1_000;

/// Whether this policy is for whoever made the request: it names the address, or the name at its issuer, that was verified.
fn is_for_party(policy: &PolicyDocument, request: &AccessRequestDocument) -> bool {
    policy.required_claims.iter().any(|condition| {
        let verified = request.requesting_party.get(&condition.name);
        ["email", "sub"].contains(&condition.name.as_str()) && verified.is_some_and(|said| condition.value.contains(said))
    })
}

impl AuthorizationServer {
    /// What she approved and lets somebody reach this resource now, the newest first.
    pub async fn list_approvals(&self, acting: &Acting, resource: &ResourceId) -> Result<Vec<AccessRequestDocument>, Failure> {
        let (mut all, mut after, now) = (Vec::new(), None, self.now());
        loop {
            let (requests, next) = self.list_access_requests(acting, &Page { after, limit: PAGE }).await?;
            let names = |request: &AccessRequestDocument| request.permissions.iter().any(|one| one.resource_id == *resource);
            all.extend(requests.into_iter().filter(|request| request.lets_in(now) && names(request)));
            match next {
                Some(last) => after = Some(last),
                None => return Ok(all),
            }
        }
    }

    /// A share is over, and with it what was approved for the same person on the same resource.
    pub async fn withdraw_share(&self, acting: &Acting, id: &PolicyId) -> Result<(), Failure> {
        let policy = self.read_policy(acting, id).await?.document;
        self.delete_policy(acting, id, None).await?;
        let Some(resource) = &policy.resource_id else { return Ok(()) };
        for approval in self.list_approvals(acting, resource).await?.iter().filter(|one| is_for_party(&policy, one)) {
            self.delete_access_request(acting, &approval.id).await?;
        }
        Ok(())
    }
}
