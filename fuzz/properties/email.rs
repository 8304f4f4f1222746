//! An address has one form; that form is an address, and its domain is the host that a URL with it leads to.

use types::email::{domain_of, is_same, normalize, normalize_domain};

pub(crate) fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    domain(text);
    let Some(once) = normalize(text) else { return };
    assert_eq!(normalize(&once).as_deref(), Some(once.as_str()), "normalising again changes nothing");
    assert!(is_same(text, &once) && once.len() <= 254 && text.len() <= 254);
    let (local, host) = once.rsplit_once('@').expect("an address");
    assert!(!local.contains('@') && !local.is_empty() && local.len() <= 64);
    assert!(!once.contains(|c: char| c.is_control() || c.is_whitespace() || c.is_ascii_uppercase()));
    assert!(!local.contains(|c| "\"<>()[],;:\\".contains(c)));
    assert_eq!(domain_of(text).as_deref(), Some(host));
    assert_eq!(normalize_domain(host).as_deref(), Some(host));
    // nothing else was folded
    let had = text.rsplit_once('@').expect("an address").0;
    assert!(had.eq_ignore_ascii_case(local));
}

fn domain(text: &str) {
    let Some(once) = normalize_domain(text) else { return };
    assert_eq!(normalize_domain(&once).as_deref(), Some(once.as_str()));
    assert!(once.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte)), "{once}");
    let url = url::Url::parse(&format!("https://{once}/")).expect("a host of a URL");
    assert_eq!(url.host(), Some(url::Host::Domain(once.as_str())), "the same to whoever reads URLs");
}
