//! Finding an owner at resource servers that cannot log anyone in (protocol.md 2.2).
//!
//! 1. A manager asks for a search with its PMT; the owner sees what would be told to whom, adds what only she knows,
//!    and consents ([`AuthorizationServer::decide_search`]).
//! 2. Each resource server gets a *discovery token* for itself alone, good for a minute.
//! 3. Where it finds her, it trades the assertion in it for a PAT (`token/jwt_bearer.rs`), and registers what is hers.
//!
//! What she said is kept only until it was sent. Ending a search ends its assertions. How searches are sent is in
//! [`sending`].

pub(crate) mod sending;

use crate::changes::{Changes, Requirement, Write};
use crate::{AuthorizationServer, consent_receipt, store::Page};
use identity::access_token::PolicyToken;
use identity::{Account, CommitError, Failure, internal};
use jose::{Algorithm, base64url};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use types::consent_receipt::ReceiptEvent;
use types::discovery::{
    DISCOVERY_TYPE, DiscoveryDocument, DiscoveryRequest, DiscoveryToken, PAT_ASSERTION_TYPE, SearchAt, SearchState,
    SearchedServer,
};
use types::spelling::readable;
use types::{ClientId, ErrorCode, OwnerId, Refusal, ResourceServerId, Timestamp, path};

/// Seconds that a discovery token is good.
const TOKEN_LIFETIME: i64 = 60;
/// Seconds that a resource server has to find somebody.
pub(crate) const ASSERTION_LIFETIME: i64 = 90 * 86_400;
/// Seconds that a search waits for consent, or is tried.
const SEARCH_LIFETIME: i64 = 86_400;
const MAX_SERVERS: usize = 100;
/// Most searches of one owner that wait for her, or are under way.
const MAX_OPEN: usize = 10;
/// Most searches of one owner that are kept: what was found rests on them.
const MAX_KEPT: usize = 200;
const MAX_CLAIMS: usize = 20;
const MAX_TEXT: usize = 500;

/// A search as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub struct Search {
    pub id: String,
    pub owner: OwnerId,
    pub state: SearchState,
    pub created: Timestamp,
    /// When its owner answered; searches of older stores do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Timestamp>,
    pub claims: Vec<String>,
    pub servers: Vec<SearchedClient>,
    /// What she says of herself; gone when it was sent.
    #[serde(default)]
    pub self_asserted: Map<String, Value>,
}

/// A resource server of it.
#[derive(Clone, Serialize, Deserialize)]
pub struct SearchedClient {
    pub client: ClientId,
    pub resource: ResourceServerId,
    pub state: SearchAt,
    /// How often it was tried, and from when on it may be tried again.
    #[serde(default)]
    pub tries: u32,
    #[serde(default)]
    pub again: Timestamp,
}

impl Search {
    /// When something of it is to be sent next; 0 where nothing is.
    pub fn due(&self) -> i64 {
        let waiting = self.servers.iter().filter(|server| server.state == SearchAt::Waiting);
        let next = waiting.map(|server| server.again.0.max(1)).min();
        next.filter(|_| self.state == SearchState::Approved).unwrap_or(0)
    }

    /// Whether it waits for its owner, or for a resource server.
    fn is_open(&self, now: Timestamp) -> bool {
        match self.state {
            SearchState::Waiting => now < self.created.plus(SEARCH_LIFETIME),
            _ => self.due() != 0,
        }
    }

    /// Whether anything may yet come of it: an assertion that was sent rests on it.
    fn is_over(&self, now: Timestamp) -> bool {
        let sent = self.servers.iter().any(|server| !matches!(server.state, SearchAt::Waiting | SearchAt::Failed));
        !self.is_open(now) && !sent && self.created.plus(SEARCH_LIFETIME) <= now
    }
}

/// What the owner sees before she consents: each claim, and its value where it is known.
pub struct SearchQuestion {
    pub id: String,
    /// The name that the operator gave each, and its URL.
    pub resource_servers: Vec<(Option<String>, String)>,
    pub known: Vec<(String, String)>,
    pub unknown: Vec<String>,
}

/// What the name of a search is sealed for.
const SEALED_SEARCH: &str = "search of an assertion";

fn not_found() -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::NotFound, "no search of yours has this id"))
}

fn answered_already<T>() -> Result<T, Failure> {
    Failure::refuse(ErrorCode::Conflict, "you have answered this already")
}

/// It stands as it was read.
fn standing(search: &Search) -> Requirement {
    Requirement::SearchStands { id: search.id.clone(), owner: search.owner.clone(), due: search.due() }
}

/// A claim that this server knows to be so.
fn verified(account: &Account, name: &str) -> Option<Value> {
    match name {
        "email" => account.verified_email().map(Value::from),
        // what somebody calls himself at a provider finds nobody's things
        "name" if account.is_of_provider() => account.claims.get(name).cloned(),
        "name" if !account.claims.contains_key("name") => account.name.clone().map(Value::from),
        other => account.claims.get(other).cloned(),
    }
}

