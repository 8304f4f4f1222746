//! What lets something in watches it to its end, in both directions (threats 27 and 44): from the moment when a call was let
//! in, the token is looked at again every 30 seconds, also while nothing moves. Where it no longer suffices, whoever still
//! waits for the answer's head gets another one, and a body is cut, so that nobody takes the part for the whole. What comes
//! in is looked at once more before its end is passed on, and has limits of size and time. Answers that are there at once
//! are through before anybody could look again, and cost no look. Called by gateway and layer.

mod outgoing;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::future::BoxFuture;
use futures_util::{Stream, stream};
use http::StatusCode;
use http_body::{Frame, SizeHint};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// Answers up to so many bytes are taken whole where they are there.
pub const SMALL_BYTES: u64 = 64 * 1024;
/// How long a call goes on without another look.
pub const INTERVAL: Duration = Duration::from_secs(30);

/// What let a call in.
pub trait Permission: Send + Sync {
    /// Whether it still does.
    fn look(self: Arc<Self>) -> BoxFuture<'static, bool>;
}

/// A call that was let in, on its way.
#[derive(Clone)]
pub struct Watch {
    permission: Arc<dyn Permission>,
    interval: Duration,
    next_look: Instant,
}

impl Watch {
    /// From now on.
    pub fn begin(permission: Arc<dyn Permission>, interval: Duration) -> Self {
        Self { permission, interval, next_look: Instant::now() + interval }
    }

    /// Looks now, whether it is due or not.
    pub async fn look(&mut self) -> Result<(), Cut> {
        if !self.permission.clone().look().await {
            return Err(Cut::Withdrawn);
        }
        self.next_look = Instant::now() + self.interval;
        Ok(())
    }

    /// Waits for a look that tells that the permission has ended.
    pub async fn ended(&mut self) {
        loop {
            tokio::time::sleep_until(self.next_look).await;
            if self.look().await.is_err() {
                return;
            }
        }
    }

    /// What comes of the call, as long as the permission lasts. The work is dropped where it ended; what was done when a look
    /// was due waits for that look.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Cut> {
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout_at(self.next_look, work.as_mut()).await {
                Ok(done) if Instant::now() < self.next_look => return Ok(done),
                Ok(done) => return self.look().await.map(|()| done),
                Err(_) => self.look().await?,
            }
        }
    }

    /// The answer, with its body under watch unless all of it is there.
    pub fn answered(self, answer: Response) -> Response {
        if http_body::Body::is_end_stream(answer.body()) {
            return answer;
        }
        answer.map(|body| outgoing::watch(body, self))
    }
}

/// How much somebody who was let in may send, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadLimits {
    pub max_bytes: u64,
    /// From the first byte to the last.
    pub max_time: Duration,
    /// Without a byte.
    pub max_pause: Duration,
}

impl Default for UploadLimits {
    fn default() -> Self {
        let (max_time, max_pause) = (Duration::from_secs(6 * 3_600), Duration::from_secs(60));
        Self { max_bytes: 10 << 30, max_time, max_pause }
    }
}

/// Why a body that was sent to us is not taken to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub enum Cut {
    Broken,
    Withdrawn,
    TooLong,
    TooSlow,
}

impl Cut {
    /// For whoever sent it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Broken => "The body did not arrive whole: send it again.",
            Self::Withdrawn => "The permission for this ended before all of it had come.",
            Self::TooLong => "This is longer than is taken here.",
            Self::TooSlow => "This took too long to come: send it again, faster.",
        }
    }

    /// RFC 9110 15.5.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::Withdrawn => StatusCode::FORBIDDEN,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

/// Why a body was cut, once it was; both who reads it and who answers know of it. A body that is empty is never cut.
#[derive(Clone, Default)]
pub struct WasCut(Option<Arc<OnceLock<Cut>>>);

impl WasCut {
    pub fn get(&self) -> Option<Cut> {
        self.0.as_ref()?.get().copied()
    }

