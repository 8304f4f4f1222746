//! Whom she lets decide for her (protocol.md 1.8): made at each server that guards what it is about, posted or signed, and
//! ended at every server that might believe it.

use crate::ending::deletion;
use crate::holdings::{Holdings, Known, Thing};
use crate::person::Person;
use crate::share::segment;
use crate::signing::{Draft, Form, Prepared, jti_of};
use crate::task::Wanted;
use crate::{Manager, Trouble};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use types::delegation::DelegationDocument;
use types::{ScopeSet, Timestamp};

/// Most things that a signed delegation names (protocol.md 3).
const SIGNED_AT_MOST: usize = 16;

/// What she lets somebody do.
#[derive(Clone, Debug)]
pub(crate) struct Delegating {
    /// An address, or the name of a key.
    pub(crate) who: String,
    /// Keys of things; empty: everything.
    pub(crate) things: Vec<String>,
    /// Links of servers; empty: each that guards one of them.
    pub(crate) at: Vec<String>,
    pub(crate) scopes: ScopeSet,
    pub(crate) may: Vec<&'static str>,
    pub(crate) until: Timestamp,
}

impl Delegating {
    /// Whoever is named by a key is named to be believed by her own signature.
    pub(crate) fn is_signed(&self) -> bool {
        self.who.starts_with("did:")
    }
}

impl Holdings {
    /// The servers where it is made: those that were chosen, as far as they can and guard something of it.
    fn delegating_at<'a>(&'a self, wanted: &'a Delegating) -> impl Iterator<Item = (&'a Known, Vec<&'a Thing>)> {
        let able = |known: &&Known| {
            known.snapshot.delegations_endpoint.is_some()
                && !known.link.ended
                && (wanted.at.is_empty() || wanted.at.contains(&known.link.id))
        };
        self.servers.iter().filter(able).filter_map(move |known| {
            let here = |thing: &&Thing| thing.guards.iter().any(|guard| guard.link.as_ref() == Some(&known.link.id));
            let things: Vec<&Thing> = wanted.things.iter().filter_map(|key| self.thing(key)).filter(here).collect();
            (wanted.things.is_empty() || !things.is_empty()).then_some((known, things))
        })
    }
}

impl Manager {
    /// Posts it at each server; what did not work, by server. What has begun is carried out to its end, also when the page is
    /// closed meanwhile.
    pub(crate) async fn delegate(self: &Arc<Self>, owner: &str, wanted: &Delegating) -> Result<(usize, Vec<String>), Trouble> {
        let (manager, owner, wanted) = (self.clone(), owner.to_owned(), wanted.clone());
        let delegating = tokio::spawn(async move { manager.delegate_all(&owner, &wanted).await });
        delegating.await.unwrap_or_else(|error| Err(crate::vault::failed(error)))
    }

    async fn delegate_all(self: &Arc<Self>, owner: &str, wanted: &Delegating) -> Result<(usize, Vec<String>), Trouble> {
        let holdings = self.holdings(owner).await?;
        let (mut done, mut failed, mut touched) = (0_usize, Vec::new(), Vec::new());
        for (known, things) in holdings.delegating_at(wanted) {
            let id_here = |thing: &&Thing| {
                let here = thing.guards.iter().find(|guard| guard.link.as_ref() == Some(&known.link.id))?;
                here.id.clone()
            };
            let resources = match wanted.things.is_empty() {
                true => json!("all"),
                false => json!(things.iter().filter_map(id_here).collect::<Vec<_>>()),
            };
            let body = json!({"delegate": {"email": wanted.who}, "resources": resources, "resource_scopes": wanted.scopes,
                "may": wanted.may, "expires_at": wanted.until});
            let at = |metadata: &types::metadata::Metadata| metadata.delegations_endpoint.clone();
            touched.push(known.link.id.clone());
            match self.api_at(owner, &known.link.id, Method::POST, at, Some(&body)).await {
                Ok(answer) if answer.status == 201 => done = done.saturating_add(1),
                Ok(answer) => failed.push(format!("{}: {}", known.link.place.url(), answer.refusal())),
                Err(trouble) => failed.push(format!("{}: {trouble}", known.link.place.url())),
            }
        }
        self.read_servers(owner, touched).await;
        Ok((done, failed))
    }

    /// What she would sign: one for each authorization server, with the resource servers that are to believe it.
    pub(crate) fn prepare_delegation(
        &self,
        person: &Person,
        holdings: &Holdings,
        wanted: &Delegating,
        did: &str,
    ) -> Result<(String, Prepared), Trouble> {
        let now = self.now();
        let mut drafts = Vec::new();
        for (known, things) in holdings.delegating_at(wanted) {
            // what she signs is believed by whoever keeps a thing: it is said of things that its keeper itself lists, alone
            let things: Vec<&Thing> = things.into_iter().filter(|thing| thing.is_vouched).collect();
            if things.is_empty() && !wanted.things.is_empty() {
                continue;
            }
            let named: Vec<Value> = things
                .iter()
                .filter_map(|thing| {
                    Some(json!({"resource_server": thing.server, "resource_id": thing.description.own_id.as_ref()?}))
                })
                .collect();
            if named.len() > SIGNED_AT_MOST {
                return Err(Trouble::Refused(format!("A signed delegation names at most {SIGNED_AT_MOST} things at a server.")));
            }
            let guarded =
                holdings.things.iter().filter(|thing| thing.is_vouched).filter(|thing| match wanted.things.is_empty() {
                    true => thing.guards.iter().any(|guard| guard.link.as_ref() == Some(&known.link.id)),
                    false => things.iter().any(|one| one.key == thing.key),
                });
            let mut audience: BTreeSet<&str> = guarded.map(|thing| thing.server.as_str()).collect();
            let placed = holdings.placed_as(&known.link.id, audience.iter().copied());
            audience.insert(known.link.place.issuer());
            let resources = if wanted.things.is_empty() { json!("all") } else { json!(named) };
            let claims = json!({"jti": jti_of(self), "iss": did, "sub": wanted.who, "aud": audience, "iat": now, "exp": wanted.until,
                "resources": resources, "resource_scopes": wanted.scopes, "may": wanted.may});
            let name = known.link.place.url().to_owned();
            let (link, guard) = (known.link.id.clone(), known.link.place.issuer().to_owned());
            drafts.push(Draft { form: Form::Delegation, link, guard, name, claims, placed, replaces: None });
        }
        if drafts.is_empty() {
            return Err(Trouble::Refused("No server of yours guards this and takes delegations.".into()));
        }
        Ok(self.keep_shown(person, drafts))
    }
}

impl Holdings {
    /// A delegation that a server lists, and that stands in no ledger, ends at that server.
    pub(crate) fn end_of(&self, known: &Known, one: &DelegationDocument, who: &str) -> Option<Wanted> {
        let endpoint = known.snapshot.delegations_endpoint.as_ref()?;
        let url = format!("{endpoint}/{}", segment(one.id.as_deref()?));
        Some(deletion(known, format!("{who}: deciding for you"), url))
    }
}
