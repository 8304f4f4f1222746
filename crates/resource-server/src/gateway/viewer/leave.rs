//! Leave to stream a zip: so many at a time, of one person, and of what one owner shares.

use super::View;
use super::thumbnails::{owner_of, person_of};
use std::sync::{Arc, Mutex, PoisonError};

/// Zips on their way, of all and of one person.
const AT_ONCE: usize = 24;
const AT_ONCE_OF_ONE: usize = 3;
/// Of what one owner shares.
const AT_ONCE_OF_OWNER: usize = AT_ONCE / 2;

/// Who has how many on their way.
#[derive(Default)]
pub(super) struct Zips(Arc<Mutex<Vec<Downloader>>>);

/// Who downloads what of whom.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Downloader {
    person: String,
    owner: String,
}

pub(super) fn downloader_of(view: &View<'_>) -> Downloader {
    Downloader { person: person_of(view), owner: owner_of(view).to_owned() }
}

/// Leave to stream one, until it is dropped.
pub(super) struct Leave {
    people: Arc<Mutex<Vec<Downloader>>>,
    one: Downloader,
}

impl Zips {
    /// An owner whose own server names as many people as she likes leaves half of the places to what others share.
    pub(super) fn begin(&self, one: Downloader) -> Option<Leave> {
        let mut people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_person = people.iter().filter(|other| other.person == one.person).count();
        let of_owner = people.iter().filter(|other| other.owner == one.owner).count();
        if people.len() >= AT_ONCE || of_person >= AT_ONCE_OF_ONE || of_owner >= AT_ONCE_OF_OWNER {
            return None;
        }
        people.push(one.clone());
        Some(Leave { people: self.0.clone(), one })
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = people.iter().position(|one| *one == self.one) {
            people.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_takes_a_few_places_and_gives_them_back() {
        let zips = Zips::default();
        let begin = |person: &str, owner: &str| zips.begin(Downloader { person: person.into(), owner: owner.into() });
        let hers: Vec<_> = (0..AT_ONCE_OF_ONE).filter_map(|_| begin("mallory", "alice")).collect();
        assert!(hers.len() == AT_ONCE_OF_ONE && begin("mallory", "alice").is_none());
        let named: Vec<_> = (0..AT_ONCE).filter_map(|n| begin(&n.to_string(), "mallory")).collect();
        assert_eq!(named.len(), AT_ONCE_OF_OWNER, "of things of one owner");
        let others: Vec<_> = (0..AT_ONCE).filter_map(|n| begin(&format!("b{n}"), &format!("o{n}"))).collect();
        assert_eq!(others.len(), AT_ONCE - AT_ONCE_OF_ONE - AT_ONCE_OF_OWNER);
        drop(hers);
        assert!(begin("mallory", "alice").is_some());
    }
}
