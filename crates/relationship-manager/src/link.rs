//! Linking servers (protocol.md 1, 2): an authorization server by its issuer or by her address there, a resource server
//! by its URL. What is found must be of exactly the place that was asked, the code comes back with that server's name and
//! in the browser that was sent (threat 19); then a PMT or an RMT, bound to the manager's key where that is offered.

mod token_renewal;

use crate::notice::Heard;
use crate::person::{BEGUN_LIFETIME, Person};
use crate::store::{Begun, Link, Linking, Place, Registration, Told};
use crate::task::{OTHER_ACCOUNT, UNLINKED};
use crate::{Manager, Trouble, lock};
use client::oauth::CodeRequest;
use client::{Client, ClientError, Party};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use types::client::{AuthMethod, ClientMetadata};
use types::metadata::Metadata;
use types::token::TokenResponse;

const UMA_POLICY: &str = "uma_policy";
const UMA_MANAGEMENT: &str = "uma_management";

/// How long a page waits for a server that is let go.
const PAGE_WAITS: Duration = Duration::from_secs(2);
/// Seconds before its end from which on a token is used no more; half of its life, where it lives shorter than two of these.
const SPARE_SECONDS: i64 = 60;
/// What a token's life is taken for where the server does not say (RFC 6749 5.1 leaves it open), and the longest that is
/// believed.
const UNSAID_LIFETIME_SECONDS: i64 = 300;
const LONGEST_LIFETIME_SECONDS: i64 = 30 * 86_400;

/// How long a token is used of the life that the server said; what makes no sense is as if it were not said.
fn use_seconds(said: Option<i64>) -> i64 {
    let lifetime = said.filter(|said| *said > 0).unwrap_or(UNSAID_LIFETIME_SECONDS).min(LONGEST_LIFETIME_SECONDS);
    lifetime.saturating_sub(SPARE_SECONDS).max(lifetime / 2)
}

/// Stands in the id of a link between what is random and whose account it is; base64url has none.
const OF_ACCOUNT: char = '.';

/// Whose account a link is: the id of the account at its issuer, digested.
fn account_mark(issuer: &str, sub: &str) -> String {
    jose::base64url::encode(jose::digest::sha256(&[issuer.as_bytes(), b" ", sub.as_bytes()]))
}

/// Whether two links of one place, by their ids, are of two accounts there. What one account asked for, the other's server cannot
/// confirm: it knows nothing of it. Links of before do not say.
pub(crate) fn is_of_other_account(one: &str, other: &str) -> bool {
    match (one.split_once(OF_ACCOUNT), other.split_once(OF_ACCOUNT)) {
        (Some((_, one)), Some((_, other))) => one != other,
        _ => false,
    }
}

/// Whether they are surely of one account: one link, or two that say so.
pub(crate) fn is_of_same_account(one: &str, other: &str) -> bool {
    let of = |id: &str| id.split_once(OF_ACCOUNT).map(|(_, account)| account.to_owned());
    one == other || of(one).is_some_and(|account| of(other) == Some(account))
}

fn refused<T>(what: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Refused(what.into()))
}

fn not_linked() -> Trouble {
    Trouble::Refused("this server is not linked any more".into())
}

/// What an authorization server of these metadata is to a manager.
fn guard_of(metadata: &Metadata) -> Result<Place, Trouble> {
    let issuer = metadata.issuer.clone();
    match (&metadata.policy_endpoint, &metadata.permission_endpoint) {
        (Some(_), _) => Ok(Place::AuthorizationServer { issuer }),
        (None, Some(_)) => Ok(Place::BareStandard { issuer }),
        (None, None) => refused(format!("{issuer} logs people in, and guards nothing: it is no UMA authorization server.")),
    }
}

/// Whether she is another there than the link that was known is of; one of before says it by her address alone.
fn is_somebody_else(known: &Link, id: &str, account: Option<&str>) -> bool {
    match (known.id.contains(OF_ACCOUNT), known.account.as_deref(), account) {
        (true, _, _) => is_of_other_account(&known.id, id),
        (false, Some(before), Some(now)) => before != now,
        (false, _, _) => false,
    }
}

