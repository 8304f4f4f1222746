//! XML that a caller sends (`PROPFIND`, `PROPPATCH`, `LOCK`): looked through before anybody builds a tree of it, so that no
//! depth, no number and no entities of it cost more than its bytes (RFC 4918 20.6). Called by `folder.rs`.

use super::named::{self, PropertyName};
use crate::challenge::plain;
use crate::gateway::Passing;
use crate::gateway::upstream::cut_short;
use crate::watch::Cut;
use axum::body::{Body, Bytes};
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use xml::reader::{EventReader, XmlEvent};

/// Bytes of a body that is XML.
const MOST_XML_BYTES: usize = 64 * 1024;
/// Elements within each other, and in all.
const MOST_LEVELS: usize = 32;
const MOST_ELEMENTS: usize = 1_000;

/// What a method other than PUT brings: XML, or nothing.
#[derive(Default)]
pub(super) struct CallXml {
    pub(super) bytes: Bytes,
    /// Properties that it names.
    pub(super) named: Option<Arc<[PropertyName]>>,
}

/// Takes what a call brings, where it is within bounds.
pub(super) async fn take(parts: &Parts, body: Body, passing: &Passing) -> Result<CallXml, Box<Response>> {
    let refused = |status, what| Err(Box::new(plain(status, what)));
    let bytes = match axum::body::to_bytes(body, MOST_XML_BYTES).await {
        Ok(bytes) => bytes,
        Err(_) if passing.was_cut.get().is_some() => {
            return Err(Box::new(cut_short(passing.was_cut.get().unwrap_or(Cut::Broken))));
        }
        Err(_) => return refused(StatusCode::PAYLOAD_TOO_LARGE, "This brings more than a call of this kind can."),
    };
    let takes_xml = matches!(parts.method.as_str(), "PROPFIND" | "PROPPATCH" | "LOCK");
    // RFC 4918 9.3 has MKCOL refuse a body; of others nobody reads one
    if !takes_xml && parts.method.as_str() != "MKCOL" {
        return Ok(CallXml::default());
    }
    if takes_xml && !bytes.is_empty() && !is_modest(&bytes) {
        return refused(StatusCode::BAD_REQUEST, "This XML cannot be read, or goes deeper or further than is taken.");
    }
    let named = if parts.method.as_str() == "PROPFIND" { named::read(&bytes) } else { Ok(None) };
    match named {
        Ok(named) => Ok(CallXml { bytes, named }),
        Err(named::TooManyNames) => refused(
            StatusCode::BAD_REQUEST,
            "Name 100 properties at most in one call, with 8 KiB of names, or ask for all with `allprop`.",
        ),
    }
}

/// Whether it reads and is within bounds. A document type, which alone can declare entities, is not taken: no client needs it.
pub(super) fn is_modest(body: &[u8]) -> bool {
    let (mut level, mut elements) = (0_usize, 0_usize);
    for event in EventReader::new(body) {
        match event {
            // one element is around all others
            Ok(XmlEvent::StartElement { .. }) if level == 0 && elements > 0 => return false,
            Ok(XmlEvent::StartElement { .. }) => {
                level = level.saturating_add(1);
                elements = elements.saturating_add(1);
            }
            Ok(XmlEvent::EndElement { .. }) => level = level.saturating_sub(1),
            Ok(XmlEvent::Doctype { .. }) | Err(_) => return false,
            Ok(_) => {}
        }
        if level > MOST_LEVELS || elements > MOST_ELEMENTS {
            return false;
        }
    }
    elements > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_modest_xml_is_taken() {
        let nested = |levels: usize| format!("{}{}", "<a>".repeat(levels), "</a>".repeat(levels));
        let many = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count));
        let bomb = r#"<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]><a>&y;</a>"#;
        let outside = r#"<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>"#;
        let namespaced = r#"<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>"#;
        for good in [namespaced, &nested(MOST_LEVELS), &many(900), "<a>caf\u{e9}</a>"] {
            assert!(is_modest(good.as_bytes()), "{good}");
        }
        for bad in
            [bomb, outside, &nested(33), &nested(20_000), &many(1_000), "", " ", "<!-- -->", "<a>", "<a></b>", "<a/><b/>", "x"]
        {
            assert!(!is_modest(bad.as_bytes()), "{}", bad.get(..50).unwrap_or(bad));
        }
        assert!(!is_modest(b"<a>\xff\xff</a>"));
    }
}
