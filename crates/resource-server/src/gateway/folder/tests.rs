use super::*;
use crate::gateway::elsewhere::Elsewhere;
use crate::watch::{Permission, UploadLimits, WasCut, Watch, incoming};
use axum::body::Bytes;
use futures_util::future::BoxFuture;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

mod meanwhile;
mod reading;
mod trees;
mod writing;

fn served(root: PathBuf) -> Folder {
    let with = With { randomness: Arc::new(jose::SystemRandomness), clock: Arc::new(jose::ambient::SystemClock) };
    Folder::new(root, "https://files.example", with)
}

async fn is_there(folder: &Folder, path: &CanonicalPath) -> bool {
    folder.look_for(path).await.unwrap()
}

/// A call by somebody who may do everything, and its answer.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

async fn call(folder: &Folder, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let passing = Passing { principal: "bob".into(), ..Passing::by_itself() };
    call_as(folder, method, path, fields, body, passing).await
}

async fn call_as(folder: &Folder, method: &str, path: &str, fields: &[(&str, &str)], body: &str, passing: Passing) -> Answer {
    let mut parts = parts_of(method);
    for (name, value) in fields {
        parts.headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let path = CanonicalPath::parse(path).unwrap();
    let elsewhere = Elsewhere::read(&parts, &path, url::Url::parse("https://files.example").ok().as_ref()).unwrap();
    let answer = folder.serve(&parts, Body::from(body.to_owned()), &path, &Passing { elsewhere, ..passing }).await;
    let (head, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let body = String::from_utf8_lossy(&body).into_owned();
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}

impl Answer {
    fn field(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

struct Place(PathBuf);

impl Place {
    /// A folder of these files, each with this content.
    fn with(name: &str, files: &[&str], content: &str) -> (Self, Folder) {
        let place = Self::new(name);
        for file in files {
            let file = place.0.join("files").join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
        let folder = served(place.0.join("files"));
        (place, folder)
    }

    fn read(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.0.join("files").join(file)).ok()
    }

    fn new(name: &str) -> Self {
        let place = std::env::temp_dir().join(format!("wayleave-folder-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir_all(place.join("files/album")).unwrap();
        Self(place)
    }

    /// Every file, with its length.
    fn all(&self) -> BTreeSet<(String, u64)> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.0.clone()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                if entry.path().is_dir() {
                    open.push(entry.path());
                } else {
                    let path = entry.path().strip_prefix(&self.0).unwrap().display().to_string();
                    found.insert((path, entry.metadata().unwrap().len()));
                }
            }
        }
        found
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn parts_of(method: &str) -> Parts {
    http::Request::builder().method(method).uri("/").body(()).unwrap().into_parts().0
}

struct Allowed(Arc<AtomicBool>);

impl Permission for Allowed {
    fn look(self: Arc<Self>) -> BoxFuture<'static, bool> {
        Box::pin(std::future::ready(self.0.load(Ordering::SeqCst)))
    }
}

/// A body that is written piece by piece.
fn by_hand() -> (mpsc::Sender<Result<Bytes, io::Error>>, Body) {
    let (write, mut read) = mpsc::channel(1);
    let pieces = futures_util::stream::poll_fn(move |context| read.poll_recv(context));
    (write, Body::from_stream(pieces))
}

async fn put(folder: &Folder, path: &str, body: Body, allowed: &Arc<AtomicBool>) -> u16 {
    let limits = UploadLimits::default();
    let permission: Arc<dyn Permission> = Arc::new(Allowed(allowed.clone()));
    let (body, was_cut) = incoming(body, limits, &Watch::begin(permission.clone(), Duration::from_secs(30)));
    let passing = Passing { permission, was_cut, ..Passing::by_itself() };
    let path = CanonicalPath::parse(path).unwrap();
    folder.serve(&parts_of("PUT"), body, &path, &passing).await.status().as_u16()
}

#[tokio::test]
async fn threat_44_s19_two_writers_of_one_file_each_write_their_own() {
    let place = Place::new("two");
    let folder = Arc::new(served(place.0.join("files")));
    let allowed = Arc::new(AtomicBool::new(true));
    let ((a, body_a), (b, body_b)) = (by_hand(), by_hand());
    let writer = |body: Body| {
        let (folder, allowed) = (folder.clone(), allowed.clone());
        tokio::spawn(async move { put(&folder, "/album/1.jpg", body, &allowed).await })
    };
    let (first, second) = (writer(body_a), writer(body_b));
    for _ in 0..4 {
        a.send(Ok(Bytes::from_static(b"aaaa"))).await.unwrap();
        b.send(Ok(Bytes::from_static(b"bb"))).await.unwrap();
    }
    // both are half there, and neither is where anybody is served from
    let half = place.all();
    assert_eq!(half.len(), 2, "{half:?}");
    assert!(half.iter().all(|(path, _)| path.starts_with(".files.uploads/.") && path.len() > 40), "{half:?}");
    drop(a);
    assert_eq!(first.await.unwrap(), 201);
    let file = place.0.join("files/album/1.jpg");
    assert_eq!(std::fs::read(&file).unwrap(), b"aaaaaaaaaaaaaaaa");
    drop(b);
    assert_eq!(second.await.unwrap(), 204);
    assert_eq!(std::fs::read(&file).unwrap(), b"bbbbbbbb");
    assert_eq!(place.all().len(), 1, "nothing is left over");
}

#[tokio::test]
async fn threat_44_s18_a_file_appears_after_a_last_look_alone() {
    let place = Place::new("look");
    let folder = served(place.0.join("files"));
    let allowed = Arc::new(AtomicBool::new(true));
    assert_eq!(put(&folder, "/album/1.jpg", Body::from("old"), &allowed).await, 201);
    allowed.store(false, Ordering::SeqCst);
    for body in ["new", ""] {
        assert_eq!(put(&folder, "/album/1.jpg", Body::from(body), &allowed).await, 403);
        assert_eq!(put(&folder, "/album/2.jpg", Body::from(body), &allowed).await, 403);
    }
    assert_eq!(place.all(), [("files/album/1.jpg".to_owned(), 3)].into());
}

#[tokio::test]
async fn threat_44_s19_what_does_not_come_whole_leaves_nothing() {
    let place = Place::new("broken");
    let folder = Arc::new(served(place.0.join("files")));
    let allowed = Arc::new(AtomicBool::new(true));
    let (write, body) = by_hand();
    write.send(Err(io::Error::other("no chunk"))).await.unwrap();
    assert_eq!(put(&folder, "/album/1.jpg", body, &allowed).await, 400);
    assert_eq!(place.all(), BTreeSet::new());
    // and nothing of whoever goes away
    let (write, body) = by_hand();
    let (gone, its) = (folder.clone(), allowed.clone());
    let writing = tokio::spawn(async move { put(&gone, "/album/1.jpg", body, &its).await });
    for _ in 0..3 {
        write.send(Ok(Bytes::from_static(b"piece"))).await.unwrap();
    }
    assert_eq!(place.all().len(), 1);
    writing.abort();
    assert!(writing.await.is_err());
    assert_eq!(place.all(), BTreeSet::new());
}

#[tokio::test]
async fn names_that_begin_with_a_dot_are_not_there() {
    let place = Place::new("dots");
    std::fs::write(place.0.join("files/album/.half.part"), "half").unwrap();
    std::fs::create_dir_all(place.0.join("files/.git")).unwrap();
    std::fs::write(place.0.join("files/.git/config"), "secret").unwrap();
    let folder = served(place.0.join("files"));
    for path in ["/album/.half.part", "/.git/config", "/.git"] {
        let path = CanonicalPath::parse(path).unwrap();
        assert!(!is_there(&folder, &path).await);
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let passing = Passing { was_cut: WasCut::default(), ..Passing::by_itself() };
            let answer = folder.serve(&parts_of(method), Body::from("x"), &path, &passing).await;
            assert_eq!(answer.status(), 404, "{method}");
        }
    }
    assert_eq!(place.all().len(), 2);
}

async fn ask(folder: &Folder, method: &str, path: &str) -> u16 {
    let passing = Passing { was_cut: WasCut::default(), ..Passing::by_itself() };
    let path = CanonicalPath::parse(path).unwrap();
    let answer = folder.serve(&parts_of(method), Body::from("x"), &path, &passing).await;
    answer.status().as_u16()
}

/// Row 44's kind: what was judged is what is opened.
#[tokio::test]
async fn threat_44_nothing_is_reached_through_links_and_nothing_is_there_but_files() {
    let place = Place::new("links");
    let files = place.0.join("files");
    std::fs::create_dir_all(place.0.join("outside")).unwrap();
    std::fs::create_dir_all(files.join("alice")).unwrap();
    for file in ["outside/secret", "files/alice/diary", "files/album/1.jpg"] {
        std::fs::write(place.0.join(file), "secret").unwrap();
    }
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, files.join(at)).unwrap();
    link("../../outside", "album/out");
    link("../alice", "album/in");
    link("../alice/diary", "album/file");
    link("nowhere", "album/broken");
    rustix::fs::mkfifoat(rustix::fs::CWD, files.join("album/pipe"), rustix::fs::Mode::RWXU).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(files.join("album/socket")).unwrap();
    let before = place.all();
    let folder = served(files.clone());
    let below = ["out", "out/secret", "in", "in/diary", "in/new", "file", "broken", "pipe", "socket", "1.jpg/x", "none/x"];
    for path in below.map(|path| format!("/album/{path}")) {
        assert!(!is_there(&folder, &CanonicalPath::parse(&path).unwrap()).await, "{path}");
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let answer = tokio::time::timeout(Duration::from_secs(10), ask(&folder, method, &path)).await;
            // RFC 4918 9.7.1: what it would be in is not there
            let is_deeper = method == "PUT" && path.split('/').count() > 3;
            assert_eq!(answer, Ok(if is_deeper { 409 } else { 404 }), "{method} {path}");
        }
    }
    assert_eq!(place.all(), before);
    let long = format!("/album/{}", "x".repeat(256));
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(ask(&folder, method, &long).await, 400, "{method}");
    }
    let passing = Passing::by_itself();
    let listing = folder.serve(&parts_of("GET"), Body::empty(), &CanonicalPath::parse("/album").unwrap(), &passing).await;
    let names = axum::body::to_bytes(listing.into_body(), 1_000).await.unwrap();
    assert_eq!(names, r#"["1.jpg"]"#);
    drop(socket);
}

/// A parent that becomes a link while a file is written, or a directory of another's.
#[tokio::test]
async fn threat_44_what_is_renamed_meanwhile_leads_nowhere_else() {
    let place = Place::new("renamed");
    let files = place.0.join("files");
    std::fs::create_dir_all(place.0.join("outside")).unwrap();
    let folder = Arc::new(served(files.clone()));
    let allowed = Arc::new(AtomicBool::new(true));
    let (write, body) = by_hand();
    let (its, may) = (folder.clone(), allowed.clone());
    let writing = tokio::spawn(async move { put(&its, "/album/1.jpg", body, &may).await });
    for _ in 0..3 {
        write.send(Ok(Bytes::from_static(b"piece"))).await.unwrap();
    }
    std::fs::rename(files.join("album"), files.join("before")).unwrap();
    std::os::unix::fs::symlink("../outside", files.join("album")).unwrap();
    drop(write);
    assert_eq!(writing.await.unwrap(), 404);
    assert_eq!(place.all(), BTreeSet::new(), "neither outside nor anywhere");
    // what was found is held
    std::fs::remove_file(files.join("album")).unwrap();
    std::fs::rename(files.join("before"), files.join("album")).unwrap();
    std::fs::write(files.join("album/1.jpg"), "mine").unwrap();
    let found = beneath::find(&files, &CanonicalPath::parse("/album/1.jpg").unwrap()).await.unwrap();
    std::fs::rename(files.join("album"), files.join("before")).unwrap();
    std::fs::create_dir(files.join("album")).unwrap();
    std::fs::write(files.join("album/1.jpg"), "another's").unwrap();
    assert_eq!(std::fs::read(found.place()).unwrap(), b"mine");
}
