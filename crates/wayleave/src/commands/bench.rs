//! `wayleave bench server`: requests a second, p50, p99, CPU microseconds of the server a request, and the
//! ratio to a yardstick in the same run on the same cores - an axum handler that reads the same form and
//! answers a constant JSON of the same length; for grants one that also runs the very same statements by
//! group commit, and makes one signature where a JWT is issued. Everything stays on loopback, and ends by
//! itself.

mod desk;
mod gateway;
mod load;
mod setup;
mod signed;
mod yardstick;

use crate::{Exit, say};
use load::{Load, Measured};
use setup::Field;
use std::time::Duration;

#[derive(clap::Subcommand)]
pub enum Bench {
    /// The authorization server's rows
    #[command(after_help = "Example:\n  wayleave bench server --seconds 3 --only grant")]
    Server(Options),
    /// The desk, over twenty servers of which one is dead
    #[command(after_help = "Example:\n  wayleave bench desk --things 20000")]
    Desk(desk::Options),
    /// The gateway, beside nginx
    #[command(after_help = "Example:\n  wayleave bench gateway --seconds 3")]
    Gateway(gateway::Options),
    /// The server that the rows are measured against (started by the other)
    #[command(hide = true)]
    Yardstick(yardstick::Options),
}

#[derive(clap::Args)]
pub struct Options {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Interleaved rounds of each row; the best of each side counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Live RPTs in the large row; 0 leaves it out
    #[arg(long, default_value_t = 100_000)]
    many: usize,
    /// Resources and policies in the growth row; 0 leaves it out
    #[arg(long, default_value_t = 100_000)]
    growth: usize,
    /// Only rows whose name holds this
    #[arg(long, default_value = "")]
    only: String,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }
}

/// Live RPTs in the small row.
const FEW: usize = 10_000;

/// Runs it.
pub async fn run(bench: Bench) -> Result<(), Exit> {
    match bench {
        Bench::Yardstick(options) => yardstick::run(options).await,
        Bench::Server(options) => server(&options).await,
        Bench::Desk(options) => desk::run(&options).await,
        Bench::Gateway(options) => gateway::run(&options).await,
    }
}

async fn server(options: &Options) -> Result<(), Exit> {
    say::line(&format!("{} rounds of {} s, 64 connections; the best round of each side", options.rounds, options.seconds));
    say::line(&format!(
        "{:46} {:>9} {:>8} {:>8} {:>8} {:>9} {:>6}",
        "row", "req/s", "p50 us", "p99 us", "CPU us", "yardstick", "ratio"
    ));
    let field = Field::start(FEW, 0).await?;
    let introspection = field.introspection(64);
    row(options, &format!("introspection, {FEW} live RPTs"), &field, &introspection, "plain").await?;
    row(options, "permission ticket, one resource", &field, &field.tickets(), "plain").await?;
    grants(options, &field, "ticket to opaque RPT", "viewer", "grant").await?;
    grants(options, &field, "ticket to Ed25519 JWT RPT", "jwt-viewer", "jwt").await?;
    if options.wants("500 resources") {
        let large = field.many_at_once(500, 40).await?.run_once(&field.server).await?;
        say::line(&format!("an RPT over 500 resources: {:.2} ms of CPU", large.cpu / 1000.0));
    }
    drop(field);
    growth(options).await?;
    start(options).await?;
    let name = format!("introspection, {} live RPTs", options.many);
    if options.many > 0 && options.wants(&name) {
        let field = Field::start(options.many, 0).await?;
        row(options, &name, &field, &field.introspection(64), "plain").await?;
        say::line(&format!("resident memory with {} live RPTs: {} MiB", options.many, field.resident_mib()));
    }
    Ok(())
}

/// CPU of a grant beside so many resources and policies, against 1,000: the least of seven rounds each, in
/// turns.
async fn growth(options: &Options) -> Result<(), Exit> {
    if options.growth == 0 || !options.wants("growth") {
        return Ok(());
    }
    let (small, large) = (Field::start(1, 1_000).await?, Field::start(1, options.growth).await?);
    let (mut few, mut many) = (f64::MAX, f64::MAX);
    for _ in 0..7 {
        few = few.min(small.grants("viewer", 4_000).await?.run_once(&small.server).await?.cpu);
        many = many.min(large.grants("viewer", 4_000).await?.run_once(&large.server).await?.cpu);
    }
    let growth = options.growth;
    say::line(&format!(
        "a grant beside {growth} resources and policies: {many:.0} us of CPU, beside 1000: {few:.0}; {:.2} times",
        many / few
    ));
    Ok(())
}

async fn start(options: &Options) -> Result<(), Exit> {
    if !options.wants("start") {
        return Ok(());
    }
    let mut field = Field::start(FEW, 0).await?;
    let mut took = u128::MAX;
    for _ in 0..options.rounds {
        took = took.min(field.restart().await?);
    }
    say::line(&format!(
        "start to first answer on an existing store: {took} ms; resident memory then: {} MiB",
        field.resident_mib()
    ));
    Ok(())
}

/// One row: the server and the yardstick in turns.
async fn row(options: &Options, name: &str, field: &Field, load: &Load, yardstick: &str) -> Result<(), Exit> {
    if !options.wants(name) {
        return Ok(());
    }
    let length = load.answer_length(&field.server).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // warm: each request was made once
    load.run_once(&field.server).await?;
    for _ in 0..options.rounds {
        let time = Duration::from_secs(options.seconds);
        ours.push(load.run(&field.server, time).await?);
        theirs.push(load.at_yardstick(yardstick, length).run(&field.yardstick, time).await?);
    }
    print(name, best(ours), best(theirs));
    Ok(())
}

/// A ticket is good once, so each round brings its own; making them is not measured.
async fn grants(options: &Options, field: &Field, name: &str, client: &str, yardstick: &str) -> Result<(), Exit> {
    if !options.wants(name) {
        return Ok(());
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let load = field.grants(client, usize::try_from(options.seconds).unwrap_or(3).saturating_mul(4_000)).await?;
        let length = 420;
        let measured = load.run_once(&field.server).await?;
        theirs.push(load.at_yardstick(yardstick, length).run_once(&field.yardstick).await?);
        ours.push(measured);
    }
    print(name, best(ours), best(theirs));
    Ok(())
}

fn best(rounds: Vec<Measured>) -> Measured {
    rounds.into_iter().max_by(|a, b| a.per_second.total_cmp(&b.per_second)).unwrap_or_default()
}

fn print(name: &str, ours: Measured, theirs: Measured) {
    say::line(&format!(
        "{name:46} {:9.0} {:8} {:8} {:8.1} {:9.0} {:6.2}",
        ours.per_second,
        ours.p50,
        ours.p99,
        ours.cpu,
        theirs.per_second,
        ours.per_second / theirs.per_second.max(1.0)
    ));
}
