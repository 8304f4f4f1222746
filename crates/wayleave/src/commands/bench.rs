//! `wayleave bench server`: requests a second, p50, p99, CPU microseconds and bytes written by the server for each, and the
//! ratio to a yardstick in the same run. Whoever is measured runs alone on one core; the load has the others. The yardstick of what
//! writes nothing is an axum handler that reads the same form and answers a constant JSON of the same length. That of a grant is
//! the least program that writes the same rows, by SQLite alone, beside an equally filled file; that of a grant on PostgreSQL is
//! `pgbench`. Everything stays on loopback, and ends by itself.

mod desk;
mod gateway;
mod least;
mod load;
mod pgbench;
mod setup;
mod signed;
mod yardstick;

use crate::{Exit, say};
use load::{Load, Measured};
use setup::{Field, Filled};
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
    /// Live RPTs in the large rows; 0 leaves them out
    #[arg(long, default_value_t = 100_000)]
    many: usize,
    /// Resources and policies in the growth row; 0 leaves it out
    #[arg(long, default_value_t = 100_000)]
    growth: usize,
    /// An empty PostgreSQL database, for the row of grants on it
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
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
        "{:46} {:>9} {:>8} {:>8} {:>8} {:>9} {:>6} {:>8} {:>6} {:>8} {:>8}",
        "row", "req/s", "p50 us", "p99 us", "CPU us", "yardstick", "ratio", "its CPU", "times", "bytes", "its"
    ));
    let field = Field::start(Filled { rpts: FEW, ..Filled::default() }).await?;
    let introspection = field.introspection(64);
    row(options, &format!("introspection, {FEW} live RPTs"), &field, &introspection, "plain").await?;
    row(options, "permission ticket, one resource", &field, &field.tickets(), "plain").await?;
    grants(options, &field, "ticket to opaque RPT", "viewer", "grant").await?;
    grants(options, &field, "ticket to Ed25519 JWT RPT", "jwt-viewer", "jwt").await?;
    if options.wants("500 resources") {
        let large = field.many_at_once(500, 40).await?.run_once(&field.server).await?;
        let one = field.grants("viewer", 4_000).await?.run_once(&field.server).await?;
        let (ms, times) = (large.cpu / 1000.0, large.cpu / one.cpu);
        say::line(&format!("an RPT over 500 resources: {ms:.2} ms of CPU, as much as {times:.1} grants over one"));
    }
    drop(field);
    growth(options).await?;
    start(options).await?;
    on_postgres(options).await?;
    if options.many == 0 {
        return Ok(());
    }
    let (read, granted) =
        (format!("introspection, {} live RPTs", options.many), format!("opaque RPT, {} live RPTs", options.many));
    if options.wants(&read) || options.wants(&granted) {
        let field = Field::start(Filled { rpts: options.many, ..Filled::default() }).await?;
        say::line(&format!("resident memory beside {} live RPTs, idle: {} MiB", options.many, field.resident_mib()));
        row(options, &read, &field, &field.introspection(64), "plain").await?;
        grants(options, &field, &granted, "viewer", "grant").await?;
        say::line(&format!("resident memory with {} live RPTs: {} MiB", options.many, field.resident_mib()));
    }
    Ok(())
}

/// CPU of a grant beside so many resources with a policy each, against 1,000: tickets are for all of them in turn. The least of
/// seven rounds each, in turns.
async fn growth(options: &Options) -> Result<(), Exit> {
    if options.growth == 0 || !options.wants("growth") {
        return Ok(());
    }
    let beside = |others| Filled { rpts: 1, others, postgres: None };
    let (small, large) = (Field::start(beside(1_000)).await?, Field::start(beside(options.growth)).await?);
    let (mut few, mut many) = (f64::MAX, f64::MAX);
    for _ in 0..7 {
        few = few.min(small.grants_spread("viewer", 4_000).await?.run_once(&small.server).await?.cpu);
        many = many.min(large.grants_spread("viewer", 4_000).await?.run_once(&large.server).await?.cpu);
    }
    let growth = options.growth;
    say::line(&format!(
        "growth: a grant of one of {growth} resources: {many:.0} us of CPU, of one of 1000: {few:.0}; {:.2} times",
        many / few
    ));
    Ok(())
}

/// A grant on PostgreSQL, beside the same rows by `pgbench`, in turns.
async fn on_postgres(options: &Options) -> Result<(), Exit> {
    let Some(url) = options.postgres.as_deref().filter(|_| options.wants("grant on PostgreSQL")) else { return Ok(()) };
    let field = Field::start(Filled { rpts: FEW, postgres: Some(url), ..Filled::default() }).await?;
    let (mut ours, mut theirs) = (Vec::new(), 0_f64);
    for _ in 0..options.rounds {
        let load = field.grants("viewer", usize::try_from(options.seconds).unwrap_or(3).saturating_mul(4_000)).await?;
        ours.push(load.run_once(&field.server).await?);
        theirs = theirs.max(pgbench::run(url, field.folder(), Duration::from_secs(options.seconds)).await?);
    }
    print("grant on PostgreSQL, beside pgbench", best(ours), Measured { per_second: theirs, ..Measured::default() });
    Ok(())
}

async fn start(options: &Options) -> Result<(), Exit> {
    if !options.wants("start") {
        return Ok(());
    }
    let mut field = Field::start(Filled { rpts: FEW, ..Filled::default() }).await?;
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
    let of = |ours: f64, theirs: f64| if theirs > 0.0 { ours / theirs } else { f64::NAN };
    say::line(&format!(
        "{name:46} {:9.0} {:8} {:8} {:8.1} {:9.0} {:6.2} {:8.1} {:6.2} {:8.0} {:8.0}",
        ours.per_second,
        ours.p50,
        ours.p99,
        ours.cpu,
        theirs.per_second,
        of(ours.per_second, theirs.per_second),
        theirs.cpu,
        of(ours.cpu, theirs.cpu),
        ours.written,
        theirs.written,
    ));
}
