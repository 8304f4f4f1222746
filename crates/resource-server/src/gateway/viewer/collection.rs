//! What a directory of the folder holds, in the order in which people see it: albums first, then files by name. It is read by
//! handle ([`beneath`]): names that begin with a dot, links and devices are not there.

use super::super::beneath::{self, Found};
use super::super::path::CanonicalPath;
use super::kind::Kind;
use super::not_a_directory;
use std::cmp::Ordering;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use types::Timestamp;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: Kind,
}

impl Entry {
    pub(super) fn is_album(&self) -> bool {
        self.kind == Kind::Album
    }

    /// Where it is; none: no path can lead there.
    pub(super) fn path_in(&self, above: &CanonicalPath) -> Option<CanonicalPath> {
        let path = above.join(&self.name)?;
        Some(if self.is_album() { path.with_slash() } else { path })
    }

    /// How a list names it, and where another goes on.
    pub(super) fn mark(&self) -> String {
        let slash = if self.is_album() { "/" } else { "" };
        format!("{}{slash}", self.name)
    }

    fn of_mark(mark: &str) -> Self {
        match mark.strip_suffix('/') {
            Some(name) => Self { name: name.to_owned(), kind: Kind::Album },
            None => Self { name: mark.to_owned(), kind: Kind::of_file(mark) },
        }
    }

    pub(super) fn is_before(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Less
    }

    /// Albums first; capitals make no difference, but between names that are alike.
    fn order(&self, other: &Self) -> Ordering {
        let by_album = other.is_album().cmp(&self.is_album());
        let by_letter = || self.name.to_lowercase().cmp(&other.name.to_lowercase());
        by_album.then_with(by_letter).then_with(|| self.name.cmp(&other.name))
    }
}

/// What is told of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) bytes: u64,
    pub(super) changed: Timestamp,
}

impl Facts {
    pub(super) fn of(metadata: &std::fs::Metadata) -> Self {
        Self { bytes: metadata.len(), changed: Timestamp(metadata.mtime()) }
    }
}

/// All that is in a directory, sorted.
pub(super) async fn read(root: &Path, path: &CanonicalPath) -> io::Result<Vec<Entry>> {
    let found = beneath::find(root, path).await?;
    beneath::on_a_thread_of_its_own(move || read_now(&found)).await
}

fn read_now(found: &Found) -> io::Result<Vec<Entry>> {
    if !found.is_directory {
        return Err(not_a_directory());
    }
    let kind_of = |one: &beneath::ServedName| if one.is_directory { Kind::Album } else { Kind::of_file(&one.name) };
    let served = beneath::list(found)?.served.into_iter();
    let mut entries: Vec<_> = served.map(|one| Entry { kind: kind_of(&one), name: one.name }).collect();
    entries.sort_by(Entry::order);
    Ok(entries)
}

/// What comes after a mark, whether what it names is still there or not.
pub(super) fn skip_to<'e>(entries: &'e [Entry], mark: Option<&str>) -> &'e [Entry] {
    let Some(mark) = mark.map(Entry::of_mark) else { return entries };
    let first = entries.partition_point(|entry| entry.order(&mark) != Ordering::Greater);
    entries.get(first..).unwrap_or_default()
}

/// What is told of these files now, by name; of what has gone meanwhile nothing is.
pub(super) async fn read_facts(root: &Path, path: &CanonicalPath, names: Vec<String>) -> io::Result<Vec<Option<Facts>>> {
    let found = beneath::find(root, path).await?;
    let look = move || {
        let of = |name: &String| {
            let file = found.enter(name).ok().filter(|file| !file.is_directory)?;
            std::fs::metadata(file.place()).ok().map(|metadata| Facts::of(&metadata))
        };
        Ok(names.iter().map(of).collect())
    };
    beneath::on_a_thread_of_its_own(look).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn albums_come_first_and_a_mark_goes_on_where_another_ended() {
        let mut entries: Vec<_> = ["b.jpg", "A.jpg", "a.jpg", "z/", "C/"].into_iter().map(Entry::of_mark).collect();
        entries.sort_by(Entry::order);
        let marks = |entries: &[Entry]| entries.iter().map(Entry::mark).collect::<Vec<_>>();
        assert_eq!(marks(&entries), ["C/", "z/", "A.jpg", "a.jpg", "b.jpg"]);
        for (mark, rest) in [("z/", 3), ("A.jpg", 2), ("b.jpg", 0), ("c", 0), ("D/", 4), ("", 3), ("B.jpg", 1)] {
            assert_eq!(skip_to(&entries, Some(mark)).len(), rest, "{mark}");
        }
        assert_eq!(skip_to(&entries, None).len(), 5);
    }
}
