//! The page of one file of a collection: a picture as large as the window, a film or music that plays, and the way to those
//! beside it. It is what the album's script shows in place, and all there is without script.

use super::super::Gateway;
use super::super::beneath;
use super::super::path::CanonicalPath;
use super::album::{Crumb, Shared, show_name};
use super::collection::{self, Entry, Facts};
use super::kind::{Kind, size_in_words};
use super::members::Judge;
use super::{View, not_a_directory};
use askama::Template;
use axum::response::Response;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// So many beside it are looked at for one that may be viewed.
const MOST_LOOKED_AT: usize = 100;

#[derive(Template)]
#[template(path = "album_item.html")]
struct ItemPage {
    name: String,
    url: String,
    kind: Kind,
    size: String,
    crumbs: Vec<Crumb>,
    shared: Shared,
    album: Option<String>,
    before: Option<String>,
    after: Option<String>,
}

impl Gateway {
    pub(super) async fn show_item(self: &Arc<Self>, root: &Path, view: &View<'_>) -> io::Result<Response> {
        let file = beneath::find(root, view.path).await?;
        let (Some(name), false) = (view.path.segments().last().cloned(), file.is_directory) else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        let facts = Facts::of(&std::fs::metadata(file.place())?);
        let mut judge = Judge::new(self, view.let_in).ok_or_else(not_a_directory)?;
        let crumbs = self.list_crumbs(&mut judge, view.path).await;
        let (mut before, mut after) = (None, None);
        if let Some(above) = find_above(view.path)
            && let Ok(entries) = collection::read(root, &above).await
        {
            let own = Entry { name: name.clone(), kind: Kind::of_file(&name) };
            let shown: Vec<_> = entries.iter().filter(|entry| matches!(entry.kind, Kind::Picture | Kind::Film)).collect();
            let (earlier, later): (Vec<_>, Vec<_>) =
                shown.into_iter().filter(|one| **one != own).partition(|one| one.is_before(&own));
            before = self.first_shown(&mut judge, &above, earlier.into_iter().rev()).await;
            after = self.first_shown(&mut judge, &above, later.into_iter()).await;
        }
        let body = ItemPage {
            url: self.url_of(view.path),
            kind: Kind::of_file(&name),
            size: size_in_words(facts.bytes),
            album: crumbs.last().and_then(|crumb| crumb.url.clone()),
            crumbs,
            shared: self.find_shared(&judge, &view.parts.headers).await,
            before,
            after,
            name: show_name(&name),
        };
        Ok(self.viewer_page(view.held, &body.name, &ui::render(&body)))
    }

    async fn first_shown(
        &self,
        judge: &mut Judge,
        above: &CanonicalPath,
        entries: impl Iterator<Item = &Entry>,
    ) -> Option<String> {
        for entry in entries.take(MOST_LOOKED_AT) {
            let Some(path) = entry.path_in(above) else { continue };
            if judge.may_view(&path).await {
                return Some(format!("{}?view", self.url_of(&path)));
            }
        }
        None
    }
}

/// The collection that something is in.
fn find_above(path: &CanonicalPath) -> Option<CanonicalPath> {
    let (above, _) = path.encoded().rsplit_once('/')?;
    CanonicalPath::parse(&format!("{above}/")).ok()
}
