//! Calls that are judged by much: it stays in memory until their answer is saved, so an owner's are judged one after the other
//! (threat 46). Called by the trade of a ticket.

use super::parameters::Parameters;
use super::uma_ticket::Loaded;
use crate::AuthorizationServer;
use crate::permission::count_of;
use crate::turns::{Turn, Turns};
use identity::Failure;
use identity::token::TokenRequest;
use rules::Ticket;
use rules::ticket::Process;
use types::OwnerId;

/// So many policies, a large one counted as several, are little.
const LITTLE: usize = 1_000;

/// What was loaded, the turn at its owner's things, and the one in the line of what is much.
pub(super) struct InTurn {
    pub(super) loaded: Loaded,
    pub(super) _turn: Turn,
    pub(super) _alone: Option<Turn>,
}

/// The way of one trade to its turn.
struct Way<'a> {
    turns: &'a Turns,
    heavy: &'a Turns,
    owner: &'a OwnerId,
    tried: usize,
}

impl Way<'_> {
    async fn take_turn(&self) -> Turn {
        self.turns.take(self.owner, self.tried).await
    }

    /// A turn in the line of what is much. Whoever waits there holds nothing: the turn at the owner's things, for which others wait,
    /// goes first.
    async fn wait_in_line(&self, turn: Turn) -> Turn {
        drop(turn);
        self.heavy.alone(self.owner).await
    }
}

impl AuthorizationServer {
    /// Loads what a ticket is judged by. What is much is read once for its size, and anew when it is its turn: what was read is not
    /// held meanwhile either.
    pub(super) async fn load_in_turn(
        &self,
        request: &TokenRequest<'_>,
        ticket: &Ticket,
        process: &Process,
        parameters: &Parameters<'_>,
        tried: usize,
    ) -> Result<InTurn, Failure> {
        let way = Way { turns: &self.turns, heavy: &self.heavy, owner: &ticket.owner, tried };
        let mut alone = None;
        loop {
            let turn = way.take_turn().await;
            let loaded = self.load(request, ticket, process, parameters).await?;
            if alone.is_some() || count_of(&loaded.things.policies) <= LITTLE {
                return Ok(InTurn { loaded, _turn: turn, _alone: alone });
            }
            drop(loaded);
            alone = Some(way.wait_in_line(turn).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What comes without a wait.
    async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::ZERO, future).await.ok()
    }

    /// Row 46: somebody is judged by much of hers; whoever waits behind keeps nobody from her things.
    #[tokio::test]
    async fn threat_46_whoever_waits_in_the_line_of_what_is_much_holds_no_turn() {
        let (turns, heavy, owner) = (Turns::default(), Turns::default(), OwnerId::new("alice"));
        for tried in [0, 5] {
            let way = Way { turns: &turns, heavy: &heavy, owner: &owner, tried };
            let judged = heavy.alone(&owner).await;
            let turn = way.take_turn().await;
            assert!(at_once(turns.alone(&owner)).await.is_none(), "{tried}: it is this trade's turn");
            let mut waiting = Box::pin(way.wait_in_line(turn));
            assert!(at_once(&mut waiting).await.is_none(), "{tried}: it waits");
            assert!(at_once(turns.alone(&owner)).await.is_some(), "{tried}: her things are anybody's turn");
            drop(judged);
            let _alone = at_once(waiting).await.unwrap_or_else(|| panic!("{tried}: it is its turn"));
            assert!(at_once(heavy.alone(&owner)).await.is_none(), "{tried}: the next one waits");
        }
    }
}
