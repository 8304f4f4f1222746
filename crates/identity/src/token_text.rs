//! The text of tokens, shaped for the store from the start (architecture.md "The store"): prefix, 2
//! characters of shard (first 12 bits of SHA-256 of the owner's or client's id), 7 of the second in which
//! it ends and of the part of a second in which it was made, 43 random (256 bits). Only the SHA-256 of it is
//! kept. Tokens of earlier releases have 6 characters of the second alone in their place, or 2 of the day of their
//! end modulo 4096, and are read on.

use jose::{Clock, Randomness, base64url, digest};
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
    /// What its text says of its end: [`End::of`] reads it.
    pub end: i64,
    pub hash: [u8; 32],
}

/// What the text of a token says of its end. Numbers of the three forms have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The day, modulo [`DAYS`]: of the first release.
    Day(i64),
    /// The second: of the one after it.
    Second(i64),
    /// Seconds since [`FIRST_SECOND`] in [`TICKS`] parts: those of the end, and the part in which the token was made. So tokens
    /// that live equally long lie in the order in which they were made, also within a second.
    Tick(i64),
}

/// So many days tokens of the first release told apart.
pub const DAYS: i64 = 4_096;
/// The first second that ticks know: the beginning of 2020; the last is in 2088.
pub const FIRST_SECOND: i64 = 1_577_836_800;
pub const LAST_SECOND: i64 = FIRST_SECOND + (1 << 31) - 1;
/// Ticks of a second.
pub const TICKS: i64 = 1_024;
/// What is less is a second, and no tick.
const FIRST_TICK: i64 = 1 << 32;

impl End {
    pub fn of(end: i64) -> Self {
        match end {
            _ if end < DAYS => Self::Day(end),
            _ if end < FIRST_TICK => Self::Second(end),
            _ => Self::Tick(end),
        }
    }
}

/// The tick of something that ends then and is made now.
fn tick_of(expires: Timestamp, clock: &dyn Clock) -> i64 {
    let part = clock.now_millis().rem_euclid(1_000).saturating_mul(TICKS) / 1_000;
    let second = expires.0.clamp(FIRST_SECOND, LAST_SECOND).saturating_sub(FIRST_SECOND);
    second.saturating_mul(TICKS).saturating_add(part).max(FIRST_TICK)
}

const SHARD_CHARACTERS: usize = 2;
const TICK_CHARACTERS: usize = 7;
const SECOND_CHARACTERS: usize = 6;
const DAY_CHARACTERS: usize = 2;
const RANDOM_CHARACTERS: usize = 43;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Makes a token's text. `of` is the owner's id, or the client's where there is no owner.
pub fn mint(kind: TokenKind, of: &str, expires: Timestamp, clock: &dyn Clock, randomness: &dyn Randomness) -> String {
    let hash = digest::sha256(&[of.as_bytes()]);
    let [first, second, ..] = hash;
    let shard = i64::from(u16::from_be_bytes([first, second]) >> 4);
    let end = tick_of(expires, clock);
    let random = jose::ambient::random_text::<32>(randomness);
    format!("{}{}{}{random}", kind.prefix(), written(shard, SHARD_CHARACTERS), written(end, TICK_CHARACTERS))
}

/// Where the row of this text is, if it can be a token of this kind at all.
pub fn key_of(kind: TokenKind, text: &str) -> Option<TokenKey> {
    let rest = text.strip_prefix(kind.prefix())?;
    let (shard, rest) = rest.split_at_checked(SHARD_CHARACTERS)?;
    let characters = rest.len().checked_sub(RANDOM_CHARACTERS)?;
    let (end, random) = rest.split_at_checked(characters)?;
    base64url::decode(random)?;
    let end = read(end)?;
    let fits = match End::of(end) {
        End::Day(_) => characters == DAY_CHARACTERS,
        End::Second(_) => characters == SECOND_CHARACTERS,
        End::Tick(_) => characters == TICK_CHARACTERS,
    };
    fits.then_some(TokenKey { shard: read(shard)?, end, hash: digest::sha256(&[text.as_bytes()]) })
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
        let mint = |kind, expires| mint(kind, "alice", expires, &jose::SystemClock, &jose::SystemRandomness);
        let text = mint(TokenKind::Rpt, expires);
        assert_eq!(text.len(), 7 + 52);
        let key = key_of(TokenKind::Rpt, &text).unwrap();
        let second = |end| match End::of(end) {
            End::Tick(tick) => tick / TICKS + FIRST_SECOND,
            other => panic!("{other:?}"),
        };
        assert_eq!(second(key.end), 1_800_000_000);
        let again = mint(TokenKind::Rpt, expires);
        assert_eq!(key_of(TokenKind::Rpt, &again).unwrap().shard, key.shard);
        assert_ne!(text, again);
        for bad in [format!("{text}A"), text.replace("rpt", "at"), format!("{}=", &text[..text.len() - 1]), "wl_rpt_".into()] {
            assert_eq!(key_of(TokenKind::Rpt, &bad), None, "{bad}");
        }
        let first = FIRST_SECOND + FIRST_TICK / TICKS;
        for (end, kept) in [(0, first), (-5, first), (i64::MAX, LAST_SECOND)] {
            let text = mint(TokenKind::Code, Timestamp(end));
            assert_eq!(second(key_of(TokenKind::Code, &text).unwrap().end), kept);
        }
    }

    /// A clock at this millisecond.
    struct At(i64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp(self.0 / 1_000)
        }

        fn now_millis(&self) -> i64 {
            self.0
        }
    }

    #[test]
    fn tokens_that_live_equally_long_lie_in_the_order_in_which_they_were_made() {
        let end = |millis: i64| {
            let clock = At(millis);
            let text = mint(TokenKind::Rpt, "alice", clock.now().plus(3_600), &clock, &jose::SystemRandomness);
            key_of(TokenKind::Rpt, &text).unwrap().end
        };
        let begin = 1_800_000_000_000;
        let ends: Vec<i64> = (0..2_001).map(|n| end(begin + n)).collect();
        assert!(ends.is_sorted_by(|a, b| a < b), "{ends:?}");
        assert_eq!(ends.last().unwrap() - ends.first().unwrap(), 2 * TICKS);
    }

    #[test]
    fn a_token_of_an_earlier_release_is_read_on() {
        let (shard, day, random) = (written(7, 2), written(306, 2), "x".repeat(42) + "A");
        let key = key_of(TokenKind::Access, &format!("wl_at_{shard}{day}{random}")).unwrap();
        assert_eq!((key.shard, End::of(key.end)), (7, End::Day(306)));
        let key = key_of(TokenKind::Access, &format!("wl_at_{shard}{}{random}", written(1_800_000_000, 6))).unwrap();
        assert_eq!(End::of(key.end), End::Second(1_800_000_000));
        // none can be said as one of another release
        for (end, characters) in [(306, 6), (306, 7), (1_800_000_000, 7), (FIRST_TICK, 6), (4_095, 3)] {
            let text = format!("wl_at_{shard}{}{random}", written(end, characters));
            assert_eq!(key_of(TokenKind::Access, &text), None, "{end} in {characters}");
        }
    }
}
