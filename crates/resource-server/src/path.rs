//! One form of a path (threat 26): what is judged is what is forwarded, decoded once. Whatever two
//! readers could understand differently is refused.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;

/// What is written encoded in a segment when it is forwarded.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'/')
    .add(b'\\')
    .add(b';')
    .add(b'|')
    .add(b'^')
    .add(b'[')
    .add(b']');

/// A path in its one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CanonicalPath {
    segments: Vec<String>,
    ends_with_slash: bool,
    encoded: String,
}

impl CanonicalPath {
    /// One slash at the end is a path of its own. Refuses empty and dot segments, also such as others make of dots and spaces, encoded slashes, backslashes, NULs,
    /// semicolons, control characters, what is still encoded after decoding once, and text that is no UTF-8.
    pub(crate) fn parse(path: &str) -> Result<Self, ()> {
        let (rest, ends_with_slash) = split_slash(path).ok_or(())?;
        let (mut segments, mut encoded) = (Vec::new(), String::with_capacity(path.len()));
        for raw in rest.split('/').filter(|_| !rest.is_empty()) {
            let segment = segment(raw)?;
            encoded.push('/');
            encoded.extend(utf8_percent_encode(&segment, ENCODED));
            segments.push(segment.into_owned());
        }
        if ends_with_slash {
            encoded.push('/');
        }
        Ok(Self { segments, ends_with_slash, encoded })
    }

    /// That of a resource's own id, which is a path in plain text: nothing of it is encoded, and a percent sign is one. None: no path
    /// leads there.
    #[cfg(feature = "gateway")]
    pub(crate) fn of_id(id: &str) -> Option<Self> {
        let (rest, ends_with_slash) = split_slash(id).filter(|_| Self::can_be_id(id))?;
        let segments: Vec<String> = rest.split('/').filter(|_| !rest.is_empty()).map(str::to_owned).collect();
        let encoded: String = segments.iter().map(|segment| format!("/{}", utf8_percent_encode(segment, ENCODED))).collect();
        let slash = if ends_with_slash { "/" } else { "" };
        Some(Self { segments, ends_with_slash, encoded: format!("{encoded}{slash}") })
    }

    /// Whether some path leads to a resource of this id.
    #[cfg(feature = "gateway")]
    pub(crate) fn can_be_id(id: &str) -> bool {
        split_slash(id).is_some_and(|(rest, _)| rest.is_empty() || rest.split('/').all(is_name))
    }

    /// The same with a slash at its end.
    #[cfg(feature = "gateway")]
    pub(crate) fn with_slash(&self) -> Self {
        let slash = if self.ends_with_slash { "" } else { "/" };
        Self { ends_with_slash: true, encoded: format!("{}{slash}", self.encoded), ..self.clone() }
    }

    /// The same without it.
    #[cfg(feature = "gateway")]
    pub(crate) fn without_slash(&self) -> Self {
        match self.encoded.strip_suffix('/') {
            Some(encoded) if !encoded.is_empty() => Self { ends_with_slash: false, encoded: encoded.to_owned(), ..self.clone() },
            _ => self.clone(),
        }
    }

    /// What has this name in it; none: no path can lead there.
    #[cfg(feature = "gateway")]
    pub(crate) fn join(&self, name: &str) -> Option<Self> {
        let slash = if self.ends_with_slash { "" } else { "/" };
        let encoded = format!("{}{slash}{}", self.encoded, utf8_percent_encode(name, ENCODED));
        let segments = self.segments.iter().cloned().chain([name.to_owned()]).collect();
        is_name(name).then_some(Self { segments, ends_with_slash: false, encoded })
    }

    /// Whether it is this place or one below it, with a slash at the end or without.
    #[cfg(feature = "gateway")]
    pub(crate) fn is_within(&self, above: &Self) -> bool {
        self.segments.starts_with(&above.segments)
    }

    /// Whether it is below another place, at any depth.
    #[cfg(feature = "gateway")]
    pub(crate) fn is_strictly_within(&self, above: &Self) -> bool {
        self.is_within(above) && self.segments.len() > above.segments.len()
    }

    /// Any one name in it, by a text that no path has.
    #[cfg(feature = "gateway")]
    pub(crate) fn any_below(&self) -> Self {
        let above = self.with_slash();
        let segments = above.segments.iter().cloned().chain(["\0".to_owned()]).collect();
        Self { segments, ends_with_slash: false, encoded: format!("{}%00", above.encoded) }
    }

    /// Whether it names what is in a place rather than the place; `/` does.
    #[cfg(feature = "gateway")]
    pub(crate) fn ends_with_slash(&self) -> bool {
        self.ends_with_slash
    }

    /// Decoded segments.
    #[cfg(feature = "gateway")]
    pub(crate) fn segments(&self) -> &[String] {
        &self.segments
    }

    /// As it is forwarded.
    pub(crate) fn encoded(&self) -> &str {
        &self.encoded
    }
}

/// What stands between the first slash and a last one, and whether there is a last one; `/` is both.
pub(crate) fn split_slash(path: &str) -> Option<(&str, bool)> {
    let rest = path.strip_prefix('/')?;
    match rest.strip_suffix('/') {
        // `//` is an empty segment
        Some("") => None,
        Some(rest) => Some((rest, true)),
        None => Some((rest, rest.is_empty())),
    }
}

