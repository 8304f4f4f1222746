//! People who let her decide for them without being asked (threats 36, 46): she accepts or declines it, what she declined is not
//! shown any more, and however many there are, they hide nobody whom she accepted.

use crate::desk::{Desk, Sitting};
use crate::party::Party;
use crate::world::START;
use serde_json::{Value, json};

const GIVEN: &str = "GET /delegations?role=delegate&limit=1000";

fn given(owner: &str, name: &str) -> Value {
    json!({"_id": format!("d-{owner}"), "delegate": {"email": "alice@foo.example"}, "resources": "all", "resource_scopes": ["view"],
        "may": ["approve", "share"], "owner": owner, "owner_name": name, "expires_at": START + 1_000_000})
}

/// What waits in the place of somebody.
fn has_request(party: &Party, owner: &str) {
    let request = json!({"_id": format!("q-{owner}"), "state": "pending", "created": START, "expires_at": START + 1_000_000,
        "client": {"client_id": "viewer"}, "requesting_party": {"email": format!("asks-{owner}@bar.example")},
        "permissions": [{"resource_id": "r", "resource_scopes": ["view"]}]});
    party.answers(&format!("GET /requests?owner={owner}&limit=1000"), 200, json!([request]));
    party.answers(&format!("GET /resources?owner={owner}&limit=1000"), 200, json!([]));
}

async fn read_again(desk: &Desk, alice: &mut Sitting<'_>) {
    desk.clock.pass(20);
    alice.read().await;
}

#[tokio::test]
async fn threat_36_what_is_given_unasked_is_an_offer() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let party = Party::start().await;
    party.answers(GIVEN, 200, json!([given("carol", "Carol"), given("mallory", "Mallory \u{202e}evil")]));
    for owner in ["carol", "mallory"] {
        has_request(&party, owner);
    }
    alice.link(&party.url, &party).await;
    read_again(&desk, &mut alice).await;
    let page = alice.get("/delegations").await;
    assert!(page.text.contains("“Carol” lets you answer requests and share for them"), "{}", page.text);
    assert!(page.text.contains("You may decide for Carol") && !page.text.contains('\u{202e}'), "{}", page.text);
    assert!(alice.get("/requests").await.text.contains("asks-carol"));
    let offers = alice.json("/api/offers").await;
    assert_eq!(offers.as_array().unwrap().len(), 2, "{offers}");
    // one is taken up, the other declined, by form and by program
    let link = page.field("link");
    for (owner, answer, status) in [("nobody", "accept", 400), ("carol", "perhaps", 400), ("carol", "accept", 303)] {
        assert_eq!(
            alice.post("/offers", &[("link", &link), ("owner", owner), ("answer", answer)]).await.status,
            status,
            "{owner} {answer}"
        );
    }
    let csrf = alice.csrf().await;
    let call = json!({"server": link, "owner": "mallory", "answer": "decline"}).to_string();
    let answer = alice.send("POST", "/api/offers", &[("content-type", "application/json"), ("x-csrf-token", &csrf)], call).await;
    assert_eq!((answer.status, answer.json()), (200, json!([])), "{}", answer.text);
    let is_as_answered = async |alice: &mut Sitting<'_>| {
        let page = alice.get("/delegations").await;
        assert!(page.text.contains("You may decide for Carol") && !page.text.contains("Mallory"), "{}", page.text);
        let page = alice.get("/requests").await;
        assert!(page.text.contains("asks-carol") && !page.text.contains("asks-mallory"), "{}", page.text);
    };
    is_as_answered(&mut alice).await;
    read_again(&desk, &mut alice).await;
    is_as_answered(&mut alice).await;
    // it stays so when the server is linked again
    alice.link(&party.url, &party).await;
    read_again(&desk, &mut alice).await;
    is_as_answered(&mut alice).await;
    // and what was taken up can be put away again
    assert_eq!(alice.post("/offers", &[("link", &link), ("owner", "carol"), ("answer", "decline")]).await.status, 303);
    for _ in 0..2 {
        let page = alice.get("/delegations").await;
        assert!(!page.text.contains("Carol"), "{}", page.text);
        assert!(!alice.get("/requests").await.text.contains("asks-carol"));
        read_again(&desk, &mut alice).await;
    }
}

