//! What of an RPT's permissions counts at the gateway (protocol.md 3). A permission without a resource owner token
//! counts only as a registration of that resource at the token's issuer, with that registration's scopes. One that
//! carries such a token counts only as far as the owner herself signed it, by a credential that she registered here,
//! whoever issued the RPT. Her rules take away from both. Called by the guard, for each call.

use super::credential_keys::Wanted;
use super::store::{Registered, Rule};
use super::{Gateway, Trust};
use crate::guard::{Narrow, Need};
use crate::protection::ProtectionError;
use async_trait::async_trait;
use database::ReadError;
use jose::{UnverifiedDelegation, UnverifiedJws, UnverifiedToken, digest};
use rules::authority::{OwnersToken, Presented, effective_scopes};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use types::credential::CredentialType;
use types::introspection::Introspection;
use types::spelling::readable;
use types::{ClientId, GrantedPermission, OwnResourceId, Scope, ScopeSet, Timestamp};

/// How long a signature counts without another look at the keys.
const SIGNATURE_KEPT: Duration = Duration::from_secs(150);
/// Owners' tokens of one RPT for one thing that are looked at, and reasons that are told of one call: an RPT says as much as
/// its issuer likes.
const MOST_TOKENS: usize = 16;
const MOST_REASONS: usize = 8;

/// Why a token of an issuer that nobody knows counts for nothing at once.
pub(super) const NOT_SIGNED: &str = "nothing is registered at its issuer, and she did not sign it";

/// A token whose signature held, by the keys of this credential at that time.
pub(super) struct Signed {
    pub(super) token: OwnersToken,
    /// Id of the owner's credential by whose keys it, or the delegation that it rests on, did.
    credential: String,
    checked: Instant,
}

/// A name among one owner's credentials is nobody else's.
fn signed_key(owner: &str, text: &str) -> [u8; 32] {
    digest::sha256(&[owner.as_bytes(), b"\0", text.as_bytes()])
}

/// Why a permission does not count.
#[derive(Debug)]
pub(super) enum Uncounted {
    /// In words of ours, for the owner's history.
    Because(String),
    /// It cannot be told, since the gateway's own store cannot be read.
    Unreadable(ReadError),
}

impl From<String> for Uncounted {
    fn from(why: String) -> Self {
        Self::Because(why)
    }
}

impl From<&str> for Uncounted {
    fn from(why: &str) -> Self {
        Self::Because(why.to_owned())
    }
}

impl From<ReadError> for Uncounted {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(error)
    }
}

/// The RPT that carries a permission.
struct Bearer<'a> {
    issuer: &'a str,
    client: Option<&'a ClientId>,
    sub: Option<&'a str>,
    jkt: Option<&'a str>,
}

/// A call's view of an RPT of this issuer.
pub(super) struct At<'a> {
    gateway: &'a Gateway,
    owner: &'a str,
    issuer: &'a str,
    needs: &'a [Need],
    refused: Mutex<Vec<String>>,
    seen: Mutex<Option<Arc<Introspection>>>,
}

impl<'a> At<'a> {
    pub(super) fn new(gateway: &'a Gateway, owner: &'a str, issuer: &'a str, needs: &'a [Need]) -> Self {
        Self { gateway, owner, issuer, needs, refused: Mutex::default(), seen: Mutex::default() }
    }

    /// The token that did not suffice, if it is one, and why.
    pub(super) fn refusal(self) -> (Option<Introspection>, Option<String>) {
        let all = self.refused.into_inner().unwrap_or_else(PoisonError::into_inner);
        let seen = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        let usual = seen.is_some().then(|| "the token does not permit this".to_owned());
        // what it permits elsewhere is nothing of hers
        let bare = seen.map(|seen| seen.with_permissions(None));
        (bare, if all.is_empty() { usual } else { Some(all.join("; ")) })
    }

    fn refuse(&self, why: impl Into<String>) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= MOST_REASONS {
            return;
        }
        let (owner, issuer, why) = (self.owner, self.issuer, readable(&why.into()));
        tracing::info!(owner, issuer, why, "a permission does not count");
        refused.push(why);
    }
}