/// A segment, decoded once; an error where two readers could understand it differently.
pub(crate) fn segment(raw: &str) -> Result<Cow<'_, str>, ()> {
    let escapes = raw.split('%').skip(1).all(|after| {
        let mut digits = after.bytes();
        digits.next().is_some_and(|b| b.is_ascii_hexdigit()) && digits.next().is_some_and(|b| b.is_ascii_hexdigit())
    });
    let decoded = percent_decode_str(raw).decode_utf8().map_err(|_| ())?;
    if escapes && is_name(&decoded) { Ok(decoded) } else { Err(()) }
}

/// Whether a name can stand in a path: nobody who reads that path could understand another one.
pub(crate) fn is_name(name: &str) -> bool {
    let is_ambiguous = |c: char| c.is_control() || matches!(c, '/' | '\\' | ';');
    !name.chars().all(is_dot_or_space) && !name.chars().any(is_ambiguous) && !has_escape(name)
}

/// Whether somebody who decodes once more would find another name in it: `%2e`, and `%u002e` as some write it. A percent sign
/// before anything else is a percent sign.
fn has_escape(name: &str) -> bool {
    name.split('%').skip(1).any(|after| {
        let is_hex = |text: &str, digits: usize| text.bytes().take_while(u8::is_ascii_hexdigit).take(digits).count() == digits;
        is_hex(after, 2) || after.strip_prefix(['u', 'U']).is_some_and(|code| is_hex(code, 4))
    })
}

/// What some file systems leave out at the end of a name, and what normalising makes a dot.
fn is_dot_or_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '.' | '\u{2024}' | '\u{2025}' | '\u{2026}' | '\u{fe52}' | '\u{ff0e}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threat 26.
    #[test]
    fn threat_26_ambiguous_paths_are_refused() {
        for bad in [
            "/albums/../secret",
            "/albums/%2e%2e/secret",
            "/albums/%2E./x",
            "/albums//x",
            "/albums/x%2fy",
            "/albums/x%5cy",
            "/albums/x\\y",
            "/albums;v=1/x",
            "/albums/x%3b",
            "/albums/%00",
            "/albums/%252e%252e/x",
            "/albums/%zz",
            "/albums/%2",
            "/albums/x//",
            "//",
            "///",
            "//albums",
            "/albums/%2f",
            "/albums/./",
            "/albums/%2e%2e/",
            "albums",
            "albums/",
            "",
            "/albums/%ff",
            "/./x",
            "/albums/.%20/x",
            "/albums/..%20/x",
            "/albums/%20../x",
            "/albums/.../x",
            "/albums/%20/x",
            "/albums/%EF%BC%8E%EF%BC%8E/x",
            "/albums/%E2%80%A5/x",
            "/albums/%25%32%65%25%32%65/x",
            "/albums/5%25de",
            "/albums/%25u002e%25u002e/x",
        ] {
            assert!(CanonicalPath::parse(bad).is_err(), "{bad}");
        }
        let path = CanonicalPath::parse("/albums/Caf%C3%A9%20noir/1.jpg").unwrap();
        assert_eq!(path.segments(), ["albums", "Café noir", "1.jpg"]);
        assert_eq!(path.encoded(), "/albums/Caf%C3%A9%20noir/1.jpg");
        for good in [
            "/albums/x.",
            "/albums/..x",
            "/albums/x%20y.jpg",
            "/albums/well%E2%80%A6.jpg",
            "/albums/50%25%20off.jpg",
            "/albums/100%25",
            "/albums/%25",
            "/albums/%25ugly",
        ] {
            assert!(CanonicalPath::parse(good).is_ok(), "{good}");
        }
        assert_eq!(CanonicalPath::parse("/%61lbums").unwrap().encoded(), "/albums");
        let root = CanonicalPath::parse("/").unwrap();
        assert!(root.segments().is_empty() && root.ends_with_slash() && root.encoded() == "/");
        let (with, without) = (CanonicalPath::parse("/albums/x/").unwrap(), CanonicalPath::parse("/albums/x").unwrap());
        assert_eq!((with.encoded(), with.segments()), ("/albums/x/", without.segments()));
        assert_ne!(with, without, "a slash at the end is a path of its own");
        assert_eq!(without.with_slash(), with);
    }

    /// An id is made of decoded names: it is no path that is still to be decoded.
    #[cfg(feature = "gateway")]
    #[test]
    fn c_6_an_own_id_leads_to_the_path_that_made_it() {
        for path in ["/50%25%20off", "/100%25/x", "/%25zz/", "/Caf%C3%A9%20noir/1.jpg", "/a%23b%3Fc", "/"] {
            let path = CanonicalPath::parse(path).unwrap();
            let id = format!(
                "/{}{}",
                path.segments().join("/"),
                if path.ends_with_slash() && path.encoded() != "/" { "/" } else { "" }
            );
            assert_eq!(CanonicalPath::of_id(&id).as_ref(), Some(&path), "{id}");
        }
        for bad in ["", "albums", "//", "/a//b", "/../x", "/%2e%2e/x", "/a\\b", "/a;b", "/x\0"] {
            assert_eq!(CanonicalPath::of_id(bad), None, "{bad}");
        }
    }
}
