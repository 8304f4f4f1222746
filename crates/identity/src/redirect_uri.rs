//! Redirect URIs, as they are registered and as they are asked for (RFC 6749 3.1.2, RFC 9700 2.1): the same text, with
//! one exception. An application on somebody's own machine listens on whatever port it gets, so the port of a loopback
//! URI may be any (RFC 8252 7.3, RFC 9700 4.1.3); host, path and query stay exact. Called by the authorization endpoint,
//! by pushed requests, and for `claims_redirect_uri`.

use types::spelling;
use url::Url;

/// Hosts of one's own machine. The name is not recommended, but RFC 9700 4.1.3 lets it have any port, too.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];

/// Whether one of the registered URIs lets this one be used.
pub fn is_registered(registered: &[String], asked: &str) -> bool {
    registered.iter().any(|own| own == asked || fits_but_for_port(own, asked))
}

/// Whether it leads to somebody's own machine.
pub fn is_loopback(uri: &str) -> bool {
    without_port(uri).is_some()
}

/// Where a URL leads, for people: its host, with its port where one is written. An application of a telephone has a scheme of its
/// own, and what it writes after that is no host of anybody (RFC 8252 7.1): its scheme is all that is said. What is no URL is shown
/// as it is.
pub fn place_of(url: &str) -> String {
    let Ok(parsed) = Url::parse(url) else { return spelling::readable(url) };
    let host = parsed.host_str().filter(|_| matches!(parsed.scheme(), "http" | "https"));
    match (host, parsed.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => format!("{}:", parsed.scheme()),
    }
}

/// The same of a client that somebody lets in for longer: on her own machine it may come back at another port each time.
pub fn lasting_place_of(url: &str) -> String {
    match without_port(url) {
        Some(own) => own.host.to_owned(),
        None => place_of(url),
    }
}

fn fits_but_for_port(own: &str, asked: &str) -> bool {
    let own = without_port(own);
    own.is_some() && own == without_port(asked)
}

/// A loopback URI without its port; none for any other, and for what only looks like one. Nothing is decoded or folded.
fn without_port(uri: &str) -> Option<Loopback<'_>> {
    let rest = uri.strip_prefix("http://")?;
    let host = LOOPBACK.into_iter().find(|host| rest.starts_with(host))?;
    let rest = rest.strip_prefix(host)?;
    let end = rest.find(|c: char| c != ':' && !c.is_ascii_digit()).unwrap_or(rest.len());
    let (port, after) = rest.split_at_checked(end)?;
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    // `http://127.0.0.1:80@evil.example/` leads elsewhere
    let ends_there = after.is_empty() || after.starts_with(['/', '?']);
    (is_port && ends_there).then_some(Loopback { host, after })
}

#[derive(PartialEq, Eq)]
struct Loopback<'a> {
    host: &'static str,
    after: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_36_a_place_is_a_host_of_the_web_or_the_scheme_of_an_application() {
        for (url, place, lasting) in [
            ("https://photos.example/callback", "photos.example", "photos.example"),
            ("https://photos.example:443/callback", "photos.example", "photos.example"),
            ("https://photos.example:8443/callback", "photos.example:8443", "photos.example:8443"),
            ("http://127.0.0.1:51234/callback", "127.0.0.1:51234", "127.0.0.1"),
            ("http://[::1]:51234/callback", "[::1]:51234", "[::1]"),
            ("com.example.app:/callback", "com.example.app:", "com.example.app:"),
            ("com.example.app://photos.example/callback", "com.example.app:", "com.example.app:"),
            ("com.example.app://photos.example:8443/callback", "com.example.app:", "com.example.app:"),
            ("com.example.app://127.0.0.1:9000/c", "com.example.app:", "com.example.app:"),
        ] {
            assert_eq!((place_of(url).as_str(), lasting_place_of(url).as_str()), (place, lasting), "{url}");
        }
    }

    #[test]
    fn c10_loopback_uris_match_with_any_port_and_nothing_else_does() {
        let fits = |registered: &str, asked: &str| is_registered(&[registered.to_owned()], asked);
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            for registered in [format!("http://{host}/callback?a=1"), format!("http://{host}:8080/callback?a=1")] {
                for port in ["", ":1", ":51234", ":65535"] {
                    assert!(fits(&registered, &format!("http://{host}{port}/callback?a=1")), "{registered} {port}");
                }
                for wrong in [
                    ":0/callback?a=1",
                    ":65536/callback?a=1",
                    ":/callback?a=1",
                    "::80/callback?a=1",
                    ":+80/callback?a=1",
                    ":8 0/callback?a=1",
                    ":80x/callback?a=1",
                    ":80/callback",
                    ":80/callback?a=2",
                    ":80/callback?a=1&b=2",
                    ":80/callback/?a=1",
                    ":80/Callback?a=1",
                    ":80/%63allback?a=1",
                    ":80/x/../callback?a=1",
                    ":80@evil.example/callback?a=1",
                    ":80\\@evil.example/callback?a=1",
                    ":80#/callback?a=1",
                    ".evil.example/callback?a=1",
                    ":80.evil.example/callback?a=1",
                    ":80/callback?a=1#f",
                ] {
                    assert!(!fits(&registered, &format!("http://{host}{wrong}")), "{registered} {wrong}");
                }
                for scheme in ["https", "HTTP", "ftp"] {
                    assert!(!fits(&registered, &format!("{scheme}://{host}:80/callback?a=1")), "{registered} {scheme}");
                }
            }
        }
        for (registered, asked) in [
            ("http://127.0.0.1/a", "http://[::1]:80/a"),
            ("http://127.0.0.1/a", "http://localhost:80/a"),
            ("http://127.0.0.1/a", "http://127.0.0.2:80/a"),
            ("http://127.0.0.1/a", "http://127.1:80/a"),
            ("http://127.0.0.1/a", "http://user@127.0.0.1:80/a"),
            ("http://127.0.0.1", "http://127.0.0.1:80/"),
            ("https://c.example/a", "https://c.example:444/a"),
            ("https://127.0.0.1/a", "https://127.0.0.1:444/a"),
            ("com.example.app:/a", "com.example.app:1/a"),
        ] {
            assert!(!fits(registered, asked), "{registered} {asked}");
        }
        assert!(fits("http://127.0.0.1", "http://127.0.0.1:80") && fits("https://c.example/a", "https://c.example/a"));
    }
}
