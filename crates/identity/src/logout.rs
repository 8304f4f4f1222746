//! Log-out that an application asks for (OpenID Connect RP-Initiated Logout 1.0).
//!
//! 1. [`Identity::read_logout`] finds out which application asks, about whom, and where the browser is to go afterwards: only
//!    to a place that is registered for it, compared exactly (section 3).
//! 2. Who is logged in is asked first, unless the ID token that came along is hers ([`LogoutRequest::is_about`], section 2).

use crate::session::Session;
use crate::{Client, Failure, Form, Identity, Unfit};
use jose::UnverifiedJws;
use serde_json::Value;
use std::sync::Arc;
use types::{AccountId, ClientId, ErrorCode};
use url::Url;

/// Members of such a request.
pub const PARAMETERS: [&str; 6] =
    ["id_token_hint", "logout_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales"];

/// An ID token of ours that came back: whom it is about, and whom it was given to. It may have expired.
pub(crate) struct IdTokenHint {
    pub(crate) account: AccountId,
    pub(crate) client: ClientId,
}

/// What is asked for.
pub struct LogoutRequest {
    pub client: Option<Arc<Client>>,
    /// Whom the ID token that came along is about.
    hinted: Option<AccountId>,
    /// Where the browser goes afterwards, `state` included.
    pub back: Option<String>,
}

impl LogoutRequest {
    /// Whether it names who is logged in, so that she need not be asked.
    pub fn is_about(&self, session: &Session) -> bool {
        self.hinted.as_ref() == Some(&session.account)
    }

    /// Whether an application showed an ID token of its own.
    pub fn is_proven(&self) -> bool {
        self.hinted.is_some()
    }
}

fn refuse<T>(what: &str) -> Result<T, Failure> {
    Failure::refuse(ErrorCode::InvalidRequest, what)
}

impl Identity {
    /// Whose ID token this is, whether or not it has expired; `None` for what is none of ours.
    pub(crate) fn read_id_token_hint(&self, text: &str) -> Option<IdTokenHint> {
        let jws = UnverifiedJws::parse(text).ok()?.expect_type("JWT").ok()?;
        let claims = jws.verify(&self.keys.own_key_set(self.now())).ok()?.claims::<Value>().ok()?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let is_id_token = text("iss") == Some(self.issuer()) && claims.get("auth_time").is_some();
        let (account, client) = (text("sub")?, text("aud")?);
        is_id_token.then(|| IdTokenHint { account: account.into(), client: ClientId::from(client) })
    }

    /// Reads and checks a request; `address`: who sent it.
    pub async fn read_logout(&self, form: &Form, address: &str) -> Result<LogoutRequest, Failure> {
        form.check_unrepeated()?;
        let hint = form.one("id_token_hint")?.and_then(|text| self.read_id_token_hint(text));
        let named = form.one("client_id")?.map(ClientId::from);
        if let (Some(named), Some(hint)) = (&named, &hint)
            && *named != hint.client
        {
            return refuse("`client_id` is not the application that `id_token_hint` was given to");
        }
        let id = named.or_else(|| hint.as_ref().map(|hint| hint.client.clone()));
        let client = match id {
            Some(id) => self.store.find_client(&id).await?,
            None => None,
        };
        let back = match form.one("post_logout_redirect_uri")? {
            None => None,
            Some(uri) => match client.as_ref().filter(|client| client.post_logout_redirect_uris.iter().any(|own| own == uri)) {
                Some(_) => with_state(uri, form.one("state")?),
                None => {
                    self.tell_unfit_logout(client.as_deref(), form.one("client_id")?, uri, address);
                    return refuse(
                        "the application wants to go on at a place that is not registered for it (`post_logout_redirect_uri`)",
                    );
                }
            },
        };
        Ok(LogoutRequest { client, hinted: hint.map(|hint| hint.account), back })
    }

    fn tell_unfit_logout(&self, client: Option<&Client>, named: Option<&str>, uri: &str, address: &str) {
        match (client, named) {
            (Some(client), _) => self.tell_unfit(Unfit::Place { client, list: "post_logout_redirect_uris", uri }, address),
            (None, Some(named)) => self.tell_unfit(Unfit::Unknown(named), address),
            (None, None) => {}
        }
    }
}

fn with_state(uri: &str, state: Option<&str>) -> Option<String> {
    let mut url = Url::parse(uri).ok()?;
    let Some(state) = state else { return Some(uri.to_owned()) };
    url.query_pairs_mut().append_pair("state", state);
    Some(url.into())
}
