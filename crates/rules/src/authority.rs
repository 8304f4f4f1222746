//! What a resource owner token allows (protocol.md 3): at the authorization server it is one more policy for each of
//! its resources, signed instead of stored on trust; at the resource server it narrows what an RPT permits, whoever
//! issued that.

use crate::claim::CLOCK_SKEW;
use crate::delegation::Mandate;
use crate::policy::{Binding, Policy};
use jose::resource_owner_token::AllowedResource;
use jose::{Delegation, ResourceOwnerToken, Verified, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ops::Deref;
use types::delegation::May;
use types::policy::{ClaimCondition, OnMissing};
use types::{ClientId, ErrorCode, OwnResourceId, OwnerId, PolicyId, Refusal, ScopeSet, Timestamp};

/// A token whose signature holds, and the delegation that makes it count where a delegate signed it: the two fit each
/// other.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnersToken {
    token: Verified<ResourceOwnerToken>,
    delegation: Option<Verified<Delegation>>,
}

/// A token that comes with a delegation which is none for it, or needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is signed by a delegate, and its `delegation` is not for that: {0}")]
pub struct NotDelegated(&'static str);

impl OwnersToken {
    /// Both were verified: the token by the key of `iss`, the delegation by a credential of the owner.
    pub fn of(token: Verified<ResourceOwnerToken>, delegation: Option<Verified<Delegation>>) -> Result<Self, NotDelegated> {
        match &delegation {
            Some(delegation) if delegation.sub != token.iss => {
                return Err(NotDelegated("its `sub` must be the `iss` of the token"));
            }
            Some(delegation) if delegation.iss != token.resource_owner_id => {
                return Err(NotDelegated("its `iss` must be the `resource_owner_id` of the token"));
            }
            Some(delegation) if !delegation.may.contains(&May::Share) => {
                return Err(NotDelegated("its `may` must name `share`"));
            }
            None if token.delegation.is_some() => return Err(NotDelegated("it was not looked at")),
            _ => {}
        }
        Ok(Self { token, delegation })
    }

    /// The delegation that it rests on.
    pub fn delegation(&self) -> Option<&Delegation> {
        self.delegation.as_deref()
    }

    /// The same, as it was verified.
    pub fn signed_delegation(&self) -> Option<&Verified<Delegation>> {
        self.delegation.as_ref()
    }

    /// When it ends, and the delegation with it.
    pub fn ends(&self) -> Timestamp {
        self.delegation.as_ref().map_or(self.token.exp, |delegation| self.token.exp.min(delegation.exp))
    }

    /// Ids under any of which it can be withdrawn.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.token.jti.as_str()).chain(self.delegation.as_ref().map(|delegation| delegation.jti.as_str()))
    }

    /// The owner's own credential, which all of it rests on.
    pub fn owners_credential(&self) -> &str {
        self.delegation.as_ref().map_or(&self.token.iss, |delegation| &delegation.iss)
    }
}

impl Deref for OwnersToken {
    type Target = ResourceOwnerToken;
    fn deref(&self) -> &ResourceOwnerToken {
        &self.token
    }
}

/// What makes a policy a signed one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// The token, as it goes with permissions.
    pub token: String,
    /// Its `jti`: the policies that came of one token end together.
    pub id: String,
    /// How many they are.
    pub parts: usize,
    /// The credential it is signed by.
    pub credential: String,
    /// The owner's own, where a delegate signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegated_by: Option<String>,
    /// Thumbprint of the key that the requesting party must prove.
    pub cnf: Option<String>,
}

impl Authority {
    /// Whether it rests on this credential of the owner's.
    pub fn is_of(&self, credential: &str) -> bool {
        self.delegated_by.as_deref().unwrap_or(&self.credential) == credential
    }
}

/// Ids of the policies that a token of this `jti` and so many resources is.
pub fn policy_ids(jti: &str, parts: usize) -> impl Iterator<Item = PolicyId> + '_ {
    // a second resource's id has a character that no `jti` may have
    (1..=parts).map(move |part| PolicyId::new(if part == 1 { jti.to_owned() } else { format!("{jti}:{part}") }))
}

/// The version with which the policies of a token begin. What rested on another token of the same `jti` does not stand by this one.
pub fn first_version(text: &str) -> u64 {
    // small enough for any store's numbers, and to rise
    let mut bytes = [0; 8];
    bytes.iter_mut().skip(1).zip(digest::sha256(&[text.as_bytes()])).for_each(|(to, from)| *to = from);
    u64::from_be_bytes(bytes)
}