impl AuthorizationServer {
    /// `POST {discovery_requests_endpoint}`: nothing is sent before the owner consents.
    pub async fn create_search(&self, pmt: &PolicyToken, wanted: DiscoveryRequest) -> Result<DiscoveryDocument, Failure> {
        let invalid = |what: &str| Failure::refuse(ErrorCode::InvalidRequest, what.to_owned());
        if wanted.resource_servers.is_empty() || wanted.resource_servers.len() > MAX_SERVERS {
            return invalid("`resource_servers` must name 1 to 100 resource servers");
        }
        let is_name =
            |name: &String| name.len() <= 64 && !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if wanted.claims.is_empty() || wanted.claims.len() > MAX_CLAIMS || !wanted.claims.iter().all(is_name) {
            return invalid("`claims` must name 1 to 20 claims");
        }
        // the limits come before the look at each of them, one search at a time
        let _turn = self.turns.alone(&pmt.owner).await;
        let mut writes = self.make_room_for_search(&pmt.owner).await?;
        let mut servers: Vec<SearchedClient> = Vec::new();
        for resource in wanted.resource_servers {
            let Some(client) = self.identity.store.find_client_by_resource(resource.as_str()).await? else {
                return Failure::refuse(ErrorCode::InvalidTarget, format!("no resource server `{resource}` is known here"));
            };
            if servers.iter().all(|known| known.client != client.id) {
                let (state, again) = (SearchAt::Waiting, Timestamp(0));
                servers.push(SearchedClient { client: client.id, resource, state, tries: 0, again });
            }
        }
        let search = Search {
            id: self.identity.random_id(),
            owner: pmt.owner.clone(),
            state: SearchState::Waiting,
            created: self.now(),
            decided: None,
            claims: wanted.claims,
            servers,
            self_asserted: Map::new(),
        };
        writes.push(Write::PutSearch(search.clone()));
        self.store.commit(Changes::of(writes)).await?;
        Ok(self.search_document(&search))
    }

    /// Whether this owner may have one more search; what is over gives way.
    async fn make_room_for_search(&self, owner: &OwnerId) -> Result<Vec<Write>, Failure> {
        let (all, now) = (self.store.list_own_searches(owner).await?, self.now());
        let full = |what: &str| Failure::refuse(ErrorCode::InvalidRequest, what);
        if all.iter().filter(|search| search.is_open(now)).count() >= MAX_OPEN {
            return full("10 searches of yours wait for you or are under way: answer them, wait, or end one first");
        }
        let over: Vec<&Search> = all.iter().filter(|search| search.is_over(now)).collect();
        if all.len().saturating_sub(over.len()) >= MAX_KEPT {
            return full("you have 200 searches: end one first, and what was found by it");
        }
        Ok(over.into_iter().map(|search| Write::DeleteSearch(search.id.clone())).collect())
    }

    fn search_document(&self, search: &Search) -> DiscoveryDocument {
        let page = || format!("{}/{}", self.identity.url(path::MY_SEARCHES), search.id);
        let server = |server: &SearchedClient| SearchedServer { resource_server: server.resource.clone(), state: server.state };
        DiscoveryDocument {
            id: search.id.clone(),
            state: search.state,
            created: search.created,
            authorize_uri: (search.state == SearchState::Waiting).then(page),
            claims: search.claims.clone(),
            resource_servers: search.servers.iter().map(server).collect(),
        }
    }

    async fn own_search(&self, owner: &OwnerId, id: &str) -> Result<Search, Failure> {
        self.store.find_search(id).await?.filter(|search| search.owner == *owner).ok_or_else(not_found)
    }

    pub async fn list_searches(&self, pmt: &PolicyToken, page: &Page<String>) -> Result<Vec<DiscoveryDocument>, Failure> {
        let searches = self.store.list_searches(&pmt.owner, page).await?;
        Ok(searches.iter().map(|search| self.search_document(search)).collect())
    }

    pub async fn read_search(&self, pmt: &PolicyToken, id: &str) -> Result<DiscoveryDocument, Failure> {
        Ok(self.search_document(&self.own_search(&pmt.owner, id).await?))
    }

    /// Ends a search: who has not found her by now does not get a PAT by it any more.
    pub async fn delete_search(&self, pmt: &PolicyToken, id: &str) -> Result<(), Failure> {
        let search = self.own_search(&pmt.owner, id).await?;
        self.store.commit(Changes::of(vec![Write::DeleteSearch(search.id)])).await?;
        Ok(())
    }

    /// What she is asked.
    pub async fn search_question(&self, owner: &PolicyToken, id: &str) -> Result<SearchQuestion, Failure> {
        let search = self.own_search(&owner.owner, id).await?;
        if search.state != SearchState::Waiting {
            return answered_already();
        }
        let account = self.identity.store.find_account(&owner.owner).await?.ok_or_else(not_found)?;
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for name in &search.claims {
            match verified(&account, name) {
                Some(Value::String(text)) => known.push((name.clone(), text)),
                Some(other) => known.push((name.clone(), other.to_string())),
                None => unknown.push(name.clone()),
            }
        }
        let mut resource_servers = Vec::new();
        for server in &search.servers {
            // a name from open registration is the client's own word, and is not shown for the operator's
            let client = self.identity.store.find_client(&server.client).await?.filter(|client| client.declared);
            resource_servers
                .push((client.and_then(|client| client.name.as_deref().map(readable)), server.resource.as_str().to_owned()));
        }
        Ok(SearchQuestion { id: search.id, resource_servers, known, unknown })
    }

