//! Pushed authorization requests (RFC 9126).

use crate::authorization::{PushedRequest, REQUEST_URI};
use crate::{AuthenticatedClient, Changes, Failure, Form, Identity, Write};
use serde::Serialize;
use types::ErrorCode;

/// Seconds that a pushed request waits.
pub const LIFETIME: i64 = 90;

/// Answer of the endpoint (RFC 9126 2.2).
#[derive(Serialize)]
pub struct Pushed {
    pub request_uri: String,
    pub expires_in: i64,
}

impl Identity {
    /// Keeps the request; it is checked now, so that errors reach the client and not the person.
    pub async fn push(&self, client: &AuthenticatedClient, mut form: Form, dpop_jkt: Option<String>) -> Result<Pushed, Failure> {
        form.check_unrepeated()?;
        if form.one("request_uri")?.is_some() {
            return Failure::refuse(ErrorCode::InvalidRequest, "a pushed request cannot name another one");
        }
        let uri = form.one("redirect_uri")?;
        let known = match uri {
            Some(uri) => client.redirect_uris.iter().any(|own| own == uri),
            None => client.redirect_uris.len() == 1,
        };
        if !known {
            return Failure::refuse(ErrorCode::InvalidRequest, "`redirect_uri` must be one that is registered for this client");
        }
        self.check_parameters(client, &form).await?;
        for secret in ["client_secret", "client_assertion", "client_assertion_type"] {
            form.remove(secret);
        }
        form.set("client_id", client.id.as_str());
        let id = jose::ambient::random_text::<32>(&*self.randomness);
        let request = PushedRequest {
            id: id.clone(),
            client: client.id.clone(),
            form: form.encode(),
            dpop_jkt,
            expires: self.now().plus(LIFETIME),
        };
        self.store.commit(Changes::of(vec![Write::PutPushedRequest(request)])).await?;
        Ok(Pushed { request_uri: format!("{REQUEST_URI}{id}"), expires_in: LIFETIME })
    }
}
