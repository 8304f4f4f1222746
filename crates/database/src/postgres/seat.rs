//! By what a transaction is known afterwards, and who may commit at all.
//!
//! A commit takes one of its process's *seats*, a row that nobody else writes, and marks it: with the transaction the mark is
//! there, without it it is not. Where the answer is lost the seat is closed. Closing waits for whoever is still writing it, a
//! closed seat is marked by nobody, and what was marked last says for good whether that transaction was committed. A number that
//! the database gives to each transaction does not: after a crash it is given out again.
//!
//! A process that has its store alone gets seats only while it is the first (`node.rs`), and whoever becomes the first takes all
//! seats of those before: what they send from then on changes nothing.

use super::{Postgres, told};
use deadpool_postgres::Client;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio_postgres::Error;

/// Seats of a schema. A mark is a new version of its row, for which there is room on the same page.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS seat (name TEXT COLLATE \"C\" PRIMARY KEY, mark TEXT NOT NULL, \
    is_closed BOOLEAN NOT NULL DEFAULT false, used TIMESTAMPTZ NOT NULL DEFAULT now()) WITH (fillfactor = 20)";
/// Marks a seat; breaks the transaction where it is closed or gone.
pub(super) const MARK: &str = "WITH kept AS (UPDATE seat SET mark = $2, used = now() WHERE name = $1 AND NOT is_closed \
    RETURNING 1) SELECT 1/COUNT(*) FROM kept";
const CLOSE: &str = "UPDATE seat SET is_closed = true WHERE name = $1 RETURNING mark";
const MAKE: &str = "INSERT INTO seat (name, mark) VALUES ($1, '')";
/// The same while this process is the first, whose name the row `first` has.
const MAKE_AS_FIRST: &str = "INSERT INTO seat (name, mark) SELECT $1, '' FROM seat WHERE name = 'first' AND mark = $2 FOR SHARE";
/// Seats of processes that are gone. Whoever is here after all makes another.
const SWEEP: &str = "DELETE FROM seat WHERE name IN (SELECT name FROM seat WHERE used < now() - INTERVAL '1 day' \
    AND name <> 'first' FOR UPDATE SKIP LOCKED)";
const BECOME_FIRST: &str = "INSERT INTO seat (name, mark) VALUES ('first', $1) ON CONFLICT (name) DO UPDATE SET mark = $1";
const TAKE_ALL: &str = "DELETE FROM seat WHERE name <> 'first'";
const LEAVE: &str = "UPDATE seat SET mark = '' WHERE name = 'first' AND mark = $1";
pub(super) const WHO_IS_FIRST: &str = "SELECT mark FROM seat WHERE name = 'first'";

/// How long a node waits for the word whether a transaction ended whose connection broke.
const LONGEST_DOUBT: Duration = Duration::from_secs(10);

/// Seats of this process.
#[derive(Default)]
pub(super) struct Seats {
    free: Mutex<Vec<String>>,
    made: AtomicU64,
    marks: AtomicU64,
    /// Whether this process has its store alone.
    is_alone: AtomicBool,
}

/// Why a commit has no seat.
pub(super) enum NoSeat {
    Broken(Error),
    /// Another process is, or was, the first.
    NotFirst,
}

/// A seat with the mark of one try to commit.
pub(super) struct Seat {
    pub(super) name: String,
    pub(super) mark: String,
}

impl Seats {
    fn free(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on there are seats only while this process is the first.
    pub(super) fn set_alone(&self) {
        self.is_alone.store(true, Ordering::Release);
    }

    /// A seat for one try; where none is free another is made.
    pub(super) async fn take(&self, client: &Client, process: &str) -> Result<Seat, NoSeat> {
        let mark = self.marks.fetch_add(1, Ordering::Relaxed).saturating_add(1).to_string();
        let free = self.free().pop();
        let name = match free {
            Some(name) => name,
            None => self.make(client, process).await?,
        };
        Ok(Seat { name, mark })
    }

    async fn make(&self, client: &Client, process: &str) -> Result<String, NoSeat> {
        let name = format!("{process} {}", self.made.fetch_add(1, Ordering::Relaxed));
        let made = if self.is_alone.load(Ordering::Acquire) {
            client.execute(MAKE_AS_FIRST, &[&name, &process]).await
        } else {
            if let Err(error) = client.execute(SWEEP, &[]).await {
                tracing::debug!(error = told(&error), "seats of processes that are gone stay");
            }
            client.execute(MAKE, &[&name]).await
        };
        match made {
            Ok(1..) => Ok(name),
            Ok(0) => Err(NoSeat::NotFirst),
            Err(error) => Err(NoSeat::Broken(error)),
        }
    }

    /// A transaction is over in which it was marked, or was to be.
    pub(super) fn give_back(&self, seat: Seat) {
        self.free().push(seat.name);
    }

    /// Seats of this process were taken.
    pub(super) fn forget(&self) {
        self.free().clear();
    }
}

impl Postgres {
    /// Whether the transaction that marked this seat was committed; nothing where the database does not say so in time. The seat
    /// is used no more.
    pub(super) async fn close_seat(&self, seat: &Seat) -> Option<bool> {
        let until = tokio::time::Instant::now() + LONGEST_DOUBT;
        while tokio::time::Instant::now() < until {
            let closed = async { self.client().await.ok()?.query_opt(CLOSE, &[&seat.name]).await.ok() };
            match closed.await {
                Some(Some(row)) => return row.try_get::<_, String>(0).ok().map(|mark| mark == seat.mark),
                // it was taken, and what it said with it
                Some(None) => return None,
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        None
    }

    /// What stands in the row `first`; nothing where the database does not say so.
    pub(super) async fn who_is_first(&self) -> Option<String> {
        let row = self.client().await.ok()?.query_opt(WHO_IS_FIRST, &[]).await.ok()?;
        row.map_or(Some(String::new()), |row| row.try_get(0).ok())
    }

    /// Makes a place for seats, before anything else of the party's is looked at.
    pub(super) async fn make_seats(&self) -> Result<(), String> {
        let client = self.client().await.map_err(|error| error.to_string())?;
        let made = async {
            let has = client.query_one("SELECT to_regnamespace($1) IS NOT NULL", &[&&*self.schema]).await?;
            let schema = if has.try_get(0)? { String::new() } else { format!("CREATE SCHEMA {};", self.schema) };
            client.batch_execute(&format!("{schema}{TABLE}")).await
        };
        made.await.map_err(|error| told(&error))
    }

    /// Takes the place of the first, and all seats. What others have begun to commit is waited for.
    pub(super) async fn become_first(&self) -> Result<(), String> {
        let mut client = self.client().await.map_err(|error| error.to_string())?;
        let taken = async {
            let transaction = client.transaction().await?;
            transaction.execute(BECOME_FIRST, &[&&*self.name]).await?;
            transaction.execute(TAKE_ALL, &[]).await?;
            transaction.commit().await
        };
        taken.await.map_err(|error| told(&error))?;
        self.seats.set_alone();
        self.seats.forget();
        Ok(())
    }

    /// Whoever comes next need not wait until it is sure that this one is gone.
    pub(super) async fn leave(&self) {
        let left = async { self.client().await.ok()?.execute(LEAVE, &[&&*self.name]).await.ok() };
        left.await;
    }
}
