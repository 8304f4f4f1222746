//! Proxies that ask the gateway about each call (`docs/forward-auth.md`): Debian's nginx and Caddy, Traefik and Envoy as PyPI has
//! them, each by the very file that stands in the book; only addresses are others here. And an application behind them.

use crate::gateway::Guarded;
use crate::processes::{Folder, LONGEST, Server, free_port};
use crate::services::{Service, root};
use crate::visiting::Visited;
use jose::{base64url, digest};
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A block of a language in the chapter; the first is 0.
fn in_book(language: &str, number: usize) -> String {
    let book = std::fs::read_to_string(root().join("docs/forward-auth.md")).unwrap();
    let block = book.split(&format!("```{language}\n")).nth(number + 1).unwrap();
    block.split("\n```").next().unwrap().to_owned()
}

/// An application: a picture, web sockets that greet, and for everything else what reached it.
async fn application() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    port
}

async fn answer(mut stream: TcpStream) {
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        read.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&read).into_owned();
    let field = |name: &str| {
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    };
    if let Some(key) = field("sec-websocket-key").filter(|_| field("upgrade").is_some()) {
        let accept = digest::sha1_of_handshake(&[key.trim().as_bytes(), b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"]);
        let accept = base64url::encode(accept).replace('-', "+").replace('_', "/");
        let head =
            format!("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: {accept}=\r\n\r\n");
        let _ = stream.write_all(&[head.as_bytes(), b"\x81\x05hello"].concat()).await;
        let _ = stream.read(&mut byte).await;
        return;
    }
    let (kind, body) = match head.starts_with("GET /albums/holiday/1.jpg ") {
        true => ("image/jpeg", include_bytes!("../../pictures/cliffs.jpg").to_vec()),
        false => ("text/plain", head.into_bytes()),
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(&[head.into_bytes(), body].concat()).await;
}

/// Addresses of a story.
#[derive(Clone, Copy)]
struct Ports {
    public: u16,
    gateway: u16,
    app: u16,
}

impl Ports {
    /// A file of the book for these.
    fn put_into(self, text: &str) -> String {
        let text = text.replace("127.0.0.1:9000", &format!("127.0.0.1:{}", self.gateway));
        text.replace("127.0.0.1:9900", &format!("127.0.0.1:{}", self.app))
    }
}

async fn start_nginx(folder: &Folder, ports: Ports) -> Service {
    let certificate = "    ssl_certificate";
    let site = ports.put_into(&in_book("nginx", 0));
    let site: Vec<&str> = site.lines().filter(|line| !line.starts_with(certificate)).collect();
    let public = format!("127.0.0.1:{}", ports.public);
    let site = site.join("\n").replace("listen 443 ssl", &format!("listen {public}")).replace("photos.example", "127.0.0.1");
    let place = folder.0.display();
    let config = format!(
        "daemon off; user root; pid {place}/pid; error_log {place}/log;\nevents {{}}\nhttp {{ access_log off;\n\
         client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u;\n\
         scgi_temp_path {place}/s;\n{site}\n}}\n"
    );
    std::fs::write(folder.0.join("nginx.conf"), config).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.args(["-p", &place.to_string(), "-c", "nginx.conf"]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    Service::start(nginx, ports.public).await
}

async fn start_caddy(folder: &Folder, ports: Ports) -> Service {
    let site = ports.put_into(&in_book("caddyfile", 0)).replace("photos.example", &format!("http://127.0.0.1:{}", ports.public));
    let place = folder.0.display().to_string();
    std::fs::write(folder.0.join("Caddyfile"), format!("{{\n\tadmin off\n}}\n{site}\n")).unwrap();
    let mut caddy = Command::new("caddy");
    caddy.args(["run", "--adapter", "caddyfile", "--config", &format!("{place}/Caddyfile")]).env("HOME", &place);
    Service::start(caddy, ports.public).await
}

/// A program that PyPI carries, where `cargo xtask test` puts it.
fn of_pypi(name: &str) -> Command {
    Command::new(root().join("target/python/bin").join(name))
}

async fn start_traefik(folder: &Folder, ports: Ports) -> Service {
    let routes = ports.put_into(&in_book("yaml", 0)).replace("photos.example", "127.0.0.1").replace("      tls: {}\n", "");
    let (place, public) = (folder.0.display(), ports.public);
    std::fs::write(folder.0.join("routes.yaml"), routes).unwrap();
    let entry = format!(
        "entryPoints: {{ web: {{ address: '127.0.0.1:{public}' }} }}\nproviders: {{ file: {{ filename: {place}/routes.yaml }} }}\n\
         global: {{ checkNewVersion: false, sendAnonymousUsage: false }}\n"
    );
    std::fs::write(folder.0.join("traefik.yaml"), entry).unwrap();
    let mut traefik = of_pypi("traefik");
    traefik.arg(format!("--configfile={place}/traefik.yaml"));
    Service::start(traefik, public).await
}

async fn start_envoy(folder: &Folder, ports: Ports) -> Service {
    let port = |number: u16| format!("port_value: {number} ");
    let file = ports.put_into(&in_book("yaml", 1)).replace("photos.example", &format!("127.0.0.1:{}", ports.public));
    let file = file.replace("0.0.0.0, port_value: 443 ", &format!("127.0.0.1, {}", port(ports.public)));
    let file = file.replace("port_value: 9000 ", &port(ports.gateway)).replace("port_value: 9900 ", &port(ports.app));
    std::fs::write(folder.0.join("envoy.yaml"), file).unwrap();
    let mut envoy = of_pypi("envoy");
    envoy.arg("-c").arg(folder.0.join("envoy.yaml")).args(["--concurrency", "1", "--disable-hot-restart"]);
    Service::start(envoy, ports.public).await
}

/// Whether an answer is there as far as stories look: its body as it was announced, or the greeting of a web socket.
fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let length = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).find_map(|(_, value)| value.parse().ok());
    match head.contains(" 101 ") {
        true => body.contains("hello"),
        false => length
            .map_or(body.ends_with("0\r\n\r\n") || head.contains(" 304 ") || head.contains(" 204 "), |length: usize| {
                body.len() >= length
            }),
    }
}

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proxy {
    Nginx,
    Caddy,
    Traefik,
    Envoy,
}

impl Proxy {
    /// By which fields it names the call.
    fn headers(self) -> &'static str {
        match self {
            Self::Nginx | Self::Envoy => "x-original",
            Self::Caddy | Self::Traefik => "x-forwarded",
        }
    }

    async fn start(self, folder: &Folder, ports: Ports) -> Service {
        match self {
            Self::Nginx => start_nginx(folder, ports).await,
            Self::Caddy => start_caddy(folder, ports).await,
            Self::Traefik => start_traefik(folder, ports).await,
            Self::Envoy => start_envoy(folder, ports).await,
        }
    }
}

