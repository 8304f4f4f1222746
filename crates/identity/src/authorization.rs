//! The authorization endpoint (RFC 6749 4.1, RFC 7636, 8707, 9126, 9207; OpenID Connect Core 3.1).
//!
//! 1. [`Identity::read_authorization`] checks client and redirect URI first: before that is settled,
//!    an error is a page, never a redirect (threat 15).
//! 2. It checks the rest: code with PKCE (S256, everybody), scopes, resource.
//! 3. [`Identity::next_step`] says what the browser must do: log in, consent, or go back.
//! 4. [`Identity::issue_code`] saves consent and code in one commit, and gives the way back.

use crate::consent::{Consent, Shown, Terms, is_sensitive};
use crate::demands::Demands;
use crate::session::Session;
use crate::token_text::{self, TokenKey, TokenKind};
use crate::way_back::{Visitor, WayBack};
use crate::{Account, Changes, Client, CommitError, Failure, Form, Identity, Requirement, Unfit, Write, redirect_uri};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use types::token::{AS_OWNER, UMA_POLICY, UMA_PROTECTION};
use types::{AccountId, ClientId, ErrorCode, GrantId, Refusal, ScopeSet, Timestamp};
use url::Url;

/// Seconds that a code lives.
pub const CODE_LIFETIME: i64 = 60;
const RETRIES: usize = 5;
/// Prefix of `request_uri` (RFC 9126 2.2).
pub const REQUEST_URI: &str = "urn:ietf:params:oauth:request_uri:";

/// A request that was pushed (RFC 9126); its parameters wait under a random id.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedRequest {
    pub id: String,
    pub client: ClientId,
    pub form: String,
    pub dpop_jkt: Option<String>,
    /// Until then it may be brought here, and once it was, answered.
    pub expires: Timestamp,
    /// When a browser first brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Timestamp>,
}

/// What a code stands for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationCode {
    pub client: ClientId,
    pub account: AccountId,
    pub redirect_uri: String,
    pub scope: ScopeSet,
    pub challenge: String,
    pub nonce: Option<String>,
    pub resource: Option<String>,
    pub auth_time: Timestamp,
    pub dpop_jkt: Option<String>,
    pub consent: GrantId,
    pub expires: Timestamp,
}

/// An authorization request that is in order.
#[derive(Clone)]
pub struct AuthorizationRequest {
    pub client: Arc<Client>,
    pub redirect_uri: String,
    pub scope: ScopeSet,
    pub state: Option<String>,
    pub nonce: Option<String>,
    challenge: String,
    pub resource: Option<String>,
    dpop_jkt: Option<String>,
    pub(crate) demands: Demands,
    pub login_hint: Option<String>,
    /// The pushed request it came by, spent when the code is issued.
    pub(crate) pushed: Option<PushedRequest>,
}

/// How an authorization request fails.
pub enum AuthorizationError {
    /// Tell the person; there is nowhere safe to send her.
    Page(Failure),
    /// Send the error back to the client: [`Identity::may_send_back`] says whether without a page.
    Back(WayBack),
}

/// What the browser must do next.
pub enum Step {
    /// `again`: she must prove herself anew, also where she is logged in at another provider.
    LogIn {
        again: bool,
    },
    Consent,
    /// With a code.
    Back(String),
    /// With an error.
    Refused(WayBack),
}

impl From<Failure> for AuthorizationError {
    fn from(failure: Failure) -> Self {
        Self::Page(failure)
    }
}

fn page(what: &str) -> AuthorizationError {
    AuthorizationError::Page(Failure::Refused(Refusal::new(ErrorCode::InvalidRequest, what)))
}

