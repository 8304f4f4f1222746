//! What is looked at where a proxy asks about a call that it hands on itself.

use super::*;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let line =
        |(name, value): &(&str, &str)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    lines.iter().map(line).collect()
}

/// Of these no file of the book takes anything off.
const UNTOUCHED: [&str; 10] = [
    "x-envoy-original-path",
    "x-envoy-original-host",
    "x-envoy-decorator-operation",
    "x-envoy-peer-metadata",
    "x-wayleave-role",
    "proxy",
    "x-original-host",
    "x-original-proto",
    "x-original-forwarded-for",
    "x-accel-internal",
];

/// Row 47: a proxy that asks hands on what it was sent, and nobody takes it off.
#[test]
fn threat_47_a_proxy_hands_on_nobodys_word_about_who_calls() {
    let named = [&["x-owner".to_owned()][..], &["X-Tenant".to_owned()]];
    let found_in = |family, name: &str| find_override(&headers(&[(name, "admin")]), family, &named).is_some();
    let found = |name: &str| {
        let [one, other] = [OriginalIn::Original, OriginalIn::Forwarded].map(|family| found_in(family, name));
        assert_eq!(one, other, "{name}");
        one
    };
    let who = ["remote-user", "remote-groups", "x-remote-user", "x-forwarded-user", "x-forwarded-email", "x-forwarded-groups"];
    let more =
        ["x-forwarded-prefix", "x-webauth-user", "x-authentik-username", "tailscale-user-login", "client-cert", "x-user-id"];
    for name in who
        .into_iter()
        .chain(more)
        .chain(["x-http-method-override", "x_wayleave_subject", "script_name", "proxy-user"])
        .chain(UNTOUCHED)
    {
        assert!(found(name), "{name}");
    }
    let own =
        ["authorization", "host", "cookie", "destination", "if", "user-agent", "sec-fetch-dest", "x-requested-with", "dpop"];
    let proxys = ["x-original-url", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"];
    for name in own.into_iter().chain(proxys).chain(["x-wayleave-subject", "connection", "upgrade", "x-owner", "x-tenant"]) {
        assert!(!found(name), "{name}");
    }
    // nginx's file writes one over, and Envoy takes the others off: Traefik and Caddy hand all of them on as they came
    for name in ["forwarded", "x-original-uri", "x-envoy-external-address", "x-envoy-internal"] {
        assert!(!found_in(OriginalIn::Original, name) && found_in(OriginalIn::Forwarded, name), "{name}");
    }
}

/// Row 27: what opens a session is written over, also by proxies that leave the caller's field where the answer's is empty.
#[test]
fn threat_27_a_proxy_has_always_something_to_write_over_cookies() {
    let others = |lines: &[(&str, &str)]| others_cookies(&headers(lines)).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(others(&[]), None);
    assert_eq!(others(&[("cookie", "wl_session_0a1b2c3d=secret")]).as_deref(), Some("_="));
    assert_eq!(others(&[("cookie", "theme=dark; __Host-wl_session=x")]).as_deref(), Some("theme=dark"));
}
