//! Managers that an owner linked (protocol.md 1.8), and what they are told: a request that waits for her, at once, signed
//! (1.4 (b)). The manager answers by what its PMT allows - a policy, or a decision on the request. Nobody else's manager is
//! ever told, or listened to (threat 31).

use crate::acting::Acting;
use crate::changes::{Changes, Write};
use crate::page::{page_of_all, place_of};
use crate::store::Page;
use crate::{AuthorizationServer, name_of};
use identity::access_token::PolicyToken;
use identity::{Client, Failure};
use jose::{Algorithm, base64url, digest};
use outbound::{Method, Request};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use types::access_request::AccessRequestState;
use types::event::EventKind;
use types::json::OneOrMany;
use types::linked_manager::{LinkedManager, NOTICE, Notice};
use types::{AccessRequestId, ClientId, ErrorCode, OwnerId, Refusal, Timestamp};

/// Most managers of one owner.
const MAX_MANAGERS: usize = 10;
/// How long a manager may take to take a notice.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often one is tried.
const TRIES: u32 = 5;
/// Most notices that wait; the oldest go first. Managers also read the list of requests.
const WAITING: usize = 10_000;
/// Most that are sent in one go.
const AT_ONCE: usize = 32;

/// A manager as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptManager {
    pub owner: OwnerId,
    pub id: String,
    pub document: LinkedManager,
    /// The client by which it was linked. Links of older stores say nothing, and whoever changes one has made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientId>,
}

/// Somebody is to be told.
#[derive(Clone, Debug)]
struct Due {
    owner: OwnerId,
    request: AccessRequestId,
    /// One manager, where others have taken it.
    manager: Option<String>,
    tries: u32,
    at: Timestamp,
}

/// What is to be told. In memory: whoever missed it reads the list.
#[derive(Default)]
pub(crate) struct Notices(Mutex<VecDeque<Due>>);

impl Notices {
    pub(crate) fn note(&self, owner: OwnerId, request: AccessRequestId, now: Timestamp) {
        self.put(Due { owner, request, manager: None, tries: 0, at: now });
    }

    fn put(&self, due: Due) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= WAITING {
            all.pop_front();
        }
        all.push_back(due);
    }

    fn take(&self, now: Timestamp) -> Vec<Due> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut due, mut later): (VecDeque<Due>, VecDeque<Due>) = all.drain(..).partition(|one| one.at <= now);
        later.extend(due.drain(due.len().min(AT_ONCE)..));
        *all = later;
        due.into()
    }
}

fn not_found() -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::NotFound, "no manager of yours has this id"))
}

/// A place that can be called: the guarded client has the last word when it is.
fn is_place(text: &str) -> bool {
    text.len() <= 2_048
        && url::Url::parse(text).is_ok_and(|url| ["https", "http"].contains(&url.scheme()) && url.fragment().is_none())
}

/// Whether all that it is reached by lies with whoever it says it is, or with the client that says so: an owner who reads the
/// host on a page goes there and nowhere else (threat 31).
fn lies_with(document: &LinkedManager, client: &Client) -> bool {
    let origin = |text: &str| url::Url::parse(text).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
    let own = [&document.issuer].into_iter().chain(&client.redirect_uris).chain(&client.resource);
    let own: Vec<_> = own.filter_map(|text| origin(text)).collect();
    let places = [&document.notification_endpoint, &document.policy_interaction_endpoint];
    places.into_iter().flatten().all(|place| origin(place).is_some_and(|origin| own.contains(&origin)))
}

impl AuthorizationServer {
    /// `POST {linked_managers_endpoint}`: one of the same issuer is replaced, by the client that made it.
    pub async fn link_manager(&self, pmt: &PolicyToken, document: LinkedManager) -> Result<LinkedManager, Failure> {
        let places = [
            Some(&document.issuer),
            document.iss.as_ref(),
            document.notification_endpoint.as_ref(),
            document.policy_interaction_endpoint.as_ref(),
        ];
        if !places.into_iter().flatten().all(|place| is_place(place)) {
            return Failure::refuse(
                ErrorCode::InvalidRequest,
                "`issuer`, `iss`, `notification_endpoint` and `policy_interaction_endpoint` must be URLs without a fragment",
            );
        }
        let client = self.identity.store.find_client(&pmt.client).await?;
        if !client.is_some_and(|client| lies_with(&document, &client)) {
            return Failure::refuse(
                ErrorCode::InvalidRequest,
                "`notification_endpoint` and `policy_interaction_endpoint` must lie at the origin of `issuer`, or of your redirect URIs",
            );
        }
        if document.sub.is_empty() || document.sub.len() > 255 {
            return Failure::refuse(ErrorCode::InvalidRequest, "`sub` must be 1 to 255 characters: the manager's name for you");
        }
        let _turn = self.turns.alone(&pmt.owner).await;
        let known = self.store.list_managers(&pmt.owner).await?;
        let same = known.iter().find(|one| one.document.issuer == document.issuer);
        if same.is_none() && known.len() >= MAX_MANAGERS {
            return Failure::refuse(ErrorCode::InvalidRequest, "you have 10 managers: unlink one first");
        }
        if let Some(same) = same {
            self.check_maker(pmt, same).await?;
        }
        let id = same.map_or_else(|| self.identity.random_id(), |same| same.id.clone());
        let document = LinkedManager { id: Some(id.clone()), created: Some(self.now()), ..document };
        let kept = KeptManager { owner: pmt.owner.clone(), id, document: document.clone(), client: Some(pmt.client.clone()) };
        let event = self.manager_event(pmt, EventKind::ManagerLinked, &kept);
        self.store.commit(Changes::of(vec![Write::PutManager(kept), event])).await?;
        Ok(document)
    }

