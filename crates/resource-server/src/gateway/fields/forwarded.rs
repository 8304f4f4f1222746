//! By whom and under which name a service is reached, in the fields that frameworks read (`browser.md`, *Routes*). The gateway
//! writes each of them itself: its name, scheme and path are those of `resource`, whatever `Host` a call came with, and the
//! addresses are the caller's, as the listener saw it, and of the trusted proxies after her. What stood before that in a
//! proxy's list is anybody's word and does not go on.

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;
use types::peer::{Caller, Proxies};
use url::{Position, Url};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// How whoever calls reaches the service.
pub(in crate::gateway) struct Reached(Vec<(HeaderName, HeaderValue)>);

impl Reached {
    /// A prefix is told where the path before the service's paths is another one for whoever calls.
    pub(in crate::gateway) fn at(resource: &str, service_has_path: bool) -> Self {
        let Ok(url) = Url::parse(resource) else { return Self(Vec::new()) };
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let prefix = match url.path().trim_end_matches('/') {
            "" => service_has_path.then_some("/"),
            path => Some(path),
        };
        let all = [(HOST, Some(host)), (PROTO, Some(url.scheme())), (PREFIX, prefix)];
        let field = |(name, value): (HeaderName, Option<&str>)| Some((name, HeaderValue::from_str(value?).ok()?));
        Self(all.into_iter().filter_map(field).collect())
    }

    /// Takes the place of what a trusted proxy wrote.
    pub(in crate::gateway) fn write(&self, headers: &mut HeaderMap, said: &Extensions) {
        headers.remove(PREFIX);
        for (name, value) in &self.0 {
            headers.insert(name.clone(), value.clone());
        }
        headers.remove(FOR);
        let way = said.get::<Caller>().and_then(|Caller(caller)| way_of(*caller, said.get::<Proxies>()));
        headers.extend(way.map(|way| (FOR, way)));
    }
}

/// The caller, and the trusted proxies in the order in which they handed the call on.
fn way_of(caller: IpAddr, proxies: Option<&Proxies>) -> Option<HeaderValue> {
    let mut way = caller.to_string();
    for proxy in proxies.iter().flat_map(|proxies| &proxies.0) {
        way.push_str(", ");
        way.push_str(&proxy.to_string());
    }
    HeaderValue::try_from(way).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(resource: &str, service_has_path: bool, proxies: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for name in [FOR, HOST, PROTO, PREFIX] {
            headers.append(name.clone(), HeaderValue::from_static("evil"));
            headers.append(name, HeaderValue::from_static("evil, twice"));
        }
        let mut said = Extensions::new();
        said.insert(Caller("192.0.2.7".parse().unwrap()));
        if !proxies.is_empty() {
            said.insert(Proxies(proxies.iter().map(|proxy| proxy.parse().unwrap()).collect()));
        }
        Reached::at(resource, service_has_path).write(&mut headers, &said);
        let mut all: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        all.sort();
        all
    }

    #[test]
    fn threat_47_the_gateway_says_who_called_and_where() {
        let (address, host) = ("x-forwarded-for: 192.0.2.7", "x-forwarded-host: photos.example");
        assert_eq!(written("https://photos.example", false, &[]), [address, host, "x-forwarded-proto: https"]);
        assert_eq!(
            written("http://[::1]:9000/files", false, &["10.0.0.1", "2001:db8::1"]),
            [
                "x-forwarded-for: 192.0.2.7, 10.0.0.1, 2001:db8::1",
                "x-forwarded-host: [::1]:9000",
                "x-forwarded-prefix: /files",
                "x-forwarded-proto: http"
            ]
        );
        assert_eq!(written("https://photos.example", true, &[])[2], "x-forwarded-prefix: /");
    }
}
