//! The client that sends somebody to claims interaction, and where she goes on afterwards (Grant 3.3.2). While these are not
//! right, an error is a page and never a redirect.

use crate::AuthorizationServer;
use crate::claims_interaction::{InteractionError, page};
use identity::{Client, Failure, Form, Unfit};
use std::sync::Arc;
use types::ClientId;
use url::Url;

impl AuthorizationServer {
    /// Registered claims redirect URIs match by simple string comparison, for every client (3.3.2); those of an application
    /// on somebody's own machine with any port (RFC 8252 7.3).
    pub(crate) async fn check_claims_client(&self, form: &Form, from: &str) -> Result<(Arc<Client>, String), InteractionError> {
        let id = form.one("client_id").map_err(Failure::from)?;
        let id = id.ok_or_else(|| page("the application did not say who it is (`client_id`)"))?;
        let client = self.identity.store.find_client(&ClientId::from(id)).await.map_err(Failure::from)?;
        let client = client.ok_or_else(|| {
            self.identity.tell_unfit(Unfit::Unknown(id), from);
            page("no application is known here under this `client_id`")
        })?;
        let asked = form.one("claims_redirect_uri").map_err(Failure::from)?;
        let uri = match (asked, client.claims_redirect_uris.as_slice()) {
            (Some(uri), registered) if identity::redirect_uri::is_registered(registered, uri) => uri.to_owned(),
            (Some(uri), _) => {
                self.identity.tell_unfit(Unfit::Place { client: &client, list: "claims_redirect_uris", uri }, from);
                return Err(page(
                    "the application wants to go on at a place that is not registered for it (`claims_redirect_uri`)",
                ));
            }
            (None, [only]) => only.clone(),
            (None, _) => return Err(page("the application did not say where to go on (`claims_redirect_uri`)")),
        };
        match Url::parse(&uri) {
            Ok(url) if url.fragment().is_none() => Ok((client, uri)),
            _ => Err(page("the place to go on must be an absolute URI without fragment (`claims_redirect_uri`)")),
        }
    }
}
