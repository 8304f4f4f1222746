//! A delegation (protocol.md 1.8): an owner lets somebody decide for her, of what she names, within the scopes that she
//! names, until an end. What a delegate may do is decided here; depth is 1, scopes intersect, and what she did ends with
//! the delegation.

use crate::claim::CLOCK_SKEW;
use jose::Verified;
use serde::{Deserialize, Serialize};
use types::delegation::{Covered, DelegateName, DelegationDocument, May, OwnResource, ResourceName};
use types::email;
use types::{ErrorCode, OwnResourceId, OwnerId, Refusal, ResourceId, ResourceServerId, ScopeSet, Timestamp};

/// How long one lasts that names no end.
pub const DEFAULT_LIFETIME: i64 = 90 * 86_400;
/// Most resources that one names.
pub const MAX_RESOURCES: usize = 1_000;
/// Longest delegation, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// Who is delegated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delegate {
    /// Whoever has this verified address, in the form in which addresses compare.
    Email(String),
    Account(OwnerId),
    /// Whoever registered this credential.
    Credential(String),
}

impl Delegate {
    /// Whom a document names.
    pub fn of(name: DelegateName) -> Result<Self, Refusal> {
        let invalid = |what: &str| Err(Refusal::new(ErrorCode::InvalidRequest, what));
        match (name.email, name.account, name.resource_owner_id) {
            (Some(email), None, None) => match email::normalize(&email) {
                Some(email) => Ok(Self::Email(email)),
                None => invalid("`delegate.email` is no e-mail address"),
            },
            (None, Some(account), None) => Ok(Self::Account(account)),
            (None, None, Some(credential)) if !credential.is_empty() => Ok(Self::Credential(credential)),
            _ => invalid("name the `delegate` by one of `email`, `account` and `resource_owner_id`"),
        }
    }

    fn to_name(&self) -> DelegateName {
        match self {
            Self::Email(email) => DelegateName { email: Some(email.clone()), ..DelegateName::default() },
            Self::Account(account) => DelegateName { account: Some(account.clone()), ..DelegateName::default() },
            Self::Credential(id) => DelegateName { resource_owner_id: Some(id.clone()), ..DelegateName::default() },
        }
    }

    /// Under which delegations to somebody are found; no two kinds meet.
    pub fn key(&self) -> String {
        match self {
            Self::Email(email) => format!("email {email}"),
            Self::Account(account) => format!("account {account}"),
            Self::Credential(id) => format!("credential {id}"),
        }
    }
}

/// A delegation as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    pub id: String,
    pub owner: OwnerId,
    pub delegate: Delegate,
    pub resources: Covered,
    pub scopes: ScopeSet,
    pub may: Vec<May>,
    pub created: Timestamp,
    pub expires_at: Timestamp,
    /// Its text and the owner's credential, where she signed it.
    pub signed: Option<Signed>,
    /// A signed one is kept until its end, so that the text stays dead.
    pub withdrawn: bool,
}

/// What makes a delegation a signed one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    pub text: String,
    pub credential: String,
}

/// A resource as delegations name it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// At the authorization server, if it is registered.
    pub id: Option<&'a ResourceId>,
    pub resource_server: &'a ResourceServerId,
    pub own_id: Option<&'a OwnResourceId>,
}

impl Delegation {
    /// What an owner posted, or what is wrong with it.
    pub fn from_document(document: DelegationDocument, id: String, owner: OwnerId, now: Timestamp) -> Result<Self, Refusal> {
        let invalid = |what: &str| Err(Refusal::new(ErrorCode::InvalidRequest, what));
        if types::json::size_of(&document) > MAX_BYTES {
            return Err(Refusal::new(ErrorCode::InvalidRequest, format!("a delegation has at most {MAX_BYTES} bytes")));
        }
        let delegate = Delegate::of(document.delegate)?;
        if delegate == Delegate::Account(owner.clone()) {
            return invalid("a delegate is somebody else");
        }
        if document.resource_scopes.is_empty() || document.may.is_empty() {
            return invalid("`resource_scopes` and `may` must each name at least one");
        }
        if matches!(&document.resources, Covered::Only(some) if some.is_empty() || some.len() > MAX_RESOURCES) {
            return invalid("`resources` must be \"all\", or 1 to 1000 of them");
        }
        if document.delegation.is_some() {
            return invalid("post a signed delegation as `application/delegation+jwt`");
        }
        let expires_at = document.expires_at.unwrap_or(now.plus(DEFAULT_LIFETIME));
        if expires_at <= now {
            return invalid("`expires_at` must lie ahead");
        }
        Ok(Self {
            id,
            owner,
            delegate,
            resources: document.resources,
            scopes: document.resource_scopes,
            may: document.may,
            created: now,
            expires_at,
            signed: None,
            withdrawn: false,
        })
    }

