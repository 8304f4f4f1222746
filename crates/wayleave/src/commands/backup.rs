//! `wayleave backup` and `wayleave restore`, of each party: its store, and that of its own log-in beside (threat 35,
//! docs/decisions/0069).

mod party;
mod restore;

pub use party::Party;
pub use restore::restore;

use crate::config::Config;
use crate::whole_file::{self, Part};
use crate::{Exit, say};
use database::file;
use party::Pair;
use std::path::Path;

/// Begins the name of what becomes a backup: whatever that is called, the next one finds what a run left that was killed.
const ON_ITS_WAY: &str = "wayleave-backup";

/// Refuses to write where something lies that a party keeps, and that somebody may be using: he would go on in a file that nobody
/// finds any more, or find a backup in its place. Nor is anything replaced that is no backup.
fn refuse_kept(config: &Config, file: &Path) -> Result<(), Exit> {
    let is_served = [".lock", "-wal"].into_iter().any(|ending| party::with(file, ending).exists());
    let place = file.display();
    if is_served || config.keeps(file) {
        return Err(Exit::usage(format!("{place} is kept by a party, and no place for a backup: name another file")));
    }
    if config.serves(file) {
        return Err(Exit::usage(format!("{place} lies in the folder that a gateway serves to others: name another file")));
    }
    match std::fs::metadata(file) {
        Ok(about) if !about.is_file() || (about.len() > 0 && restore::form_of(file).is_err()) => {
            Err(Exit::usage(format!("{place} is there and is no backup: name another file")))
        }
        _ => Ok(()),
    }
}

/// `wayleave backup FILE`, while it is in use or not.
pub fn backup(config: &Config, file: &Path, party: Option<Party>) -> Result<(), Exit> {
    let party = Party::choose(config, party)?;
    let pairs = party.pairs(config, file)?;
    pairs.iter().try_for_each(|pair| refuse_kept(config, &pair.backup))?;
    for pair in pairs {
        // a log-in whose people have not come yet has none
        if pair.place.exists() || pair.backup == file {
            back_up(&pair)?;
            say::line(&format!("{} now holds the store {}", pair.backup.display(), pair.place.display()));
        }
    }
    say::line("back the key file up apart from it");
    Ok(())
}

fn back_up(pair: &Pair) -> Result<(), Exit> {
    if !pair.place.exists() {
        return Err(Exit::failed(format!("{} is not there", pair.place.display())));
    }
    let failed = |error: std::io::Error| failed_at(&pair.backup, &error);
    // an older backup stays as it was until this one is whole
    let part = Part::begin_private(&pair.backup.with_file_name(ON_ITS_WAY)).map_err(failed)?;
    file::copy(&pair.place, part.path()).map_err(Exit::failed)?;
    take_place(part, &pair.backup)
}

fn failed_at(place: &Path, error: &dyn std::fmt::Display) -> Exit {
    Exit::failed(format!("{}: {error}", place.display()))
}

/// Moves it there, so that also a machine that stops then has it, or what was there.
fn take_place(part: Part, place: &Path) -> Result<(), Exit> {
    part.keep(place).and_then(|()| whole_file::sync_folder_of(place)).map_err(|error| failed_at(place, &error))
}
