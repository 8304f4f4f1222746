//! Tables of a manager's store, and how they came to be.

use database::{Column, Expiry, Index, Kind, Migrations, Table};

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

const BODY: Column = Column { name: "body", kind: Kind::Blob };

/// As all tables here are: their bodies are sealed.
const SEALED: Table = Table { sealed: true, ..Table::OPEN };

/// What runs out, under names that open something.
const FOR_A_WHILE: Table = Table { expires: Some(Expiry::at(1)), key_is_secret: true, ..SEALED };

pub(super) static SESSION: Table = Table {
    name: "session",
    columns: &[text("id"), int("expires"), BODY],
    indexes: &[Index { name: "session_by_end", columns: &[1], unique: false }],
    ..FOR_A_WHILE
};
pub(super) static BEGUN: Table = Table {
    name: "begun",
    columns: &[text("state"), int("expires"), BODY],
    indexes: &[Index { name: "begun_by_end", columns: &[1], unique: false }],
    ..FOR_A_WHILE
};
pub(super) static SECRET: Table = Table { name: "secret", columns: &[text("name"), BODY], ..SEALED };
pub(super) static REGISTRATION: Table = Table { name: "registration", columns: &[text("issuer"), BODY], ..SEALED };
pub(super) static LINK: Table = Table { name: "link", columns: &[text("owner"), text("id"), BODY], key: 2, ..SEALED };
pub(super) static NOTICE: Table = Table { name: "notice", columns: &[text("sub"), BODY], ..SEALED };
pub(super) static VAULT: Table = Table { name: "vault", columns: &[text("owner"), text("did"), BODY], key: 2, ..SEALED };
pub(super) static VAULT_PASSKEY: Table =
    Table { name: "vault_passkey", columns: &[text("owner"), text("credential"), BODY], key: 2, ..SEALED };
pub(super) static SNAPSHOT: Table = Table { name: "snapshot", columns: &[text("owner"), text("link"), BODY], key: 2, ..SEALED };
pub(super) static LEDGER: Table = Table { name: "ledger", columns: &[text("owner"), text("id"), BODY], key: 2, ..SEALED };
pub(super) static TASK: Table = Table {
    name: "task",
    columns: &[text("owner"), text("id"), int("due"), BODY],
    key: 2,
    indexes: &[Index { name: "task_by_due", columns: &[2], unique: false }],
    ..SEALED
};

pub(super) static TABLES: [&Table; 11] =
    [&SESSION, &BEGUN, &SECRET, &REGISTRATION, &LINK, &NOTICE, &VAULT, &VAULT_PASSKEY, &SNAPSHOT, &LEDGER, &TASK];

pub(super) const MIGRATIONS: Migrations = Migrations(&[
    "\
     CREATE TABLE session (id TEXT PRIMARY KEY, expires BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE begun (state TEXT PRIMARY KEY, expires BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE secret (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE registration (issuer TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE link (owner TEXT, id TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;
     CREATE TABLE notice (sub TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE vault (owner TEXT, did TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, did)) WITHOUT ROWID;
     CREATE TABLE snapshot (owner TEXT, link TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, link)) WITHOUT ROWID;
     CREATE TABLE task (owner TEXT, id TEXT, due BIGINT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;
     CREATE INDEX task_by_due ON task (due);",
    "CREATE TABLE vault_passkey (owner TEXT, credential TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, credential)) WITHOUT ROWID;",
    "CREATE TABLE ledger (owner TEXT, id TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;",
    "CREATE INDEX session_by_end ON session (expires);
     CREATE INDEX begun_by_end ON begun (expires);",
]);

/// The same on PostgreSQL: first the indexes by which rows run out.
pub(super) const POSTGRES: &[&str] = &[""];
