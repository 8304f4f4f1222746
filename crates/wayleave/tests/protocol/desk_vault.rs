//! Her sealed keys, and whoever finds her session: he takes none of them home to guess at (threat 46).

use crate::desk::{Desk, Sitting};
use crate::desk_lies::linked;
use crate::world::START;
use serde_json::json;

const PASSPHRASE: &str = "correct horse battery";

#[tokio::test]
async fn threat_46_s09_a_sealed_key_goes_to_whoever_has_just_opened_it() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let page = alice.post("/keys", &[("what", "new"), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)]).await;
    assert_eq!(page.status, 303, "{}", page.text);
    let did = alice.get("/keys").await.field("did");
    let export = format!("/keys/export?did={did}");
    assert!(alice.get(&export).await.text.contains("\"sealed\""), "she has just made it");
    // it stays open while she works with it; that is no opening
    desk.clock.pass(200);
    assert!(alice.get("/keys").await.text.contains("It is open"));
    desk.clock.pass(200);
    let page = alice.get(&export).await;
    assert!(page.status == 403 && page.text.contains("<h1>Export your key</h1>") && !page.text.contains("\"sealed\""));
    assert_eq!(page.field("did"), did);
    // nor is it sealed anew meanwhile, for somebody else
    let his = [("what", "passphrase"), ("did", &did), ("passphrase", "his own words of it"), ("again", "his own words of it")];
    assert_eq!(alice.post("/keys", &his).await.status, 400);
    let secret = jose::base64url::encode([3; 32]);
    let his = [("what", "add-passkey"), ("did", did.as_str()), ("credential", "id"), ("secret", &secret), ("name", "his")];
    assert_eq!(alice.post("/keys", &his).await.status, 400);
    // another session of hers has opened nothing
    let mut elsewhere = Sitting::of(&desk, "alice").await;
    assert_eq!(elsewhere.get(&export).await.status, 403);
    let by = |passphrase| [("did", did.clone()), ("passphrase", passphrase)];
    let right = by(PASSPHRASE.to_owned());
    let right: Vec<(&str, &str)> = right.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let page = elsewhere.post("/keys/export", &right).await;
    assert!(page.status == 200 && page.text.contains("\"sealed\""), "{}", page.text);
    for guess in 0..10 {
        let wrong = by(format!("wrong horse battery {guess}"));
        let wrong: Vec<(&str, &str)> = wrong.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(alice.post("/keys/export", &wrong).await.status, 400);
    }
    assert!(alice.post("/keys/export", &right).await.text.contains("Too many wrong tries"));
}

/// That a server has a key already does not say that it is hers there.
#[tokio::test]
async fn threat_36_a_key_counts_where_it_is_listed_as_hers() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper) = linked(&mut alice, 1).await;
    guard.answers("a proof", 409, json!({"error": "invalid_request"}));
    alice.post("/keys", &[("what", "new"), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)]).await;
    let did = alice.get("/keys").await.field("did");
    let register = [("what", "register"), ("did", did.as_str())];
    let page = alice.post("/keys", &register).await;
    assert!(page.text.contains("does not list it as yours"), "{}", page.text);
    let hers = json!([{"_id": "c", "cred_type": "did", "cred_value": {"id": did}, "created": START}]);
    guard.answers("GET /credentials", 200, hers);
    let page = alice.post("/keys", &register).await;
    assert!(page.status < 400 && !page.text.contains("does not list it"), "{}", page.text);
}
