//! Other places that a call names beside its own (threat 39): `Destination` of COPY and MOVE, and the tags of `If`
//! (RFC 4918 10.3, 10.4). Each is read in the one form of a path, judged, and goes on in the form that was judged. A
//! destination is a second call: its route, its resource, and the scopes that writing there needs.

use super::admission::Admitted;
use super::browser::{Lacks, LacksAt, OfSession};
use super::path::CanonicalPath;
use super::route::{self, Guarded, Matched, OwnerOf};
use super::strangers::Asker;
use super::{Gateway, Wanted};
use crate::challenge::plain;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::sync::Arc;
use types::ScopeSet;
use url::Url;

const DESTINATION: HeaderName = HeaderName::from_static("destination");
const IF: HeaderName = HeaderName::from_static("if");
pub(super) const OVERWRITE: HeaderName = HeaderName::from_static("overwrite");
pub(super) const DEPTH: HeaderName = HeaderName::from_static("depth");

/// Why a call that names another place does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It cannot be read.
    Unreadable(&'static str),
    /// It can, and leads where this call may not.
    Elsewhere(&'static str),
}

impl Wrong {
    pub(super) fn answer(self) -> Response {
        match self {
            Self::Unreadable(what) => plain(StatusCode::BAD_REQUEST, what),
            Self::Elsewhere(what) => plain(StatusCode::FORBIDDEN, what),
        }
    }
}

const NOT_HERE: Wrong = Wrong::Elsewhere("The destination is not on this server.");
const NOT_THERE: Wrong = Wrong::Elsewhere("The destination is not yours to write to.");
const IF_UNREADABLE: Wrong = Wrong::Unreadable("`If` cannot be read (RFC 4918 10.4).");

/// A piece of an `If` field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum IfPart {
    Tag(CanonicalPath),
    /// A list with its parentheses, as it was sent.
    List(String),
}

/// What a call names beside its own path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Elsewhere {
    pub(super) destination: Option<CanonicalPath>,
    conditions: Vec<IfPart>,
}

impl Elsewhere {
    /// Reads the fields of a call to `path` on the server `resource`.
    pub(super) fn read(parts: &Parts, path: &CanonicalPath, resource: Option<&Url>) -> Result<Self, Wrong> {
        let one_of = |name: HeaderName, allowed: &[&str], wrong| match parts.headers.get(name) {
            Some(value) if !allowed.iter().any(|one| value.as_bytes().eq_ignore_ascii_case(one.as_bytes())) => Err(wrong),
            _ => Ok(()),
        };
        one_of(OVERWRITE, &["T", "F"], Wrong::Unreadable("`Overwrite` is T or F (RFC 4918 10.6)."))?;
        one_of(DEPTH, &["0", "1", "infinity"], Wrong::Unreadable("`Depth` is 0, 1 or infinity (RFC 4918 10.2)."))?;
        let destination = match parts.headers.get(DESTINATION) {
            None if matches!(parts.method.as_str(), "MOVE" | "COPY") => {
                return Err(Wrong::Unreadable("Say where to: send `Destination` (RFC 4918 10.3)."));
            }
            None => None,
            Some(value) => Some(place(text_of(value)?, resource)?),
        };
        let conditions =
            parts.headers.get(IF).map(|value| conditions(text_of(value)?, resource)).transpose()?.unwrap_or_default();
        // a condition on a third thing tells about it
        let is_named = |tag: &CanonicalPath| tag == path || Some(tag) == destination.as_ref();
        let is_above =
            |tag: &CanonicalPath| path.is_within(tag) || destination.as_ref().is_some_and(|place| place.is_within(tag));
        if !are_about(&conditions, is_named, is_above) {
            return Err(Wrong::Elsewhere("`If` names something that this call is not about."));
        }
        Ok(Self { destination, conditions })
    }

    /// Writes the fields for the service at `base`, in the form that was judged.
    pub(super) fn write(&self, headers: &mut HeaderMap, base: &str) {
        let url = |path: &CanonicalPath| format!("{base}{}", path.encoded());
        let destination = self.destination.as_ref().and_then(|path| HeaderValue::from_str(&url(path)).ok());
        headers.extend(destination.map(|value| (DESTINATION, value)));
        let parts: Vec<String> = self
            .conditions
            .iter()
            .map(|part| match part {
                IfPart::Tag(path) => format!("<{}>", url(path)),
                IfPart::List(list) => list.clone(),
            })
            .collect();
        let conditions = HeaderValue::from_str(&parts.join(" ")).ok().filter(|_| !parts.is_empty());
        headers.extend(conditions.map(|value| (IF, value)));
    }
}

/// Whether conditions are about what a call names; of a directory above it, about locks alone: whoever holds one on it writes in it
/// by its token (RFC 4918 7.4), which nobody else knows.
fn are_about(
    conditions: &[IfPart],
    is_named: impl Fn(&CanonicalPath) -> bool,
    is_above: impl Fn(&CanonicalPath) -> bool,
) -> bool {
    let mut takes_locks_alone = false;
    conditions.iter().all(|part| match part {
        IfPart::Tag(tag) => {
            takes_locks_alone = !is_named(tag);
            is_named(tag) || is_above(tag)
        }
        IfPart::List(list) => !takes_locks_alone || !list.contains('['),
    })
}

fn text_of(value: &HeaderValue) -> Result<&str, Wrong> {
    value.to_str().map_err(|_| Wrong::Unreadable("`Destination` and `If` are written in ASCII."))
}

