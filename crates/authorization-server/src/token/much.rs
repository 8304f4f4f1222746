//! Calls that are judged by much: it stays in memory until their answer is saved, so an owner's are judged one after the other
//! (threat 46). Called by the trade of a ticket.

use super::parameters::Parameters;
use super::uma_ticket::Loaded;
use crate::AuthorizationServer;
use crate::permission::count_of;
use crate::turns::Turn;
use identity::Failure;
use identity::token::TokenRequest;
use rules::Ticket;
use rules::ticket::Process;

/// So many policies, a large one counted as several, are little.
const LITTLE: usize = 1_000;

/// What was loaded, the turn at its owner's things, and the one in the line of what is much.
pub(super) struct InTurn {
    pub(super) loaded: Loaded,
    pub(super) _turn: Turn,
    pub(super) _alone: Option<Turn>,
}

impl AuthorizationServer {
    /// Loads what a ticket is judged by. What is much is read once for its size, and anew when it is its turn: whoever waits holds
    /// nothing, neither what was read nor the turn at the owner's things, for which others wait.
    pub(super) async fn load_in_turn(
        &self,
        request: &TokenRequest<'_>,
        ticket: &Ticket,
        process: &Process,
        parameters: &Parameters<'_>,
        tried: usize,
    ) -> Result<InTurn, Failure> {
        let mut alone = None;
        loop {
            let turn = self.turns.take(&ticket.owner, tried).await;
            let loaded = self.load(request, ticket, process, parameters).await?;
            if alone.is_some() || count_of(&loaded.things.policies) <= LITTLE {
                return Ok(InTurn { loaded, _turn: turn, _alone: alone });
            }
            drop((loaded, turn));
            alone = Some(self.heavy.alone(&ticket.owner).await);
        }
    }
}