    /// A link is of the client that made it, for as long as the owner lets that client in.
    async fn check_maker(&self, pmt: &PolicyToken, link: &KeptManager) -> Result<(), Failure> {
        let Some(maker) = link.client.as_ref().filter(|maker| **maker != pmt.client) else { return Ok(()) };
        let client = self.identity.store.find_client(maker).await?;
        let consents = self.identity.store.list_consents(&pmt.owner).await?;
        let stands = client.is_some_and(|client| client.declared || consents.iter().any(|consent| consent.client == client.id));
        match stands {
            true => Failure::refuse(
                ErrorCode::AccessDenied,
                "another application made this link: end it there, or take away that application's access",
            ),
            false => Ok(()),
        }
    }

    fn manager_event(&self, pmt: &PolicyToken, kind: EventKind, manager: &KeptManager) -> Write {
        let mut event = self.event(&pmt.owner, kind);
        event.document.by = Some(pmt.client.as_str().to_owned());
        event.document.claims.insert("iss".into(), serde_json::json!(manager.document.issuer));
        Write::AppendEvent(event)
    }

    /// `GET {linked_managers_endpoint}`: a page of it, and where it goes on, if it does.
    pub async fn list_managers(
        &self,
        pmt: &PolicyToken,
        page: &Page<String>,
    ) -> Result<(Vec<LinkedManager>, Option<String>), Failure> {
        let all = self.store.list_managers(&pmt.owner).await?;
        let place = |kept: &KeptManager| place_of(kept.document.created.unwrap_or(Timestamp(0)), &kept.id);
        let (all, last) = page_of_all(all, place, page);
        Ok((all.into_iter().map(|kept| kept.document).collect(), last))
    }

    /// `DELETE {linked_managers_endpoint}/{_id}`: it is told nothing more.
    pub async fn unlink_manager(&self, pmt: &PolicyToken, id: &str) -> Result<(), Failure> {
        let known = self.store.list_managers(&pmt.owner).await?.into_iter().find(|one| one.id == id);
        let known = known.ok_or_else(not_found)?;
        self.check_maker(pmt, &known).await?;
        let event = self.manager_event(pmt, EventKind::ManagerUnlinked, &known);
        let delete = Write::DeleteManager { owner: pmt.owner.clone(), id: id.to_owned() };
        self.store.commit(Changes::of(vec![delete, event])).await?;
        Ok(())
    }

    /// Tells managers what waits; one that does not answer is tried again, and holds up nobody. Called by the wiring
    /// every second.
    pub async fn send_notices(self: &Arc<Self>) -> Result<(), Failure> {
        for due in self.notices.take(self.now()) {
            let acting = Acting::own(&due.owner, "");
            // decided or gone meanwhile: there is nothing to tell
            let Ok(request) = self.read_access_request(&acting, &due.request).await else { continue };
            if request.state != AccessRequestState::Pending {
                continue;
            }
            // hers, and those of people whom she lets decide
            let mut managers = self.store.list_managers(&due.owner).await?;
            for delegate in self.deciders(&due.owner, &due.request).await? {
                managers.extend(self.store.list_managers(&delegate).await?);
            }
            for manager in managers {
                let wanted = due.manager.as_ref().is_none_or(|only| *only == manager.id);
                let Some(endpoint) = manager.document.notification_endpoint.clone().filter(|_| wanted) else { continue };
                let text = self.notice(&manager, request.clone())?;
                let (server, due) = (self.clone(), Due { manager: Some(manager.id), ..due.clone() });
                tokio::spawn(async move { server.send_notice(&endpoint, text, due).await });
            }
        }
        Ok(())
    }

    fn notice(
        &self,
        manager: &KeptManager,
        access_request: types::access_request::AccessRequestDocument,
    ) -> Result<String, Failure> {
        let (now, id) = (self.now(), access_request.id.clone());
        let mark = base64url::encode(digest::sha256(&[b"binding message", id.as_str().as_bytes()]));
        let letters = mark.chars().filter(char::is_ascii_alphanumeric).take(6).collect::<String>().to_uppercase();
        let expires_in = access_request.expires_at.0.saturating_sub(now.0);
        let notice = Notice {
            iss: self.issuer().as_str().to_owned(),
            aud: OneOrMany::One(manager.document.issuer.clone()),
            sub: manager.document.sub.clone(),
            jti: self.identity.random_id(),
            iat: now,
            exp: now.plus(300),
            auth_req_id: id,
            binding_message: letters,
            expires_in,
            access_request,
        };
        let key = self.identity.keys.signing_key(Algorithm::EdDsa, now)?;
        key.sign(NOTICE, &notice).map_err(identity::internal)
    }

    async fn send_notice(&self, endpoint: &str, text: String, due: Due) {
        let request = Request { method: Method::POST, body: Some(text.into_bytes()), ..Request::get(endpoint) };
        let media = format!("application/{NOTICE}");
        let hers = self.identity.outbound.in_name_of(&name_of(&due.owner));
        let answer = hers.send(request.header("content-type", &media).patience(PATIENCE)).await;
        let taken = answer.as_ref().is_ok_and(|answer| answer.status.is_success());
        let tries = due.tries.saturating_add(1);
        if !taken && tries < TRIES {
            let pause = 2_i64.saturating_pow(tries);
            self.notices.put(Due { tries, at: self.now().plus(pause), ..due });
        } else if !taken {
            tracing::info!(endpoint, "a manager does not take what it is told");
        }
    }
}
