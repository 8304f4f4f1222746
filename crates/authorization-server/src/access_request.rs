//! Requests that wait for the owner (protocol.md 1.4): joined by processes, read and ended by her. Her answers are in
//! [`crate::deciding`].

use crate::AuthorizationServer;
use crate::acting::Acting;
use crate::changes::{Changes, Requirement, Write};
use crate::history_limits::Line;
use crate::news::News;
use crate::page::{Soon, page_of_seen};
use crate::store::Page;
use identity::{CommitError, Failure};
use rules::AccessRequest;
use rules::access_request::State;
use rules::claim::{Claims, RequestingParty};
use types::access_request::{AccessRequestDocument, AccessRequestState, RequestingClient};
use types::event::{EventKind, EventOutcome};
use types::spelling::readable;
use types::{AccessRequestId, ClientId, ErrorCode, OwnerId, PermissionRequest, Refusal, ScopeSet};

const DUE_AT_ONCE: usize = 100;

fn not_found() -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::NotFound, "no request to you has this id"))
}

/// Who asks for what of whom.
pub(crate) struct Asking<'a> {
    pub owner: &'a OwnerId,
    pub client: &'a ClientId,
    pub requesting_party: &'a RequestingParty,
    pub claims: &'a Claims,
    pub message: Option<&'a str>,
    /// The block of addresses that the client calls from.
    pub network: Option<&'a str>,
}

impl AuthorizationServer {
    /// Ids of the requests that a process waits for: pending ones that it joins, and a new one for
    /// what nobody has asked yet, written with `changes`. The limits hold if that is committed (protocol.md 1.4): whoever
    /// calls this has a turn at the owner's inbox until then.
    pub(crate) async fn submit(
        &self,
        asking: &Asking<'_>,
        ask: Vec<PermissionRequest>,
        changes: &mut Changes,
    ) -> Result<Vec<AccessRequestId>, Failure> {
        let now = self.now();
        let key = AccessRequest::key(asking.owner, asking.client, asking.requesting_party);
        let pending: Vec<_> =
            self.store.list_access_requests_by_key(&key).await?.into_iter().filter(|r| r.is_pending(now)).collect();
        let mut joined = Vec::new();
        let mut rest = Vec::new();
        for permission in ask {
            let mut left = ScopeSet::new();
            for scope in permission.resource_scopes {
                match pending.iter().find(|request| request.asks_for(&permission.resource_id, &scope)) {
                    Some(request) if joined.contains(&request.id) => {}
                    Some(request) => joined.push(request.id.clone()),
                    None => drop(left.insert(scope)),
                }
            }
            if !left.is_empty() {
                rest.push(PermissionRequest { resource_id: permission.resource_id, resource_scopes: left });
            }
        }
        if !rest.is_empty() {
            let request = self.new_request(asking, rest);
            let gone = self.make_room(&request, changes).await?;
            joined.push(request.id.clone());
            if gone.is_empty() || self.writes_line_of_full_inbox(&request) {
                changes.writes.push(Write::AppendEvent(self.request_event(&request, EventKind::RequestSubmitted, None)));
                changes.writes.extend(gone);
            }
            changes.writes.push(Write::PutAccessRequest(request));
        }
        Ok(joined)
    }

    fn new_request(&self, asking: &Asking<'_>, permissions: Vec<PermissionRequest>) -> AccessRequest {
        let now = self.now();
        // ids sort by time, so that lists show the newest first
        let id = self.event(asking.owner, EventKind::RequestSubmitted).document.id;
        AccessRequest {
            id: AccessRequestId::new(id.as_str()),
            owner: asking.owner.clone(),
            client: asking.client.clone(),
            requesting_party: asking.requesting_party.clone(),
            claims: asking.claims.clone(),
            permissions,
            created: now,
            expires_at: now.plus(self.settings.request_lifetime),
            state: State::Pending,
            delegation: None,
            instead_of: Vec::new(),
            message: asking.message.map(str::to_owned),
            network: asking.network.map(|network| self.origin_of(network)),
            version: 0,
        }
    }

    /// Nobody reads from the store where somebody was.
    fn origin_of(&self, network: &str) -> String {
        rules::inbox::origin_of(network, |text| self.identity.keys.keyed_digest("network of a request", text.as_bytes()))
    }

