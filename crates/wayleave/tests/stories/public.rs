//! Server and gateway on the internet (`docs/public.md`): Debian's nginx ends TLS before both, by the very files that stand in the
//! book. Only addresses are others here, certificates are of an authority of the story, and mails are files.

use crate::from_mail_to_album::fill;
use crate::network::certificates_for;
use crate::processes::{Folder, Process, free_port};
use crate::services::{Service, root};
use std::path::Path;
use std::process::Command;

const NAMES: [&str; 2] = ["as.example", "photos.example"];

/// A block of a language in the chapter; the first is 0.
fn in_book(language: &str, number: usize) -> String {
    let book = std::fs::read_to_string(root().join("docs/public.md")).unwrap();
    let block = book.split(&format!("```{language}\n")).nth(number + 1).unwrap();
    block.split("\n```").next().unwrap().to_owned()
}

/// The addresses of a story in the place of those of the book.
struct Ports {
    public: u16,
    server: u16,
    gateway: u16,
}

impl Ports {
    fn put_into(&self, text: &str) -> String {
        let text = text.replace("127.0.0.1:8080", &format!("127.0.0.1:{}", self.server));
        text.replace("127.0.0.1:9000", &format!("127.0.0.1:{}", self.gateway))
    }

    /// A party's file. A port stands behind the names, since nobody may listen at 443 here.
    fn put_into_party(&self, number: usize) -> String {
        let mut text = self.put_into(&in_book("toml", number));
        let [(server, _), (gateway, _)] = NAMES.map(|name| (format!("https://{name}"), name));
        for name in [server, gateway] {
            text = text.replace(&name, &format!("{name}:{}", self.public));
        }
        let hosts = NAMES.map(|name| format!("\"{name}\" = \"127.0.0.1:{}\"", self.public)).join(", ");
        format!("{text}\n[outbound]\nca_file = \"../ca.pem\"\nhosts = {{ {hosts} }}\n")
    }
}

async fn start_nginx(folder: &Folder, ports: &Ports) -> Service {
    let place = folder.0.display();
    let site = ports.put_into(&in_book("nginx", 0)).replace("listen 443 ssl", &format!("listen 127.0.0.1:{} ssl", ports.public));
    let certificates = ["as", "photos"].iter().fold(site, |site, name| {
        site.replace(&format!("/etc/ssl/{name}.pem"), &format!("{place}/cert.pem"))
            .replace(&format!("/etc/ssl/{name}.key"), &format!("{place}/key.pem"))
    });
    let config = format!(
        "daemon off; user root; pid {place}/pid; error_log {place}/log;\nevents {{}}\nhttp {{ access_log off;\n\
         client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u;\n\
         scgi_temp_path {place}/s;\n{certificates}\n}}\n"
    );
    std::fs::write(folder.0.join("nginx.conf"), config).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.args(["-p", &place.to_string(), "-c", "nginx.conf"]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    Service::start(nginx, ports.public).await
}

/// What both know, and Alice's password.
fn write_secrets(server: &Path, gateway: &Path) {
    for name in ["photos.secret", "browsers.secret"] {
        std::fs::write(server.join(name), format!("{name} of a story, long enough")).unwrap();
        std::fs::copy(server.join(name), gateway.join(name)).unwrap();
    }
    std::fs::write(server.join("alice.password"), "alice-password").unwrap();
}

/// The mails are files: what stands below `[mail]` goes.
fn without_mail(text: &str) -> String {
    let (before, behind) = text.split_once("[mail]").unwrap();
    format!("{before}[[account]]{}", behind.split_once("[[account]]").unwrap().1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_browser_goes_from_the_mail_to_an_album_behind_nginx_and_tls() {
    let folder = Folder::new();
    certificates_for(&folder, &NAMES);
    let ports = Ports { public: free_port(), server: free_port(), gateway: free_port() };
    let (server, gateway) = (folder.0.join("server"), folder.0.join("gateway"));
    for place in [&server, &gateway] {
        std::fs::create_dir_all(place).unwrap();
    }
    write_secrets(&server, &gateway);
    fill(&gateway.join("pictures"));
    std::fs::write(server.join("wayleave.toml"), without_mail(&ports.put_into_party(0))).unwrap();
    std::fs::write(gateway.join("wayleave.toml"), ports.put_into_party(1)).unwrap();
    let _nginx = start_nginx(&folder, &ports).await;
    let _server = Process::start(&["server"], &server);
    let _gateway = Process::start(&["gateway"], &gateway);
    let [issuer, resource] = NAMES.map(|name| format!("https://{name}:{}", ports.public));
    let hosts = NAMES.map(|name| format!("MAP {name} 127.0.0.1")).join(", ");
    let world = serde_json::json!({"issuer": issuer, "gateway": resource, "behind": "folder", "hosts": hosts,
        "outbox": server.join("wayleave-data/outbox")});
    tokio::task::spawn_blocking(move || crate::others::run("node", "from-mail.mjs", &world)).await.unwrap();
}
