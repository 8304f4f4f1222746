//! How many authorization servers one owner brings (row 46). What such a server names may lie at another's place, where each
//! server has its turns: so nobody has turns without end. One at which nothing of hers is registered makes room for the next.
//! Called where she chooses one, and again where its link is kept.

use super::super::Gateway;
use super::super::store::{Link, LinkState};
use super::waiting::Brought;
use crate::protection::ProtectionError;
use std::collections::BTreeSet;
use types::ScopeSet;
use types::token::TokenResponse;

/// Of one owner, those of the operator's list apart.
pub(super) const MOST_BROUGHT: usize = 16;

/// What an owner is told who has no room.
pub(in super::super) const FULL: &str = "you have as many authorization servers of your own here as one owner may have (16), and \
     all of them guard something: place what one of them guards elsewhere, or withdraw this resource server there, and try again";

/// Whether one more has room.
enum RoomFor {
    It,
    /// Once one of these has gone, the oldest first.
    ItInsteadOf(Vec<(String, Link)>),
}

impl Gateway {
    /// Whether she may bring it. What she has already stays.
    pub(in super::super) fn has_room(&self, owner: &str, issuer: &str) -> Result<bool, ProtectionError> {
        Ok(match self.find_room(owner, issuer)? {
            RoomFor::It => true,
            RoomFor::ItInsteadOf(unused) => !unused.is_empty(),
        })
    }

    fn find_room(&self, owner: &str, issuer: &str) -> Result<RoomFor, ProtectionError> {
        let mut brought = self.store.list_links(owner)?;
        brought.retain(|(of, link)| !self.is_listed(of) && link.state != LinkState::Withdrawn);
        if self.is_listed(issuer) || brought.len() < MOST_BROUGHT || brought.iter().any(|(of, _)| of == issuer) {
            return Ok(RoomFor::It);
        }
        let used: BTreeSet<String> = self.store.list_registrations(owner)?.into_iter().map(|one| one.issuer).collect();
        // what she has not placed is registered at this one, as soon as somebody calls
        let usual = self.preferred_server(owner)?;
        brought.retain(|(of, _)| Some(of) != usual.as_ref() && !used.contains(of));
        brought.sort_by_key(|(_, link)| link.created);
        Ok(RoomFor::ItInsteadOf(brought))
    }

    /// Makes room for this one; whether there is some.
    pub(in super::super) async fn make_room(&self, owner: &str, issuer: &str) -> Result<bool, ProtectionError> {
        let RoomFor::ItInsteadOf(unused) = self.find_room(owner, issuer)? else { return Ok(true) };
        for (of, link) in unused {
            // one that somebody works with is not unused
            let turn = self.link_turn(owner, &of).await;
            let Ok(_held) = turn.try_lock() else { continue };
            self.store.put_link(owner, &of, &Link { state: LinkState::Withdrawn, ..link.clone() }).await?;
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
    Brought { owner, issuer, tokens, account, is_owner: false, state, expires: link.expires }
}
