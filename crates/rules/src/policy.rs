//! An owner's policy: what it says, and when it is in force (protocol.md 1.2).

use crate::authority::Authority;
use crate::claim::{Claims, Standing, same_value};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::email;
use types::policy::{ClaimCondition, OnMissing, PolicyDocument};
use types::{
    ClientId, ErrorCode, OwnResourceId, OwnerId, PolicyId, Refusal, ResourceId, ResourceServerId, Scope, ScopeSet, Timestamp,
};

mod weight;

/// Most conditions in one policy, and most values in all of these together, with those that stand within another.
pub const MAX_CONDITIONS: usize = 32;
/// See [`MAX_CONDITIONS`].
pub const MAX_VALUES: usize = 1_000;
/// Most characters of a purpose.
const MAX_PURPOSE: usize = 1_000;
/// Longest policy, in bytes: one is always less than a page of them.
const MAX_BYTES: usize = 128 * 1024;

/// What a policy is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// A registered resource.
    Bound { resource: ResourceId },
    /// One that the resource server has yet to register under this id of its own.
    Waiting { resource_server: ResourceServerId, own_id: OwnResourceId },
}

/// A policy of an owner. Several on one scope are alternatives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    pub id: PolicyId,
    pub owner: OwnerId,
    /// Rises with each `PUT`; a scope that rested on an older one is gone.
    pub version: u64,
    pub binding: Binding,
    pub scopes: ScopeSet,
    pub conditions: Vec<ClaimCondition>,
    pub clients: Vec<ClientId>,
    pub valid_from: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub max_uses: Option<u64>,
    pub uses: u64,
    pub purpose: Option<String>,
    pub on_missing: OnMissing,
    pub created: Timestamp,
    /// Where the owner signed it herself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Authority>,
    /// The delegation under which a delegate wrote it, and with which it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<String>,
    /// The consent receipt that tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

