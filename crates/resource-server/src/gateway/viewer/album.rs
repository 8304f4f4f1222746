//! The page of a collection: who shared it and until when, albums in it, pictures, films and music that play, documents as
//! cards, all of it as a zip. What the page says of files is text; nothing of theirs runs on it.

use super::super::admission::Admitted;
use super::super::browser::{Held, OwnPage};
use super::super::path::CanonicalPath;
use super::super::store::Registered;
use super::super::{Gateway, path};
use super::collection::{self, Facts};
use super::kind::{Kind, size_in_words};
use super::members::{Judge, Member};
use super::{View, not_a_directory};
use askama::Template;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use std::io;
use std::path::Path;
use std::sync::Arc;
use types::spelling::visible;
use types::{OwnResourceId, Timestamp};

/// Things on a page; the next page goes on.
const ON_A_PAGE: usize = 200;
/// What of an id is written encoded in a path of another server.
const IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// In which a browser's time zone is, as the server's pages have it.
const ZONE: &str = "wl_zone";

/// One thing on the page.
pub(super) struct Tile {
    pub(super) name: String,
    /// Where it lies.
    pub(super) url: String,
    pub(super) kind: Kind,
    pub(super) size: String,
}

/// A step on the way to here. Without a place: nothing is to be seen there.
pub(super) struct Crumb {
    pub(super) name: String,
    pub(super) url: Option<String>,
}

/// Who shared something, and how long it lasts.
pub(super) struct Shared {
    /// Her name; none: everybody may see it, and nobody shared it.
    pub(super) owner: Option<String>,
    pub(super) until: Option<String>,
    /// Where she shares it, if it is she who looks.
    pub(super) share: Option<String>,
}

#[derive(Template)]
#[template(path = "album.html")]
struct AlbumPage<'a> {
    title: &'a str,
    crumbs: Vec<Crumb>,
    shared: Shared,
    zip: String,
    albums: Vec<Tile>,
    pictures: Vec<Tile>,
    films: Vec<Tile>,
    music: Vec<Tile>,
    files: Vec<Tile>,
    first: Option<String>,
    next: Option<String>,
    zone: String,
}

impl AlbumPage<'_> {
    fn is_empty(&self) -> bool {
        [&self.albums, &self.pictures, &self.films, &self.music, &self.files].into_iter().all(|tiles| tiles.is_empty())
    }
}

impl Gateway {
    pub(super) async fn show_collection(self: &Arc<Self>, root: &Path, view: &View<'_>) -> io::Result<Response> {
        let entries = collection::read(root, view.path).await?;
        // a program that was let in by a token gets no page
        let is_person = view.held.is_some() || view.let_in.is_none();
        let mut judge = Judge::new(self, view.let_in).filter(|_| is_person).ok_or_else(not_a_directory)?;
        let mark = self.open_mark(view.path, view.query("after"));
        let page = judge.page(view.path, collection::skip_to(&entries, mark.as_deref()), ON_A_PAGE).await;
        let names = page.members.iter().map(|member| member.entry.name.clone()).collect();
        let facts = collection::read_facts(root, view.path, names).await?;
        let mut tiles: Vec<_> =
            page.members.into_iter().zip(facts).map(|(member, facts)| self.make_tile(member, facts)).collect();
        let mut of = |wanted: &[Kind]| {
            let (these, others) = std::mem::take(&mut tiles).into_iter().partition(|tile| wanted.contains(&tile.kind));
            tiles = others;
            these
        };
        let here = self.url_of(view.path);
        let to = |mark: String| format!("{here}?after={}", form_urlencoded::byte_serialize(mark.as_bytes()).collect::<String>());
        let title = self.title_of(&judge, view.path).await;
        let body = AlbumPage {
            title: &title,
            crumbs: self.list_crumbs(&mut judge, view.path).await,
            shared: self.find_shared(&judge, &view.parts.headers).await,
            zip: format!("{here}?zip"),
            albums: of(&[Kind::Album]),
            pictures: of(&[Kind::Picture]),
            films: of(&[Kind::Film]),
            music: of(&[Kind::Music]),
            files: of(&[Kind::Document, Kind::Other]),
            first: mark.is_some().then(|| here.clone()),
            next: page.next.map(to),
            zone: ui::Cookies::of(&self.settings.resource).name(ZONE),
        };
        Ok(self.viewer_page(view.held, &title, &ui::render(&body)))
    }

    fn make_tile(&self, member: Member, facts: Option<Facts>) -> Tile {
        let size = facts.map(|facts| size_in_words(facts.bytes)).unwrap_or_default();
        Tile { url: self.url_of(&member.path), kind: member.entry.kind, name: show_name(&member.entry.name), size }
    }

    pub(super) fn url_of(&self, path: &CanonicalPath) -> String {
        format!("{}{}", self.settings.resource, path.encoded())
    }

