//! What a stranger with a permission for one album can make of it at the gateway, on the wire: other protocols, other
//! places, other headers (threats 39 and 47).

use crate::gateway::{Guarded, admitted, viewer};
use crate::processes::{Folder, LONGEST, Process, Server, free_port};
use client::{Called, Client, TicketRequest, Traded};
use jose::{Algorithm, SigningKey};
use outbound::Method;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use types::token::ID_TOKEN_FORMAT;

/// A service that keeps what reaches it, and answers as `X-File-Answer` says.
#[derive(Clone, Default)]
pub(crate) struct Service {
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
}

impl Service {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let service = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move { service.answer(stream).await });
            }
        });
        address
    }

    async fn answer(&self, mut stream: TcpStream) {
        let (mut read, mut byte) = (Vec::new(), [0]);
        while !read.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                return;
            }
            read.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&read).to_lowercase();
        let number = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(head.clone());
            seen.len() - 1
        };
        if let Some((_, protocol)) = head.split_once("x-file-answer: 101 ") {
            let protocol = protocol.lines().next().unwrap();
            let accept = if head.contains("x-file-accept: none") { "" } else { ACCEPT };
            let upgrade = if protocol == "bare" {
                String::new()
            } else {
                format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n{accept}")
            };
            let _ = stream.write_all(format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\n").as_bytes()).await;
            let mut buffer = [0; 1024];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                let _ = stream.write_all(&buffer[..length].to_ascii_uppercase()).await;
            }
            return;
        }
        let length = head.split_once("content-length: ").map_or(0, |(_, rest)| rest.lines().next().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        let mut behind = String::new();
        let whole = if head.contains("transfer-encoding: chunked") {
            let mut all = String::from("\r\n");
            let is_whole = |all: &str| all.contains("\r\n0\r\n") && all.ends_with("\r\n\r\n");
            while !is_whole(&all) && stream.read(&mut byte).await.unwrap_or(0) > 0 {
                all.push(char::from(byte[0]));
            }
            behind = all.rsplit_once("\r\n0\r\n").map(|(_, behind)| behind.trim().to_lowercase()).unwrap_or_default();
            is_whole(&all)
        } else {
            stream.read_exact(&mut body).await.is_ok()
        };
        if whole {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner)[number].push_str(&format!("{behind}whole"));
        }
        let _ =
            stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\nVia: 1.0 fred\r\n\r\nok").await;
    }

    pub(crate) fn last(&self) -> String {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).last().cloned().unwrap_or_default()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Bob at a gateway before that service, with a permission for one album.
pub(crate) struct Bob {
    pub(crate) service: Service,
    pub(crate) server: Server,
    pub(crate) guarded: Guarded,
    pub(crate) authorization: String,
}

impl Bob {
    pub(crate) async fn with(change: impl FnOnce(String) -> String, is_folder: bool) -> Self {
        let service = Service::default();
        let upstream = if is_folder { String::new() } else { service.start().await };
        let server = Server::start("");
        let guarded = Guarded::start_changed(&server, &upstream, |text| {
            let scopes = "GET = [\"view\"], PUT = [\"view\"], MOVE = [\"view\"], COPY = [\"view\"], POST = [\"view\"]";
            change(text.replace("GET = [\"view\"], PUT = [\"edit\"]", scopes))
        });
        let rpt = admitted(&server, &guarded, 1).await;
        let authorization = format!("Authorization: {} {}\r\n", rpt.token_type, rpt.token);
        Self { service, server, guarded, authorization }
    }

    pub(crate) fn host(&self) -> &str {
        self.guarded.url.strip_prefix("http://").unwrap()
    }

