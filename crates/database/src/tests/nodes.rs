//! What processes on one database are to each other.

use super::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct Member {
    database: Database,
    node: Node,
    heard: Arc<Mutex<Vec<Word>>>,
}

impl Member {
    async fn of(cluster: &Cluster) -> Self {
        let database = Database::Postgres(Box::new(Postgres::open(&cluster.url, None, &SCHEMA).await.unwrap()));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = heard.clone();
        let node = database.join(move |word| hears.lock().unwrap().push(word)).await.unwrap().unwrap();
        assert_eq!(std::mem::take(&mut *heard.lock().unwrap()), [Word::Missed], "of what was before nothing was heard");
        Self { database, node, heard }
    }

    async fn say(&self, id: &str, what: &str) -> Result<(), CommitError> {
        let batch = Batch { checks: vec![], operations: vec![insert(id, "alice", id)] };
        self.database.commit_and_tell(batch, Some(what.to_owned())).await
    }

    fn has_heard(&self, word: &Word) -> bool {
        self.heard.lock().unwrap().contains(word)
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_hear_what_others_commit_and_one_is_the_first() {
    let cluster = Cluster::start().unwrap();
    let (one, two) = (Member::of(&cluster).await, Member::of(&cluster).await);
    assert!(one.node.is_first() && !two.node.is_first() && two.node.hears());
    one.say("1", "rex").await.unwrap();
    until("the other hears it", || two.has_heard(&Word::Said("rex".to_owned()))).await;
    // what was not committed is not said, and nobody hears herself
    assert_eq!(one.say("1", "again").await, Err(CommitError::Taken(0)));
    two.say("2", "tom").await.unwrap();
    until("the one hears it", || one.has_heard(&Word::Said("tom".to_owned()))).await;
    assert!(!two.has_heard(&Word::Said("again".to_owned())) && !one.has_heard(&Word::Said("rex".to_owned())));
    // whose line breaks knows that it may have missed something, and hears again
    break_connections(&cluster).await;
    until("both have missed something", || one.has_heard(&Word::Missed) && two.has_heard(&Word::Missed)).await;
    until("both hear again", || one.node.hears() && two.node.hears()).await;
    until("there is one first again", || one.node.is_first() != two.node.is_first()).await;
    // where the first ends, the other is
    let (first, other) = if one.node.is_first() { (one, two) } else { (two, one) };
    drop(first);
    until("another one is the first", || other.node.is_first()).await;
    other.say("3", "ida").await.unwrap();
    // a party that is one process does not come beside another
    let newer = Schema { postgres: &["CREATE TABLE toy (name TEXT)"], ..SCHEMA };
    let error = Postgres::open_alone(&cluster.url, None, &newer).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("is served by another process"), "{error}");
    Postgres::open(&cluster.url, None, &SCHEMA).await.map(drop).unwrap();
    drop(other.node);
    let (_database, alone) = Postgres::open_alone(&cluster.url, None, &newer).await.unwrap();
    let error = Postgres::open(&cluster.url, None, &SCHEMA).await.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Newer(_)), "now it is brought up to date: {error}");
    // a line that breaks is begun anew, and nobody takes over by that
    let is_taken_over =
        async |for_long| tokio::time::timeout(Duration::from_millis(for_long), alone.is_taken_over()).await.is_ok();
    assert!(!is_taken_over(300).await);
    break_connections(&cluster).await;
    assert!(!is_taken_over(1_500).await);
    until("it is alone again", || alone.is_first()).await;
}
