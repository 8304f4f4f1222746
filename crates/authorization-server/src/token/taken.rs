//! Whom a request of the UMA grant speaks of: what the process gathered, a PCT and a claim token (protocol.md 1.3).

use super::parameters::Parameters;
use crate::AuthorizationServer;
use crate::changes::Changes;
use crate::claims::Brought;
use identity::Failure;
use identity::token::TokenRequest;
use rules::ticket::Process;
use rules::{AnotherPerson, Ticket};

/// A ticket as it was presented.
pub(super) struct Presented<'a> {
    pub text: &'a str,
    pub ticket: &'a Ticket,
    pub parameters: &'a Parameters<'a>,
}

/// What a request brought of claims.
pub(super) struct Taken {
    /// The process without what a PCT brings.
    pub gathered: Process,
    pub pushed_now: bool,
    pub another: Option<AnotherPerson>,
}

impl AuthorizationServer {
    /// Whom the request speaks of: first the process, then a PCT, then a pushed token. Whoever is somebody else than those
    /// before does not count (protocol.md 1.3). What the process gathered itself goes on in it; a PCT is brought anew.
    pub(super) async fn take_claims(
        &self,
        request: &TokenRequest<'_>,
        asked: &Presented<'_>,
        process: &mut Process,
        changes: &mut Changes,
    ) -> Result<Taken, Failure> {
        let (parameters, mut another) = (asked.parameters, None);
        self.begin_anew_if_taken_back(process).await?;
        let mut pct = match parameters.pct {
            Some(text) => self.find_pct_for(text, request.client).await?,
            None => None,
        };
        let mut known = process.requesting_party.clone();
        if let Some(Err(somebody)) = pct.as_ref().map(|pct| known.admit_all(&pct.requesting_party)) {
            (pct, another) = (None, Some(somebody));
        }
        let brought = match &parameters.claim {
            Some(pushed) => self.take_claim_token(pushed, request.client, asked.text, &known, process, changes).await?,
            None => Brought::Nothing,
        };
        if let Brought::Another(somebody) = brought {
            another = Some(somebody);
        }
        let gathered = process.clone();
        if let Some(pct) = pct {
            match pct.join(process, &asked.ticket.owner, &asked.ticket.resource_server) {
                Ok(()) => self.note_word(process, &pct.requesting_party, pct.issued_at(self.settings.pct_lifetime)),
                Err(somebody) => another = Some(somebody),
            }
        }
        self.leave_out_taken_back(process).await?;
        Ok(Taken { gathered, pushed_now: brought == Brought::Claims, another })
    }
}
