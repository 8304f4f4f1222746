//! Who guards what (protocol.md 2): a thing is put under the guard of an authorization server, moved from one to another, or
//! let go, at the resource server that keeps it. What the old server lists as shared is shared again at the new one where she
//! saw it and chose it, each by itself: a server that is being left might list anything (threat 36). What she signed names
//! the old server: it is taken back when the thing leaves, and has to be signed anew.

use crate::holdings::{Guard, Holdings, Known, Share, Thing};
use crate::share::segment;
use crate::{Manager, Trouble, lock, words};
use futures_util::{StreamExt, stream};
use http::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use types::available_resource::{ChosenServer, MovedRegistration, PatState};
use types::policy::PolicyDocument;

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

/// What is to be guarded elsewhere, and what comes along.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    /// Keys of things.
    pub(crate) things: Vec<String>,
    pub(crate) issuer: String,
    /// What she ticked, each as she was shown it ([`carried_name`]).
    pub(crate) along: BTreeSet<String>,
}

/// A share as she is shown it before it comes along: of this thing, in exactly these words.
pub(crate) fn carried_name(thing: &Thing, policy: &PolicyDocument) -> String {
    // how often it was used may change while she reads; what it says may not
    let said = PolicyDocument { uses: None, state: None, warnings: Vec::new(), ..policy.clone() };
    let text = serde_json::to_vec(&said).unwrap_or_default();
    jose::base64url::encode(jose::digest::sha256(&[thing.key.as_bytes(), b"\0", &text]))
}

impl Thing {
    /// The registration that would move to this server.
    pub(crate) fn moving_from(&self, issuer: &str) -> Option<&Guard> {
        self.guards.iter().find(|guard| guard.registration.is_some() && guard.issuer != issuer)
    }

    /// Shares that this server lists, and that could be written elsewhere: none of which something does not read, for that may
    /// be a condition.
    pub(crate) fn carriable(&self, guard: &Guard) -> impl Iterator<Item = (&Share, &PolicyDocument)> {
        let link = guard.link.clone();
        let here = move |share: &&Share| share.listed().is_some_and(|listed| Some(&listed.link) == link.as_ref());
        let plain =
            |share: &&Share| share.listed().is_some_and(|listed| listed.policy.authority.is_none() && !listed.partly_read);
        self.shares.iter().filter(here).filter(plain).filter_map(|share| Some((share, &share.listed()?.policy)))
    }
}

