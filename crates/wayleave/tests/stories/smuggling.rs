//! What a stranger writes by hand to make one call two, or another one than was judged (threats 26 and 47): a table of
//! what the wire can hold, against the real listener.

use crate::passing::{Bob, PHOTO, status};

/// Two readers of one request must not see two, nor another end of it.
#[tokio::test]
async fn threat_47_a_request_has_one_end() {
    let bob = Bob::with(|text| text, false).await;
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    for (fields, body) in [
        ("Transfer-Encoding: identity\r\n", "hello"),
        ("Transfer-Encoding: chunked, chunked\r\n", chunks),
        ("Transfer-Encoding: chunked;q=1\r\n", chunks),
        ("Transfer-Encoding:\r\n chunked\r\n", chunks),
        ("Transfer-Encoding : chunked\r\n", chunks),
        ("X-A: b\r\n X-Original-URL: /secret\r\n", ""),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
        ("Content-Length: 5, 5\r\n", "hello"),
        ("Content-Length: +5\r\n", "hello"),
        ("Content-Length: -5\r\n", "hello"),
        ("Content-Length: 0x5\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\nhello\n0\n\n"),
        ("X-A: b\rX-Original-URL: /secret\r\n", ""),
        ("X-A: b\0c\r\n", ""),
    ] {
        let answer = bob.call("PUT", PHOTO, fields, body).await;
        assert!(matches!(status(&answer), "400" | "501"), "{fields:?}: {answer}");
        assert_eq!(answer.matches("http/1.1 ").count(), 1, "{fields:?}: {answer}");
        let last = bob.service.last();
        assert!(!last.starts_with("put") || !last.ends_with("whole"), "{fields:?}: {last}");
    }
    // fields behind the chunks make no other call of it
    let trailers = "5\r\nhello\r\n0\r\nX-Original-URL: /secret\r\nAuthorization: Bearer x\r\n\r\n";
    let answer = bob.call("PUT", PHOTO, "Transfer-Encoding: chunked\r\nTrailer: X-Original-URL\r\n", trailers).await;
    assert_eq!(status(&answer), "201");
    assert!(!bob.service.last().contains("trailer"), "{}", bob.service.last());
}

/// What is known of an upload at its end alone comes to the service, and nothing else of what stands there.
#[tokio::test]
async fn what_stands_behind_an_upload_goes_on() {
    let bob = Bob::with(|text| text, false).await;
    let behind = "5\r\nhello\r\n0\r\nX-Sum: 5d41402a\r\nX-Original-URL: /secret\r\nCookie: a=b\r\n\r\n";
    let fields = "Transfer-Encoding: chunked\r\nTrailer: X-Sum, X-Original-URL, Cookie\r\n";
    assert_eq!(status(&bob.call("PUT", PHOTO, fields, behind).await), "201");
    let seen = bob.service.last();
    assert!(seen.contains("trailer: x-sum\r\n") && seen.ends_with("x-sum: 5d41402awhole"), "{seen}");
    assert!(!seen.contains("secret") && !seen.contains("a=b"), "{seen}");
}

#[tokio::test]
async fn threat_47_s20_connection_and_expect_take_nothing_away() {
    let bob = Bob::with(|text| text, false).await;
    for name in ["if-match", "cookie", "close, Content-Type", "X_Wayleave_Subject", "x-forwarded-for", "host", "range"] {
        let before = bob.service.count();
        let fields = format!("Connection: {name}\r\nIf-Match: \"x\"\r\nCookie: a=b\r\nContent-Length: 0\r\n");
        let answer = bob.call("PUT", PHOTO, &fields, "").await;
        assert_eq!((status(&answer), bob.service.count()), ("400", before), "{name}: {answer}");
    }
    let answer = bob.call("PUT", PHOTO, "Expect: 200-ok\r\nContent-Length: 0\r\n", "").await;
    assert_eq!(status(&answer), "417", "{answer}");
    let answer = bob
        .call("GET", PHOTO, "Connection: keep-alive, x-file-of-one-hop\r\nX-File-Of-One-Hop: 1\r\nX-Request-Id: 1\r\n", "")
        .await;
    assert_eq!(status(&answer), "201", "{answer}");
    let seen = bob.service.last();
    assert!(seen.contains("x-request-id") && !seen.contains("x-file-of-one-hop"), "{seen}");
    let answer = bob.call("PUT", PHOTO, "Expect: 100-continue\r\nContent-Length: 5\r\n", "hello").await;
    assert!(answer.starts_with("http/1.1 100") || status(&answer) == "201", "{answer}");
    assert!(!bob.service.last().contains("expect"), "{}", bob.service.last());
}

/// A permission for one album is not one for what is called another way, or lies elsewhere.
#[tokio::test]
async fn threat_26_a_path_has_one_reading() {
    let bob = Bob::with(|text| text.replace("POST = [\"view\"]", "POST = [\"view\"], PROPFIND = [\"view\"]"), false).await;
    let before = bob.service.count();
    for path in [
        "//albums/holiday/1.jpg",
        "/albums//holiday/1.jpg",
        "/albums/holiday/%2e%2e/secret/1.jpg",
        "/albums/holiday/..%2fsecret",
        "/albums/holiday/..%20",
        "/albums/%20../1.jpg",
        "/albums/holiday/%EF%BC%8E%EF%BC%8E",
        "/albums/holiday/1.jpg;x=y",
        "/albums\\holiday\\1.jpg",
        "/albums/holiday/1.jpg%00",
        "/albums/holiday/%c0%ae",
        "/albums/holiday/1.jpg/",
        "*",
        "/%2ewayleave/manage/my-rules",
    ] {
        let answer = bob.call("GET", path, "", "").await;
        assert!(matches!(status(&answer), "400" | "404"), "{path}: {answer}");
    }
    for method in ["get", "Get", "TRACE", "OPTIONS", "DEBUG", "LOCK"] {
        let answer = bob.call(method, PHOTO, "", "").await;
        assert_eq!(status(&answer), "405", "{method}: {answer}");
    }
    assert_eq!(bob.service.count(), before);
    assert_eq!(status(&bob.call("PROPFIND", PHOTO, "Depth: infinity\r\nContent-Length: 0\r\n", "").await), "201");
}
