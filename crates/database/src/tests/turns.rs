//! Who comes after whom, where many are about one row.

use super::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whoever takes something away does not wait behind a stream of those who only look whether it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stream_of_checks_holds_up_no_change() {
    let cluster = Cluster::start().unwrap();
    let open = async || Arc::new(Postgres::open(&cluster.url, None, &SCHEMA).await.unwrap());
    let (many, owner) = (open().await, open().await);
    let is_alices = || Check::Equals { table: &PETS, key: vec!["1".into()], column: 1, value: "alice".into() };
    owner.commit(Batch { checks: vec![], operations: vec![insert("1", "alice", "Rex")] }, None).await.unwrap();
    // each holds the row for a while, so that there is always somebody who has it
    let (admin, connection) = tokio_postgres::connect(&cluster.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let slow = "CREATE FUNCTION slow() RETURNS trigger AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END' LANGUAGE plpgsql;
        CREATE TRIGGER slow BEFORE INSERT ON pets.year FOR EACH ROW EXECUTE FUNCTION slow()";
    admin.batch_execute(slow).await.unwrap();
    let stream = (0..15).map(|task| {
        let many = many.clone();
        tokio::spawn(async move {
            let mut n = 0_i64;
            loop {
                n += 1;
                let operations = vec![Operation::Insert { table: &YEARS, row: vec![(task * 100_000 + n).into()] }];
                match many.commit(Batch { checks: vec![is_alices()], operations }, None).await {
                    Err(CommitError::Broken(0)) => return n,
                    other => other.unwrap(),
                }
            }
        })
    });
    let stream: Vec<_> = stream.collect();
    tokio::time::sleep(Duration::from_millis(800)).await;
    let begun = Instant::now();
    let batch =
        Batch { checks: vec![is_alices()], operations: vec![Operation::Put { table: &PETS, row: pet("1", "eve", "Rex") }] };
    owner.commit(batch, None).await.unwrap();
    let waited = begun.elapsed();
    for task in stream {
        assert!(task.await.unwrap() > 1, "each has come through before");
    }
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

/// Of several that make something of one name at once, one does, on every engine.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_the_first_of_its_kind_is() {
    for (database, _folder) in engines().await {
        let database = Arc::new(database);
        for round in 0..20 {
            let owner = format!("o{round}");
            let all = (0..6).map(|n| {
                let (database, owner, id) = (database.clone(), owner.clone(), format!("{round}-{n}"));
                tokio::spawn(async move {
                    let checks = vec![Check::NoneAlong { table: &PETS, index: 0, prefix: vec![owner.as_str().into()] }];
                    database.commit(Batch { checks, operations: vec![insert(&id, &owner, &id)] }).await
                })
            });
            let mut made = 0;
            for done in all.collect::<Vec<_>>() {
                match done.await.unwrap() {
                    Ok(()) => made += 1,
                    Err(CommitError::Broken(0)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(made, 1, "{round}");
        }
    }
}
