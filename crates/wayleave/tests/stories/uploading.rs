//! What is sent to a gateway: it arrives whole, while it may, or not at all (threat 44).

use crate::gateway::withdraw;
use crate::passing::{Bob, PHOTO, answer_of, status};
use crate::processes::LONGEST;
use std::sync::PoisonError;
use std::time::Instant;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn threat_47_s39_a_clients_broken_body_is_the_clients() {
    for is_folder in [false, true] {
        let bob = Bob::with(|text| text, is_folder).await;
        for broken in ["5\r\nhelloXX\r\n0\r\n\r\n", "zz\r\nhello\r\n", "5\r\nhello\r\n-1\r\n"] {
            let answer = bob.call("PUT", "/albums/holiday/new.jpg", "Transfer-Encoding: chunked\r\n", broken).await;
            assert_eq!(status(&answer), "400", "{broken}: {answer}");
            let last = bob.service.last();
            assert!(!last.ends_with("whole") || last.starts_with("get") || last.starts_with("head"), "{last}");
        }
        assert!(!bob.guarded.folder.0.join("files/albums/holiday/new.jpg").exists());
    }
}

/// S18: with the length known or not, to a folder or a service: what ends in the middle does not arrive.
#[tokio::test]
async fn threat_44_s18_an_upload_does_not_outlive_a_withdrawal() {
    for is_folder in [false, true] {
        let bob = Bob::with(|text| text, is_folder).await;
        let mut open = Vec::new();
        for (length, first) in [("Content-Length: 10\r\n", "hello"), ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n")] {
            let mut stream = TcpStream::connect(bob.host()).await.unwrap();
            let head = format!(
                "PUT /albums/holiday/new.jpg HTTP/1.1\r\nHost: {}\r\n{}{length}\r\n{first}",
                bob.host(),
                bob.authorization
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            open.push(stream);
        }
        let begun = Instant::now();
        let are_begun = || match is_folder {
            false => bob.service.count() >= 2,
            true => std::fs::read_dir(bob.guarded.folder.0.join(".files.uploads")).is_ok_and(|all| all.count() >= 2),
        };
        while !are_begun() {
            assert!(begun.elapsed() < LONGEST, "both must have been let in");
            tokio::task::yield_now().await;
        }
        withdraw(&bob.server).await;
        // an answer of introspection is kept for a second
        while status(&bob.call("GET", PHOTO, "", "").await) != "401" {
            assert!(begun.elapsed() < LONGEST, "a withdrawal must be heard");
        }
        for (mut stream, rest) in open.into_iter().zip(["world", "5\r\nworld\r\n0\r\n\r\n"]) {
            stream.write_all(rest.as_bytes()).await.unwrap();
            let answer = answer_of(&mut stream).await;
            assert_eq!(status(&answer), "403", "{answer}");
        }
        let seen = bob.service.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(!seen.iter().any(|head| head.starts_with("put") && head.ends_with("whole")), "{seen:?}");
        assert!(!bob.guarded.folder.0.join("files/albums/holiday/new.jpg").exists());
    }
}

#[tokio::test]
async fn threat_44_s18_an_upload_has_limits() {
    let bob = Bob::with(
        |text| text.replace("[[gateway.route]]", "[gateway.uploads]\nmax_bytes = 1000\nmax_pause_seconds = 1\n[[gateway.route]]"),
        true,
    )
    .await;
    let long = "x".repeat(1001);
    assert_eq!(status(&bob.call("PUT", PHOTO, "Content-Length: 1001\r\n", &long).await), "413");
    let chunked = format!("3e9\r\n{long}\r\n0\r\n\r\n");
    assert_eq!(status(&bob.call("PUT", PHOTO, "Transfer-Encoding: chunked\r\n", &chunked).await), "413");
    assert_eq!(status(&bob.call("PUT", PHOTO, "Content-Length: 10\r\n", "slow").await), "408");
    assert_eq!(status(&bob.call("PUT", PHOTO, "Content-Length: 1000\r\n", &long[1..]).await), "204");
    assert_eq!(std::fs::read(bob.guarded.folder.0.join("files/albums/holiday/1.jpg")).unwrap().len(), 1000);
    let left = std::fs::read_dir(bob.guarded.folder.0.join(".files.uploads")).unwrap().count();
    assert_eq!(left, 0, "nothing half written is left");
}

/// S19: what a gateway that was killed was about to write is no file, and goes when one starts again.
#[tokio::test]
async fn threat_44_s19_parts_of_a_killed_gateway_are_swept() {
    let mut bob = Bob::with(|text| text, true).await;
    let (parts, file) = (bob.guarded.folder.0.join(".files.uploads"), bob.guarded.folder.0.join("files/albums/holiday/new.jpg"));
    let count = |folder: &std::path::Path| std::fs::read_dir(folder).map_or(0, |all| all.count());
    let mut stream = TcpStream::connect(bob.host()).await.unwrap();
    let head = "PUT /albums/holiday/new.jpg HTTP/1.1\r\nContent-Length: 10";
    let head = format!("{head}\r\nHost: {}\r\n{}\r\nhello", bob.host(), bob.authorization);
    stream.write_all(head.as_bytes()).await.unwrap();
    let begun = Instant::now();
    while count(&parts) == 0 {
        assert!(begun.elapsed() < LONGEST, "it must have been let in");
        tokio::task::yield_now().await;
    }
    bob.guarded.kill();
    assert_eq!((count(&parts), file.exists()), (1, false));
    bob.guarded.run_again();
    while count(&parts) > 0 {
        assert!(begun.elapsed() < 2 * LONGEST, "it must be swept");
        tokio::task::yield_now().await;
    }
    assert!(!file.exists());
}