    /// A call that he writes by himself.
    pub(crate) async fn call(&self, method: &str, path: &str, fields: &str, body: &str) -> String {
        let host = self.host();
        say(host, &format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{}{fields}\r\n{body}", self.authorization)).await
    }
}

/// Writes, and reads for as long as something comes.
async fn say(host: &str, text: &str) -> String {
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    answer_of(&mut stream).await
}

/// Head of the answer and its body, in small letters.
pub(crate) async fn answer_of(stream: &mut TcpStream) -> String {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split_once("content-length: ").map_or(0, |(_, rest)| rest.lines().next().unwrap().parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        match tokio::time::timeout(LONGEST, stream.read(&mut buffer)).await {
            Ok(Ok(length @ 1..)) => read.extend(&buffer[..length]),
            _ => return text,
        }
    }
}

pub(crate) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

pub(crate) const PHOTO: &str = "/albums/holiday/1.jpg";
const WEB_SOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                          Sec-WebSocket-Version: 13\r\n";
/// To that key (RFC 6455 1.3).
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

#[tokio::test]
async fn threat_39_s35_only_web_sockets_are_tunnelled() {
    let bob = Bob::with(|text| text.replace("owner = \"alice\"", "owner = \"alice\"\nwebsocket = true"), false).await;
    for upgrade in ["h2c", "websocket, h2c", "h2c, websocket", "websocket\r\nUpgrade: h2c", "TLS/1.2", "websocket/13", "foo"] {
        for protocol in ["h2c", "websocket", "bare"] {
            let fields = format!(
                "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nUpgrade: {upgrade}\r\nX-File-Answer: 101 {protocol}\r\n"
            );
            let answer = bob.call("GET", PHOTO, &fields, "").await;
            assert_eq!(status(&answer), "502", "{upgrade} answered with {protocol}: {answer}");
            let seen = bob.service.last();
            assert!(!seen.contains("upgrade") && !seen.contains("http2-settings"), "{seen}");
        }
        let fields = format!("Connection: Upgrade\r\nUpgrade: {upgrade}\r\n");
        let answer = bob.call("GET", PHOTO, &fields, "").await;
        assert_eq!(status(&answer), "201", "what is not understood is passed over: {answer}");
    }
    // asked for, and something else given
    for protocol in ["h2c", "bare", "websocket, h2c"] {
        let answer = bob.call("GET", PHOTO, &format!("{WEB_SOCKET}X-File-Answer: 101 {protocol}\r\n"), "").await;
        assert_eq!(status(&answer), "502", "{protocol}: {answer}");
    }
    // said without the proof that it was meant
    let answer =
        bob.call("GET", PHOTO, &format!("{WEB_SOCKET}X-File-Answer: 101 websocket\r\nX-File-Accept: none\r\n"), "").await;
    assert_eq!(status(&answer), "502", "{answer}");
    // not asked for at all
    for method in ["GET", "PUT"] {
        let answer = bob.call(method, PHOTO, "X-File-Answer: 101 websocket\r\nContent-Length: 0\r\n", "").await;
        assert_eq!(status(&answer), "502", "threat_47_s39: {answer}");
    }
    let answer = bob.call("POST", PHOTO, &format!("{WEB_SOCKET}X-File-Answer: 101 websocket\r\nContent-Length: 0\r\n"), "").await;
    assert_eq!(status(&answer), "502", "a web socket begins with GET: {answer}");
    let before = bob.service.count();
    let connect = say(bob.host(), &format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n{1}\r\n", bob.host(), bob.authorization)).await;
    assert_eq!((status(&connect), bob.service.count()), ("501", before));
    // granted, it is one, and nothing that comes over it is a call
    let mut stream = TcpStream::connect(bob.host()).await.unwrap();
    let open = format!(
        "GET {PHOTO} HTTP/1.1\r\nHost: {}\r\n{}{WEB_SOCKET}X-File-Answer: 101 websocket\r\n\r\n",
        bob.host(),
        bob.authorization
    );
    stream.write_all(open.as_bytes()).await.unwrap();
    let answer = answer_of(&mut stream).await;
    assert!(answer.starts_with("http/1.1 101") && answer.contains("upgrade: websocket"), "{answer}");
    stream.write_all(b"get /albums/secret/1.jpg http/1.1\r\n\r\n").await.unwrap();
    let mut heard = [0; 37];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard[..], *b"GET /ALBUMS/SECRET/1.JPG HTTP/1.1\r\n\r\n");
}

#[tokio::test]
async fn threat_39_s35_a_route_says_that_it_takes_web_sockets() {
    let bob = Bob::with(|text| text, false).await;
    let before = bob.service.count();
    let answer = bob.call("GET", PHOTO, &format!("{WEB_SOCKET}X-File-Answer: 101 websocket\r\n"), "").await;
    assert!(status(&answer) == "403" && answer.contains("websocket = true"), "it says what to write: {answer}");
    assert_eq!(bob.service.count(), before);
    let stranger = say(bob.host(), &format!("GET {PHOTO} HTTP/1.1\r\nHost: {}\r\n{WEB_SOCKET}\r\n", bob.host())).await;
    assert_eq!(status(&stranger), "401", "a stranger is told nothing: {stranger}");
}

#[tokio::test]
async fn threat_39_s36_a_destination_is_a_second_call() {
    let bob = Bob::with(|text| text.replace("DELETE = [\"delete\"]", "DELETE = [\"view\"]"), false).await;
    let url = bob.guarded.url.clone();
    let host = bob.host().to_owned();
    for method in ["MOVE", "COPY"] {
        for to in [
            "/albums/secret/1.jpg".to_owned(),
            format!("{url}/albums/secret/1.jpg"),
            "/albums/holiday".to_owned(),
            "/elsewhere/holiday/1.jpg".to_owned(),
            "/.wayleave/manage/my-rules".to_owned(),
            "/albums/holiday/%2e%2e/secret/1.jpg".to_owned(),
            "/albums/holiday/..%2fsecret".to_owned(),
            "/albums//holiday/2.jpg".to_owned(),
            "http://evil.example/albums/holiday/2.jpg".to_owned(),
            format!("http://evil.example@{host}/albums/holiday/2.jpg"),
            format!("//{host}/albums/holiday/2.jpg"),
            format!("https://{host}/albums/holiday/2.jpg"),
            "/albums/holiday/2.jpg?x=/albums/secret/1.jpg".to_owned(),
            "/albums/holiday/2.jpg#x".to_owned(),
        ] {
            let before = bob.service.count();
            let answer = bob.call(method, PHOTO, &format!("Destination: {to}\r\n"), "").await;
            assert_eq!((status(&answer), bob.service.count()), ("403", before), "{method} to {to}: {answer}");
        }
        for fields in ["", "Destination:\r\n", "Destination: /albums/holiday/2.jpg\r\nDestination: /albums/secret/1.jpg\r\n"] {
            let answer = bob.call(method, PHOTO, fields, "").await;
            assert_eq!(status(&answer), "400", "{method} {fields}: {answer}");
        }
        for to in ["/albums/%68oliday/2.jpg".to_owned(), format!("{url}/albums/holiday/2.jpg")] {
            let condition = format!("If: <{url}/albums/holiday/%31.jpg> (<urn:uuid:1>)\r\n");
            let fields = format!("Destination: {to}\r\nOverwrite: F\r\n{condition}Destinatio_n: /albums/secret/1.jpg\r\n");
            let answer = bob.call(method, PHOTO, &fields, "").await;
            assert_eq!(status(&answer), "201", "{method} to {to}: {answer}");
            let seen = bob.service.last();
            let service = seen.split_once("\r\nhost: ").unwrap().1.lines().next().unwrap();
            assert!(seen.contains(&format!("destination: http://{service}/albums/holiday/2.jpg\r\n")), "{seen}");
            assert!(!seen.contains("secret") && seen.contains(&format!("x-forwarded-host: {host}\r\n")), "{seen}");
            assert!(seen.contains("/albums/holiday/1.jpg> (<urn:uuid:1>)"), "{seen}");
        }
    }
    let condition = "If: </albums/secret/1.jpg> ([\"guess\"])\r\nContent-Length: 0\r\n";
    assert_eq!(status(&bob.call("PUT", PHOTO, condition, "").await), "403");
    let answer = bob.call("PUT", PHOTO, "Destination: /albums/secret/1.jpg\r\nContent-Length: 0\r\n", "").await;
    assert_eq!(status(&answer), "403", "whatever the method");
}

#[tokio::test]
async fn threat_47_what_is_sent_beside_a_call_changes_nothing() {
    let bob = Bob::with(|text| text, false).await;
    let fields = "X_HTTP_Method_Override: DELETE\r\nX-Original-URL: /albums/secret/1.jpg\r\nX_Original_URL: /albums/secret/1.jpg\r\n\
                  X_Wayleave_Owner: mallory\r\nX.Real.IP: 6.6.6.6\r\nX-Forwarded-Prefix: /evil\r\nX-Forwarded-Port: 1\r\n\
                  X-Forwarded-Ssl: on\r\nX-Real-IP: 6.6.6.6\r\nRemote-User: alice\r\nForwarded: for=6.6.6.6\r\n\
                  X-Request-Id: yes\r\nVia: 1.1 proxy\r\n";
    let answer = bob.call("GET", PHOTO, fields, "").await;
    assert_eq!(status(&answer), "201");
    assert!(answer.contains("via: 1.0 fred\r\n") && answer.contains("via: 1.1 wayleave\r\n"), "{answer}");
    let seen = bob.service.last();
    let (head, own) = seen.split_once("x-wayleave-identity: ").unwrap();
    let seen = format!("{head}{}", own.split_once("\r\n").unwrap().1);
    for gone in ["override", "original", "owner", "6.6.6.6", "evil", "-port", "-ssl", "remote", "authorization", "x_", "x."] {
        assert!(!seen.contains(gone), "{gone}: {seen}");
    }
    assert!(!seen.contains("\r\nforwarded") && seen.contains("x-forwarded-for: 127.0.0.1\r\n"), "{seen}");
    assert!(
        seen.contains("x-request-id: yes") && seen.contains("via: 1.1 proxy\r\n") && seen.contains("via: 1.1 wayleave\r\n"),
        "{seen}"
    );
    // two lengths: chunks count, and nothing is left over for a second call
    let smuggled = "5\r\nhello\r\n0\r\n\r\nGET /albums/secret/1.jpg HTTP/1.1\r\n\r\n";
    let both = bob.call("PUT", PHOTO, "Content-Length: 4\r\nTransfer-Encoding: chunked\r\nContent_Length: 3\r\n", smuggled).await;
    assert_eq!(status(&both), "201");
    let seen = bob.service.last();
    assert!(seen.starts_with("put") && !seen.contains("content-length") && !seen.contains("content_length"), "{seen}");
    for coding in ["gzip, chunked", "chunked\r\nTransfer-Encoding: chunked", "xchunked, chunked"] {
        let answer = bob.call("PUT", PHOTO, &format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n").await;
        assert!(matches!(status(&answer), "400" | "501"), "{coding}: {answer}");
    }
    // one credential a call
    let two = bob.call("GET", PHOTO, "Authorization: Bearer other\r\n", "").await;
    assert!(status(&two) == "400" && two.contains("www-authenticate: bearer error=\"invalid_request\""), "{two}");
    let two = bob.call("GET", PHOTO, "DPoP: a\r\nDPoP: b\r\n", "").await;
    assert!(status(&two) == "401" && two.contains("www-authenticate: dpop error=\"invalid_dpop_proof\""), "{two}");
}

/// A file whose name the usual encoders of several languages write in more than one way.
#[tokio::test]
async fn c07_a_proof_is_for_the_url_that_was_called() {
    let server = Server::start("");
    let guarded = Guarded::start(&server, "");
    admitted(&server, &guarded, 1).await;
    std::fs::write(guarded.folder.0.join("files/albums/holiday/IMG (1).jpg"), "picture").unwrap();
    let client = Client { dpop_key: Some(Arc::new(SigningKey::generate(Algorithm::Es256).unwrap())), ..viewer() };
    let Called::Challenged(challenge) = client.call(Method::GET, &guarded.photo(), None).await.unwrap() else { panic!() };
    let metadata = client.discover(&challenge.issuer).await.unwrap();
    let token = server.id_token(2);
    let claim = Some((&*token, ID_TOKEN_FORMAT));
    let request = TicketRequest { ticket: &challenge.ticket, claim, ..TicketRequest::default() };
    let Traded::Granted(tokens) = client.trade(&metadata, &request).await.unwrap() else { panic!() };
    let rpt = client.rpt(&tokens, &challenge).unwrap();
    assert_eq!(rpt.token_type, "DPoP");
    // a proof that does not hold is told, beside the ticket (RFC 9449 7.1)
    let host = guarded.url.strip_prefix("http://").unwrap();
    for fields in
        [format!("Authorization: DPoP {}\r\nDPoP: x\r\n", rpt.token), format!("Authorization: Bearer {}\r\n", rpt.token)]
    {
        let answer = say(host, &format!("GET {PHOTO} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")).await;
        let told = "www-authenticate: dpop error=\"invalid_dpop_proof\", algs=";
        assert!(status(&answer) == "401" && answer.contains("www-authenticate: uma ") && answer.contains(told), "{answer}");
    }
    for name in ["IMG%20%281%29.jpg", "IMG%20(1).jpg", "%49MG%20%281).jpg"] {
        let url = format!("{}/albums/holiday/{name}", guarded.url);
        let called = client.call(Method::GET, &url, Some(&rpt)).await.unwrap();
        assert!(matches!(&called, Called::Answered(answer) if answer.status == 200), "{name}");
    }
}

/// S29: at every party, since it is the listener that all of them have.
#[tokio::test]
async fn threat_47_s29_every_party_wants_one_host() {
    let server = Server::start("");
    let guarded = Guarded::start(&server, "");
    let desk = Folder::new();
    let port = free_port();
    std::fs::write(
        desk.0.join("wayleave.toml"),
        format!(
            "[manager]\nlisten = \"127.0.0.1:{port}\"\nurl = \"http://127.0.0.1:{port}\"\nlogin = \"built-in\"\nstore = {{ url = \"memory:\" }}\n\
             [[account]]\nusername = \"alice\"\nemail = \"alice@foo.example\"\npassword = \"alice-password\"\n"
        ),
    )
    .unwrap();
    let _desk = Process::start(&["manager"], &desk.0);
    let parties = [
        (server.issuer.replace("http://", ""), "/.well-known/uma2-configuration", "200"),
        (server.admin.replace("http://", ""), "/healthz", "200"),
        (guarded.url.replace("http://", ""), "/.well-known/oauth-protected-resource", "200"),
        (format!("127.0.0.1:{port}"), "/login-that-is-nowhere", "404"),
    ];
    for (address, path, good) in parties {
        for (fields, expected) in [
            ("Host: a.example\r\n", good),
            ("", "400"),
            ("Host: a.example\r\nHost: a.example\r\n", "400"),
            ("Host: a.example\r\nhost: b.example\r\n", "400"),
            ("Host: a.example, b.example\r\n", "400"),
            ("Host: bob@a.example\r\n", "400"),
            ("Host: a.example/x\r\n", "400"),
            ("Host:\r\n", "400"),
            ("Host: a b\r\n", "400"),
        ] {
            let answer = say(&address, &format!("GET {path} HTTP/1.1\r\n{fields}\r\n")).await;
            assert_eq!(status(&answer), expected, "{address} {fields}: {answer}");
        }
        let absolute = format!("GET http://{address}{path} HTTP/1.1\r\nHost: other.example\r\n\r\n");
        assert_eq!(status(&say(&address, &absolute).await), good, "the target counts");
        let old = say(&address, &format!("GET {path} HTTP/1.0\r\n\r\n")).await;
        assert_eq!(status(&old), good, "HTTP/1.0 needs none: {old}");
    }
}
