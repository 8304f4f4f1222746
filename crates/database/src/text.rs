//! SQL texts of both engines. A text depends only on the shape of a call, so it is made once on each thread, and prepared once
//! on each connection.

use crate::batch::{Check, Operation};
use crate::table::{Scan, Table, Value};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// Whose words a text is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// What a text does to its table. Parameters stand in the order in which a shape names them; a key or a prefix comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    Get,
    /// One column of the row.
    Column {
        column: usize,
    },
    Scan(Walk),
    Count(Walk),
    Insert,
    Put,
    Delete,
    DeleteAll {
        index: Option<usize>,
        fixed: usize,
    },
    DeleteBetween,
    Add {
        column: usize,
    },
    Raise {
        column: usize,
    },
    DeleteBelow {
        column: usize,
    },
    /// Takes the place of a key, and breaks the transaction where a row has it: whoever would write one waits for the end.
    /// [`Shape::Delete`] leaves the place again.
    Absent,
    /// Breaks the transaction unless the row with this key has this value there; the row stays as it is until the end.
    Equals {
        column: usize,
        locks: Lock,
    },
    /// Breaks the transaction where a row has this prefix of an index.
    NoneAlong {
        index: usize,
        fixed: usize,
    },
    /// The same as [`Shape::Equals`] where it is to be less than this.
    Below {
        column: usize,
        locks: Lock,
    },
}

/// How long walks differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Walk {
    index: Option<usize>,
    fixed: usize,
    goes_on: bool,
    descending: bool,
}

/// Who else may hold a row that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lock {
    /// Whoever checks it as well.
    Shared,
    /// Nobody: it is written after this.
    Own,
}

type Made = HashMap<(Dialect, usize, Shape), Arc<str>>;

thread_local! {
    static MADE: RefCell<Made> = RefCell::default();
}

/// The text of a shape.
pub(crate) fn text(dialect: Dialect, table: &'static Table, shape: Shape) -> Arc<str> {
    // a description is its own within a process
    let place = std::ptr::from_ref(table).addr();
    MADE.with_borrow_mut(|made| {
        made.entry((dialect, place, shape)).or_insert_with(|| Writer { dialect, table }.write(shape).into()).clone()
    })
}

/// Text and parameters of a walk over rows, or of their number.
pub(crate) fn walk(dialect: Dialect, scan: &Scan<'_>, counted: bool) -> (Arc<str>, Vec<Value>) {
    let (index, fixed, descending) = (scan.index, scan.prefix.len(), scan.descending);
    let after = scan.after.as_ref().filter(|_| fixed < scan.table.order(index).len());
    let walk = Walk { index, fixed, goes_on: after.is_some(), descending };
    let mut parameters = scan.prefix.to_vec();
    parameters.extend(after.cloned());
    parameters.push(Value::Int(i64::try_from(scan.limit).unwrap_or(i64::MAX)));
    (text(dialect, scan.table, if counted { Shape::Count(walk) } else { Shape::Scan(walk) }), parameters)
}

/// Text and parameters of a change.
pub(crate) fn change(dialect: Dialect, operation: &Operation) -> (Arc<str>, Cow<'_, [Value]>) {
    let and = |key: &[Value], more: i64| Cow::Owned([key, &[Value::Int(more)]].concat());
    let (shape, parameters) = match operation {
        Operation::Insert { row, .. } => (Shape::Insert, Cow::Borrowed(&**row)),
        Operation::Put { row, .. } => (Shape::Put, Cow::Borrowed(&**row)),
        Operation::Delete { key, .. } => (Shape::Delete, Cow::Borrowed(&**key)),
        Operation::DeleteAll { index, prefix, .. } => {
            (Shape::DeleteAll { index: *index, fixed: prefix.len() }, Cow::Borrowed(&**prefix))
        }
        Operation::DeleteBetween { from, below, .. } => {
            (Shape::DeleteBetween, Cow::Owned(vec![Value::Int(*from), Value::Int(*below)]))
        }
        Operation::Add { key, column, by, .. } => (Shape::Add { column: *column }, and(key, *by)),
        Operation::Raise { row, column, .. } => (Shape::Raise { column: *column }, Cow::Borrowed(&**row)),
        Operation::DeleteBelow { column, limit, most, .. } => {
            (Shape::DeleteBelow { column: *column }, and(&[Value::Int(*limit)], i64::try_from(*most).unwrap_or(i64::MAX)))
        }
    };
    (text(dialect, operation.table(), shape), parameters)
}

