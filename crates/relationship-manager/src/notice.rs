//! Being told at once (protocol.md 1.4, 1.8): the manager has itself linked at each authorization server that its owner
//! links, and takes that server's signed notices. A notice makes it read the server's list, and nothing else: what it says
//! decides nothing (threat 31). And requests for a policy, which she answers at once.

use crate::person::Person;
use crate::share::segment;
use crate::store::{About, Link, Place, Told};
use crate::{Manager, PATIENCE, Trouble, lock};
use client::Client;
use client::api::{ApiBody, ApiCall};
use http::Method;
use jose::{KeySet, UnverifiedJws};
use serde_json::{Value, json};
use std::sync::Arc;
use types::linked_manager::{NOTICE, Notice, POLICY_REQUEST, PolicyRequest};
use types::metadata::Metadata;

fn refused<T>(what: &str) -> Result<T, Trouble> {
    Err(Trouble::Refused(what.to_owned()))
}

/// Whether a server has heard that it tells no more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Yes,
    /// It does not take this token.
    TokenRefused,
    No,
}

impl Manager {
    /// Has the server tell this manager; none where it tells nobody.
    pub(crate) async fn ask_to_be_told(&self, owner: &str, link: &Link) -> Result<Option<Told>, Trouble> {
        let Place::AuthorizationServer { issuer } = &link.place else { return Ok(None) };
        if self.metadata_of(issuer).await?.linked_managers_endpoint.is_none() {
            return Ok(None);
        }
        let sub = self.new_id();
        self.store.put_about(&sub, &About { owner: owner.to_owned(), link: link.id.clone() }).await?;
        let (url, endpoint) = (&self.settings.url, format!("{}/notify", self.settings.url));
        let decide = format!("{}/decide", self.settings.url);
        let body = json!({"issuer": url, "sub": sub, "notification_endpoint": endpoint, "policy_interaction_endpoint": decide});
        let at = |metadata: &types::metadata::Metadata| metadata.linked_managers_endpoint.clone();
        let answer = self.api_at(owner, &link.id, Method::POST, at, Some(&body)).await;
        let told = answer.and_then(|answer| match answer.body.get("_id").and_then(Value::as_str) {
            Some(id) if answer.status == 201 => Ok(Told { sub: sub.clone(), id: id.to_owned() }),
            _ => Err(Trouble::Refused(answer.refusal())),
        });
        // of the name that it had for her and the one that it has now, the one that counts is kept
        let gone = if told.is_ok() { link.told.as_ref().map(|told| told.sub.as_str()) } else { Some(sub.as_str()) };
        if let Some(gone) = gone {
            self.store.delete_about(gone).await?;
        }
        told.map(Some)
    }

    /// At unlinking; a server that does not hear it has its token taken away all the same.
    pub(crate) async fn be_told_no_more(&self, link: &Link, client: &Client, metadata: &Metadata) -> Heard {
        let (Some(told), Some(endpoint)) = (&link.told, &metadata.linked_managers_endpoint) else { return Heard::Yes };
        let url = format!("{endpoint}/{}", segment(&told.id));
        let (token, bound) = (&link.access_token, link.bound);
        let call = ApiCall { method: Method::DELETE, url: &url, token, bound, body: ApiBody::None, patience: PATIENCE };
        let why = match client.api(&call).await {
            // there is nothing any more by which it would tell
            Ok(answer) if answer.status == 404 || (200..300).contains(&answer.status) => return Heard::Yes,
            Ok(answer) if answer.status == 401 => return Heard::TokenRefused,
            Ok(answer) => answer.refusal(),
            Err(error) => error.to_string(),
        };
        tracing::info!(why, place = link.place.url(), "it may go on telling of requests");
        Heard::No
    }

    async fn linked(&self, about: Option<&About>) -> Result<Option<Link>, Trouble> {
        match about {
            Some(about) => Ok(self.store.find_link(&about.owner, &about.link).await?),
            None => Ok(None),
        }
    }

