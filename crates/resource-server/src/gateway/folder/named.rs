//! Properties that a `PROPFIND` names (RFC 4918 9.1, 14.18): so many at most, and of each thing it is said which of them it has
//! not. `dav-server` leaves those out, and nobody could tell what is not there from what was passed over. Called by `folder.rs`.

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::StreamExt;
use std::sync::Arc;
use xml::escape::escape_str_attribute;
use xml::name::OwnedName;
use xml::reader::{EventReader, XmlEvent};

/// So many of them at a time, and so many bytes of their names: all of them may be told again of each thing in a directory.
const MOST_NAMES: usize = 100;
const MOST_NAME_BYTES: usize = 8 * 1024;

/// What `dav-server` says of one thing, in one piece each.
const RESPONSE: &[u8] = b"<D:response>";
const RESPONSE_END: &[u8] = b"</D:response>";
/// How deep what is said of one thing stands in an answer, and how deep its properties (`multistatus`, `response`, `propstat`,
/// `prop`).
const RESPONSE_LEVEL: usize = 2;
const PROPERTY_LEVEL: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PropertyName {
    namespace: Option<String>,
    local: String,
}

impl From<OwnedName> for PropertyName {
    fn from(name: OwnedName) -> Self {
        Self { namespace: name.namespace, local: name.local_name }
    }
}

/// More are named than are told at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyNames;

/// The names in the `prop` of a `propfind`; none: it asks for everything, or for names.
///
/// # Errors
/// There are more than are told at once, there or in `include`.
pub(super) fn read(body: &[u8]) -> Result<Option<Arc<[PropertyName]>>, TooManyNames> {
    let (mut above, mut kinds, mut names, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0_usize);
    for event in EventReader::new(body) {
        match event {
            Ok(XmlEvent::StartElement { name, .. }) => {
                let local = name.local_name.clone();
                match above.as_slice() {
                    [_] if matches!(local.as_str(), "prop" | "allprop" | "propname") => kinds.push(local.clone()),
                    [_, _] => {
                        let name = PropertyName::from(name);
                        bytes =
                            bytes.saturating_add(name.local.len()).saturating_add(name.namespace.as_ref().map_or(0, String::len));
                        // `dav-server` reads the first of several
                        names.push((name, kinds.len() <= 1));
                    }
                    _ => {}
                }
                above.push(local);
            }
            Ok(XmlEvent::EndElement { .. }) => drop(above.pop()),
            Ok(_) => {}
            Err(_) => break,
        }
        if names.len() > MOST_NAMES || bytes > MOST_NAME_BYTES {
            return Err(TooManyNames);
        }
    }
    let is_by_name = kinds.first().is_some_and(|kind| kind == "prop");
    Ok(is_by_name.then(|| names.into_iter().filter_map(|(name, is_read)| is_read.then_some(name)).collect()))
}

/// Adds to what is said of each thing which of the properties it has not (RFC 4918 9.1: 404).
pub(super) fn add_missing(answer: Response, asked: Arc<[PropertyName]>) -> Response {
    let mut opening = Vec::new();
    answer.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |piece| piece.map(|piece| complete(&mut opening, piece, &asked))))
    })
}

