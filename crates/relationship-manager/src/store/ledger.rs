//! The ledger of what an owner signed, and its end: a word that is taken back is marked as such in the commit that also keeps
//! whom it must be told to.

use super::{LEDGER, Link, Store, StoreAway, away};
use crate::ledger::{Word, id_of};
use crate::task::Task;
use database::{Batch, Check, CommitError, Operation};
use types::Timestamp;

/// How often a commit is made again that met another one.
const MOST_TRIES: usize = 32;

impl Store {
    pub(crate) async fn list_words(&self, owner: &str) -> Result<Vec<Word>, StoreAway> {
        Ok(self.list(&LEDGER, &[owner.into()]).await?.into_iter().map(|(_, word)| word).collect())
    }

    pub(super) fn word_operation(&self, owner: &str, word: &Word) -> Result<Operation, StoreAway> {
        let row = self.records.row(&LEDGER, vec![owner.into(), id_of(&word.text).as_str().into()], word)?;
        Ok(Operation::Put { table: &LEDGER, row })
    }

    /// On disk when it returns: before any of them leaves the desk. What stands there already stays as it is, taken back or not;
    /// what ended long ago goes.
    pub(crate) async fn add_words(&self, owner: &str, words: &[Word], now: Timestamp) -> Result<(), StoreAway> {
        let key = |word: &Word| vec![owner.into(), id_of(&word.text).as_str().into()];
        for _ in 0..MOST_TRIES {
            let known = self.list_words(owner).await?;
            let mut batch = Batch::default();
            let past = known.iter().filter(|word| word.is_past(now));
            batch.operations.extend(past.map(|word| Operation::Delete { table: &LEDGER, key: key(word) }));
            for word in words.iter().filter(|word| !known.iter().any(|one| one.text == word.text)) {
                batch.checks.push(Check::Absent { table: &LEDGER, key: key(word) });
                batch.operations.push(self.word_operation(owner, word)?);
            }
            match self.records.commit(batch).await {
                // somebody else has taken one of them in
                Err(CommitError::Broken(_)) => {}
                other => return Ok(other?),
            }
        }
        Err(away("the ledger changes too fast"))
    }

    /// Who words were placed as is kept beyond the end of the link that says so.
    pub(super) async fn keep_placed(&self, owner: &str, link: &Link, batch: &mut Batch) -> Result<(), StoreAway> {
        for (row, word) in self.list::<Word>(&LEDGER, &[owner.into()]).await? {
            let Some(word) = word.with_end_of(link) else { continue };
            batch.checks.push(Check::unchanged(&LEDGER, &row));
            batch.operations.push(self.word_operation(owner, &word)?);
        }
        Ok(())
    }

    /// Words that are taken back, with everybody who must hear of it, in one commit.
    pub(crate) async fn withdraw_words(
        &self,
        owner: &str,
        words: &[Word],
        tasks: &[Task],
        now: Timestamp,
    ) -> Result<(), StoreAway> {
        for _ in 0..MOST_TRIES {
            let mut batch = Batch::default();
            for word in words {
                // as it stands by now, and as it still stands then: where it was placed may be added meanwhile
                let (known, check) = self.word_as_it_stands(owner, word).await?;
                let word = known.unwrap_or_else(|| word.clone());
                let withdrawn = Word { withdrawn: word.withdrawn.or(Some(now)), ..word };
                batch.checks.push(check);
                batch.operations.push(self.word_operation(owner, &withdrawn)?);
            }
            for task in tasks {
                batch.operations.push(self.task_operation(task, now)?);
            }
            match self.commit_tasks(batch, tasks).await {
                Err(CommitError::Broken(_)) => {}
                other => return Ok(other?),
            }
        }
        Err(away("the ledger changes too fast"))
    }

    /// A word that is kept, and the check that it is kept like that when something is written on it.
    pub(super) async fn word_as_it_stands(&self, owner: &str, word: &Word) -> Result<(Option<Word>, Check), StoreAway> {
        let key = vec![owner.into(), id_of(&word.text).as_str().into()];
        let Some(row) = self.records.database.get(&LEDGER, &key).await? else {
            return Ok((None, Check::Absent { table: &LEDGER, key }));
        };
        Ok((Some(self.records.open(&LEDGER, &row)?), Check::unchanged(&LEDGER, &row)))
    }
}
