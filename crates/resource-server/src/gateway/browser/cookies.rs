//! Names of this gateway's cookies in a browser (`browser.md`, *Cookies*). Over https they begin with `__Host-`; on plain
//! loopback, where several gateways stand on one host and cookies do not tell ports apart, each has names of its own.

use jose::digest;
use std::fmt::Write as _;
use ui::{Cookies, DoubledCookie};

const SESSION: &str = "wl_session";
const VISIT: &str = "wl_visit";
/// Bytes of the hash that stand in a name, two letters each.
const HASH_BYTES: usize = 4;
/// Letters of a visit's id that stand in its cookie's name: each tab has one of its own.
const ID_LETTERS: usize = 8;

/// How one gateway calls its cookies.
pub(super) struct Names {
    cookies: Cookies,
    /// What tells it from others of its host; empty where the names do that by themselves.
    own: String,
}

impl Names {
    /// Those of the gateway whose identifier this is.
    pub(super) fn of(resource: &str) -> Self {
        if resource.starts_with("https://") {
            return Self { cookies: Cookies::of(resource), own: String::new() };
        }
        let hash = digest::sha256(&[resource.as_bytes()]);
        let own = hash.iter().take(HASH_BYTES).fold("_".to_owned(), |mut name, byte| {
            let _ = write!(name, "{byte:02x}");
            name
        });
        // for all of the host: its path is `/`
        Self { cookies: Cookies::of("http://loopback"), own }
    }

    fn session(&self) -> String {
        format!("{SESSION}{}", self.own)
    }

    fn visit(&self, id: &str) -> String {
        let letters: String = id.chars().filter(|letter| letter.is_ascii_alphanumeric()).take(ID_LETTERS).collect();
        format!("{VISIT}{}_{letters}", self.own)
    }

    /// The session that a browser brings.
    pub(super) fn find_session<'h>(&self, lines: impl Iterator<Item = &'h [u8]>) -> Result<Option<&'h str>, DoubledCookie> {
        self.cookies.find(lines, &self.session())
    }

    /// What it keeps of a visit.
    pub(super) fn find_visit<'h>(
        &self,
        lines: impl Iterator<Item = &'h [u8]>,
        id: &str,
    ) -> Result<Option<&'h str>, DoubledCookie> {
        self.cookies.find(lines, &self.visit(id))
    }

    pub(super) fn set_session(&self, value: &str, seconds: i64) -> String {
        self.cookies.set(&self.session(), value, seconds)
    }

    pub(super) fn set_visit(&self, id: &str, value: &str, seconds: i64) -> String {
        self.cookies.set(&self.visit(id), value, seconds)
    }

    /// `Set-Cookie` lines that end visits of this browser, the oldest first, so that `most` stay: a browser sends all of them
    /// with each call.
    pub(super) fn end_old_visits<'h>(&self, lines: impl Iterator<Item = &'h [u8]>, most: usize) -> Vec<String> {
        let beginning = self.cookies.name(&format!("{VISIT}{}_", self.own));
        let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
        let names = pairs.filter_map(|pair| std::str::from_utf8(pair.trim_ascii()).ok()?.split_once('=').map(|(name, _)| name));
        // a name is ours only as we would write it: nothing else of it goes into a field
        let is_ours =
            |name: &&str| name.starts_with(&beginning) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        // RFC 6265 5.4: those that were set first come first
        let all: Vec<&str> = names.filter(is_ours).collect();
        let secure = if self.own.is_empty() { "; Secure" } else { "" };
        let old = all.iter().take(all.len().saturating_sub(most));
        old.map(|name| format!("{name}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{secure}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_42_cookies_of_two_gateways_on_one_host_are_two() {
        let (one, other) = (Names::of("http://127.0.0.1:9000"), Names::of("http://127.0.0.1:9001"));
        let set = one.set_session("x", 9);
        assert!(set.starts_with("wl_session_") && set.ends_with("=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=9"), "{set}");
        assert_eq!(set.find('=').unwrap(), "wl_session_".len() + 8, "{set}");
        let cookie = set.split(';').next().unwrap();
        assert_eq!(one.find_session([cookie.as_bytes()].into_iter()), Ok(Some("x")));
        assert_eq!(other.find_session([cookie.as_bytes()].into_iter()), Ok(None));
        let secure = Names::of("https://photos.example").set_session("x", 9);
        assert_eq!(secure, "__Host-wl_session=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=9; Secure");
        let twice = format!("{cookie}; {cookie}");
        assert_eq!(one.find_session([twice.as_bytes()].into_iter()), Err(DoubledCookie));
    }

    #[test]
    fn a_browser_keeps_a_few_visits_and_the_oldest_go() {
        for (resource, secure) in [("http://127.0.0.1:9000", ""), ("https://photos.example", "; Secure")] {
            let names = Names::of(resource);
            let pairs: Vec<String> =
                (0..6).map(|n| names.set_visit(&format!("visit{n}xyz"), "v", 9).split(';').next().unwrap().to_owned()).collect();
            let line = format!("other=1; {}", pairs.join("; "));
            let ended = names.end_old_visits([line.as_bytes()].into_iter(), 4);
            let first = pairs[0].split('=').next().unwrap();
            assert_eq!(ended.len(), 2);
            assert_eq!(ended[0], format!("{first}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{secure}"));
            assert_eq!(names.find_visit([line.as_bytes()].into_iter(), "visit5xyz-more"), Ok(Some("v")));
        }
    }
}
