//! Claims: what is known of a requesting party, who said so, and when a pushed token counts
//! (Grant 3.3.1 and 5.7, protocol.md 1.3).

use jose::Verified;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use types::email;
use types::json::OneOrMany;
use types::policy::ClaimCondition;
use types::{ClientId, Issuer, Timestamp};

/// How far clocks may differ, in seconds.
pub const CLOCK_SKEW: i64 = 60;

/// One stated value. Server facts (time, client, owner) are never claims.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    pub name: String,
    pub value: Value,
    pub issuer: Issuer,
    pub format: String,
    /// When the person was last asked to prove herself, where the issuer says so.
    pub auth_time: Option<Timestamp>,
}

/// All claims of a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Claims(Vec<Claim>);

/// Who asks: every (`iss`, `sub`) that was verified in this process, one of each issuer. Empty: a stranger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestingParty(BTreeSet<Subject>);

/// Subjects of one person, and how many of them may be keys, of which anybody makes as many as he likes: each costs whoever is
/// asked later (threat 46).
const MOST_SUBJECTS: usize = 16;
const MOST_KEYS: usize = 4;

/// A second `sub` of an issuer that has named one already: somebody else, whose word does not count here (protocol.md 1.3). Or
/// more subjects than one person has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "two `sub` of one issuer are two people, and nobody has more than 16 issuers or 4 keys of her own: what was brought \
     about one more does not count"
)]
pub struct AnotherPerson;

/// A subject as one issuer knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    pub iss: Issuer,
    pub sub: String,
}

/// Where a condition of a policy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Holds,
    /// Nobody who counts has stated a value.
    Open,
    /// A value was stated, and it is none of those that are accepted.
    Wrong,
}

impl Subject {
    /// Whether it is a key that speaks for itself.
    fn is_key(&self) -> bool {
        self.iss.as_str().starts_with("did:")
    }
}

impl Claims {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Claim> + '_ {
        self.0.iter()
    }

    /// Adds a claim; a newer word of the same issuer on the same name replaces the older one.
    pub fn state(&mut self, claim: Claim) {
        self.0.retain(|old| old.name != claim.name || old.issuer != claim.issuer || old.format != claim.format);
        self.0.push(claim);
    }

    /// Adds a claim that was kept from before; what this process was told itself is newer, and stays.
    pub fn state_kept(&mut self, claim: Claim) {
        if !self.0.iter().any(|new| new.name == claim.name && new.issuer == claim.issuer && new.format == claim.format) {
            self.0.push(claim);
        }
    }

    /// Leaves out all but these.
    pub fn retain(&mut self, stays: impl FnMut(&Claim) -> bool) {
        self.0.retain(stays);
    }

    /// Where this condition stands on these claims.
    pub fn standing(&self, condition: &ClaimCondition) -> Standing {
        let mut standing = Standing::Open;
        for claim in self.0.iter().filter(|claim| counts_for(claim, condition)) {
            if condition.value.iter().any(|accepted| same_value(&condition.name, accepted, &claim.value)) {
                return Standing::Holds;
            }
            standing = Standing::Wrong;
        }
        standing
    }

    /// The claims as an object for the owner to read; one value per name.
    pub fn to_object(&self) -> Map<String, Value> {
        self.0.iter().map(|claim| (claim.name.clone(), claim.value.clone())).collect()
    }

    /// The verified e-mail address among them: of several the latest, which is the one that [`Self::to_object`] shows.
    pub fn email(&self) -> Option<&str> {
        self.emails().next_back()
    }

    /// All of them.
    pub fn emails(&self) -> impl DoubleEndedIterator<Item = &str> + '_ {
        self.0.iter().filter(|claim| claim.name == "email").filter_map(|claim| claim.value.as_str())
    }
}

impl FromIterator<Claim> for Claims {
    fn from_iter<T: IntoIterator<Item = Claim>>(claims: T) -> Self {
        let mut all = Self::default();
        claims.into_iter().for_each(|claim| all.state(claim));
        all
    }
}

impl RequestingParty {
    /// Somebody as one issuer knows her.
    pub fn of(subject: Subject) -> Self {
        Self([subject].into())
    }

    pub fn is_known(&self) -> bool {
        !self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Subject> + '_ {
        self.0.iter()
    }

    /// As whom she counts, where limits, answers and names are kept for a person: keys, of which anybody makes as many as he
    /// likes, say who somebody is only where nothing else does.
    #[must_use]
    pub fn person(&self) -> Self {
        let known: BTreeSet<Subject> = self.0.iter().filter(|subject| !subject.is_key()).cloned().collect();
        if known.is_empty() { self.clone() } else { Self(known) }
    }

