//! An HTTP service behind the gateway. Bodies are streamed both ways; the RPT stays here (threat 27).

use super::Passing;
use super::fields::{self, Reached, Sender};
use super::path::CanonicalPath;
use super::relocation::Relocation;
use super::streams::{self, Stream, Streams};
use super::tunnel::{self, Tunnel};
use crate::challenge::plain;
use crate::watch::Cut;
use axum::body::{Body, Bytes};
use axum::response::Response;
use http::header::{CONTENT_LENGTH, HOST, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, Version, request};
use http_body::{Frame, SizeHint};
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use types::peer::Caller;

/// When whoever got no stream may come back.
const SECONDS_UNTIL_AGAIN: &str = "5";

pub(super) struct Upstream {
    base: String,
    /// None: its URL does not read.
    place: Option<UpstreamPlace>,
    /// How whoever calls reaches it.
    reached: Reached,
    relocation: Option<Relocation>,
    by: By,
}

/// How the service is spoken to.
enum By {
    /// As many connections as calls.
    Http1(Box<Client<HttpConnector, Body>>),
    /// HTTP/2 from the first byte, each client with one connection.
    Http2 { clients: Vec<Client<HttpConnector, Body>>, streams: Arc<Streams> },
}

impl By {
    fn http1() -> Self {
        Self::Http1(Box::new(Client::builder(TokioExecutor::new()).build_http()))
    }

    fn http2() -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.http2_only(true);
        builder.http2_initial_stream_window_size(streams::STREAM_WINDOW);
        builder.http2_initial_connection_window_size(streams::CONNECTION_WINDOW);
        let streams = Arc::new(Streams::new(streams::PATIENCE));
        Self::Http2 { clients: (0..streams::CONNECTIONS).map(|_| builder.build_http()).collect(), streams }
    }

    fn is_http2(&self) -> bool {
        matches!(self, Self::Http2 { .. })
    }

    /// The client for one call, and the stream that it holds until its answer has gone; none: too many hold one.
    async fn find_client(&self, caller: Option<&Caller>) -> Option<(&Client<HttpConnector, Body>, Option<Stream>)> {
        match self {
            Self::Http1(client) => Some((client.as_ref(), None)),
            Self::Http2 { clients, streams } => {
                let stream = streams.take(caller).await?;
                Some((clients.get(stream.connection)?, Some(stream)))
            }
        }
    }
}

/// What is the same in the URL of each call.
struct UpstreamPlace {
    scheme: Scheme,
    authority: Authority,
    /// What stands before each path.
    path: String,
    /// As HTTP/1 names it (RFC 9112 3.2).
    host: HeaderValue,
}

impl UpstreamPlace {
    fn parse(base: &str) -> Option<Self> {
        let uri: Uri = base.parse().ok()?;
        let (scheme, authority) = (uri.scheme()?.clone(), uri.authority()?.clone());
        let path = base.split_once("://")?.1.strip_prefix(authority.as_str())?.to_owned();
        let usual = if scheme == Scheme::HTTPS { 443 } else { 80 };
        let host = match authority.port_u16().filter(|port| *port != usual) {
            Some(port) => HeaderValue::from_str(&format!("{}:{port}", authority.host())),
            None => HeaderValue::from_str(authority.host()),
        };
        Some(Self { scheme, authority, path, host: host.ok()? })
    }

    /// The URL of a call.
    fn url(&self, path: &CanonicalPath, query: Option<&str>) -> Option<Uri> {
        let length = self.path.len().saturating_add(path.encoded().len()).saturating_add(query.map_or(0, str::len));
        let mut target = String::with_capacity(length.saturating_add(1));
        target.push_str(&self.path);
        target.push_str(path.encoded());
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        let mut url = Parts::default();
        url.scheme = Some(self.scheme.clone());
        url.authority = Some(self.authority.clone());
        url.path_and_query = Some(PathAndQuery::from_maybe_shared(Bytes::from(target)).ok()?);
        Uri::from_parts(url).ok()
    }
}

