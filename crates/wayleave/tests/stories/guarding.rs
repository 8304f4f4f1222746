//! Alice changes who guards her things, from her desk; tries what somebody would get; reads what happened at all of her
//! servers; and sees it when one of them tells another story than before.

use crate::choosing::{LABORATORY, open_gateway};
use crate::gateway::Guarded;
use crate::processes::{Folder, Server};
use crate::relations::{Desk, Sitting, bob_at, laboratory, reads};
use std::path::Path;
use wayleave::demo::browser::attribute;

impl Sitting {
    /// Goes where a page would send her, logs in there as Alice, and allows it.
    async fn go(&mut self, html: &str) {
        let to = attribute(html.split("class=\"button\" ").nth(1).unwrap_or_else(|| panic!("{html}")), "href");
        let mut page = self.browser.open(&to).await.unwrap();
        for (form, fields) in [
            ("/login", vec![("username", "alice"), ("password", "alice-password")]),
            ("/authorize/decision", vec![("decision", "approve"), ("password", "alice-password")]),
        ] {
            if page.html.contains(form) {
                page = self.browser.submit(&page, form, &fields).await.unwrap();
            }
        }
        assert!(page.status < 400, "{}: {}", page.url, page.html);
    }

    async fn ask_all(&mut self) {
        let page = self.open("/servers").await;
        self.browser.submit(&page, "/servers/read", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_thing_moves_to_another_server_and_its_shares_come_along() {
    let (servers, guarded) = laboratory().await;
    let desk = Desk::start();
    let mut alice = Sitting::of(&desk, "alice").await;
    for place in [&servers[0].issuer, &servers[1].issuer, &guarded[0].url] {
        alice.link(place).await;
    }
    alice.share("all=yes", "view").await;
    // the other gateway's album is known from its authorization server alone
    let kept_here = |things: Vec<serde_json::Value>| {
        things.into_iter().find(|one| one["resource_server"] == guarded[0].url.as_str()).unwrap()
    };
    let thing = kept_here(alice.things().await)["key"].as_str().unwrap().to_owned();
    // what would be: asked of the server, which decides by what it grants by
    let page = alice.open(&format!("/thing/{thing}")).await;
    let tried = alice.browser.submit(&page, "/try", &[("email", "bob@bar.example")]).await.unwrap();
    assert!(tried.html.contains("bob@bar.example would be let in, to view."), "{}", tried.html);
    let tried = alice.browser.submit(&page, "/try", &[("email", "eve@bar.example")]).await.unwrap();
    assert!(tried.html.contains("eve@bar.example would not be let in"), "{}", tried.html);
    // the other server is introduced to the one that keeps her things
    let page = alice.open("/servers").await;
    let keeper = attribute(page.html.split("<option ").nth(1).unwrap(), "value");
    let fields = [("what", "introduce"), ("link", keeper.as_str()), ("server", servers[1].issuer.as_str())];
    let page = alice.browser.submit(&page, "/servers/guard", &fields).await.unwrap();
    assert!(page.html.contains("needs your word"), "{}", page.html);
    let html = page.html;
    alice.go(&html).await;
    alice.ask_all().await;
    // not before she says that the account there is hers
    let page = alice.open(&format!("/guard?thing={thing}")).await;
    assert!(page.html.contains("waits for you to say that the account there is yours"), "{}", page.html);
    let early = alice.browser.submit(&page, "/guard", &[("issuer", &servers[1].issuer)]).await.unwrap();
    assert!(early.status == 502 && early.html.contains("confirm first"), "{}", early.html);
    let page = alice.open("/servers").await;
    assert!(page.html.contains("once you say that the account there is yours"), "{}", page.html);
    let page = alice.browser.submit(&page, "/servers/guard", &[("what", "confirm")]).await.unwrap();
    assert!(!page.html.contains("once you say that the account"), "{}", page.html);
    let page = alice.open(&format!("/guard?thing={thing}")).await;
    assert!(page.html.contains(&servers[1].issuer), "{}", page.html);
    // what the old server lists comes along where she ticks it
    assert!(page.html.contains("Whoever proves the address bob@bar.example may view"), "{}", page.html);
    let along = attribute(page.html.split("name=\"along\"").nth(1).unwrap(), "value");
    let fields = [("issuer", servers[1].issuer.as_str()), ("along", along.as_str())];
    let page = alice.browser.submit(&page, "/guard", &fields).await.unwrap();
    assert!(page.html.contains("1 thing is guarded by") && !page.html.contains("did not come along"), "{}", page.html);
    let now = kept_here(alice.things().await);
    assert_eq!((&now["guards"][0]["issuer"], now["guards"].as_array().unwrap().len()), (&servers[1].issuer.as_str().into(), 1));
    assert_eq!(now["shares"][0]["authorization_server"], servers[1].issuer.as_str(), "{now}");
    let rpt = bob_at(&servers[1], &guarded[0], 1).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reads(&guarded[0], &rpt).await, 200);
    // what happened, at both and at the server that keeps it
    alice.ask_all().await;
    let history = alice.json("/api/history").await.to_string();
    assert!(history.contains("bob@bar.example: view"), "with whom it was shared: {history}");
    for what in ["Shared", "Access was given", "Reached once, by the word of its authorization server", "No longer guarded here"]
    {
        assert!(history.contains(what), "{what}: {history}");
    }
    let page = alice.open("/history?q=reached+holiday").await;
    assert!(page.html.contains("Reached once") && !page.html.contains("Access was given"), "{}", page.html);
    let page = alice.open(&format!("/thing/{thing}")).await;
    assert!(page.html.contains("Reached once") && page.html.contains("Receipts"), "{}", page.html);
    for by in ["server", "guard", "type"] {
        assert!(alice.open(&format!("/?group={by}")).await.html.contains("class=\"group\""));
    }
    // let go: nobody gets in by it
    let page = alice.open(&format!("/thing/{thing}")).await;
    assert_eq!(alice.browser.submit(&page, "/unguard", &[]).await.unwrap().status, 400, "only if she is sure");
    let page = alice.browser.submit(&page, "/unguard", &[("sure", "yes")]).await.unwrap();
    assert!(page.html.contains("1 of 1 confirmed"), "{}", page.html);
    assert_ne!(reads(&guarded[0], &rpt).await, 200);
}

/// The store of a server that has ended.
fn copy(from: &Path, to: &Path) {
    for file in ["server.db", "server.db-wal", "server.db-shm"] {
        let (from, to) = (from.join(file), to.join(file));
        let _ = std::fs::remove_file(&to);
        if from.exists() {
            std::fs::copy(from, to).unwrap();
        }
    }
}

/// A server that was set back has lost a part of her history; where it goes on from there, it tells another one. The desk
/// kept the head, and shows it until she has seen it.
#[tokio::test]
async fn a_server_that_loses_her_history_or_tells_another_is_found_out() {
    let mut server = Server::start(LABORATORY);
    let guarded = open_gateway(&server, |text| text);
    crate::gateway::challenge_of(&crate::gateway::raw(outbound::Method::GET, &guarded.photo(), &[]).await);
    let desk = Desk::start();
    let mut alice = Sitting::of(&desk, "alice").await;
    for place in [&server.issuer, &guarded.url] {
        alice.link(place).await;
    }
    let set_aside = Folder::new();
    server.process.as_mut().unwrap().end();
    copy(&server.folder.0.join("wayleave-data"), &set_aside.0);
    server.run();
    alice.share("all=yes", "view").await;
    alice.ask_all().await;
    assert!(!alice.open("/servers").await.html.contains("lost a part"));
    server.process.as_mut().unwrap().end();
    copy(&set_aside.0, &server.folder.0.join("wayleave-data"));
    server.run();
    alice.ask_all().await;
    let page = alice.open("/servers").await;
    assert!(page.html.contains("has lost a part of your history"), "{}", page.html);
    assert!(alice.open("/").await.html.contains("has lost a part of your history"), "on every page with its servers");
    let page = alice.browser.submit(&page, "/servers/guard", &[("what", "seen")]).await.unwrap();
    assert!(!page.html.contains("lost a part"), "{}", page.html);
    // and a fork: other things happen than those that the desk knows of
    alice.share("all=yes", "view").await;
    alice.ask_all().await;
    server.process.as_mut().unwrap().end();
    copy(&set_aside.0, &server.folder.0.join("wayleave-data"));
    server.run();
    for _ in 0..3 {
        alice.share("all=yes", "view").await;
    }
    alice.ask_all().await;
    let page = alice.open("/servers").await;
    assert!(page.html.contains("tells another history than before"), "{}", page.html);
}

/// A server of the bare standard: what is standard works, what is not is shown as not there.
#[tokio::test]
async fn a_server_without_our_extensions_is_linked_and_says_what_it_has_not() {
    let plain = Server::start("[profiles]\nextensions = false\n");
    // guarded by it; its owners log in at the gateway itself
    let guarded = Guarded::start_changed(&plain, "", |text| {
        format!(
            "{text}[outbound]\nallow_private_networks = true\nallow_http = true\n\
             [[account]]\nusername = \"alice\"\nemail = \"alice@foo.example\"\npassword = \"alice-password\"\n"
        )
    });
    crate::gateway::challenge_of(&crate::gateway::raw(outbound::Method::GET, &guarded.photo(), &[]).await);
    let desk = Desk::start();
    let mut alice = Sitting::of(&desk, "alice").await;
    let page = alice.link(&plain.issuer).await;
    assert!(page.html.contains("of the bare standard: shared on its own pages"), "{}", page.html);
    // what the gateway says of itself is standard beside it: the thing is there, with who guards it, and where to share it
    alice.link(&guarded.url).await;
    let things = alice.things().await;
    assert!(things.len() == 1 && things[0]["guards"][0]["issuer"] == plain.issuer.as_str(), "{things:?}");
    let page = alice.open(&format!("/thing/{}", things[0]["key"].as_str().unwrap())).await;
    assert!(page.html.contains("keeps to the bare UMA standard") && !page.html.contains("Share it</a>"), "{}", page.html);
    for path in ["/", "/people", "/requests", "/history", "/keys", "/delegations", "/receipts"] {
        let page = alice.open(path).await;
        assert!(
            !page.html.contains("class=\"note error\"") && !page.html.contains("class=\"note warn\""),
            "{path}: {}",
            page.html
        );
    }
}
