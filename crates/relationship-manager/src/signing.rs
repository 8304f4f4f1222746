//! Shares by the owner's own word: resource owner tokens (protocol.md 3). What will be signed is made first and shown
//! whole; then exactly that is signed, once. And her credential, registered at her servers with proof.

mod posting;

use crate::ending::deletion;
use crate::holdings::{Holdings, Known, Thing, Who};
use crate::ledger::{PlacedAs, Said, Word, word_of};
use crate::person::Person;
use crate::share::{Shared, Sharing, segment};
use crate::store::{Link, Place};
use crate::sync::Asking;
use crate::vault::OpenKey;
use crate::{Manager, PATIENCE, Trouble, lock};
use client::Client;
use client::api::{ApiBody, ApiCall};
use http::Method;
use jose::delegation::TYPE as DELEGATION;
use jose::resource_owner_token::TYPE;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use types::credential::{CredentialDocument, PROOF_TYPE};
use types::metadata::Metadata;
use types::{ScopeSet, Timestamp};

/// How long a token lives that names no end.
pub(crate) const LIFETIME: i64 = 90 * 86_400;
/// Seconds that what was shown waits to be signed.
const SHOWN_FOR: i64 = 900;
/// Most of one owner's that wait to be signed.
const MOST_SHOWN: usize = 32;
/// How long a page waits for those who are to have what she signed.
const PAGE_WAITS: Duration = Duration::from_secs(5);

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    ResourceOwnerToken,
    Delegation,
    /// An ID token by which she shows that a key is hers; it goes with her browser, and is posted nowhere.
    SelfIssued,
}

impl Form {
    /// `typ`, media type, and where it is posted.
    pub(crate) fn parts(self, metadata: &Metadata) -> (&'static str, &'static str, Option<&String>) {
        match self {
            Self::ResourceOwnerToken => (TYPE, "application/rot+jwt", metadata.policy_endpoint.as_ref()),
            Self::SelfIssued => ("JWT", "application/jwt", None),
            Self::Delegation => (DELEGATION, "application/delegation+jwt", metadata.delegations_endpoint.as_ref()),
        }
    }
}

/// What was shown, with her signature.
#[derive(Clone)]
pub(crate) struct SignedDraft {
    pub(crate) draft: Draft,
    pub(crate) word: Word,
}

/// A token that is shown, and not signed yet.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) form: Form,
    /// Where it will be posted, and the authorization server that this is.
    pub(crate) link: String,
    pub(crate) guard: String,
    pub(crate) name: String,
    pub(crate) claims: Value,
    /// As who it will stand where.
    pub(crate) placed: Vec<PlacedAs>,
    /// The word in her ledger whose place it takes.
    pub(crate) replaces: Option<String>,
}

impl Draft {
    /// What her browser carries to this place: it is posted nowhere.
    pub(crate) fn for_browser(back: String, claims: Value) -> Self {
        let (guard, name) = (String::new(), String::new());
        Self { form: Form::SelfIssued, link: back, guard, name, claims, placed: Vec::new(), replaces: None }
    }

    /// The signature over exactly these claims, as the ledger keeps it.
    fn sign(&self, key: &OpenKey, now: Timestamp) -> Result<Word, Trouble> {
        let cannot = |_| Trouble::Refused("The key could not sign.".into());
        let unreadable = |_| Trouble::Refused("What was shown is no token: it is not signed.".into());
        let said = |claims: &Value| match self.form {
            Form::ResourceOwnerToken => serde_json::from_value(claims.clone()).map(Said::Share).map_err(unreadable),
            Form::Delegation => serde_json::from_value(claims.clone()).map(Said::Delegation).map_err(unreadable),
            Form::SelfIssued => Err(Trouble::Refused("This is signed for your browser alone.".into())),
        };
        let said = said(&self.claims)?;
        let typ = if self.form == Form::Delegation { DELEGATION } else { TYPE };
        let text = key.key.sign_as(typ, &key.did, &self.claims).map_err(cannot)?;
        let word = word_of(said, text, &self.name, vec![self.guard.clone()], now);
        Ok(Word { placed: self.placed.clone(), ..word })
    }
}

impl Thing {
    /// What a token says of this thing, and of nothing else. None where the server that keeps it is not linked: an
    /// authorization server alone must not have anything signed for what somebody else keeps.
    pub(crate) fn entry(&self, scopes: &ScopeSet) -> Option<Value> {
        let own_id = self.description.own_id.as_ref().filter(|_| self.is_vouched)?;
        let mut entry = json!({"resource_server": self.server, "resource_id": own_id, "allowed_scopes": scopes});
        let location = self.description.resource_location.as_deref().filter(|url| client::uma::is_within(url, &self.server));
        if let (Some(location), Some(members)) = (location, entry.as_object_mut()) {
            members.insert("resource_location".into(), json!(location));
        }
        Some(entry)
    }
}

/// What was shown to somebody.
#[derive(Clone)]
pub(crate) struct Prepared {
    owner: String,
    until: Timestamp,
    pub(crate) drafts: Vec<Draft>,
}