#[tokio::test]
async fn threat_46_offers_without_end_hide_nobody_whom_she_decides_for() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let party = Party::start().await;
    let crowd = |count: usize| (0..count).map(|n| given(&format!("a{n:04}"), "Somebody"));
    party.answers(GIVEN, 200, json!([given("zoe", "Zoe")]));
    has_request(&party, "zoe");
    alice.link(&party.url, &party).await;
    read_again(&desk, &mut alice).await;
    let link = alice.get("/delegations").await.field("link");
    assert_eq!(alice.post("/offers", &[("link", &link), ("owner", "zoe"), ("answer", "accept")]).await.status, 303);
    party.answers(GIVEN, 200, crowd(1_000).chain([given("zoe", "Zoe")]).collect());
    party.asked();
    read_again(&desk, &mut alice).await;
    let page = alice.get("/delegations").await;
    assert!(page.text.contains("You may decide for Zoe") && page.text.contains("and 800 more: answer"), "{}", page.text);
    assert!(alice.get("/requests").await.text.contains("asks-zoe"));
    // two lists of each of ten who are strangers to her
    assert_eq!(party.asked().iter().filter(|asked| asked.what.contains("owner=a")).count(), 20);
    // where her things cannot be read, what was read before stays, and she is told
    party.answers("GET /resources?owner=zoe&limit=1000", 500, Value::Null);
    read_again(&desk, &mut alice).await;
    assert!(alice.get("/requests").await.text.contains("asks-zoe"));
    assert!(alice.get("/delegations").await.text.contains("could not be read just now"));
    // what she takes up herself is bounded as well, and that is said
    let many: Vec<String> = (0..50).map(|n| format!("a{n:04}")).collect();
    let fields: Vec<(&str, &str)> = many.iter().map(|owner| ("owner", owner.as_str())).collect();
    let page = alice.post("/offers", &[&[("link", link.as_str()), ("answer", "accept")], &fields[..]].concat()).await;
    assert!(page.status == 400 && page.text.contains("You decide for 50 people there"), "{}", page.text);
    let page = alice.post("/offers", &[&[("link", link.as_str()), ("answer", "decline")], &fields[..]].concat()).await;
    assert_eq!(page.status, 303, "{}", page.text);
    assert!(alice.get("/delegations").await.text.contains("and 750 more"));
}

/// Whoever nobody asked, and does not answer, keeps nothing that is hers from being read; and is read in part.
#[tokio::test]
async fn threat_46_strangers_who_offer_to_let_her_decide_come_after_what_is_hers() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let party = Party::start().await;
    party.answers(GIVEN, 200, json!([given("mallory", "Mallory")]));
    let things: Vec<Value> = (0..300)
        .map(|n| json!({"_id": format!("r{n:03}"), "resource_server": "s", "name": format!("Thing {n}"), "resource_scopes": ["view"]}))
        .collect();
    has_request(&party, "mallory");
    party.answers("GET /resources?owner=mallory&limit=1000", 200, json!(things));
    alice.link(&party.url, &party).await;
    read_again(&desk, &mut alice).await;
    party.asked();
    read_again(&desk, &mut alice).await;
    let asked: Vec<String> = party.asked().into_iter().map(|asked| asked.what).collect();
    let at = |what: &str| asked.iter().position(|asked| asked.starts_with(what)).unwrap_or_else(|| panic!("{what}: {asked:?}"));
    let first = at("GET /resources?owner=mallory");
    assert!(at("GET /requests?limit") < first && at("GET /policies?role=requesting_party") < first, "{asked:?}");
    let things = |text: &str| text.matches("name=\"thing\"").count();
    assert_eq!(things(&alice.get("/for-others").await.text), 100, "the first of them");
    // whom she accepts is read whole; the page shows some of it
    let link = alice.get("/delegations").await.field("link");
    assert!(!alice.get("/delegations").await.text.contains("Put it away"), "she has not taken it up");
    assert_eq!(alice.post("/offers", &[("link", &link), ("owner", "mallory"), ("answer", "accept")]).await.status, 303);
    read_again(&desk, &mut alice).await;
    let page = alice.get("/for-others").await;
    assert!(things(&page.text) == 200 && page.text.contains("and 100 more"), "{}", things(&page.text));
    assert!(alice.get("/delegations").await.text.contains("Put it away"));
}

/// Fifty people for whom she decided have ended that: there is room for others, and an answer is changed whenever she likes.
#[tokio::test]
async fn threat_46_whoever_lets_her_decide_no_more_takes_no_place() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let party = Party::start().await;
    let crowd = |from: usize| (from..from + 50).map(|n| given(&format!("a{n:04}"), "Somebody")).collect::<Value>();
    party.answers(GIVEN, 200, crowd(0));
    alice.link(&party.url, &party).await;
    read_again(&desk, &mut alice).await;
    let link = alice.get("/delegations").await.field("link");
    let owners: Vec<String> = (0..50).map(|n| format!("a{n:04}")).collect();
    let fields: Vec<(&str, &str)> = owners.iter().map(|owner| ("owner", owner.as_str())).collect();
    let page = alice.post("/offers", &[&[("link", link.as_str()), ("answer", "accept")], &fields[..]].concat()).await;
    assert_eq!(page.status, 303, "{}", page.text);
    // a list that is not read whole says nothing of who is gone
    party.answers(GIVEN, 200, json!([given("b", "B"), 7]));
    read_again(&desk, &mut alice).await;
    let accept = [("link", link.as_str()), ("owner", "b"), ("answer", "accept")];
    assert_eq!(alice.post("/offers", &accept).await.status, 400);
    party.answers(GIVEN, 200, json!([given("b", "B")]));
    read_again(&desk, &mut alice).await;
    assert_eq!(alice.post("/offers", &accept).await.status, 303);
}
