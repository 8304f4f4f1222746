//! What it costs to check an Ed25519 JWT RPT that carries an Ed25519 resource owner token, at a gateway that asks nobody:
//! when both are new, and when both were seen. The gateway runs in this process, before an authorization server of its
//! own; only the decision is timed.

use super::setup::{self, free_address};
use crate::{Exit, say};
use async_trait::async_trait;
use client::{Client, Credentials, TicketRequest, Traded};
use database::Location;
use http::request::Parts;
use jose::ambient::random;
use jose::{Algorithm, Clock, SigningKey, SystemClock, SystemRandomness, did};
use outbound::{Method, Outbound, Request, Settings};
use resource_server::ProtectionError;
use resource_server::gateway::{
    self, Access, Behind, By, Check, Gateway, Guarded, Management, OwnLogIn, OwnToken, OwnerOf, PatBy, Pattern, Route, Sent,
    Trust, Unfit,
};
use resource_server::watch::UploadLimits;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tower::ServiceExt;
use types::ScopeSet;
use types::metadata::Metadata;

/// Different tokens.
const TOKENS: usize = 100;
/// Checks of tokens that were seen.
const AGAIN: usize = 20_000;

/// Everybody is Alice.
struct Alice;

#[async_trait]
impl OwnLogIn for Alice {
    async fn verify(&self, _: &Sent<'_>) -> Result<OwnToken, Unfit> {
        Ok(OwnToken { scope: "uma_management".into(), owner: Some("alice".into()), application: None })
    }

    async fn stands(&self, _: &str) -> Result<bool, ProtectionError> {
        Ok(true)
    }
}

