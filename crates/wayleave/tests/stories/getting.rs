//! `wayleave get -o FILE` (C-9): the file is replaced when everything has come, and only then, whatever goes wrong.

use crate::gateway::{Guarded, admitted};
use crate::processes::{Folder, LONGEST, Server};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A service that answers with these bytes, and then ends the connection or holds it.
#[derive(Clone, Default)]
struct Service {
    answer: Arc<Mutex<Vec<u8>>>,
}

/// At the end of an answer: the connection stays as it is.
const HOLD: &[u8] = b"<hold>";

impl Service {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = self.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = service.answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
                tokio::spawn(async move {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) > 0 {
                        head.push(byte[0]);
                    }
                    let held = answer.strip_suffix(HOLD);
                    let _ = stream.write_all(held.unwrap_or(&answer)).await;
                    if held.is_some() {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        url
    }

    fn answers(&self, answer: impl AsRef<[u8]>) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer.as_ref().to_owned();
    }
}

fn whole(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn get(folder: &Path, url: &str, target: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wayleave"));
    command.args(["get", url, "-o", target, "--client-id", "viewer", "--client-secret-file", "secret"]).current_dir(folder);
    command.stderr(Stdio::piped());
    command
}

/// What is in a folder, but for the secret.
fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "secret" && name != "claim").collect();
    names.sort();
    names
}

fn assert_left_alone(output: &Output, folder: &Path, what: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{what}: {said}");
    assert_eq!(std::fs::read(folder.join("picture.jpg")).unwrap(), b"old", "{what}: {said}");
    assert_eq!(names(folder), ["picture.jpg"], "{what}: {said}");
}

const BROKEN: [&str; 9] = [
    "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nConnection: close\r\n\r\nerror",
    "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nerror",
    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 4\r\nConnection: close\r\n\r\npart",
    "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 90000\r\nConnection: close\r\n\r\nhalf of it",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n50\r\nabc",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\nzz\r\nabc",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n",
    "HTTP/1.1 200",
];

#[tokio::test(flavor = "multi_thread")]
async fn threat_44_c09_what_does_not_come_whole_replaces_nothing() {
    let service = Service::default();
    let url = service.start().await;
    let folder = Folder::new();
    std::fs::write(folder.0.join("secret"), "viewer-secret").unwrap();
    std::fs::write(folder.0.join("picture.jpg"), "old").unwrap();
    for answer in BROKEN {
        service.answers(answer);
        assert_left_alone(&get(&folder.0, &url, "picture.jpg").output().unwrap(), &folder.0, answer);
    }
    service.answers(whole(b"new"));
    for target in [".", "picture.jpg/", "no-such-folder/picture.jpg", "/dev/full"] {
        assert_left_alone(&get(&folder.0, &url, target).output().unwrap(), &folder.0, target);
    }
    // a file that may not be written, and a link that leads nowhere
    let (place, link) = (folder.0.join("picture.jpg"), folder.0.join("link.jpg"));
    let mut permissions = std::fs::metadata(&place).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&place, permissions.clone()).unwrap();
    assert_left_alone(&get(&folder.0, &url, "picture.jpg").output().unwrap(), &folder.0, "read-only");
    #[allow(clippy::permissions_set_readonly_false, reason = "the file is made and removed by this test")]
    permissions.set_readonly(false);
    std::fs::set_permissions(&place, permissions).unwrap();
    std::os::unix::fs::symlink("nowhere.jpg", &link).unwrap();
    let output = get(&folder.0, &url, "link.jpg").output().unwrap();
    assert!(output.status.code() == Some(1) && std::fs::symlink_metadata(&link).unwrap().is_symlink());
    std::fs::remove_file(&link).unwrap();
    assert_eq!(names(&folder.0), ["picture.jpg"]);
    std::os::unix::fs::symlink("picture.jpg", &link).unwrap();
    assert!(get(&folder.0, &url, "link.jpg").output().unwrap().status.success());
    assert!(std::fs::read(&place).unwrap() == b"new" && std::fs::symlink_metadata(&link).unwrap().is_symlink());
}

/// The same for what is protected, whose content is written piece by piece.
#[tokio::test(flavor = "multi_thread")]
async fn threat_44_c09_a_download_that_is_cut_leaves_the_old_file() {
    let (server, service) = (Server::start(""), Service::default());
    service.answers(whole(b"picture"));
    let guarded = Guarded::start(&server, &service.start().await);
    admitted(&server, &guarded, 1).await;
    let folder = Folder::new();
    std::fs::write(folder.0.join("secret"), "viewer-secret").unwrap();
    std::fs::write(folder.0.join("picture.jpg"), "old").unwrap();
    let mut serial = 1;
    let mut getting = |more: &str| {
        serial += 1;
        std::fs::write(folder.0.join("claim"), server.id_token(serial)).unwrap();
        let mut command = get(&folder.0, &guarded.photo(), "picture.jpg");
        command.args(["--claim-token-file", "claim"]);
        if more.is_empty() {
            return command;
        }
        // a disk that is full after so much
        let mut limited = Command::new("sh");
        let arguments: Vec<_> = command.get_args().map(|one| one.to_str().unwrap().to_owned()).collect();
        let script = format!("trap '' XFSZ; ulimit -f {more}; exec \"$0\" \"$@\"");
        limited.args(["-c", &script, env!("CARGO_BIN_EXE_wayleave")]).args(arguments).current_dir(&folder.0);
        limited.stderr(Stdio::piped());
        limited
    };
    for answer in BROKEN {
        service.answers(answer);
        assert_left_alone(&getting("").output().unwrap(), &folder.0, answer);
    }
    let long = vec![7; 3_000_000];
    service.answers(whole(&long));
    assert_left_alone(&getting("100").output().unwrap(), &folder.0, "a full disk");
    // killed in the middle: the old file is whole, and the next run sweeps
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", long.len());
    service.answers([head.as_bytes(), &long[..2_000_000], HOLD].concat());
    let mut killed = getting("").spawn().unwrap();
    let begun = Instant::now();
    while names(&folder.0).len() < 2 {
        assert!(begun.elapsed() < LONGEST, "it must begin");
        tokio::task::yield_now().await;
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!((std::fs::read(folder.0.join("picture.jpg")).unwrap(), names(&folder.0).len()), (b"old".to_vec(), 2));
    service.answers(whole(&long));
    let output = getting("").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((std::fs::read(folder.0.join("picture.jpg")).unwrap(), names(&folder.0)), (long, vec!["picture.jpg".to_owned()]));
}
