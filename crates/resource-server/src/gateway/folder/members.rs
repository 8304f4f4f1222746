//! What is in a directory that is copied, moved, deleted or replaced: each thing is judged as if it were called by itself, and
//! where one may not be reached, nothing is done at all (threats 26 and 39; RFC 4918 9.6, 9.8, 9.9). Called by `folder.rs`.

use super::call::Call;
use super::files::Files;
use crate::gateway::path::CanonicalPath;
use crate::gateway::reach::Methods;
use std::io;

/// So many things are looked at for one call, and so many directories within each other.
const MOST_MEMBERS: usize = 10_000;
const MOST_LEVELS: usize = 64;

/// Why a directory is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Something in it is not for this caller.
    Member,
    /// Something in it is not served, and would be lost.
    Hidden,
    TooMany,
}

impl Refused {
    pub(super) fn say(self) -> &'static str {
        match self {
            Self::Member => "In this directory is something that you may not do this with: do it with what you may, one by one.",
            Self::Hidden => {
                "In this directory is something that is not served here and would be lost: whoever runs this server can remove it."
            }
            Self::TooMany => "So much is in this directory that it cannot be judged at once: do it in parts.",
        }
    }
}

/// What is needed of each thing, and of the place that it goes to.
struct Needs<'a> {
    of_each: Methods,
    /// Where it leads, and what is needed there.
    there: Option<(&'a CanonicalPath, Methods)>,
    is_lost: bool,
}

/// Judges all that a call reaches in directories. `is_whole`: it goes below its path.
pub(super) async fn judge(files: &Files, call: &Call, is_whole: bool) -> io::Result<Result<(), Refused>> {
    let there = |writes: Methods| call.destination.as_ref().map(|destination| (destination, writes));
    let needs = match call.method.as_str() {
        "DELETE" => Needs { of_each: &["DELETE"], there: None, is_lost: true },
        "MOVE" => Needs { of_each: &["MOVE"], there: there(&["MOVE", "PUT"]), is_lost: false },
        "COPY" => Needs { of_each: &["COPY"], there: there(&["COPY", "PUT"]), is_lost: false },
        _ => return Ok(Ok(())),
    };
    if is_whole && let Err(refused) = judge_below(files, call, &call.path, &needs).await? {
        return Ok(Err(refused));
    }
    match &call.destination {
        // what is written over is deleted first (RFC 4918 9.8.4)
        Some(destination) if call.overwrites => {
            judge_below(files, call, destination, &Needs { of_each: &["DELETE"], there: None, is_lost: true }).await
        }
        _ => Ok(Ok(())),
    }
}

async fn judge_below(files: &Files, call: &Call, top: &CanonicalPath, needs: &Needs<'_>) -> io::Result<Result<(), Refused>> {
    let is_directory = files.find_version(top).await?.is_some_and(|version| version.is_directory);
    let mut open: Vec<_> = is_directory.then(|| top.clone()).into_iter().collect();
    let mut seen = 0_usize;
    while let Some(directory) = open.pop() {
        let level = directory.segments().len().saturating_sub(top.segments().len());
        let listed = files.list(&directory).await?;
        if needs.is_lost && listed.has_others {
            return Ok(Err(Refused::Hidden));
        }
        seen = seen.saturating_add(listed.things.len());
        if seen > MOST_MEMBERS || level > MOST_LEVELS {
            return Ok(Err(Refused::TooMany));
        }
        for (thing, version) in listed.things {
            if !may(call, top, &thing, version.is_directory, needs).await {
                return Ok(Err(Refused::Member));
            }
            if version.is_directory {
                open.push(thing);
            }
        }
    }
    Ok(Ok(()))
}

async fn may(call: &Call, top: &CanonicalPath, thing: &CanonicalPath, is_directory: bool, needs: &Needs<'_>) -> bool {
    let called = |path: CanonicalPath| if is_directory { path.with_slash() } else { path };
    if !call.reach.clone().may(needs.of_each, called(thing.clone())).await {
        return false;
    }
    let Some((destination, writes)) = needs.there else { return true };
    let below = thing.segments().get(top.segments().len()..).unwrap_or_default();
    let there = below.iter().try_fold(destination.without_slash(), |path, name| path.join(name));
    match there {
        Some(there) => call.reach.clone().may(writes, called(there)).await,
        None => false,
    }
}
