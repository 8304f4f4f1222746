//! The tables as the engine must know them; the SQL is in `migrations/`, and a test holds the two
//! equal. Tokens are found by their *place*, a number (docs/decisions/0003).

use crate::place::first_place_of;
use database::{Column, Expiry, Index, Kind, Table};
use types::Timestamp;

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

const fn blob(name: &'static str) -> Column {
    Column { name, kind: Kind::Blob }
}

const BODY: Column = blob("body");
const PLACE: Column = int("place");
const HASH: Column = blob("hash");

const fn index(name: &'static str, columns: &'static [usize]) -> Index {
    Index { name, columns, unique: false }
}

const fn unique(name: &'static str, columns: &'static [usize]) -> Index {
    Index { name, columns, unique: true }
}

/// A token is kept so many seconds past its end: an RPT may still be upgraded (Grant 3.3.1).
const KEPT: i64 = 86_400;
/// Rows of tokens lie in the order in which they end; those that an earlier release placed are swept by its days.
const TOKENS: Table =
    Table { expires: Some(Expiry { column: 0, limit: |now| first_place_of(now.saturating_sub(KEPT)) }), ..Table::OPEN };
/// Led by the hour in which they end.
const BY_HOUR: Table = Table { key: 4, expires: Some(Expiry { column: 0, limit: |now| Timestamp(now).hour() }), ..Table::OPEN };

/// Position of the version of resources, policies and access requests, and of what limited policies count.
pub(crate) const VERSION: usize = 4;
pub(crate) const USES: usize = 5;

pub(crate) static ACCOUNT: Table = Table {
    name: "account",
    columns: &[text("id"), text("username"), text("email"), BODY],
    indexes: &[unique("account_by_username", &[1]), unique("account_by_email", &[2])],
    ..Table::OPEN
};

pub(crate) static CLIENT: Table = Table {
    name: "client",
    columns: &[text("id"), text("resource"), BODY],
    indexes: &[unique("client_by_resource", &[1])],
    ..Table::OPEN
};

pub(crate) static CLIENT_USE: Table = Table { name: "client_use", columns: &[text("id"), int("time")], ..Table::OPEN };

pub(crate) static SESSION: Table = Table {
    name: "session",
    columns: &[text("id"), int("expires"), BODY],
    key_is_secret: true,
    indexes: &[index("session_by_end", &[1])],
    expires: Some(Expiry::at(1)),
    ..Table::OPEN
};

pub(crate) static PASSKEY: Table = Table {
    name: "passkey",
    columns: &[text("id"), text("account"), BODY],
    indexes: &[index("passkey_by_account", &[1])],
    ..Table::OPEN
};

pub(crate) static LINKED_LOG_IN: Table = Table {
    name: "linked_log_in",
    columns: &[text("name"), text("account"), BODY],
    indexes: &[index("linked_log_in_by_account", &[1])],
    ..Table::OPEN
};

pub(crate) static CONSENT: Table = Table {
    name: "consent",
    columns: &[text("id"), text("account"), text("client"), text("resource"), BODY],
    indexes: &[unique("consent_by_account", &[1, 2, 3]), index("consent_by_client", &[2])],
    ended_by: Some(1),
    ..Table::OPEN
};

pub(crate) static CODE: Table = Table { name: "code", columns: &[PLACE, HASH, int("expires"), BODY], ..TOKENS };

pub(crate) static PUSHED_REQUEST: Table = Table {
    name: "pushed_request",
    columns: &[text("id"), int("expires"), BODY],
    key_is_secret: true,
    indexes: &[index("pushed_request_by_end", &[1])],
    expires: Some(Expiry::at(1)),
    ..Table::OPEN
};

pub(crate) static ACCESS_TOKEN: Table = Table {
    name: "access_token",
    columns: &[PLACE, HASH, text("family"), int("expires"), BODY],
    indexes: &[index("access_token_by_family", &[2])],
    ended_by: Some(0),
    ..TOKENS
};