/// One server may keep things and guard things: it is linked as each by itself.
fn is_same_place(one: &Place, other: &Place) -> bool {
    one.url() == other.url() && std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// What a server names may lie at another's place: there owners take turns, however many servers one of them has.
fn in_her_name(client: Client, owner: &str, link: &Link) -> Client {
    client.in_name_of(&format!("owner {owner}")).within(&Party::new([link.place.url().to_owned()]))
}

/// The turn of a link: whoever has it changes its tokens.
#[derive(Default)]
pub(crate) struct Turn {
    /// The link is over, and its server has been told so.
    is_given_back: bool,
}

impl Manager {
    /// What this manager is at a server; it registers there at first.
    pub(crate) async fn registered_at(&self, issuer: &str) -> Result<String, Trouble> {
        match self.store.find_registration(issuer).await? {
            Some(known) => Ok(known.client_id),
            None => {
                let registered = async {
                    let new = self.register_at_server(issuer).await?;
                    self.store.put_registration(issuer, &new).await?;
                    Ok(new.client_id)
                };
                self.registrations.get(&*self.client.clock, issuer, registered).await
            }
        }
    }

    pub(crate) async fn register_at_server(&self, issuer: &str) -> Result<Registration, Trouble> {
        let metadata = self.metadata_of(issuer).await?;
        let scopes = ["openid", "profile", "email", UMA_POLICY, UMA_MANAGEMENT];
        let offered =
            |scope: &&&str| metadata.scopes_supported.is_empty() || metadata.scopes_supported.iter().any(|one| one == **scope);
        let scopes: Vec<&str> = scopes.iter().filter(offered).copied().collect();
        let wanted = ClientMetadata {
            redirect_uris: vec![self.callback()],
            client_name: Some(self.settings.name.clone()),
            client_uri: Some(self.settings.url.clone()),
            token_endpoint_auth_method: Some(AuthMethod::PrivateKeyJwt),
            grant_types: Some(vec!["authorization_code".into(), "refresh_token".into()]),
            response_types: Some(vec!["code".into()]),
            scope: Some(scopes.join(" ")),
            jwks: Some(json!({"keys": [self.key.public().to_jwk()]})),
            ..ClientMetadata::default()
        };
        let registered = Client { dpop_key: None, ..self.client.at(issuer) }.register(&metadata, &wanted).await?;
        Ok(Registration { client_id: registered.client_id.as_str().to_owned() })
    }

    /// What a person typed: an address, an issuer, or the URL of a resource server.
    pub(crate) async fn find_server(&self, owner: &str, typed: &str) -> Result<(Place, Option<String>), Trouble> {
        let (typed, hers) = (typed.trim(), self.client.in_name_of(&format!("owner {owner}")));
        if !typed.contains("://") && typed.contains('@') {
            let Some(address) = types::email::normalize_reachable(typed) else {
                return refused(format!("`{typed}` is no e-mail address"));
            };
            let issuer = hers.issuer_of(&address).await?;
            let metadata = self.metadata_of(&issuer).await?;
            return Ok((guard_of(&metadata)?, Some(address)));
        }
        let typed = if typed.contains("://") { typed.to_owned() } else { format!("https://{typed}") };
        let Ok(url) = url::Url::parse(&typed) else { return refused(format!("`{typed}` is no address and no URL")) };
        let plain = url.as_str().trim_end_matches('/').to_owned();
        let there = self.client.at(&plain).in_name_of(&format!("owner {owner}"));
        let resource = match there.discover_resource(&plain).await {
            Ok(found) => Some(found),
            Err(error @ (ClientError::Outbound(_) | ClientError::NotNow { .. })) => return Err(error.into()),
            Err(_) => None,
        };
        let Some(found) = resource else {
            // where the metadata say another name than was asked, they are not taken
            let metadata = self.metadata_of(&plain).await.map_err(|error| match error {
                Trouble::Refused(what) => Trouble::Refused(format!(
                    "There is neither an authorization server nor a resource server at {plain}: {what}."
                )),
                other => other,
            })?;
            return Ok((guard_of(&metadata)?, None));
        };
        let Some(management) = found.resource_management_endpoint else {
            return refused(format!(
                "{plain} is a resource server, and does not let its owners manage what they have from elsewhere. Whoever runs it \
                 allows it: at a gateway of Wayleave by [gateway.management]."
            ));
        };
        if !client::uma::is_within(&management, &plain) {
            return refused(format!("{plain} wants to be managed at another place than itself. Do not trust it."));
        }
        match found.resource_management_authorization_servers.into_iter().next() {
            Some(issuer) => Ok((Place::ResourceServer { resource: plain, management, issuer }, None)),
            None => refused(format!("{plain} does not say where its owners log in.")),
        }
    }

    /// Where to send the browser to link a server, and the state that it keeps.
    pub(crate) async fn begin_link(&self, person: &Person, typed: &str) -> Result<(String, String), Trouble> {
        let (place, hint) = self.find_server(&person.owner, typed).await?;
        if !self.store.list_links(&person.owner).await?.iter().any(|link| is_same_place(&link.place, &place)) {
            self.check_links(&person.owner).await?;
        }
        let metadata = self.metadata_of(place.issuer()).await?;
        let (scope, resource) = match &place {
            Place::AuthorizationServer { .. } => (format!("openid profile email {UMA_POLICY}"), None),
            // only to know who she is there
            Place::BareStandard { .. } => ("openid profile email".to_owned(), None),
            Place::ResourceServer { resource, .. } => (format!("openid profile email {UMA_MANAGEMENT}"), Some(resource.as_str())),
        };
        let callback = self.callback();
        let request = CodeRequest { redirect_uri: &callback, scope: &scope, login_hint: hint.as_deref(), resource, again: false };
        let (url, flow) = self.client_known_at(&person.owner, &metadata).await?.begin_pushed(&metadata, &request).await?;
        let state = flow.state.clone();
        let linking = Linking { owner: person.owner.clone(), place };
        let begun = Begun { flow, expires: self.now().plus(BEGUN_LIFETIME), linking: Some(linking), back: None };
        self.store.put_begun(&begun, self.now()).await?;
        Ok((url, state))
    }

    /// After it; only for whoever began.
    pub(crate) async fn finish_link(
        self: &Arc<Self>,
        person: &Person,
        begun: &Begun,
        linking: &Linking,
        query: &[(String, String)],
    ) -> Result<Link, Trouble> {
        if person.owner != linking.owner {
            return refused("Somebody else began this. Log in as the one who did, or start again.");
        }
        let metadata = self.metadata_of(&begun.flow.issuer).await?;
        let client = self.client_at(&begun.flow.issuer).await?;
        let authorized = client.finish_code(&metadata, &begun.flow, query).await?;
        let text = |name: &str| authorized.account.get(name).and_then(Value::as_str).map(str::to_owned);
        let mark = text("sub").map(|sub| account_mark(linking.place.issuer(), &sub));
        let account = text("email").or(text("preferred_username")).or(text("sub"));
        let known =
            self.store.list_links(&person.owner).await?.into_iter().find(|link| is_same_place(&link.place, &linking.place));
        let id = mark.map_or_else(|| self.new_id(), |mark| format!("{}{OF_ACCOUNT}{mark}", self.new_id()));
        let (id, added) = match known {
            Some(known) if is_somebody_else(&known, &id, account.as_deref()) => {
                self.unlink_because(&person.owner, &known.id, OTHER_ACCOUNT).await?;
                (id, self.now())
            }
            Some(known) => (known.id, known.added),
            None => {
                self.check_links(&person.owner).await?;
                (id, self.now())
            }
        };
        let new = Link {
            id,
            place: linking.place.clone(),
            account,
            access_token: String::new(),
            bound: false,
            renew_from: self.now(),
            refresh_token: None,
            renewal_asked: None,
            ended: false,
            added,
            told: None,
            offers: BTreeMap::new(),
        };
        let link = self.put_link_anew(&person.owner, self.with_tokens(new, authorized.tokens)).await?;
        self.trust_keys_anew(&person.owner, &link.id).await?;
        // without it, requests are seen a little later
        match self.ask_to_be_told(&person.owner, &link).await {
            Ok(told) => self.keep_told(&person.owner, &link.id, told).await?,
            Err(trouble) => tracing::info!(%trouble, place = link.place.url(), "it will not tell of requests"),
        }
        Ok(link)
    }

    /// A renewal of what was linked before, and may be under way, is over when this one stands.
    async fn put_link_anew(&self, owner: &str, link: Link) -> Result<Link, Trouble> {
        let turn = self.turn_of(&link.id);
        let _held = turn.lock().await;
        self.replace_link(owner, link).await
    }

    /// How a server tells this desk, beside the tokens that the link has by now: asking it may have renewed them.
    async fn keep_told(&self, owner: &str, id: &str, told: Option<Told>) -> Result<(), Trouble> {
        self.change_link(owner, id, |link| Link { told, ..link }).await.map(drop)
    }

    /// One at a time renews the tokens of a link.
    fn turn_of(&self, id: &str) -> Arc<tokio::sync::Mutex<Turn>> {
        lock(&self.turns).entry(id.to_owned()).or_default().clone()
    }

    /// A server did not take this token, whatever it said of its life: the next use renews it.
    pub(crate) async fn distrust_token(&self, owner: &str, refused: &Link) -> Result<(), Trouble> {
        let now = self.now();
        let distrusted = |link: Link| match link.access_token == refused.access_token {
            true => Link { renew_from: now, ..link },
            false => link,
        };
        self.change_link(owner, &refused.id, distrusted).await.map(drop)
    }

    /// The link with what a token answer says.
    fn with_tokens(&self, link: Link, tokens: TokenResponse) -> Link {
        Link {
            bound: tokens.token_type.eq_ignore_ascii_case("dpop"),
            renew_from: self.now().plus(use_seconds(tokens.expires_in)),
            // where none comes, the one that is there stays good (RFC 6749 6)
            refresh_token: tokens.refresh_token.filter(|token| !token.is_empty()).or(link.refresh_token),
            access_token: tokens.access_token,
            renewal_asked: None,
            ..link
        }
    }

    /// Forgets a server. Its token is given back, behind the page where that takes long: whether it was heard matters to
    /// nobody but the server.
    pub(crate) async fn unlink(self: &Arc<Self>, owner: &str, id: &str) -> Result<(), Trouble> {
        self.unlink_because(owner, id, UNLINKED).await
    }

    async fn unlink_because(self: &Arc<Self>, owner: &str, id: &str, why: &str) -> Result<(), Trouble> {
        if self.store.find_link(owner, id).await?.is_none() {
            // of what is not linked nothing is kept, and no turn
            return Ok(());
        }
        let turn = self.turn_of(id);
        let Some(link) = self.forget_server(owner, id, why).await? else { return Ok(()) };
        if let Some(told) = &link.told {
            self.store.delete_about(&told.sub).await?;
        }
        let manager = self.clone();
        let giving_back = tokio::spawn(async move {
            // a renewal that is under way gives back what it brings
            if !turn.lock().await.is_given_back {
                manager.give_back(link).await;
            }
        });
        let _ = tokio::time::timeout(PAGE_WAITS, giving_back).await;
        Ok(())
    }

    /// Tells a server that this link is over. By whoever has the turn of the link.
    async fn give_back(&self, link: Link) {
        let issuer = link.place.issuer().to_owned();
        let given_back = async {
            let (metadata, client) = (self.metadata_of(&issuer).await?, self.client_at(&issuer).await?);
            let is_over = link.renew_from <= self.now();
            // a server is told by nobody whose token is over; one that is not told goes on telling
            let link = if is_over { self.renew_to_leave(link, &client, &metadata).await } else { link };
            let link = match self.be_told_no_more(&link, &client, &metadata).await {
                Heard::TokenRefused if !is_over => {
                    let link = self.renew_to_leave(link, &client, &metadata).await;
                    self.be_told_no_more(&link, &client, &metadata).await;
                    link
                }
                _ => link,
            };
            Ok::<_, Trouble>(client.revoke(&metadata, link.refresh_token.as_deref().unwrap_or(&link.access_token)).await?)
        };
        if let Err(error) = given_back.await {
            tracing::info!(%error, issuer, "a token could not be given back");
        }
    }

    /// The link with another token, where the server has something to be told by it.
    async fn renew_to_leave(&self, link: Link, client: &Client, metadata: &Metadata) -> Link {
        let Some(refresh) = link.refresh_token.as_ref().filter(|_| link.told.is_some()) else { return link };
        match client.refresh(metadata, refresh).await {
            Ok(tokens) => self.with_tokens(link, tokens),
            Err(error) => {
                tracing::info!(%error, issuer = link.place.issuer(), "it is told by a token that is over");
                link
            }
        }
    }
}
