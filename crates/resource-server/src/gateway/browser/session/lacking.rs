//! What a session did not suffice for, and could not be traded for, a moment ago: so it is not tried again with each call.

use serde::{Deserialize, Serialize};
use types::Timestamp;

/// Seconds that it is remembered, and most that is. Where all of it is fresh, nothing more is tried.
const LACKING_SECONDS: i64 = 60;
const MOST_LACKING: usize = 30;

/// Why it could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) enum Why {
    NotShared,
    /// She shows first who she is.
    Unknown,
}

#[derive(Clone, Serialize, Deserialize)]
struct Lacking {
    what: String,
    why: Why,
    until: Timestamp,
}

/// All that a session remembers so.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(in super::super) struct LackingList(Vec<Lacking>);

impl LackingList {
    /// Why this is not tried now; none: it may be.
    pub(in super::super) fn find(&self, what: &str, now: Timestamp) -> Option<Why> {
        let mut fresh = self.0.iter().filter(|lacking| now < lacking.until);
        let is_full = fresh.clone().count() >= MOST_LACKING;
        fresh.find(|lacking| lacking.what == what).map(|lacking| lacking.why).or(is_full.then_some(Why::NotShared))
    }

    pub(in super::super) fn put(&mut self, what: &str, why: Why, now: Timestamp) {
        self.0.retain(|lacking| now < lacking.until && lacking.what != what);
        if self.0.len() < MOST_LACKING {
            self.0.push(Lacking { what: what.to_owned(), why, until: now.plus(LACKING_SECONDS) });
        }
    }

    /// Something was granted, of which nobody knows what it suffices for.
    pub(in super::super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_46_what_was_refused_is_not_tried_for_a_minute() {
        let (mut list, now) = (LackingList::default(), Timestamp(1_000));
        list.put("a", Why::Unknown, now);
        assert_eq!((list.find("a", now), list.find("b", now)), (Some(Why::Unknown), None));
        assert_eq!((list.find("a", now.plus(59)), list.find("a", now.plus(60))), (Some(Why::Unknown), None));
        for n in 0..100 {
            list.put(&n.to_string(), Why::NotShared, now);
        }
        assert_eq!((list.0.len(), list.find("new", now)), (MOST_LACKING, Some(Why::NotShared)));
        assert_eq!(list.find("new", now.plus(60)), None);
        list.clear();
        assert_eq!(list.find("a", now), None);
    }
}
