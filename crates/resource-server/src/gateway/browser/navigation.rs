//! What a call says of the browser that makes it: whether a person follows a link, and whether it comes from a page of this
//! gateway. Pure rules over header fields (Fetch Metadata; Fetch, "append a request `Origin` header"; RFC 9110 9.2.1, 12.5.1).

use super::super::tunnel;
use http::request::Parts;
use http::{HeaderMap, Method, header};

const MODE: &str = "sec-fetch-mode";
const SITE: &str = "sec-fetch-site";
/// Methods that change nothing, as the registry of RFC 9110 16.1 has them.
const SAFE: [&str; 7] = ["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH"];

/// From where a call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CameFrom {
    /// A page of this origin.
    Here,
    Elsewhere,
    /// It does not say.
    Unsaid,
}

/// Whether a person follows a link, so that a page may answer her: by GET, taking HTML, and where her browser says what it
/// loads, as a page of its own.
pub(in super::super) fn is_navigation(parts: &Parts) -> bool {
    parts.method == Method::GET && is_page(parts)
}

/// Whether a person sends a form, so that a page may answer her.
pub(super) fn is_form(parts: &Parts) -> bool {
    parts.method == Method::POST && is_page(parts)
}

fn is_page(parts: &Parts) -> bool {
    let mut modes = parts.headers.get_all(MODE).iter();
    let is_page = match (modes.next(), modes.next()) {
        (None, _) => true,
        (Some(mode), None) => mode == "navigate",
        _ => false,
    };
    is_page && takes_html(&parts.headers) && !is_upgrade(parts)
}

/// Whether `Accept` names HTML: `*/*` is what programs send.
fn takes_html(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("text/html"));
        let is_refused = parts.any(|parameter| {
            let weight = parameter.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
            weight.is_some_and(|(_, value)| value.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0))
        });
        is_html && !is_refused
    })
}

fn is_upgrade(parts: &Parts) -> bool {
    parts.headers.contains_key(header::UPGRADE)
}

/// Whether a call changes something, or opens a way for what does: with a session alone it passes from our own origin.
pub(super) fn needs_own_origin(parts: &Parts) -> bool {
    !is_safe(&parts.method) || is_upgrade(parts) || tunnel::Asked::read(parts).is_some()
}

