//! Sessions of people of whom nothing is known: nobody was granted anything, is known again or waits. Anybody makes as many of
//! these as he likes; so they are in memory, and no row of somebody else makes room for them. Who is forgotten here opens the
//! link again. To a browser they are sessions like all others.

use super::super::store::SessionPlace;
use super::places::{GivesWay, find_leaving};
use super::session::Session;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use types::Timestamp;

/// So many of all.
const MOST: usize = 2_000;

struct Guest {
    /// Those that came before have smaller ones.
    number: u64,
    session: Session,
    place: SessionPlace,
    /// Its network, and its host in that.
    party: [String; 2],
}

#[derive(Default)]
struct All {
    last: u64,
    guests: HashMap<String, Guest>,
}

impl All {
    /// Makes room for one more.
    fn make_room(&mut self) {
        let mut by_age: Vec<(&String, &Guest)> = self.guests.iter().collect();
        by_age.sort_by_key(|(_, guest)| guest.number);
        let parties: Vec<&[String]> = by_age.iter().map(|(_, guest)| guest.party.as_slice()).collect();
        let leaving = find_leaving(&parties, GivesWay::Oldest).and_then(|at| by_age.get(at));
        if let Some(id) = leaving.map(|(id, _)| (*id).clone()) {
            self.guests.remove(&id);
        }
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Guests(Mutex<All>);

impl Guests {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, id: &str) -> Option<Session> {
        self.all().guests.get(id).map(|guest| guest.session.clone())
    }

    pub(super) fn find_place(&self, id: &str) -> Option<SessionPlace> {
        self.all().guests.get(id).map(|guest| guest.place.clone())
    }

    /// Where there is no room, one of the host that has most makes it.
    pub(super) fn put(&self, id: &str, session: Session, place: SessionPlace, now: Timestamp) {
        let mut all = self.all();
        all.guests.retain(|own, guest| own != id && now < guest.session.until());
        if all.guests.len() >= MOST {
            all.make_room();
        }
        all.last = all.last.saturating_add(1);
        let (number, party) = (all.last, [place.network.clone(), place.host.clone()]);
        all.guests.insert(id.to_owned(), Guest { number, session, place, party });
    }

    pub(super) fn remove(&self, id: &str) -> Option<Session> {
        self.all().guests.remove(id).map(|guest| guest.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_46_a_crowd_of_guests_forgets_its_own() {
        let (guests, now) = (Guests::default(), Timestamp(1_000));
        let put = |id: &str, host: &str| {
            let place = SessionPlace { network: "192.0.2.0/24".into(), host: host.into() };
            guests.put(id, Session::begin(now), place, now);
        };
        put("bob", "192.0.2.1");
        for n in 0..MOST + 10 {
            put(&format!("m{n}"), "192.0.2.9");
        }
        assert!(guests.find("bob").is_some() && guests.find("m0").is_none() && guests.find("m12").is_some());
        assert_eq!(guests.all().guests.len(), MOST);
        assert!(guests.remove("bob").is_some() && guests.find("bob").is_none());
        // those that have ended go
        guests.put("carol", Session::begin(now.plus(99_999)), SessionPlace::default(), now.plus(99_999));
        assert_eq!(guests.all().guests.len(), 1);
    }
}
