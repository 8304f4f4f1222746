//! What a browser brings along with a form, and how much of it is believed (threat 42): cookies that belong to one host, and
//! the origin that a form came from. Pure rules, shared by every party that has pages; the form token itself is the
//! party's, over its session and its form cookie.

/// A cookie came twice: somebody else may have set one of the two, and nobody can tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("your browser sent two cookies of one name: delete the cookies of this site, then load the page again")]
pub struct DoubledCookie;

/// How one place names its cookies, and sets them.
///
/// Over https the names begin with `__Host-`, so that neither a neighbour's host name nor a connection without TLS can set
/// them (RFC 6265bis 4.1.3.2). Such a cookie is for the whole host, so a place below a path says its path in the name
/// instead: two places of one host do not overwrite each other's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookies {
    secure: bool,
    /// The path of the place, as letters of a name; empty at the root.
    suffix: String,
    path: String,
}

impl Cookies {
    /// Those of the place at this URL.
    pub fn of(url: &str) -> Self {
        let secure = url.starts_with("https://");
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default().trim_end_matches('/');
        let suffix = path.bytes().map(letter_of).collect();
        let path = if secure || path.is_empty() { "/" } else { path };
        Self { secure, suffix, path: path.to_owned() }
    }

    /// The name by which browsers know it.
    pub fn name(&self, name: &str) -> String {
        let prefix = if self.secure { "__Host-" } else { "" };
        format!("{prefix}{name}{}", self.suffix)
    }

    /// The cookie of this name among the `Cookie` lines of a request.
    pub fn find<'a>(&self, lines: impl IntoIterator<Item = &'a [u8]>, name: &str) -> Result<Option<&'a str>, DoubledCookie> {
        let full = self.name(name);
        let pairs = lines.into_iter().flat_map(|line| line.split(|byte| *byte == b';'));
        let mut own = pairs.filter_map(|pair| value_of(pair.trim_ascii(), full.as_bytes()));
        match (own.next(), own.next()) {
            (one, None) => Ok(one.and_then(|value| std::str::from_utf8(value).ok())),
            _ => Err(DoubledCookie),
        }
    }

    /// The text of a `Set-Cookie` line. Scripts do not see it, and other sites' forms and frames do not bring it.
    pub fn set(&self, name: &str, value: &str, max_age_seconds: i64) -> String {
        let (name, path) = (self.name(name), &self.path);
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{name}={value}; Path={path}; HttpOnly; SameSite=Lax; Max-Age={max_age_seconds}{secure}")
    }
}

/// Letters and digits stand for themselves, and all else for its number: no two paths are one suffix.
fn letter_of(byte: u8) -> String {
    match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("_{byte:02x}"),
    }
}

fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = pair.strip_prefix(name)?.trim_ascii_start();
    rest.strip_prefix(b"=").map(<[u8]>::trim_ascii)
}

/// Whether a form may have come from a page of `origin` (scheme, host and port, as browsers write it), by the values of its
/// `Origin` and `Sec-Fetch-Site` lines. A browser that says nothing may; `null` is nobody's origin, so that our own pages must
/// not have the referrer policy `no-referrer`, under which browsers say `null` of them (Fetch, "append a request Origin header").
pub fn is_own_form<'a>(
    origin: &str,
    origins: impl IntoIterator<Item = &'a [u8]>,
    sites: impl IntoIterator<Item = &'a [u8]>,
) -> bool {
    let own_origin = origins.into_iter().enumerate().all(|(n, value)| n == 0 && value == origin.as_bytes());
    own_origin && !is_led_from_elsewhere(sites)
}

/// Whether a page of another site made the browser come, by the values of its `Sec-Fetch-Site` lines. A browser that says nothing
/// may have come by itself.
pub fn is_led_from_elsewhere<'a>(sites: impl IntoIterator<Item = &'a [u8]>) -> bool {
    // `none`: she typed the address, or sends her own form again
    !sites.into_iter().enumerate().all(|(n, value)| n == 0 && matches!(value, b"same-origin" | b"none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_42_s10_cookies_belong_to_one_host_and_one_place() {
        let secure = Cookies::of("https://as.example");
        assert_eq!(secure.name("wl_session"), "__Host-wl_session");
        assert_eq!(secure.set("wl_session", "x", 9), "__Host-wl_session=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=9; Secure");
        let below = Cookies::of("https://as.example/one/");
        assert_eq!(below.set("a", "x", 9), "__Host-a_2fone=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=9; Secure");
        let loopback = Cookies::of("http://127.0.0.1:8080");
        assert_eq!(loopback.set("wl_session", "x", 9), "wl_session=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=9");
        let names: std::collections::BTreeSet<_> = ["", "/a/b", "/a_b", "/a_2fb", "/ab", "/a.b", "/A/b"]
            .map(|path| Cookies::of(&format!("https://as.example{path}")).name("s"))
            .into();
        assert_eq!(names.len(), 7, "{names:?}");
    }

    #[test]
    fn threat_42_s10_a_cookie_that_came_twice_is_none() {
        let cookies = Cookies::of("https://as.example");
        let find = |lines: &[&str]| cookies.find(lines.iter().map(|line| line.as_bytes()), "s").map(|v| v.map(str::to_owned));
        assert_eq!(find(&["a=1; __Host-s=x; b=2"]), Ok(Some("x".into())));
        assert_eq!(find(&["s=x", "__host-s=x", "__Host-s2=x", "x__Host-s=x", "__Host-s"]), Ok(None));
        for doubled in [&["__Host-s=x; __Host-s=y"][..], &["__Host-s=x", "__Host-s=x"], &["__Host-s =x;__Host-s=y"]] {
            assert_eq!(find(doubled), Err(DoubledCookie), "{doubled:?}");
        }
    }

    #[test]
    fn threat_42_s10_forms_of_other_origins_are_not_ours() {
        let own = |origins: &[&str], sites: &[&str]| {
            is_own_form("https://as.example", origins.iter().map(|o| o.as_bytes()), sites.iter().map(|s| s.as_bytes()))
        };
        assert!(own(&[], &[]) && own(&["https://as.example"], &["same-origin"]) && own(&[], &["none"]));
        for origin in
            ["null", "", "http://as.example", "https://as.example:444", "https://as.example.evil.example", "https://AS.example"]
        {
            assert!(!own(&[origin], &["same-origin"]), "{origin}");
        }
        for site in ["cross-site", "same-site", "", "unheard-of"] {
            assert!(!own(&["https://as.example"], &[site]), "{site}");
        }
        assert!(!own(&["https://as.example", "https://as.example"], &[]));
        assert!(!own(&["https://as.example"], &["same-origin", "same-origin"]));
    }
}
