//! A connection's bytes on their way, as far as it matters when it is let go: whether the first of them say what it
//! speaks, and whether those that are written are taken. And a request's answer, which is under way until its body is gone.

use super::connections::{Place, Protocol, UnderWay};
use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How HTTP/2 begins (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection, and its place among those that are open.
pub(super) struct Watched<T> {
    inner: T,
    place: Place,
    /// What of HTTP/2's beginning has not come yet; none: it is known what is spoken.
    awaited: Option<&'static [u8]>,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T, place: Place) -> Self {
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
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// The body of an answer, whose request is under way until it is gone.
pub(super) struct Carried {
    body: Body,
    _request: UnderWay,
}

impl Carried {
    pub(super) fn new(body: Body, request: UnderWay) -> Self {
        Self { body, _request: request }
    }
}

impl http_body::Body for Carried {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::super::connections::Connections;
    use super::*;
    use std::time::Instant;

    fn spoken(pieces: &[&[u8]]) -> Option<&'static [u8]> {
        let place = Connections::new().admit(0, [192, 0, 2, 1].into(), false, Instant::now()).unwrap();
        let mut watched = Watched::new((), place);
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
}
