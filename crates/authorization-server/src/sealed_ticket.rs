//! The sealed form of a permission ticket (architecture.md "Tickets without a table"): at most 1,024
//! characters, opaque to all but this server, good under this issuer alone. A new key each day.
//! Making a small ticket writes nothing.

use crate::AuthorizationServer;
use identity::{Failure, internal};
use jose::base64url;
use jose::seal::SealingKey;
use rules::Ticket;
use rules::ticket::ProcessId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use types::{ClientId, GrantId, OwnerId, PermissionRequest, ResourceId, ScopeSet, Timestamp};

/// Every ticket begins so.
pub const PREFIX: &str = "wl_ticket_";
/// The longest a ticket may be, in characters.
pub const MAX_CHARACTERS: usize = 1024;
const FORM: u8 = 1;
const DAY: i64 = 86_400;

/// The members under short names, so that more permissions fit.
#[derive(Serialize, Deserialize)]
struct Sealed {
    f: u8,
    p: String,
    n: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    c: Option<ClientId>,
    o: OwnerId,
    r: ClientId,
    g: GrantId,
    e: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    s: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    w: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    b: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    q: Vec<(ResourceId, ScopeSet)>,
}

/// Name of the key of a day.
fn key_name(day: i64) -> String {
    format!("ticket {day}")
}

impl AuthorizationServer {
    async fn ticket_key(&self, day: i64) -> Result<Arc<SealingKey>, Failure> {
        let identity = &self.identity;
        let expires = Timestamp(day.saturating_add(2).saturating_mul(DAY).saturating_add(self.settings.request_lifetime));
        identity.keys.ensure_secret(&key_name(day), expires, &*identity.store, &*identity.clock, &*identity.randomness).await
    }

    fn ticket_context(&self) -> Vec<u8> {
        format!("ticket {}", self.issuer()).into_bytes()
    }

    /// The ticket's text; `None` if it does not fit with its permissions inside.
    pub(crate) async fn seal_ticket(&self, ticket: &Ticket) -> Result<Option<String>, Failure> {
        let plain = pack(ticket).map_err(internal)?;
        let day = self.now().day();
        let key = self.ticket_key(day).await?;
        let body = key.seal(&plain, &self.ticket_context(), &*self.identity.randomness).map_err(internal)?;
        // which of the days' keys: its last two bits tell today's from yesterday's
        let text = format!("{PREFIX}{}{}", day.rem_euclid(4), base64url::encode(body));
        Ok((text.len() <= MAX_CHARACTERS).then_some(text))
    }

    /// Opens a ticket; `None` for anything that is no ticket of ours. Says nothing about expiry or
    /// whether it was used.
    pub(crate) async fn open_ticket(&self, text: &str) -> Result<Option<Ticket>, Failure> {
        let today = self.now().day();
        let Some(SealedText { day, body }) = split(text, today) else { return Ok(None) };
        let key = match self.identity.keys.secret(&key_name(day)) {
            Some(key) => key,
            // another server on this store may have made it a moment ago
            None if day == today => self.ticket_key(day).await?,
            // an old key may be gone, and then so are its tickets
            None => return Ok(None),
        };
        Ok(key.open(&body, &self.ticket_context()).and_then(|plain| unpack(&plain)))
    }
}

/// The text of a ticket, taken apart and still closed.
#[doc(hidden)]
pub struct SealedText {
    pub day: i64,
    pub body: Vec<u8>,
}

/// Takes a text apart that may be a ticket of one of the last four days. Open to the properties in `fuzz/`, as are [`pack`]
/// and [`unpack`].
#[doc(hidden)]
pub fn split(text: &str, today: i64) -> Option<SealedText> {
    if text.len() > MAX_CHARACTERS {
        return None;
    }
    let (quarter, body) = text.strip_prefix(PREFIX)?.split_at_checked(1)?;
    let (quarter, body) = (quarter.parse::<i64>().ok()?, base64url::decode(body)?);
    let day = (0..4_i64).map(|back| today.saturating_sub(back)).find(|day| day.rem_euclid(4) == quarter)?;
    Some(SealedText { day, body })
}

/// What is sealed of a ticket.
#[doc(hidden)]
pub fn pack(ticket: &Ticket) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Sealed {
        f: FORM,
        p: base64url::encode(ticket.process),
        n: ticket.step,
        c: ticket.client.clone(),
        o: ticket.owner.clone(),
        r: ticket.resource_server.clone(),
        g: ticket.pat_grant.clone(),
        e: ticket.expires,
        s: ticket.stored,
        w: ticket.signer.clone(),
        b: ticket.not_before,
        q: ticket.permissions.iter().map(|p| (p.resource_id.clone(), p.resource_scopes.clone())).collect(),
    })
}

/// The ticket that was packed.
#[doc(hidden)]
pub fn unpack(plain: &[u8]) -> Option<Ticket> {
    let sealed: Sealed = serde_json::from_slice(plain).ok()?;
    let process: ProcessId = base64url::decode(&sealed.p)?.try_into().ok()?;
    let permission = |(resource_id, resource_scopes)| PermissionRequest { resource_id, resource_scopes };
    (sealed.f == FORM).then(|| Ticket {
        process,
        step: sealed.n,
        client: sealed.c,
        owner: sealed.o,
        resource_server: sealed.r,
        pat_grant: sealed.g,
        expires: sealed.e,
        stored: sealed.s,
        permissions: sealed.q.into_iter().map(permission).collect(),
        signer: sealed.w,
        not_before: sealed.b,
    })
}
