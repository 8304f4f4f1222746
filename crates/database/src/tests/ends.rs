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
