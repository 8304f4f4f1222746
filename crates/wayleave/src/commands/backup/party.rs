//! Whose store a backup is of, and where a configuration has it.

use crate::config::Config;
use crate::log_in::{LogIn, store_beside};
use crate::{Exit, assemble};
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// Whose store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Party {
    Server,
    Gateway,
    Manager,
}

pub(super) const ALL: [Party; 3] = [Party::Server, Party::Gateway, Party::Manager];

/// A store of a party, and its backup.
pub(super) struct Pair {
    pub(super) place: PathBuf,
    pub(super) backup: PathBuf,
    /// What it is by its tables: a log-in's is one of a server.
    pub(super) form: Party,
    /// As which authorization server, resource server or desk it is served.
    pub(super) served_as: String,
}

impl Party {
    pub(super) fn name(self) -> &'static str {
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
    pub(super) fn of(tables: &[String]) -> Option<Self> {
        ALL.into_iter().find(|party| tables.iter().any(|table| table == party.own_table()))
    }

    /// The URL of its store; none where the configuration does not have this party.
    pub(super) fn store_url(self, config: &Config) -> Option<&str> {
        match self {
            Self::Server => config.is_for_a_server().then_some(&config.store.url),
            Self::Gateway => config.gateway.as_ref().map(|section| section.store_url()),
            Self::Manager => config.manager.as_ref().map(|section| section.store_url()),
        }
    }

    pub(super) fn place(self, config: &Config) -> Option<PathBuf> {
        assemble::store_file(config, self.store_url(config)?)
    }

    /// Its store, and where the configuration has it that of its log-in, with the files that are their backups.
    pub(super) fn pairs(self, config: &Config, backup: &Path) -> Result<Vec<Pair>, Exit> {
        let key = match self {
            Self::Server => "store.url",
            Self::Gateway => "gateway.store.url",
            Self::Manager => "manager.store.url",
        };
        let url = self.store_url(config).ok_or_else(|| Exit::usage(format!("{key}: this configuration has no such party")))?;
        let none = || Exit::usage(format!("{key}: this works on a SQLite store: set it to sqlite:PATH"));
        let place = assemble::store_file(config, url).ok_or_else(none)?;
        let mut pairs = Vec::new();
        if let Some(party) = self.find_log_in(config) {
            let place = assemble::store_file(config, &store_beside(url)).ok_or_else(none)?;
            let served_as = LogIn::issuer_of(party);
            pairs.push(Pair { place, backup: with(backup, ".login.db"), form: Self::Server, served_as });
        }
        let served_as = self.served_as(config).unwrap_or_default().to_owned();
        pairs.push(Pair { place, backup: backup.to_owned(), form: self, served_as });
        Ok(pairs)
    }

    /// What others know it by.
    fn served_as(self, config: &Config) -> Option<&str> {
        match self {
            Self::Server => Some(&config.server.issuer),
            Self::Gateway => config.gateway.as_ref().map(|section| section.resource.as_str()),
            Self::Manager => config.manager.as_ref().map(|section| section.url.as_str()),
        }
    }

    /// The URL of the party, where it has a log-in of its own.
    fn find_log_in(self, config: &Config) -> Option<&str> {
        match self {
            Self::Server => None,
            Self::Gateway => {
                let section =
                    config.gateway.as_ref().filter(|section| section.management.is_none() && !config.account.is_empty());
                section.map(|section| section.resource.as_str())
            }
            Self::Manager => config.manager.as_ref().filter(|section| section.is_built_in()).map(|section| section.url.as_str()),
        }
    }

    /// The party that is meant: the one that is named, or the only one of the configuration whose store is there.
    pub(super) fn choose(config: &Config, named: Option<Self>) -> Result<Self, Exit> {
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
pub(super) fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