/// An id that a token may have.
pub(crate) fn jti_of(manager: &Manager) -> String {
    jose::ambient::random_text::<16>(&*manager.client.randomness)
}

impl Manager {
    /// What she would sign for a share: one token for each thing, so that each is withdrawn by itself.
    pub(crate) fn prepare(&self, person: &Person, holdings: &Holdings, sharing: &Sharing, did: &str) -> (String, Prepared) {
        let now = self.now();
        let draft = |thing: &Thing| {
            let guard = thing.guard_of(sharing)?;
            let mut party = match &sharing.who {
                Who::Address(address) => json!({"claims": {"email": address}}),
                Who::Anyone => json!({}),
                Who::Other(_) => return None,
            };
            // a client's name is its authorization server's own: `aud` names that one alone (protocol.md 3)
            if let (Some(at), Some(members)) = (&sharing.at, party.as_object_mut()) {
                members.insert("client_id".into(), json!([at.client]));
            }
            let entry = thing.entry(&guard.scopes.intersection(&sharing.scopes))?;
            let claims = json!({
                "jti": jti_of(self), "iss": did, "resource_owner_id": did, "aud": [thing.server, guard.issuer], "iat": now,
                "exp": sharing.until.unwrap_or(now.plus(LIFETIME)), "resources": [entry], "allowed_rqp": party,
            });
            let (link, name) = (guard.link.clone()?, thing.name.clone());
            let (guard, placed) = (guard.issuer.clone(), holdings.placed_as(&link, [thing.server.as_str()]));
            Some(Draft { form: Form::ResourceOwnerToken, link, guard, name, claims, placed, replaces: None })
        };
        let drafts = sharing.things.iter().filter_map(|key| holdings.thing(key)).filter_map(draft).collect();
        self.keep_shown(person, drafts)
    }

    /// Keeps what is shown, so that exactly that can be signed.
    pub(crate) fn keep_shown(&self, person: &Person, drafts: Vec<Draft>) -> (String, Prepared) {
        let now = self.now();
        let prepared = Prepared { owner: person.owner.clone(), until: now.plus(SHOWN_FOR), drafts };
        let id = self.new_id();
        let mut all = lock(&self.prepared);
        all.retain(|_, prepared| now < prepared.until);
        // another site can have her browser open such a page as often as it likes: what she was shown longest ago goes
        while all.values().filter(|shown| shown.owner == person.owner).count() >= MOST_SHOWN {
            let hers = all.iter().filter(|(_, shown)| shown.owner == person.owner);
            let oldest = hers.min_by_key(|(_, shown)| shown.until).map(|(id, _)| id.clone());
            oldest.into_iter().for_each(|id| drop(all.remove(&id)));
        }
        all.insert(id.clone(), prepared.clone());
        (id, prepared)
    }

    /// Signs exactly what was shown, once; keeps it in her ledger, and then posts it, also when she leaves the page
    /// (`posting`). What has not been answered after a while is said to be on its way.
    pub(crate) async fn sign(self: &Arc<Self>, person: &Person, id: &str, key: &OpenKey) -> Result<Shared, Trouble> {
        let prepared = self.take_shown(person, id)?;
        let now = self.now();
        let sign = |draft: Draft| draft.sign(key, now).map(|word| SignedDraft { draft, word });
        let signed: Vec<SignedDraft> = prepared.drafts.into_iter().map(sign).collect::<Result<_, _>>()?;
        let words: Vec<Word> = signed.iter().map(|one| one.word.clone()).collect();
        self.store.add_words(&person.owner, &words, now).await?;
        self.look_again(&person.owner);
        let posting = tokio::spawn(self.clone().post_all(person.owner.clone(), signed));
        match tokio::time::timeout(PAGE_WAITS, posting).await {
            Ok(Ok(posted)) => posted,
            Ok(Err(_)) => Err(Trouble::Refused("What you signed could not be posted. See what stands among your things.".into())),
            Err(_) => Ok(Shared { on_the_way: words.len(), ..Shared::default() }),
        }
    }

    /// Signs what was shown, once, for her browser to carry: the token, and where to.
    pub(crate) fn sign_for_browser(&self, person: &Person, id: &str, key: &OpenKey) -> Result<(String, String), Trouble> {
        let draft = self.take_shown(person, id)?.drafts.into_iter().find(|draft| draft.form == Form::SelfIssued);
        let Some(draft) = draft else { return Err(Trouble::Refused("This was not shown to be signed.".into())) };
        let token = key.key.sign_as("JWT", &key.did, &draft.claims);
        Ok((token.map_err(|_| Trouble::Refused("The key could not sign.".into()))?, draft.link))
    }

    /// What was shown to her, once.
    fn take_shown(&self, person: &Person, id: &str) -> Result<Prepared, Trouble> {
        let now = self.now();
        let mut all = lock(&self.prepared);
        match all.get(id).filter(|prepared| prepared.owner == person.owner && now < prepared.until).cloned() {
            Some(prepared) => {
                all.remove(id);
                Ok(prepared)
            }
            None => Err(Trouble::Refused(
                "What you were shown is too old, or was signed before. Go back, and look at it again.".into(),
            )),
        }
    }

