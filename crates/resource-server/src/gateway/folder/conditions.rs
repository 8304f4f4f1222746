//! Conditions of a call to a file (RFC 9110 13), by entity-tag and by date, in the order of its 13.2.2. They are judged before
//! anything is done, and once more at the moment in which a file takes its place, is moved or goes: of two who write upon what
//! they both read, the second is told. Called by `folder.rs`.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use std::time::UNIX_EPOCH;

/// What is there now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current<'a> {
    /// Its entity-tag, in quotes; it is never a weak one.
    pub(super) tag: &'a str,
    /// When it changed, in seconds since 1970.
    pub(super) modified_seconds: i64,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Perform,
    /// 304: the caller has it.
    NotModified,
    /// 412.
    Failed,
}

/// Whether the caller of a GET has what has this entity-tag.
pub(in crate::gateway) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    // there is no date by which to know it
    let none_match = headers.get_all(header::IF_NONE_MATCH).iter().map(|value| (header::IF_NONE_MATCH, value.clone()));
    let conditions = Conditions::read(&Method::GET, &none_match.collect());
    let current = Current { tag, modified_seconds: i64::MAX };
    conditions.is_some_and(|conditions| conditions.judge(Some(current)) == Verdict::NotModified)
}

/// Entity-tags of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`
    Any,
    Listed(Vec<Tag>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    is_weak: bool,
    /// With its quotes.
    opaque: String,
}

impl Tags {
    /// Strong comparison (RFC 9110 8.8.3.2).
    fn has_strong(&self, current: Option<Current<'_>>) -> bool {
        self.has(current, |tag| !tag.is_weak)
    }

    /// Weak comparison.
    fn has_weak(&self, current: Option<Current<'_>>) -> bool {
        self.has(current, |_| true)
    }

    fn has(&self, current: Option<Current<'_>>, counts: impl Fn(&Tag) -> bool) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Listed(tags), Some(current)) => tags.iter().any(|tag| counts(tag) && tag.opaque == current.tag),
        }
    }
}

/// Conditions of one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    reads: bool,
    if_match: Option<Tags>,
    if_unmodified_since: Option<i64>,
    if_none_match: Option<Tags>,
    if_modified_since: Option<i64>,
}

impl Conditions {
    /// Reads the fields of a call. None: an `If-None-Match` that cannot be read stands before something that would be changed.
    /// What does not read elsewhere matches nothing, or is passed over as RFC 9110 13.1.3 and 13.1.4 say of dates.
    pub(super) fn read(method: &Method, headers: &HeaderMap) -> Option<Self> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let tags = |name: &HeaderName| {
            let all: Vec<_> = headers.get_all(name).iter().collect();
            (!all.is_empty()).then(|| read_tags(&all))
        };
        let if_none_match = match tags(&header::IF_NONE_MATCH) {
            Some(None) if !reads => return None,
            read => read.flatten(),
        };
        let unreadable = || Tags::Listed(Vec::new());
        Some(Self {
            reads,
            if_match: tags(&header::IF_MATCH).map(|read| read.unwrap_or_else(unreadable)),
            if_unmodified_since: read_one_date(headers, &header::IF_UNMODIFIED_SINCE),
            if_none_match,
            // 13.1.3: passed over where there is `If-None-Match`, and for methods that do not read
            if_modified_since: read_one_date(headers, &header::IF_MODIFIED_SINCE)
                .filter(|_| reads && !headers.contains_key(header::IF_NONE_MATCH)),
        })
    }

    /// RFC 9110 13.2.2, steps 1 to 4. `current`: what is there, if anything.
    pub(super) fn judge(&self, current: Option<Current<'_>>) -> Verdict {
        let is_held = match (&self.if_match, self.if_unmodified_since, current) {
            (Some(tags), _, _) => tags.has_strong(current),
            (None, Some(since), Some(current)) => current.modified_seconds <= since,
            // 13.1.4: of what is not there no date is known
            (None, _, _) => true,
        };
        if !is_held {
            return Verdict::Failed;
        }
        match (&self.if_none_match, self.if_modified_since, current) {
            (Some(tags), _, _) if tags.has_weak(current) && self.reads => Verdict::NotModified,
            (Some(tags), _, _) if tags.has_weak(current) => Verdict::Failed,
            (None, Some(since), Some(current)) if current.modified_seconds <= since => Verdict::NotModified,
            _ => Verdict::Perform,
        }
    }
}

