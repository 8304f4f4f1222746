//! `/.wayleave/yours`: an owner sees, in a browser of hers, whose keys sign as her here and which servers guard what is hers, who
//! brought each and since when, and ends it or keeps it as her own (decision 0061). Who she is a server says that guards something
//! of hers and that no application brought.

use super::super::Gateway;
use super::super::brought::{Over, Word};
use super::super::path::CanonicalPath;
use super::super::store::{Link, LinkState};
use super::super::told::Destination;
use super::session::Held;
use super::{navigation, read_form, wrong_method};
use crate::challenge::plain;
use crate::protection::ProtectionError;
use askama::Template;
use axum::body::Body;
use axum::response::Response;
use database::ReadError;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use std::sync::Arc;
use types::brought::{BroughtBy, BroughtStanding};
use types::credential::CredentialDocument;
use types::spelling::readable;

const MAX_FORM_BYTES: usize = 4 * 1_024;
/// Of what counts no more as long as nobody says whether its application acts for her.
const UNANSWERED: &str = "does not count right now: nobody has answered for a day whether its application still acts for you";
/// Nobody knows whether she has ended it there.
const ENDED_AFTER_LOSS: &str = "guards nothing any more: an answer of it was lost on its way here, and now it takes the word of this \
                                server no more. If you did not end it there, link it again";

/// One key or one server, as the page shows it.
struct Item {
    /// `key` or `server`, and which.
    kind: &'static str,
    id: String,
    name: String,
    /// Who brought it and since when, in words.
    by: String,
    /// Whether it counts no more, or not yet.
    state: Option<&'static str>,
    /// What keeps it as her own.
    keep: Option<&'static str>,
    can_end: bool,
}

#[derive(Template)]
#[template(path = "yours.html")]
struct YoursPage<'a> {
    name: &'a str,
    action: String,
    csrf: String,
    keys: Vec<Item>,
    servers: Vec<Item>,
}

/// What she does with one.
struct Order {
    kind: String,
    id: String,
    keeps: bool,
}

fn say_by(by: Option<&BroughtBy>, since: String) -> String {
    let Some(by) = by else { return format!("Since {since}.") };
    let name = by.name.as_deref().map(readable).filter(|name| !name.is_empty());
    let name = name.or_else(|| by.client.as_ref().map(|client| readable(client.as_str())));
    match (name, by.declared) {
        (Some(name), true) => format!("Brought by {}, {since}.", ui::quote(&name)),
        (Some(name), false) => format!("Brought by an application that calls itself {}, {since}.", ui::quote(&name)),
        (None, _) => format!("Brought by an application, {since}."),
    }
}

/// What an application alone stands for can become her own.
fn may_be_kept(by: Option<&BroughtBy>) -> bool {
    by.is_some_and(|by| by.asked_about().is_some())
}

