//! A desk whose store is in a database is the only one that serves it (docs/decisions/0071).

use super::Store;
use database::Node;

impl Store {
    /// Waits until another process serves the store, which one could where it is in a database; for ever where none can.
    pub(crate) async fn is_taken_over(&self) {
        match &self.alone {
            Some(node) => node.is_taken_over().await,
            None => std::future::pending().await,
        }
    }

    /// Whether nobody else can have begun to serve it.
    pub(crate) fn is_sure(&self) -> bool {
        self.alone.as_ref().is_none_or(Node::is_sure)
    }

    /// Whoever serves it next need not wait for this process.
    pub(crate) async fn leave(&self) {
        if let Some(node) = &self.alone {
            node.leave().await;
        }
    }
}
