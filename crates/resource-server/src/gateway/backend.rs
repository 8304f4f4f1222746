//! What stands behind the gateway: a folder, or an HTTP service. Bodies are streamed both ways; the
//! RPT stays here (threat 27).

use super::Behind;
use super::path::CanonicalPath;
use super::tunnel::{self, Tunnel};
use crate::challenge::plain;
use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;
use tower::ServiceExt;
use tower_http::services::ServeFile;

pub(super) enum Backend {
    Folder(PathBuf),
    Upstream { base: String, client: Box<Client<HttpConnector, Body>>, http2: bool },
}

/// Headers of one hop (RFC 9110 7.6.1), and those by which a call could be read as another one.
const NOT_FORWARDED: [&str; 20] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "proxy-authorization",
    "proxy-authenticate",
    "authorization",
    "dpop",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

impl Backend {
    pub(super) fn new(behind: &Behind) -> Self {
        match behind {
            Behind::Folder(folder) => Self::Folder(folder.clone()),
            Behind::Upstream(url) => {
                // `h2c://`: HTTP/2 from the first byte, for services that speak it
                let (base, http2) = match url.strip_prefix("h2c://") {
                    Some(rest) => (format!("http://{rest}"), true),
                    None => (url.clone(), false),
                };
                let client = Box::new(Client::builder(TokioExecutor::new()).http2_only(http2).build_http());
                Self::Upstream { base: base.trim_end_matches('/').to_owned(), client, http2 }
            }
        }
    }

    /// Whether something can be there; only a folder knows.
    pub(super) async fn exists(&self, path: &CanonicalPath) -> bool {
        match self {
            Self::Folder(folder) => tokio::fs::try_exists(place(folder, path)).await.unwrap_or(false),
            Self::Upstream { .. } => true,
        }
    }

    pub(super) async fn forward(&self, parts: Parts, body: Body, path: &CanonicalPath) -> Response {
        match self {
            Self::Folder(folder) => serve(folder, &parts, body, path).await,
            Self::Upstream { base, client, http2 } => proxy(client, base, *http2, parts, body, path).await,
        }
    }
}

async fn proxy(
    client: &Client<HttpConnector, Body>,
    base: &str,
    http2: bool,
    mut parts: Parts,
    body: Body,
    path: &CanonicalPath,
) -> Response {
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let Ok(uri) = format!("{base}{}{query}", path.encoded()).parse::<Uri>() else {
        return plain(StatusCode::BAD_REQUEST, "This URL cannot be forwarded.");
    };
    let protocol = tunnel::wanted(&parts.headers);
    let ours = parts.extensions.remove::<OnUpgrade>();
    strip(&mut parts.headers);
    parts.headers.remove(header::HOST);
    if let Some(protocol) = protocol.as_ref().filter(|_| ours.is_some()) {
        tunnel::ask(&mut parts.headers, protocol);
    }
    let mut request = http::Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = parts.headers;
    *request.version_mut() = if http2 { http::Version::HTTP_2 } else { http::Version::HTTP_11 };
    match client.request(request).await {
        Ok(mut answer) => {
            let theirs = hyper::upgrade::on(&mut answer);
            let (mut parts, body) = answer.into_parts();
            strip(&mut parts.headers);
            if let (StatusCode::SWITCHING_PROTOCOLS, Some(protocol), Some(ours)) = (parts.status, protocol, ours) {
                tunnel::ask(&mut parts.headers, &protocol);
                parts.extensions.insert(Tunnel { ours, theirs });
            }
            Response::from_parts(parts, Body::new(body))
        }
        Err(error) => {
            tracing::warn!(%error, "the upstream does not answer");
            plain(StatusCode::BAD_GATEWAY, "The service behind this gateway does not answer.")
        }
    }
}

/// Takes away what is for one hop alone, `Connection`'s own list included.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in NOT_FORWARDED {
        headers.remove(name);
    }
}