    fn set(&self, cut: Cut) {
        if let Some(place) = &self.0 {
            let _ = place.set(cut);
        }
    }
}

/// A request's body under watch, and where it is told why it was cut. Its end is passed on after a last look alone, and with it
/// the fields behind it: whoever takes them judges which of them may stand there (RFC 9110 6.5.1).
pub fn incoming(body: Body, limits: UploadLimits, watch: &Watch) -> (Body, WasCut) {
    let announced = http_body::Body::size_hint(&body).exact();
    if announced == Some(0) {
        return (body, WasCut::default());
    }
    let (begun, was_cut) = (Instant::now(), WasCut(Some(Arc::default())));
    let incoming = Incoming {
        body,
        watch: watch.clone(),
        ends: begun + limits.max_time,
        max_pause: limits.max_pause,
        room: limits.max_bytes,
        announced,
        was_cut: was_cut.clone(),
    };
    let pieces = stream::unfold(Some(incoming), async |incoming| {
        let mut incoming = incoming?;
        match incoming.next().await? {
            Ok(part) => Some((Ok(part), Some(incoming))),
            Err(cut) => {
                incoming.was_cut.set(cut);
                Some((Err(cut), None))
            }
        }
    });
    (Body::new(Measured { pieces: Box::pin(pieces), left: announced }), was_cut)
}

struct Incoming {
    body: Body,
    watch: Watch,
    ends: Instant,
    max_pause: Duration,
    /// Bytes that may still come.
    room: u64,
    /// Bytes that must still come, where that was said.
    announced: Option<u64>,
    was_cut: WasCut,
}

impl Incoming {
    async fn next(&mut self) -> Option<Result<Frame<Bytes>, Cut>> {
        if self.announced.is_some_and(|bytes| bytes > self.room) {
            return Some(Err(Cut::TooLong));
        }
        let silent = Instant::now() + self.max_pause;
        loop {
            let now = Instant::now();
            if now >= self.ends || now >= silent {
                return Some(Err(Cut::TooSlow));
            }
            if now >= self.watch.next_look
                && let Err(cut) = self.watch.look().await
            {
                return Some(Err(cut));
            }
            let wait = self.watch.next_look.min(self.ends).min(silent);
            let part = poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut self.body), context));
            match tokio::time::timeout_at(wait, part).await {
                Err(_) => {}
                Ok(None) if self.announced.is_some_and(|left| left > 0) => return Some(Err(Cut::Broken)),
                // looked at before the last piece
                Ok(None) if self.announced.is_some() => return None,
                Ok(None) => return self.watch.look().await.err().map(Err),
                Ok(Some(Err(_))) => return Some(Err(Cut::Broken)),
                Ok(Some(Ok(part))) => match part.into_data() {
                    Ok(piece) => return Some(self.take(piece).await.map(Frame::data)),
                    Err(behind) => return Some(self.watch.look().await.map(|()| behind)),
                },
            }
        }
    }

    /// A piece; the last one that was announced is held back until another look allowed it.
    async fn take(&mut self, piece: Bytes) -> Result<Bytes, Cut> {
        let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.room = self.room.checked_sub(bytes).ok_or(Cut::TooLong)?;
        if let Some(left) = self.announced {
            let left = left.checked_sub(bytes).ok_or(Cut::Broken)?;
            self.announced = Some(left);
            if left == 0 {
                self.watch.look().await?;
            }
        }
        Ok(piece)
    }
}

/// Pieces that say how much they are, as the body did that they came from. That all of them have come does not end it: something
/// may stand behind.
struct Measured {
    pieces: Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Cut>> + Send>>,
    left: Option<u64>,
}

impl http_body::Body for Measured {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let part = ready!(self.pieces.as_mut().poll_next(context));
        if let (Some(Ok(part)), Some(left)) = (&part, self.left)
            && let Some(piece) = part.data_ref()
        {
            self.left = Some(left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX)));
        }
        Poll::Ready(part)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests;
