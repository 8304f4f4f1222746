//! Carol decides while Alice is away, at the same desk; and the receipts of it all.

use crate::processes::{LONGEST, Server};
use crate::relations::{Desk, Sitting, bob_at, is_out, laboratory, reads};
use std::time::{Duration, Instant};

/// Waits until a page shows something.
async fn until(sitting: &mut Sitting, path: &str, shows: &str) -> wayleave::demo::browser::Shown {
    let begun = Instant::now();
    loop {
        let page = sitting.open(path).await;
        if page.html.contains(shows) {
            return page;
        }
        assert!(begun.elapsed() < LONGEST, "{path} never shows {shows}: {}", page.html);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn carol_decides_while_alice_is_away() {
    let (servers, guarded) = laboratory().await;
    let server: &Server = &servers[0];
    let desk = Desk::start();
    let (mut alice, mut carol) = (Sitting::of(&desk, "alice").await, Sitting::of(&desk, "carol").await);
    alice.link(&server.issuer).await;
    alice.link(&guarded[0].url).await;
    let page = alice.open("/delegations").await;
    assert!(page.html.contains("Nobody but you."), "{}", page.html);
    let past = [("email", "carol@foo.example"), ("may", "approve"), ("scopes", "view"), ("until", "2020-01-01"), ("what", "new")];
    assert_eq!(alice.browser.submit(&page, "/delegations", &past).await.unwrap().status, 400);
    let fields = [
        ("email", "carol@foo.example"),
        ("may", "approve"),
        ("may", "share"),
        ("scopes", "view, print"),
        ("until", "2033-12-01"),
        ("link", &wayleave::demo::browser::attribute(page.html.split("<option ").nth(1).unwrap(), "value")),
        ("what", "new"),
    ];
    let page = alice.browser.submit(&page, "/delegations", &fields).await.unwrap();
    let said = "carol@foo.example may answer requests and share for you: view and print, of everything of yours";
    assert!(page.html.contains(said), "{}", page.html);
    carol.link(&server.issuer).await;
    assert!(carol.open("/delegations").await.html.contains("You may decide for alice"));
    assert_eq!(bob_at(server, &guarded[0], 1).await.err().as_deref(), Some("request_submitted"));
    let page = until(&mut carol, "/requests", "bob@bar.example").await;
    assert!(page.html.contains("<strong>alice</strong>, for whom you may decide, to view Holiday"), "{}", page.html);
    let grant = wayleave::demo::browser::attribute(page.html.split("name=\"grant\"").nth(1).unwrap(), "value");
    let answer = [("decision", "approve"), ("remember", "yes"), ("grant", grant.as_str())];
    let page = carol.browser.submit(&page, "/requests", &answer).await.unwrap();
    assert!(page.html.contains("Nobody is waiting for you"), "{}", page.html);
    let rpt = bob_at(server, &guarded[0], 2).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reads(&guarded[0], &rpt).await, 200);
    // Alice comes back, sees whose it is, and ends it all at once
    let page = alice.open("/servers").await;
    alice.browser.submit(&page, "/servers/read", &[]).await.unwrap();
    assert!(alice.open("/people").await.html.contains("bob@bar.example"));
    let page = alice.open("/api/things").await;
    let things: serde_json::Value = serde_json::from_str(&page.html).unwrap();
    let thing = alice.open(&format!("/thing/{}", things["things"][0]["key"].as_str().unwrap())).await;
    assert!(thing.html.contains("by somebody you let decide"), "{}", thing.html);
    // the server's own pages show it, too: hers, and Carol's
    let page = alice.browser.open(&format!("{}/my/delegations", server.issuer)).await.unwrap();
    assert!(
        page.html.contains("carol@foo.example") && page.html.contains("may answer requests and share of everything"),
        "{}",
        page.html
    );
    let page = carol.browser.open(&format!("{}/my/delegations", server.issuer)).await.unwrap();
    assert!(page.html.contains("For whom you decide"), "{}", page.html);
    let page = alice.open("/delegations").await;
    let page = alice.browser.submit(&page, "/delegations", &[("what", "end")]).await.unwrap();
    assert!(page.html.contains("1 of 1 confirmed"), "{}", page.html);
    is_out(&guarded[0], &rpt).await;
    // what she agreed to and took back, signed and kept
    let page = until(&mut alice, "/receipts", "You took back: bob@bar.example").await;
    assert!(page.html.contains("You agreed: bob@bar.example") && !page.html.contains("not verified"), "{}", page.html);
    let exported = alice.open("/receipts/export").await.html;
    assert!(exported.contains("receipt_jwt") && exported.contains("KI-CR-v1.1.0"));
}

/// Carol shares for Alice, as far as she may; it is Alice's to see, and ends with the delegation.
#[tokio::test]
async fn carol_shares_for_alice_as_far_as_she_may() {
    let (servers, guarded) = laboratory().await;
    let desk = Desk::start();
    let (mut alice, mut carol) = (Sitting::of(&desk, "alice").await, Sitting::of(&desk, "carol").await);
    alice.link(&servers[0].issuer).await;
    carol.link(&servers[0].issuer).await;
    assert!(carol.open("/for-others").await.html.contains("Nobody lets you share for them"));
    let page = alice.open("/delegations").await;
    let fields = [("email", "carol@foo.example"), ("may", "share"), ("scopes", "view"), ("until", "2033-12-01"), ("what", "new")];
    alice.browser.submit(&page, "/delegations", &fields).await.unwrap();
    let page = carol.open("/servers").await;
    carol.browser.submit(&page, "/servers/read", &[]).await.unwrap();
    let page = carol.open("/for-others").await;
    assert!(page.html.contains("For alice") && page.html.contains("as far as: view<"), "{}", page.html);
    let thing = wayleave::demo::browser::attribute(page.html.split("name=\"thing\"").nth(1).unwrap(), "value");
    let share = |scope: &'static str| [("thing", thing.clone()), ("email", "bob@bar.example".into()), ("scope", scope.into())];
    for (scope, status) in [("edit", 400), ("view", 200)] {
        let fields = share(scope);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let page = carol.browser.submit(&page, "/for-others", &fields).await.unwrap();
        assert_eq!(page.status, status, "{scope}: {}", page.html);
    }
    let rpt = bob_at(&servers[0], &guarded[0], 1).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reads(&guarded[0], &rpt).await, 200);
    let page = alice.open("/delegations").await;
    alice.browser.submit(&page, "/delegations", &[("what", "end")]).await.unwrap();
    is_out(&guarded[0], &rpt).await;
}

