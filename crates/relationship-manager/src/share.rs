//! Sharing, over all servers at once.

use crate::ending::{Ending, deletion, unheard};
use crate::holdings::{Guard, Holdings, Known, Share, Thing, Who};
use crate::task::Wanted;
use crate::words::who_asked;
use crate::{Manager, PATIENCE, Trouble};
use client::api::{ApiAnswer, ApiBody, ApiCall};
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::access_request::AccessRequestDocument;
use types::available_resource::RegistrationState;
use types::policy::{ClaimCondition, PolicyDocument};
use types::{PolicyId, ScopeSet, Timestamp};

/// Most policies in one call (protocol.md 1.2).
const BATCH: usize = 1_000;

/// What is to be shared.
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    pub(crate) things: Vec<String>,
    pub(crate) who: Who,
    pub(crate) scopes: ScopeSet,
    pub(crate) until: Option<Timestamp>,
    /// Only by this linked server, and for this client of it: where that server asked for it.
    pub(crate) at: Option<SharedAt>,
}

/// The server and the client that a share is for.
#[derive(Clone, Debug)]
pub(crate) struct SharedAt {
    pub(crate) link: String,
    pub(crate) client: String,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    pub(crate) count: usize,
    /// What could not be shared, and why.
    pub(crate) failed: Vec<String>,
    /// What nobody has answered to yet.
    pub(crate) on_the_way: usize,
    /// What was made, as far as its servers say how they call it.
    pub(crate) made: Vec<Made>,
    /// The same, as it says.
    pub(crate) written: Vec<PolicyDocument>,
}

/// A share that a server has just written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) link: String,
    pub(crate) policy: String,
}

/// Policies that a server has written, by its name for each: as it says, or else as it was asked.
pub(crate) fn written_of<'a>(sent: &'a [Value], answered: impl Iterator<Item = Option<&'a Value>>) -> Vec<PolicyDocument> {
    let written = |(sent, answered): (&Value, Option<&Value>)| {
        let id = answered?.get("_id")?.as_str().filter(|id| !id.is_empty())?;
        let said = serde_json::from_value::<PolicyDocument>(answered?.clone()).ok();
        let asked = || Some(PolicyDocument { id: Some(PolicyId::new(id)), ..serde_json::from_value(sent.clone()).ok()? });
        said.or_else(asked)
    };
    sent.iter().zip(answered).filter_map(written).collect()
}

