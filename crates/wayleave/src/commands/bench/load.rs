//! The load: prepared HTTP/1.1 requests over connections that stay open, latencies counted, the server's CPU
//! time read from the system.

use crate::Exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A process under load.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: String,
    pub(super) pid: u32,
}

/// Requests to send, in turns.
#[derive(Clone)]
pub(super) struct Load {
    pub(super) requests: Arc<Vec<Vec<u8>>>,
    pub(super) connections: usize,
    /// How the status of each answer begins.
    pub(super) status: &'static str,
}

/// Whatever succeeds.
pub(super) const OK: &str = "2";

/// What came of it: requests a second, microseconds, and bytes that the process wrote to the disk for each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    pub(super) per_second: f64,
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) cpu: f64,
    pub(super) written: f64,
}

impl Load {
    /// The same load for the yardstick: the same bodies and headers, another path.
    pub(super) fn at_yardstick(&self, kind: &str, length: usize) -> Self {
        let line = format!("POST /{kind}/{length} HTTP/1.1\r\n");
        let rewrite = |request: &Vec<u8>| {
            let rest = request
                .iter()
                .position(|byte| *byte == b'\n')
                .and_then(|at| request.get(at.saturating_add(1)..))
                .unwrap_or_default();
            [line.as_bytes(), rest].concat()
        };
        Self { requests: Arc::new(self.requests.iter().map(rewrite).collect()), connections: self.connections, status: OK }
    }

    /// Length of the body that the first request gets.
    pub(super) async fn answer_length(&self, target: &Target) -> Result<usize, Exit> {
        let mut stream = TcpStream::connect(&target.address).await.map_err(Exit::failed)?;
        let request = self.requests.first().ok_or_else(|| Exit::failed("no requests"))?;
        stream.write_all(request).await.map_err(Exit::failed)?;
        let mut buffer = Vec::new();
        answer(&mut stream, &mut buffer, self.status).await.map_err(Exit::failed)
    }

    /// For so long, starting over with the requests as often as needed.
    pub(super) async fn run(&self, target: &Target, time: Duration) -> Result<Measured, Exit> {
        let end = Instant::now() + time;
        self.measure(target, move |_, _| Instant::now() < end).await
    }

    /// Every request once.
    pub(super) async fn run_once(&self, target: &Target) -> Result<Measured, Exit> {
        self.measure(target, |at, count| at < count).await
    }

    async fn measure(
        &self,
        target: &Target,
        go_on: impl Fn(usize, usize) -> bool + Clone + Send + 'static,
    ) -> Result<Measured, Exit> {
        let next = Arc::new(AtomicUsize::new(0));
        let (before, written_before) = (cpu_of(target.pid), written_by(target.pid));
        let start = Instant::now();
        let mut hands = Vec::new();
        for _ in 0..self.connections {
            let status = self.status;
            let (requests, next, address, go_on) = (self.requests.clone(), next.clone(), target.address.clone(), go_on.clone());
            hands.push(tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let (mut times, mut buffer) = (Vec::new(), Vec::with_capacity(8192));
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if !go_on(at, requests.len()) {
                        return Ok::<_, std::io::Error>(times);
                    }
                    let Some(request) = requests.get(at.checked_rem(requests.len()).unwrap_or(0)) else { return Ok(times) };
                    let sent = Instant::now();
                    stream.write_all(request).await?;
                    answer(&mut stream, &mut buffer, status).await?;
                    times.push(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
                }
            }));
        }
        let mut times = Vec::new();
        for hand in hands {
            times.extend(hand.await.map_err(Exit::failed)?.map_err(Exit::failed)?);
        }
        let took = start.elapsed().as_secs_f64();
        let cpu = cpu_of(target.pid).saturating_sub(before);
        let written = written_by(target.pid).saturating_sub(written_before) as f64;
        times.sort_unstable();
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(0);
        let count = times.len().max(1) as f64;
        Ok(Measured { per_second: count / took, p50: at(0.5), p99: at(0.99), cpu: cpu as f64 / count, written: written / count })
    }
}

/// Reads one answer; the length of its body. Any other status is an error: it would be fast for nothing.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>, status: &str) -> std::io::Result<usize> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).to_ascii_lowercase();
        if !head.strip_prefix("http/1.1 ").is_some_and(|rest| rest.starts_with(status)) {
            return Err(std::io::Error::other(String::from_utf8_lossy(buffer).into_owned()));
        }
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length:")).and_then(|text| text.trim().parse::<usize>().ok());
        let length = length.unwrap_or(0);
        let whole = end.saturating_add(4).saturating_add(length);
        while buffer.len() < whole {
            if stream.read_buf(buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        return Ok(length);
    }
}

/// CPU time that a process has used, in microseconds (user and system; a tick is 10 ms).
fn cpu_of(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks.saturating_mul(10_000)
}

/// Bytes that a process has had written to the disk.
fn written_by(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("write_bytes: ")).and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
