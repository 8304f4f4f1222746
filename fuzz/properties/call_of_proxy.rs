//! What is judged for a proxy is what the proxy was called for: whoever reads the address by the standard of URLs goes to the
//! same place, and it lies within this gateway's.

use super::shared::choose;
use http::{HeaderValue, Method, Request};
use resource_server::gateway::OriginalIn;
use resource_server::gateway::parsers::{parse_path, read_call_of_proxy};
use url::Url;

const RESOURCE: &str = "https://photos.example/app";
const ORIGINAL: [&str; 2] = ["x-original-method", "x-original-url"];
const FORWARDED: [&str; 4] = ["x-forwarded-method", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-uri"];

/// First byte: the family of fields. Lines: their values, in the order of their names here; after an empty line those of the
/// other family: beside `X-Original-*` no other is read, and beside `X-Forwarded-*` they say nothing.
pub(crate) fn holds(data: &[u8]) {
    let (choice, data) = choose(data);
    let (family, own, other): (_, &[&str], &[&str]) = match choice % 2 {
        0 => (OriginalIn::Original, &ORIGINAL, &FORWARDED),
        _ => (OriginalIn::Forwarded, &FORWARDED, &ORIGINAL),
    };
    let mut request = Request::new(());
    let names = own.iter().chain(other);
    for (name, line) in names.zip(data.split(|byte| *byte == b'\n')) {
        if let (false, Ok(value)) = (line.is_empty(), HeaderValue::from_bytes(line)) {
            request.headers_mut().insert(*name, value);
        }
    }
    let (parts, ()) = request.into_parts();
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let alone = {
        let mut alone = parts.clone();
        for name in other {
            alone.headers.remove(*name);
        }
        read_call_of_proxy(alone, family, RESOURCE).map(|(call, path)| (call.method, call.uri, path))
    };
    let read = read_call_of_proxy(parts.clone(), family, RESOURCE);
    let read = read.map(|(call, path)| (call.method, call.uri, path));
    if family == OriginalIn::Forwarded && other.iter().any(|name| parts.headers.contains_key(*name)) {
        assert_eq!(read, None, "proxy and gateway are set up in two ways");
    } else {
        assert_eq!(read, alone, "what else the other family says is nothing");
    }
    let Some((method, uri, path)) = read else { return };
    let address = match family {
        OriginalIn::Original => text("x-original-url").unwrap(),
        OriginalIn::Forwarded => {
            let scheme = text("x-forwarded-proto").unwrap().replace("ws", "http");
            format!("{scheme}://{}{}", text("x-forwarded-host").unwrap(), text("x-forwarded-uri").unwrap())
        }
    };
    let (url, base) = (Url::parse(&address).expect("a URL"), Url::parse(RESOURCE).unwrap());
    assert_eq!(url.origin(), base.origin(), "{address}");
    let below = url.path().strip_prefix("/app").expect("within the gateway");
    assert_eq!(parse_path(below).expect("one form").encoded, path, "{address}");
    // a URL writes some letters of a query as their number
    let plain = |query: &str| query.replace("%27", "'").replace("%22", "\"").replace("%3C", "<").replace("%3E", ">");
    assert_eq!((url.query().map(plain), url.fragment()), (uri.query().map(plain), None), "{address}");
    let name = if family == OriginalIn::Original { ORIGINAL[0] } else { FORWARDED[0] };
    assert_eq!(method, Method::from_bytes(text(name).unwrap().as_bytes()).unwrap());
}
