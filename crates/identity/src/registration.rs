//! Dynamic client registration and its management (RFC 7591, RFC 7592, Grant 2, protocol.md 1.7).
//! What a stranger registers never acts for an owner by itself, and never pushes claims.

mod members;

use crate::client::{Client, FormerName};
use crate::id_token::DEFAULT_ALGORITHM;
use crate::initial_access_token::Invitation;
use crate::{Changes, CommitError, Failure, Identity, Requirement, Write};
use jose::{KeySet, base64url, digest};
use std::sync::{Arc, PoisonError};
use types::client::{AuthMethod, ClientMetadata, RegisteredClient};
use types::metadata::ProtectedResourceMetadata;
use types::origin::is_scheme_of_app;
use types::throttle::Taken;
use types::token::{UMA_POLICY, UMA_PROTECTION, UMA_TICKET};
use types::{ClientId, ErrorCode, Refusal, ScopeSet};
use url::Url;

const MAX_URIS: usize = 32;
const MAX_URI_BYTES: usize = 2048;
/// Seconds after which a client that was never used is forgotten.
const UNUSED: i64 = 86_400;
/// Most names that a registration had in the time that histories go back, and the seconds of that.
const MAX_FORMER_NAMES: usize = 20;
const NAMES_KEPT: i64 = 400 * 86_400;
const SWEPT_AT_ONCE: usize = 200;
const GRANT_TYPES: [&str; 4] = ["authorization_code", "client_credentials", "refresh_token", UMA_TICKET];

fn bad(what: impl Into<String>) -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::InvalidClientMetadata, what))
}

fn not_managed() -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::InvalidToken, "the registration access token is not good for this client"))
}

impl Identity {
    /// Registers a client (RFC 7591 3).
    pub async fn register(
        &self,
        metadata: ClientMetadata,
        address: &str,
        initial_access_token: Option<&str>,
    ) -> Result<RegisteredClient, Failure> {
        let now = self.now();
        let vouched = match (&metadata.software_statement, initial_access_token) {
            (None, None) => self.limits.count_registration(address, now).map(|()| None)?,
            _ => Some(self.limits.count_vouched(address, now)?),
        };
        let (metadata, software) = self.apply_statement(metadata).await?;
        let invitation = initial_access_token.map(|token| self.check_initial_access_token(token, &metadata)).transpose()?;
        let counted = match (software, &invitation) {
            // somebody whom the operator trusts vouches for the software, wherever it runs
            (Some(software), _) => self.limits.count_software(&software, now),
            (None, Some(Invitation { domain, .. })) => self.limits.count_invited(domain, now),
            (None, None) => Ok(()),
        };
        if let Err(refused) = counted {
            // what one count refuses is not counted by the other
            vouched.into_iter().for_each(Taken::give_back);
            return Err(refused);
        }
        let id = ClientId::new(self.random_id());
        let mut client = self.client_of(id, metadata)?;
        self.check_resource_claim(&client, address).await?;
        let secret = (client.auth_method != Some(AuthMethod::None) && client.auth_method != Some(AuthMethod::PrivateKeyJwt))
            .then(|| jose::ambient::random_text::<32>(&*self.randomness));
        let access = jose::ambient::random_text::<32>(&*self.randomness);
        client.secret_digest = secret.as_deref().map(|secret| self.secret_digest(&client.id, secret));
        client.registration_token = Some(hash_of(&access));
        let spend = invitation.map(|invitation| Write::Spend(invitation.spent));
        let writes = spend.into_iter().chain([Write::CreateClient(client.clone())]).collect();
        match self.store.commit(Changes::of(writes)).await {
            Ok(()) => Ok(self.answer(&client, secret, Some(access))),
            Err(CommitError::Spent) => Failure::refuse(
                ErrorCode::InvalidToken,
                "this initial access token was used before, or may have been: ask for another",
            ),
            Err(CommitError::Taken) => Err(bad("another client is registered for this `resource`")),
            Err(error) => Err(error.into()),
        }
    }

