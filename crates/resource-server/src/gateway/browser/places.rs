//! Places of which there are so many for all: of those for whom an owner is asked on, and of those that listen for her answer.
//! Each is held in the name of a party (as in [`outbound::Lines`], decision 0031), from the widest to the narrowest: a server, a
//! region, a network, a host. Where all are taken, the widest party gives one back, so that nobody fills them for others.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who of the widest party gives way; of several as wide it is that of the oldest or of the newest.
#[derive(Clone, Copy)]
pub(super) enum GivesWay {
    Oldest,
    Newest,
}

impl GivesWay {
    fn pick<T>(self, mut all: impl DoubleEndedIterator<Item = T>) -> Option<T> {
        match self {
            Self::Oldest => all.next(),
            Self::Newest => all.next_back(),
        }
    }
}

/// Who gives way of these, the oldest first, by the names of their parties.
pub(super) fn find_leaving<'a>(all: &[&'a [String]], who: GivesWay) -> Option<usize> {
    let mut left: Vec<usize> = (0..all.len()).collect();
    let name = |at: usize, level: usize| all.get(at).and_then(|names: &&'a [String]| names.get(level)).map(String::as_str);
    for level in 0..all.iter().map(|names| names.len()).max()? {
        let mut counts: HashMap<Option<&str>, usize> = HashMap::new();
        for at in &left {
            let count = counts.entry(name(*at, level)).or_default();
            *count = count.saturating_add(1);
        }
        let most = counts.values().max().copied();
        let widest = who.pick(left.iter().filter(|at| counts.get(&name(**at, level)).copied() == most));
        let widest = widest.map(|at| name(*at, level));
        left.retain(|at| Some(name(*at, level)) == widest);
    }
    who.pick(left.into_iter())
}

/// Who holds a place, by its number: the oldest first.
#[derive(Default)]
struct Held {
    last: u64,
    parties: BTreeMap<u64, Vec<String>>,
}

/// So many places.
#[derive(Clone)]
pub(super) struct Places {
    most: usize,
    held: Arc<Mutex<Held>>,
}

/// One of them; given back when dropped.
pub(in super::super) struct Place {
    number: u64,
    held: Arc<Mutex<Held>>,
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self { most, held: Arc::default() }
    }

    /// None: this party holds more than others already.
    pub(super) fn enter(&self, party: Vec<String>) -> Option<Place> {
        let mut held = lock(&self.held);
        held.last = held.last.saturating_add(1);
        let number = held.last;
        held.parties.insert(number, party);
        if held.parties.len() > self.most {
            let numbers: Vec<u64> = held.parties.keys().copied().collect();
            let parties: Vec<&[String]> = held.parties.values().map(Vec::as_slice).collect();
            let leaving = find_leaving(&parties, GivesWay::Newest).and_then(|at| numbers.get(at).copied());
            held.parties.remove(&leaving.unwrap_or(number));
        }
        held.parties.contains_key(&number).then(|| Place { number, held: self.held.clone() })
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.held).parties.len()
    }
}

impl Place {
    /// Whether nobody else has it meanwhile.
    pub(in super::super) fn is_held(&self) -> bool {
        lock(&self.held).parties.contains_key(&self.number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.held).parties.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn threat_46_whoever_has_most_places_gives_one_to_who_comes() {
        let places = Places::new(6);
        let enter = |text: &str| places.enter(party(text));
        let hers: Vec<_> = ["h1", "h1", "h2", "h1", "h3", "h1"].map(|host| enter(&format!("as r1 n1 {host}")).unwrap()).into();
        assert!(enter("as r1 n1 h1").is_none(), "she has all of them");
        let bobs = enter("as r2 n2 h1").unwrap();
        // the newest of her host with most
        assert_eq!(hers.iter().map(Place::is_held).collect::<Vec<_>>(), [true, true, true, true, true, false]);
        // of another server, which has fewer
        let other = enter("evil r1 n1 h1").unwrap();
        assert!(other.is_held() && bobs.is_held() && !hers[3].is_held() && hers[4].is_held());
        drop(hers);
        assert_eq!(places.count(), 2);
    }

    #[test]
    fn of_parties_as_wide_the_oldest_or_the_newest_gives_way() {
        let all = ["a x", "b y", "a z", "b y"].map(party);
        let all: Vec<&[String]> = all.iter().map(Vec::as_slice).collect();
        assert_eq!(find_leaving(&all, GivesWay::Oldest), Some(0));
        assert_eq!(find_leaving(&all, GivesWay::Newest), Some(3));
        assert_eq!(find_leaving(&[], GivesWay::Newest), None);
    }
}
