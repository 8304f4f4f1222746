//! The one wording for dates and times on pages and in mails, in the time zone of whoever reads them as far as it is known.
//! Called by whoever writes a page for a person.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};
use types::Timestamp;

/// Longest name of a time zone.
const MAX_ZONE_BYTES: usize = 64;
const BEYOND: &str = "a time beyond the calendar";

/// Where a reader's days begin and end. Not known: as in Greenwich, and times say so.
#[derive(Clone, Debug, Default)]
pub struct Zone(Option<TimeZone>);

/// Name of the cookie in which a browser's script tells the zone of whoever reads a page.
pub const ZONE_COOKIE: &str = "wl_zone";

/// For whom a page says when: her zone, and now.
#[derive(Clone, Debug)]
pub struct Reader {
    pub zone: Zone,
    pub now: Timestamp,
}

impl Reader {
    /// See [`Zone::until`].
    pub fn until(&self, end: Timestamp) -> String {
        self.zone.until(end, self.now)
    }

    /// See [`Zone::moment`].
    pub fn moment(&self, time: Timestamp) -> String {
        self.zone.moment(time, self.now)
    }

    /// Today, as date fields write it.
    pub fn today(&self) -> String {
        self.zone.date(self.now)
    }

    /// The end of a date as date fields write it, if that is not over.
    pub fn end_of_date(&self, text: &str) -> Option<Timestamp> {
        self.zone.end_of_date(text).filter(|end| self.now < *end)
    }

    /// Until when, as it was chosen: `for` is `day`, `week`, `month`, `always` or `date`, with the date in `until`. Without `for`,
    /// or where she left it as it was, a date counts.
    pub fn chosen_end(&self, lasts: &str, until: &str) -> Result<Option<Timestamp>, &'static str> {
        let lasting = match (lasts, until) {
            ("", "") | ("always", "") => return Ok(None),
            ("date", "") => return Err("Write the last day, or choose how long."),
            ("", _) | ("always", _) | ("date", _) => {
                let end = self.zone.end_of_date(until).ok_or("Write the last day as a date, like 2030-12-31.")?;
                return if self.now < end { Ok(Some(end)) } else { Err("That day is over: choose today or a later one.") };
            }
            (_, typed) if !typed.is_empty() => return Err("Choose how long, or a date: not both."),
            ("day", _) => Lasting::Day,
            ("week", _) => Lasting::Week,
            ("month", _) => Lasting::Month,
            _ => return Err("Choose how long: a day, a week, a month, until you end it, or a date."),
        };
        self.zone.end_after(lasting, self.now).map(Some).ok_or("Choose a date.")
    }
}

/// How long something lasts, as people say it. It ends with a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    Day,
    Week,
    Month,
}

impl Zone {
    /// The zone of this name in the IANA database, as browsers know it. One that this machine does not know is not known.
    pub fn named(name: &str) -> Self {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
        if name.is_empty() || name.len() > MAX_ZONE_BYTES || !name.chars().all(is_name) {
            return Self::default();
        }
        Self(TimeZone::get(name).ok())
    }

    fn zone(&self) -> TimeZone {
        self.0.clone().unwrap_or(TimeZone::UTC)
    }

    fn at(&self, time: Timestamp) -> Option<Zoned> {
        jiff::Timestamp::from_second(time.0).ok().map(|time| time.to_zoned(self.zone()))
    }

    /// Until when something is possible: `until and including 5 December`, or to the minute where that ends no day. The year
    /// stands there where it is another than now's.
    pub fn until(&self, end: Timestamp, now: Timestamp) -> String {
        match self.at(end) {
            None => format!("until {BEYOND}"),
            Some(time) if time.time() == jiff::civil::Time::midnight() => {
                format!("until and including {}", self.day(end.plus(-1), now))
            }
            Some(_) => format!("until {}", self.moment(end, now)),
        }
    }

    /// A day: `5 December`.
    pub fn day(&self, time: Timestamp, now: Timestamp) -> String {
        let Some(time) = self.at(time) else { return BEYOND.to_owned() };
        let is_this_year = self.at(now).is_some_and(|now| now.year() == time.year());
        time.strftime(if is_this_year { "%-d %B" } else { "%-d %B %Y" }).to_string()
    }

