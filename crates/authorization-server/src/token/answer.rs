//! Answers of the UMA grant that are no RPT (Grant 3.3.6): `need_info` and `request_submitted` with the
//! next ticket of the process, and `request_denied`, which ends it.

use super::uma_ticket::Answer;
use crate::AuthorizationServer;
use crate::access_request::Asking;
use crate::changes::{Changes, Write};
use crate::history_limits::Line;
use identity::token::TokenRequest;
use identity::{CommitError, Failure};
use rules::Ticket;
use rules::ticket::Process;
use types::event::{EventKind, EventOutcome};
use types::throttle::Taken;
use types::token::{ContinuedProcess, RequiredClaim};
use types::{ErrorCode, PermissionRequest, Refusal, ScopeSet};

/// Longest interval that a hasty client is sent away with, in seconds.
const MAX_INTERVAL: i64 = 300;

impl AuthorizationServer {
    /// Polled before its time: the next ticket with a longer wait, and no assessment.
    pub(super) async fn too_fast(
        &self,
        request: &TokenRequest<'_>,
        ticket: &Ticket,
        mut process: Process,
        changes: Changes,
    ) -> Result<Result<Answer, CommitError>, Failure> {
        let interval = process.interval.unwrap_or(self.settings.poll_interval);
        process.interval = Some(interval.saturating_mul(2).clamp(1, MAX_INTERVAL));
        self.continue_submitted(request, ticket, process, changes).await
    }

    pub(super) async fn need_info(
        &self,
        request: &TokenRequest<'_>,
        ticket: &Ticket,
        process: Process,
        required: Vec<RequiredClaim>,
        mut changes: Changes,
    ) -> Result<Result<Answer, CommitError>, Failure> {
        let expires = self.now().plus(self.settings.ticket_lifetime);
        let next = ticket.clone().next(request.client.id.clone(), expires);
        let next_text = self.next_text(next, &process, &mut changes).await?;
        let line = self.write_refusal(request, ticket, &process, EventOutcome::NeedInfo, &mut changes).await?;
        let answer = ContinuedProcess {
            error: ErrorCode::NeedInfo.as_str().to_owned(),
            error_description: Some(
                "bring one of the required claims with the new ticket, or send the person to `redirect_user`".into(),
            ),
            ticket: next_text,
            required_claims: required,
            redirect_user: Some(self.identity.url(types::path::CLAIMS)),
            interval: None,
        };
        Ok(self.commit_with_line(changes, line).await.map(|()| Answer::Continued(answer)))
    }

    pub(super) async fn submitted(
        &self,
        request: &TokenRequest<'_>,
        ticket: &Ticket,
        mut process: Process,
        ask: Vec<PermissionRequest>,
        message: Option<&str>,
        mut changes: Changes,
    ) -> Result<Result<Answer, CommitError>, Failure> {
        // one after the other asks an owner, so that her limits hold without many tries
        let _turn = self.inboxes.alone(&ticket.owner).await;
        let asking = Asking {
            owner: &ticket.owner,
            client: &request.client.id,
            requesting_party: &process.requesting_party,
            claims: &process.claims,
            message,
            network: request.network.as_deref(),
        };
        process.access_requests = self.submit(&asking, ask, &mut changes).await?;
        process.interval.get_or_insert(self.settings.poll_interval);
        self.continue_submitted(request, ticket, process, changes).await
    }

