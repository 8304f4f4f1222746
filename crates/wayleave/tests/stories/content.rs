//! What goes through the gateway: parts of files, and calls that become another protocol.

use crate::gateway::{Guarded, admitted, raw};
use crate::processes::{Server, until};
use outbound::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn a_file_is_read_in_parts_and_not_twice() {
    let server = Server::start("");
    let guarded = Guarded::start(&server, "");
    let rpt = admitted(&server, &guarded, 1).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let get = async |more: &[(&'static str, &str)]| {
        let headers = [&[("authorization", bearer.as_str())][..], more].concat();
        raw(Method::GET, &guarded.photo(), &headers).await
    };
    let whole = get(&[]).await;
    assert_eq!((whole.status.as_u16(), whole.body.len(), whole.header("accept-ranges")), (200, 300_000, Some("bytes")));
    let part = get(&[("range", "bytes=100-199")]).await;
    assert_eq!((part.status.as_u16(), part.body.len()), (206, 100));
    assert_eq!(part.header("content-range"), Some("bytes 100-199/300000"));
    assert_eq!(get(&[("range", "bytes=400000-")]).await.status, 416);
    let modified = whole.header("last-modified").unwrap().to_owned();
    let again = get(&[("if-modified-since", &modified)]).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
}

/// A service that changes to a protocol of its own: it says everything back, in capitals.
async fn shouting() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                // the gateway asks whether this is there before it lets anybody ask for it
                if head.starts_with("head ") {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await.unwrap();
                    return;
                }
                assert!(head.contains("upgrade: websocket") && !head.contains("authorization"), "{head}");
                let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
                let mut buffer = [0; 1024];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    let shout = buffer[..length].to_ascii_uppercase();
                    stream.write_all(&shout).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_call_becomes_a_web_socket_if_it_may() {
    let server = Server::start("");
    let guarded = Guarded::start_changed(&server, &shouting().await, |text| {
        text.replace("owner = \"alice\"", "owner = \"alice\"\nwebsocket = true")
    });
    let rpt = admitted(&server, &guarded, 1).await;
    let host = guarded.url.strip_prefix("http://").unwrap();
    let open = async |authorization: &str| {
        let mut stream = TcpStream::connect(host).await.unwrap();
        let request = format!(
            "GET /albums/holiday/1.jpg HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{authorization}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.unwrap();
        (stream, String::from_utf8_lossy(&buffer[..length]).to_lowercase())
    };
    let (_, refused) = open("").await;
    assert!(refused.starts_with("http/1.1 401"), "{refused}");
    let (mut stream, head) = open(&format!("Authorization: {} {}\r\n", rpt.token_type, rpt.token)).await;
    assert!(
        head.starts_with("http/1.1 101") && head.contains("upgrade: websocket") && head.contains("sec-websocket-accept"),
        "{head}"
    );
    for said in ["hello", "again"] {
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut heard = vec![0; said.len()];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(String::from_utf8(heard).unwrap(), said.to_uppercase());
    }
}

/// Routes are taken anew while calls go on; broken ones are not.
#[tokio::test]
async fn routes_change_without_a_pause() {
    let server = Server::start("");
    let guarded = Guarded::start(&server, "");
    let rpt = admitted(&server, &guarded, 1).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let status = async |url: &str, method: Method| raw(method, url, &[("authorization", &bearer)]).await.status.as_u16();
    let photo = guarded.photo();
    assert_eq!((status(&photo, Method::GET).await, status(&photo, Method::POST).await), (200, 405));
    // what cannot work changes nothing
    let (good, bad) = ("path = \"/albums/{album}/{photo}\"", "path = \"/albums/{nothing}\"");
    guarded.reload(|text| text.replace(good, bad));
    guarded.reload(|text| text.replace(bad, good).replace("GET = [\"view\"]", "GET = [\"view\"], POST = [\"comment\"]"));
    until("new routes count", async || {
        assert_eq!(status(&guarded.photo(), Method::GET).await, 200, "nobody waits, nobody is sent away");
        status(&guarded.photo(), Method::POST).await != 405
    })
    .await;
    // the resource is told to the server with its new scope, and stays the same resource: Bob's share of it too
    assert_eq!(status(&guarded.photo(), Method::POST).await, 401);
    assert_eq!(status(&guarded.photo(), Method::GET).await, 200);
}
