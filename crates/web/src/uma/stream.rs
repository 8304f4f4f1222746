//! `GET {access_requests_endpoint}/stream`: server-sent events, so that the owner hears at once (protocol.md
//! 1.4): `request`, `decision`, and a `heartbeat` every 15 seconds. Ends with her PMT.

use super::anybodys_pmt;
use crate::Shared;
use crate::identity::with_parts;
use authorization_server::news::News;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use identity::access_token::PolicyToken;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

const HEARTBEAT: Duration = Duration::from_secs(15);
/// After so many heartbeats the client comes again, with a PMT that is looked at anew.
const HEARTBEATS: u32 = 20;

struct Listening {
    app: Shared,
    pmt: PolicyToken,
    /// Its text: it may end before the stream does.
    token: String,
    /// Somebody else, for whom she may decide.
    owner: Option<String>,
    news: Receiver<News>,
    heartbeats: u32,
    /// When the next one is due, whoever has news meanwhile.
    due: Instant,
}

pub(super) async fn requests(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = anybodys_pmt(&app, &parts).await?;
        let token = parts.token(&app, async |presented| Ok(presented.token.to_owned())).await?;
        let owner = parts.query()?.one("owner")?.map(str::to_owned);
        // nothing delegated: no stream
        app.authorization_server.acting(&pmt, owner.as_deref()).await?;
        let listened = owner.as_deref().map_or_else(|| pmt.owner.clone(), types::OwnerId::from);
        let news = app.authorization_server.listen(&listened);
        let listening = Listening { news, app: app.clone(), pmt, token, owner, heartbeats: 0, due: Instant::now() + HEARTBEAT };
        let first = stream::iter([Ok::<_, Infallible>("event: heartbeat\ndata: {}\n\n".to_owned())]);
        let rest = stream::unfold(listening, async |mut listening| {
            let text = listening.next().await?;
            Some((Ok(text), listening))
        });
        let mut response = Response::new(Body::from_stream(futures_util::StreamExt::chain(first, Box::pin(rest))));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    })
    .await
}

impl Listening {
    /// Whose news they are.
    fn listens_to(&self) -> &str {
        self.owner.as_deref().unwrap_or(self.pmt.owner.as_str())
    }

    /// The next event as text; none where it is time to come again, or too much was missed to go on.
    async fn next(&mut self) -> Option<String> {
        loop {
            let heard = tokio::select! {
                heard = tokio::time::timeout_at(self.due, self.news.recv()) => heard,
                () = self.app.authorization_server.closed() => return None,
            };
            // nothing is told, not even that there is nothing, to whoever has no token for it any more (threat 44)
            let is_for_her = matches!(&heard, Ok(Ok(news)) if news.owner.as_str() == self.listens_to());
            if (heard.is_err() || is_for_her) && !self.app.identity.still_lets_in(&self.token).await.unwrap_or(false) {
                return None;
            }
            match heard {
                Err(_) => {
                    self.heartbeats = self.heartbeats.saturating_add(1);
                    self.due = Instant::now() + HEARTBEAT;
                    return (self.heartbeats < HEARTBEATS).then(|| "event: heartbeat\ndata: {}\n\n".to_owned());
                }
                Ok(Err(RecvError::Closed | RecvError::Lagged(_))) => return None,
                Ok(Ok(news)) if is_for_her => {
                    // what was delegated may be taken back meanwhile, and not everything is for a delegate's eyes
                    let server = &self.app.authorization_server;
                    let acting = server.acting(&self.pmt, self.owner.as_deref()).await.ok()?;
                    let document = match server.read_access_request(&acting, &news.id).await {
                        Err(_) if acting.is_delegate() => continue,
                        read => read.ok()?,
                    };
                    let data = serde_json::to_string(&document).ok()?;
                    return Some(format!("event: {}\nid: {}\ndata: {data}\n\n", news.kind, news.id));
                }
                Ok(Ok(_)) => {}
            }
        }
    }
}
