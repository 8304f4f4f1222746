//! What identity writes, as data. One commit carries it out, whole or not at all.

use crate::access_token::AccessToken;
use crate::authorization::{AuthorizationCode, PushedRequest};
use crate::consent::Consent;
use crate::keys::{SealedSecret, StoredKey};
use crate::passkey::AccountPasskey;
use crate::session::Session;
use crate::token::RefreshToken;
use crate::upstream::LinkedLogIn;
use crate::{Account, Client, TokenKey};
use types::{AccountId, ClientId, GrantId, Timestamp};

/// What must be true at commit.
#[derive(Clone, PartialEq, Eq)]
pub enum Requirement {
    /// The consent has not been withdrawn.
    ConsentStands(GrantId),
    /// Nobody has used or ended this refresh token meanwhile.
    RefreshUnchanged { key: TokenKey, version: i64 },
    /// The account is as it was read.
    AccountUnchanged(Account),
    /// The passkey is there, and as it was read.
    PasskeyUnchanged(AccountPasskey),
    /// That account elsewhere still opens this one.
    LinkedLogInStands(LinkedLogIn),
    /// The client has not been deleted.
    ClientStands(ClientId),
    /// Nothing was noted of the client's use since that.
    UseUnchanged { client: ClientId, used: Option<Timestamp> },
    /// The session has not ended.
    SessionStands(String),
    /// The pushed request has not been answered.
    PushedRequestStands(String),
}

/// A one-time id: a ticket, a `jti`, a code. Its end is part of it, so that the store finds and forgets it by
/// the hour; whoever asks must know the same end as whoever spent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpentId {
    pub kind: &'static str,
    /// Who made it; empty where that is this server.
    pub issuer: String,
    pub id: String,
    /// Kept until then: past any time at which it could be good.
    pub expires: Timestamp,
    /// When it was made, or the earliest moment at which it can have been; none for what stands in a row or is sealed by a
    /// key that goes when a backup is restored. What was made before may have been spent after the backup, so it counts as
    /// spent (threat 35).
    pub made: Option<Timestamp>,
}

/// Bytes of a one-time id that is kept as it is.
const MOST_OF_ID: usize = 128;

impl SpentId {
    /// What is kept of the id: whoever made it chose it, however long and of whatever letters, so of an unusual one it is a digest.
    pub fn kept(&self) -> String {
        let is_usual = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        match self.id.len() <= MOST_OF_ID && self.id.bytes().all(is_usual) && !self.id.starts_with("sha256 ") {
            true => self.id.clone(),
            false => format!("sha256 {}", jose::base64url::encode(jose::digest::sha256(&[self.id.as_bytes()]))),
        }
    }
}

/// One change.
pub enum Write {
    /// A one-time id is spent from now on; it must not have been (`Unspent`).
    Spend(SpentId),
    /// The name must be free.
    CreateAccount(Account),
    PutAccount(Account),
    /// The id and the `resource` must be free.
    CreateClient(Client),
    PutClient(Client),
    DeleteClient(ClientId),
    /// A registered client was used.
    NoteUse(ClientId, Timestamp),
    PutSession(Session),
    DeleteSession(String),
    /// The credential id must be free.
    CreatePasskey(AccountPasskey),
    PutPasskey(AccountPasskey),
    DeletePasskey(String),
    /// The account there must be free.
    CreateLinkedLogIn(LinkedLogIn),
    DeleteLinkedLogIn(String),
    PutConsent(Consent),
    DeleteConsent(Consent),
    PutCode(TokenKey, AuthorizationCode),
    PutPushedRequest(PushedRequest),
    DeletePushedRequest(String),
    PutAccessToken(TokenKey, AccessToken),
    DeleteAccessToken(TokenKey),
    CreateRefreshToken(TokenKey, RefreshToken),
    PutRefreshToken(TokenKey, RefreshToken),
    /// All tokens of one family end, of whatever kind.
    EndFamily(String),
    PutKey(StoredKey),
    DeleteKey(String),
    /// The name must be free.
    PutSecret(SealedSecret),
    DeleteSecret(String),
}

/// Requirements and changes that go together.
#[derive(Default)]
pub struct Changes {
    pub requires: Vec<Requirement>,
    pub writes: Vec<Write>,
}

impl Changes {
    pub fn of(writes: Vec<Write>) -> Self {
        Self { requires: Vec::new(), writes }
    }

    /// Consents that are given here, to whom, and those that end here.
    pub fn consents(&self) -> impl Iterator<Item = (&Consent, bool)> {
        self.writes.iter().filter_map(|write| match write {
            Write::PutConsent(consent) => Some((consent, true)),
            Write::DeleteConsent(consent) => Some((consent, false)),
            _ => None,
        })
    }

    /// Accounts whose things change here.
    pub fn accounts(&self) -> impl Iterator<Item = &AccountId> {
        self.consents().map(|(consent, _)| &consent.account)
    }
}
