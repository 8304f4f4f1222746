//! Who plays: Alice at her browser, with her key and her manager; Bob with a reader that goes on and on; Mallory.

use super::world::{PROVIDER, World};
use crate::demo::browser::Browser;
use crate::demo::exchanges::Exchanges;
use crate::demo::story::Told;
use crate::demo::{ALICE_PASSWORD, BOB};
use client::{Called, Client, Credentials, Rpt, TicketRequest, Traded};
use jose::{Algorithm, Clock, SigningKey, SystemClock, SystemRandomness, did};
use outbound::{Method, Outbound, Request, Settings};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use types::metadata::Metadata;
use types::token::ID_TOKEN_FORMAT;

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Everybody.
pub(super) struct Cast<'a> {
    pub(super) world: &'a World,
    outbound: Outbound,
    key: SigningKey,
    /// By which she signs.
    did: String,
    /// For the gateway's management.
    rmt: String,
    bob: Bob,
}

/// Bob's side: his viewer, and what proves his address.
#[derive(Clone)]
struct Bob {
    client: Client,
    provider: Arc<SigningKey>,
    rpt: Option<Rpt>,
    sent: usize,
}

/// How Bob's reading went.
pub(super) struct Read {
    pub(super) times: usize,
    /// How often he needed another token.
    pub(super) sent: usize,
}

/// Bob, reading until he is stopped.
pub(super) struct Reading {
    stop: watch::Sender<bool>,
    times: watch::Receiver<usize>,
    hand: JoinHandle<Told<Read>>,
}

impl Reading {
    /// Until he has read so many times more, or can no more.
    pub(super) async fn goes_on(&mut self, times: usize) {
        let wanted = self.times.borrow().saturating_add(times);
        let _ = self.times.wait_for(|read| *read >= wanted).await;
    }

    pub(super) async fn stop(self) -> Told<Read> {
        let _ = self.stop.send(true);
        self.hand.await.map_err(told)?
    }
}

/// The place of a resource below the management endpoint.
pub(super) fn resource(own_id: &str) -> String {
    let encoded: String = form_urlencoded::byte_serialize(own_id.as_bytes()).collect();
    format!("/my-resources/{encoded}")
}

impl<'a> Cast<'a> {
    pub(super) async fn gather(world: &'a World, exchanges: Exchanges) -> Told<Self> {
        let settings =
            Settings { allow_private_networks: true, allow_http: true, watcher: exchanges.watcher(), ..Settings::default() };
        let outbound = Outbound::new(settings)?;
        let key = SigningKey::generate(Algorithm::EdDsa).map_err(told)?;
        let provider = SigningKey::from_pkcs8(Algorithm::EdDsa, &world.provider.to_pkcs8().map_err(told)?).map_err(told)?;
        let client = client(&outbound, "viewer", "viewer-secret");
        let bob = Bob { client, provider: Arc::new(provider), rpt: None, sent: 0 };
        let mut cast = Self { world, outbound, did: did::of_key(key.public()), key, rmt: String::new(), bob };
        let desk = cast.client("desk", "desk-secret");
        let metadata = desk.discover(&world.servers.0).await.map_err(told)?;
        let wanted = [("grant_type", "client_credentials"), ("scope", "uma_management"), ("resource", world.gateway.as_str())];
        cast.rmt = desk.token(&metadata, &wanted).await.map_err(told)?.access_token;
        Ok(cast)
    }

    fn client(&self, id: &str, secret: &str) -> Client {
        client(&self.outbound, id, secret)
    }

    /// A PMT of hers at a server, and where to use it.
    async fn manager(&self, issuer: &str) -> Told<(Metadata, String)> {
        let manager = self.client("manager", "manager-secret");
        let metadata = manager.discover(issuer).await.map_err(told)?;
        let pmt = manager.client_credentials(&metadata, "uma_policy").await.map_err(told)?.access_token;
        Ok((metadata, pmt))
    }

