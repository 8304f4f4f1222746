//! How a party describes its tables to the engine, and what a row is.

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

/// A table. Its first `key` columns are its primary key.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [Column],
    pub key: usize,
    pub indexes: &'static [Index],
    /// Its last column is a body that [`crate::Records`] seals: whoever has the database and no key reads nothing in it.
    pub sealed: bool,
    /// Position of a column of seconds: a row may be swept as soon as they have passed.
    pub expires: Option<usize>,
    /// Position of the index by which rows are ended together ([`crate::Operation::DeleteAll`]): whoever adds one meanwhile
    /// comes before that or after it, on every engine.
    pub ended_by: Option<usize>,
}

impl Table {
    /// What most tables have in common: one column is the key, there is no index, nothing is sealed, and no row runs out.
    pub const OPEN: Self = Self { name: "", columns: &[], key: 1, indexes: &[], sealed: false, expires: None, ended_by: None };

    /// The key of a row.
    pub fn key_of<'r>(&self, row: &'r [Value]) -> &'r [Value] {
        row.get(..self.key).unwrap_or(row)
    }

    /// Positions of the columns that a scan along `index` is ordered by, the key last.
    pub(crate) fn order(&self, index: Option<usize>) -> Vec<usize> {
        let mut columns: Vec<usize> =
            index.and_then(|at| self.indexes.get(at)).map(|index| index.columns.to_vec()).unwrap_or_default();
        columns.extend((0..self.key).filter(|at| !columns.contains(at)).collect::<Vec<_>>());
        columns
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
