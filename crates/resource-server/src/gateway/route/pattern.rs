//! Patterns of paths (`browser.md`, *Routes*): `/albums/{album}/{photo}`, `/files/{rest..}`. A name in braces is one segment;
//! `{rest..}`, at the end, is whatever follows, nothing too: `/files/{rest..}` is `/files/` and all below, and not `/files`.
//! A slash at the end is a path of its own.

use crate::path::{CanonicalPath, segment, split_slash};
use std::collections::BTreeSet;
use std::fmt;
use types::spelling::likeness;

/// Any name, in a [`Filled`] pattern of ids: NUL is in none.
pub(crate) const ANY: &str = "\0";
/// Anything that follows, in the same, at the end.
pub(crate) const ANY_REST: &str = "\0\0";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal {
        text: String,
        /// What some service may take for it, in one form ([`likeness`]).
        likeness: String,
    },
    Name(String),
}

const UNREADABLE: &str = "a segment is a name in braces, `{rest..}` at the end, or text that can be read in one way";

impl Part {
    /// Whether some service may take a segment of this likeness for it.
    fn is_like(&self, segment: &str) -> bool {
        match self {
            Self::Name(_) => true,
            Self::Literal { likeness, .. } => likeness == segment,
        }
    }

    /// Whether it is this very text.
    fn is(&self, segment: &str) -> bool {
        matches!(self, Self::Literal { text, .. } if text == segment)
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            return Ok(Self::Name(name.to_owned()));
        }
        if text.contains('*') {
            return Err("`*` stands for nothing: write `{name}` for one segment, `{rest..}` for all that follows");
        }
        let text = segment(text).map_err(|()| UNREADABLE)?.into_owned();
        match text.contains(['{', '}']) {
            true => Err(UNREADABLE),
            false => Ok(Self::Literal { likeness: likeness(&text), text }),
        }
    }
}

/// A pattern of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
    rest: Option<String>,
    ends_with_slash: bool,
}

/// As what a path is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling<'a> {
    AsItIs,
    /// With a slash at its end where it has none, and without the one that it has: many services show the same.
    SlashTurned,
    /// In other letters that some services take for these, by the likenesses of its segments, with or without a slash at its end.
    OtherLetters(&'a [String]),
}

/// What stands for each name of a pattern in a path; of what follows, its segments, without a slash at the end.
pub(crate) struct Values<'a>(Vec<(&'a str, &'a [String])>);

impl<'a> Values<'a> {
    fn get(&self, name: &str) -> Option<&'a [String]> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }

    /// Of a name that is one segment.
    pub(crate) fn segment(&self, name: &str) -> Option<&'a String> {
        self.get(name)?.first()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pattern {
    /// # Errors
    /// Says what cannot be read, and how it is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("`{text}`: {what}");
        let (written, ends_with_slash) = split_slash(text).ok_or("a path begins with one slash")?;
        let (before, last) = written.rsplit_once('/').map_or(("", written), |(before, last)| (before, last));
        let rest = last.strip_prefix('{').and_then(|last| last.strip_suffix("..}")).map(str::to_owned);
        if before.contains("..}") || rest.is_some() && ends_with_slash {
            return Err(wrong("`{rest..}` stands at the end"));
        }
        let written = if rest.is_some() { before } else { written };
        let parts = written.split('/').filter(|_| !written.is_empty()).map(Part::parse);
        let parts = parts.collect::<Result<_, _>>().map_err(wrong)?;
        let pattern = Self { text: text.to_owned(), parts, rest, ends_with_slash };
        pattern.check_names().map_err(wrong)?;
        Ok(pattern)
    }