impl Upstream {
    pub(super) fn new(url: &str, resource: &str) -> Self {
        // `h2c://`: HTTP/2 from the first byte, for services that speak it
        let (base, http2) = match url.strip_prefix("h2c://") {
            Some(rest) => (format!("http://{rest}"), true),
            None => (url.to_owned(), false),
        };
        let by = if http2 { By::http2() } else { By::http1() };
        let base = base.trim_end_matches('/').to_owned();
        let place = UpstreamPlace::parse(&base);
        let has_path = place.as_ref().is_some_and(|place| !place.path.is_empty());
        let (reached, relocation) = (Reached::at(resource, has_path), Relocation::new(resource, &base));
        Self { place, reached, relocation, base, by }
    }

    /// The call as it goes on, or none where its URL cannot.
    fn request(
        &self,
        mut parts: request::Parts,
        body: Body,
        path: &CanonicalPath,
        passing: &Passing,
    ) -> Option<http::Request<Body>> {
        let place = self.place.as_ref()?;
        let uri = place.url(path, parts.uri.query())?;
        let sender = Sender {
            is_trusted_proxy: passing.is_trusted_proxy,
            owner_headers: &passing.owner_headers,
            pass_headers: &passing.pass_headers,
        };
        let takes_trailers = fields::takes_trailers(&parts.headers);
        let behind = fields::names_behind(&parts.headers, &passing.owner_headers);
        fields::keep_for_service(&mut parts.headers, sender);
        fields::add_via(&mut parts.headers, parts.version);
        if !passing.is_by_itself {
            self.reached.write(&mut parts.headers, &parts.extensions);
        }
        if let Some(identity) = &passing.identity {
            identity.write(&mut parts.headers);
        }
        passing.elsewhere.write(&mut parts.headers, &self.base);
        match self.by.is_http2() {
            // RFC 9113 8.2.2; services that speak gRPC want it
            true if takes_trailers => drop(parts.headers.insert(TE, HeaderValue::from_static("trailers"))),
            true => {}
            false => drop(parts.headers.insert(HOST, place.host.clone())),
        }
        if passing.web_socket.is_some() {
            tunnel::ask(&mut parts.headers);
        }
        parts.headers.extend(behind.map(|names| (TRAILER, names)));
        let owner_headers = passing.owner_headers.clone();
        let keep = move |behind: &mut HeaderMap| fields::keep_behind_call(behind, &owner_headers);
        let mut request = http::Request::new(Body::new(WithBehind { body, keep, _stream: None }));
        *request.method_mut() = parts.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = parts.headers;
        *request.version_mut() = if self.by.is_http2() { Version::HTTP_2 } else { Version::HTTP_11 };
        Some(request)
    }

