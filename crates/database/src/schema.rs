//! What a party keeps, and where.

use crate::sqlite::Migrations;
use crate::table::Table;
use std::fmt;
use std::path::PathBuf;

/// What a party keeps.
#[derive(Clone, Copy)]
pub struct Schema<'a> {
    /// Name of its schema on PostgreSQL, in small letters: of two parties on one database each has its own.
    pub name: &'a str,
    /// Its tables as they are now.
    pub tables: &'static [&'static Table],
    /// How they came to be on SQLite, from nothing.
    pub sqlite: Migrations,
    /// What brings the tables of each earlier form to the next one on PostgreSQL, in order; the first is made from `tables`.
    /// Indexes that are missing after it are made from there too: a form that has but more of these has an empty script.
    pub postgres: &'static [&'static str],
}

impl Schema<'_> {
    /// Tables whose rows run out and cannot be found by when they do.
    pub(crate) fn list_walked(&self) -> Vec<&'static str> {
        let is_walked = |table: &&&Table| table.expires.is_some_and(|expiry| table.order_of_expiry(&expiry).is_none());
        self.tables.iter().filter(is_walked).map(|table| table.name).collect()
    }
}

/// Where a party keeps it.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// Gone with the process.
    Memory,
    /// A SQLite file.
    File(PathBuf),
    /// A database that many processes share; the password where it does not stand in the address.
    Postgres { url: String, password: Option<String> },
}

/// Without what opens it.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::File(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres { .. } => f.write_str("postgres:"),
        }
    }
}

impl Location {
    /// The file, where it is one.
    pub fn file(&self) -> Option<&PathBuf> {
        if let Self::File(path) = self { Some(path) } else { None }
    }
}
