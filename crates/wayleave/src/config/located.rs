//! Where a configuration was read from, so that what a start finds wrong with it is said with file and line as well: a secret
//! that is not there, a folder that cannot be read.

use super::{Config, DEFAULT_FILE, Fault};
use crate::Exit;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file, and what it and the environment say.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    /// None: there was no file.
    pub(super) place: Option<PathBuf>,
    pub(super) text: String,
    /// Before defaults.
    pub(super) given: toml::Table,
}

impl Source {
    /// Whether a key like `gateway.store.url`, or a table, is given.
    pub(super) fn says(&self, key: &str) -> bool {
        let mut parts = key.split('.');
        let first = parts.next().and_then(|name| self.given.get(name));
        parts.fold(first, |value, name| value.and_then(|value| value.get(name))).is_some()
    }
}

/// A path as somebody finds it who is in another folder.
pub(super) fn spell_whole(place: &Path) -> String {
    std::path::absolute(place).unwrap_or_else(|_| place.to_owned()).display().to_string()
}

impl Config {
    /// The text of a secret: in the file itself, or in a file that it names. `key` says which: `gateway.client_secret`, or
    /// ``[[client]] `photos-rs`: client_secret``.
    pub fn secret(&self, key: &str, direct: Option<&String>, file: Option<&String>) -> Result<Option<String>, Exit> {
        match (direct, file) {
            (Some(text), None) => self.checked_secret(key, text, "it").map(Some),
            (None, Some(file)) => self.read_secret(&format!("{key}_file"), file).map(Some),
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                Err(self.locate(Exit::usage(format!("{key}: it stands both here and in a file: keep one of the two"))))
            }
        }
    }

    /// What a file holds that a key names: its first and only line.
    pub fn read_secret(&self, key: &str, file: &str) -> Result<String, Exit> {
        let place = self.path(file);
        let text = std::fs::read_to_string(&place).map_err(|error| self.locate(self.unread(key, file, &error)))?;
        self.checked_secret(key, text.trim_end_matches(['\r', '\n']), &spell_whole(&place))
    }

    /// That a file cannot be read which a key names, in a table that holds secrets or keys.
    pub fn unread(&self, key: &str, file: &str, error: &std::io::Error) -> Exit {
        Exit::usage(match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::IsADirectory | ErrorKind::InvalidData => {
                format!("{key}: {} cannot be read: {error}", spell_whole(&self.path(file)))
            }
            // what is no file may be the secret itself
            _ => format!("{key}: the file that it names cannot be read: {error} (paths begin at {})", spell_whole(&self.base)),
        })
    }

    /// A secret that is one: an empty one would open to everybody who names nothing (threat 40).
    fn checked_secret(&self, key: &str, text: &str, place: &str) -> Result<String, Exit> {
        let what = if text.trim().is_empty() {
            "is empty: write a secret, like one that `openssl rand -hex 32` prints"
        } else if text.contains(['\r', '\n', '\0']) {
            "has more than one line: a secret is one line and nothing else"
        } else {
            return Ok(text.to_owned());
        };
        Err(self.locate(Exit::usage(format!("{key}: {place} {what}"))))
    }

    /// What is wrong with a key of this configuration, with file and line where its text begins with that key.
    pub fn locate(&self, exit: Exit) -> Exit {
        let Exit::Usage(what) = exit else { return exit };
        let said = Fault::from(what.clone()).in_text(&self.source.text);
        match &self.source.place {
            Some(place) if said != what => Exit::Usage(format!("{}: {said}", place.display())),
            _ => Exit::Usage(said),
        }
    }

    /// For a party that this configuration says nothing of.
    pub fn missing(&self, table: &str) -> Exit {
        let advice = "docs/first.md of the book begins with one";
        Exit::Usage(match &self.source.place {
            Some(place) => format!("{} has no [{table}]: name another file with --config; {advice}", spell_whole(place)),
            None => {
                let here = spell_whole(Path::new("."));
                format!("there is no {DEFAULT_FILE} in {here}: go where it is, or name it with --config; {advice}")
            }
        })
    }

    /// Whether an authorization server is configured here, or nothing at all: then it starts with defaults.
    pub fn is_for_a_server(&self) -> bool {
        let server = self.source.given.get("server").and_then(toml::Value::as_table);
        // these two are every party's
        let is_its_own = |key: &String| key != "data_dir" && key != "key_file";
        let tables = ["assessment", "profiles", "client", "trusted_issuer", "mail"];
        server.is_some_and(|server| server.keys().any(is_its_own))
            || tables.into_iter().any(|table| self.source.says(table))
            || (self.gateway.is_none() && self.manager.is_none())
    }

    /// Whether a file or a variable says anything.
    pub fn is_default(&self) -> bool {
        self.source.given.is_empty()
    }

    /// Whether a key stands in the file or in a variable.
    pub fn says(&self, key: &str) -> bool {
        self.source.says(key)
    }
}
