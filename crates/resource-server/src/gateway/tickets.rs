//! Tickets for calls that cannot pass (protocol.md 2.1): at which authorization server, and for what is registered there.
//! Called by `admission.rs`.

use super::Gateway;
use super::admission::Call;
use super::peer::Peer;
use super::questions::Work;
use super::store::Registered;
use super::told::Destination;
use crate::challenge::unauthorized;
use crate::guard::Need;
use crate::protection::ProtectionError;
use axum::response::Response;
use client::credential;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use outbound::Party;
use std::sync::Arc;
use types::challenge::UmaChallenge;
use types::peer::Caller;
use types::permission::ServerPermissionRequest;
use types::{OwnResourceId, PermissionRequest, ResourceId};

impl Gateway {
    /// A challenge with a ticket.
    pub(super) async fn challenge(self: &Arc<Self>, call: &Call<'_>) -> Result<Box<Response>, ProtectionError> {
        let owner = call.wanted.owner.as_str();
        let at = |issuer: &str| Destination { owner: owner.to_owned(), issuer: issuer.to_owned() };
        let mut last = None;
        if call.guarding.iter().all(|guarding| guarding.is_empty())
            && let Some(issuer) = self.preferred_server(owner).await?.filter(|issuer| self.is_server_level(issuer))
        {
            let peer = self.peer(&issuer).await?;
            let _place = self.wait_for_ticket(&issuer, call.caller).await?;
            let ticket = self.asking_for(&at(&issuer), self.server_ticket(&peer, call)).await?;
            return Ok(self.challenge_of(issuer, ticket));
        }
        for issuer in self.issuers_for_tickets(call).await? {
            let chosen: Option<Vec<&Registered>> =
                call.needs.iter().zip(&call.guarding).map(|(need, all)| narrowest(need, all, &issuer, self)).collect();
            let Some(chosen) = chosen else { continue };
            let peer = match self.peer(&issuer).await {
                Ok(peer) => peer,
                Err(error) => {
                    last = Some(error);
                    continue;
                }
            };
            let _place = self.wait_for_ticket(&issuer, call.caller).await?;
            let ticket = self.asking_for(&at(&issuer), self.ticket(&peer, owner, call.needs, &chosen, call.caller)).await;
            match ticket {
                Ok(ticket) => return Ok(self.challenge_of(issuer, ticket)),
                Err(error) => last = Some(error),
            }
            // whom the client named, or else the owner's own: others are not tried in its place
            break;
        }
        match last {
            Some(error) => Err(error),
            None => Err(self.find_nobody_to_ask(owner).await?),
        }
    }

    /// A ticket of this server for things of an owner; none: not all of them are registered there with what is needed.
    pub(super) async fn ticket_at(
        &self,
        issuer: &str,
        owner: &str,
        needs: &[Need],
        caller: Option<Caller>,
    ) -> Result<Option<String>, ProtectionError> {
        let mut chosen = Vec::with_capacity(needs.len());
        for need in needs {
            let all = self.store.registrations(owner, &OwnResourceId::new(need.resource.as_str())).await?;
            let guarding: Vec<Registered> =
                all.iter().filter(|one| one.guards() && self.is_trusted(&one.issuer)).cloned().collect();
            let Some(one) = narrowest(need, &guarding, issuer, self) else { return Ok(None) };
            chosen.push(one.clone());
        }
        let (peer, chosen) = (self.peer(issuer).await?, chosen.iter().collect::<Vec<_>>());
        let _place = self.wait_for_ticket(issuer, caller).await?;
        let destination = Destination { owner: owner.to_owned(), issuer: issuer.to_owned() };
        self.asking_for(&destination, self.ticket(&peer, owner, needs, &chosen, caller)).await.map(Some)
    }

    /// Why nobody could be asked for a ticket.
    async fn find_nobody_to_ask(&self, owner: &str) -> Result<ProtectionError, ProtectionError> {
        if self.preferred_server(owner).await?.is_none() {
            return Ok(ProtectionError::Unlinked);
        }
        // one that does not count as long as nobody answers for it is as good as away
        Ok(self.find_place_for_new(owner).await.err().unwrap_or(ProtectionError::Unauthorized))
    }

