//! The front door: configuration, subcommands, wiring, demo and administration. No protocol logic:
//! everything here hands one crate's things to another.

mod alone;
pub mod assemble;
pub mod clock_watch;
pub mod command_line;
pub mod commands;
pub mod config;
mod declared;
pub mod demo;
pub mod listening;
pub mod log_in;
pub mod metrics;
pub mod outbox;
pub mod say;
pub mod serve;
pub mod serving;
pub mod submission;
mod upstream;
pub mod whole_file;

/// How a command ends when it does not end well.
#[derive(Debug)]
pub enum Exit {
    /// Exit status 1.
    Failed(String),
    /// Exit status 2: bad usage or configuration.
    Usage(String),
}

impl Exit {
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    pub fn usage(error: impl std::fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }
}
