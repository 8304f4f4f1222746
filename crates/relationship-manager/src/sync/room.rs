//! How much is read and kept of one server, and of all that one person linked: a desk is many people's, and what a server says is
//! as long as that server likes (threat 46). Called by the readings.

use super::Snapshot;
use crate::holdings::Holdings;
use crate::{Manager, Trouble, lock};
use client::api::Room;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::json::weight_of_document;

/// Most bytes in memory of what one reading of a server reads, and of what is kept of it.
pub(super) const OF_READING: usize = 48 * 1024 * 1024;
const OF_SNAPSHOT: usize = 64 * 1024 * 1024;
/// The same of all servers of one person: beyond it a server has its even share of that.
const OF_PERSON: usize = 128 * 1024 * 1024;
/// Most servers that one person links.
pub(crate) const MOST_LINKS: usize = 50;
/// Most bytes of what is kept in memory of all people; more is read from the store again.
const KEPT_BYTES: usize = 256 * 1024 * 1024;

/// How much is read of one server, where this much is kept of the person's other ones.
fn room_beside(others: usize, links: usize) -> usize {
    let even = OF_PERSON.checked_div(links.max(1)).unwrap_or(OF_PERSON);
    OF_READING.min(OF_PERSON.saturating_sub(others).max(even))
}

impl Manager {
    /// How much is read of this server now.
    pub(super) fn room_for(&self, owner: &str, id: &str) -> Room {
        let readings = lock(&self.reading);
        let others = readings.iter().filter(|((of, link), _)| of == owner && link != id);
        let (links, others) = others.fold((1_usize, 0_usize), |(links, bytes), (_, reading)| {
            (links.saturating_add(1), bytes.saturating_add(reading.weight.load(Ordering::Relaxed)))
        });
        Room::of(room_beside(others, links))
    }

    /// Notes how much is kept of a server.
    pub(super) fn note_weight(&self, owner: &str, id: &str, snapshot: &Snapshot) {
        self.reading_of(owner, id).weight.store(snapshot.weight, Ordering::Relaxed);
    }

    /// Whether a person may link one more.
    pub(crate) async fn check_links(&self, owner: &str) -> Result<(), Trouble> {
        match self.store.list_links(owner).await?.len() < MOST_LINKS {
            true => Ok(()),
            false => Err(Trouble::Refused(format!("You have linked {MOST_LINKS} servers: unlink one of them first."))),
        }
    }
}

impl Snapshot {
    /// The same with its weight, where a store from before weights has it without one.
    pub(super) fn with_weight(self) -> Self {
        let weight = if self.weight == 0 { weight_of_document(&self) } else { self.weight };
        Self { weight, ..self }
    }

    /// The same with its weight; what is too much to be kept gives way to what was kept before.
    pub(super) fn weighed(self, before: &Self) -> Self {
        let weight = weight_of_document(&self);
        if weight <= OF_SNAPSHOT {
            return Self { weight, ..self };
        }
        let error = Some("it lists more than is kept here of one server".to_owned());
        Self { asked: self.asked, error, ..before.clone() }
    }
}

/// Whether there is room for one more among those that are kept.
pub(super) fn has_room<'k>(kept: impl Iterator<Item = &'k Arc<Holdings>>, holdings: &Holdings) -> bool {
    kept.map(|kept| kept.weight()).fold(holdings.weight(), usize::saturating_add) <= KEPT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Timestamp;

    #[test]
    fn threat_46_a_server_has_its_even_share_of_what_is_read_for_a_person() {
        let mib = |bytes: usize| bytes / (1024 * 1024);
        for (others, links, room) in [(0, 1, 48), (40, 2, 64), (100, 3, 42), (128, 4, 32), (200, 50, 2), (120, 50, 8)] {
            assert_eq!(mib(room_beside(others * 1024 * 1024, links)), room.min(48), "{others} {links}");
        }
    }

    #[test]
    fn threat_46_what_is_too_much_gives_way_to_the_last_word() {
        let before = Snapshot { policy_endpoint: Some("https://as.example/p".into()), ..Snapshot::default() };
        let small = Snapshot { asked: Timestamp(7), ..Snapshot::default() }.weighed(&before);
        assert_eq!(Snapshot { weight: 0, ..small.clone() }.with_weight().weight, small.weight, "one of an older store");
        assert!(small.weight > 0 && small.error.is_none() && small.policy_endpoint.is_none());
        let keys = vec!["k".to_owned(); 2_000_000];
        let large = Snapshot { asked: Timestamp(7), keys, ..Snapshot::default() }.weighed(&before);
        assert!(large.keys.is_empty() && large.error.is_some() && large.asked == Timestamp(7));
        assert_eq!(large.policy_endpoint, before.policy_endpoint);
    }
}
