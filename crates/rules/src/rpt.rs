//! The requesting party token: what it holds, what each scope rests on, when it may be merged with
//! a new grant (Grant 3.3.5.1, 6.1; protocol.md 1.2).

use crate::claim::RequestingParty;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use types::{AccessRequestId, ClientId, GrantId, GrantedPermission, OwnerId, PolicyId, ResourceId, Scope, ScopeSet, Timestamp};

/// What lets a scope pass. Once nothing of it is left, the scope is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// A policy as it stood in this version.
    Policy { id: PolicyId, version: u64, expires_at: Option<Timestamp> },
    /// An approval of the owner.
    Approval { id: AccessRequestId, expires_at: Timestamp },
    /// The owner herself asks, logged in here as her own account; she agreed that this client reaches what is hers there.
    #[serde(rename = "as_owner")]
    Owner { consent: GrantId },
    /// In stores of before such consents were kept: it rests on nothing.
    #[serde(rename = "owner")]
    FormerOwner,
}

impl Basis {
    /// When it ends by itself.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match self {
            Self::Policy { expires_at, .. } => *expires_at,
            Self::Approval { expires_at, .. } => Some(*expires_at),
            Self::Owner { .. } | Self::FormerOwner => None,
        }
    }
}

/// One granted scope on one resource, with all that it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GrantedScope {
    pub resource: ResourceId,
    pub scope: Scope,
    pub basis: Vec<Basis>,
}

/// A requesting party token as it is kept; never its text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rpt {
    pub client: ClientId,
    pub owner: OwnerId,
    pub resource_server: ClientId,
    pub pat_grant: GrantId,
    pub requesting_party: RequestingParty,
    /// Her address, where she let the resource server see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    pub cnf: Option<String>,
    pub scopes: Vec<GrantedScope>,
    pub issued: Timestamp,
    pub expires: Timestamp,
    /// All tokens that came of one process; reuse of a refresh token ends them together.
    pub family: String,
    /// Its permissions name resources as their resource server does (protocol.md 3, server-level).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_own_id: bool,
    /// `jti`, where it was issued as a JWT: then that text alone is no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
}

/// What still stands at the moment of asking.
pub trait Foundations {
    /// Whether this resource still has this scope.
    fn has_scope(&self, resource: &ResourceId, scope: &Scope) -> bool;
    /// Whether the policy still stands in exactly this version.
    fn policy_stands(&self, id: &PolicyId, version: u64) -> bool;
    /// Whether the approval has not been withdrawn.
    fn approval_stands(&self, id: &AccessRequestId) -> bool;
    /// Whether the owner has not ended what she let the client reach as she does.
    fn consent_stands(&self, id: &GrantId) -> bool;
    /// Whether the owner of this resource lets nothing pass but what she signed (protocol.md 3).
    fn demands_signature(&self, resource: &ResourceId) -> bool;
    /// Whether the policy is one that she signed.
    fn is_signed(&self, id: &PolicyId) -> bool;
}

/// The scopes that still rest on something at `now`, each with what is left of its basis. What an owner demands of what is given
/// from now on, she demands of what was given, too: it stands again once she demands it no more.
pub fn standing(scopes: &[GrantedScope], foundations: &impl Foundations, now: Timestamp) -> Vec<GrantedScope> {
    let is_signed = |basis: &Basis| matches!(basis, Basis::Policy { id, .. } if foundations.is_signed(id));
    let stands = |resource: &ResourceId, basis: &Basis| {
        basis.expires_at().is_none_or(|end| now < end)
            && (is_signed(basis) || !foundations.demands_signature(resource))
            && match basis {
                Basis::Policy { id, version, .. } => foundations.policy_stands(id, *version),
                Basis::Approval { id, .. } => foundations.approval_stands(id),
                Basis::Owner { consent } => foundations.consent_stands(consent),
                Basis::FormerOwner => false,
            }
    };
    let mut left = Vec::with_capacity(scopes.len());
    for granted in scopes.iter().filter(|granted| foundations.has_scope(&granted.resource, &granted.scope)) {
        let basis: Vec<Basis> = granted.basis.iter().filter(|basis| stands(&granted.resource, basis)).cloned().collect();
        if !basis.is_empty() {
            left.push(GrantedScope { basis, ..granted.clone() });
        }
    }
    left
}

/// Resource owner tokens by the policies that they are.
pub type Authorities = BTreeMap<PolicyId, String>;

/// Scopes as permission objects: one per resource and end, and one for each resource owner token that a scope rests
/// on. `exp` is the latest end of what a scope rests on, also where the token ends before it: that goes first (Federated
/// Authorization 5.1.1), and another follows it.
pub fn to_permissions(scopes: &[GrantedScope], authorities: &Authorities) -> Vec<GrantedPermission> {
    let mut grouped: BTreeMap<(&ResourceId, Option<&String>, Option<Timestamp>), ScopeSet> = BTreeMap::new();
    for granted in scopes {
        let mut by_authority: BTreeMap<Option<&String>, Vec<&Basis>> = BTreeMap::new();
        for basis in &granted.basis {
            let authority = if let Basis::Policy { id, .. } = basis { authorities.get(id) } else { None };
            by_authority.entry(authority).or_default().push(basis);
        }
        for (authority, basis) in by_authority {
            let unlimited = basis.iter().any(|basis| basis.expires_at().is_none());
            let latest = basis.iter().filter_map(|basis| basis.expires_at()).max();
            let exp = latest.filter(|_| !unlimited);
            grouped.entry((&granted.resource, authority, exp)).or_default().insert(granted.scope.clone());
        }
    }
    grouped
        .into_iter()
        .map(|((resource, authority, exp), resource_scopes)| GrantedPermission {
            resource_id: resource.clone(),
            resource_scopes,
            exp,
            iat: None,
            nbf: None,
            authority: authority.cloned(),
        })
        .collect()
}

