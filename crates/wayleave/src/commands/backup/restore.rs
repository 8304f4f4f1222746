//! `wayleave restore FILE`: a backup takes the place of a store, whole or not at all, and what somebody held by it has ended then
//! (threat 35, docs/decisions/0069).

use super::party::{Pair, Party, with};
use super::{failed_at, take_place};
use crate::config::Config;
use crate::serving::{self, Serving};
use crate::whole_file::Part;
use crate::{Exit, assemble, say};
use authorization_server::event::Event;
use database::file;
use jose::{Clock, SystemClock, SystemRandomness};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use store::Store;
use types::Timestamp;

/// `wayleave restore FILE`: what a backup revives must not be good, where it was spent, ended or withdrawn after it.
pub async fn restore(config: &Config, file: &Path, party: Option<Party>) -> Result<(), Exit> {
    let form = form_of(file)?;
    let party = party.unwrap_or(form);
    let mut pairs = party.pairs(config, file)?;
    let serving = Serving::begin(party.place(config))?;
    for pair in &mut pairs {
        // what a link leads to is replaced, and not the link
        pair.place = serving::find_itself(&pair.place)?;
    }
    // a restore makes none
    let key = assemble::find_key(config)?;
    let mut prepared = Vec::new();
    for pair in &pairs {
        if pair.form != party && !pair.backup.exists() {
            say::line(&format!("{} is not there: the accounts of its log-in stay as they are", pair.backup.display()));
            continue;
        }
        prepared.push(Prepared::of(pair, key).await?);
    }
    prepared.iter().try_for_each(|one| settle_replaced(&one.pair.place))?;
    let mut state_of = None;
    for one in prepared {
        state_of = state_of.or(one.state_of);
        let (place, kept) = one.put()?;
        let beside = kept.map_or_else(String::new, |kept| format!("; what was there is {} until you remove it", kept.display()));
        say::line(&format!("{} is restored{beside}", place.display()));
    }
    serving.iter().try_for_each(Serving::forget)?;
    tell(party, state_of).iter().for_each(|line| say::line(line));
    Ok(())
}

/// Of what party a backup is, by its tables.
pub(super) fn form_of(file: &Path) -> Result<Party, Exit> {
    let tables = file::list_tables(file).map_err(|error| no_backup(file, &error.to_string()))?;
    Party::of(&tables).ok_or_else(|| no_backup(file, "it is no store of this program"))
}

fn no_backup(file: &Path, what: &str) -> Exit {
    Exit::failed(format!("{} is no backup that can be restored: {what} (nothing was changed)", file.display()))
}

/// A copy for its owner's eyes alone, beside the place, with what SQLite may have left beside a store that was copied by hand.
fn copy_beside(file: &Path, place: &Path) -> Result<Part, Exit> {
    let part = Part::begin_private(place).map_err(|error| failed_at(place, &error))?;
    copy_into(file, part.path())?;
    for (from, to) in file::companions(file).zip(file::companions(part.path())) {
        // the index of a log is made anew
        if from.exists() && !from.to_string_lossy().ends_with("-shm") {
            make_private(&to).and_then(|()| copy_into(&from, &to))?;
        }
    }
    Ok(part)
}

/// A new file, for its owner's eyes alone.
fn make_private(place: &Path) -> Result<(), Exit> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(place);
    made.map(drop).map_err(|error| failed_at(place, &error))
}

fn copy_into(from: &Path, to: &Path) -> Result<(), Exit> {
    let mut source = std::fs::File::open(from).map_err(|error| failed_at(from, &error))?;
    let mut target = OpenOptions::new().write(true).open(to).map_err(|error| failed_at(to, &error))?;
    std::io::copy(&mut source, &mut target).map(drop).map_err(|error| failed_at(to, &error))
}

/// A copy that may take the place of the store; gone with this, unless it did.
struct Prepared<'a> {
    pair: &'a Pair,
    part: Part,
    state_of: Option<Timestamp>,
}

