//! `wayleave demo`: a whole ecosystem on loopback with seeded people - an authorization server, a
//! gateway before a folder of pictures, and *Viewer*, a third party's web client. With a story it
//! also plays that story. It stays up until it is stopped, unless `--exit` is given.

pub mod browser;
mod choose;
pub(crate) mod desk;
mod pictures;
mod story;
mod viewer;

use crate::commands::gateway::{assemble_gateway, keep_house as keep_gateway_house};
use crate::commands::server::keep_house;
use crate::config::Config;
use crate::outbox::Outbox;
use crate::serve::{Reception, Stop, bind, serve};
use crate::{Exit, assemble, say};
use jose::{SystemClock, SystemRandomness};
use std::path::PathBuf;
use std::sync::Arc;
use store::Store;
use tokio::net::TcpListener;

/// Alice's log-in in the demo.
pub const ALICE_PASSWORD: &str = "alice-password";
/// The address of somebody whom no server knows.
pub const BOB: &str = "bob@bar.example";

#[derive(clap::Args)]
pub struct Options {
    /// The story to play: photos, choose, or desk
    story: Option<String>,
    /// Folder of albums to protect, one folder an album [default: a few pictures that are shipped]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// End when the story has ended
    #[arg(long)]
    exit: bool,
    /// Print each HTTP exchange
    #[arg(short, long)]
    verbose: bool,
}

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Places {
    pub issuer: String,
    pub gateway: String,
    pub viewer: String,
    pub outbox: Arc<PathBuf>,
}

/// A folder that goes with the demo.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs it.
pub async fn run(options: Options) -> Result<(), Exit> {
    if options.story.as_deref().is_some_and(|story| !matches!(story, "photos" | "choose" | "desk")) {
        return Err(Exit::usage("there are three stories: photos, choose, and desk"));
    }
    let temporary = Temporary(std::env::temp_dir().join(format!("wayleave-demo-{}", std::process::id())));
    let folder = match &options.folder {
        Some(folder) if folder.is_dir() => folder.canonicalize().map_err(Exit::failed)?,
        Some(folder) => return Err(Exit::usage(format!("{} is no folder", folder.display()))),
        None => pictures::unpack(&temporary.0.join("pictures")).map_err(Exit::failed)?,
    };
    let stop = Stop::at_signal().map_err(Exit::failed)?;
    if options.story.as_deref() == Some("choose") {
        return play_choose(&folder, &temporary.0, &options, stop).await;
    }
    if options.story.as_deref() == Some("desk") {
        return play_desk(&folder, &temporary.0, &options, stop).await;
    }
    let places = start(&folder, &temporary.0, stop.clone()).await?;
    introduce(&places);
    if options.story.is_some() {
        let told = story::photos(&places, &folder, options.verbose).await;
        if let Err(what) = told {
            return Err(Exit::failed(format!("the story broke off: {what}")));
        }
    }
    if options.exit {
        return Ok(());
    }
    say::line("\nIt stays up: do the same in a browser. Ctrl-C ends it.");
    let mut stop = stop;
    stop.wait().await;
    Ok(())
}

/// The story of many servers; it stays up afterwards like the other.
async fn play_choose(folder: &std::path::Path, data: &std::path::Path, options: &Options, stop: Stop) -> Result<(), Exit> {
    std::fs::create_dir_all(data).map_err(Exit::failed)?;
    let world = choose::World::start(folder, data, stop.clone()).await?;
    say::ready(&world.first());
    let told = choose::play(&world, folder, options.verbose).await;
    told.map_err(|what| Exit::failed(format!("the story broke off: {what}")))?;
    if !options.exit {
        say::line(&world.introduction());
        let mut stop = stop;
        stop.wait().await;
    }
    Ok(())
}

/// The story of one desk.
async fn play_desk(folder: &std::path::Path, data: &std::path::Path, options: &Options, stop: Stop) -> Result<(), Exit> {
    std::fs::create_dir_all(data).map_err(Exit::failed)?;
    let mut world = desk::World::start(folder, data, stop.clone()).await?;
    say::ready(&world.desk);
    let told = desk::play(&mut world, folder, options.verbose).await;
    told.map_err(|what| Exit::failed(format!("the story broke off: {what}")))?;
    if !options.exit {
        let (desk, password) = (&world.desk, desk::DESK_PASSWORD);
        say::line(&format!(
            "\nIt stays up: {desk}, as alice or carol, password {password}; at the servers, {ALICE_PASSWORD}. Ctrl-C ends it."
        ));
        let mut stop = stop;
        stop.wait().await;
    }
    Ok(())
}

