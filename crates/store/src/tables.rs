//! The tables as the engine must know them; the SQL is in `migrations/`, and a test holds the two
//! equal. Tokens are found by their *place*, a number (docs/decisions/0003).

use database::{Column, Index, Kind, Table};

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

const fn index(name: &'static str, columns: &'static [usize], unique: bool) -> Index {
    Index { name, columns, unique }
}

pub(crate) static ACCOUNT: Table = Table {
    name: "account",
    columns: &[column("id", Kind::Text), column("username", Kind::Text), column("email", Kind::Text), column("body", Kind::Blob)],
    key: 1,
    indexes: &[index("account_by_username", &[1], true), index("account_by_email", &[2], true)],
    ..Table::OPEN
};

pub(crate) static CLIENT: Table = Table {
    name: "client",
    columns: &[column("id", Kind::Text), column("resource", Kind::Text), column("body", Kind::Blob)],
    key: 1,
    indexes: &[index("client_by_resource", &[1], true)],
    ..Table::OPEN
};

pub(crate) static CLIENT_USE: Table =
    Table { name: "client_use", columns: &[column("id", Kind::Text), column("time", Kind::Int)], key: 1, ..Table::OPEN };

pub(crate) static SESSION: Table = Table {
    name: "session",
    columns: &[column("id", Kind::Text), column("expires", Kind::Int), column("body", Kind::Blob)],
    key: 1,
    ..Table::OPEN
};

pub(crate) static PASSKEY: Table = Table {
    name: "passkey",
    columns: &[column("id", Kind::Text), column("account", Kind::Text), column("body", Kind::Blob)],
    key: 1,
    indexes: &[index("passkey_by_account", &[1], false)],
    ..Table::OPEN
};

pub(crate) static LINKED_LOG_IN: Table = Table {
    name: "linked_log_in",
    columns: &[column("name", Kind::Text), column("account", Kind::Text), column("body", Kind::Blob)],
    key: 1,
    indexes: &[index("linked_log_in_by_account", &[1], false)],
    ..Table::OPEN
};

pub(crate) static CONSENT: Table = Table {
    name: "consent",
    columns: &[
        column("id", Kind::Text),
        column("account", Kind::Text),
        column("client", Kind::Text),
        column("resource", Kind::Text),
        column("body", Kind::Blob),
    ],
    key: 1,
    indexes: &[index("consent_by_account", &[1, 2, 3], true), index("consent_by_client", &[2], false)],
    ended_by: Some(1),
    ..Table::OPEN
};

pub(crate) static CODE: Table = Table {
    name: "code",
    columns: &[column("place", Kind::Int), column("hash", Kind::Blob), column("expires", Kind::Int), column("body", Kind::Blob)],
    key: 1,
    ..Table::OPEN
};

pub(crate) static PUSHED_REQUEST: Table = Table {
    name: "pushed_request",
    columns: &[column("id", Kind::Text), column("expires", Kind::Int), column("body", Kind::Blob)],
    key: 1,
    ..Table::OPEN
};

pub(crate) static ACCESS_TOKEN: Table = Table {
    name: "access_token",
    columns: &[
        column("place", Kind::Int),
        column("hash", Kind::Blob),
        column("family", Kind::Text),
        column("expires", Kind::Int),
        column("body", Kind::Blob),
    ],
    key: 1,
    indexes: &[index("access_token_by_family", &[2], false)],
    ended_by: Some(0),
    ..Table::OPEN
};

pub(crate) static REFRESH_TOKEN: Table = Table {
    name: "refresh_token",
    columns: &[
        column("place", Kind::Int),
        column("hash", Kind::Blob),
        column("family", Kind::Text),
        column("version", Kind::Int),
        column("expires", Kind::Int),
        column("body", Kind::Blob),
    ],
    key: 1,
    indexes: &[index("refresh_token_by_family", &[2], false)],
    ended_by: Some(0),
    ..Table::OPEN
};

