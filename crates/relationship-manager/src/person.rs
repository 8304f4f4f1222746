//! Who is at the desk: log-in by an OpenID provider (the manager's own, or another's), and the session after it.

use crate::store::{Begun, Session};
use crate::{Manager, Trouble};
use client::oauth::CodeRequest;
use client::{Client, Credentials};
use http::HeaderMap;
use http::header::COOKIE;
use jose::{base64url, digest};
use serde_json::Value;

/// Seconds that a log-in may take.
pub(crate) const BEGUN_LIFETIME: i64 = 600;
/// Seconds that a session lasts.
const SESSION_LIFETIME: i64 = 12 * 3600;

/// Somebody at the desk.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) owner: String,
    pub(crate) name: String,
    /// Hidden field of her forms.
    pub(crate) csrf: String,
    pub(crate) session: String,
}

/// A cookie of a request.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(own, _)| *own == name).map(|(_, value)| value.to_owned())
}

impl Manager {
    /// Name of the session's cookie; where the manager is served by TLS, one that no other host can set.
    pub(crate) fn session_cookie(&self) -> &'static str {
        if self.settings.url.starts_with("https:") { "__Host-wl_desk" } else { "wl_desk" }
    }

    /// Who has sent this.
    pub(crate) fn person(&self, headers: &HeaderMap) -> Result<Option<Person>, Trouble> {
        let Some(id) = cookie(headers, self.session_cookie()) else { return Ok(None) };
        let session = self.store.find_session(&hashed(&id))?.filter(|session| self.now() < session.expires);
        Ok(session.map(|session| Person {
            owner: session.owner,
            name: session.name,
            csrf: base64url::encode(digest::sha256(&[&self.csrf, id.as_bytes()])),
            session: hashed(&id),
        }))
    }

    async fn login_client(&self) -> Result<Client, Trouble> {
        match &self.login_client {
            Some(credentials) => Ok(Client { credentials: credentials.clone(), dpop_key: None, ..self.client.clone() }),
            None => Ok(Client { dpop_key: None, ..self.client_at(&self.settings.login).await? }),
        }
    }

    /// Begins the log-in: where to send the browser, and the state that it keeps.
    pub(crate) async fn begin_log_in(&self, back: Option<String>) -> Result<(String, String), Trouble> {
        let metadata = self.metadata_of(&self.settings.login).await?;
        let callback = self.callback();
        let request = CodeRequest { redirect_uri: &callback, scope: "openid profile email", ..CodeRequest::default() };
        let (url, flow) = self.login_client().await?.begin_pushed(&metadata, &request).await?;
        let state = flow.state.clone();
        let begun = Begun { flow, expires: self.now().plus(BEGUN_LIFETIME), linking: None, back };
        self.store.put_begun(&begun, self.now()).await?;
        Ok((url, state))
    }

    /// After it: the session's cookie.
    pub(crate) async fn finish_log_in(&self, begun: &Begun, query: &[(String, String)]) -> Result<String, Trouble> {
        let metadata = self.metadata_of(&begun.flow.issuer).await?;
        let authorized = self.login_client().await?.finish_code(&metadata, &begun.flow, query).await?;
        let account = self.login_client().await?.with_userinfo(&metadata, &authorized).await;
        let text = |name: &str| account.get(name).and_then(Value::as_str);
        let sub = text("sub").ok_or_else(|| Trouble::Refused("the log-in does not say who you are".into()))?;
        let name = ["name", "preferred_username", "email"].iter().find_map(|name| text(name)).unwrap_or(sub);
        let id = self.new_id();
        let session = Session {
            owner: format!("{} {sub}", begun.flow.issuer),
            name: name.to_owned(),
            expires: self.now().plus(SESSION_LIFETIME),
        };
        self.store.put_session(&hashed(&id), &session, self.now()).await?;
        Ok(id)
    }

    pub(crate) async fn log_out(&self, person: &Person) -> Result<(), Trouble> {
        self.close_key(person);
        Ok(self.store.delete_session(&person.session).await?)
    }

    /// This manager as a client of a server that it registers with at first.
    pub(crate) async fn client_at(&self, issuer: &str) -> Result<Client, Trouble> {
        let client_id = self.registered_at(issuer).await?;
        Ok(Client { credentials: Credentials::key(client_id, self.key.clone()), ..self.client.clone() })
    }
}

/// A session is found by its cookie, and its cookie not by the store.
fn hashed(id: &str) -> String {
    base64url::encode(digest::sha256(&[id.as_bytes()]))
}