    fn challenge_of(&self, issuer: String, ticket: String) -> Box<Response> {
        Box::new(unauthorized(&UmaChallenge {
            realm: Some(self.settings.name.clone()),
            as_uri: issuer,
            ticket,
            resource_metadata: Some(self.metadata_url()),
        }))
    }

    /// A ticket for what the owner signed, by the gateway's own ids; of several credentials of hers, by the latest.
    async fn server_ticket(&self, peer: &Arc<Peer>, call: &Call<'_>) -> Result<String, ProtectionError> {
        let (owner, by) = (call.wanted.owner.as_str(), Work::Calls.of(call.caller));
        let credentials = self.list_counting_credentials(owner).await?.into_iter();
        let latest = credentials.max_by_key(|credential| credential.created);
        let signer = latest.and_then(|latest| credential::subject_of(latest.cred_type, &latest.cred_value).ok());
        let signer = signer.ok_or_else(|| ProtectionError::Refused("the owner has registered no key here".into()))?;
        let wanted: Vec<ServerPermissionRequest> = call
            .needs
            .iter()
            .map(|need| ServerPermissionRequest {
                resource_id: OwnResourceId::new(need.resource.as_str()),
                resource_scopes: need.scopes.clone(),
                resource_owner_id: Some(signer.clone()),
            })
            .collect();
        let ask = |pat: String| {
            let (wanted, by) = (wanted.clone(), by.clone());
            async move { peer.protection.request_server_ticket(&pat, &wanted, &by).await }.boxed()
        };
        self.with_pat(owner, peer.issuer(), ask).await
    }

    /// The one that the client names, if it guards all of it; then the owner's, and the others.
    async fn issuers_for_tickets(&self, call: &Call<'_>) -> Result<Vec<String>, ProtectionError> {
        let preferred = self.preferred_server(&call.wanted.owner).await?;
        let mut issuers = call.issuers();
        issuers.sort_by_key(|issuer| (Some(issuer.as_str()) != call.chosen, Some(issuer) != preferred.as_ref()));
        Ok(issuers)
    }

    /// A ticket. Where the server refuses it, what it knows of the resources may be old: it is told anew, or registered
    /// again where it has forgotten them.
    pub(super) async fn ticket(
        &self,
        peer: &Arc<Peer>,
        owner: &str,
        needs: &[Need],
        chosen: &[&Registered],
        caller: Option<Caller>,
    ) -> Result<String, ProtectionError> {
        let by = Work::Calls.of(caller);
        let permissions = |ids: &[Option<ResourceId>]| -> Vec<PermissionRequest> {
            let pairs = needs.iter().zip(ids);
            pairs
                .filter_map(|(need, id)| {
                    Some(PermissionRequest { resource_id: id.clone()?, resource_scopes: need.scopes.clone() })
                })
                .collect()
        };
        let ids: Vec<_> = chosen.iter().map(|one| one.resource_id.clone()).collect();
        let (wanted, issuer) = (permissions(&ids), peer.issuer());
        match self.with_pat(owner, issuer, |pat| asked(peer, pat, wanted.clone(), by.clone())).await {
            Err(ProtectionError::Refused(why)) => {
                tracing::info!(why, owner, issuer, "resources are told anew");
                let mut ids = Vec::new();
                for registered in chosen {
                    ids.push(self.tell_current(peer, registered).await?);
                }
                let wanted = permissions(&ids);
                self.with_pat(owner, issuer, |pat| asked(peer, pat, wanted.clone(), by.clone())).await
            }
            other => other,
        }
    }
}

fn asked(peer: &Peer, pat: String, wanted: Vec<PermissionRequest>, by: Party) -> BoxFuture<'_, Result<String, ProtectionError>> {
    async move { peer.protection.request_ticket(&pat, &wanted, &by).await }.boxed()
}

/// Of what is registered of a resource there, that with the fewest scopes that still hold all that is needed.
fn narrowest<'a>(need: &Need, all: &'a [Registered], issuer: &str, gateway: &Gateway) -> Option<&'a Registered> {
    let scopes = |one: &Registered| gateway.scopes_of(one);
    let holds = |one: &&Registered| one.issuer == issuer && one.resource_id.is_some() && need.scopes.is_subset(&scopes(one));
    all.iter().filter(holds).min_by_key(|one| scopes(one).len())
}
