//! The owner's side of a gateway (protocol.md 2, 3), as far as it goes: what she has here and where it is registered, the
//! credentials by which her own tokens count here, and the tokens that she has withdrawn. Each call needs an RMT of `[gateway.management]`'s issuer, which is
//! asked about it.

use super::{Behind, Gateway, PatBy};
use crate::challenge::plain;
use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use jose::did;
use jose::possession::{self, Claimed};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use types::available_resource::{AvailableResource, ChosenServer, PatState, Registration, RegistrationState};
use types::credential::{CredentialChallenge, CredentialDocument, CredentialRegistration, CredentialType};
use types::token::UMA_MANAGEMENT;
use types::{ResourceId, Timestamp};

/// Before all of it.
pub(super) const BASE: &str = "/.wayleave/manage";
const MAX_BODY: usize = 64 * 1024;
/// Most credentials of one owner.
const MAX_CREDENTIALS: usize = 50;

/// Who may issue RMTs (`[gateway.management]`).
#[derive(Clone, Debug)]
pub struct Management {
    pub issuer: String,
    /// What names the owner: `preferred_username` or `sub`.
    pub owner_claim: String,
}

/// A token that does not count any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Withdrawn {
    pub(crate) jti: String,
    pub(crate) exp: Timestamp,
}

type Answer = Result<Response, Response>;

fn refuse(status: StatusCode, error: &str, what: &str) -> Response {
    (status, Json(json!({"error": error, "error_description": what}))).into_response()
}

fn not_found() -> Response {
    refuse(StatusCode::NOT_FOUND, "not_found", "nothing of yours is here")
}

fn invalid(what: &str) -> Response {
    refuse(StatusCode::BAD_REQUEST, "invalid_request", what)
}

fn unavailable() -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "this cannot be kept right now: try again")
}

impl Gateway {
    /// Everything below [`BASE`].
    pub(super) async fn manage(&self, parts: &Parts, body: Body, path: &str) -> Response {
        let answer = match self.managing_owner(parts).await {
            Ok(owner) => self.managed(&owner, parts, body, path).await,
            Err(refusal) => Err(refusal),
        };
        let mut response = answer.unwrap_or_else(|refusal| refusal);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// The owner whose RMT this is.
    async fn managing_owner(&self, parts: &Parts) -> Result<String, Response> {
        let Some(management) = &self.settings.management else { return Err(plain(StatusCode::NOT_FOUND, "Nothing is here.")) };
        let token = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let unauthorized = || {
            let what = "send an access token with scope `uma_management` for this resource server";
            let mut response = refuse(StatusCode::UNAUTHORIZED, "invalid_token", what);
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        };
        let Some((_, token)) = token else { return Err(unauthorized()) };
        let away = |_| refuse(StatusCode::BAD_GATEWAY, "temporarily_unavailable", "the issuer of your token does not answer");
        let metadata = self.client.discover(&management.issuer).await.map_err(away)?;
        let answer = self.client.introspect(&metadata, token.trim()).await.map_err(away)?;
        if !answer.active || answer.aud.as_deref() != Some(&self.settings.resource) || answer.cnf.is_some() {
            return Err(unauthorized());
        }
        if !answer.scope.as_deref().unwrap_or_default().split(' ').any(|scope| scope == UMA_MANAGEMENT) {
            return Err(refuse(StatusCode::FORBIDDEN, "insufficient_scope", "this needs the scope `uma_management`"));
        }
        let owner = if management.owner_claim == "sub" { answer.sub } else { answer.username };
        owner.filter(|owner| self.has_owner(owner)).ok_or_else(not_found)
    }

    async fn managed(&self, owner: &str, parts: &Parts, body: Body, path: &str) -> Answer {
        let path: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (parts.method.as_str(), path.as_slice()) {
            ("GET", ["my-resources"]) => self.list_resources(owner, parts).await,
            ("GET", ["my-resources", id]) => {
                let id = percent_encoding::percent_decode_str(id).decode_utf8().map_err(|_| not_found())?;
                let all = self.available_resources(owner).await;
                let one = all.into_iter().find(|resource| resource.own_id().is_some_and(|own| own.as_str() == id));
                one.map(|resource| Json(resource).into_response()).ok_or_else(not_found)
            }
            ("GET", ["authorization-servers"]) => Ok(Json([self.chosen_server(owner)]).into_response()),
            ("GET", ["my-credentials"]) => Ok(Json(self.store.list_credentials(owner)).into_response()),
            ("POST", ["my-credentials"]) => self.register_credential(owner, read(body).await?).await,
            ("GET", ["my-credentials", id]) => {
                let found = self.store.list_credentials(owner).into_iter().find(|credential| credential.id == *id);
                found.map(|credential| Json(credential).into_response()).ok_or_else(not_found)
            }
            ("DELETE", ["my-credentials", id]) => {
                let gone = self.store.delete_credential(owner, id).await.map_err(|_| unavailable())?;
                if gone { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(not_found()) }
            }
            ("GET", ["my-withdrawn-tokens"]) => Ok(Json(self.store.list_withdrawn(owner)).into_response()),
            ("POST", ["my-withdrawn-tokens"]) => {
                let withdrawn: Withdrawn = read(body).await?;
                if withdrawn.jti.is_empty() || withdrawn.jti.len() > 128 {
                    return Err(invalid("`jti` must be the one of a token"));
                }
                self.store.withdraw(owner, &withdrawn, self.client.clock.now()).await.map_err(|_| unavailable())?;
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            (
                _,
                ["my-resources"]
                | ["my-resources", _]
                | ["authorization-servers"]
                | ["my-credentials"]
                | ["my-credentials", _]
                | ["my-withdrawn-tokens"],
            ) => Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "unsupported_method_type", "this cannot be done here")),
            _ => Err(not_found()),
        }
    }

