//! How much policies are together, without reading what they say.

use crate::row::{blob, waiting_for};
use crate::{Store, tables};
use authorization_server::store::Weight;
use database::Scan;
use identity::StoreError;
use rules::Policy;
use rules::policy::Binding;
use types::OwnerId;

impl Store {
    pub(super) async fn weigh_beside(&self, policy: &Policy) -> Result<Weight, StoreError> {
        let (index, name) = match &policy.binding {
            Binding::Bound { resource } => (1, resource.as_str().to_owned()),
            Binding::Waiting { resource_server, own_id } => {
                (2, waiting_for(policy.owner.as_str(), resource_server.as_str(), own_id.as_str()))
            }
        };
        let rows = self.all_by(&tables::POLICY, index, &[name.into()]).await?;
        let bytes = rows.iter().map(|row| blob(row).map(<[u8]>::len)).sum::<Result<usize, _>>()?;
        Ok(Weight { count: rows.len(), bytes })
    }

    pub(super) async fn count_policies_of(&self, owner: &OwnerId, most: usize) -> Result<usize, StoreError> {
        let prefix = [owner.as_str().into()];
        let scan = Scan { table: &tables::POLICY, index: Some(0), prefix: &prefix, after: None, descending: false, limit: most };
        self.count(&scan).await
    }
}
