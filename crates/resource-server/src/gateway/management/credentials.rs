//! `/my-credentials`: the keys by which an owner's own tokens count here (protocol.md 3).

use super::{Answer, BASE, Managing, done, invalid, not_found, read, refuse, unavailable, unreadable, wrong_method};
use crate::gateway::Gateway;
use crate::protection::ProtectionError;
use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use client::credential;
use http::request::Parts;
use http::{StatusCode, header};
use jose::possession::{self, Claimed};
use types::brought::BroughtBy;
use types::credential::{CredentialChallenge, CredentialDocument, CredentialRegistration};

/// Most credentials of one owner.
const MAX_CREDENTIALS: usize = 50;
/// Those that count no more of which an owner sees that they ended.
const MOST_ENDED: usize = 16;

fn is_ended(credential: &CredentialDocument) -> bool {
    credential.by.as_ref().is_some_and(BroughtBy::is_ended)
}

impl Gateway {
    pub(super) async fn managed_credentials(&self, managing: &Managing, parts: &Parts, body: Body, rest: &[&str]) -> Answer {
        let owner = managing.owner.as_str();
        match (parts.method.as_str(), rest) {
            ("GET", []) => Ok(Json(self.told_credentials(owner).await?).into_response()),
            ("POST", []) => self.register_credential(managing, read(body).await?).await,
            ("GET", [id]) => {
                let found = self.told_credentials(owner).await?.into_iter().find(|credential| credential.id == *id);
                found.map(|credential| Json(credential).into_response()).ok_or_else(not_found)
            }
            ("DELETE", [id]) => {
                let gone = self.store.delete_credential(owner, id).await.map_err(|_| unavailable())?;
                if gone { Ok(done()) } else { Err(not_found()) }
            }
            (_, [] | [_]) => Err(wrong_method()),
            _ => Err(not_found()),
        }
    }

    /// Those that count, without who brought them.
    async fn told_credentials(&self, owner: &str) -> Result<Vec<CredentialDocument>, Response> {
        let all = self.list_counting_credentials(owner).await.map_err(unreadable)?;
        Ok(all.into_iter().map(|credential| CredentialDocument { by: None, ..credential }).collect())
    }

    async fn register_credential(&self, managing: &Managing, registration: CredentialRegistration) -> Answer {
        let owner = managing.owner.as_str();
        let unusable = |error: credential::CredentialError| invalid(&error.to_string());
        let subject = credential::subject_of(registration.cred_type, &registration.cred_value).map_err(unusable)?;
        let keys = credential::keys_of(&self.client.outbound, registration.cred_type, &registration.cred_value).await;
        let keys = keys.map_err(unusable)?;
        let claimed = Claimed { owner, credential: &subject, audience: &self.settings.resource };
        let now = self.client.clock.now();
        let missing = || "sign the challenge with the credential's key, and send it as `proof`".to_owned();
        let proven = registration.proof.as_ref().ok_or_else(missing);
        let answered = proven.and_then(|proof| self.challenger.check(proof, &keys, &claimed, now));
        let before = || "this challenge was answered before: sign this one".to_owned();
        let is_known = self.find_counting_credential(owner, &subject).await.map_err(unreadable)?.is_some();
        // spent whatever comes of it; of what is registered already, that is said first
        let first = answered.and_then(|answered| {
            let is_first = self.answers.spend(answered, now);
            (is_first || is_known).then_some(()).ok_or_else(before)
        });
        if let Err(what) = first {
            let challenge = CredentialChallenge {
                error: "invalid_proof".to_owned(),
                error_description: what,
                challenge: self.challenger.challenge(&claimed, now, &*self.client.randomness),
                expires_in: possession::LIFETIME,
            };
            return Err((StatusCode::BAD_REQUEST, Json(challenge)).into_response());
        }
        // of several that come at once, each is counted
        let turn = self.turn(&format!("credentials of {owner}")).await;
        let _held = turn.lock().await;
        let known = self.store.find_credential(owner, &subject).await.map_err(unreadable)?;
        if let Some(known) = known.filter(|known| !is_ended(known)) {
            self.rest_on(managing, &subject, &known).await?;
            return Err(refuse(StatusCode::CONFLICT, "invalid_request", "this credential is registered already"));
        }
        if self.store.list_credentials(owner).await.map_err(unreadable)?.iter().filter(|one| !is_ended(one)).count()
            >= MAX_CREDENTIALS
        {
            return Err(invalid("at most 50 credentials: withdraw one first"));
        }
        self.forget_old_ends(owner).await.map_err(|_| unavailable())?;
        let document = CredentialDocument {
            id: jose::ambient::random_text::<16>(&*self.client.randomness),
            cred_type: registration.cred_type,
            cred_value: registration.cred_value.clone(),
            created: now,
            last_used: None,
            by: managing.by.clone(),
        };
        self.store.put_credential(owner, &subject, &document).await.map_err(|_| unavailable())?;
        let location = format!("{}{BASE}/my-credentials/{}", self.settings.resource, document.id);
        Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(CredentialDocument { by: None, ..document }))
            .into_response())
    }

    /// Keys that count no more are shown for a while, and leave no rows without end.
    async fn forget_old_ends(&self, owner: &str) -> Result<(), ProtectionError> {
        let mut ended: Vec<_> = self.store.list_credentials(owner).await?.into_iter().filter(is_ended).collect();
        ended.sort_by_key(|credential| std::cmp::Reverse(credential.created));
        for old in ended.iter().skip(MOST_ENDED) {
            self.store.delete_credential(owner, &old.id).await?;
        }
        Ok(())
    }

    /// Somebody with the same key registers it by another word of the owner's: it rests on that one from now on.
    async fn rest_on(&self, managing: &Managing, subject: &str, known: &CredentialDocument) -> Result<(), Response> {
        let is_of_application = known.by.as_ref().is_some_and(|by| by.asked_about().is_some());
        let grant = |by: &Option<BroughtBy>| by.as_ref().and_then(|by| by.grant.clone());
        if !is_of_application || grant(&managing.by) == grant(&known.by) {
            return Ok(());
        }
        let rests = CredentialDocument { by: managing.by.clone(), ..known.clone() };
        self.store.replace_credential(&managing.owner, subject, known, &rests).await.map(drop).map_err(|_| unavailable())
    }
}