    /// A page of what she has here (protocol.md 1.1: `limit`, `after`, and a link to the next).
    async fn list_resources(&self, owner: &str, parts: &Parts) -> Answer {
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let limit = query.get("limit").map_or(Ok(100), |text| text.parse::<usize>());
        let limit = limit.ok().filter(|limit| (1..=1_000).contains(limit));
        let limit = limit.ok_or_else(|| invalid("`limit` must be a number from 1 to 1000"))?;
        let behind = |resource: &AvailableResource| match (query.get("after"), resource.own_id()) {
            (Some(after), Some(own)) => own.as_str() > after.as_str(),
            _ => true,
        };
        let mut all: Vec<_> = self.available_resources(owner).await.into_iter().filter(behind).collect();
        let more = all.len() > limit;
        all.truncate(limit);
        let last = all.last().and_then(AvailableResource::own_id).filter(|_| more).cloned();
        let mut response = Json(all).into_response();
        if let Some(last) = last {
            let after: String = form_urlencoded::byte_serialize(last.as_str().as_bytes()).collect();
            let link = format!("<{}{BASE}/my-resources?limit={limit}&after={after}>; rel=\"next\"", self.settings.resource);
            response.headers_mut().extend(HeaderValue::from_str(&link).ok().map(|link| (header::LINK, link)));
        }
        Ok(response)
    }

    /// What this owner has here, registered or not, by its own id.
    async fn available_resources(&self, owner: &str) -> Vec<AvailableResource> {
        let routes = self.routes();
        let mut found: BTreeMap<String, Option<ResourceId>> =
            self.store.list_registrations(owner).into_iter().map(|(own_id, id)| (own_id, Some(id))).collect();
        if let Behind::Folder(folder) = &self.settings.behind {
            for path in super::backend::walk(folder).await {
                let matched = super::route::find(&routes, &path).filter(|matched| matched.owner.as_deref() == Some(owner));
                found.extend(matched.filter(|m| !found.contains_key(&m.own_id)).map(|matched| (matched.own_id, None)));
            }
        }
        let describe = |(own_id, id): (String, Option<ResourceId>)| {
            let path = super::path::CanonicalPath::parse(&own_id).ok();
            let route = routes.iter().find(|route| route.makes(path.as_ref(), &own_id))?;
            let description = self.description(route, &own_id);
            let registered = |id: ResourceId| Registration {
                id: id.as_str().to_owned(),
                authorization_server: self.settings.authorization_server.clone(),
                authorization_server_resource_id: id,
                registered_scopes: description.resource_scopes.clone(),
                state: RegistrationState::Active,
            };
            let registrations = id.into_iter().map(registered).collect();
            Some(AvailableResource { description, registrations })
        };
        found.into_iter().filter_map(describe).collect()
    }

    fn chosen_server(&self, owner: &str) -> ChosenServer {
        let linked = self.store.find_link(owner).is_some() || self.settings.pat == PatBy::ClientCredentials;
        let encoded: String = form_urlencoded::byte_serialize(owner.as_bytes()).collect();
        ChosenServer {
            issuer: self.settings.authorization_server.clone(),
            pat: if linked { PatState::Active } else { PatState::None },
            authorize_uri: format!("{}/.wayleave/link?owner={encoded}", self.settings.resource),
        }
    }

    async fn register_credential(&self, owner: &str, registration: CredentialRegistration) -> Answer {
        let subject = registration.cred_value.get("id").and_then(Value::as_str).unwrap_or_default();
        if registration.cred_type != CredentialType::Did {
            return Err(invalid("this resource server takes credentials of `cred_type` `did`"));
        }
        let keys = did::keys_of(subject).map_err(|error| invalid(&format!("`cred_value`: {error}")))?;
        let claimed = Claimed { owner, credential: subject, audience: &self.settings.resource };
        let now = self.client.clock.now();
        let missing = || "sign the challenge with the credential's key, and send it as `proof`".to_owned();
        let proven = registration.proof.as_ref().ok_or_else(missing);
        if let Err(what) = proven.and_then(|proof| self.challenger.check(proof, &keys, &claimed, now)) {
            let challenge = CredentialChallenge {
                error: "invalid_proof".to_owned(),
                error_description: what,
                challenge: self.challenger.challenge(&claimed, now),
                expires_in: possession::LIFETIME,
            };
            return Err((StatusCode::BAD_REQUEST, Json(challenge)).into_response());
        }
        if self.store.find_credential(owner, subject).is_some() {
            return Err(refuse(StatusCode::CONFLICT, "invalid_request", "this credential is registered already"));
        }
        if self.store.list_credentials(owner).len() >= MAX_CREDENTIALS {
            return Err(invalid("at most 50 credentials: withdraw one first"));
        }
        let document = CredentialDocument {
            id: jose::ambient::random_text::<16>(&*self.client.randomness),
            cred_type: registration.cred_type,
            cred_value: registration.cred_value.clone(),
            created: now,
            last_used: None,
        };
        self.store.put_credential(owner, subject, &document).await.map_err(|_| unavailable())?;
        let location = format!("{}{BASE}/my-credentials/{}", self.settings.resource, document.id);
        Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(document)).into_response())
    }
}

async fn read<T: for<'de> Deserialize<'de>>(body: Body) -> Result<T, Response> {
    let too_long = |_| refuse(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", "the body is too long");
    let bytes = axum::body::to_bytes(body, MAX_BODY).await.map_err(too_long)?;
    types::json::parse(&bytes).map_err(|error| invalid(&error.to_string()))
}

/// Whether a path is one of ours.
pub(super) fn is_managed(path: &str) -> bool {
    path.strip_prefix(BASE).is_some_and(|rest| rest.starts_with('/'))
}
