//! Where a service says that something is, in the gateway's own terms (`browser.md`, *Routes*). A service knows itself by its
//! own origin and path; whoever called knows the gateway's. `Location` and `Content-Location` are resolved as a browser would
//! (RFC 9110 10.2.2, the URL standard), and what leads back to the service leads to the gateway; paths of cookies follow, and
//! a cookie's `Domain` that is the service's own host is left out. Other places stay as they are, and so do bodies. The other
//! way, for `Destination` and `If`, is in [`super::elsewhere`].

use http::header::{CONTENT_LOCATION, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;
use url::{Host, Position, Url};

/// Both sides' names of one place.
pub(super) struct Relocation {
    service: Url,
    /// What stands before each path at the service; empty: nothing.
    service_path: String,
    own: Url,
    own_origin: String,
    /// The same at the gateway, where it has a part of its host alone.
    own_path: String,
}

/// Where a path of the service's is at the gateway.
#[derive(Debug, PartialEq, Eq)]
enum Moved<'a> {
    To(String),
    /// It is written as the gateway has it already, or it is beside what the gateway leads to.
    Stays(&'a str),
}

/// Whether a path is this one, or below it.
fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn path_of(url: &Url) -> String {
    url.path().trim_end_matches('/').to_owned()
}

impl Relocation {
    /// None: one of both URLs does not read.
    pub(super) fn new(resource: &str, base: &str) -> Option<Self> {
        let (service, own) = (Url::parse(base).ok()?, Url::parse(resource).ok()?);
        let own_origin = own.origin().ascii_serialization();
        Some(Self { service_path: path_of(&service), own_path: path_of(&own), service, own, own_origin })
    }

    /// Says it of each field of an answer to a call of this path.
    pub(super) fn write_back(&self, headers: &mut HeaderMap, called: &str) {
        for name in [LOCATION, CONTENT_LOCATION] {
            replace(headers, &name, |text| Some(self.place(called, text).map_or(Cow::Borrowed(text), Cow::Owned)));
        }
        replace(headers, &SET_COOKIE, |line| self.cookie(line));
    }

    fn has_one_path(&self) -> bool {
        self.service_path == self.own_path
    }

    fn moved<'a>(&self, path: &'a str) -> Moved<'a> {
        if self.has_one_path() {
            return Moved::Stays(path);
        }
        let is_at_service = is_within(path, &self.service_path);
        // a service that heeds `X-Forwarded-Prefix` writes the gateway's paths itself
        let is_own = !self.own_path.is_empty() && is_within(path, &self.own_path);
        match path.strip_prefix(&self.service_path).filter(|_| is_at_service) {
            Some(_) if self.service_path.is_empty() && is_own => Moved::Stays(path),
            Some("") => Moved::To(format!("{}/", self.own_path)),
            Some(rest) => Moved::To(format!("{}{rest}", self.own_path)),
            None => Moved::Stays(path),
        }
    }

    /// A reference in a field of an answer, in the gateway's terms; none: it stays as it is.
    fn place(&self, called: &str, text: &str) -> Option<String> {
        let text = text.trim_matches(|c: char| c <= ' ');
        let is_path = text.starts_with(['/', '\\']) && !is_with_host(text);
        let is_relative = !text.starts_with(['/', '\\']) && Url::parse(text).is_err();
        // it leads on from where the call was, at the gateway as at the service
        if is_relative || is_path && self.has_one_path() {
            return None;
        }
        let mut here = self.service.clone();
        here.set_path(called);
        let found = here.join(text).ok().filter(|found| self.is_ours(found))?;
        let path = match self.moved(found.path()) {
            Moved::To(path) => Cow::Owned(path),
            Moved::Stays(path) => Cow::Borrowed(path),
        };
        let rest = &found[Position::AfterPath..];
        // `//` at the beginning of a reference is another host
        match is_path && !path.starts_with("//") {
            true => Some(format!("{path}{rest}")),
            false => Some(format!("{}{path}{rest}", self.own_origin)),
        }
    }

    /// Whether a URL leads to the service, however it is written, or to the gateway.
    fn is_ours(&self, url: &Url) -> bool {
        url.origin() == self.own.origin() || self.is_services(url)
    }

    /// A service that is told of https by `X-Forwarded-Proto` writes that before its own host.
    fn is_services(&self, url: &Url) -> bool {
        let usual = |url: &Url| url.port().is_none();
        let same_port = url.port_or_known_default() == self.service.port_or_known_default() || usual(url) && usual(&self.service);
        matches!(url.scheme(), "http" | "https") && same_port && self.is_host_of_service(url)
    }

    fn is_host_of_service(&self, url: &Url) -> bool {
        match (url.host(), self.service.host()) {
            (Some(Host::Domain(one)), Some(Host::Domain(other))) if one.trim_end_matches('.') == other.trim_end_matches('.') => {
                true
            }
            (Some(one), Some(other)) => one == other || is_loopback(&one) && is_loopback(&other),
            _ => false,
        }
    }

    /// A line of `Set-Cookie`; none: it would be for others at this host.
    fn cookie<'a>(&self, line: &'a str) -> Option<Cow<'a, str>> {
        let mut pieces = line.split(';');
        let pair = pieces.next().unwrap_or_default();
        // RFC 6265bis 4.1.3.2: such a cookie is for all of a host, or it is none
        let is_of_host = pair.trim_start().get(..7).is_some_and(|name| name.eq_ignore_ascii_case("__host-"));
        let (mut kept, mut changed) = (vec![Cow::Borrowed(pair)], false);
        for piece in pieces {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("domain") && self.is_services_domain(value) {
                changed = true;
                continue;
            }
            if is_of_host || !name.eq_ignore_ascii_case("path") || !value.starts_with('/') {
                kept.push(Cow::Borrowed(piece));
                continue;
            }
            match self.cookie_path(value)? {
                Moved::Stays(_) => kept.push(Cow::Borrowed(piece)),
                Moved::To(path) => {
                    changed = true;
                    kept.push(Cow::Owned(format!(" {name}={path}")));
                }
            }
        }
        Some(if changed { Cow::Owned(kept.join(";")) } else { Cow::Borrowed(line) })
    }

    fn is_services_domain(&self, domain: &str) -> bool {
        let domain = domain.trim_start_matches('.');
        self.service.host_str().is_some_and(|host| host.eq_ignore_ascii_case(domain)) && self.own.host_str() != Some(domain)
    }

    /// None: outside of what the gateway has of its host.
    fn cookie_path<'a>(&self, path: &'a str) -> Option<Moved<'a>> {
        match self.moved(path) {
            Moved::Stays(path) if is_within(path, &self.own_path) => Some(Moved::Stays(path)),
            // RFC 6265 5.1.4: a path above the service means all of the service
            Moved::Stays(path) if is_within(&self.service_path, path.trim_end_matches('/')) => {
                Some(Moved::To(format!("{}/", self.own_path)))
            }
            Moved::Stays(_) => None,
            moved @ Moved::To(_) => Some(moved),
        }
    }
}

/// `//host/path`, in each way that a browser reads: `\` is `/` to it, and it passes over tabs.
fn is_with_host(text: &str) -> bool {
    text.chars().filter(|c| *c != '\t').nth(1).is_some_and(|c| matches!(c, '/' | '\\'))
}

fn is_loopback<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref().trim_end_matches('.') == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.to_canonical().is_loopback(),
    }
}

/// Makes another value of each; what does not read as text stays.
fn replace(headers: &mut HeaderMap, name: &HeaderName, change: impl Fn(&str) -> Option<Cow<'_, str>>) {
    if !headers.contains_key(name) {
        return;
    }
    let all: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    headers.remove(name);
    for value in all {
        let changed = match value.to_str().ok().map(&change) {
            None => Some(value),
            Some(Some(text)) => HeaderValue::from_str(&text).ok(),
            Some(None) => None,
        };
        headers.extend(changed.map(|value| (name.clone(), value)));
    }
}

#[cfg(test)]
mod tests;
