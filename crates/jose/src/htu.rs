//! The `htu` of a DPoP proof beside the URL that was called (RFC 9449 4.3): two spellings are one URL where RFC 3986 6.2.2
//! and 6.2.3 say so, and no others. Called by [`crate::dpop::check`], so that every checker compares alike.

/// Whether both are one URL. Query and fragment count for neither.
pub(crate) fn is_same(htu: &str, called: &str) -> bool {
    htu == called || normalize(htu) == normalize(called)
}

/// Scheme and host in lower case, no port that is the scheme's own, `%` only where it must be and in capitals, no dot
/// segments, and at least a slash as path.
fn normalize(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or(url);
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let scheme = scheme.to_ascii_lowercase();
    // what stands before an `@` is no host, and keeps its letters
    let (user, host) = authority.rfind('@').map_or(("", authority), |at| authority.split_at(at.saturating_add(1)));
    let host = without_default_port(&scheme, &unescaped(host).to_ascii_lowercase()).to_owned();
    format!("{scheme}://{user}{host}{}", without_dots(&unescaped(path)))
}

/// RFC 3986 6.2.3.
fn without_default_port<'a>(scheme: &str, host: &'a str) -> &'a str {
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return host,
    };
    host.strip_suffix(default).or_else(|| host.strip_suffix(':')).unwrap_or(host)
}

/// RFC 3986 6.2.2.1 and 6.2.2.2: what needs no escape has none, and the others are written in capitals.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).map(char::from) {
            Some(plain) if plain.is_ascii_alphanumeric() || matches!(plain, '-' | '.' | '_' | '~') => {
                out.push(plain);
                out.push_str(part.get(2..).unwrap_or_default());
            }
            Some(_) => {
                out.push('%');
                out.push_str(&part.get(..2).unwrap_or_default().to_ascii_uppercase());
                out.push_str(part.get(2..).unwrap_or_default());
            }
            // no escape at all: it is equal to itself alone
            None => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    out
}

/// RFC 3986 5.2.4, for a path that is empty or begins with a slash.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_slash = path.is_empty();
    for segment in path.split('/').skip(1) {
        ends_in_slash = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    if ends_in_slash {
        kept.push("");
    }
    kept.iter().map(|segment| format!("/{segment}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3986 6.2.2 and 6.2.3.
    #[test]
    fn c07_spellings_of_one_url_are_one() {
        let called = "https://rs.example/albums/IMG%20%281%29.jpg";
        for same in [
            "https://rs.example/albums/IMG%20%281%29.jpg",
            "HTTPS://RS.Example/albums/IMG%20%281%29.jpg",
            "https://rs.example:443/albums/IMG%20%281%29.jpg",
            "https://rs.example:/albums/IMG%20%281%29.jpg",
            "https://rs.example/albums/%49MG%20%281%29%2Ejpg",
            "https://rs.example/x/../albums/./IMG%20%281%29.jpg?size=1#top",
        ] {
            assert!(is_same(same, called), "{same}");
        }
        assert!(is_same("http://as.example", "http://as.example/"));
        assert!(is_same("http://as.example:80/%7ebob/%c3%a9", "http://AS.example/~bob/%C3%A9"));
        assert!(is_same("http://[2001:DB8::1]:80/", "http://[2001:db8::1]/"));
        assert!(is_same("https://as.example/a/b/..", "https://as.example/a/"));
    }

    #[test]
    fn c07_other_urls_stay_others() {
        let called = "https://rs.example/albums/a%2Fb/(1).jpg";
        for other in [
            "https://rs.example/albums/a/b/(1).jpg",
            "https://rs.example/albums/a%2Fb/%281%29.jpg",
            "https://rs.example/albums/a%252Fb/(1).jpg",
            "https://rs.example/Albums/a%2Fb/(1).jpg",
            "https://rs.example/albums/a%2Fb/(1).jpg/",
            "https://rs.example//albums/a%2Fb/(1).jpg",
            "http://rs.example/albums/a%2Fb/(1).jpg",
            "https://rs.example:80/albums/a%2Fb/(1).jpg",
            "https://rs.example:8443/albums/a%2Fb/(1).jpg",
            "https://bob@rs.example/albums/a%2Fb/(1).jpg",
            "https://rs.example.evil.example/albums/a%2Fb/(1).jpg",
            "https://rs.example\\albums/a%2Fb/(1).jpg",
            "//rs.example/albums/a%2Fb/(1).jpg",
            "/albums/a%2Fb/(1).jpg",
            "",
        ] {
            assert!(!is_same(other, called), "{other}");
        }
        assert!(!is_same("https://as.example/%zz", "https://as.example/%ZZ"), "what is no escape is not folded");
    }
}