    /// Whether this may be the same person: protocol.md 1.3 has one `sub` of each issuer, however that is spelled.
    pub fn admits(&self, subject: &Subject) -> bool {
        if self.0.contains(subject) {
            return true;
        }
        let keys = self.0.iter().filter(|known| known.is_key()).count();
        if self.0.len() >= MOST_SUBJECTS || subject.is_key() && keys >= MOST_KEYS {
            return false;
        }
        let issuer = subject.iss.canonical();
        self.0.iter().all(|known| known.sub == subject.sub || known.iss.canonical() != issuer)
    }

    /// Whether no two of these are subjects of one issuer.
    pub fn is_one_person(&self) -> bool {
        Self::default().admit_all(self).is_ok()
    }

    /// She is also known as this.
    pub fn admit(&mut self, subject: Subject) -> Result<(), AnotherPerson> {
        if !self.admits(&subject) {
            return Err(AnotherPerson);
        }
        self.0.insert(subject);
        Ok(())
    }

    /// She is also known as all of these, or nothing is changed.
    pub fn admit_all(&mut self, others: &Self) -> Result<(), AnotherPerson> {
        let mut both = self.clone();
        for subject in others.iter() {
            both.admit(subject.clone())?;
        }
        *self = both;
        Ok(())
    }
}

fn counts_for(claim: &Claim, condition: &ClaimCondition) -> bool {
    claim.name == condition.name
        && (condition.issuer.is_empty() || condition.issuer.iter().any(|issuer| issuer == claim.issuer.as_str()))
        && (condition.claim_token_format.is_empty()
            || condition.claim_token_format.iter().any(|format| same_format(format, &claim.format)))
}

fn same_format(a: &str, b: &str) -> bool {
    let canonical =
        |f: &str| if f == types::token::ID_TOKEN_FORMAT_HTTPS { types::token::ID_TOKEN_FORMAT.to_owned() } else { f.to_owned() };
    canonical(a) == canonical(b)
}

/// Whether a value that is accepted of a claim is the one that was stated.
pub(crate) fn same_value(name: &str, accepted: &Value, stated: &Value) -> bool {
    if name == "email" {
        return match (accepted.as_str(), stated.as_str()) {
            (Some(a), Some(b)) => email::is_same(a, b),
            _ => false,
        };
    }
    match stated {
        Value::Array(values) if !accepted.is_array() => values.contains(accepted),
        other => accepted == other,
    }
}

/// An issuer whose claim tokens count, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    pub issuer: Issuer,
    /// Names of the claims it may state.
    pub claims: BTreeSet<String>,
    /// Domains whose addresses it may vouch for, as lower-case A-labels; `*` is every domain.
    pub email_domains: Vec<String>,
}

impl Trust {
    /// Whether this word of the issuer counts here.
    pub fn covers(&self, claim: &Claim) -> bool {
        let is_stated = claim.name == "sub" || self.claims.contains(&claim.name);
        let vouches = || claim.value.as_str().is_some_and(|address| self.may_vouch_for(address));
        claim.issuer == self.issuer && is_stated && (claim.name != "email" || vouches())
    }

    fn may_vouch_for(&self, address: &str) -> bool {
        let Some(domain) = email::domain_of(address) else { return false };
        self.email_domains.iter().any(|own| own == "*" || *own == domain)
    }
}

/// The request that brings a claim token.
pub struct Presentation<'a> {
    /// This authorization server.
    pub issuer: &'a Issuer,
    pub client: &'a ClientId,
    pub may_push_claims: bool,
    /// base64url(SHA-256(ticket)) of the ticket presented.
    pub ticket_challenge: &'a str,
    pub max_age: i64,
    pub now: Timestamp,
    pub format: &'a str,
}

/// The members of a claim token that decide whether it counts.
#[derive(Clone, Debug, Deserialize)]
pub struct ClaimToken {
    iss: String,
    sub: String,
    aud: OneOrMany,
    azp: Option<String>,
    exp: Timestamp,
    iat: Timestamp,
    nbf: Option<Timestamp>,
    pub jti: Option<String>,
    ticket_challenge: Option<String>,
    auth_time: Option<Timestamp>,
    cnf: Option<Value>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl ClaimToken {
    /// Whether it says that something has happened, as a logout token does, and not who somebody is (OpenID Connect Back-Channel
    /// Logout 2.4, RFC 8417 2.2).
    pub fn tells_of_events(&self) -> bool {
        self.others.contains_key("events")
    }
}

/// What a claim token that counts brings.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    pub subject: Subject,
    pub claims: Vec<Claim>,
    pub issued: Timestamp,
    pub expires: Timestamp,
    pub jti: Option<String>,
    /// Key confirmation that must go on into the RPT.
    pub cnf: Option<Value>,
}

