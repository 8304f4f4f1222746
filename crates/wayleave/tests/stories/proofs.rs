//! Bob proves his address in a real Chromium, once, and shows it to each application (decision 0034).

use crate::processes::Server;

const PRINTER: &str = r#"
[[client]]
client_id = "printer"
client_secret = "printer-secret"
name = "Print shop"
grant_types = ["urn:ietf:params:oauth:grant-type:uma-ticket"]
claims_redirect_uris = ["http://127.0.0.1:9003/claims"]
"#;

#[test]
fn a_real_browser_proves_an_address_once() {
    let viewer = "client_id = \"viewer\"\n";
    let server = Server::start_changed(|people| people.replace(viewer, &format!("{viewer}name = \"Viewer\"\n")) + PRINTER);
    let world = serde_json::json!({"issuer": server.issuer, "folder": server.folder.0,
        "pictures": std::env::var("WAYLEAVE_PICTURES").ok()});
    crate::others::run("node", "claims.mjs", &world);
}