/// Whether a page of another place has something read: no session of this browser is its to use. What a person follows
/// herself, from wherever, is hers to see; scripts cannot send `navigate`. A navigation by GET has no `Origin`.
pub(super) fn is_read_elsewhere(parts: &Parts, own: &str) -> bool {
    let only = |name: &str| {
        let mut values = parts.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    if needs_own_origin(parts) || only(MODE).is_some_and(|mode| mode == "navigate") {
        return false;
    }
    match parts.headers.contains_key(SITE) && !is_navigation(parts) {
        // `none`: a person asks for it, and no page does
        true => !only(SITE).is_some_and(|site| site == "same-origin" || site == "none"),
        false => parts.headers.contains_key(header::ORIGIN) && only("origin").is_none_or(|origin| origin != own),
    }
}

pub(super) fn is_safe(method: &Method) -> bool {
    SAFE.contains(&method.as_str())
}

/// From where a call was made: by `Sec-Fetch-Site`, and where the browser does not send that, by `Origin`. Pages under
/// `no-referrer` have the origin `null`, which says nothing.
pub(super) fn origin_of(headers: &HeaderMap, own: &str) -> CameFrom {
    let mut sites = headers.get_all(SITE).iter();
    match (sites.next(), sites.next()) {
        (Some(site), None) if site == "same-origin" => return CameFrom::Here,
        (Some(_), _) => return CameFrom::Elsewhere,
        (None, _) => {}
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => CameFrom::Unsaid,
        (Some(origin), None) if origin == own => CameFrom::Here,
        (Some(origin), None) if origin == "null" => CameFrom::Unsaid,
        _ => CameFrom::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri("/x");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_person_who_follows_a_link_is_told_from_a_program() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let table: [(&str, &[(&str, &str)], bool); 12] = [
            ("GET", &[("accept", browser), (MODE, "navigate")], true),
            ("GET", &[("accept", browser)], true),
            ("GET", &[("accept", "application/json, TEXT/HTML ; q=0.1")], true),
            ("GET", &[("accept", "application/json"), ("accept", "text/html")], true),
            ("GET", &[], false),
            ("GET", &[("accept", "*/*")], false),
            ("GET", &[("accept", "text/html;q=0")], false),
            ("GET", &[("accept", "text/htmlx, text/*")], false),
            ("GET", &[("accept", browser), (MODE, "cors")], false),
            ("GET", &[("accept", browser), (MODE, "navigate"), (MODE, "cors")], false),
            ("HEAD", &[("accept", browser), (MODE, "navigate")], false),
            ("GET", &[("accept", browser), ("upgrade", "websocket")], false),
        ];
        for (method, fields, expected) in table {
            assert_eq!(is_navigation(&call(method, fields)), expected, "{method} {fields:?}");
        }
    }

    #[test]
    fn threat_42_no_page_of_another_place_reads_by_a_session() {
        let (own, html) = ("https://photos.example", ("accept", "text/html"));
        let (cors, none, navigate) = ((MODE, "cors"), (MODE, "no-cors"), (MODE, "navigate"));
        let sibling = ("origin", "https://evil.photos.example");
        let table: [(&str, &[(&str, &str)], bool); 25] = [
            // a link in a mail or on another page, a bookmark, a picture in a page of ours, a program
            ("GET", &[html, navigate, (SITE, "cross-site")], false),
            ("GET", &[html, navigate, (SITE, "same-site")], false),
            ("GET", &[html, navigate, (SITE, "none")], false),
            ("GET", &[none, (SITE, "same-origin")], false),
            ("GET", &[cors, (SITE, "same-origin"), ("origin", own)], false),
            ("GET", &[none, (SITE, "none")], false),
            ("GET", &[html], false),
            ("GET", &[], false),
            ("PROPFIND", &[("origin", own)], false),
            // a script, a picture, a style sheet of another
            ("GET", &[cors, (SITE, "same-site"), sibling], true),
            ("GET", &[none, (SITE, "same-site")], true),
            ("GET", &[none, (SITE, "cross-site")], true),
            ("GET", &[html, cors, (SITE, "same-site")], true),
            ("HEAD", &[cors, (SITE, "same-site"), sibling], true),
            ("PROPFIND", &[cors, (SITE, "same-site"), sibling], true),
            ("REPORT", &[cors, (SITE, "same-site"), ("origin", own)], true),
            ("GET", &[none, (SITE, "same-origin"), (SITE, "same-origin")], true),
            ("GET", &[none, (SITE, "")], true),
            // browsers that do not say it
            ("GET", &[sibling], true),
            ("GET", &[html, sibling], true),
            ("GET", &[("origin", "null")], true),
            ("GET", &[("origin", own), ("origin", own)], true),
            // these are refused by another rule
            ("POST", &[cors, (SITE, "same-site"), sibling], false),
            ("POST", &[navigate, (SITE, "same-site"), sibling], false),
            ("GET", &[("upgrade", "websocket"), sibling], false),
        ];
        for (method, fields, expected) in table {
            assert_eq!(is_read_elsewhere(&call(method, fields), own), expected, "{method} {fields:?}");
        }
    }

    #[test]
    fn threat_42_with_a_session_a_change_comes_from_our_own_pages() {
        let own = "https://photos.example";
        let table: [(&[(&str, &str)], CameFrom); 11] = [
            (&[(SITE, "same-origin")], CameFrom::Here),
            (&[(SITE, "same-origin"), ("origin", "null")], CameFrom::Here),
            (&[("origin", own)], CameFrom::Here),
            (&[(SITE, "same-site"), ("origin", own)], CameFrom::Elsewhere),
            (&[(SITE, "cross-site")], CameFrom::Elsewhere),
            (&[(SITE, "none")], CameFrom::Elsewhere),
            (&[(SITE, "same-origin"), (SITE, "same-origin")], CameFrom::Elsewhere),
            (&[("origin", "https://photos.example.evil.example")], CameFrom::Elsewhere),
            (&[("origin", own), ("origin", own)], CameFrom::Elsewhere),
            (&[("origin", "null")], CameFrom::Unsaid),
            (&[], CameFrom::Unsaid),
        ];
        for (fields, expected) in table {
            assert_eq!(origin_of(&call("POST", fields).headers, own), expected, "{fields:?}");
        }
        for (method, fields, expected) in [
            ("GET", &[][..], false),
            ("PROPFIND", &[], false),
            ("POST", &[], true),
            ("PUT", &[], true),
            ("LOCK", &[], true),
            ("UNHEARD", &[], true),
            ("GET", &[("upgrade", "websocket")], true),
        ] {
            assert_eq!(needs_own_origin(&call(method, fields)), expected, "{method} {fields:?}");
        }
    }
}