/// A proxy before the application, and the gateway beside it.
pub(crate) struct Proxied {
    pub(crate) visited: Visited,
    _proxy: Service,
    _folder: Folder,
}

impl Proxied {
    pub(crate) async fn start(proxy: Proxy) -> Self {
        let (ports, server, guarded) = Self::begin(proxy.headers()).await;
        let folder = Folder::new();
        let started = Self { visited: Visited { server, guarded }, _proxy: proxy.start(&folder, ports).await, _folder: folder };
        // Traefik listens before it has read its routes
        crate::processes::until("it serves what is public", async || {
            started.status("GET", "/static/style.css", &[("Accept", "*/*")]).await == "200"
        })
        .await;
        started
    }

    async fn begin(family: &str) -> (Ports, Server, Guarded) {
        let server = Server::start_changed(|people| {
            let resource = people.split("resource = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
            people
                + &format!(
                    "[[client]]\nclient_id = \"photos-browsers\"\nclient_secret = \"browsers-secret\"\nname = \"Photos\"\n\
                     grant_types = [\"urn:ietf:params:oauth:grant-type:uma-ticket\", \"refresh_token\"]\n\
                     claims_redirect_uris = [\"{resource}/.wayleave/visit\"]\n"
                )
        });
        let ports = Ports { public: server.gateway_port, gateway: free_port(), app: application().await };
        let guarded = Guarded::start_changed(&server, "http://unused", |_| {
            let browser = "[gateway.browser]\nclient_id = \"photos-browsers\"\nclient_secret = \"browsers-secret\"\n";
            let secret = "client_secret = \"photos-secret\"\npat = \"client_credentials\"";
            let text = in_book("toml", 0).replace("https://photos.example", &format!("http://127.0.0.1:{}", ports.public));
            let text = text.replace("headers = \"x-original\"", &format!("headers = \"{family}\""));
            ports
                .put_into(&text)
                .replace("https://as.example", &server.issuer)
                .replace("client_secret_file = \"photos.secret\"", secret)
                + "\n"
                + browser
        });
        (ports, server, guarded)
    }

    /// A call that is written by hand, and the beginning of its answer.
    pub(crate) async fn say(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> String {
        let host = self.visited.guarded.url.strip_prefix("http://").unwrap();
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut stream = TcpStream::connect(host).await.unwrap();
        let call = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        stream.write_all(call.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = async {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                answer.extend_from_slice(&buffer[..length]);
                if is_whole(&String::from_utf8_lossy(&answer)) {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(LONGEST, read).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) async fn status(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> String {
        self.say(method, path, fields).await.split(' ').nth(1).unwrap_or_default().to_owned()
    }
}
