//! What is ended together, whoever adds to it meanwhile.

use super::*;

/// What is added while all of a kind is ended is ended too, or was refused.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_the_end_of_its_kind() {
    for (database, _folder) in engines().await {
        let database = std::sync::Arc::new(database);
        for round in 0..60 {
            let owner = format!("o{round}");
            let first = format!("{round}-0");
            database.commit(Batch { checks: vec![], operations: vec![insert(&first, &owner, &first)] }).await.unwrap();
            let adds = (1..6).map(|n| {
                let (key, id) = (vec![Value::from(first.as_str())], format!("{round}-{n}"));
                let checks = vec![Check::Equals { table: &PETS, key: key.clone(), column: 1, value: owner.as_str().into() }];
                let meal = Operation::Add { table: &PETS, key, column: 3, by: 1 };
                Batch { checks, operations: vec![meal, insert(&id, &owner, &id)] }
            });
            let end = Operation::DeleteAll { table: &PETS, index: Some(0), prefix: vec![owner.as_str().into()] };
            let mut all: Vec<Batch> = adds.collect();
            all.insert(round % 6, Batch { checks: vec![], operations: vec![end] });
            let all = all.into_iter().map(|batch| {
                let database = database.clone();
                tokio::spawn(async move { database.commit(batch).await })
            });
            for done in all.collect::<Vec<_>>() {
                assert!(matches!(done.await.unwrap(), Ok(()) | Err(CommitError::Broken(0))));
            }
            let prefix = [owner.as_str().into()];
            let scan = Scan { table: &PETS, index: Some(0), prefix: &prefix, after: None, descending: false, limit: 9 };
            assert_eq!(database.scan(&scan).await.unwrap(), Vec::<Row>::new(), "{round}");
        }
    }
}

/// S30: what runs out is found along an index, and goes in slices, the oldest first; whatever else is written goes between.
#[tokio::test]
async fn threat_46_s30_what_runs_out_is_swept_in_slices() {
    for (database, _folder) in engines().await {
        let visit = |n: i64| Operation::Insert { table: &VISITS, row: vec![format!("v{}", n * 7_919 % 2_003).into(), n.into()] };
        let year = |n: i64| Operation::Insert { table: &YEARS, row: vec![n.into()] };
        let operations = (0..2_000).flat_map(|n| [visit(n), year(n)]).collect();
        database.commit(Batch { checks: vec![], operations }).await.unwrap();
        let left = async |database: &Database, table, index| {
            let scan = Scan { table, index, prefix: &[], after: None, descending: false, limit: usize::MAX };
            let rows = database.scan(&scan).await.unwrap();
            (rows.len(), rows.first().and_then(|row| row.last()?.as_int()))
        };
        assert_eq!(Operation::sweep(&PETS, 9_000), None, "nothing of it runs out");
        let slice = Operation::sweep(&VISITS, 1_200).unwrap();
        database.commit(Batch { checks: vec![], operations: vec![slice] }).await.unwrap();
        assert_eq!(left(&database, &VISITS, Some(0)).await, (1_500, Some(500)));
        let records = Records { database: std::sync::Arc::new(database), key: None };
        records.sweep(&[&PETS, &VISITS, &YEARS], 1_200).await.unwrap();
        assert_eq!(left(&records.database, &VISITS, Some(0)).await, (800, Some(1_200)));
        assert_eq!(left(&records.database, &YEARS, None).await, (2_000, Some(0)));
        records.sweep(&[&PETS, &VISITS, &YEARS], 6_100).await.unwrap();
        assert_eq!(left(&records.database, &VISITS, Some(0)).await, (0, None));
        assert_eq!(left(&records.database, &YEARS, None).await, (900, Some(1_100)));
    }
}

/// S30: no table is walked for it.
#[test]
fn threat_46_s30_what_runs_out_is_found_without_a_walk() {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    connection.execute_batch(MIGRATIONS.0[0]).unwrap();
    for table in [&VISITS, &YEARS] {
        let sweep = Operation::sweep(table, 9).unwrap();
        let (text, parameters) = crate::text::change(crate::text::Dialect::Sqlite, &sweep);
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
        let steps = plan.query_map(rusqlite::params_from_iter(&*parameters), |row| row.get::<_, String>(3)).unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        assert!(steps.iter().all(|step| !step.starts_with("SCAN")) && steps.len() > 1, "{steps:?}");
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER")), "{steps:?}");
    }
    static WALKED: Table = Table { indexes: &[], name: "visit", columns: VISITS.columns, expires: VISITS.expires, ..Table::OPEN };
    static ALL: [&Table; 3] = [&VISITS, &YEARS, &WALKED];
    assert_eq!(Schema { tables: &ALL, ..SCHEMA }.list_walked(), ["visit"]);
}
