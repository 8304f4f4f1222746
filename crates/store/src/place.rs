//! Where the rows of tokens are (docs/decisions/0003, 0072).

use database::{Row, Value};
use identity::TokenKey;
use identity::token_text::{End, FIRST_SECOND, LAST_SECOND, TICKS};

/// Bits of a place behind those of the second, behind those of the tick, and in the first release of the day.
const BITS_OF_SECOND: u32 = 32;
const BITS_OF_TICK: u32 = BITS_OF_SECOND - TICKS.ilog2();
const BITS_OF_DAY: u32 = 51;

/// Where a token's row is: the second of its end and the part of a second in which it was made, then the first bits of its hash,
/// as one number below zero. What is written together lies together, and what has ended is a beginning. SQLite finds a row by a
/// number in half the pages that it needs for a long key. Two tokens may fall on one place: the row has the whole hash, which
/// decides. Places of the first release begin with the day and are above zero.
pub(crate) fn place(key: &TokenKey) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = key.hash;
    let bits = |of: u32| i64::try_from(u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> (64 - of)).unwrap_or(0);
    match End::of(key.end) {
        End::Day(day) => (day << BITS_OF_DAY) | bits(BITS_OF_DAY),
        End::Second(second) => first_place_of(second) | bits(BITS_OF_SECOND),
        End::Tick(tick) => i64::MIN.saturating_add(tick << BITS_OF_TICK) | bits(BITS_OF_TICK),
    }
}

/// The first place of a second.
pub(crate) fn first_place_of(second: i64) -> i64 {
    i64::MIN.saturating_add((second.clamp(FIRST_SECOND, LAST_SECOND).saturating_sub(FIRST_SECOND)) << BITS_OF_SECOND)
}

/// The places of one of so many slices of a day, of an earlier release.
pub(crate) fn slice_of_day(bucket: i64, slice: i64, slices: i64) -> (i64, i64) {
    let width = (1_i64 << BITS_OF_DAY).checked_div(slices).unwrap_or(0);
    let from = (bucket << BITS_OF_DAY) | slice.saturating_mul(width);
    (from, from.saturating_add(width))
}

/// The key of a token's row.
pub(crate) fn token_key(key: &TokenKey) -> Vec<Value> {
    vec![place(key).into()]
}

/// The row of a token, with what follows its hash.
pub(crate) fn token_row(key: &TokenKey, rest: impl IntoIterator<Item = Value>) -> Row {
    let mut row = vec![place(key).into(), key.hash.to_vec().into()];
    row.extend(rest);
    row
}

/// The row, if it is this token's.
pub(crate) fn of_token(row: Option<Row>, key: &TokenKey) -> Option<Row> {
    row.filter(|row| row.get(1).and_then(Value::as_blob) == Some(&key.hash))
}