/// The token as policies at this issuer: one for each resource, each waiting until its resource is registered.
pub fn policies_of(
    token: &OwnersToken,
    text: &str,
    owner: &OwnerId,
    issuer: &str,
    now: Timestamp,
) -> Result<Vec<Policy>, Refusal> {
    let parts = token.resources.len();
    let party = &token.allowed_rqp;
    let conditions: Vec<ClaimCondition> = party
        .claims
        .iter()
        .map(|(name, value)| ClaimCondition {
            name: name.clone(),
            issuer: party.issuer.clone(),
            value: if let Value::Array(all) = value { all.clone() } else { vec![value.clone()] },
            claim_token_format: Vec::new(),
        })
        .collect();
    crate::policy::check_conditions(&conditions)?;
    let clients: Vec<_> = party.client_id.iter().flat_map(|ids| ids.iter()).map(ClientId::from).collect();
    let authority = Authority {
        token: text.to_owned(),
        id: token.jti.clone(),
        parts,
        credential: token.iss.clone(),
        delegated_by: token.delegation().map(|delegation| delegation.iss.clone()),
        cnf: party.cnf.as_ref().map(|cnf| cnf.jkt.clone()),
    };
    let of = |(id, resource): (PolicyId, &AllowedResource)| {
        Ok(Policy {
            id,
            owner: owner.clone(),
            version: 0,
            binding: Binding::Waiting { resource_server: resource.resource_server.clone(), own_id: resource.resource_id.clone() },
            scopes: delegated_scopes(token, resource, issuer, now)?,
            conditions: conditions.clone(),
            clients: clients.clone(),
            valid_from: token.nbf,
            expires_at: Some(token.ends()),
            max_uses: None,
            uses: 0,
            purpose: None,
            on_missing: OnMissing::Gather,
            created: now,
            authority: Some(authority.clone()),
            delegation: token.delegation().map(|delegation| delegation.jti.clone()),
            receipt: None,
        })
    };
    let policies: Vec<Policy> = policy_ids(&token.jti, parts).zip(&token.resources).map(of).collect::<Result<_, Refusal>>()?;
    policies.iter().try_for_each(Policy::check_weight)?;
    Ok(policies)
}

/// What of an entry the owner herself lets pass: all, or as far as she delegated.
fn delegated_scopes(token: &OwnersToken, entry: &AllowedResource, issuer: &str, now: Timestamp) -> Result<ScopeSet, Refusal> {
    let Some(delegation) = token.delegation() else { return Ok(entry.allowed_scopes.clone()) };
    let mandate = Mandate { resource_server: entry.resource_server.as_str(), own_id: &entry.resource_id, issuer, now };
    let scopes = mandate.scopes(delegation).map(|scopes| scopes.intersection(&entry.allowed_scopes));
    scopes.filter(|scopes| !scopes.is_empty()).ok_or_else(|| {
        Refusal::new(ErrorCode::InvalidRequest, format!("the `delegation` does not reach `{}` of `resources`", entry.resource_id))
    })
}

/// Where and how a permission with a resource owner token is presented, as the resource server sees it.
pub struct Presented<'a> {
    /// The resource server's own identifier.
    pub resource_server: &'a str,
    /// Its own id of the resource.
    pub own_id: &'a OwnResourceId,
    /// Scopes of the resource.
    pub resource_scopes: &'a ScopeSet,
    /// Scopes of the permission.
    pub permitted: &'a ScopeSet,
    /// Of the RPT.
    pub issuer: &'a str,
    pub client: Option<&'a ClientId>,
    pub jkt: Option<&'a str>,
    pub withdrawn: bool,
    pub now: Timestamp,
}

/// Why a token lets nothing pass here, in the order in which it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("it is not its time")]
    Time,
    #[error("it is not for this resource server and the issuer of the RPT")]
    Audience,
    #[error("the owner has withdrawn it")]
    Withdrawn,
    #[error("it does not speak of this resource")]
    Resource,
    #[error("it is for another client")]
    Client,
    #[error("it is for another key")]
    Key,
    #[error("the delegation behind it does not reach so far")]
    Delegation,
}

