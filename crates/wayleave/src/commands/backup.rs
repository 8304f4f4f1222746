//! `wayleave backup` and `wayleave restore`, of each party: its store, and that of its own log-in beside (threat 35,
//! docs/decisions/0069).

use crate::config::Config;
use crate::log_in::store_beside;
use crate::serving::Serving;
use crate::{Exit, assemble, say, whole_file};
use authorization_server::event::Event;
use clap::ValueEnum;
use database::file;
use jose::{Clock, SystemClock, SystemRandomness};
use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use store::Store;
use types::Timestamp;

/// Whose store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Party {
    Server,
    Gateway,
    Manager,
}

const ALL: [Party; 3] = [Party::Server, Party::Gateway, Party::Manager];

/// A store of a party, and its backup.
struct Pair {
    place: PathBuf,
    backup: PathBuf,
    /// What it is by its tables: a log-in's is one of a server.
    form: Party,
}

impl Party {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "an authorization server",
            Self::Gateway => "a gateway",
            Self::Manager => "a manager",
        }
    }

    /// A table that no other party has.
    fn own_table(self) -> &'static str {
        match self {
            Self::Server => "access_request",
            Self::Gateway => "owner_link",
            Self::Manager => "vault",
        }
    }

    /// What this store is by its tables.
    fn of(tables: &[String]) -> Option<Self> {
        ALL.into_iter().find(|party| tables.iter().any(|table| table == party.own_table()))
    }

    /// The URL of its store; none where the configuration does not have this party.
    fn store_url(self, config: &Config) -> Option<&str> {
        match self {
            Self::Server => config.is_for_a_server().then_some(&config.store.url),
            Self::Gateway => config.gateway.as_ref().map(|section| section.store_url()),
            Self::Manager => config.manager.as_ref().map(|section| section.store_url()),
        }
    }

    fn place(self, config: &Config) -> Option<PathBuf> {
        assemble::store_file(config, self.store_url(config)?)
    }

    /// Its store, and where the configuration has it that of its log-in, with the files that are their backups.
    fn pairs(self, config: &Config, backup: &Path) -> Result<Vec<Pair>, Exit> {
        let key = match self {
            Self::Server => "store.url",
            Self::Gateway => "gateway.store.url",
            Self::Manager => "manager.store.url",
        };
        let url = self.store_url(config).ok_or_else(|| Exit::usage(format!("{key}: this configuration has no such party")))?;
        let none = || Exit::usage(format!("{key}: this works on a SQLite store: set it to sqlite:PATH"));
        let place = assemble::store_file(config, url).ok_or_else(none)?;
        let has_log_in = match self {
            Self::Server => false,
            Self::Gateway => {
                config.gateway.as_ref().is_some_and(|section| section.management.is_none()) && !config.account.is_empty()
            }
            Self::Manager => config.manager.as_ref().is_some_and(|section| section.is_built_in()),
        };
        let mut pairs = Vec::new();
        if has_log_in {
            let place = assemble::store_file(config, &store_beside(url)).ok_or_else(none)?;
            pairs.push(Pair { place, backup: with(backup, ".login.db"), form: Self::Server });
        }
        pairs.push(Pair { place, backup: backup.to_owned(), form: self });
        Ok(pairs)
    }

    /// The party that is meant: the one that is named, or the only one of the configuration whose store is there.
    fn choose(config: &Config, named: Option<Self>) -> Result<Self, Exit> {
        let has = |party: &Self| party.place(config).is_some_and(|place| place.exists());
        let found: Vec<Self> = ALL.into_iter().filter(has).collect();
        match (named, found.as_slice()) {
            (Some(party), _) => Ok(party),
            (None, [party]) => Ok(*party),
            (None, []) => {
                let places: Vec<String> =
                    ALL.iter().filter_map(|party| party.place(config)).map(|place| place.display().to_string()).collect();
                match ALL.into_iter().find(|party| party.store_url(config).is_some()) {
                    // it is said of the party what its store is
                    Some(party) if places.is_empty() => Ok(party),
                    _ => Err(Exit::failed(format!("{} is not there", places.join(" or ")))),
                }
            }
            (None, _) => Err(Exit::usage("several parties keep something here: say which by --party server, gateway or manager")),
        }
    }
}

/// A path with something at its end.
fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Refuses to write where a store lies that somebody may be serving: it would go on in a file that nobody finds any more.
fn refuse_store(config: &Config, file: &Path) -> Result<(), Exit> {
    let urls = ALL.into_iter().filter_map(|party| party.store_url(config));
    let stores = urls.flat_map(|url| [url.to_owned(), store_beside(url)]);
    let number = |place: &Path| std::fs::metadata(place).map(|about| (about.dev(), about.ino())).ok();
    let is_own = |store: PathBuf| store == file || (number(file).is_some() && number(&store) == number(file));
    let is_served = [".lock", "-wal"].into_iter().any(|ending| with(file, ending).exists());
    if is_served || stores.filter_map(|url| assemble::store_file(config, &url)).any(is_own) {
        return Err(Exit::usage(format!(
            "{} is a store of a party, and no place for a backup: name another file",
            file.display()
        )));
    }
    Ok(())
}