impl<'a> Prepared<'a> {
    /// Copies, checks, brings up to date, and ends what somebody held: before anything is replaced.
    async fn of(pair: &'a Pair, key: Option<[u8; 32]>) -> Result<Self, Exit> {
        let form = form_of(&pair.backup)?;
        if form != pair.form {
            return Err(no_backup(&pair.backup, &format!("it is one of {}, and not of {}", form.name(), pair.form.name())));
        }
        assemble::make_folder(&pair.place)?;
        let mut prepared = Self { pair, part: copy_beside(&pair.backup, &pair.place)?, state_of: None };
        // the copy's name says nothing to whoever asked
        let (own, its) = (prepared.part.path().display().to_string(), pair.backup.display().to_string());
        let named = |what: String| no_backup(&pair.backup, &what.replace(&own, &its));
        file::check(prepared.part.path()).map_err(|error| named(error.to_string()))?;
        prepared.state_of = prepared.end_what_is_held(key).await.map_err(named)?;
        file::settle(prepared.part.path()).map_err(Exit::failed)?;
        prepared.give_to_owner()?;
        Ok(prepared)
    }

    /// It has to open with the key of the configuration, as at a start: what does not takes no store's place.
    async fn end_what_is_held(&self, key: Option<[u8; 32]>) -> Result<Option<Timestamp>, String> {
        let open = |error: database::OpenError| error.to_string();
        let of_gateway = key;
        let key = || key.ok_or("its key file is not there: put that in its place first, it goes with the backup");
        match self.pair.form {
            Party::Server => {
                let store = Store::open_file(self.part.path()).await.map_err(open)?;
                self.check_whose(store.issuer().await.map_err(|error| error.to_string())?)?;
                let keys = identity::Keys::new(key()?).map_err(|error| error.to_string())?;
                keys.load(&store, &SystemClock, &SystemRandomness).await.map_err(|error| error.to_string())?;
                let tell = |owner, restored: store::restoring::Restored, last: Option<&_>| {
                    Event::of_restore(owner, restored.state_of, last, &SystemClock, &SystemRandomness)
                };
                let restored = store.end_what_is_held(SystemClock.now(), tell).await.map_err(|error| error.to_string())?;
                Ok(Some(restored.state_of))
            }
            Party::Gateway => {
                let opened = resource_server::gateway::Store::open_for_restore(self.part.path(), of_gateway.as_ref());
                let store = opened.await?;
                self.check_whose(store.served_as().await?)?;
                store.end_what_is_held().await?;
                Ok(None)
            }
            Party::Manager => {
                let key = jose::seal::SealingKey::new(&key()?).map_err(|error| error.to_string())?;
                let store = relationship_manager::Store::open_file(self.part.path(), key).await.map_err(open)?;
                store.check_key().await.map_err(|error| error.to_string())?;
                self.check_whose(store.served_as().await.map_err(|error| error.to_string())?)?;
                store.end_what_is_held().await.map_err(|error| error.to_string())?;
                Ok(None)
            }
        }
    }

    /// A party's log-in is one of an authorization server by its tables, and two gateways may have one key: a store is nobody's but
    /// that party's whose it says it is. A backup of before does not say.
    fn check_whose(&self, was: Option<String>) -> Result<(), String> {
        let is = &self.pair.served_as;
        match was {
            Some(was) if was != *is => Err(format!(
                "it is of {was}, and this is {is}: name the backup of this one. If it is of this one, and its address was another \
                 then: write that down here, restore, and change it afterwards"
            )),
            _ => Ok(()),
        }
    }

    /// Whoever the store was of that is replaced, or its folder: a restore by root leaves nothing that its party cannot open.
    fn give_to_owner(&self) -> Result<(), Exit> {
        let owner = owner_of(&self.pair.place)?;
        for file in [self.part.path(), &serving::lock_of(&self.pair.place)] {
            if file.exists() {
                give(file, owner)?;
            }
        }
        Ok(())
    }

    /// Takes the place of the store, which was settled, so that a machine that stops then has one of both whole. What was there
    /// stays beside.
    fn put(self) -> Result<(&'a Path, Option<PathBuf>), Exit> {
        let place = &self.pair.place;
        let kept = if place.exists() { Some(keep_replaced(place)?) } else { None };
        for (at, left) in file::companions(place).enumerate() {
            // of one that is damaged, what it was about to be is there as well
            let with_it = kept.as_deref().and_then(|kept| file::companions(kept).nth(at)).filter(|_| left.exists());
            if with_it.is_none_or(|with_it| std::fs::rename(&left, with_it).is_err()) {
                let _ = std::fs::remove_file(left);
            }
        }
        take_place(self.part, place)?;
        Ok((place, kept))
    }
}

