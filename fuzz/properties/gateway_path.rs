//! What the gateway judges is what it forwards: a path that is taken has one form, which leads nowhere but down.

use resource_server::gateway::parsers::{names_in_folder, parse_path};
use std::path::{Component, Path};

pub(crate) fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(path) = parse_path(text) else { return };
    let again = parse_path(&path.encoded).expect("what is forwarded is taken");
    assert_eq!((&again.segments, &again.encoded), (&path.segments, &path.encoded), "once is enough");
    assert!(path.encoded.starts_with('/') && path.encoded.is_ascii());
    let lower = path.encoded.to_ascii_lowercase();
    for bad in ["//", "/../", "/./", "%2f", "%5c", "%00", "\\", "?", "#", ";"] {
        assert!(!lower.contains(bad), "{bad}: {lower}");
    }
    for segment in &path.segments {
        assert!(!segment.is_empty() && segment != "." && segment != "..");
        assert!(!segment.contains(|c: char| c.is_control() || "/\\;".contains(c)));
    }
    // whoever reads URLs by their standard goes to the same place
    let url = url::Url::parse(&format!("http://service.example{}", path.encoded)).expect("a URL");
    assert_eq!(url.path(), path.encoded);
    assert_eq!((url.host_str(), url.query(), url.fragment()), (Some("service.example"), None, None));
    let hidden = path.segments.iter().any(|segment| segment.starts_with('.'));
    let names = names_in_folder(text);
    assert_eq!(names.is_none(), hidden, "names that begin with a dot are not there");
    let Some(names) = names else { return };
    // each is entered from the directory that the ones before led to: one that is a name of its own leads nowhere but down
    for name in &names {
        let mut parts = Path::new(name).components();
        assert!(matches!((parts.next(), parts.next()), (Some(Component::Normal(one)), None) if one == name.as_str()), "{name:?}");
    }
    assert_eq!(names, path.segments);
}
