//! People who let her decide for them (protocol.md 1.8): what waits for her word in their places, and what she may share.

use crate::Trouble;
use crate::sync::{Asking, Guarded, Unclear};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use types::access_request::AccessRequestDocument;
use types::delegation::{Covered, DelegationDocument, May, ResourceName};
use types::metadata::Metadata;
use types::{ResourceId, ScopeSet};

/// Somebody who lets her decide.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ForOther {
    /// Her account id at that server.
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) requests: Vec<AccessRequestDocument>,
    /// What of the requests did not read.
    #[serde(default)]
    pub(crate) unclear: Unclear,
    /// What her things are called.
    pub(crate) names: BTreeMap<ResourceId, String>,
    /// What may be shared for her, and as far as what; empty where nothing may.
    #[serde(default)]
    pub(crate) shareable: BTreeMap<ResourceId, ScopeSet>,
}

/// Most people for whom she decides at one server: each costs two calls of a reading.
const MOST_OWNERS: usize = 50;

/// What may be shared of a thing under these delegations. A plain id is the authorization server's in a posted one, and the
/// resource server's own in a signed one.
fn shareable(guarded: &Guarded, given: &[DelegationDocument]) -> ScopeSet {
    let covers = |one: &&DelegationDocument| match &one.resources {
        Covered::All => true,
        Covered::Only(some) => some.iter().any(|name| match name {
            ResourceName::Id(id) if one.delegation.is_some() => {
                guarded.description.own_id.as_ref().is_some_and(|own| own.as_str() == id)
            }
            ResourceName::Id(id) => id == guarded.id.as_str(),
            ResourceName::Own(own) => {
                own.resource_server == guarded.resource_server && Some(&own.resource_id) == guarded.description.own_id.as_ref()
            }
        }),
    };
    let sharing = given.iter().filter(|one| one.may.contains(&May::Share)).filter(covers);
    let scopes = sharing.flat_map(|one| one.resource_scopes.iter().cloned()).collect::<ScopeSet>();
    guarded.description.resource_scopes.intersection(&scopes)
}

impl Asking<'_> {
    /// What waits for her decision in others' places.
    pub(crate) async fn for_others(&self, metadata: &Metadata, before: &[ForOther]) -> Result<Vec<ForOther>, Trouble> {
        let given = metadata.delegations_endpoint.as_ref().map(|url| format!("{url}?role=delegate"));
        let given: Vec<DelegationDocument> = self.list_if(given).await?;
        let mut owners: BTreeMap<String, (String, Vec<DelegationDocument>)> = BTreeMap::new();
        for one in given {
            if let Some(owner) = &one.owner {
                let name = one.owner_name.clone().unwrap_or_else(|| owner.as_str().to_owned());
                owners.entry(owner.as_str().to_owned()).or_insert((name, Vec::new())).1.push(one);
            }
        }
        let (mut all, mut is_away) = (Vec::new(), false);
        // whoever lets her decide is read by himself: what is wrong with one keeps no other from her, and his last word stays
        for (owner, (name, given)) in owners.into_iter().take(MOST_OWNERS) {
            let read = if is_away { None } else { Some(self.for_other(metadata, &owner, name, &given).await) };
            match read {
                Some(Ok(other)) => all.push(other),
                Some(Err(trouble @ (Trouble::Store(_) | Trouble::TooMany(_) | Trouble::Busy(_)))) => return Err(trouble),
                not_read => {
                    if let Some(Err(trouble)) = not_read {
                        tracing::info!(%trouble, owner, "what may be decided for somebody could not be read");
                        is_away = matches!(trouble, Trouble::Away(_));
                    }
                    all.extend(before.iter().find(|other| other.owner == owner).cloned());
                }
            }
        }
        Ok(all)
    }

    async fn for_other(
        &self,
        metadata: &Metadata,
        owner: &str,
        name: String,
        given: &[DelegationDocument],
    ) -> Result<ForOther, Trouble> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("owner", owner).finish();
        let at = |url: &Option<String>| url.as_ref().map(|url| format!("{url}?{query}"));
        let guarded: Vec<Guarded> = self.list_named(at(&metadata.registered_resources_endpoint)).await?.items;
        let decides = given.iter().any(|one| one.may.contains(&May::Approve));
        let asked = self.list_named(at(&metadata.access_requests_endpoint).filter(|_| decides)).await?;
        let shareable = guarded.iter().map(|one| (one.id.clone(), shareable(one, given)));
        let shareable = shareable.filter(|(_, scopes)| !scopes.is_empty()).collect();
        let names = guarded.iter().filter_map(|one| Some((one.id.clone(), one.description.name.clone()?))).collect();
        let (requests, unclear) = (asked.items, asked.unclear);
        Ok(ForOther { owner: owner.to_owned(), name, requests, unclear, names, shareable })
    }
}
