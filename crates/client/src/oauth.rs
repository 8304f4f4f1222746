//! The OAuth client: code flow with PKCE, client credentials, refresh, revocation. A resource server
//! gets its PATs here, a manager its PMTs.

mod id_token;

use crate::refusal::{about_tokens, refusal};
use crate::{Client, ClientError};
use jose::{base64url, digest};
use outbound::{Method, Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::client::ClientMetadata;
use types::introspection::Introspection;
use types::metadata::Metadata;
use types::token::TokenResponse;
use types::{ClientId, ScopeSet};
use url::Url;

/// Bytes of a token that a renewal brings.
const MAX_RENEWED_BYTES: usize = 16 * 1_024;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A code flow that has begun; kept where the person's browser cannot read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeFlow {
    pub issuer: String,
    pub state: String,
    verifier: String,
    nonce: String,
    redirect_uri: String,
}

/// What a code flow brought.
pub struct Authorized {
    pub tokens: TokenResponse,
    /// Claims of the ID token, checked.
    pub account: Map<String, Value>,
}

/// What a registration is read for (RFC 7591 3.2.1): of all its members only `client_id` must be there, and what the server
/// tells of the metadata beside decides nothing here.
#[derive(Clone, Deserialize)]
pub struct Registered {
    pub client_id: ClientId,
    #[serde(default)]
    pub client_secret: Option<String>,
}

/// What a log-in is to bring.
#[derive(Clone, Copy, Debug, Default)]
pub struct CodeRequest<'a> {
    pub redirect_uri: &'a str,
    pub scope: &'a str,
    pub login_hint: Option<&'a str>,
    /// The resource server that the token is for (RFC 8707).
    pub resource: Option<&'a str>,
    /// Whether she must prove herself anew, and the answer says when she did (OpenID Connect Core 3.1.2.1).
    pub again: bool,
}

impl Client {
    /// Begins the code flow with PKCE: where to send the person, and what to keep until she comes back.
    pub fn begin_code(
        &self,
        metadata: &Metadata,
        redirect_uri: &str,
        scope: &str,
        login_hint: Option<&str>,
    ) -> Result<(String, CodeFlow), ClientError> {
        let flow = self.new_flow(metadata, redirect_uri);
        let request = CodeRequest { redirect_uri, scope, login_hint, ..CodeRequest::default() };
        let url = at_authorization(metadata, &self.code_parameters(&flow, &request))?;
        Ok((url, flow))
    }

    /// The same, with the request pushed where the server takes that (RFC 9126): the browser then carries a name for it
    /// alone.
    pub async fn begin_pushed(&self, metadata: &Metadata, request: &CodeRequest<'_>) -> Result<(String, CodeFlow), ClientError> {
        let flow = self.new_flow(metadata, request.redirect_uri);
        let parameters = self.code_parameters(&flow, request);
        let Some(endpoint) = &metadata.pushed_authorization_request_endpoint else {
            return Ok((at_authorization(metadata, &parameters)?, flow));
        };
        // without a secret, the client is named where it authenticates
        let named = self.credentials.secret.is_none();
        let sent = parameters.iter().filter(|(name, _)| !(named && *name == "client_id"));
        let sent: Vec<(&str, &str)> = sent.map(|(name, value)| (*name, value.as_str())).collect();
        let answer = self.post_form(metadata, endpoint, &sent).await?;
        if !answer.status.is_success() {
            return Err(refusal(&answer));
        }
        let pushed: Value = types::json::parse(&answer.body).map_err(|error| ClientError::protocol(error.to_string()))?;
        let uri = pushed.get("request_uri").and_then(Value::as_str);
        let uri = uri.ok_or_else(|| ClientError::protocol("the pushed request got no `request_uri`"))?;
        let named = [("client_id", self.credentials.client_id.clone()), ("request_uri", uri.to_owned())];
        Ok((at_authorization(metadata, &named)?, flow))
    }

    fn new_flow(&self, metadata: &Metadata, redirect_uri: &str) -> CodeFlow {
        CodeFlow {
            issuer: metadata.issuer.clone(),
            state: self.random_text(),
            verifier: self.random_text(),
            nonce: self.random_text(),
            redirect_uri: redirect_uri.to_owned(),
        }
    }

