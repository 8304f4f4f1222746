//! A gateway whose store is in a database is the only one that serves it (docs/decisions/0071).

use super::Gateway;

impl Gateway {
    /// Waits until another process serves this gateway's store: then this one stops.
    pub async fn is_taken_over(&self) {
        self.store.is_taken_over().await;
    }

    /// Whether no other process can have begun to serve this gateway's store. While it is not so, nothing is answered.
    pub fn is_sure(&self) -> bool {
        self.store.is_sure()
    }

    /// The last that it does: whoever serves its store next need not wait for it.
    pub async fn leave_store(&self) {
        self.store.leave().await;
    }
}
