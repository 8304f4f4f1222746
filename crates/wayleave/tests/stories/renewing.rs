//! What Alice signed ends soon: her desk proposes to sign it anew when her key is open, and never does so by itself.

use crate::relations::{Desk, Sitting, bob_at, is_out, laboratory, reads};
use jose::{Algorithm, Clock, SigningKey, SystemClock, did};
use outbound::{Method, Request};
use serde_json::{Value, json};

#[tokio::test]
async fn a_signed_share_that_ends_soon_is_proposed_shown_and_signed_anew() {
    let (servers, guarded) = laboratory().await;
    let server = &servers[0];
    let desk = Desk::start();
    let mut alice = Sitting::of(&desk, "alice").await;
    for place in [&server.issuer, &guarded[0].url] {
        alice.link(place).await;
    }
    // signed eighty days ago, by a key that she had then
    let (old_key, owner) = (SigningKey::generate(Algorithm::EdDsa).unwrap(), crate::desk::Desk::open(server).await);
    let (old, now) = (did::of_key(old_key.public()), SystemClock.now());
    let credentials = owner.metadata.resource_owner_credentials_endpoint.clone().unwrap();
    let mut body = json!({"cred_type": "did", "cred_value": {"id": old}});
    let (_, asked) = owner.api(Method::POST, &credentials, &owner.pmt, body.clone()).await.unwrap();
    let claims = json!({"aud": server.issuer, "nonce": asked["challenge"], "iat": now});
    body["proof"] = json!(old_key.sign_as("credential-proof+jwt", &old, &claims).unwrap());
    assert_eq!(owner.api(Method::POST, &credentials, &owner.pmt, body).await.unwrap().0, 201);
    let token = old_key
        .sign_as(
            "rot+jwt",
            &old,
            &json!({"jti": "an-old-one", "iss": old, "resource_owner_id": old, "aud": [guarded[0].url, server.issuer],
                "iat": now.plus(-80 * 86_400), "exp": now.plus(10 * 86_400), "allowed_rqp": {"claims": {"email": "bob@bar.example"}},
                "resources": [{"resource_server": guarded[0].url, "resource_id": "/albums/holiday", "allowed_scopes": ["view"]}]}),
        )
        .unwrap();
    // the server that keeps the album counts that key as hers; what the other one says of keys is nobody's word but its own
    let keeper = crate::choosing::Owner::with(server, &guarded[0]).await;
    let mut body = json!({"cred_type": "did", "cred_value": {"id": old}});
    let (_, asked) = keeper.call(Method::POST, "/my-credentials", body.clone()).await;
    let claims = json!({"aud": guarded[0].url, "nonce": asked["challenge"], "iat": now});
    body["proof"] = json!(old_key.sign_as("credential-proof+jwt", &old, &claims).unwrap());
    assert_eq!(keeper.call(Method::POST, "/my-credentials", body).await.0, 201);
    let policies = owner.metadata.policy_endpoint.clone().unwrap();
    let request = Request { method: Method::POST, body: Some(token.into_bytes()), ..Request::get(&policies) };
    let request = request.header("content-type", "application/rot+jwt").header("authorization", &format!("Bearer {}", owner.pmt));
    let answer = owner.client.outbound.send(request).await.unwrap();
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    let page = alice.open("/servers").await;
    alice.browser.submit(&page, "/servers/read", &[]).await.unwrap();
    // once who keeps it has said whose key that is
    let page = alice.open("/servers").await;
    alice.browser.submit(&page, "/servers/read", &[]).await.unwrap();
    // nothing is proposed while no key is open, and nothing is signed by itself
    assert!(!alice.open("/keys").await.html.contains("ends soon"));
    let page = alice.open("/keys").await;
    let fields = [("what", "new"), ("passphrase", "correct horse battery"), ("again", "correct horse battery")];
    let page = alice.browser.submit(&page, "/keys", &fields).await.unwrap();
    assert!(page.html.contains("What you signed ends soon") && page.html.contains("bob@bar.example, until"), "{}", page.html);
    let page = alice.browser.submit(&page, "/keys", &[("what", "register")]).await.unwrap();
    assert!(
        page.html.contains("Other keys that count for you") && page.html.contains(&old.replace(':', "&#58;"))
            || page.html.contains(&old)
    );
    let page = alice.browser.submit(&page, "/keys", &[("what", "renew")]).await.unwrap();
    assert!(page.html.contains("Exactly what you sign") && page.html.matches("allowed_rqp").count() == 1, "{}", page.html);
    assert!(!page.html.contains("an-old-one"), "a new name: the old one can be withdrawn by itself");
    let page = alice.browser.submit(&page, "/keys", &[("what", "sign-renewal")]).await.unwrap();
    assert!(!page.html.contains("ends soon"), "{}", page.html);
    let (_, left) = owner.api(Method::GET, &policies, &owner.pmt, Value::Null).await.unwrap();
    assert!(left.as_array().unwrap().len() == 1 && left[0]["_id"] != "an-old-one", "{left}");
    assert!(left[0]["expires_at"].as_i64().unwrap() > now.plus(80 * 86_400).0);
    let rpt = bob_at(server, &guarded[0], 1).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reads(&guarded[0], &rpt).await, 200);
    // the old key is lost: it counts nowhere any more. Then hers, too, and all that it signed
    let page = alice.open("/keys").await;
    let unsure = alice.browser.submit(&page, "/keys", &[("what", "withdraw")]).await.unwrap();
    assert_eq!(unsure.status, 400);
    let gone = alice.browser.submit(&page, "/keys", &[("what", "withdraw"), ("sure", "yes")]).await.unwrap();
    assert!(gone.html.contains("2 of 2 confirmed") && gone.html.contains("counts no more"), "{}", gone.html);
    is_out(&guarded[0], &rpt).await;
}
