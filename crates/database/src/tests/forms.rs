//! Schemas of an earlier form, and of a later one.

use super::*;

/// What a form has but more indexes of is brought up to date without a script.
#[tokio::test]
async fn indexes_that_a_form_adds_are_made() {
    static BEFORE: Table = Table { indexes: &[], expires: None, name: "visit", columns: VISITS.columns, ..Table::OPEN };
    let cluster = Cluster::start().unwrap();
    static ALL: [&Table; 3] = [&PETS, &YEARS, &BEFORE];
    let before = Schema { tables: &ALL, ..SCHEMA };
    let indexes = async || {
        let (client, connection) = tokio_postgres::connect(&cluster.url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let rows = client.query("SELECT indexdef FROM pg_indexes WHERE tablename = 'visit'", &[]).await.unwrap();
        let mut texts: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        texts.sort();
        texts
    };
    drop(Postgres::open(&cluster.url, None, &before).await.unwrap());
    assert_eq!(indexes().await.len(), 1, "that of the key");
    drop(Postgres::open(&cluster.url, None, &Schema { postgres: &[""], ..SCHEMA }).await.unwrap());
    let brought = indexes().await;
    assert!(brought[0].contains("visit_by_end") && brought.len() == 2, "{brought:?}");
    let error = Postgres::open(&cluster.url, None, &before).await.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Newer(_)), "{error}");
}

#[tokio::test]
async fn a_database_of_a_newer_form_is_not_touched() {
    let cluster = Cluster::start().unwrap();
    let changed = Schema { postgres: &["ALTER TABLE pet ADD COLUMN colour TEXT"], ..SCHEMA };
    drop(Postgres::open(&cluster.url, None, &SCHEMA).await.unwrap());
    drop(Postgres::open(&cluster.url, None, &changed).await.unwrap());
    let error = Postgres::open(&cluster.url, None, &SCHEMA).await.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Newer(_)), "{error}");
    // many nodes may start at once
    let schema = Schema { name: "nodes", ..SCHEMA };
    let all = futures_util::future::join_all((0..8).map(|_| Postgres::open(&cluster.url, None, &schema))).await;
    assert!(all.iter().all(Result::is_ok));
    for wrong in ["postgres://nobody@127.0.0.1:1/none", "mysql://a"] {
        let error = Postgres::open(wrong, None, &schema).await.map(drop).unwrap_err();
        assert!(matches!(error, OpenError::Unreachable { .. } | OpenError::Address(_)), "{error}");
    }
}
