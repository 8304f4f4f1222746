//! What the accept loop does with those who come.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Row 38: on `[::]` an IPv4 proxy is the one of the configuration, and what it forwards is one address.
#[test]
fn threat_38_s25_a_trusted_proxy_is_known_in_either_family() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let seen = |peer: &str, forwarded: &[&str]| {
        let mut request = Request::new(Body::empty());
        for line in forwarded {
            request.headers_mut().append("x-forwarded-for", line.parse().unwrap());
        }
        let trusted: Vec<_> = ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8::1"].map(|text| canonical(ip(text))).into();
        stamp(&mut request, canonical(ip(peer)), &trusted);
        (request.extensions().get::<Caller>().unwrap().0, request.extensions().get::<FromTrustedProxy>().is_some())
    };
    for proxy in ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "::ffff:192.0.2.2", "2001:db8::1"] {
        assert_eq!(seen(proxy, &["::ffff:203.0.113.9"]), (ip("203.0.113.9"), true), "{proxy}");
        assert_eq!(seen(proxy, &["198.51.100.7, 203.0.113.9:4711"]), (ip("203.0.113.9"), true), "{proxy}");
        assert_eq!(seen(proxy, &["198.51.100.7", "203.0.113.9, ::ffff:192.0.2.1"]), (ip("203.0.113.9"), true), "{proxy}");
        assert_eq!(seen(proxy, &["198.51.100.7, unknown"]).0, canonical(ip(proxy)), "nothing before what does not read");
        assert_eq!(seen(proxy, &["[2001:db8::9]:80"]), (ip("2001:db8::9"), true), "{proxy}");
    }
    assert_eq!(seen("::ffff:203.0.113.9", &["198.51.100.7"]), (ip("203.0.113.9"), false));
}

/// A frame of HTTP/2 (RFC 9113 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream][..], payload].concat()
}

/// A request over HTTP/2 whose answer's body may not have a byte.
fn without_room() -> Vec<u8> {
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let literal = |(name, value): (&str, &str)| {
        let sized = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        [vec![0], sized(name), sized(value)].concat()
    };
    let head = fields.map(literal).concat();
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]), frame(1, 5, 1, &head)].concat()
}

/// Row 46: answers that nobody takes have no places for ever, in either version, nor have bodies that do not come.
#[tokio::test]
async fn threat_46_whoever_takes_nothing_of_an_answer_makes_room() {
    let upload = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx".to_vec();
    let large = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    for begun in [without_room(), upload, large] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = async |body: Body| {
            let _ = axum::body::to_bytes(body, 1_000).await;
            vec![b'x'; 50_000_000]
        };
        let (connections, (_stop, stopped)) = (Connections::with_room_for(4), Stop::by_hand());
        let reception = Reception { connections: connections.clone(), ..Reception::behind(Vec::new()) };
        tokio::spawn(serve(listener, axum::Router::new().fallback(answer), reception, stopped));
        let connect = async |bytes: &[u8]| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            stream
        };
        let mut stalled = [connect(&begun).await, connect(&begun).await];
        while !connections.are_busy(2) {
            tokio::task::yield_now().await;
        }
        let mut now = Instant::now();
        (0..3_600).for_each(|_| {
            now += Duration::from_secs(1);
            connections.look(now);
        });
        assert!(connections.are_busy(2), "where there is room, an hour is nobody's harm");
        // half of all are one network's: the next one of it needs room
        let mut good = connect(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let mut head = [0; 12];
        good.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        let [one, two] = &mut stalled;
        let (mut rest, mut other) = (Vec::new(), Vec::new());
        tokio::select! { _ = one.read_to_end(&mut rest) => {} _ = two.read_to_end(&mut other) => {} }
    }
}

/// Row 47: what a service is told of the way of a call begins with the caller, and not with what she wrote before it.
#[test]
fn threat_47_the_way_of_a_call_is_what_trusted_proxies_say() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let way = |peer: &str, forwarded: &str| {
        let mut request = Request::new(Body::empty());
        request.headers_mut().append("x-forwarded-for", forwarded.parse().unwrap());
        stamp(&mut request, ip(peer), &[ip("192.0.2.1"), ip("192.0.2.2")]);
        let proxies = request.extensions().get::<Proxies>().map(|proxies| proxies.0.clone());
        (request.extensions().get::<Caller>().unwrap().0, proxies)
    };
    let caller = ip("203.0.113.9");
    assert_eq!(way("203.0.113.9", "192.0.2.1"), (caller, None));
    assert_eq!(way("192.0.2.1", "198.51.100.7, 203.0.113.9"), (caller, Some(vec![ip("192.0.2.1")])));
    let through_two = (caller, Some(vec![ip("192.0.2.1"), ip("192.0.2.2")]));
    assert_eq!(way("192.0.2.2", "6.6.6.6, 203.0.113.9, 192.0.2.1"), through_two);
    assert_eq!(way("192.0.2.2", "203.0.113.9, what, 192.0.2.1"), (ip("192.0.2.1"), Some(vec![ip("192.0.2.2")])));
    assert_eq!(way("192.0.2.1", ""), (ip("192.0.2.1"), Some(vec![])));
}