/// `wayleave backup FILE`, while it is in use or not.
pub fn backup(config: &Config, file: &Path, party: Option<Party>) -> Result<(), Exit> {
    let party = Party::choose(config, party)?;
    let pairs = party.pairs(config, file)?;
    pairs.iter().try_for_each(|pair| refuse_store(config, &pair.backup))?;
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
    let beside = whole_file::beside(&pair.backup);
    let written = make_private(&beside).and_then(|()| file::copy(&pair.place, &beside).map_err(Exit::failed));
    let written = written.and_then(|()| take_place(&beside, &pair.backup));
    if written.is_err() {
        // an older backup stays as it was
        remove_with_companions(&beside);
    }
    written
}

/// A new file, for its owner's eyes alone.
fn make_private(place: &Path) -> Result<(), Exit> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(place);
    made.map(drop).map_err(|error| failed_at(place, &error))
}

fn failed_at(place: &Path, error: &dyn std::fmt::Display) -> Exit {
    Exit::failed(format!("{}: {error}", place.display()))
}

/// Moves it there, so that also a machine that stops then has it, or what was there.
fn take_place(beside: &Path, place: &Path) -> Result<(), Exit> {
    std::fs::rename(beside, place).map_err(|error| failed_at(place, &error))?;
    whole_file::sync_folder_of(place).map_err(|error| failed_at(place, &error))
}

fn remove_with_companions(place: &Path) {
    for file in file::companions(place).chain([place.to_owned()]) {
        let _ = std::fs::remove_file(file);
    }
}

/// `wayleave restore FILE`: what a backup revives must not be good, where it was spent, ended or withdrawn after it.
pub async fn restore(config: &Config, file: &Path, party: Option<Party>) -> Result<(), Exit> {
    let form = form_of(file)?;
    let party = party.unwrap_or(form);
    let pairs = party.pairs(config, file)?;
    let serving = Serving::begin(party.place(config))?;
    let key = find_key(config)?;
    let mut prepared = Vec::new();
    for pair in &pairs {
        if pair.form != party && !pair.backup.exists() {
            say::line(&format!("{} is not there: the accounts of its log-in stay as they are", pair.backup.display()));
            continue;
        }
        prepared.push(Prepared::of(pair, key).await?);
    }
    let (mut state_of, mut places) = (None, Vec::new());
    for one in prepared {
        state_of = state_of.or(one.state_of);
        places.push(one.put()?.display().to_string());
    }
    serving.iter().try_for_each(Serving::forget)?;
    say::line(&format!("{} is restored; what was there is beside, with `.replaced` at its end", places.join(" with ")));
    tell(party, state_of).iter().for_each(|line| say::line(line));
    Ok(())
}

/// The key of the configuration, which every store but a gateway's is sealed with: a restore makes none.
fn find_key(config: &Config) -> Result<Option<[u8; 32]>, Exit> {
    let place = config.path(&config.server.key_file.clone().unwrap_or(format!("{}/server.key", config.server.data_dir)));
    place.exists().then(|| assemble::read_key_file(config, &SystemRandomness, None)).transpose()
}

/// Of what party a backup is, by its tables.
fn form_of(file: &Path) -> Result<Party, Exit> {
    let tables = file::list_tables(file).map_err(|error| no_backup(file, &error.to_string()))?;
    Party::of(&tables).ok_or_else(|| no_backup(file, "it is no store of this program"))
}

fn no_backup(file: &Path, what: &str) -> Exit {
    Exit::failed(format!("{} is no backup that can be restored: {what} (nothing was changed)", file.display()))
}

/// A copy for its owner's eyes alone, beside the place, with what SQLite may have left beside a store that was copied by hand.
fn copy_beside(file: &Path, place: &Path) -> Result<PathBuf, Exit> {
    let beside = whole_file::beside(place);
    let own = [beside.clone()].into_iter().chain(file::companions(&beside));
    for (from, to) in [file.to_owned()].into_iter().chain(file::companions(file)).zip(own) {
        // the index of a log is made anew
        let is_needed = from == file || (from.exists() && !from.to_string_lossy().ends_with("-shm"));
        if is_needed {
            let copied = make_private(&to).and_then(|()| copy_into(&from, &to));
            if let Err(error) = copied {
                remove_with_companions(&beside);
                return Err(error);
            }
        }
    }
    Ok(beside)
}

fn copy_into(from: &Path, to: &Path) -> Result<(), Exit> {
    let mut source = std::fs::File::open(from).map_err(|error| failed_at(from, &error))?;
    let mut target = OpenOptions::new().write(true).open(to).map_err(|error| failed_at(to, &error))?;
    std::io::copy(&mut source, &mut target).map(drop).map_err(|error| failed_at(to, &error))
}