impl Identity {
    /// Reads and checks a request, pushed or not.
    pub async fn read_authorization(&self, form: &Form, by: &Visitor<'_>) -> Result<AuthorizationRequest, AuthorizationError> {
        let (form, pushed) = self.unfold(form, by).await?;
        let client = self.find_requesting_client(&form, by).await?;
        let redirect_uri = self.redirect_uri_of(&client, &form, by)?;
        let state = form.one("state").ok().flatten().map(str::to_owned);
        let back = |refusal: Refusal| {
            let url = self.error_redirect(&redirect_uri, &refusal, state.as_deref());
            AuthorizationError::Back(WayBack::of(&client, url))
        };
        form.check_unrepeated().map_err(back)?;
        let failed = |failure| match failure {
            Failure::Refused(refusal) => back(refusal),
            unavailable => AuthorizationError::Page(unavailable),
        };
        let (scope, challenge, resource) = self.check_parameters(&client, &form).await.map_err(failed)?;
        let demands = self.read_demands(&client, &form).map_err(failed)?;
        let text = |name: &str| form.one(name).ok().flatten().map(str::to_owned);
        let dpop_jkt = pushed.as_ref().and_then(|p| p.dpop_jkt.clone()).or_else(|| text("dpop_jkt"));
        Ok(AuthorizationRequest {
            scope,
            state,
            nonce: text("nonce"),
            challenge,
            resource,
            dpop_jkt,
            demands,
            login_hint: text("login_hint"),
            pushed,
            client,
            redirect_uri,
        })
    }

    /// Parameters of a `request_uri` take the place of those sent (RFC 9126 4).
    async fn unfold(&self, form: &Form, by: &Visitor<'_>) -> Result<(Form, Option<PushedRequest>), AuthorizationError> {
        let request_uri = form.one("request_uri").map_err(Failure::from)?;
        let Some(uri) = request_uri else { return Ok((form.clone(), None)) };
        let unknown = || page("this request has expired or was used: go back to the application and start again");
        let id = uri.strip_prefix(REQUEST_URI).ok_or_else(unknown)?;
        let pushed = self.store.find_pushed_request(id).await.map_err(Failure::from)?.ok_or_else(unknown)?;
        let named = form.one("client_id").map_err(Failure::from)?;
        if pushed.expires <= self.now() || named != Some(pushed.client.as_str()) {
            return Err(unknown());
        }
        let unfolded = Form::parse(pushed.form.as_bytes()).map_err(Failure::from)?;
        let pushed = match pushed.taken {
            Some(_) => Some(pushed),
            None => self.take_pushed_request(pushed, by).await?,
        };
        Ok((unfolded, Some(pushed.ok_or_else(unknown)?)))
    }

    async fn find_requesting_client(&self, form: &Form, by: &Visitor<'_>) -> Result<Arc<Client>, AuthorizationError> {
        let id = form
            .one("client_id")
            .map_err(Failure::from)?
            .ok_or_else(|| page("the application did not say who it is (`client_id`)"))?;
        let client = self.store.find_client(&ClientId::from(id)).await.map_err(Failure::from)?;
        client.ok_or_else(|| {
            self.tell_unfit(Unfit::Unknown(id), by.address);
            page("no application is known here under this `client_id`: whoever runs it says at this server who it is")
        })
    }

    /// Where the client wants to go on, if that is registered for it ([`redirect_uri`]).
    fn redirect_uri_of(&self, client: &Client, form: &Form, by: &Visitor<'_>) -> Result<String, AuthorizationError> {
        let asked = form.one("redirect_uri").map_err(Failure::from)?;
        match (asked, client.redirect_uris.as_slice()) {
            (Some(uri), registered) if redirect_uri::is_registered(registered, uri) => Ok(uri.to_owned()),
            (None, [only]) => Ok(only.clone()),
            (None, _) => Err(page("the application did not say where to go afterwards (`redirect_uri`)")),
            (Some(uri), _) => {
                self.tell_unfit(Unfit::Place { client, list: "redirect_uris", uri }, by.address);
                Err(page("the application wants to go on at a place that is not registered for it (`redirect_uri`)"))
            }
        }
    }

    /// Everything but client and redirect URI.
    pub(crate) async fn check_parameters(
        &self,
        client: &Client,
        form: &Form,
    ) -> Result<(ScopeSet, String, Option<String>), Failure> {
        if form.one("request")?.is_some() {
            return Failure::refuse(ErrorCode::RequestNotSupported, "push the request instead of sending it as an object");
        }
        if form.one("response_type")? != Some("code") {
            return Failure::refuse(ErrorCode::UnsupportedResponseType, "`response_type` must be `code`");
        }
        if !client.may_use("authorization_code") {
            return Failure::refuse(
                ErrorCode::UnauthorizedClient,
                "this client is not registered for the authorization code grant",
            );
        }
        if form.one("response_mode")?.is_some_and(|mode| mode != "query") {
            return Failure::refuse(ErrorCode::InvalidRequest, "`response_mode` must be `query`");
        }
        let challenge = form.one("code_challenge")?.filter(|c| c.len() == 43 && jose::base64url::decode(c).is_some());
        let (Some(challenge), Some("S256")) = (challenge, form.one("code_challenge_method")?) else {
            return Failure::refuse(ErrorCode::InvalidRequest, "send `code_challenge` with `code_challenge_method` = `S256`");
        };
        let scope = match form.one("scope")? {
            Some(text) => check_scope(client, text)?,
            None => default_scope(client)?,
        };
        if scope.is_empty() {
            return Failure::refuse(ErrorCode::InvalidScope, NO_SCOPE);
        }
        let resource = self.check_resource(form).await?;
        Ok((scope, challenge.to_owned(), resource))
    }