/// Text and parameters of a check that breaks its transaction where it does not hold.
pub(crate) fn check(dialect: Dialect, check: &Check, locks: Lock) -> (Arc<str>, Cow<'_, [Value]>) {
    let (table, shape, parameters) = match check {
        Check::NoneAlong { table, index, prefix } => {
            (table, Shape::NoneAlong { index: *index, fixed: prefix.len() }, Cow::Borrowed(&**prefix))
        }
        Check::Absent { table, key } => (table, Shape::Absent, Cow::Borrowed(&**key)),
        Check::Equals { table, key, column, value } => {
            (table, Shape::Equals { column: *column, locks }, Cow::Owned([&**key, std::slice::from_ref(value)].concat()))
        }
        Check::Below { table, key, column, limit } => {
            (table, Shape::Below { column: *column, locks }, Cow::Owned([&**key, &[Value::Int(*limit)]].concat()))
        }
    };
    (text(dialect, table, shape), parameters)
}

/// Writes the text of one shape.
struct Writer {
    dialect: Dialect,
    table: &'static Table,
}

impl Writer {
    fn write(&self, shape: Shape) -> String {
        let table = self.table.name;
        let last = self.place(self.table.key.saturating_add(1));
        match shape {
            Shape::Get => format!("SELECT {} FROM {table}{}", self.names(), self.by_key()),
            Shape::Column { column } => format!("SELECT {} FROM {table}{}", self.name(column), self.by_key()),
            Shape::Scan(walk) => self.along(&walk, &self.names()),
            Shape::Count(walk) => format!("SELECT COUNT(*) FROM ({}) AS walked", self.along(&walk, "1")),
            Shape::Insert => self.row(""),
            Shape::Put => {
                let rest = self.table.columns.iter().skip(self.table.key);
                let all: Vec<_> = rest.map(|column| format!("{0}=excluded.{0}", column.name)).collect();
                let set = if all.is_empty() { "DO NOTHING".to_owned() } else { format!("DO UPDATE SET {}", all.join(",")) };
                self.row(&format!(" ON CONFLICT ({}) {set}", self.key_names()))
            }
            Shape::Delete => format!("DELETE FROM {table}{}", self.by_key()),
            Shape::DeleteAll { index, fixed } => {
                let order = self.table.order(index);
                format!("DELETE FROM {table}{}", self.equals(order.get(..fixed).unwrap_or(&order)))
            }
            Shape::DeleteBetween => {
                let key = self.name(0);
                format!("DELETE FROM {table} WHERE {key}>={} AND {key}<{}", self.place(1), self.place(2))
            }
            Shape::Add { column } => {
                let sum = self.sum(self.name(column), &last);
                format!("UPDATE {table} SET {}={sum}{}", self.name(column), self.by_key())
            }
            Shape::Raise { column } => {
                let name = self.name(column);
                let sum = self.sum(&format!("{table}.{name}"), &format!("excluded.{name}"));
                self.row(&format!(" ON CONFLICT ({}) DO UPDATE SET {name}={sum}", self.key_names()))
            }
            Shape::DeleteBelow { column } => {
                let (key, low) = (self.key_names(), format!("{}<{}", self.name(column), self.place(1)));
                let lowest = format!("{} LIMIT {}", self.ordered(column, false), self.place(2));
                format!("DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {low} ORDER BY {lowest})")
            }
            Shape::Absent => {
                let places: Vec<_> = (1..=self.table.key).map(|n| self.place(n)).collect();
                format!("INSERT INTO {table} ({}) VALUES ({})", self.key_names(), places.join(","))
            }
            Shape::NoneAlong { index, fixed } => {
                let order = self.table.order(Some(index));
                let along = self.equals(order.get(..fixed).unwrap_or(&order));
                format!("SELECT 1/(1-COUNT(*)) FROM (SELECT 1 FROM {table}{along} LIMIT 1) AS found")
            }
            Shape::Equals { column, locks } => self.held(&format!("{} IS NOT DISTINCT FROM {last}", self.name(column)), locks),
            Shape::Below { column, locks } => self.held(&format!("{}<{last}", self.name(column)), locks),
        }
    }