    /// The client whose registration access token this is (RFC 7592 2).
    async fn managed(&self, id: &ClientId, token: &str) -> Result<Client, Failure> {
        let client = self.store.find_client(id).await?.ok_or_else(not_managed)?;
        let hash = hash_of(token);
        let fits = client.registration_token.as_deref().is_some_and(|own| digest::equal(own.as_bytes(), hash.as_bytes()));
        if fits { Ok(Arc::unwrap_or_clone(client)) } else { Err(not_managed()) }
    }

    /// Reads a registration (RFC 7592 2.1).
    pub async fn read_registration(&self, id: &ClientId, token: &str) -> Result<RegisteredClient, Failure> {
        let client = self.managed(id, token).await?;
        Ok(self.answer(&client, None, Some(token.to_owned())))
    }

    /// Replaces a registration (RFC 7592 2.2).
    pub async fn update_registration(
        &self,
        id: &ClientId,
        token: &str,
        metadata: ClientMetadata,
        address: &str,
    ) -> Result<RegisteredClient, Failure> {
        let tried = self.limits.begin_change(address, self.now())?;
        let before = self.managed(id, token).await?;
        self.limits.count_change(tried, id, self.now())?;
        let is_secret = |text: &str| before.secret_digest.as_deref() == Some(self.secret_digest(id, text).as_str());
        members::check_same_client(&metadata.others, id.as_str(), is_secret)?;
        let (metadata, _) = self.apply_statement(metadata).await?;
        let client = Client {
            secret_digest: before.secret_digest.clone(),
            registration_token: before.registration_token.clone(),
            created: before.created,
            ..self.client_of(id.clone(), metadata)?
        };
        let client = Client { former_names: self.former_names(&before, &client)?, ..client };
        // the place was asked when the claim was made
        let is_claimed = client.resource.is_some() && client.resource == before.resource && client.jwks_uri == before.jwks_uri;
        if !is_claimed || client.auth_method != before.auth_method {
            self.check_resource_claim(&client, address).await?;
        }
        let needs_secret = matches!(client.auth_method, Some(AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost));
        if needs_secret && client.secret_digest.is_none() {
            return Err(bad("this client has no secret: register a new one to use a secret method"));
        }
        // one that was deleted meanwhile does not come back
        let requires = vec![Requirement::ClientStands(id.clone())];
        let mut writes = self.end_of_looks(&client).await?;
        writes.push(Write::PutClient(client.clone()));
        match self.store.commit(Changes { requires, writes }).await {
            Ok(()) => Ok(self.answer(&client, None, Some(token.to_owned()))),
            Err(CommitError::Changed) => Err(not_managed()),
            Err(CommitError::Taken) => Err(bad("another client is registered for this `resource`")),
            Err(error) => Err(error.into()),
        }
    }

    /// What it was called before this change: lines of that time say so.
    fn former_names(&self, before: &Client, client: &Client) -> Result<Vec<FormerName>, Failure> {
        let now = self.now();
        let is_told = |former: &&FormerName| now < former.until.plus(NAMES_KEPT);
        let mut names: Vec<_> = before.former_names.iter().filter(is_told).cloned().collect();
        if before.display_name() != client.display_name() {
            if names.len() >= MAX_FORMER_NAMES {
                return Err(bad("`client_name` was changed too often: keep it, or register anew"));
            }
            names.push(FormerName { name: before.display_name(), until: now });
        }
        Ok(names)
    }

    /// What people agreed to ends where it lets the client decide for them, or reach what is theirs, and they were shown
    /// another name or place: they are asked anew, and find it no more among their applications.
    async fn end_of_looks(&self, client: &Client) -> Result<Vec<Write>, Failure> {
        let consents = self.store.list_consents_to(&client.id).await?;
        Ok(consents.into_iter().filter(|consent| !consent.is_about(client)).map(Write::DeleteConsent).collect())
    }

