//! E-mail addresses: what counts as one, and when two are the same (protocol.md 1.3). Every address that enters - typed,
//! declared, claimed, signed, matched - goes through [`normalize`], and what it refuses is no address.
//!
//! The domain becomes its lower-case A-label (IDNA2008), the local part has its ASCII letters lower-cased, and nothing else
//! is folded: not accents, not dots, not tags, and no letter that only resembles another one.

/// The longest local part, in bytes (RFC 5321 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;
/// The longest address, in bytes (RFC 5321 4.5.3.1.3).
const MAX_ADDRESS_BYTES: usize = 254;
/// The longest domain, in bytes (RFC 1035 2.3.4).
const MAX_DOMAIN_BYTES: usize = 253;

/// The form in which addresses compare; `None` for what is no address of one local part and one domain. Quoted local parts
/// and address literals are none here.
pub fn normalize(address: &str) -> Option<String> {
    if address.len() > MAX_ADDRESS_BYTES {
        return None;
    }
    let (local, domain) = address.rsplit_once('@')?;
    if local.len() > MAX_LOCAL_BYTES || !local.split('.').all(is_atom) {
        return None;
    }
    let normalized = format!("{}@{}", local.to_ascii_lowercase(), normalize_domain(domain)?);
    (normalized.len() <= MAX_ADDRESS_BYTES).then_some(normalized)
}

/// A part of a local part between dots (RFC 5322 3.2.3, RFC 6531 3.3).
fn is_atom(text: &str) -> bool {
    let fits = |c: char| match c {
        c if c.is_ascii() => c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c),
        c => !c.is_control() && !c.is_whitespace() && !crate::spelling::is_invisible(c),
    };
    !text.is_empty() && text.chars().all(fits)
}

/// A domain as lower-case A-label. Names in capitals are lower-cased; anything else that would have to be changed to become
/// a name (RFC 5891 5.3: wide letters, ideographic stops, a Kelvin sign for a k) is refused.
pub fn normalize_domain(domain: &str) -> Option<String> {
    if domain.len() > MAX_DOMAIN_BYTES {
        return None;
    }
    let lowered: String = domain.chars().map(lower).collect::<Option<String>>()?;
    let ascii = idna::domain_to_ascii_strict(&lowered).ok()?;
    let (unicode, valid) = idna::domain_to_unicode(&ascii);
    let unchanged = lowered.split('.').zip(unicode.split('.')).all(|(had, label)| had.is_ascii() || had == label);
    let plain = unicode.split('.').all(crate::idna2008::is_valid);
    let same_count = lowered.split('.').count() == unicode.split('.').count();
    let fits = valid.is_ok() && unchanged && same_count && plain && !ends_in_number(&ascii) && ascii.len() <= MAX_DOMAIN_BYTES;
    fits.then_some(ascii)
}

