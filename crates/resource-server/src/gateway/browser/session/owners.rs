//! That what a session holds is its owner's: the authorization server knows her again by the token itself, for more of what is hers
//! here, so that she is asked once in a session and not for each thing (decision 0067). Whether she is the owner is the word of
//! the server that guards the thing, told with each call that it lets in.

use super::super::super::Gateway;
use super::super::super::passage::Whole;
use super::{Grant, Held, Session};

impl Session {
    /// Whether this server knows her again where things of this owner are asked for. Where another person has come to the session
    /// meanwhile, it says that it does not, and she shows who she is as ever.
    pub(in super::super) fn is_known_at(&self, issuer: &str, owner: &str) -> bool {
        self.pct_at(issuer).is_some() || self.find_grant_at(owner, issuer).is_some_and(|grant| grant.is_owners)
    }

    fn note_owner(&mut self, owner: &str, issuer: &str) {
        let its = |grant: &&mut Grant| grant.owner == owner && grant.issuer == issuer;
        self.grants.iter_mut().filter(its).for_each(|grant| grant.is_owners = true);
    }
}

impl Gateway {
    /// Writes down that a call of a session was its owner's, once for each server and owner.
    pub(in super::super) async fn note_owner(&self, held: Option<Held>, whole: &Whole) -> Option<Held> {
        let mut held = held?;
        for (owner, issuer) in whole.owners() {
            let is_new = held.session.find_grant_at(owner, issuer).is_some_and(|grant| !grant.is_owners);
            if !is_new {
                continue;
            }
            match self.change_session(&held.cookie, |session| session.note_owner(owner, issuer)).await {
                Ok(Some(session)) => held.session = session,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "that a session is its owner's could not be written down: she is asked again")
                }
            }
        }
        Some(held)
    }
}
