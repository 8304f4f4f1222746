//! Whom a request of the UMA grant speaks of: what the process gathered, a PCT and a claim token (protocol.md 1.3).

use super::parameters::Parameters;
use crate::AuthorizationServer;
use crate::changes::Changes;
use crate::claims::Brought;
use crate::claims_interaction::claims_of;
use identity::Failure;
use identity::token::TokenRequest;
use rules::claim::Claim;
use rules::rpt::Basis;
use rules::ticket::Process;
use rules::{AnotherPerson, Ticket};
use serde_json::json;
use types::token::ID_TOKEN_FORMAT;

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
        self.rest_on_owners_rpt(request, asked, process).await?;
        Ok(Taken { gathered, pushed_now: brought == Brought::Claims, another })
    }

    /// Where nothing else says who asks, an RPT does that the client brings for more, if its owner let this client reach what is
    /// hers at this resource server and has not ended it since (decision 0067). It says so for a client that proved itself: a
    /// token that somebody found makes nobody its owner.
    async fn rest_on_owners_rpt(
        &self,
        request: &TokenRequest<'_>,
        asked: &Presented<'_>,
        process: &mut Process,
    ) -> Result<(), Failure> {
        let is_open = !process.requesting_party.is_known() && !request.client.is_public();
        let (Some(text), ticket) = (asked.parameters.rpt.filter(|_| is_open), asked.ticket) else { return Ok(()) };
        let Some((_, rpt)) = self.find_rpt_to_upgrade(text, ticket).await? else { return Ok(()) };
        let is_of_place = rpt.owner == ticket.owner && rpt.resource_server == ticket.resource_server;
        let is_of_client = rpt.client == request.client.id && rpt.cnf == request.jkt;
        if !is_of_place || !is_of_client || rpt.by_own_id != ticket.signer.is_some() || rpt.expires <= self.now() {
            return Ok(());
        }
        for consent in rpt.scopes.iter().flat_map(|granted| &granted.basis).filter_map(Basis::owners_consent) {
            if let Some(consent) = self.find_owners_reach(consent).await? {
                process.as_owner = Some(consent);
                process.requesting_party = rpt.requesting_party.clone();
                self.note_word(process, &rpt.requesting_party, rpt.issued);
                return self.state_owner(ticket, process).await;
            }
        }
        Ok(())
    }

    /// Who she is, as her history tells it and as she stated it before.
    async fn state_owner(&self, ticket: &Ticket, process: &mut Process) -> Result<(), Failure> {
        let Some(account) = self.identity.store.find_account(&ticket.owner).await? else { return Ok(()) };
        let sub = [("sub".to_owned(), json!(account.id))];
        for (name, value) in claims_of(&account).into_iter().chain(sub) {
            let (issuer, format) = (self.issuer().clone(), ID_TOKEN_FORMAT.into());
            process.claims.state(Claim { name, value, issuer, format, auth_time: None });
        }
        Ok(())
    }
}
