//! Client authentication at the token, PAR, revocation and introspection endpoints (RFC 6749 2.3,
//! RFC 7523 2.2). The only maker of [`AuthenticatedClient`].

use crate::remote_keys::KeyPlace;
use crate::{Changes, Client, CommitError, Failure, Form, Identity, Requirement, SpentId, Unfit, Write};
use jose::{KeySet, UnverifiedJws};
use serde::Deserialize;
use std::collections::HashSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use types::client::AuthMethod;
use types::json::OneOrMany;
use types::token::JWT_BEARER_ASSERTION;
use types::{ClientId, ErrorCode, Refusal, Timestamp};

/// A client that proved who it is; a public one only named itself, and [`Client::is_public`] says
/// so.
#[derive(Clone)]
pub struct AuthenticatedClient(Arc<Client>);

impl Deref for AuthenticatedClient {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.0
    }
}

/// What a request brings to prove its client.
pub struct Credentials<'a> {
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    pub form: &'a Form,
    /// Who sent it, for limits.
    pub address: &'a str,
}

/// Registered clients that were used today; for the day's first use is written down.
#[derive(Default)]
pub(crate) struct Uses(Mutex<(i64, HashSet<ClientId>)>);

impl Uses {
    fn is_first_of_day(&self, client: &ClientId, now: Timestamp) -> bool {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if uses.0 != now.day() {
            *uses = (now.day(), HashSet::new());
        }
        uses.1.insert(client.clone())
    }

    fn forget(&self, client: &ClientId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.remove(client);
    }
}

/// Seconds by which a client's clock may be ahead.
const CLOCK_SKEW: i64 = 60;
/// Longest life of an assertion that is taken, in seconds.
const ASSERTION_LIFETIME: i64 = 3600;

fn invalid(what: impl Into<String>) -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::InvalidClient, what))
}

fn unknown() -> Failure {
    invalid("the client is unknown or its credentials are wrong")
}

enum Proof<'a> {
    Secret(AuthMethod, String),
    Assertion(&'a str),
    Nothing,
}

/// `typ` of a client's assertion, where it says one (draft-ietf-oauth-rfc7523bis).
const ASSERTION_TYPE: &str = "client-authentication+jwt";

impl Identity {
    /// Tells who the client is, or refuses with `invalid_client`.
    pub async fn authenticate_client(&self, credentials: &Credentials<'_>) -> Result<AuthenticatedClient, Failure> {
        let (id, proof) = read(credentials)?;
        let (address, now) = (credentials.address, self.now());
        let found = self.store.find_client(&id).await?;
        // signatures are checked by keys that are there: those elsewhere are fetched once for all who ask
        let keys = match (&proof, &found) {
            (Proof::Assertion(_), Some(client)) => self.keys_of(client).await?,
            _ => KeySet::default(),
        };
        let tried = self.limits.begin_proof(found.as_deref(), address, now)?;
        let Some(client) = found else {
            self.tell_unfit(Unfit::Unknown(id.as_str()), address);
            return Err(unknown());
        };
        let told = |failure: &Failure| {
            if matches!(failure, Failure::Refused(_)) {
                self.tell_unfit(Unfit::Proof(&client), address);
            }
        };
        let spent = match (self.check_proof(&client, &proof, &keys), &proof) {
            (Err(failure), Proof::Assertion(assertion)) => match self.find_newer_keys(&client, assertion, &keys).await? {
                Some(newer) => self.check_proof(&client, &proof, &newer).inspect_err(told)?,
                None => {
                    told(&failure);
                    return Err(failure);
                }
            },
            (checked, _) => checked.inspect_err(told)?,
        };
        tried.give_back();
        // an assertion is good once: one that was not heeded is not used up, and one that was uses up no request
        let counted = self.limits.count_request(&client, address, now)?;
        if let Some(spent) = spent
            && let Err(failure) = self.spend_assertion(spent).await
        {
            counted.give_back();
            return Err(failure);
        }
        self.note_use(&client).await?;
        Ok(AuthenticatedClient(client))
    }

    /// Checks a proof without waiting for anything; what it spends, where it is good once.
    fn check_proof(&self, client: &Client, proof: &Proof<'_>, keys: &KeySet) -> Result<Option<SpentId>, Failure> {
        match proof {
            Proof::Secret(method, secret) => {
                let fits = client.auth_method.is_none_or(|wanted| wanted == *method);
                if fits && self.is_secret_of(client, secret) { Ok(None) } else { Err(unknown()) }
            }
            Proof::Assertion(assertion) => self.check_assertion(client, assertion, keys).map(Some),
            Proof::Nothing if client.is_public() => Ok(None),
            Proof::Nothing => Err(invalid("this client must authenticate")),
        }
    }

