//! A request that waits for its owner (Grant 3.3.6 `request_submitted`, protocol.md 1.4).

use crate::claim::{Claims, RequestingParty};
use jose::{base64url, digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use types::{AccessRequestId, ClientId, OwnerId, PermissionRequest, ResourceId, Scope, ScopeSet, Timestamp};

/// Where a request stands; each state holds what is true in it alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Pending,
    /// Nobody answered in time.
    Expired,
    /// Approved for these permissions until then.
    Approved {
        permissions: Vec<PermissionRequest>,
        until: Timestamp,
    },
    /// Denied; a remembered denial answers the next such request by itself.
    Denied {
        remembered: bool,
    },
}

/// A request for access, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessRequest {
    pub id: AccessRequestId,
    pub owner: OwnerId,
    pub client: ClientId,
    pub requesting_party: RequestingParty,
    pub claims: Claims,
    pub permissions: Vec<PermissionRequest>,
    pub created: Timestamp,
    pub expires_at: Timestamp,
    pub state: State,
    /// The delegation under which a delegate decided it, and with which the decision ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<String>,
    /// Names of requests in whose place this one is: she answered them, and undid that. The oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instead_of: Vec<AccessRequestId>,
    /// What whoever asks says to the owner, in her own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Which block of network addresses it came from, and in which region, as digests ([`crate::inbox::origin_of`]); limits for
    /// strangers count by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    pub version: u64,
}

/// What an owner decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Approve { permissions: Option<Vec<PermissionRequest>>, until: Timestamp },
    Deny { remember: bool },
}

/// Why a decision cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    #[error("the request is already decided or has expired")]
    Decided,
    #[error("an approval may only narrow what was asked for")]
    Wider,
    #[error("an approval must leave at least one scope and end in the future")]
    Empty,
}

/// Names that a request remembers of those in whose place it is.
const MOST_FORMER: usize = 20;

/// Seconds that a request stays readable after it has ended.
pub const KEPT: i64 = 90 * 86_400;

/// One permission for each resource, however often it is named, and none without scopes: what is decided is no more than what
/// was asked.
fn merge(permissions: Vec<PermissionRequest>) -> Vec<PermissionRequest> {
    let mut merged: BTreeMap<ResourceId, ScopeSet> = BTreeMap::new();
    for permission in permissions {
        let scopes = merged.entry(permission.resource_id).or_default();
        *scopes = scopes.union(&permission.resource_scopes);
    }
    merged.retain(|_, scopes| !scopes.is_empty());
    merged.into_iter().map(|(resource_id, resource_scopes)| PermissionRequest { resource_id, resource_scopes }).collect()
}

impl AccessRequest {
    /// When time alone will change it next: a pending one runs out, one that has ended is forgotten; a remembered
    /// denial stays.
    pub fn due(&self) -> Timestamp {
        match &self.state {
            State::Pending => self.expires_at,
            State::Denied { remembered: true } => Timestamp(i64::MAX),
            State::Expired | State::Denied { .. } => self.expires_at.plus(KEPT),
            State::Approved { until, .. } => self.expires_at.max(*until).plus(KEPT),
        }
    }

    /// What time made of it at `now`; none: it is forgotten.
    pub fn overdue(self, now: Timestamp) -> Option<Self> {
        match self.state {
            State::Pending if now >= self.expires_at => {
                Some(Self { state: State::Expired, version: self.version.saturating_add(1), ..self })
            }
            _ if now >= self.due() => None,
            _ => Some(self),
        }
    }

    /// What requests of the same client and person to the same owner have in common.
    pub fn key(owner: &OwnerId, client: &ClientId, party: &RequestingParty) -> String {
        let mut parts: Vec<&[u8]> = vec![owner.as_str().as_bytes(), b"\0", client.as_str().as_bytes()];
        let person = party.person();
        for subject in person.iter() {
            parts.extend([&b"\0"[..], subject.iss.as_str().as_bytes(), b"\0", subject.sub.as_bytes()]);
        }
        base64url::encode(digest::sha256(&parts))
    }

