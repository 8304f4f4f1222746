//! What runs in the story: two authorization servers of different operators, a resource server of each, and Alice's desk.
//! The second authorization server can go away, and come back with all that it knew.

use crate::clock_watch::ClockWatch;
use crate::commands::gateway::{assemble_gateway, keep_house as keep_gateway_house};
use crate::commands::manager::{assemble_manager, keep_house as keep_manager_house};
use crate::commands::server::keep_house;
use crate::config::Config;
use crate::demo::ALICE_PASSWORD;
use crate::log_in::{self, LogIn};
use crate::outbox::Outbox;
use crate::serve::{Reception, Stop, bind, serve};
use crate::{Exit, assemble};
use jose::{Algorithm, SigningKey, SystemClock, SystemRandomness};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Alice's and Carol's log-in at the desk.
pub(crate) const DESK_PASSWORD: &str = "desk-password";
/// Who vouches for addresses of bar.example.
pub(super) const PROVIDER: &str = "https://idp.bar.example";

const LABORATORY: &str = "[outbound]\nallow_private_networks = true\nallow_http = true\n";

/// Where everything is.
pub(in crate::demo) struct World {
    pub(super) servers: [String; 2],
    pub(super) gateways: [String; 2],
    pub(in crate::demo) desk: String,
    pub(super) provider: SigningKey,
    second: Second,
}

/// The server that goes away.
struct Second {
    config: Config,
    store: Store,
    key: [u8; 32],
    data: PathBuf,
    running: Option<watch::Sender<bool>>,
}

fn url(listener: &TcpListener) -> Result<String, Exit> {
    listener.local_addr().map(|address| format!("http://{address}")).map_err(Exit::failed)
}

