//! Sending searches. A resource server may be anybody's and answer never, so nobody waits for somebody else's (threat 46):
//!
//! - one search after the other of each owner, beside those of others, and one call at a time to each resource server; of calls
//!   so many are under way at a time, for which owners take turns ([`outbound::Lines`]), however long their servers take;
//! - a try is noted before it is made, so that a process that ends makes none twice, and the pause behind it grows fourfold;
//! - after a few tries a resource server is given up, and nothing is sent to where its own `resource` does not reach.

use super::{SEARCH_LIFETIME, Search, SearchedClient, standing};
use crate::changes::{Changes, Write};
use crate::{AuthorizationServer, RETRIES, name_of};
use identity::{Account, CommitError, Failure};
use outbound::{Lines, Party, Request, Room};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use types::discovery::{DISCOVERY_MEDIA, SearchAt};
use types::metadata::ProtectedResourceMetadata;
use types::{ClientId, OwnerId, path};

/// How long a resource server may take to take a search.
const PATIENCE: Duration = Duration::from_secs(10);
/// Seconds behind the first try; each further pause is four times as long.
const FIRST_PAUSE: i64 = 5;
/// How often one is tried: the last time within a day.
const MAX_TRIES: u32 = 8;
/// Most owners whose searches are under way, or wait for a turn, at the same time.
const MAX_OWNERS: usize = 4_096;
/// Most calls that are under way at the same time. Each owner has one, or waits for one.
const CALLS: Room = Room { inside: 256, waiting: MAX_OWNERS };
/// How long one waits for a turn; then it is tried again with what is due.
const TURN_PATIENCE: Duration = Duration::from_secs(300);

/// Owners and resource servers for whom something is under way.
#[derive(Default)]
pub(crate) struct UnderWay {
    names: Mutex<HashSet<String>>,
    line: Lines,
}

/// A place in it, until this is dropped.
struct Place {
    server: Arc<AuthorizationServer>,
    name: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.searching.all().remove(&self.name);
    }
}

impl UnderWay {
    fn all(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave to call somebody in the name of this owner; none: it took too long.
    async fn turn(&self, owner: &OwnerId) -> Option<outbound::Place> {
        let party = Party::new([owner.as_str().to_owned()]);
        self.line.enter("searches", CALLS, &party, TURN_PATIENCE).await
    }
}

/// Seconds until the next try, behind so many.
fn pause_after(tries: u32) -> i64 {
    FIRST_PAUSE.saturating_mul(4_i64.saturating_pow(tries))
}

impl AuthorizationServer {
    /// Nobody may be under way by this name, and of all no more than so many.
    fn begin(self: &Arc<Self>, name: String, most: usize) -> Option<Place> {
        let mut all = self.searching.all();
        (all.len() < most && all.insert(name.clone())).then(|| Place { server: self.clone(), name })
    }

    /// Begins to send what is due, and waits for none of it. Called by the wiring every few seconds.
    pub async fn send_searches(self: &Arc<Self>) -> Result<(), Failure> {
        let mut due = self.store.list_due_searches(self.now()).await?;
        while let Some(first) = due.first().map(|search| search.owner.clone()) {
            let (hers, others) = due.into_iter().partition(|search| search.owner == first);
            self.start_sending(&first, hers);
            due = others;
        }
        Ok(())
    }

    /// The same for a search to which its owner has just consented.
    pub async fn send_new_search(self: &Arc<Self>, owner: &OwnerId, id: &str) -> Result<(), Failure> {
        let found = self.store.find_search(id).await?.filter(|search| search.owner == *owner && search.due() != 0);
        self.start_sending(owner, found.into_iter().collect());
        Ok(())
    }

    fn start_sending(self: &Arc<Self>, owner: &OwnerId, searches: Vec<Search>) {
        // a resource server takes a place beside the owner's
        let Some(place) = self.begin(format!("owner {owner}"), MAX_OWNERS.saturating_add(CALLS.inside)) else { return };
        let server = self.clone();
        tokio::spawn(async move {
            let _place = place;
            for search in searches {
                if let Err(error) = server.send_search(&search).await {
                    tracing::error!(%error, "a search could not be sent");
                }
            }
        });
    }

    async fn send_search(self: &Arc<Self>, search: &Search) -> Result<(), Failure> {
        let account = self.identity.store.find_account(&search.owner).await?;
        let now = self.now();
        for server in search.servers.iter().filter(|server| server.state == SearchAt::Waiting && server.again <= now) {
            let Some(_turn) = self.searching.turn(&search.owner).await else { return Ok(()) };
            let Some(_place) = self.begin(format!("server {}", server.client), usize::MAX) else { continue };
            if !self.take_try(search, &server.client).await? {
                continue;
            }
            let state = match &account {
                None => SearchAt::Failed,
                Some(_) if self.is_unlinked_since(search, &server.client).await? => SearchAt::Failed,
                Some(account) => match tokio::time::timeout(PATIENCE, self.send_to(search, account, server)).await {
                    Ok(state) => state?,
                    Err(_) => SearchAt::Waiting,
                },
            };
            let given_up = search.created.plus(SEARCH_LIFETIME) <= self.now() || server.tries.saturating_add(1) >= MAX_TRIES;
            let state = if state == SearchAt::Waiting && given_up { SearchAt::Failed } else { state };
            self.change_search(search, |search| note(search, &server.client, state)).await?;
        }
        Ok(())
    }