    fn code_parameters(&self, flow: &CodeFlow, request: &CodeRequest<'_>) -> Vec<(&'static str, String)> {
        let challenge = base64url::encode(digest::sha256(&[flow.verifier.as_bytes()]));
        let mut parameters = vec![
            ("response_type", "code".to_owned()),
            ("client_id", self.credentials.client_id.clone()),
            ("redirect_uri", request.redirect_uri.to_owned()),
            ("scope", request.scope.to_owned()),
            ("state", flow.state.clone()),
            ("nonce", flow.nonce.clone()),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256".to_owned()),
        ];
        parameters.extend(request.login_hint.map(|hint| ("login_hint", hint.to_owned())));
        parameters.extend(request.resource.map(|resource| ("resource", resource.to_owned())));
        if request.again {
            parameters.extend([("prompt", "login".to_owned()), ("max_age", "0".to_owned())]);
        }
        parameters
    }

    /// Ends it: checks `state` and `iss` (RFC 9207), trades the code, checks the ID token. What came with one that is not good is
    /// given back.
    pub async fn finish_code(
        &self,
        metadata: &Metadata,
        flow: &CodeFlow,
        query: &[(String, String)],
    ) -> Result<Authorized, ClientError> {
        let get = |name: &str| query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        if get("state") != Some(flow.state.as_str()) {
            return Err(ClientError::protocol("the answer does not belong to this log-in: start again"));
        }
        // RFC 9207 2.4: an answer that says whose it is, is compared also where nobody announced that it would
        let says_otherwise = get("iss").is_some_and(|iss| iss != metadata.issuer);
        if says_otherwise || (metadata.authorization_response_iss_parameter_supported && get("iss").is_none()) {
            return Err(ClientError::protocol("the answer comes from another authorization server than was asked"));
        }
        if let Some(error) = get("error") {
            return Err(ClientError::refused(error, get("error_description").unwrap_or_default()));
        }
        let code = get("code").ok_or_else(|| ClientError::protocol("the answer has no code"))?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", flow.redirect_uri.as_str()),
            ("code_verifier", flow.verifier.as_str()),
        ];
        let tokens = self.token(metadata, &form).await?;
        let account = match &tokens.id_token {
            Some(id_token) => self.check_id_token(metadata, id_token, &flow.nonce, &tokens.access_token).await,
            None => Ok(Map::new()),
        };
        match account {
            Ok(account) => Ok(Authorized { tokens, account }),
            Err(error) => {
                // what nobody uses is not left standing; where it cannot be ended, it runs out by itself, and the first error is told
                let _ = self.revoke(metadata, tokens.refresh_token.as_deref().unwrap_or(&tokens.access_token)).await;
                Err(error)
            }
        }
    }

    /// The account, with what the provider tells at its userinfo endpoint alone (OpenID Connect Core 5.4); that must speak of
    /// the same person. Where it does not answer, what the ID token says is all there is.
    pub async fn with_userinfo(&self, metadata: &Metadata, authorized: &Authorized) -> Map<String, Value> {
        let mut account = authorized.account.clone();
        let bearer = authorized.tokens.token_type.eq_ignore_ascii_case("bearer");
        let Some(url) = metadata.userinfo_endpoint.as_deref().filter(|_| bearer) else { return account };
        let request = Request::get(url).header("authorization", &format!("Bearer {}", authorized.tokens.access_token));
        let Ok(answer) = self.outbound.send(request).await else { return account };
        let told: Map<String, Value> = types::json::parse(&answer.body).unwrap_or_default();
        if answer.status == 200 && told.get("sub").is_some() && told.get("sub") == account.get("sub") {
            for (name, value) in told {
                account.entry(name).or_insert(value);
            }
        }
        account
    }

    /// Registers a client (RFC 7591).
    pub async fn register(&self, metadata: &Metadata, wanted: &ClientMetadata) -> Result<Registered, ClientError> {
        let endpoint = metadata.registration_endpoint.as_deref();
        let endpoint = endpoint.ok_or_else(|| ClientError::protocol("the authorization server registers no clients"))?;
        let body = serde_json::to_value(wanted).map_err(|error| ClientError::protocol(error.to_string()))?;
        let answer = self.outbound.send(Request::json(Method::POST, endpoint, &body)).await?;
        if !answer.status.is_success() {
            return Err(refusal(&answer));
        }
        types::answer::parse(&answer.body, &[])
            .map_err(|error| ClientError::protocol(format!("registration does not read: {error}")))
    }

    /// Whether the server still knows this client, which may be unused for too long or in no backup that was restored: it gives
    /// back a token that is none, which every client may (RFC 7009 2.2), or asks for another one by it.
    pub async fn is_known(&self, metadata: &Metadata) -> Result<bool, ClientError> {
        let asked = match metadata.revocation_endpoint {
            Some(_) => self.revoke(metadata, "none").await,
            None => self.refresh(metadata, "none").await.map(drop),
        };
        match asked {
            Ok(()) => Ok(true),
            Err(ClientError::Refused { error, .. }) => Ok(error != "invalid_client"),
            Err(error) => Err(error),
        }
    }

    /// A token by client credentials.
    pub async fn client_credentials(&self, metadata: &Metadata, scope: &str) -> Result<TokenResponse, ClientError> {
        self.token(metadata, &[("grant_type", "client_credentials"), ("scope", scope)]).await
    }

    /// A token for an assertion (RFC 7523 2.1).
    pub async fn jwt_bearer(&self, metadata: &Metadata, assertion: &str, scope: &str) -> Result<TokenResponse, ClientError> {
        self.token(metadata, &[("grant_type", types::discovery::JWT_BEARER), ("assertion", assertion), ("scope", scope)]).await
    }

    /// A new token for a refresh token.
    pub async fn refresh(&self, metadata: &Metadata, refresh_token: &str) -> Result<TokenResponse, ClientError> {
        let tokens = self.token(metadata, &[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await?;
        let is_short = tokens.access_token.len().max(tokens.refresh_token.as_ref().map_or(0, String::len)) <= MAX_RENEWED_BYTES;
        let long = || ClientError::protocol("a token that came for another one is too long to be kept");
        is_short.then_some(tokens).ok_or_else(long)
    }

    /// What a server says of an access token that is for this resource server (RFC 7662).
    pub async fn introspect(&self, metadata: &Metadata, token: &str) -> Result<Introspection, ClientError> {
        self.introspect_form(metadata, &[("token", token)]).await
    }

    /// Whether what an owner agreed to for an application stands (`_grant` of a token of it).
    pub async fn introspect_grant(&self, metadata: &Metadata, grant: &str) -> Result<Introspection, ClientError> {
        self.introspect_form(metadata, &[("token", grant), ("token_type_hint", types::introspection::GRANT)]).await
    }

    async fn introspect_form(&self, metadata: &Metadata, form: &[(&str, &str)]) -> Result<Introspection, ClientError> {
        let endpoint = metadata.introspection_endpoint.as_deref();
        let endpoint = endpoint
            .ok_or_else(|| ClientError::NotTold("the authorization server names no introspection endpoint".to_owned()))?;
        let answer = self.post_form(metadata, endpoint, form).await?;
        if answer.status != 200 {
            return Err(about_tokens(&answer, refusal(&answer)));
        }
        types::answer::parse(&answer.body, &types::introspection::NARROWING)
            .map_err(|error| ClientError::protocol(format!("introspection does not read: {error}")))
    }

    /// Gives a token back (RFC 7009).
    pub async fn revoke(&self, metadata: &Metadata, token: &str) -> Result<(), ClientError> {
        let endpoint = metadata.revocation_endpoint.as_deref();
        let endpoint = endpoint.ok_or_else(|| ClientError::protocol("the authorization server names no revocation endpoint"))?;
        let answer = self.post_form(metadata, endpoint, &[("token", token)]).await?;
        if answer.status == 200 { Ok(()) } else { Err(refusal(&answer)) }
    }

    /// A call of the token endpoint, with these parameters.
    pub async fn token(&self, metadata: &Metadata, form: &[(&str, &str)]) -> Result<TokenResponse, ClientError> {
        let answer = self.post_form(metadata, &metadata.token_endpoint, form).await?;
        if answer.status != 200 {
            return Err(refusal(&answer));
        }
        read_tokens(&answer.body)
    }

    /// A form post with client authentication and, where this client has a key, a DPoP proof; a nonce
    /// that the server asks for is used at once (RFC 9449 8).
    pub(crate) async fn post_form(&self, metadata: &Metadata, url: &str, form: &[(&str, &str)]) -> Result<Response, ClientError> {
        let first = Box::pin(self.post_form_once(&metadata.issuer, url, form, None)).await?;
        let nonce = first.header("dpop-nonce").map(str::to_owned);
        let wanted = matches!(refusal(&first), ClientError::Refused { error, .. } if error == "use_dpop_nonce");
        match nonce {
            Some(nonce) if first.status == 400 && wanted && self.dpop_key.is_some() => {
                Box::pin(self.post_form_once(&metadata.issuer, url, form, Some(nonce))).await
            }
            _ => Ok(first),
        }
    }

    async fn post_form_once(
        &self,
        issuer: &str,
        url: &str,
        form: &[(&str, &str)],
        nonce: Option<String>,
    ) -> Result<Response, ClientError> {
        let id = &self.credentials.client_id;
        let own = self.credentials.secret.is_none().then_some(("client_id", id.as_str()));
        let assertion = self.assertion(issuer)?;
        let assertion =
            assertion.iter().flat_map(|text| [("client_assertion", text.as_str()), ("client_assertion_type", ASSERTION_TYPE)]);
        let pairs: Vec<(&str, &str)> = form.iter().copied().chain(own).chain(assertion).collect();
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let mut request = Request::form(url, body);
        if let Some(secret) = &self.credentials.secret {
            request = request.header("authorization", &basic_of(id, secret));
        }
        if let Some(proof) = self.prove("POST", url, None, nonce)? {
            request = request.header("dpop", &proof);
        }
        Ok(self.outbound.send(request).await?)
    }

    /// Proves this client by its key (RFC 7523 2.2), to this server alone.
    fn assertion(&self, issuer: &str) -> Result<Option<String>, ClientError> {
        let Some(key) = &self.credentials.key else { return Ok(None) };
        let (id, now) = (&self.credentials.client_id, self.clock.now());
        let claims = serde_json::json!({
            "iss": id, "sub": id, "aud": issuer, "jti": self.random_text(), "iat": now, "exp": now.plus(60),
        });
        key.sign("JWT", &claims).map(Some).map_err(|error| ClientError::protocol(error.to_string()))
    }

    pub(crate) fn prove(
        &self,
        method: &str,
        url: &str,
        access_token: Option<&str>,
        nonce: Option<String>,
    ) -> Result<Option<String>, ClientError> {
        let Some(key) = &self.dpop_key else { return Ok(None) };
        let url = url.split(['?', '#']).next().unwrap_or(url);
        let request = jose::dpop::Request { method, url, access_token };
        let proof = jose::dpop::prove(key, &request, self.random_text(), self.clock.now(), nonce);
        proof.map(Some).map_err(|error| ClientError::protocol(error.to_string()))
    }
}

/// A token answer. Which resource server a token is for is understood, or the token is not used.
pub(crate) fn read_tokens(body: &[u8]) -> Result<TokenResponse, ClientError> {
    // what only an RPT's answer has is kept with no other token
    read_granted(body).map(|tokens| TokenResponse { scopes_not_granted: ScopeSet::new(), ..tokens })
}

/// The answer that has an RPT.
pub(crate) fn read_granted(body: &[u8]) -> Result<TokenResponse, ClientError> {
    let tokens: TokenResponse = types::answer::parse(body, &["resource"])
        .map_err(|error| ClientError::protocol(format!("the token answer does not read: {error}")))?;
    // RFC 6749 7.1: a token of a kind that a client does not know is not used
    if !["bearer", "dpop"].iter().any(|known| tokens.token_type.eq_ignore_ascii_case(known)) {
        return Err(ClientError::protocol("the token is of a `token_type` that is not known here: `Bearer` and `DPoP` are"));
    }
    Ok(tokens)
}

/// Where a browser is sent, with these parameters.
fn at_authorization(metadata: &Metadata, parameters: &[(&'static str, String)]) -> Result<String, ClientError> {
    let mut url = Url::parse(&metadata.authorization_endpoint)
        .ok()
        // a browser is sent there: a place on the web, and nothing that it would run
        .filter(|url| ["https", "http"].contains(&url.scheme()))
        .ok_or_else(|| ClientError::protocol("the authorization server names no authorization endpoint"))?;
    url.query_pairs_mut().extend_pairs(parameters);
    Ok(url.into())
}

/// `Basic` with both parts form-encoded (RFC 6749 2.3.1).
fn basic_of(id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(id), encode(secret));
    format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair))
}

#[cfg(test)]
mod tests;
