//! Seals: every row's value is sealed for its place, and opens nowhere else; whether this is the key of the store; and what a
//! browser keeps for the desk.

use super::{SECRET, Store, StoreAway, StoreClosed, TABLES, away};
use database::{Operation, Row, Scan, Table, Value};
use jose::SystemRandomness;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The secret that is none: it opens with the key of the store, and with no other.
pub(super) const KEY_CHECK: &str = "key check";

/// What a seal for browsers is for: no row's, and no row is one.
const IN_BROWSER: &[u8] = b"in a browser";

/// What a seal is bound to: the table, and the columns by which its row is found.
fn place_of(table: &Table, key: &[Value]) -> Vec<u8> {
    let mut place = table.name.as_bytes().to_vec();
    for column in key {
        let text = column.as_text().map_or_else(|| format!("{column:?}"), str::to_owned);
        place.extend(text.len().to_be_bytes());
        place.extend(text.as_bytes());
    }
    place
}

impl Store {
    /// The row with these columns, and the value sealed behind them. A seal knows its table and its row: copied into another
    /// row, it does not open there.
    pub(super) fn sealed_row(&self, table: &Table, mut columns: Row, value: &impl Serialize) -> Result<Row, StoreAway> {
        let plain = serde_json::to_vec(value).map_err(away)?;
        columns.push(self.sealed(table, table.key_of(&columns), &plain)?);
        Ok(columns)
    }

    fn sealed(&self, table: &Table, key: &[Value], plain: &[u8]) -> Result<Value, StoreAway> {
        Ok(self.key.seal(plain, &place_of(table, key), &SystemRandomness).map_err(away)?.into())
    }

    /// What a browser keeps for this desk, and can neither read nor change.
    pub(crate) fn sealed_for_browser(&self, value: &impl Serialize) -> Result<String, StoreAway> {
        let plain = serde_json::to_vec(value).map_err(away)?;
        Ok(jose::base64url::encode(self.key.seal(&plain, IN_BROWSER, &SystemRandomness).map_err(away)?))
    }

    /// What it brings back, if it is that.
    pub(crate) fn opened_from_browser<T: DeserializeOwned>(&self, text: &str) -> Option<T> {
        serde_json::from_slice(&self.key.open(&jose::base64url::decode(text)?, IN_BROWSER)?).ok()
    }

    fn plain(&self, table: &Table, row: &Row) -> Option<Vec<u8>> {
        self.key.open(row.last()?.as_blob()?, &place_of(table, table.key_of(row)))
    }

    /// As a row of before was sealed, for its table alone.
    fn plain_of_before(&self, table: &Table, row: &Row) -> Option<Vec<u8>> {
        self.key.open(row.last()?.as_blob()?, table.name.as_bytes())
    }

    /// What is there and does not open is an error: whoever took it for absent would make keys anew and forget withdrawals.
    pub(super) fn opened<T: DeserializeOwned>(&self, table: &Table, row: &Row) -> Result<T, StoreAway> {
        let plain = self.plain(table, row);
        let closed = || format!("a row of `{}` does not open: is this the key file that goes with the store?", table.name);
        serde_json::from_slice(&plain.ok_or_else(closed).map_err(away)?).map_err(away)
    }

    /// Whether this is the key that the store was sealed with. A store of before there was such a check gets one, where
    /// everything in it opens, and in the same commit each of its rows is sealed anew, for its place. With another key nothing at
    /// all is written.
    pub async fn check_key(&self) -> Result<(), StoreClosed> {
        let name = Value::from(KEY_CHECK);
        if let Some(row) = self.database.get(&SECRET, std::slice::from_ref(&name)).map_err(away)? {
            return self.opened::<Vec<u8>>(&SECRET, &row).map(drop).map_err(|_| StoreClosed::OtherKey);
        }
        let mut operations = Vec::new();
        for table in TABLES {
            let all = Scan { table, index: None, prefix: &[], after: None, descending: false, limit: usize::MAX };
            let rows = self.database.scan(&all).map_err(away)?;
            let opens = |row: &Row| self.plain(table, row).is_some() || self.plain_of_before(table, row).is_some();
            if !rows.iter().all(opens) {
                return Err(if rows.iter().any(opens) { StoreClosed::Broken(table.name) } else { StoreClosed::OtherKey });
            }
            for mut row in rows {
                let Some(plain) = self.plain_of_before(table, &row) else { continue };
                let sealed = self.sealed(table, table.key_of(&row), &plain)?;
                row.pop();
                row.push(sealed);
                operations.push(Operation::Put { table, row });
            }
        }
        let row = self.sealed_row(&SECRET, vec![name], &KEY_CHECK.as_bytes())?;
        operations.push(Operation::Put { table: &SECRET, row });
        Ok(self.write(operations).await?)
    }
}
