//! Words on standard output. Logs go to standard error, through `tracing`.

use std::io::Write;

/// A line on standard output; a closed pipe is nobody listening, not an error.
pub fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// A line on standard error, for whoever reads along: what a command gives stands on standard output alone.
pub fn aside(text: &str) {
    let _ = writeln!(std::io::stderr(), "wayleave: {text}");
}

/// Says that a server is ready.
pub fn ready(url: &str) {
    line(&format!("ready: {url}"));
}