    /// What a collection is called: in its owner's words, where it is a thing of its own.
    async fn title_of(&self, judge: &Judge, path: &CanonicalPath) -> String {
        let own = |source: &Admitted| source.needs.first().map(|need| OwnResourceId::new(need.resource.as_str()));
        let is_thing = |own: &OwnResourceId| own.as_str().trim_end_matches('/') == decode_path(path);
        if let Some(source) = judge.source()
            && let Some(own) = own(source).filter(is_thing)
            && let Ok(description) = self.description(&source.owner, &own).await
            && let Some(name) = description.name
        {
            return show_name(&name);
        }
        path.segments().last().map_or_else(|| self.settings.name.clone(), |name| show_name(name))
    }

    /// The way from the beginning to a place; only what may be seen is a link.
    pub(super) async fn list_crumbs(&self, judge: &mut Judge, path: &CanonicalPath) -> Vec<Crumb> {
        let start = Crumb { name: self.settings.name.clone(), url: Some(format!("{}/", self.settings.resource)) };
        let (mut crumbs, mut above) = (vec![start], path::CanonicalPath::parse("/").ok());
        let count = path.segments().len();
        for (at, name) in path.segments().iter().enumerate().take(count.saturating_sub(1)) {
            above = above.and_then(|above| above.join(name)).map(|above| above.with_slash());
            let place = above.as_ref().filter(|_| at < count);
            let url = match place {
                Some(place) if judge.may_view(place).await => Some(self.url_of(place)),
                _ => None,
            };
            let title = match place {
                Some(place) => self.title_of(judge, place).await,
                None => show_name(name),
            };
            crumbs.push(Crumb { name: title, url });
        }
        crumbs
    }

    pub(super) async fn find_shared(&self, judge: &Judge, headers: &HeaderMap) -> Shared {
        let Some(source) = judge.source() else { return Shared { owner: None, until: None, share: None } };
        let is_owner = source.answer.is_owner == Some(true);
        let zone = self.zone_of(headers);
        let end = find_end(source).filter(|_| !is_owner);
        Shared {
            owner: Some(self.say_owner(&source.owner).await),
            until: end.map(|end| zone.until(end, self.client.clock.now())),
            share: if is_owner { self.share_page(source).await } else { None },
        }
    }

    /// Where the owner shares a thing, at the server that guards it.
    async fn share_page(&self, source: &Admitted) -> Option<String> {
        let own = OwnResourceId::new(source.needs.first()?.resource.as_str());
        let all = self.store.registrations(&source.owner, &own).await.ok()?;
        let is_there = |one: &&Registered| one.guards() && one.issuer == source.issuer;
        let id = all.iter().find(is_there)?.resource_id.clone()?;
        let id = percent_encoding::utf8_percent_encode(id.as_str(), IN_A_PATH);
        // its own pages are where it says that it is
        Some(format!("{}/my/resources/{id}", source.issuer.trim_end_matches('/')))
    }

    fn zone_of(&self, headers: &HeaderMap) -> ui::Zone {
        let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
        let found = ui::Cookies::of(&self.settings.resource).find(lines, ZONE).ok().flatten();
        found.map(ui::Zone::named).unwrap_or_default()
    }

    /// A wide page with pictures and films of this gateway, and a script of ours.
    pub(super) fn viewer_page(&self, held: Option<&Held>, title: &str, body: &str) -> Response {
        let (status, script, policy) = (StatusCode::OK, Some("album.js"), self.viewer_policy());
        self.render_page(&OwnPage { status, held, title, body, is_narrow: false, script, reload_seconds: None, policy })
    }

    /// Scripts and styles of our own place alone: what lies in the folder is of the same origin, and is somebody else's.
    fn viewer_policy(&self) -> String {
        let assets = format!("{}/.wayleave/assets/", self.settings.resource);
        format!(
            "default-src 'none'; script-src {assets}; style-src {assets}; img-src 'self'; media-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
    }
}

/// A name as it is shown, and as what is downloaded is called: nothing in it turns the letters beside it, or is not seen.
pub(in super::super) fn show_name(name: &str) -> String {
    Some(visible(name)).filter(|name| !name.is_empty()).unwrap_or_else(|| "(no name)".to_owned())
}

/// The path as ids of resources are written.
fn decode_path(path: &CanonicalPath) -> String {
    path.segments().iter().fold(String::new(), |all, segment| format!("{all}/{segment}"))
}

/// When what let a call in ends by itself, if anybody said so: all that it needed, as long as all of it lasts.
fn find_end(source: &Admitted) -> Option<Timestamp> {
    let permissions = source.answer.permissions.as_deref().unwrap_or_default();
    let needs = source.needs.iter().flat_map(|need| need.scopes.iter().map(|scope| (&need.resource, scope)));
    let end_of = |(resource, scope): (&types::ResourceId, &types::Scope)| {
        let hers = permissions.iter().filter(|one| one.resource_id == *resource && one.resource_scopes.contains(scope));
        hers.map(|one| one.exp.unwrap_or(Timestamp(i64::MAX))).max()
    };
    needs.filter_map(end_of).min().filter(|end| end.0 != i64::MAX)
}
