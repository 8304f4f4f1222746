//! What she signed on its way to the servers that it is for. It goes on behind the page, each server for itself; what one does
//! not take is taken back at once: it has left the desk, and is nobody's to use.

use super::SignedDraft;
use crate::ledger::id_of;
use crate::share::Shared;
use crate::{Manager, PATIENCE, Trouble, lock};
use client::api::{ApiBody, ApiCall};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use http::Method;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// How many are posted to a server at once.
const AT_ONCE: usize = 16;

/// What came of one.
struct Posted {
    one: Arc<SignedDraft>,
    outcome: Result<(), Trouble>,
}

impl Manager {
    /// Posts all of it, and takes back what was not taken, and what is replaced by what was.
    pub(super) async fn post_all(self: Arc<Self>, owner: String, signed: Vec<SignedDraft>) -> Result<Shared, Trouble> {
        let signed: Vec<Arc<SignedDraft>> = signed.into_iter().map(Arc::new).collect();
        let mut servers: BTreeMap<String, Vec<Arc<SignedDraft>>> = BTreeMap::new();
        for one in &signed {
            servers.entry(one.draft.link.clone()).or_default().push(one.clone());
        }
        let posted = servers.into_values().map(|drafts| self.clone().post_to_server(owner.clone(), drafts));
        let (mut shared, mut renewed, mut kept_old) = (Shared::default(), BTreeSet::new(), BTreeSet::new());
        let mut over: Vec<String> = Vec::new();
        for Posted { one, outcome } in join_all(posted).await.into_iter().flatten() {
            match outcome {
                Ok(()) => {
                    shared.count = shared.count.saturating_add(1);
                    renewed.extend(one.draft.replaces.clone());
                }
                Err(trouble) => {
                    kept_old.extend(one.draft.replaces.clone());
                    shared.failed.push(format!("{}: {trouble}", one.draft.name));
                    over.push(id_of(&one.word.text));
                }
            }
        }
        // where every new one stands, the old one may go
        over.extend(renewed.into_iter().filter(|old| !kept_old.contains(old)));
        self.withdraw_words(&owner, &over).await?;
        let links: BTreeSet<String> = signed.iter().map(|one| one.draft.link.clone()).collect();
        self.read_servers(&owner, links).await;
        Ok(shared)
    }

    /// One server's. Where it does not answer for one, it is not waited for with the others.
    async fn post_to_server(self: Arc<Self>, owner: String, drafts: Vec<Arc<SignedDraft>>) -> Vec<Posted> {
        let away: Arc<Mutex<Option<Trouble>>> = Arc::default();
        let post = |one: Arc<SignedDraft>| {
            let (manager, owner, away) = (self.clone(), owner.clone(), away.clone());
            async move {
                let known = lock(&away).clone();
                let outcome = match known {
                    Some(trouble) => Err(trouble),
                    None => manager.post_signed(&owner, &one).await,
                };
                if let Err(trouble @ Trouble::Away(_)) = &outcome {
                    *lock(&away) = Some(trouble.clone());
                }
                Posted { one, outcome }
            }
        };
        let posting: Vec<_> = drafts.into_iter().map(post).collect();
        stream::iter(posting).buffer_unordered(AT_ONCE).collect().await
    }

    async fn post_signed(&self, owner: &str, one: &SignedDraft) -> Result<(), Trouble> {
        let (link, client, metadata) = self.ready(owner, &one.draft.link).await?;
        let (_, media, url) = one.draft.form.parts(&metadata);
        let url = url.ok_or_else(|| Trouble::Refused("this server does not take that".into()))?;
        let body = ApiBody::Compact(media, &one.word.text);
        let call = ApiCall { method: Method::POST, url, token: &link.access_token, bound: link.bound, body, patience: PATIENCE };
        let answer = client.api(&call).await;
        self.count_change(owner, &link.id);
        let answer = answer?;
        if answer.status == 201 { Ok(()) } else { Err(Trouble::Refused(answer.refusal())) }
    }
}
