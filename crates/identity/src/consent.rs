//! A standing consent of an account: this client may do these things at this place. What the page of linked
//! applications lists. Tokens hang on one, and end with it (Federated Authorization 1.3, 8).
//!
//! A consent names its resource (RFC 8707) and ends there: one for `uma_management` at one resource server says nothing
//! of another (protocol.md 1.7, threat 37). Of a client that the operator does not know it says what she saw of it
//! ([`Shown`]): under another name, or leading elsewhere, it is another one.

use crate::redirect_uri::lasting_place_of;
use crate::session::Session;
use crate::{Changes, Client, Failure, Identity, Requirement, Write};
use serde::{Deserialize, Serialize};
use types::token::{AS_OWNER, UMA_MANAGEMENT, UMA_POLICY, UMA_PROTECTION};
use types::{AccountId, ClientId, ErrorCode, GrantId, ScopeSet, Timestamp};

/// Scopes of one consent.
const MOST_SCOPES: usize = 200;

/// What an account has agreed to. There is at most one per account, client and resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    pub id: GrantId,
    pub account: AccountId,
    pub client: ClientId,
    pub scopes: ScopeSet,
    pub created: Timestamp,
    /// The resource server that it is for; none: what this server itself offers. Consents of older stores have none, so
    /// they cover no resource server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// What she saw of a client that the operator does not know. Consents of older stores have nothing, so that she is asked
    /// once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Shown>,
    /// It said more once, and that ended: nothing of it comes back under this id.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_narrowed: bool,
}

/// What a person saw of a client that the operator does not know, when she agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub name: String,
    /// Where it leads, as [`lasting_place_of`] says it.
    pub place: String,
    /// For a client that cannot prove itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
}

/// The session and the redirect URI for which a consent to a client counts that cannot prove itself: anything on the same
/// machine may take its place (RFC 8252 8.6, RFC 6749 10.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    pub session: String,
    pub redirect_uri: String,
}

impl Shown {
    /// What is to be seen of this client; none where the operator declared it.
    pub fn of(client: &Client, redirect_uri: &str, session: &Session) -> Option<Self> {
        let within = || Within { session: session.id.clone(), redirect_uri: redirect_uri.to_owned() };
        (!client.declared).then(|| Self {
            name: client.display_name(),
            place: lasting_place_of(redirect_uri),
            within: client.is_public().then(within),
        })
    }
}

impl Consent {
    /// Whether it lets the client act as a resource server for the account.
    pub fn links_resource_server(&self) -> bool {
        self.scopes.has(UMA_PROTECTION)
    }

    /// Whether it says this much, and for this resource.
    pub fn covers(&self, scopes: &ScopeSet, resource: Option<&str>) -> bool {
        self.resource.as_deref() == resource && scopes.is_subset(&self.scopes)
    }

    /// Whether it was given to a client that looked as it does now, where it cannot prove itself in this session.
    pub fn is_of(&self, shown: Option<&Shown>) -> bool {
        shown.is_none() || self.shown.as_ref() == shown
    }

    /// Whether the client looks as it did when she agreed, where it decides for her, manages or reaches what is hers: under
    /// another name, or leading elsewhere, it is another one to her (decision 0023).
    pub fn is_about(&self, client: &Client) -> bool {
        let acts = is_sensitive(&self.scopes) || self.scopes.has(AS_OWNER);
        match self.shown.as_ref().filter(|_| acts && !client.declared) {
            Some(shown) => shown.name == client.display_name() && client.leads_to(&shown.place),
            None => true,
        }
    }

    /// What of it goes on when she agrees again: all, unless the client looks like another, or leads elsewhere.
    fn lasting_scopes(&self, shown: Option<&Shown>) -> ScopeSet {
        match shown.is_none() || self.shown.as_ref() == shown {
            true => self.scopes.clone(),
            false => ScopeSet::default(),
        }
    }
}

/// Whether these let a client decide for the person, or manage her things.
pub fn is_sensitive(scopes: &ScopeSet) -> bool {
    scopes.has(UMA_POLICY) || scopes.has(UMA_MANAGEMENT)
}

/// That it links a resource server, where these scopes say so: she ends that herself, and nothing else does.
fn link_of(scopes: &ScopeSet) -> ScopeSet {
    scopes.iter().filter(|scope| scope.as_str() == UMA_PROTECTION).cloned().collect()
}

fn as_owner_scope() -> Result<ScopeSet, Failure> {
    ScopeSet::parse(AS_OWNER).map_err(crate::internal)
}

