//! The text of tokens, shaped for the store from the start (architecture.md "The store"): prefix, 2
//! characters of shard (first 12 bits of SHA-256 of the owner's or client's id), 6 of the second in which
//! it ends, 43 random (256 bits). Only the SHA-256 of it is kept. Tokens of an earlier release have 2
//! characters of the day of their end modulo 4096 in the place of the 6, and are read on.

use jose::{Randomness, base64url, digest};
use types::Timestamp;

/// Kinds of token by their prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenKind {
    Rpt,
    Access,
    Refresh,
    Pct,
    Code,
}

impl TokenKind {
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Rpt => "wl_rpt_",
            Self::Access => "wl_at_",
            Self::Refresh => "wl_rt_",
            Self::Pct => "wl_pct_",
            Self::Code => "wl_code_",
        }
    }
}

/// Where a token's row is: its shard, when it ends, and the hash of its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenKey {
    pub shard: i64,
    /// The second of its end; of a token of an earlier release the day modulo [`DAYS`], which is less than any second.
    pub end: i64,
    pub hash: [u8; 32],
}

/// So many days tokens of an earlier release told apart.
pub const DAYS: i64 = 4_096;

const SHARD_CHARACTERS: usize = 2;
const END_CHARACTERS: usize = 6;
const DAY_CHARACTERS: usize = 2;
const RANDOM_CHARACTERS: usize = 43;
/// What six characters hold.
const LAST_SECOND: i64 = (1 << 36) - 1;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Makes a token's text. `of` is the owner's id, or the client's where there is no owner.
pub fn mint(kind: TokenKind, of: &str, expires: Timestamp, randomness: &dyn Randomness) -> String {
    let hash = digest::sha256(&[of.as_bytes()]);
    let [first, second, ..] = hash;
    let shard = i64::from(u16::from_be_bytes([first, second]) >> 4);
    let end = expires.0.clamp(DAYS, LAST_SECOND);
    let random = jose::ambient::random_text::<32>(randomness);
    format!("{}{}{}{random}", kind.prefix(), written(shard, SHARD_CHARACTERS), written(end, END_CHARACTERS))
}

/// Where the row of this text is, if it can be a token of this kind at all.
pub fn key_of(kind: TokenKind, text: &str) -> Option<TokenKey> {
    let rest = text.strip_prefix(kind.prefix())?;
    let (shard, rest) = rest.split_at_checked(SHARD_CHARACTERS)?;
    let is_of_before = rest.len() == RANDOM_CHARACTERS.saturating_add(DAY_CHARACTERS);
    let (end, random) = rest.split_at_checked(if is_of_before { DAY_CHARACTERS } else { END_CHARACTERS })?;
    if random.len() != RANDOM_CHARACTERS {
        return None;
    }
    base64url::decode(random)?;
    let end = read(end)?;
    // a second below would be taken for a day
    let is_whole = is_of_before || end >= DAYS;
    is_whole.then_some(TokenKey { shard: read(shard)?, end, hash: digest::sha256(&[text.as_bytes()]) })
}

/// A number as so many characters of six bits.
fn written(value: i64, characters: usize) -> String {
    let character = |bits: i64| usize::try_from(bits & 63).ok().and_then(|at| ALPHABET.get(at)).map_or('A', |b| char::from(*b));
    (0..characters).rev().map(|at| character(value >> (6 * at))).collect()
}

fn read(text: &str) -> Option<i64> {
    text.bytes().try_fold(0_i64, |value, byte| {
        let at = ALPHABET.iter().position(|b| *b == byte)?;
        Some((value << 6) | i64::try_from(at).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_where_its_row_is_and_nothing_else() {
        let expires = Timestamp(1_800_000_000);
        let text = mint(TokenKind::Rpt, "alice", expires, &jose::SystemRandomness);
        assert_eq!(text.len(), 7 + 51);
        let key = key_of(TokenKind::Rpt, &text).unwrap();
        assert_eq!(key.end, 1_800_000_000);
        let again = mint(TokenKind::Rpt, "alice", expires, &jose::SystemRandomness);
        assert_eq!(key_of(TokenKind::Rpt, &again).unwrap().shard, key.shard);
        assert_ne!(text, again);
        for bad in [format!("{text}A"), text.replace("rpt", "at"), format!("{}=", &text[..text.len() - 1]), "wl_rpt_".into()] {
            assert_eq!(key_of(TokenKind::Rpt, &bad), None, "{bad}");
        }
        for (end, kept) in [(0, DAYS), (-5, DAYS), (i64::MAX, LAST_SECOND)] {
            let text = mint(TokenKind::Code, "alice", Timestamp(end), &jose::SystemRandomness);
            assert_eq!(key_of(TokenKind::Code, &text).unwrap().end, kept);
        }
    }

    #[test]
    fn a_token_of_an_earlier_release_is_read_on() {
        let (shard, day, random) = (written(7, 2), written(306, 2), "x".repeat(42) + "A");
        let key = key_of(TokenKind::Access, &format!("wl_at_{shard}{day}{random}")).unwrap();
        assert_eq!((key.shard, key.end), (7, 306));
        // the end of now cannot be said as one of before
        let few = format!("wl_at_{shard}{}{random}", written(306, 6));
        assert_eq!(key_of(TokenKind::Access, &few), None);
    }
}
