//! The token, revocation, introspection and userinfo endpoints.

use super::{public, secret, with_parts};
use crate::Host;
use crate::error::{Answer, ApiError};
use crate::extract::Parts;
use authorization_server::token::Answer as UmaAnswer;
use authorization_server::{AnyPat, AuthorizationServer};
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use identity::token::TokenRequest;
use identity::{Failure, Grant};
use types::ErrorCode;
use types::discovery::JWT_BEARER;
use types::token::UnaskedDenial;

/// `POST /token`.
pub(super) async fn post(State(app): State<Host>, request: Request) -> Response {
    let mut response = with_parts(request, async |parts, body| exchange(&app, parts, body).await).await;
    if let Ok(nonce) = HeaderValue::from_str(&app.identity.dpop.nonce(app.identity.now())) {
        response.headers_mut().insert("dpop-nonce", nonce);
    }
    public(response, "no-store")
}

async fn exchange(app: &Host, parts: Parts, body: Body) -> Answer<Response> {
    let form = parts.form(body).await?;
    let (client, jkt) = parts.client(app, &form).await?;
    let request = TokenRequest { client: &client, form: &form, jkt, network: parts.network() };
    let uma = app.authorization_server.as_deref();
    let brings_ticket = |uma: &AuthorizationServer| form.all("grant_type").iter().any(|grant| grant == uma.grant_type());
    if let (Some(uma), Err(repeated)) = (uma.filter(|uma| brings_ticket(uma)), form.check_unrepeated()) {
        uma.spend_presented(&form, &client.id).await?;
        return Err(repeated.into());
    }
    if let Some(response) = app.identity.exchange(&request, uma.map(|uma| uma as &dyn Grant)).await? {
        return Ok(secret(Json(response)));
    }
    let grant_type = form.one("grant_type").map_err(Failure::from)?;
    if let Some(uma) = uma.filter(|uma| uma.settings.extensions && grant_type == Some(JWT_BEARER)) {
        return Ok(secret(Json(uma.exchange_assertion(&request).await?)));
    }
    let Some(uma) = uma.filter(|uma| grant_type == Some(uma.grant_type())) else {
        return Err(ApiError::from(Failure::Refused(types::Refusal::new(
            ErrorCode::UnsupportedGrantType,
            "see `grant_types_supported` in the metadata",
        ))));
    };
    app.identity.check_grant_type(&client, uma.grant_type())?;
    app.identity.check_binding(&request)?;
    Ok(match uma.exchange_ticket(&request).await? {
        UmaAnswer::Token(response) => secret(Json(response)),
        UmaAnswer::Continued(process) => secret((StatusCode::FORBIDDEN, Json(process))),
        UmaAnswer::MayAsk(refusal) => secret((
            StatusCode::FORBIDDEN,
            Json(UnaskedDenial {
                error: refusal.code.as_str().to_owned(),
                error_description: Some(refusal.description),
                may_ask: true,
            }),
        )),
        UmaAnswer::Denied(refusal) => return Err(ApiError::from(Failure::Refused(refusal))),
    })
}

/// `POST /revoke` (RFC 7009).
pub(super) async fn revoke(State(app): State<Host>, request: Request) -> Response {
    let response = with_parts(request, async |parts, body| {
        let app = &app;
        let form = parts.form(body).await?;
        form.check_unrepeated()?;
        let (client, _) = parts.client(app, &form).await?;
        let uma = app.authorization_server.as_deref().map(|uma| uma as &dyn Grant);
        app.identity.revoke(&client, &form, uma).await?;
        Ok(StatusCode::OK.into_response())
    });
    public(response.await, "no-store")
}

/// `POST /introspect`: by PAT for RPTs, by client authentication for access tokens (protocol.md 4).
pub(super) async fn introspect(State(app): State<Host>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let app = &app;
        let sent = parts.authorization().map_err(|failure| ApiError::at_door(failure, None, &app.identity))?;
        let scheme = sent.and_then(|value| value.split(' ').next()).unwrap_or_default();
        let form = parts.form(body).await?;
        form.check_unrepeated()?;
        let by_client = scheme.eq_ignore_ascii_case("basic")
            || (scheme.is_empty() && (!form.all("client_id").is_empty() || !form.all("client_assertion").is_empty()));
        if by_client {
            let (client, _) = parts.client(app, &form).await?;
            if client.is_public() {
                return Err(Failure::Refused(types::Refusal::new(
                    ErrorCode::InvalidClient,
                    "only resource servers that authenticate may ask",
                ))
                .into());
            }
            let token = form.required("token").map_err(Failure::from)?;
            let answer = match form.one("token_type_hint").map_err(Failure::from)? {
                Some(types::introspection::GRANT) => app.identity.introspect_grant(&client, token).await?,
                _ => app.identity.introspect_access_token(&client, token).await?,
            };
            return Ok(secret(Json(answer)));
        }
        let Some(uma) = &app.authorization_server else {
            let what = "authenticate as a client to ask about a token";
            return Err(ApiError::from(Failure::Refused(types::Refusal::new(ErrorCode::InvalidClient, what))));
        };
        if ["client_secret", "client_assertion"].iter().any(|secret| !form.all(secret).is_empty()) {
            let what = "ask by a PAT or by the client's credentials, not by both";
            return Err(Failure::Refused(types::Refusal::new(ErrorCode::InvalidRequest, what)).into());
        }
        parts.check_one_token(app, &form)?;
        let token = form.required("token").map_err(Failure::from)?;
        let pat = match parts.token(app, async |presented| uma.check_any_pat(presented).await).await? {
            AnyPat::Owner(pat) => pat,
            // a resource server's own PAT: what owners signed, and nothing else
            AnyPat::Server(server) => {
                return Ok(secret(Json(uma.introspect_at_server_level(&server, token).await?)));
            }
        };
        let answer = uma.introspect_kept(&pat, token).await?;
        Ok(secret(([(header::CONTENT_TYPE, "application/json")], answer)))
    })
    .await
}

/// `GET /userinfo`.
pub(super) async fn userinfo(State(app): State<Host>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let app = &app;
        if parts.has_type("application/x-www-form-urlencoded") {
            parts.check_one_token(app, &parts.form(body).await?)?;
        }
        let claims = parts.token(app, async |presented| app.identity.userinfo(presented).await).await?;
        Ok(secret(Json(claims)))
    })
    .await
}
