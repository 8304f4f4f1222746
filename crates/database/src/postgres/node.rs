//! What processes on one database are to each other. Each hears at once what another has changed, knows for how long it has heard
//! everything, and one of them is the *first*: it does what is done once for all.
//!
//! One connection of its own serves for all three. It listens (LISTEN), it asks for the lock of the first again and again (an
//! advisory lock, which the database gives back with the connection), and each answer says that all words before it have come.
//!
//! A party that is one process has its store alone. What it has in memory is right only while nobody else writes there, so it
//! answers only while it is sure to be the first: for [`LONGEST_UNSURE`] behind the last answer that said so. Whoever takes its
//! place writes its own name into the row `first`, takes the seats of those before (`seat.rs`) and waits for so long before it
//! serves. Who finds another's name there was followed, and ends.

use super::seat::WHO_IS_FIRST;
use super::{Postgres, place_of, tls, told};
use crate::ReadError;
use crate::sqlite::OpenError;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::{AsyncMessage, Client};

/// How often a node asks whether it is the first.
const LOOK: Duration = Duration::from_millis(250);
/// What a node has in memory counts for so long behind the last answer.
const LONGEST_SILENCE: Duration = Duration::from_millis(900);

/// How long a process that was ended may yet be taken for one that serves.
const LONGEST_HANDOVER: Duration = Duration::from_secs(12);
/// A process that has its store alone serves for so long behind the last answer that it is the first.
const LONGEST_UNSURE: Duration = Duration::from_secs(2);
/// In so long a process whose line broke begins it anew, and is the first again.
const RETURN: Duration = Duration::from_secs(1);

/// What a node hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// What a commit of another node said.
    Said(String),
    /// Words may have been missed: whatever is in memory may be old.
    Missed,
}

/// This process among those on its database. Dropped, it listens no more, and another one may be the first.
pub struct Node {
    postgres: Postgres,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// When the last answer was asked for that came.
    heard: Mutex<Option<Instant>>,
    is_first: AtomicBool,
    /// When the last answer was asked for that said that this is the first.
    sure: Mutex<Option<Instant>>,
    /// Whether this process has its store alone.
    is_alone: bool,
    /// Another process has been the first after this one.
    is_followed: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// The line broke: what others do is not heard, and another may be the first.
    fn lose(&self) {
        *lock(&self.heard) = None;
        self.is_first.store(false, Ordering::Release);
    }

    fn hear(&self, asked: Instant, is_first: bool) {
        *lock(&self.heard) = Some(asked);
        if is_first {
            *lock(&self.sure) = Some(asked);
        }
        self.is_first.store(is_first, Ordering::Release);
    }

    /// Who has another's name in its place was followed. One who has left may come again.
    fn compare(&self, name: &str, own: &str) {
        if !name.is_empty() && name != own {
            self.is_followed.store(true, Ordering::Release);
        }
    }
}

impl Node {
    /// Whether all that others changed up to less than a second ago has been heard.
    pub fn hears(&self) -> bool {
        lock(&self.state.heard).is_some_and(|heard| heard.elapsed() < LONGEST_SILENCE)
    }

    /// Whether this is the first. Of two processes at most one says so, but for the moment in which the database has noticed
    /// sooner than the process that its connection is gone: what is done once for all is checked in its commit as well.
    pub fn is_first(&self) -> bool {
        self.hears() && self.state.is_first.load(Ordering::Acquire)
    }

    /// Of a process that has its store alone ([`Database::be_alone`](crate::Database::be_alone)): whether nobody else can have
    /// begun to serve it. While it is not so, nothing is answered out of memory.
    pub fn is_sure(&self) -> bool {
        let is_recent = lock(&self.state.sure).is_some_and(|sure| sure.elapsed() < LONGEST_UNSURE);
        is_recent && !self.state.is_followed.load(Ordering::Acquire)
    }