/// What a server calls each policy of its answer.
fn made_of<'a>(link: &str, policies: impl Iterator<Item = &'a Value>) -> Vec<Made> {
    let name = |policy: &Value| policy.get("_id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned);
    policies.filter_map(name).map(|policy| Made { link: link.to_owned(), policy }).collect()
}

impl Shared {
    /// What a server answered for each of so many policies.
    fn add_items(&mut self, server: &str, body: &Value, sent: usize) {
        let items = body.as_array().map(Vec::as_slice).unwrap_or_default();
        for item in items {
            if item.get("status").and_then(Value::as_u64) == Some(201) {
                self.count = self.count.saturating_add(1);
            } else {
                let why = item.pointer("/error/error_description").and_then(Value::as_str);
                self.failed.push(format!("{server}: {}", why.unwrap_or("it was not taken")));
            }
        }
        // one that says nothing of some has not said that they are shared
        if items.len() < sent {
            let silent = sent.saturating_sub(items.len());
            self.failed.push(format!("{server}: it says nothing of {silent} of them"));
        }
    }
}

/// One path segment.
pub(crate) fn segment(text: &str) -> String {
    // `+` is a space in forms alone; dots alone would be a way out of the folder
    let text: String = form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
    if text.chars().all(|c| c == '.') { text.replace('.', "%2E") } else { text }
}

impl Thing {
    /// Where a share of it is written: an active registration at a linked server that offers at least one of the scopes.
    pub(crate) fn guard_for(&self, scopes: &ScopeSet) -> Option<&Guard> {
        let fits = |guard: &&Guard| !guard.scopes.intersection(scopes).is_empty();
        // the one that offers the most of what is wanted
        self.usable_guards().filter(fits).max_by_key(|guard| guard.scopes.intersection(scopes).iter().count())
    }

    /// The same for what is to be shared, at the server that it is for.
    pub(crate) fn guard_of(&self, sharing: &Sharing) -> Option<&Guard> {
        let Some(at) = &sharing.at else { return self.guard_for(&sharing.scopes) };
        let here =
            |guard: &&Guard| guard.link.as_ref() == Some(&at.link) && !guard.scopes.intersection(&sharing.scopes).is_empty();
        self.usable_guards().find(here)
    }

    /// Linked servers that guard it now, as far as whoever keeps it agrees.
    pub(crate) fn usable_guards(&self) -> impl Iterator<Item = &Guard> {
        let usable = |guard: &&Guard| guard.state == RegistrationState::Active && guard.link.is_some() && guard.id.is_some();
        self.guards.iter().filter(usable)
    }

    /// Why nothing can be shared from here, in words.
    pub(crate) fn why_not(&self) -> String {
        match self.guards.first() {
            None => "no server guards it yet".to_owned(),
            Some(guard) if guard.plain => {
                format!("{} guards it and keeps to the bare UMA standard: share it on that server's own pages", guard.issuer)
            }
            Some(guard) if !guard.is_linked => format!("{} guards it: link that server first", guard.issuer),
            Some(guard) if guard.link.is_none() => {
                format!("{} should guard it, and does not say so: nothing is shared by it", guard.issuer)
            }
            Some(_) => "no server that guards it offers this".to_owned(),
        }
    }
}

impl Manager {
    /// Shares things with somebody: one call for each server that guards them. What has begun is carried out to its end, also
    /// when the page is closed meanwhile.
    pub(crate) async fn share(self: &Arc<Self>, owner: &str, sharing: &Sharing) -> Result<Shared, Trouble> {
        let (manager, owner, sharing) = (self.clone(), owner.to_owned(), sharing.clone());
        let sharing = tokio::spawn(async move { manager.share_all(&owner, &sharing).await });
        sharing.await.unwrap_or_else(|error| Err(crate::vault::failed(error)))
    }

    async fn share_all(self: &Arc<Self>, owner: &str, sharing: &Sharing) -> Result<Shared, Trouble> {
        let holdings = self.holdings(owner).await?;
        let (mut shared, mut at) = (Shared::default(), BTreeMap::<String, Vec<Value>>::new());
        for key in &sharing.things {
            let Some(thing) = holdings.thing(key) else { continue };
            let guard = thing.guard_of(sharing);
            let Some((guard, link, id)) = guard.and_then(|guard| Some((guard, guard.link.clone()?, guard.id.clone()?))) else {
                shared.failed.push(format!("{}: {}", thing.name, thing.why_not()));
                continue;
            };
            let scopes = guard.scopes.intersection(&sharing.scopes);
            let mut policy = json!({"resource_id": id, "resource_scopes": scopes, "required_claims": conditions(&sharing.who)});
            if let (Some(until), Some(policy)) = (sharing.until, policy.as_object_mut()) {
                policy.insert("expires_at".into(), json!(until));
            }
            at.entry(link).or_default().push(policy);
        }
        let posted = at.iter().map(|(link, policies)| async {
            let mut of_server = Shared::default();
            for batch in policies.chunks(BATCH) {
                // one that does not answer is not waited for once more
                if self.post_policies(owner, link, batch, &holdings, &mut of_server).await.is_err() {
                    break;
                }
            }
            // she may take it back before the server is read again
            self.note_made(owner, link, std::mem::take(&mut of_server.written)).await;
            of_server
        });
        for of_server in join_all(posted).await {
            shared.count = shared.count.saturating_add(of_server.count);
            shared.failed.extend(of_server.failed);
            shared.made.extend(of_server.made);
        }
        self.read_servers(owner, at.into_keys()).await;
        Ok(shared)
    }

    /// `Err` where the server does not answer; what came of it is in `shared` in any case.
    async fn post_policies(
        &self,
        owner: &str,
        link: &str,
        batch: &[Value],
        holdings: &Holdings,
        shared: &mut Shared,
    ) -> Result<(), Trouble> {
        let server = holdings.server(link).map_or(link, |known| known.link.place.url()).to_owned();
        // all in one commit; where something stands against one of them, each for itself
        let whole =
            |metadata: &types::metadata::Metadata| metadata.policy_endpoint.as_ref().map(|url| format!("{url}?atomic=true"));
        let each = |metadata: &types::metadata::Metadata| metadata.policy_endpoint.clone();
        let posted = match self.api_at(owner, link, Method::POST, whole, Some(&json!(batch))).await {
            Ok(answer) if answer.status == 201 => {
                shared.count = shared.count.saturating_add(batch.len());
                let items = || answer.body.as_array().into_iter().flatten().take(batch.len());
                shared.made.extend(made_of(link, items()));
                shared.written.extend(written_of(batch, items().map(Some)));
                return Ok(());
            }
            Ok(answer) if answer.status == 400 => self.api_at(owner, link, Method::POST, each, Some(&json!(batch))).await,
            other => other,
        };
        match posted {
            Ok(answer) if answer.status == 200 => {
                shared.add_items(&server, &answer.body, batch.len());
                let items = || answer.body.as_array().into_iter().flatten().take(batch.len()).map(|item| item.get("policy"));
                shared.made.extend(made_of(link, items().flatten()));
                shared.written.extend(written_of(batch, items()));
                Ok(())
            }
            Ok(answer) => {
                shared.failed.push(format!("{server}: {}", answer.refusal()));
                Ok(())
            }
            Err(trouble) => {
                shared.failed.push(format!("{server}: {trouble}"));
                Err(trouble)
            }
        }
    }

    /// A call to an endpoint of a linked authorization server.
    pub(crate) async fn api_at(
        &self,
        owner: &str,
        link: &str,
        method: Method,
        endpoint: impl FnOnce(&types::metadata::Metadata) -> Option<String>,
        body: Option<&Value>,
    ) -> Result<ApiAnswer, Trouble> {
        let (link, client, metadata) = self.ready(owner, link).await?;
        let url = endpoint(&metadata).ok_or_else(|| Trouble::Refused("this server does not offer that".into()))?;
        let (body, changes) = (body.map_or(ApiBody::None, ApiBody::Json), method != Method::GET);
        let call = ApiCall { method, url: &url, token: &link.access_token, bound: link.bound, body, patience: PATIENCE };
        let answer = client.api(&call).await;
        if changes {
            self.count_change(owner, &link.id);
        }
        Ok(answer?)
    }

    /// Whether nothing passes at a server that she did not sign; her other settings there stay.
    pub(crate) async fn demand_signature(self: &Arc<Self>, owner: &str, link: &str, on: bool) -> Result<(), Trouble> {
        let at = |metadata: &types::metadata::Metadata| metadata.owner_settings_endpoint.clone();
        let mut settings = self.api_at(owner, link, Method::GET, at, None).await?.body;
        let Some(object) = settings.as_object_mut() else { return Err(Trouble::Refused("its settings do not read".into())) };
        object.insert("require_resource_owner_token".into(), json!(on));
        let answer = self.api_at(owner, link, Method::PUT, at, Some(&settings)).await?;
        self.read_servers(owner, [link.to_owned()]).await;
        if answer.status == 200 { Ok(()) } else { Err(Trouble::Refused(answer.refusal())) }
    }
}

impl Known {
    /// Until when her answer to a request stands as a share, if it does; none: until she ends it.
    pub(crate) fn end_of_written(&self, request: &AccessRequestDocument) -> Option<Option<Timestamp>> {
        self.snapshot.policies.iter().find(|policy| is_written_for(policy, request)).map(|policy| policy.expires_at)
    }
}

/// Whether a policy is what an answer to this request that was to stand wrote: for its person and application alone, and for
/// what was approved.
pub(crate) fn is_written_for(policy: &PolicyDocument, request: &AccessRequestDocument) -> bool {
    let is_of = |one: &types::PermissionRequest| {
        policy.resource_id.as_ref() == Some(&one.resource_id) && policy.resource_scopes == one.resource_scopes
    };
    policy.authority.is_none()
        && policy.client_id == [request.client.client_id.clone()]
        && is_for_asker(&policy.required_claims, request)
        && request.permissions.iter().any(is_of)
}

/// Whether these conditions are those that a server writes for whoever asked: the address, else the name at whoever states it.
fn is_for_asker(conditions: &[ClaimCondition], request: &AccessRequestDocument) -> bool {
    let said = |name: &str| request.requesting_party.get(name).and_then(Value::as_str);
    let (name, value) = match (said("email"), said("sub")) {
        (Some(address), _) => ("email", address),
        (None, Some(sub)) => ("sub", sub),
        (None, None) => return false,
    };
    let is_value = |said: &Value| match (name, said.as_str()) {
        ("email", Some(said)) => types::email::normalize(said).is_some_and(|said| Some(said) == types::email::normalize(value)),
        (_, said) => said == Some(value),
    };
    matches!(conditions, [one] if one.name == name && matches!(one.value.as_slice(), [said] if is_value(said)))
}

/// Who it is for, as a policy says it.
fn conditions(who: &Who) -> Value {
    match who {
        Who::Address(address) => json!([{"name": "email", "value": [address]}]),
        Who::Anyone | Who::Other(_) => json!([]),
    }
}

impl Holdings {
    /// Everything that lets somebody in.
    pub(crate) fn shares_of(&self, who: &Who) -> Vec<(String, Share)> {
        let of = |thing: &Thing| {
            let name = thing.name.clone();
            thing.shares.iter().filter(|share| share.who == *who).map(|share| (name.clone(), share.clone())).collect::<Vec<_>>()
        };
        self.things.iter().flat_map(of).collect()
    }

    /// What was approved of this thing for the same person: links and requests.
    pub(crate) fn approved_beside<'a>(&'a self, key: &str, who: &Who) -> Vec<(&'a str, &'a str)> {
        let approvals = self.thing(key).map(|thing| thing.approvals.as_slice()).unwrap_or_default();
        let same = approvals.iter().filter(|approval| approval.who == *who);
        same.map(|approval| (approval.link.as_str(), approval.request.as_str())).collect()
    }

    /// Requests that end at the servers where she approved them.
    pub(crate) fn end_approvals(&self, is_meant: impl Fn(&Known, &AccessRequestDocument) -> bool, ending: &mut Ending) {
        for known in &self.servers {
            for request in known.snapshot.requests.iter().filter(|request| is_meant(known, request)) {
                let what = format!("{}: an approved request", who_asked(request).name());
                ending.wanted.push(match &known.snapshot.access_requests_endpoint {
                    Some(endpoint) => deletion(known, what, format!("{endpoint}/{}", segment(request.id.as_str()))),
                    None => Wanted { method: Method::DELETE, ..unheard(known.link.place.url(), what) },
                });
            }
        }
    }

    /// One share of a thing: by its id, and by the server that says so, since ids are one server's own. Without a server it must
    /// be the only one of that id.
    pub(crate) fn share(&self, thing: &str, policy: &str, place: Option<&str>) -> Result<(String, Share), Trouble> {
        let gone = || Trouble::Refused("This share is not there any more.".into());
        let thing = self.thing(thing).ok_or_else(gone)?;
        let named = |share: &&Share| share.id.as_str() == policy && place.is_none_or(|place| share.place == place);
        let mut all = thing.shares.iter().filter(named);
        let share = all.next().ok_or_else(gone)?;
        // what she signed comes first, whatever a server calls by the same name
        if !share.is_signed() && all.next().is_some() {
            return Err(Trouble::Refused("two servers have a share of this id: say `authorization_server` too".into()));
        }
        Ok((thing.name.clone(), share.clone()))
    }
}
