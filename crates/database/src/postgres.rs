//! The engine on PostgreSQL: the same tables, by the same descriptions, in a schema of the party's own. A commit is one
//! transaction, sent as one pipeline and answered in one round trip; the database itself gathers the flushes of those who commit
//! at once. Every process that opens the same schema is a node like any other: nothing is held here that another must know.

mod commit;
mod locks;
mod node;
mod schema;
mod seat;
mod value;

use crate::ReadError;
use crate::batch::{Batch, CommitError};
use crate::schema::Schema;
use crate::sqlite::OpenError;
use crate::table::{Row, Scan, Table, Value};
use crate::text::{self, Dialect, Shape};
use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls_platform_verifier::BuilderVerifierExt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// Connections of a process: those who commit keep one for a round trip, those who read as well.
const CONNECTIONS: usize = 16;
/// How long somebody waits for a connection, and for a database that does not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often this process has opened a database.
static NODES: AtomicUsize = AtomicUsize::new(0);
/// What the database ends by itself: a statement, and whoever holds a transaction open. In milliseconds.
const LONGEST_STATEMENT: u32 = 10_000;

/// A PostgreSQL database with a schema of ours.
#[derive(Clone)]
pub struct Postgres {
    pool: Pool,
    config: Config,
    schema: Arc<str>,
    /// Of this process, among those on the database.
    name: Arc<str>,
    seats: Arc<seat::Seats>,
    /// Whether the last commit could not be written.
    has_failed: Arc<AtomicBool>,
}

pub use node::{Node, Turn, Word};

impl Postgres {
    /// Refuses what is no address of a database; the text says why, and nothing of what it holds.
    pub fn check_url(url: &str) -> Result<(), OpenError> {
        url.parse::<Config>().map(drop).map_err(|error| OpenError::Address(told(&error)))
    }

    /// Opens the database at a `postgres://` URL, makes the party's schema or brings it up to date.
    pub async fn open(url: &str, password: Option<&str>, schema: &Schema<'_>) -> Result<Self, OpenError> {
        let (own, mut client) = Self::connect(url, password, schema.name).await?;
        schema::bring_up_to_date(&mut client, schema, &place_of(&own.config)).await?;
        drop(client);
        Ok(own)
    }

    /// The same, as the one process that serves it: another one that does so has it in its own form.
    pub(crate) async fn open_alone(url: &str, password: Option<&str>, schema: &Schema<'_>) -> Result<(Self, Node), OpenError> {
        let (own, mut client) = Self::connect(url, password, schema.name).await?;
        let alone = own.be_alone().await?;
        schema::bring_up_to_date(&mut client, schema, &place_of(&own.config)).await?;
        drop(client);
        Ok((own, alone))
    }

    /// The name of a schema that has been made.
    pub(crate) async fn find_made(url: &str, password: Option<&str>, schema: &str) -> Result<Option<String>, OpenError> {
        let (own, client) = Self::connect(url, password, schema).await?;
        let place = place_of(&own.config);
        match schema::is_made(&**client, schema).await {
            Ok(is_made) => Ok(is_made.then(|| format!("`{schema}` in the database {place}"))),
            Err(error) => Err(OpenError::Unreachable { place, what: told(&error) }),
        }
    }