#[async_trait]
impl Narrow for At<'_> {
    /// By the gateway's own ids.
    async fn narrow(&self, answer: &Arc<Introspection>, now: Timestamp) -> Result<Vec<GrantedPermission>, ProtectionError> {
        let jkt = answer.cnf.as_ref().and_then(|cnf| cnf.get("jkt")).and_then(Value::as_str);
        let bearer = Bearer { issuer: self.issuer, client: answer.client_id.as_ref(), sub: answer.sub.as_deref(), jkt };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
        let mut counted = Vec::new();
        for need in self.needs {
            let own_id = OwnResourceId::new(need.resource.as_str());
            let registered = self.gateway.store.registrations(self.owner, &own_id).await?;
            let mut tokens = 0;
            for permission in answer.permissions.iter().flatten() {
                let here = registered.iter().filter(|one| one.guards() && one.issuer == self.issuer);
                let here: Vec<_> = here.filter(|one| one.resource_id.as_ref() == Some(&permission.resource_id)).collect();
                let scopes = match &permission.authority {
                    // a server that this resource was never registered at knows it by its own id
                    Some(_) if tokens >= MOST_TOKENS => continue,
                    Some(text) if !here.is_empty() || permission.resource_id.as_str() == own_id.as_str() => {
                        tokens = tokens.saturating_add(1);
                        self.gateway.signed_scopes(self.owner, &own_id, &permission.resource_scopes, text, &bearer, now).await
                    }
                    None if here.is_empty() => continue,
                    None => self.plain_scopes(permission, &here),
                    Some(_) => continue,
                };
                let left = match scopes {
                    Ok(scopes) => self.after_rules(&own_id, scopes, &bearer, permission.authority.as_deref()).await,
                    Err(why) => Err(why),
                };
                match left {
                    Ok(resource_scopes) => counted.push(GrantedPermission {
                        resource_id: need.resource.clone(),
                        resource_scopes,
                        exp: permission.exp,
                        iat: permission.iat,
                        nbf: permission.nbf,
                        authority: permission.authority.clone(),
                    }),
                    Err(Uncounted::Because(why)) => self.refuse(format!("{own_id}: {why}")),
                    Err(Uncounted::Unreadable(error)) => return Err(error.into()),
                }
            }
        }
        Ok(counted)
    }
}

impl At<'_> {
    fn plain_scopes(&self, permission: &GrantedPermission, here: &[&Registered]) -> Result<ScopeSet, Uncounted> {
        if self.gateway.settings.trust == Trust::RotRequired {
            return Err("a permission without the owner's own token does not count here".into());
        }
        if permission.resource_scopes.iter().all(|scope| here.iter().any(|one| self.gateway.offers(one, scope))) {
            return Ok(permission.resource_scopes.clone());
        }
        let offered = here.iter().map(|one| self.gateway.scopes_of(one)).fold(ScopeSet::new(), |all, scopes| all.union(&scopes));
        let scopes = permission.resource_scopes.intersection(&offered);
        let more = permission.resource_scopes.difference(&offered);
        self.refuse(format!("`{more}` was granted, and is not registered there"));
        Ok(scopes)
    }

    /// What her own rules leave.
    async fn after_rules(
        &self,
        own_id: &OwnResourceId,
        scopes: ScopeSet,
        bearer: &Bearer<'_>,
        text: Option<&str>,
    ) -> Result<ScopeSet, Uncounted> {
        let rules = self.gateway.store.list_rules(self.owner).await?;
        if rules.is_empty() {
            return Ok(scopes);
        }
        let signed = text.and_then(|text| self.gateway.signed.get(&signed_key(self.owner, text)));
        let mut left = scopes;
        for rule in rules.iter().filter(|rule| fits(rule, own_id, bearer, signed.as_deref())) {
            let denied = rule.resource_scopes.as_ref().map_or_else(|| left.clone(), |scopes| scopes.intersection(&left));
            if !denied.is_empty() {
                self.refuse(format!("{own_id}: your rule {} denies `{denied}`", rule.id));
                left = left.difference(&denied);
            }
        }
        Ok(left)
    }
}

