//! Calls that are judged by much: it stays in memory until their answer is saved, so an owner's are judged one after the other
//! (threat 46). Networks take turns before her things, and in a network its clients: whoever asks for the same a thousand times, and
//! hangs up, is waited for by himself alone. Called by the trade of a ticket.

use super::parameters::Parameters;
use super::uma_ticket::Loaded;
use crate::AuthorizationServer;
use crate::permission::count_of;
use crate::turns::{Turn, Turns};
use identity::Failure;
use identity::token::TokenRequest;
use outbound::{Lines, Party, Place, Room};
use rules::Ticket;
use rules::ticket::Process;
use std::time::Duration;
use types::OwnerId;

/// So many policies, a large one counted as several, are little.
const LITTLE: usize = 1_000;
/// One of an owner's is judged by much at a time, and so many wait.
const ROOM: Room = Room { inside: 1, waiting: 60 };
/// Resource servers wait for ten seconds.
const PATIENCE: Duration = Duration::from_secs(8);

/// What was loaded, the turn at its owner's things, and the place in the line of what is much.
pub(super) struct InTurn {
    pub(super) loaded: Loaded,
    pub(super) _turn: Turn,
    pub(super) _alone: Option<Place>,
}

/// The way of one trade to its turn.
struct Way<'a> {
    turns: &'a Turns,
    heavy: &'a Lines,
    owner: &'a OwnerId,
    party: Party,
    tried: usize,
}

impl Way<'_> {
    async fn take_turn(&self) -> Turn {
        self.turns.take(self.owner, self.tried).await
    }

    /// A place in the line of what is much. Whoever waits there holds nothing: the turn at the owner's things, for which others
    /// wait, goes first.
    async fn wait_in_line(&self, turn: Turn) -> Result<Place, Failure> {
        drop(turn);
        let place = self.heavy.enter(self.owner.as_str(), ROOM, &self.party, PATIENCE).await;
        place.ok_or_else(|| Failure::Unavailable("too much is judged for one owner at once".into()))
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
        let network = request.network.clone().unwrap_or_default();
        let party = Party::new([network, request.client.id.as_str().to_owned()]);
        let way = Way { turns: &self.turns, heavy: &self.heavy, owner: &ticket.owner, party, tried };
        let mut alone = None;
        loop {
            let turn = way.take_turn().await;
            let loaded = self.load(request, ticket, process, parameters).await?;
            if alone.is_some() || count_of(&loaded.things.policies) <= LITTLE {
                return Ok(InTurn { loaded, _turn: turn, _alone: alone });
            }
            drop(loaded);
            alone = Some(way.wait_in_line(turn).await?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes without a wait.
    async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::ZERO, future).await.ok()
    }

    fn way<'a>(turns: &'a Turns, heavy: &'a Lines, owner: &'a OwnerId, network: &str) -> Way<'a> {
        Way { turns, heavy, owner, party: Party::new([network.to_owned(), "viewer".to_owned()]), tried: 0 }
    }

    /// Row 46: somebody is judged by much of hers; whoever waits behind keeps nobody from her things.
    #[tokio::test]
    async fn threat_46_whoever_waits_in_the_line_of_what_is_much_holds_no_turn() {
        let (turns, heavy, owner) = (Turns::default(), Lines::default(), OwnerId::new("alice"));
        for tried in [0, 5] {
            let way = Way { tried, ..way(&turns, &heavy, &owner, "net") };
            let judged = way.wait_in_line(way.take_turn().await).await.ok();
            let turn = way.take_turn().await;
            assert!(at_once(turns.alone(&owner)).await.is_none(), "{tried}: it is this trade's turn");
            let mut waiting = Box::pin(way.wait_in_line(turn));
            assert!(at_once(&mut waiting).await.is_none(), "{tried}: it waits");
            assert!(at_once(turns.alone(&owner)).await.is_some(), "{tried}: her things are anybody's turn");
            drop(judged);
            let alone = at_once(waiting).await.and_then(Result::ok);
            assert!(alone.is_some(), "{tried}: it is its turn");
            let next = way.take_turn().await;
            assert!(at_once(way.wait_in_line(next)).await.is_none(), "{tried}: the next one waits");
        }
    }

    /// However many somebody has begun, and whether or not he is still there: everybody else waits for one of them.
    #[tokio::test]
    async fn threat_46_a_crowd_of_one_network_keeps_nobody_else_from_what_is_much() {
        let (turns, heavy, owner) = (Turns::default(), Lines::default(), OwnerId::new("alice"));
        let (his, hers) = (way(&turns, &heavy, &owner, "his"), way(&turns, &heavy, &owner, "hers"));
        let judged = his.wait_in_line(his.take_turn().await).await.ok();
        assert!(judged.is_some());
        let mut crowd = Vec::new();
        for _ in 0..1_800 {
            let mut one = Box::pin(his.wait_in_line(his.take_turn().await));
            let at_once = at_once(&mut one).await;
            // where too many wait, he is told so
            if at_once.is_none() {
                crowd.push(one);
            } else {
                assert!(at_once.is_some_and(|refused| refused.is_err()));
            }
        }
        let mut waiting = Box::pin(hers.wait_in_line(hers.take_turn().await));
        assert!(at_once(&mut waiting).await.is_none());
        // one of his was there before she came
        drop(judged);
        drop(crowd.remove(0));
        assert!(at_once(waiting).await.is_some_and(|place| place.is_ok()), "she is next");
    }
}
