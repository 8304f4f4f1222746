//! The engine on SQLite: one writer thread with group commit (`synchronous=FULL`), readers with
//! connections of their own.

pub mod file;
mod statement;
mod writer;

use crate::ReadError;
use crate::batch::{Batch, CommitError};
use crate::table::{Row, Scan, Table, Value};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const READERS: usize = 4;
/// Page cache of each reader: room for the inner pages of several million tokens (negative: KiB).
const READER_CACHE_KIB: i64 = -6_000;
/// Page cache of the writer: room for what a whole group of batches changes, so that none of it is written early.
const WRITER_CACHE_KIB: i64 = -24_000;

/// A party's migrations: SQL scripts, each run once and in order.
#[derive(Clone, Copy)]
pub struct Migrations(pub &'static [&'static str]);

/// The store could not be opened; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the store `{0}` cannot be opened: {1}")]
    Open(PathBuf, rusqlite::Error),
    #[error("the store `{0}` was written by a newer version: update this program, or restore an older backup")]
    Newer(String),
    #[error(
        "the store `{0}` is there and empty, so what was in it is lost: restore a backup, or remove the file if this party is to begin anew"
    )]
    Empty(PathBuf),
    #[error("`{0}` is a database and no store of this program: name another file, or restore the store that was there")]
    Foreign(PathBuf),
    #[error("the store `{0}` is damaged: {1}")]
    Damaged(PathBuf, String),
    #[error("{1} in the store `{0}`: restore a backup")]
    Unread(PathBuf, crate::ReadError),
    #[error("the address of the database cannot be read: {0}; write postgres://USER:PASSWORD@HOST/DATABASE")]
    Address(String),
    #[error("the database {place} cannot be used: {what}")]
    Unreachable { place: String, what: String },
    #[error("`{schema}` in {place} is served by another process that is running: stop that first, or name another database")]
    Served { place: String, schema: String },
    #[error("the schema `{schema}` of {place} does not say which form it has: restore a backup, or name another schema")]
    Formless { place: String, schema: String },
}

impl OpenError {
    /// Whether it is the file that is wrong, and not what keeps us from it: nothing of it can be had.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(..) | Self::Foreign(_) | Self::Empty(_) => true,
            Self::Open(_, error) => {
                let code = error.sqlite_error_code();
                matches!(code, Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase))
            }
            Self::Newer(_)
            | Self::Unread(..)
            | Self::Address(_)
            | Self::Unreachable { .. }
            | Self::Served { .. }
            | Self::Formless { .. } => false,
        }
    }
}

/// A SQLite database of ours.
pub struct Sqlite {
    path: PathBuf,
    readers: Vec<Mutex<Connection>>,
    next: AtomicUsize,
    writer: writer::Writer,
}

impl Sqlite {
    /// Opens or makes the file, brings it up to date, and starts the writer. A store is new where there is no file, and
    /// nowhere else: a file that was cut to nothing would look like one.
    pub fn open(path: &Path, migrations: &Migrations) -> Result<Self, OpenError> {
        let fail = |error| OpenError::Open(path.to_owned(), error);
        let is_new = make_if_absent(path, migrations)?;
        let mut connection = Connection::open(path).map_err(fail)?;
        configure(&connection).map_err(fail)?;
        if !is_new && version_of(&connection).map_err(fail)? == 0 {
            return Err(OpenError::Foreign(path.to_owned()));
        }
        migrate(&mut connection, migrations, path)?;
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let reader = Connection::open_with_flags(path, flags).map_err(fail)?;
            reader.busy_timeout(Duration::from_secs(5)).map_err(fail)?;
            reader.set_prepared_statement_cache_capacity(128);
            reader.pragma_update(None, "cache_size", READER_CACHE_KIB).map_err(fail)?;
            readers.push(Mutex::new(reader));
        }
        let writer = writer::Writer::start(connection);
        Ok(Self { path: path.to_owned(), readers, next: AtomicUsize::new(0), writer })
    }

    /// Whether the file is there, and neither older nor newer than this program: nothing is written.
    pub fn is_current(path: &Path, migrations: &Migrations) -> Result<bool, OpenError> {
        let fail = |error| OpenError::Open(path.to_owned(), error);
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(unopened(path, &error)),
            Ok(_) => {}
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(fail)?;
        let version = version_of(&connection).map_err(fail)?;
        Ok(usize::try_from(version).is_ok_and(|version| version == migrations.0.len()))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let ring = self.readers.iter().cycle().skip(start % READERS).take(READERS);
        for reader in ring {
            if let Ok(free) = reader.try_lock() {
                return free;
            }
        }
        let any = self.readers.get(start % READERS).or(self.readers.first());
        // there are always READERS of them; a poisoned one is still a good connection
        match any {
            Some(reader) => reader.lock().unwrap_or_else(PoisonError::into_inner),
            None => std::process::abort(),
        }
    }

    pub(crate) fn get(&self, table: &'static Table, key: &[Value]) -> Result<Option<Row>, ReadError> {
        statement::get(&self.reader(), table, key).map_err(|e| ReadError::Unreadable(e.to_string()))
    }

    pub(crate) fn scan(&self, scan: &Scan<'_>) -> Result<Vec<Row>, ReadError> {
        statement::scan(&self.reader(), scan).map_err(|e| ReadError::Unreadable(e.to_string()))
    }

    pub(crate) fn count(&self, scan: &Scan<'_>) -> Result<usize, ReadError> {
        statement::count(&self.reader(), scan).map_err(|e| ReadError::Unreadable(e.to_string()))
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.writer.has_failed()
    }

    pub(crate) async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.writer.commit(batch).await
    }
}

