//! Pushed claims: claim tokens and PCTs of a token request become claims of the process (Grant
//! 3.3.1, protocol.md 1.3). A token that does not count is as if not sent; why goes to the log.

use crate::changes::{Changes, Write};
use crate::token::uma_ticket::family_of;
use crate::{AuthorizationServer, IssuerKeys};
use identity::remote_keys::KeyPlace;
use identity::token_text::{self, TokenKind};
use identity::{AuthenticatedClient, Failure, SpentId, TokenKey};
use jose::{KeySet, UnverifiedJws, base64url, digest};
use rules::claim::{self, Accepted, AnotherPerson, Claim, ClaimToken, Claims, Presentation};
use rules::pct::{Disclosed, OwnersReach};
use rules::ticket::Process;
use rules::{Pct, RequestingParty};
use types::token::{ID_TOKEN_FORMAT, ID_TOKEN_FORMAT_HTTPS};
use types::{AccountId, Issuer};

/// A claim token as it was sent.
pub(crate) struct Pushed<'a> {
    pub token: &'a str,
    pub format: &'a str,
}

/// What became of a claim token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brought {
    Claims,
    /// It does not count, and is as if not sent.
    Nothing,
    /// Nor does this, and the client is told: it is about somebody else than the process.
    Another(AnotherPerson),
}

/// What a PCT is sealed for: its own row.
fn pct_context(key: &TokenKey) -> String {
    format!("pct {}", base64url::encode(key.hash))
}

/// Claim tokens that one process remembers.
const MOST_CLAIM_TOKENS: usize = 64;

impl AuthorizationServer {
    /// Adds the claims of a pushed token to the process, if the token counts. `known`: whom the process and a PCT that came
    /// along speak of.
    pub(crate) async fn take_claim_token(
        &self,
        pushed: &Pushed<'_>,
        client: &AuthenticatedClient,
        ticket_text: &str,
        known: &RequestingParty,
        process: &mut Process,
        changes: &mut Changes,
    ) -> Result<Brought, Failure> {
        let challenge = rules::ticket::challenge_of(ticket_text);
        let accepted = self.verify_claim_token(pushed, client, &challenge).await?;
        let Some((accepted, id)) = accepted else { return Ok(Brought::Nothing) };
        if !self.stands_by(&RequestingParty::of(accepted.subject.clone()), accepted.issued).await? {
            tracing::debug!("whoever issued a claim token stands by it no more");
            return Ok(Brought::Nothing);
        }
        // before anything of it is spent or kept: it may yet be brought to a process of its own
        if !known.admits(&accepted.subject) {
            return Ok(Brought::Another(AnotherPerson));
        }
        let issuer = accepted.subject.iss.as_str().to_owned();
        let marker = base64url::encode(digest::sha256(&[issuer.as_bytes(), b"\0", id.as_bytes()]));
        if !process.claim_tokens.contains(&marker) {
            let expires = accepted.expires.plus(claim::CLOCK_SKEW.saturating_mul(2));
            let spent = SpentId { kind: "claim", issuer, id, expires, made: Some(accepted.issued) };
            if self.identity.store.is_spent(&spent).await? {
                tracing::debug!("a claim token was used in another process before");
                return Ok(Brought::Nothing);
            }
            changes.identity.writes.push(identity::Write::Spend(spent));
            // the oldest is known as spent, and counts no more if it is brought once more
            if process.claim_tokens.len() >= MOST_CLAIM_TOKENS {
                process.claim_tokens.remove(0);
            }
            process.claim_tokens.push(marker);
        }
        if let Some(jkt) = accepted.cnf.as_ref().and_then(|cnf| cnf.get("jkt")).and_then(|jkt| jkt.as_str()) {
            process.cnf = Some(jkt.to_owned());
        }
        let (party, issued) = (RequestingParty::of(accepted.subject.clone()), accepted.issued);
        if let Err(another) = process.requesting_party.admit(accepted.subject) {
            return Ok(Brought::Another(another));
        }
        self.note_word(process, &party, issued);
        for claim in accepted.claims {
            process.claims.state(claim);
        }
        Ok(Brought::Claims)
    }

