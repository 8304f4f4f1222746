//! What a server goes on saying.

/// Events as they come.
pub(crate) struct Stream(pub(crate) axum::body::BodyDataStream);

impl Stream {
    pub(crate) async fn next(&mut self) -> String {
        let piece = std::future::poll_fn(|context| poll(&mut self.0, context)).await;
        String::from_utf8_lossy(&piece.unwrap().unwrap()).into_owned()
    }

    /// Nothing comes any more.
    pub(crate) async fn is_over(&mut self) -> bool {
        std::future::poll_fn(|context| poll(&mut self.0, context)).await.is_none()
    }

    /// Nothing is there to be read right now.
    pub(crate) async fn is_silent(&mut self) -> bool {
        std::future::poll_fn(|context| std::task::Poll::Ready(poll(&mut self.0, context).is_pending())).await
    }
}

fn poll(
    stream: &mut axum::body::BodyDataStream,
    context: &mut std::task::Context<'_>,
) -> std::task::Poll<Option<Result<axum::body::Bytes, axum::Error>>> {
    futures_util::Stream::poll_next(std::pin::Pin::new(stream), context)
}
