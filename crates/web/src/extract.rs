//! What handlers read from a request: bodies (bounded, of the right type, strict), client
//! credentials, access tokens, pages of lists.

use crate::error::ApiError;
use crate::{Host, PeerAddress};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, Uri, header};
use http_body_util::BodyExt;
use http_body_util::Limited;
use identity::access_token::Presented;
use identity::client_authentication::Credentials;
use identity::{AuthenticatedClient, Failure, Form};
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::task::Poll;
use std::time::Duration;
use types::{ErrorCode, Refusal};

/// Longest form body.
pub const MAX_FORM: usize = 128 * 1024;
/// Longest JSON body.
pub const MAX_JSON: usize = 1024 * 1024;
/// A body that takes longer than this is not waited for.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

fn refuse(code: ErrorCode, what: &str) -> ApiError {
    ApiError(Failure::Refused(Refusal::new(code, what)))
}

/// A request taken apart: what protocol functions need besides the body.
pub struct Parts {
    pub headers: HeaderMap,
    pub method: Method,
    pub uri: Uri,
    address: Option<IpAddr>,
}

/// Splits a request; the body stays unread.
pub fn split(request: Request) -> (Parts, Body) {
    let (mut parts, body) = request.into_parts();
    let address = parts.extensions.get::<PeerAddress>().map(|peer| peer.0);
    // under an issuer with a path, the router has taken that path off
    let uri = parts.extensions.remove::<axum::extract::OriginalUri>().map_or(parts.uri, |original| original.0);
    (Parts { headers: parts.headers, method: parts.method, uri, address }, body)
}

async fn read(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let mut collecting = Box::pin(Limited::new(body, limit).collect());
    // most bodies are there with their head, and need no clock
    let collected = match futures_util::poll!(&mut collecting) {
        Poll::Ready(collected) => Ok(collected),
        Poll::Pending => tokio::time::timeout(BODY_TIMEOUT, collecting).await,
    };
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<http_body_util::LengthLimitError>().is_some() => {
            Err(refuse(ErrorCode::RequestTooLarge, "the body is too long for this endpoint: send less"))
        }
        _ => Err(refuse(ErrorCode::InvalidRequest, "the body did not arrive whole: send it again")),
    }
}

