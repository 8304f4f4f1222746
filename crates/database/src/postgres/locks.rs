//! What a commit waits for before anything else: advisory locks of the database, which it gives back with the transaction. They
//! are taken in one order by one statement, so that nobody waits in a circle, and whoever came first is first.

use super::commit::is_written;
use crate::batch::{Batch, Check, Operation};
use crate::table::{Table, Value};
use std::collections::BTreeMap;

/// Takes them: places, and whether each is held alone.
pub(super) const TAKE: &str = "SELECT CASE WHEN alone THEN pg_advisory_xact_lock(place) ELSE pg_advisory_xact_lock_shared(place) \
    END FROM unnest(string_to_array($1, ',')::bigint[], string_to_array($2, ',')::boolean[]) AS locks (place, alone)";

/// Rows that a batch waits for in their turn: each is a lock of the database, which has some thousands.
const MOST_TURNS: usize = 100;

/// The parameters of [`TAKE`]; none where nothing has to be waited for.
pub(super) fn list(batch: &Batch) -> Option<Vec<Value>> {
    let mut locks = Locks::default();
    batch.operations.iter().for_each(|operation| locks.hold_kind(operation));
    let has_turns = batch.checks.len() <= MOST_TURNS;
    for check in &batch.checks {
        match check {
            // those who would be the first of a name look one after the other
            Check::NoneAlong { table, prefix, .. } => locks.hold(place_of("first", table, prefix), true),
            Check::Equals { table, key, .. } | Check::Below { table, key, .. } if has_turns => {
                // those who share a row let others pass who share it, before one who waits to have it alone
                locks.hold(place_of("turn", table, key), is_written(batch, check));
            }
            Check::Absent { .. } | Check::Equals { .. } | Check::Below { .. } => {}
        }
    }
    locks.into_parameters()
}

#[derive(Default)]
struct Locks(BTreeMap<i64, bool>);

impl Locks {
    fn hold(&mut self, place: i64, is_alone: bool) {
        *self.0.entry(place).or_default() |= is_alone;
    }

    /// What is ended together: who adds a row holds its place with others, who ends them holds it alone. A statement sees what
    /// was committed when it began, so without them a row that is added meanwhile would outlive the end.
    fn hold_kind(&mut self, operation: &Operation) {
        let table = operation.table();
        let (value, is_alone) = match operation {
            Operation::Insert { row, .. } | Operation::Put { row, .. } | Operation::Raise { row, .. } => {
                let column = table.ended_by.and_then(|at| table.indexes.get(at)).and_then(|index| index.columns.first());
                (column.and_then(|at| row.get(*at)), false)
            }
            Operation::DeleteAll { prefix, .. } => (prefix.first(), true),
            _ => (None, false),
        };
        if let Some(value @ (Value::Text(_) | Value::Blob(_))) = value {
            self.hold(place_of("kind", table, std::slice::from_ref(value)), is_alone);
        }
    }

    fn into_parameters(self) -> Option<Vec<Value>> {
        let join = |all: Vec<String>| Value::Text(all.join(","));
        let places = self.0.keys().map(i64::to_string).collect();
        let alone = self.0.values().map(bool::to_string).collect();
        (!self.0.is_empty()).then(|| vec![join(places), join(alone)])
    }
}

/// The place of values among those of their table, for one purpose: FNV-1a, the same in every process. Two that share one wait
/// for each other.
fn place_of(purpose: &str, table: &Table, values: &[Value]) -> i64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let add = |hash: u64, text: &[u8]| text.iter().chain(&[0]).fold(hash, mix);
    let named = add(add(0xcbf2_9ce4_8422_2325, purpose.as_bytes()), table.name.as_bytes());
    let hash = values.iter().fold(named, |hash, value| match value {
        Value::Text(text) => add(hash, text.as_bytes()),
        Value::Blob(blob) => add(hash, blob),
        Value::Int(int) => add(hash, &int.to_be_bytes()),
        Value::Null => add(hash, &[]),
    });
    i64::from_ne_bytes(hash.to_ne_bytes())
}
