//! What a folder looks like to a person with whom it was shared (design/browser.md, *Folders*): a page of a collection with
//! thumbnails, a page of each picture and film, all of it in one zip, and the same as a list for programs.
//!
//! It is another way to be answered, and no other way in: a call comes here after it was let in like any other
//! ([`super::passage`]), and each thing that a page or a zip shows is judged by the same token as a call to it would be
//! ([`members`]). What programs see, who ask for nothing of this, is as ever.
//!
//! - [`collection`] reads a directory, [`kind`] says what a file is by its name
//! - [`album`] is the page of a collection, [`item`] of one thing in it, [`shelf`] of what a session has of several resources
//! - [`thumbnails`] makes ([`maker`]) and keeps ([`cache`]) small pictures, in turns by person ([`turns`]); another process
//!   ([`process`]) decodes them ([`picture`]) and may do nothing else ([`confinement`])
//! - [`archive`] streams a zip, [`listing`] answers programs

mod album;
mod archive;
mod cache;
mod collection;
mod confinement;
mod item;
mod kind;
mod leave;
mod listing;
mod maker;
mod marks;
mod members;
pub(super) mod picture;
pub(super) mod process;
mod shelf;
mod thumbnails;
mod turns;

use super::browser::{Held, navigation};
use super::passage::LetIn;
use super::path::CanonicalPath;
use super::route;
use super::{Behind, Gateway, Settings, beneath};
use crate::challenge::plain;
pub(super) use album::show_name;
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode, header};
pub(super) use shelf::HeldOwner;
use std::io;
use std::path::Path;
use std::sync::Arc;
use thumbnails::Side;

/// On a call of a browser's session, and of somebody who follows a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfPerson;

/// What is kept for showing folders.
pub(super) struct Viewer {
    cache: Arc<cache::Cache>,
    /// Who makes thumbnails.
    /// Of people, and of the owners whose pictures they are: whose server names many people has no more of the machine.
    makers: turns::Turns,
    owners: turns::Turns,
    maker: maker::Maker,
    zips: leave::Zips,
}

impl Viewer {
    pub(super) fn open(settings: &Settings) -> Self {
        let thumbnails = settings.thumbnails.clone();
        Self {
            cache: Arc::new(cache::Cache::open(thumbnails, cache::MOST_BYTES)),
            makers: turns::Turns::new(usize::MAX, thumbnails::AT_ONCE_OF_ONE, thumbnails::MOST_WAITING_OF_ONE),
            owners: turns::Turns::new(thumbnails::AT_ONCE, thumbnails::AT_ONCE, thumbnails::MOST_WAITING),
            maker: maker::Maker::new(settings.thumbnail_command.clone(), maker::Patience::default()),
            zips: leave::Zips::default(),
        }
    }
}

/// How a call wants something of a folder to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// The page of a collection; by its path without a slash: to be sent there.
    Collection,
    /// A list for a program.
    Listing,
    Zip,
    /// None: no size that there is.
    Thumbnail(Option<Side>),
    /// The page of one file.
    Item,
}

impl Wish {
    fn of(parts: &Parts, path: &CanonicalPath, is_person: bool) -> Option<Self> {
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return None;
        }
        let is_navigation = is_person && navigation::is_navigation(parts);
        let query = parts.uri.query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "thumbnail" if !path.ends_with_slash() => return Some(Self::Thumbnail(Side::parse(&value))),
                "zip" if path.ends_with_slash() => return Some(Self::Zip),
                "view" if is_navigation && !path.ends_with_slash() => return Some(Self::Item),
                _ => {}
            }
        }
        match is_navigation {
            true => Some(Self::Collection),
            false => (path.ends_with_slash() && listing::is_wanted(parts)).then_some(Self::Listing),
        }
    }
}

/// A call that was let in, to be shown something.
pub(super) struct View<'a> {
    pub(super) parts: &'a Parts,
    pub(super) path: &'a CanonicalPath,
    /// By what; none: everybody may see it.
    pub(super) let_in: Option<&'a Arc<LetIn>>,
    /// The session of her browser, if a person calls by one.
    pub(super) held: Option<&'a Held>,
}

