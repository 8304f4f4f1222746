//! What servers say, read in the background and kept: pages show what is known and when it was read, and never wait for a
//! server. A server that fails keeps its last word, beside why it fails.

use crate::holdings::{Holdings, Known};
use crate::store::{Link, Place};
use crate::{KEPT_AT_MOST, Manager, PATIENCE, Trouble, lock};
use client::Client;
use client::api::{ApiBody, ApiCall};
use http::Method;
use jose::{KeySet, UnverifiedJws};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use types::access_request::AccessRequestDocument;
use types::available_resource::{AvailableResource, ChosenServer};
use types::consent_receipt::{ConsentReceipt, ListedReceipt, TYPE as RECEIPT};
use types::credential::CredentialDocument;
use types::delegation::{DelegationDocument, May};
use types::metadata::Metadata;
use types::policy::{PolicyDocument, SharedPolicy};
use types::{ResourceDescription, ResourceId, ResourceServerId, Timestamp};

/// Seconds after which a server is asked again when somebody looks.
pub(crate) const FRESH: i64 = 15;

/// Newest receipts that are asked for, and most that are kept of a server.
const RECEIPTS: usize = 200;
const MOST_RECEIPTS: usize = 5_000;

/// A resource as an authorization server lists it (protocol.md 1.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Guarded {
    #[serde(rename = "_id")]
    pub(crate) id: ResourceId,
    pub(crate) resource_server: ResourceServerId,
    #[serde(default)]
    pub(crate) user_access_policy_uri: Option<String>,
    #[serde(flatten)]
    pub(crate) description: ResourceDescription,
}

/// What a server last said.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// When it was asked last, and answered last.
    pub(crate) asked: Timestamp,
    pub(crate) answered: Option<Timestamp>,
    /// Why it gave no answer.
    pub(crate) error: Option<String>,
    /// Of a resource server.
    #[serde(default)]
    pub(crate) available: Vec<AvailableResource>,
    #[serde(default)]
    pub(crate) servers: Vec<ChosenServer>,
    /// Whether what she signs can count there, and by which keys it does.
    #[serde(default)]
    pub(crate) signs: bool,
    #[serde(default)]
    pub(crate) credentials: Vec<CredentialDocument>,
    /// Of an authorization server: whether nothing passes that she did not sign.
    #[serde(default)]
    pub(crate) demands_signature: Option<bool>,
    /// Of an authorization server: where shares and requests are, for when it is away.
    #[serde(default)]
    pub(crate) policy_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) access_requests_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) guarded: Vec<Guarded>,
    #[serde(default)]
    pub(crate) policies: Vec<PolicyDocument>,
    #[serde(default)]
    pub(crate) requests: Vec<AccessRequestDocument>,
    #[serde(default)]
    pub(crate) shared_with_me: Vec<SharedPolicy>,
    /// Whom she lets decide, and where that is done.
    #[serde(default)]
    pub(crate) delegations_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) delegations: Vec<DelegationDocument>,
    /// For whom she may decide, and what waits there.
    #[serde(default)]
    pub(crate) for_others: Vec<ForOther>,
    #[serde(default)]
    pub(crate) receipts: Vec<KeptReceipt>,
}

/// Somebody who lets her decide.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ForOther {
    /// Her account id at that server.
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) requests: Vec<AccessRequestDocument>,
    /// What her things are called.
    pub(crate) names: BTreeMap<ResourceId, String>,
}

/// A receipt as it is kept: what a server said once stays, whatever it says later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptReceipt {
    #[serde(flatten)]
    pub(crate) listed: ListedReceipt,
    /// Whether the signature was that server's, and said the same.
    pub(crate) verified: bool,
}

/// A linked server at work.
struct Asking<'a> {
    client: &'a Client,
    link: &'a Link,
}