    /// Notes that it is tried; not where it was ended, answered or tried meanwhile.
    async fn take_try(&self, known: &Search, client: &ClientId) -> Result<bool, Failure> {
        let (now, taken) = (self.now(), Mutex::new(false));
        let take = |search: &mut Search| {
            let waits = |server: &&mut SearchedClient| server.state == SearchAt::Waiting && server.again <= now;
            let found = search.servers.iter_mut().find(|server| server.client == *client).filter(waits);
            *taken.lock().unwrap_or_else(PoisonError::into_inner) = found.is_some();
            if let Some(server) = found {
                server.again = now.plus(pause_after(server.tries));
                server.tries = server.tries.saturating_add(1);
            }
        };
        self.change_search(known, take).await?;
        Ok(taken.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes it as it stands by now, one after the other; one that was ended meanwhile stays ended.
    pub(crate) async fn change_search(&self, known: &Search, change: impl Fn(&mut Search)) -> Result<(), Failure> {
        let _turn = self.turns.alone(&known.owner).await;
        for _ in 0..RETRIES {
            let Some(before) = self.store.find_search(&known.id).await? else { return Ok(()) };
            let mut after = before.clone();
            change(&mut after);
            let changes = Changes { requires: vec![standing(&before)], ..Changes::of(vec![Write::PutSearch(after)]) };
            match self.store.commit(changes).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Changed) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("a search changes too fast".into()))
    }

    async fn send_to(&self, search: &Search, account: &Account, server: &SearchedClient) -> Result<SearchAt, Failure> {
        let url = path::inserted_well_known(server.resource.as_str(), path::OAUTH_PROTECTED_RESOURCE);
        let outbound = self.identity.outbound.for_listed(server.resource.as_str()).in_name_of(&name_of(&search.owner));
        let Ok(answer) = outbound.send(Request::get(&url)).await else { return Ok(SearchAt::Waiting) };
        let Ok(document) = types::json::parse::<ProtectedResourceMetadata>(&answer.body) else { return Ok(SearchAt::Failed) };
        let endpoint = document.resource_discovery_endpoint.filter(|_| document.resource == server.resource.as_str());
        // its own, and nobody else's (protocol.md 2.2)
        let own = endpoint.filter(|endpoint| client::uma::is_within(endpoint, server.resource.as_str()));
        let Some(endpoint) = own else { return Ok(SearchAt::Failed) };
        let token = self.discovery_token(search, account, server)?;
        let mut request = Request::get(&endpoint);
        (request.method, request.body) = (outbound::Method::POST, Some(token.into_bytes()));
        match outbound.send(request.header("content-type", DISCOVERY_MEDIA)).await {
            Ok(answer) if answer.status.is_success() => Ok(SearchAt::Sent),
            Ok(answer) if answer.status.is_client_error() => Ok(SearchAt::Failed),
            _ => Ok(SearchAt::Waiting),
        }
    }
}

/// A resource server may have found her before it has answered.
fn note(search: &mut Search, client: &ClientId, state: SearchAt) {
    let waits = |server: &&mut SearchedClient| server.client == *client && server.state == SearchAt::Waiting;
    for server in search.servers.iter_mut().filter(waits) {
        server.state = state;
    }
    if search.due() == 0 {
        search.self_asserted.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many calls hang that others have made: who comes newly has the next turn that is free.
    #[tokio::test]
    async fn threat_46_owners_of_searches_take_turns() {
        let searching = Arc::new(UnderWay::default());
        let mut hanging = Vec::new();
        for n in 0..CALLS.inside {
            hanging.push(searching.turn(&OwnerId::new(format!("m{n}"))).await.unwrap());
        }
        let wait = |owner: String| {
            let searching = searching.clone();
            tokio::spawn(async move { searching.turn(&OwnerId::new(owner)).await })
        };
        // a runtime of one thread comes to each of them in so many rounds
        let all_wait = async || {
            for _ in 0..CALLS.inside {
                tokio::task::yield_now().await;
            }
        };
        // all whose first call still hangs
        let his: Vec<_> = (1..CALLS.inside).map(|n| wait(format!("m{n}"))).collect();
        all_wait().await;
        let hers = wait("alice".to_owned());
        all_wait().await;
        drop(hanging.remove(0));
        let hers = hers.await.unwrap();
        assert!(hers.is_some() && his.iter().all(|one| !one.is_finished()), "his come behind her");
    }

    #[test]
    fn threat_46_s28_the_last_try_is_within_a_day() {
        let pauses: i64 = (0..MAX_TRIES - 1).map(pause_after).sum();
        assert!((3_600..SEARCH_LIFETIME).contains(&pauses), "{pauses}");
        assert!(pauses + pause_after(MAX_TRIES - 1) > SEARCH_LIFETIME);
    }
}
