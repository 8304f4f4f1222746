//! Between entities and rows: the body of a row is the entity as JSON, its columns are what is searched, counted or compared.

use crate::tables;
use authorization_server::Event;
use authorization_server::consent_receipt::Receipt;
use authorization_server::credential::Credential;
use authorization_server::discovery::Search;
use authorization_server::event::EventHead;
use authorization_server::linked_manager::KeptManager;
use database::{ReadError, Row, Table, Value};
use identity::access_token::AccessToken;
use identity::authorization::{AuthorizationCode, PushedRequest};
use identity::consent::Consent;
use identity::keys::{SealedSecret, StoredKey};
use identity::passkey::AccountPasskey;
use identity::session::Session;
use identity::token::RefreshToken;
use identity::upstream::LinkedLogIn;
use identity::{Account, Client, SpentId};
use rules::delegation::Delegation;
use rules::policy::Binding;
use rules::{AccessRequest, Policy, Resource, Rpt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::*;

/// What a column holds of something.
pub(crate) trait Cell {
    fn cell(&self) -> Value;
}

macro_rules! cells {
    ($($kind:ty: |$it:ident| $value:expr),+ $(,)?) => {$(
        impl Cell for $kind {
            fn cell(&self) -> Value {
                let $it = self;
                Value::from($value)
            }
        }
    )+};
}
macro_rules! names {
    ($($kind:ty),+) => { cells! { $($kind: |name| name.as_str()),+ } };
}
names!(String, AccountId, ClientId, ResourceId, OwnResourceId, PolicyId, AccessRequestId, EventId, GrantId, ResourceServerId);
cells! {
    str: |text| text,
    i64: |number| *number,
    u64: |number| i64::try_from(*number).unwrap_or(i64::MAX),
    Timestamp: |time| time.0,
    [u8]: |bytes| bytes.to_vec(),
    Vec<u8>: |bytes| bytes.clone(),
    [u8; 20]: |bytes| bytes.to_vec(),
    [u8; 32]: |bytes| bytes.to_vec(),
}
impl<T: Cell + ?Sized> Cell for &T {
    fn cell(&self) -> Value {
        (**self).cell()
    }
}
impl<T: Cell> Cell for Option<T> {
    fn cell(&self) -> Value {
        self.as_ref().map_or(Value::Null, Cell::cell)
    }
}

/// What a row is looked up by.
macro_rules! key {
    ($($column:expr),* $(,)?) => { [$($crate::entity::Cell::cell(&$column)),*] };
}
/// Columns, or the key of a row that is written.
macro_rules! row {
    ($($column:expr),* $(,)?) => { vec![$($crate::entity::Cell::cell(&$column)),*] };
}
pub(crate) use {key, row};

/// What has a row of its own.
pub(crate) trait Entity: Serialize + DeserializeOwned + Send {
    const TABLE: &'static Table;

    /// The columns before the body; of a token those behind its place and its hash.
    fn columns(&self) -> Row;

    /// Takes over what is counted in a column, which is newer than the body.
    fn count(self, _: &Row) -> Result<Self, ReadError> {
        Ok(self)
    }
}

macro_rules! entities {
    ($($kind:ty, $table:ident: |$it:ident| $columns:expr;)+) => {$(
        impl Entity for $kind {
            const TABLE: &'static Table = &tables::$table;
            fn columns(&self) -> Row {
                let $it = self;
                $columns
            }
        }
    )+};
}
entities! {
    // only a verified address finds an account, in the form in which addresses compare
    Account, ACCOUNT: |it| row![it.id, it.username, it.verified_email().and_then(email::normalize)];
    Client, CLIENT: |it| row![it.id, it.resource];
    Session, SESSION: |it| row![it.id, it.expires];
    AccountPasskey, PASSKEY: |it| row![it.passkey.id, it.account];
    LinkedLogIn, LINKED_LOG_IN: |it| row![it.name(), it.account];
    // the empty text stands for no resource: two of them are equal, as two nulls are not
    Consent, CONSENT: |it| row![it.id, it.account, it.client, it.resource.as_deref().unwrap_or_default()];
    PushedRequest, PUSHED_REQUEST: |it| row![it.id, it.expires];
    StoredKey, SIGNING_KEY: |it| row![it.kid];
    SealedSecret, SECRET: |it| row![it.name, it.expires];
    // kept past its end, so that a second use is told from an unknown code
    AuthorizationCode, CODE: |it| row![it.expires.plus(3600)];
    AccessToken, ACCESS_TOKEN: |it| row![it.family, it.expires];
    // the version rises with each change, also when two come at once
    RefreshToken, REFRESH_TOKEN: |it|
        row![it.family, i64::from(it.rotated.is_some()).saturating_add(i64::from(it.superseded)), it.expires];
    Rpt, RPT: |it| row![it.family, it.expires];
    AccessRequest, ACCESS_REQUEST: |it|
        row![it.id, it.owner, Self::key(&it.owner, &it.client, &it.requesting_party), it.due(), it.version];
    Event, EVENT: |it| row![it.owner, it.document.id];
    EventHead, EVENT_HEAD: |it| row![it.owner];
    Credential, CREDENTIAL: |it| row![it.owner, it.document.id, it.subject];
    Search, SEARCH: |it| row![it.id, it.owner, it.due()];
    Delegation, DELEGATION: |it| row![it.owner, it.id, it.delegate.key(), i64::from(!it.withdrawn), it.expires_at];
    Receipt, RECEIPT: |it| row![it.owner, it.document.id, it.subject];
    KeptManager, MANAGER: |it| row![it.owner, it.id];
}

impl Entity for Resource {
    const TABLE: &'static Table = &tables::RESOURCE;

    fn columns(&self) -> Row {
        row![self.id, self.owner, self.resource_server, self.description.own_id, self.version]
    }

    fn count(self, row: &Row) -> Result<Self, ReadError> {
        Ok(Self { version: counted(Self::TABLE, row, tables::VERSION)?, ..self })
    }
}

impl Entity for Policy {
    const TABLE: &'static Table = &tables::POLICY;

    fn columns(&self) -> Row {
        let waiting = match &self.binding {
            Binding::Bound { .. } => None,
            Binding::Waiting { resource_server, own_id } => Some(waiting_for(&self.owner, resource_server, own_id)),
        };
        row![self.id, self.owner, self.resource(), waiting, self.version, self.uses]
    }

    fn count(self, row: &Row) -> Result<Self, ReadError> {
        let counted = |at: usize| counted(Self::TABLE, row, at);
        Ok(Self { version: counted(tables::VERSION)?, uses: counted(tables::USES)?, ..self })
    }
}

/// A number that is never below zero.
pub(crate) fn counted(table: &'static Table, row: &Row, at: usize) -> Result<u64, ReadError> {
    u64::try_from(table.int(row, at)?).map_err(|_| table.does_not_open(row))
}

/// The texts under which a waiting policy is found, as one.
pub(crate) fn waiting_for(owner: &OwnerId, resource_server: &ResourceServerId, own_id: &OwnResourceId) -> String {
    format!("{owner}\u{1f}{resource_server}\u{1f}{own_id}")
}

/// The row of a spent id, which is its key: by the hour of its end first, so that what has ended is swept
/// without a walk.
pub(crate) fn spent_row(id: &SpentId) -> Row {
    row![id.expires.hour(), id.kind, id.issuer, id.kept()]
}

/// The row by which it is known that an RPT was signed: by the hour of its end first as well.
pub(crate) fn signed_rpt_row(rpt: &Rpt, jti: &str) -> Row {
    row![rpt.expires.hour(), rpt.owner, rpt.resource_server, jti, rpt.expires]
}

/// Bytes of an id in a seal; as a text it is 32 hexadecimal digits.
const ID_BYTES: usize = 16;

/// The ids in the row of a seal.
pub(crate) fn event_ids(row: &Row) -> Result<Vec<EventId>, ReadError> {
    let ids = tables::EVENT_SEAL.body(row)?.chunks(ID_BYTES);
    let digits = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let whole = |id: &[u8]| (id.len() == ID_BYTES).then(|| EventId::new(digits(id)));
    ids.map(|id| whole(id).ok_or_else(|| tables::EVENT_SEAL.does_not_open(row))).collect()
}

/// Ids as the row of a seal holds them.
pub(crate) fn seal_of(ids: &[EventId]) -> Result<Vec<u8>, identity::CommitError> {
    let bytes = |id: &EventId| u128::from_str_radix(id.as_str(), 16).map(u128::to_be_bytes);
    let all: Result<Vec<_>, _> = ids.iter().map(bytes).collect();
    all.map(|all| all.concat()).map_err(|error| identity::CommitError::Unavailable(format!("an event's id: {error}")))
}
