//! Somebody has the cookie of Alice's session at her desk (threat 19): the list of her things, perhaps; her word, never.

use crate::relations::{Desk, Sitting, laboratory};

#[tokio::test]
async fn threat_19_a_stolen_session_signs_nothing_and_takes_no_key_away() {
    let (servers, guarded) = laboratory().await;
    let desk = Desk::start();
    let mut alice = Sitting::of(&desk, "alice").await;
    for place in [&servers[0].issuer, &guarded[0].url] {
        alice.link(place).await;
    }
    let page = alice.open("/keys").await;
    let fields = [("what", "new"), ("passphrase", "correct horse battery"), ("again", "correct horse battery")];
    let page = alice.browser.submit(&page, "/keys", &fields).await.unwrap();
    let page = alice.browser.submit(&page, "/keys", &[("what", "close")]).await.unwrap();
    // from here on it is somebody else who has her cookie, and with it the hidden fields of her pages
    let secret = jose::base64url::encode([7; 32]);
    for (fields, says) in [
        (vec![("what", "register")], "Open the key first"),
        (vec![("what", "passphrase"), ("passphrase", "my own words here"), ("again", "my own words here")], "Open the key first"),
        (vec![("what", "add-passkey"), ("credential", "mine"), ("secret", &*secret)], "Open the key first"),
        (vec![("what", "open-by-passkey"), ("credential", "mine"), ("secret", &*secret)], "opens no key of yours"),
        (vec![("what", "open"), ("passphrase", "")], "do not belong together"),
        (vec![("what", "sign-renewal"), ("passphrase", "guess")], "do not belong together"),
        (vec![("what", "delete")], "Tick that you are sure"),
        (vec![("what", "steal")], "Nothing was asked for"),
    ] {
        let answer = alice.browser.submit(&page, "/keys", &fields).await.unwrap();
        assert!(answer.status == 400 && answer.html.contains(says), "{fields:?}: {}", answer.html);
    }
    let share = alice.open("/share?all=yes").await;
    let fields = [("email", "eve@bar.example"), ("scope", "view"), ("sign", "yes"), ("step", "review")];
    let review = alice.browser.submit(&share, "/share", &fields).await.unwrap();
    let signed = alice.browser.submit(&review, "/share", &[("step", "confirm"), ("passphrase", "guess")]).await.unwrap();
    assert_eq!(signed.status, 400, "{}", signed.html);
    // guesses end soon, for whoever makes them
    for _ in 0..10 {
        alice.browser.submit(&page, "/keys", &[("what", "open"), ("passphrase", "guess")]).await.unwrap();
    }
    let answer = alice.browser.submit(&page, "/keys", &fields_of("correct horse battery")).await.unwrap();
    assert!(answer.html.contains("Too many wrong tries"), "{}", answer.html);
    // and a form without the page's own field is nobody's
    let url = format!("{}/keys?", desk.url);
    assert_eq!(crate::gateway::raw(outbound::Method::POST, &url, &[]).await.status.as_u16(), 303, "to the log-in");
}

fn fields_of(passphrase: &str) -> [(&str, &str); 2] {
    [("what", "open"), ("passphrase", passphrase)]
}