impl Gateway {
    /// `GET` and `POST /.wayleave/yours`.
    pub(in super::super) async fn yours(self: &Arc<Self>, parts: &Parts, body: Body) -> Response {
        match parts.method {
            Method::HEAD => return plain(StatusCode::OK, "Open this in a browser."),
            Method::GET | Method::POST => {}
            _ => return wrong_method("GET, HEAD, POST"),
        }
        let held = match self.find_held(&parts.headers).await {
            Ok(held) => held,
            Err(answer) => return *answer,
        };
        let owner = match &held {
            Some(held) => self.find_owner_here(parts, held).await,
            None => Ok(None),
        };
        let owner = match owner {
            Ok(owner) => owner,
            Err(error) => return self.cannot_lead(&error.into()),
        };
        let (Some(held), Some(owner)) = (held, owner) else {
            let what = "Open something of yours at this server first, as its owner, and then come back here.";
            return self.say_page(StatusCode::FORBIDDEN, "Show that something here is yours", what, Some("/"));
        };
        if parts.method == Method::GET {
            return self.yours_page(&held, &owner).await.unwrap_or_else(|error| self.cannot_lead(&error));
        }
        let form = read_form(body, MAX_FORM_BYTES).await.unwrap_or_default();
        let get =
            |wanted: &str| form.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).unwrap_or_default();
        let is_elsewhere = navigation::origin_of(&parts.headers, &self.browsers.origin) == navigation::CameFrom::Elsewhere;
        if is_elsewhere || !self.is_form_token(&held, get("csrf")) {
            let what = "This form did not come from a page of this server.";
            return self.say_page(StatusCode::FORBIDDEN, "Nothing was changed", what, None);
        }
        let order = Order { kind: get("kind").to_owned(), id: get("id").to_owned(), keeps: get("decision") == "keep" };
        if let Err(error) = self.follow_order(&owner, &order).await {
            return self.cannot_lead(&error);
        }
        let mut response = plain(StatusCode::SEE_OTHER, "Done.");
        let place = HeaderValue::from_str(&self.own_url("yours")).ok();
        response.headers_mut().extend(place.map(|place| (header::LOCATION, place)));
        response
    }

    /// The owner that this browser's person is, by a server that says so and that is hers without any application's word.
    async fn find_owner_here(self: &Arc<Self>, parts: &Parts, held: &Held) -> Result<Option<String>, ReadError> {
        // as if she opened what she has
        let mut parts = parts.clone();
        parts.method = Method::GET;
        for at in held.owners() {
            let link = self.store.find_link(&at.owner, &at.issuer).await?;
            let by = link.as_ref().and_then(|link| link.by.as_ref());
            let is_known = self.is_listed(&at.issuer) || link.is_some();
            let is_applications = by.is_some_and(|by| !by.declared && by.standing != BroughtStanding::Kept);
            if !is_known || is_applications {
                continue;
            }
            for guarded in self.store.list_registrations(&at.owner).await?.into_iter().filter(|one| one.guards()).take(20) {
                let Some(place) = CanonicalPath::of_id(guarded.own_id.as_str()).filter(|_| guarded.issuer == at.issuer) else {
                    continue;
                };
                for place in [place.with_slash(), place] {
                    if self.is_owners(&parts, &place, held).await {
                        return Ok(Some(at.owner));
                    }
                }
            }
        }
        Ok(None)
    }

    async fn yours_page(&self, held: &Held, owner: &str) -> Result<Response, ProtectionError> {
        // what has ended is written down where it is looked at
        self.list_counting_credentials(owner).await?;
        for (_, link) in self.store.list_links(owner).await? {
            self.counts(owner, link.by.as_ref()).await;
        }
        let (all_keys, all_links) = (self.store.list_credentials(owner).await?, self.store.list_links(owner).await?);
        let key_words = self.find_words(owner, all_keys.iter().map(|key| key.by.as_ref())).await;
        let server_words = self.find_words(owner, all_links.iter().map(|(_, link)| link.by.as_ref())).await;
        let now = self.client.clock.now();
        let moment = |at: types::Timestamp| ui::Zone::default().moment(at, now);
        let keys = all_keys.into_iter().zip(key_words).map(|(key, word)| {
            let by = key.by.as_ref();
            Item {
                kind: "key",
                name: client::credential::subject_of(key.cred_type, &key.cred_value)
                    .map_or_else(|_| key.id.clone(), |id| readable(&id)),
                by: say_by(by, moment(key.created)),
                state: match word {
                    Word::Stands => None,
                    Word::Over => Some("counts no more: its application does not act for you any more"),
                    Word::Unanswered => Some(UNANSWERED),
                },
                keep: may_be_kept(by).then_some("Keep it as my own"),
                can_end: true,
                id: key.id,
            }
        });
        let keys = keys.collect();
        let servers = all_links.into_iter().zip(server_words).map(|((issuer, link), word)| {
            let by = link.by.as_ref();
            Item {
                kind: "server",
                name: readable(&issuer),
                by: say_by(by, moment(by.map_or(link.created, |by| by.at))),
                state: match link.state {
                    LinkState::Active => (word == Word::Unanswered).then_some(UNANSWERED),
                    LinkState::Pending => Some("waits until you confirm it"),
                    LinkState::Withdrawn if link.may_be_lost() => Some(ENDED_AFTER_LOSS),
                    LinkState::Withdrawn => Some("guards nothing any more"),
                },
                keep: match link.state {
                    LinkState::Pending => Some("Confirm it: it is mine"),
                    LinkState::Active if may_be_kept(by) => Some("Keep it as my own"),
                    _ => None,
                },
                can_end: link.state != LinkState::Withdrawn && !self.is_listed(&issuer),
                id: issuer,
            }
        });
        let servers = servers.collect();
        let (name, action, csrf) = (self.settings.name.as_str(), self.own_url("yours"), self.form_token(held));
        let body = YoursPage { name, action, csrf, keys, servers };
        Ok(self.own_page(StatusCode::OK, "Keys and servers of yours", &ui::render(&body)))
    }

    async fn find_words(&self, owner: &str, all: impl Iterator<Item = Option<&BroughtBy>>) -> Vec<Word> {
        let mut words = Vec::new();
        for by in all {
            words.push(self.find_word(owner, by).await);
        }
        words
    }

    async fn follow_order(&self, owner: &str, order: &Order) -> Result<(), ProtectionError> {
        match order.kind.as_str() {
            "key" if !order.keeps => self.store.delete_credential(owner, &order.id).await.map(drop),
            "key" => self.keep_key(owner, &order.id).await,
            "server" => self.decide_server(owner, &order.id, order.keeps).await,
            _ => Ok(()),
        }
    }

    async fn keep_key(&self, owner: &str, id: &str) -> Result<(), ProtectionError> {
        let turn = self.turn(&format!("brought to {owner}")).await;
        let _held = turn.lock().await;
        let found =
            self.store.list_credentials(owner).await?.into_iter().find(|key| key.id == id && may_be_kept(key.by.as_ref()));
        let Some(key) = found else { return Ok(()) };
        let Ok(subject) = client::credential::subject_of(key.cred_type, &key.cred_value) else { return Ok(()) };
        let kept = CredentialDocument { by: key.by.as_ref().map(BroughtBy::kept), ..key.clone() };
        self.store.replace_credential(owner, &subject, &key, &kept).await.map(drop)
    }

    async fn decide_server(&self, owner: &str, issuer: &str, keeps: bool) -> Result<(), ProtectionError> {
        let turn = self.turn(&format!("brought to {owner}")).await;
        let _held = turn.lock().await;
        let link_turn = self.link_turn(owner, issuer).await;
        let _changing = link_turn.lock().await;
        let Some(link) = self.store.find_link(owner, issuer).await? else { return Ok(()) };
        if !keeps {
            return if self.is_listed(issuer) { Ok(()) } else { self.end_server(owner, issuer, &link, Over::Owner).await };
        }
        if link.state == LinkState::Withdrawn {
            return Ok(());
        }
        let kept = Link { state: LinkState::Active, by: link.by.as_ref().map(BroughtBy::kept), ..(*link).clone() };
        let was_pending = link.state == LinkState::Pending;
        let mark = was_pending.then(|| self.new_mark());
        self.store.change_links(owner, &[(issuer.to_owned(), kept)], mark.as_deref()).await?;
        if was_pending {
            self.expect_news(&Destination { owner: owner.to_owned(), issuer: issuer.to_owned() });
            self.enrol(owner);
        }
        Ok(())
    }
}
