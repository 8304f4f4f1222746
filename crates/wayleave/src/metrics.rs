//! Counters for whoever watches a server (`/metrics`, Prometheus text format). Labels are endpoints and statuses, and
//! never a client, a person or a token (threat 20). Filled by the accept loop, read by the admin listener.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use types::path;

/// Endpoints that are told apart; what lies below one counts for it.
const ENDPOINTS: [&str; 20] = [
    path::TOKEN,
    path::INTROSPECT,
    path::PERMISSIONS,
    path::RESOURCES,
    path::REVOCATIONS,
    path::POLICIES,
    path::REGISTERED_RESOURCES,
    path::ACCESS_REQUESTS,
    path::EVENTS,
    path::OWNER_SETTINGS,
    path::CLAIMS,
    path::AUTHORIZE,
    path::PAR,
    path::REVOKE,
    path::USERINFO,
    path::REGISTER,
    path::JWKS,
    path::LOGIN,
    "/.well-known",
    "/my",
];

/// What is counted of an endpoint and a status.
#[derive(Default)]
struct Cell {
    count: AtomicU64,
    micros: AtomicU64,
}

/// Statuses from 100 on.
const STATUSES: usize = 500;

/// What was counted.
pub struct Metrics {
    /// The path of the issuer, which lies before every endpoint.
    base: String,
    /// By endpoint, the last being all others, and by status.
    cells: Vec<Cell>,
}

fn endpoint_of(path: &str) -> usize {
    let under = |endpoint: &&str| path.strip_prefix(*endpoint).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    ENDPOINTS.iter().position(under).unwrap_or(ENDPOINTS.len())
}

impl Metrics {
    pub fn below(base: String) -> Self {
        let count = ENDPOINTS.len().saturating_add(1).saturating_mul(STATUSES);
        Self { base, cells: std::iter::repeat_with(Cell::default).take(count).collect() }
    }

    /// Which endpoint a path is counted for.
    pub fn endpoint(&self, path: &str) -> usize {
        endpoint_of(path.strip_prefix(&self.base).unwrap_or(path))
    }

    /// One request.
    pub fn count(&self, endpoint: usize, status: u16, took: Duration) {
        let at = endpoint.saturating_mul(STATUSES).saturating_add(usize::from(status).saturating_sub(100));
        if let Some(cell) = self.cells.get(at) {
            cell.count.fetch_add(1, Ordering::Relaxed);
            cell.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// What was counted at all: endpoint, status, cell.
    fn counted(&self) -> impl Iterator<Item = (&'static str, usize, &Cell)> {
        let of = |(endpoint, cells)| (ENDPOINTS.get(endpoint).copied().unwrap_or("other"), cells);
        self.cells.chunks(STATUSES).enumerate().map(of).flat_map(|(endpoint, cells): (&'static str, &[Cell])| {
            let seen = cells.iter().enumerate().filter(|(_, cell)| cell.count.load(Ordering::Relaxed) > 0);
            seen.map(move |(status, cell)| (endpoint, status.saturating_add(100), cell))
        })
    }

    /// As Prometheus reads it, with what the system knows of this process.
    pub fn render(&self, store_bytes: Option<u64>) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, rows: &[(String, String)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in rows {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let one = |value: String| vec![(String::new(), value)];
        let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
        family("wayleave_up", "gauge", "1 while the server serves", &one("1".into()));
        family("wayleave_build_info", "gauge", "the version that runs", &[(version, "1".into())]);
        let rows = |value: &dyn Fn(&Cell) -> String| -> Vec<(String, String)> {
            let labels = |endpoint: &str, status: usize| format!("{{endpoint=\"{endpoint}\",status=\"{status}\"}}");
            self.counted().map(|(endpoint, status, cell)| (labels(endpoint, status), value(cell))).collect()
        };
        let counts = rows(&|cell| cell.count.load(Ordering::Relaxed).to_string());
        family("wayleave_http_requests_total", "counter", "requests by endpoint and status", &counts);
        let seconds = rows(&|cell| format!("{:.6}", Duration::from_micros(cell.micros.load(Ordering::Relaxed)).as_secs_f64()));
        family("wayleave_http_request_seconds_total", "counter", "time from request to answer, summed", &seconds);
        if let Some(bytes) = store_bytes {
            family("wayleave_store_bytes", "gauge", "size of the store's file", &one(bytes.to_string()));
        }
        if let Some(bytes) = resident_bytes() {
            family("process_resident_memory_bytes", "gauge", "resident memory", &one(bytes.to_string()));
        }
        text
    }
}

fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_endpoint_and_never_by_whom() {
        let metrics = Metrics::below(String::new());
        for path in ["/token", "/uma/resources/abc", "/uma/resources", "/tokenx", "/my/resources/secret-id"] {
            metrics.count(metrics.endpoint(path), 200, Duration::from_millis(500));
        }
        let text = metrics.render(Some(7));
        for line in [
            "wayleave_http_requests_total{endpoint=\"/uma/resources\",status=\"200\"} 2",
            "wayleave_http_request_seconds_total{endpoint=\"/token\",status=\"200\"} 0.500000",
            "wayleave_http_requests_total{endpoint=\"other\",status=\"200\"} 1",
            "wayleave_store_bytes 7",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("secret-id"));
    }
}