/// Whether it made the store. It is made beside and put there whole: a process that ends meanwhile leaves nothing that looks
/// like a store that was lost.
fn make_if_absent(path: &Path, migrations: &Migrations) -> Result<bool, OpenError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => Err(OpenError::Empty(path.to_owned())),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(format!(".new-{}", std::process::id()));
            let beside = path.with_file_name(name);
            let made = make(&beside, path, migrations);
            // nothing of it is needed any more, whatever came of it
            let _ = std::fs::remove_file(&beside);
            made.map(|()| true)
        }
        Err(error) => Err(unopened(path, &error)),
    }
}

fn unopened(path: &Path, error: &std::io::Error) -> OpenError {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
    OpenError::Open(path.to_owned(), rusqlite::Error::SqliteFailure(code, Some(error.to_string())))
}

/// Makes a store beside its place, for its owner's eyes alone (SQLite gives its companions the same rights), and puts it
/// there. What another process has put there meanwhile stays.
fn make(beside: &Path, path: &Path, migrations: &Migrations) -> Result<(), OpenError> {
    let fail = |error: std::io::Error| unopened(path, &error);
    // of a process of the same number that was killed
    let _ = std::fs::remove_file(beside);
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(beside).map_err(fail)?;
    let opened = Connection::open(beside);
    let mut connection = opened.map_err(|error| OpenError::Open(path.to_owned(), error))?;
    migrate(&mut connection, migrations, path)?;
    connection.close().map_err(|(_, error)| OpenError::Open(path.to_owned(), error))?;
    file.sync_all().map_err(fail)?;
    match std::fs::hard_link(beside, path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => std::fs::rename(beside, path).map_err(fail)?,
        _ => {}
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)
}

fn version_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// As whoever writes has it.
fn configure_writing(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "OFF")
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(128);
    connection.pragma_update(None, "cache_size", WRITER_CACHE_KIB)?;
    configure_writing(connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)
}

fn migrate(connection: &mut Connection, migrations: &Migrations, path: &Path) -> Result<(), OpenError> {
    let fail = |error| OpenError::Open(path.to_owned(), error);
    let has = version_of(connection).map_err(fail)?;
    let has = usize::try_from(has).unwrap_or(usize::MAX);
    if has > migrations.0.len() {
        return Err(OpenError::Newer(path.display().to_string()));
    }
    for (at, script) in migrations.0.iter().enumerate().skip(has) {
        let transaction = connection.transaction().map_err(fail)?;
        transaction.execute_batch(script).map_err(fail)?;
        let version = i64::try_from(at).unwrap_or(i64::MAX).saturating_add(1);
        transaction.pragma_update(None, "user_version", version).map_err(fail)?;
        transaction.commit().map_err(fail)?;
    }
    Ok(())
}