impl Known {
    /// Where calls to a resource server's management go.
    pub(crate) fn management(&self) -> Option<&str> {
        self.link.place.management()
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

    /// Has things guarded by this server: moved there from where they are guarded, else put under guard. What has begun is
    /// carried out to its end, also when the page is closed meanwhile: what she signed for the old server ends with it.
    pub(crate) async fn guard_by(self: &Arc<Self>, owner: &str, wanted: &Move) -> Result<Guarded, Trouble> {
        let (manager, owner, wanted) = (self.clone(), owner.to_owned(), wanted.clone());
        let moving = tokio::spawn(async move { manager.guard_all(&owner, &wanted).await });
        moving.await.unwrap_or_else(|error| Err(crate::vault::failed(error)))
    }

    async fn guard_all(self: &Arc<Self>, owner: &str, wanted: &Move) -> Result<Guarded, Trouble> {
        let holdings = self.holdings(owner).await?;
        let named: Vec<String> = wanted.things.iter().filter(|key| holdings.thing(key).is_some()).cloned().collect();
        // a server that does not answer for one thing is not waited for with the others
        let away: Arc<Mutex<BTreeMap<String, Trouble>>> = Arc::default();
        let work = named.into_iter().map(|key| {
            let (manager, holdings, away) = (self.clone(), holdings.clone(), away.clone());
            let (owner, wanted) = (owner.to_owned(), wanted.clone());
            async move {
                let Some(thing) = holdings.thing(&key) else { return (key, Ok(Guarded::default())) };
                let known = lock(&away).get(&thing.server).cloned();
                let outcome = match known {
                    Some(trouble) => Err(trouble),
                    None => manager.guard_one(&owner, &holdings, thing, &wanted).await,
                };
                if let Err(trouble @ Trouble::Away(_)) = &outcome {
                    lock(&away).insert(thing.server.clone(), trouble.clone());
                }
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

    async fn guard_one(
        self: &Arc<Self>,
        owner: &str,
        holdings: &Holdings,
        thing: &Thing,
        wanted: &Move,
    ) -> Result<Guarded, Trouble> {
        let issuer = wanted.issuer.as_str();
        if thing.guards.iter().any(|guard| guard.issuer == issuer && guard.error.is_none()) {
            return Ok(Guarded { done: 1, ..Guarded::default() });
        }
        let (link, url) = self.registrations(holdings, thing)?;
        let old = thing.moving_from(issuer);
        let (method, url) = match old.and_then(|guard| guard.registration.as_deref()) {
            Some(id) => (Method::PUT, format!("{url}/{}", segment(id))),
            None => (Method::POST, url),
        };
        let body = json!({"authorization_server": issuer});
        let answer = self.api_at(owner, &link, method, |_| Some(url), Some(&body)).await?;
        match answer.status {
            200 | 201 => {
                let not_carried =
                    || types::answer::read::<MovedRegistration>(answer.body.clone(), &[]).ok().map(|answer| answer.said);
                let mut left_behind: Vec<String> = Vec::new();
                if let Some(old) = old {
                    let id = answer.body.get("authorization_server_resource_id").and_then(Value::as_str).unwrap_or_default();
                    left_behind = self.carry_shares(owner, holdings, thing, &Carrying { old, id, wanted }).await;
                    left_behind.extend(self.end_signed(owner, holdings, thing, &old.issuer).await?);
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

    /// Shares of the old server that she ticked, written at the new one as she was shown them; what stays behind, in words.
    async fn carry_shares(&self, owner: &str, holdings: &Holdings, thing: &Thing, carrying: &Carrying<'_>) -> Vec<String> {
        let is_new = |known: &&Known| known.link.place.is_guard() && known.link.place.url() == carrying.wanted.issuer;
        let new = holdings.servers.iter().find(is_new);
        let named = |share: &Share, why: &str| format!("{}: what {} may do with it {why}", thing.name, share.who.name());
        let is_unread = |share: &&Share| {
            share.listed().is_some_and(|listed| listed.partly_read && Some(&listed.link) == carrying.old.link.as_ref())
        };
        let unread = thing.shares.iter().filter(is_unread);
        let mut left: Vec<String> =
            unread.map(|share| named(share, "stays with the old server: this desk cannot read all of its conditions")).collect();
        for (share, policy) in thing.carriable(carrying.old) {
            let named = |why: &str| named(share, why);
            if !carrying.wanted.along.contains(&carried_name(thing, policy)) {
                left.push(named("stays with the old server: you did not tick it, or it is another than you were shown"));
                continue;
            }
            let Some(new) = new.filter(|_| !carrying.id.is_empty()) else {
                left.push(named("has to be shared again: this desk is not linked to the new server"));
                continue;
            };
            if is_too_long(share, policy) {
                left.push(named("is too long to be shown whole: share it again"));
                continue;
            }
            let Some(policy) = carried(policy, carrying.id) else {
                left.push(named("is used up"));
                continue;
            };
            let at = |metadata: &types::metadata::Metadata| metadata.policy_endpoint.clone();
            match self.api_at(owner, &new.link.id, Method::POST, at, Some(&policy)).await {
                Ok(answer) if answer.status == 201 => {}
                Ok(answer) => left.push(named(&format!("was not taken by the new server: {}", answer.refusal()))),
                Err(trouble) => left.push(named(&format!("could not be shared there: {trouble}"))),
            }
        }
        left
    }

    /// What she signed for the use of a server that guards the thing no more is good at the thing's keeper until she takes
    /// it back: it is taken back. In words, what has to be signed again.
    async fn end_signed(
        self: &Arc<Self>,
        owner: &str,
        holdings: &Holdings,
        thing: &Thing,
        issuer: &str,
    ) -> Result<Vec<String>, Trouble> {
        let Some(own_id) = &thing.description.own_id else { return Ok(Vec::new()) };
        let for_it = |word: &crate::ledger::Word| word.guards.iter().any(|guard| guard == issuer);
        let words = holdings.ledger.live(self.now()).filter(|(_, word)| for_it(word) && word.names(&thing.server, own_id));
        let words: Vec<(String, String)> = words.map(|(id, word)| (id.to_owned(), word.name.clone())).collect();
        let ids: Vec<String> = words.iter().map(|(id, _)| id.clone()).collect();
        self.withdraw_words(owner, &ids).await?;
        let again = |name: String| format!("{name}: what you signed named the old server, and is taken back; sign it again");
        Ok(words.into_iter().map(|(_, name)| again(name)).collect())
    }

    /// Lets a registration go: nobody can be let in by that server any more. Kept as a task until it is confirmed.
    pub(crate) async fn unguard(self: &Arc<Self>, owner: &str, thing: &str, registration: &str) -> Result<(), Trouble> {
        let holdings = self.holdings(owner).await?;
        let Some(thing) = holdings.thing(thing) else { return refused("There is no such thing any more.") };
        let Some(guard) = thing.guards.iter().find(|guard| guard.registration.as_deref() == Some(registration)) else {
            return refused("It is not guarded there any more.");
        };
        let (_, url) = self.registrations(&holdings, thing)?;
        let Some(keeper) = holdings.keeper(&thing.server) else { return refused("Link the server that keeps it first.") };
        let wanted = crate::ending::deletion(
            keeper,
            format!("{}: no longer guarded", thing.name),
            format!("{url}/{}", segment(registration)),
        );
        self.end_signed(owner, &holdings, thing, &guard.issuer).await?;
        self.ask(owner, vec![wanted]).await
    }

    /// Lets an authorization server be used at a resource server: where she links it, if she must.
    pub(crate) async fn introduce(self: &Arc<Self>, owner: &str, link: &str, typed: &str) -> Result<Option<String>, Trouble> {
        let holdings = self.holdings(owner).await?;
        let Some(management) = holdings.server(link).and_then(Known::management) else {
            return refused("Choose one of your resource servers.");
        };
        let typed = typed.trim();
        let by_address = !typed.contains("://") && typed.contains('@');
        let address = by_address.then(|| types::email::normalize_reachable(typed));
        let body = if let Some(address) = address {
            let Some(address) = address else { return refused(format!("`{typed}` is no e-mail address")) };
            json!({"address": address})
        } else {
            json!({"issuer": typed.trim_end_matches('/')})
        };
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
        let holdings = self.holdings(owner).await?;
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

/// Longest words, in bytes, in which a share comes along: more than that nobody reads.
const MAX_CARRIED_WORDS: usize = 2_000;

/// Whether what a share says fills the page, so that something in it would come along unseen.
pub(crate) fn is_too_long(share: &Share, policy: &PolicyDocument) -> bool {
    let reader = ui::Reader { zone: ui::Zone::default(), now: types::Timestamp(0) };
    share.who.name().len().saturating_add(words::conditions_of(policy, &reader).iter().map(String::len).sum()) > MAX_CARRIED_WORDS
}

/// What comes along from where to where.
struct Carrying<'a> {
    old: &'a Guard,
    /// What the new server calls the thing.
    id: &'a str,
    wanted: &'a Move,
}

/// The policy as it is written at the new server, with all of its conditions. Of a number of uses, what is left of it; none
/// where nothing is.
fn carried(policy: &PolicyDocument, id: &str) -> Option<Value> {
    let left = policy.max_uses.map(|most| most.saturating_sub(policy.uses.unwrap_or(0)));
    if left == Some(0) {
        return None;
    }
    let carried = PolicyDocument {
        resource_id: Some(id.into()),
        resource_scopes: policy.resource_scopes.clone(),
        required_claims: policy.required_claims.clone(),
        client_id: policy.client_id.clone(),
        valid_from: policy.valid_from,
        expires_at: policy.expires_at,
        max_uses: left,
        purpose: policy.purpose.clone(),
        on_missing: policy.on_missing,
        ..PolicyDocument::default()
    };
    serde_json::to_value(carried).ok()
}

/// A place that a browser may be sent to.
pub(crate) fn is_web(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| ["https", "http"].contains(&url.scheme()))
}