impl View<'_> {
    fn query(&self, wanted: &str) -> Option<String> {
        let query = self.parts.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
    }
}

impl Gateway {
    pub(super) fn find_folder(&self) -> Option<&Path> {
        if let Behind::Folder(root) = &self.settings.behind { Some(root) } else { None }
    }

    pub(super) fn wish_of(&self, parts: &Parts, path: &CanonicalPath, is_person: bool) -> Option<Wish> {
        self.find_folder().and_then(|_| Wish::of(parts, path, is_person))
    }

    /// Whether a call looks at what may be a collection that no route names. What it does there, routes alone allow.
    pub(super) fn may_be_shown(&self, parts: &Parts, path: &CanonicalPath) -> bool {
        let is_look = parts.method == Method::GET || parts.method == Method::HEAD;
        is_look && parts.extensions.get::<OfPerson>().is_some() && self.may_be_collection(path)
    }

    /// Whether a path may be a collection of a folder.
    pub(super) fn may_be_collection(&self, path: &CanonicalPath) -> bool {
        self.find_folder().is_some() && path.ends_with_slash()
    }

    /// Where somebody opens the name of a collection without its slash, and no route names it so: by the routes alone, whether
    /// it is there or not.
    pub(super) fn collection_at(&self, parts: &Parts, path: &CanonicalPath) -> Option<Response> {
        let (routes, there) = (self.routes(), path.with_slash());
        let is_unnamed = self.find_folder().is_some() && !path.ends_with_slash() && route::find(&routes, path).is_none();
        let is_collection = is_unnamed && route::find_collection(&routes, &there).is_some();
        is_collection.then(|| self.send_on(&with_query(&there, parts), &[]))
    }

    /// What a call is shown. None: what lies there, as it is.
    pub(super) async fn show(self: &Arc<Self>, wish: &Wish, view: &View<'_>) -> Option<Response> {
        let root = self.find_folder()?;
        let shown = match wish {
            Wish::Collection if !view.path.ends_with_slash() => return self.show_slash(root, view).await,
            Wish::Collection => self.show_collection(root, view).await,
            Wish::Listing => self.answer_list(root, view).await,
            Wish::Zip => self.stream_zip(root, view).await,
            Wish::Item => self.show_item(root, view).await,
            Wish::Thumbnail(Some(side)) => self.show_thumbnail(root, view, *side).await,
            Wish::Thumbnail(None) => Ok(plain(StatusCode::BAD_REQUEST, "`thumbnail` is 320, 640 or 1280.")),
        };
        Some(shown.unwrap_or_else(|error| match beneath::is_absence(&error) {
            true => plain(StatusCode::NOT_FOUND, "Nothing is here."),
            false => {
                tracing::error!(%error, path = view.path.encoded(), "a folder cannot be shown");
                plain(StatusCode::SERVICE_UNAVAILABLE, "This cannot be read right now.")
            }
        }))
    }

    /// A collection that was opened without its slash.
    async fn show_slash(&self, root: &Path, view: &View<'_>) -> Option<Response> {
        let there = view.path.with_slash();
        let is_directory = beneath::find(root, view.path).await.is_ok_and(|found| found.is_directory);
        let is_shown = is_directory && route::find_collection(&self.routes(), &there).is_some();
        is_shown.then(|| self.send_on(&with_query(&there, view.parts), &[]))
    }
}

fn with_query(path: &CanonicalPath, parts: &Parts) -> String {
    match parts.uri.query() {
        Some(query) => format!("{}?{query}", path.encoded()),
        None => path.encoded().to_owned(),
    }
}

/// The same of what is no directory.
fn not_a_directory() -> io::Error {
    io::ErrorKind::NotADirectory.into()
}

/// Says that this is not to be kept by anybody but her, and read as nothing else than what it says.
fn set_fields(response: &mut Response, fields: &[(header::HeaderName, &str)]) {
    for (name, value) in fields {
        response.headers_mut().extend(http::HeaderValue::from_str(value).ok().map(|value| (name.clone(), value)));
    }
}
