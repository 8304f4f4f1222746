//! Between entities and rows: the body of a row is the entity as JSON, its columns are what is
//! searched, counted or compared.

use database::{Row, Value};
use identity::token_text::{End, FIRST_SECOND, LAST_SECOND, TICKS};
use identity::{SpentId, StoreError, TokenKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An entity as the body of its row.
pub(crate) fn body(entity: &impl Serialize) -> Result<Value, identity::CommitError> {
    serde_json::to_vec(entity).map(Value::Blob).map_err(|error| identity::CommitError::Unavailable(error.to_string()))
}

/// The entity of a row; the body is its last column.
pub(crate) fn entity<T: DeserializeOwned>(row: &Row) -> Result<T, StoreError> {
    serde_json::from_slice(blob(row)?).map_err(|error| StoreError(format!("a row does not read: {error}")))
}

/// The same for what may be missing.
pub(crate) fn optional<T: DeserializeOwned>(row: Option<Row>) -> Result<Option<T>, StoreError> {
    row.as_ref().map(entity).transpose()
}

/// The same for many.
pub(crate) fn entities<T: DeserializeOwned>(rows: Vec<Row>) -> Result<Vec<T>, StoreError> {
    rows.iter().map(entity).collect()
}

/// A column that every row of its table has.
fn column<'r, T>(row: &'r Row, at: usize, read: impl FnOnce(&'r Value) -> Option<T>) -> Result<T, StoreError> {
    row.get(at).and_then(read).ok_or_else(|| StoreError(format!("column {at} of a row does not read")))
}

/// A number column.
pub(crate) fn number(row: &Row, at: usize) -> Result<i64, StoreError> {
    column(row, at, Value::as_int)
}

/// A text column.
pub(crate) fn text(row: &Row, at: usize) -> Result<&str, StoreError> {
    column(row, at, Value::as_text)
}

/// The body of a row that is no JSON.
pub(crate) fn blob(row: &Row) -> Result<&[u8], StoreError> {
    column(row, row.len().saturating_sub(1), Value::as_blob)
}

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

/// The second of a place below zero.
pub(crate) fn second_of(place: i64) -> i64 {
    (place.wrapping_sub(i64::MIN) >> BITS_OF_SECOND).saturating_add(FIRST_SECOND)
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

/// The row of a spent id, which is its key: by the hour of its end first, so that what has ended is swept
/// without a walk.
pub(crate) fn spent_row(id: &SpentId) -> Row {
    vec![id.expires.hour().into(), id.kind.into(), id.issuer.as_str().into(), id.kept().into()]
}

/// A version as it is stored.
pub(crate) fn version(version: u64) -> Value {
    Value::Int(i64::try_from(version).unwrap_or(i64::MAX))
}

/// A version as it is read.
pub(crate) fn as_version(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The texts under which a waiting policy is found, as one.
pub(crate) fn waiting_for(owner: &str, resource_server: &str, own_id: &str) -> String {
    format!("{owner}\u{1f}{resource_server}\u{1f}{own_id}")
}

pub(crate) fn account_row(account: &identity::Account) -> Result<Row, identity::CommitError> {
    // only a verified address finds an account, in the form in which addresses compare
    let email = account.verified_email().and_then(types::email::normalize);
    Ok(vec![account.id.as_str().into(), account.username.as_str().into(), email.into(), body(account)?])
}

/// The empty text stands for no resource: two of them are equal, as two nulls are not.
pub(crate) fn consent_row(c: &identity::consent::Consent) -> Result<Row, identity::CommitError> {
    let resource = c.resource.as_deref().unwrap_or_default().into();
    Ok(vec![c.id.as_str().into(), c.account.as_str().into(), c.client.as_str().into(), resource, body(c)?])
}

pub(crate) fn passkey_row(p: &identity::passkey::AccountPasskey) -> Result<Row, identity::CommitError> {
    Ok(vec![p.passkey.id.as_str().into(), p.account.as_str().into(), body(p)?])
}

pub(crate) fn client_row(client: &identity::Client) -> Result<Row, identity::CommitError> {
    Ok(vec![client.id.as_str().into(), client.resource.clone().into(), body(client)?])
}

/// The row by which it is known that an RPT was signed: by the hour of its end first, so that what has ended is swept
/// without a walk.
pub(crate) fn signed_rpt_row(rpt: &rules::Rpt, jti: &str) -> Row {
    vec![
        rpt.expires.hour().into(),
        rpt.owner.as_str().into(),
        rpt.resource_server.as_str().into(),
        jti.into(),
        rpt.expires.0.into(),
    ]
}

/// An id of ours is 32 hexadecimal digits; a seal holds them as 16 bytes each.
pub(crate) fn event_ids(bytes: &[u8]) -> Vec<types::EventId> {
    let digits = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    bytes.chunks_exact(16).map(|id| types::EventId::new(digits(id))).collect()
}