    /// What is left of it when it is withdrawn: its id, which must not come again while its text could be brought. One that was
    /// never signed has no text, and leaves nothing.
    pub fn withdrawn(self) -> Option<Self> {
        let signed = self.signed.map(|signed| Signed { text: String::new(), ..signed })?;
        let (resources, scopes) = (Covered::Only(Vec::new()), ScopeSet::new());
        Some(Self { resources, scopes, may: Vec::new(), signed: Some(signed), withdrawn: true, ..self })
    }

    /// The signed form, by a credential of this owner.
    pub fn from_signed(signed: &Verified<jose::Delegation>, text: &str, owner: OwnerId, now: Timestamp) -> Self {
        Self {
            id: signed.jti.clone(),
            owner,
            delegate: Delegate::Credential(signed.sub.clone()),
            resources: signed.resources.clone(),
            scopes: signed.resource_scopes.clone(),
            may: signed.may.clone(),
            created: now,
            expires_at: signed.exp,
            signed: Some(Signed { text: text.to_owned(), credential: signed.iss.clone() }),
            withdrawn: false,
        }
    }

    /// As the owner reads it.
    pub fn to_document(&self) -> DelegationDocument {
        DelegationDocument {
            id: Some(self.id.clone()),
            delegate: self.delegate.to_name(),
            resources: self.resources.clone(),
            resource_scopes: self.scopes.clone(),
            may: self.may.clone(),
            expires_at: Some(self.expires_at),
            created: Some(self.created),
            owner: Some(self.owner.clone()),
            owner_name: None,
            delegation: self.signed.as_ref().map(|signed| signed.text.clone()),
        }
    }

    /// Neither withdrawn nor over.
    pub fn stands(&self, now: Timestamp) -> bool {
        !self.withdrawn && now < self.expires_at
    }

    /// Whether it is about this resource.
    pub fn names(&self, resource: &Named<'_>) -> bool {
        let Covered::Only(some) = &self.resources else { return true };
        some.iter().any(|name| match name {
            ResourceName::Own(own) => is(own, resource.resource_server, resource.own_id),
            ResourceName::Id(id) if self.signed.is_some() => resource.own_id.is_some_and(|own| own.as_str() == id),
            ResourceName::Id(id) => resource.id.is_some_and(|own| own.as_str() == id),
        })
    }

    /// Whether the delegate may do this with all of these scopes of the resource.
    pub fn lets(&self, may: May, resource: &Named<'_>, scopes: &ScopeSet, now: Timestamp) -> bool {
        self.stands(now) && self.may.contains(&may) && self.names(resource) && scopes.difference(&self.scopes).is_empty()
    }
}

fn is(own: &OwnResource, server: &ResourceServerId, id: Option<&OwnResourceId>) -> bool {
    own.resource_server == *server && Some(&own.resource_id) == id
}

/// Where a signed delegation is looked at: a resource at its server, for an RPT of this issuer.
pub struct Mandate<'a> {
    pub resource_server: &'a str,
    pub own_id: &'a OwnResourceId,
    pub issuer: &'a str,
    pub now: Timestamp,
}

