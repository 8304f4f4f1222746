//! The same rules with moments in the place of minutes.

use super::*;
use futures_util::StreamExt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Stands for 30 seconds.
const SHORT: Duration = Duration::from_millis(40);
const LIMITS: UploadLimits =
    UploadLimits { max_bytes: 1_000, max_time: Duration::from_millis(800), max_pause: Duration::from_millis(200) };

/// A permission that can be withdrawn, and how often it was looked at.
#[derive(Clone, Default)]
struct Withdrawable {
    withdrawn: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
}

impl Permission for Withdrawable {
    fn look(self: Arc<Self>) -> BoxFuture<'static, bool> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(!self.withdrawn.load(Ordering::SeqCst)))
    }
}

impl Withdrawable {
    fn watch(&self) -> Watch {
        Watch::begin(Arc::new(self.clone()), SHORT)
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
    let pieces = body.into_data_stream().map(|piece| piece.map(Frame::data).map_err(|_| Cut::Broken));
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
        let permission = Withdrawable::default();
        let endless = Body::from_stream(stream::repeat(()).then(move |()| async move {
            if pause > 0 {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            io::Result::Ok(Bytes::from_static(b"piece"))
        }));
        let mut body = permission.watch().answered(Response::new(endless)).into_body().into_data_stream();
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
            let permission = Withdrawable::default();
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
            let (body, was_cut) = incoming(body, LIMITS, &permission.watch());
            let (bytes, whole) = all(body).await;
            assert!(!whole && bytes <= 25, "withdrawn after {withdrawn_after} pieces");
            assert!(!known_length || bytes < 25, "whoever counts has not got the last byte");
            assert_eq!(was_cut.get(), Some(Cut::Withdrawn));
        }
    }
    // one that goes on for ever is cut in time
    let permission = Withdrawable::default();
    permission.withdraw();
    let endless = Body::from_stream(stream::repeat(()).then(async |()| {
        tokio::time::sleep(Duration::from_millis(1)).await;
        io::Result::Ok(Bytes::from_static(b"x"))
    }));
    let (body, was_cut) = incoming(endless, LIMITS, &permission.watch());
    assert!(!all(body).await.1);
    assert_eq!(was_cut.get(), Some(Cut::Withdrawn));
}

#[tokio::test]
async fn threat_44_s18_the_end_is_passed_on_after_a_last_look() {
    for known_length in [true, false] {
        let permission = Withdrawable::default();
        let mut body = slowly(0, pieces(5));
        if known_length {
            body = announced(body, 25);
        }
        let (body, was_cut) = incoming(body, LIMITS, &permission.watch());
        assert_eq!(http_body::Body::size_hint(&body).exact(), known_length.then_some(25));
        assert_eq!(all(body).await, (25, true));
        assert_eq!((permission.looks(), was_cut.get()), (1, None));
    }
    let permission = Withdrawable::default();
    let (body, _) = incoming(Body::empty(), LIMITS, &permission.watch());
    assert_eq!((all(body).await, permission.looks()), ((0, true), 0), "what is empty is not waited for");
}

/// What stands behind a body is its end: it comes after a last look, or not at all.
#[tokio::test]
async fn threat_44_s18_what_stands_behind_an_upload_is_passed_on_after_a_last_look() {
    for (known_length, is_withdrawn) in [(true, false), (false, false), (true, true), (false, true)] {
        let behind = http::HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), http::HeaderValue::from_static("1"))]);
        let permission = Withdrawable::default();
        let ending = permission.clone();
        let parts = stream::iter([Frame::data(Bytes::from_static(b"hello")), Frame::trailers(behind)]).inspect(move |part| {
            if is_withdrawn && part.is_trailers() {
                ending.withdraw();
            }
        });
        let body = Body::new(InParts { parts: Box::pin(parts), length: known_length.then_some(5) });
        let (mut body, _) = incoming(body, LIMITS, &permission.watch());
        let (mut bytes, mut told) = (0, Vec::new());
        while let Some(Ok(part)) = poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut body), context)).await {
            match part.into_data() {
                Ok(piece) => bytes += piece.len(),
                Err(part) => told.extend(part.into_trailers().unwrap().keys().map(ToString::to_string)),
            }
        }
        assert_eq!((bytes, told.len()), (5, usize::from(!is_withdrawn)), "{known_length} {is_withdrawn}");
    }
}

struct InParts {
    parts: Pin<Box<dyn Stream<Item = Frame<Bytes>> + Send>>,
    length: Option<u64>,
}

impl http_body::Body for InParts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.parts.as_mut().poll_next(context).map(|part| part.map(Ok))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[tokio::test]
async fn threat_44_s18_uploads_have_limits_of_size_and_time() {
    let cut = async |body: Body| {
        let (body, was_cut) = incoming(body, LIMITS, &Withdrawable::default().watch());
        let (bytes, whole) = all(body).await;
        assert!(!whole && bytes <= 1_000);
        was_cut.get().unwrap()
    };
    assert_eq!(cut(slowly(0, pieces(201))).await, Cut::TooLong);
    let (body, was_cut) = incoming(announced(slowly(0, pieces(300)), 1_500), LIMITS, &Withdrawable::default().watch());
    assert_eq!(all(body).await, (0, false), "what is said to be too long is not even begun");
    assert_eq!(was_cut.get(), Some(Cut::TooLong));
    assert_eq!(cut(slowly(100_000, pieces(2))).await, Cut::TooSlow, "silence");
    assert_eq!(cut(slowly(10, pieces(199))).await, Cut::TooSlow, "a drop now and then");
    assert_eq!(cut(announced(slowly(0, pieces(1)), 10)).await, Cut::Broken, "less than was said");
    let broken = vec![Ok(Bytes::from_static(b"piece")), Err(io::Error::other("no chunk"))];
    assert_eq!(cut(slowly(0, broken)).await, Cut::Broken);
    let statuses = [Cut::Broken, Cut::Withdrawn, Cut::TooLong, Cut::TooSlow].map(|cut| cut.status().as_u16());
    assert_eq!(statuses, [400, 403, 413, 408]);
}