/// The path on this server that a URL or an absolute path leads to; its one form, as with every path that is called.
fn place(text: &str, resource: Option<&Url>) -> Result<CanonicalPath, Wrong> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Wrong::Unreadable("`Destination` is empty."));
    }
    let own = resource.ok_or(NOT_HERE)?;
    let path = match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            if !scheme.eq_ignore_ascii_case(own.scheme()) || !is_host_of(authority, own) {
                return Err(NOT_HERE);
            }
            path
        }
        // `//host/path` is another host's
        _ if text.starts_with("//") => return Err(NOT_HERE),
        _ => text,
    };
    if path.contains(['?', '#']) {
        return Err(Wrong::Elsewhere("The destination is a path: write it without a query."));
    }
    // where this server is a part of a host, only that part is its own
    let below = path.strip_prefix(own.path().trim_end_matches('/')).ok_or(NOT_HERE)?;
    let ambiguous = Wrong::Elsewhere("The destination is ambiguous: write it without empty segments, dots and encoded slashes.");
    CanonicalPath::parse(below).map_err(|()| ambiguous)
}

/// Whether `host[:port]` is the host of this server; with a user name before it, it is not.
pub(super) fn is_host_of(authority: &str, own: &Url) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, ""),
    };
    let default = if own.scheme() == "https" { 443 } else { 80 };
    let port = if port.is_empty() { Some(default) } else { port.parse::<u16>().ok() };
    own.host_str().is_some_and(|own| own.eq_ignore_ascii_case(host)) && port == own.port_or_known_default()
}

/// Tags and lists of an `If` field.
fn conditions(text: &str, resource: Option<&Url>) -> Result<Vec<IfPart>, Wrong> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let close = if rest.starts_with('<') { '>' } else { ')' };
        if close == ')' && !rest.starts_with('(') {
            return Err(IF_UNREADABLE);
        }
        let end = end_of(rest, close).ok_or(IF_UNREADABLE)?;
        let (part, after) = rest.split_at(end);
        parts.push(match part.strip_prefix('<').and_then(|tag| tag.strip_suffix('>')) {
            Some(tag) => IfPart::Tag(place(tag, resource)?),
            None => IfPart::List(part.to_owned()),
        });
        rest = after.trim_start();
    }
    // a tag stands for the lists behind it
    if !matches!(parts.last(), Some(IfPart::List(_))) { Err(IF_UNREADABLE) } else { Ok(parts) }
}

/// Where this piece ends: behind the first `close` that stands in no token and in no tag of an entity.
fn end_of(text: &str, close: char) -> Option<usize> {
    let mut inside: Option<char> = None;
    for (at, c) in text.char_indices().skip(1) {
        match inside {
            Some(end) if c == end => inside = None,
            Some(_) => {}
            None if c == close => return at.checked_add(1),
            None => {
                inside = match c {
                    '<' if close == ')' => Some('>'),
                    '"' => Some('"'),
                    '(' | '<' => return None,
                    _ => None,
                }
            }
        }
    }
    None
}

/// What writing to a place needs: what the method needs there, and what `PUT` does, which writes there too.
fn scopes_to_write(route: &Guarded, method: &str) -> Option<ScopeSet> {
    route.scopes.get_at_destination(method)
}

impl Gateway {
    /// Whether a call that was let in may also write to its destination, by the same token.
    pub(super) async fn admit_destination(
        self: &Arc<Self>,
        parts: &mut Parts,
        destination: &CanonicalPath,
        source: &Admitted,
        token: &HeaderValue,
    ) -> Result<Admitted, Box<Response>> {
        let mut refused = Box::new(NOT_THERE.answer());
        let Some(wanted) = self.wanted_at(parts, destination).await? else { return Err(refused) };
        let (owner, needs) = (wanted.owner.clone(), wanted.needs.clone());
        let admitted = Admitted { owner: owner.clone(), needs: needs.clone(), ..source.clone() };
        if self.still_allows(&admitted, token).await {
            return Ok(admitted);
        }
        // one token is for the things of one owner
        if parts.extensions.get::<OfSession>().is_some() && owner == source.owner {
            // what is there and was called by nobody yet is registered first
            self.guarding_all(&wanted, destination, Asker::of(parts)).await.ok();
            let at = LacksAt::Destination { issuer: source.issuer.clone() };
            refused.extensions_mut().insert(Lacks { owner, needs, at });
            return Err(refused);
        }
        tracing::info!(owner, destination = destination.encoded(), "a destination was refused");
        Err(refused)
    }

    async fn wanted_at(&self, parts: &mut Parts, destination: &CanonicalPath) -> Result<Option<Wanted>, Box<Response>> {
        let routes = self.routes();
        let Some(Matched::Guarded(matched)) = route::find(&routes, destination) else { return Ok(None) };
        let method = parts.method.as_str();
        let Some(needs) = matched.needs(|route| scopes_to_write(route, method)) else { return Ok(None) };
        // a proxy that names an owner names that of the path that is called
        if std::iter::once(&matched).chain(&matched.beside).any(|one| matches!(one.route.owner, OwnerOf::Header(_))) {
            return Ok(None);
        }
        let owner = self.one_owner_of(&matched, parts, destination).await.map_err(|error| {
            tracing::warn!(%error, "nobody says whose a destination is");
            Box::new(plain(StatusCode::SERVICE_UNAVAILABLE, "It cannot be told whose the destination is right now: try again."))
        })?;
        let is_named_by_caller = matched.route.is_named_by_caller();
        Ok(owner.map(|owner| Wanted { owner, needs, takes_web_sockets: false, is_named_by_caller }))
    }
}

#[cfg(test)]
mod tests;
