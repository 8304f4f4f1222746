//! What a crash of the database leaves of what was under way.

use super::*;

/// A database that crashes gives the number of a transaction that was lost to the next one. What was confirmed is so.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_of_the_database_undid_is_not_confirmed() {
    let cluster = Cluster::start().unwrap();
    let one = Postgres::open(&cluster.url, None, &SCHEMA).await.unwrap();
    let other = Postgres::open(&cluster.url, None, &SCHEMA).await.unwrap();
    let add = |id: &str| Batch { checks: vec![], operations: vec![insert(id, "alice", id)] };
    one.commit(add("first"), None).await.unwrap();
    // somebody keeps the deletion waiting, so that its transaction has begun and has left nothing on the disk
    let (holder, connection) = tokio_postgres::connect(&cluster.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    holder.batch_execute("BEGIN; SELECT 1 FROM pets.pet WHERE id = 'first' FOR SHARE").await.unwrap();
    let process: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let deleting = {
        let (one, key) = (one.clone(), vec!["first".into()]);
        let batch = Batch { checks: vec![], operations: vec![Operation::Delete { table: &PETS, key }] };
        tokio::spawn(async move { one.commit(batch, None).await })
    };
    let waits = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted";
    while holder.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let status = std::process::Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap();
    assert!(status.success());
    // others go on, and their transactions take the numbers that were lost
    let mut n = 0;
    while !deleting.is_finished() {
        n += 1;
        let _ = other.commit(add(&format!("n{n}")), None).await;
    }
    let answer = deleting.await.unwrap();
    let is_there = one.get(&PETS, &["first".into()]).await.unwrap().is_some();
    assert!(answer.is_err() || !is_there, "it was confirmed, and did not happen");
    assert!(answer.is_ok(), "the database tells what became of it: {answer:?}");
}
