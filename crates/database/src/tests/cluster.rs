//! A PostgreSQL of a test's own, gone with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tokio_postgres::NoTls;

/// Where Debian has its programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

pub(super) struct Cluster {
    folder: PathBuf,
    /// `postgres://` of an empty database.
    pub(super) url: String,
}

impl Cluster {
    pub(super) fn start() -> Self {
        let unique = format!("wayleave-postgres-{}-{:?}", std::process::id(), std::thread::current().id());
        let folder = std::env::temp_dir().join(unique.replace(['(', ')'], "-"));
        std::fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::chown(&folder, owner(), None).unwrap();
        let host = folder.display().to_string().replace('/', "%2F");
        let cluster = Self { folder, url: format!("postgres://postgres@{host}/postgres") };
        cluster.run(&["initdb", "--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8"]);
        let socket = cluster.folder.display();
        let settings = format!("-c listen_addresses='' -c unix_socket_directories={socket} -c fsync=off -c max_connections=200");
        cluster.run(&["pg_ctl", "start", "--wait", "--silent", &format!("--options={settings}")]);
        cluster
    }

    /// Ends everybody's connections.
    pub(super) async fn break_connections(&self) {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wayleave'";
        client.execute(end, &[]).await.unwrap();
    }

    fn run(&self, program: &[&str]) {
        let status = command(program, &self.folder.join("data")).status().unwrap();
        assert!(status.success(), "{} of postgresql-15: {status}", program[0]);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = command(&["pg_ctl", "stop", "--mode=immediate", "--silent"], &self.folder.join("data")).status();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// PostgreSQL does not run as root.
fn owner() -> Option<u32> {
    let id = |arguments: &[&str]| String::from_utf8(Command::new("id").args(arguments).output().unwrap().stdout).unwrap();
    (id(&["-u"]).trim() == "0").then(|| id(&["-u", "postgres"]).trim().parse().unwrap())
}

fn command(program: &[&str], data: &Path) -> Command {
    let (name, arguments) = program.split_first().unwrap();
    let path = format!("{PROGRAMS}/{name}");
    let mut command = match owner() {
        Some(_) => {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", &path]);
            command
        }
        None => Command::new(path),
    };
    command.args(arguments).arg("--pgdata").arg(data).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    command
}
