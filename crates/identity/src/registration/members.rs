//! Members of a registration that change how a client is answered (RFC 7591 2, OpenID Connect Dynamic Client Registration
//! 2, RFC 9101, 9126, 9701). What registration answers is what is done (RFC 7591 3.2.1): a member that asks for something
//! this server does not do is refused, for a client that believes it was taken would wait for it, or rely on it. Members
//! that only describe the client, and those that nobody here understands, are left out of the answer.

use super::bad;
use crate::Failure;
use crate::id_token::ALGORITHMS;
use serde_json::{Map, Value};
use types::client::{AuthMethod, ClientMetadata};

/// Characters of a name.
const MAX_TEXT: usize = 200;
const MAX_SCOPES: usize = 200;
const MAX_GRANTS: usize = 16;

/// Nothing of this is done, whatever the value.
const NOT_DONE: [&str; 21] = [
    "userinfo_signed_response_alg",
    "userinfo_encrypted_response_alg",
    "userinfo_encrypted_response_enc",
    "id_token_encrypted_response_alg",
    "id_token_encrypted_response_enc",
    "request_object_signing_alg",
    "request_object_encryption_alg",
    "request_object_encryption_enc",
    "authorization_signed_response_alg",
    "authorization_encrypted_response_alg",
    "authorization_encrypted_response_enc",
    "introspection_signed_response_alg",
    "introspection_encrypted_response_alg",
    "introspection_encrypted_response_enc",
    "sector_identifier_uri",
    "default_max_age",
    "default_acr_values",
    "request_uris",
    "backchannel_logout_uri",
    "frontchannel_logout_uri",
    "initiate_login_uri",
];
/// What would have to be demanded of each request, and is not: only `false` is taken.
const NOT_DEMANDED: [&str; 3] =
    ["require_signed_request_object", "require_pushed_authorization_requests", "tls_client_certificate_bound_access_tokens"];

/// What may be asked for, of what.
struct Choice<'a> {
    member: &'a str,
    asked: Option<&'a str>,
    done: &'a [&'a str],
}

impl Choice<'_> {
    fn check(&self) -> Result<(), Failure> {
        match self.asked.filter(|asked| !self.done.contains(asked)) {
            None => Ok(()),
            Some(asked) => Err(bad(format!("`{}` is one of {} here, not `{asked}`", self.member, self.done.join(", ")))),
        }
    }
}

/// Refuses what would be taken and not done.
pub(super) fn check(metadata: &ClientMetadata) -> Result<(), Failure> {
    for choice in [
        Choice {
            member: "id_token_signed_response_alg",
            asked: metadata.id_token_signed_response_alg.as_deref(),
            done: &ALGORITHMS,
        },
        Choice {
            member: "token_endpoint_auth_signing_alg",
            asked: metadata.token_endpoint_auth_signing_alg.as_deref(),
            done: &ALGORITHMS,
        },
        Choice { member: "subject_type", asked: metadata.subject_type.as_deref(), done: &["public"] },
    ] {
        choice.check()?;
    }
    for response_type in metadata.response_types.iter().flatten() {
        Choice { member: "response_types", asked: Some(response_type), done: &["code"] }.check()?;
    }
    check_texts(metadata)?;
    check_others(&metadata.others)?;
    let alone = metadata.grant_types.as_ref().is_some_and(|grants| grants.iter().any(|grant| grant == "client_credentials"));
    if alone && metadata.token_endpoint_auth_method == Some(AuthMethod::None) {
        return Err(bad("`client_credentials` needs a client that authenticates: `token_endpoint_auth_method` is `none`"));
    }
    Ok(())
}

/// What people read of a client stands on one line, in the order in which it is written, and what is kept of it is short.
fn check_texts(metadata: &ClientMetadata) -> Result<(), Failure> {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    for (member, text) in [
        ("client_name", &metadata.client_name),
        ("software_id", &metadata.software_id),
        ("software_version", &metadata.software_version),
    ] {
        let Some(text) = text else { continue };
        if text.chars().count() > MAX_TEXT || text.chars().any(|c| c.is_control() || turns(c)) {
            return Err(bad(format!("`{member}` has at most {MAX_TEXT} characters, on one line")));
        }
    }
    let scopes = metadata.scope.as_deref().unwrap_or_default().split(' ').count();
    let grants = metadata.grant_types.as_ref().map_or(0, Vec::len);
    if scopes > MAX_SCOPES || grants > MAX_GRANTS {
        return Err(bad(format!("a client has at most {MAX_SCOPES} scopes, and each grant type once")));
    }
    Ok(())
}

fn check_others(others: &Map<String, Value>) -> Result<(), Failure> {
    // null and nothing are as if the member were left out (RFC 7592 2.2)
    let given = |name: &&&str| others.get(**name).is_some_and(|value| !value.is_null() && *value != Value::Array(Vec::new()));
    if let Some(name) = NOT_DONE.iter().find(given) {
        return Err(bad(format!("`{name}` is not done here: leave it out")));
    }
    let demanded = |name: &&&str| given(name) && others.get(**name) != Some(&Value::Bool(false));
    if let Some(name) = NOT_DEMANDED.iter().find(demanded) {
        return Err(bad(format!("`{name}` is not demanded here: leave it out")));
    }
    // the time of log-in is in each ID token, so that `true` is done, too
    if others.get("require_auth_time").is_some_and(|value| !value.is_boolean() && !value.is_null()) {
        return Err(bad("`require_auth_time` must be true or false"));
    }
    let kind = others.get("application_type").filter(|kind| !kind.is_null());
    if kind.is_some_and(|kind| !["web", "native"].iter().any(|one| kind == one)) {
        return Err(bad("`application_type` must be `web` or `native`"));
    }
    Ok(())
}

/// At an update, what the client says of itself must be what it is (RFC 7592 2.2).
pub(super) fn check_same_client(others: &Map<String, Value>, id: &str, has_secret: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let text = |name: &str| others.get(name).filter(|value| !value.is_null()).map(|value| value.as_str().unwrap_or_default());
    if text("client_id").is_some_and(|named| named != id) {
        return Err(bad("`client_id` is not the client whose registration this is"));
    }
    if text("client_secret").is_some_and(|named| !has_secret(named)) {
        return Err(bad("`client_secret` is not this client's: secrets are made here"));
    }
    Ok(())
}