    /// Keeps an inbox readable (threat 32): what gives way goes in the commit that brings the new one, and nothing else may
    /// have come meanwhile. What her history says of it is given back.
    pub(crate) async fn make_room(&self, new: &AccessRequest, changes: &mut Changes) -> Result<Vec<Write>, Failure> {
        let now = self.now();
        let version = self.store.find_inbox_version(&new.owner).await?;
        let mut waiting = self.store.list_waiting_requests(&new.owner, now.plus(self.settings.request_lifetime)).await?;
        waiting.retain(|request| request.is_pending(now));
        let gone =
            rules::inbox::make_room(&waiting, new).map_err(|full| Refusal::new(ErrorCode::RequestDenied, full.to_string()))?;
        let mut lines = Vec::new();
        for old in waiting.iter().filter(|request| gone.contains(&request.id)) {
            changes.requires.push(Requirement::AccessRequestUnchanged { id: old.id.clone(), version: old.version });
            lines.push(Write::AppendEvent(self.request_event(old, EventKind::RequestExpired, None)));
            changes.writes.push(Write::DeleteAccessRequest { owner: old.owner.clone(), id: old.id.clone() });
        }
        changes.requires.push(Requirement::InboxUnchanged { owner: new.owner.clone(), version });
        changes.writes.push(Write::RaiseInbox(new.owner.clone()));
        Ok(lines)
    }

    /// Where one request after the other pushes out the last one, not each of them is a line of her history.
    fn writes_line_of_full_inbox(&self, new: &AccessRequest) -> bool {
        let (network, text) = (new.network.as_deref().unwrap_or_default(), new.id.as_str());
        let line = Line { owner: &new.owner, client: &new.client, declared: false, network, text };
        self.history_limits.take(&line, self.now()).is_some()
    }

    pub(crate) fn request_event(&self, request: &AccessRequest, kind: EventKind, by: Option<&OwnerId>) -> crate::Event {
        let mut event = self.event(&request.owner, kind);
        event.document.client_id = Some(request.client.clone());
        event.document.claims = request.claims.to_object();
        event.document.name_things(request.permissions.iter().map(|permission| &permission.resource_id));
        event.document.scopes = request.permissions.iter().fold(ScopeSet::new(), |all, p| all.union(&p.resource_scopes));
        event.document.by = by.map(|by| by.as_str().to_owned());
        event.document.outcome = match kind {
            EventKind::RequestSubmitted => Some(EventOutcome::Submitted),
            // what was approved and ends refused nobody
            EventKind::RequestDenied if !matches!(request.state, State::Approved { .. }) => Some(EventOutcome::Denied),
            EventKind::RequestApproved => Some(EventOutcome::Granted),
            _ => None,
        };
        event
    }

    /// The request that a process waits for, as it is called now: where she undid her answer to it, it has another name. Only
    /// those of this key are looked at: whoever asked asks as the same person and client.
    pub(crate) async fn find_awaited(&self, id: &AccessRequestId, key: &str) -> Result<Option<AccessRequest>, Failure> {
        if let Some(found) = self.store.find_access_request(id).await? {
            return Ok(Some(found));
        }
        let asked = self.store.list_access_requests_by_key(key).await?;
        Ok(asked.into_iter().find(|request| request.instead_of.contains(id)))
    }

    /// Commits, and then tells whoever listens which requests came or were decided.
    pub(crate) async fn commit_and_tell(&self, changes: Changes) -> Result<(), CommitError> {
        let news: Vec<News> = changes
            .writes
            .iter()
            .filter_map(|write| match write {
                Write::PutAccessRequest(request) => Some(News {
                    owner: request.owner.clone(),
                    kind: if request.state == State::Pending { "request" } else { "decision" },
                    id: request.id.clone(),
                }),
                _ => None,
            })
            .collect();
        self.store.commit(changes).await?;
        for one in news {
            if one.kind == "request" {
                self.digests.note(one.owner.clone());
                self.notices.note(one.owner.clone(), one.id.clone(), self.now());
            }
            self.news.tell(one);
        }
        Ok(())
    }

