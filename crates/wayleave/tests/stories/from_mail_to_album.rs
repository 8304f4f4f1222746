//! The whole way in a real browser (design/browser.md): Alice links the gateway and shares a thing by mail; Bob opens the mail's
//! link, proves his address, sees the thing and downloads it, asks for another, gets it for a week without a second code, and
//! loses it when she undoes that; he changes it once that was shared, too. Behind the gateway is a folder, `wsgidav` of PyPI or a Django application, the last two as the
//! book's guides have them.

use crate::applications::{as_known, in_book, start};
use crate::gateway::Guarded;
use crate::processes::{Folder, Server, free_port};
use std::path::Path;

const ALBUMS: [&str; 2] = ["holiday-2025", "garden"];

/// The albums, each with pictures and a file for downloading.
pub(crate) fn fill(place: &Path) {
    for album in ALBUMS {
        let album = place.join(album);
        std::fs::create_dir_all(&album).unwrap();
        std::fs::write(album.join("cliffs.jpg"), include_bytes!("../../pictures/cliffs.jpg")).unwrap();
        std::fs::write(album.join("gate.jpg"), include_bytes!("../../pictures/gate.jpg")).unwrap();
        std::fs::write(album.join("letters.zip"), b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").unwrap();
    }
}

/// The gateway of a guide, before its application at this port; owners link it.
fn gateway(server: &Server, routes: &str, heading: &str, names: [&str; 2], port: u16) -> Guarded {
    let [host, app] = names;
    Guarded::start_changed(server, "http://unused", |_| {
        let (url, listen) = (format!("http://127.0.0.1:{}", server.gateway_port), format!("127.0.0.1:{}", server.gateway_port));
        as_known(&in_book(heading, "toml", 0), "code")
            .replacen("[[gateway.route]]", &format!("{routes}\n[[gateway.route]]"), 1)
            .replace(&format!("https://{host}"), &url)
            .replace("127.0.0.1:9000", &listen)
            .replace(app, &format!("127.0.0.1:{port}"))
            .replace("https://as.example", &server.issuer)
    })
}

async fn go_the_whole_way(server: &Server, guarded: &Guarded, behind: &str) {
    let world = serde_json::json!({"issuer": server.issuer, "gateway": guarded.url, "behind": behind,
        "outbox": server.folder.0.join("wayleave-data/outbox"), "pictures": std::env::var("WAYLEAVE_PICTURES").ok()});
    tokio::task::spawn_blocking(move || crate::others::run("node", "from-mail.mjs", &world)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_browser_goes_from_the_mail_to_an_album_of_a_folder() {
    let server = Server::start("");
    let guarded = Guarded::start_changed(&server, "", |text| {
        let before = text.replace("pat = \"client_credentials\"", "pat = \"code\"\nname = \"Alice's pictures\"");
        let before = before.split("[[gateway.route]]").next().unwrap();
        let route = |path: &str, scopes: &str| {
            format!(
                "[[gateway.route]]\npath = \"{path}\"\nresource = \"/{{album}}\"\nowner = \"alice\"\nscopes = {{ {scopes} }}\n"
            )
        };
        let within = route("/{album}/{rest..}", "read = [\"view\"], write = [\"edit\"]");
        format!("{before}{}{within}", route("/{album}", "GET = [\"view\"]"))
    });
    std::fs::remove_dir_all(guarded.folder.0.join("files/albums")).unwrap();
    fill(&guarded.folder.0.join("files"));
    go_the_whole_way(&server, &guarded, "folder").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_browser_goes_from_the_mail_to_a_folder_of_wsgidav() {
    let (folder, port) = (Folder::new(), free_port());
    fill(&folder.0.join("files"));
    let settings = in_book("A WebDAV server", "yaml", 0).replace("port: 9900", &format!("port: {port}"));
    std::fs::write(folder.0.join("wsgidav.yaml"), settings).unwrap();
    let _service = start(&folder, "wsgidav", &["--config", "wsgidav.yaml"], port).await;
    let server = Server::start("");
    let routes = in_book("A WebDAV server", "toml", 1);
    let guarded = gateway(&server, &routes, "A WebDAV server", ["files.example", "127.0.0.1:9900"], port);
    go_the_whole_way(&server, &guarded, "wsgidav").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_browser_goes_from_the_mail_to_a_notebook_of_django() {
    let (folder, port) = (Folder::new(), free_port());
    let application = in_book("A Django application", "python", 0)
        .replace("9901", &port.to_string())
        .replace("[\"notes.example\"]", "[\"127.0.0.1\"]");
    std::fs::write(folder.0.join("notes.py"), application).unwrap();
    let _service = start(&folder, "python", &["notes.py"], port).await;
    let server = Server::start("");
    let guarded = gateway(&server, "", "A Django application", ["notes.example", "127.0.0.1:9901"], port);
    go_the_whole_way(&server, &guarded, "django").await;
}
