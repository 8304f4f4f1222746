//! One contract for every engine.

use super::*;
use std::any::Any;
use std::path::PathBuf;

mod alone;
mod bounds;
#[path = "../../xtask/src/cluster.rs"]
mod cluster;
mod crashes;
mod ends;
mod forms;
mod nodes;
mod turns;

use cluster::Cluster;

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
    ended_by: Some(0),
    ..Table::OPEN
};

static YEARS: Table = Table {
    name: "year",
    columns: &[Column { name: "year", kind: Kind::Int }],
    expires: Some(Expiry { column: 0, limit: |now| now - 5_000 }),
    ..Table::OPEN
};

static VISITS: Table = Table {
    name: "visit",
    columns: &[Column { name: "id", kind: Kind::Text }, Column { name: "ends", kind: Kind::Int }],
    indexes: &[Index { name: "visit_by_end", columns: &[1], unique: false }],
    expires: Some(Expiry::at(1)),
    ..Table::OPEN
};

const MIGRATIONS: Migrations =
    Migrations(&["CREATE TABLE pet (id TEXT PRIMARY KEY, owner TEXT, name TEXT, meals BIGINT) WITHOUT ROWID;
     CREATE INDEX pet_by_owner ON pet (owner);
     CREATE UNIQUE INDEX pet_by_name ON pet (name);
     CREATE TABLE year (year INTEGER PRIMARY KEY);
     CREATE TABLE visit (id TEXT PRIMARY KEY, ends BIGINT) WITHOUT ROWID;
     CREATE INDEX visit_by_end ON visit (ends);"]);

struct Folder(PathBuf);
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const PETS_AND_YEARS: [&Table; 3] = [&PETS, &YEARS, &VISITS];

const SCHEMA: Schema<'static> = Schema { name: "pets", tables: &PETS_AND_YEARS, sqlite: MIGRATIONS, postgres: &[] };

/// Ends everybody's connections.
async fn break_connections(cluster: &Cluster) {
    let (client, connection) = tokio_postgres::connect(&cluster.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wayleave'";
    client.execute(end, &[]).await.unwrap();
}

/// Every engine, with what has to stay while it is used.
async fn engines() -> Vec<(Database, Box<dyn Any>)> {
    let cluster = Cluster::start().unwrap();
    let postgres = Postgres::open(&cluster.url, None, &SCHEMA).await.unwrap();
    let mut all: Vec<(Database, Box<dyn Any>)> = vec![(Database::Postgres(Box::new(postgres)), Box::new(cluster))];
    all.extend(embedded().into_iter().map(|(database, folder)| (database, Box::new(folder) as Box<dyn Any>)));
    all
}

fn embedded() -> Vec<(Database, Option<Folder>)> {
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
    for (database, _folder) in engines().await {
        let commit = |checks, operations| database.commit(Batch { checks, operations });
        commit(vec![], vec![insert("1", "alice", "Rex"), insert("2", "alice", "Tom")]).await.unwrap();
        let taken = commit(vec![], vec![insert("3", "bob", "Ida"), insert("4", "bob", "Tom")]).await;
        assert_eq!(taken, Err(CommitError::Taken(1)));
        assert_eq!(database.get(&PETS, &["3".into()]).await.unwrap(), None);
        let key = || vec!["1".into()];
        let fed = |value: i64| Check::Equals { table: &PETS, key: key(), column: 3, value: value.into() };
        let feed = || vec![Operation::Add { table: &PETS, key: key(), column: 3, by: 1 }];
        commit(vec![fed(0)], feed()).await.unwrap();
        assert_eq!(commit(vec![fed(0)], feed()).await, Err(CommitError::Broken(0)));
        let below = |limit| Check::Below { table: &PETS, key: key(), column: 3, limit };
        commit(vec![below(2)], feed()).await.unwrap();
        assert_eq!(commit(vec![below(2)], feed()).await, Err(CommitError::Broken(0)));
        assert_eq!(database.get(&PETS, &key()).await.unwrap().unwrap()[3], Value::Int(2));
        assert_eq!(database.get(&PETS, &["2".into()]).await.unwrap().unwrap()[3], Value::Int(0), "and nobody else");
        let put = |id: &str, name: &str| vec![Operation::Put { table: &PETS, row: pet(id, "eve", name) }];
        assert_eq!(commit(vec![], put("9", "Tom")).await, Err(CommitError::Taken(0)), "another row is never pushed out");
        commit(vec![], put("2", "Tim")).await.unwrap();
        let raise =
            || vec![Operation::Raise { table: &PETS, row: vec!["5".into(), "eve".into(), "Sam".into(), 3.into()], column: 3 }];
        commit(vec![], raise()).await.unwrap();
        commit(vec![], raise()).await.unwrap();
        assert_eq!(database.get(&PETS, &["5".into()]).await.unwrap().unwrap()[3], Value::Int(6));
        let absent = Check::Absent { table: &PETS, key: key() };
        assert_eq!(commit(vec![absent], vec![]).await, Err(CommitError::Broken(0)));
    }
}

#[tokio::test]
async fn scans_walk_keys_and_indexes_in_pages() {
    for (database, _folder) in engines().await {
        let pets = [("1", "alice", "Rex"), ("2", "bob", "Ida"), ("3", "alice", "Tom"), ("4", "alice", "Zoe")];
        let operations = pets.iter().map(|(id, owner, name)| insert(id, owner, name)).collect();
        database.commit(Batch { checks: vec![], operations }).await.unwrap();
        let scan = async |index, prefix: &[Value], after: Option<&str>, descending, limit| {
            let after = after.map(Value::from);
            names(database.scan(&Scan { table: &PETS, index, prefix, after, descending, limit }).await.unwrap())
        };
        assert_eq!(scan(None, &[], None, false, 9).await, "Rex Ida Tom Zoe");
        assert_eq!(scan(Some(0), &["alice".into()], None, false, 2).await, "Rex Tom");
        assert_eq!(scan(Some(0), &["alice".into()], Some("3"), false, 2).await, "Zoe");
        assert_eq!(scan(Some(0), &["alice".into()], None, true, 2).await, "Zoe Tom");
        assert_eq!(scan(Some(1), &["Ida".into()], None, false, 9).await, "Ida");
        assert_eq!(scan(Some(0), &["carol".into()], None, false, 9).await, "");
        let count = async |index, prefix: &[Value], after: Option<&str>, limit| {
            let after = after.map(Value::from);
            database.count(&Scan { table: &PETS, index, prefix, after, descending: false, limit }).await.unwrap()
        };
        let alices: &[Value] = &["alice".into()];
        assert_eq!((count(None, &[], None, 9).await, count(Some(0), alices, None, 9).await), (4, 3));
        assert_eq!((count(Some(0), alices, None, 2).await, count(Some(0), alices, Some("3"), 9).await), (2, 1));
        assert_eq!(count(Some(0), &["carol".into()], None, 9).await, 0);
        let between = Operation::DeleteBetween { table: &YEARS, from: 1990, below: 2000 };
        let years = [1989, 1990, 1999, 2000].map(|year| Operation::Insert { table: &YEARS, row: vec![year.into()] });
        let operations = years.into_iter().chain([between]).collect();
        database.commit(Batch { checks: vec![], operations }).await.unwrap();
        let scan_years = Scan { table: &YEARS, index: None, prefix: &[], after: None, descending: false, limit: 9 };
        assert_eq!(database.scan(&scan_years).await.unwrap(), [vec![1989.into()], vec![2000.into()]]);
        let all = Operation::DeleteAll { table: &PETS, index: Some(0), prefix: vec!["alice".into()] };
        database.commit(Batch { checks: vec![], operations: vec![all] }).await.unwrap();
        assert_eq!(scan(None, &[], None, false, 9).await, "Ida");
    }
}

/// Row 40: what is absent is new, and nothing else is.
#[test]
fn threat_40_s22_a_file_that_was_cut_or_is_anothers_is_no_new_store() {
    let folder = embedded().pop().unwrap().1.unwrap();
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
    let (_, folder) = embedded().pop().unwrap();
    let path = folder.unwrap().0.join("pets.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(Sqlite::open(&path, &MIGRATIONS).unwrap());
    assert!(matches!(Sqlite::open(&path, &Migrations(&[])), Err(OpenError::Newer(_))));
    let _ = std::fs::remove_dir_all(path.parent().unwrap());
}

/// Whoever asks whether it is ready hears of a write that failed, until one succeeds.
#[tokio::test]
async fn a_store_knows_whether_its_last_write_failed() {
    let (_, folder) = embedded().pop().unwrap();
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
    let (_, folder) = embedded().pop().unwrap();
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
    assert!(copied.get(&YEARS, &[1_999.into()]).await.unwrap().is_some(), "also what stood beside the file");
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
    let folder = embedded().pop().unwrap().1.unwrap();
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

/// Of many who do the same at once, as many get through as may.
#[tokio::test(flavor = "multi_thread")]
async fn checks_hold_until_the_end_whoever_comes_between() {
    for (database, _folder) in engines().await {
        let database = std::sync::Arc::new(database);
        database.commit(Batch { checks: vec![], operations: vec![insert("1", "alice", "Rex")] }).await.unwrap();
        let crowd = async |batch: &dyn Fn(i64) -> Batch| {
            let all = (0..40).map(|n| (database.clone(), batch(n)));
            let all = all.map(|(database, batch)| tokio::spawn(async move { database.commit(batch).await }));
            let mut through = 0;
            for commit in all.collect::<Vec<_>>() {
                match commit.await.unwrap() {
                    Ok(()) => through += 1,
                    Err(CommitError::Broken(0) | CommitError::Taken(0)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            through
        };
        let rex = || vec![Value::from("1")];
        let meal = || vec![Operation::Add { table: &PETS, key: rex(), column: 3, by: 1 }];
        let below =
            |_| Batch { checks: vec![Check::Below { table: &PETS, key: rex(), column: 3, limit: 5 }], operations: meal() };
        assert_eq!(crowd(&below).await, 5, "five meals and no more");
        let once = |_| Batch {
            checks: vec![Check::Equals { table: &PETS, key: rex(), column: 3, value: 5.into() }],
            operations: meal(),
        };
        assert_eq!(crowd(&once).await, 1);
        // a row that is not there: whoever counts it as absent, and whoever makes it
        let first = |n: i64| {
            let key = vec![Value::from("new")];
            let row = vec!["new".into(), "alice".into(), format!("Pet {n}").into(), 1.into()];
            Batch {
                checks: vec![Check::Absent { table: &PETS, key }],
                operations: vec![Operation::Raise { table: &PETS, row, column: 3 }],
            }
        };
        assert_eq!(crowd(&first).await, 1);
        let taken = |n: i64| Batch { checks: vec![], operations: vec![insert(&format!("t{n}"), "eve", "Tom")] };
        assert_eq!(crowd(&taken).await, 1, "a name is one pet's");
        let many = |n: i64| Batch { checks: vec![], operations: vec![insert(&format!("m{n}"), "eve", &format!("M{n}"))] };
        assert_eq!(crowd(&many).await, 40, "nobody is in anybody's way");
    }
}

/// What is null comes first, in either direction alike; numbers stay within what they can be; a text may be anything.
#[tokio::test]
async fn engines_agree_on_what_is_odd() {
    for (database, _folder) in engines().await {
        let row = |id: &str, name: Option<&str>, meals: i64| vec![id.into(), "o".into(), name.into(), meals.into()];
        let rows = [
            row("a", None, i64::MAX),
            row("b", Some("\u{e4}"), 0),
            row("c", Some("Z"), 0),
            row("d", None, 0),
            row("e", Some("a"), 0),
        ];
        let operations = rows.into_iter().map(|row| Operation::Insert { table: &PETS, row }).collect();
        database.commit(Batch { checks: vec![], operations }).await.unwrap();
        let ids = async |descending| {
            let scan = Scan { table: &PETS, index: Some(1), prefix: &[], after: None, descending, limit: 9 };
            let rows = database.scan(&scan).await.unwrap();
            rows.iter().filter_map(|row| row[0].as_text().map(str::to_owned)).collect::<String>()
        };
        assert_eq!((ids(false).await.as_str(), ids(true).await.as_str()), ("adceb", "becda"), "by bytes");
        assert_eq!(database.get(&PETS, &["a\0".into()]).await.unwrap(), None);
    }
}

/// The database ends all connections in the middle of a load: whatever was confirmed is there, and what was not, is there whole or
/// not at all.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_lose_nothing() {
    let cluster = std::sync::Arc::new(Cluster::start().unwrap());
    let database = Postgres::open(&cluster.url, None, &SCHEMA).await.unwrap();
    let own = cluster.clone();
    let breaking = tokio::spawn(async move {
        for _ in 0..20 {
            break_connections(&own).await;
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
    });
    let mut confirmed = Vec::new();
    let mut n = 0;
    while !breaking.is_finished() {
        n += 1;
        let pair = vec![insert(&format!("x{n}"), "eve", &format!("X{n}")), insert(&format!("y{n}"), "eve", &format!("Y{n}"))];
        if database.commit(Batch { checks: vec![], operations: pair }, None).await.is_ok() {
            confirmed.push(n);
        }
    }
    assert!(confirmed.len() > 20, "{}", confirmed.len());
    for n in 1..=n {
        let mut there = Vec::new();
        for id in [format!("x{n}"), format!("y{n}")] {
            there.push(database.get(&PETS, &[id.into()]).await.unwrap().is_some());
        }
        assert_eq!(there[0], there[1], "{n}");
        assert!(there[0] || !confirmed.contains(&n), "{n} was confirmed");
    }
}