    /// What time alone does: requests run out, and ended ones are forgotten after a while. Called by the wiring.
    pub async fn tend_access_requests(&self) -> Result<(), Failure> {
        loop {
            let now = self.now();
            let due = self.store.list_due_access_requests(now, DUE_AT_ONCE).await?;
            let count = due.len();
            for request in due {
                let (owner, id, version) = (request.owner.clone(), request.id.clone(), request.version);
                let mut changes = Changes::default();
                changes.requires.push(Requirement::AccessRequestUnchanged { id: id.clone(), version });
                match request.overdue(now) {
                    Some(now_is) => {
                        // one that was decided is only given its time
                        if now_is.state == State::Expired {
                            let event = self.request_event(&now_is, EventKind::RequestExpired, None);
                            changes.writes.push(Write::AppendEvent(event));
                        }
                        changes.writes.push(Write::PutAccessRequest(now_is));
                    }
                    None => changes.writes.push(Write::DeleteAccessRequest { owner, id }),
                }
                match self.commit_and_tell(changes).await {
                    // decided at the last moment: that stands
                    Ok(()) | Err(CommitError::Changed) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if count < DUE_AT_ONCE {
                return Ok(());
            }
        }
    }

    /// The owner's inbox, newest first; and the id behind which it goes on, if it does.
    pub async fn list_access_requests(
        &self,
        acting: &Acting,
        page: &Page<AccessRequestId>,
    ) -> Result<(Vec<AccessRequestDocument>, Option<AccessRequestId>), Failure> {
        let read = |page: Page<AccessRequestId>| -> Soon<'_, _> {
            Box::pin(async move { Ok(self.store.list_access_requests(&acting.owner, &page).await?) })
        };
        let see = |request: AccessRequest| -> Soon<'_, _> {
            Box::pin(async move {
                match self.sees_request(acting, &request).await? {
                    true => Ok(Some(self.request_document(&request).await?)),
                    false => Ok(None),
                }
            })
        };
        page_of_seen(page, |request: &AccessRequest| request.id.clone(), read, see).await
    }

    /// One request.
    pub async fn read_access_request(&self, acting: &Acting, id: &AccessRequestId) -> Result<AccessRequestDocument, Failure> {
        self.request_document(&self.own_request(acting, id).await?).await
    }

    pub(crate) async fn own_request(&self, acting: &Acting, id: &AccessRequestId) -> Result<AccessRequest, Failure> {
        let found = self.store.find_access_request(id).await?.filter(|request| request.owner == acting.owner);
        let request = found.ok_or_else(not_found)?;
        if self.sees_request(acting, &request).await? { Ok(request) } else { Err(not_found()) }
    }

    pub(crate) async fn request_document(&self, request: &AccessRequest) -> Result<AccessRequestDocument, Failure> {
        let client = self.identity.store.find_client(&request.client).await?;
        let state = match &request.state {
            State::Pending if self.now() >= request.expires_at => AccessRequestState::Expired,
            State::Expired => AccessRequestState::Expired,
            State::Pending => AccessRequestState::Pending,
            State::Approved { .. } => AccessRequestState::Approved,
            State::Denied { .. } => AccessRequestState::Denied,
        };
        Ok(AccessRequestDocument {
            id: request.id.clone(),
            state,
            created: request.created,
            expires_at: request.expires_at,
            client: RequestingClient {
                client_id: request.client.clone(),
                name: client.as_ref().and_then(|client| client.name.as_deref()).map(readable),
                verified: client.is_some_and(|client| client.declared),
            },
            requesting_party: request.claims.to_object(),
            permissions: match &request.state {
                State::Approved { permissions, .. } => permissions.clone(),
                _ => request.permissions.clone(),
            },
            approved_until: match &request.state {
                State::Approved { until, .. } => Some(*until),
                _ => None,
            },
            message: request.message.clone(),
        })
    }

    /// `DELETE {access_requests_endpoint}/{_id}`: an approval is withdrawn at once.
    pub async fn delete_access_request(&self, acting: &Acting, id: &AccessRequestId) -> Result<(), Failure> {
        let request = self.own_request(acting, id).await?;
        self.store.commit(Changes::of(self.deletion_of_request(acting, &request)?)).await?;
        Ok(())
    }

    pub(crate) fn deletion_of_request(&self, acting: &Acting, request: &AccessRequest) -> Result<Vec<Write>, Failure> {
        acting.made(request.delegation.as_deref())?;
        let mut writes = vec![Write::DeleteAccessRequest { owner: request.owner.clone(), id: request.id.clone() }];
        if matches!(request.state, State::Approved { .. } | State::Pending) {
            writes.push(Write::AppendEvent(self.request_event(request, EventKind::RequestDenied, Some(acting.account()))));
        }
        Ok(writes)
    }
}
