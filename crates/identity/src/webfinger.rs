//! WebFinger for the accounts here (RFC 7033): whoever knows an address learns which issuer it leads to, so that an owner
//! can bring her authorization server to a resource server by her address (protocol.md 2).

use crate::{Failure, Identity};
use types::webfinger::{DescriptorLink, ISSUER_RELATION, ResourceDescriptor};
use types::{ErrorCode, Refusal};

impl Identity {
    /// What `resource` is (`acct:` and a verified address), with the links that `rels` name; all where it names none.
    pub async fn webfinger(&self, resource: &str, rels: &[&str], address: &str) -> Result<ResourceDescriptor, Failure> {
        self.limits.count_webfinger(address, self.now())?;
        let unknown = || Failure::Refused(Refusal::new(ErrorCode::NotFound, "nobody of this address is known here"));
        let account = resource.strip_prefix("acct:").and_then(types::email::normalize).ok_or_else(|| {
            Refusal::new(ErrorCode::InvalidRequest, "`resource` must be an address, like acct:alice@foo.example")
        })?;
        // addresses of this server's own domain are all answered alike: who has an account is nobody's business. Of others,
        // only those are known that somebody proved here
        if !self.is_of_own_domain(&account) {
            self.store.find_account_by_email(&account).await?.ok_or_else(unknown)?;
        }
        let issuer = DescriptorLink { rel: ISSUER_RELATION.to_owned(), href: Some(self.issuer().to_owned()) };
        let links = if rels.is_empty() || rels.contains(&ISSUER_RELATION) { vec![issuer] } else { Vec::new() };
        Ok(ResourceDescriptor { subject: Some(resource.to_owned()), links })
    }

    /// Whether the address is of the host that this server is.
    fn is_of_own_domain(&self, address: &str) -> bool {
        let issuer = url::Url::parse(self.issuer()).ok();
        let host = issuer.as_ref().and_then(url::Url::host_str);
        host.is_some() && types::email::domain_of(address).as_deref() == host
    }
}