/// What is agreed to.
pub(crate) struct Terms<'a> {
    pub account: &'a AccountId,
    pub client: &'a ClientId,
    pub scopes: &'a ScopeSet,
    pub resource: Option<&'a str>,
    pub shown: Option<&'a Shown>,
}

/// An owner who would let a client reach what is hers at a resource server, as she does herself.
pub struct ReachRequest<'a> {
    pub session: &'a Session,
    pub client: &'a Client,
    /// Where the client leads back to.
    pub redirect_uri: &'a str,
    pub resource: &'a str,
}

impl ReachRequest<'_> {
    fn shown(&self) -> Option<Shown> {
        Shown::of(self.client, self.redirect_uri, self.session)
    }
}

impl Identity {
    /// Whether she must log in once more before she agrees: a client that the operator does not know gets all that is hers
    /// there, so it is not enough that somebody left a browser logged in (threat 32). What she agreed to before goes on.
    ///
    /// # Errors
    ///
    /// A store that is unavailable.
    pub async fn needs_log_in_again(&self, reach: &ReachRequest<'_>) -> Result<bool, Failure> {
        if reach.client.declared || reach.session.is_fresh(self.now()) {
            return Ok(false);
        }
        let before = self.find_consent_to(reach).await?;
        let (scopes, shown) = (as_owner_scope()?, reach.shown());
        Ok(!before.is_some_and(|before| before.covers(&scopes, Some(reach.resource)) && before.is_of(shown.as_ref())))
    }

    /// She agrees: the consent that what is let pass rests on. She finds it among her applications, and ends it there.
    ///
    /// # Errors
    ///
    /// `login_required` where [`Self::needs_log_in_again`]; a store that is unavailable.
    pub async fn agree_to_owners_reach(&self, reach: &ReachRequest<'_>, changes: &mut Changes) -> Result<GrantId, Failure> {
        if self.needs_log_in_again(reach).await? {
            return Failure::refuse(ErrorCode::LoginRequired, "log in once more before this application gets what is yours");
        }
        let (before, scopes, shown) = (self.find_consent_to(reach).await?, as_owner_scope()?, reach.shown());
        let terms = Terms {
            account: &reach.session.account,
            client: &reach.client.id,
            scopes: &scopes,
            resource: Some(reach.resource),
            shown: shown.as_ref(),
        };
        changes.requires.push(Requirement::ClientStands(reach.client.id.clone()));
        changes.requires.push(Requirement::SessionStands(reach.session.id.clone()));
        Ok(self.agree(&terms, before, changes))
    }

    async fn find_consent_to(&self, reach: &ReachRequest<'_>) -> Result<Option<Consent>, Failure> {
        Ok(self.store.find_consent_of(&reach.session.account, &reach.client.id, Some(reach.resource)).await?)
    }

    /// The consent that says all this - as it stands, with more in it, or new - and what its commit needs. `before` is the
    /// one of the same account, client and resource: if it was withdrawn since it was read, nothing is written, so that
    /// what was withdrawn does not come back. Nor does what is left out: then it is a new one, and all that rests on the one
    /// before ends with that, also where she agrees to as much again later. So does what rests on one that was narrowed, where
    /// she agrees to more again.
    pub(crate) fn agree(&self, terms: &Terms<'_>, before: Option<Consent>, changes: &mut Changes) -> GrantId {
        changes.requires.extend(before.as_ref().map(|before| Requirement::ConsentStands(before.id.clone())));
        if let Some(before) =
            before.as_ref().filter(|before| before.covers(terms.scopes, terms.resource) && before.is_of(terms.shown))
        {
            return before.id.clone();
        }
        let lasting = before.as_ref().map(|before| before.lasting_scopes(terms.shown)).unwrap_or_default();
        let all = lasting.union(terms.scopes);
        // an application that asks for others each time does not gather them without end (threat 46)
        let scopes = match all.len() > MOST_SCOPES {
            true => terms.scopes.union(&link_of(&lasting)),
            false => all,
        };
        let goes_on = before.as_ref().filter(|before| !before.was_narrowed && before.scopes.is_subset(&scopes));
        if goes_on.is_none() {
            changes.writes.extend(before.clone().map(Write::DeleteConsent));
        }
        let consent = Consent {
            id: goes_on.map_or_else(|| GrantId::new(self.random_id()), |before| before.id.clone()),
            account: terms.account.clone(),
            client: terms.client.clone(),
            created: goes_on.map_or_else(|| self.now(), |before| before.created),
            scopes,
            resource: terms.resource.map(str::to_owned),
            shown: terms.shown.cloned(),
            was_narrowed: false,
        };
        let id = consent.id.clone();
        changes.writes.push(Write::PutConsent(consent));
        id
    }
}