    async fn continue_submitted(
        &self,
        request: &TokenRequest<'_>,
        ticket: &Ticket,
        process: Process,
        mut changes: Changes,
    ) -> Result<Result<Answer, CommitError>, Failure> {
        let interval = process.interval.unwrap_or(self.settings.poll_interval);
        // a ticket outlives its interval with room to spare (Grant 5.5)
        let expires = self.now().plus(self.settings.ticket_lifetime.max(interval.saturating_mul(3)));
        let mut next = ticket.clone().next(request.client.id.clone(), expires);
        next.not_before = Some(self.now().plus(interval));
        next.stored = true;
        next.permissions = Vec::new();
        changes.writes.push(self.put_process(&next, &process)?);
        let text = self.seal_ticket(&next).await?.ok_or_else(|| identity::internal("a ticket is too long"))?;
        let answer = ContinuedProcess {
            error: ErrorCode::RequestSubmitted.as_str().to_owned(),
            error_description: Some("the owner is asked: come back with the new ticket after `interval` seconds".into()),
            ticket: text,
            required_claims: Vec::new(),
            redirect_user: None,
            interval: Some(interval),
        };
        Ok(self.commit_and_tell(changes).await.map(|()| Answer::Continued(answer)))
    }

    pub(super) async fn denied(
        &self,
        request: &TokenRequest<'_>,
        ticket: &Ticket,
        process: &Process,
        may_ask: bool,
        mut changes: Changes,
    ) -> Result<Result<Answer, CommitError>, Failure> {
        let line = self.write_refusal(request, ticket, process, EventOutcome::Denied, &mut changes).await?;
        if ticket.stored {
            changes.writes.push(Write::DeleteProcess(ticket.process));
        }
        let what = match may_ask {
            true => "the owner's policies do not let this pass: she can be asked, with a new ticket and without `ask_owner`",
            false => "the owner's policies do not let this pass",
        };
        let refusal = Refusal::new(ErrorCode::RequestDenied, what);
        let answer = if may_ask { Answer::MayAsk(refusal) } else { Answer::Denied(refusal) };
        Ok(self.commit_with_line(changes, line).await.map(|()| answer))
    }

    /// A line that was not written counts for nothing.
    async fn commit_with_line(&self, changes: Changes, line: Option<Taken<'_>>) -> Result<(), CommitError> {
        let done = self.store.commit(changes).await;
        if let (Err(_), Some(line)) = (&done, line) {
            line.give_back();
        }
        done
    }

    /// The next ticket's text; what has been gathered, and what does not fit, goes into the process.
    pub(crate) async fn next_text(&self, next: Ticket, process: &Process, changes: &mut Changes) -> Result<String, Failure> {
        let gathered = !process.claims.is_empty() || !process.access_requests.is_empty() || process.requesting_party.is_known();
        let something = gathered || process.wants_email;
        if !something
            && !next.stored
            && let Some(text) = self.seal_ticket(&next).await?
        {
            return Ok(text);
        }
        let next = Ticket { stored: true, permissions: Vec::new(), ..next };
        changes.writes.push(self.put_process(&next, process)?);
        self.seal_ticket(&next).await?.ok_or_else(|| identity::internal("a ticket is too long"))
    }

    /// Writes into the owner's history that nobody was let in, if so much was not written of it already.
    async fn write_refusal(
        &self,
        request: &TokenRequest<'_>,
        ticket: &Ticket,
        process: &Process,
        outcome: EventOutcome,
        changes: &mut Changes,
    ) -> Result<Option<Taken<'_>>, Failure> {
        let said = (outcome, &process.permissions, &process.requesting_party);
        let line = Line {
            owner: &ticket.owner,
            client: &request.client.id,
            declared: request.client.declared,
            network: request.network.as_deref().unwrap_or_default(),
            text: &serde_json::to_string(&said).map_err(identity::internal)?,
        };
        let Some(taken) = self.history_limits.take(&line, self.now()) else { return Ok(None) };
        let mut event = self.event(&ticket.owner, EventKind::RptRefused);
        event.document.client_id = Some(request.client.id.clone());
        event.document.resource_server = Some(self.resource_server_id(&ticket.resource_server).await?);
        event.document.name_things(process.permissions.iter().map(|permission| &permission.resource_id));
        event.document.scopes = process.permissions.iter().fold(ScopeSet::new(), |all, p| all.union(&p.resource_scopes));
        event.document.claims = process.claims.to_object();
        event.document.outcome = Some(outcome);
        changes.writes.push(Write::AppendEvent(event));
        Ok(Some(taken))
    }
}
