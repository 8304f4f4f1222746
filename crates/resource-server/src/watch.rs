//! What lets something in watches it to its end, in both directions (threats 27 and 44): every 30 seconds of a body the
//! token is looked at again, and where it no longer suffices the body is cut, so that nobody takes the part for the
//! whole. What comes in is looked at once more before its end is passed on, and has limits of size and time. Called by
//! gateway and layer.

use axum::body::{Body, BodyDataStream, Bytes};
use axum::response::Response;
use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt, stream};
use http::StatusCode;
use http_body::{Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// How long a body goes on without another look.
pub const INTERVAL: Duration = Duration::from_secs(30);

/// Asks whether a call that was let in may go on.
pub type MayGoOn = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

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

/// Why a body was cut, once it was; both who reads it and who answers know of it.
pub type WasCut = Arc<OnceLock<Cut>>;

/// Answers up to this size are through before anybody could look again.
const SMALL: u64 = 64 * 1024;

/// The answer, with its body under watch unless that is small.
pub fn answered(answer: Response, may_go_on: MayGoOn) -> Response {
    let is_small = http_body::Body::size_hint(answer.body()).exact().is_some_and(|size| size <= SMALL);
    if is_small { answer } else { answer.map(|body| outgoing(body, INTERVAL, may_go_on)) }
}

/// An answer's body for as long as `may_go_on` says so; then an error.
pub fn outgoing(body: Body, interval: Duration, may_go_on: MayGoOn) -> Body {
    let outgoing = Outgoing { body: body.into_data_stream(), may_go_on, interval, next_look: Instant::now() + interval };
    Body::from_stream(stream::unfold(Some(outgoing), async |outgoing| {
        let mut outgoing = outgoing?;
        match outgoing.next().await? {
            Ok(piece) => Some((Ok(piece), Some(outgoing))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

struct Outgoing {
    body: BodyDataStream,
    may_go_on: MayGoOn,
    interval: Duration,
    next_look: Instant,
}

impl Outgoing {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            // asked first: a body that always has a piece ready must not keep the look from being taken
            if Instant::now() >= self.next_look {
                if !(self.may_go_on)().await {
                    return Some(Err(io::Error::other("the permission for this answer has ended")));
                }
                self.next_look = Instant::now() + self.interval;
            }
            if let Ok(piece) = tokio::time::timeout_at(self.next_look, self.body.next()).await {
                return piece.map(|piece| piece.map_err(io::Error::other));
            }
        }
    }
}

/// A request's body under watch, and where it is told why it was cut. Its end is passed on after a last look alone. Fields
/// behind a chunked body are left out: nobody judged them (RFC 9110 6.5.1).
pub fn incoming(body: Body, interval: Duration, limits: UploadLimits, may_go_on: MayGoOn) -> (Body, WasCut) {
    let was_cut = WasCut::default();
    let announced = http_body::Body::size_hint(&body).exact();
    if announced == Some(0) {
        return (body, was_cut);
    }
    let begun = Instant::now();
    let incoming = Incoming {
        body: body.into_data_stream(),
        may_go_on,
        interval,
        next_look: begun + interval,
        ends: begun + limits.max_time,
        max_pause: limits.max_pause,
        room: limits.max_bytes,
        announced,
        was_cut: was_cut.clone(),
    };
    let pieces = stream::unfold(Some(incoming), async |incoming| {
        let mut incoming = incoming?;
        match incoming.next().await? {
            Ok(piece) => Some((Ok(piece), Some(incoming))),
            Err(cut) => {
                let _ = incoming.was_cut.set(cut);
                Some((Err(cut), None))
            }
        }
    });
    (Body::new(Measured { pieces: Box::pin(pieces), left: announced }), was_cut)
}

struct Incoming {
    body: BodyDataStream,
    may_go_on: MayGoOn,
    interval: Duration,
    next_look: Instant,
    ends: Instant,
    max_pause: Duration,
    /// Bytes that may still come.
    room: u64,
    /// Bytes that must still come, where that was said.
    announced: Option<u64>,
    was_cut: WasCut,
}

impl Incoming {
    async fn next(&mut self) -> Option<Result<Bytes, Cut>> {
        if self.announced.is_some_and(|bytes| bytes > self.room) {
            return Some(Err(Cut::TooLong));
        }
        let silent = Instant::now() + self.max_pause;
        loop {
            let now = Instant::now();
            if now >= self.ends || now >= silent {
                return Some(Err(Cut::TooSlow));
            }
            if now >= self.next_look
                && let Err(cut) = self.look().await
            {
                return Some(Err(cut));
            }
            let wait = self.next_look.min(self.ends).min(silent);
            match tokio::time::timeout_at(wait, self.body.next()).await {
                Err(_) => {}
                Ok(None) if self.announced.is_some_and(|left| left > 0) => return Some(Err(Cut::Broken)),
                // looked at before the last piece
                Ok(None) if self.announced.is_some() => return None,
                Ok(None) => return self.look().await.err().map(Err),
                Ok(Some(Err(_))) => return Some(Err(Cut::Broken)),
                Ok(Some(Ok(piece))) => return Some(self.take(piece).await),
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
                self.look().await?;
            }
        }
        Ok(piece)
    }

    async fn look(&mut self) -> Result<(), Cut> {
        if !(self.may_go_on)().await {
            return Err(Cut::Withdrawn);
        }
        self.next_look = Instant::now() + self.interval;
        Ok(())
    }
}

/// Pieces that say how much they are, as the body did that they came from.
struct Measured {
    pieces: Pin<Box<dyn Stream<Item = Result<Bytes, Cut>> + Send>>,
    left: Option<u64>,
}

impl http_body::Body for Measured {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let piece = ready!(self.pieces.as_mut().poll_next(context));
        if let (Some(Ok(piece)), Some(left)) = (&piece, self.left) {
            self.left = Some(left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX)));
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests;
