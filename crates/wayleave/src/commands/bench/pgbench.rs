//! What PostgreSQL itself makes of the same rows: `pgbench`, which is part of PostgreSQL, with the statements of a grant.

use crate::Exit;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Connections, as many as the server is asked over.
const CONNECTIONS: &str = "64";

const SCHEMA: &str = "wayleave_pgbench";

const TABLES: &str = "
    DROP SCHEMA IF EXISTS wayleave_pgbench CASCADE;
    CREATE SCHEMA wayleave_pgbench;
    SET search_path TO wayleave_pgbench;
    CREATE TABLE thing (id TEXT PRIMARY KEY, version BIGINT NOT NULL);
    INSERT INTO thing VALUES ('resource', 0), ('link', 0), ('consent', 0);
    CREATE TABLE rpt (place BIGINT PRIMARY KEY, hash BYTEA NOT NULL, family TEXT NOT NULL, expires BIGINT NOT NULL, body BYTEA NOT NULL);
    CREATE INDEX ON rpt (family);
    CREATE TABLE refresh_token (place BIGINT PRIMARY KEY, hash BYTEA NOT NULL, family TEXT NOT NULL, version BIGINT NOT NULL,
        expires BIGINT NOT NULL, body BYTEA NOT NULL);
    CREATE INDEX ON refresh_token (family);
    CREATE TABLE spent (hour BIGINT, kind TEXT, issuer TEXT, id TEXT, PRIMARY KEY (hour, kind, issuer, id));
    CREATE TABLE event (owner TEXT, id TEXT, body BYTEA NOT NULL, PRIMARY KEY (owner, id));";

/// Places and names lie in the order of time, as those of a grant do.
const GRANT: &str = r"
\set random random(1, 4000000000)
\set other random(1, 4000000000)
BEGIN;
SELECT version FROM wayleave_pgbench.thing WHERE id = 'resource';
SELECT version FROM wayleave_pgbench.thing WHERE id = 'link';
SELECT version FROM wayleave_pgbench.thing WHERE id = 'consent';
INSERT INTO wayleave_pgbench.rpt VALUES ((extract(epoch FROM now())::bigint << 32) | :random, decode(repeat(md5(:random::text), 2), 'hex'),
    to_hex(extract(epoch FROM now())::bigint) || md5(:random::text), 0, decode(repeat('78', 400), 'hex'));
INSERT INTO wayleave_pgbench.refresh_token VALUES ((extract(epoch FROM now())::bigint << 32) | :other, decode(repeat(md5(:other::text), 2), 'hex'),
    to_hex(extract(epoch FROM now())::bigint) || md5(:random::text), 0, 0, decode(repeat('78', 600), 'hex'));
INSERT INTO wayleave_pgbench.spent VALUES (extract(epoch FROM now())::bigint / 3600, 'ticket', '', to_hex(extract(epoch FROM now())::bigint) || md5(:other::text));
INSERT INTO wayleave_pgbench.event VALUES ('abcdefghijklmnopqrstuv', to_hex(extract(epoch FROM now())::bigint) || md5(:other::text), decode(repeat('78', 400), 'hex'));
COMMIT;
";

/// The same rows as often as it can, for so long: a second.
pub(super) async fn run(url: &str, folder: &Path, time: Duration) -> Result<f64, Exit> {
    run_program("psql", &["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--command", TABLES, url], folder).await?;
    std::fs::write(folder.join("grant.sql"), GRANT).map_err(Exit::failed)?;
    let seconds = time.as_secs().max(1).to_string();
    let asked =
        ["--no-vacuum", "--protocol=prepared", "--client", CONNECTIONS, "--jobs=1", "--time", &seconds, "--file=grant.sql", url];
    let told = run_program("pgbench", &asked, folder).await?;
    let drop = format!("DROP SCHEMA {SCHEMA} CASCADE");
    run_program("psql", &["--quiet", "--no-psqlrc", "--command", &drop, url], folder).await?;
    let line = told.lines().find_map(|line| line.strip_prefix("tps = "));
    let number = line.and_then(|rest| rest.split(' ').next()).and_then(|number| number.parse().ok());
    number.ok_or_else(|| Exit::failed(format!("pgbench says no `tps`: {told}")))
}

async fn run_program(name: &str, arguments: &[&str], folder: &Path) -> Result<String, Exit> {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| Exit::failed(format!("`{name}`, of PostgreSQL: {error}")))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Exit::failed(format!("`{name}`: {}", String::from_utf8_lossy(&output.stderr)))),
    }
}