/// Named by her key, of one thing, by Alice's own signature: each server checks it, sees it, and hears of its end.
#[tokio::test]
async fn alice_signs_who_decides_and_of_what() {
    let (servers, guarded) = laboratory().await;
    let desk = Desk::start();
    let (mut alice, mut carol) = (Sitting::of(&desk, "alice").await, Sitting::of(&desk, "carol").await);
    carol.link(&servers[0].issuer).await;
    for place in [&servers[0].issuer, &servers[1].issuer, &guarded[0].url, &guarded[1].url] {
        alice.link(place).await;
    }
    let (mut dids, passphrase) = (Vec::new(), "correct horse battery staple");
    for sitting in [&mut alice, &mut carol] {
        let page = sitting.open("/keys").await;
        let fields = [("what", "new"), ("passphrase", passphrase), ("again", passphrase)];
        let page = sitting.browser.submit(&page, "/keys", &fields).await.unwrap();
        let did = page.html.split("name=\"did\" value=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#58;", ":");
        let page = sitting.browser.submit(&page, "/keys", &[("what", "register")]).await.unwrap();
        assert!(!page.html.contains("Not registered yet at"), "{}", page.html);
        dids.push(did);
    }
    let thing = alice.things().await[0].clone();
    let page = alice.open(&format!("/delegations?thing={}", thing["key"].as_str().unwrap())).await;
    assert!(page.html.contains(">Holiday</span>"), "{}", page.html);
    let fields = [("email", dids[1].as_str()), ("may", "approve"), ("scopes", "view"), ("until", "2033-12-01"), ("what", "new")];
    let page = alice.browser.submit(&page, "/delegations", &fields).await.unwrap();
    let (keeper, other) = (thing["resource_server"].as_str().unwrap(), &guarded[1].url);
    assert!(page.html.contains("Exactly what you sign") && page.html.contains(keeper), "{}", page.html);
    assert!(page.html.matches("&#34;jti&#34;").count() == 1 && (keeper == other || !page.html.contains(other)), "{}", page.html);
    let page = alice.browser.submit(&page, "/delegations", &[("what", "sign")]).await.unwrap();
    assert!(page.html.contains(">signed</span>") && page.html.contains("of one thing of yours"), "{}", page.html);
    let page = alice.browser.submit(&page, "/delegations", &[("what", "end")]).await.unwrap();
    assert!(page.html.contains("2 of 2 confirmed") && page.html.contains("your signed word that they decide"), "{}", page.html);
    // rubbish is told apart
    let page = alice.open("/delegations").await;
    for (who, says) in [("nobody", "Say who"), ("did:key:nonsense", "Exactly what you sign")] {
        let fields = [("email", who), ("may", "share"), ("scopes", "view"), ("until", "2033-12-01"), ("what", "new")];
        let page = alice.browser.submit(&page, "/delegations", &fields).await.unwrap();
        assert!(page.html.contains(says), "{who}: {}", page.html);
    }
}

/// A server that hangs is no server that is down: calls to it go nowhere, and the desk goes on.
#[tokio::test]
async fn a_server_that_hangs_holds_up_no_page() {
    let (servers, guarded) = laboratory().await;
    let desk = Desk::start();
    let mut alice = Sitting::of(&desk, "alice").await;
    alice.link(&servers[0].issuer).await;
    alice.link(&guarded[0].url).await;
    for _ in 0..3 {
        alice.share("all=yes", "view").await;
    }
    let signal = |name: &str| servers[0].process.as_ref().unwrap().signal(name);
    signal("STOP");
    let begun = Instant::now();
    let page = alice.open("/people/show?who=address%3Abob%40bar.example").await;
    let page = alice.browser.submit(&page, "/people/withdraw", &[("sure", "yes")]).await.unwrap();
    assert!(page.html.contains("0 of 3 confirmed") && begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    alice.open("/").await;
    signal("CONT");
    until(&mut alice, "/withdrawals", "3 of 3 confirmed").await;
}
