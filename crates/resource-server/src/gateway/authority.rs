//! Resource owner tokens at the gateway (protocol.md 3): a permission that carries one counts only as far as the owner
//! herself signed it, by a credential that she registered here. Called by the guard, for each call.

use super::{Gateway, Trust};
use crate::guard::Narrow;
use jose::{ResourceOwnerToken, UnverifiedToken, Verified, did, digest};
use rules::authority::{Presented, effective_scopes};
use std::sync::Arc;
use types::introspection::Introspection;
use types::{GrantedPermission, OwnResourceId, ResourceId, ScopeSet, Timestamp};

/// A token whose signature held.
pub(super) struct Signed {
    token: Verified<ResourceOwnerToken>,
}

impl Narrow for Gateway {
    fn requires_authority(&self) -> bool {
        self.settings.trust == Trust::RotRequired
    }

    fn narrow(&self, owner: &str, answer: &Introspection, now: Timestamp) -> Vec<GrantedPermission> {
        let mut counted = Vec::new();
        for permission in answer.permissions.iter().flatten() {
            match &permission.authority {
                None if self.settings.trust == Trust::RotRequired => {
                    tracing::info!(owner, resource = %permission.resource_id, "a permission without the owner's own token does not count here");
                }
                None => counted.push(permission.clone()),
                Some(text) => match self.signed_scopes(owner, answer, permission, text, now) {
                    Ok(resource_scopes) => counted.push(GrantedPermission { resource_scopes, ..permission.clone() }),
                    Err(why) => tracing::info!(owner, resource = %permission.resource_id, why, "an owner's token does not count"),
                },
            }
        }
        counted
    }
}

impl Gateway {
    fn signed_scopes(
        &self,
        owner: &str,
        answer: &Introspection,
        permission: &GrantedPermission,
        text: &str,
        now: Timestamp,
    ) -> Result<ScopeSet, String> {
        // (a) signed by a credential that she has registered here, and has not withdrawn
        let signed = self.signed(text)?;
        let token = &signed.token;
        if self.store.find_credential(owner, &token.iss).is_none() {
            return Err("it is signed by no credential of this owner".into());
        }
        let (own_id, resource_scopes) = self.own_resource(owner, &permission.resource_id).ok_or("the resource is not hers")?;
        let jkt = answer.cnf.as_ref().and_then(|cnf| cnf.get("jkt")).and_then(|jkt| jkt.as_str());
        // (b) to (e)
        let here = Presented {
            resource_server: &self.settings.resource,
            own_id: &own_id,
            resource_scopes: &resource_scopes,
            permitted: &permission.resource_scopes,
            issuer: answer.iss.as_deref().unwrap_or_default(),
            client: answer.client_id.as_ref(),
            jkt,
            withdrawn: self.store.is_withdrawn(owner, &token.jti),
            now,
        };
        effective_scopes(token, &here).map_err(|unfit| unfit.to_string())
    }

    /// The signature, checked once for each text.
    fn signed(&self, text: &str) -> Result<Arc<Signed>, String> {
        let key = digest::sha256(&[text.as_bytes()]);
        if let Some(signed) = self.signed.get(&key) {
            return Ok(signed);
        }
        let unverified = UnverifiedToken::parse(text).map_err(|error| error.to_string())?;
        let keys = did::keys_of(&unverified.issuer().unwrap_or_default()).map_err(|error| error.to_string())?;
        let token = unverified.verify(&keys).map_err(|error| error.to_string())?;
        if token.delegation.is_some() {
            return Err("delegations are not taken here".into());
        }
        let signed = Arc::new(Signed { token });
        self.signed.insert(key, signed.clone());
        Ok(signed)
    }

    /// What a registered resource is here: its own id and its scopes.
    fn own_resource(&self, owner: &str, id: &ResourceId) -> Option<(OwnResourceId, ScopeSet)> {
        let own_id = self.store.find_own_id(owner, id)?;
        let path = super::path::CanonicalPath::parse(own_id.as_str()).ok();
        let of_route = |route: &&super::Route| route.makes(path.as_ref(), own_id.as_str());
        let scopes = self.routes().iter().filter(of_route).flat_map(super::Route::all_scopes).collect();
        Some((own_id, scopes))
    }
}