impl Asking<'_> {
    async fn list<T: DeserializeOwned>(&self, url: &str) -> Result<Vec<T>, Trouble> {
        let joint = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{joint}limit=1000");
        let call = ApiCall {
            method: Method::GET,
            url: &url,
            token: &self.link.access_token,
            bound: self.link.bound,
            body: ApiBody::None,
            patience: PATIENCE,
        };
        self.client.api_list(&call).await?.map_err(|answer| Trouble::Refused(answer.refusal()))
    }

    /// A list that not every server has.
    async fn list_if<T: DeserializeOwned>(&self, url: Option<String>) -> Result<Vec<T>, Trouble> {
        match url {
            Some(url) => self.list(&url).await,
            None => Ok(Vec::new()),
        }
    }

    /// The owner's setting, where the server has such settings.
    async fn settings(&self, metadata: &Metadata) -> Result<Option<bool>, Trouble> {
        let Some(url) = &metadata.owner_settings_endpoint else { return Ok(None) };
        let token = &self.link.access_token;
        let call = ApiCall { method: Method::GET, url, token, bound: self.link.bound, body: ApiBody::None, patience: PATIENCE };
        let answer = self.client.api(&call).await?;
        if answer.status != 200 {
            return Err(Trouble::Refused(answer.refusal()));
        }
        Ok(answer.body.get("require_resource_owner_token").and_then(Value::as_bool))
    }

    /// What waits for her decision in others' places.
    async fn for_others(&self, metadata: &Metadata) -> Result<Vec<ForOther>, Trouble> {
        let given = metadata.delegations_endpoint.as_ref().map(|url| format!("{url}?role=delegate"));
        let given: Vec<DelegationDocument> = self.list_if(given).await?;
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        for one in given.into_iter().filter(|one| one.may.contains(&May::Approve)) {
            if let Some(owner) = one.owner {
                owners.insert(owner.as_str().to_owned(), one.owner_name.unwrap_or_else(|| owner.as_str().to_owned()));
            }
        }
        let mut all = Vec::new();
        for (owner, name) in owners {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("owner", &owner).finish();
            let at = |url: &Option<String>| url.as_ref().map(|url| format!("{url}?{query}"));
            let guarded: Vec<Guarded> = self.list_if(at(&metadata.registered_resources_endpoint)).await?;
            let requests = self.list_if(at(&metadata.access_requests_endpoint)).await?;
            let named = |one: Guarded| Some((one.id, one.description.name?));
            all.push(ForOther { owner, name, requests, names: guarded.into_iter().filter_map(named).collect() });
        }
        Ok(all)
    }

    /// New receipts, verified; those that are kept stay.
    async fn receipts(&self, metadata: &Metadata, kept: &mut Vec<KeptReceipt>) -> Result<(), Trouble> {
        let Some(url) = &metadata.consent_receipts_endpoint else { return Ok(()) };
        let (url, token) = (format!("{url}?limit={RECEIPTS}"), &self.link.access_token);
        let call =
            ApiCall { method: Method::GET, url: &url, token, bound: self.link.bound, body: ApiBody::None, patience: PATIENCE };
        let answer = self.client.api(&call).await?;
        if answer.status != 200 {
            return Err(Trouble::Refused(answer.refusal()));
        }
        let listed: Vec<ListedReceipt> = serde_json::from_value(answer.body).unwrap_or_default();
        let new = |one: &ListedReceipt| !kept.iter().any(|known| known.listed.receipt_jwt == one.receipt_jwt);
        let mut new: Vec<ListedReceipt> = listed.into_iter().filter(new).collect();
        if new.is_empty() {
            return Ok(());
        }
        let keys = KeySet::from_json(&self.client.fetch_json(&metadata.jwks_uri).await?).unwrap_or_default();
        let kept_before = std::mem::take(kept);
        kept.extend(new.drain(..).map(|listed| KeptReceipt { verified: is_verified(&listed, &keys, &metadata.issuer), listed }));
        kept.extend(kept_before);
        kept.truncate(MOST_RECEIPTS);
        Ok(())
    }

    async fn read(&self, metadata: &Metadata, snapshot: &mut Snapshot) -> Result<(), Trouble> {
        match &self.link.place {
            Place::ResourceServer { management, .. } => {
                snapshot.available = self.list(&format!("{management}/my-resources")).await?;
                snapshot.signs = true;
                snapshot.credentials = self.list(&format!("{management}/my-credentials")).await?;
                snapshot.servers = self.list(&format!("{management}/authorization-servers")).await?;
            }
            Place::AuthorizationServer { .. } => {
                snapshot.policy_endpoint.clone_from(&metadata.policy_endpoint);
                snapshot.access_requests_endpoint.clone_from(&metadata.access_requests_endpoint);
                let policies = metadata.policy_endpoint.clone();
                let shared = policies.as_ref().map(|url| format!("{url}?role=requesting_party"));
                snapshot.signs = metadata.resource_owner_credentials_endpoint.is_some();
                snapshot.credentials = self.list_if(metadata.resource_owner_credentials_endpoint.clone()).await?;
                snapshot.demands_signature = self.settings(metadata).await?;
                snapshot.guarded = self.list_if(metadata.registered_resources_endpoint.clone()).await?;
                snapshot.policies = self.list_if(policies).await?;
                snapshot.delegations_endpoint.clone_from(&metadata.delegations_endpoint);
                snapshot.delegations = self.list_if(metadata.delegations_endpoint.clone()).await?;
                snapshot.for_others = self.for_others(metadata).await?;
                self.receipts(metadata, &mut snapshot.receipts).await?;
                snapshot.requests = self.list_if(metadata.access_requests_endpoint.clone()).await?;
                snapshot.shared_with_me = self.list_if(shared).await?;
            }
        }
        Ok(())
    }
}

