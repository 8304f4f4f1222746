//! What an owner sets for all her resources (protocol.md 1.8).

use crate::AuthorizationServer;
use crate::changes::{Changes, Write};
use identity::Failure;
use identity::access_token::PolicyToken;
use rules::assessment::NoPolicy;
use serde::{Deserialize, Serialize};
use types::OwnerId;

/// Body of `GET|PUT {owner_settings_endpoint}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerSettings {
    /// Whether a scope passes only through a resource owner token.
    #[serde(default)]
    pub require_resource_owner_token: bool,
    /// Whether those with whom she shares may list what she shares with them.
    #[serde(default)]
    pub list_for_requesting_party: bool,
    /// Instead of the operator's `[assessment] no_policy`.
    #[serde(default)]
    pub no_policy: Option<NoPolicy>,
}

impl AuthorizationServer {
    /// What happens where this owner has no policy.
    pub(crate) async fn no_policy_of(&self, owner: &OwnerId) -> Result<NoPolicy, Failure> {
        let settings = self.store.find_owner_settings(owner).await?;
        Ok(settings.and_then(|settings| settings.no_policy).unwrap_or(self.settings.no_policy))
    }

    /// Whether only what this owner signed lets something pass.
    pub(crate) async fn requires_authority(&self, owner: &OwnerId) -> Result<bool, Failure> {
        let settings = self.store.find_owner_settings(owner).await?;
        Ok(settings.is_some_and(|settings| settings.require_resource_owner_token))
    }

    pub async fn read_owner_settings(&self, pmt: &PolicyToken) -> Result<OwnerSettings, Failure> {
        Ok(self.store.find_owner_settings(&pmt.owner).await?.unwrap_or_default())
    }

    /// Saves the settings; decisions that are being taken on the old ones are taken again.
    pub async fn put_owner_settings(&self, pmt: &PolicyToken, settings: OwnerSettings) -> Result<OwnerSettings, Failure> {
        let mut writes = vec![Write::PutOwnerSettings(pmt.owner.clone(), settings.clone())];
        for consent in self.identity.store.list_consents(&pmt.owner).await? {
            if consent.links_resource_server() {
                writes.push(Write::RaiseLink { owner: pmt.owner.clone(), resource_server: consent.client });
            }
        }
        self.store.commit(Changes::of(writes)).await?;
        Ok(settings)
    }
}
