//! Consent receipts (protocol.md 1.6): written in the commit of what they tell of - an owner's first contact with a
//! manager, a resource server or another client, and each policy - and signed when they are read. A withdrawal gives a
//! new receipt that names the old.

use crate::AuthorizationServer;
use crate::changes::{Changes, Write};
use crate::event::Event;
use crate::page::{Soon, page_of_seen};
use crate::pen::Pen;
use crate::store::Page;
use identity::access_token::PolicyToken;
use identity::consent::Consent;
use identity::{Client, Failure};
use jose::{Clock, Randomness};
use rules::Policy;
use serde::{Deserialize, Serialize};
use serde_json::json;
use types::consent_receipt::{ConsentReceipt, Controller, ListedReceipt, Purpose, ReceiptEvent, Service, TYPE, VERSION};
use types::event::EventKind;
use types::token::{UMA_MANAGEMENT, UMA_POLICY, UMA_PROTECTION};
use types::{ErrorCode, OwnerId, Refusal, Timestamp};

/// A receipt as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub owner: OwnerId,
    /// What it is about: the receipts of one consent have it in common.
    pub subject: String,
    pub document: ConsentReceipt,
}

impl Receipt {
    /// The same without this person; none where it does not name her.
    pub(crate) fn without(mut self, address: &str) -> Option<Self> {
        let purposes = self.document.services.iter_mut().flat_map(|service| &mut service.purposes);
        let names = |name: &String| name.split(", ").any(|one| types::email::normalize(one).as_deref() == Some(address));
        let mut found = false;
        for purpose in purposes.filter(|purpose| purpose.third_party_name.as_ref().is_some_and(names)) {
            purpose.third_party_name = None;
            found = true;
        }
        found.then_some(self)
    }
}

fn not_found() -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::NotFound, "no receipt of yours has this id"))
}

/// A receipt in the making; the server's own part is added when it is read.
struct Draft<'a> {
    owner: &'a OwnerId,
    subject: String,
    event: ReceiptEvent,
    service: String,
    purpose: Purpose,
    replaces: Option<String>,
}

impl Draft<'_> {
    fn receipt(self, clock: &dyn Clock, randomness: &dyn Randomness) -> Receipt {
        // ids sort by time, as those of events
        let id = Event::new(self.owner.clone(), EventKind::PolicyCreated, clock, randomness).document.id.as_str().to_owned();
        let document = ConsentReceipt {
            consent_receipt_id: id.clone(),
            id,
            version: VERSION.into(),
            jurisdiction: String::new(),
            consent_timestamp: clock.now(),
            collection_method: "web".into(),
            public_key: None,
            language: "en".into(),
            pii_principal_id: self.replaces.is_some().then(|| self.owner.clone()),
            pii_controllers: Vec::new(),
            policy_url: String::new(),
            services: vec![Service { service: self.service, purposes: vec![self.purpose] }],
            sensitive: false,
            spi_cat: Vec::new(),
            event: self.event,
            replaces: self.replaces,
            policy_id: None,
            resource_id: None,
            scopes: Default::default(),
            client_id: None,
            by: None,
        };
        Receipt { owner: self.owner.clone(), subject: self.subject, document }
    }
}

fn until(end: Option<Timestamp>) -> String {
    end.map_or_else(
        || "until it is withdrawn".to_owned(),
        |end| format!("at {} seconds after the epoch, or when it is withdrawn", end.0),
    )
}

/// What a client that an owner let in, or put out again, gets as a receipt.
pub(crate) fn of_consent(
    consent: &Consent,
    client: Option<&Client>,
    given: bool,
    before: Option<&Receipt>,
    (clock, randomness): (&dyn Clock, &dyn Randomness),
) -> Receipt {
    let purpose = if consent.scopes.has(UMA_PROTECTION) {
        "to keep things of yours, and have them guarded here"
    } else if consent.scopes.has(UMA_POLICY) {
        "to manage for you what is guarded here"
    } else if consent.scopes.has(UMA_MANAGEMENT) {
        "to manage for you what is kept there"
    } else {
        "to know you, and act for you as far as you allowed"
    };
    let name = client.map_or_else(|| consent.client.as_str().to_owned(), |client| client.display_name());
    let service = consent.resource.as_ref().map_or_else(|| name.clone(), |resource| format!("{name}, at {resource}"));
    let draft = Draft {
        owner: &consent.account,
        subject: subject_of(consent),
        event: if given { ReceiptEvent::Given } else { ReceiptEvent::Withdrawn },
        service,
        purpose: Purpose {
            purpose: purpose.into(),
            consent_type: "EXPLICIT".into(),
            pii_category: consent.scopes.iter().map(ToString::to_string).collect(),
            primary_purpose: true,
            termination: until(None),
            third_party_disclosure: true,
            third_party_name: Some(name),
        },
        replaces: before.map(|before| before.document.id.clone()),
    };
    let mut receipt = draft.receipt(clock, randomness);
    receipt.document.client_id = Some(consent.client.as_str().to_owned());
    receipt.document.scopes = consent.scopes.clone();
    receipt.document.by = Some(consent.account.as_str().to_owned());
    receipt
}

