//! Names that are known by their words, whatever stands around these.

use super::tests::kept;

/// A thing is taken from, or put at, another place by whatever words a service has for it.
#[test]
fn threat_47_s20_no_source_and_no_target_of_another_thing_passes() {
    for verb in ["Clone", "Copy", "Link", "Move", "Rename", "Symlink"] {
        for place in ["Source", "From", "To", "Target", "Destination"] {
            for name in ["", "X-", "X-Amz-", "X-Upyun-"].map(|prefix| format!("{prefix}{verb}-{place}")) {
                for name in [name.clone(), format!("{name}-Range"), name.replace('-', "_")] {
                    assert_eq!(kept(&[&name], false), [""; 0], "{name}");
                    assert_eq!(kept(&[&name], true), [""; 0], "{name}");
                }
            }
        }
    }
    for fine in ["x-remove-token", "x-link", "x-copy", "x-copyright-from", "x-uncopy-to"] {
        assert_eq!(kept(&[fine], false), [fine]);
    }
}

#[test]
fn threat_47_s40_an_address_of_a_caller_is_told_by_trusted_proxies_alone() {
    for name in [
        "X-Origin-Ip",
        "X-NginX-Proxy",
        "X-Ip",
        "X-Cdn-Src-Ip",
        "Wl-Proxy-Client-Ip",
        "X-IPv4",
        "X-Visitor-IpAddress",
        "X-Nginx-Host-Port",
        "X-Client-Port",
        "X-Peer-Port",
        "X-Client-Address",
        "X-Caller-Addr",
        "X-Origin-Address",
        "Proxied",
    ] {
        assert_eq!(kept(&[name], false), [""; 0], "{name}");
        assert_eq!(kept(&[name], true), [name.to_ascii_lowercase()]);
    }
}
