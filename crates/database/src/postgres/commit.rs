//! A commit as one pipeline: the checks under locks, the changes, the end. The first that fails ends the transaction, and what
//! was sent behind it does nothing.

use super::seat::{MARK, NoSeat, Seat};
use super::{Postgres, locks, told};
use crate::batch::{Batch, Check, CommitError, Operation};
use crate::table::{Table, Value};
use crate::text::{self, Dialect, Lock, Shape};
use deadpool_postgres::Client;
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Statement};

/// How often a batch is tried that was in another's way, or whose connection broke.
const TRIES: u32 = 12;

/// What a step of the pipeline is to the batch.
#[derive(Clone, Copy)]
enum Part {
    Seat,
    Check(usize),
    Operation(usize),
    Lock,
    Word,
}

/// A text with its parameters.
struct Step<'a> {
    part: Part,
    text: Arc<str>,
    parameters: Cow<'a, [Value]>,
}

/// How a try ended that changed nothing, or of which nobody knows.
enum Failed {
    At(Part, Error),
    /// Before anything was begun.
    Unbegun(String),
    /// It was refused to begin, and what was sent behind it may have been done piece by piece.
    Torn(String),
    /// The connection broke while the end was under way.
    InDoubt(String),
}

/// Carries the batch out, whole or not at all.
pub(super) async fn carry_out(postgres: &Postgres, batch: &Batch, word: Option<&str>) -> Result<(), CommitError> {
    let mut steps = plan(batch);
    steps.extend(word.map(|word| tell(postgres, word)));
    let mut tried = 0;
    loop {
        tried += 1;
        let failed = match try_once(postgres, &steps).await {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        let what = match failed {
            Tried::Ended(answer) => return Err(answer),
            Tried::Again(what) => what,
        };
        if tried >= TRIES {
            return Err(CommitError::Unavailable(what));
        }
        // those that were in each other's way come again one after the other
        let wait = Duration::from_millis(u64::from(std::process::id() % 7).saturating_add(u64::from(tried) * 3));
        tokio::time::sleep(wait).await;
    }
}

/// What a try that changed nothing says.
enum Tried {
    Ended(CommitError),
    Again(String),
}

impl Tried {
    fn unavailable(what: impl Into<String>) -> Self {
        Self::Ended(CommitError::Unavailable(what.into()))
    }
}

async fn try_once(postgres: &Postgres, steps: &[Step<'_>]) -> Result<(), Tried> {
    let client = postgres.client().await.map_err(|error| Tried::unavailable(error.to_string()))?;
    let seat = match postgres.seats.take(&client, &postgres.name).await {
        Ok(seat) => seat,
        Err(NoSeat::NotFirst) => return Err(Tried::unavailable("another process has the store")),
        Err(NoSeat::Broken(error)) => return Err(Tried::Again(told(&error))),
    };
    let failed = match attempt(&client, &seat, steps).await {
        Ok(()) => {
            postgres.seats.give_back(seat);
            return Ok(());
        }
        Err(failed) => failed,
    };
    drop(client);
    match failed {
        Failed::At(Part::Seat, error) if error.code() == Some(&SqlState::DIVISION_BY_ZERO) => {
            postgres.seats.forget();
            Err(Tried::Again("its seat was taken".into()))
        }
        Failed::At(part, error) => {
            postgres.seats.give_back(seat);
            Err(meaning(part, &error).map_or_else(|| Tried::Again(told(&error)), Tried::Ended))
        }
        Failed::Unbegun(what) => {
            postgres.seats.give_back(seat);
            Err(Tried::Again(what))
        }
        Failed::Torn(what) => Err(Tried::unavailable(what)),
        Failed::InDoubt(what) => match postgres.close_seat(&seat).await {
            Some(true) => Ok(()),
            Some(false) => Err(Tried::Again(what)),
            None => Err(Tried::unavailable(what)),
        },
    }
}

fn plan(batch: &Batch) -> Vec<Step<'_>> {
    let lock = |parameters| Step { part: Part::Lock, text: locks::TAKE.into(), parameters: Cow::Owned(parameters) };
    let mut steps: Vec<Step<'_>> = locks::list(batch).map(lock).into_iter().collect();
    for (at, check) in batch.checks.iter().enumerate() {
        let locks = if is_written(batch, check) { Lock::Own } else { Lock::Shared };
        let (text, parameters) = text::check(Dialect::Postgres, check, locks);
        steps.push(Step { part: Part::Check(at), text, parameters });
    }
    // places that were taken to see that nobody has them
    for (at, check) in batch.checks.iter().enumerate() {
        if let Check::Absent { table, key } = check {
            let text = text::text(Dialect::Postgres, table, Shape::Delete);
            steps.push(Step { part: Part::Check(at), text, parameters: Cow::Borrowed(key) });
        }
    }
    for (at, operation) in batch.operations.iter().enumerate() {
        let (text, parameters) = text::change(Dialect::Postgres, operation);
        steps.push(Step { part: Part::Operation(at), text, parameters });
    }
    steps
}

/// What other nodes hear once this is committed.
fn tell(postgres: &Postgres, word: &str) -> Step<'static> {
    let parameters = vec![Value::from(&*postgres.schema), Value::Text(format!("{} {word}", postgres.name))];
    Step { part: Part::Word, text: "SELECT pg_notify($1, $2)".into(), parameters: Cow::Owned(parameters) }
}

