//! What is no HTTP at all never reaches a handler: hyper answers it with a bare status. Here that answer gets the
//! one sentence that every error of ours has. Called by the accept loop.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Statuses that hyper answers with by itself.
const BARE: [(&str, &str); 3] = [
    (
        "HTTP/1.1 400 Bad Request\r\n",
        "this is no HTTP request that can be read: check its first line, its headers and its length",
    ),
    ("HTTP/1.1 414 URI Too Long\r\n", "the URL is too long: send parameters in the body"),
    ("HTTP/1.1 431 Request Header Fields Too Large\r\n", "the headers are too long: send fewer or shorter ones"),
];

/// A connection on whose way out bare refusals are explained.
pub(super) struct Explained<T> {
    inner: T,
    /// The explained answer, how much of it is written, and how long the bare one was.
    pending: Option<(Vec<u8>, usize, usize)>,
}

impl<T> Explained<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, pending: None }
    }
}

/// The answer in the place of a bare one; none where this is no bare one.
fn explain(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.starts_with(b"HTTP/1.1 4") {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let (line, what) = BARE.iter().find(|(line, _)| text.starts_with(line))?;
    let head = text.strip_suffix("\r\n\r\n").filter(|head| !head.contains("\r\n\r\n"))?;
    let kept: Vec<&str> = head.get(line.len()..)?.split("\r\n").collect();
    if !kept.iter().any(|header| header.eq_ignore_ascii_case("content-length: 0")) {
        return None;
    }
    let kept = kept.into_iter().filter(|header| !header.to_ascii_lowercase().starts_with("content-length"));
    let body = serde_json::json!({"error": "invalid_request", "error_description": what}).to_string();
    let mut answer = format!("{line}content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    kept.for_each(|header| answer.extend([header, "\r\n"]));
    answer.push_str("\r\n");
    answer.push_str(&body);
    Some(answer.into_bytes())
}

impl<T: AsyncWrite + Unpin> Explained<T> {
    fn poll_explained(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Option<io::Result<usize>>> {
        if self.pending.is_none() {
            let Some(answer) = explain(bytes) else { return Poll::Ready(None) };
            self.pending = Some((answer, 0, bytes.len()));
        }
        while let Some((answer, written, claimed)) = &mut self.pending {
            let rest = answer.get(*written..).unwrap_or_default();
            if rest.is_empty() {
                let claimed = *claimed;
                self.pending = None;
                return Poll::Ready(Some(Ok(claimed)));
            }
            match ready!(Pin::new(&mut self.inner).poll_write(context, rest)) {
                Ok(0) => return Poll::Ready(Some(Err(io::ErrorKind::WriteZero.into()))),
                Ok(more) => *written = written.saturating_add(more),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        Poll::Ready(None)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Explained<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Explained<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(self.poll_explained(context, bytes)) {
            Some(done) => Poll::Ready(done),
            None => Pin::new(&mut self.inner).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty()).map(|slice| &**slice).unwrap_or_default();
        match ready!(self.poll_explained(context, first)) {
            Some(done) => Poll::Ready(done),
            None => Pin::new(&mut self.inner).poll_write_vectored(context, slices),
        }
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