    async fn connect(url: &str, password: Option<&str>, schema: &str) -> Result<(Self, Client), OpenError> {
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| OpenError::Address(told(&error)))?;
        if let Some(password) = password {
            config.password(password);
        }
        if !url.contains("sslmode=") && config.get_hosts().iter().any(is_elsewhere) {
            config.ssl_mode(SslMode::Require);
        }
        let place = place_of(&config);
        let fail = |what: String| OpenError::Unreachable { place: place.clone(), what };
        settle(&mut config, schema);
        let own = config.clone();
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, tls().map_err(|error| fail(error.to_string()))?, manager);
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(LONGEST_WAIT))
            .create_timeout(Some(LONGEST_WAIT))
            .build()
            .map_err(|error| fail(error.to_string()))?;
        let name = format!("{:x}{:x}", std::process::id(), NODES.fetch_add(1, Ordering::Relaxed));
        let name = format!("{name}-{:x}", RandomState::new().hash_one(0));
        let (name, seats) = (name.into(), Arc::default());
        let own = Self { pool, config: own, schema: schema.into(), name, seats, has_failed: Arc::default() };
        let client = own.client().await.map_err(|error| fail(error.to_string()))?;
        Ok((own, client))
    }

    async fn client(&self) -> Result<Client, ReadError> {
        self.pool.get().await.map_err(|error| ReadError::Unreadable(told_of_pool(&error)))
    }

    /// Rows of a text. A connection that broke while nobody used it is replaced once.
    async fn query(&self, text: &str, parameters: &[Value]) -> Result<Vec<tokio_postgres::Row>, ReadError> {
        let mut is_new_try = true;
        loop {
            let client = self.client().await?;
            let asked = async { client.query_raw(&client.prepare_cached(text).await?, parameters).await };
            let rows = async { futures_util::TryStreamExt::try_collect(asked.await?).await };
            match rows.await {
                Err(error) if is_new_try && client.is_closed() => {
                    tracing::debug!(error = told(&error), "a connection to the database broke");
                    is_new_try = false;
                }
                rows => return rows.map_err(|error| ReadError::Unreadable(told(&error))),
            }
        }
    }

    /// The row with this key.
    pub(crate) async fn get(&self, table: &'static Table, key: &[Value]) -> Result<Option<Row>, ReadError> {
        if key.iter().any(value::cannot_be_kept) {
            return Ok(None);
        }
        let rows = self.query(&text::text(Dialect::Postgres, table, Shape::Get), key).await?;
        rows.first().map(|row| value::read(row, table)).transpose()
    }

    /// Rows along a key or an index, in its order.
    pub(crate) async fn scan(&self, scan: &Scan<'_>) -> Result<Vec<Row>, ReadError> {
        if scan.prefix.iter().any(value::cannot_be_kept) {
            return Ok(Vec::new());
        }
        let (text, parameters) = walk(scan, false);
        let rows = self.query(&text, &parameters).await?;
        rows.iter().map(|row| value::read(row, scan.table)).collect()
    }

    /// How many rows are along a key or an index, up to the limit.
    pub(crate) async fn count(&self, scan: &Scan<'_>) -> Result<usize, ReadError> {
        if scan.prefix.iter().any(value::cannot_be_kept) {
            return Ok(0);
        }
        let (text, parameters) = walk(scan, true);
        let rows = self.query(&text, &parameters).await?;
        let count =
            rows.first().map(|row| row.try_get::<_, i64>(0)).transpose().map_err(|error| ReadError::Unreadable(told(&error)))?;
        // no answer is not none: what is counted is held against a limit
        let count = count.and_then(|count| usize::try_from(count).ok());
        count.ok_or_else(|| ReadError::Unreadable("the database does not say how many there are".to_owned()))
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Carries the batch out, whole or not at all; durable when it returns. It is carried out to its end, whoever still waits for
    /// it: a connection goes back with nothing begun on it. [`CommitError::Unavailable`] also says that nobody knows whether it
    /// happened, where the connection broke and the database did not tell for a while.
    pub(crate) async fn commit(&self, batch: Batch, word: Option<String>) -> Result<(), CommitError> {
        let own = self.clone();
        let carried_out = tokio::spawn(async move {
            let answer = commit::carry_out(&own, &batch, word.as_deref()).await;
            own.has_failed.store(matches!(answer, Err(CommitError::Unavailable(_))), Ordering::Relaxed);
            answer
        });
        carried_out.await.unwrap_or_else(|error| Err(CommitError::Unavailable(error.to_string())))
    }
}

fn walk(scan: &Scan<'_>, counted: bool) -> (Arc<str>, Vec<Value>) {
    let after = scan.after.clone().map(|after| value::begin(after, scan.descending));
    text::walk(Dialect::Postgres, &Scan { after, ..*scan }, counted)
}

/// What holds for every connection of ours, whatever the URL says.
fn settle(config: &mut Config, schema: &str) {
    let theirs = config.get_options().map(|options| format!("{options} ")).unwrap_or_default();
    let limit = LONGEST_STATEMENT;
    config.options(format!(
        "{theirs}-c search_path={schema} -c statement_timeout={limit} -c idle_in_transaction_session_timeout={limit} \
         -c tcp_keepalives_idle=3 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c default_transaction_isolation=read\\ committed"
    ));
    // a standby that still follows cannot be written
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    config.keepalives_idle(LONGEST_WAIT).tcp_user_timeout(LONGEST_WAIT * 2);
    if config.get_application_name().is_none() {
        config.application_name("wayleave");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(LONGEST_WAIT);
    }
}

/// Whether what is sent there passes a network: then it is sent by TLS, unless the address says otherwise.
fn is_elsewhere(host: &Host) -> bool {
    let is_loopback = |name: &str| name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    matches!(host, Host::Tcp(name) if !is_loopback(name))
}

fn tls() -> Result<tokio_postgres_rustls::MakeRustlsConnect, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(tokio_postgres_rustls::MakeRustlsConnect::new(config.with_platform_verifier()?.with_no_client_auth()))
}

/// Where the database is, without user and password.
fn place_of(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    format!("{} at {hosts}", config.get_dbname().unwrap_or("the default database"))
}

/// What went wrong, with its causes: the first line alone says little.
fn told(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn told_of_pool(error: &deadpool_postgres::PoolError) -> String {
    match error {
        deadpool_postgres::PoolError::Backend(error) => told(error),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_a_network_is_sent_by_tls() {
        let of = |url: &str| url.parse::<Config>().unwrap().get_hosts().iter().any(is_elsewhere);
        assert!(of("postgres://a@db.example/b") && of("postgres://a@192.0.2.1/b") && of("postgres://a@localhost,db.example/b"));
        assert!(!of("postgres://a@localhost/b") && !of("postgres://a@127.0.0.1/b") && !of("postgres://a@%2Fvar%2Frun/b"));
    }
}
