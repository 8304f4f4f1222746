//! A place to which somebody is led back is a path of this gateway that is not one of its own, whoever reads it.

use resource_server::gateway::parsers::{parse_path, read_place};
use url::Url;

const BASE: &str = "https://photos.example/.wayleave/visit?to=x";

pub(crate) fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(place) = read_place(text) else { return };
    assert_eq!(place, text, "what is read is where she is sent");
    assert_eq!(read_place(&place).as_deref(), Some(text));
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "it goes into a field");
    let base = Url::parse(BASE).unwrap();
    let url = base.join(text).expect("a URL");
    assert_eq!(url.origin(), base.origin(), "{text}");
    assert_eq!(url.fragment(), None);
    let path = parse_path(url.path()).expect("one form");
    assert!(!path.encoded.to_ascii_lowercase().starts_with("/.wayleave/"), "{text}");
    // a URL writes some letters of a query as their number
    let plain = |query: &str| query.replace("%27", "'").replace("%22", "\"").replace("%3C", "<").replace("%3E", ">");
    assert_eq!(url.query().map(plain), text.split_once('?').map(|(_, query)| plain(query)));
}
