//! Log-in at other OpenID providers. An account there opens an account here only once its owner has linked the two, while she
//! was logged in here - never because an address is the same -, or where the operator lets newcomers have accounts.
//!
//! How the other provider is spoken to is the wiring's ([`Upstream`]); whom its answer lets in is decided here.

use crate::account::Standing;
use crate::session::{Proof, Session};
use crate::undeclared::without_acting;
use crate::{Account, Changes, CommitError, Failure, Identity, Requirement, Write};
use async_trait::async_trait;
use jose::base64url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use types::{AccountId, ErrorCode, Timestamp, email};

/// Seconds that a log-in elsewhere may take.
const BEGUN_LIFETIME: i64 = 900;
/// Seconds by which another provider's clock may be behind.
const CLOCK_SKEW: i64 = 60;
/// Rows that are read at once.
const AT_ONCE: usize = 500;
/// Most of one account.
const MAX_LINKED: usize = 20;
const CONTEXT: &str = "log-in elsewhere";
/// Told to whoever proved that the account was hers.
pub(crate) const CLOSED: &str = "whoever runs this server has closed your account: ask there";

/// A link of another site may begin a log-in, and the provider may answer at once, as whomever it likes.
const SOMEBODY_ELSE: &str = "you are logged in as somebody else here: log out first, and log in there again";

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
    /// Where to send the browser, and what is needed when it comes back. `again`: she must prove herself there anew.
    async fn begin(&self, redirect_uri: &str, again: bool) -> Result<(String, String), Failure>;
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
    /// She must have proved herself there since then.
    #[serde(default)]
    again: Option<Timestamp>,
}

/// How a browser is sent to another provider.
pub struct Departure<'a> {
    pub issuer: &'a str,
    /// Where she goes on when she is back.
    pub back: &'a str,
    /// The session of whoever links an account of hers there.
    pub linking: Option<&'a Session>,
    /// Whether she must prove herself there anew, though she may be logged in there.
    pub again: bool,
    /// Where the browser is, for limits.
    pub address: &'a str,
}

/// The browser that comes back.
pub struct Returning<'a> {
    /// What it carried.
    pub carried: &'a str,
    /// The provider's answer.
    pub query: &'a str,
    pub form_cookie: &'a str,
    pub session: Option<&'a Session>,
    /// The cookie of the session that a new one takes the place of.
    pub session_cookie: Option<&'a str>,
    /// Where the browser is, for limits.
    pub address: &'a str,
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

/// Whether this provider's word about an address counts.
fn may_vouch_for(provider: &dyn Upstream, address: &str) -> bool {
    let domain = email::domain_of(address);
    let vouches = |own: &String| own == "*" || (domain.is_some() && email::normalize_domain(own) == domain);
    provider.email_domains().iter().any(vouches)
}

impl Identity {
    fn upstream_of(&self, issuer: &str) -> Result<&dyn Upstream, Failure> {
        let found = self.upstream.iter().find(|one| one.issuer() == issuer);
        match found {
            Some(one) => Ok(&**one),
            None => refuse("nobody logs in by that provider here"),
        }
    }

    /// Sends a browser to another provider: its URL, and the cookie to carry meanwhile.
    pub async fn begin_upstream(&self, departure: &Departure<'_>, form_cookie: &str) -> Result<(String, String), Failure> {
        let Departure { issuer, back, linking, again, address } = *departure;
        let provider = self.upstream_of(issuer)?;
        self.limits.count_elsewhere(address, self.now())?;
        if linking.is_some_and(|session| !session.is_fresh(self.now())) {
            return Failure::refuse(ErrorCode::LoginRequired, "log in again first: a new way to log in wants a fresh log-in");
        }
        let (url, flow) = provider.begin(&self.url(types::path::LOGIN_CALLBACK), again).await?;
        let begun = Begun {
            issuer: issuer.to_owned(),
            flow,
            back: back.to_owned(),
            linking: linking.map(|session| session.account.clone()),
            form_cookie: form_cookie.to_owned(),
            expires: self.now().plus(BEGUN_LIFETIME),
            again: again.then(|| self.now()),
        };
        let plain = serde_json::to_vec(&begun).map_err(crate::internal)?;
        Ok((url, base64url::encode(self.keys.seal(&plain, CONTEXT, &*self.randomness)?)))
    }