pub(crate) static SPENT: Table = Table {
    name: "spent",
    columns: &[column("hour", Kind::Int), column("kind", Kind::Text), column("issuer", Kind::Text), column("id", Kind::Text)],
    key: 4,
    ..Table::OPEN
};

pub(crate) static SIGNING_KEY: Table =
    Table { name: "signing_key", columns: &[column("kid", Kind::Text), column("body", Kind::Blob)], key: 1, ..Table::OPEN };

pub(crate) static SECRET: Table = Table {
    name: "secret",
    columns: &[column("name", Kind::Text), column("expires", Kind::Int), column("body", Kind::Blob)],
    key: 1,
    ..Table::OPEN
};

pub(crate) static SERVED: Table =
    Table { name: "served", columns: &[column("name", Kind::Text), column("time", Kind::Int)], key: 1, ..Table::OPEN };

pub(crate) static RESOURCE: Table = Table {
    name: "resource",
    columns: &[
        column("id", Kind::Text),
        column("owner", Kind::Text),
        column("resource_server", Kind::Text),
        column("own_id", Kind::Text),
        column("version", Kind::Int),
        column("body", Kind::Blob),
    ],
    key: 1,
    indexes: &[
        index("resource_by_server", &[1, 2], false),
        index("resource_by_owner", &[1], false),
        index("resource_by_own_id", &[1, 2, 3], false),
    ],
    ..Table::OPEN
};

pub(crate) static POLICY: Table = Table {
    name: "policy",
    columns: &[
        column("id", Kind::Text),
        column("owner", Kind::Text),
        column("resource", Kind::Text),
        column("waiting_for", Kind::Text),
        column("version", Kind::Int),
        column("uses", Kind::Int),
        column("body", Kind::Blob),
    ],
    key: 1,
    indexes: &[
        index("policy_by_owner", &[1], false),
        index("policy_by_resource", &[2], false),
        index("policy_by_waiting", &[3], false),
    ],
    ..Table::OPEN
};

pub(crate) static SHARED_WITH: Table = Table {
    name: "shared_with",
    columns: &[column("address", Kind::Text), column("policy", Kind::Text)],
    key: 2,
    indexes: &[index("shared_with_by_policy", &[1], false)],
    ended_by: Some(0),
    ..Table::OPEN
};

/// What was signed, by the name of the key.
pub(crate) static SIGNED_POLICY: Table = Table {
    name: "signed_policy",
    columns: &[column("signer", Kind::Text), column("owner", Kind::Text), column("policy", Kind::Text)],
    key: 3,
    indexes: &[index("signed_policy_by_policy", &[2], false)],
    ended_by: Some(0),
    ..Table::OPEN
};

pub(crate) static LINK: Table = Table {
    name: "link",
    columns: &[column("owner", Kind::Text), column("resource_server", Kind::Text), column("version", Kind::Int)],
    key: 2,
    ..Table::OPEN
};

pub(crate) static RPT: Table = Table {
    name: "rpt",
    columns: &[
        column("place", Kind::Int),
        column("hash", Kind::Blob),
        column("family", Kind::Text),
        column("expires", Kind::Int),
        column("body", Kind::Blob),
    ],
    key: 1,
    indexes: &[index("rpt_by_family", &[2], false)],
    ended_by: Some(0),
    ..Table::OPEN
};

pub(crate) static SIGNED_RPT: Table = Table {
    name: "signed_rpt",
    columns: &[
        column("hour", Kind::Int),
        column("owner", Kind::Text),
        column("resource_server", Kind::Text),
        column("jti", Kind::Text),
        column("expires", Kind::Int),
    ],
    key: 4,
    ..Table::OPEN
};

pub(crate) static PCT: Table = Table {
    name: "pct",
    columns: &[column("place", Kind::Int), column("hash", Kind::Blob), column("expires", Kind::Int), column("body", Kind::Blob)],
    key: 1,
    ..Table::OPEN
};

pub(crate) static PROCESS: Table = Table {
    name: "process",
    columns: &[column("id", Kind::Blob), column("expires", Kind::Int), column("body", Kind::Blob)],
    key: 1,
    ..Table::OPEN
};

