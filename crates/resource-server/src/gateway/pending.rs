//! A registration that is on its way, taken up in the background (`backlog.rs`).

use super::Gateway;
use super::store::{Registered, Standing};
use super::told::PATIENCE_IN_BACKGROUND;
use crate::protection::ProtectionError;

impl Gateway {
    /// Whether it is registered there now.
    pub(super) async fn finish_pending(&self, pending: Registered) -> Result<bool, ProtectionError> {
        let Some(pending) = self.found_now(pending).await? else { return Ok(false) };
        // without a PAT nothing can be said of any resource
        self.pat(&pending.owner, &pending.issuer).await.map_err(|error| match error {
            ProtectionError::Refused(_) => ProtectionError::Unreachable,
            other => other,
        })?;
        match self.carry_out(pending.clone(), Some(PATIENCE_IN_BACKGROUND)).await {
            Ok(_) => Ok(true),
            Err(ProtectionError::Refused(why)) => {
                self.fail(pending, why).await;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The same where what it was found by is there, or another file that stands for it. What is gone is taken back: it may
    /// have been told, by an attempt whose answer nobody heard.
    async fn found_now(&self, pending: Registered) -> Result<Option<Registered>, ProtectionError> {
        // what cannot be told now waits, and keeps nothing else waiting
        let Ok(is_gone) = self.is_gone(&pending).await else { return Ok(None) };
        if !is_gone {
            return Ok(Some(pending));
        }
        let content = self.content_for_page(true).await;
        let other = content.of(&pending.owner).and_then(|hers| hers.get(&pending.own_id)).cloned();
        let moved = Registered { found_at: other, ..pending.clone() };
        if moved.found_at.is_some() && moved.found_at != pending.found_at && matches!(self.is_gone(&moved).await, Ok(false)) {
            self.store.change_registrations(std::slice::from_ref(&moved), &[]).await?;
            return Ok(Some(moved));
        }
        if content.check_whole(&pending.owner).is_err() {
            return Ok(None);
        }
        let leaving = Registered { standing: Standing::Leaving, ..pending };
        self.store.change_registrations(std::slice::from_ref(&leaving), &[]).await?;
        self.try_to_take_back(&leaving, PATIENCE_IN_BACKGROUND).await?;
        Ok(None)
    }
}
