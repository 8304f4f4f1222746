//! Places of others, as they stand in policies and other fields of our own pages. Parsers of URLs let much into a host
//! (`;`, `,`, `*`, `'`) that says something else there.

/// Whether a host is of letters and digits, and of what stands between them, with a port or without.
pub fn is_plain_host(host: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !host.is_empty() && host.bytes().all(is_plain)
}

/// Whether this may stand in a policy: an origin, `http:` or `https:` for all of them, or the scheme that an application of a
/// telephone has for itself (RFC 8252 7.1 has it made of a domain, so it has a dot, as no scheme of browsers has).
pub fn is_source(source: &str) -> bool {
    let is_scheme = |scheme: &str| !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match source.split_once("://") {
        Some((scheme, host)) => is_scheme(scheme) && is_plain_host(host),
        None => source.strip_suffix(':').is_some_and(|scheme| matches!(scheme, "http" | "https") || is_scheme_of_app(scheme)),
    }
}

/// Whether a scheme is one that an application has for itself.
pub fn is_scheme_of_app(scheme: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    scheme.contains('.') && scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_36_a_source_of_a_policy_is_an_origin_and_nothing_beside_it() {
        for good in [
            "https://x.example",
            "http://127.0.0.1:8080",
            "http://[::1]:80",
            "https://my_host",
            "https:",
            "com.example.app:",
            "com.example.my-app+2:",
        ] {
            assert!(is_source(good), "{good}");
        }
        for bad in [
            "https://x.example;sandbox",
            "https://x,sandbox",
            "https://*",
            "https://*.example",
            "https://'none'",
            "https://x.example https://y.example",
            "https://x.example/path",
            "https://",
            "://x",
            "'unsafe-inline'",
            "null",
            "*",
            "data:",
            "javascript:",
            "blob:",
            "filesystem:",
            ".:",
            "com.example.app",
            "com.example.app:*",
            "com.example.app: *",
            "com.example.app;x:",
            "com.example.app/x:",
            "",
        ] {
            assert!(!is_source(bad), "{bad}");
        }
    }
}
