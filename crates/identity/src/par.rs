//! Pushed authorization requests (RFC 9126).

use crate::authorization::{PushedRequest, REQUEST_URI};
use crate::way_back::Visitor;
use crate::{AuthenticatedClient, Changes, CommitError, Failure, Form, Identity, Requirement, Unfit, Write, redirect_uri};
use serde::Serialize;
use types::ErrorCode;

/// Seconds that a pushed request waits.
pub const LIFETIME: i64 = 90;
/// Longest request that is kept, in bytes: one that is not pushed would have to fit into a URL.
const MAX_BYTES: usize = 16 * 1024;
/// Seconds that a person has once a browser brought it.
pub(crate) const PAGE_LIFETIME: i64 = 3600;

/// Answer of the endpoint (RFC 9126 2.2).
#[derive(Serialize)]
pub struct Pushed {
    pub request_uri: String,
    pub expires_in: i64,
}

impl Identity {
    /// Keeps the request; it is checked now, so that errors reach the client and not the person. `address`: who sent it.
    pub async fn push(
        &self,
        client: &AuthenticatedClient,
        mut form: Form,
        dpop_jkt: Option<String>,
        address: &str,
    ) -> Result<Pushed, Failure> {
        form.check_unrepeated()?;
        let counted = self.limits.count_pushed(client, address, self.now())?;
        if form.one("request_uri")?.is_some() {
            return Failure::refuse(ErrorCode::InvalidRequest, "a pushed request cannot name another one");
        }
        let uri = form.one("redirect_uri")?;
        let known = match uri {
            Some(uri) => redirect_uri::is_registered(&client.redirect_uris, uri),
            None => client.redirect_uris.len() == 1,
        };
        if !known {
            if let Some(uri) = uri {
                self.tell_unfit(Unfit::Place { client, list: "redirect_uris", uri }, address);
            }
            return Failure::refuse(ErrorCode::InvalidRequest, "`redirect_uri` must be one that is registered for this client");
        }
        self.check_parameters(client, &form).await?;
        self.read_demands(client, &form)?;
        // one key is meant: the proof's, where both are sent (RFC 9449 10.1)
        if let (Some(proven), Some(named)) = (&dpop_jkt, form.one("dpop_jkt")?)
            && proven != named
        {
            return Failure::refuse(ErrorCode::InvalidDpopProof, "`dpop_jkt` is not the key of the DPoP proof: send one of them");
        }
        for secret in ["client_secret", "client_assertion", "client_assertion_type"] {
            form.remove(secret);
        }
        form.set("client_id", client.id.as_str());
        let kept = form.encode();
        if kept.len() > MAX_BYTES {
            return Failure::refuse(ErrorCode::RequestTooLarge, "a pushed request has at most 16 KiB: send less");
        }
        let id = jose::ambient::random_text::<32>(&*self.randomness);
        let request = PushedRequest {
            id: id.clone(),
            client: client.id.clone(),
            form: kept,
            dpop_jkt,
            expires: self.now().plus(LIFETIME),
            taken: None,
        };
        if let Err(refused) = self.pushed_limits.count_kept(client, address, request.form.len(), self.now()) {
            counted.give_back();
            return Err(refused);
        }
        self.store.commit(Changes::of(vec![Write::PutPushedRequest(request)])).await?;
        Ok(Pushed { request_uri: format!("{REQUEST_URI}{id}"), expires_in: LIFETIME })
    }

    /// A browser brought it in time (RFC 9126 2.2): from now on the person has the time that pages give - to log in here or
    /// elsewhere, to read, to load the page again. It is good for one answer still. `None`: it was answered just now. What
    /// browsers bring waits longer within limits.
    pub(crate) async fn take_pushed_request(
        &self,
        pushed: PushedRequest,
        visitor: &Visitor<'_>,
    ) -> Result<Option<PushedRequest>, Failure> {
        let now = self.now();
        let Some(client) = self.store.find_client(&pushed.client).await? else { return Ok(None) };
        if !self.pushed_limits.may_wait(&client, visitor, pushed.form.len(), now) {
            return Ok(Some(pushed));
        }
        let taken = PushedRequest { taken: Some(now), expires: now.plus(PAGE_LIFETIME), ..pushed };
        let requires = vec![Requirement::PushedRequestStands(taken.id.clone())];
        match self.store.commit(Changes { requires, writes: vec![Write::PutPushedRequest(taken.clone())] }).await {
            Ok(()) => Ok(Some(taken)),
            Err(CommitError::Changed) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses a pushed request that was answered.
    pub(crate) async fn check_waiting(&self, pushed: Option<&PushedRequest>) -> Result<(), Failure> {
        match pushed {
            Some(pushed) if self.store.find_pushed_request(&pushed.id).await?.is_none() => Failure::refuse(
                ErrorCode::InvalidRequest,
                "this request was answered: go back to the application and start again",
            ),
            _ => Ok(()),
        }
    }
}
