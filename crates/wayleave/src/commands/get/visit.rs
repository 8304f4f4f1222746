//! The person's visit to the authorization server (Grant 3.3.2): where she is sent, and the port of this machine where she
//! comes back.

use super::{failed, say};
use crate::Exit;
use askama::Template;
use client::{Client, PersonSending, PersonSent};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use types::metadata::Metadata;

/// How long she is waited for, and how long somebody who connects may take to say what.
const VISIT: Duration = Duration::from_secs(30 * 60);
const REQUEST: Duration = Duration::from_secs(3);
const MAX_REQUEST_BYTES: usize = 8192;

/// Sends the person to the server, and waits for her to come back with the next ticket.
pub(super) async fn send(client: &Client, metadata: &Metadata, endpoint: &str, ticket: &str, port: u16) -> Result<String, Exit> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await;
    let listener = listener.map_err(|error| Exit::failed(format!("port {port}, which --claims-port changes: {error}")))?;
    let way_back = format!("http://127.0.0.1:{port}/claims");
    let sent = client.send_person(metadata, &PersonSending::to(endpoint, ticket, &way_back)).map_err(failed)?;
    say(&format!("open this in a browser, where you know the server: {}", sent.url));
    let query = tokio::time::timeout(VISIT, come_back(&listener, &sent)).await;
    let query = query.map_err(|_| Exit::failed("nobody came back from the server in half an hour"))??;
    client.person_returned(&sent, &query).map_err(failed)
}

/// Anything on this machine, and any page in its browser, may call that port: whoever does not bring the `state` of this visit
/// ends nothing (Grant 5.1).
async fn come_back(listener: &TcpListener, sent: &PersonSent) -> Result<Vec<(String, String)>, Exit> {
    loop {
        let (mut stream, _) = listener.accept().await.map_err(Exit::failed)?;
        let Some(target) = read_target(&mut stream).await else { continue };
        let query = target.strip_prefix("/claims?").unwrap_or_default();
        let query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if query.iter().any(|(name, value)| name == "state" && *value == sent.state) {
            let text = "You can close this page: `wayleave get` goes on in the terminal from which you came.";
            answer(&mut stream, "200 OK", &EndPage { style: ui::STYLE, title: "Thank you", text }).await;
            return Ok(query);
        }
        let text = "This belongs to no visit that was begun here. Open the address that `wayleave get` said last.";
        answer(&mut stream, "404 Not Found", &EndPage { style: ui::STYLE, title: "Not this one", text }).await;
    }
}

/// The target of the request line.
async fn read_target(stream: &mut TcpStream) -> Option<String> {
    let mut buffer = vec![0; MAX_REQUEST_BYTES];
    let read = tokio::time::timeout(REQUEST, stream.read(&mut buffer)).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(buffer.get(..read)?).into_owned();
    text.split(' ').nth(1).map(str::to_owned)
}

/// What a browser shows at the end, with the style sheet in it: nothing else is served at that port.
#[derive(Template)]
#[template(path = "get_end.html")]
struct EndPage<'a> {
    style: &'static str,
    title: &'a str,
    text: &'a str,
}

const FIELDS: &str = "Content-Type: text/html; charset=utf-8\r\nContent-Security-Policy: default-src 'none'; style-src \
                      'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'\r\nX-Content-Type-Options: \
                      nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\nConnection: close";

async fn answer(stream: &mut TcpStream, status: &str, page: &EndPage<'_>) {
    let body = ui::render(page);
    let head = format!("HTTP/1.1 {status}\r\n{FIELDS}\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = tokio::time::timeout(REQUEST, stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice())).await;
}