    /// Registers her key where her word is to count: what came of it at each server that does not have it yet.
    pub(crate) async fn register_key(self: &Arc<Self>, person: &Person, key: &OpenKey) -> Result<Vec<String>, Trouble> {
        let holdings = self.holdings(&person.owner).await?;
        let lacking = holdings.servers.iter().filter(|known| !known.link.ended && !known.has_key(&key.did));
        let register = lacking.map(|known| async {
            let outcome = self.register_at(&person.owner, known, key).await;
            outcome.err().map(|trouble| format!("{}: {trouble}", known.link.place.url()))
        });
        let failed = futures_util::future::join_all(register).await.into_iter().flatten().collect();
        self.read_servers(&person.owner, holdings.servers.iter().map(|known| known.link.id.clone())).await;
        Ok(failed)
    }

    async fn register_at(&self, owner: &str, known: &Known, key: &OpenKey) -> Result<(), Trouble> {
        let (link, client, metadata) = self.ready(owner, &known.link.id).await?;
        let url = match &link.place {
            Place::ResourceServer { management, .. } => Some(format!("{management}/my-credentials")),
            Place::AuthorizationServer { .. } => metadata.resource_owner_credentials_endpoint.clone(),
            Place::BareStandard { .. } => None,
        };
        let url = url.ok_or_else(|| Trouble::Refused("this server does not take signed shares".into()))?;
        let mut body = json!({"cred_type": "did", "cred_value": {"id": key.did}});
        let call = |body: Value| {
            let (client, link, url) = (&client, &link, &url);
            async move {
                let call = ApiCall {
                    method: Method::POST,
                    url,
                    token: &link.access_token,
                    bound: link.bound,
                    body: ApiBody::Json(&body),
                    patience: PATIENCE,
                };
                client.api(&call).await
            }
        };
        let asked = call(body.clone()).await?;
        let challenge = asked.body.get("challenge").and_then(Value::as_str);
        let Some(nonce) = challenge.filter(|_| asked.status == 400) else { return Err(Trouble::Refused(asked.refusal())) };
        // for this server and no other: a proof that it passes on is good nowhere else
        let claims = json!({"aud": link.place.url(), "nonce": nonce, "iat": self.now()});
        let proof = key.key.sign_as(PROOF_TYPE, &key.did, &claims);
        let proof = proof.map_err(|_| Trouble::Refused("the key could not sign".into()))?;
        body.as_object_mut().into_iter().for_each(|body| drop(body.insert("proof".into(), json!(proof))));
        let answer = call(body).await?;
        match answer.status {
            201 => Ok(()),
            // an answer that was lost may have done it; but that it is hers there, its list says and not the refusal
            409 => self.check_is_listed(&client, &link, &url, &key.did).await,
            _ => Err(Trouble::Refused(answer.refusal())),
        }
    }

    async fn check_is_listed(&self, client: &Client, link: &Link, url: &str, did: &str) -> Result<(), Trouble> {
        let listed: Vec<CredentialDocument> = Asking::new(client, link).list(url).await?;
        match listed.iter().any(|credential| is_key(credential, did)) {
            true => Ok(()),
            false => Err(Trouble::Refused(
                "this server says that it knows this key, and does not list it as yours: look there who has it, or make another key"
                    .into(),
            )),
        }
    }
}

impl Manager {
    /// A key counts nowhere any more, and nothing that it signed: asked of each server until it has confirmed. What stands in
    /// the ledger under it is taken back by itself, so that it ends also where a server keeps silent about the key.
    pub(crate) async fn withdraw_credential(self: &Arc<Self>, owner: &str, subject: &str) -> Result<(), Trouble> {
        let holdings = self.holdings(owner).await?;
        let mut wanted = Vec::new();
        for known in &holdings.servers {
            let Some(at) = &known.snapshot.credentials_endpoint else { continue };
            let here = known.snapshot.credentials.iter().filter(|one| subject_of(&one.cred_value) == Some(subject));
            let what = format!("The key {subject} counts no more");
            wanted.extend(here.map(|one| deletion(known, what.clone(), format!("{at}/{}", segment(&one.id)))));
        }
        let by_it = holdings.ledger.live(self.now()).filter(|(_, word)| word.signer() == subject);
        let words: Vec<String> = by_it.map(|(id, _)| id.to_owned()).collect();
        if wanted.is_empty() && words.is_empty() {
            return Err(Trouble::Refused("This key counts at no server of yours.".into()));
        }
        self.withdraw_words(owner, &words).await?;
        self.ask(owner, wanted).await
    }
}

/// What a credential is called: its DID, or the name of its client.
pub(crate) fn subject_of(value: &Value) -> Option<&str> {
    value.get("id").or_else(|| value.get("client_id")).or_else(|| value.get("client_name")).and_then(Value::as_str)
}

impl Known {
    /// Whether this server counts what is signed by this key.
    pub(crate) fn has_key(&self, did: &str) -> bool {
        self.snapshot.credentials.iter().any(|credential| is_key(credential, did))
    }
}

fn is_key(credential: &CredentialDocument, did: &str) -> bool {
    credential.cred_value.get("id").and_then(Value::as_str) == Some(did)
}
