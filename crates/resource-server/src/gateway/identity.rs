//! Who is calling, as the service behind is told (`browser.md`, *Who is calling*): in fields that nobody else can send, and in
//! a JWT by the gateway's key for a service that wants to check it. Called by [`super::passage`], for calls that were let in.
//!
//! An authorization server that the operator does not list says of its people what it likes. So that none of them is taken
//! for somebody of another server, theirs are told by a hash over server and name, and no address is believed of it. What is
//! not written in visible ASCII stands in the JWT alone.

use super::admission::Admitted;
use super::route::Matched;
use super::{Behind, Gateway, Route, Settings, path, route};
use crate::guard::Need;
use http::{HeaderMap, HeaderName, HeaderValue};
use jose::{KeyError, SigningKey, base64url, digest};
use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use serde::Serialize;
use std::borrow::Cow;
use std::sync::Arc;
use types::{Scope, Timestamp};

const SUBJECT: HeaderName = HeaderName::from_static("x-wayleave-subject");
const CLIENT: HeaderName = HeaderName::from_static("x-wayleave-client");
const SCOPES: HeaderName = HeaderName::from_static("x-wayleave-scopes");
const EMAIL: HeaderName = HeaderName::from_static("x-wayleave-email");
const IDENTITY: HeaderName = HeaderName::from_static("x-wayleave-identity");

/// How long a JWT is good.
const LIFETIME_SECONDS: i64 = 60;
/// How long one is sent again: signing is dear beside the rest of what is done for a call.
const KEPT_SECONDS: i64 = 10;
const MOST_KEPT: usize = 10_000;

/// Who calls, and what she may do with what is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Who<'a> {
    subject: Option<Cow<'a, str>>,
    client: Option<Cow<'a, str>>,
    scopes: Cow<'a, str>,
    email: Option<Cow<'a, str>>,
}

/// The same, as it is kept: it is looked up without a copy of it.
#[derive(PartialEq, Eq, Hash)]
struct Known(Who<'static>);

impl From<&Who<'_>> for Known {
    fn from(who: &Who<'_>) -> Self {
        let owned = |text: &Cow<'_, str>| Cow::Owned(text.clone().into_owned());
        let Who { subject, client, scopes, email } = who;
        Self(Who {
            subject: subject.as_ref().map(owned),
            client: client.as_ref().map(owned),
            scopes: owned(scopes),
            email: email.as_ref().map(owned),
        })
    }
}

impl Equivalent<Known> for Who<'_> {
    fn equivalent(&self, known: &Known) -> bool {
        *self == known.0
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    iat: Timestamp,
    exp: Timestamp,
}

/// Fields that say who calls.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    fields: Arc<[(HeaderName, HeaderValue)]>,
    signed: Timestamp,
}

impl Identity {
    /// Takes the place of whatever stands there.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        for (name, value) in &*self.fields {
            headers.insert(name.clone(), value.clone());
        }
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        (0..KEPT_SECONDS).contains(&self.signed.until(now))
    }
}

/// Makes them for one service.
pub(super) struct Identities {
    /// This gateway.
    issuer: String,
    /// The service's URL, as the operator wrote it.
    audience: String,
    key: Arc<SigningKey>,
    kept: Cache<Known, Identity>,
}

impl Identities {
    fn new(resource: &str, upstream: &str, key: Arc<SigningKey>) -> Self {
        Self { issuer: resource.to_owned(), audience: upstream.to_owned(), key, kept: Cache::new(MOST_KEPT) }
    }

    /// None: a folder asks nobody who she is. Where a proxy serves it, whoever reads the JWT behind that is told by this server's
    /// own name.
    pub(super) fn of(settings: &Settings, key: &Arc<SigningKey>) -> Option<Self> {
        match &settings.behind {
            Behind::Upstream(url) => Some(Self::new(&settings.resource, url, key.clone())),
            Behind::Folder(_) if settings.forward_auth.is_some() => {
                Some(Self::new(&settings.resource, &settings.resource, key.clone()))
            }
            Behind::Folder(_) => None,
        }
    }

    fn tell(&self, who: &Who<'_>, now: Timestamp) -> Identity {
        if let Some(kept) = self.kept.get(who).filter(|kept| kept.is_fresh(now)) {
            return kept;
        }
        let identity = self.sign(who, now);
        self.kept.insert(who.into(), identity.clone());
        identity
    }

