//! Who listens to news of which owner (protocol.md 1.4): each owner's is a channel of its own, so that what others make of theirs
//! wakes nobody and pushes nothing out.

use crate::AuthorizationServer;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::broadcast::{Receiver, Sender};
use types::{AccessRequestId, OwnerId};

/// News that somebody who listens may be behind.
const MOST_UNREAD: usize = 64;

/// A request came, or was decided.
#[derive(Clone, Debug)]
pub struct News {
    pub owner: OwnerId,
    /// `request` or `decision`.
    pub kind: &'static str,
    pub id: AccessRequestId,
}

impl AuthorizationServer {
    /// What comes from now on.
    pub fn listen(&self, owner: &OwnerId) -> Receiver<News> {
        self.news.listen(owner)
    }
}

#[derive(Default)]
pub(crate) struct Newsroom(Mutex<HashMap<OwnerId, Sender<News>>>);

impl Newsroom {
    /// What comes from now on.
    pub(crate) fn listen(&self, owner: &OwnerId) -> Receiver<News> {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|_, channel| channel.receiver_count() > 0);
        channels.entry(owner.clone()).or_insert_with(|| Sender::new(MOST_UNREAD)).subscribe()
    }

    /// Tells whoever listens; nobody listening is no error.
    pub(crate) fn tell(&self, news: News) {
        let channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&news.owner) {
            let _ = channel.send(news);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_46_what_one_owner_hears_pushes_nothing_out_at_another() {
        let news = |owner: &str, n: usize| News {
            owner: OwnerId::from(owner),
            kind: "request",
            id: AccessRequestId::new(n.to_string()),
        };
        let room = Newsroom::default();
        let mut carol = room.listen(&OwnerId::from("carol"));
        let _mallory = room.listen(&OwnerId::from("mallory"));
        room.tell(news("carol", 1));
        (0..1_000).for_each(|n| room.tell(news("mallory", n)));
        assert_eq!(carol.try_recv().unwrap().id.as_str(), "1");
        assert!(carol.try_recv().is_err());
        drop(carol);
        room.listen(&OwnerId::from("dave"));
        assert_eq!(room.0.lock().unwrap().len(), 2, "who has gone leaves nothing behind");
    }
}