/// Why a claim token does not count. It is then as if it had not been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCounted {
    #[error("its issuer is not trusted here")]
    Issuer,
    #[error("it is not fresh")]
    Stale,
    #[error("it is meant for somebody else")]
    Audience,
    #[error("it is bound to another ticket")]
    Ticket,
    #[error("it names nobody")]
    Subject,
}

/// Decides whether a verified claim token counts, and for which claims (protocol.md 1.3).
pub fn accept(token: &Verified<ClaimToken>, trust: &Trust, here: &Presentation<'_>) -> Result<Accepted, NotCounted> {
    if token.iss != trust.issuer.as_str() {
        return Err(NotCounted::Issuer);
    }
    // OpenID Connect Core 2: `sub` is a name, and without one nobody is told from anybody
    if token.sub.trim().is_empty() {
        return Err(NotCounted::Subject);
    }
    check_freshness(token, here)?;
    check_audience(token, here)?;
    let mut claims = Vec::new();
    let mut state = |name: &str, value: Value| {
        claims.push(Claim {
            name: name.to_owned(),
            value,
            issuer: trust.issuer.clone(),
            format: here.format.to_owned(),
            auth_time: token.auth_time,
        });
    };
    state("sub", token.sub.as_str().into());
    if let (Some(time), true) = (token.auth_time, trust.claims.contains("auth_time")) {
        state("auth_time", time.0.into());
    }
    for (name, value) in token.others.iter().filter(|(name, _)| trust.claims.contains(*name)) {
        match name.as_str() {
            // as addresses compare, so that what is kept and shown is what was compared
            "email" => {
                let address = email_of(&token.others, value, trust);
                address.into_iter().for_each(|address| state(name, address.into()));
            }
            _ => state(name, value.clone()),
        }
    }
    Ok(Accepted {
        subject: Subject { iss: trust.issuer.clone(), sub: token.sub.clone() },
        claims,
        issued: token.iat,
        expires: token.exp,
        jti: token.jti.clone(),
        cnf: token.cnf.clone(),
    })
}

/// `email` counts only with `email_verified: true` from the same issuer, within its domains.
fn email_of(members: &Map<String, Value>, address: &Value, trust: &Trust) -> Option<String> {
    let is_verified = members.get("email_verified") == Some(&Value::Bool(true));
    address.as_str().filter(|address| is_verified && trust.may_vouch_for(address)).and_then(email::normalize)
}

fn check_freshness(token: &ClaimToken, here: &Presentation<'_>) -> Result<(), NotCounted> {
    let now = here.now;
    let fresh = token.exp.plus(CLOCK_SKEW) > now
        && token.iat <= now.plus(CLOCK_SKEW)
        && token.iat.plus(here.max_age).plus(CLOCK_SKEW) >= now
        && token.nbf.is_none_or(|nbf| nbf <= now.plus(CLOCK_SKEW));
    if fresh { Ok(()) } else { Err(NotCounted::Stale) }
}

/// From a client that may push claims: this server or that client. From any other: this server, and
/// this very ticket (Grant 5.7: no claim tokens from clients that nobody trusts with them).
fn check_audience(token: &ClaimToken, here: &Presentation<'_>) -> Result<(), NotCounted> {
    let bound_here = match token.ticket_challenge.as_deref() {
        Some(challenge) if challenge != here.ticket_challenge => return Err(NotCounted::Ticket),
        challenge => challenge.is_some(),
    };
    let us = here.issuer.as_str();
    let pusher = here.client.as_str();
    let for_us = token.aud.contains(us);
    let for_pusher = here.may_push_claims && token.aud.contains(pusher);
    let azp_fits = token.azp.as_deref().is_none_or(|azp| azp == us || azp == pusher);
    let several = token.aud.len() > 1 && token.azp.is_none() && !for_us;
    let fits = azp_fits && !several && (if here.may_push_claims { for_us || for_pusher } else { for_us });
    if !fits {
        return Err(NotCounted::Audience);
    }
    if !here.may_push_claims && !bound_here {
        return Err(NotCounted::Ticket);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
