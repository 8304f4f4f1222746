//! Whether a machine's clock can be believed (threat 35, docs/decisions/0069): held against a clock that nobody sets, which says how
//! much time has passed and not what time it is. One that is set back makes good again what had ended. One that goes ahead ends what
//! has not ended, and once it is put right it has been set back: so no time counts as served that is not borne out.

use std::time::{Duration, Instant};
use types::Timestamp;

/// Seconds that the clock may stand behind the latest time that counts as served, and ahead of what is borne out.
pub const BEHIND: i64 = 60;
/// How long the clock has to be ahead of what is borne out, so that it is believed.
pub const LASTED: Duration = Duration::from_secs(900);

/// What can be said of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It goes as time does.
    Steady,
    /// It leapt ahead, and that has not lasted.
    Leapt,
    /// It stands behind what was served.
    Behind,
}

/// That the clock is ahead of what is borne out.
#[derive(Clone, Copy)]
struct Ahead {
    since: Instant,
    /// So many seconds at least, all the time.
    least: i64,
}

/// What is known of a clock by looking at it.
pub struct ObservedClock {
    /// The latest time that counts as served. It never falls.
    confirmed: i64,
    /// A time that is borne out, and when it was. Both move on together, without loss: by what has passed since.
    borne_out: (i64, Instant),
    ahead: Option<Ahead>,
    standing: Standing,
}

impl ObservedClock {
    /// Of a clock that shows `now`, where this time is known to have been served. A machine that was off for long has leapt in the
    /// same way as one whose clock is wrong.
    pub fn new(served: Option<Timestamp>, now: Timestamp, at: Instant) -> Self {
        let confirmed = served.unwrap_or(now).0;
        let is_long_after = confirmed.saturating_add(BEHIND) < now.0;
        let standing = if is_long_after { Standing::Leapt } else { Standing::Steady };
        Self { confirmed, borne_out: (confirmed, at), ahead: None, standing }
    }

    /// The latest time that counts as served: at most [`BEHIND`] seconds later than what is borne out.
    pub fn confirmed(&self) -> Timestamp {
        Timestamp(self.confirmed)
    }

    /// As it was when it was looked at.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The clock shows `now`.
    pub fn look(&mut self, now: Timestamp, at: Instant) -> Standing {
        self.standing = self.judge(now.0, at);
        self.standing
    }

    fn judge(&mut self, now: i64, at: Instant) -> Standing {
        if now.saturating_add(BEHIND) < self.confirmed {
            // what passes now is not known to be borne out
            (self.borne_out, self.ahead) = ((self.confirmed, at), None);
            return Standing::Behind;
        }
        let passed = i64::try_from(at.saturating_duration_since(self.borne_out.1).as_secs()).unwrap_or(i64::MAX);
        let mut expected = self.borne_out.0.saturating_add(passed);
        if now < expected {
            // it goes more slowly, or was put right: that needs no time to be believed
            self.borne_out = (now, at);
        }
        if now <= expected {
            self.ahead = None;
        } else if let Some(lasted) = self.look_ahead(now.saturating_sub(expected), at) {
            self.borne_out.0 = self.borne_out.0.saturating_add(lasted);
            expected = expected.saturating_add(lasted);
        }
        let is_leap = expected.saturating_add(BEHIND) < now;
        self.confirmed = self.confirmed.max(if is_leap { expected } else { now });
        if is_leap { Standing::Leapt } else { Standing::Steady }
    }

