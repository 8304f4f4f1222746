//! `wayleave`: one binary, a subcommand per party of User-Managed Access.

use clap::{CommandFactory, Parser};
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use wayleave::command_line::{Arguments, AuditAction, ClientAction, Command, ConfigAction, KeyAction, LogForm};
use wayleave::commands;
use wayleave::config::Config;
use wayleave::{Exit, demo};

/// What is left of the work when the command has ended gets so long.
const LAST_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// Many small allocations on few threads: measured a sixth faster than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(status) = commands::thumbnail::run_if_asked(std::env::args_os()) {
        return status;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    start_log(&arguments);
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

/// On standard error, without colours where nobody looks at them. A demo tells by itself what happens: what a story provokes
/// is no news.
fn start_log(arguments: &Arguments) {
    let usual = if matches!(arguments.command, Command::Demo(_)) { "error" } else { "warn,wayleave=info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match arguments.log {
        LogForm::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogForm::Json => log.json().init(),
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
        Command::Server => {
            let config = config()?;
            commands::server::run(&config).await.map_err(|exit| config.locate(exit))
        }
        Command::Gateway => {
            let place = arguments.config.clone();
            let reload = move || Config::load(place.as_deref(), std::env::vars());
            let config = config()?;
            commands::gateway::run(&config, reload).await.map_err(|exit| config.locate(exit))
        }
        Command::Manager => {
            let config = config()?;
            commands::manager::run(&config).await.map_err(|exit| config.locate(exit))
        }
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
        Command::Backup { file, party } => commands::backup::backup(&config()?, &file, party),
        Command::Restore { file, party } => commands::backup::restore(&config()?, &file, party).await,
        Command::Config { action: ConfigAction::Check } => commands::config::check(&config()?).await,
        Command::Completions { shell } => commands::handbook::write_completions(Arguments::command(), shell),
        Command::Man { folder } => commands::handbook::write_man_pages(Arguments::command(), &folder),
        Command::Config { action: ConfigAction::Show } => config()?.show().map(|text| wayleave::say::line(&text)),
    }
}
