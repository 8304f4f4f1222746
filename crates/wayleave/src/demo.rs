//! `wayleave demo`: a whole ecosystem on loopback with seeded people - an authorization server, a
//! gateway before a folder of pictures, and *Viewer*, a third party's web client. Alone it is fresh, and tells what to do in a
//! browser; with a story it plays that story. It stays up until it is stopped, unless `--exit` is given.

pub mod browser;
mod choose;
pub(crate) mod desk;
pub(crate) mod exchanges;
mod pictures;
mod steps;
mod story;
mod viewer;

use crate::clock_watch::ClockWatch;
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
    /// Print each HTTP exchange, long values cut; twice: whole
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

impl Options {
    fn exchanges(&self) -> exchanges::Exchanges {
        exchanges::Exchanges::of_count(self.verbose)
    }
}

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Places {
    pub issuer: String,
    pub gateway: String,
    pub viewer: String,
    pub outbox: Arc<PathBuf>,
}

impl Places {
    /// A place at the gateway, whatever letters its names have.
    fn url_of(&self, segments: &[&str]) -> String {
        let Ok(mut url) = url::Url::parse(&self.gateway) else { return self.gateway.clone() };
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        url.into()
    }
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
    let albums = pictures::find_albums(&folder);
    if albums.is_empty() {
        let what = "holds no folder with a picture in it: each folder in it is an album";
        return Err(Exit::usage(format!("{} {what}", folder.display())));
    }
    let places = start(&folder, &temporary.0, stop.clone()).await?;
    steps::introduce(&places);
    if options.story.is_none() {
        steps::print_steps(&places, &albums);
        say::line("");
        say::ready(&places.issuer);
        return stay(&options, "It stays up until you press Ctrl-C.", stop).await;
    }
    say::ready(&places.issuer);
    let told = story::photos(&places, &folder, options.exchanges()).await;
    told.map_err(broken_off)?;
    let left = "It stays up as the story left it, until you press Ctrl-C. `wayleave demo` alone begins afresh, with steps to do yourself.";
    stay(&options, left, stop).await
}

fn broken_off(what: String) -> Exit {
    Exit::failed(format!("the story broke off: {what}"))
}

/// Says so, and stays up until it is stopped; unless it was to end with the story.
async fn stay(options: &Options, words: &str, mut stop: Stop) -> Result<(), Exit> {
    if !options.exit {
        say::line(&format!("\n{words}"));
        stop.wait().await;
    }
    Ok(())
}

/// The story of many servers; it stays up afterwards like the other.
async fn play_choose(folder: &std::path::Path, data: &std::path::Path, options: &Options, stop: Stop) -> Result<(), Exit> {
    std::fs::create_dir_all(data).map_err(Exit::failed)?;
    let world = choose::World::start(folder, data, stop.clone()).await?;
    say::line(&world.introduction());
    say::ready(&world.first());
    choose::play(&world, folder, options.exchanges()).await.map_err(broken_off)?;
    stay(options, "It stays up as the story left it, at the addresses above, until you press Ctrl-C.", stop).await
}

/// The story of one desk.
async fn play_desk(folder: &std::path::Path, data: &std::path::Path, options: &Options, stop: Stop) -> Result<(), Exit> {
    std::fs::create_dir_all(data).map_err(Exit::failed)?;
    let mut world = desk::World::start(folder, data, stop.clone()).await?;
    say::line(&world.introduction());
    say::ready(&world.desk);
    desk::play(&mut world, folder, options.exchanges()).await.map_err(broken_off)?;
    stay(options, "It stays up as the story left it, at the addresses above, until you press Ctrl-C.", stop).await
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
    let text = config_text(&issuer, &gateway, &viewer, folder);
    let config = Config::parse(&text, std::iter::empty(), data.to_owned()).map_err(Exit::failed)?;
    let outbox = Arc::new(Outbox::new(data.join("outbox"), &config.server.name, &config.server.issuer));
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
    let places = Places { issuer, gateway, viewer, outbox: Arc::new(outbox.folder.clone()) };
    let example =
        pictures::find_albums(folder).first().map_or_else(|| places.gateway.clone(), |album| places.url_of(&[&album.folder]));
    let viewing = viewer::Viewer::new(&config, &places, example, outbox)?;
    tokio::spawn(keep_house(server.app.clone(), server.store.clone(), ClockWatch::of_system(), stop.clone()));
    tokio::spawn(serve(server_listener, web::site(server.app), Reception::behind(Vec::new()), stop.clone()));
    tokio::spawn(keep_gateway_house(guarding.clone(), stop.clone()));
    tokio::spawn(serve(gateway_listener, guarding.router(), Reception::of_gateway(Vec::new()), stop.clone()));
    tokio::spawn(serve(viewer_listener, viewing.router(), Reception::behind(Vec::new()), stop));
    Ok(places)
}

fn config_text(issuer: &str, gateway: &str, viewer: &str, folder: &std::path::Path) -> String {
    server_text(issuer, gateway, viewer) + &gateway_text(issuer, gateway, folder)
}

fn server_text(issuer: &str, gateway: &str, viewer: &str) -> String {
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
[[client]]
client_id = "photos-browsers"
client_secret = "browsers-secret"
name = "Alice's pictures"
grant_types = ["urn:ietf:params:oauth:grant-type:uma-ticket", "refresh_token"]
claims_redirect_uris = ["{gateway}/.wayleave/visit"]
"#
    )
}

fn gateway_text(issuer: &str, gateway: &str, folder: &std::path::Path) -> String {
    let folder = toml::Value::String(folder.display().to_string());
    format!(
        r#"
[gateway]
listen = "127.0.0.1:0"
name = "Alice's pictures"
resource = "{gateway}"
folder = {folder}
authorization_servers = ["{issuer}"]
client_id = "photos-rs"
client_secret = "photos-secret"
store = {{ url = "memory:" }}
[gateway.browser]
client_id = "photos-browsers"
client_secret = "browsers-secret"
[[gateway.route]]
path = "/{{album}}"
resource = "/{{album}}"
owner = "alice"
type = "http://www.example.com/rsrcs/photoalbum"
scopes = {{ GET = ["view"] }}
[[gateway.route]]
path = "/{{album}}/{{rest..}}"
resource = "/{{album}}"
owner = "alice"
type = "http://www.example.com/rsrcs/photoalbum"
scopes = {{ GET = ["view"], PUT = ["edit"], DELETE = ["delete"] }}
"#
    )
}
