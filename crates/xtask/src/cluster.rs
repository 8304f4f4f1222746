//! A PostgreSQL for tests, gone with whoever started it. Read by the tests of `database` as well, which break theirs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian has its programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

pub(crate) struct Cluster {
    folder: PathBuf,
    /// `postgres://` of an empty database.
    pub(crate) url: String,
}

impl Cluster {
    pub(crate) fn start() -> Result<Self, String> {
        let unique = format!("wayleave-postgres-{}-{:?}", std::process::id(), std::thread::current().id());
        let folder = std::env::temp_dir().join(unique.replace(['(', ')'], "-"));
        std::fs::create_dir_all(&folder).map_err(told)?;
        std::os::unix::fs::chown(&folder, owner()?, None).map_err(told)?;
        let host = folder.display().to_string().replace('/', "%2F");
        let cluster = Self { folder, url: format!("postgres://postgres@{host}/postgres") };
        cluster.run(&["initdb", "--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8"])?;
        let socket = cluster.folder.display();
        let settings = format!("-c listen_addresses='' -c unix_socket_directories={socket} -c fsync=off -c max_connections=500");
        cluster.run(&["pg_ctl", "start", "--wait", "--silent", &format!("--options={settings}")])?;
        Ok(cluster)
    }

    fn run(&self, program: &[&str]) -> Result<(), String> {
        let status = command(program, &self.folder.join("data"))?.status().map_err(told)?;
        let name = program.first().copied().unwrap_or_default();
        if status.success() { Ok(()) } else { Err(format!("{name} of postgresql-15: {status}")) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Ok(mut stop) = command(&["pg_ctl", "stop", "--mode=immediate", "--silent"], &self.folder.join("data")) {
            let _ = stop.status();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn told(error: std::io::Error) -> String {
    format!("postgresql-15: {error}")
}

/// Who runs PostgreSQL, which does not run as root.
fn owner() -> Result<Option<u32>, String> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().map_err(told)?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        text.parse::<u32>().map_err(|_| format!("`id {}` says `{text}`", arguments.join(" ")))
    };
    if id(&["-u"])? == 0 { id(&["-u", "postgres"]).map(Some) } else { Ok(None) }
}

fn command(program: &[&str], data: &Path) -> Result<Command, String> {
    let (name, arguments) = program.split_first().ok_or("no program")?;
    let path = format!("{PROGRAMS}/{name}");
    let mut command = match owner()? {
        Some(_) => {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", &path]);
            command
        }
        None => Command::new(path),
    };
    command.args(arguments).arg("--pgdata").arg(data).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}
