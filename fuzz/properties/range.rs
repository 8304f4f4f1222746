//! Whatever is asked of a file's parts, the answer is the file, parts of it that are what their headers say, or a refusal.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use resource_server::gateway::parsers::serve_folder;
use std::path::PathBuf;
use std::sync::OnceLock;

const CONTENT: &[u8] = b"0123456789abcdefghij";
const NAMES: [HeaderName; 6] = [
    header::RANGE,
    header::IF_RANGE,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
];

fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("wayleave-range-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("file"), CONTENT).unwrap();
        folder
    })
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_current_thread().build().unwrap())
}

/// Lines: values of the headers, in the order of their names here.
pub(crate) fn holds(data: &[u8]) {
    let mut request = Request::new(());
    for (name, line) in NAMES.into_iter().zip(data.split(|byte| *byte == b'\n')) {
        if let (false, Ok(value)) = (line.is_empty(), HeaderValue::from_bytes(line)) {
            request.headers_mut().insert(name, value);
        }
    }
    let ranged = request.headers().contains_key(header::RANGE);
    let (parts, ()) = request.into_parts();
    let (status, headers, body) = runtime().block_on(async {
        let answer = serve_folder(folder(), &parts, Body::empty(), "/file").await.expect("a path");
        let (head, body) = answer.into_parts();
        (head.status, head.headers, axum::body::to_bytes(Body::new(body), 1 << 20).await.expect("a body"))
    });
    match status {
        StatusCode::OK => assert_eq!(&body[..], CONTENT),
        StatusCode::PARTIAL_CONTENT => {
            assert!(ranged);
            let Some(said) = headers.get(header::CONTENT_RANGE).map(|value| value.to_str().unwrap()) else { return };
            let (span, length) = said.strip_prefix("bytes ").and_then(|text| text.split_once('/')).expect("a range");
            let (from, to) = span.split_once('-').expect("from and to");
            let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
            assert_eq!(length.parse::<usize>().unwrap(), CONTENT.len());
            assert_eq!(&body[..], &CONTENT[from..=to]);
        }
        StatusCode::NOT_MODIFIED => assert!(body.is_empty()),
        StatusCode::RANGE_NOT_SATISFIABLE => assert!(ranged),
        StatusCode::PRECONDITION_FAILED | StatusCode::BAD_REQUEST => {}
        other => panic!("{other}"),
    }
}