    async fn call(&self, method: Method, url: &str, token: &str, body: Value) -> Told<(u16, Value)> {
        let request = match body {
            Value::Null => Request { method, ..Request::get(url) },
            body => Request::json(method, url, &body),
        };
        let answer = self.outbound.send(request.header("authorization", &format!("Bearer {token}"))).await.map_err(told)?;
        Ok((answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
    }

    /// A call of the gateway's management.
    pub(super) async fn manage(&self, method: Method, path: &str, body: Value) -> Told<(u16, Value)> {
        self.call(method, &format!("{}/.wayleave/manage{path}", self.world.gateway), &self.rmt, body).await
    }

    /// Alice goes where she is sent, logs in, and allows it.
    pub(super) async fn follows(&self, url: &str, expected: &str) -> Told<()> {
        let mut browser = Browser::new(self.outbound.clone());
        let page = browser.open(url).await?;
        let page = browser.submit(&page, "/login", &[("username", "alice"), ("password", ALICE_PASSWORD)]).await?;
        let page = browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await?;
        if page.html.contains(expected) { Ok(()) } else { Err(format!("{} does not say `{expected}`", page.url)) }
    }

    async fn registrations_of(&self, own_id: &str) -> Told<Vec<(String, String)>> {
        let (_, all) = self.manage(Method::GET, &format!("{}/registrations", resource(own_id)), Value::Null).await?;
        let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(all.as_array().into_iter().flatten().map(|one| (text(one, "_id"), text(one, "authorization_server"))).collect())
    }

    pub(super) async fn registration_of(&self, own_id: &str) -> Told<String> {
        let all = self.registrations_of(own_id).await?;
        all.into_iter().next().map(|(id, _)| id).ok_or_else(|| format!("{own_id} is registered nowhere"))
    }

    /// Registers it there, and takes back what is elsewhere.
    pub(super) async fn only_at(&self, own_id: &str, issuer: &str) -> Told<()> {
        let path = format!("{}/registrations", resource(own_id));
        let (status, answer) = self.manage(Method::POST, &path, json!({"authorization_server": issuer})).await?;
        if !matches!(status, 200 | 201) {
            return Err(format!("{own_id} was not registered: HTTP {status}: {answer}"));
        }
        for (id, _) in self.registrations_of(own_id).await?.into_iter().filter(|(_, at)| at != issuer) {
            self.manage(Method::DELETE, &format!("{path}/{id}"), Value::Null).await?;
        }
        Ok(())
    }

    /// Her key, with proof: at a server, or at the gateway.
    pub(super) async fn registers_key(&self, audience: &str, issuer: Option<&str>) -> Told<()> {
        let (url, token) = match issuer {
            Some(issuer) => {
                let (metadata, pmt) = self.manager(issuer).await?;
                (metadata.resource_owner_credentials_endpoint.unwrap_or_default(), pmt)
            }
            None => (format!("{audience}/.wayleave/manage/my-credentials"), self.rmt.clone()),
        };
        let mut credential = json!({"cred_type": "did", "cred_value": {"id": self.did}});
        let (_, asked) = self.call(Method::POST, &url, &token, credential.clone()).await?;
        let claims = json!({"aud": audience, "nonce": asked.get("challenge"), "iat": SystemClock.now()});
        let proof = self.key.sign_as("credential-proof+jwt", &self.did, &claims).map_err(told)?;
        credential.as_object_mut().map(|members| members.insert("proof".into(), proof.into()));
        let (status, answer) = self.call(Method::POST, &url, &token, credential).await?;
        if status == 201 { Ok(()) } else { Err(format!("her key was not registered: HTTP {status}: {answer}")) }
    }

    /// Signs for Bob, and posts it at these servers.
    pub(super) async fn signs(&self, jti: &str, albums: &[&str], issuers: &[String]) -> Told<()> {
        let (now, gateway) = (SystemClock.now().0, &self.world.gateway);
        let entry = |album: &&str| json!({"resource_server": gateway, "resource_id": album, "allowed_scopes": ["view"]});
        let aud: Vec<&String> = std::iter::once(gateway).chain(issuers).collect();
        let claims = json!({
            "jti": jti, "iss": self.did, "resource_owner_id": self.did, "aud": aud, "iat": now, "exp": now + 7 * 86_400,
            "allowed_rqp": {"claims": {"email": BOB}}, "resources": albums.iter().map(entry).collect::<Vec<_>>(),
        });
        let token = self.key.sign_as("rot+jwt", &self.did, &claims).map_err(told)?;
        for issuer in issuers {
            let (metadata, pmt) = self.manager(issuer).await?;
            let endpoint = metadata.policy_endpoint.unwrap_or_default();
            let mut request = Request::get(&endpoint);
            (request.method, request.body) = (Method::POST, Some(token.clone().into_bytes()));
            let bearer = format!("Bearer {pmt}");
            let request = request.header("content-type", "application/rot+jwt").header("authorization", &bearer);
            let answer = self.outbound.send(request).await.map_err(told)?;
            if answer.status != 201 {
                return Err(format!("her token was not taken: {}", String::from_utf8_lossy(&answer.body)));
            }
        }
        Ok(())
    }

    pub(super) async fn bob_reads(&mut self, picture: &str) -> Told<usize> {
        self.bob.reads(picture).await
    }

    pub(super) fn bob_goes_on_reading(&self, picture: &str) -> Reading {
        let (stop, stopped) = watch::channel(false);
        let (count, times) = watch::channel(0_usize);
        let (mut bob, picture) = (self.bob.clone(), picture.to_owned());
        let hand = tokio::spawn(async move {
            while !*stopped.borrow() {
                bob.reads(&picture).await?;
                count.send_modify(|times| *times = times.saturating_add(1));
            }
            Ok(Read { times: *count.borrow(), sent: bob.sent })
        });
        Reading { stop, times, hand }
    }

    /// A share that she did not make; then somebody who proves nothing asks. What the gateway says.
    pub(super) async fn mallory_tries(&self, url: &str) -> Told<u16> {
        let (metadata, pmt) = self.manager(&self.world.servers.1).await?;
        let list = metadata.registered_resources_endpoint.clone().unwrap_or_default();
        let (_, all) = self.call(Method::GET, &list, &pmt, Value::Null).await?;
        let endpoint = metadata.policy_endpoint.clone().unwrap_or_default();
        for resource in all.as_array().into_iter().flatten().filter_map(|one| one.get("_id")) {
            let share = json!({"resource_id": resource, "resource_scopes": ["view", "delete"], "required_claims": []});
            self.call(Method::POST, &endpoint, &pmt, share).await?;
        }
        let mallory = self.client("viewer", "viewer-secret");
        let Called::Challenged(challenge) = mallory.call(Method::GET, url, None).await.map_err(told)? else {
            return Err("the gateway should have asked Mallory for a token".into());
        };
        let request =
            TicketRequest { ticket: &challenge.ticket, resource: Some(&challenge.resource), ..TicketRequest::default() };
        let Traded::Granted(tokens) = mallory.trade(&metadata, &request).await.map_err(told)? else {
            return Err("the hostile server should have given Mallory a token".into());
        };
        let bearer = format!("Bearer {}", tokens.access_token);
        let answer = self.outbound.send(Request::get(url).header("authorization", &bearer)).await.map_err(told)?;
        Ok(answer.status.as_u16())
    }

    pub(super) async fn searches(&self) -> Told<Value> {
        let (metadata, pmt) = self.manager(&self.world.servers.0).await?;
        let endpoint = metadata.discovery_requests_endpoint.unwrap_or_default();
        let wanted = json!({"resource_servers": [self.world.archive], "claims": ["name", "birthdate", "address"]});
        let (status, search) = self.call(Method::POST, &endpoint, &pmt, wanted).await?;
        if status == 202 { Ok(search) } else { Err(format!("the search did not begin: HTTP {status}: {search}")) }
    }

    pub(super) async fn consents_to_search(&self, url: &str) -> Told<()> {
        let mut browser = Browser::new(self.outbound.clone());
        let page = browser.open(url).await?;
        let page = browser.submit(&page, "/login", &[("username", "alice"), ("password", ALICE_PASSWORD)]).await?;
        let said = [("decision", "approve"), ("self_address", "12 Mill St, Oldtown")];
        let page = browser.submit(&page, "/my/searches/", &said).await?;
        if page.html.contains("They are looking") { Ok(()) } else { Err(format!("{} did not take her consent", page.url)) }
    }

    /// Whether nobody guards it yet.
    pub(super) async fn is_unlinked(&self, url: &str) -> Told<bool> {
        Ok(self.outbound.send(Request::get(url)).await.map_err(told)?.status == 403)
    }
}

fn client(outbound: &Outbound, id: &str, secret: &str) -> Client {
    Client {
        outbound: outbound.clone(),
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials: Credentials::secret(id, secret),
        dpop_key: None,
    }
}

impl Bob {
    /// One look at the picture, with another token if need be.
    async fn reads(&mut self, picture: &str) -> Told<usize> {
        for _ in 0..3 {
            match self.client.call(Method::GET, picture, self.rpt.as_ref()).await.map_err(told)? {
                Called::Answered(answer) if answer.status == 200 => return Ok(answer.body.len()),
                Called::Answered(answer) => return Err(format!("Bob got HTTP {}", answer.status.as_u16())),
                Called::AuthorizationServerUnreachable => return Err("nobody guarded the picture".into()),
                Called::Challenged(challenge) => {
                    let metadata = self.client.discover(&challenge.issuer).await.map_err(told)?;
                    let proof = self.proof()?;
                    let request = TicketRequest {
                        ticket: &challenge.ticket,
                        resource: challenge.confirmed.then_some(challenge.resource.as_str()),
                        claim: Some((&proof, ID_TOKEN_FORMAT)),
                        ..TicketRequest::default()
                    };
                    match self.client.trade(&metadata, &request).await.map_err(told)? {
                        Traded::Granted(tokens) => self.rpt = Some(self.client.rpt(&tokens, &challenge).map_err(told)?),
                        // it moved between his call and his question: the gateway knows who guards it now
                        Traded::Spent { .. } => continue,
                        Traded::Denied { error, description } => {
                            return Err(format!("{} did not let Bob in: {error}: {description}", challenge.issuer));
                        }
                        Traded::NeedInfo { .. } => return Err(format!("{} wants to know more of Bob", challenge.issuer)),
                        Traded::Submitted { .. } => return Err(format!("{} asks Alice about Bob", challenge.issuer)),
                    }
                    self.sent = self.sent.saturating_add(1);
                }
            }
        }
        Err("Bob was sent round in a circle".into())
    }

    fn proof(&self) -> Told<String> {
        let now = SystemClock.now().0;
        let claims = json!({
            "iss": PROVIDER, "sub": "bob", "aud": "viewer", "iat": now, "exp": now + 300, "email": BOB, "email_verified": true,
            "jti": jose::ambient::random_text::<16>(&SystemRandomness),
        });
        self.provider.sign("JWT", &claims).map_err(told)
    }
}
