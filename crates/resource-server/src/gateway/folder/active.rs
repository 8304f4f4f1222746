//! Active content of a folder (`browser.md`, *Active content*): what a browser would run under this server's name, where the
//! sessions of everybody are. It is told by the type that its name has, and by what a browser that pays no heed to types would take it for
//! (the WHATWG's MIME sniffing standard, 7.1). Called by `folder.rs`.

/// Marks an answer that a browser could run.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Active;

/// So many bytes a browser looks at.
pub(super) const SNIFFED_BYTES: usize = 1_445;

/// Beginnings of what is taken for HTML; a space or `>` follows.
const OF_HTML: [&[u8]; 19] = [
    b"<!DOCTYPE HTML",
    b"<HTML",
    b"<HEAD",
    b"<SCRIPT",
    b"<IFRAME",
    b"<H1",
    b"<DIV",
    b"<FONT",
    b"<TABLE",
    b"<A",
    b"<STYLE",
    b"<TITLE",
    b"<B",
    b"<BODY",
    b"<BR",
    b"<P",
    b"<SVG",
    b"<LINK",
    b"<META",
];
/// Whatever follows.
const OF_XML: [&[u8]; 3] = [b"<?XML", b"<!--", b"<!DOCTYPE"];
/// Marks of encodings, before anything else.
const MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe"];

/// Whether a file of this type that begins like this could run.
pub(super) fn is_active(kind: &str, beginning: &[u8]) -> bool {
    is_active_type(kind) || is_taken_for_active(beginning)
}

fn is_active_type(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_xml = essence.ends_with("+xml") || essence.ends_with("/xml") || matches!(essence.as_str(), "text/xsl");
    is_xml || matches!(essence.as_str(), "text/html" | "message/rfc822" | "multipart/related" | "application/x-shockwave-flash")
}

fn is_taken_for_active(beginning: &[u8]) -> bool {
    let seen = beginning.get(..SNIFFED_BYTES).unwrap_or(beginning);
    let without_mark = MARKS.iter().find_map(|mark| seen.strip_prefix(*mark)).unwrap_or(seen);
    // in an encoding of two bytes every other one is nothing
    let text: Vec<u8> = without_mark.iter().filter(|byte| **byte != 0).map(u8::to_ascii_uppercase).collect();
    let text = text.trim_ascii_start();
    let is_html = |tag: &&[u8]| {
        text.strip_prefix(*tag).is_some_and(|after| after.first().is_none_or(|byte| b" >\t\n\r\x0c/".contains(byte)))
    };
    OF_XML.iter().any(|tag| text.starts_with(tag)) || OF_HTML.iter().any(is_html)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_would_run_is_told_by_type_and_by_content() {
        for kind in [
            "text/html",
            "TEXT/HTML; charset=utf-8",
            "application/xhtml+xml",
            "image/svg+xml",
            "text/xml",
            "application/xml",
            "application/rss+xml",
        ] {
            assert!(is_active(kind, b"plain"), "{kind}");
        }
        let disguised: [&[u8]; 11] = [
            b"<!doctype html><p>",
            b"  \n<html>",
            b"<script>alert(1)</script>",
            b"\xef\xbb\xbf<svg onload=x>",
            b"<?xml version='1.0'?><x/>",
            b"<!-- --><html>",
            b"\xff\xfe<\0h\0t\0m\0l\0>\0",
            b"<body/onload=x>",
            b"<a href=x>",
            b"<IFRAME\tsrc=x>",
            b"<!DOCTYPE svg>",
        ];
        for beginning in disguised {
            assert!(is_active("image/jpeg", beginning), "{beginning:?}");
        }
        let inert: [&[u8]; 6] = [b"\xff\xd8\xff\xe0JFIF", b"", b"just <html>", b"<article>", b"%PDF-1.7", b"{\"a\": \"<b>\"}"];
        for beginning in inert {
            assert!(!is_active("image/jpeg", beginning), "{beginning:?}");
        }
    }
}