/// A copy that may take the place of the store; gone with this, unless it did.
struct Prepared<'a> {
    pair: &'a Pair,
    beside: PathBuf,
    state_of: Option<Timestamp>,
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        remove_with_companions(&self.beside);
    }
}

impl<'a> Prepared<'a> {
    /// Copies, checks, brings up to date, and ends what somebody held: before anything is replaced.
    async fn of(pair: &'a Pair, key: Option<[u8; 32]>) -> Result<Self, Exit> {
        let form = form_of(&pair.backup)?;
        if form != pair.form {
            return Err(no_backup(&pair.backup, &format!("it is one of {}, and not of {}", form.name(), pair.form.name())));
        }
        assemble::make_folder(&pair.place)?;
        let mut prepared = Self { pair, beside: copy_beside(&pair.backup, &pair.place)?, state_of: None };
        // the copy's name says nothing to whoever asked
        let (own, its) = (prepared.beside.display().to_string(), pair.backup.display().to_string());
        let named = |what: String| no_backup(&pair.backup, &what.replace(&own, &its));
        file::check(&prepared.beside).map_err(|error| named(error.to_string()))?;
        prepared.state_of = prepared.end_what_is_held(key).await.map_err(named)?;
        file::settle(&prepared.beside).map_err(Exit::failed)?;
        prepared.give_to_owner()?;
        Ok(prepared)
    }

    /// It has to open with the key of the configuration, as at a start: what does not takes no store's place.
    async fn end_what_is_held(&self, key: Option<[u8; 32]>) -> Result<Option<Timestamp>, String> {
        let open = |error: database::OpenError| error.to_string();
        let key = || key.ok_or("its key file is not there: put that in its place first, it goes with the backup");
        match self.pair.form {
            Party::Server => {
                let store = Store::open_file(&self.beside).await.map_err(open)?;
                let keys = identity::Keys::new(key()?).map_err(|error| error.to_string())?;
                keys.load(&store, &SystemClock, &SystemRandomness).await.map_err(|error| error.to_string())?;
                let tell = |owner, restored: store::restoring::Restored, last: Option<&_>| {
                    Event::of_restore(owner, restored.state_of, last, &SystemClock, &SystemRandomness)
                };
                let restored = store.end_what_is_held(SystemClock.now(), tell).await.map_err(|error| error.to_string())?;
                Ok(Some(restored.state_of))
            }
            Party::Gateway => {
                resource_server::gateway::Store::open(&self.beside).map_err(open)?.end_what_is_held().await?;
                Ok(None)
            }
            Party::Manager => {
                let key = jose::seal::SealingKey::new(&key()?).map_err(|error| error.to_string())?;
                let store = relationship_manager::Store::open_file(&self.beside, key).await.map_err(open)?;
                store.check_key().await.map_err(|error| error.to_string())?;
                store.end_what_is_held().await.map_err(|error| error.to_string())?;
                Ok(None)
            }
        }
    }

    /// Whoever the store was of that is replaced, or its folder: a restore by root leaves nothing that its party cannot open.
    fn give_to_owner(&self) -> Result<(), Exit> {
        let folder = self.pair.place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let before = std::fs::metadata(&self.pair.place).or_else(|_| std::fs::metadata(folder));
        let before = before.map_err(|error| failed_at(&self.pair.place, &error))?;
        for file in [self.beside.clone(), crate::serving::lock_of(&self.pair.place)] {
            let Ok(own) = std::fs::metadata(&file) else { continue };
            let given = match (own.uid(), own.gid()) == (before.uid(), before.gid()) {
                true => Ok(()),
                false => chown(&file, Some(before.uid()), Some(before.gid())),
            };
            let private = || std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600));
            given.and_then(|()| private()).map_err(|error| failed_at(&file, &error))?;
        }
        Ok(())
    }

    /// Takes the place of the store. What stands beside the old one goes into it first, so that a machine that stops then has
    /// one of both whole; an old one that is damaged has nothing to lose.
    fn put(self) -> Result<&'a Path, Exit> {
        let place = &self.pair.place;
        if place.exists() {
            let _ = file::settle(place);
            keep_replaced(place)?;
        }
        for left in file::companions(place) {
            let _ = std::fs::remove_file(left);
        }
        take_place(&self.beside, place)?;
        Ok(place)
    }
}

/// A copy of what is replaced, which was perhaps the right one.
fn keep_replaced(place: &Path) -> Result<(), Exit> {
    let kept = with(place, ".replaced");
    let beside = whole_file::beside(&kept);
    let copied = make_private(&beside).and_then(|()| copy_into(place, &beside)).and_then(|()| take_place(&beside, &kept));
    if copied.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    copied
}

/// What has ended, and what nobody can know.
fn tell(party: Party, state_of: Option<Timestamp>) -> Vec<String> {
    let time = state_of.map_or_else(|| "its backup".to_owned(), ui::in_words);
    match party {
        Party::Server => vec![
            format!("It is in the state of {time}."),
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