/// Runs it.
pub(super) async fn run(rounds: usize) -> Result<(), Exit> {
    let folder = std::env::temp_dir().join(format!("wayleave-bench-signed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(Exit::failed)?;
    let measured = measure(&folder, rounds).await;
    let _ = std::fs::remove_dir_all(&folder);
    let (new, seen) = measured?;
    say::line(&format!("a JWT RPT with an owner's token, both new: {new:.0} us; both seen: {seen:.1} us"));
    Ok(())
}

async fn measure(folder: &Path, rounds: usize) -> Result<(f64, f64), Exit> {
    let (server, admin, resource) = (free_address()?, free_address()?, format!("http://{}", free_address()?));
    let issuer = format!("http://{server}");
    let people = setup::CLIENTS.replace("http://127.0.0.1:9000", &resource);
    let text = format!("[server]\nlisten = \"{server}\"\nissuer = \"{issuer}\"\nadmin_listen = \"{admin}\"\n{people}");
    std::fs::write(folder.join("wayleave.toml"), text).map_err(Exit::failed)?;
    let (_process, _) = setup::start(folder, &["server"], &server).await?;
    let gateway = open(folder, &issuer, &resource).await?;
    let tokens = Signing::begin(&gateway, &issuer, &resource).await?.tokens(&gateway).await?;
    // the first brings the keys and the revocations along
    admits(&gateway, tokens.first()).await?;
    let mut times = Vec::new();
    for token in tokens.iter().skip(1) {
        let begun = Instant::now();
        admits(&gateway, Some(token)).await?;
        times.push(begun.elapsed().as_nanos() as f64 / 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    let new = times.get(times.len() / 2).copied().unwrap_or(0.0);
    let mut seen = f64::MAX;
    for _ in 0..rounds {
        let begun = Instant::now();
        for n in 0..AGAIN {
            admits(&gateway, tokens.get(n.checked_rem(tokens.len()).unwrap_or(0))).await?;
        }
        seen = seen.min(begun.elapsed().as_nanos() as f64 / 1_000.0 / AGAIN as f64);
    }
    Ok((new, seen))
}

async fn open(folder: &Path, issuer: &str, resource: &str) -> Result<Arc<Gateway>, Exit> {
    let files = folder.join("files");
    for n in 0..TOKENS {
        std::fs::create_dir_all(files.join(format!("albums/{n}"))).map_err(Exit::failed)?;
        std::fs::write(files.join(format!("albums/{n}/photo")), "x").map_err(Exit::failed)?;
    }
    let scopes = [("GET".to_owned(), ScopeSet::parse("view").map_err(Exit::failed)?)];
    let guarded = Guarded {
        resource: Pattern::parse("/albums/{album}").map_err(Exit::failed)?,
        also: vec![],
        owner: OwnerOf::Named("alice".into()),
        resource_type: None,
        name: None,
        scopes: scopes.into_iter().collect(),
        takes_web_sockets: false,
        tells_email: false,
    };
    let path = Pattern::parse("/albums/{album}/{photo}").map_err(Exit::failed)?;
    let route = Route { path, access: Access::Guarded(Box::new(guarded)) };
    let settings = gateway::Settings {
        resource: resource.to_owned(),
        name: "Photos".into(),
        behind: Behind::Folder(files),
        authorization_servers: vec![issuer.to_owned()],
        pat: PatBy::ClientCredentials,
        check: Check::Offline,
        trust: Trust::RotRequired,
        management: Some(Management { issuer: issuer.to_owned(), owner_claim: "sub".into() }),
        owner_claim: "preferred_username".into(),
        routes: vec![route],
        uploads: UploadLimits::default(),
        pass_headers: Vec::new(),
        cors_origins: Vec::new(),
        forward_auth: None,
        content_origin: None,
        thumbnails: None,
        thumbnail_command: Vec::new(),
    };
    let store = gateway::Store::open(&Location::File(folder.join("gateway.db")), &random(&SystemRandomness))
        .await
        .map_err(Exit::failed)?;
    let client = client(issuer, "photos-rs", "photos-secret")?;
    let by = By { own_log_in: Some(Arc::new(Alice)), ..By::default() };
    Gateway::open(settings, client, store, by).await.map_err(Exit::failed)
}

fn client(issuer: &str, id: &str, secret: &str) -> Result<Client, Exit> {
    let settings = Settings { configured: vec![issuer.to_owned()], ..Settings::default() };
    Ok(Client {
        outbound: Outbound::new(settings).map_err(Exit::failed)?,
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials: Credentials::secret(id, secret),
        dpop_key: None,
    })
}

/// Alice with her key, known at both.
struct Signing {
    key: SigningKey,
    subject: String,
    viewer: Client,
    metadata: Metadata,
    bearer: String,
    aud: [String; 2],
}

impl Signing {
    async fn begin(gateway: &Arc<Gateway>, issuer: &str, resource: &str) -> Result<Self, Exit> {
        let key = SigningKey::generate(Algorithm::EdDsa).map_err(Exit::failed)?;
        let viewer = client(issuer, "jwt-viewer", "viewer-secret")?;
        let metadata = viewer.discover(issuer).await.map_err(Exit::failed)?;
        let manager = client(issuer, "manager", "manager-secret")?;
        let pmt = manager.client_credentials(&metadata, "uma_policy").await.map_err(Exit::failed)?.access_token;
        let (subject, bearer) = (did::of_key(key.public()), format!("Bearer {pmt}"));
        let signing = Self { key, subject, viewer, metadata, bearer, aud: [resource.to_owned(), issuer.to_owned()] };
        let endpoint = signing.metadata.resource_owner_credentials_endpoint.clone().unwrap_or_default();
        let asked = signing.post(&endpoint, signing.credential(None)?).await?;
        signing.post(&endpoint, signing.credential(Some((&asked, issuer)))?).await?;
        let here = "/.wayleave/manage/my-credentials";
        let (_, asked) = call(gateway, "POST", here, "any", signing.credential(None)?.to_string()).await?;
        let asked = serde_json::from_slice(&asked).map_err(Exit::failed)?;
        call(gateway, "POST", here, "any", signing.credential(Some((&asked, resource)))?.to_string()).await?;
        Ok(signing)
    }

    fn credential(&self, proven: Option<(&Value, &str)>) -> Result<Value, Exit> {
        let mut body = json!({"cred_type": "did", "cred_value": {"id": self.subject}});
        if let (Some((asked, audience)), Some(members)) = (proven, body.as_object_mut()) {
            let claims = json!({"aud": audience, "nonce": asked.get("challenge"), "iat": SystemClock.now()});
            let proof = self.key.sign_as("credential-proof+jwt", &self.subject, &claims).map_err(Exit::failed)?;
            members.insert("proof".into(), proof.into());
        }
        Ok(body)
    }

    async fn post(&self, url: &str, body: Value) -> Result<Value, Exit> {
        let request = Request::json(Method::POST, url, &body).header("authorization", &self.bearer);
        let answer = self.viewer.outbound.send(request).await.map_err(Exit::failed)?;
        serde_json::from_slice(&answer.body).map_err(Exit::failed)
    }

    /// A path and a JWT RPT for it, each resting on a token of its own.
    async fn tokens(&self, gateway: &Arc<Gateway>) -> Result<Vec<(String, String)>, Exit> {
        let mut tokens = Vec::new();
        for n in 0..TOKENS {
            self.share(n).await?;
            let path = format!("/albums/{n}/photo");
            let (challenge, _) = call(gateway, "GET", &path, "", String::new()).await?;
            let ticket = challenge.split("ticket=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
            let wanted = TicketRequest { ticket, ..TicketRequest::default() };
            match self.viewer.trade(&self.metadata, &wanted).await.map_err(Exit::failed)? {
                Traded::Granted(granted) => tokens.push((path, granted.access_token)),
                _ => return Err(Exit::failed("no token was granted")),
            }
        }
        Ok(tokens)
    }

    async fn share(&self, n: usize) -> Result<(), Exit> {
        let now = SystemClock.now().0;
        let [resource, _] = &self.aud;
        let rot = json!({
            "jti": format!("rot-{n}"), "iss": self.subject, "resource_owner_id": self.subject, "aud": self.aud, "iat": now,
            "exp": now + 3600, "allowed_rqp": {},
            "resources": [{"resource_server": resource, "resource_id": format!("/albums/{n}"), "allowed_scopes": ["view"]}],
        });
        let mut request = Request::get(self.metadata.policy_endpoint.as_deref().unwrap_or_default());
        request.method = Method::POST;
        request.body = Some(self.key.sign_as("rot+jwt", &self.subject, &rot).map_err(Exit::failed)?.into_bytes());
        let request = request.header("content-type", "application/rot+jwt").header("authorization", &self.bearer);
        self.viewer.outbound.send(request).await.map_err(Exit::failed)?;
        Ok(())
    }
}

/// A call of the gateway; its challenge and body.
async fn call(gateway: &Arc<Gateway>, method: &str, path: &str, token: &str, body: String) -> Result<(String, Vec<u8>), Exit> {
    let request = http::Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    let request = request.body(axum::body::Body::from(body)).map_err(Exit::failed)?;
    let answer = gateway.clone().router().oneshot(request).await.map_err(Exit::failed)?;
    let challenge = answer.headers().get("www-authenticate").and_then(|value| value.to_str().ok());
    let challenge = challenge.unwrap_or_default().to_owned();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.map_err(Exit::failed)?;
    Ok((challenge, body.to_vec()))
}

async fn admits(gateway: &Arc<Gateway>, token: Option<&(String, String)>) -> Result<(), Exit> {
    let (path, token) = token.ok_or_else(|| Exit::failed("no tokens"))?;
    let request = http::Request::builder().uri(path).header("authorization", format!("Bearer {token}")).body(());
    let (mut parts, ()): (Parts, ()) = request.map_err(Exit::failed)?.into_parts();
    if gateway.admits(&mut parts).await { Ok(()) } else { Err(Exit::failed(format!("{path} should have been let through"))) }
}