    /// Waits until another process has been the first after this one. Where nobody knows, or what this one has left behind in
    /// the database holds the place, it goes on waiting.
    pub async fn is_taken_over(&self) {
        while !self.state.is_followed.load(Ordering::Acquire) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The last that a process does which has its store alone: whoever comes next serves at once.
    pub async fn leave(&self) {
        if self.is_sure() {
            self.postgres.leave().await;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// That no other process does the same meanwhile; it ends when this is dropped.
pub struct Turn {
    client: Client,
    connection: JoinHandle<()>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Postgres {
    /// Waits for a turn of this name.
    pub(crate) async fn take_turn(&self, name: &str) -> Result<Turn, ReadError> {
        let fail = |error: tokio_postgres::Error| ReadError::Unreadable(told(&error));
        let tls = tls().map_err(|error| ReadError::Unreadable(error.to_string()))?;
        let (client, connection) = self.config.connect(tls).await.map_err(fail)?;
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = told(&error), "a turn has ended with its connection");
            }
        });
        let turn = Turn { client, connection };
        let name = format!("{} {name}", self.schema);
        // whoever has it is at work for a while
        turn.client.batch_execute("SET statement_timeout = 120000").await.map_err(fail)?;
        turn.client.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", &[&name]).await.map_err(fail)?;
        Ok(turn)
    }

    /// Takes the store for this process, of a party that is one process; the error says that another one serves it.
    pub(crate) async fn be_alone(&self) -> Result<Node, OpenError> {
        let fail = |what| OpenError::Unreachable { place: place_of(&self.config), what };
        let line = Line::begin(self, Arc::new(|_| {})).await.map_err(fail)?;
        let until = Instant::now() + LONGEST_HANDOVER;
        let served = || OpenError::Served { place: place_of(&self.config), schema: self.schema.to_string() };
        let take_place = async || match line.has_place(until).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(served()),
            Err(what) => Err(fail(what)),
        };
        take_place().await?;
        self.make_seats().await.map_err(fail)?;
        let before = line.who_is_first().await.map_err(|error| fail(told(&error)))?;
        if !before.is_empty() {
            // one whose line broke takes its place again: who comes second is refused
            line.give_place().await.map_err(|error| fail(told(&error)))?;
            tokio::time::sleep(RETURN).await;
            take_place().await?;
        }
        self.become_first().await.map_err(fail)?;
        if !before.is_empty() {
            tokio::time::sleep(LONGEST_UNSURE).await;
        }
        let state = Arc::new(State { is_alone: true, is_first: AtomicBool::new(true), ..State::default() });
        line.look(&state).await.map_err(|error| fail(told(&error)))?;
        Ok(self.stand(state, line))
    }

    /// Joins the others on the database; `on_word` is called for each word of theirs. It has asked once when this returns.
    pub async fn join(&self, on_word: impl Fn(Word) + Send + Sync + 'static) -> Result<Node, OpenError> {
        let state = Arc::new(State::default());
        let fail = |what| OpenError::Unreachable { place: place_of(&self.config), what };
        let line = Line::begin(self, Arc::new(on_word)).await.map_err(fail)?;
        line.look(&state).await.map_err(|error| fail(told(&error)))?;
        Ok(self.stand(state, line))
    }

    fn stand(&self, state: Arc<State>, line: Line) -> Node {
        let (postgres, kept) = (self.clone(), state.clone());
        let task = tokio::spawn(async move { stay(&postgres, &kept, line).await });
        Node { postgres: self.clone(), state, task }
    }
}

/// The connection of a node.
struct Line {
    client: Client,
    on_word: Arc<dyn Fn(Word) + Send + Sync>,
    /// Of this process, among those on the database.
    name: Arc<str>,
    lock: String,
    /// By what the database knows it: its process there, and when that began.
    place: (i32, String),
    reading: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

const TRY: &str = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";

impl Line {
    async fn begin(postgres: &Postgres, on_word: Arc<dyn Fn(Word) + Send + Sync>) -> Result<Self, String> {
        let begun = tokio::time::timeout(super::LONGEST_WAIT, Self::connect(postgres, on_word));
        begun.await.map_err(|_| "it does not answer".to_owned())?
    }