    /// A moment: `5 December, 14:05`.
    pub fn moment(&self, time: Timestamp, now: Timestamp) -> String {
        let Some(at) = self.at(time) else { return BEYOND.to_owned() };
        let zone = if self.0.is_some() { "" } else { " UTC" };
        format!("{}, {}{zone}", self.day(time, now), at.strftime("%H:%M"))
    }

    /// The date of a moment, as date fields write it: `2026-12-05`.
    pub fn date(&self, time: Timestamp) -> String {
        self.at(time).map(|time| time.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
    }

    /// The end of a date as date fields write it.
    pub fn end_of_date(&self, text: &str) -> Option<Timestamp> {
        let date = Date::strptime("%Y-%m-%d", text).ok().filter(|date| date.year() >= 1970)?;
        self.end_of(date)
    }

    /// The end of the day on which something is over that lasts so long from now on.
    pub fn end_after(&self, lasting: Lasting, now: Timestamp) -> Option<Timestamp> {
        let span = match lasting {
            Lasting::Day => Span::new().days(1),
            Lasting::Week => Span::new().weeks(1),
            Lasting::Month => Span::new().months(1),
        };
        self.end_of(self.at(now)?.date().checked_add(span).ok()?)
    }

    fn end_of(&self, date: Date) -> Option<Timestamp> {
        let end = date.tomorrow().ok()?.to_zoned(self.zone()).ok()?;
        Some(Timestamp(end.timestamp().as_second()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 December 2026, 14:05 in Greenwich.
    const NOW: Timestamp = Timestamp(1_796_133_900);

    fn east(hours: i8) -> Zone {
        Zone(Some(TimeZone::fixed(jiff::tz::offset(hours))))
    }

    #[test]
    fn one_wording_for_dates() {
        let midnight = Timestamp(1_796_169_600);
        for (zone, end, words) in [
            (Zone::default(), midnight, "until and including 1 December"),
            (Zone::default(), midnight.plus(4 * 86_400), "until and including 5 December"),
            (Zone::default(), midnight.plus(31 * 86_400), "until and including 1 January 2027"),
            (Zone::default(), midnight.plus(-700 * 86_400), "until and including 31 December 2024"),
            (Zone::default(), NOW, "until 1 December, 14:05 UTC"),
            (east(1), midnight, "until 2 December, 01:00"),
            (east(1), midnight.plus(-3_600), "until and including 1 December"),
            (east(-8), midnight, "until 1 December, 16:00"),
            (Zone::default(), Timestamp(i64::MAX), "until a time beyond the calendar"),
        ] {
            assert_eq!(zone.until(end, NOW), words);
        }
        assert_eq!(Zone::default().moment(Timestamp(0), NOW), "1 January 1970, 00:00 UTC");
        assert_eq!(Zone::default().day(NOW, NOW), "1 December");
    }

    #[test]
    fn what_is_chosen_ends_with_its_day_where_she_is() {
        let (utc, west) = (Zone::default(), east(-8));
        for (lasting, words) in [
            (Lasting::Day, "until and including 2 December"),
            (Lasting::Week, "until and including 8 December"),
            (Lasting::Month, "until and including 1 January 2027"),
        ] {
            assert_eq!(utc.until(utc.end_after(lasting, NOW).unwrap(), NOW), words);
            assert_eq!(west.until(west.end_after(lasting, NOW).unwrap(), NOW), words);
        }
        for zone in [utc, west] {
            assert_eq!(zone.until(zone.end_of_date("2026-12-05").unwrap(), NOW), "until and including 5 December");
            assert_eq!(zone.date(NOW), "2026-12-01");
            for bad in ["2027-02-29", "2026-13-01", "tomorrow", "2026-1", "0001-01-01", ""] {
                assert_eq!(zone.end_of_date(bad), None, "{bad}");
            }
        }
        assert_eq!(east(14).date(NOW), "2026-12-02", "tomorrow has begun there");
    }

    #[test]
    fn a_zone_that_is_none_is_not_known() {
        for name in ["", "../../etc/passwd", "Nowhere/Atlantis", "UTC; x", "a\0b", &"x".repeat(65)] {
            assert!(Zone::named(name).0.is_none(), "{name:?}");
        }
    }
}
