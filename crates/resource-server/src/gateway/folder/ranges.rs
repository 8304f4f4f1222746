//! Which part of a file a call asks for (RFC 9110 14.1.2, 14.2). What is not understood is ignored, what is longer than the
//! file ends with it, and whoever asks for several parts gets the whole. Called by `folder.rs`.

use http::{HeaderMap, Method, header};

/// What is sent of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Whole,
    /// From its first byte to its last one, both counted from zero.
    Part {
        first: u64,
        last: u64,
    },
    /// 416: all that was asked for is behind its end.
    Unsatisfiable,
}

/// One part that is asked for.
#[derive(Clone, Copy)]
enum Asked {
    From { first: u64, last: Option<u64> },
    Suffix(u64),
}

impl Range {
    /// Of a file of this length.
    pub(super) fn read(method: &Method, headers: &HeaderMap, length: u64) -> Self {
        let mut all = headers.get_all(header::RANGE).iter();
        let (first, second) = (all.next(), all.next());
        // RFC 9110 14.2: of GET alone
        let is_one = *method == Method::GET && second.is_none();
        let Some(parts) = first.filter(|_| is_one).and_then(|value| read_parts(value.to_str().ok()?)) else {
            return Self::Whole;
        };
        let mut satisfied = parts.iter().filter_map(|part| part.within(length));
        match (satisfied.next(), satisfied.next()) {
            (Some(part), None) => part,
            (Some(_), Some(_)) => Self::Whole,
            // nothing of an empty file can be named as a part of it
            (None, _) if length == 0 && parts.iter().any(|part| matches!(part, Asked::Suffix(1..))) => Self::Whole,
            (None, _) => Self::Unsatisfiable,
        }
    }
}

impl Asked {
    fn within(self, length: u64) -> Option<Range> {
        let end = length.checked_sub(1)?;
        match self {
            Self::From { first, last } if first <= end => Some(Range::Part { first, last: last.unwrap_or(end).min(end) }),
            Self::Suffix(count @ 1..) => Some(Range::Part { first: length.saturating_sub(count), last: end }),
            _ => None,
        }
    }
}

/// None: it is in another unit, or it does not read.
fn read_parts(text: &str) -> Option<Vec<Asked>> {
    let (unit, set) = text.trim().split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let parts = set.split(',').map(|part| part.trim_matches([' ', '\t'])).filter(|part| !part.is_empty());
    let parts: Vec<Asked> = parts.map(read_part).collect::<Option<_>>()?;
    (!parts.is_empty()).then_some(parts)
}

fn read_part(text: &str) -> Option<Asked> {
    let (first, last) = text.split_once('-')?;
    match (first, last) {
        ("", count) => read_number(count).map(Asked::Suffix),
        (first, "") => Some(Asked::From { first: read_number(first)?, last: None }),
        (first, last) => {
            let (first, last) = (read_number(first)?, read_number(last)?);
            (first <= last).then_some(Asked::From { first, last: Some(last) })
        }
    }
}

/// A number that is longer than numbers are here is behind the end of every file.
fn read_number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-4, with its class.
    #[test]
    fn c_4_forms_of_range_that_are_no_error_are_none() {
        let part = |first, last| Range::Part { first, last };
        let huge = "9".repeat(40);
        let cases = [
            ("bytes=0-4", part(0, 4)),
            ("bytes=5-", part(5, 19)),
            ("bytes=-5", part(15, 19)),
            ("bytes=-500", part(0, 19)),
            ("bytes=-20", part(0, 19)),
            ("bytes=10-500", part(10, 19)),
            ("bytes=19-19", part(19, 19)),
            ("Bytes=0-0", part(0, 0)),
            ("bytes= 0-4 ", part(0, 4)),
            ("bytes=0-4,", part(0, 4)),
            ("bytes=,,0-4", part(0, 4)),
            (&format!("bytes=3-{huge}"), part(3, 19)),
            (&format!("bytes=-{huge}"), part(0, 19)),
            ("bytes=0-1,100-", part(0, 1)),
            ("bytes=20-", Range::Unsatisfiable),
            ("bytes=20-30", Range::Unsatisfiable),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=100-,200-300", Range::Unsatisfiable),
            (&format!("bytes={huge}-"), Range::Unsatisfiable),
            ("bytes=0-1,3-4", Range::Whole),
            ("bytes=0-,0-,0-,0-", Range::Whole),
            ("bytes=4-0", Range::Whole),
            ("bytes=0-1,4-0", Range::Whole),
            ("bytes=", Range::Whole),
            ("bytes=,", Range::Whole),
            ("bytes=-", Range::Whole),
            ("bytes=a-b", Range::Whole),
            ("bytes=+1-2", Range::Whole),
            ("bytes=0x1-2", Range::Whole),
            ("bytes=1--2", Range::Whole),
            ("bytes 0-4", Range::Whole),
            ("bytes", Range::Whole),
            ("0-4", Range::Whole),
            ("items=0-4", Range::Whole),
            ("", Range::Whole),
        ];
        for (value, expected) in cases {
            let headers: HeaderMap = [(header::RANGE, value.parse().unwrap())].into_iter().collect();
            assert_eq!(Range::read(&Method::GET, &headers, 20), expected, "{value}");
            assert_eq!(Range::read(&Method::HEAD, &headers, 20), Range::Whole, "{value}");
        }
        let twice: HeaderMap = (0..2).map(|_| (header::RANGE, "bytes=0-1".parse().unwrap())).collect();
        assert_eq!(Range::read(&Method::GET, &twice, 20), Range::Whole);
        assert_eq!(Range::read(&Method::GET, &HeaderMap::new(), 20), Range::Whole);
    }

    #[test]
    fn c_4_nothing_of_an_empty_file_is_a_part_of_it() {
        for (value, expected) in
            [("bytes=0-", Range::Unsatisfiable), ("bytes=-5", Range::Whole), ("bytes=-0", Range::Unsatisfiable)]
        {
            let headers: HeaderMap = [(header::RANGE, value.parse().unwrap())].into_iter().collect();
            assert_eq!(Range::read(&Method::GET, &headers, 0), expected, "{value}");
        }
    }
}
