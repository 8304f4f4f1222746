//! Managers that an owner linked (protocol.md 1.8), and what they are told ([`notices`]): a request that waits for her, at once,
//! signed (1.4 (b)). The manager answers by what its PMT allows - a policy, or a decision on the request. Nobody else's manager is
//! ever told, or listened to (threat 31).

pub(crate) mod notices;

use crate::AuthorizationServer;
use crate::changes::{Changes, Write};
use crate::page::{page_of_all, place_of};
use crate::store::Page;
use identity::access_token::PolicyToken;
use identity::{Client, Failure};
use serde::{Deserialize, Serialize};
use types::event::EventKind;
use types::linked_manager::LinkedManager;
use types::{ClientId, ErrorCode, OwnerId, Refusal, Timestamp};

/// Most managers of one owner.
const MAX_MANAGERS: usize = 10;
/// A manager as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptManager {
    pub owner: OwnerId,
    pub id: String,
    pub document: LinkedManager,
    /// The client by which it was linked: it is told as long as that client acts for her ([`crate::brought`]). Links of older
    /// stores say nothing: nobody is told by them until they are made again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientId>,
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
        let standing = self.standing_managers(&pmt.owner).await?;
        let same = known.iter().find(|one| one.document.issuer == document.issuer);
        if same.is_none() && standing.len() >= MAX_MANAGERS {
            return Failure::refuse(ErrorCode::InvalidRequest, "you have 10 managers: unlink one first");
        }
        if let Some(same) = same {
            self.check_maker(pmt, same).await?;
        }
        let id = same.map_or_else(|| self.identity.random_id(), |same| same.id.clone());
        let document = LinkedManager { id: Some(id.clone()), created: Some(self.now()), ..document };
        let kept = KeptManager { owner: pmt.owner.clone(), id, document: document.clone(), client: Some(pmt.client.clone()) };
        let event = self.manager_event(pmt, EventKind::ManagerLinked, &kept);
        let mut writes = vec![Write::PutManager(kept), event];
        // what tells nobody any more takes no place
        let over = known.iter().filter(|one| one.document.issuer != document.issuer && !standing.contains(one));
        writes.extend(over.map(|one| Write::DeleteManager { owner: pmt.owner.clone(), id: one.id.clone() }));
        self.store.commit(Changes::of(writes)).await?;
        Ok(document)
    }

    /// A link is of the client that made it, for as long as the owner lets that client in.
    async fn check_maker(&self, pmt: &PolicyToken, link: &KeptManager) -> Result<(), Failure> {
        let Some(maker) = link.client.as_ref().filter(|maker| **maker != pmt.client) else { return Ok(()) };
        match self.may_act(&pmt.owner, maker).await? {
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
        let all = self.standing_managers(&pmt.owner).await?;
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
}
