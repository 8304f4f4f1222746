//! Which authorization server somebody's address leads to (WebFinger RFC 7033, OpenID Connect Discovery 2). Called where
//! an owner brings a server by her address (protocol.md 2, 5.4).

use crate::{Client, ClientError};
use outbound::Request;
use types::webfinger::{ISSUER_RELATION, JRD, ResourceDescriptor, WEBFINGER};
use url::Url;

const REDIRECTS: usize = 2;

impl Client {
    /// The issuer that an address leads to; at most two redirects, https (http in a laboratory alone).
    pub async fn issuer_of(&self, address: &str) -> Result<String, ClientError> {
        let no_address = || ClientError::protocol("this is no e-mail address: nobody is asked about it");
        let address = &types::email::normalize_reachable(address).ok_or_else(no_address)?;
        let domain = address.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
        let mut last = ClientError::protocol("nothing was asked");
        for scheme in ["https", "http"] {
            match self.issuer_by(scheme, domain, address).await {
                Ok(issuer) => return Ok(issuer),
                // plain http is only spoken where the operator allows it: elsewhere this is refused as well
                Err(error) if scheme == "https" => last = error,
                Err(_) => {}
            }
        }
        Err(last)
    }

    pub(crate) async fn issuer_by(&self, scheme: &str, domain: &str, address: &str) -> Result<String, ClientError> {
        let resource = format!("acct:{address}");
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("resource", resource.as_str()), ("rel", ISSUER_RELATION)])
            .finish();
        let mut url = format!("{scheme}://{domain}{WEBFINGER}?{query}");
        for _ in 0..=REDIRECTS {
            let answer = self.outbound.send(Request::get(&url).header("accept", JRD)).await?;
            if answer.status.is_redirection() {
                let next = answer.header("location").and_then(|to| Url::parse(&url).ok()?.join(to).ok());
                let next = next.filter(|next| next.scheme() == scheme || next.scheme() == "https");
                url = next.ok_or_else(|| ClientError::protocol(format!("`{domain}` leads nowhere")))?.into();
                continue;
            }
            if let Some(error) = crate::refusal::not_now(&answer, &format!("`{domain}` does not answer right now")) {
                return Err(error);
            }
            if answer.status != 200 {
                return Err(ClientError::protocol(format!("`{domain}` knows no authorization server for this address")));
            }
            let read = types::answer::parse::<ResourceDescriptor>(&answer.body, &[]);
            let descriptor =
                read.map_err(|error| ClientError::protocol(format!("WebFinger of `{domain}` does not read: {error}")))?;
            let issuer = descriptor.links.into_iter().find(|link| link.rel == ISSUER_RELATION).and_then(|link| link.href);
            return issuer.ok_or_else(|| ClientError::protocol(format!("`{domain}` names no authorization server")));
        }
        Err(ClientError::protocol(format!("`{domain}` leads from place to place")))
    }
}
