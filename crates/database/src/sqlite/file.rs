//! A database as a file that is copied and put in the place of another: for backups. Nothing else has it open meanwhile, but for
//! the source of a backup.

use super::{OpenError, configure_writing, statement, unopened, version_of};
use crate::table::{Row, Table, Value};
use rusqlite::{Connection, OpenFlags};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];
/// Bytes that a store wants to have room for.
const ROOM: usize = 256 << 10;

/// The files that SQLite keeps beside this one.
pub fn companions(path: &Path) -> impl Iterator<Item = PathBuf> {
    COMPANIONS.iter().map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

/// Whether something is there, be it what it may: also what was cut to nothing was a store.
pub(crate) fn is_there(path: &Path) -> Result<bool, OpenError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unopened(path, &error)),
    }
}

/// Whether so much can be written beside it.
pub(crate) async fn has_room_beside(path: &Path) -> bool {
    let mut name = path.as_os_str().to_owned();
    name.push(".room");
    let write = move || {
        let written = std::fs::File::create(&name).and_then(|mut file| file.write_all(&[0; ROOM]).and_then(|()| file.sync_all()));
        let _ = std::fs::remove_file(&name);
        written.is_ok()
    };
    tokio::task::spawn_blocking(write).await.unwrap_or(false)
}

/// A connection to what is there; nothing is made.
fn connect(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let fail = |error| OpenError::Open(path.to_owned(), error);
    let connection = Connection::open_with_flags(path, flags).map_err(fail)?;
    configure_writing(&connection).map_err(fail)?;
    Ok(connection)
}

/// Copies a database, also one that is in use, into a file that stands alone.
pub fn copy(path: &Path, target: &Path) -> Result<(), OpenError> {
    let fail = |error| OpenError::Open(path.to_owned(), error);
    connect(path)?.backup("main", target, None::<fn(rusqlite::backup::Progress)>).map_err(fail)?;
    settle(target)
}

/// Writes what stands beside the file into it, so that it stands alone, and on disk.
pub fn settle(path: &Path) -> Result<(), OpenError> {
    let fail = |error| OpenError::Open(path.to_owned(), error);
    let connection = connect(path)?;
    connection.pragma_update(None, "journal_mode", "DELETE").map_err(fail)?;
    connection.close().map_err(|(_, error)| fail(error))?;
    std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(|error| unopened(path, &error))
}

/// Reads the whole file: an error where it is damaged, or no database of ours.
pub fn check(path: &Path) -> Result<(), OpenError> {
    let fail = |error| OpenError::Open(path.to_owned(), error);
    let connection = connect(path)?;
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(fail)?;
    if found != "ok" {
        return Err(OpenError::Damaged(path.to_owned(), found));
    }
    if version_of(&connection).map_err(fail)? == 0 {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    Ok(())
}

/// A row of a file of which nothing is opened for writing; none where it has no such table.
pub(crate) fn find_row(path: &Path, table: &'static Table, key: &[Value]) -> Result<Option<Row>, OpenError> {
    let fail = |error| OpenError::Open(path.to_owned(), error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(fail)?;
    match tables_of(&connection).map_err(fail)?.iter().any(|name| name == table.name) {
        true => statement::get(&connection, table, key).map_err(fail),
        false => Ok(None),
    }
}

/// Writes the whole file anew, so that nothing is left in it of what was overwritten or removed.
pub fn rewrite(path: &Path) -> Result<(), OpenError> {
    let fail = |error| OpenError::Open(path.to_owned(), error);
    connect(path)?.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);").map_err(fail)
}

/// The tables of a file of which nothing is opened for writing, nor anything made beside it. It may yet be damaged.
pub fn list_tables(path: &Path) -> Result<Vec<String>, OpenError> {
    let fail = |error| OpenError::Open(path.to_owned(), error);
    std::fs::File::open(path).map_err(|error| unopened(path, &error))?;
    let name = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags).map_err(fail)?;
    tables_of(&connection).map_err(fail)
}

fn tables_of(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut tables = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?;
    let names = tables.query_map([], |row| row.get(0))?;
    names.collect()
}
