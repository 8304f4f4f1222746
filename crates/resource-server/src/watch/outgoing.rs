//! An answer's body under watch: its pieces go on as they come, and looks are taken beside them, so that a body that nobody
//! reads, or that has nothing to say, is cut as well. Called by `watch.rs`.

use super::{SMALL_BYTES, Watch};
use axum::body::{Body, Bytes};
use futures_util::FutureExt;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// In so many pieces at most: a body may have empty ones without end.
const MOST_PIECES: usize = 16;

/// A body that has begun. Fields behind it go on as they are: whoever made the answer left those that may.
pub(super) struct Begun {
    pieces: VecDeque<Bytes>,
    /// Those of a body of which all is there.
    trailers: Option<HeaderMap>,
    /// None: that was all.
    rest: Option<Body>,
}

/// The body as it is where all of it is there, else under watch.
pub(super) fn watch(body: Body, watch: Watch) -> Body {
    let mut begun = Begun { pieces: VecDeque::new(), trailers: None, rest: Some(body) };
    begun.take_what_is_there();
    match (&begun.rest, begun.pieces.len()) {
        (None, 0..=1) if begun.trailers.is_none() => Body::from(begun.pieces.pop_front().unwrap_or_default()),
        (None, _) => Body::new(begun),
        (Some(_), _) => Body::new(Outgoing::begin(begun, watch)),
    }
}

impl Begun {
    /// Takes what has come of a small body, if that is all of it. What is not there yet, or an error, is for whoever reads.
    fn take_what_is_there(&mut self) {
        let Some(rest) = &mut self.rest else { return };
        let mut left = SMALL_BYTES;
        for _ in 0..MOST_PIECES {
            if rest.is_end_stream() {
                self.rest = None;
                return;
            }
            if rest.size_hint().lower() > left {
                return;
            }
            match poll_fn(|context| Pin::new(&mut *rest).poll_frame(context)).now_or_never() {
                Some(Some(Ok(frame))) => {
                    let piece = match frame.into_data() {
                        Ok(piece) => piece,
                        Err(frame) => {
                            self.trailers = frame.into_trailers().ok();
                            continue;
                        }
                    };
                    left = left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                    self.pieces.push_back(piece);
                }
                Some(None) => {
                    self.rest = None;
                    return;
                }
                Some(Some(Err(error))) => {
                    self.rest = Some(Body::from_stream(futures_util::stream::once(async move { Err::<Bytes, _>(error) })));
                    return;
                }
                None => return,
            }
            if left == 0 {
                return;
            }
        }
    }

    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let part = ready!(Pin::new(rest).poll_frame(context));
        Poll::Ready(part.map(|part| part.map_err(io::Error::other)))
    }

    fn hint(&self) -> SizeHint {
        let there: u64 = self.pieces.iter().map(|piece| u64::try_from(piece.len()).unwrap_or(u64::MAX)).sum();
        let mut hint = SizeHint::with_exact(there);
        if let Some(rest) = self.rest.as_ref().map(Body::size_hint) {
            hint = SizeHint::new();
            hint.set_lower(rest.lower().saturating_add(there));
            if let Some(upper) = rest.upper() {
                hint.set_upper(upper.saturating_add(there));
            }
        }
        hint
    }
}

impl http_body::Body for Begun {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.poll_part(context)
    }

    fn size_hint(&self) -> SizeHint {
        self.hint()
    }
}

/// What reader and watcher share.
struct Shared {
    /// None: it was cut.
    body: Option<Begun>,
    next_look: Instant,
    reader: Option<Waker>,
    is_cut: bool,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body under watch, as its reader has it.
struct Outgoing {
    shared: Arc<Mutex<Shared>>,
    hint: SizeHint,
    watcher: AbortHandle,
}

impl Outgoing {
    fn begin(body: Begun, watch: Watch) -> Self {
        let hint = body.hint();
        let shared = Shared { body: Some(body), next_look: watch.next_look, reader: None, is_cut: false };
        let shared = Arc::new(Mutex::new(shared));
        let watcher = tokio::spawn(look_after(shared.clone(), watch)).abort_handle();
        Self { shared, hint, watcher }
    }
}

/// Looks each time that a look is due, whether anybody reads or not, until one says no: then the body is cut, and with it
/// goes the connection that it came by.
async fn look_after(shared: Arc<Mutex<Shared>>, mut watch: Watch) {
    loop {
        tokio::time::sleep_until(watch.next_look).await;
        // a look that breaks off allowed nothing
        let looked = AssertUnwindSafe(watch.look()).catch_unwind().await;
        let mut shared = lock(&shared);
        shared.next_look = watch.next_look;
        shared.is_cut = !matches!(looked, Ok(Ok(())));
        let cut = if shared.is_cut { shared.body.take() } else { None };
        if let Some(reader) = shared.reader.take() {
            reader.wake();
        }
        let is_cut = shared.is_cut;
        drop(shared);
        drop(cut);
        if is_cut {
            return;
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = {
            let mut shared = lock(&self.shared);
            if std::mem::take(&mut shared.is_cut) {
                return Poll::Ready(Some(Err(io::Error::other("the permission for this answer has ended"))));
            }
            // a look goes first: a body that always has a piece ready does not get ahead of it
            let is_due = Instant::now() >= shared.next_look;
            let polled = match &mut shared.body {
                Some(_) if is_due => Poll::Pending,
                Some(body) => body.poll_part(context),
                None => Poll::Ready(None),
            };
            if polled.is_pending() {
                shared.reader = Some(context.waker().clone());
            }
            polled
        };
        if let Poll::Ready(Some(Ok(part))) = &polled {
            self.hint = less(&self.hint, part.data_ref().map_or(0, Bytes::len));
        }
        polled
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// What is left when so many bytes have gone.
fn less(hint: &SizeHint, bytes: usize) -> SizeHint {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    let mut left = SizeHint::new();
    left.set_lower(hint.lower().saturating_sub(bytes));
    if let Some(upper) = hint.upper() {
        left.set_upper(upper.saturating_sub(bytes));
    }
    left
}