/// Whether this server signed it, and signed what it says.
fn is_verified(listed: &ListedReceipt, keys: &KeySet, issuer: &str) -> bool {
    let jws = UnverifiedJws::parse(&listed.receipt_jwt).and_then(|jws| jws.expect_type(RECEIPT));
    let claims = jws.and_then(|jws| jws.verify(keys)).and_then(|jws| jws.claims::<Value>());
    claims.is_ok_and(|claims| {
        let signed: Option<ConsentReceipt> = serde_json::from_value(claims.clone().into_inner()).ok();
        claims.get("iss").and_then(Value::as_str) == Some(issuer) && signed.as_ref() == Some(&listed.receipt)
    })
}

impl Manager {
    /// What is known of an owner's servers. Those that were not asked for a while are asked in the background.
    pub(crate) fn holdings(self: &Arc<Self>, owner: &str) -> Result<Arc<Holdings>, Trouble> {
        let known = lock(&self.holdings).get(owner).cloned();
        let holdings = match known {
            Some(known) => known,
            None => {
                let links = self.store.list_links(owner)?;
                let mut snapshots: std::collections::HashMap<String, Snapshot> =
                    self.store.list_snapshots(owner)?.into_iter().collect();
                let known = links.into_iter().map(|link| {
                    let snapshot = snapshots.remove(&link.id).unwrap_or_default();
                    Known { link, snapshot }
                });
                let holdings = Arc::new(Holdings::of(known.collect()));
                let mut all = lock(&self.holdings);
                // what is not kept is read from the store again
                if all.len() >= KEPT_AT_MOST {
                    all.clear();
                }
                all.insert(owner.to_owned(), holdings.clone());
                holdings
            }
        };
        let now = self.now();
        for known in holdings.servers.iter().filter(|known| known.snapshot.asked.plus(FRESH) < now) {
            let (manager, owner, id) = (self.clone(), owner.to_owned(), known.link.id.clone());
            tokio::spawn(async move { manager.read_server(&owner, &id).await });
        }
        Ok(holdings)
    }

    /// Asks a server anew; what it says is kept. One reading of a server at a time.
    pub(crate) async fn read_server(self: &Arc<Self>, owner: &str, id: &str) {
        let turn = (owner.to_owned(), id.to_owned());
        if !lock(&self.reading).insert(turn.clone()) {
            return;
        }
        if let Err(error) = self.read_into_store(owner, id).await {
            tracing::warn!(%error, "what a server said could not be kept");
        }
        lock(&self.reading).remove(&turn);
    }

    async fn read_into_store(self: &Arc<Self>, owner: &str, id: &str) -> Result<(), Trouble> {
        let before = self.store.list_snapshots::<Snapshot>(owner)?.into_iter().find(|(link, _)| link == id);
        let mut snapshot = before.map(|(_, snapshot)| snapshot).unwrap_or_default();
        let mut fresh = snapshot.clone();
        let answer = match self.ready(owner, id).await {
            Ok((link, client, metadata)) => Asking { client: &client, link: &link }.read(&metadata, &mut fresh).await,
            Err(trouble) => Err(trouble),
        };
        let now = self.now();
        match answer {
            Ok(()) => snapshot = Snapshot { asked: now, answered: Some(now), error: None, ..fresh },
            // its last word stays
            Err(trouble) => (snapshot.asked, snapshot.error) = (now, Some(trouble.to_string())),
        }
        // unlinked meanwhile: nothing is kept
        if self.store.find_link(owner, id)?.is_some() {
            self.store.put_snapshot(owner, id, &snapshot).await?;
        }
        lock(&self.holdings).remove(owner);
        Ok(())
    }

    /// The servers that changed, before the answer is shown; as long as they answer quickly.
    pub(crate) async fn read_servers(self: &Arc<Self>, owner: &str, ids: impl IntoIterator<Item = String>) {
        let reading = ids.into_iter().map(|id| async move { self.read_server(owner, &id).await });
        let all = futures_util::future::join_all(reading);
        // whoever takes longer is read on in the background by the next look
        let _ = tokio::time::timeout(std::time::Duration::from_secs(3), all).await;
    }
}
