//! A browser that a client sent here with a request, and where an error of it leads (RFC 9700 4.11.2). Called for the
//! authorization endpoint and for the claims interaction endpoint.

use crate::consent::Consent;
use crate::session::Session;
use crate::{Client, Failure, Identity, redirect_uri};
use std::sync::Arc;
use url::Url;

/// The browser that brings a request.
pub struct Visitor<'a> {
    /// Whoever is logged in.
    pub session: Option<&'a Session>,
    pub address: &'a str,
}

/// Where an error of a client's request leads.
pub struct WayBack {
    pub client: Arc<Client>,
    /// With the error in it.
    pub url: String,
}

impl WayBack {
    pub(crate) fn of(client: &Arc<Client>, url: String) -> Self {
        Self { client: client.clone(), url }
    }
}

impl Identity {
    /// Whether an error may take a browser to its client before the person decided anything. Anybody may register a client that
    /// leads anywhere, so that by itself it goes only where that harms nobody: to a client of the operator's, to her own
    /// machine, to whom she let in before, or back where she `came_from` (RFC 9700 4.11.2).
    pub async fn may_send_back(
        &self,
        back: &WayBack,
        session: Option<&Session>,
        came_from: Option<&str>,
    ) -> Result<bool, Failure> {
        let origin = |url: &str| Url::parse(url).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
        let target = origin(&back.url);
        if back.client.declared || redirect_uri::is_loopback(&back.url) {
            return Ok(true);
        }
        if target.is_some() && target == came_from.and_then(origin) {
            return Ok(true);
        }
        let Some(session) = session else { return Ok(false) };
        let consents = self.store.list_consents(&session.account).await?;
        Ok(consents.iter().any(|consent| consent.client == back.client.id && is_where_it_led(consent, &back.url)))
    }
}

fn is_where_it_led(consent: &Consent, url: &str) -> bool {
    consent.shown.as_ref().is_none_or(|shown| shown.place == redirect_uri::lasting_place_of(url))
}
