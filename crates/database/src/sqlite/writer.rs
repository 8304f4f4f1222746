//! The one writer. It drains its queue, opens one `BEGIN IMMEDIATE`, gives each batch a savepoint,
//! flushes once, and only then answers everybody (group commit).

use super::statement;
use crate::batch::{Batch, CommitError};
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Most batches in one flush.
const GROUP: usize = 512;
/// How long a group waits for others at most.
const LONGEST_WAIT: Duration = Duration::from_millis(2);

type Answer = Result<(), CommitError>;

struct Job {
    batch: Batch,
    answer: oneshot::Sender<Answer>,
}

/// The writer's queue; dropping it lets the writer finish what it has and ends it.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Whether the last flush could not be made.
    has_failed: Arc<AtomicBool>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Self {
        let (queue, jobs) = mpsc::channel();
        let has_failed = Arc::new(AtomicBool::default());
        let failed = has_failed.clone();
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || work(&connection, &jobs, &failed));
        Self { queue: Some(queue), thread: thread.ok(), has_failed }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    pub(super) async fn commit(&self, batch: Batch) -> Answer {
        let gone = || CommitError::Unavailable("the writer has ended".into());
        let (answer, result) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue.send(Job { batch, answer }).map_err(|_| gone())?;
        result.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The group before. Those whom it answered come again soon, and a flush costs the same for few as for many: so the
/// next group waits a little for as many as there were - never longer than a part of what the flush took, and not at all
/// where one came alone.
#[derive(Default)]
struct Last {
    size: usize,
    took: Duration,
    ended: Option<Instant>,
}

impl Last {
    fn gather(&self, group: &mut Vec<Job>, jobs: &mpsc::Receiver<Job>) {
        group.extend(jobs.try_iter().take(GROUP));
        let Some(ended) = self.ended else { return };
        let until = ended + (self.took / 3).min(LONGEST_WAIT);
        while group.len() < self.size {
            let left = until.saturating_duration_since(Instant::now());
            match jobs.recv_timeout(left) {
                Ok(job) if !left.is_zero() => group.push(job),
                Ok(job) => {
                    group.push(job);
                    return;
                }
                Err(_) => return,
            }
        }
    }
}

fn work(connection: &Connection, jobs: &mpsc::Receiver<Job>, has_failed: &AtomicBool) {
    let mut last = Last::default();
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        last.gather(&mut group, jobs);
        let begun = Instant::now();
        let answers = flush(connection, &group);
        let is_written = |answer: &Answer| !matches!(answer, Err(CommitError::Unavailable(_)));
        has_failed.store(!answers.iter().all(is_written), Ordering::Relaxed);
        last = Last { size: group.len(), took: begun.elapsed(), ended: Some(Instant::now()) };
        for (job, answer) in group.into_iter().zip(answers) {
            // whoever no longer listens does not need the answer
            let _ = job.answer.send(answer);
        }
    }
}

/// One transaction for the whole group; if it cannot be committed, nobody's batch happened.
fn flush(connection: &Connection, group: &[Job]) -> Vec<Answer> {
    let all = |error: &rusqlite::Error| {
        tracing::error!(%error, "the store cannot be written");
        group.iter().map(|_| Err(CommitError::Unavailable(error.to_string()))).collect()
    };
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        return all(&error);
    }
    let answers = group.iter().map(|job| one(connection, &job.batch)).collect();
    match connection.execute_batch("COMMIT") {
        Ok(()) => answers,
        Err(error) => {
            let _ = connection.execute_batch("ROLLBACK");
            all(&error)
        }
    }
}

fn one(connection: &Connection, batch: &Batch) -> Answer {
    let unavailable = |error: rusqlite::Error| CommitError::Unavailable(error.to_string());
    for (at, check) in batch.checks.iter().enumerate() {
        if !statement::holds(connection, check).map_err(unavailable)? {
            return Err(CommitError::Broken(at));
        }
    }
    connection.prepare_cached("SAVEPOINT batch").and_then(|mut s| s.execute([])).map_err(unavailable)?;
    let mut result = Ok(());
    for (at, operation) in batch.operations.iter().enumerate() {
        result = match statement::apply(connection, operation) {
            Ok(true) => continue,
            Ok(false) => Err(CommitError::Taken(at)),
            Err(error) => Err(unavailable(error)),
        };
        break;
    }
    if result.is_err() {
        connection.prepare_cached("ROLLBACK TO batch").and_then(|mut s| s.execute([])).map_err(unavailable)?;
    }
    connection.prepare_cached("RELEASE batch").and_then(|mut s| s.execute([])).map_err(unavailable)?;
    result
}