impl Mandate<'_> {
    /// The scopes that it delegates here; none where it is not for here and now.
    pub fn scopes<'a>(&self, delegation: &'a jose::Delegation) -> Option<&'a ScopeSet> {
        let begun = delegation.nbf.unwrap_or(delegation.iat) <= self.now.plus(CLOCK_SKEW);
        let for_here = delegation.aud.contains(self.resource_server) && delegation.aud.contains(self.issuer);
        let named = match &delegation.resources {
            Covered::All => true,
            Covered::Only(some) => some.iter().any(|name| match name {
                ResourceName::Own(own) => own.resource_server.as_str() == self.resource_server && own.resource_id == *self.own_id,
                ResourceName::Id(id) => id == self.own_id.as_str(),
            }),
        };
        (begun && self.now < delegation.exp && for_here && named).then_some(&delegation.resource_scopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn made(changes: Value) -> Result<Delegation, String> {
        let mut body = json!({"delegate": {"email": "Carol@bar.example"}, "resources": ["A"], "resource_scopes": ["view"],
            "may": ["share"], "expires_at": 200});
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let document = serde_json::from_value(body).map_err(|error| error.to_string())?;
        Delegation::from_document(document, "d".into(), "alice".into(), Timestamp(100)).map_err(|refusal| refusal.to_string())
    }

    fn lets(delegation: &Delegation, may: May, id: &str, scopes: &str, now: i64) -> bool {
        let (id, server, own) = (ResourceId::new(id), ResourceServerId::new("https://rs.example"), OwnResourceId::new("a"));
        let named = Named { id: Some(&id), resource_server: &server, own_id: Some(&own) };
        delegation.lets(may, &named, &ScopeSet::parse(scopes).unwrap(), Timestamp(now))
    }

    #[test]
    fn a_delegate_may_do_what_is_named_and_no_more() {
        let one = made(json!({})).unwrap();
        assert_eq!(one.delegate, Delegate::Email("carol@bar.example".into()));
        assert!(lets(&one, May::Share, "A", "view", 150));
        assert!(!lets(&one, May::Approve, "A", "view", 150), "not this");
        assert!(!lets(&one, May::Share, "B", "view", 150), "not there");
        assert!(!lets(&one, May::Share, "A", "view edit", 150), "not so much");
        assert!(!lets(&one, May::Share, "A", "view", 200), "not any more");
        let own = |server: &str| made(json!({"resources": [{"resource_server": server, "resource_id": "a"}]})).unwrap();
        assert!(lets(&own("https://rs.example"), May::Share, "A", "view", 150));
        assert!(!lets(&own("https://other.example"), May::Share, "A", "view", 150));
        assert!(lets(&made(json!({"resources": "all"})).unwrap(), May::Share, "B", "view", 150));
        let withdrawn = Delegation { withdrawn: true, ..one };
        assert!(!lets(&withdrawn, May::Share, "A", "view", 150));
    }

    /// A plain id in a signed one is the resource server's own: an authorization server cannot name a resource so that
    /// it falls under a delegation.
    #[test]
    fn threat_24_a_signed_delegation_knows_no_names_of_an_authorization_server() {
        let signed = Signed { text: String::new(), credential: String::new() };
        let one = Delegation { signed: Some(signed), ..made(json!({"resources": ["a"]})).unwrap() };
        assert!(lets(&one, May::Share, "whatever", "view", 150));
        let other = Delegation { resources: Covered::Only(vec![ResourceName::Id("A".into())]), ..one };
        assert!(!lets(&other, May::Share, "A", "view", 150));
    }

    #[test]
    fn what_is_missing_or_too_much_is_refused() {
        for changes in [
            json!({"delegate": {}}),
            json!({"delegate": {"email": "nobody"}}),
            json!({"delegate": {"email": "a@b.example", "account": "x"}}),
            json!({"delegate": {"account": "alice"}}),
            json!({"resources": []}),
            json!({"resources": "none"}),
            json!({"resource_scopes": []}),
            json!({"may": []}),
            json!({"may": ["everything"]}),
            json!({"expires_at": 100}),
            json!({"delegation": "e30"}),
            json!({"color": "red"}),
        ] {
            assert!(made(changes.clone()).is_err(), "{changes}");
        }
        let without_end = made(json!({"expires_at": null})).unwrap();
        assert_eq!(without_end.expires_at, Timestamp(100 + DEFAULT_LIFETIME));
    }
}
