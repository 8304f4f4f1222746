//! What no engine keeps.

use super::*;

/// What one engine would keep and another not is refused by all, and as a fault of what was to be kept: to try again helps nobody.
#[tokio::test]
async fn engines_agree_on_what_they_do_not_keep() {
    for (database, _folder) in engines().await {
        let commit = async |operation| database.commit(Batch { checks: vec![], operations: vec![operation] }).await;
        // letters that no database packs into less
        let long = |bytes: usize| (0..bytes).map(|at| char::from(b'!' + (at * at * 7 % 89) as u8)).collect::<String>();
        for (id, owner, name) in [("a\0", "o", "n1"), ("a", "o\0", "n2"), ("a", "o", "\0"), (&long(2_601), "o", "n3")] {
            let refused = commit(insert(id, owner, name)).await;
            assert!(matches!(refused, Err(CommitError::Unkept(_))), "{id} {owner} {name}: {refused:?}");
        }
        // the key stands in the index as well
        assert!(matches!(commit(insert(&long(1_400), &long(1_400), "n4")).await, Err(CommitError::Unkept(_))));
        let (id, owner) = (long(1_300), long(1_300));
        commit(insert(&id, &owner, "n5")).await.unwrap();
        assert!(database.get(&PETS, &[id.into()]).await.unwrap().is_some());
        assert!(!database.has_failed(), "the engine works");
        // one that is asked for is not there
        assert_eq!(database.get(&PETS, &["a\0".into()]).await.unwrap(), None);
        let delete = Operation::Delete { table: &PETS, key: vec!["a\0".into()] };
        assert!(matches!(commit(delete).await, Err(CommitError::Unkept(_))));
    }
}

/// A walk begins behind a text that is none.
#[tokio::test]
async fn walks_begin_behind_whatever_text() {
    for (database, _folder) in engines().await {
        let operations = ["a", "a!", "ab", "b"].map(|id| insert(id, "o", id)).into();
        database.commit(Batch { checks: vec![], operations }).await.unwrap();
        let walk = async |index, prefix: &[Value], after: &str, descending| {
            let scan = Scan { table: &PETS, index, prefix, after: Some(after.into()), descending, limit: 9 };
            assert_eq!(database.count(&scan).await.unwrap(), database.scan(&scan).await.unwrap().len());
            names(database.scan(&scan).await.unwrap())
        };
        let owners: &[Value] = &["o".into()];
        for (index, prefix) in [(None, &[] as &[Value]), (Some(0), owners)] {
            assert_eq!(walk(index, prefix, "\0", false).await, "a a! ab b");
            assert_eq!(walk(index, prefix, "a\0", false).await, "a! ab b");
            assert_eq!(walk(index, prefix, "a\0z", true).await, "a");
            assert_eq!(walk(index, prefix, "\0", true).await, "");
        }
    }
}