impl Policy {
    /// The addresses that it names, in the form in which they compare.
    pub fn addresses(&self) -> impl Iterator<Item = String> + '_ {
        let named = self.conditions.iter().filter(|condition| condition.name == "email");
        named.flat_map(|condition| &condition.value).filter_map(|value| email::normalize(value.as_str()?))
    }

    /// Makes a policy of what an owner posted, or says what is wrong with it.
    pub fn from_document(
        document: PolicyDocument,
        id: PolicyId,
        owner: OwnerId,
        version: u64,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let invalid = |what: &str| Err(Refusal::new(ErrorCode::InvalidRequest, what));
        let size = types::json::size_of(&document);
        let binding = match (document.resource_id, document.resource_server, document.own_id) {
            (Some(resource), None, None) => Binding::Bound { resource },
            (None, Some(resource_server), Some(own_id)) => Binding::Waiting { resource_server, own_id },
            _ => return invalid("name either `resource_id`, or `resource_server` with `_resource_id`"),
        };
        if document.resource_scopes.is_empty() {
            return invalid("`resource_scopes` must name at least one scope");
        }
        if document.authority.is_some() {
            return invalid("post a resource owner token as `application/rot+jwt`, not inside a policy");
        }
        if document.max_uses == Some(0) {
            return invalid("`max_uses` must be at least 1");
        }
        if let (Some(from), Some(to)) = (document.valid_from, document.expires_at)
            && from >= to
        {
            return invalid("`valid_from` must lie before `expires_at`");
        }
        check_conditions(&document.required_claims)?;
        if document.purpose.as_ref().is_some_and(|purpose| purpose.chars().count() > MAX_PURPOSE) {
            return Err(Refusal::new(ErrorCode::InvalidRequest, format!("`purpose` has at most {MAX_PURPOSE} characters")));
        }
        if size > MAX_BYTES {
            return Err(Refusal::new(ErrorCode::InvalidRequest, format!("a policy has at most {MAX_BYTES} bytes")));
        }
        let policy = Self {
            id,
            owner,
            version,
            binding,
            scopes: document.resource_scopes,
            conditions: document.required_claims,
            clients: document.client_id,
            valid_from: document.valid_from,
            expires_at: document.expires_at,
            max_uses: document.max_uses,
            uses: 0,
            purpose: document.purpose,
            on_missing: document.on_missing,
            created: now,
            authority: None,
            delegation: None,
            receipt: None,
        };
        policy.check_weight()?;
        Ok(policy)
    }

    /// The policy as its owner reads it.
    pub fn to_document(&self) -> PolicyDocument {
        let mut document = PolicyDocument {
            id: Some(self.id.clone()),
            resource_scopes: self.scopes.clone(),
            required_claims: self.conditions.clone(),
            client_id: self.clients.clone(),
            valid_from: self.valid_from,
            expires_at: self.expires_at,
            max_uses: self.max_uses,
            purpose: self.purpose.clone(),
            on_missing: self.on_missing,
            uses: self.max_uses.map(|_| self.uses),
            warnings: self.warnings(),
            delegation: self.delegation.clone(),
            authority: self.authority.as_ref().map(|authority| authority.token.clone()),
            ..PolicyDocument::default()
        };
        match &self.binding {
            Binding::Bound { resource } => document.resource_id = Some(resource.clone()),
            Binding::Waiting { resource_server, own_id } => {
                document.resource_server = Some(resource_server.clone());
                document.own_id = Some(own_id.clone());
                document.state = Some("waiting".to_owned());
            }
        }
        document
    }

    /// Addresses that look like others deserve a second look (threat 29).
    fn warnings(&self) -> Vec<String> {
        let addresses = self.conditions.iter().filter(|c| c.name == "email").flat_map(|c| &c.value);
        addresses
            .filter_map(|value| value.as_str())
            .filter(|address| email::has_mixed_scripts(address))
            .map(|address| format!("`{address}` mixes letters of several scripts: check that it is who you mean"))
            .collect()
    }

    /// Whether it says who it is for: a client, a key, or somebody of whom a claim has a text as its value. Else it is for
    /// everybody, or for everybody of whom something is so.
    pub fn names_somebody(&self) -> bool {
        let is_bound = self.authority.as_ref().is_some_and(|authority| authority.cnf.is_some());
        let is_text = |condition: &ClaimCondition| condition.value.iter().any(Value::is_string);
        is_bound || !self.clients.is_empty() || self.conditions.iter().any(is_text)
    }

    /// Whether one of its conditions asks for this value of this claim, whoever states it.
    pub fn names(&self, claim: &str, value: &Value) -> bool {
        let asks = |condition: &&ClaimCondition| condition.name == claim;
        let accepted = self.conditions.iter().filter(asks).flat_map(|condition| &condition.value);
        accepted.into_iter().any(|accepted| same_value(claim, accepted, value))
    }

    /// The registered resource it is bound to.
    pub fn resource(&self) -> Option<&ResourceId> {
        match &self.binding {
            Binding::Bound { resource } => Some(resource),
            Binding::Waiting { .. } => None,
        }
    }

    /// In force: bound to this resource, within its times, with uses left, for this client or for
    /// any, and for the key that is proven where it names one. Others do not exist for an assessment.
    pub fn is_in_force(&self, resource: &ResourceId, client: &ClientId, jkt: Option<&str>, now: Timestamp) -> bool {
        let cnf = self.authority.as_ref().and_then(|authority| authority.cnf.as_deref());
        cnf.is_none_or(|cnf| jkt == Some(cnf))
            && self.resource() == Some(resource)
            && self.valid_from.is_none_or(|from| from <= now)
            && self.expires_at.is_none_or(|end| now < end)
            && self.max_uses.is_none_or(|most| self.uses < most)
            && (self.clients.is_empty() || self.clients.contains(client))
    }

    /// Whether it speaks of this scope.
    pub fn covers(&self, scope: &Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// Whether all, some or none of its conditions hold: one wrong value outweighs open ones.
    pub fn standing(&self, claims: &Claims) -> Standing {
        let standings = self.conditions.iter().map(|condition| claims.standing(condition));
        standings.fold(Standing::Holds, |worst, next| match (worst, next) {
            (Standing::Wrong, _) | (_, Standing::Wrong) => Standing::Wrong,
            (Standing::Open, _) | (_, Standing::Open) => Standing::Open,
            _ => Standing::Holds,
        })
    }

    /// Whether it is for other people: it names who somebody is, and it is not this person. It says nothing of her then, as little
    /// as one for another client does.
    pub fn is_for_others(&self, claims: &Claims) -> bool {
        let names = |condition: &&ClaimCondition| condition.name == "email" || condition.name == "sub";
        self.conditions.iter().filter(names).any(|condition| claims.standing(condition) == Standing::Wrong)
    }

    /// Its conditions that nobody has met or failed yet.
    pub fn open_conditions<'a>(&'a self, claims: &'a Claims) -> impl Iterator<Item = &'a ClaimCondition> {
        self.conditions.iter().filter(|condition| claims.standing(condition) == Standing::Open)
    }
}

pub(crate) fn check_conditions(conditions: &[ClaimCondition]) -> Result<(), Refusal> {
    let invalid = |what: String| Err(Refusal::new(ErrorCode::InvalidRequest, what));
    if conditions.len() > MAX_CONDITIONS {
        return invalid(format!("at most {MAX_CONDITIONS} entries fit in `required_claims`"));
    }
    let values: usize = conditions.iter().flat_map(|condition| &condition.value).map(types::json::count_values).sum();
    if values > MAX_VALUES {
        return invalid(format!(
            "a policy names at most {MAX_VALUES} values in all its `required_claims` together, and this one {values}: make several of it"
        ));
    }
    for condition in conditions {
        if condition.name.is_empty() || condition.value.is_empty() {
            return invalid(format!("each entry of `required_claims` needs a `name` and 1 to {MAX_VALUES} in `value`"));
        }
        if condition.name == "email" {
            for value in &condition.value {
                if value.as_str().and_then(email::normalize).is_none() {
                    return invalid(format!("`{}` is no e-mail address", value.as_str().unwrap_or("value")));
                }
            }
        }
    }
    Ok(())
}