pub(crate) static REFRESH_TOKEN: Table = Table {
    name: "refresh_token",
    columns: &[PLACE, HASH, text("family"), int("version"), int("expires"), BODY],
    indexes: &[index("refresh_token_by_family", &[2])],
    ended_by: Some(0),
    ..TOKENS
};

pub(crate) static SPENT: Table =
    Table { name: "spent", columns: &[int("hour"), text("kind"), text("issuer"), text("id")], ..BY_HOUR };

pub(crate) static SIGNING_KEY: Table = Table { name: "signing_key", columns: &[text("kid"), BODY], ..Table::OPEN };

pub(crate) static SECRET: Table = Table {
    name: "secret",
    columns: &[text("name"), int("expires"), BODY],
    indexes: &[index("secret_by_end", &[1])],
    expires: Some(Expiry::at(1)),
    ..Table::OPEN
};

pub(crate) static SERVED: Table = Table { name: "served", columns: &[text("name"), int("time")], ..Table::OPEN };

pub(crate) static RESOURCE: Table = Table {
    name: "resource",
    columns: &[text("id"), text("owner"), text("resource_server"), text("own_id"), int("version"), BODY],
    indexes: &[index("resource_by_server", &[1, 2]), index("resource_by_owner", &[1]), index("resource_by_own_id", &[1, 2, 3])],
    ..Table::OPEN
};

/// Position of that index of resources.
pub(crate) const RESOURCE_BY_OWN_ID: usize = 2;

pub(crate) static POLICY: Table = Table {
    name: "policy",
    columns: &[text("id"), text("owner"), text("resource"), text("waiting_for"), int("version"), int("uses"), BODY],
    indexes: &[index("policy_by_owner", &[1]), index("policy_by_resource", &[2]), index("policy_by_waiting", &[3])],
    ..Table::OPEN
};

pub(crate) static SHARED_WITH: Table = Table {
    name: "shared_with",
    columns: &[text("address"), text("policy")],
    key: 2,
    indexes: &[index("shared_with_by_policy", &[1])],
    ended_by: Some(0),
    ..Table::OPEN
};

/// What was signed, by the name of the key.
pub(crate) static SIGNED_POLICY: Table = Table {
    name: "signed_policy",
    columns: &[text("signer"), text("owner"), text("policy")],
    key: 3,
    indexes: &[index("signed_policy_by_policy", &[2])],
    ended_by: Some(0),
    ..Table::OPEN
};

pub(crate) static LINK: Table =
    Table { name: "link", columns: &[text("owner"), text("resource_server"), int("version")], key: 2, ..Table::OPEN };

pub(crate) static RPT: Table = Table {
    name: "rpt",
    columns: &[PLACE, HASH, text("family"), int("expires"), BODY],
    indexes: &[index("rpt_by_family", &[2])],
    ended_by: Some(0),
    ..TOKENS
};

pub(crate) static SIGNED_RPT: Table = Table {
    name: "signed_rpt",
    columns: &[int("hour"), text("owner"), text("resource_server"), text("jti"), int("expires")],
    ..BY_HOUR
};

pub(crate) static PCT: Table = Table { name: "pct", columns: &[PLACE, HASH, int("expires"), BODY], ..TOKENS };

pub(crate) static PROCESS: Table = Table {
    name: "process",
    columns: &[blob("id"), int("expires"), BODY],
    key_is_secret: true,
    indexes: &[index("process_by_end", &[1])],
    expires: Some(Expiry::at(1)),
    ..Table::OPEN
};

pub(crate) static KEPT_PROOF: Table = Table {
    name: "kept_proof",
    columns: &[text("id"), int("expires"), BODY],
    key_is_secret: true,
    indexes: &[index("kept_proof_by_end", &[1])],
    expires: Some(Expiry::at(1)),
    ..Table::OPEN
};

