//! Log-in at somebody else's OpenID provider (oidc-provider of npm, unmodified): an account there opens one here once its owner
//! has linked the two; a desk whose people all log in there.

use crate::logging_in::Foreign;
use crate::processes::{Folder, Process, Server, free_port};
use crate::relations::open_outbound;
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use wayleave::demo::browser::{Browser, Shown};

/// The provider, and its issuer.
fn provider(redirect_uris: &[String]) -> (Foreign, String) {
    let port = free_port();
    let issuer = format!("http://127.0.0.1:{port}");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let world = json!({"issuer": issuer, "port": port, "redirect_uris": redirect_uris});
    let mut command = Command::new("node");
    command.arg("provider.mjs").current_dir(root.join("browser")).env("WORLD", world.to_string()).stdout(Stdio::piped());
    let mut provider = Foreign(command.stderr(Stdio::null()).spawn().unwrap());
    let mut lines = BufReader::new(provider.0.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().starts_with("ready:")));
    std::thread::spawn(move || lines.for_each(drop));
    (provider, issuer)
}

/// The provider, and a server whose people may log in there; it is told of the server before that runs.
fn both(more: &str) -> (Foreign, Server, String, String) {
    let port = free_port();
    let own = format!("http://127.0.0.1:{port}");
    let (provider, issuer) = provider(&[format!("{own}/login/callback")]);
    let server = Server::start_changed(|people| {
        let old = people.split("listen = \"127.0.0.1:").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let people = people.replace(&format!("127.0.0.1:{old}"), &format!("127.0.0.1:{port}"));
        format!("{people}[[account]]\nusername = \"mallory\"\npassword = \"mallory-password\"\n{}", section(&issuer, more))
    });
    (provider, server, own, issuer)
}

fn section(issuer: &str, more: &str) -> String {
    format!(
        "[[login_provider]]\nissuer = \"{issuer}\"\nname = \"Elsewhere\"\nclient_id = \"desk\"\n\
         client_secret = \"desk-secret-of-some-length\"\n{more}[outbound]\nallow_private_networks = true\nallow_http = true\n"
    )
}

/// Logs in at the provider as this person, and agrees.
async fn there(browser: &mut Browser, page: Shown, who: &str) -> Shown {
    let mut page = page;
    if page.html.contains("name=\"login\"") {
        page = browser.submit(&page, "/interaction/", &[("login", who), ("password", "x")]).await.unwrap();
    }
    if page.html.contains("/interaction/") {
        page = browser.submit(&page, "/interaction/", &[]).await.unwrap();
    }
    page
}

fn way_there(page: &Shown, name: &str) -> String {
    let tag = page.html.split("<a ").find(|tag| tag.contains(name) && tag.contains("/login/elsewhere"));
    let tag = tag.unwrap_or_else(|| panic!("{}: {}", page.url, page.html));
    let path = wayleave::demo::browser::attribute(tag, "href");
    page.url.join(&path).unwrap().into()
}

#[tokio::test]
async fn an_account_elsewhere_opens_one_here_once_its_owner_has_linked_them() {
    let (_provider, _server, own, issuer) = both("");
    let mut alice = Browser::new(open_outbound());
    // nobody is let in because an address is the same
    let login = alice.open(&format!("{own}/login")).await.unwrap();
    let page = alice.open(&way_there(&login, "Log in at Elsewhere")).await.unwrap();
    let page = there(&mut alice, page, "alice").await;
    assert!(page.status == 400 && page.html.contains("No account here is linked to yours at Elsewhere"), "{}", page.html);
    // she logs in, links it, and it opens her account from then on
    let login = alice.open(&format!("{own}/login?return=%2Faccount")).await.unwrap();
    let fields = [("username", "alice"), ("password", "alice-password")];
    let page = alice.submit(&login, "/login", &fields).await.unwrap();
    let page = alice.open(&way_there(&page, "Link yours at Elsewhere")).await.unwrap();
    let page = there(&mut alice, page, "alice").await;
    assert!(page.html.contains("How you log in") && page.html.contains("alice@foo.example<span"), "{}: {}", page.url, page.html);
    let mut again = Browser::new(open_outbound());
    let login = again.open(&format!("{own}/login?return=%2Faccount")).await.unwrap();
    let page = again.open(&way_there(&login, "Log in at Elsewhere")).await.unwrap();
    let page = there(&mut again, page, "alice").await;
    assert!(page.html.contains("How you log in") && page.html.contains(">alice<"), "{}: {}", page.url, page.html);
    // somebody else there is nobody here, and cannot be linked where an account is linked already
    let mut mallory = Browser::new(open_outbound());
    let login = mallory.open(&format!("{own}/login?return=%2Faccount")).await.unwrap();
    let page = mallory.submit(&login, "/login", &[("username", "mallory"), ("password", "mallory-password")]).await.unwrap();
    let way = way_there(&page, "Link yours at Elsewhere");
    let form_token = page.html.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(way.contains("link=") && !way.contains(form_token), "what stands in a URL is good for no form: {way}");
    let page = mallory.open(&way).await.unwrap();
    let page = there(&mut mallory, page, "alice").await;
    assert!(page.status == 400 && page.html.contains("linked to somebody else"), "{}", page.html);
    // an answer of another browser, and one that nobody waits for
    for query in ["", "?state=x&code=y"] {
        let page = mallory.open(&format!("{own}/login/callback{query}")).await.unwrap();
        assert!(page.status == 400 && page.html.contains("does not belong to this browser"), "{}", page.html);
    }
    let page = mallory.open(&format!("{own}/login/elsewhere?issuer=https://evil.example")).await.unwrap();
    assert_eq!(page.status, 400);
    // no other page can have an account linked to whoever is logged in: that would open hers to its owner
    let named: String = form_urlencoded::byte_serialize(issuer.as_bytes()).collect();
    for token in ["yes", "guessed"] {
        let url = format!("{own}/login/elsewhere?issuer={named}&return=%2Faccount&link={token}");
        let page = again.open(&url).await.unwrap();
        assert!(page.status == 400 && page.html.contains("came from another place"), "{}", page.html);
    }
    // and it is unlinked again
    let page = again.open(&format!("{own}/account")).await.unwrap();
    let page = again.submit(&page, "/account?unlink", &[("what", "unlink")]).await.unwrap();
    assert!(page.html.contains("None."), "{}", page.html);
    let login = alice.open(&format!("{own}/login")).await.unwrap();
    let page = alice.open(&way_there(&login, "Log in at Elsewhere")).await.unwrap();
    assert_eq!(there(&mut alice, page, "alice").await.status, 400);
}