    async fn verify_claim_token(
        &self,
        pushed: &Pushed<'_>,
        client: &AuthenticatedClient,
        challenge: &str,
    ) -> Result<Option<(Accepted, String)>, Failure> {
        let refuse = |why: &dyn std::fmt::Display| {
            tracing::debug!(%why, "a claim token does not count");
            Ok(None)
        };
        if pushed.format != ID_TOKEN_FORMAT && pushed.format != ID_TOKEN_FORMAT_HTTPS {
            return refuse(&"its format is not supported");
        }
        let text = match unwrap(pushed.token) {
            Some(text) => text,
            None => return refuse(&"it is no JWT, nor base64url of one"),
        };
        // an ID token says `JWT` or nothing; whatever has a type of its own is something else (RFC 8725 3.11)
        let jws = match UnverifiedJws::parse(&text).and_then(UnverifiedJws::expect_no_own_type) {
            Ok(jws) => jws,
            Err(error) => return refuse(&error),
        };
        let issuer = Issuer::new(jws.claimed("iss").unwrap_or_default());
        let Some((trust, keys)) = self.trusted(&issuer, &jws).await? else { return refuse(&"its issuer is not trusted") };
        let verified = match jws.verify(&keys).and_then(|jws| jws.claims::<ClaimToken>()) {
            Ok(verified) => verified,
            Err(error) => return refuse(&error),
        };
        if verified.tells_of_events() {
            return refuse(&"it tells of events, and is no ID token");
        }
        let here = Presentation {
            issuer: self.issuer(),
            client: &client.id,
            may_push_claims: client.may_push_claims,
            ticket_challenge: challenge,
            max_age: self.settings.claim_token_max_age,
            now: self.now(),
            format: ID_TOKEN_FORMAT,
        };
        match claim::accept(&verified, &trust, &here) {
            Ok(accepted) if is_self_issued(&issuer) && accepted.subject.sub != issuer.as_str() => {
                refuse(&"a self-issued token proves that its subject is its key, and nobody else")
            }
            Ok(accepted) => {
                let id = accepted.jti.clone().unwrap_or_else(|| base64url::encode(digest::sha256(&[text.as_bytes()])));
                Ok(Some((accepted, id)))
            }
            Err(error) => refuse(&error),
        }
    }

    /// Whose word counts: an issuer of the configuration, or this server itself (Grant 5.7).
    async fn trusted(&self, issuer: &Issuer, token: &UnverifiedJws) -> Result<Option<(claim::Trust, KeySet)>, Failure> {
        if issuer == self.issuer() {
            let trust = claim::Trust {
                issuer: issuer.clone(),
                claims: ["email", "email_verified", "name", "preferred_username", "auth_time"].map(str::to_owned).into(),
                email_domains: vec!["*".to_owned()],
            };
            return Ok(Some((trust, self.identity.keys.own_key_set(self.now()))));
        }
        // self-issued: whoever has the key is its subject, and it vouches for nothing else
        if is_self_issued(issuer) && self.settings.extensions {
            let trust = claim::Trust { issuer: issuer.clone(), claims: Default::default(), email_domains: Vec::new() };
            return Ok(jose::did::keys_of(issuer.as_str()).ok().map(|keys| (trust, keys)));
        }
        let Some(trusted) = self.settings.trusted_issuers.get(issuer) else { return Ok(None) };
        let keys = match &trusted.keys {
            IssuerKeys::Known(keys) => keys.clone(),
            IssuerKeys::At(uri) => {
                match self.identity.fetch_keys(&KeyPlace::declared(uri), |keys| token.is_by_one_of(keys)).await {
                    Ok(keys) => keys,
                    Err(error) => {
                        tracing::warn!(%issuer, %error, "the keys of a trusted issuer cannot be fetched");
                        return Ok(None);
                    }
                }
            }
        };
        Ok(Some((trusted.trust.clone(), keys)))
    }

