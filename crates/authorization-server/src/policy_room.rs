//! How many policies may stand on one resource: each grant of it looks at all of them, and its owner, or whom she lets share it,
//! writes them as fast as she likes (threat 46). Called wherever a policy is written.

use crate::AuthorizationServer;
use crate::acting::Acting;
use identity::Failure;
use rules::Policy;
use types::ErrorCode;

/// Most policies on one resource, and most bytes of them together.
const MOST: usize = 2_000;
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// Where so many are, the owner alone adds more: what her delegates write takes no room of hers.
const MOST_BESIDE_DELEGATES: usize = 1_000;

impl AuthorizationServer {
    /// Whether this policy may stand beside those that are there.
    pub(crate) async fn check_room_on(&self, acting: &Acting, policy: &Policy) -> Result<(), Failure> {
        let beside = self.store.weigh_policies_beside(policy).await?;
        let most = if acting.is_delegate() { MOST_BESIDE_DELEGATES } else { MOST };
        // one that is replaced is among them
        let most = if policy.version == 0 { most } else { most.saturating_add(1) };
        if beside.count < most && beside.bytes.saturating_add(types::json::size_of(policy)) <= MOST_BYTES {
            return Ok(());
        }
        Failure::refuse(
            ErrorCode::InvalidRequest,
            format!(
                "one resource has {MOST} policies at most, of which a delegate adds to {MOST_BESIDE_DELEGATES}, and 2 MiB of them \
                 together: delete some, or name several people in one"
            ),
        )
    }
}