    /// The browser is back.
    pub async fn finish_upstream(&self, browser: &Returning<'_>) -> Result<Arrived, Failure> {
        const OLD: &str = "this answer does not belong to this browser, or came too late: log in again";
        let plain = base64url::decode(browser.carried).and_then(|sealed| self.keys.open(&sealed, CONTEXT));
        let begun = plain.and_then(|plain| serde_json::from_slice::<Begun>(&plain).ok());
        let Some(begun) = begun.filter(|begun| begun.form_cookie == browser.form_cookie && self.now() < begun.expires) else {
            return refuse(OLD);
        };
        let provider = self.upstream_of(&begun.issuer)?;
        self.limits.count_elsewhere(browser.address, self.now())?;
        let who = {
            let query: Vec<(String, String)> = form_urlencoded::parse(browser.query.as_bytes()).into_owned().collect();
            provider.finish(&begun.flow, &query).await?
        };
        let proved = self.proved_there(&begun, &who)?;
        let known = self.store.find_linked_log_in(&name_of(&begun.issuer, &who.sub)).await?;
        match (begun.linking, known) {
            (Some(account), known) => {
                let Some(session) = browser.session.filter(|session| session.account == account) else { return refuse(OLD) };
                if known.is_some_and(|known| known.account != account) {
                    return refuse("that account is linked to somebody else's account here already");
                }
                self.link_log_in(session, &begun.issuer, &who).await?;
                Ok(Arrived::Linked { back: begun.back })
            }
            (None, Some(known)) => self.log_in_from_there(known, proved, browser, begun.back).await,
            (None, None) if provider.makes_accounts() => {
                if browser.session.is_some() {
                    return refuse(SOMEBODY_ELSE);
                }
                let known = self.newcomer(provider, &who).await?;
                self.log_in_from_there(known, proved, browser, begun.back).await
            }
            (None, None) => refuse(format!(
                "no account here is linked to yours at {}: log in with your password or passkey, and link it under Log-in",
                provider.name()
            )),
        }
    }

    /// When she proved herself there, as far as the provider says; else now. What was to be anew and was not is refused:
    /// with `max_age`, a provider says the time (OpenID Connect Core 2, 3.1.2.1).
    fn proved_there(&self, begun: &Begun, who: &UpstreamAccount) -> Result<Timestamp, Failure> {
        let said = who.claims.get("auth_time").and_then(Value::as_i64).map(Timestamp);
        match begun.again {
            Some(since) if said.is_none_or(|said| said.plus(CLOCK_SKEW) < since) => Failure::refuse(
                ErrorCode::LoginRequired,
                "the other provider did not ask you to prove yourself again: log in here",
            ),
            // by its clock, which may be a little behind
            Some(since) => Ok(said.unwrap_or(since).max(since).min(self.now())),
            None => Ok(said.unwrap_or(self.now()).min(self.now())),
        }
    }

    /// A session for whoever an account elsewhere opens, while it does.
    async fn log_in_from_there(
        &self,
        known: LinkedLogIn,
        proved: Timestamp,
        browser: &Returning<'_>,
        back: String,
    ) -> Result<Arrived, Failure> {
        if browser.session.is_some_and(|session| session.account != known.account) {
            return refuse(SOMEBODY_ELSE);
        }
        let account = self.store.find_account(&known.account).await?;
        if account.is_some_and(|account| account.standing == Standing::Gone) {
            return refuse(CLOSED);
        }
        let proof = Proof { at: proved, by: Some(&known.issuer) };
        let (cookie, writes) = self.new_session_proved(&known.account, &proof, browser.session_cookie);
        match self.store.commit(Changes { requires: vec![Requirement::LinkedLogInStands(known)], writes }).await {
            Ok(()) => Ok(Arrived::LoggedIn { cookie, back }),
            Err(CommitError::Changed) => refuse("that account was unlinked just now"),
            Err(error) => Err(error.into()),
        }
    }

    fn linked(&self, account: AccountId, issuer: &str, who: &UpstreamAccount) -> LinkedLogIn {
        let text = |name: &str| who.claims.get(name).and_then(Value::as_str);
        let known_as = text("email").or(text("preferred_username")).or(text("name")).unwrap_or(&who.sub);
        let known_as = known_as.chars().take(100).collect();
        LinkedLogIn { account, issuer: issuer.to_owned(), sub: who.sub.clone(), known_as, created: self.now() }
    }

    async fn link_log_in(&self, session: &Session, issuer: &str, who: &UpstreamAccount) -> Result<(), Failure> {
        let account = session.account.clone();
        let all = self.store.list_linked_log_ins(&account).await?;
        if all.iter().any(|one| one.issuer == issuer && one.sub == who.sub) {
            return Ok(());
        }
        if all.len() >= MAX_LINKED {
            return refuse("you have linked 20 accounts: remove one first");
        }
        let requires = vec![Requirement::SessionStands(session.id.clone())];
        let writes = vec![Write::CreateLinkedLogIn(self.linked(account, issuer, who))];
        match self.store.commit(Changes { requires, writes }).await {
            Err(CommitError::Taken) => refuse("that account is linked to an account here already"),
            Err(CommitError::Changed) => {
                Failure::refuse(ErrorCode::LoginRequired, "you are logged out: log in, and link it then")
            }
            other => Ok(other?),
        }
    }

