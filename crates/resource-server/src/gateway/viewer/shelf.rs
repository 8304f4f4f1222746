//! What a session has of several resources: the page of a collection that no one resource is, `/` first of all. A person sees
//! there what she opened of it before and may still view; an owner hers. Where that is nothing, there is no such page, but `/`.

use super::super::admission::Admitted;
use super::super::browser::{Held, navigation};
use super::super::forward_auth::AskedBefore;
use super::super::passage::Brought;
use super::super::path::CanonicalPath;
use super::super::route;
use super::super::{Gateway, Wanted};
use super::album::show_name;
use super::kind::Kind;
use super::members::Judge;
use crate::guard::Need;
use askama::Template;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue, header};
use std::sync::Arc;
use types::introspection::Introspection;
use types::{OwnResourceId, ResourceId};

/// Things of one owner that are looked at.
const MOST_LOOKED_AT: usize = 500;

/// A thing of somebody's.
struct Thing {
    name: String,
    owner: String,
    /// Of who looks.
    is_own: bool,
    place: CanonicalPath,
    url: String,
    kind: Kind,
}

#[derive(Template)]
#[template(path = "shelf.html")]
struct ShelfPage<'a> {
    name: &'a str,
    things: Vec<Thing>,
    has_own: bool,
    has_others: bool,
}

impl Gateway {
    /// None: there is nothing to be seen there.
    pub(in super::super) async fn show_shelf(
        self: &Arc<Self>,
        parts: &Parts,
        path: &CanonicalPath,
        held: &Held,
    ) -> Option<Response> {
        let is_shelf = navigation::is_navigation(parts) && self.may_be_collection(path);
        if !is_shelf || route::find_collection(&self.routes(), path).is_some() {
            return None;
        }
        let mut things = Vec::new();
        for at in held.owners() {
            things.extend(self.list_things_of(parts, path, held, &at).await);
        }
        if things.is_empty() && !path.segments().is_empty() {
            return None;
        }
        things.sort_by(|a, b| (!a.is_own, &a.owner, &a.name).cmp(&(!b.is_own, &b.owner, &b.name)));
        let name = &show_name(path.segments().last().unwrap_or(&self.settings.name));
        let (has_own, has_others) = (things.iter().any(|thing| thing.is_own), things.iter().any(|thing| !thing.is_own));
        let body = ShelfPage { name, things, has_own, has_others };
        let mut response = self.viewer_page(Some(held), name, &ui::render(&body));
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Cookie"));
        Some(response)
    }

    /// What of an owner's things below a path this session may view.
    async fn list_things_of(self: &Arc<Self>, parts: &Parts, path: &CanonicalPath, held: &Held, at: &HeldOwner) -> Vec<Thing> {
        let Ok(ids) = self.store.registered_ids(&at.owner, None, MOST_LOOKED_AT).await else { return Vec::new() };
        let (mut things, mut judge) = (Vec::new(), None);
        for id in ids {
            let Some(own) = CanonicalPath::of_id(id.as_str()).filter(|own| own.is_strictly_within(path)) else { continue };
            if !self.is_guarded_at(at, &id).await {
                continue;
            }
            if judge.is_none() {
                judge = self.judge_of(parts, held, at, &id).await;
            }
            let Some(judge) = &mut judge else { return things };
            // a collection is opened by its page
            for place in [own.with_slash(), own] {
                if judge.may_view(&place).await && self.backend.exists(&place).await.unwrap_or(false) {
                    things.push(self.make_thing(&at.owner, &id, place).await);
                    break;
                }
            }
        }
        match things.first() {
            Some(first) if self.is_owners(parts, &first.place, held).await => self.own_things(path, at).await,
            _ => things,
        }
    }

    /// Whether the server that guards something says that this session is its owner's.
    pub(in super::super) async fn is_owners(self: &Arc<Self>, parts: &Parts, place: &CanonicalPath, held: &Held) -> bool {
        let mut call = parts.clone();
        call.headers.remove(header::AUTHORIZATION);
        let Ok(uri) = place.encoded().parse() else { return false };
        call.uri = uri;
        call.extensions.insert(AskedBefore);
        self.judge_call(&mut call, Brought::default(), place, Some(held)).await.is_ok_and(|whole| whole.is_owners())
    }

    /// All that an owner has below a path. What she has not opened yet she is let in to when she opens it.
    async fn own_things(&self, path: &CanonicalPath, at: &HeldOwner) -> Vec<Thing> {
        let Ok(ids) = self.store.registered_ids(&at.owner, None, MOST_LOOKED_AT).await else { return Vec::new() };
        let mut things = Vec::new();
        for id in ids {
            let Some(own) = CanonicalPath::of_id(id.as_str()).filter(|own| own.is_strictly_within(path)) else { continue };
            if !self.is_guarded_at(at, &id).await {
                continue;
            }
            for place in [own.with_slash(), own] {
                if self.backend.exists(&place).await.unwrap_or(false) {
                    things.push(Thing { is_own: true, ..self.make_thing(&at.owner, &id, place).await });
                    break;
                }
            }
        }
        things
    }

    async fn is_guarded_at(&self, at: &HeldOwner, id: &OwnResourceId) -> bool {
        let all = self.store.registrations(&at.owner, id).await;
        all.is_ok_and(|all| all.iter().any(|one| one.guards() && one.issuer == at.issuer))
    }

    /// Judges by what the session has of an owner's.
    async fn judge_of(self: &Arc<Self>, parts: &Parts, held: &Held, at: &HeldOwner, id: &OwnResourceId) -> Option<Judge> {
        let mut call = parts.clone();
        call.headers.remove(header::AUTHORIZATION);
        let needs: Arc<[Need]> = [Need { resource: ResourceId::new(id.as_str()), scopes: types::ScopeSet::new() }].into();
        let owner = at.owner.clone();
        let wanted = Wanted { owner: owner.clone(), needs, takes_web_sockets: false, is_named_by_caller: false };
        self.present(&mut call, &wanted, held).await;
        let token = call.headers.remove(HeaderName::from_static("authorization"))?;
        let (answer, caller) = (Arc::new(Introspection::default()), parts.extensions.get().copied());
        let (needs, issuer) = ([].into(), at.issuer.clone());
        Some(Judge::by(self, Admitted { owner, needs, issuer, answer, caller, is_change: false }, token))
    }

    async fn make_thing(&self, owner: &str, id: &OwnResourceId, place: CanonicalPath) -> Thing {
        let name = self.description(owner, id).await.ok().and_then(|description| description.name);
        let kind = match place.ends_with_slash() {
            true => Kind::Album,
            false => place.segments().last().map_or(Kind::Other, |name| Kind::of_file(name)),
        };
        let name = show_name(name.as_deref().unwrap_or_else(|| id.as_str()));
        let (owner, url) = (self.say_owner(owner).await, self.url_of(&place));
        Thing { name, owner, is_own: false, url, place, kind }
    }
}

/// Whose things a session has something of, and of which server.
pub(in super::super) struct HeldOwner {
    pub(in super::super) owner: String,
    pub(in super::super) issuer: String,
}
