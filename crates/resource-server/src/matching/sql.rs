//! Records by a query on a SQLite file of the operator's.

use super::{Record, RecordsError, Source};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A file, and the query that finds candidates in it: it names a column `owner`, and may use what is said of the person
/// as `:name`, `:birthdate` and so on.
pub struct Sql {
    pub file: PathBuf,
    pub query: String,
}

impl Source for Sql {
    fn candidates(&self, said: &BTreeMap<String, String>) -> Result<Vec<Record>, RecordsError> {
        database::look_up(&self.file, &self.query, said).map_err(|error| RecordsError(error.to_string()))
    }
}