    /// It is ahead by so many seconds: by how many it has been for so long that it is believed.
    fn look_ahead(&mut self, seconds: i64, at: Instant) -> Option<i64> {
        let begins = Ahead { since: at, least: seconds };
        let leaps = |before: &Ahead| before.least <= BEHIND && BEHIND < seconds;
        // a leap is not borne out by the little that the clock was ahead before it
        let ahead = match self.ahead.filter(|before| !leaps(before)) {
            Some(before) => Ahead { least: before.least.min(seconds), ..before },
            None => begins,
        };
        let has_lasted = at.saturating_duration_since(ahead.since) >= LASTED;
        // what is ahead of that begins to last now
        let rest = Ahead { since: at, least: seconds.saturating_sub(ahead.least) };
        self.ahead = if has_lasted { Some(rest).filter(|rest| rest.least > 0) } else { Some(ahead) };
        has_lasted.then_some(ahead.least)
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::{Behind, Leapt, Steady};
    use super::*;

    const DAY: i64 = 86_400;

    /// What the clock shows when so many milliseconds have passed, beside what would be right; what is said then, and what counts as
    /// served, beside the same.
    type Looks = [(u64, i64, Standing, i64)];

    fn look_at(served: Option<i64>, looks: &Looks) {
        let began = Instant::now();
        let mut clock = ObservedClock::new(served.map(Timestamp), Timestamp(100_000), began);
        for (passed, off, standing, confirmed) in looks {
            let right = 100_000 + i64::try_from(passed / 1_000).unwrap();
            let seen = clock.look(Timestamp(right + off), began + Duration::from_millis(*passed));
            assert_eq!((seen, clock.confirmed().0 - right), (*standing, *confirmed), "after {passed}");
            assert_eq!(clock.standing(), seen);
        }
    }

    #[test]
    fn threat_35_a_clock_that_is_set_back_is_behind_until_it_is_right() {
        look_at(None, &[(30_000, 0, Steady, 0), (40_000, -60, Steady, -10), (50_000, -81, Behind, -20), (60_000, 0, Steady, 0)]);
        // however long it lasts; then it is not known what has passed
        look_at(None, &[(30_000, 0, Steady, 0), (5_000_000, -5_031, Behind, -4_970), (5_001_000, -4_971 - 60, Steady, -4_971)]);
        look_at(None, &[(30_000, 0, Steady, 0), (5_000_000, -5_031, Behind, -4_970), (5_001_000, 0, Leapt, -4_970)]);
    }

    #[test]
    fn threat_35_a_leap_that_does_not_last_counts_for_nothing() {
        look_at(
            None,
            &[
                (30_000, DAY, Leapt, 0),
                (800_000, DAY, Leapt, 0),
                (820_000, 0, Steady, 0),
                (900_000, DAY, Leapt, 0),
                (1_799_000, DAY, Leapt, 0),
                (1_800_000, DAY, Steady, DAY),
                (1_810_000, 0, Behind, DAY - 10),
            ],
        );
        // of a leap and a further one, that has lasted which was there all the time
        look_at(
            None,
            &[(30_000, 3_600, Leapt, 0), (600_000, DAY, Leapt, 0), (930_000, DAY, Leapt, 3_600), (1_830_000, DAY, Steady, DAY)],
        );
    }

    /// A step that is smaller than what was once taken for none at all: its correction is no outage.
    #[test]
    fn threat_35_a_small_step_ahead_is_put_right_again_without_an_outage() {
        for off in [61, 120, 280, 300] {
            look_at(None, &[(10_000, 0, Steady, 0), (11_000, off, Leapt, 0), (13_000, off, Leapt, 0), (14_000, 0, Steady, 0)]);
        }
        look_at(None, &[(10_000, 60, Steady, 60), (11_000, 0, Steady, 59)]);
        // nor are two that are smaller still
        look_at(None, &[(10_000, 50, Steady, 50), (20_000, 100, Leapt, 40), (30_000, 0, Steady, 30), (900_000, 0, Steady, 0)]);
        // one that lasts is what the time is
        look_at(
            None,
            &[(10_000, 50, Steady, 50), (910_000, 50, Steady, 50), (920_000, 100, Steady, 100), (930_000, -10, Behind, 90)],
        );
    }

    /// However often it is looked at, nothing of what passes is lost.
    #[test]
    fn threat_35_looks_at_odd_moments_lose_no_time() {
        let leap = |count: u64| (100_000 + count * 1_900, DAY, Leapt, 0);
        let mut looks = vec![(50, 0, Steady, 0)];
        looks.extend((0..470).map(leap));
        looks.push((993_500, 0, Steady, 0));
        look_at(None, &looks);
        let steady: Vec<_> = (1..5_000).map(|count| (count * 1_900 + 7, 0, Steady, 0)).collect();
        look_at(None, &steady);
    }

    #[test]
    fn threat_35_a_start_long_after_what_was_served_is_a_leap() {
        look_at(Some(50_000), &[(1_000, 0, Leapt, -50_000), (900_000, 0, Leapt, -50_000), (901_000, 0, Steady, 0)]);
        look_at(Some(99_900), &[(1_000, 200, Leapt, -100), (2_000, -100, Steady, -100), (3_000, -100, Steady, -100)]);
        look_at(Some(99_950), &[(1_000, 0, Steady, 0)]);
        let now = Instant::now();
        assert_eq!(ObservedClock::new(Some(Timestamp(50_000)), Timestamp(100_000), now).standing(), Leapt, "nothing to speak of");
        assert_eq!(ObservedClock::new(None, Timestamp(100_000), now).standing(), Steady);
    }
}
