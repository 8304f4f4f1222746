//! What others have delegated to an account (protocol.md 1.8, `?role=delegate`), in pages that end however much of it there is: others
//! choose how much that is, and how long each is (threat 46). What an owner delegates herself is in [`crate::delegation`].

use crate::AuthorizationServer;
use crate::store::{DelegationPlace, Page};
use identity::Failure;
use identity::access_token::PolicyToken;
use jose::{base64url, digest};
use rules::delegation::{Delegate, Delegation};
use std::fmt;
use types::OwnerId;
use types::delegation::DelegationDocument;

/// Rows of one read: behind each, others get their turn.
const OTHERS_AT_ONCE: usize = 8;
/// Most rows that one page of it looks at.
const LOOKED_AT: usize = 1_000;

/// Where one that others made stands in the list of a delegate: under which of her names, and where among those to it.
struct DelegatedPlace {
    /// Its [`hash_name`].
    name: String,
    row: DelegationPlace,
}

impl DelegatedPlace {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let name = parts.next()?.to_owned();
        let (owner, id) = parts.next().zip(parts.next())?;
        Some(Self { name, row: DelegationPlace { owner: owner.into(), id: id.into() } })
    }
}

impl fmt::Display for DelegatedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.row.owner, self.row.id)
    }
}

/// A hash of a name, by which a list goes through the names of an account: places stand in URLs, and a URL is not to hold an e-mail
/// address.
fn hash_name(name: &Delegate) -> String {
    base64url::encode(digest::sha256(&[name.key().as_bytes()])).chars().take(12).collect()
}

/// Where one that others made stands in the list of a delegate.
pub fn place_of_delegated(document: &DelegationDocument) -> String {
    let name = Delegate::of(document.delegate.clone()).map(|name| hash_name(&name)).unwrap_or_default();
    let owner = document.owner.clone().unwrap_or_else(|| OwnerId::new(""));
    DelegatedPlace { name, row: DelegationPlace { owner, id: document.id.clone().unwrap_or_default() } }.to_string()
}

/// One name of an account to which others delegate.
struct DelegatedTo<'a> {
    account: &'a OwnerId,
    name: Delegate,
    hash: String,
}

/// A page of what others delegated, as far as it was read.
#[derive(Default)]
struct Delegated {
    documents: Vec<DelegationDocument>,
    last: Option<DelegatedPlace>,
    looked_at: usize,
}

#[derive(PartialEq, Eq)]
enum Reading {
    Ended,
    Stopped,
}

impl AuthorizationServer {
    /// `GET {delegations_endpoint}?role=delegate`: what others have delegated to this account, one owner's after the other's. How
    /// much that is, others choose: a page looks at so many rows and no more (threat 46).
    pub async fn list_delegated(
        &self,
        pmt: &PolicyToken,
        page: &Page<String>,
    ) -> Result<(Vec<DelegationDocument>, Option<String>), Failure> {
        let names = self.names_of(&pmt.owner).await?;
        let mut names: Vec<(String, Delegate)> = names.into_iter().map(|name| (hash_name(&name), name)).collect();
        names.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut after = page.after.as_deref().and_then(DelegatedPlace::parse);
        names.retain(|(hash, _)| after.as_ref().is_none_or(|after| *hash >= after.name));
        let mut found = Delegated::default();
        for (hash, name) in names {
            let after = after.take().filter(|after| after.name == hash).map(|after| after.row);
            let to = DelegatedTo { account: &pmt.owner, name, hash };
            if self.read_delegated(&to, after, page.limit, &mut found).await? == Reading::Stopped {
                return Ok((found.documents, found.last.map(|place| place.to_string())));
            }
        }
        Ok((found.documents, None))
    }

    /// Reads on behind this row, until there is no more to this name, or there is enough for one page.
    async fn read_delegated(
        &self,
        to: &DelegatedTo<'_>,
        mut after: Option<DelegationPlace>,
        limit: usize,
        found: &mut Delegated,
    ) -> Result<Reading, Failure> {
        let place_of = |one: &Delegation| DelegationPlace { owner: one.owner.clone(), id: one.id.clone() };
        let place_in_list = |row| Some(DelegatedPlace { name: to.hash.clone(), row });
        loop {
            let page = Page { after, limit: OTHERS_AT_ONCE };
            let rows = self.store.list_delegations_to(&to.name.key(), &page).await?;
            let Some(behind) = rows.last().map(place_of) else { return Ok(Reading::Ended) };
            found.looked_at = found.looked_at.saturating_add(rows.len());
            for one in rows.into_iter().filter(|one| one.stands(self.now()) && one.owner != *to.account) {
                if found.documents.len() >= limit {
                    return Ok(Reading::Stopped);
                }
                found.last = place_in_list(place_of(&one));
                found.documents.push(self.delegated_document(one).await?);
            }
            if found.looked_at >= LOOKED_AT {
                found.last = place_in_list(behind);
                return Ok(Reading::Stopped);
            }
            after = Some(behind);
            // reads never wait: others get their turn
            tokio::task::yield_now().await;
        }
    }

    async fn delegated_document(&self, delegation: Delegation) -> Result<DelegationDocument, Failure> {
        let owner = self.identity.store.find_account(&delegation.owner).await?;
        let owner_name = owner.map(|owner| owner.display_name().to_owned());
        Ok(DelegationDocument { owner_name, ..delegation.to_document() })
    }
}