    fn check_names(&self) -> Result<(), &'static str> {
        let mut known = BTreeSet::new();
        for name in self.names() {
            if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) {
                return Err("a name in braces is of letters, digits, `_` and `-`; `{rest..}` is all that follows");
            }
            if !known.insert(name) {
                return Err("one name stands there twice");
            }
        }
        Ok(())
    }

    /// The names in it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let named = self.parts.iter().filter_map(|part| if let Part::Name(name) = part { Some(name.as_str()) } else { None });
        named.chain(self.rest.as_deref())
    }

    /// Whether what follows has this name.
    pub(crate) fn is_rest(&self, name: &str) -> bool {
        self.rest.as_deref() == Some(name)
    }

    /// What stands for its names in a path, or in one that a service may take for it; none: it is a pattern of others.
    pub(crate) fn fit<'a>(&'a self, path: &'a CanonicalPath, spelling: Spelling<'_>) -> Option<Values<'a>> {
        let (segments, count) = (path.segments(), self.parts.len());
        let has_slash = |wanted: bool| match spelling {
            Spelling::AsItIs => path.ends_with_slash() == wanted,
            Spelling::SlashTurned => !segments.is_empty() && path.ends_with_slash() != wanted,
            Spelling::OtherLetters(_) => true,
        };
        let is_long_enough = match (&self.rest, segments.len()) {
            (None, length) => length == count && has_slash(self.ends_with_slash),
            (Some(_), length) => length > count || length == count && has_slash(true),
        };
        let begins = || match spelling {
            // in the very same letters, it is another question
            Spelling::OtherLetters(likenesses) => self.begins_like(likenesses) && !self.begins(segments),
            Spelling::AsItIs | Spelling::SlashTurned => self.begins(segments),
        };
        if !is_long_enough || !begins() {
            return None;
        }
        let mut values = self.values_in(segments);
        if let Some(rest) = &self.rest {
            values.0.push((rest, segments.get(count..).unwrap_or_default()));
        }
        Some(values)
    }

    /// Whether these segments begin as it does, as far as both go.
    fn begins(&self, segments: &[String]) -> bool {
        self.parts.iter().zip(segments).all(|(part, segment)| matches!(part, Part::Name(_)) || part.is(segment))
    }

    /// The same of what some service may take for these, by their likenesses.
    fn begins_like(&self, likenesses: &[String]) -> bool {
        self.parts.iter().zip(likenesses).all(|(part, likeness)| part.is_like(likeness))
    }

    /// What stands for its names, as far as these segments go.
    fn values_in<'a>(&'a self, segments: &'a [String]) -> Values<'a> {
        let each = self.parts.iter().zip(segments.chunks(1));
        let named =
            each.filter_map(|(part, segment)| if let Part::Name(name) = part { Some((name.as_str(), segment)) } else { None });
        Values(named.collect())
    }

    /// What is below a path, and still of this pattern: what stands for the names as far as the path says it. None: nothing is,
    /// in whatever letters the path is written that some service takes for those of the pattern (threat 26).
    pub(crate) fn fit_below<'a>(&'a self, path: &'a CanonicalPath) -> Option<Values<'a>> {
        let segments = path.segments();
        if !self.begins_like(&likenesses_of(path)) {
            return None;
        }
        let mut values = self.values_in(segments);
        match &self.rest {
            None if self.parts.len() > segments.len() => Some(values),
            // with the slash and without it, a service shows the same
            None if self.parts.len() == segments.len() && self.ends_with_slash != path.ends_with_slash() => Some(values),
            None => None,
            Some(rest) => {
                values.0.extend(segments.get(self.parts.len()..).map(|begun| (rest.as_str(), begun)));
                Some(values)
            }
        }
    }

    /// The path that it makes of these values.
    pub(crate) fn fill(&self, values: &Values<'_>) -> String {
        let mut filled = self.fill_names(|name| values.segment(name).map(String::as_str));
        if let Some(rest) = &self.rest {
            for segment in values.get(rest).unwrap_or_default() {
                filled.push('/');
                filled.push_str(segment);
            }
        }
        self.finish(filled)
    }

    /// The same where a path says only some of the values: with [`ANY`] and [`ANY_REST`] for the others.
    pub(crate) fn fill_below(&self, values: &Values<'_>) -> String {
        let mut filled = self.fill_names(|name| Some(values.segment(name).map_or(ANY, String::as_str)));
        if let Some(rest) = &self.rest {
            for segment in values.get(rest).unwrap_or_default() {
                filled.push('/');
                filled.push_str(segment);
            }
            filled.push('/');
            filled.push_str(ANY_REST);
        }
        self.finish(filled)
    }

    fn fill_names<'v>(&self, value_of: impl Fn(&str) -> Option<&'v str>) -> String {
        let mut filled = String::new();
        for part in &self.parts {
            filled.push('/');
            filled.push_str(match part {
                Part::Literal { text, .. } => text,
                Part::Name(name) => value_of(name).unwrap_or_default(),
            });
        }
        filled
    }

    fn finish(&self, mut filled: String) -> String {
        if filled.is_empty() || self.ends_with_slash && !filled.ends_with('/') {
            filled.push('/');
        }
        filled
    }

    /// The one id that it makes, where nothing in it is a name.
    pub(crate) fn only_id(&self) -> Option<String> {
        self.names().next().is_none().then(|| self.fill(&Values(Vec::new())))
    }

    /// Whether it made an id. An id of what follows is written without a slash at its end.
    pub(crate) fn makes(&self, id: &str) -> bool {
        let Some((written, ends_with_slash)) = split_slash(id) else { return false };
        let mut segments = written.split('/').filter(|_| !written.is_empty());
        let fits = |part: &Part| segments.next().is_some_and(|segment| matches!(part, Part::Name(_)) || part.is(segment));
        let begins = self.parts.iter().all(fits);
        begins
            && match &self.rest {
                Some(_) => written.is_empty() || !ends_with_slash,
                None => segments.next().is_none() && ends_with_slash == self.ends_with_slash,
            }
    }

    /// What stands for its names in an id that it made.
    pub(crate) fn values_of_id<'a>(&'a self, id: &'a CanonicalPath) -> Values<'a> {
        self.values_in(id.segments())
    }

    /// Whether a slash at the end makes another path for it.
    pub(crate) fn has_slash_to_turn(&self) -> bool {
        self.rest.is_some() || self.ends_with_slash && !self.parts.is_empty()
    }

    /// Whether it is written for the very place of another pattern, with its slash turned.
    pub(crate) fn names_place_of(&self, other: &Self) -> bool {
        self.rest.is_none() && self.parts == other.parts
    }

    /// Whether it says more of a path that is of both, up to a slash at the end: has a text where the other has a name, or goes on.
    pub(crate) fn is_more_particular_than(&self, other: &Self) -> bool {
        let is_literal = |part: &Part| matches!(part, Part::Literal { .. });
        let each = self.parts.iter().zip(&other.parts).map(|(own, others)| (is_literal(own), is_literal(others)));
        match each.into_iter().find(|(own, others)| own != others) {
            Some((own, _)) => own,
            None => self.parts.len() > other.parts.len(),
        }
    }

    /// Whether every path of another pattern is one of this, too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let is_covered = |(own, others): (&Part, &Part)| matches!(own, Part::Name(_)) || own == others;
        if other.parts.len() < self.parts.len() || !self.parts.iter().zip(&other.parts).all(is_covered) {
            return false;
        }
        let is_longer = other.parts.len() > self.parts.len();
        match &self.rest {
            Some(_) => is_longer || other.rest.is_some() || other.ends_with_slash,
            None => !is_longer && other.rest.is_none() && other.ends_with_slash == self.ends_with_slash,
        }
    }
}

/// What the segments of a path have in common with all that some service takes for them.
pub(crate) fn likenesses_of(path: &CanonicalPath) -> Vec<String> {
    path.segments().iter().map(|segment| likeness(segment)).collect()
}

/// Whether an id is one of those that [`Pattern::fill_below`] wrote.
pub(crate) fn is_made_by(filled: &str, id: &str) -> bool {
    let (mut parts, mut names) = (filled.split('/'), id.split('/'));
    loop {
        match (parts.next(), names.next()) {
            (Some(ANY_REST), _) | (None, None) => return true,
            (Some(part), Some(name)) if part == name || part == ANY && !name.is_empty() => {}
            _ => return false,
        }
    }
}
