//! The same rules with moments in the place of minutes.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Stands for 30 seconds.
const SHORT: Duration = Duration::from_millis(40);
const LIMITS: UploadLimits =
    UploadLimits { max_bytes: 1_000, max_time: Duration::from_millis(800), max_pause: Duration::from_millis(200) };

/// A permission that can be withdrawn, and how often it was looked at.
#[derive(Clone, Default)]
struct Permission {
    withdrawn: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
}

impl Permission {
    fn may_go_on(&self) -> MayGoOn {
        let permission = self.clone();
        Arc::new(move || {
            permission.looks.fetch_add(1, Ordering::SeqCst);
            let allowed = !permission.withdrawn.load(Ordering::SeqCst);
            Box::pin(std::future::ready(allowed))
        })
    }

    fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::SeqCst);
    }

    fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }
}

/// Pieces, each after so many milliseconds.
fn slowly(pause: u64, pieces: Vec<io::Result<Bytes>>) -> Body {
    Body::from_stream(stream::iter(pieces).then(move |piece| async move {
        if pause > 0 {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        piece
    }))
}

fn pieces(count: usize) -> Vec<io::Result<Bytes>> {
    (0..count).map(|_| Ok(Bytes::from_static(b"piece"))).collect()
}

/// A body that says how long it is.
fn announced(body: Body, bytes: u64) -> Body {
    let pieces = body.into_data_stream().map(|piece| piece.map_err(|_| Cut::Broken));
    Body::new(Measured { pieces: Box::pin(pieces), left: Some(bytes) })
}

/// What comes of it: the bytes, and whether the end did.
async fn all(body: Body) -> (usize, bool) {
    let mut body = body.into_data_stream();
    let mut bytes = 0;
    while let Some(piece) = body.next().await {
        let Ok(piece) = piece else { return (bytes, false) };
        bytes += piece.len();
    }
    (bytes, true)
}

#[tokio::test]
async fn threat_27_a_stream_does_not_outlive_a_withdrawal() {
    // one that never pauses, one that does, one that falls silent
    for pause in [0, 3, 1_000_000] {
        let permission = Permission::default();
        let endless = Body::from_stream(stream::repeat(()).then(move |()| async move {
            if pause > 0 {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            io::Result::Ok(Bytes::from_static(b"piece"))
        }));
        let mut body = outgoing(endless, SHORT, permission.may_go_on()).into_data_stream();
        let begun = Instant::now();
        while pause < 1_000 && begun.elapsed() < SHORT * 3 {
            assert!(body.next().await.unwrap().is_ok(), "allowed, it goes on");
        }
        permission.withdraw();
        let withdrawn = Instant::now();
        while body.next().await.unwrap().is_ok() {
            assert!(withdrawn.elapsed() < Duration::from_secs(5), "a piece every {pause} ms");
        }
        assert!(body.next().await.is_none());
    }
}

/// The permission ends at the beginning, in the middle, and with all pieces but the last one there.
#[tokio::test]
async fn threat_44_s18_an_upload_does_not_outlive_a_withdrawal() {
    for known_length in [true, false] {
        for withdrawn_after in [0, 2, 4] {
            let permission = Permission::default();
            let ending = permission.clone();
            let numbered = stream::iter(pieces(5).into_iter().enumerate()).map(move |(number, piece)| {
                if number == withdrawn_after {
                    ending.withdraw();
                }
                piece
            });
            let mut body = Body::from_stream(numbered);
            if known_length {
                body = announced(body, 25);
            }
            let (body, was_cut) = incoming(body, SHORT, LIMITS, permission.may_go_on());
            let (bytes, whole) = all(body).await;
            assert!(!whole && bytes <= 25, "withdrawn after {withdrawn_after} pieces");
            assert!(!known_length || bytes < 25, "whoever counts has not got the last byte");
            assert_eq!(was_cut.get(), Some(&Cut::Withdrawn));
        }
    }
    // one that goes on for ever is cut in time
    let permission = Permission::default();
    permission.withdraw();
    let endless = Body::from_stream(stream::repeat(()).then(async |()| {
        tokio::time::sleep(Duration::from_millis(1)).await;
        io::Result::Ok(Bytes::from_static(b"x"))
    }));
    let (body, was_cut) = incoming(endless, SHORT, LIMITS, permission.may_go_on());
    assert!(!all(body).await.1);
    assert_eq!(was_cut.get(), Some(&Cut::Withdrawn));
}

#[tokio::test]
async fn threat_44_s18_the_end_is_passed_on_after_a_last_look() {
    for known_length in [true, false] {
        let permission = Permission::default();
        let mut body = slowly(0, pieces(5));
        if known_length {
            body = announced(body, 25);
        }
        let (body, was_cut) = incoming(body, SHORT, LIMITS, permission.may_go_on());
        assert_eq!(http_body::Body::size_hint(&body).exact(), known_length.then_some(25));
        assert_eq!(all(body).await, (25, true));
        assert_eq!((permission.looks(), was_cut.get()), (1, None));
    }
    let permission = Permission::default();
    let (body, _) = incoming(Body::empty(), SHORT, LIMITS, permission.may_go_on());
    assert_eq!((all(body).await, permission.looks()), ((0, true), 0), "what is empty is not waited for");
}

#[tokio::test]
async fn threat_44_s18_uploads_have_limits_of_size_and_time() {
    let cut = async |body: Body| {
        let (body, was_cut) = incoming(body, SHORT, LIMITS, Permission::default().may_go_on());
        let (bytes, whole) = all(body).await;
        assert!(!whole && bytes <= 1_000);
        was_cut.get().copied().unwrap()
    };
    assert_eq!(cut(slowly(0, pieces(201))).await, Cut::TooLong);
    let (body, was_cut) = incoming(announced(slowly(0, pieces(300)), 1_500), SHORT, LIMITS, Permission::default().may_go_on());
    assert_eq!(all(body).await, (0, false), "what is said to be too long is not even begun");
    assert_eq!(was_cut.get(), Some(&Cut::TooLong));
    assert_eq!(cut(slowly(100_000, pieces(2))).await, Cut::TooSlow, "silence");
    assert_eq!(cut(slowly(10, pieces(199))).await, Cut::TooSlow, "a drop now and then");
    assert_eq!(cut(announced(slowly(0, pieces(1)), 10)).await, Cut::Broken, "less than was said");
    let broken = vec![Ok(Bytes::from_static(b"piece")), Err(io::Error::other("no chunk"))];
    assert_eq!(cut(slowly(0, broken)).await, Cut::Broken);
    let statuses = [Cut::Broken, Cut::Withdrawn, Cut::TooLong, Cut::TooSlow].map(|cut| cut.status().as_u16());
    assert_eq!(statuses, [400, 403, 413, 408]);
}
