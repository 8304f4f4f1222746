//! Tables of a gateway's store, and how older stores become newer ones.

use crate::gateway::brought::COUNTS_UNANSWERED_SECONDS;
use database::{Column, Expiry, Index, Kind, Migrations, Table};

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}
const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}
const BODY: Column = Column { name: "body", kind: Kind::Blob };

/// PATs, by owner and authorization server.
pub(super) static LINK: Table = Table {
    name: "owner_link",
    columns: &[text("owner"), text("issuer"), BODY],
    key: 2,
    indexes: &[],
    sealed: true,
    ..Table::OPEN
};

/// What is registered where.
pub(super) static REGISTRATION: Table = Table {
    name: "registered",
    columns: &[text("owner"), text("own_id"), text("id"), text("state"), BODY],
    key: 3,
    indexes: &[Index { name: "registered_by_state", columns: &[3], unique: false }],
    ..Table::OPEN
};

/// What an owner says of a resource of hers.
pub(super) static OPINION: Table =
    Table { name: "opinion", columns: &[text("owner"), text("own_id"), BODY], key: 2, indexes: &[], ..Table::OPEN };

/// Links that owners began by managing.
pub(super) static BEGUN: Table = Table {
    name: "begun_link",
    columns: &[text("state"), text("owner"), int("expires"), BODY],
    key: 1,
    indexes: &[
        Index { name: "begun_link_by_expiry", columns: &[2], unique: false },
        Index { name: "begun_link_by_owner", columns: &[1, 2], unique: false },
    ],
    sealed: true,
    expires: Some(Expiry::at(2)),
    key_is_secret: true,
    ..Table::OPEN
};

pub(super) static CREDENTIAL: Table =
    Table { name: "credential", columns: &[text("owner"), text("subject"), BODY], key: 2, indexes: &[], ..Table::OPEN };

/// Kept until they would have ended by themselves, with room for a clock that is wrong.
pub(super) static WITHDRAWN: Table = Table {
    name: "withdrawn",
    columns: &[text("owner"), text("jti"), int("expires")],
    key: 2,
    indexes: &[Index { name: "withdrawn_by_end", columns: &[2], unique: false }],
    expires: Some(Expiry { column: 2, limit: |now| now.saturating_sub(86_400) }),
    ..Table::OPEN
};

pub(super) static RULE: Table =
    Table { name: "rule", columns: &[text("owner"), text("id"), BODY], key: 2, indexes: &[], ..Table::OPEN };

/// What was let through and what was refused, newest last; `until` is when it may be forgotten.
pub(super) static HISTORY: Table = Table {
    name: "history",
    columns: &[text("owner"), text("id"), int("until"), BODY],
    key: 2,
    indexes: &[Index { name: "history_by_end", columns: &[2], unique: false }],
    expires: Some(Expiry::at(2)),
    ..Table::OPEN
};

/// Owners whose folder is to be walked through; `mark` is another for each time that it is asked for.
pub(super) static UNWALKED: Table =
    Table { name: "unwalked", columns: &[text("owner"), text("mark")], key: 1, indexes: &[], ..Table::OPEN };

/// What this gateway is at authorization servers that it registered with by itself.
pub(super) static SERVER: Table =
    Table { name: "server", columns: &[text("issuer"), BODY], key: 1, indexes: &[], sealed: true, ..Table::OPEN };

/// Sessions of browsers, by a hash of their cookie; what they hold is sealed by that cookie.
pub(super) static SESSION: Table = Table {
    name: "browser_session",
    columns: &[text("id"), text("network"), text("host"), int("until"), BODY],
    key: 1,
    indexes: &[Index { name: "browser_session_by_end", columns: &[3], unique: false }],
    expires: Some(Expiry::at(3)),
    ..Table::OPEN
};

/// From where they were begun: so few bytes of each are read where a network has too many. `known`: somebody was granted
/// something, or is known again.
pub(super) static SESSION_PLACE: Table = Table {
    name: "session_place",
    columns: &[text("network"), text("id"), text("host"), int("until"), int("known")],
    key: 2,
    indexes: &[Index { name: "session_place_by_end", columns: &[3], unique: false }],
    expires: Some(Expiry::at(3)),
    ..Table::OPEN
};

/// When a server last said that a word of an owner's for an application stands. What is older than it counts says as much as
/// nothing does.
pub(super) static ANSWERED: Table = Table {
    name: "answered_grant",
    columns: &[text("id"), int("answered")],
    key: 1,
    indexes: &[Index { name: "answered_grant_by_time", columns: &[1], unique: false }],
    expires: Some(Expiry { column: 1, limit: |now| now.saturating_sub(COUNTS_UNANSWERED_SECONDS) }),
    ..Table::OPEN
};

