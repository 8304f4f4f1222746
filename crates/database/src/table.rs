//! How a party describes its tables to the engine, and what a row is.

use types::ReadError;

/// Letters of a key that a log names at most.
const LONGEST_NAME: usize = 200;

/// A value of a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl Value {
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(int) = self { Some(*int) } else { None }
    }

    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub fn as_blob(&self) -> Option<&[u8]> {
        if let Self::Blob(blob) = self { Some(blob) } else { None }
    }

    /// As a log names it.
    fn shown(&self) -> String {
        match self {
            Self::Null => "nothing".into(),
            Self::Int(int) => int.to_string(),
            Self::Text(text) => text.escape_debug().to_string(),
            Self::Blob(blob) => blob.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<Vec<u8>> for Value {
    fn from(blob: Vec<u8>) -> Self {
        Self::Blob(blob)
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row: one value per column, in the table's order.
pub type Row = Vec<Value>;

/// Type of a column, as migrations declare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Int,
    Text,
    Blob,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
}

/// An index over columns of a table; scans along it are ordered by these, then by the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    pub name: &'static str,
    /// Positions of its columns.
    pub columns: &'static [usize],
    /// No two rows may agree in it, unless one of the columns is null.
    pub unique: bool,
}

/// When rows run out: once the number in a column is below what there is for them by then. The column is the first of an index
/// or of the key, so that nothing is walked over that stays.
#[derive(Clone, Copy, Debug)]
pub struct Expiry {
    /// Position of the column.
    pub column: usize,
    /// What that number is measured against, by the seconds of now.
    pub limit: fn(i64) -> i64,
}

impl Expiry {
    /// By a column of seconds: as soon as they have passed.
    pub const fn at(column: usize) -> Self {
        Self { column, limit: |now| now }
    }
}

/// A table. Its first `key` columns are its primary key.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [Column],
    pub key: usize,
    pub indexes: &'static [Index],
    /// Its last column is a body that [`crate::Records`] seals: whoever has the database and no key reads nothing in it.
    pub sealed: bool,
    /// When rows may be swept, if they run out.
    pub expires: Option<Expiry>,
    /// Whoever knows a key may do something with it, so that no log names one.
    pub key_is_secret: bool,
    /// Position of the index by which rows are ended together ([`crate::Operation::DeleteAll`]): whoever adds one meanwhile
    /// comes before that or after it, on every engine.
    pub ended_by: Option<usize>,
}

/// A description is its own within a process.
impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}
impl Eq for Table {}

impl Table {
    /// What most tables have in common: one column is the key, there is no index, nothing is sealed, and no row runs out.
    pub const OPEN: Self =
        Self { name: "", columns: &[], key: 1, indexes: &[], sealed: false, expires: None, key_is_secret: false, ended_by: None };

    /// The key of a row.
    pub fn key_of<'r>(&self, row: &'r [Value]) -> &'r [Value] {
        row.get(..self.key).unwrap_or(row)
    }

    /// That a row is there and does not say what it is to say.
    pub fn does_not_open(&self, row: &[Value]) -> ReadError {
        let parts = self.key_of(row).iter().map(Value::shown).collect::<Vec<_>>().join(", ");
        let key: String = parts.chars().take(LONGEST_NAME).collect();
        ReadError::DoesNotOpen { table: self.name, key: Some(key).filter(|_| !self.key_is_secret) }
    }

    fn column<'r, T>(&self, row: &'r [Value], at: usize, read: impl FnOnce(&'r Value) -> Option<T>) -> Result<T, ReadError> {
        row.get(at).and_then(read).ok_or_else(|| self.does_not_open(row))
    }

    /// The number in a column of a row.
    pub fn int(&self, row: &[Value], at: usize) -> Result<i64, ReadError> {
        self.column(row, at, Value::as_int)
    }

    /// The text in a column of a row.
    pub fn text<'r>(&self, row: &'r [Value], at: usize) -> Result<&'r str, ReadError> {
        self.column(row, at, Value::as_text)
    }

    /// The bytes in the last column of a row.
    pub fn body<'r>(&self, row: &'r [Value]) -> Result<&'r [u8], ReadError> {
        self.column(row, row.len().saturating_sub(1), Value::as_blob)
    }

    /// Positions of the columns that a scan along `index` is ordered by, the key last.
    pub(crate) fn order(&self, index: Option<usize>) -> Vec<usize> {
        let mut columns: Vec<usize> =
            index.and_then(|at| self.indexes.get(at)).map(|index| index.columns.to_vec()).unwrap_or_default();
        columns.extend((0..self.key).filter(|at| !columns.contains(at)).collect::<Vec<_>>());
        columns
    }

    /// The order along which rows are swept: of an index, or of the key.
    pub(crate) fn order_of_expiry(&self, expiry: &Expiry) -> Option<Option<usize>> {
        let is_first = |index: &Index| index.columns.first() == Some(&expiry.column);
        if expiry.column == 0 { Some(None) } else { self.indexes.iter().position(is_first).map(Some) }
    }

    /// Position of a column.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// A walk along a key or an index.
pub struct Scan<'a> {
    pub table: &'static Table,
    /// Position in `table.indexes`; `None`: along the key.
    pub index: Option<usize>,
    /// Values that the first columns of the order must equal.
    pub prefix: &'a [Value],
    /// Rows after this value of the first column behind the prefix.
    pub after: Option<Value>,
    pub descending: bool,
    pub limit: usize,
}