    /// `resource` (RFC 8707): at most one, and a resource server that is known here.
    pub(crate) async fn check_resource(&self, form: &Form) -> Result<Option<String>, Failure> {
        match form.all("resource") {
            [] => Ok(None),
            [one] if self.store.find_client_by_resource(one).await?.is_some() => Ok(Some(one.clone())),
            _ => Failure::refuse(ErrorCode::InvalidTarget, "`resource` must name one resource server that is known here"),
        }
    }

    /// At the token endpoint a client may name the resource that it was given the code or refresh token for, and no other
    /// (RFC 8707 2.2).
    pub fn check_same_resource(&self, form: &Form, granted: Option<&str>) -> Result<(), Failure> {
        if form.all("resource").iter().all(|asked| Some(asked.as_str()) == granted) {
            return Ok(());
        }
        Failure::refuse(ErrorCode::InvalidTarget, "`resource` is not what was agreed to: start again, and ask for it there")
    }

    /// Whether consent to this must be proven with the password or a passkey (protocol.md 1.7).
    pub fn needs_password(&self, request: &AuthorizationRequest) -> bool {
        !request.client.declared && is_sensitive(&request.scope)
    }

    /// What she agreed to before for this client at this resource.
    pub(crate) async fn find_standing_consent(
        &self,
        request: &AuthorizationRequest,
        session: &Session,
    ) -> Result<Option<Consent>, Failure> {
        let resource = request.resource.as_deref();
        Ok(self.store.find_consent_of(&session.account, &request.client.id, resource).await?)
    }