/// What of a permission the owner herself signed: permission, token and resource agree, or nothing passes
/// (protocol.md 3, (b) to (e); the signature was (a)).
pub fn effective_scopes(token: &OwnersToken, here: &Presented<'_>) -> Result<ScopeSet, Unfit> {
    let fits = |fits: bool, unfit| if fits { Ok(()) } else { Err(unfit) };
    let begun = token.nbf.unwrap_or(token.iat) <= here.now.plus(CLOCK_SKEW);
    fits(begun && here.now < token.exp, Unfit::Time)?;
    fits(token.aud.contains(here.resource_server) && token.aud.contains(here.issuer), Unfit::Audience)?;
    fits(!here.withdrawn, Unfit::Withdrawn)?;
    let mut allowed = ScopeSet::new();
    for entry in &token.resources {
        if entry.resource_server.as_str() == here.resource_server && entry.resource_id == *here.own_id {
            allowed = allowed.union(&entry.allowed_scopes);
        }
    }
    fits(!allowed.is_empty(), Unfit::Resource)?;
    let party = &token.allowed_rqp;
    let client = party.client_id.as_ref().is_none_or(|ids| here.client.is_some_and(|client| ids.contains(client.as_str())));
    fits(client, Unfit::Client)?;
    fits(party.cnf.as_ref().is_none_or(|cnf| here.jkt == Some(cnf.jkt.as_str())), Unfit::Key)?;
    let effective = allowed.intersection(here.permitted).intersection(here.resource_scopes);
    let Some(delegation) = token.delegation() else { return Ok(effective) };
    let mandate = Mandate { resource_server: here.resource_server, own_id: here.own_id, issuer: here.issuer, now: here.now };
    let delegated = mandate.scopes(delegation).ok_or(Unfit::Delegation)?;
    Ok(effective.intersection(delegated))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::{Algorithm, SigningKey, UnverifiedToken, did};
    use serde_json::json;

    fn token(changes: Value) -> OwnersToken {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let did = did::of_key(key.public());
        let mut claims = json!({
            "jti": "p1", "iss": did, "aud": ["https://rs.example", "https://as.example"], "iat": 100, "exp": 200,
            "resource_owner_id": did, "allowed_rqp": {},
            "resources": [{"resource_server": "https://rs.example", "resource_id": "ABC", "allowed_scopes": ["view", "print"]}],
        });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let text = key.sign_as("rot+jwt", &did, &claims).unwrap();
        let token = UnverifiedToken::parse(&text).unwrap().verify(&did::keys_of(&did).unwrap()).unwrap();
        OwnersToken::of(token, None).unwrap()
    }

    fn check(token: &OwnersToken, change: impl FnOnce(&mut Presented<'_>)) -> Result<String, Unfit> {
        let (own_id, viewer) = (OwnResourceId::new("ABC"), ClientId::new("viewer"));
        let (scopes, permitted) = (ScopeSet::parse("view edit print").unwrap(), ScopeSet::parse("view edit").unwrap());
        let mut here = Presented {
            resource_server: "https://rs.example",
            own_id: &own_id,
            resource_scopes: &scopes,
            permitted: &permitted,
            issuer: "https://as.example",
            client: Some(&viewer),
            jkt: Some("key"),
            withdrawn: false,
            now: Timestamp(150),
        };
        change(&mut here);
        effective_scopes(token, &here).map(|scopes| scopes.to_string())
    }

    #[test]
    fn permission_token_and_resource_must_agree() {
        let plain = token(json!({}));
        assert_eq!(check(&plain, |_| {}), Ok("view".into()));
        assert_eq!(check(&plain, |here| here.now = Timestamp(200)), Err(Unfit::Time));
        assert_eq!(check(&plain, |here| here.now = Timestamp(30)), Err(Unfit::Time));
        assert_eq!(check(&plain, |here| here.withdrawn = true), Err(Unfit::Withdrawn));
        for entry in [
            json!({"resource_server": "https://rs.example", "resource_id": "XYZ", "allowed_scopes": ["view"]}),
            json!({"resource_server": "https://other.example", "resource_id": "ABC", "allowed_scopes": ["view"]}),
        ] {
            assert_eq!(check(&token(json!({"resources": [entry]})), |_| {}), Err(Unfit::Resource));
        }
        let for_viewer = token(json!({"allowed_rqp": {"client_id": "viewer", "cnf": {"jkt": "key"}}}));
        assert_eq!(check(&for_viewer, |_| {}), Ok("view".into()));
        assert_eq!(check(&for_viewer, |here| here.client = None), Err(Unfit::Client));
        assert_eq!(check(&for_viewer, |here| here.jkt = Some("another")), Err(Unfit::Key));
        assert_eq!(check(&for_viewer, |here| here.jkt = None), Err(Unfit::Key));
    }

    /// A token seen once is carried in an RPT of the attacker's own server: its issuer is not in `aud`.
    #[test]
    fn threat_22_a_token_goes_with_rpts_of_its_audience_alone() {
        let seen = token(json!({}));
        assert_eq!(check(&seen, |here| here.issuer = "https://evil.example"), Err(Unfit::Audience));
        assert_eq!(check(&seen, |here| here.issuer = ""), Err(Unfit::Audience));
        assert_eq!(check(&seen, |here| here.resource_server = "https://other.example"), Err(Unfit::Audience));
    }
}
