//! Members of a registration that change how a client is answered (RFC 7591 2, OpenID Connect Dynamic Client Registration
//! 2, RFC 9101, 9126, 9701). What registration answers is what is done (RFC 7591 3.2.1): a member that asks for something
//! this server does not do is refused, for a client that believes it was taken would wait for it, or rely on it. Members
//! that only describe the client, and those that nobody here understands, are left out of the answer.

use super::bad;
use crate::Failure;
use crate::id_token::ALGORITHMS;
use serde_json::{Map, Value};
use types::ErrorCode;
use types::client::{AuthMethod, ClientMetadata};
use types::spelling::is_invisible;

/// Characters of a name.
const MAX_TEXT: usize = 200;
const MAX_SCOPES: usize = 200;
const MAX_GRANTS: usize = 16;
/// Redirect URIs of each kind, and bytes of a URI.
const MAX_URIS: usize = 32;
const MAX_URI_BYTES: usize = 2048;
/// Longest registration with all that is in it, in bytes: strangers leave these.
const MAX_BYTES: usize = 16 * 1024;

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
    for (member, text) in [
        ("client_name", &metadata.client_name),
        ("software_id", &metadata.software_id),
        ("software_version", &metadata.software_version),
    ] {
        let Some(text) = text else { continue };
        if text.chars().count() > MAX_TEXT {
            return Err(bad(format!("`{member}` has at most {MAX_TEXT} characters")));
        }
        if let Some(hidden) = find_hidden(text) {
            let code = u32::from(hidden);
            return Err(bad(format!("`{member}` is text on one line, which people can read: leave out U+{code:04X}")));
        }
    }
    let scopes = metadata.scope.as_deref().unwrap_or_default().split(' ').count();
    let grants = metadata.grant_types.as_ref().map_or(0, Vec::len);
    if scopes > MAX_SCOPES || grants > MAX_GRANTS {
        return Err(bad(format!("a client has at most {MAX_SCOPES} scopes (`scope`), and each of `grant_types` once")));
    }
    check_lengths(metadata)?;
    match types::json::size_of(metadata) {
        size if size > MAX_BYTES => {
            Err(bad(format!("a registration has at most {MAX_BYTES} bytes, with `jwks`: this one has {size}")))
        }
        _ => Ok(()),
    }
}

/// What nobody sees, or what turns the words beside it. Writing that joins its letters, and pictures, have characters that
/// only say how to.
fn find_hidden(text: &str) -> Option<char> {
    let joins = |c: char| matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}');
    let mut before = ' ';
    text.chars().find(|c| {
        let joined = joins(*c) && !before.is_ascii();
        before = *c;
        c.is_control() || (is_invisible(*c) && !joined)
    })
}

fn check_lengths(metadata: &ClientMetadata) -> Result<(), Failure> {
    let claims_redirect_uris = metadata.claims_redirect_uris.as_deref().unwrap_or_default();
    for (member, uris) in [
        ("redirect_uris", metadata.redirect_uris.as_slice()),
        ("claims_redirect_uris", claims_redirect_uris),
        ("post_logout_redirect_uris", &metadata.post_logout_redirect_uris),
    ] {
        if uris.len() > MAX_URIS || uris.iter().any(|uri| uri.len() > MAX_URI_BYTES) {
            let what = format!("`{member}` has at most {MAX_URIS} URIs of at most {MAX_URI_BYTES} bytes");
            return Failure::refuse(ErrorCode::InvalidRedirectUri, what);
        }
    }
    for (member, uri) in
        [("jwks_uri", &metadata.jwks_uri), ("resource", &metadata.resource), ("client_uri", &metadata.client_uri)]
    {
        if uri.as_ref().is_some_and(|uri| uri.len() > MAX_URI_BYTES) {
            return Err(bad(format!("`{member}` has at most {MAX_URI_BYTES} bytes")));
        }
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