/// A body that is never at its end, and who hears that it was dropped.
fn held(first: &'static [u8]) -> (Body, tokio::sync::oneshot::Receiver<()>) {
    let (held, dropped) = tokio::sync::oneshot::channel::<()>();
    let mut first = (!first.is_empty()).then(|| Bytes::from_static(first));
    let pieces = stream::poll_fn(move |_| {
        let _ = &held;
        first.take().map_or(Poll::Pending, |piece| Poll::Ready(Some(io::Result::Ok(piece))))
    });
    (Body::from_stream(pieces), dropped)
}

/// Between the call and the head of its answer as well.
#[tokio::test]
async fn threat_44_who_waits_for_an_answer_hears_of_a_withdrawal() {
    let permission = Withdrawable::default();
    let (held, dropped) = tokio::sync::oneshot::channel::<()>();
    let work = async move {
        std::future::pending::<()>().await;
        drop(held);
    };
    let mut watch = permission.watch();
    let waiting = tokio::spawn(async move { watch.during(work).await });
    while permission.looks() < 3 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished(), "allowed, it is waited for");
    permission.withdraw();
    assert_eq!(waiting.await.unwrap(), Err(Cut::Withdrawn));
    assert!(dropped.await.is_err(), "and with it ends what it asked of the service");
}

#[tokio::test]
async fn threat_44_an_answer_that_comes_when_a_look_is_due_waits_for_it() {
    for withdrawn in [false, true] {
        let permission = Withdrawable::default();
        permission.withdrawn.store(withdrawn, Ordering::SeqCst);
        let mut watch = Watch::begin(Arc::new(permission.clone()), Duration::ZERO);
        assert_eq!(watch.during(std::future::ready("head")).await.is_ok(), !withdrawn);
        assert_eq!(permission.looks(), 1);
        // long before one is due, nobody is asked
        let permission = Withdrawable::default();
        let mut watch = Watch::begin(Arc::new(permission.clone()), INTERVAL);
        assert_eq!(watch.during(std::future::ready("head")).await, Ok("head"));
        assert_eq!(permission.looks(), 0);
    }
}

#[tokio::test]
async fn threat_44_what_is_there_at_once_is_not_looked_at() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for (body, bytes) in [
        (Body::empty(), 0),
        (Body::from("all of it"), 9),
        (slowly_not(pieces(1)), 5),
        (slowly_not(pieces(3)), 15),
        (slowly_not(pieces(0)), 0),
    ] {
        let permission = Withdrawable::default();
        let body = permission.watch().answered(Response::new(body)).into_body();
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(bytes), "nothing of it is still to come");
        assert_eq!(tasks(), 0, "and nobody watches");
        permission.withdraw();
        assert_eq!(all(body).await, (usize::try_from(bytes).unwrap(), true));
        assert_eq!(permission.looks(), 0);
    }
}

fn slowly_not(pieces: Vec<io::Result<Bytes>>) -> Body {
    Body::from_stream(stream::iter(pieces))
}

/// Small ones that drip, of known length or not, and those that are never read.
#[tokio::test]
async fn threat_44_small_answers_that_are_not_there_are_looked_at() {
    for known_length in [true, false] {
        let permission = Withdrawable::default();
        let mut body = slowly(5, pieces(2_000));
        if known_length {
            body = announced(body, 10_000);
        }
        let body = permission.watch().answered(Response::new(body)).into_body();
        assert_eq!(http_body::Body::size_hint(&body).exact(), known_length.then_some(10_000));
        permission.withdraw();
        let (bytes, whole) = all(body).await;
        assert!(!whole && bytes < 10_000, "known length: {known_length}");
    }
}

#[tokio::test]
async fn threat_44_an_answer_that_nobody_reads_does_not_outlive_a_withdrawal() {
    for first in [b"".as_slice(), b"piece"] {
        let permission = Withdrawable::default();
        let (body, dropped) = held(first);
        let mut body = permission.watch().answered(Response::new(body)).into_body().into_data_stream();
        permission.withdraw();
        assert!(dropped.await.is_err(), "what it asked of the service ends");
        assert!(body.next().await.unwrap().is_err(), "not even what had come is given");
        assert!(body.next().await.is_none());
    }
}

#[tokio::test]
async fn threat_44_who_goes_is_not_watched_any_longer() {
    let permission = Withdrawable::default();
    let (body, dropped) = held(b"piece");
    let mut body = permission.watch().answered(Response::new(body)).into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "piece");
    drop(body);
    assert!(dropped.await.is_err());
}

/// An upload to a service that does not read it, and one that comes slowly.
#[tokio::test]
async fn threat_44_an_upload_that_nobody_reads_does_not_outlive_a_withdrawal() {
    let permission = Withdrawable::default();
    let (body, dropped) = held(b"piece");
    let mut watch = permission.watch();
    let (body, _) = incoming(body, LIMITS, &watch);
    permission.withdraw();
    let service = async move {
        std::future::pending::<()>().await;
        drop(body);
    };
    assert_eq!(watch.during(service).await, Err(Cut::Withdrawn));
    assert!(dropped.await.is_err());
}
