//! Who guards what (protocol.md 2): a thing is put under the guard of an authorization server, moved from one to another, or
//! let go, at the resource server that keeps it. What was shared by policy at the old server is shared again at the new one;
//! what she signed names the old one and has to be signed anew.

use crate::holdings::{Guard, Holdings, Known, Share, Thing};
use crate::store::Place;
use crate::{Manager, Trouble};
use futures_util::{StreamExt, stream};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use types::available_resource::{ChosenServer, MovedRegistration, PatState};

/// How many are moved at once.
const AT_ONCE: usize = 8;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guarded {
    pub(crate) done: usize,
    /// What did not work, and why.
    pub(crate) failed: Vec<String>,
    /// What did not come along.
    pub(crate) left_behind: Vec<String>,
    /// She must link that server at the resource server first; there.
    pub(crate) authorize: Option<String>,
}

fn refused<T>(what: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Refused(what.into()))
}

impl Known {
    /// Where calls to a resource server's management go.
    fn management(&self) -> Option<&str> {
        match &self.link.place {
            Place::ResourceServer { management, .. } => Some(management),
            Place::AuthorizationServer { .. } | Place::BareStandard { .. } => None,
        }
    }
}

impl Holdings {
    /// Authorization servers that could guard these things: each resource server says whom it would let.
    pub(crate) fn possible_guards(&self, things: &[&Thing]) -> Vec<ChosenServer> {
        let keepers: BTreeSet<&str> = things.iter().map(|thing| thing.server.as_str()).collect();
        let mut all: Option<Vec<ChosenServer>> = None;
        for keeper in keepers {
            let here = self.keeper(keeper).map(|known| known.snapshot.servers.clone()).unwrap_or_default();
            all = Some(match all {
                None => here,
                Some(before) => before.into_iter().filter(|one| here.iter().any(|other| other.issuer == one.issuer)).collect(),
            });
        }
        all.unwrap_or_default()
    }
}