pub(crate) static ACCESS_REQUEST: Table = Table {
    name: "access_request",
    columns: &[text("id"), text("owner"), text("asking"), int("due"), int("version"), BODY],
    indexes: &[
        index("access_request_by_owner", &[1]),
        index("access_request_by_asking", &[2]),
        index("access_request_by_due", &[3]),
        index("access_request_by_waiting", &[1, 3]),
    ],
    ..Table::OPEN
};

pub(crate) static INBOX: Table = Table { name: "inbox", columns: &[text("owner"), int("version")], ..Table::OPEN };

pub(crate) static EVENT: Table = Table { name: "event", columns: &[text("owner"), text("id"), BODY], key: 2, ..Table::OPEN };

pub(crate) static EVENT_SEAL: Table =
    Table { name: "event_seal", columns: &[text("owner"), int("n"), blob("ids")], key: 2, ..Table::OPEN };

pub(crate) static EVENT_HEAD: Table = Table { name: "event_head", columns: &[text("owner"), BODY], ..Table::OPEN };

pub(crate) static CREDENTIAL: Table = Table {
    name: "resource_owner_credential",
    columns: &[text("owner"), text("id"), text("subject"), BODY],
    key: 2,
    indexes: &[index("credential_by_subject", &[2])],
    ..Table::OPEN
};

pub(crate) static SEARCH: Table = Table {
    name: "discovery_search",
    columns: &[text("id"), text("owner"), int("due"), BODY],
    indexes: &[index("search_by_owner", &[1]), index("search_by_due", &[2])],
    ..Table::OPEN
};

pub(crate) static DELEGATION: Table = Table {
    name: "delegation",
    columns: &[text("owner"), text("id"), text("delegate"), int("stands"), int("expires"), BODY],
    key: 2,
    indexes: &[index("delegation_by_name", &[2, 3]), index("delegation_by_owner", &[0, 3]), index("delegation_by_end", &[4])],
    expires: Some(Expiry::at(4)),
    ..Table::OPEN
};

pub(crate) static RECEIPT: Table = Table {
    name: "consent_receipt",
    columns: &[text("owner"), text("id"), text("subject"), BODY],
    key: 2,
    indexes: &[index("receipt_by_subject", &[0, 2])],
    ..Table::OPEN
};

pub(crate) static MANAGER: Table =
    Table { name: "linked_manager", columns: &[text("owner"), text("id"), BODY], key: 2, ..Table::OPEN };

pub(crate) static OWNER_SETTINGS: Table = Table { name: "owner_settings", columns: &[text("owner"), BODY], ..Table::OPEN };

/// Events that wait for the sealer where several processes share a store: one of them seals for all, and an event once. In a
/// file there is one process, which has them in memory.
pub(crate) static UNSEALED_EVENT: Table =
    Table { name: "unsealed_event", columns: &[text("owner"), text("id")], key: 2, ..Table::OPEN };

/// All of them.
pub(crate) static ALL: [&Table; 37] = [
    &UNSEALED_EVENT,
    &KEPT_PROOF,
    &SIGNED_POLICY,
    &PASSKEY,
    &LINKED_LOG_IN,
    &MANAGER,
    &RECEIPT,
    &DELEGATION,
    &SEARCH,
    &ACCOUNT,
    &CLIENT,
    &CLIENT_USE,
    &SESSION,
    &CONSENT,
    &CODE,
    &PUSHED_REQUEST,
    &ACCESS_TOKEN,
    &REFRESH_TOKEN,
    &SPENT,
    &SIGNING_KEY,
    &SECRET,
    &SERVED,
    &RESOURCE,
    &POLICY,
    &SHARED_WITH,
    &LINK,
    &RPT,
    &SIGNED_RPT,
    &PCT,
    &PROCESS,
    &ACCESS_REQUEST,
    &INBOX,
    &EVENT,
    &EVENT_SEAL,
    &EVENT_HEAD,
    &CREDENTIAL,
    &OWNER_SETTINGS,
];
