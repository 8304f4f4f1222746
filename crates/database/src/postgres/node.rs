//! What processes on one database are to each other. Each hears at once what another has changed, knows for how long it has heard
//! everything, and one of them is the *first*: it does what is done once for all.
//!
//! One connection of its own serves for all three. It listens (LISTEN), it asks for the lock of the first again and again (an
//! advisory lock, which the database gives back with the connection), and each answer says that all words before it have come.

use super::{Postgres, place_of, tls, told};
use crate::ReadError;
use crate::sqlite::OpenError;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// When the last answer was asked for that came.
    heard: Mutex<Option<Instant>>,
    is_first: AtomicBool,
}

impl State {
    /// The line broke: what others do is not heard, and another may be the first.
    fn lose(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.is_first.store(false, Ordering::Release);
    }

    fn hear(&self, asked: Instant, is_first: bool) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
        self.is_first.store(is_first, Ordering::Release);
    }
}

impl Node {
    /// Whether all that others changed up to less than a second ago has been heard.
    pub fn hears(&self) -> bool {
        let heard = *self.state.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|heard| heard.elapsed() < LONGEST_SILENCE)
    }

    /// Whether this is the first. Of two processes at most one says so, but for the moment in which the database has noticed
    /// sooner than the process that its connection is gone: what is done once for all is checked in its commit as well.
    pub fn is_first(&self) -> bool {
        self.hears() && self.state.is_first.load(Ordering::Acquire)
    }

    /// Waits until another process is the first: for longer than the database takes a connection that broke for one that holds
    /// the lock.
    pub async fn is_taken_over(&self) {
        let mut since = None;
        loop {
            match (self.hears(), self.state.is_first.load(Ordering::Acquire)) {
                (true, false) if since.get_or_insert_with(Instant::now).elapsed() > LONGEST_HANDOVER => return,
                (true, true) => since = None,
                // nobody knows
                _ => {}
            }
            tokio::time::sleep(LOOK).await;
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
        let node = self.join(|_| {}).await?;
        let until = Instant::now() + LONGEST_HANDOVER;
        while !node.is_first() {
            if until < Instant::now() {
                return Err(OpenError::Served { place: place_of(&self.config), schema: self.schema.to_string() });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(node)
    }

    /// Joins the others on the database; `on_word` is called for each word of theirs. It has asked once when this returns.
    pub async fn join(&self, on_word: impl Fn(Word) + Send + Sync + 'static) -> Result<Node, OpenError> {
        let state = Arc::new(State::default());
        let fail = |what| OpenError::Unreachable { place: place_of(&self.config), what };
        let line = Line::begin(self, Arc::new(on_word)).await.map_err(fail)?;
        line.look(&state).await.map_err(|error| fail(told(&error)))?;
        let (postgres, kept) = (self.clone(), state.clone());
        let task = tokio::spawn(async move { stay(&postgres, &kept, line).await });
        Ok(Node { state, task })
    }
}

/// The connection of a node.
struct Line {
    client: Client,
    on_word: Arc<dyn Fn(Word) + Send + Sync>,
    lock: String,
    reading: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Line {
    async fn begin(postgres: &Postgres, on_word: Arc<dyn Fn(Word) + Send + Sync>) -> Result<Self, String> {
        let connecting = postgres.config.connect(tls().map_err(|error| error.to_string())?);
        let connected = tokio::time::timeout(super::LONGEST_WAIT, connecting).await;
        let (client, mut connection) = connected.map_err(|_| "it does not answer".to_owned())?.map_err(|error| told(&error))?;
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
        let lock = format!("{} first", postgres.schema);
        let line = Self { client, on_word, lock, reading };
        line.client.batch_execute(&format!("LISTEN {}", postgres.schema)).await.map_err(|error| told(&error))?;
        // of what was said before nothing was heard
        (line.on_word)(Word::Missed);
        Ok(line)
    }

    /// Asks whether it is the first; the answer comes behind all words that were said before it.
    async fn look(&self, state: &State) -> Result<(), tokio_postgres::Error> {
        let asked = Instant::now();
        let is_first = state.is_first.load(Ordering::Acquire);
        // a lock that is held would be taken a second time
        let text = if is_first { "SELECT $1 <> ''" } else { "SELECT pg_try_advisory_lock(hashtextextended($1, 0))" };
        let row = self.client.query_one(text, &[&self.lock]).await?;
        state.hear(asked, row.try_get(0)?);
        Ok(())
    }
}

/// Keeps a node in its place: a line that breaks is begun anew, and then nobody knows what was missed.
async fn stay(postgres: &Postgres, state: &State, first: Line) {
    let on_word = first.on_word.clone();
    let mut line = Some(first);
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
        drop(line.take());
        match Line::begin(postgres, on_word.clone()).await {
            Ok(begun) => line = Some(begun),
            Err(error) => {
                tracing::warn!(error, "the database cannot be listened to");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}
