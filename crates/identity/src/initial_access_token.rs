//! Initial access tokens (RFC 7591 3, protocol.md 1.7): sent by mail to somebody at a domain, good once, for a client
//! of that domain, and worth a higher limit of registrations - nothing else. Made by whoever sends the mail
//! (`authorization-server/invitation.rs`); checked by registration.

use crate::changes::SpentId;
use crate::{Failure, Identity};
use jose::{Algorithm, UnverifiedJws};
use serde::{Deserialize, Serialize};
use types::client::ClientMetadata;
use types::{ErrorCode, Refusal, Timestamp};
use url::Url;

const TYPE: &str = "initial-access+jwt";
/// Seconds until one ends: mail may lie for a while.
const LIFETIME: i64 = 7 * 86_400;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    jti: String,
    exp: Timestamp,
    domain: String,
}

/// One that is good, and not yet used.
pub(crate) struct Invitation {
    pub(crate) domain: String,
    pub(crate) spent: SpentId,
}

impl Identity {
    /// A token for somebody at this domain, in its normal form.
    pub fn initial_access_token(&self, domain: &str) -> Result<String, Failure> {
        let claims = Claims {
            iss: self.issuer().to_owned(),
            aud: self.url(types::path::REGISTER),
            jti: self.random_id(),
            exp: self.now().plus(LIFETIME),
            domain: domain.to_owned(),
        };
        let key = self.keys.signing_key(Algorithm::EdDsa, self.now())?;
        key.sign(TYPE, &claims).map_err(crate::internal)
    }

    /// Checks one that came with a registration; whether it was used before is for the commit to say.
    pub(crate) fn check_initial_access_token(&self, token: &str, metadata: &ClientMetadata) -> Result<Invitation, Failure> {
        let refuse = |what: &str| Failure::Refused(Refusal::new(ErrorCode::InvalidToken, what));
        let keys = self.keys.own_key_set(self.now());
        let jws = UnverifiedJws::parse(token).and_then(|jws| jws.expect_type(TYPE)).and_then(|jws| jws.verify(&keys));
        let not_good = || refuse("this initial access token is not good here: register without one, or ask for another");
        let claims = jws.and_then(|jws| jws.claims::<Claims>()).map_err(|_| not_good())?.into_inner();
        if claims.iss != self.issuer() || claims.aud != self.url(types::path::REGISTER) || claims.exp <= self.now() {
            return Err(not_good());
        }
        if let Some(foreign) = places(metadata).find(|place| !is_of(place, &claims.domain)) {
            let what = format!("this initial access token is for clients of `{}`, and `{foreign}` is elsewhere", claims.domain);
            return Err(refuse(&what));
        }
        let (id, expires, made) = (claims.jti.clone(), claims.exp, Some(claims.exp.plus(LIFETIME.saturating_neg())));
        let spent = SpentId { kind: "initial_access_token", issuer: String::new(), id, expires, made };
        Ok(Invitation { domain: claims.domain.clone(), spent })
    }
}

/// Every URL by which a client says where it is.
fn places(metadata: &ClientMetadata) -> impl Iterator<Item = &String> {
    let one = [&metadata.client_uri, &metadata.jwks_uri, &metadata.resource].into_iter().flatten();
    let lists = metadata.redirect_uris.iter().chain(&metadata.post_logout_redirect_uris);
    lists.chain(metadata.claims_redirect_uris.iter().flatten()).chain(one)
}

fn is_of(place: &str, domain: &str) -> bool {
    let Ok(url) = Url::parse(place) else { return false };
    // what stands behind a scheme of an application's own is no host of the domain
    let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")).unwrap_or_default();
    host == domain || host.strip_suffix(domain).is_some_and(|below| below.ends_with('.'))
}
