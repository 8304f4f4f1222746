//! What a store does not say. Every party's store answers a read in one of three ways: what is there, that nothing is there, or
//! this error. Made by the engine (`database`); whoever asks answers 503, and logs the text.

/// A read that says nothing. That there is no such row is an answer and no error: whoever took one for the other would let rules
/// fall away, register things twice and make keys anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The disk, the connection, or a database that is none of ours.
    #[error("the store cannot be read: {0}")]
    Unreadable(String),
    /// The row is there: it was sealed with another key, is torn, or has a form that is newer than this program.
    #[error("{} of the table `{table}` does not open: restore it from a backup, with the key file that goes with it", named(.key.as_deref()))]
    DoesNotOpen {
        table: &'static str,
        /// Which row; none where whoever knows its key may do something with it.
        key: Option<String>,
    },
}

fn named(key: Option<&str>) -> String {
    key.map_or_else(|| "a row".to_owned(), |key| format!("the row `{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_names_the_row_unless_its_key_is_a_secret() {
        let text = |key: Option<&str>| ReadError::DoesNotOpen { table: "rule", key: key.map(str::to_owned) }.to_string();
        assert!(text(Some("alice, 7")).starts_with("the row `alice, 7` of the table `rule` does not open: restore"));
        assert!(text(None).starts_with("a row of the table `rule` does not open: restore"));
    }
}