    /// Her answer, with what only she knows.
    pub async fn decide_search(
        &self,
        owner: &PolicyToken,
        id: &str,
        approve: bool,
        said: Map<String, Value>,
    ) -> Result<(), Failure> {
        let mut search = self.own_search(&owner.owner, id).await?;
        if search.state != SearchState::Waiting {
            return answered_already();
        }
        let requires = vec![standing(&search)];
        if said.values().any(|value| value.as_str().is_none_or(|text| text.len() > MAX_TEXT)) {
            return Failure::refuse(ErrorCode::InvalidRequest, "what you say of yourself is too long: 500 characters at most");
        }
        search.state = if approve { SearchState::Approved } else { SearchState::Denied };
        search.decided = Some(self.now());
        let claims = &search.claims;
        let asked =
            |name: &String, value: &Value| claims.contains(name) && value.as_str().is_some_and(|text| !text.trim().is_empty());
        search.self_asserted = said.into_iter().filter(|(name, value)| approve && asked(name, value)).collect();
        match self.store.commit(Changes { requires, ..Changes::of(vec![Write::PutSearch(search)]) }).await {
            Ok(()) => Ok(()),
            // ended or answered by another page of hers
            Err(CommitError::Changed) => {
                self.own_search(&owner.owner, id).await?;
                answered_already()
            }
            Err(error) => Err(error.into()),
        }
    }

    /// However often a search is sent to a resource server: it gets one assertion, which is good once.
    fn id_of_assertion(&self, search: &Search, server: &SearchedClient) -> String {
        let parts = [search.id.as_bytes(), b"\0", server.client.as_str().as_bytes()].concat();
        self.identity.keys.keyed_digest("pat assertion", &parts)
    }

    /// Whether the owner has withdrawn her link to this resource server since she let it search for her: then nothing of the
    /// search is sent there any more, and what was sent opens nothing.
    pub(crate) async fn is_unlinked_since(&self, search: &Search, client: &ClientId) -> Result<bool, Failure> {
        let last = self.store.find_last_receipt(&search.owner, &consent_receipt::subject_of_link(client)).await?;
        let is_later = |time: Timestamp| search.decided.unwrap_or(search.created) <= time;
        Ok(last.is_some_and(|last| last.document.event == ReceiptEvent::Withdrawn && is_later(last.document.consent_timestamp)))
    }

    /// The search that an assertion of ours is of; one of an older version says its name, and whose it is, for all to read.
    pub(crate) async fn find_search_of(&self, named: &str, subject: &str) -> Result<Option<Search>, Failure> {
        let sealed = base64url::decode(named).and_then(|sealed| self.identity.keys.open(&sealed, SEALED_SEARCH));
        match sealed.and_then(|id| String::from_utf8(id).ok()) {
            Some(id) => Ok(self.store.find_search(&id).await?),
            None => Ok(self.store.find_search(named).await?.filter(|search| search.owner.as_str() == subject)),
        }
    }

    fn discovery_token(&self, search: &Search, account: &Account, server: &SearchedClient) -> Result<String, Failure> {
        let (now, key) = (self.now(), self.identity.keys.signing_key(Algorithm::EdDsa, self.now())?);
        let pairwise = [server.client.as_str().as_bytes(), b"\0", search.owner.as_str().as_bytes()].concat();
        let subject = self.identity.keys.keyed_digest("pairwise subject", &pairwise);
        // it is read by whoever gets it: of her it says what the token says, and which search it is, this server alone reads
        let sealed = self.identity.keys.seal(search.id.as_bytes(), SEALED_SEARCH, &*self.identity.randomness)?;
        let assertion = json!({
            "iss": self.issuer(), "aud": self.identity.url(path::TOKEN), "client_id": server.client, "sub": subject,
            "search": base64url::encode(sealed), "jti": self.id_of_assertion(search, server), "iat": now,
            // the same each time, as its id: so it is found when it was used
            "exp": search.created.plus(ASSERTION_LIFETIME),
        });
        let said = search.claims.iter().filter_map(|name| Some((name.clone(), verified(account, name)?)));
        let token = DiscoveryToken {
            iss: self.issuer().as_str().to_owned(),
            aud: server.resource.as_str().to_owned(),
            sub: subject,
            iat: now,
            exp: now.plus(TOKEN_LIFETIME),
            jti: self.identity.random_id(),
            verified_claims: said.collect(),
            self_asserted_claims: search.self_asserted.clone(),
            pat_assertion: key.sign(PAT_ASSERTION_TYPE, &assertion).map_err(internal)?,
        };
        key.sign(DISCOVERY_TYPE, &token).map_err(internal)
    }
}