/// Step 5: whether `Range` counts. Without `If-Range` it does (RFC 9110 13.1.5).
pub(super) fn allows_range(headers: &HeaderMap, current: Current<'_>) -> bool {
    let mut all = headers.get_all(header::IF_RANGE).iter();
    match (all.next(), all.next()) {
        (None, _) => true,
        // a date is a weak validator here: a file may have changed twice within its second (8.8.2.2), and the whole is sent
        (Some(value), None) => match value.to_str().ok().and_then(read_tag) {
            Some((tag, "")) => !tag.is_weak && tag.opaque == current.tag,
            _ => false,
        },
        (Some(_), Some(_)) => false,
    }
}

/// All lines of a field as one list. None: it does not read.
fn read_tags(values: &[&HeaderValue]) -> Option<Tags> {
    let lines: Option<Vec<&str>> = values.iter().map(|value| value.to_str().ok()).collect();
    let line = lines?.join(",");
    if line.trim() == "*" {
        return Some(Tags::Any);
    }
    let (mut tags, mut rest) = (Vec::new(), line.as_str());
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (!tags.is_empty()).then_some(Tags::Listed(tags));
        }
        let (tag, after) = read_tag(rest)?;
        tags.push(tag);
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

/// An entity-tag and what follows it (RFC 9110 8.8.3).
fn read_tag(text: &str) -> Option<(Tag, &str)> {
    let (is_weak, quoted) = text.strip_prefix("W/").map_or((false, text), |quoted| (true, quoted));
    let inside = quoted.strip_prefix('"')?;
    let end = inside.find('"')?;
    let (opaque, after) = quoted.split_at_checked(end.checked_add(2)?)?;
    opaque.bytes().all(|byte| byte > b' ' && byte != 0x7f).then(|| (Tag { is_weak, opaque: opaque.to_owned() }, after))
}

fn read_one_date(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    let mut all = headers.get_all(name).iter();
    let first = all.next().filter(|_| all.next().is_none())?;
    read_date(first)
}

/// In any of the three forms of RFC 9110 5.6.7.
fn read_date(value: &HeaderValue) -> Option<i64> {
    let text = value.to_str().ok()?.trim();
    match httpdate::parse_http_date(text) {
        Ok(date) => i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok(),
        Err(_) => read_early_date(text),
    }
}

/// Before 1970: `Sun, 01 Jun 1969 00:00:00 GMT`. How long before changes nothing of what it is compared with.
fn read_early_date(text: &str) -> Option<i64> {
    let year: i64 = text.get(12..16)?.parse().ok()?;
    // read as the same day of a year that leap years have in common with it
    let later = format!("{}{}{}", text.get(..12)?, year.checked_add(400)?, text.get(16..)?);
    let date = httpdate::parse_http_date(&later).ok().filter(|_| (1601..1970).contains(&year))?;
    let seconds = i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    seconds.checked_sub(SECONDS_OF_400_YEARS)
}

