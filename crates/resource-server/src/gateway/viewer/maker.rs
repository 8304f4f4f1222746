//! Makes thumbnails, each in a process of its own ([`super::process`]), which has so much time and so much to say. A file that
//! ended its process is not tried again for a while.

use super::process::{UNFIT, UNREADABLE};
use quick_cache::sync::Cache;
use std::fs::File;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStdout, Command};
use types::spelling::visible;

/// More than a PNG of 1280 x 1280 in which nothing can be compressed.
const MOST_ANSWER_BYTES: u64 = 8 << 20;
const MOST_REASON_CHARS: usize = 200;
/// Files that are remembered because they ended their process.
const MOST_FAILED: usize = 10_000;
pub(super) const PNG: &[u8] = b"\x89PNG";
const JPEG: &[u8] = b"\xFF\xD8\xFF";
/// All that the process finds in its environment. Our allocator reserves addresses before anything runs, more than the
/// process may have: it is to take them when it needs them.
const ENVIRONMENT: [(&str, &str); 1] = [("MIMALLOC_ARENA_RESERVE", "0")];

/// How long something is waited for.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// One picture.
    pub(super) making: Duration,
    /// Until a file that ended its process is tried again.
    pub(super) after_failure: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { making: Duration::from_secs(20), after_failure: Duration::from_secs(600) }
    }
}

/// What became of a picture.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// JPEG or PNG.
    Thumbnail(Vec<u8>),
    /// There is none of what is in this file.
    Unfit,
    /// There is none for now.
    Failed,
}

pub(super) struct Maker {
    /// Program and arguments; empty: none are made.
    command: Vec<String>,
    patience: Patience,
    /// When each file ended its process.
    failed: Cache<String, Instant>,
}

impl Maker {
    pub(super) fn new(command: Vec<String>, patience: Patience) -> Self {
        Self { command, patience, failed: Cache::new(MOST_FAILED) }
    }

    /// Whether one is made of this file, which may be called anything that is another for another file.
    pub(super) fn may_make(&self, file: &str) -> bool {
        let is_resting = self.failed.get(file).is_some_and(|when| when.elapsed() < self.patience.after_failure);
        !self.command.is_empty() && !is_resting
    }

    /// Waits until the process is gone, however it ends: so many pictures are under way as have a turn, and no more.
    pub(super) async fn make(&self, file: &str, picture: File, side: u32) -> io::Result<Made> {
        let Some((program, arguments)) = self.command.split_first() else { return Ok(Made::Failed) };
        let mut command = Command::new(program);
        command.args(arguments).arg(side.to_string()).env_clear().envs(ENVIRONMENT).kill_on_drop(true);
        let mut process = command.stdin(picture).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let output = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let answer = tokio::time::timeout(self.patience.making, async {
            let said = hear(output).await?;
            Ok::<_, io::Error>((process.wait().await?, said))
        });
        let made = match answer.await {
            Ok(answer) => answer.and_then(|(status, said)| judge(status, said))?,
            Err(_) => {
                process.kill().await?;
                tell_failure("it took too long");
                Made::Failed
            }
        };
        if made == Made::Failed {
            self.failed.insert(file.to_owned(), Instant::now());
        }
        Ok(made)
    }
}

/// A byte more than it may say at most: who says more than that finds nobody who listens.
async fn hear(output: ChildStdout) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    output.take(MOST_ANSWER_BYTES.saturating_add(1)).read_to_end(&mut said).await?;
    Ok(said)
}

fn judge(status: ExitStatus, said: Vec<u8>) -> io::Result<Made> {
    let is_short = u64::try_from(said.len()).is_ok_and(|length| length <= MOST_ANSWER_BYTES);
    let is_thumbnail = is_short && (said.starts_with(PNG) || said.starts_with(JPEG));
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match code {
        Some(0) if is_thumbnail => Ok(Made::Thumbnail(said)),
        Some(UNFIT) => {
            tracing::info!(reason = in_words(&said), "there is no small picture of a file");
            Ok(Made::Unfit)
        }
        Some(UNREADABLE) => Err(io::Error::other(in_words(&said))),
        Some(0) => {
            tell_failure("its answer is no picture");
            Ok(Made::Failed)
        }
        _ => {
            tell_failure(&status.to_string());
            Ok(Made::Failed)
        }
    }
}

fn tell_failure(reason: &str) {
    tracing::warn!(reason, "a picture ended the process that was to make it small; others go on");
}

/// What a process says may be of whoever wrote the file.
fn in_words(said: &[u8]) -> String {
    visible(&String::from_utf8_lossy(said).chars().take(MOST_REASON_CHARS).collect::<String>())
}

#[cfg(test)]
#[path = "maker_tests.rs"]
mod tests;