    /// A registered client's first use of a day is written down, while it stands.
    async fn note_use(&self, client: &Client) -> Result<(), Failure> {
        if client.declared || !self.uses.is_first_of_day(&client.id, self.now()) {
            return Ok(());
        }
        let requires = vec![Requirement::ClientStands(client.id.clone())];
        let writes = vec![Write::NoteUse(client.id.clone(), self.now())];
        let noted = self.store.commit(Changes { requires, writes }).await;
        // what is not on disk is not noted: else a client in use is swept as unused
        noted.inspect_err(|_| self.uses.forget(&client.id)).map_err(|error| match error {
            CommitError::Changed => unknown(),
            error => error.into(),
        })
    }

    fn is_secret_of(&self, client: &Client, secret: &str) -> bool {
        // nobody's secret is empty, whatever was once declared
        if secret.is_empty() {
            return false;
        }
        let digest = self.secret_digest(&client.id, secret);
        client.secret_digest.as_deref().is_some_and(|has| jose::digest::equal(has.as_bytes(), digest.as_bytes()))
    }

    /// How a client's secret is kept.
    pub fn secret_digest(&self, client: &ClientId, secret: &str) -> String {
        self.keys.keyed_digest("client secret", [client.as_str().as_bytes(), b"\0", secret.as_bytes()].concat().as_slice())
    }

    /// Checks an assertion (RFC 7523 3); what is spent by it.
    fn check_assertion(&self, client: &Client, assertion: &str, keys: &KeySet) -> Result<SpentId, Failure> {
        if client.auth_method.is_some_and(|method| method != AuthMethod::PrivateKeyJwt) {
            return Err(invalid("this client is registered for another authentication method"));
        }
        let jws = UnverifiedJws::parse(assertion).and_then(as_assertion).map_err(|e| invalid(e.to_string()))?;
        // a client that registered one algorithm is held to it (OpenID Connect Dynamic Client Registration 2)
        if client.assertion_alg.as_ref().is_some_and(|registered| *registered != jws.header().alg) {
            return Err(invalid("the assertion is not signed by the algorithm that this client registered"));
        }
        if keys.is_empty() {
            return Err(keyless(client));
        }
        let jws = jws.verify(keys).map_err(|e| invalid(e.to_string()))?;
        let claims = jws.claims::<AssertionClaims>().map_err(|_| invalid("the assertion lacks iss, sub, aud, exp or jti"))?;
        let now = self.now();
        let ours = claims.aud.contains(self.issuer()) || claims.aud.contains(&self.url(types::path::TOKEN));
        if claims.iss != client.id.as_str() || claims.sub != client.id.as_str() || !ours || claims.aud.len() != 1 {
            return Err(invalid("the assertion must be of this client and for this server alone"));
        }
        if claims.exp <= now || claims.exp > now.plus(ASSERTION_LIFETIME) {
            return Err(invalid("the assertion has expired, or lives longer than an hour"));
        }
        // RFC 7523 3: one that begins later does not count yet
        if claims.nbf.max(claims.iat).is_some_and(|begin| begin > now.plus(CLOCK_SKEW)) {
            return Err(invalid("the assertion does not count yet: look at the clock of the client"));
        }
        let made = claims.iat.unwrap_or(claims.exp.plus(ASSERTION_LIFETIME.saturating_neg()));
        let (issuer, id) = (claims.iss.clone(), claims.jti.clone());
        Ok(SpentId { kind: "assertion", issuer, id, expires: claims.exp, made: Some(made) })
    }