/// The calendar repeats itself after so long.
const SECONDS_OF_400_YEARS: i64 = 146_097 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    const OF_FILE: Current<'static> = Current { tag: "\"v2\"", modified_seconds: 1_000_000_000 };
    const THEN: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
    const BEFORE: &str = "Sun, 09 Sep 2001 01:46:39 GMT";
    const LATER: &str = "Sunday, 09-Sep-01 01:46:41 GMT";

    fn headers(fields: &str) -> HeaderMap {
        let fields = fields.split(" | ").filter(|field| !field.is_empty()).map(|field| field.split_once(": ").unwrap());
        fields.map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
    }

    fn judge(method: &str, fields: &str, current: Option<Current<'_>>) -> Option<Verdict> {
        Conditions::read(&method.parse().unwrap(), &headers(fields)).map(|conditions| conditions.judge(current))
    }

    /// C-1 and C-2: each precondition for each kind of method, in the order of RFC 9110 13.2.2.
    #[test]
    fn c_1_c_2_conditions_are_judged_in_their_order() {
        use Verdict::{Failed, NotModified, Perform};
        let cases = [
            ("", Perform, Perform, Perform),
            ("If-Match: \"v2\"", Perform, Perform, Failed),
            ("If-Match: \"v1\"", Failed, Failed, Failed),
            ("If-Match: \"v1\", \"v2\"", Perform, Perform, Failed),
            ("If-Match: \"v1\" | If-Match: \"v2\"", Perform, Perform, Failed),
            ("If-Match: ,, \"v2\" ,", Perform, Perform, Failed),
            ("If-Match: W/\"v2\"", Failed, Failed, Failed),
            ("If-Match: *", Perform, Perform, Failed),
            ("If-Match: v2", Failed, Failed, Failed),
            ("If-Match: \"v2", Failed, Failed, Failed),
            ("If-Match: \"*\"", Failed, Failed, Failed),
            ("If-None-Match: \"v2\"", NotModified, Failed, Perform),
            ("If-None-Match: W/\"v2\"", NotModified, Failed, Perform),
            ("If-None-Match: \"v1\"", Perform, Perform, Perform),
            ("If-None-Match: \"a,b\", \"v2\"", NotModified, Failed, Perform),
            ("If-None-Match: *", NotModified, Failed, Perform),
            ("If-Match: \"v1\" | If-None-Match: \"v2\"", Failed, Failed, Failed),
            ("If-Match: \"v2\" | If-None-Match: \"v2\"", NotModified, Failed, Failed),
            (&format!("If-Unmodified-Since: {THEN}"), Perform, Perform, Perform),
            (&format!("If-Unmodified-Since: {LATER}"), Perform, Perform, Perform),
            (&format!("If-Unmodified-Since: {BEFORE}"), Failed, Failed, Perform),
            ("If-Unmodified-Since: Sun, 01 Jun 1969 00:00:00 GMT", Failed, Failed, Perform),
            ("If-Unmodified-Since: yesterday", Perform, Perform, Perform),
            (&format!("If-Match: \"v2\" | If-Unmodified-Since: {BEFORE}"), Perform, Perform, Failed),
            (&format!("If-Modified-Since: {THEN}"), NotModified, Perform, Perform),
            ("If-Modified-Since: Sun Sep  9 01:46:40 2001", NotModified, Perform, Perform),
            (&format!("If-Modified-Since: {LATER}"), NotModified, Perform, Perform),
            (&format!("If-Modified-Since: {BEFORE}"), Perform, Perform, Perform),
            ("If-Modified-Since: Sun, 01 Jun 1969 00:00:00 GMT", Perform, Perform, Perform),
            ("If-Modified-Since: 1000000000", Perform, Perform, Perform),
            (&format!("If-None-Match: \"v1\" | If-Modified-Since: {THEN}"), Perform, Perform, Perform),
            (&format!("If-None-Match: v1 | If-Modified-Since: {THEN}"), Perform, Perform, Perform),
        ];
        for (fields, reading, writing, of_nothing) in cases {
            let is_unreadable = fields.starts_with("If-None-Match: v1");
            for method in ["GET", "HEAD"] {
                assert_eq!(judge(method, fields, Some(OF_FILE)), Some(reading), "{method} {fields}");
            }
            for method in ["PUT", "DELETE", "MOVE", "COPY", "PROPPATCH", "LOCK"] {
                let expected = |verdict| (!is_unreadable).then_some(verdict);
                assert_eq!(judge(method, fields, Some(OF_FILE)), expected(writing), "{method} {fields}");
                assert_eq!(judge(method, fields, None), expected(of_nothing), "{method} {fields} of nothing");
            }
        }
    }

    /// C-1: a download goes on only in the same file.
    #[test]
    fn c_1_a_range_counts_only_for_the_file_that_it_was_begun_in() {
        for (fields, counts) in [
            ("", true),
            ("If-Range: \"v2\"", true),
            ("If-Range: \"v1\"", false),
            ("If-Range: W/\"v2\"", false),
            ("If-Range: v2", false),
            ("If-Range: \"v2\" x", false),
            (&format!("If-Range: {THEN}"), false),
            (&format!("If-Range: {BEFORE}"), false),
            (&format!("If-Range: {LATER}"), false),
            ("If-Range: never", false),
            ("If-Range: \"v2\" | If-Range: \"v2\"", false),
        ] {
            assert_eq!(allows_range(&headers(fields), OF_FILE), counts, "{fields}");
        }
    }

    #[test]
    fn c_5_dates_before_1970_are_dates() {
        let read = |text: &str| read_date(&HeaderValue::from_str(text).unwrap());
        assert_eq!(read("Wed, 31 Dec 1969 23:59:59 GMT"), Some(-1));
        assert_eq!(read("Sun, 01 Jun 1969 00:00:00 GMT"), Some(-18_489_600));
        assert_eq!(read("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        for bad in ["", "Sun, 01 Jun 0000 00:00:00 GMT", "Sun, 01 Foo 1969 00:00:00 GMT", "Sun, 01 Jun 1969", "é"] {
            assert_eq!(HeaderValue::from_str(bad).ok().and_then(|value| read_date(&value)), None, "{bad}");
        }
    }
}