    /// The PCT of a text; one of another client, withdrawn or expired, is none (5.2), nor is one for whose person nobody vouches
    /// any more (threats 36, 48).
    pub(crate) async fn find_pct_for(&self, text: &str, client: &AuthenticatedClient) -> Result<Option<Pct>, Failure> {
        let Some(key) = token_text::key_of(TokenKind::Pct, text) else { return Ok(None) };
        let Some(pct) = self.find_pct(&key).await?.filter(|pct| pct.is_for(&client.id, self.now())) else { return Ok(None) };
        let issued = pct.issued_at(self.settings.pct_lifetime);
        if !client.was_there(issued) || !self.stands_by(&pct.requesting_party, issued).await? {
            return Ok(None);
        }
        Ok(Some(Pct { claims: self.without_names_of_providers(pct.claims, &pct.requesting_party).await?, ..pct }))
    }

    /// Older versions took what somebody called himself at a log-in provider for this server's word, and kept it (threat 36).
    async fn without_names_of_providers(&self, claims: Claims, party: &RequestingParty) -> Result<Claims, Failure> {
        let is_named = |claim: &Claim| claim.name == "name" && claim.issuer == *self.issuer();
        if !claims.iter().any(is_named) {
            return Ok(claims);
        }
        for subject in party.iter().filter(|subject| subject.iss == *self.issuer()) {
            let account = self.identity.store.find_account(&AccountId::from(subject.sub.as_str())).await?;
            if account.is_none_or(|account| account.is_of_provider()) {
                return Ok(claims.iter().filter(|claim| !is_named(claim)).cloned().collect());
            }
        }
        Ok(claims)
    }

    /// A new PCT for what this process gathered: its text, and the change that keeps it.
    pub(crate) fn new_pct(
        &self,
        client: &AuthenticatedClient,
        process: &Process,
        ticket: &rules::Ticket,
    ) -> Result<(String, Write), Failure> {
        let expires = self.now().plus(self.settings.pct_lifetime);
        let text = self.identity.mint(TokenKind::Pct, client.id.as_str(), expires);
        let key: TokenKey =
            token_text::key_of(TokenKind::Pct, &text).ok_or_else(|| identity::internal("a new token does not parse"))?;
        let pct = rules::Pct {
            client: client.id.clone(),
            requesting_party: process.requesting_party.clone(),
            claims: process.claims.clone(),
            as_owner: process.as_owner.clone().map(|consent| OwnersReach {
                owner: ticket.owner.clone(),
                resource_server: ticket.resource_server.clone(),
                consent,
            }),
            disclosed: process.disclosed_email.clone().map(|email| Disclosed { to: ticket.resource_server.clone(), email }),
            expires,
            issued: Some(self.now()),
            family: family_of(ticket),
        };
        let plain = serde_json::to_vec(&pct).map_err(identity::internal)?;
        let sealed = self.identity.keys.seal(&plain, &pct_context(&key), &*self.identity.randomness)?;
        Ok((text, Write::PutPct { key, sealed, expires }))
    }

    /// What a PCT stands for; personal, so it is sealed at rest (Grant 6.2).
    pub(crate) async fn find_pct(&self, key: &TokenKey) -> Result<Option<rules::Pct>, Failure> {
        let Some(sealed) = self.store.find_pct(key).await? else { return Ok(None) };
        let plain = self
            .identity
            .keys
            .open(&sealed, &pct_context(key))
            .ok_or_else(|| identity::internal("a stored PCT does not open"))?;
        serde_json::from_slice(&plain).map(Some).map_err(identity::internal)
    }
}

/// Whether its issuer is a key that the token itself names (did:key, did:jwk; nothing is fetched).
pub(crate) fn is_self_issued(issuer: &Issuer) -> bool {
    ["did:key:", "did:jwk:"].iter().any(|method| issuer.as_str().starts_with(method))
}

/// A compact JWT is in its own form already; anything else must be base64url of one (Grant 3.3.1).
fn unwrap(token: &str) -> Option<String> {
    if token.len() > jose::jws::MAX_JWS_BYTES.saturating_mul(2) {
        return None;
    }
    if token.contains('.') {
        return Some(token.to_owned());
    }
    String::from_utf8(base64url::decode(token)?).ok()
}
