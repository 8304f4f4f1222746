//! An authorization server that Alice linked lists what is not true: that it guards her album, and that she signed what she
//! did not (threat 36). Her desk shows it, and does nothing by it.

use crate::hostile::Foreign;
use crate::relations::{Desk, Sitting, bob_at, laboratory, reads};
use jose::{Algorithm, Clock, SigningKey, SystemClock, did};
use serde_json::json;

const PASSPHRASE: &str = "correct horse battery";

#[tokio::test]
async fn threat_36_s01_s02_what_a_linked_server_lists_is_shown_and_neither_signed_nor_shared_by() {
    let (servers, guarded) = laboratory().await;
    let foreign = Foreign::start().await;
    let now = SystemClock.now();
    let mallory = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let her = did::of_key(mallory.public());
    let forged = json!({"jti": "forged", "iss": her, "resource_owner_id": her, "aud": [guarded[0].url, foreign.issuer],
        "iat": now.plus(-80 * 86_400), "exp": now.plus(10 * 86_400), "allowed_rqp": {"claims": {"email": "mallory@bar.example"}},
        "resources": [{"resource_server": guarded[0].url, "resource_id": "/albums/holiday", "allowed_scopes": ["view"]}]});
    let forged = mallory.sign_as("rot+jwt", &her, &forged).unwrap();
    {
        let mut lists = foreign.lists.lock().unwrap();
        let album = json!([{"_id": "theirs", "resource_server": guarded[0].url, "_resource_id": "/albums/holiday",
            "resource_scopes": ["view", "edit", "print"], "name": "Holiday"}]);
        let policies = json!([{"_id": "forged", "resource_id": "theirs", "resource_scopes": ["view"], "authority": forged,
            "required_claims": [{"name": "email", "value": ["mallory@bar.example"]}], "expires_at": now.plus(10 * 86_400)}]);
        let credentials = json!([{"_id": "c", "cred_type": "did", "cred_value": {"id": her}, "created": 1}]);
        lists.insert("registered_resources_endpoint".into(), album);
        lists.insert("policy_endpoint".into(), policies);
        lists.insert("resource_owner_credentials_endpoint".into(), credentials);
    }
    let desk = Desk::start();
    let mut alice = Sitting::of(&desk, "alice").await;
    for place in [&foreign.issuer, &servers[0].issuer, &guarded[0].url] {
        alice.link(place).await;
    }
    let page = alice.open("/servers").await;
    alice.browser.submit(&page, "/servers/read", &[]).await.unwrap();
    // the album is there once, guarded by the server that its keeper names
    let things = alice.things().await;
    assert_eq!(things.len(), 1, "{things:?}");
    assert_eq!(things[0]["guards"].as_array().unwrap().len(), 1, "{things:?}");
    assert_eq!(things[0]["guards"][0]["issuer"], servers[0].issuer.as_str());
    assert_eq!(things[0]["contradictions"][0]["server"], foreign.issuer.as_str(), "{things:?}");
    assert!(alice.open("/").await.html.contains("says that it guards"));
    // a key: nothing that she did not sign is proposed to be signed anew
    let page = alice.open("/keys").await;
    let fields = [("what", "new"), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)];
    let page = alice.browser.submit(&page, "/keys", &fields).await.unwrap();
    assert!(!page.html.contains("ends soon"), "{}", page.html);
    alice.browser.submit(&page, "/keys", &[("what", "register")]).await.unwrap();
    // what she signs names the keeper and the guard that the keeper names
    let page = alice.open("/share?all=yes").await;
    let fields = [("email", "bob@bar.example"), ("scope", "view"), ("sign", "yes"), ("step", "review")];
    let page = alice.browser.submit(&page, "/share", &fields).await.unwrap();
    assert!(page.html.contains(&servers[0].issuer) && !page.html.contains(&foreign.issuer), "{}", page.html);
    foreign.asked();
    let done = alice.browser.submit(&page, "/share", &[("step", "confirm")]).await.unwrap();
    assert!(done.html.contains("<h1>Shared"), "{}", done.html);
    let rpt = bob_at(&servers[0], &guarded[0], 1).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reads(&guarded[0], &rpt).await, 200);
    // withdrawn where it counts, whatever the other one lists
    let page = alice.open("/people/show?who=address%3Abob%40bar.example").await;
    let page = alice.browser.submit(&page, "/people/withdraw", &[("sure", "yes")]).await.unwrap();
    assert!(page.html.contains("2 of 2 confirmed"), "{}", page.html);
    assert_eq!(reads(&guarded[0], &rpt).await, 401);
}
