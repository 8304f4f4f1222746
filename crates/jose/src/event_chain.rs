//! The chain of an owner's events (protocol.md 1.5): how one hash follows from the one before, and the signed head. The
//! authorization server makes it; whoever keeps heads holds later ones against it.

use crate::jwk::KeySet;
use crate::jws::{JwsError, UnverifiedJws, Verified};
use crate::{base64url, digest};
use types::event::{ChainHead, ChainLink};

/// `typ` of a signed head.
pub const HEAD_TYPE: &str = "event-head+jwt";

/// `SHA-256(prev ‖ time ‖ kind ‖ hash of the personal part)`; the time as eight bytes, the highest first.
pub fn hash_after(prev: &[u8; 32], time: i64, kind: &str, personal: &[u8; 32]) -> [u8; 32] {
    digest::sha256(&[prev, &time.to_be_bytes(), kind.as_bytes(), personal])
}

/// A head as a server signed it.
pub fn verify_head(text: &str, keys: &KeySet) -> Result<Verified<ChainHead>, JwsError> {
    UnverifiedJws::parse(text.trim())?.expect_type(HEAD_TYPE)?.verify(keys)?.claims::<ChainHead>()
}

/// A hash that is written as base64url.
pub fn read_hash(text: &str) -> Option<[u8; 32]> {
    base64url::decode(text)?.try_into().ok()
}

/// Where the chain is behind these links, when it began at `from`: its number and hash. None where they do not follow one
/// another, or do not read.
pub fn follow(from: (u64, [u8; 32]), links: &[ChainLink]) -> Option<(u64, [u8; 32])> {
    links.iter().try_fold(from, |(n, hash), link| {
        let next = n.checked_add(1).filter(|next| *next == link.n)?;
        Some((next, hash_after(&hash, link.time.0, link.kind.as_str(), &read_hash(&link.personal_hash)?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Timestamp;
    use types::event::EventKind;

    #[test]
    fn links_follow_one_another_or_not_at_all() {
        let link = |n: u64, personal: u8| ChainLink {
            n,
            time: Timestamp(7),
            kind: EventKind::RptIssued,
            personal_hash: base64url::encode([personal; 32]),
        };
        let (n, hash) = follow((0, [0; 32]), &[link(1, 1), link(2, 2)]).unwrap();
        assert_eq!((n, hash), (2, hash_after(&hash_after(&[0; 32], 7, "rpt.issued", &[1; 32]), 7, "rpt.issued", &[2; 32])));
        assert_ne!(follow((0, [0; 32]), &[link(1, 1), link(2, 3)]).unwrap().1, hash, "another event");
        assert_eq!(follow((0, [0; 32]), &[link(1, 1), link(3, 2)]), None, "one is missing");
        assert_eq!(follow((u64::MAX, [0; 32]), &[link(1, 1)]), None);
        let short = ChainLink { personal_hash: "AAAA".into(), ..link(1, 1) };
        assert_eq!(follow((0, [0; 32]), &[short]), None);
    }
}
