//! URLs and places to listen at, as a configuration has them. Of a value that does not fit nothing is said: it may be a password.

use url::Url;

/// Refuses what is no URL of HTTP, or says who calls.
pub(super) fn check_url(key: &str, text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| format!("{key}: it must be a URL, like https://photos.example"))?;
    match has_user(&url) {
        false => Ok(url),
        true => Err(format!("{key}: a URL with a user name or a password in it is no name of a place: leave them out")),
    }
}

/// Whether it says who calls.
pub(super) fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Refuses what is not in the one form in which everybody else compares it.
pub(super) fn check_form(key: &str, text: &str) -> Result<(), String> {
    let url = check_url(key, text)?;
    let one = url.as_str();
    if one == text || one.strip_suffix('/') == Some(text) || url.query().is_some() || url.fragment().is_some() {
        return Ok(());
    }
    Err(format!("{key}: write it as `{}`: in that form others compare it", one.trim_end_matches('/')))
}

/// Refuses where nobody can listen.
pub(super) fn check_listen(key: &str, text: &str) -> Result<(), String> {
    let fits = text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if fits { Ok(()) } else { Err(format!("{key}: it must be an address and a port, like 127.0.0.1:9000")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_written_in_the_form_in_which_others_compare_it() {
        for good in ["https://a.example", "https://a.example:8443/b", "http://127.0.0.1:1", "http://[::1]:80/x?y"] {
            assert_eq!(check_form("key", good), Ok(()), "{good}");
        }
        for (other, form) in [
            (" https://a.example", "https://a.example"),
            ("HTTPS://A.example", "https://a.example"),
            ("https://a.example:443", "https://a.example"),
            ("https://a.example/x/../y", "https://a.example/y"),
        ] {
            assert!(check_form("key", other).unwrap_err().contains(&format!("write it as `{form}`")), "{other}");
        }
        for bad in ["nonsense", "", "ftp://a.example", "https://user:s3cret@a.example", "https://s3cret@a.example"] {
            let said = check_url("key", bad).unwrap_err();
            assert!(said.starts_with("key: ") && !said.contains("s3cret"), "{bad}: {said}");
        }
        for (text, fits) in [
            ("127.0.0.1:0", true),
            ("localhost:80", true),
            ("[::1]:80", true),
            ("nonsense", false),
            ("h:99999", false),
            (":80", false),
        ] {
            assert_eq!(check_listen("key", text).is_ok(), fits, "{text}");
        }
    }
}
