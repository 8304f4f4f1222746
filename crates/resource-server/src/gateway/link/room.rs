//! How many authorization servers one owner brings (row 46). What such a server names may lie at another's place, where each
//! server has its turns: so nobody has turns without end. One at which nothing of hers is registered makes room for the next.
//! Called where she chooses one, and again where its link is kept.

use super::super::Gateway;
use super::super::store::{Link, LinkState};
use super::waiting::Brought;
use crate::protection::ProtectionError;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use types::ScopeSet;
use types::token::TokenResponse;

/// Of one owner, those of the operator's list apart.
pub(super) const MOST_BROUGHT: usize = 16;

/// Of those that ended.
const MOST_ENDED: usize = 16;
/// At which nobody of this gateway was before, within an hour: it keeps what it is there.
const MOST_NEW_AN_HOUR: usize = 60;
const HOUR: Duration = Duration::from_secs(3_600);
/// Owners whose are counted before a look whose hour is over.
const MANY_OWNERS: usize = 1_000;

pub(super) const TOO_MANY_NEW: &str = "you have begun with many new authorization servers within an hour: try again later";

/// What an owner is told who has no room.
pub(in super::super) const FULL: &str = "you have as many authorization servers of your own here as one owner may have (16), and \
     all of them guard something: place what one of them guards elsewhere, or withdraw this resource server there, and try again";

/// One owner's since her hour began.
struct NewServers {
    since: Instant,
    count: usize,
}

/// How many servers that are new here each owner begins with.
#[derive(Default)]
pub(in super::super) struct Introductions(Mutex<HashMap<String, NewServers>>);

impl Introductions {
    pub(super) fn may_begin(&self, owner: &str, now: Instant) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |new: &NewServers| now.saturating_duration_since(new.since) >= HOUR;
        if all.len() >= MANY_OWNERS {
            all.retain(|_, new| !is_over(new));
        }
        let new = all.entry(owner.to_owned()).or_insert(NewServers { since: now, count: 0 });
        if is_over(new) {
            *new = NewServers { since: now, count: 0 };
        }
        new.count = new.count.saturating_add(1);
        new.count <= MOST_NEW_AN_HOUR
    }
}

/// Whether one more has room.
enum RoomFor {
    It,
    /// Once one of these has gone, the oldest first.
    ItInsteadOf(Vec<(String, Link)>),
}

impl Gateway {
    /// Whether she may bring it. What she has already stays.
    pub(in super::super) async fn has_room(&self, owner: &str, issuer: &str) -> Result<bool, ProtectionError> {
        Ok(match self.find_room(owner, issuer).await? {
            RoomFor::It => true,
            RoomFor::ItInsteadOf(unused) => !unused.is_empty(),
        })
    }

    async fn find_room(&self, owner: &str, issuer: &str) -> Result<RoomFor, ProtectionError> {
        let mut brought = self.store.list_links(owner).await?;
        brought.retain(|(of, link)| !self.is_listed(of) && link.state != LinkState::Withdrawn);
        if self.is_listed(issuer) || brought.len() < MOST_BROUGHT || brought.iter().any(|(of, _)| of == issuer) {
            return Ok(RoomFor::It);
        }
        let used: BTreeSet<String> = self.store.list_registrations(owner).await?.into_iter().map(|one| one.issuer).collect();
        // what she has not placed is registered at this one, as soon as somebody calls
        let usual = self.preferred_server(owner).await?;
        brought.retain(|(of, _)| Some(of) != usual.as_ref() && !used.contains(of));
        brought.sort_by_key(|(_, link)| link.created);
        Ok(RoomFor::ItInsteadOf(brought))
    }

    /// Forgets those that ended first, where she has many that have ended: each of her links is read with many calls.
    async fn forget_ended(&self, owner: &str, issuer: &str) -> Result<(), ProtectionError> {
        let mut ended = self.store.list_links(owner).await?;
        ended.retain(|(of, link)| link.state == LinkState::Withdrawn && of != issuer && !self.is_listed(of));
        ended.sort_by_key(|(_, link)| link.created);
        for (of, _) in ended.iter().take(ended.len().saturating_sub(MOST_ENDED)) {
            self.store.delete_link(owner, of).await?;
        }
        Ok(())
    }

    /// Makes room for this one; whether there is some.
    pub(in super::super) async fn make_room(&self, owner: &str, issuer: &str) -> Result<bool, ProtectionError> {
        self.forget_ended(owner, issuer).await?;
        let RoomFor::ItInsteadOf(unused) = self.find_room(owner, issuer).await? else { return Ok(true) };
        for (of, link) in unused {
            // one that somebody works with is not unused
            let turn = self.link_turn(owner, &of).await;
            let Ok(_held) = turn.try_lock() else { continue };
            let withdrawn = Link { state: LinkState::Withdrawn, renewal_asked: None, ..link.clone() };
            if !self.store.replace_link(owner, &of, &link, &withdrawn).await? {
                continue;
            }
            tracing::info!(owner, issuer = of, "a server that guards nothing of hers makes room for another");
            self.give_back_later(vec![brought_of(owner, of, link)]);
            return Ok(true);
        }
        Ok(false)
    }
}

/// A link as it came.
fn brought_of(owner: &str, issuer: String, link: Link) -> Brought {
    let tokens = TokenResponse {
        access_token: link.access_token,
        token_type: "Bearer".to_owned(),
        expires_in: None,
        refresh_token: link.refresh_token,
        scope: None,
        id_token: None,
        pct: None,
        upgraded: None,
        resource: None,
        scopes_not_granted: ScopeSet::new(),
    };
    let (owner, account, state) = (owner.to_owned(), link.account, String::new());
    Brought { owner, issuer, tokens, account, is_owner: false, state, expires: link.expires, by: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_46_an_owner_begins_with_so_many_new_servers_an_hour() {
        let (all, now) = (Introductions::default(), Instant::now());
        let begun = (0..1_000).filter(|_| all.may_begin("mallory", now)).count();
        assert!(begun == MOST_NEW_AN_HOUR && all.may_begin("alice", now) && !all.may_begin("mallory", now + HOUR / 2));
        assert!(all.may_begin("mallory", now + HOUR));
        for n in 0..2 * MANY_OWNERS {
            all.may_begin(&n.to_string(), now + 3 * HOUR * u32::try_from(n).unwrap());
        }
        assert!(all.0.lock().unwrap().len() <= MANY_OWNERS);
    }
}
