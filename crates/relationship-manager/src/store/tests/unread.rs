//! A desk's store that is torn in the middle of a list, cannot be written, or is newer than the program.

use super::*;
use database::Sqlite;

/// Runs SQL on a file, by way of the engine's own migrations: `step` counts from 1.
fn run(file: &Path, step: usize, sql: &'static str) {
    let mut scripts = vec![""; MIGRATIONS.0.len() + step];
    *scripts.last_mut().unwrap() = sql;
    drop(Sqlite::open(file, &database::Migrations(Box::leak(scripts.into_boxed_slice()))).unwrap());
}

#[tokio::test]
async fn threat_40_s22_a_list_of_the_desk_that_is_torn_in_its_middle_is_an_error() {
    on_each_engine(async |store| {
        let row = |n: usize| store.records.row(&VAULT, vec!["alice".into(), format!("{n:04}").into()], &"her key").unwrap();
        let put = |row: Row| Operation::Put { table: &VAULT, row };
        store.write((0..1_200).map(|n| put(row(n))).collect()).await.unwrap();
        assert_eq!(store.list_keys::<String>("alice").await.unwrap().len(), 1_200);
        let mut torn = row(700);
        *torn.last_mut().unwrap() = Value::Blob(vec![1; 40]);
        store.write(vec![put(torn)]).await.unwrap();
        assert_eq!(store.list_keys::<String>("alice").await, Err(StoreAway));
        assert_eq!(store.list_keys::<String>("bob").await, Ok(vec![]));
    })
    .await;
}

#[tokio::test]
async fn threat_40_s22_a_full_disk_and_a_newer_desk_change_nothing() {
    let folder = Folder::new();
    let file = folder.0.join("desk.db");
    let store = Store::open_file(&file, key(1)).await.unwrap();
    let about = About { owner: "alice".into(), link: "l".into() };
    store.put_about("before", &about).await.unwrap();
    run(&file, 1, "CREATE TRIGGER full BEFORE INSERT ON notice BEGIN SELECT RAISE(ROLLBACK, 'disk full'); END");
    assert_eq!(store.put_about("sub", &about).await, Err(StoreAway));
    assert_eq!(store.find_about("sub").await, Ok(None), "what is not written has not happened");
    assert_eq!(store.find_about("before").await, Ok(Some(about)));
    drop(store);
    let newer = Store::open_file(&file, key(1)).await.err();
    assert!(matches!(newer, Some(OpenError::Newer(_))), "{newer:?}");
}
