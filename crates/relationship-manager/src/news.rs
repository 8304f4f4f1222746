//! Telling open pages that something changed: each hears of its own owner's requests, and of nothing else.

use crate::lock;
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::sync::watch;

/// Most open pages of one owner that are told.
const MOST_PAGES: usize = 64;

/// Open pages, by owner.
#[derive(Default)]
pub(crate) struct News(Mutex<HashMap<String, watch::Sender<u64>>>);

impl News {
    /// For a page of this owner's; none where she has too many open.
    pub(crate) fn listen(&self, owner: &str) -> Option<watch::Receiver<u64>> {
        let mut all = lock(&self.0);
        all.retain(|_, pages| pages.receiver_count() > 0);
        let pages = all.entry(owner.to_owned()).or_insert_with(|| watch::Sender::new(0));
        (pages.receiver_count() < MOST_PAGES).then(|| pages.subscribe())
    }

    /// What waits for this owner is other than before.
    pub(crate) fn tell(&self, owner: &str) {
        if let Some(pages) = lock(&self.0).get(owner) {
            pages.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_46_s32_a_page_hears_of_its_own_owner_alone() {
        let news = News::default();
        let (mut hers, mut his) = (news.listen("alice").unwrap(), news.listen("bob").unwrap());
        let also_hers = news.listen("alice").unwrap();
        news.tell("alice");
        assert!(hers.has_changed().unwrap() && also_hers.has_changed().unwrap() && !his.has_changed().unwrap());
        hers.borrow_and_update();
        news.tell("carol");
        assert!(!hers.has_changed().unwrap() && !his.has_changed().unwrap());
        news.tell("bob");
        assert!(his.has_changed().unwrap() && !hers.has_changed().unwrap());
        his.borrow_and_update();
    }

    #[test]
    fn threat_46_s32_pages_without_end_take_bounded_room() {
        let news = News::default();
        let open: Vec<_> = (0..1_000).filter_map(|_| news.listen("alice")).collect();
        assert_eq!(open.len(), MOST_PAGES);
        drop(open);
        (0..1_000).for_each(|n| drop(news.listen(&n.to_string())));
        assert!(news.listen("alice").is_some() && lock(&news.0).len() == 1);
    }
}