    /// Somebody says that a request waits: if it is the server of that link who says so, it is asked.
    pub(crate) async fn take_notice(self: &Arc<Self>, text: &str) -> Result<(), Trouble> {
        let unverified = UnverifiedJws::parse(text.trim()).and_then(|jws| jws.expect_type(NOTICE));
        let Ok(unverified) = unverified else { return refused("this is no notice") };
        let sub = unverified.claimed("sub").unwrap_or_default();
        let about = self.store.find_about(&sub).await?;
        let link = self.linked(about.as_ref()).await?;
        let (Some(about), Some(link)) = (about, link) else { return refused("nobody here is called that") };
        // only that server's keys are fetched, whatever the notice says of itself
        let metadata = self.metadata_of(link.place.issuer()).await?;
        let keys = self.keys_of(&metadata).await?;
        let notice = unverified.verify(&keys).and_then(|jws| jws.claims::<Notice>());
        let Ok(notice) = notice else { return refused("it is not signed by the server of this link") };
        let now = self.now();
        let ours = notice.iss == metadata.issuer && notice.aud.contains(&self.settings.url);
        if !ours || notice.exp <= now || notice.iat > now.plus(60) {
            return refused("it is for somebody else, or too old");
        }
        self.read_server(&about.owner, &link.id).await;
        Ok(())
    }

    /// A server's request for a policy, brought by the browser of whoever is at the desk: by the server of a link of hers, for
    /// this desk, and fresh. What it is about, and the link.
    pub(crate) async fn read_policy_request(&self, person: &Person, text: &str) -> Result<(PolicyRequest, Link), Trouble> {
        let unverified = UnverifiedJws::parse(text.trim()).and_then(|jws| jws.expect_type(POLICY_REQUEST));
        let Ok(unverified) = unverified else { return refused("This is no request for a policy.") };
        let about = self.store.find_about(&unverified.claimed("sub").unwrap_or_default()).await?;
        let about = about.filter(|about| about.owner == person.owner);
        let link = self.linked(about.as_ref()).await?;
        let Some(link) = link else {
            return refused("This request is for somebody else at this desk, or of a server that is not linked.");
        };
        let metadata = self.metadata_of(link.place.issuer()).await?;
        let keys = self.keys_of(&metadata).await?;
        let request = unverified.verify(&keys).and_then(|jws| jws.claims::<PolicyRequest>());
        let Ok(request) = request.map(jose::Verified::into_inner) else {
            return refused("This request is not signed by the server of that link.");
        };
        let now = self.now();
        let ours = request.iss == metadata.issuer && request.aud.contains(&self.settings.url);
        if !ours || request.exp <= now || request.iat > now.plus(60) {
            return refused("This request is for another desk, or too old. Go back to the application, and start again.");
        }
        if !client::uma::is_within(&request.return_uri, &metadata.issuer) {
            return refused("This request would send you to another place than the server that asks. Do not trust it.");
        }
        Ok((request, link))
    }

    /// Whether a request for a policy is answered for the first time: what she allows is written once.
    pub(crate) fn decides_first(&self, request: &PolicyRequest) -> bool {
        let now = self.now();
        let mut answered = lock(&self.answered);
        answered.retain(|_, end| now < *end);
        answered.insert(format!("{} {}", request.iss, request.jti), request.exp).is_none()
    }

    /// The keys of a server; asked for nearly each time, for a notice is rare and keys change.
    pub(crate) async fn keys_of(&self, metadata: &Metadata) -> Result<Arc<KeySet>, Trouble> {
        let (client, url) = (self.client.at(&metadata.issuer), &metadata.jwks_uri);
        let fetch = async {
            let set = client.fetch_json(url).await?;
            KeySet::from_json(&set).map(Arc::new).ok_or_else(|| Trouble::Refused("the server has no usable keys".into()))
        };
        self.keys.get(&*self.client.clock, url, fetch).await
    }
}