/// One path segment.
fn segment(text: &str) -> String {
    // `+` is a space in forms alone
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

impl Manager {
    /// Where a thing's registrations are.
    fn registrations(&self, holdings: &Holdings, thing: &Thing) -> Result<(String, String), Trouble> {
        let keeper = holdings.keeper(&thing.server);
        let (Some(known), Some(own_id)) = (keeper, &thing.description.own_id) else {
            return refused(format!("{}: link the server that keeps it first", thing.name));
        };
        let management = known.management().unwrap_or_default();
        Ok((known.link.id.clone(), format!("{management}/my-resources/{}/registrations", segment(own_id.as_str()))))
    }

    /// Has things guarded by this server: moved there from where they are guarded, else put under guard.
    pub(crate) async fn guard_by(self: &Arc<Self>, owner: &str, things: &[String], issuer: &str) -> Result<Guarded, Trouble> {
        let holdings = self.holdings(owner)?;
        let named: Vec<String> = things.iter().filter(|key| holdings.thing(key).is_some()).cloned().collect();
        let work = named.into_iter().map(|key| {
            let (manager, holdings) = (self.clone(), holdings.clone());
            let (owner, issuer) = (owner.to_owned(), issuer.to_owned());
            async move {
                let outcome = match holdings.thing(&key) {
                    Some(thing) => manager.guard_one(&owner, &holdings, thing, &issuer).await,
                    None => Ok(Guarded::default()),
                };
                (key, outcome)
            }
        });
        let outcomes: Vec<_> = stream::iter(work).buffer_unordered(AT_ONCE).collect().await;
        let (mut guarded, mut touched) = (Guarded::default(), BTreeSet::new());
        for (key, outcome) in outcomes {
            let Some(thing) = holdings.thing(&key) else { continue };
            touched.extend(holdings.keeper(&thing.server).map(|known| known.link.id.clone()));
            match outcome {
                Ok(one) => {
                    guarded.done = guarded.done.saturating_add(one.done);
                    guarded.left_behind.extend(one.left_behind);
                    guarded.authorize = guarded.authorize.or(one.authorize);
                }
                Err(trouble) => guarded.failed.push(format!("{}: {trouble}", thing.name)),
            }
        }
        let servers = holdings.servers.iter().filter(|known| known.link.place.is_guard());
        touched.extend(servers.map(|known| known.link.id.clone()));
        self.read_servers(owner, touched).await;
        Ok(guarded)
    }

    async fn guard_one(&self, owner: &str, holdings: &Holdings, thing: &Thing, issuer: &str) -> Result<Guarded, Trouble> {
        if thing.guards.iter().any(|guard| guard.issuer == issuer && guard.error.is_none()) {
            return Ok(Guarded { done: 1, ..Guarded::default() });
        }
        let (link, url) = self.registrations(holdings, thing)?;
        let old = thing.guards.iter().find(|guard| guard.registration.is_some() && guard.issuer != issuer);
        let (method, url) = match old.and_then(|guard| guard.registration.as_deref()) {
            Some(id) => (Method::PUT, format!("{url}/{}", segment(id))),
            None => (Method::POST, url),
        };
        let body = json!({"authorization_server": issuer});
        let answer = self.api_at(owner, &link, method, |_| Some(url), Some(&body)).await?;
        match answer.status {
            200 | 201 => {
                let not_carried = || serde_json::from_value::<MovedRegistration>(answer.body.clone()).ok();
                let mut left_behind: Vec<String> = Vec::new();
                if let Some(old) = old {
                    let id = answer.body.get("authorization_server_resource_id").and_then(Value::as_str).unwrap_or_default();
                    left_behind = self.carry_shares(owner, holdings, thing, (old, issuer, id)).await;
                    // where this desk knows the old server's shares, it has just said more exactly what stays
                    if old.link.is_none() {
                        left_behind.extend(not_carried().map(|moved| moved.not_carried).unwrap_or_default());
                    }
                }
                Ok(Guarded { done: 1, left_behind, ..Guarded::default() })
            }
            202 => {
                let there = answer.body.get("authorize_uri").and_then(Value::as_str).map(str::to_owned);
                Ok(Guarded { authorize: there.filter(|url| is_web(url)), ..Guarded::default() })
            }
            _ => refused(answer.refusal()),
        }
    }

    /// Shares of the old server, written at the new one; what stays behind, in words.
    async fn carry_shares(
        &self,
        owner: &str,
        holdings: &Holdings,
        thing: &Thing,
        (old, issuer, id): (&Guard, &str, &str),
    ) -> Vec<String> {
        let new = holdings.servers.iter().find(|known| known.link.place.is_guard() && known.link.place.url() == issuer);
        let shares: Vec<&Share> = thing.shares.iter().filter(|share| Some(&share.link) == old.link.as_ref()).collect();
        let mut left = Vec::new();
        for share in shares {
            let named = |why: &str| format!("{}: what {} may do with it {why}", thing.name, share.who.name());
            let Some(new) = new.filter(|_| !id.is_empty()) else {
                left.push(named("has to be shared again: this desk is not linked to the new server"));
                continue;
            };
            if share.token.is_some() {
                left.push(named("has to be signed again: what you signed names the old server"));
                continue;
            }
            let of_server = holdings.server(&share.link).map(|known| &known.snapshot.policies);
            let policy = of_server.and_then(|all| all.iter().find(|policy| policy.id.as_ref() == Some(&share.policy)));
            let Some(mut policy) = policy.and_then(|policy| serde_json::to_value(policy).ok()) else { continue };
            if let Some(members) = policy.as_object_mut() {
                for gone in ["_id", "state", "uses", "warnings", "delegation", "authority", "resource_server", "_resource_id"] {
                    members.remove(gone);
                }
                members.insert("resource_id".into(), json!(id));
            }
            let at = |metadata: &types::metadata::Metadata| metadata.policy_endpoint.clone();
            match self.api_at(owner, &new.link.id, Method::POST, at, Some(&policy)).await {
                Ok(answer) if answer.status == 201 => {}
                Ok(answer) => left.push(named(&format!("was not taken by the new server: {}", answer.refusal()))),
                Err(trouble) => left.push(named(&format!("could not be shared there: {trouble}"))),
            }
        }
        left
    }

    /// Lets a registration go: nobody can be let in by that server any more. Kept as a task until it is confirmed.
    pub(crate) async fn unguard(self: &Arc<Self>, owner: &str, thing: &str, registration: &str) -> Result<(), Trouble> {
        let holdings = self.holdings(owner)?;
        let Some(thing) = holdings.thing(thing) else { return refused("There is no such thing any more.") };
        if !thing.guards.iter().any(|guard| guard.registration.as_deref() == Some(registration)) {
            return refused("It is not guarded there any more.");
        }
        let (_, url) = self.registrations(&holdings, thing)?;
        let Some(keeper) = holdings.keeper(&thing.server) else { return refused("Link the server that keeps it first.") };
        let wanted = crate::share::deletion(
            keeper,
            format!("{}: no longer guarded", thing.name),
            format!("{url}/{}", segment(registration)),
        );
        self.ask(owner, vec![wanted]).await
    }

    /// Lets an authorization server be used at a resource server: where she links it, if she must.
    pub(crate) async fn introduce(self: &Arc<Self>, owner: &str, link: &str, typed: &str) -> Result<Option<String>, Trouble> {
        let holdings = self.holdings(owner)?;
        let Some(management) = holdings.server(link).and_then(Known::management) else {
            return refused("Choose one of your resource servers.");
        };
        let typed = typed.trim();
        let by_address = !typed.contains("://") && typed.contains('@');
        let body = if by_address { json!({"address": typed}) } else { json!({"issuer": typed.trim_end_matches('/')}) };
        let url = format!("{management}/authorization-servers");
        let answer = self.api_at(owner, link, Method::POST, |_| Some(url), Some(&body)).await?;
        match answer.status {
            202 => {
                let there = answer.body.get("authorize_uri").and_then(Value::as_str).filter(|url| is_web(url));
                Ok(there.map(str::to_owned))
            }
            200 | 201 | 204 => Ok(None),
            _ => refused(answer.refusal()),
        }
    }

    /// She says that the account there is hers; from then on that server may guard.
    pub(crate) async fn confirm_guard(self: &Arc<Self>, owner: &str, link: &str, issuer: &str) -> Result<(), Trouble> {
        let holdings = self.holdings(owner)?;
        let known = holdings.server(link);
        let waits = |one: &ChosenServer| one.issuer == issuer && one.pat == PatState::Pending;
        let Some(management) = known.filter(|known| known.snapshot.servers.iter().any(waits)).and_then(Known::management) else {
            return refused("Nothing waits for your word there.");
        };
        let url = format!("{management}/authorization-servers/{}", segment(issuer));
        let answer = self.api_at(owner, link, Method::PUT, |_| Some(url), Some(&json!({}))).await?;
        self.read_servers(owner, [link.to_owned()]).await;
        if (200..300).contains(&answer.status) { Ok(()) } else { refused(answer.refusal()) }
    }
}

/// A place that a browser may be sent to.
pub(crate) fn is_web(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| ["https", "http"].contains(&url.scheme()))
}