/// Whether a rule is about this. A client or a claim that nobody told this gateway counts as fitting: a rule can only take
/// away.
fn fits(rule: &Rule, own_id: &OwnResourceId, bearer: &Bearer<'_>, signed: Option<&Signed>) -> bool {
    let resource = rule.resource_id.as_ref().is_none_or(|id| id == own_id);
    let client = rule.client_id.as_ref().is_none_or(|id| bearer.client.is_none_or(|client| client == id));
    let claimed = |name: &str| -> Option<Vec<String>> {
        match name {
            "iss" => Some(vec![bearer.issuer.to_owned()]),
            "sub" => bearer.sub.map(|sub| vec![sub.to_owned()]),
            other => match signed?.token.allowed_rqp.claims.get(other)? {
                Value::Array(all) => Some(all.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
                Value::String(one) => Some(vec![one.clone()]),
                _ => None,
            },
        }
    };
    let claims = rule.claims.iter().all(|(name, wanted)| claimed(name).is_none_or(|all| all.iter().any(|one| wanted.has(one))));
    resource && client && claims
}

impl Gateway {
    async fn signed_scopes(
        &self,
        owner: &str,
        own_id: &OwnResourceId,
        permitted: &ScopeSet,
        text: &str,
        bearer: &Bearer<'_>,
        now: Timestamp,
    ) -> Result<ScopeSet, Uncounted> {
        // (a) signed by a credential that she has registered here, and has not withdrawn; or by a delegate's, whom such a
        // credential names
        let signed = self.signed(owner, text).await?;
        let token = &signed.token;
        let resource_scopes = self.offered_scopes(own_id);
        let mut withdrawn = false;
        for id in token.ids() {
            withdrawn |= self.store.is_withdrawn(owner, id).await?;
        }
        // (b) to (e)
        let here = Presented {
            resource_server: &self.settings.resource,
            own_id,
            resource_scopes: &resource_scopes,
            permitted,
            issuer: bearer.issuer,
            client: bearer.client,
            jkt: bearer.jkt,
            withdrawn,
            now,
        };
        let scopes = effective_scopes(token, &here).map_err(|unfit| unfit.to_string())?;
        let more = permitted.difference(&scopes);
        if !more.is_empty() {
            tracing::info!(owner, issuer = bearer.issuer, %own_id, %more, "more was granted than the owner signed");
        }
        Ok(scopes)
    }

    /// The signature, checked once for each text, and again when keys that were fetched may have changed.
    async fn signed(&self, owner: &str, text: &str) -> Result<Arc<Signed>, Uncounted> {
        let (key, checked) = (signed_key(owner, text), Instant::now());
        let known = self.signed.get(&key).filter(|signed| signed.checked.elapsed() < SIGNATURE_KEPT);
        let read = || UnverifiedToken::parse(text).map_err(|error| error.to_string());
        let unverified = if known.is_none() { Some(read()?) } else { None };
        let delegation = unverified.as_ref().and_then(UnverifiedToken::delegation);
        let delegation = delegation.as_deref().map(UnverifiedDelegation::parse).transpose().map_err(|error| error.to_string())?;
        let subject = match (&known, &delegation) {
            (Some(signed), _) => signed.token.owners_credential().to_owned(),
            (None, Some(delegation)) => delegation.issuer().unwrap_or_default(),
            (None, None) => unverified.as_ref().and_then(UnverifiedToken::issuer).unwrap_or_default(),
        };
        let Some(credential) = self.find_counting_credential(owner, &subject).await? else {
            return Err("it is signed by no credential of this owner".into());
        };
        if let Some(signed) = known.filter(|signed| signed.credential == credential.id) {
            return Ok(signed);
        }
        // a client id is only a name among one owner's credentials
        let name = match credential.cred_type {
            CredentialType::Did => subject.clone(),
            CredentialType::Client => format!("{owner}\0{}", credential.id),
        };
        let wanted = Wanted { name, kind: credential.cred_type, value: credential.cred_value.clone() };
        let outbound = self.client.outbound.in_name_of(&format!("owner {owner}"));
        let mut keys = self.credential_keys.get(&outbound, wanted).await?;
        let delegation = match delegation {
            None => None,
            Some(delegation) => {
                let delegation = delegation.verify(&keys).map_err(|error| error.to_string())?;
                let (name, value) = (delegation.sub.clone(), json!({"id": delegation.sub}));
                let wanted = Wanted { name, kind: CredentialType::Did, value };
                keys = self.credential_keys.get(&outbound, wanted).await?;
                Some(delegation)
            }
        };
        let unverified = unverified.map_or_else(read, Ok)?;
        let token = unverified.verify(&keys).map_err(|error| error.to_string())?;
        let token = OwnersToken::of(token, delegation).map_err(|error| error.to_string())?;
        let signed = Arc::new(Signed { token, credential: credential.id.clone(), checked });
        self.signed.insert(key, signed.clone());
        Ok(signed)
    }

    /// Whether an RPT of a server at which nothing is registered is worth a look at that server's keys: every permission
    /// of it carries a token that the owner signed for this gateway and that server (protocol.md 3, (a) to (d)). Else why
    /// not, in words of ours.
    pub(super) async fn is_vouched_for(
        &self,
        owner: &str,
        issuer: &str,
        rpt: &UnverifiedJws,
        needs: &[Need],
    ) -> Result<(), Uncounted> {
        if self.settings.trust == Trust::List && !self.is_listed(issuer) {
            return Err(NOT_SIGNED.into());
        }
        let permissions = rpt.claimed_value("permissions").and_then(|all| serde_json::from_value(all).ok());
        let permissions: Vec<GrantedPermission> = permissions.ok_or(NOT_SIGNED)?;
        let now = self.client.clock.now();
        let client = rpt.claimed("client_id").map(ClientId::new);
        let jkt = rpt.claimed_value("cnf").and_then(|cnf| cnf.get("jkt").and_then(Value::as_str).map(str::to_owned));
        let bearer = Bearer { issuer, client: client.as_ref(), sub: None, jkt: jkt.as_deref() };
        let mut verdict = Err(Uncounted::from("it permits nothing here"));
        for permission in &permissions {
            let text = permission.authority.as_ref().ok_or(NOT_SIGNED)?;
            if !needs.iter().any(|need| need.resource == permission.resource_id) {
                continue;
            }
            let own_id = OwnResourceId::new(permission.resource_id.as_str());
            match self.signed_scopes(owner, &own_id, &permission.resource_scopes, text, &bearer, now).await {
                Ok(_) => verdict = Ok(()),
                Err(Uncounted::Unreadable(error)) => return Err(error.into()),
                Err(why) if verdict.is_err() => verdict = Err(why),
                Err(_) => {}
            }
        }
        verdict
    }

    /// All scopes that a resource has here.
    pub(super) fn offered_scopes(&self, own_id: &OwnResourceId) -> ScopeSet {
        let of_route = |route: &&super::Route| route.maker_of(own_id.as_str()).is_some();
        self.routes().iter().filter(of_route).flat_map(super::Route::all_scopes).collect()
    }

    /// Whether a registration offers this one.
    fn offers(&self, registered: &Registered, scope: &Scope) -> bool {
        let own_id = registered.own_id.as_str();
        registered.scopes.as_ref().is_none_or(|scopes| scopes.contains(scope))
            && self.routes().iter().any(|route| route.offers(own_id, scope))
    }

    /// Those that a registration offers.
    pub(super) fn scopes_of(&self, registered: &Registered) -> ScopeSet {
        let all = self.offered_scopes(&registered.own_id);
        registered.scopes.as_ref().map_or_else(|| all.clone(), |scopes| scopes.intersection(&all))
    }
}