    /// She agreed: saves consent and code; the URL that takes the browser back to the client.
    pub async fn issue_code(&self, request: &AuthorizationRequest, session: &Session) -> Result<String, Failure> {
        if !request.demands.allow_person(session) {
            return refuse_another_person();
        }
        for _ in 0..RETRIES {
            let before = self.find_standing_consent(request, session).await?;
            match self.save_code(request, session, before).await? {
                Ok(back) => return Ok(back),
                // the consent was given or withdrawn by another request just now, this request was answered, or she logged out
                Err(CommitError::Taken | CommitError::Changed) => {
                    self.check_waiting(request.pushed.as_ref()).await?;
                    self.check_standing(session, &request.client.id).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("the consent changes too fast".into()))
    }

    /// Saves the code, and in the same commit the consent that it hangs on.
    pub(crate) async fn save_code(
        &self,
        request: &AuthorizationRequest,
        session: &Session,
        before: Option<Consent>,
    ) -> Result<Result<String, CommitError>, Failure> {
        let mut changes = Changes::default();
        let shown = Shown::of(&request.client, &request.redirect_uri, session);
        let terms = Terms {
            account: &session.account,
            client: &request.client.id,
            scopes: &request.scope,
            resource: request.resource.as_deref(),
            shown: shown.as_ref(),
        };
        let consent = self.agree(&terms, before, &mut changes);
        let expires = self.now().plus(CODE_LIFETIME);
        let text = self.mint(TokenKind::Code, session.account.as_str(), expires);
        let code = AuthorizationCode {
            client: request.client.id.clone(),
            account: session.account.clone(),
            redirect_uri: request.redirect_uri.clone(),
            scope: request.scope.clone(),
            challenge: request.challenge.clone(),
            nonce: request.nonce.clone(),
            resource: request.resource.clone(),
            auth_time: session.auth_time,
            dpop_jkt: request.dpop_jkt.clone(),
            consent,
            expires,
        };
        changes.writes.push(Write::PutCode(code_key(&text)?, code));
        changes.requires.push(Requirement::ClientStands(request.client.id.clone()));
        changes.requires.push(Requirement::SessionStands(session.id.clone()));
        spend_pushed(request, &mut changes);
        if let Err(error) = self.store.commit(changes).await {
            return Ok(Err(error));
        }
        Ok(Ok(self.redirect(&request.redirect_uri, &[("code", &text)], request.state.as_deref())))
    }

    /// The person said no: that answers a pushed request as well.
    pub async fn deny_authorization(&self, request: &AuthorizationRequest) -> Result<String, Failure> {
        let mut changes = Changes::default();
        spend_pushed(request, &mut changes);
        match self.store.commit(changes).await {
            Ok(()) => {}
            Err(CommitError::Changed) => self.check_waiting(request.pushed.as_ref()).await?,
            Err(error) => return Err(error.into()),
        }
        let refusal = Refusal::new(ErrorCode::AccessDenied, "the person refused");
        Ok(self.error_redirect(&request.redirect_uri, &refusal, request.state.as_deref()))
    }

    pub(crate) fn error_redirect(&self, uri: &str, refusal: &Refusal, state: Option<&str>) -> String {
        let parameters = [("error", refusal.code.as_str()), ("error_description", refusal.description.as_str())];
        self.redirect(uri, &parameters, state)
    }

    /// `uri` with parameters, `state` and `iss` (RFC 9207) added to its query.
    fn redirect(&self, uri: &str, parameters: &[(&str, &str)], state: Option<&str>) -> String {
        let Ok(mut url) = Url::parse(uri) else { return uri.to_owned() };
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(parameters);
            query.extend_pairs(state.map(|state| ("state", state)));
            query.append_pair("iss", self.issuer());
        }
        url.into()
    }

    /// The account of a session, for pages.
    pub async fn account_of(&self, session: &Session) -> Result<Option<Account>, Failure> {
        Ok(self.store.find_account(&session.account).await?)
    }
}

/// On a page: the application learns nothing of her.
pub(crate) fn refuse_another_person<T>() -> Result<T, Failure> {
    Failure::refuse(ErrorCode::LoginRequired, "the application asked for somebody else: go back to it and start again")
}

/// A pushed request is good for one answer, also when two come at once.
fn spend_pushed(request: &AuthorizationRequest, changes: &mut Changes) {
    if let Some(pushed) = &request.pushed {
        changes.requires.push(Requirement::PushedRequestStands(pushed.id.clone()));
        changes.writes.push(Write::DeletePushedRequest(pushed.id.clone()));
    }
}

/// The key of a code's row.
pub(crate) fn code_key(text: &str) -> Result<TokenKey, Failure> {
    token_text::key_of(TokenKind::Code, text).ok_or_else(|| {
        Failure::Refused(Refusal::new(ErrorCode::InvalidGrant, "the code is unknown, used or expired: start again"))
    })
}

/// A code or a token for no scope at all opens nothing, and a token answer has no form for it (RFC 6749 3.3).
pub(crate) const NO_SCOPE: &str = "name at least one `scope`: this client is not registered for one alone that could be meant";

/// What is meant where no scope is named (RFC 6749 3.3): the one that the client is registered for, where it is one.
fn default_scope(client: &Client) -> Result<ScopeSet, Failure> {
    match client.scope.iter().count() {
        1 => check_scope(client, &client.scope.to_string()),
        _ => Failure::refuse(ErrorCode::InvalidScope, NO_SCOPE),
    }
}

pub(crate) fn check_scope(client: &Client, text: &str) -> Result<ScopeSet, Failure> {
    let scope = ScopeSet::parse(text).map_err(|e| Refusal::new(ErrorCode::InvalidScope, e.to_string()))?;
    if let Some(foreign) = scope.iter().find(|scope| !client.may_ask_for(scope)) {
        return Failure::refuse(ErrorCode::InvalidScope, format!("this client is not registered for the scope `{foreign}`"));
    }
    let wrong = match (scope.has(AS_OWNER), scope.has(UMA_PROTECTION) && scope.has(UMA_POLICY)) {
        (true, _) => "`as_owner` is agreed to at a claims page, and asked for nowhere else",
        (_, true) => "`uma_protection` and `uma_policy` are never granted together: ask for one",
        _ => return Ok(scope),
    };
    Failure::refuse(ErrorCode::InvalidScope, wrong)
}
