//! What a browser remembers of log-ins, and what that is good for (threat 46).

use crate::oauth::Browser;
use crate::world::World;

/// One log-in makes one known browser, however often it is asked for.
#[tokio::test]
async fn threat_46_s08_a_session_makes_one_known_browser() {
    let world = World::limited(4).await;
    let alice = Browser::new(&world);
    alice.log_in("alice").await;
    let session = alice.cookies.borrow().iter().find(|(name, _)| name == "wl_session").unwrap().1.clone();
    let mut marks = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let page = world.send("GET", "/account", &[("cookie", &format!("wl_session={session}"))], "").await;
        let cookies = page.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok()?.split(';').next());
        marks.extend(cookies.filter(|cookie| cookie.starts_with("wl_known=")).map(str::to_owned));
    }
    assert_eq!(marks.len(), 1, "{marks:?}");
    // and with it there are four tries in a minute, from wherever
    let mark = marks.first().unwrap().strip_prefix("wl_known=").unwrap().to_owned();
    let mut tried = 0;
    for n in 0..8 {
        let thief = Browser::new(&world);
        thief.cookies.borrow_mut().push(("wl_known".into(), mark.clone()));
        world.call_from(format!("10.0.{n}.1").parse().unwrap());
        let page = thief.open("/login").await;
        let answer = thief.submit(&page, "/login", &[("username", "alice"), ("password", "guess")]).await;
        tried += u32::from(answer.status != 429);
    }
    assert_eq!(tried, 4);
    // a new password ends it
    let identity = &world.app.identity;
    let account = identity.store.find_account_by_username("alice").await.unwrap().unwrap();
    let session = identity.find_session(&session).await.unwrap().unwrap();
    assert_eq!(identity.remember_browser(&account, &session, &mark), mark);
    let changed = identity::Account { password_hash: Some("another".into()), ..account };
    let renewed = identity.remember_browser(&changed, &session, &mark);
    assert!(renewed != mark && !renewed.contains('~'), "{renewed}");
}
