//! A process that has its store alone, and those that would have it after it.

use super::*;
use crate::OpenError;
use std::time::Duration;
use tokio_postgres::Client;

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..2_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

/// A connection of somebody who knows where the place is.
async fn stranger(cluster: &Cluster) -> Client {
    let (client, connection) = tokio_postgres::connect(&cluster.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

const HOLDER: &str = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted";

async fn holder(client: &Client) -> i32 {
    client.query_one(HOLDER, &[]).await.unwrap().get(0)
}

/// Takes the place from whoever has it, by ending the connection that holds it.
async fn take_place(cluster: &Cluster, thief: &Client) {
    let admin = stranger(cluster).await;
    let before = holder(&admin).await;
    let taking = thief.batch_execute("SELECT pg_advisory_lock(hashtextextended('pets first', 0))");
    let ending = async {
        let waits = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        until("it waits", async || admin.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 1).await;
        admin.execute("SELECT pg_terminate_backend($1)", &[&before]).await.unwrap();
    };
    tokio::join!(async { taking.await.unwrap() }, ending);
}

fn add(id: &str) -> Batch {
    Batch { checks: vec![], operations: vec![insert(id, "alice", id)] }
}

async fn open_alone(cluster: &Cluster) -> Result<(Database, Node), OpenError> {
    let (postgres, alone) = Postgres::open_alone(&cluster.url, None, &SCHEMA).await?;
    Ok((Database::Postgres(Box::new(postgres)), alone))
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_followed_serves_and_writes_no_more() {
    let cluster = Cluster::start().unwrap();
    let (database, alone) = open_alone(&cluster).await.unwrap();
    assert!(alone.is_sure());
    database.commit(add("one")).await.unwrap();
    let is_followed = async |millis| tokio::time::timeout(Duration::from_millis(millis), alone.is_taken_over()).await.is_ok();
    // somebody holds the place who serves nothing: nobody knows, and so nothing is answered
    let thief = stranger(&cluster).await;
    take_place(&cluster, &thief).await;
    until("it is not sure any more", async || !alone.is_sure()).await;
    assert!(!is_followed(600).await);
    thief.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    until("nobody was there meanwhile", async || alone.is_sure()).await;
    database.commit(add("two")).await.unwrap();
    // another process has it now
    take_place(&cluster, &thief).await;
    let follow = "UPDATE pets.seat SET mark = 'another' WHERE name = 'first'; DELETE FROM pets.seat WHERE name <> 'first'";
    thief.batch_execute(follow).await.unwrap();
    let late = database.commit(add("three")).await;
    assert!(matches!(late, Err(CommitError::Unavailable(_))), "{late:?}");
    assert!(is_followed(20_000).await && !alone.is_sure());
    // also when that one is gone
    thief.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!alone.is_sure());
    assert!(database.commit(add("three")).await.is_err());
    assert_eq!(database.get(&PETS, &["three".into()]).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_line_breaks_keeps_its_place() {
    let cluster = Cluster::start().unwrap();
    let (one, alone) = open_alone(&cluster).await.unwrap();
    let admin = stranger(&cluster).await;
    // another that was begun by mistake waits for the place, and the line of the first breaks
    let breaking = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        admin.execute("SELECT pg_terminate_backend($1)", &[&holder(&admin).await]).await.unwrap();
    };
    let (second, ()) = tokio::join!(open_alone(&cluster), breaking);
    assert!(matches!(second.map(drop), Err(OpenError::Served { .. })));
    assert!(alone.is_sure());
    // what the first has left behind, and hangs, holds its place: it is ended, and nobody has followed
    let left = holder(&admin).await;
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &left.to_string()]).status();
        assert!(sent.unwrap().success());
    };
    signal("STOP");
    until("it is not sure any more", async || !alone.is_sure()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let is_followed = tokio::time::timeout(Duration::from_millis(300), alone.is_taken_over()).await.is_ok();
    signal("CONT");
    assert!(!is_followed);
    until("it is the first again", async || alone.is_sure()).await;
    assert_ne!(holder(&admin).await, left);
    // one that has left need not be waited for
    alone.leave().await;
    drop(alone);
    let begun = std::time::Instant::now();
    let (two, alone) = open_alone(&cluster).await.unwrap();
    assert!(alone.is_sure() && begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    two.commit(add("two")).await.unwrap();
    assert!(one.commit(add("one")).await.is_err());
}
