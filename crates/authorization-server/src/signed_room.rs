//! Room for JWT RPTs: how many more an owner may have at a resource server, as it was counted. So not each grant counts
//! thousands of rows. Called by `revocations`.

use crate::revocations::MOST_SIGNED;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use types::{ClientId, OwnerId, Timestamp};

/// An owner's things at a resource server.
pub(crate) type Place = (OwnerId, ClientId);

/// Seconds for which a place is full once it was: what ends meanwhile leaves room then.
const FULL: i64 = 5;
/// Seconds after which room that is left is counted anew: others took of it, and what ended gave some back.
const LASTS: i64 = 600;
/// Most places that are known; then all are counted anew.
const MOST_PLACES: usize = 10_000;

/// The places that were counted.
#[derive(Default)]
pub(crate) struct SignedRooms(Mutex<HashMap<Place, Room>>);

/// What is left of what was counted at a time.
struct Room {
    left: usize,
    was_full: bool,
    counted: Timestamp,
}

impl SignedRooms {
    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Room>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for one, or says that there is none; nothing where it has to be counted.
    pub(crate) fn take(&self, place: &Place, now: Timestamp) -> Option<bool> {
        let mut places = self.lock();
        let room = places.get_mut(place)?;
        let age = now.0.saturating_sub(room.counted.0);
        if room.was_full {
            return (0..FULL).contains(&age).then_some(false);
        }
        let is_known = room.left > 0 && (0..LASTS).contains(&age);
        is_known.then(|| {
            room.left = room.left.saturating_sub(1);
            true
        })
    }

    /// So many were counted. Half of what is left is taken without counting again: other processes that serve the same
    /// store take of it too. True, where there is room for one, which is taken.
    pub(crate) fn note(&self, place: Place, count: usize, now: Timestamp) -> bool {
        let free = MOST_SIGNED.saturating_sub(count);
        let room = Room { left: free.div_ceil(2).saturating_sub(1), was_full: free == 0, counted: now };
        let mut places = self.lock();
        if places.len() >= MOST_PLACES {
            places.clear();
        }
        places.insert(place, room);
        free > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(owner: &str) -> Place {
        (owner.into(), "photos".into())
    }

    /// As the server does it: counts where it has to. How often it had to, and how many found room.
    fn take_all(rooms: &SignedRooms, mut lived: usize, tries: usize, now: Timestamp) -> (usize, usize) {
        let (mut counts, mut found) = (0, 0);
        for _ in 0..tries {
            let has_room = rooms.take(&place("alice"), now).unwrap_or_else(|| {
                counts += 1;
                rooms.note(place("alice"), lived, now)
            });
            lived += usize::from(has_room);
            found += usize::from(has_room);
        }
        (counts, found)
    }

    #[test]
    fn few_counts_find_all_the_room_and_no_more() {
        let rooms = SignedRooms::default();
        let (counts, found) = take_all(&rooms, 0, 2 * MOST_SIGNED, Timestamp(1_000));
        assert_eq!(found, MOST_SIGNED);
        assert!(counts < 20, "{counts}");
    }

    #[test]
    fn what_was_full_is_counted_again_after_a_while() {
        let rooms = SignedRooms::default();
        assert!(!rooms.note(place("alice"), MOST_SIGNED, Timestamp(1_000)));
        assert_eq!(rooms.take(&place("alice"), Timestamp(1_000 + FULL - 1)), Some(false));
        assert_eq!(rooms.take(&place("alice"), Timestamp(1_000 + FULL)), None);
        assert_eq!(rooms.take(&place("alice"), Timestamp(999)), None, "nor is a clock set back believed");
        assert!(rooms.note(place("alice"), MOST_SIGNED - 3, Timestamp(1_010)));
        assert_eq!(take_all(&rooms, MOST_SIGNED - 2, 10, Timestamp(1_010)).1, 2);
    }

    #[test]
    fn a_crowd_of_owners_is_not_kept_without_end() {
        let rooms = SignedRooms::default();
        (0..3 * MOST_PLACES).for_each(|n| assert!(rooms.note(place(&n.to_string()), 0, Timestamp(0))));
        assert!(rooms.lock().len() <= MOST_PLACES);
    }
}