#[tokio::test]
async fn newcomers_have_accounts_where_the_operator_says_so() {
    let (_provider, _server, own, _) = both("make_accounts = true\nemail_domains = [\"foo.example\"]\n");
    for _ in 0..2 {
        let mut dora = Browser::new(open_outbound());
        let login = dora.open(&format!("{own}/login?return=%2Faccount")).await.unwrap();
        let page = dora.open(&way_there(&login, "Log in at Elsewhere")).await.unwrap();
        let page = there(&mut dora, page, "dora").await;
        assert!(page.html.contains(">dora elsewhere<"), "{}: {}", page.url, page.html);
        // her only way in stays
        let page = dora.submit(&page, "/account?unlink", &[("what", "unlink")]).await.unwrap();
        assert!(page.html.contains("your only way to log in"), "{}", page.html);
    }
}

/// The desk's own log-in is that provider: it knows the desk as a declared client.
#[tokio::test]
async fn a_desks_people_log_in_at_somebody_elses_provider() {
    let (folder, port) = (Folder::new(), free_port());
    let url = format!("http://127.0.0.1:{port}");
    let (_provider, issuer) = provider(&[format!("{url}/callback")]);
    let text = format!(
        "[manager]\nlisten = \"127.0.0.1:{port}\"\nurl = \"{url}\"\nlogin = \"{issuer}\"\nclient_id = \"desk\"\n\
         client_secret = \"desk-secret-of-some-length\"\nstore = {{ url = \"memory:\" }}\n\
         [outbound]\nallow_private_networks = true\nallow_http = true\n"
    );
    std::fs::write(folder.0.join("wayleave.toml"), text).unwrap();
    let _manager = Process::start(&["manager"], &folder.0);
    let mut alice = Browser::new(open_outbound());
    let page = alice.open(&url).await.unwrap();
    let page = there(&mut alice, page, "alice").await;
    assert!(page.html.contains("Your things") && page.html.contains(">alice elsewhere<"), "{}: {}", page.url, page.html);
}

/// In Chromium, twice: the second time nobody asks, and the log-in leads straight back to the desk.
#[tokio::test]
async fn a_real_browser_logs_in_to_a_desk_at_an_authorization_server() {
    let server = Server::start("[outbound]\nallow_private_networks = true\nallow_http = true\n");
    let (folder, port) = (Folder::new(), free_port());
    let url = format!("http://127.0.0.1:{port}");
    let text = format!(
        "[manager]\nlisten = \"127.0.0.1:{port}\"\nurl = \"{url}\"\nlogin = \"{}\"\nstore = {{ url = \"memory:\" }}\n\
         [outbound]\nallow_private_networks = true\nallow_http = true\n",
        server.issuer
    );
    std::fs::write(folder.0.join("wayleave.toml"), text).unwrap();
    let _manager = Process::start(&["manager"], &folder.0);
    let world = json!({"desk": url});
    tokio::task::spawn_blocking(move || crate::others::run("node", "log-in.mjs", &world)).await.unwrap();
}