    /// A new account, with an address only where this provider may vouch for it and nobody here has it.
    async fn newcomer(&self, provider: &dyn Upstream, who: &UpstreamAccount) -> Result<LinkedLogIn, Failure> {
        let text = |name: &str| who.claims.get(name).and_then(Value::as_str);
        let is_verified = who.claims.get("email_verified").and_then(Value::as_bool) == Some(true);
        let email = text("email").and_then(email::normalize);
        let email = email.filter(|address| is_verified && may_vouch_for(provider, address));
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
            standing: Standing::Elsewhere,
            vouched_since: None,
            gone_providers: BTreeSet::new(),
            created: self.now(),
        };
        let link = self.linked(account.id.clone(), provider.issuer(), who);
        match self.store.commit(Changes::of(vec![Write::CreateAccount(account), Write::CreateLinkedLogIn(link.clone())])).await {
            // somebody came at the same time: the same person, most likely
            Err(CommitError::Taken) => refuse("your account was being made: log in again"),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(link),
        }
    }

    /// Brings what other providers said in line with those whom the operator has now, at start: one that is taken out, or may no
    /// longer vouch for a domain, vouches for nobody there, and what it opened is closed. Once it is back, addresses count again,
    /// and nothing of before does.
    pub async fn follow_providers(&self) -> Result<(), Failure> {
        let (mut closed, mut after) = (BTreeSet::new(), None);
        loop {
            let accounts = self.store.list_accounts(after.as_ref(), AT_ONCE).await?;
            after = accounts.last().filter(|_| accounts.len() == AT_ONCE).map(|account| account.id.clone());
            for account in accounts.into_iter().filter(|account| account.standing != Standing::Gone) {
                let is_open = self.is_open(&account).await?;
                if !is_open {
                    closed.insert(account.id.clone());
                }
                self.follow_provider(account, is_open).await?;
            }
            if after.is_none() {
                break;
            }
        }
        let is_of_no_more = |by: &str| !self.upstream.iter().any(|one| one.issuer() == by);
        let mut after = None;
        loop {
            let sessions = self.store.list_sessions(after.as_deref(), AT_ONCE).await?;
            after = sessions.last().filter(|_| sessions.len() == AT_ONCE).map(|session| session.id.clone());
            let ends = |one: &Session| closed.contains(&one.account) || one.by.as_deref().is_some_and(is_of_no_more);
            let ended = sessions.into_iter().filter(ends).map(|session| Write::DeleteSession(session.id));
            self.store.commit(Changes::of(ended.collect())).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// One account: what its provider says of its address, which ways into it are gone, and, where nothing opens it any more, what it
    /// agreed to (decisions 51, 58).
    async fn follow_provider(&self, before: Account, is_open: bool) -> Result<(), Failure> {
        let linked = self.store.list_linked_log_ins(&before.id).await?;
        let opened_by = linked.iter().map(|one| one.issuer.as_str()).chain(before.provider());
        let is_gone = |issuer: &&str| !self.upstream.iter().any(|one| one.issuer() == *issuer);
        let gone: BTreeSet<String> = opened_by.filter(is_gone).map(str::to_owned).collect();
        let vouches = match before.provider().zip(before.email.as_ref()) {
            Some((issuer, address)) => self.upstream.iter().any(|one| one.issuer() == issuer && may_vouch_for(&**one, address)),
            None => before.email_verified,
        };
        // noted once: another start takes nothing back
        let is_less = (before.email_verified && !vouches) || !gone.is_subset(&before.gone_providers);
        let vouched_since = if is_less { Some(self.now()) } else { before.vouched_since };
        let account = Account { email_verified: vouches, vouched_since, gone_providers: gone, ..before.clone() };
        if !is_open {
            let consents = self.store.list_consents(&account.id).await?;
            self.store.commit(Changes::of(consents.into_iter().filter_map(without_acting).collect())).await?;
        }
        if account == before {
            return Ok(());
        }
        match self.store.commit(Changes::of(vec![Write::PutAccount(account.clone())])).await {
            // the address is somebody else's by now
            Err(CommitError::Taken) => {
                let without_it = Account { email_verified: false, ..account };
                Ok(self.store.commit(Changes::of(vec![Write::PutAccount(without_it)])).await?)
            }
            other => Ok(other?),
        }
    }

    pub async fn list_linked_log_ins(&self, account: &AccountId) -> Result<Vec<LinkedLogIn>, Failure> {
        Ok(self.store.list_linked_log_ins(account).await?)
    }
}