/// Its own keys.
pub(super) static SECRET: Table =
    Table { name: "secret", columns: &[text("name"), BODY], key: 1, indexes: &[], sealed: true, ..Table::OPEN };

pub(super) const TABLES: &[&Table] = &[
    &LINK,
    &REGISTRATION,
    &OPINION,
    &BEGUN,
    &CREDENTIAL,
    &WITHDRAWN,
    &RULE,
    &HISTORY,
    &UNWALKED,
    &SERVER,
    &SESSION,
    &SESSION_PLACE,
    &ANSWERED,
    &SECRET,
];

pub(super) const MIGRATIONS: Migrations = Migrations(&[
    "CREATE TABLE link (owner TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE registration (owner TEXT, own_id TEXT, id TEXT NOT NULL, PRIMARY KEY (owner, own_id)) WITHOUT ROWID;
     CREATE INDEX registration_by_id ON registration (id);
     CREATE TABLE begun (state TEXT PRIMARY KEY, expires BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;",
    "CREATE TABLE credential (owner TEXT, subject TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, subject)) WITHOUT ROWID;
     CREATE TABLE withdrawn (owner TEXT, jti TEXT, expires BIGINT NOT NULL, PRIMARY KEY (owner, jti)) WITHOUT ROWID;",
    // the issuer of what is older is the configured one, which SQL does not know: see `Store::adopt`
    "CREATE TABLE owner_link (owner TEXT, issuer TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, issuer)) WITHOUT ROWID;
     INSERT INTO owner_link SELECT owner, '', body FROM link;
     DROP TABLE link;
     CREATE TABLE registered (owner TEXT, own_id TEXT, id TEXT, state TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (owner, own_id, id)) WITHOUT ROWID;
     INSERT INTO registered SELECT owner, own_id, id, 'active', CAST(json_object('owner', owner, 'own_id', own_id, 'id', id,
        'issuer', '', 'resource_id', id, 'standing', 'active', 'created', 0) AS BLOB) FROM registration;
     DROP TABLE registration;
     CREATE INDEX registered_by_state ON registered (state);
     CREATE TABLE opinion (owner TEXT, own_id TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, own_id)) WITHOUT ROWID;
     CREATE TABLE rule (owner TEXT, id TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;
     CREATE TABLE history (owner TEXT, id TEXT, until BIGINT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;
     CREATE TABLE server (issuer TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE secret (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;",
    "CREATE TABLE unwalked (owner TEXT PRIMARY KEY, mark TEXT NOT NULL) WITHOUT ROWID;",
    // what had begun lived for ten minutes: whoever was on her way begins again
    "DROP TABLE begun;
     CREATE TABLE begun_link (state TEXT PRIMARY KEY, owner TEXT NOT NULL, expires BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE INDEX begun_link_by_expiry ON begun_link (expires);
     CREATE INDEX begun_link_by_owner ON begun_link (owner, expires);",
    "CREATE TABLE browser_session (id TEXT PRIMARY KEY, network TEXT NOT NULL, until BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE INDEX browser_session_by_end ON browser_session (until);
     CREATE INDEX browser_session_by_network ON browser_session (network, until);",
    // people show once more who they are
    "DROP TABLE browser_session;
     CREATE TABLE browser_session (id TEXT PRIMARY KEY, network TEXT NOT NULL, host TEXT NOT NULL, until BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE INDEX browser_session_by_end ON browser_session (until);
     CREATE TABLE session_place (network TEXT, id TEXT, host TEXT NOT NULL, until BIGINT NOT NULL, known BIGINT NOT NULL,
        PRIMARY KEY (network, id)) WITHOUT ROWID;
     CREATE INDEX session_place_by_end ON session_place (until);",
    "CREATE TABLE answered_grant (id TEXT PRIMARY KEY, answered BIGINT NOT NULL) WITHOUT ROWID;
     CREATE INDEX answered_grant_by_time ON answered_grant (answered);",
    // from here on rows are sealed, which SQL cannot do (`store/opening.rs`): a version that does not open them says that it is older
    "",
    "CREATE INDEX withdrawn_by_end ON withdrawn (expires);
     CREATE INDEX history_by_end ON history (until);",
]);

/// The same on PostgreSQL: first the indexes by which rows run out.
pub(super) const POSTGRES: &[&str] = &[""];