fn place(folder: &Path, path: &CanonicalPath) -> PathBuf {
    path.segments().iter().fold(folder.to_owned(), |place, segment| place.join(segment))
}

async fn serve(folder: &Path, parts: &Parts, body: Body, path: &CanonicalPath) -> Response {
    let place = place(folder, path);
    // a link inside the folder must not lead out of it
    let (root, real) = (tokio::fs::canonicalize(folder).await, tokio::fs::canonicalize(place.parent().unwrap_or(folder)).await);
    let inside = matches!((root, real), (Ok(root), Ok(real)) if real.starts_with(&root));
    let link = tokio::fs::symlink_metadata(&place).await.is_ok_and(|meta| meta.is_symlink());
    if !inside || link {
        return plain(StatusCode::NOT_FOUND, "Nothing is here.");
    }
    let done = match parts.method {
        Method::GET | Method::HEAD => read(&place, parts).await,
        Method::PUT => write(&place, body).await,
        Method::DELETE => tokio::fs::remove_file(&place).await.map(|()| empty(StatusCode::NO_CONTENT)),
        _ => Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "This cannot be done with a file.")),
    };
    done.unwrap_or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::IsADirectory => plain(StatusCode::NOT_FOUND, "Nothing is here."),
        _ => {
            tracing::error!(%error, "a file cannot be served");
            plain(StatusCode::SERVICE_UNAVAILABLE, "This cannot be read or written right now.")
        }
    })
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A file, whole or in the ranges that were asked for, or nothing new since the client has it (RFC 9110 13, 14).
async fn read(place: &Path, parts: &Parts) -> std::io::Result<Response> {
    if tokio::fs::metadata(place).await?.is_dir() {
        return list(place).await;
    }
    let mut request = http::Request::new(Body::empty());
    *request.method_mut() = parts.method.clone();
    for name in [header::RANGE, header::IF_RANGE, header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE] {
        request.headers_mut().extend(parts.headers.get(&name).map(|value| (name, value.clone())));
    }
    let Ok(answer) = ServeFile::new(place).oneshot(request).await;
    let mut response = answer.map(Body::new);
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    Ok(response)
}

/// A directory: the names in it, as JSON.
async fn list(place: &Path) -> std::io::Result<Response> {
    let mut names = Vec::new();
    let mut entries = tokio::fs::read_dir(place).await?;
    while let Some(entry) = entries.next_entry().await? {
        names.extend(entry.file_name().into_string().ok().filter(|name| !name.starts_with('.')));
    }
    names.sort();
    Ok(axum::response::IntoResponse::into_response(axum::Json(names)))
}

/// Writes beside, then moves: a reader sees the old file or the new one.
async fn write(place: &Path, body: Body) -> std::io::Result<Response> {
    let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = place.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let new = !tokio::fs::try_exists(place).await?;
    let mut file = tokio::fs::File::create(&beside).await?;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let written = match chunk {
            Ok(chunk) => file.write_all(&chunk).await,
            Err(error) => Err(std::io::Error::other(error)),
        };
        if let Err(error) = written {
            tokio::fs::remove_file(&beside).await?;
            return Err(error);
        }
    }
    file.sync_all().await?;
    tokio::fs::rename(&beside, place).await?;
    Ok(empty(if new { StatusCode::CREATED } else { StatusCode::NO_CONTENT }))
}

/// Every file and directory below, as the path that leads to it. Links are left out.
pub(super) async fn walk(folder: &Path) -> Vec<CanonicalPath> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), String::new())];
    while let Some((directory, prefix)) = open.pop() {
        let Ok(mut entries) = tokio::fs::read_dir(&directory).await else { continue };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type().await) else { continue };
            if name.starts_with('.') || kind.is_symlink() {
                continue;
            }
            let encoded = percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC).to_string();
            let path = format!("{prefix}/{encoded}");
            found.extend(CanonicalPath::parse(&path));
            if kind.is_dir() {
                open.push((entry.path(), path));
            }
        }
    }
    found
}
