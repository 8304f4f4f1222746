//! The least program that keeps a grant: bare SQLite, and nothing of our own between. One thread takes what waits as a group,
//! and flushes once for all of it. The statements are those of a grant: three rows are looked at, and four are written, with six
//! entries of trees. Rows are as long as those of the server that it stands beside, and lie in the order of time as those do.

use crate::Exit;
use rusqlite::{Connection, OpenFlags, params};
use std::path::Path;
use std::sync::mpsc;
use tokio::sync::oneshot;

/// Most grants in one flush.
const GROUP: usize = 512;
/// Page cache, negative: KiB.
const CACHE_KIB: i64 = -24_000;
/// Pages of the log before they are brought into the file.
const PAGES_OF_LOG: i64 = 4_000;
/// Rows of one transaction, where the file is filled.
const FILLED_AT_ONCE: usize = 2_000;

/// In milliseconds.
const HOUR: i64 = 3_600_000;

const TABLES: &str = "
    CREATE TABLE thing (id TEXT PRIMARY KEY, version BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
    INSERT INTO thing VALUES ('resource', 0, zeroblob(300)), ('link', 0, zeroblob(100)), ('consent', 0, zeroblob(300));
    CREATE TABLE rpt (place INTEGER PRIMARY KEY, hash BLOB NOT NULL, family TEXT NOT NULL, expires BIGINT NOT NULL, body BLOB NOT NULL);
    CREATE INDEX rpt_by_family ON rpt (family);
    CREATE TABLE refresh_token (place INTEGER PRIMARY KEY, hash BLOB NOT NULL, family TEXT NOT NULL, version BIGINT NOT NULL,
        expires BIGINT NOT NULL, body BLOB NOT NULL);
    CREATE INDEX refresh_token_by_family ON refresh_token (family);
    CREATE TABLE spent (hour BIGINT, kind TEXT, issuer TEXT, id TEXT, PRIMARY KEY (hour, kind, issuer, id)) WITHOUT ROWID;
    CREATE TABLE event (owner TEXT, id TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;
    CREATE TABLE signed_rpt (hour BIGINT, jti TEXT, expires BIGINT NOT NULL, PRIMARY KEY (hour, jti)) WITHOUT ROWID;";

/// How long the bodies of a grant's rows are.
#[derive(Clone, Copy)]
pub(super) struct Lengths {
    rpt: usize,
    refresh_token: usize,
    event: usize,
}

/// What they are about, where there is no server to look at.
impl Default for Lengths {
    fn default() -> Self {
        Self { rpt: 400, refresh_token: 600, event: 400 }
    }
}

impl Lengths {
    /// The longest in the store of a server; of what it has none of, what they are about.
    pub(super) fn of_server(store: &Path) -> Result<Self, Exit> {
        let connection = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(Exit::failed)?;
        let of = |table: &str, about: usize| {
            let text = format!("SELECT max(length(body)) FROM {table}");
            let length = connection.query_row(&text, [], |row| row.get::<_, Option<i64>>(0)).map_err(Exit::failed)?;
            Ok::<_, Exit>(length.and_then(|length| usize::try_from(length).ok()).unwrap_or(about))
        };
        let about = Self::default();
        Ok(Self {
            rpt: of("rpt", about.rpt)?,
            refresh_token: of("refresh_token", about.refresh_token)?,
            event: of("event", about.event)?,
        })
    }
}

/// What is written for a grant.
pub(super) struct Grant {
    pub(super) millis: i64,
    /// Another for each of one millisecond.
    pub(super) number: i64,
    /// Of the RPT and its family, of the refresh token, of the event and the ticket.
    pub(super) random: [[u8; 32]; 3],
    pub(super) is_signed: bool,
}

struct Job {
    grant: Grant,
    answer: oneshot::Sender<()>,
}

/// Its store.
pub(super) struct Least(mpsc::Sender<Job>);

impl Least {
    /// A new file, with so many live RPTs in it.
    pub(super) fn start(path: &Path, lengths: Lengths, filled: usize) -> Result<Self, Exit> {
        let connection = Connection::open(path).map_err(Exit::failed)?;
        prepare(&connection, lengths, filled).map_err(Exit::failed)?;
        let (queue, jobs) = mpsc::channel();
        let work = move || {
            if let Err(error) = work(&connection, lengths, &jobs) {
                tracing::error!(%error, "the yardstick cannot write");
                std::process::exit(1);
            }
        };
        std::thread::Builder::new().name("least-writer".into()).spawn(work).map_err(Exit::failed)?;
        Ok(Self(queue))
    }

    /// Returns as soon as it is on the disk.
    pub(super) async fn keep(&self, grant: Grant) {
        let (answer, kept) = oneshot::channel();
        // a writer that ended took the process with it
        let _ = self.0.send(Job { grant, answer });
        let _ = kept.await;
    }
}

fn prepare(connection: &Connection, lengths: Lengths, filled: usize) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", PAGES_OF_LOG)?;
    connection.execute_batch(TABLES)?;
    let now = millis();
    for chunk in (0..filled).collect::<Vec<_>>().chunks(FILLED_AT_ONCE) {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for n in chunk {
            let number = i64::try_from(*n).unwrap_or(i64::MAX);
            let grant = Grant { millis: now, number, random: std::array::from_fn(|_| random()), is_signed: false };
            put_rpt(connection, lengths, &grant, now.saturating_add(86_000_000))?;
        }
        connection.execute_batch("COMMIT")?;
    }
    Ok(())
}

fn work(connection: &Connection, lengths: Lengths, jobs: &mpsc::Receiver<Job>) -> rusqlite::Result<()> {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        group.extend(jobs.try_iter().take(GROUP));
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for job in &group {
            put(connection, lengths, &job.grant)?;
        }
        connection.execute_batch("COMMIT")?;
        for job in group {
            let _ = job.answer.send(());
        }
    }
    Ok(())
}

