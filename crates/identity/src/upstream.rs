//! Log-in at other OpenID providers. An account there opens an account here only once its owner has linked the two, while she
//! was logged in here - never because an address is the same -, or where the operator lets newcomers have accounts.
//!
//! How the other provider is spoken to is the wiring's ([`Upstream`]); whom its answer lets in is decided here.

use crate::session::Session;
use crate::{Account, Changes, CommitError, Failure, Identity, Write};
use async_trait::async_trait;
use jose::base64url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::{AccountId, ErrorCode, Timestamp};

/// Seconds that a log-in elsewhere may take.
const BEGUN_LIFETIME: i64 = 900;
/// Most of one account.
const MAX_LINKED: usize = 20;
const CONTEXT: &str = "log-in elsewhere";

/// Somebody as the other provider says; its word is verified.
#[derive(Clone, Debug)]
pub struct UpstreamAccount {
    pub sub: String,
    pub claims: Map<String, Value>,
}

/// Another provider, as the wiring speaks to it.
#[async_trait]
pub trait Upstream: Send + Sync {
    fn issuer(&self) -> &str;
    /// What pages call it.
    fn name(&self) -> &str;
    /// Whether newcomers get accounts.
    fn makes_accounts(&self) -> bool;
    /// Domains whose addresses it may vouch for.
    fn email_domains(&self) -> &[String];
    /// Where to send the browser, and what is needed when it comes back.
    async fn begin(&self, redirect_uri: &str) -> Result<(String, String), Failure>;
    /// Who it is.
    async fn finish(&self, begun: &str, query: &[(String, String)]) -> Result<UpstreamAccount, Failure>;
}

/// An account elsewhere that opens one here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedLogIn {
    pub account: AccountId,
    pub issuer: String,
    pub sub: String,
    /// What it is called there.
    pub known_as: String,
    pub created: Timestamp,
}

impl LinkedLogIn {
    /// The name under which it is kept.
    pub fn name(&self) -> String {
        name_of(&self.issuer, &self.sub)
    }
}

/// Issuers have no spaces.
pub fn name_of(issuer: &str, sub: &str) -> String {
    format!("{issuer} {sub}")
}

/// What the browser carries while it is elsewhere, sealed.
#[derive(Serialize, Deserialize)]
struct Begun {
    issuer: String,
    flow: String,
    back: String,
    /// The account that is to be linked; none: somebody logs in.
    linking: Option<AccountId>,
    form_cookie: String,
    expires: Timestamp,
}

/// What came of it.
pub enum Arrived {
    /// Logged in: the session's cookie, and where to go on.
    LoggedIn { cookie: String, back: String },
    /// Linked to the account that is logged in.
    Linked { back: String },
}

fn refuse<T>(what: impl Into<String>) -> Result<T, Failure> {
    Failure::refuse(ErrorCode::InvalidRequest, what)
}

impl Identity {
    fn upstream_of(&self, issuer: &str) -> Result<&dyn Upstream, Failure> {
        let found = self.upstream.iter().find(|one| one.issuer() == issuer);
        match found {
            Some(one) => Ok(&**one),
            None => refuse("nobody logs in by that provider here"),
        }
    }

    /// Sends a browser to another provider: its URL, and the cookie to carry meanwhile. `linking`: the session of whoever
    /// links an account of hers there.
    pub async fn begin_upstream(
        &self,
        issuer: &str,
        back: &str,
        linking: Option<&Session>,
        form_cookie: &str,
    ) -> Result<(String, String), Failure> {
        if linking.is_some_and(|session| !session.is_fresh(self.now())) {
            return Failure::refuse(ErrorCode::LoginRequired, "log in again first: a new way to log in wants a fresh log-in");
        }
        let (url, flow) = self.upstream_of(issuer)?.begin(&self.url(types::path::LOGIN_CALLBACK)).await?;
        let begun = Begun {
            issuer: issuer.to_owned(),
            flow,
            back: back.to_owned(),
            linking: linking.map(|session| session.account.clone()),
            form_cookie: form_cookie.to_owned(),
            expires: self.now().plus(BEGUN_LIFETIME),
        };
        let plain = serde_json::to_vec(&begun).map_err(crate::internal)?;
        Ok((url, base64url::encode(self.keys.seal(&plain, CONTEXT, &*self.randomness)?)))
    }