    fn sign(&self, who: &Who<'_>, now: Timestamp) -> Identity {
        let claims = Claims {
            iss: &self.issuer,
            aud: &self.audience,
            sub: who.subject.as_deref(),
            client_id: who.client.as_deref(),
            scope: &who.scopes,
            email: who.email.as_deref(),
            iat: now,
            exp: now.plus(LIFETIME_SECONDS),
        };
        let jwt = self.key.sign("JWT", &claims).inspect_err(|_: &KeyError| tracing::error!("who calls cannot be signed"));
        let plain = [
            (SUBJECT, who.subject.as_deref()),
            (CLIENT, who.client.as_deref()),
            (SCOPES, Some(&*who.scopes)),
            (EMAIL, who.email.as_deref()),
            (IDENTITY, jwt.as_deref().ok()),
        ];
        let fields = plain.into_iter().filter_map(|(name, value)| Some((name, field_of(value?)?))).collect();
        Identity { fields, signed: now }
    }
}

/// A field's value, where it can be read in one way: visible ASCII, with single spaces between.
fn field_of(text: &str) -> Option<HeaderValue> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if !is_plain || text.trim() != text { None } else { HeaderValue::from_str(text).ok() }
}

/// A name by a server that says what it likes: nobody else's, whatever it is.
fn name_of_stranger(issuer: &str, name: &str) -> String {
    base64url::encode(digest::sha256(&[issuer.as_bytes(), b"\0", name.as_bytes()]))
}

/// What the service reads for a name that this server says.
fn name_by<'a>(issuer: &str, is_listed: bool, name: &'a str) -> Cow<'a, str> {
    if is_listed { Cow::Borrowed(name) } else { Cow::Owned(name_of_stranger(issuer, name)) }
}

/// What a call may do with all that it needs, of the words that the routes name: an owner may sign for any word, and the service
/// hears those that the operator chose.
fn held_scopes<'a>(admitted: &'a Admitted, routes: &[Route], now: Timestamp) -> Cow<'a, str> {
    let permissions = || admitted.answer.permissions.iter().flatten();
    let holds = |scope: &Scope, need: &Need| permissions().any(|one| one.allows(&need.resource, scope, now));
    let is_held = |scope: &&Scope| admitted.needs.iter().all(|need| holds(scope, need));
    let is_chosen = |scope: &&Scope| routes.iter().any(|route| needs(route, scope));
    let all = permissions().flat_map(|one| one.resource_scopes.iter());
    let mut held: Vec<&str> = all.filter(is_held).filter(is_chosen).map(Scope::as_str).collect();
    held.sort_unstable();
    held.dedup();
    match *held.as_slice() {
        [one] => Cow::Borrowed(one),
        ref all => Cow::Owned(all.join(" ")),
    }
}

impl Gateway {
    /// Who makes a call that was let in by this; none: nothing behind here reads it.
    pub(super) fn identify(&self, admitted: &Admitted, path: &path::CanonicalPath) -> Option<Identity> {
        let identities = self.identities.as_ref()?;
        let now = self.client.clock.now();
        let (answer, is_listed) = (&admitted.answer, self.is_listed(&admitted.issuer));
        let issuer = admitted.issuer.as_str();
        let routes = self.routes();
        let email = answer.email.as_deref().filter(|_| is_listed && tells_email(&routes, path));
        let who = Who {
            subject: answer.sub.as_deref().map(|sub| name_by(issuer, is_listed, sub)),
            client: answer.client_id.as_ref().map(|id| name_by(issuer, is_listed, id.as_str())),
            scopes: held_scopes(admitted, &routes, now),
            email: email.and_then(types::email::normalize).map(Cow::Owned),
        };
        Some(identities.tell(&who, now))
    }

    /// Whether the application behind a path is told addresses, as this server says them.
    pub(super) fn shows_address(&self, to: &str, issuer: &str) -> bool {
        let path = path::CanonicalPath::parse(to.split('?').next().unwrap_or_default());
        let tells = |path| tells_email(&self.routes(), &path);
        self.identities.is_some() && self.is_listed(issuer) && path.is_ok_and(tells)
    }
}

/// Whether any method of a route needs a scope.
fn needs(route: &Route, scope: &Scope) -> bool {
    route.guarded().is_some_and(|guarded| guarded.scopes.sets().any(|scopes| scopes.contains(scope)))
}

/// Whether the route of this path says that the service sees addresses.
fn tells_email(routes: &[Route], path: &path::CanonicalPath) -> bool {
    matches!(route::find(routes, path), Some(Matched::Guarded(matched)) if matched.route.tells_email)
}

#[cfg(test)]
mod tests;
