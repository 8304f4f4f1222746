//! Bodies in memory and in a file: what is absent, what does not open, and what cannot be read are three things.

use super::key_check::KEY_CHECK;
use super::*;
use crate::{Check, Column, Expiry, Index, Kind, Memory, Migrations, Sqlite};
use std::path::{Path, PathBuf};

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

static LETTERS: Table = Table {
    name: "letter",
    columns: &[
        column("to_whom", Kind::Text),
        column("id", Kind::Text),
        column("day", Kind::Int),
        column("place", Kind::Text),
        column("body", Kind::Blob),
    ],
    key: 2,
    indexes: &[
        Index { name: "letter_by_day", columns: &[2], unique: false },
        Index { name: "letter_by_place", columns: &[3], unique: false },
    ],
    sealed: true,
    expires: Some(Expiry::at(2)),
    ..Table::OPEN
};

static CARDS: Table = Table { name: "card", columns: &[column("number", Kind::Int), column("body", Kind::Blob)], ..Table::OPEN };

static SECRETS: Table =
    Table { name: "secret", columns: &[column("name", Kind::Text), column("body", Kind::Blob)], sealed: true, ..Table::OPEN };

const MIGRATIONS: Migrations = Migrations(&["\
    CREATE TABLE letter (to_whom TEXT, id TEXT, day BIGINT, place TEXT, body BLOB, PRIMARY KEY (to_whom, id)) WITHOUT ROWID;
    CREATE INDEX letter_by_day ON letter (day);
    CREATE INDEX letter_by_place ON letter (place);
    CREATE TABLE card (number BIGINT PRIMARY KEY, body BLOB) WITHOUT ROWID;
    CREATE TABLE secret (name TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID;"]);

struct Folder(PathBuf);
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new() -> Self {
        let unique = format!("wayleave-records-{}-{:?}", std::process::id(), std::thread::current().id());
        let folder = Self(std::env::temp_dir().join(unique));
        std::fs::create_dir_all(&folder.0).unwrap();
        folder
    }

    fn file(&self) -> PathBuf {
        self.0.join("letters.db")
    }
}

fn key(n: u8) -> Option<SealingKey> {
    Some(SealingKey::new(&[n; 32]).unwrap())
}

fn open(path: &Path) -> Records {
    Records { database: Arc::new(Database::Sqlite(Sqlite::open(path, &MIGRATIONS).unwrap())), key: key(1) }
}

fn both() -> (Folder, [Records; 2]) {
    let folder = Folder::new();
    let memory = Records { database: Arc::new(Database::Memory(Memory::default())), key: key(1) };
    let sqlite = open(&folder.file());
    (folder, [memory, sqlite])
}

fn letter(records: &Records, whom: &str, id: &str, text: &str) -> Row {
    records.row(&LETTERS, vec![whom.into(), id.into(), 1.into(), Value::Null], &text).unwrap()
}

fn does_not_open(table: &'static str, key: &str) -> ReadError {
    ReadError::DoesNotOpen { table, key: Some(key.to_owned()) }
}

async fn put(records: &Records, table: &'static Table, rows: Vec<Row>) {
    let operations = rows.into_iter().map(|row| Operation::Put { table, row }).collect();
    records.commit(Batch { checks: vec![], operations }).await.unwrap();
}

async fn find(records: &Records, whom: &str, id: &str) -> Result<Option<String>, ReadError> {
    records.find(&LETTERS, &[whom.into(), id.into()]).await
}

#[tokio::test]
async fn threat_40_s22_what_does_not_open_is_not_absent() {
    let (_folder, both) = both();
    for mut records in both {
        let closed = Err(does_not_open("letter", "bob, 1"));
        let rows = [("bob", "1"), ("bob", "2"), ("bob", "3"), ("eve", "1")];
        put(&records, &LETTERS, rows.iter().map(|(whom, id)| letter(&records, whom, id, "hello")).collect()).await;
        assert_eq!(find(&records, "bob", "1").await, Ok(Some("hello".to_owned())));
        assert_eq!(find(&records, "bob", "9").await, Ok(None));
        let raw = |id: &str| [Value::from("bob"), id.into()];
        let row = records.database.get(&LETTERS, &raw("1")).await.unwrap().unwrap();
        assert!(!row[4].as_blob().unwrap().windows(5).any(|part| part == b"hello"), "it is sealed");
        // another key
        let right = std::mem::replace(&mut records.key, key(2));
        assert_eq!(find(&records, "bob", "1").await, closed);
        assert_eq!(find(&records, "bob", "9").await, Ok(None), "what is absent is absent");
        records.key = None;
        assert_eq!(find(&records, "bob", "1").await, closed);
        assert!(records.row(&LETTERS, row[..4].to_vec(), &"open").is_err(), "nothing is written that was to be sealed");
        records.key = right;
        // a torn body, and none
        let mut torn = row.clone();
        torn[4] = Value::Blob(row[4].as_blob().unwrap()[..20].to_vec());
        put(&records, &LETTERS, vec![torn]).await;
        assert_eq!(find(&records, "bob", "1").await, closed);
        // a row in the place of another: of the same owner, and of somebody else
        for (whom, id) in [("bob", "2"), ("eve", "1")] {
            let mut copied = row.clone();
            (copied[0], copied[1]) = (whom.into(), id.into());
            put(&records, &LETTERS, vec![copied]).await;
            assert_eq!(find(&records, whom, id).await, Err(does_not_open("letter", &format!("{whom}, {id}"))));
        }
        // a body that is no such entity
        let other = records.row(&LETTERS, row[..4].to_vec(), &[1, 2]).unwrap();
        put(&records, &LETTERS, vec![other]).await;
        assert_eq!(find(&records, "bob", "1").await, closed);
        assert_eq!(records.find::<Vec<u8>>(&LETTERS, &raw("1")).await, Ok(Some(vec![1, 2])));
        // of a list nothing is left out
        assert_eq!(records.list::<String>(&LETTERS, None, &["bob".into()]).await.unwrap_err(), does_not_open("letter", "bob, 1"));
        assert_eq!(records.rows(&LETTERS, None, &["bob".into()]).await.unwrap().len(), 3);
        // where nothing is sealed it is the same
        put(&records, &CARDS, vec![records.row(&CARDS, vec![7.into()], &"seven").unwrap()]).await;
        assert_eq!(records.find(&CARDS, &[7.into()]).await, Ok(Some("seven".to_owned())));
        assert_eq!(records.find::<u8>(&CARDS, &[7.into()]).await, Err(does_not_open("card", "7")));
        put(&records, &CARDS, vec![vec![7.into(), Value::Null], vec![8.into(), Value::Blob(b"\"sev".to_vec())]]).await;
        for number in [7, 8] {
            assert_eq!(records.find::<String>(&CARDS, &[number.into()]).await, Err(does_not_open("card", &number.to_string())));
        }
    }
}

/// Along every order, whatever agrees in how much of it; nothing twice and nothing left out.
#[tokio::test]
async fn lists_longer_than_a_page_are_whole_and_in_order() {
    let (_folder, both) = both();
    for records in both {
        let mut rows = Vec::new();
        for n in 0..3_000_i64 {
            let whom = ["al", "bob", "bob", "bob", "eve"][usize::try_from(n % 5).unwrap()];
            let place = (n >= 1_200).then(|| format!("place {}", n % 3));
            let columns = vec![whom.into(), format!("{n:04}").into(), (n / 600).into(), place.into()];
            rows.push(records.row(&LETTERS, columns, &n).unwrap());
        }
        put(&records, &LETTERS, rows.clone()).await;
        let listed = async |index, prefix: &[Value]| {
            let all = records.list::<i64>(&LETTERS, index, prefix).await.unwrap();
            all.into_iter()
                .map(|(row, n)| (row[1] == Value::from(format!("{n:04}"))).then_some(row))
                .collect::<Option<Vec<_>>>()
                .unwrap()
        };
        let sorted = |columns: &[usize], keep: &dyn Fn(&Row) -> bool| {
            let mut rows: Vec<Row> = rows.iter().filter(|row| keep(row)).cloned().collect();
            rows.sort_by_key(|row| columns.iter().map(|at| row[*at].clone()).collect::<Vec<_>>());
            rows
        };
        assert_eq!(listed(None, &[]).await, sorted(&[0, 1], &|_| true));
        assert_eq!(listed(None, &["bob".into()]).await, sorted(&[1], &|row| row[0] == "bob".into()));
        assert_eq!(listed(None, &["bob".into(), "0001".into()]).await.len(), 1);
        assert_eq!(listed(Some(0), &[]).await, sorted(&[2, 0, 1], &|_| true));
        assert_eq!(listed(Some(0), &[2.into()]).await, sorted(&[0, 1], &|row| row[2] == 2.into()));
        assert_eq!(listed(Some(1), &[]).await, sorted(&[3, 0, 1], &|_| true), "also what is null");
        assert_eq!(listed(Some(1), &["place 1".into()]).await.len(), 600);
        assert!(listed(None, &["carol".into()]).await.is_empty());
        // what runs out
        records.sweep(&[&LETTERS, &CARDS], 3).await.unwrap();
        assert_eq!(listed(None, &[]).await, sorted(&[0, 1], &|row| row[2] >= 3.into()));
    }
}

/// A disk that fails behind the first page, and a row that does not open there, leave no shorter list.
#[tokio::test]
async fn threat_40_s22_a_list_that_ends_in_the_middle_is_an_error() {
    let folder = Folder::new();
    let records = open(&folder.file());
    let rows = (0..4_000).map(|n| letter(&records, "bob", &format!("{n:04}"), &"long ".repeat(20))).collect();
    put(&records, &LETTERS, rows).await;
    let torn = vec!["bob".into(), "2000".into(), 1.into(), Value::Null, Value::Blob(vec![1; 40])];
    let whole = letter(&records, "bob", "2000", "whole");
    put(&records, &LETTERS, vec![torn]).await;
    let bob = [Value::from("bob")];
    let listed = async |records: &Records| records.list::<String>(&LETTERS, None, &bob).await.map(|all| all.len());
    assert_eq!(listed(&records).await, Err(does_not_open("letter", "bob, 2000")), "and its row is named");
    put(&records, &LETTERS, vec![whole]).await;
    assert_eq!(listed(&records).await, Ok(4_000));
    drop(records);
    // a part of the file of which nothing is read again
    let mut bytes = std::fs::read(folder.file()).unwrap();
    let at = bytes.windows(7).rposition(|part| part == b"bob3500").unwrap();
    let page = at / 4_096 * 4_096;
    bytes[page..page + 4_096].fill(0xFF);
    std::fs::write(folder.file(), bytes).unwrap();
    let records = open(&folder.file());
    let first = Scan { table: &LETTERS, index: None, prefix: &bob, after: None, descending: false, limit: PAGE };
    assert_eq!(records.database.scan(&first).await.unwrap().len(), PAGE, "its beginning is read");
    assert!(matches!(listed(&records).await, Err(ReadError::Unreadable(_))));
    assert!(matches!(records.check_key(&SECRETS, &[&LETTERS]).await, Err(KeyCheckError::Read(_))));
}

#[tokio::test]
async fn threat_40_s26_another_key_is_noticed_and_changes_nothing() {
    let (_folder, both) = both();
    for mut records in both {
        let tables = [&LETTERS, &CARDS, &SECRETS];
        put(&records, &CARDS, vec![vec![7.into(), Value::Blob(b"\"open\"".to_vec())]]).await;
        // rows of before: sealed for their table, and no check
        let old = records.key.as_ref().unwrap().seal(b"\"old\"", b"letter", &SystemRandomness).unwrap();
        let old = vec!["bob".into(), "old".into(), 1.into(), Value::Null, old.into()];
        let mut foreign = old.clone();
        (foreign[1], foreign[4]) = ("0".into(), Value::Blob(vec![2; 40]));
        put(&records, &LETTERS, vec![letter(&records, "bob", "new", "new"), old.clone(), foreign.clone()]).await;
        assert_eq!(find(&records, "bob", "old").await, Err(does_not_open("letter", "bob, old")));
        let all = async |records: &Records| {
            let mut all = Vec::new();
            for table in tables {
                all.extend(records.rows(table, None, &[]).await.unwrap());
            }
            all
        };
        let before = all(&records).await;
        assert_eq!(records.check_key(&SECRETS, &tables).await, Err(KeyCheckError::Broken("letter")));
        assert_eq!(all(&records).await, before);
        let gone = Operation::Delete { table: &LETTERS, key: LETTERS.key_of(&foreign).to_vec() };
        records.commit(Batch { checks: vec![], operations: vec![gone] }).await.unwrap();
        let before = all(&records).await;
        let right = std::mem::replace(&mut records.key, key(2));
        assert_eq!(records.check_key(&SECRETS, &tables).await, Err(KeyCheckError::OtherKey));
        assert_eq!(all(&records).await, before);
        records.key = right;
        assert_eq!(records.check_key(&SECRETS, &tables).await, Ok(()));
        assert_eq!(find(&records, "bob", "old").await, Ok(Some("old".to_owned())), "it is sealed for its place");
        assert_eq!(find(&records, "bob", "new").await, Ok(Some("new".to_owned())));
        let before = all(&records).await;
        assert_eq!(records.check_key(&SECRETS, &tables).await, Ok(()));
        for other in [key(2), None] {
            let right = std::mem::replace(&mut records.key, other);
            assert_eq!(records.check_key(&SECRETS, &tables).await, Err(KeyCheckError::OtherKey));
            records.key = right;
        }
        assert_eq!(all(&records).await, before);
    }
}

/// Of two nodes that start together with keys of their own, one finds that it has another key.
#[tokio::test]
async fn threat_40_s26_of_two_keys_at_once_one_is_the_stores() {
    let (_folder, both) = both();
    for records in both {
        let other = Records { database: records.database.clone(), key: key(2) };
        let (one, two) = tokio::join!(records.check_key(&SECRETS, &[]), other.check_key(&SECRETS, &[]));
        assert_eq!([&one, &two].iter().filter(|answer| answer.is_ok()).count(), 1, "{one:?} {two:?}");
        assert!([one, two].contains(&Err(KeyCheckError::OtherKey)));
        let row = records.database.get(&SECRETS, &[KEY_CHECK.into()]).await.unwrap().unwrap();
        // what has changed since it was read is not written over
        let changed = records.row(&SECRETS, vec![KEY_CHECK.into()], &"changed").unwrap();
        put(&records, &SECRETS, vec![changed]).await;
        let stale = Batch { checks: vec![Check::unchanged(&SECRETS, &row)], operations: vec![] };
        assert_eq!(records.commit(stale).await, Err(CommitError::Broken(0)));
    }
}