impl Rpt {
    /// Whether a new grant may be merged with this RPT: the same five-tuple (Grant 1.3) and the
    /// same key confirmation.
    pub fn merges_with(&self, new: &Self) -> bool {
        self.client == new.client
            && self.owner == new.owner
            && self.resource_server == new.resource_server
            && self.cnf == new.cnf
            && self.requesting_party == new.requesting_party
    }

    /// Whether it holds this scope on this resource.
    pub fn holds(&self, resource: &ResourceId, scope: &Scope) -> bool {
        self.scopes.iter().any(|granted| granted.resource == *resource && granted.scope == *scope)
    }
}

/// Old scopes and new ones together; a new basis replaces an old one of the same scope.
pub fn merge(old: Vec<GrantedScope>, new: Vec<GrantedScope>) -> Vec<GrantedScope> {
    let mut merged: BTreeMap<(ResourceId, Scope), GrantedScope> = BTreeMap::new();
    for granted in old.into_iter().chain(new) {
        merged.insert((granted.resource.clone(), granted.scope.clone()), granted);
    }
    merged.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Only(&'static str, u64);
    impl Foundations for Only {
        fn has_scope(&self, _: &ResourceId, scope: &Scope) -> bool {
            scope.as_str() != "gone"
        }
        fn policy_stands(&self, id: &PolicyId, version: u64) -> bool {
            id.as_str() == self.0 && version == self.1
        }
        fn approval_stands(&self, _: &AccessRequestId) -> bool {
            true
        }
        fn consent_stands(&self, id: &GrantId) -> bool {
            id.as_str() == self.0
        }
        fn demands_signature(&self, resource: &ResourceId) -> bool {
            resource.as_str() == "signed"
        }
        fn is_signed(&self, id: &PolicyId) -> bool {
            id.as_str() == self.0
        }
    }

    fn granted(scope: &str, basis: Vec<Basis>) -> GrantedScope {
        GrantedScope { resource: "album".into(), scope: Scope::parse(scope).unwrap(), basis }
    }

    fn policy(id: &str, version: u64, expires_at: Option<i64>) -> Basis {
        Basis::Policy { id: id.into(), version, expires_at: expires_at.map(Timestamp) }
    }

    #[test]
    fn a_scope_lives_as_long_as_anything_it_rests_on() {
        let scopes = [
            granted("view", vec![policy("p", 1, None), policy("q", 1, None)]),
            granted("edit", vec![policy("q", 1, None)]),
            granted("print", vec![policy("p", 0, None)]),
            granted("late", vec![policy("p", 1, Some(50))]),
            granted("gone", vec![policy("p", 1, None)]),
        ];
        let left = standing(&scopes, &Only("p", 1), Timestamp(50));
        assert_eq!(left, [granted("view", vec![policy("p", 1, None)])]);
    }

    #[test]
    fn a_signature_that_is_demanded_is_demanded_of_what_was_given() {
        let both = || vec![policy("p", 1, None), Basis::Approval { id: "a".into(), expires_at: Timestamp(90) }];
        let alone = || vec![Basis::Owner { consent: GrantId::from("p") }];
        let on = |resource: &str, scope: &str, basis| GrantedScope { resource: resource.into(), ..granted(scope, basis) };
        let scopes = [on("signed", "view", both()), on("signed", "edit", alone()), on("album", "view", both())];
        let left = standing(&scopes, &Only("p", 1), Timestamp(50));
        assert_eq!(left, [on("signed", "view", vec![policy("p", 1, None)]), on("album", "view", both())]);
    }

    #[test]
    fn what_an_owner_held_without_a_consent_is_read_and_stands_no_more() {
        let former: Basis = serde_json::from_str("\"owner\"").unwrap();
        let own = |consent: &str| Basis::Owner { consent: GrantId::from(consent) };
        let scopes = [granted("view", vec![former]), granted("edit", vec![own("p")]), granted("print", vec![own("q")])];
        let left = standing(&scopes, &Only("p", 1), Timestamp(50));
        assert_eq!(left, [granted("edit", vec![own("p")])]);
        let text = serde_json::to_string(&own("p")).unwrap();
        assert_eq!(serde_json::from_str::<Basis>(&text).unwrap(), own("p"));
    }

    #[test]
    fn a_permission_ends_with_the_latest_end_of_its_basis() {
        let scopes = [
            granted("view", vec![policy("p", 1, Some(50)), policy("q", 1, Some(70))]),
            granted("edit", vec![policy("p", 1, Some(50)), policy("q", 1, None)]),
            granted("print", vec![policy("p", 1, Some(500))]),
        ];
        let permissions = to_permissions(&scopes, &Authorities::new());
        let ends: Vec<_> = permissions.iter().map(|p| (p.resource_scopes.to_string(), p.exp)).collect();
        let expected = [("edit", None), ("view", Some(70)), ("print", Some(500))];
        assert_eq!(ends, expected.map(|(scope, end)| (scope.to_owned(), end.map(Timestamp))));
    }
}
