//! The desk as a self-issued OpenID provider (SIOP v2) for a requesting party: a client asks who she is, she reads what she would
//! sign, and her key answers. The token proves that the key is hers, and nothing else (protocol.md 1.4); `audience` and
//! `ticket_challenge` bind it to an authorization server and one of its tickets (1.3).

use super::keys::{Asking, brought};
use super::things::host_of;
use super::{Desk, Fields, at_desk, leading_to, page, posted, see_other};
use crate::Trouble;
use crate::signing::{Draft, jti_of};
use askama::Template;
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};
use url::Url;

/// Seconds that the token is good; she has a while to read.
const LIFETIME: i64 = 900;
const MAX_PARAMETER: usize = 512;

/// `GET /.well-known/openid-configuration` of the desk itself.
pub(super) async fn metadata(State(manager): Desk) -> Response {
    let url = &manager.settings.url;
    Json(json!({
        "issuer": url, "authorization_endpoint": format!("{url}/self-issued"), "response_types_supported": ["id_token"],
        "response_modes_supported": ["fragment"], "scopes_supported": ["openid"], "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["EdDSA"], "subject_syntax_types_supported": ["did:key"],
        "id_token_types_supported": ["subject_signed_id_token"],
    }))
    .into_response()
}

#[derive(Template)]
#[template(path = "self_issued.html")]
struct SelfIssuedPage<'a> {
    host: String,
    audience: Option<String>,
    id: String,
    did: &'a str,
    open: bool,
    passphrase: bool,
    known: String,
    asking: Asking,
    text: String,
    back: &'a str,
    state: &'a str,
    csrf: &'a str,
}

/// Where the answer goes: the client's own name, on the web, by TLS unless it is on this machine.
fn back_of(fields: &Fields) -> Result<Url, Trouble> {
    let refused = |what: &str| Err(Trouble::Refused(what.to_owned()));
    let (client, redirect) = (fields.one("client_id"), fields.one("redirect_uri"));
    if client.is_empty() || (client != redirect && !redirect.is_empty()) {
        return refused("The application must be called by the place that it goes on at (`client_id` = `redirect_uri`).");
    }
    let Ok(url) = Url::parse(client) else { return refused("The application names no place to go on at.") };
    let here = url.host_str().is_some_and(|host| ["127.0.0.1", "localhost", "[::1]"].contains(&host));
    match url.scheme() == "https" || (url.scheme() == "http" && here) {
        true if url.fragment().is_none() => Ok(url),
        _ => refused("The application wants to go on at a place that is not safe."),
    }
}

/// What a link says stands on the page as a server's name, or not at all (threat 36).
fn server_of(audience: &str) -> Result<String, url::ParseError> {
    let url = Url::parse(audience)?;
    let host = url.host_str().ok_or(url::ParseError::EmptyHost)?;
    Ok(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn answer(back: &Url, fields: &[(&str, &str)], state: &str) -> Response {
    let state = (!state.is_empty()).then_some(("state", state));
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields.iter().copied().chain(state)).finish();
    let mut url = back.clone();
    url.set_fragment(Some(&text));
    see_other(url.as_str())
}

pub(super) async fn show(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    at_desk(manager, &parts.headers, async |manager, person| {
        let back = back_of(&query)?;
        let state = query.one("state");
        // nobody knows the place that such a link leads to: what is wrong with it is said here, and she is not sent on
        // (threat 42)
        let refused =
            |what: &str| Err(Trouble::Refused(format!("The application asks in a way that cannot be answered: {what}.")));
        if query.one("response_type") != "id_token" || !query.one("scope").split(' ').any(|scope| scope == "openid") {
            return refused("`response_type` is `id_token`, and `scope` has `openid`");
        }
        let (nonce, challenge) = (query.one("nonce"), query.one("ticket_challenge"));
        let texts = [nonce, challenge, query.one("audience"), query.one("client_id"), state];
        if nonce.is_empty() || texts.iter().any(|text| text.len() > MAX_PARAMETER) {
            return refused("there must be a `nonce`, and no parameter may be longer than 512 bytes");
        }
        let Some(key) = manager.current_key(&person.owner).await? else {
            return Err(Trouble::Refused("You have no key to show yet. Make one under Keys, and come back.".into()));
        };
        let (audience, now) = (Some(query.one("audience")).filter(|audience| !audience.is_empty()), manager.now());
        let Ok(told) = audience.map(server_of).transpose() else { return refused("`audience` is the URL of a server") };
        let mut claims = json!({"iss": key.did, "sub": key.did, "aud": [query.one("client_id")], "nonce": nonce, "iat": now,
            "exp": now.plus(LIFETIME), "jti": jti_of(manager)});
        if let Some(members) = claims.as_object_mut() {
            if let Some(audience) = audience {
                members.insert("aud".into(), json!([audience, query.one("client_id")]));
            }
            if !challenge.is_empty() {
                members.insert("ticket_challenge".into(), Value::from(challenge));
            }
        }
        let text = serde_json::to_string_pretty(&claims).unwrap_or_default();
        let (id, _) = manager.keep_shown(person, vec![Draft::for_browser(back.to_string(), claims)]);
        let body = ui::render(&SelfIssuedPage {
            host: host_of(&back.origin().ascii_serialization()),
            audience: told,
            id,
            open: manager.opened_key(person).is_some_and(|open| open.did == key.did),
            passphrase: key.kept.is_some(),
            known: key.known(),
            asking: Asking::of(manager, person),
            did: &key.did,
            text,
            back: query.one("client_id"),
            state,
            csrf: &person.csrf,
        });
        let response = page(manager, Some(person), StatusCode::OK, "Show who you are?", "", &body);
        Ok(leading_to(response, &back))
    })
    .await
}

pub(super) async fn decide(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let back = back_of(fields)?;
        if fields.one("decision") != "approve" {
            return Ok(answer(&back, &[("error", "access_denied")], fields.one("state")));
        }
        let passphrase = fields.all("passphrase").next().unwrap_or_default();
        let key = manager.key_for(person, fields.one("did"), passphrase, brought(fields)).await?;
        let (token, shown) = manager.sign_for_browser(person, fields.one("prepared"), &key)?;
        if shown != back.as_str() {
            return Err(Trouble::Refused("What you were shown was for another place. Start again.".into()));
        }
        Ok(answer(&back, &[("id_token", &token)], fields.one("state")))
    })
    .await
}
