//! A connection's bytes on their way, as far as it matters when it is let go: whether the first of them say what it
//! speaks, and whether those that are written are taken. And the bodies of requests and answers: who waits for whom, and
//! what moves.

use super::connection::{Connection, Protocol, UnderWay};
use super::connections::{Place, RequestPlace};
use axum::body::Body;
use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How HTTP/2 begins (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Up to this length an answer may be in memory as a whole; longer ones come piece by piece.
const WHOLE_BYTES: u64 = 64 * 1_024;
/// What an answer takes beside its body, about: head, stream and task.
const ANSWER_BYTES: u64 = 8 * 1_024;

/// A connection, and its place among those that are open.
pub(super) struct Watched<T> {
    inner: T,
    place: Arc<Place>,
    /// What of HTTP/2's beginning has not come yet; none: it is known what is spoken.
    awaited: Option<&'static [u8]>,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T, place: Arc<Place>) -> Self {
        Self { inner, place, awaited: Some(PREFACE) }
    }

    fn take_note(&mut self, bytes: &[u8]) {
        let Some(awaited) = self.awaited.filter(|_| !bytes.is_empty()) else { return };
        let common = awaited.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        let rest = awaited.get(common..).unwrap_or_default();
        let spoken = match (rest.is_empty(), common == bytes.len()) {
            (true, _) => Protocol::Http2,
            (false, false) => Protocol::Http1,
            (false, true) => {
                self.awaited = Some(rest);
                return;
            }
        };
        self.awaited = None;
        self.place.connection.speaks(spoken);
    }

    fn noted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.place.connection.wrote(written.is_ready());
        written
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.take_note(buffer.filled().get(before..).unwrap_or_default());
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        // what TLS has taken and not written waits for the client as well
        self.place.connection.wrote(flushed.is_ready());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Tells the connection where it changes whether something waits for the client.
fn note_turn(connection: &Connection, noted: &mut bool, is_clients: bool) {
    if is_clients != *noted {
        connection.waits_for_client(is_clients);
        *noted = is_clients;
    }
}

/// The body of a request: who reads it may wait for the client.
pub(super) struct Brought {
    body: Incoming,
    connection: Arc<Connection>,
    is_clients_turn: bool,
}

impl Brought {
    /// A body that is empty waits for nobody.
    pub(super) fn watch(body: Incoming, connection: &Arc<Connection>) -> Body {
        if http_body::Body::is_end_stream(&body) {
            return Body::empty();
        }
        Body::new(Self { body, connection: connection.clone(), is_clients_turn: false })
    }
}

impl Drop for Brought {
    fn drop(&mut self) {
        note_turn(&self.connection, &mut self.is_clients_turn, false);
    }
}

impl http_body::Body for Brought {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.body).poll_frame(context);
        note_turn(&this.connection, &mut this.is_clients_turn, frame.is_pending());
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            this.connection.moves(frame.data_ref().map_or(0, Bytes::len));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, whose request is under way until it is gone. Whoever writes it asks for a piece when the client
/// took the one before: in HTTP/2 that is not seen at the socket, where a client can give one stream no room.
pub(super) struct Carried {
    body: Body,
    request: UnderWay,
    is_clients_turn: bool,
    /// Held until it is gone; none: the answer says that there was none.
    _place: Option<RequestPlace>,
    /// What is in memory of it before a piece was asked for, in bytes.
    kept: u64,
}

impl Carried {
    pub(super) fn new(body: Body, request: UnderWay, place: Option<RequestPlace>) -> Self {
        let mut is_clients_turn = false;
        note_turn(&request.0, &mut is_clients_turn, !http_body::Body::is_end_stream(&body));
        let whole = http_body::Body::size_hint(&body).exact().filter(|bytes| *bytes <= WHOLE_BYTES);
        let kept = ANSWER_BYTES.saturating_add(whole.unwrap_or(0));
        request.0.keeps(kept);
        Self { body, request, is_clients_turn, _place: place, kept }
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        note_turn(&self.request.0, &mut self.is_clients_turn, false);
        self.request.0.gives_up(self.kept);
    }
}

impl http_body::Body for Carried {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.body).poll_frame(context);
        let connection = &this.request.0;
        note_turn(connection, &mut this.is_clients_turn, frame.is_ready());
        // from now on the pieces are counted
        connection.gives_up(this.kept.saturating_sub(ANSWER_BYTES));
        this.kept = this.kept.min(ANSWER_BYTES);
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| Piece::new(bytes, connection)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A piece of an answer, which is under way until its last byte is written.
pub(super) struct Piece {
    bytes: Bytes,
    /// Its length when it was given.
    kept: u64,
    under_way: UnderWay,
}

impl Piece {
    fn new(bytes: Bytes, connection: &Arc<Connection>) -> Self {
        connection.waits_for_client(true);
        let kept = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        connection.keeps(kept);
        Self { bytes, kept, under_way: connection.begin() }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.under_way.0.waits_for_client(false);
        self.under_way.0.gives_up(self.kept);
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.under_way.0.moves(count);
        self.bytes.advance(count);
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        self.under_way.0.moves(count);
        self.bytes.copy_to_bytes(count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection::SLOW_AFTER;
    use super::super::connections::Connections;
    use super::*;
    use http_body::Body as _;
    use std::time::{Duration, Instant};

    fn spoken(pieces: &[&[u8]]) -> Option<&'static [u8]> {
        let place = Connections::with_room_for(8).admit(0, [192, 0, 2, 1].into(), false, Instant::now()).unwrap();
        let mut watched = Watched::new((), Arc::new(place));
        pieces.iter().for_each(|piece| watched.take_note(piece));
        watched.awaited
    }

    #[test]
    fn threat_46_the_beginning_of_a_beginning_says_nothing_yet() {
        assert_eq!(spoken(&[]), Some(PREFACE));
        assert_eq!(spoken(&[b"P"]), PREFACE.get(1..));
        assert_eq!(spoken(&[b"P", b"R", b"I * HTTP/2.0\r\n\r\nSM\r\n"]), PREFACE.get(22..));
        for known in
            [&[b"G".as_slice()][..], &[b"P", b"OST / HTTP/1.0"], &[PREFACE], &[b"PRI", b" * HTTP/2.0\r\n\r\nSM\r\n\r\n\0"]]
        {
            assert_eq!(spoken(known), None);
        }
    }

    /// Whether the connection's client is slow after some seconds in which nothing happens.
    fn makes_room(place: &Place, now: &mut Instant) -> bool {
        for _ in 0..SLOW_AFTER.as_secs() {
            *now += Duration::from_secs(1);
            place.connection.look(*now);
        }
        place.connection.rank(*now).is_some()
    }

    async fn next(body: &mut Carried) -> Option<Piece> {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        frame.and_then(Result::ok).and_then(|frame| frame.into_data().ok())
    }

    /// Row 46: an answer is judged by its body, whatever the socket says.
    #[tokio::test]
    async fn threat_46_an_answer_waits_for_the_client_until_its_last_byte_is_written() {
        let mut now = Instant::now();
        let place = Connections::with_room_for(8).admit(0, [192, 0, 2, 2].into(), false, now).unwrap();
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
        let pieces = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context).map(|one| one.map(io::Result::Ok)));
        let request = place.connection.begin();
        assert!(!makes_room(&place, &mut now), "we have not answered");
        let mut body = Carried::new(Body::from_stream(pieces), request, None);
        assert!(makes_room(&place, &mut now), "a window of 0: nobody asks for the first piece");
        sender.send(Bytes::from_static(b"piece")).unwrap();
        let mut piece = next(&mut body).await.unwrap();
        assert!(makes_room(&place, &mut now), "nor for the next");
        let waiting = futures_util::FutureExt::now_or_never(next(&mut body));
        assert!(waiting.is_none());
        assert!(!makes_room(&place, &mut now), "what comes next is ours to send");
        drop(sender);
        assert!(next(&mut body).await.is_none());
        drop(body);
        assert!(makes_room(&place, &mut now) && place.connection.is_busy(), "the end of it is not written");
        piece.advance(4);
        assert!(place.connection.is_busy());
        drop(piece);
        assert!(!place.connection.is_busy());
    }
}
