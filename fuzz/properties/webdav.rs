//! Whatever is asked of a folder by WebDAV, it answers as HTTP does, its lists are well-formed XML, and what lies beside the folder
//! stays as it is.

use super::shared::choose;
use axum::body::Body;
use http::{HeaderValue, Method, Request, StatusCode};
use resource_server::gateway::parsers::serve_folder;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const METHODS: [&str; 12] =
    ["PROPFIND", "PROPPATCH", "LOCK", "UNLOCK", "MKCOL", "COPY", "MOVE", "DELETE", "PUT", "OPTIONS", "GET", "HEAD"];
const FIELDS: [&str; 8] = ["depth", "if", "destination", "overwrite", "lock-token", "timeout", "if-none-match", "content-range"];
const PATHS: [&str; 6] = ["/a", "/a/", "/b", "/new", "/a/c", "/"];

fn place() -> &'static PathBuf {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = std::env::temp_dir().join(format!("wayleave-webdav-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("beside"), "beside").unwrap();
        place
    })
}

/// The same at the beginning of each call: `a/c` and `b`.
fn furnish(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder.join("a")).unwrap();
    std::fs::write(folder.join("a/c"), "c").unwrap();
    std::fs::write(folder.join("b"), "b").unwrap();
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap())
}

/// First byte: the method; second: the path. Lines: values of the fields in the order of their names here; the rest is the body.
pub(crate) fn holds(data: &[u8]) {
    let (method, data) = choose(data);
    let (path, data) = choose(data);
    let method = METHODS[usize::from(method) % METHODS.len()];
    let path = PATHS[usize::from(path) % PATHS.len()];
    let mut lines = data.splitn(FIELDS.len() + 1, |byte| *byte == b'\n');
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
    for (name, line) in FIELDS.into_iter().zip(lines.by_ref()) {
        if let (false, Ok(value)) = (line.is_empty(), HeaderValue::from_bytes(line)) {
            request = request.header(name, value);
        }
    }
    let body = lines.next().unwrap_or_default().to_vec();
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    parts.headers.insert("content-length", HeaderValue::from(body.len()));
    let folder = place().join("folder");
    furnish(&folder);
    let (status, answer) = runtime().block_on(async {
        let answer = serve_folder(&folder, &parts, Body::from(body), path).await.expect("a path");
        let status = answer.status();
        (status, axum::body::to_bytes(Body::new(answer.into_body()), 1 << 20).await.expect("a body"))
    });
    // 507: its own word for what is out of bounds
    assert!(!status.is_server_error() || status == StatusCode::INSUFFICIENT_STORAGE, "{method} {path}: {status}");
    if status == StatusCode::MULTI_STATUS {
        for event in xml::reader::EventReader::new(&answer[..]) {
            event.expect("well-formed XML");
        }
    }
    assert_eq!(std::fs::read(place().join("beside")).unwrap(), b"beside");
    assert!(folder.is_dir(), "{method} {path}");
    // what is being written stands in a directory of its own, from which nobody is served
    let own = ["beside", "folder", ".folder.uploads"];
    for entry in std::fs::read_dir(place()).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(own.iter().any(|own| name == *own), "{name:?} was made beside the folder");
    }
}