fn introduce(places: &Places) {
    say::line(&format!("Authorization server  {}   log in as alice, password {ALICE_PASSWORD}", places.issuer));
    say::line(&format!(
        "Alice's pictures      {}   behind the gateway; link it at {0}/.wayleave/link?owner=alice",
        places.gateway
    ));
    say::line(&format!("Viewer, a third party {}   here Bob, {BOB}, opens what is shared with him", places.viewer));
    say::line(&format!("Outbox                {}/outbox   his codes arrive here: he has no account", places.viewer));
    say::ready(&places.issuer);
}

/// Starts the three, on their usual ports or, where those are taken, on others.
pub async fn start(folder: &std::path::Path, data: &std::path::Path, stop: Stop) -> Result<Places, Exit> {
    let mut listeners = Vec::new();
    for port in [8080, 9000, 9001] {
        listeners.push(bind(&format!("127.0.0.1:{port}"), true).await.map_err(Exit::failed)?);
    }
    let url = |listener: &TcpListener| listener.local_addr().map(|address| format!("http://{address}")).map_err(Exit::failed);
    let [server_listener, gateway_listener, viewer_listener] =
        <[TcpListener; 3]>::try_from(listeners).map_err(|_| Exit::failed("three listeners were wanted"))?;
    let (issuer, gateway, viewer) = (url(&server_listener)?, url(&gateway_listener)?, url(&viewer_listener)?);
    let outbox = Arc::new(Outbox::new(data.join("outbox")));
    let text = config_text(&issuer, &gateway, &viewer, folder);
    let config = Config::parse(&text, std::iter::empty(), data.to_owned()).map_err(Exit::failed)?;
    let key = jose::ambient::random(&SystemRandomness);
    let server = assemble::server_with(
        &config,
        Store::in_memory(),
        key,
        outbox.clone(),
        Arc::new(SystemClock),
        Arc::new(SystemRandomness),
    )
    .await?;
    let section = config.gateway.as_ref().ok_or_else(|| Exit::failed("the demo has a gateway"))?;
    let guarding = assemble_gateway(&config, section, None).await?;
    let viewing = viewer::Viewer::new(&config, &issuer, &gateway, &viewer, outbox.clone())?;
    tokio::spawn(keep_house(server.app.clone(), server.store.clone(), stop.clone()));
    tokio::spawn(serve(server_listener, web::site(server.app), Reception::behind(Vec::new()), stop.clone()));
    tokio::spawn(keep_gateway_house(guarding.clone(), stop.clone()));
    tokio::spawn(serve(gateway_listener, guarding.router(), Reception::behind(Vec::new()), stop.clone()));
    tokio::spawn(serve(viewer_listener, viewing.router(), Reception::behind(Vec::new()), stop));
    Ok(Places { issuer, gateway, viewer, outbox: Arc::new(outbox.folder.clone()) })
}

fn config_text(issuer: &str, gateway: &str, viewer: &str, folder: &std::path::Path) -> String {
    let folder = toml::Value::String(folder.display().to_string());
    format!(
        r#"
[server]
issuer = "{issuer}"
name = "Wayleave demo"
[store]
url = "memory:"
[assessment]
poll_interval = 1
[limits]
login_attempts_per_minute = 120
[[account]]
username = "alice"
name = "Alice"
email = "alice@foo.example"
password = "{ALICE_PASSWORD}"
[[client]]
client_id = "photos-rs"
client_secret = "photos-secret"
resource = "{gateway}"
name = "Alice's pictures"
grant_types = ["authorization_code", "refresh_token"]
scope = "uma_protection"
redirect_uris = ["{gateway}/.wayleave/callback"]
[[client]]
client_id = "viewer"
client_secret = "viewer-secret"
name = "Viewer"
grant_types = ["urn:ietf:params:oauth:grant-type:uma-ticket", "refresh_token"]
scope = "view download"
claims_redirect_uris = ["{viewer}/claims"]
[gateway]
listen = "127.0.0.1:0"
name = "Alice's pictures"
resource = "{gateway}"
folder = {folder}
authorization_servers = ["{issuer}"]
client_id = "photos-rs"
client_secret = "photos-secret"
store = {{ url = "memory:" }}
[[gateway.route]]
path = "/{{album}}"
resource = "/{{album}}"
owner = "alice"
type = "http://www.example.com/rsrcs/photoalbum"
scopes = {{ GET = ["view"] }}
[[gateway.route]]
path = "/{{album}}/{{photo}}"
resource = "/{{album}}"
owner = "alice"
type = "http://www.example.com/rsrcs/photoalbum"
scopes = {{ GET = ["view"], PUT = ["edit"], DELETE = ["delete"] }}
"#
    )
}