/// Whether the last label is a number, as URLs write numbers: such a name is an IPv4 address to whoever opens it (`0x7f` is
/// 0.0.0.127).
fn ends_in_number(domain: &str) -> bool {
    let last = domain.rsplit('.').next().unwrap_or_default();
    match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// A letter in lower case, where that is one letter and of the same kind: a Kelvin sign does not become a k.
fn lower(c: char) -> Option<char> {
    let mut lowered = c.to_lowercase();
    match (lowered.next(), lowered.next()) {
        (Some(one), None) if one.is_ascii() == c.is_ascii() => Some(one),
        _ => None,
    }
}

/// An address from which a server is looked for (WebFinger), in its one form; one at a host with a port, as laboratories have
/// them, is taken as well.
pub fn normalize_reachable(address: &str) -> Option<String> {
    let at_port = || {
        let (local, host) = address.rsplit_once('@')?;
        let (name, port) = host.rsplit_once(':')?;
        let local = normalize(&format!("{local}@host.example"))?.rsplit_once('@')?.0.to_owned();
        let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
        let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
        let known = (fits && is_port && !name.is_empty()).then(|| format!("{local}@{}:{port}", name.to_ascii_lowercase()));
        known.filter(|known| known.len() <= MAX_ADDRESS_BYTES)
    };
    normalize(address).or_else(at_port)
}

/// The domain of an address, normalized.
pub fn domain_of(address: &str) -> Option<String> {
    normalize(address)?.rsplit_once('@').map(|(_, domain)| domain.to_owned())
}

/// Whether both are the same address.
pub fn is_same(a: &str, b: &str) -> bool {
    normalize(a).is_some_and(|a| normalize(b).as_deref() == Some(&a))
}

/// Whether an address mixes scripts, as look-alikes do; a person should look twice then.
pub fn has_mixed_scripts(address: &str) -> bool {
    let mut scripts = [false; 4];
    for c in address.chars().filter(|c| c.is_alphabetic()) {
        let script = match c {
            'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' => 0,
            '\u{370}'..='\u{3ff}' => 1,
            '\u{400}'..='\u{52f}' => 2,
            _ => 3,
        };
        if let Some(seen) = scripts.get_mut(script) {
            *seen = true;
        }
    }
    scripts.iter().filter(|seen| **seen).count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_compare_by_domain_label_and_ascii_case_alone() {
        assert!(is_same("Bob@Bar.Example", "bob@bar.example"));
        assert!(is_same("bob@bücher.example", "bob@xn--bcher-kva.example"));
        assert!(is_same("bob@BÜCHER.example", "bob@XN--BCHER-KVA.example"));
        assert!(!is_same("bob+x@bar.example", "bob@bar.example"));
        assert!(!is_same("b.ob@bar.example", "bob@bar.example"));
        assert!(!is_same("BÖB@bar.example", "böb@bar.example"));
        assert!(!is_same("bo\u{308}b@bar.example", "b\u{f6}b@bar.example"));
    }

    #[test]
    fn threat_38_what_only_folding_would_make_an_address_is_none() {
        // a Kelvin sign stays what it is in a mailbox, and is no letter of a domain
        assert!(!is_same("mi\u{212a}e@mail.example", "mike@mail.example"));
        for bad in [
            "mike@mi\u{212a}e.example",
            "bob@\u{ff42}ar.example",
            "bob@bar\u{3002}example",
            "bob@ba\u{ad}r.example",
            "bob@b\u{130}r.example",
            "bob@\u{fb01}r.example",
            "bob@bu\u{308}cher.example",
        ] {
            assert_eq!(normalize(bad), None, "{bad}");
        }
    }

    #[test]
    fn threat_38_what_is_no_address_is_refused() {
        let long = format!("{}@bar.example", "b".repeat(65));
        let longer = format!("b@{}example", "bar.".repeat(70));
        for bad in [
            "bob",
            "@bar.example",
            "bob@",
            "bob@bar example",
            "a b@c.example",
            "<bob@bar.example>",
            "bob@bar.example>",
            "a\n@b.example",
            "bob@bar.example\r\nBcc: eve@e.example",
            "bob\r\n@bar.example",
            "bob@eve.example@bar.example",
            "\"bob\"@bar.example",
            "bob@[127.0.0.1]",
            "bob@127.0.0.1",
            "bob@0x7f",
            "bob@127.0.0.0x1",
            "bob@bar.0X",
            "bob@bar.example.",
            "bob@.bar.example",
            "bob@bar..example",
            ".bob@bar.example",
            "bob.@bar.example",
            "b..ob@bar.example",
            "bob,eve@bar.example",
            "bob(x)@bar.example",
            "bob\\@bar.example",
            "bob:eve@bar.example",
            "bo\u{200b}b@bar.example",
            "bob\u{202e}@bar.example",
            "bob\u{a0}@bar.example",
            "bob\u{7f}@bar.example",
            " bob@bar.example",
            "bob@bar.example ",
            "bob@-bar.example",
            "bob@bar_baz.example",
            "bob@\u{2603}.example",
            "bob@xn--n3h.example",
            "bob@\u{1f600}.example",
            "bob@\u{30fb}.example",
            &long,
            &longer,
        ] {
            assert_eq!(normalize(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn threat_38_s07_a_host_with_a_port_is_the_one_exception_where_a_server_is_looked_for() {
        for (typed, known) in [
            ("Alice@Foo.example", Some("alice@foo.example")),
            ("Alice@127.0.0.1:9000", Some("alice@127.0.0.1:9000")),
            ("alice@Localhost:9000", Some("alice@localhost:9000")),
            ("alice@127.0.0.1", None),
            ("alice@foo.example:", None),
            ("alice@foo.example:+80", None),
            ("alice@foo.example:99999", None),
            ("alice@:80", None),
            ("a b@foo.example:80", None),
            ("a@b@foo.example:80", None),
            ("alice@foo.example/x:80", None),
            ("alice@foo\r\n.example:80", None),
        ] {
            assert_eq!(normalize_reachable(typed).as_deref(), known, "{typed:?}");
        }
    }

    #[test]
    fn what_is_normalized_stays_as_it_is() {
        for good in ["bob@bar.example", "Bob+X=y@Bücher.Example", "o'hara/x@localhost", "böb@bar.example"] {
            let once = normalize(good).unwrap();
            assert_eq!(normalize(&once).as_deref(), Some(once.as_str()));
        }
    }

    #[test]
    fn look_alikes_are_seen() {
        assert!(has_mixed_scripts("bоb@bar.example"));
        assert!(!has_mixed_scripts("bob@bar.example"));
    }
}
