//! What runs in the story: three authorization servers at three addresses, a gateway before Alice's pictures, an archive
//! without log-in, and somebody who vouches for Bob's address.

use crate::clock_watch::ClockWatch;
use crate::commands::gateway::{assemble_gateway, keep_house as keep_gateway_house};
use crate::commands::server::keep_house;
use crate::config::Config;
use crate::demo::ALICE_PASSWORD;
use crate::outbox::Outbox;
use crate::serve::{Reception, Stop, bind, serve};
use crate::{Exit, assemble};
use jose::{Algorithm, SigningKey, SystemClock, SystemRandomness};
use std::path::Path;
use std::sync::Arc;
use store::Store;
use tokio::net::TcpListener;

/// Where everything is.
pub(in crate::demo) struct World {
    pub(super) servers: (String, String, String),
    pub(super) gateway: String,
    pub(super) archive: String,
    /// Signs ID tokens of Bob's provider.
    pub(super) provider: SigningKey,
}

/// Who vouches for addresses of bar.example.
pub(super) const PROVIDER: &str = "https://idp.bar.example";

const LABORATORY: &str = "[outbound]\nallow_private_networks = true\nallow_http = true\n";

fn url(listener: &TcpListener) -> Result<String, Exit> {
    listener.local_addr().map(|address| format!("http://{address}")).map_err(Exit::failed)
}

impl World {
    /// Starts it all, on free ports.
    pub(in crate::demo) async fn start(folder: &Path, data: &Path, stop: Stop) -> Result<Self, Exit> {
        let provider = SigningKey::generate(Algorithm::EdDsa).map_err(Exit::failed)?;
        std::fs::create_dir_all(data.join("letters/letters")).map_err(Exit::failed)?;
        let write = |name: &str, text: &str| std::fs::write(data.join(name), text).map_err(Exit::failed);
        write("idp.json", &serde_json::json!({"keys": [provider.public().to_jwk()]}).to_string())?;
        write("people.csv", "owner,name,birthdate,address\nalice,\"SMITH, Alice M.\",31/01/1980,\"12 Mill Street, Oldtown\"\n")?;
        write("letters/letters/first.txt", "Dear Alice ...")?;
        let mut listeners = Vec::new();
        for address in ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0", "127.0.0.1:0", "127.0.0.4:0"] {
            listeners.push(bind(address, false).await.map_err(Exit::failed)?);
        }
        let [a, b, c, gateway, archive] =
            <[TcpListener; 5]>::try_from(listeners).map_err(|_| Exit::failed("five listeners were wanted"))?;
        let world = Self { servers: (url(&a)?, url(&b)?, url(&c)?), gateway: url(&gateway)?, archive: url(&archive)?, provider };
        for (listener, issuer, domain) in
            [(a, &world.servers.0, "foo.example"), (b, &world.servers.1, "foo.example"), (c, &world.servers.2, "quux.example")]
        {
            let config = world.server_text(issuer, domain);
            start_server(&config, data, listener, stop.clone()).await?;
        }
        start_gateway(&world.gateway_text(folder), data, gateway, stop.clone()).await?;
        start_gateway(&world.archive_text(), data, archive, stop).await?;
        Ok(world)
    }

    /// The server that gives management tokens.
    pub(in crate::demo) fn first(&self) -> String {
        self.servers.0.clone()
    }

    /// Who is where, and what for.
    pub(in crate::demo) fn introduction(&self) -> String {
        let (a, b, c) = &self.servers;
        let (gateway, archive) = (&self.gateway, &self.archive);
        format!(
            "Her first server   {a}   an authorization server; log in as alice, password {ALICE_PASSWORD}\n\
             Her second server  {b}   another operator's, which turns hostile; the same log-in\n\
             A third server     {c}   the one that she brings by her address; the same log-in\n\
             Alice's pictures   {gateway}   the gateway before her pictures, which believes her signature alone\n\
             The archive        {archive}   a gateway before letters, where nobody logs in\n\
             Bob, who reads, and Mallory, who should not, are played by the story.\n"
        )
    }

    fn server_text(&self, issuer: &str, domain: &str) -> String {
        let (gateway, archive) = (&self.gateway, &self.archive);
        // the third does not know the gateway before Alice brings it
        let photos = if domain == "quux.example" {
            String::new()
        } else {
            format!(
                "[[client]]\nclient_id = \"photos-rs\"\nclient_secret = \"photos-secret\"\nresource = \"{gateway}\"\n\
                 grant_types = [\"authorization_code\", \"refresh_token\"]\nscope = \"uma_protection\"\n\
                 redirect_uris = [\"{gateway}/.wayleave/callback\"]\n"
            )
        };
        format!(
            r#"
[server]
issuer = "{issuer}"
name = "{domain}"
[store]
url = "memory:"
[[account]]
username = "alice"
name = "Alice Smith"
email = "alice@{domain}"
password = "{ALICE_PASSWORD}"
claims = {{ birthdate = "1980-01-31" }}
{photos}
[[client]]
client_id = "archive-rs"
client_secret = "archive-secret"
resource = "{archive}"
name = "The archive"
grant_types = ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"]
scope = "uma_protection"
redirect_uris = ["{archive}/.wayleave/callback"]
[[client]]
client_id = "desk"
client_secret = "desk-secret"
grant_types = ["client_credentials"]
scope = "uma_management"
acts_for = "alice"
[[client]]
client_id = "manager"
client_secret = "manager-secret"
grant_types = ["client_credentials"]
scope = "uma_policy"
acts_for = "alice"
[[client]]
client_id = "viewer"
client_secret = "viewer-secret"
grant_types = ["urn:ietf:params:oauth:grant-type:uma-ticket", "refresh_token"]
may_push_claims = true
[[trusted_issuer]]
issuer = "{PROVIDER}"
jwks_file = "idp.json"
claims = ["email", "email_verified"]
email_domains = ["bar.example"]
{LABORATORY}"#
        )
    }

    fn gateway_text(&self, folder: &Path) -> String {
        let (a, b, c) = (&self.servers.0, &self.servers.1, &self.servers.2);
        let (gateway, folder) = (&self.gateway, toml::Value::String(folder.display().to_string()));
        let third = c.trim_start_matches("http://");
        format!(
            r#"
[gateway]
listen = "127.0.0.1:0"
name = "Alice's pictures"
resource = "{gateway}"
folder = {folder}
authorization_servers = ["{a}", "{b}"]
trust = "rot-required"
client_id = "photos-rs"
client_secret = "photos-secret"
store = {{ url = "memory:" }}
[gateway.management]
issuer = "{a}"
[[gateway.route]]
path = "/{{album}}/{{photo}}"
resource = "/{{album}}"
owner = "alice"
scopes = {{ GET = ["view"], DELETE = ["delete"] }}
{LABORATORY}hosts = {{ "quux.example" = "{third}" }}
"#
        )
    }

    fn archive_text(&self) -> String {
        let (a, archive) = (&self.servers.0, &self.archive);
        format!(
            r#"
[gateway]
listen = "127.0.0.1:0"
name = "The archive"
resource = "{archive}"
folder = "letters"
authorization_servers = ["{a}"]
client_id = "archive-rs"
client_secret = "archive-secret"
store = {{ url = "memory:" }}
[gateway.discovery]
csv = "people.csv"
[[gateway.route]]
path = "/{{kind}}/{{letter}}"
resource = "/{{kind}}"
owner = "alice"
scopes = {{ GET = ["view"] }}
{LABORATORY}"#
        )
    }
}