impl World {
    /// Starts it all, on free ports.
    pub(in crate::demo) async fn start(folder: &Path, data: &Path, stop: Stop) -> Result<Self, Exit> {
        let provider = SigningKey::generate(Algorithm::EdDsa).map_err(Exit::failed)?;
        let keys = serde_json::json!({"keys": [provider.public().to_jwk()]}).to_string();
        std::fs::write(data.join("idp.json"), keys).map_err(Exit::failed)?;
        for (folder, file, text) in [
            ("will", "will.txt", "I, Alice, ..."),
            ("deeds", "house.txt", "Between ..."),
            ("letters", "first.txt", "Dear Alice ..."),
        ] {
            let place = data.join("papers").join(folder);
            std::fs::create_dir_all(&place).map_err(Exit::failed)?;
            std::fs::write(place.join(file), text).map_err(Exit::failed)?;
        }
        let mut listeners = Vec::new();
        for address in ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0"] {
            listeners.push(bind(address, false).await.map_err(Exit::failed)?);
        }
        let [a, b, photos, papers, desk] =
            <[TcpListener; 5]>::try_from(listeners).map_err(|_| Exit::failed("five listeners were wanted"))?;
        let (servers, gateways, desk_url) = ([url(&a)?, url(&b)?], [url(&photos)?, url(&papers)?], url(&desk)?);
        let [first, second] = &servers;
        let [photos_url, papers_url] = &gateways;
        let parse = |text: String| Config::parse(&text, std::iter::empty(), data.to_owned()).map_err(Exit::failed);
        let config = parse(server_text(first, photos_url))?;
        start_server(&config, Store::in_memory(), jose::ambient::random(&SystemRandomness), data, a, stop.clone()).await?;
        let config = parse(server_text(second, papers_url))?;
        let mut second_server = Second {
            config,
            store: Store::in_memory(),
            key: jose::ambient::random(&SystemRandomness),
            data: data.to_owned(),
            running: None,
        };
        second_server.run(b).await?;
        let pictures = folder.display().to_string();
        start_gateway(
            parse(gateway_text(photos_url, first, &pictures, "rot-required", "Alice's pictures"))?,
            photos,
            stop.clone(),
        )
        .await?;
        start_gateway(parse(gateway_text(papers_url, second, "papers", "any", "The notary"))?, papers, stop.clone()).await?;
        start_desk(parse(desk_text(&desk_url))?, desk, stop).await?;
        Ok(Self { servers, gateways, desk: desk_url, provider, second: second_server })
    }

    /// Who is where, and what for.
    pub(in crate::demo) fn introduction(&self) -> String {
        let (desk, [first, second], [photos, papers]) = (&self.desk, &self.servers, &self.gateways);
        let passphrase = super::PASSPHRASE;
        format!(
            "The desk             {desk}   where Alice and Carol look after everything: alice or carol, password {DESK_PASSWORD}\n\
             The pictures' server {first}   an authorization server; alice or carol, password {ALICE_PASSWORD}\n\
             The notary's server  {second}   another provider's, which goes down for a while; the same log-ins\n\
             Alice's pictures     {photos}   the gateway before her pictures\n\
             The notary           {papers}   the gateway before her papers\n\
             The key by which Alice signs at the desk is under the passphrase `{passphrase}`.\n\
             Bob, Dave and Erin, who ask, are played by the story.\n"
        )
    }

    /// The second server is gone from now on.
    pub(super) async fn second_goes_away(&mut self) -> Result<(), String> {
        if let Some(running) = self.second.running.take() {
            running.send(true).map_err(|error| error.to_string())?;
        }
        let [_, second] = &self.servers;
        let address = second.trim_start_matches("http://").to_owned();
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(&address).await.is_err() {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Err("the second server does not go away".into())
    }

    /// It comes back, with all that it knew.
    pub(super) async fn second_comes_back(&mut self) -> Result<(), String> {
        let [_, second] = &self.servers;
        let told = |exit: Exit| match exit {
            Exit::Failed(what) | Exit::Usage(what) => what,
        };
        for _ in 0..100 {
            if let Ok(listener) = bind(second.trim_start_matches("http://"), false).await {
                return self.second.run(listener).await.map_err(told);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Err("its port was taken".into())
    }
}

impl Second {
    async fn run(&mut self, listener: TcpListener) -> Result<(), Exit> {
        let (sender, stop) = Stop::by_hand();
        start_server(&self.config, self.store.clone(), self.key, &self.data, listener, stop).await?;
        self.running = Some(sender);
        Ok(())
    }
}

fn server_text(issuer: &str, gateway: &str) -> String {
    let account = |name: &str| {
        format!("[[account]]\nusername = \"{name}\"\nemail = \"{name}@foo.example\"\npassword = \"{ALICE_PASSWORD}\"\n")
    };
    format!(
        r#"
[server]
issuer = "{issuer}"
[store]
url = "memory:"
{}{}
[[client]]
client_id = "rs"
client_secret = "rs-secret"
resource = "{gateway}"
grant_types = ["client_credentials"]
scope = "uma_protection"
acts_for = "alice"
[[client]]
client_id = "viewer"
client_secret = "viewer-secret"
name = "Viewer"
grant_types = ["urn:ietf:params:oauth:grant-type:uma-ticket", "refresh_token"]
may_push_claims = true
[[trusted_issuer]]
issuer = "{PROVIDER}"
jwks_file = "idp.json"
claims = ["email", "email_verified"]
email_domains = ["bar.example", "quux.example"]
{LABORATORY}"#,
        account("alice"),
        account("carol")
    )
}

fn gateway_text(gateway: &str, issuer: &str, folder: &str, trust: &str, name: &str) -> String {
    let folder = toml::Value::String(folder.to_owned());
    format!(
        r#"
[gateway]
listen = "127.0.0.1:0"
name = "{name}"
resource = "{gateway}"
folder = {folder}
authorization_servers = ["{issuer}"]
trust = "{trust}"
pat = "client_credentials"
client_id = "rs"
client_secret = "rs-secret"
store = {{ url = "memory:" }}
[gateway.management]
issuer = "{issuer}"
[[gateway.route]]
path = "/{{album}}/{{file}}"
resource = "/{{album}}"
owner = "alice"
scopes = {{ GET = ["view"], DELETE = ["delete"] }}
{LABORATORY}"#
    )
}

fn desk_text(url: &str) -> String {
    let account = |name: &str| format!("[[account]]\nusername = \"{name}\"\npassword = \"{DESK_PASSWORD}\"\n");
    let (alice, carol) = (account("alice"), account("carol"));
    format!(
        "[manager]\nlisten = \"127.0.0.1:0\"\nurl = \"{url}\"\nname = \"The desk\"\nstore = {{ url = \"memory:\" }}\n{alice}{carol}{LABORATORY}"
    )
}

async fn start_server(
    config: &Config,
    store: Store,
    key: [u8; 32],
    data: &Path,
    listener: TcpListener,
    stop: Stop,
) -> Result<(), Exit> {
    let outbox = Arc::new(Outbox::new(data.join("outbox"), &config.server.name, &config.server.issuer));
    let server = assemble::server_with(config, store, key, outbox, Arc::new(SystemClock), Arc::new(SystemRandomness)).await?;
    tokio::spawn(keep_house(server.app.clone(), server.store.clone(), ClockWatch::of_system(), stop.clone()));
    tokio::spawn(serve(listener, web::site(server.app), Reception::behind(Vec::new()), stop));
    Ok(())
}

async fn start_gateway(config: Config, listener: TcpListener, stop: Stop) -> Result<(), Exit> {
    let section = config.gateway.as_ref().ok_or_else(|| Exit::failed("the story has a gateway"))?;
    let gateway = assemble_gateway(&config, section, None).await?;
    tokio::spawn(keep_gateway_house(gateway.clone(), stop.clone()));
    tokio::spawn(serve(listener, gateway.router(), Reception::of_gateway(Vec::new()), stop));
    Ok(())
}

async fn start_desk(config: Config, listener: TcpListener, stop: Stop) -> Result<(), Exit> {
    let section = config.manager.as_ref().ok_or_else(|| Exit::failed("the story has a desk"))?;
    let log_in = Arc::new(LogIn::of_manager(&config, section).await?);
    let manager = assemble_manager(&config, section).await?;
    tokio::spawn(keep_manager_house(manager.clone(), stop.clone()));
    let site = log_in::before(Some(log_in), relationship_manager::router(manager));
    tokio::spawn(serve(listener, site, Reception::behind(Vec::new()), stop));
    Ok(())
}
