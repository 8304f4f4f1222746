//! A folder of things has nothing in it of what the party itself keeps: whoever is let in to all of it would read the secrets, and
//! write them (threat 26).

use super::Config;
use super::located::spell_whole;
use crate::Exit;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Keys that name a file which is nobody else's, beside those that end in `_file`.
const KEYS_OF_FILES: [&str; 1] = ["key"];

impl Config {
    /// Refuses a folder that holds the configuration, a file that it names, or `data_dir`, or that lies in `data_dir`.
    pub(crate) fn keep_apart(&self, key: &str, folder: &Path) -> Result<(), Exit> {
        let folder = itself(folder);
        let data = itself(&self.path(&self.server.data_dir));
        let kept = self.list_kept();
        let found = kept.iter().find(|place| place.starts_with(&folder)).or_else(|| folder.starts_with(&data).then_some(&data));
        match found {
            None => Ok(()),
            Some(place) => Err(self.locate(Exit::usage(format!(
                "{key}: {} keeps what others may not see ({}): name a folder with nothing but what is to be shared",
                spell_whole(&folder),
                place.display()
            )))),
        }
    }

    /// Whether this is, by any name, a file that a party keeps.
    pub(crate) fn keeps(&self, file: &Path) -> bool {
        let number = |place: &Path| std::fs::metadata(place).map(|about| (about.dev(), about.ino())).ok();
        let (itself, name, own) = (itself(file), name_itself(file), number(file));
        self.list_kept().iter().any(|kept| *kept == itself || *kept == name || (own.is_some() && number(kept) == own))
    }

    /// Whether it lies in the folder of which a gateway serves what is there.
    pub(crate) fn serves(&self, file: &Path) -> bool {
        let folder = self.gateway.as_ref().and_then(|section| section.folder.as_ref());
        folder.is_some_and(|folder| {
            [itself(file), name_itself(file)].iter().any(|place| place.starts_with(itself(&self.path(folder))))
        })
    }

    /// All that parties keep: the configuration, files that it names, stores, keys, and the folder of the rest. Each as it is named
    /// and where that leads: a link may lie anywhere, and whoever writes there replaces it.
    fn list_kept(&self) -> Vec<PathBuf> {
        let data = self.path(&self.server.data_dir);
        let mut kept = vec![data.join("server.key"), data];
        kept.extend(self.source.place.clone());
        kept.extend(list_files(&self.source.given).into_iter().map(|file| self.path(&file)));
        let urls = [
            Some(self.store.url.as_str()),
            self.gateway.as_ref().map(|section| section.store_url()),
            self.manager.as_ref().map(|section| section.store_url()),
        ];
        let stores = urls.into_iter().flatten().flat_map(|url| [url.to_owned(), crate::log_in::store_beside(url)]);
        kept.extend(stores.filter_map(|url| url.strip_prefix("sqlite:").map(|place| self.path(place))));
        let discovery = self.gateway.as_ref().and_then(|section| section.discovery.as_ref());
        let records = discovery.into_iter().flat_map(|records| [&records.csv, &records.sqlite]).flatten();
        kept.extend(records.map(|file| self.path(file)));
        kept.iter().flat_map(|place| [itself(place), name_itself(place)]).collect()
    }
}

/// Where a path leads, as far as it is there.
fn itself(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut missing = Vec::new();
    for place in whole.ancestors() {
        if let Ok(place) = std::fs::canonicalize(place) {
            return missing.into_iter().rev().fold(place, |place, name| place.join(name));
        }
        missing.extend(place.file_name());
    }
    whole
}

/// The name of a file, wherever that leads.
fn name_itself(path: &Path) -> PathBuf {
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => itself(folder).join(name),
        _ => itself(path),
    }
}

/// Files that are named anywhere in a table.
fn list_files(table: &toml::Table) -> Vec<String> {
    let mut files = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::String(file) if key.ends_with("_file") || KEYS_OF_FILES.contains(&&**key) => files.push(file.clone()),
            toml::Value::Table(table) => files.extend(list_files(table)),
            toml::Value::Array(all) => files.extend(all.iter().filter_map(toml::Value::as_table).flat_map(list_files)),
            _ => {}
        }
    }
    files
}
