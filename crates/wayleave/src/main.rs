//! `wayleave`: one binary, a subcommand per party of User-Managed Access.

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use wayleave::commands;
use wayleave::config::Config;
use wayleave::{Exit, demo};

/// What is left of the work when the command has ended gets so long.
const LAST_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// Many small allocations on few threads: measured a sixth faster than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// People decide who may reach their data, wherever it lies.
#[derive(Parser)]
#[command(name = "wayleave", version, about, propagate_version = true)]
struct Arguments {
    /// Configuration file [default: wayleave.toml, if it is there; `get` reads the one that is named here alone]
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Form of the log on standard error
    #[arg(long, global = true, value_enum, default_value_t = LogForm::Text)]
    log: LogForm,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogForm {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Run an authorization server
    Server,
    /// Run a resource server in front of a folder or an HTTP service
    Gateway,
    /// Run a relationship manager: an owner's one desk over many servers
    Manager,
    /// Run a whole ecosystem on loopback, and play a story in it
    Demo(demo::Options),
    /// Fetch a protected URL, walking the whole UMA flow
    Get(commands::get::Options),
    /// The project's benchmarks, each beside its yardstick
    Bench {
        #[command(subcommand)]
        bench: commands::bench::Bench,
    },
    /// The server's signing keys
    Key {
        #[command(subcommand)]
        action: KeyAction,
    },
    /// Clients of the server
    Client {
        #[command(subcommand)]
        action: ClientAction,
    },
    /// Keys of resource owners
    Credential {
        #[command(subcommand)]
        action: commands::credential::Credential,
    },
    /// Resource owner tokens: what an owner signs herself
    Rot {
        #[command(subcommand)]
        action: commands::credential::Rot,
    },
    /// Owners' events
    Audit {
        #[command(subcommand)]
        action: AuditAction,
    },
    /// Copy the store to a file, while it is in use
    Backup { file: PathBuf },
    /// Put a backup in the place of the store, while nothing runs on it
    Restore { file: PathBuf },
    /// Check or show the configuration
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
}

#[derive(Subcommand)]
enum KeyAction {
    /// Make new signing keys; the old ones stay published for a month
    Rotate,
}

#[derive(Subcommand)]
enum ClientAction {
    /// Send somebody a token by which to register a client of their domain, once
    Invite {
        /// Their e-mail address
        address: String,
    },
}

#[derive(Subcommand)]
enum AuditAction {
    /// Hold heads that somebody kept against the store: is an event lost, or another?
    Verify {
        /// File of `Event-Head`s, one a line
        #[arg(long)]
        head: PathBuf,
    },
    /// Take somebody who asked for access out of every owner's history; the chains still verify
    Erase {
        /// Their e-mail address
        #[arg(long)]
        email: String,
    },
}

#[derive(Subcommand)]
enum ConfigAction {
    /// Say whether the configuration works
    Check,
    /// Print the effective configuration, secrets hidden
    Show,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,wayleave=info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match arguments.log {
        LogForm::Text => log.init(),
        LogForm::Json => log.json().init(),
    }
    wayleave::serve::raise_open_files();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(Exit::failed(error)),
    };
    let done = runtime.block_on(run(arguments));
    // what still waits for somebody else's name or answer does not keep the process
    runtime.shutdown_timeout(LAST_WAIT);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => end(exit),
    }
}

fn end(exit: Exit) -> ExitCode {
    use std::io::Write;
    let (status, what) = match exit {
        Exit::Failed(what) => (1, what),
        Exit::Usage(what) => (2, what),
    };
    let _ = writeln!(std::io::stderr(), "wayleave: {what}");
    ExitCode::from(status)
}

async fn run(arguments: Arguments) -> Result<(), Exit> {
    let config = || Config::load(arguments.config.as_deref(), std::env::vars());
    match arguments.command {
        Command::Server => commands::server::run(&config()?).await,
        Command::Gateway => {
            let place = arguments.config.clone();
            let reload = move || Config::load(place.as_deref(), std::env::vars());
            commands::gateway::run(&config()?, reload).await
        }
        Command::Manager => commands::manager::run(&config()?).await,
        Command::Demo(options) => demo::run(options).await,
        Command::Get(options) => {
            // what lies in the folder by chance says nothing of where secrets go
            let named = arguments.config.as_ref().map(|_| config()).transpose()?;
            commands::get::run(options, named.as_ref()).await
        }
        Command::Bench { bench } => commands::bench::run(bench).await,
        Command::Key { action: KeyAction::Rotate } => commands::store::rotate_keys(&config()?).await,
        Command::Client { action: ClientAction::Invite { address } } => commands::store::invite(&config()?, &address).await,
        Command::Audit { action: AuditAction::Verify { head } } => commands::store::verify_heads(&config()?, &head).await,
        Command::Audit { action: AuditAction::Erase { email } } => commands::store::erase(&config()?, &email).await,
        Command::Credential { action } => commands::credential::run(action),
        Command::Rot { action } => commands::credential::rot(action),
        Command::Backup { file } => commands::store::backup(&config()?, &file),
        Command::Restore { file } => commands::store::restore(&config()?, &file).await,
        Command::Config { action: ConfigAction::Check } => commands::config::check(&config()?),
        Command::Config { action: ConfigAction::Show } => config()?.show().map(|text| wayleave::say::line(&text)),
    }
}