    /// The browser is back.
    pub async fn finish_upstream(
        &self,
        carried: &str,
        query: &str,
        session: Option<&Session>,
        form_cookie: &str,
    ) -> Result<Arrived, Failure> {
        const OLD: &str = "this answer does not belong to this browser, or came too late: log in again";
        let plain = base64url::decode(carried).and_then(|sealed| self.keys.open(&sealed, CONTEXT));
        let begun = plain.and_then(|plain| serde_json::from_slice::<Begun>(&plain).ok());
        let Some(begun) = begun.filter(|begun| begun.form_cookie == form_cookie && self.now() < begun.expires) else {
            return refuse(OLD);
        };
        let provider = self.upstream_of(&begun.issuer)?;
        let who = {
            let query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            provider.finish(&begun.flow, &query).await?
        };
        let known = self.store.find_linked_log_in(&name_of(&begun.issuer, &who.sub)).await?;
        match (begun.linking, known) {
            (Some(account), _) if session.is_none_or(|session| session.account != account) => refuse(OLD),
            (Some(account), Some(known)) if known.account != account => {
                refuse("that account is linked to somebody else's account here already")
            }
            (Some(account), _) => {
                self.link_log_in(account, &begun.issuer, &who).await?;
                Ok(Arrived::Linked { back: begun.back })
            }
            (None, Some(known)) => {
                let cookie = self.start_session(&known.account).await?;
                Ok(Arrived::LoggedIn { cookie, back: begun.back })
            }
            (None, None) if provider.makes_accounts() => {
                let account = self.newcomer(provider, &who).await?;
                let cookie = self.start_session(&account).await?;
                Ok(Arrived::LoggedIn { cookie, back: begun.back })
            }
            (None, None) => refuse(format!(
                "no account here is linked to yours at {}: log in with your password or passkey, and link it under Log-in",
                provider.name()
            )),
        }
    }

    fn linked(&self, account: AccountId, issuer: &str, who: &UpstreamAccount) -> LinkedLogIn {
        let text = |name: &str| who.claims.get(name).and_then(Value::as_str);
        let known_as = text("email").or(text("preferred_username")).or(text("name")).unwrap_or(&who.sub);
        let known_as = known_as.chars().take(100).collect();
        LinkedLogIn { account, issuer: issuer.to_owned(), sub: who.sub.clone(), known_as, created: self.now() }
    }

    async fn link_log_in(&self, account: AccountId, issuer: &str, who: &UpstreamAccount) -> Result<(), Failure> {
        let all = self.store.list_linked_log_ins(&account).await?;
        if all.iter().any(|one| one.issuer == issuer && one.sub == who.sub) {
            return Ok(());
        }
        if all.len() >= MAX_LINKED {
            return refuse("you have linked 20 accounts: remove one first");
        }
        match self.store.commit(Changes::of(vec![Write::CreateLinkedLogIn(self.linked(account, issuer, who))])).await {
            Err(CommitError::Taken) => refuse("that account is linked to an account here already"),
            other => Ok(other?),
        }
    }

    /// A new account, with an address only where this provider may vouch for it and nobody here has it.
    async fn newcomer(&self, provider: &dyn Upstream, who: &UpstreamAccount) -> Result<AccountId, Failure> {
        let text = |name: &str| who.claims.get(name).and_then(Value::as_str);
        let email = text("email").map(str::to_lowercase).filter(|email| {
            let domain = email.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
            who.claims.get("email_verified").and_then(Value::as_bool) == Some(true)
                && provider.email_domains().iter().any(|own| own == "*" || own == domain)
        });
        let email = match email {
            Some(email) if self.store.find_account_by_email(&email).await?.is_none() => Some(email),
            _ => None,
        };
        let account = Account {
            id: AccountId::new(self.random_id()),
            username: name_of(provider.issuer(), &who.sub),
            name: text("name").or(text("preferred_username")).map(|name| name.chars().take(100).collect()),
            email_verified: email.is_some(),
            email,
            claims: Map::new(),
            password_hash: None,
            declared_digest: None,
            created: self.now(),
        };
        let (id, link) = (account.id.clone(), self.linked(account.id.clone(), provider.issuer(), who));
        match self.store.commit(Changes::of(vec![Write::CreateAccount(account), Write::CreateLinkedLogIn(link)])).await {
            // somebody came at the same time: the same person, most likely
            Err(CommitError::Taken) => refuse("your account was being made: log in again"),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(id),
        }
    }

    pub async fn list_linked_log_ins(&self, account: &AccountId) -> Result<Vec<LinkedLogIn>, Failure> {
        Ok(self.store.list_linked_log_ins(account).await?)
    }

    /// Removes one; not the last way in.
    pub async fn unlink_log_in(&self, account: &Account, name: &str) -> Result<(), Failure> {
        let all = self.store.list_linked_log_ins(&account.id).await?;
        if !all.iter().any(|one| one.name() == name) {
            return refuse("that account is not linked to yours");
        }
        let others = all.len() > 1 || account.password_hash.is_some() || !self.store.list_passkeys(&account.id).await?.is_empty();
        if !others {
            return refuse("this is your only way to log in: add a passkey first");
        }
        Ok(self.store.commit(Changes::of(vec![Write::DeleteLinkedLogIn(name.to_owned())])).await?)
    }
}