    async fn connect(postgres: &Postgres, on_word: Arc<dyn Fn(Word) + Send + Sync>) -> Result<Self, String> {
        let connecting = postgres.config.connect(tls().map_err(|error| error.to_string())?);
        let (client, mut connection) = connecting.await.map_err(|error| told(&error))?;
        let (hears, own) = (on_word.clone(), postgres.name.clone());
        let reading = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| pin!(&mut connection).poll_message(context)).await {
                let AsyncMessage::Notification(notice) = message else { continue };
                // what this process changed it knows
                match notice.payload().split_once(' ') {
                    Some((from, _)) if *from == *own => {}
                    Some((_, what)) => hears(Word::Said(what.to_owned())),
                    None => hears(Word::Missed),
                }
            }
        });
        let (lock, name) = (format!("{} first", postgres.schema), postgres.name.clone());
        let mut line = Self { client, on_word, name, lock, place: (0, String::new()), reading };
        line.client.batch_execute(&format!("LISTEN {}", postgres.schema)).await.map_err(|error| told(&error))?;
        line.place = line.find_place().await.map_err(|error| told(&error))?;
        // of what was said before nothing was heard
        (line.on_word)(Word::Missed);
        Ok(line)
    }

    async fn find_place(&self) -> Result<(i32, String), tokio_postgres::Error> {
        let text = "SELECT pid, EXTRACT(EPOCH FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let row = self.client.query_one(text, &[]).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    /// Asks whether it is the first; the answer comes behind all words that were said before it.
    async fn look(&self, state: &State) -> Result<(), tokio_postgres::Error> {
        let asked = Instant::now();
        let was_first = state.is_first.load(Ordering::Acquire);
        // a lock that is held would be taken a second time
        let text = if was_first { "SELECT $1 <> ''" } else { TRY };
        let row = self.client.query_one(text, &[&self.lock]).await?;
        let mut is_first = row.try_get(0)?;
        if state.is_alone && !was_first {
            let name = self.who_is_first().await?;
            is_first = is_first && *name == *self.name;
            state.compare(&name, &self.name);
        }
        state.hear(asked, is_first);
        Ok(())
    }

    /// Waits until it has the place of the first; not for longer.
    async fn has_place(&self, until: Instant) -> Result<bool, String> {
        loop {
            let has = self.client.query_one(TRY, &[&self.lock]).await.and_then(|row| row.try_get(0));
            match has.map_err(|error| told(&error))? {
                true => return Ok(true),
                false if until < Instant::now() => return Ok(false),
                false => tokio::time::sleep(LOOK).await,
            }
        }
    }

    async fn give_place(&self) -> Result<(), tokio_postgres::Error> {
        self.client.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", &[&self.lock]).await.map(drop)
    }

    /// The name of the process that is, or was last, the first with its store alone; empty where it has left.
    async fn who_is_first(&self) -> Result<String, tokio_postgres::Error> {
        let row = self.client.query_opt(WHO_IS_FIRST, &[]).await?;
        row.map_or(Ok(String::new()), |row| row.try_get(0))
    }

    /// Ends what this process has left behind in the database, which may hold its place; the rest of it, if the database cannot yet.
    async fn end(&self, left: &[(i32, String)]) -> Vec<(i32, String)> {
        let text = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                    WHERE pid = $1 AND EXTRACT(EPOCH FROM backend_start)::text = $2";
        let mut rest = Vec::new();
        for place in left {
            let ended = self.client.query(text, &[&place.0, &place.1]).await;
            if ended.is_ok_and(|rows| rows.is_empty()) {
                continue;
            }
            rest.push(place.clone());
        }
        rest
    }
}

/// Keeps a node in its place: a line that breaks is begun anew, and then nobody knows what was missed.
async fn stay(postgres: &Postgres, state: &State, first: Line) {
    let on_word = first.on_word.clone();
    let mut line = Some(first);
    // connections that were left, and that the database may hold for open yet
    let mut left = Vec::new();
    loop {
        if let Some(now) = &line {
            tokio::time::sleep(LOOK).await;
            match tokio::time::timeout(super::LONGEST_WAIT, now.look(state)).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => tracing::warn!(error = told(&error), "the database does not tell what others change"),
                Err(_) => tracing::warn!("the database does not tell what others change: it does not answer"),
            }
        }
        state.lose();
        left.extend(line.take().map(|line| line.place.clone()));
        match Line::begin(postgres, on_word.clone()).await {
            Ok(begun) => {
                let rest = tokio::time::timeout(super::LONGEST_WAIT, begun.end(&left)).await;
                left = rest.unwrap_or(left);
                line = Some(begun);
            }
            Err(error) => {
                tracing::warn!(error, "the database cannot be listened to");
                if let Some(name) = postgres.who_is_first().await.filter(|_| state.is_alone) {
                    state.compare(&name, &postgres.name);
                }
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}