    pub(super) async fn forward(
        &self,
        mut parts: request::Parts,
        body: Body,
        path: &CanonicalPath,
        passing: &Passing,
    ) -> Response {
        let ours = parts.extensions.remove::<OnUpgrade>().filter(|_| passing.web_socket.is_some());
        let caller = parts.extensions.get::<Caller>().copied();
        let Some(request) = self.request(parts, body, path, passing) else {
            return plain(StatusCode::BAD_REQUEST, "This URL cannot be forwarded.");
        };
        let called = request.uri().path().to_owned();
        let Some((client, stream)) = self.by.find_client(caller.as_ref()).await else { return without_stream() };
        let mut answer = match client.request(request).await {
            Ok(answer) => answer,
            // the service did nothing wrong where the body of the client did not come to its end
            Err(error) => match passing.was_cut.get() {
                Some(cut) => return cut_short(cut),
                None => {
                    tracing::warn!(%error, "the upstream does not answer");
                    return plain(StatusCode::BAD_GATEWAY, "The service behind this gateway does not answer.");
                }
            },
        };
        if !is_coded_for_one_hop(answer.headers()) {
            tracing::warn!(path = path.encoded(), "the upstream sent an answer in a transfer coding that nobody asked for");
            return plain(StatusCode::BAD_GATEWAY, "The service behind this gateway sent an answer that cannot be read.");
        }
        let theirs = hyper::upgrade::on(&mut answer);
        let (mut parts, body) = answer.into_parts();
        let asked = passing.web_socket.as_ref();
        let is_granted = asked.is_some_and(|asked| asked.is_granted(parts.status, parts.version, &parts.headers));
        let changes = parts.status == StatusCode::SWITCHING_PROTOCOLS;
        fields::keep_for_client(&mut parts.headers);
        if let Some(relocation) = &self.relocation {
            relocation.write_back(&mut parts.headers, &called);
        }
        fields::add_via(&mut parts.headers, parts.version);
        // each hop speaks its own version (RFC 9110 2.5): an answer of HTTP/1.0 without a length would look whole where it
        // was cut
        parts.version = Version::HTTP_11;
        match ours {
            Some(ours) if is_granted => {
                tunnel::ask(&mut parts.headers);
                parts.extensions.insert(Tunnel { ours, theirs });
            }
            // RFC 9110 7.8: nobody changes to what the other side did not ask for
            _ if changes => {
                tracing::warn!(path = path.encoded(), "the upstream changed to a protocol that nobody asked for");
                return plain(StatusCode::BAD_GATEWAY, "The service behind this gateway changed to another protocol unasked.");
            }
            _ => {}
        }
        Response::from_parts(parts, Body::new(WithBehind { body, keep: fields::keep_behind, _stream: stream }))
    }
}

/// A body with those fields behind it that may stand there.
struct WithBehind<B, K> {
    body: B,
    keep: K,
    /// What an answer holds until all of it has gone.
    _stream: Option<Stream>,
}

impl<B, K> http_body::Body for WithBehind<B, K>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    K: Fn(&mut HeaderMap) + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(behind) = frame.trailers_mut()
        {
            (self.keep)(behind);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether a body is as it will be sent on: pieces alone were put together, and another coding is still in it (RFC 9112 7). Its
/// length is said in one way, if at all.
fn is_coded_for_one_hop(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    // RFC 9110 8.6: one number, or nobody can say where it ends
    let is_number = |value: &http::HeaderValue| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
    if !headers.get_all(CONTENT_LENGTH).iter().all(is_number) {
        return false;
    }
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

/// The answer to a call for which the service has no place now.
fn without_stream() -> Response {
    let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, "Too many wait for the service behind this gateway: try again soon.");
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(SECONDS_UNTIL_AGAIN));
    answer
}

/// The answer to a body that was not taken to its end.
pub(super) fn cut_short(cut: Cut) -> Response {
    plain(cut.status(), cut.words())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_26_a_call_goes_to_the_path_that_was_judged_at_the_service() {
        let path = CanonicalPath::parse("/albums/Caf%C3%A9%20noir/1.jpg").unwrap();
        for (base, host) in [
            ("http://photos.example", "photos.example"),
            ("http://photos.example:80/content", "photos.example"),
            ("https://photos.example:443", "photos.example"),
            ("http://photos.example:443/a/b", "photos.example:443"),
            ("http://127.0.0.1:8080/content", "127.0.0.1:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            let place = UpstreamPlace::parse(base).unwrap();
            for query in [None, Some(""), Some("a=1&b=%2F?c")] {
                let wanted = format!("{base}{}{}", path.encoded(), query.map(|query| format!("?{query}")).unwrap_or_default());
                assert_eq!(place.url(&path, query), Some(wanted.parse().unwrap()), "{wanted}");
            }
            assert_eq!(place.host, host, "{base}");
        }
        assert!(UpstreamPlace::parse("photos.example").is_none() && UpstreamPlace::parse("/content").is_none());
        let long = CanonicalPath::parse(&format!("/{}", "a".repeat(70_000))).unwrap();
        assert_eq!(UpstreamPlace::parse("http://photos.example").unwrap().url(&long, None), None);
    }
}