/// Places are the millisecond of the end, then the number.
fn place_of(millis: i64, number: i64) -> i64 {
    (millis << 20) | (number & 0xF_FFFF)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Names begin with their millisecond.
fn name_of(millis: i64, random: &[u8; 32]) -> String {
    let tail = random.get(8..16).map(hexadecimal).unwrap_or_default();
    format!("{millis:012x}{tail}")
}

fn put_rpt(connection: &Connection, lengths: Lengths, grant: &Grant, expires: i64) -> rusqlite::Result<()> {
    let [random, ..] = &grant.random;
    let mut insert = connection.prepare_cached("INSERT INTO rpt VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let (family, body) = (name_of(grant.millis, random), vec![b'x'; lengths.rpt]);
    insert.execute(params![place_of(expires, grant.number), random.as_slice(), family, expires, body]).map(drop)
}

fn put(connection: &Connection, lengths: Lengths, grant: &Grant) -> rusqlite::Result<()> {
    for thing in ["resource", "link", "consent"] {
        let mut find = connection.prepare_cached("SELECT id, version, body FROM thing WHERE id = ?1")?;
        let version: i64 = find.query_row([thing], |row| row.get(1))?;
        std::hint::black_box(version);
    }
    let [of_rpt, of_refresh, of_event] = &grant.random;
    let (now, hour) = (grant.millis, grant.millis / HOUR);
    put_rpt(connection, lengths, grant, now.saturating_add(HOUR))?;
    let expires = now.saturating_add(30 * 24 * HOUR);
    let mut insert = connection.prepare_cached("INSERT INTO refresh_token VALUES (?1, ?2, ?3, 0, ?4, ?5)")?;
    let (family, body) = (name_of(now, of_rpt), vec![b'x'; lengths.refresh_token]);
    insert.execute(params![place_of(expires, grant.number), of_refresh.as_slice(), family, expires, body])?;
    let mut insert = connection.prepare_cached("INSERT INTO spent VALUES (?1, 'ticket', '', ?2)")?;
    insert.execute(params![hour, name_of(now, of_event)])?;
    let mut insert = connection.prepare_cached("INSERT INTO event VALUES ('abcdefghijklmnopqrstuv', ?1, ?2)")?;
    insert.execute(params![name_of(now, of_refresh), vec![b'x'; lengths.event]])?;
    if grant.is_signed {
        let mut insert = connection.prepare_cached("INSERT INTO signed_rpt VALUES (?1, ?2, ?3)")?;
        insert.execute(params![hour, hexadecimal(of_event), expires])?;
    }
    Ok(())
}

/// Now.
pub(super) fn millis() -> i64 {
    jose::Clock::now_millis(&jose::SystemClock)
}

/// As a token has them.
pub(super) fn random() -> [u8; 32] {
    jose::ambient::random(&jose::SystemRandomness)
}
