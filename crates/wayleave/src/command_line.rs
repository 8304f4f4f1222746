//! What can be typed behind `wayleave`: subcommands, options, and an example of each. Help, shell completions and man pages
//! are made from it ([`crate::commands::handbook`]).

use crate::{commands, demo};
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// People decide who may reach their data, wherever it lies.
#[derive(Parser)]
#[command(name = "wayleave", version, about, propagate_version = true)]
#[command(after_help = "Examples:\n  wayleave demo\n  wayleave server --config server.toml")]
pub struct Arguments {
    /// Configuration file [default: wayleave.toml, if it is there; `get` reads the one that is named here alone]
    #[arg(long, global = true)]
    pub config: Option<PathBuf>,
    /// Form of the log on standard error
    #[arg(long, global = true, value_enum, default_value_t = LogForm::Text)]
    pub log: LogForm,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum LogForm {
    Text,
    Json,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run an authorization server
    #[command(after_help = "Examples:\n  wayleave server\n  wayleave server --config /etc/wayleave/server.toml --log json")]
    Server,
    /// Run a resource server in front of a folder or an HTTP service
    #[command(after_help = "Example:\n  wayleave gateway --config /etc/wayleave/gateway.toml")]
    Gateway,
    /// Run a relationship manager: an owner's one desk over many servers
    #[command(after_help = "Example:\n  wayleave manager --config /etc/wayleave/manager.toml")]
    Manager,
    /// Run a whole ecosystem on loopback, and play a story in it
    #[command(after_help = "Examples:\n  wayleave demo\n  wayleave demo --folder Pictures\n  wayleave demo photos -v --exit")]
    Demo(demo::Options),
    /// Fetch a protected URL, walking the whole UMA flow
    #[command(after_help = "Examples:\n  wayleave get http://127.0.0.1:9000/holiday-2025/cliffs.jpg -o cliffs.jpg\n  \
        wayleave get https://photos.example/1.jpg --authorization-server https://as.example --client-id printer \
        --client-secret-file printer.secret\n  wayleave get --print-token https://files.example/ --scope view --scope edit")]
    Get(commands::get::Options),
    /// The project's benchmarks, each beside its yardstick
    #[command(after_help = "Example:\n  wayleave bench server --seconds 3")]
    Bench {
        #[command(subcommand)]
        bench: commands::bench::Bench,
    },
    /// The server's signing keys
    #[command(after_help = "Example:\n  wayleave key rotate")]
    Key {
        #[command(subcommand)]
        action: KeyAction,
    },
    /// Clients of the server
    #[command(after_help = "Example:\n  wayleave client invite carol@bar.example")]
    Client {
        #[command(subcommand)]
        action: ClientAction,
    },
    /// Keys of resource owners
    #[command(after_help = "Example:\n  wayleave credential new --key alice.key")]
    Credential {
        #[command(subcommand)]
        action: commands::credential::Credential,
    },
    /// Resource owner tokens: what an owner signs herself
    #[command(after_help = "Example:\n  wayleave rot verify share.rot")]
    Rot {
        #[command(subcommand)]
        action: commands::credential::Rot,
    },
    /// Owners' events
    #[command(after_help = "Example:\n  wayleave audit verify --head heads.txt")]
    Audit {
        #[command(subcommand)]
        action: AuditAction,
    },
    /// Copy the store of a server, gateway or manager to a file, while it is in use
    #[command(after_help = "Example:\n  wayleave --config /etc/wayleave/server.toml backup /var/backups/wayleave.db")]
    Backup {
        /// Where the copy goes; that of a log-in's store goes beside it
        file: PathBuf,
        /// Whose store, where the configuration is of several parties
        #[arg(long, value_enum)]
        party: Option<commands::backup::Party>,
    },
    /// Put a backup in the place of the store, while nothing runs on it; whatever somebody held has ended then
    #[command(after_help = "Example:\n  wayleave --config /etc/wayleave/server.toml restore /var/backups/wayleave.db")]
    Restore {
        /// The backup
        file: PathBuf,
        /// Whose store it is to be [default: the party that the backup is of]
        #[arg(long, value_enum)]
        party: Option<commands::backup::Party>,
    },
    /// Check or show the configuration
    #[command(after_help = "Example:\n  wayleave config check")]
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Print what makes a shell complete these commands
    #[command(after_help = "Examples:\n  wayleave completions bash > ~/.local/share/bash-completion/completions/wayleave\n  \
        wayleave completions fish > ~/.config/fish/completions/wayleave.fish")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write a man page for each command into a folder
    #[command(after_help = "Example:\n  wayleave man ~/.local/share/man/man1")]
    Man {
        /// The folder; made where it is not there
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

#[derive(Subcommand)]
pub enum KeyAction {
    /// Make new signing keys; the old ones stay published for a month
    #[command(after_help = "Example:\n  wayleave --config /etc/wayleave/server.toml key rotate")]
    Rotate,
}

#[derive(Subcommand)]
pub enum ClientAction {
    /// Send somebody a token by which to register a client of their domain, once
    #[command(after_help = "Example:\n  wayleave client invite carol@bar.example")]
    Invite {
        /// Their e-mail address
        address: String,
    },
}

#[derive(Subcommand)]
pub enum AuditAction {
    /// Hold heads that somebody kept against the store: is an event lost, or another?
    #[command(after_help = "Example:\n  wayleave audit verify --head heads.txt")]
    Verify {
        /// File of `Event-Head`s, one a line
        #[arg(long)]
        head: PathBuf,
    },
    /// Take somebody who asked for access out of every owner's history; the chains still verify
    #[command(after_help = "Example:\n  wayleave audit erase --email bob@bar.example")]
    Erase {
        /// Their e-mail address
        #[arg(long)]
        email: String,
    },
}

#[derive(Subcommand)]
pub enum ConfigAction {
    /// Say whether the configuration works
    #[command(after_help = "Example:\n  wayleave --config /etc/wayleave/gateway.toml config check")]
    Check,
    /// Print the effective configuration, secrets hidden
    #[command(after_help = "Example:\n  wayleave config show")]
    Show,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// A command and all below it, with the examples in the help of each.
    fn list_all(command: &clap::Command, before: &str) -> Vec<(String, String)> {
        let name = format!("{before}{}", command.get_name());
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let inner = command.get_subcommands().filter(|inner| !inner.is_hide_set());
        let below: Vec<_> = inner.flat_map(|inner| list_all(inner, &format!("{name} "))).collect();
        std::iter::once((name, examples)).chain(below).collect()
    }

    /// Examples are typed by people as they stand: each must be understood, and be of the command whose help it is in.
    #[test]
    fn every_command_has_an_example_that_is_understood() {
        let commands = list_all(&Arguments::command(), "");
        assert!(commands.len() > 28, "{commands:?}");
        for (name, examples) in commands {
            let lines: Vec<&str> = examples.lines().filter_map(|line| line.strip_prefix("  ")).collect();
            assert!(!lines.is_empty() && examples.starts_with("Example"), "`{name}` has no example");
            for line in lines {
                let words = line.split(" > ").next().unwrap_or_default().split(' ');
                assert!(Arguments::try_parse_from(words).is_ok(), "`{line}` is not understood");
                assert!(name.split(' ').all(|word| line.split(' ').any(|typed| typed == word)), "`{line}` is not of `{name}`");
            }
        }
    }
}
