//! Sharing and withdrawing, over all servers at once; and answering requests.

use crate::holdings::{Guard, Holdings, Known, Share, Thing, Who};
use crate::store::Place;
use crate::task::Wanted;
use crate::{Manager, PATIENCE, Trouble};
use client::api::{ApiAnswer, ApiBody, ApiCall};
use futures_util::future::join_all;
use http::Method;
use jose::UnverifiedJws;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::access_request::{AccessRequestDocument, AccessRequestState};
use types::available_resource::RegistrationState;
use types::{ScopeSet, Timestamp};

/// Most policies in one call (protocol.md 1.2).
const BATCH: usize = 1_000;

/// What is to be shared.
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    pub(crate) things: Vec<String>,
    pub(crate) who: Who,
    pub(crate) scopes: ScopeSet,
    pub(crate) until: Option<Timestamp>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    pub(crate) count: usize,
    /// What could not be shared, and why.
    pub(crate) failed: Vec<String>,
}

impl Thing {
    /// Where a share of it is written: an active registration at a linked server that offers at least one of the scopes.
    pub(crate) fn guard_for(&self, scopes: &ScopeSet) -> Option<&Guard> {
        let fits = |guard: &&Guard| {
            guard.state == RegistrationState::Active
                && guard.link.is_some()
                && guard.id.is_some()
                && !guard.scopes.intersection(scopes).is_empty()
        };
        // the one that offers the most of what is wanted
        self.guards.iter().filter(fits).max_by_key(|guard| guard.scopes.intersection(scopes).iter().count())
    }

    /// Why nothing can be shared from here, in words.
    pub(crate) fn why_not(&self) -> String {
        match self.guards.first() {
            None => "no server guards it yet".to_owned(),
            Some(guard) if guard.plain => {
                format!("{} guards it and keeps to the bare UMA standard: share it on that server's own pages", guard.issuer)
            }
            Some(guard) if guard.link.is_none() => format!("{} guards it: link that server first", guard.issuer),
            Some(_) => "no server that guards it offers this".to_owned(),
        }
    }
}

