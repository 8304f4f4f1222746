//! A folder behind the gateway, before the test suites that other people wrote for WebDAV servers: Debian's `litmus` and PyPI's
//! `webdav-tck`. Neither sends a token: a proxy on this machine adds it. What they find fault with stands in the book.

use crate::applications::{as_known, token};
use crate::gateway::Guarded;
use crate::processes::Server;
use crate::services::root;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use outbound::Method;
use std::convert::Infallible;
use std::process::{Command, Output};

/// Forwards whatever it is asked, with this token.
async fn proxy_with(token: String) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        while let Ok((stream, _)) = listener.accept().await {
            let (client, token) = (client.clone(), token.clone());
            let serve = hyper::service::service_fn(move |request: http::Request<Incoming>| {
                let (client, token) = (client.clone(), token.clone());
                async move {
                    let (mut head, body) = request.into_parts();
                    for name in ["connection", "proxy-connection", "keep-alive", "te", "expect", "transfer-encoding"] {
                        head.headers.remove(name);
                    }
                    head.headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
                    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                    let answer = client.request(http::Request::from_parts(head, Full::new(body))).await.unwrap();
                    Ok::<_, Infallible>(answer)
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
        }
    });
    address
}

/// The gateway of the book, and a proxy that brings the token of somebody who may view and edit.
async fn shared_folder(server: &Server) -> (Guarded, String) {
    let guarded = Guarded::start_changed(server, "", |_| {
        let book = std::fs::read_to_string(root().join("docs/folders.md")).unwrap();
        let text = book.split("```toml\n").nth(1).unwrap().split("\n```").next().unwrap();
        let (url, listen) = (format!("http://127.0.0.1:{}", server.gateway_port), format!("127.0.0.1:{}", server.gateway_port));
        as_known(text, "client_credentials")
            .replace("https://files.example", &url)
            .replace("127.0.0.1:9000", &listen)
            .replace("https://as.example", &server.issuer)
    });
    let rpt = token(server, &format!("{}/", guarded.url), Method::PUT, &["view", "edit"], 1).await;
    let proxy = proxy_with(rpt).await;
    (guarded, proxy)
}

async fn run(mut command: Command) -> String {
    let Output { stdout, stderr, .. } = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr))
}

/// Names of tests that failed, of lines like ` 7. put_get............... FAIL (why)` or `put_get: FAIL`.
fn failed_in(output: &str) -> Vec<String> {
    let lines = output.lines().map(|line| line.rsplit('\r').next().unwrap_or(line));
    let failed = lines.filter_map(|line| line.split_once(". FAIL").or(line.split_once(": FAIL"))).map(|(name, _)| name);
    failed
        .map(|name| name.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ' || c == '.'))
        .map(|name| name.trim_end_matches('.').to_owned())
        .collect()
}

/// Debian's litmus.
#[tokio::test(flavor = "multi_thread")]
async fn litmus_finds_in_a_folder_what_the_book_says() {
    let server = Server::start("");
    let (guarded, proxy) = shared_folder(&server).await;
    let mut failed = Vec::new();
    for suite in ["basic", "copymove", "props", "locks", "http"] {
        let mut litmus = Command::new("litmus");
        litmus
            .args(["-k", &format!("--proxy={proxy}"), &format!("{}/", guarded.url)])
            .env("TESTS", suite)
            .current_dir(&guarded.folder.0);
        let output = run(litmus).await;
        println!("{output}");
        assert!(output.contains(&format!("summary for `{suite}'")), "{output}");
        failed.extend(failed_in(&output));
    }
    assert_eq!(failed, book_says("litmus"));
}

/// PyPI's webdav-tck.
#[tokio::test(flavor = "multi_thread")]
async fn webdav_tck_finds_in_a_folder_what_the_book_says() {
    let server = Server::start("");
    let (guarded, proxy) = shared_folder(&server).await;
    let mut tck = Command::new(root().join("target/python/bin/python"));
    tck.args([
        "-m",
        "webdav_tck",
        "--proxy",
        &proxy,
        "--suites",
        "basic,copymove,props,locks,http",
        &format!("{}/", guarded.url),
    ]);
    tck.current_dir(&guarded.folder.0).env("COLUMNS", "200").env("NO_COLOR", "1");
    let output = run(tck).await;
    println!("{output}");
    assert!(output.contains("test_lock_collection"), "it came to its end");
    assert_eq!(failed_in(&output), book_says("webdav-tck"));
}

/// Names in the book, of tests that do not pass.
fn book_says(suite: &str) -> Vec<String> {
    let book = std::fs::read_to_string(root().join("docs/folders.md")).unwrap();
    let line = book.lines().find(|line| line.starts_with(&format!("- `{suite}`:"))).unwrap();
    line.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}
