//! Software statements (RFC 7591 2.3): what an issuer that the operator trusts says of a piece of software counts
//! more than what the client says of itself. Called by registration.

use crate::remote_keys::KeyPlace;
use crate::{Failure, Identity};
use jose::{KeySet, UnverifiedJws, base64url, digest};
use serde_json::{Map, Value};
use types::client::ClientMetadata;
use types::{ErrorCode, Issuer, Timestamp};

/// Keys of an issuer.
#[derive(Clone, Debug)]
pub enum IssuerKeys {
    Known(KeySet),
    At(String),
}

/// What a JWT says of itself, and not of the software.
const OF_THE_JWT: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

fn invalid<T>(what: &str) -> Result<T, Failure> {
    Failure::refuse(ErrorCode::InvalidSoftwareStatement, what)
}

impl Identity {
    /// Metadata as the statement has them, where one is sent; and what its registrations are counted by.
    pub(crate) async fn apply_statement(&self, metadata: ClientMetadata) -> Result<(ClientMetadata, Option<String>), Failure> {
        let Some(statement) = metadata.software_statement.clone() else { return Ok((metadata, None)) };
        let Ok(jws) = UnverifiedJws::parse(&statement).and_then(UnverifiedJws::expect_no_own_type) else {
            return invalid("`software_statement` must be a signed JWT");
        };
        let issuer = Issuer::new(jws.claimed("iss").unwrap_or_default());
        let Some(keys) = self.settings.software_statement_issuers.get(&issuer) else {
            return Failure::refuse(
                ErrorCode::UnapprovedSoftwareStatement,
                "the issuer of this software statement is not trusted here: register without one",
            );
        };
        let keys = match keys {
            IssuerKeys::Known(keys) => keys.clone(),
            IssuerKeys::At(uri) => self.fetch_keys(&KeyPlace::declared(uri), |keys| jws.is_by_one_of(keys)).await?,
        };
        let Ok(claims) = jws.verify(&keys).and_then(|jws| jws.claims::<Map<String, Value>>()) else {
            return invalid("the signature of the software statement does not verify");
        };
        let time = |name: &str| claims.get(name).and_then(Value::as_i64).map(Timestamp);
        if time("exp").is_some_and(|exp| exp <= self.now()) || time("nbf").is_some_and(|nbf| nbf > self.now()) {
            return invalid("the software statement has expired, or does not count yet");
        }
        let counted_by = match claims.get("software_id").and_then(Value::as_str) {
            Some(id) => format!("{issuer} {id}"),
            None => base64url::encode(digest::sha256(&[statement.as_bytes()])),
        };
        let mut merged = serde_json::to_value(&metadata).map_err(crate::internal)?;
        if let Some(own) = merged.as_object_mut() {
            own.extend(claims.into_inner().into_iter().filter(|(name, _)| !OF_THE_JWT.contains(&name.as_str())));
            own.insert("software_statement".into(), Value::String(statement));
        }
        match serde_json::from_value(merged) {
            Ok(metadata) => Ok((metadata, Some(counted_by))),
            Err(error) => invalid(&format!("the software statement says something that is no client metadata: {error}")),
        }
    }
}
