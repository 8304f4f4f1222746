//! The ledger of what an owner signed, and its end: a word that is taken back is marked as such in the commit that also keeps
//! whom it must be told to.

use super::{LEDGER, Store, StoreAway};
use crate::ledger::{Word, id_of};
use crate::task::Task;
use database::Operation;
use types::Timestamp;

impl Store {
    pub(crate) fn list_words(&self, owner: &str) -> Result<Vec<Word>, StoreAway> {
        Ok(self.list(&LEDGER, &[owner.into()])?.into_iter().map(|(_, word)| word).collect())
    }

    fn word_operation(&self, owner: &str, word: &Word) -> Result<Operation, StoreAway> {
        let row = self.sealed_row(&LEDGER, vec![owner.into(), id_of(&word.text).as_str().into()], word)?;
        Ok(Operation::Put { table: &LEDGER, row })
    }

    /// On disk when it returns: before any of them leaves the desk. What ended long ago goes with it.
    pub(crate) async fn put_words(&self, owner: &str, words: &[Word], now: Timestamp) -> Result<(), StoreAway> {
        let past = self.list_words(owner)?.into_iter().filter(|word| word.is_past(now));
        let forget =
            |word: Word| Operation::Delete { table: &LEDGER, key: vec![owner.into(), id_of(&word.text).as_str().into()] };
        let mut operations: Vec<Operation> = past.map(forget).collect();
        for word in words {
            operations.push(self.word_operation(owner, word)?);
        }
        self.write(operations).await
    }

    /// Words that are taken back, with everybody who must hear of it, in one commit.
    pub(crate) async fn withdraw_words(
        &self,
        owner: &str,
        words: &[Word],
        tasks: &[Task],
        now: Timestamp,
    ) -> Result<(), StoreAway> {
        let mut operations = Vec::new();
        for word in words {
            let withdrawn = Word { withdrawn: word.withdrawn.or(Some(now)), ..word.clone() };
            operations.push(self.word_operation(owner, &withdrawn)?);
        }
        for task in tasks {
            operations.push(self.task_operation(task, now)?);
        }
        self.write(operations).await?;
        self.note_tasks(tasks, now);
        Ok(())
    }
}
