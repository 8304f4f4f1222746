//! The desk in a real Chromium: every page under axe, and passkeys; pictures where they are wanted.

use crate::choosing::LABORATORY;
use crate::processes::Server;
use crate::relations::{Desk, Sitting, laboratory};

/// Every page in Chromium, with axe; pictures where they are wanted.
#[tokio::test]
async fn a_real_browser_sits_at_the_desk() {
    let (servers, guarded) = laboratory().await;
    let desk = Desk::start();
    let mut alice = Sitting::of(&desk, "alice").await;
    for place in [&servers[0].issuer, &servers[1].issuer, &guarded[0].url, &guarded[1].url] {
        alice.link(place).await;
    }
    let world = serde_json::json!({"desk": desk.url, "pictures": std::env::var("WAYLEAVE_PICTURES").ok(),
        "photo": guarded[0].photo(), "server": servers[0].issuer, "other": servers[1].issuer, "bob": servers[0].id_token(7)});
    tokio::task::spawn_blocking(move || crate::others::run("node", "desk.mjs", &world)).await.unwrap();
}

/// Passkeys in Chromium, with a virtual authenticator.
#[tokio::test]
async fn a_real_browser_uses_passkeys() {
    let (servers, guarded) = laboratory().await;
    let local = Server::start_changed(|people| {
        let port = people.split("listen = \"127.0.0.1:").nth(1).unwrap().split('"').next().unwrap().to_owned();
        people.replace(&format!("issuer = \"http://127.0.0.1:{port}"), &format!("issuer = \"http://localhost:{port}"))
            + LABORATORY
    });
    let desk = Desk::at("localhost", "");
    let mut alice = Sitting::of(&desk, "alice").await;
    for place in [&servers[0].issuer, &guarded[0].url] {
        alice.link(place).await;
    }
    let server = local.issuer.replace("127.0.0.1", "localhost");
    let world = serde_json::json!({"desk": desk.url, "server": server, "pictures": std::env::var("WAYLEAVE_PICTURES").ok()});
    tokio::task::spawn_blocking(move || crate::others::run("node", "passkeys.mjs", &world)).await.unwrap();
}