    fn place(&self, at: usize) -> String {
        // in SQLite `$1` would be a name, numbered by where it first stands
        format!("{}{at}", if self.dialect == Dialect::Sqlite { '?' } else { '$' })
    }

    fn name(&self, at: usize) -> &'static str {
        self.table.columns.get(at).map_or("", |column| column.name)
    }

    fn names(&self) -> String {
        self.table.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(",")
    }

    fn key_names(&self) -> String {
        (0..self.table.key).map(|at| self.name(at)).collect::<Vec<_>>().join(",")
    }

    /// ` WHERE a=?1 AND b=?2`, over these columns.
    fn equals(&self, columns: &[usize]) -> String {
        let mut text = String::new();
        for (n, at) in columns.iter().enumerate() {
            let word = if n == 0 { "WHERE" } else { "AND" };
            let _ = write!(text, " {word} {}={}", self.name(*at), self.place(n.saturating_add(1)));
        }
        text
    }

    fn by_key(&self) -> String {
        self.equals(&(0..self.table.key).collect::<Vec<_>>())
    }

    /// A sum that is no greater than a number can be, and no less.
    fn sum(&self, one: &str, other: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("{one}+{other}"),
            Dialect::Postgres => format!("LEAST(GREATEST({one}::numeric+{other}::bigint,{}),{})::bigint", i64::MIN, i64::MAX),
        }
    }

    /// A check of a row, under a lock. A division by nothing ends the transaction, whatever was sent behind it.
    fn held(&self, condition: &str, locks: Lock) -> String {
        let lock = if locks == Lock::Own { "UPDATE" } else { "SHARE" };
        format!(
            "SELECT 1/COUNT(*) FROM (SELECT 1 FROM {}{} AND {condition} FOR {lock}) AS checked",
            self.table.name,
            self.by_key()
        )
    }

    fn row(&self, otherwise: &str) -> String {
        let places: Vec<_> = (1..=self.table.columns.len()).map(|n| self.place(n)).collect();
        format!("INSERT INTO {} ({}) VALUES ({}){otherwise}", self.table.name, self.names(), places.join(","))
    }

    /// This of the rows of a walk.
    fn along(&self, walk: &Walk, what: &str) -> String {
        let order = self.table.order(walk.index);
        let (fixed, free) = order.split_at_checked(walk.fixed).unwrap_or((&order, &[]));
        let mut text = format!("SELECT {what} FROM {}{}", self.table.name, self.equals(fixed));
        let mut places = fixed.len();
        if let (true, Some(first)) = (walk.goes_on, free.first()) {
            places = places.saturating_add(1);
            let word = if fixed.is_empty() { "WHERE" } else { "AND" };
            let sign = if walk.descending { "<" } else { ">" };
            let _ = write!(text, " {word} {}{sign}{}", self.name(*first), self.place(places));
        }
        let along: Vec<_> = free.iter().map(|at| self.ordered(*at, walk.descending)).collect();
        if !along.is_empty() {
            let _ = write!(text, " ORDER BY {}", along.join(","));
        }
        let _ = write!(text, " LIMIT {}", self.place(places.saturating_add(1)));
        text
    }

    /// A column in an order; what is null comes first, in whichever engine.
    fn ordered(&self, at: usize, descending: bool) -> String {
        let way = if descending { " DESC" } else { "" };
        let nulls = match (self.dialect, at < self.table.key, descending) {
            (Dialect::Sqlite, ..) | (_, true, _) => "",
            (Dialect::Postgres, false, false) => " NULLS FIRST",
            (Dialect::Postgres, false, true) => " NULLS LAST",
        };
        format!("{}{way}{nulls}", self.name(at))
    }
}