impl Parts {
    fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn has_type(&self, wanted: &str) -> bool {
        let sent = self.header(header::CONTENT_TYPE).unwrap_or_default();
        sent.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case(wanted))
    }

    /// A form body.
    pub async fn form(&self, body: Body) -> Result<Form, ApiError> {
        if !self.has_type("application/x-www-form-urlencoded") {
            return Err(refuse(ErrorCode::UnsupportedMediaType, "send the body as application/x-www-form-urlencoded"));
        }
        Ok(Form::parse(&read(body, MAX_FORM).await?).map_err(Failure::from)?)
    }

    /// A body of this media type, if it has it: a compact JWS, which is text.
    pub async fn compact(&self, wanted: &str, body: Body) -> Result<Result<String, Body>, ApiError> {
        if !self.has_type(wanted) {
            return Ok(Err(body));
        }
        let bytes = read(body, MAX_FORM).await?;
        let text =
            String::from_utf8(bytes.to_vec()).map_err(|_| refuse(ErrorCode::InvalidRequest, "a compact JWS is ASCII text"))?;
        Ok(Ok(text))
    }

    /// A strict JSON body.
    pub async fn json<T: DeserializeOwned>(&self, body: Body) -> Result<T, ApiError> {
        self.json_or(body, ErrorCode::InvalidRequest).await
    }

    /// The same, with the error code of the endpoint.
    pub async fn json_or<T: DeserializeOwned>(&self, body: Body, code: ErrorCode) -> Result<T, ApiError> {
        if !self.has_type("application/json") {
            return Err(refuse(ErrorCode::UnsupportedMediaType, "send the body as application/json"));
        }
        types::json::parse(&read(body, MAX_JSON).await?).map_err(|error| refuse(code, &error.to_string()))
    }

    /// The query as a form.
    pub fn query(&self) -> Result<Form, types::Refusal> {
        Form::parse(self.uri.query().unwrap_or_default().as_bytes())
    }

    /// Who sent it, as text for limits.
    pub fn address(&self) -> String {
        self.address.map(|address| address.to_string()).unwrap_or_default()
    }

    /// The URL that a DPoP proof for this request must name.
    pub fn url(&self, app: &Host) -> String {
        format!("{}{}", app.origin(), self.uri.path())
    }

    /// The `DPoP` header, if there is exactly one.
    pub fn dpop(&self) -> Result<Option<&str>, ApiError> {
        let mut all = self.headers.get_all("dpop").iter();
        match (all.next(), all.next()) {
            (None, _) => Ok(None),
            (Some(one), None) => Ok(one.to_str().ok()),
            _ => Err(refuse(ErrorCode::InvalidDpopProof, "send one DPoP proof, not several")),
        }
    }

    /// Who the client is, and the key of its DPoP proof; both before anything is spent.
    pub async fn client(&self, app: &Host, form: &Form) -> Result<(AuthenticatedClient, Option<String>), ApiError> {
        let credentials = Credentials { authorization: self.header(header::AUTHORIZATION), form };
        let client = app.identity.authenticate_client(&credentials).await?;
        let jkt = match self.dpop()? {
            None => None,
            Some(proof) => {
                let url = self.url(app);
                let request = jose_request(self.method.as_str(), &url);
                Some(app.identity.dpop.check(proof, &request, app.identity.now())?.jkt.clone())
            }
        };
        Ok((client, jkt))
    }

    /// Checks the access token of `Authorization` by the given door.
    pub async fn token<T>(
        &self,
        app: &Host,
        door: impl AsyncFnOnce(&Presented<'_>) -> Result<T, Failure>,
    ) -> Result<T, ApiError> {
        let missing = || refuse(ErrorCode::InvalidToken, "send an access token in `Authorization: Bearer`");
        let mut all = self.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (all.next(), all.next()) else { return Err(missing()) };
        let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(missing)?;
        let dpop_scheme = scheme.eq_ignore_ascii_case("dpop");
        if !dpop_scheme && !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        let dpop = self.dpop()?;
        // the URL is only looked at with a proof
        let url = dpop.map(|_| self.url(app)).unwrap_or_default();
        let presented = Presented { token: token.trim(), dpop_scheme, dpop, method: self.method.as_str(), url: &url };
        Ok(door(&presented).await?)
    }

    /// `?limit=` and `?after=` of a list (protocol.md 1.1).
    pub fn page<T: From<String>>(&self) -> Result<authorization_server::store::Page<T>, ApiError> {
        let query = self.query()?;
        let wrong = || refuse(ErrorCode::InvalidRequest, "`limit` must be a number from 1 to 1000");
        let limit = match query.one("limit").map_err(Failure::from)? {
            None => 100,
            Some(text) => text.parse::<usize>().ok().filter(|limit| (1..=1000).contains(limit)).ok_or_else(wrong)?,
        };
        let after = query.one("after").map_err(Failure::from)?.map(|after| T::from(after.to_owned()));
        Ok(authorization_server::store::Page { after, limit })
    }

    /// `If-Match` as a version; `*` and none are no demand.
    pub fn if_match(&self) -> Result<Option<u64>, ApiError> {
        match self.header(header::IF_MATCH) {
            None | Some("*") => Ok(None),
            Some(tag) => {
                let version = tag.trim().trim_matches('"').parse().ok();
                // a tag that was never ours matches nothing
                Ok(Some(version.unwrap_or(u64::MAX)))
            }
        }
    }
}

fn jose_request<'a>(method: &'a str, url: &'a str) -> identity::dpop::ProofRequest<'a> {
    identity::dpop::ProofRequest { method, url, access_token: None }
}