impl Manager {
    /// Shares things with somebody: one call for each server that guards them.
    pub(crate) async fn share(self: &Arc<Self>, owner: &str, sharing: &Sharing) -> Result<Shared, Trouble> {
        let holdings = self.holdings(owner)?;
        let (mut shared, mut at) = (Shared::default(), BTreeMap::<String, Vec<Value>>::new());
        for key in &sharing.things {
            let Some(thing) = holdings.thing(key) else { continue };
            let guard = thing.guard_for(&sharing.scopes);
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
                self.post_policies(owner, link, batch, &holdings, &mut of_server).await;
            }
            of_server
        });
        for of_server in join_all(posted).await {
            shared.count = shared.count.saturating_add(of_server.count);
            shared.failed.extend(of_server.failed);
        }
        self.read_servers(owner, at.into_keys()).await;
        Ok(shared)
    }

    async fn post_policies(&self, owner: &str, link: &str, batch: &[Value], holdings: &Holdings, shared: &mut Shared) {
        let server = holdings.server(link).map_or(link, |known| known.link.place.url()).to_owned();
        // all in one commit; where something stands against one of them, each for itself
        let whole =
            |metadata: &types::metadata::Metadata| metadata.policy_endpoint.as_ref().map(|url| format!("{url}?atomic=true"));
        match self.api_at(owner, link, Method::POST, whole, Some(&json!(batch))).await {
            Ok(answer) if answer.status == 201 => {
                shared.count = shared.count.saturating_add(batch.len());
                return;
            }
            Ok(answer) if answer.status == 400 => {}
            Ok(answer) => return shared.failed.push(format!("{server}: {}", answer.refusal())),
            Err(trouble) => return shared.failed.push(format!("{server}: {trouble}")),
        }
        let each = |metadata: &types::metadata::Metadata| metadata.policy_endpoint.clone();
        match self.api_at(owner, link, Method::POST, each, Some(&json!(batch))).await {
            Ok(answer) if answer.status == 200 => {
                for item in answer.body.as_array().into_iter().flatten() {
                    match item.get("status").and_then(Value::as_u64) {
                        Some(201) => shared.count = shared.count.saturating_add(1),
                        _ => {
                            let why = item.pointer("/error/error_description").and_then(Value::as_str);
                            shared.failed.push(format!("{server}: {}", why.unwrap_or("it was not taken")));
                        }
                    }
                }
            }
            Ok(answer) => shared.failed.push(format!("{server}: {}", answer.refusal())),
            Err(trouble) => shared.failed.push(format!("{server}: {trouble}")),
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
        let body = body.map_or(ApiBody::None, ApiBody::Json);
        let call = ApiCall { method, url: &url, token: &link.access_token, bound: link.bound, body, patience: PATIENCE };
        Ok(client.api(&call).await?)
    }

    /// Withdraws shares, and what else lets their people in.
    pub(crate) async fn withdraw(self: &Arc<Self>, owner: &str, shares: &[(String, Share)]) -> Result<(), Trouble> {
        let holdings = self.holdings(owner)?;
        let mut wanted = Vec::new();
        for (name, share) in shares {
            let Some(known) = holdings.server(&share.link) else { continue };
            let Some(endpoint) = &known.snapshot.policy_endpoint else { continue };
            wanted.push(deletion(known, format!("{}: {name}", share.who.name()), format!("{endpoint}/{}", share.policy)));
            wanted.extend(holdings.told_to_servers(name, share));
        }
        self.ask(owner, wanted).await
    }

    /// Everything of somebody's at once: shares, and requests that were approved.
    pub(crate) async fn withdraw_everything(self: &Arc<Self>, owner: &str, who: &Who) -> Result<(), Trouble> {
        let holdings = self.holdings(owner)?;
        let mut wanted = Vec::new();
        for (name, share) in holdings.shares_of(who) {
            let Some(known) = holdings.server(&share.link) else { continue };
            let Some(endpoint) = &known.snapshot.policy_endpoint else { continue };
            wanted.push(deletion(known, format!("{}: {name}", who.name()), format!("{endpoint}/{}", share.policy)));
            wanted.extend(holdings.told_to_servers(&name, &share));
        }
        for (known, request) in holdings.approved_for(who) {
            let Some(endpoint) = &known.snapshot.access_requests_endpoint else { continue };
            wanted.push(deletion(known, format!("{}: an approved request", who.name()), format!("{endpoint}/{}", request.id)));
        }
        self.ask(owner, wanted).await
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

    /// Answers a request that waits at a server.
    pub(crate) async fn decide(
        self: &Arc<Self>,
        owner: &str,
        link: &str,
        (request, of): (&str, &str),
        decision: &Value,
    ) -> Result<(), Trouble> {
        // `of`: somebody who lets her decide
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("owner", of).finish();
        let query = if of.is_empty() { String::new() } else { format!("?{query}") };
        let at = |metadata: &types::metadata::Metadata| {
            metadata.access_requests_endpoint.as_ref().map(|url| format!("{url}/{request}{query}"))
        };
        let answer = self.api_at(owner, link, Method::POST, at, Some(decision)).await?;
        self.read_servers(owner, [link.to_owned()]).await;
        match answer.status {
            200 => Ok(()),
            409 => Err(Trouble::Refused("This request was answered before, or has run out.".into())),
            _ => Err(Trouble::Refused(answer.refusal())),
        }
    }
}

pub(crate) fn deletion(known: &Known, what: String, url: String) -> Wanted {
    let server = known.link.place.url().to_owned();
    Wanted { link: known.link.id.clone(), server, what, method: Method::DELETE, url, body: None }
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

    /// A signed share is withdrawn at each resource server that it names, too: they believe her, and no server for her.
    fn told_to_servers(&self, name: &str, share: &Share) -> Vec<Wanted> {
        let claims = share.token.as_deref().and_then(|token| UnverifiedJws::parse(token).ok());
        let Some(claims) = claims else { return Vec::new() };
        let (id, end) = (claims.claimed_value("jti"), claims.claimed_value("exp"));
        let named = claims.claimed_value("resources").unwrap_or_default();
        let servers: BTreeSet<String> = named
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| Some(one.get("resource_server")?.as_str()?.to_owned()))
            .collect();
        let told = |known: &Known| {
            let Place::ResourceServer { resource, management, .. } = &known.link.place else { return None };
            servers.contains(resource).then(|| Wanted {
                link: known.link.id.clone(),
                server: resource.clone(),
                what: format!("{}: {name}, your signed word for it", share.who.name()),
                method: Method::POST,
                url: format!("{management}/my-withdrawn-tokens"),
                body: Some(json!({"jti": id, "exp": end})),
            })
        };
        self.servers.iter().filter_map(told).collect()
    }

    /// Requests of somebody that she has approved, and that still let that person in.
    fn approved_for<'a>(&'a self, who: &'a Who) -> impl Iterator<Item = (&'a Known, &'a AccessRequestDocument)> {
        let of = |request: &&AccessRequestDocument| {
            let email = request.requesting_party.get("email").and_then(Value::as_str).map(str::to_lowercase);
            request.state == AccessRequestState::Approved && email.is_some_and(|email| *who == Who::Address(email))
        };
        let all = self.servers.iter().flat_map(|known| known.snapshot.requests.iter().map(move |request| (known, request)));
        all.filter(move |(_, request)| of(request))
    }

    /// One share of a thing.
    pub(crate) fn share(&self, thing: &str, policy: &str) -> Option<(String, Share)> {
        let thing = self.thing(thing)?;
        let share = thing.shares.iter().find(|share| share.policy.as_str() == policy)?;
        Some((thing.name.clone(), share.clone()))
    }
}