/// What the receipts of a consent have in common.
pub(crate) fn subject_of(consent: &Consent) -> String {
    match &consent.resource {
        Some(resource) => format!("client {} at {resource}", consent.client),
        None => subject_of_link(&consent.client),
    }
}

/// The same of a consent for what this server itself offers: a resource server's link is one.
pub(crate) fn subject_of_link(client: &types::ClientId) -> String {
    format!("client {client}")
}

impl Pen<'_> {
    /// A receipt for a policy that is written, replaced or withdrawn; the policy then knows it.
    pub(crate) fn write_receipt(&self, policy: &mut Policy, kind: EventKind, by: &str, changes: &mut Changes) {
        let party: Vec<String> = policy
            .conditions
            .iter()
            .flat_map(|condition| &condition.value)
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect();
        let draft = Draft {
            owner: &policy.owner,
            subject: format!("policy {}", policy.id),
            event: if kind == EventKind::PolicyDeleted { ReceiptEvent::Withdrawn } else { ReceiptEvent::Given },
            service: site_of(self.issuer),
            purpose: Purpose {
                purpose: policy.purpose.clone().unwrap_or_else(|| "to let somebody reach a thing of yours".into()),
                consent_type: "EXPLICIT".into(),
                pii_category: policy.scopes.iter().map(ToString::to_string).collect(),
                primary_purpose: true,
                termination: until(policy.expires_at),
                third_party_disclosure: true,
                third_party_name: Some(if party.is_empty() { "anyone".to_owned() } else { party.join(", ") }),
            },
            replaces: policy.receipt.clone(),
        };
        let mut receipt = draft.receipt(self.clock, self.randomness);
        let document = &mut receipt.document;
        document.pii_principal_id = Some(policy.owner.clone());
        document.policy_id = Some(policy.id.clone());
        document.resource_id = policy.resource().cloned();
        document.scopes = policy.scopes.clone();
        document.by = Some(by.to_owned());
        policy.receipt = Some(document.id.clone());
        changes.writes.push(Write::PutReceipt(receipt));
    }
}

/// This server, as people call it.
fn site_of(issuer: &str) -> String {
    issuer.split_once("://").map_or(issuer, |(_, host)| host).to_owned()
}

impl AuthorizationServer {
    /// The server's own part, and its signature.
    fn listed(&self, receipt: Receipt) -> Result<ListedReceipt, Failure> {
        let key = self.identity.keys.signing_key(jose::Algorithm::EdDsa, self.now())?;
        let issuer = self.issuer().as_str().to_owned();
        let controller =
            Controller { pii_controller: site_of(self.issuer().as_str()), on_behalf: false, pii_controller_url: issuer.clone() };
        let receipt = ConsentReceipt {
            public_key: Some(key.kid().to_owned()),
            pii_controllers: vec![controller],
            policy_url: issuer.clone(),
            ..receipt.document
        };
        let mut claims = serde_json::to_value(&receipt).map_err(identity::internal)?;
        if let Some(claims) = claims.as_object_mut() {
            claims.insert("iss".into(), json!(issuer));
            claims.insert("iat".into(), json!(receipt.consent_timestamp));
            claims.insert("jti".into(), json!(receipt.id));
        }
        let receipt_jwt = key.sign(TYPE, &claims).map_err(identity::internal)?;
        Ok(ListedReceipt { receipt, receipt_jwt })
    }

    /// `GET {consent_receipts_endpoint}`: newest first.
    pub async fn list_receipts(
        &self,
        pmt: &PolicyToken,
        page: &Page<String>,
    ) -> Result<(Vec<ListedReceipt>, Option<String>), Failure> {
        let read = |page: Page<String>| -> Soon<'_, _> {
            Box::pin(async move { Ok(self.store.list_receipts(&pmt.owner, &page).await?) })
        };
        let see = |receipt: Receipt| -> Soon<'_, _> { Box::pin(async move { Ok(Some(self.listed(receipt)?)) }) };
        page_of_seen(page, |receipt: &Receipt| receipt.document.id.clone(), read, see).await
    }

    /// `GET {consent_receipts_endpoint}/{_id}`.
    pub async fn read_receipt(&self, pmt: &PolicyToken, id: &str) -> Result<ListedReceipt, Failure> {
        self.listed(self.store.find_receipt(&pmt.owner, id).await?.ok_or_else(not_found)?)
    }
}