    /// Ends a registration (RFC 7592 2.3); its tokens end with it.
    pub async fn delete_registration(&self, id: &ClientId, token: &str) -> Result<(), Failure> {
        let client = self.managed(id, token).await?;
        let writes = self.end_of(&client.id).await?;
        self.store.commit(Changes::of(writes)).await?;
        Ok(())
    }

    /// A client goes, and with it each consent that it was given: whoever gave one is told (protocol.md 1.5, 1.6).
    pub(crate) async fn end_of(&self, client: &ClientId) -> Result<Vec<Write>, Failure> {
        let consents = self.store.list_consents_to(client).await?;
        let ended = consents.into_iter().map(Write::DeleteConsent);
        Ok(ended.chain([Write::DeleteClient(client.clone())]).collect())
    }

    /// Ends registrations of strangers that nothing can be alive of: never used in their first day, or not since the
    /// last of their refresh tokens ended (protocol.md 1.7). Looks at a few clients a call, round and round.
    pub async fn sweep_registrations(&self) -> Result<(), Failure> {
        let after = self.sweeping.lock().unwrap_or_else(PoisonError::into_inner).take();
        let clients = self.store.list_clients(after.as_ref(), SWEPT_AT_ONCE).await?;
        for client in clients.iter().filter(|client| !client.declared) {
            let used = self.store.find_client_use(&client.id).await?;
            let kept_until = match used {
                None => client.created.plus(UNUSED),
                Some(used) => used.plus(self.settings.refresh_token_lifetime.max(UNUSED)),
            };
            if kept_until <= self.now() {
                tracing::info!(client = %client.id, "an unused registration ends");
                let requires = vec![Requirement::UseUnchanged { client: client.id.clone(), used }];
                match self.store.commit(Changes { requires, writes: self.end_of(&client.id).await? }).await {
                    // used at the last moment: it stays
                    Ok(()) | Err(CommitError::Changed) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let last = clients.last().filter(|_| clients.len() == SWEPT_AT_ONCE).map(|client| client.id.clone());
        *self.sweeping.lock().unwrap_or_else(PoisonError::into_inner) = last;
        Ok(())
    }

    fn client_of(&self, id: ClientId, metadata: ClientMetadata) -> Result<Client, Failure> {
        members::check(&metadata)?;
        check_uris(&metadata.redirect_uris)?;
        let claims_redirect_uris = metadata.claims_redirect_uris.clone();
        if claims_redirect_uris.as_ref().is_some_and(Vec::is_empty) {
            return Failure::refuse(ErrorCode::InvalidRedirectUri, "`claims_redirect_uris` must be an array of one or more URIs");
        }
        let claims_redirect_uris = claims_redirect_uris.unwrap_or_default();
        check_uris(&claims_redirect_uris)?;
        check_uris(&metadata.post_logout_redirect_uris)?;
        let method = metadata.token_endpoint_auth_method.unwrap_or(AuthMethod::ClientSecretBasic);
        let grant_types = metadata.grant_types.clone().unwrap_or_else(|| vec!["authorization_code".into()]);
        if let Some(foreign) = grant_types.iter().find(|grant| !GRANT_TYPES.contains(&grant.as_str())) {
            return Err(bad(format!("the grant type `{foreign}` is not supported")));
        }
        if grant_types.iter().any(|g| g == "authorization_code") && metadata.redirect_uris.is_empty() {
            return Failure::refuse(ErrorCode::InvalidRedirectUri, "the code flow needs `redirect_uris`");
        }
        let scope = ScopeSet::parse(metadata.scope.as_deref().unwrap_or_default()).map_err(|e| bad(e.to_string()))?;
        check_keys(&metadata, method)?;
        check_policy_scope(&scope, method, metadata.dpop_bound_access_tokens.unwrap_or(false))?;
        Ok(Client {
            id,
            name: metadata.client_name,
            secret_digest: None,
            auth_method: Some(method),
            redirect_uris: metadata.redirect_uris,
            claims_redirect_uris,
            post_logout_redirect_uris: metadata.post_logout_redirect_uris,
            grant_types,
            scope,
            jwks: metadata.jwks,
            jwks_uri: metadata.jwks_uri,
            resource: metadata.resource,
            access_token_format: metadata.access_token_format.unwrap_or_default(),
            acts_for: None,
            may_push_claims: false,
            dpop_bound_access_tokens: metadata.dpop_bound_access_tokens.unwrap_or(false),
            id_token_alg: metadata.id_token_signed_response_alg,
            assertion_alg: metadata.token_endpoint_auth_signing_alg,
            declared: false,
            credentials_since: None,
            former_names: Vec::new(),
            registration_token: None,
            created: self.now(),
            software_id: metadata.software_id,
            software_version: metadata.software_version,
            software_statement: metadata.software_statement,
        })
    }

    /// A stranger is a resource server only if the document at that URL says so, and the key that
    /// authenticates is one of that document (protocol.md 1.0, threat 23).
    async fn check_resource_claim(&self, client: &Client, address: &str) -> Result<(), Failure> {
        let Some(resource) = &client.resource else { return Ok(()) };
        if client.auth_method != Some(AuthMethod::PrivateKeyJwt) {
            return Err(bad("a client with `resource` must authenticate by `private_key_jwt`"));
        }
        // what people read on a page as the place is the host, and nothing stands before it (RFC 9728 1.2)
        let plain = |url: Url| url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if !Url::parse(resource).is_ok_and(plain) {
            return Err(bad("`resource` must be a URL without user name and fragment"));
        }
        let url = types::path::inserted_well_known(resource, types::path::OAUTH_PROTECTED_RESOURCE);
        let unreadable = |_| bad("the protected-resource document of `resource` cannot be read");
        // nobody has declared this client: what it names is a stranger's word, whatever the configuration lists
        let outbound = self.outbound.for_strangers();
        let answer = outbound.send(outbound::Request::get(&url).by(party_of(address))).await.map_err(|e| bad(e.to_string()))?;
        let document: ProtectedResourceMetadata = types::json::parse(&answer.body).map_err(unreadable)?;
        if document.resource != *resource || document.jwks_uri.is_none() || document.jwks_uri != client.jwks_uri {
            return Err(bad("the document at `resource` names another resource, or another `jwks_uri`"));
        }
        Ok(())
    }

    fn answer(&self, client: &Client, secret: Option<String>, access: Option<String>) -> RegisteredClient {
        RegisteredClient {
            client_id: client.id.clone(),
            client_secret_expires_at: secret.as_ref().map(|_| 0),
            client_secret: secret,
            client_id_issued_at: Some(client.created),
            registration_client_uri: Some(format!("{}/{}", self.url(types::path::REGISTER), client.id)),
            registration_access_token: access,
            metadata: metadata_of(client),
        }
    }
}

/// Whoever registers takes turns with others who do, where what they claim lies at one place.
fn party_of(address: &str) -> outbound::Party {
    let names = address.parse().map(types::peer::names_of);
    let caller = names.map_or_else(|_| vec![address.to_owned()], Vec::from);
    outbound::Party::new(std::iter::once("registrations".to_owned()).chain(caller))
}

fn metadata_of(client: &Client) -> ClientMetadata {
    let code = client.may_use("authorization_code");
    ClientMetadata {
        redirect_uris: client.redirect_uris.clone(),
        claims_redirect_uris: Some(client.claims_redirect_uris.clone()).filter(|uris| !uris.is_empty()),
        post_logout_redirect_uris: client.post_logout_redirect_uris.clone(),
        token_endpoint_auth_method: client.auth_method,
        grant_types: Some(client.grant_types.clone()),
        response_types: Some(if code { vec!["code".into()] } else { vec![] }),
        client_name: client.name.clone(),
        scope: Some(client.scope.to_string()).filter(|scope| !scope.is_empty()),
        jwks: client.jwks.clone(),
        jwks_uri: client.jwks_uri.clone(),
        resource: client.resource.clone(),
        access_token_format: Some(client.access_token_format),
        dpop_bound_access_tokens: Some(client.dpop_bound_access_tokens),
        id_token_signed_response_alg: code.then(|| client.id_token_alg.clone().unwrap_or_else(|| DEFAULT_ALGORITHM.into())),
        token_endpoint_auth_signing_alg: client.assertion_alg.clone(),
        subject_type: code.then(|| "public".into()),
        software_id: client.software_id.clone(),
        software_version: client.software_version.clone(),
        software_statement: client.software_statement.clone(),
        ..ClientMetadata::default()
    }
}

fn hash_of(token: &str) -> String {
    base64url::encode(digest::sha256(&[token.as_bytes()]))
}

/// Absolute, without fragment, and safe to send a browser to.
fn is_destination(uri: &str) -> bool {
    // RFC 3986 2: what is none of its letters is read by each browser in its own way
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    if uri.len() > MAX_URI_BYTES || !uri.bytes().all(plain) {
        return false;
    }
    Url::parse(uri).is_ok_and(|url| {
        let loopback = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        let web = (url.scheme() == "https" || (url.scheme() == "http" && loopback)) && names_its_host(uri, &url);
        let app = is_scheme_of_app(url.scheme()) && !url.cannot_be_a_base();
        url.fragment().is_none() && (web || app) && url.username().is_empty() && url.password().is_none()
    })
}

/// Whether the host that people read there is the one that a browser goes to, written in the same way.
fn names_its_host(uri: &str, url: &Url) -> bool {
    let authority = uri.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = authority.strip_suffix(&port).unwrap_or(authority).to_ascii_lowercase();
    let host = if url.port().is_none() { host.trim_end_matches(":443").trim_end_matches(":80") } else { &host };
    url.host_str() == Some(host) && !host.contains('*')
}

fn check_uris(uris: &[String]) -> Result<(), Failure> {
    let fits = |uri: &String| is_destination(uri);
    if uris.len() <= MAX_URIS && uris.iter().all(fits) {
        return Ok(());
    }
    Failure::refuse(
        ErrorCode::InvalidRedirectUri,
        "redirect URIs must be absolute https URIs (or loopback) without fragment, at most 32",
    )
}

fn check_keys(metadata: &ClientMetadata, method: AuthMethod) -> Result<(), Failure> {
    if metadata.jwks.is_some() && metadata.jwks_uri.is_some() {
        return Err(bad("send `jwks` or `jwks_uri`, not both"));
    }
    if let Some(jwks) = &metadata.jwks {
        KeySet::readable(jwks).map_err(|error| bad(format!("`jwks` does not read: {error}")))?;
    }
    if let Some(uri) = &metadata.jwks_uri
        && !Url::parse(uri).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
    {
        return Err(bad("`jwks_uri` must be a URL"));
    }
    if method == AuthMethod::PrivateKeyJwt && metadata.jwks.is_none() && metadata.jwks_uri.is_none() {
        return Err(bad("`private_key_jwt` needs `jwks` or `jwks_uri`"));
    }
    Ok(())
}

/// Sensitive scopes want proof of possession from strangers (protocol.md 1.7).
fn check_policy_scope(scope: &ScopeSet, method: AuthMethod, dpop: bool) -> Result<(), Failure> {
    let sensitive = scope.has(UMA_POLICY) || scope.has("uma_management");
    if sensitive && method != AuthMethod::PrivateKeyJwt && !dpop {
        return Err(bad("`uma_policy` and `uma_management` need `private_key_jwt`, or `dpop_bound_access_tokens`"));
    }
    if method == AuthMethod::None && scope.has(UMA_PROTECTION) {
        return Err(bad("a resource server must be a confidential client"));
    }
    Ok(())
}