/// One piece of an answer, with what is missing of the thing that it is about. `opening`: what stands before the first thing.
fn complete(opening: &mut Vec<u8>, piece: Bytes, asked: &[PropertyName]) -> Bytes {
    let Some(said) = piece.strip_suffix(RESPONSE_END) else { return piece };
    let said = match opening.is_empty() {
        true => {
            let at = said.windows(RESPONSE.len()).position(|bytes| bytes == RESPONSE).unwrap_or_default();
            let (before, said) = said.split_at(at);
            opening.extend_from_slice(before);
            said
        }
        false => said,
    };
    let Some(told) = find_told(&[opening.as_slice(), said, RESPONSE_END].concat()) else { return piece };
    let mut missing: Vec<&PropertyName> = Vec::new();
    for name in asked {
        if !told.contains(name) && !missing.contains(&name) {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return piece;
    }
    let before = piece.strip_suffix(RESPONSE_END).unwrap_or_default();
    Bytes::from([before, say_missing(&missing).as_bytes(), RESPONSE_END].concat())
}

/// Properties that are told of a thing; none: what is said of it cannot be read.
fn find_told(text: &[u8]) -> Option<Vec<PropertyName>> {
    let (mut level, mut told) = (0_usize, Vec::new());
    for event in EventReader::new(text) {
        match event.ok()? {
            XmlEvent::StartElement { name, .. } => {
                level = level.saturating_add(1);
                if level == PROPERTY_LEVEL {
                    told.push(PropertyName::from(name));
                }
            }
            // all has been said of it
            XmlEvent::EndElement { .. } if level == RESPONSE_LEVEL => return Some(told),
            XmlEvent::EndElement { .. } => level = level.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn say_missing(missing: &[&PropertyName]) -> String {
    let say = |name: &&PropertyName| {
        let namespace = name.namespace.as_deref().unwrap_or_default();
        format!("<{} xmlns=\"{}\"/>", name.local, escape_str_attribute(namespace))
    };
    let names: String = missing.iter().map(say).collect();
    format!("<D:propstat><D:prop>{names}</D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(namespace: Option<&str>, local: &str) -> PropertyName {
        PropertyName { namespace: namespace.map(str::to_owned), local: local.into() }
    }

    #[test]
    fn names_are_those_of_prop() {
        let many = |count: usize| "<x xmlns=\"urn:n\"/>".repeat(count);
        for (body, names) in [
            ("<prop><getetag/><x xmlns=\"\"><y/></x></prop>", Some(vec![name(Some("DAV:"), "getetag"), name(None, "x")])),
            ("<prop/>", Some(vec![])),
            ("<allprop/><include><getetag/></include>", None),
            ("<propname/><prop><x/></prop>", None),
            (
                "<other><x/></other><prop><y/></prop><prop><z/></prop>",
                Some(vec![name(Some("DAV:"), "x"), name(Some("DAV:"), "y")]),
            ),
            ("", None),
        ] {
            let body = format!("<propfind xmlns=\"DAV:\">{body}</propfind>");
            assert_eq!(read(body.as_bytes()), Ok(names.map(Arc::from)), "{body}");
        }
        for (inside, is_taken) in [
            (format!("<prop>{}</prop>", many(100)), true),
            (format!("<prop>{}</prop>", many(101)), false),
            (format!("<prop>{}</prop><prop>{}</prop>", many(51), many(51)), false),
            (format!("<allprop/><include>{}</include>", many(101)), false),
            (format!("<prop><{}/></prop>", "x".repeat(9_000)), false),
            (format!("<prop><x xmlns=\"{}\"/></prop>", "x".repeat(9_000)), false),
        ] {
            let body = format!("<propfind xmlns=\"DAV:\">{inside}</propfind>");
            assert_eq!(read(body.as_bytes()).is_ok(), is_taken, "{}", &inside[..50]);
        }
    }

    #[test]
    fn what_a_thing_has_not_is_said_of_each() {
        let asked = [name(Some("DAV:"), "getetag"), name(Some("a&\"b"), "x"), name(None, "y"), name(None, "y")];
        let mut opening = Vec::new();
        let first = "<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\"><D:response><D:href>/a</D:href><D:propstat><D:prop>\
            <D:getetag>1</D:getetag></D:prop></D:propstat></D:response>";
        let missing = "<D:propstat><D:prop><x xmlns=\"a&amp;&quot;b\"/><y xmlns=\"\"/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>";
        let said = complete(&mut opening, Bytes::from(first), &asked);
        assert_eq!(said, first.replace("</D:response>", &format!("{missing}</D:response>")));
        // of the next one it is told by what is said of that one, whatever a property holds
        let second = "<D:response><D:href>/b</D:href><D:propstat><D:prop><q:x xmlns:q=\"a&amp;&quot;b\"><y xmlns=\"\"/></q:x></D:prop>\
            </D:propstat></D:response>";
        let said = String::from_utf8(complete(&mut opening, Bytes::from(second), &asked).to_vec()).unwrap();
        assert!(said.ends_with("<D:prop><getetag xmlns=\"DAV:\"/><y xmlns=\"\"/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>"), "{said}");
        assert_eq!(complete(&mut opening, Bytes::from("</D:multistatus>"), &asked), "</D:multistatus>");
        let unread = "<D:response><q:x/></D:response>";
        assert_eq!(complete(&mut opening, Bytes::from(unread), &asked), unread);
    }
}