/// Whether the row that is checked is written as well: to lock it for all first and for oneself later would be a deadlock of
/// any two who do so.
pub(super) fn is_written(batch: &Batch, check: &Check) -> bool {
    let (of, key): (&'static Table, _) = match check {
        Check::Absent { table, key } | Check::Equals { table, key, .. } | Check::Below { table, key, .. } => (table, key),
        Check::NoneAlong { .. } => return false,
    };
    batch.operations.iter().any(|operation| {
        std::ptr::eq(operation.table(), of)
            && match operation {
                Operation::Insert { row, .. } | Operation::Put { row, .. } | Operation::Raise { row, .. } => {
                    of.key_of(row) == key
                }
                Operation::Delete { key: own, .. } | Operation::Add { key: own, .. } => own == key,
                Operation::DeleteAll { .. } | Operation::DeleteBetween { .. } | Operation::DeleteBelow { .. } => true,
            }
    })
}

async fn attempt(client: &Client, seat: &Seat, steps: &[Step<'_>]) -> Result<(), Failed> {
    let parameters = Cow::Owned(vec![Value::from(seat.name.as_str()), Value::from(seat.mark.as_str())]);
    let mark = Step { part: Part::Seat, text: MARK.into(), parameters };
    let steps: Vec<&Step<'_>> = std::iter::once(&mark).chain(steps).collect();
    let mut prepared = Vec::with_capacity(steps.len());
    for step in &steps {
        // a round trip the first time on this connection
        prepared.push(client.prepare_cached(&step.text).await.map_err(|error| Failed::Unbegun(told(&error)))?);
    }
    if client.is_closed() {
        return Err(Failed::Unbegun("the connection is closed".into()));
    }
    let Sent { begun, steps: results, ended } = send(client, &steps, &prepared).await;
    // without an answer of the database nobody knows how far it came
    let in_doubt = |error: &Error| Failed::InDoubt(told(error));
    begun.map_err(|error| if error.as_db_error().is_some() { Failed::Torn(told(&error)) } else { in_doubt(&error) })?;
    for (step, result) in steps.iter().zip(results) {
        match result {
            Err(error) if error.as_db_error().is_none() => return Err(in_doubt(&error)),
            Err(error) => return Err(Failed::At(step.part, error)),
            Ok(()) => {}
        }
    }
    ended.map_err(|error| in_doubt(&error))
}

type Answer<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// What came back of a pipeline.
struct Sent {
    begun: Result<(), Error>,
    steps: Vec<Result<(), Error>>,
    ended: Result<(), Error>,
}

/// Begin, steps and end in one pipeline. Requests are sent in the order in which they are polled first.
async fn send(client: &Client, steps: &[&Step<'_>], prepared: &[Statement]) -> Sent {
    let (mut begun, mut ended) = (Ok(()), Ok(()));
    let mut results: Vec<Result<(), Error>> = steps.iter().map(|_| Ok(())).collect();
    let mut answers: Vec<Answer<'_>> = Vec::with_capacity(steps.len().saturating_add(2));
    answers.push(Box::pin(async { begun = client.batch_execute("BEGIN").await }));
    for ((step, statement), result) in steps.iter().zip(prepared).zip(&mut results) {
        answers.push(Box::pin(async move {
            *result = client.execute_raw(statement, step.parameters.iter()).await.map(|_| ());
        }));
    }
    answers.push(Box::pin(async { ended = client.batch_execute("COMMIT").await }));
    let mut waiting: Vec<Option<Answer<'_>>> = answers.into_iter().map(Some).collect();
    std::future::poll_fn(|context| {
        for answer in &mut waiting {
            if answer.as_mut().is_some_and(|answer| answer.as_mut().poll(context).is_ready()) {
                *answer = None;
            }
        }
        if waiting.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    drop(waiting);
    Sent { begun, steps: results, ended }
}

/// What a failure says of the batch; nothing where it is to be tried again.
fn meaning(part: Part, error: &Error) -> Option<CommitError> {
    let code = error.code()?;
    let again = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::ADMIN_SHUTDOWN];
    match (part, code) {
        (_, code) if again.contains(code) => None,
        (Part::Check(at), code) if [SqlState::DIVISION_BY_ZERO, SqlState::UNIQUE_VIOLATION].contains(code) => {
            Some(CommitError::Broken(at))
        }
        (Part::Operation(at), code) if *code == SqlState::UNIQUE_VIOLATION => Some(CommitError::Taken(at)),
        // data that it does not take, and what is larger than it can be, are so whenever it is tried
        (_, code) if ["22", "54"].iter().any(|class| code.code().starts_with(class)) => Some(CommitError::Unkept(told(error))),
        _ => Some(CommitError::Unavailable(told(error))),
    }
}