    async fn spend_assertion(&self, spent: SpentId) -> Result<(), Failure> {
        match self.store.commit(Changes::of(vec![Write::Spend(spent)])).await {
            Ok(()) => Ok(()),
            Err(CommitError::Spent) => {
                Err(invalid("the assertion was used before, or may have been: make a new one, with `iat`"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A client's keys, from registration or from its `jwks_uri`; none where it has none.
    async fn keys_of(&self, client: &Client) -> Result<KeySet, Failure> {
        match (&client.jwks, place_of(client)) {
            // what does not read verifies nothing: the client is told so, see `keyless`
            (Some(jwks), _) => Ok(KeySet::readable(jwks).unwrap_or_default()),
            (None, Some(at)) => Box::pin(self.fetch_keys(&at, |_| true)).await,
            (None, None) => Ok(KeySet::default()),
        }
    }

    /// Other keys than those that did not fit, where the client has changed them at its `jwks_uri` since.
    async fn find_newer_keys(&self, client: &Client, assertion: &str, tried: &KeySet) -> Result<Option<KeySet>, Failure> {
        let (None, Some(at)) = (&client.jwks, place_of(client)) else { return Ok(None) };
        let jws = UnverifiedJws::parse(assertion).map_err(|error| invalid(error.to_string()))?;
        let newer = Box::pin(self.fetch_keys(&at, |keys| jws.is_by_one_of(keys))).await?;
        Ok(Some(newer).filter(|newer| newer != tried))
    }
}

/// There is nothing to verify a client's assertion by.
fn keyless(client: &Client) -> Failure {
    let unread = client.jwks.as_ref().and_then(|jwks| KeySet::readable(jwks).err());
    let Some(error) = unread else { return invalid("this client has no keys registered") };
    tracing::warn!(client = %client.id, %error, "the keys of a client do not read: it cannot authenticate");
    invalid(format!("the `jwks` of this client does not read: {error}"))
}

/// Where a client's keys are, if not here.
fn place_of(client: &Client) -> Option<KeyPlace> {
    client.jwks_uri.clone().map(|uri| KeyPlace { uri, is_declared: client.declared })
}

#[derive(Deserialize)]
struct AssertionClaims {
    iss: String,
    sub: String,
    aud: OneOrMany,
    exp: Timestamp,
    nbf: Option<Timestamp>,
    iat: Option<Timestamp>,
    jti: String,
}

/// Finds the one proof there may be (RFC 6749 2.3: not more than one method per request).
fn read<'a>(credentials: &Credentials<'a>) -> Result<(ClientId, Proof<'a>), Failure> {
    let form = credentials.form;
    let named = form.one("client_id")?;
    let secret = form.one("client_secret")?;
    let assertion = form.one("client_assertion")?;
    let (id, proof) = match (credentials.authorization, secret, assertion) {
        (Some(header), None, None) => {
            let (id, secret) = basic(header)?;
            (id, Proof::Secret(AuthMethod::ClientSecretBasic, secret))
        }
        (None, Some(secret), None) => {
            let id = named.ok_or_else(|| invalid("send `client_id` with `client_secret`"))?;
            (id.to_owned(), Proof::Secret(AuthMethod::ClientSecretPost, secret.to_owned()))
        }
        (None, None, Some(assertion)) => {
            if form.one("client_assertion_type")? != Some(JWT_BEARER_ASSERTION) {
                return Err(invalid("`client_assertion_type` must be the one of RFC 7523"));
            }
            let claimed = UnverifiedJws::parse(assertion).ok().and_then(|jws| jws.claimed("sub"));
            (claimed.ok_or_else(|| invalid("the assertion is no JWT with `sub`"))?, Proof::Assertion(assertion))
        }
        (None, None, None) => (named.ok_or_else(|| invalid("say who the client is"))?.to_owned(), Proof::Nothing),
        _ => return Failure::refuse(ErrorCode::InvalidRequest, "use one method of client authentication, not several"),
    };
    if named.is_some_and(|named| named != id) {
        return Err(invalid("`client_id` and the credentials name different clients"));
    }
    Ok((ClientId::new(id), proof))
}

/// `Basic`, both parts form-encoded (RFC 6749 2.3.1).
fn basic(header: &str) -> Result<(String, String), Failure> {
    let wrong = || invalid("the Authorization header must be `Basic` with client id and secret");
    let (scheme, encoded) = header.split_once(' ').ok_or_else(wrong)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(wrong());
    }
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded.trim()).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (id, secret) = text.split_once(':').ok_or_else(wrong)?;
    // each is one value: what would divide a form is part of it
    let decode = |part: &str| {
        let whole = part.replace('&', "%26").replace('=', "%3D");
        form_urlencoded::parse(whole.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
    };
    Ok((decode(id), decode(secret)))
}

/// A client's assertion has no type of its own, or the one that is made for it; no other token is taken for one.
fn as_assertion(jws: UnverifiedJws) -> Result<UnverifiedJws, jose::JwsError> {
    match jws.header().typ.as_deref() {
        Some(typ) if typ.eq_ignore_ascii_case(ASSERTION_TYPE) => jws.expect_type(ASSERTION_TYPE),
        _ => jws.expect_no_own_type(),
    }
}
