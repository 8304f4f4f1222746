//! What handlers read from a request: bodies (bounded, of the right type, strict), client
//! credentials, access tokens, pages of lists.

use crate::error::{ApiError, Scheme};
use crate::{Host, PeerAddress};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use http_body_util::BodyExt;
use http_body_util::Limited;
use identity::access_token::Presented;
use identity::client_authentication::Credentials;
use identity::dpop::ProofRequest;
use identity::{AuthenticatedClient, Failure, Form};
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::task::Poll;
use std::time::Duration;
use types::{ErrorCode, Refusal};

/// Longest form body.
pub const MAX_FORM: usize = 128 * 1024;
/// Longest registration of a client: strangers leave these.
pub const MAX_REGISTRATION: usize = 64 * 1024;
/// Longest JSON body.
pub const MAX_JSON: usize = 1024 * 1024;
/// A body that takes longer than this is not waited for.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

fn refuse(code: ErrorCode, what: &str) -> ApiError {
    ApiError::from(Failure::Refused(Refusal::new(code, what)))
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

    /// Whether this is somebody who opens an address in a browser, and no program.
    pub fn wants_page(&self) -> bool {
        let accepts = self.headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let accepts_html = accepts
            .flat_map(|line| line.split(','))
            .any(|media| media.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("text/html")));
        self.method == Method::GET && accepts_html
    }

    /// What several lines say, nobody can tell.
    pub fn has_type(&self, wanted: &str) -> bool {
        let mut lines = self.headers.get_all(header::CONTENT_TYPE).iter();
        let (Some(sent), None) = (lines.next().and_then(|line| line.to_str().ok()), lines.next()) else { return false };
        sent.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case(wanted))
    }

    /// Refuses a body in a coding that is not undone here: whoever stands before us may undo it, and read another one (RFC 9110
    /// 8.4, 15.5.16).
    fn check_coding(&self) -> Result<(), ApiError> {
        let mut codings = self.headers.get_all(header::CONTENT_ENCODING).iter();
        if codings.all(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")) {
            return Ok(());
        }
        Err(refuse(ErrorCode::UnsupportedMediaType, "send the body as it is, without `Content-Encoding`"))
    }

    /// A form body.
    pub async fn form(&self, body: Body) -> Result<Form, ApiError> {
        self.check_coding()?;
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
        self.check_coding()?;
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
        self.short_json(body, code, MAX_JSON).await
    }

    /// The same, of at most so many bytes.
    pub async fn short_json<T: DeserializeOwned>(&self, body: Body, code: ErrorCode, most: usize) -> Result<T, ApiError> {
        self.check_coding()?;
        if !self.has_type("application/json") {
            return Err(refuse(ErrorCode::UnsupportedMediaType, "send the body as application/json"));
        }
        types::json::parse(&read(body, most).await?).map_err(|error| refuse(code, &error.to_string()))
    }

    /// The query as a form.
    pub fn query(&self) -> Result<Form, types::Refusal> {
        Form::parse(self.uri.query().unwrap_or_default().as_bytes())
    }

    /// Who sent it, as text for limits.
    pub fn address(&self) -> String {
        self.address.map(|address| address.to_string()).unwrap_or_default()
    }

    /// The block of addresses that the caller is in, as limits for strangers count it.
    pub fn network(&self) -> Option<String> {
        self.address.map(types::peer::network_of)
    }

    /// The URL that a DPoP proof for this request must name.
    pub fn url(&self, app: &Host) -> String {
        format!("{}{}", app.origin(), self.uri.path())
    }

    /// The `DPoP` header, which may be there once (RFC 9449 4.3).
    pub fn dpop(&self) -> Result<Option<&str>, Failure> {
        let what = "send one DPoP proof, as text";
        self.only(HeaderName::from_static("dpop"), ErrorCode::InvalidDpopProof, what)
    }

    /// The `Authorization` header, which may be there once: of several, nobody knows which counts (RFC 6750 3.1, RFC 6749
    /// 5.2).
    pub fn authorization(&self) -> Result<Option<&str>, Failure> {
        self.only(header::AUTHORIZATION, ErrorCode::InvalidRequest, "send one `Authorization` header, not several")
    }

    fn only(&self, name: HeaderName, code: ErrorCode, what: &str) -> Result<Option<&str>, Failure> {
        let mut all = self.headers.get_all(name).iter();
        match (all.next(), all.next()) {
            (None, _) => Ok(None),
            (Some(one), None) if one.to_str().is_ok() => Ok(one.to_str().ok()),
            _ => Failure::refuse(code, what),
        }
    }

    /// Who the client is, and the key of its DPoP proof; both before anything is spent.
    pub async fn client(&self, app: &Host, form: &Form) -> Result<(AuthenticatedClient, Option<String>), ApiError> {
        let address = self.address();
        let credentials = Credentials { authorization: self.authorization()?, form, address: &address };
        let client = app.identity.authenticate_client(&credentials).await?;
        let key = self.proven_key(app).map_err(|failure| ApiError::with_nonce(failure, &app.identity))?;
        Ok((client, key))
    }

    /// The key of the DPoP proof, where there is one.
    fn proven_key(&self, app: &Host) -> Result<Option<String>, Failure> {
        let Some(proof) = self.dpop()? else { return Ok(None) };
        let url = self.url(app);
        let request = ProofRequest { method: self.method.as_str(), url: &url, access_token: None };
        Ok(Some(app.identity.dpop.check(proof, &request, app.identity.now())?.jkt.clone()))
    }

    /// Checks the access token of `Authorization` by the given door.
    pub async fn token<T>(
        &self,
        app: &Host,
        door: impl AsyncFnOnce(&Presented<'_>) -> Result<T, Failure>,
    ) -> Result<T, ApiError> {
        let mut scheme = None;
        let opened = async {
            let (sent, token) = self.access_token()?;
            scheme = Some(sent);
            let dpop = self.dpop()?;
            // the URL is only looked at with a proof
            let url = dpop.map(|_| self.url(app)).unwrap_or_default();
            let (dpop_scheme, method) = (sent == Scheme::Dpop, self.method.as_str());
            door(&Presented { token, dpop_scheme, dpop, method, url: &url }).await
        };
        let opened = opened.await;
        opened.map_err(|failure| ApiError::at_door(failure, scheme, &app.identity))
    }

    /// The one access token, in the header: one in the query besides is a second way (RFC 6750 3.1).
    fn access_token(&self) -> Result<(Scheme, &str), Failure> {
        let missing = || Refusal::new(ErrorCode::InvalidToken, "send an access token in `Authorization: Bearer`");
        let sent = self.authorization()?;
        let (scheme, token) = sent.and_then(|value| value.split_once(' ')).ok_or_else(missing)?;
        let scheme = match scheme {
            scheme if scheme.eq_ignore_ascii_case("dpop") => Scheme::Dpop,
            scheme if scheme.eq_ignore_ascii_case("bearer") => Scheme::Bearer,
            _ => return Err(missing().into()),
        };
        // most calls have no query
        if self.uri.query().is_some() {
            refuse_second_token(&self.query()?)?;
        }
        Ok((scheme, token.trim()))
    }

    /// The same for a form that comes with a token in the header.
    pub fn check_one_token(&self, app: &Host, form: &Form) -> Result<(), ApiError> {
        let checked = refuse_second_token(form);
        checked.map_err(|failure| ApiError::at_door(failure, self.access_token().ok().map(|(scheme, _)| scheme), &app.identity))
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

fn refuse_second_token(form: &Form) -> Result<(), Failure> {
    if form.all("access_token").is_empty() {
        return Ok(());
    }
    Failure::refuse(ErrorCode::InvalidRequest, "send the access token in the `Authorization` header alone")
}