/// Of whom a store is, or its folder where there is none: user and group.
fn owner_of(place: &Path) -> Result<(u32, u32), Exit> {
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let about = std::fs::metadata(place).or_else(|_| std::fs::metadata(folder)).map_err(|error| failed_at(place, &error))?;
    Ok((about.uid(), about.gid()))
}

fn give(file: &Path, (user, group): (u32, u32)) -> Result<(), Exit> {
    let failed = |error: std::io::Error| failed_at(file, &error);
    let about = std::fs::metadata(file).map_err(failed)?;
    if (about.uid(), about.gid()) != (user, group) {
        chown(file, Some(user), Some(group)).map_err(failed)?;
    }
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).map_err(failed)
}

/// What stands beside the store that is replaced goes into it, so that it is whole without. One that is damaged has nothing to lose;
/// where it cannot even be opened, what stands beside it stays as it is.
fn settle_replaced(place: &Path) -> Result<(), Exit> {
    if !place.exists() || file::list_tables(place).is_err_and(|error| error.is_damage()) {
        return Ok(());
    }
    let Err(error) = file::settle(place) else { return Ok(()) };
    if error.is_damage() || file::check(place).is_err_and(|error| error.is_damage()) {
        return Ok(());
    }
    let what = "what was written last could not be put into the store that is to be replaced: see that its disk has room and can be \
                written (nothing was changed)";
    Err(Exit::failed(format!("{error}: {what}")))
}

/// What is replaced stays beside, since it was perhaps the right one: under a name that none of before has.
fn keep_replaced(place: &Path) -> Result<PathBuf, Exit> {
    let names = (1_u32..).map(|number| match number {
        1 => with(place, serving::REPLACED),
        number => with(place, &format!("{}-{number}", serving::REPLACED)),
    });
    for kept in names {
        // a second name of the same file takes no room
        match std::fs::hard_link(place, &kept) {
            Ok(()) => return Ok(kept),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {
                if !kept.exists() {
                    return copy_replaced(place, kept);
                }
            }
            Err(error) => return Err(failed_at(&kept, &error)),
        }
    }
    Err(failed_at(place, &"there is no name left for what is replaced"))
}

/// The same on a file system without links.
fn copy_replaced(place: &Path, kept: PathBuf) -> Result<PathBuf, Exit> {
    let part = Part::begin_private(&kept).map_err(|error| failed_at(&kept, &error))?;
    copy_into(place, part.path())?;
    give(part.path(), owner_of(place)?)?;
    take_place(part, &kept)?;
    Ok(kept)
}

/// What has ended, and what nobody can know.
fn tell(party: Party, state_of: Option<Timestamp>) -> Vec<String> {
    let time = state_of.map_or_else(|| "its backup".to_owned(), ui::in_words);
    match party {
        Party::Server => vec![
            format!("It is in the state of {time}; by the clock of this machine it is {} now.", ui::in_words(SystemClock.now())),
            "Ended: sessions, links of gateways, desks and applications, tokens, tickets, codes and invitations; shares with a number \
             of uses count as used up. Owners link their gateways and desks again."
                .into(),
            "Not known here: what was withdrawn after that is back (shares, delegations, keys, passkeys, log-ins, clients), and so \
             are passwords of before. A signed share that was withdrawn after it may be in force again. Each owner reads in her \
             history that she has to do it again: tell them."
                .into(),
        ],
        Party::Gateway => vec![
            "Ended: sessions of browsers, and links that had begun. Where a link was renewed after the backup, its server takes the \
             old one no more: the owner links it again."
                .into(),
            "Not known here: what owners changed after the backup, and signed shares that were withdrawn after it, which are back. \
             Tell the owners to look at their things."
                .into(),
        ],
        Party::Manager => vec![
            "Ended: sessions, and links that had begun. Where a link was renewed after the backup, its server takes the old one no \
             more: its owner links it again."
                .into(),
            "Not known here: what was signed after the backup. Its ledger lacks those words, which are out there and which nobody \
             can take back by this desk; keys that were made after it are lost. Tell its people to look at what they share."
                .into(),
        ],
    }
}