async fn start_server(text: &str, data: &Path, listener: TcpListener, stop: Stop) -> Result<(), Exit> {
    let config = Config::parse(text, std::iter::empty(), data.to_owned()).map_err(Exit::failed)?;
    let (clock, dice) = (Arc::new(SystemClock), Arc::new(SystemRandomness));
    let outbox = Arc::new(Outbox::new(data.join("outbox"), &config.server.name, &config.server.issuer));
    let key = jose::ambient::random(&SystemRandomness);
    let server = assemble::server_with(&config, Store::in_memory(), key, outbox, clock, dice).await?;
    tokio::spawn(keep_house(server.app.clone(), server.store.clone(), ClockWatch::of_system(), stop.clone()));
    tokio::spawn(serve(listener, web::site(server.app), Reception::behind(Vec::new()), stop));
    Ok(())
}

async fn start_gateway(text: &str, data: &Path, listener: TcpListener, stop: Stop) -> Result<(), Exit> {
    let config = Config::parse(text, std::iter::empty(), data.to_owned()).map_err(Exit::failed)?;
    let section = config.gateway.as_ref().ok_or_else(|| Exit::failed("the story has a gateway"))?;
    let gateway = assemble_gateway(&config, section, None).await?;
    tokio::spawn(keep_gateway_house(gateway.clone(), stop.clone()));
    tokio::spawn(serve(listener, gateway.router(), Reception::of_gateway(Vec::new()), stop));
    Ok(())
}
