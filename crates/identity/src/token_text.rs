//! The text of tokens, shaped for the store from the start (architecture.md "The store"): prefix, 2
//! characters of shard (first 12 bits of SHA-256 of the owner's or client's id), 2 of expiry
//! bucket (day of expiry modulo 4096), 43 random (256 bits). Only the SHA-256 of it is kept.

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

/// Where a token's row is: its shard, its bucket and the hash of its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenKey {
    pub shard: i64,
    pub bucket: i64,
    pub hash: [u8; 32],
}

const RANDOM_CHARACTERS: usize = 43;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Makes a token's text. `of` is the owner's id, or the client's where there is no owner.
pub fn mint(kind: TokenKind, of: &str, expires: Timestamp, randomness: &dyn Randomness) -> String {
    let hash = digest::sha256(&[of.as_bytes()]);
    let [first, second, ..] = hash;
    let shard = i64::from(u16::from_be_bytes([first, second]) >> 4);
    let bucket = expires.day().rem_euclid(4096);
    let random = jose::ambient::random_text::<32>(randomness);
    format!("{}{}{}{random}", kind.prefix(), twelve_bits(shard), twelve_bits(bucket))
}

/// Where the row of this text is, if it can be a token of this kind at all.
pub fn key_of(kind: TokenKind, text: &str) -> Option<TokenKey> {
    let rest = text.strip_prefix(kind.prefix())?;
    if rest.len() != RANDOM_CHARACTERS.saturating_add(4) {
        return None;
    }
    let (shard, rest) = rest.split_at_checked(2)?;
    let (bucket, random) = rest.split_at_checked(2)?;
    base64url::decode(random)?;
    Some(TokenKey {
        shard: read_twelve_bits(shard)?,
        bucket: read_twelve_bits(bucket)?,
        hash: digest::sha256(&[text.as_bytes()]),
    })
}

fn twelve_bits(value: i64) -> String {
    let character = |bits: i64| usize::try_from(bits & 63).ok().and_then(|at| ALPHABET.get(at)).map_or('A', |b| char::from(*b));
    [character(value >> 6), character(value)].iter().collect()
}

fn read_twelve_bits(text: &str) -> Option<i64> {
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
        assert_eq!(text.len(), 7 + 47);
        let key = key_of(TokenKind::Rpt, &text).unwrap();
        assert_eq!(key.bucket, (1_800_000_000 / 86_400) % 4096);
        let again = mint(TokenKind::Rpt, "alice", expires, &jose::SystemRandomness);
        assert_eq!(key_of(TokenKind::Rpt, &again).unwrap().shard, key.shard);
        assert_ne!(text, again);
        for bad in [format!("{text}A"), text.replace("rpt", "at"), format!("{}=", &text[..text.len() - 1]), "wl_rpt_".into()] {
            assert_eq!(key_of(TokenKind::Rpt, &bad), None, "{bad}");
        }
    }
}
