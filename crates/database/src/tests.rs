//! One contract for every engine.

use super::*;
use std::path::PathBuf;

static PETS: Table = Table {
    name: "pet",
    columns: &[
        Column { name: "id", kind: Kind::Text },
        Column { name: "owner", kind: Kind::Text },
        Column { name: "name", kind: Kind::Text },
        Column { name: "meals", kind: Kind::Int },
    ],
    key: 1,
    indexes: &[
        Index { name: "pet_by_owner", columns: &[1], unique: false },
        Index { name: "pet_by_name", columns: &[2], unique: true },
    ],
};

static YEARS: Table = Table { name: "year", columns: &[Column { name: "year", kind: Kind::Int }], key: 1, indexes: &[] };

const MIGRATIONS: Migrations =
    Migrations(&["CREATE TABLE pet (id TEXT PRIMARY KEY, owner TEXT, name TEXT, meals BIGINT) WITHOUT ROWID;
     CREATE INDEX pet_by_owner ON pet (owner);
     CREATE UNIQUE INDEX pet_by_name ON pet (name);
     CREATE TABLE year (year INTEGER PRIMARY KEY);"]);

struct Folder(PathBuf);
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn engines() -> Vec<(Database, Option<Folder>)> {
    let unique = format!("wayleave-database-{}-{:?}", std::process::id(), std::thread::current().id());
    let folder = Folder(std::env::temp_dir().join(unique));
    std::fs::create_dir_all(&folder.0).unwrap();
    let sqlite = Sqlite::open(&folder.0.join("pets.db"), &MIGRATIONS).unwrap();
    vec![(Database::Memory(Memory::default()), None), (Database::Sqlite(sqlite), Some(folder))]
}

fn pet(id: &str, owner: &str, name: &str) -> Row {
    vec![id.into(), owner.into(), name.into(), 0.into()]
}

fn insert(id: &str, owner: &str, name: &str) -> Operation {
    Operation::Insert { table: &PETS, row: pet(id, owner, name) }
}

fn names(rows: Vec<Row>) -> String {
    rows.iter().filter_map(|row| row[2].as_text()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_batch_happens_whole_or_not_at_all() {
    for (database, _folder) in engines() {
        let commit = |checks, operations| database.commit(Batch { checks, operations });
        commit(vec![], vec![insert("1", "alice", "Rex"), insert("2", "alice", "Tom")]).await.unwrap();
        let taken = commit(vec![], vec![insert("3", "bob", "Ida"), insert("4", "bob", "Tom")]).await;
        assert_eq!(taken, Err(CommitError::Taken(1)));
        assert_eq!(database.get(&PETS, &["3".into()]).unwrap(), None);
        let key = || vec!["1".into()];
        let fed = |value: i64| Check::Equals { table: &PETS, key: key(), column: 3, value: value.into() };
        let feed = || vec![Operation::Add { table: &PETS, key: key(), column: 3, by: 1 }];
        commit(vec![fed(0)], feed()).await.unwrap();
        assert_eq!(commit(vec![fed(0)], feed()).await, Err(CommitError::Broken(0)));
        let below = |limit| Check::Below { table: &PETS, key: key(), column: 3, limit };
        commit(vec![below(2)], feed()).await.unwrap();
        assert_eq!(commit(vec![below(2)], feed()).await, Err(CommitError::Broken(0)));
        assert_eq!(database.get(&PETS, &key()).unwrap().unwrap()[3], Value::Int(2));
        assert_eq!(database.get(&PETS, &["2".into()]).unwrap().unwrap()[3], Value::Int(0), "and nobody else");
        let put = |id: &str, name: &str| vec![Operation::Put { table: &PETS, row: pet(id, "eve", name) }];
        assert_eq!(commit(vec![], put("9", "Tom")).await, Err(CommitError::Taken(0)), "another row is never pushed out");
        commit(vec![], put("2", "Tim")).await.unwrap();
        let raise =
            || vec![Operation::Raise { table: &PETS, row: vec!["5".into(), "eve".into(), "Sam".into(), 3.into()], column: 3 }];
        commit(vec![], raise()).await.unwrap();
        commit(vec![], raise()).await.unwrap();
        assert_eq!(database.get(&PETS, &["5".into()]).unwrap().unwrap()[3], Value::Int(6));
        let absent = Check::Absent { table: &PETS, key: key() };
        assert_eq!(commit(vec![absent], vec![]).await, Err(CommitError::Broken(0)));
    }
}

#[tokio::test]
async fn scans_walk_keys_and_indexes_in_pages() {
    for (database, _folder) in engines() {
        let pets = [("1", "alice", "Rex"), ("2", "bob", "Ida"), ("3", "alice", "Tom"), ("4", "alice", "Zoe")];
        let operations = pets.iter().map(|(id, owner, name)| insert(id, owner, name)).collect();
        database.commit(Batch { checks: vec![], operations }).await.unwrap();
        let scan = |index, prefix: &[Value], after: Option<&str>, descending, limit| {
            let after = after.map(Value::from);
            names(database.scan(&Scan { table: &PETS, index, prefix, after, descending, limit }).unwrap())
        };
        assert_eq!(scan(None, &[], None, false, 9), "Rex Ida Tom Zoe");
        assert_eq!(scan(Some(0), &["alice".into()], None, false, 2), "Rex Tom");
        assert_eq!(scan(Some(0), &["alice".into()], Some("3"), false, 2), "Zoe");
        assert_eq!(scan(Some(0), &["alice".into()], None, true, 2), "Zoe Tom");
        assert_eq!(scan(Some(1), &["Ida".into()], None, false, 9), "Ida");
        assert_eq!(scan(Some(0), &["carol".into()], None, false, 9), "");
        let count = |index, prefix: &[Value], after: Option<&str>, limit| {
            let after = after.map(Value::from);
            database.count(&Scan { table: &PETS, index, prefix, after, descending: false, limit }).unwrap()
        };
        let alices: &[Value] = &["alice".into()];
        assert_eq!((count(None, &[], None, 9), count(Some(0), alices, None, 9), count(Some(0), alices, None, 2)), (4, 3, 2));
        assert_eq!((count(Some(0), alices, Some("3"), 9), count(Some(0), &["carol".into()], None, 9)), (1, 0));
        let between = Operation::DeleteBetween { table: &YEARS, from: 1990, below: 2000 };
        let years = [1989, 1990, 1999, 2000].map(|year| Operation::Insert { table: &YEARS, row: vec![year.into()] });
        let operations = years.into_iter().chain([between]).collect();
        database.commit(Batch { checks: vec![], operations }).await.unwrap();
        let left = database.scan(&Scan { table: &YEARS, index: None, prefix: &[], after: None, descending: false, limit: 9 });
        assert_eq!(left.unwrap(), [vec![1989.into()], vec![2000.into()]]);
        let all = Operation::DeleteAll { table: &PETS, index: Some(0), prefix: vec!["alice".into()] };
        database.commit(Batch { checks: vec![], operations: vec![all] }).await.unwrap();
        assert_eq!(scan(None, &[], None, false, 9), "Ida");
    }
}

/// Row 40: what is absent is new, and nothing else is.
#[test]
fn threat_40_s22_a_file_that_was_cut_or_is_anothers_is_no_new_store() {
    let folder = engines().pop().unwrap().1.unwrap();
    std::fs::create_dir_all(&folder.0).unwrap();
    let path = folder.0.join("cut.db");
    drop(Sqlite::open(&path, &MIGRATIONS).unwrap());
    std::fs::write(&path, b"").unwrap();
    let error = Sqlite::open(&path, &MIGRATIONS).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Empty(_)) && error.to_string().contains("restore a backup"), "{error}");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0, "it stays as it was");
    for sql in ["CREATE TABLE notes (text TEXT)", "PRAGMA journal_mode = WAL; CREATE TABLE t (a); DROP TABLE t"] {
        let path = folder.0.join(format!("{}.db", sql.len()));
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let error = Sqlite::open(&path, &MIGRATIONS).map(drop).unwrap_err();
        assert!(matches!(error, OpenError::Foreign(_)), "{error}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&{
        let fresh = folder.0.join("fresh.db");
        drop(Sqlite::open(&fresh, &MIGRATIONS).unwrap());
        std::fs::metadata(&fresh).unwrap().permissions()
    });
    assert_eq!(mode & 0o777, 0o600);
    assert!(Sqlite::open(&folder.0.join("no/folder.db"), &MIGRATIONS).is_err());
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_not_touched() {
    let (_, folder) = engines().pop().unwrap();
    let path = folder.unwrap().0.join("pets.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(Sqlite::open(&path, &MIGRATIONS).unwrap());
    assert!(matches!(Sqlite::open(&path, &Migrations(&[])), Err(OpenError::Newer(_))));
    let _ = std::fs::remove_dir_all(path.parent().unwrap());
}

/// Whoever asks whether it is ready hears of a write that failed, until one succeeds.
#[tokio::test]
async fn a_store_knows_whether_its_last_write_failed() {
    let (_, folder) = engines().pop().unwrap();
    let path = folder.as_ref().unwrap().0.join("busy.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let store = Database::Sqlite(Sqlite::open(&path, &MIGRATIONS).unwrap());
    let write = async || {
        let operations = vec![Operation::Put { table: &YEARS, row: vec![1.into()] }];
        store.commit(Batch { checks: vec![], operations }).await.is_ok()
    };
    assert!(write().await && !store.has_failed() && store.has_room().await);
    assert!(!path.with_file_name("busy.db.room").exists());
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(!write().await && store.has_failed());
    other.execute_batch("ROLLBACK").unwrap();
    assert!(write().await && !store.has_failed());
}

/// What is copied for a backup stands alone, and what is damaged is told from what is whole.
#[tokio::test]
async fn threat_35_a_copy_stands_alone_and_is_checked() {
    let (_, folder) = engines().pop().unwrap();
    let path = folder.as_ref().unwrap().0.join("one.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let store = Database::Sqlite(Sqlite::open(&path, &MIGRATIONS).unwrap());
    let operations = (0..2_000).map(|year: i64| Operation::Put { table: &YEARS, row: vec![year.into()] }).collect();
    store.commit(Batch { checks: vec![], operations }).await.unwrap();
    let copy = path.with_file_name("copy.db");
    file::copy(&path, &copy).unwrap();
    assert!(file::companions(&copy).all(|beside| !beside.exists()));
    file::check(&copy).unwrap();
    assert!(file::list_tables(&copy).unwrap().contains(&"year".to_owned()));
    let copied = Database::Sqlite(Sqlite::open(&copy, &MIGRATIONS).unwrap());
    assert!(copied.get(&YEARS, &[1_999.into()]).unwrap().is_some(), "also what stood beside the file");
    drop(copied);
    let mut bytes = std::fs::read(&copy).unwrap();
    let end = bytes.len();
    bytes[end - 8_192..].fill(0);
    std::fs::write(&copy, bytes).unwrap();
    assert!(file::check(&copy).is_err());
}

/// A process that ends while it makes its store has lost nothing, and can begin anew.
#[test]
fn threat_40_s22_a_store_that_was_being_made_is_not_called_lost() {
    let folder = engines().pop().unwrap().1.unwrap();
    std::fs::create_dir_all(&folder.0).unwrap();
    let path = folder.0.join("new.db");
    const BROKEN: Migrations = Migrations(&["CREATE TABLE pet (id TEXT PRIMARY KEY)", "this is no SQL"]);
    assert!(matches!(Sqlite::open(&path, &BROKEN).map(drop), Err(OpenError::Open(..))));
    let left = || std::fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert!(left().iter().all(|name| !name.to_str().unwrap().starts_with("new.db")), "{:?}", left());
    // one that was killed in the middle, of the same number
    let beside = folder.0.join(format!("new.db.new-{}", std::process::id()));
    std::fs::write(&beside, b"half").unwrap();
    drop(Sqlite::open(&path, &MIGRATIONS).unwrap());
    assert!(path.exists() && !beside.exists());
    drop(Sqlite::open(&path, &MIGRATIONS).unwrap());
}