    /// Whether it asks for this scope on this resource.
    pub fn asks_for(&self, resource: &ResourceId, scope: &Scope) -> bool {
        covers(&self.permissions, resource, scope)
    }

    /// Still waiting at `now`.
    pub fn is_pending(&self, now: Timestamp) -> bool {
        self.state == State::Pending && now < self.expires_at
    }

    /// The same request, asked once more by this name: its answer was undone.
    pub fn asked_again(self, id: AccessRequestId) -> Self {
        let again = Self { instead_of: Vec::new(), id, state: State::Pending, delegation: None, version: 0, ..self.clone() };
        again.taking_over(self)
    }

    /// The same, for which whoever waited for that other one waits from now on.
    pub fn waiting_for(self, other: Self) -> Self {
        let version = self.version.saturating_add(1);
        Self { version, ..self }.taking_over(other)
    }

    fn taking_over(mut self, other: Self) -> Self {
        self.instead_of.extend(other.instead_of);
        self.instead_of.push(other.id);
        self.instead_of.drain(..self.instead_of.len().saturating_sub(MOST_FORMER));
        self
    }

    /// Takes the owner's decision.
    pub fn decide(self, decision: Decision, now: Timestamp) -> Result<Self, DecisionError> {
        if !self.is_pending(now) {
            return Err(DecisionError::Decided);
        }
        let state = match decision {
            Decision::Deny { remember } => State::Denied { remembered: remember },
            Decision::Approve { permissions, until } => {
                let permissions = merge(permissions.unwrap_or_else(|| self.permissions.clone()));
                let asked = |p: &PermissionRequest| p.resource_scopes.iter().all(|s| self.asks_for(&p.resource_id, s));
                if !permissions.iter().all(asked) {
                    return Err(DecisionError::Wider);
                }
                if until <= now || permissions.iter().all(|p| p.resource_scopes.is_empty()) {
                    return Err(DecisionError::Empty);
                }
                State::Approved { permissions, until }
            }
        };
        Ok(Self { state, version: self.version.saturating_add(1), ..self })
    }
}

fn covers(permissions: &[PermissionRequest], resource: &ResourceId, scope: &Scope) -> bool {
    permissions.iter().any(|p| p.resource_id == *resource && p.resource_scopes.contains(scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn permission(resource: &str, scopes: &str) -> PermissionRequest {
        PermissionRequest { resource_id: resource.into(), resource_scopes: ScopeSet::parse(scopes).unwrap() }
    }

    fn decide(permissions: Vec<PermissionRequest>) -> Result<Vec<PermissionRequest>, DecisionError> {
        let request = AccessRequest {
            id: "r".into(),
            owner: "alice".into(),
            client: "viewer".into(),
            requesting_party: RequestingParty::default(),
            claims: Claims::default(),
            permissions: vec![permission("album", "view edit")],
            created: NOW,
            expires_at: NOW.plus(100),
            state: State::Pending,
            delegation: None,
            instead_of: Vec::new(),
            message: None,
            network: None,
            version: 0,
        };
        let approved = request.decide(Decision::Approve { permissions: Some(permissions), until: NOW.plus(10) }, NOW)?;
        let State::Approved { permissions, .. } = approved.state else { panic!("it was approved") };
        Ok(permissions)
    }

    #[test]
    fn threat_46_a_decision_names_each_thing_once_and_nothing_else() {
        let nothing = ScopeSet::new();
        let empty = |resource: &str| PermissionRequest { resource_id: resource.into(), resource_scopes: nothing.clone() };
        let many = (0..1_000).map(|_| permission("album", "view"));
        let others = (0..1_000).map(|n| empty(&format!("other {n}")));
        let mixed = many.chain(others).chain([permission("album", "edit")]).collect();
        assert_eq!(decide(mixed), Ok(vec![permission("album", "view edit")]));
        assert_eq!(decide(vec![permission("diary", "view")]), Err(DecisionError::Wider));
        assert_eq!(decide(vec![empty("album")]), Err(DecisionError::Empty));
        assert_eq!(decide(Vec::new()), Err(DecisionError::Empty));
    }
}
