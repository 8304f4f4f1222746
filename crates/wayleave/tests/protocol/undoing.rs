//! Undo at the owner's pages (docs/decisions/0052): what she has just done is undone once, by her session, within a moment; and
//! what a page tells stands nowhere but at the server.

use crate::oauth::Browser;
use crate::world::{Answer, World};
use serde_json::{Value, json};

const BOB: &str = "bob@bar.example";

async fn policies(world: &World) -> Vec<Value> {
    let pmt = world.access("manager").await;
    world.call("GET", "/uma/policies", &pmt, Value::Null).await.ok(200).json.as_array().unwrap().clone()
}

fn note_of(page: &Answer) -> String {
    let rest = page.text.split("name=\"note\" value=\"").nth(1).unwrap_or_else(|| panic!("no Undo: {}", page.text));
    rest.split('"').next().unwrap().to_owned()
}

async fn follow(browser: &Browser<'_>, answer: &Answer) -> Answer {
    assert_eq!(answer.status, 303, "{}", answer.text);
    assert!(answer.header("location").len() < 120, "a short address: {}", answer.header("location"));
    browser.open(answer.header("location")).await
}

async fn undo(browser: &Browser<'_>, page: &Answer) -> Answer {
    browser.submit(page, "/my/undo", &[("note", &note_of(page))]).await
}

/// The share that she made ends, and no older one of the same person; and that once.
#[tokio::test]
async fn undo_of_a_share_takes_back_that_share_alone() {
    for world in World::each().await {
        let (_pat, album, _) = world.album().await;
        let older = policies(&world).await;
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let place = format!("/my/resources/{album}");
        let page = browser.open(&place).await;
        let shared =
            browser.submit(&page, &format!("{place}/share"), &[("email", BOB), ("scope", "view"), ("for", "week")]).await;
        let told = follow(&browser, &shared).await;
        assert!(told.text.contains("Shared: bob@bar.example may view, until and including"), "{}", told.text);
        assert_eq!(policies(&world).await.len(), older.len() + 1);
        // neither somebody else nor herself elsewhere is told of it, or undoes it
        for name in ["carol", "alice"] {
            let other = Browser::new(&world);
            other.log_in(name).await;
            let theirs = other.open("/my/resources").await;
            assert_eq!(undo_by(&other, &theirs, &note_of(&told)).await, 404, "{name}");
            assert!(!other.open(shared.header("location")).await.text.contains("Shared:"), "{name}");
        }
        let alone = browser.submit(&browser.open("/assets/icon.svg").await, "/my/undo", &[("note", &note_of(&told))]).await;
        assert_eq!(alone.status, 400, "without the form's token");
        let undone = follow(&browser, &undo(&browser, &told).await).await;
        assert!(
            undone.text.contains("can no longer view it by this share") && !undone.text.contains("name=\"note\""),
            "{}",
            undone.text
        );
        assert_eq!(policies(&world).await, older);
        assert!(matches!(undo(&browser, &told).await.status, 404 | 409), "once");
        assert!(!browser.open(&format!("{place}?note={}", note_of(&told))).await.text.contains("Shared:"));
    }
}

async fn undo_by(browser: &Browser<'_>, page: &Answer, note: &str) -> u16 {
    browser.submit(page, "/my/undo", &[("note", note)]).await.status
}

