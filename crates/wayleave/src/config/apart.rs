//! A folder of things has nothing in it of what the party itself keeps: whoever is let in to all of it would read the secrets, and
//! write them (threat 26).

use super::Config;
use super::located::spell_whole;
use crate::Exit;
use std::path::{Path, PathBuf};

/// Keys that name a file which is nobody else's, beside those that end in `_file`.
const KEYS_OF_FILES: [&str; 1] = ["key"];

impl Config {
    /// Refuses a folder that holds the configuration, a file that it names, or `data_dir`, or that lies in `data_dir`.
    pub(crate) fn keep_apart(&self, key: &str, folder: &Path) -> Result<(), Exit> {
        let folder = itself(folder);
        let data = itself(&self.path(&self.server.data_dir));
        let mut kept = vec![data.clone()];
        kept.extend(self.source.place.as_deref().map(itself));
        kept.extend(list_files(&self.source.given).into_iter().map(|file| itself(&self.path(&file))));
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