pub(crate) static KEPT_PROOF: Table = Table {
    name: "kept_proof",
    columns: &[column("id", Kind::Text), column("expires", Kind::Int), column("body", Kind::Blob)],
    key: 1,
    ..Table::OPEN
};

pub(crate) static ACCESS_REQUEST: Table = Table {
    name: "access_request",
    columns: &[
        column("id", Kind::Text),
        column("owner", Kind::Text),
        column("asking", Kind::Text),
        column("due", Kind::Int),
        column("version", Kind::Int),
        column("body", Kind::Blob),
    ],
    key: 1,
    indexes: &[
        index("access_request_by_owner", &[1], false),
        index("access_request_by_asking", &[2], false),
        index("access_request_by_due", &[3], false),
        index("access_request_by_waiting", &[1, 3], false),
    ],
    ..Table::OPEN
};

pub(crate) static INBOX: Table =
    Table { name: "inbox", columns: &[column("owner", Kind::Text), column("version", Kind::Int)], key: 1, ..Table::OPEN };

pub(crate) static EVENT: Table = Table {
    name: "event",
    columns: &[column("owner", Kind::Text), column("id", Kind::Text), column("body", Kind::Blob)],
    key: 2,
    ..Table::OPEN
};

pub(crate) static EVENT_SEAL: Table = Table {
    name: "event_seal",
    columns: &[column("owner", Kind::Text), column("n", Kind::Int), column("ids", Kind::Blob)],
    key: 2,
    ..Table::OPEN
};

pub(crate) static EVENT_HEAD: Table =
    Table { name: "event_head", columns: &[column("owner", Kind::Text), column("body", Kind::Blob)], key: 1, ..Table::OPEN };

pub(crate) static CREDENTIAL: Table = Table {
    name: "resource_owner_credential",
    columns: &[column("owner", Kind::Text), column("id", Kind::Text), column("subject", Kind::Text), column("body", Kind::Blob)],
    key: 2,
    indexes: &[index("credential_by_subject", &[2], false)],
    ..Table::OPEN
};

pub(crate) static SEARCH: Table = Table {
    name: "discovery_search",
    columns: &[column("id", Kind::Text), column("owner", Kind::Text), column("due", Kind::Int), column("body", Kind::Blob)],
    key: 1,
    indexes: &[index("search_by_owner", &[1], false), index("search_by_due", &[2], false)],
    ..Table::OPEN
};

pub(crate) static DELEGATION: Table = Table {
    name: "delegation",
    columns: &[
        column("owner", Kind::Text),
        column("id", Kind::Text),
        column("delegate", Kind::Text),
        column("stands", Kind::Int),
        column("expires", Kind::Int),
        column("body", Kind::Blob),
    ],
    key: 2,
    indexes: &[index("delegation_by_name", &[2, 3], false), index("delegation_by_owner", &[0, 3], false)],
    ..Table::OPEN
};

pub(crate) static RECEIPT: Table = Table {
    name: "consent_receipt",
    columns: &[column("owner", Kind::Text), column("id", Kind::Text), column("subject", Kind::Text), column("body", Kind::Blob)],
    key: 2,
    indexes: &[index("receipt_by_subject", &[0, 2], false)],
    ..Table::OPEN
};

pub(crate) static MANAGER: Table = Table {
    name: "linked_manager",
    columns: &[column("owner", Kind::Text), column("id", Kind::Text), column("body", Kind::Blob)],
    key: 2,
    ..Table::OPEN
};

pub(crate) static OWNER_SETTINGS: Table =
    Table { name: "owner_settings", columns: &[column("owner", Kind::Text), column("body", Kind::Blob)], key: 1, ..Table::OPEN };

/// Events that wait for the sealer where several processes share a store: one of them seals for all, and an event once. In a
/// file there is one process, which has them in memory.
pub(crate) static UNSEALED_EVENT: Table = Table {
    name: "unsealed_event",
    columns: &[column("owner", Kind::Text), column("id", Kind::Text)],
    key: 2,
    indexes: &[],
    ..Table::OPEN
};

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