/// What she took back is there again by the same terms, under another name, and what ended with the old one stays ended.
#[tokio::test]
async fn undo_of_a_withdrawal_writes_the_same_share_anew() {
    for world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view edit").await;
        let pmt = world.access("manager").await;
        let terms = json!({"resource_id": album, "resource_scopes": ["view"], "expires_at": world.now() + 86_400,
            "required_claims": [{"name": "email", "value": [BOB]}], "client_id": ["viewer"], "max_uses": 5, "purpose": "to look"});
        world.call("POST", "/uma/policies", &pmt, terms).await.ok(201);
        let rpt = world.bobs_rpt("viewer", &pat, &album).await.get("access_token").to_owned();
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let (place, before) = (format!("/my/resources/{album}"), policies(&world).await);
        let page = browser.open(&place).await;
        assert!(page.text.contains("You can put the share back right after."), "said before: {}", page.text);
        let id = before[0]["_id"].as_str().unwrap().to_owned();
        let told = follow(&browser, &browser.submit(&page, &format!("{place}/policies/{id}/withdraw"), &[]).await).await;
        assert!(policies(&world).await.is_empty() && told.text.contains("can no longer view it"), "{}", told.text);
        let undone = follow(&browser, &undo(&browser, &told).await).await;
        assert!(undone.text.contains("Put back: bob@bar.example may view"), "{}", undone.text);
        let after = policies(&world).await;
        let without_id = |all: &[Value]| {
            let mut one = all[0].clone();
            one.as_object_mut().unwrap().remove("_id");
            one
        };
        assert_eq!((after.len(), without_id(&after)), (1, without_id(&before)), "its uses are counted on, too");
        assert_ne!(after[0]["_id"], before[0]["_id"]);
        assert_eq!(world.introspect(&pat, &rpt).await, json!({"active": false}));
        assert!(matches!(undo(&browser, &told).await.status, 404 | 409), "once");
        assert_eq!(policies(&world).await.len(), 1);
    }
}

/// Two minutes later she changes it in the list.
#[tokio::test]
async fn undo_is_for_a_moment_and_a_note_for_a_while() {
    let world = World::one().await;
    let (_pat, album, _) = world.album().await;
    let browser = Browser::new(&world);
    browser.log_in("alice").await;
    let (place, count) = (format!("/my/resources/{album}"), policies(&world).await.len());
    let page = browser.open(&place).await;
    let shared = browser.submit(&page, &format!("{place}/share"), &[("email", BOB), ("scope", "view")]).await;
    let told = follow(&browser, &shared).await;
    world.pass(121);
    assert_eq!(undo(&browser, &told).await.status, 409);
    assert_eq!(policies(&world).await.len(), count + 1);
    let later = browser.open(shared.header("location")).await;
    assert!(later.text.contains("Shared: ") && !later.text.contains("name=\"note\""), "{}", later.text);
    world.pass(600);
    assert!(!browser.open(shared.header("location")).await.text.contains("Shared: "));
}

/// By the API of requests (docs/decisions/0053): who asked waits again, by another name; what is not approved is not undone.
#[tokio::test]
async fn a_program_undoes_an_approval() {
    for world in World::each().await {
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        let album = world.resource(&pat, "view").await;
        let ask = async || {
            let ticket = world.ticket(&pat, &album, "view").await;
            world.trade_as_bob("viewer", &ticket, &[("owner_message", "Please.")]).await
        };
        ask().await.refused(403, "request_submitted");
        let list =
            async || world.call("GET", "/uma/access-requests", &pmt, Value::Null).await.ok(200).json.as_array().unwrap().clone();
        let id = list().await[0]["_id"].as_str().unwrap().to_owned();
        let at = format!("/uma/access-requests/{id}");
        world.call("POST", &format!("{at}/undo"), &pmt, Value::Null).await.refused(409, "invalid_request");
        assert_eq!(list().await[0]["state"], "pending");
        world.call("POST", &at, &pmt, json!({"decision": "approve", "remember": true})).await.ok(200);
        let rpt = ask().await.ok(200).get("access_token").to_owned();
        let waits = world.call("POST", &format!("{at}/undo"), &pmt, Value::Null).await;
        let waits = waits.ok(200);
        assert_eq!((waits.get("state"), waits.get("message")), ("pending", "Please."));
        assert_ne!(waits.get("_id"), id);
        assert!(policies(&world).await.is_empty());
        assert_eq!(world.introspect(&pat, &rpt).await, json!({"active": false}));
        assert_eq!(list().await.len(), 1);
        world.call("POST", &format!("{at}/undo"), &pmt, Value::Null).await.refused(404, "not_found");
        // once it would have run out, nobody waits
        let at = format!("/uma/access-requests/{}", waits.get("_id"));
        let forever = json!({"decision": "approve", "expires_at": world.now() + 90 * 86_400});
        world.call("POST", &at, &pmt, forever).await.ok(200);
        world.pass(8 * 86_400);
        let pmt = world.access("manager").await;
        assert_eq!(world.call("POST", &format!("{at}/undo"), &pmt, Value::Null).await.status, 204);
    }
}
