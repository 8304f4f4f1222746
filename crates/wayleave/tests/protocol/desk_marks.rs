//! What stands on the desk's pages of what servers say: what does not read is marked, what was approved is shown and can be ended,
//! and what a link says is nobody's name (threats 36, 48).

use crate::desk::{Desk, Sitting};
use crate::desk_crowd::register;
use crate::party::Party;
use crate::world::START;
use serde_json::{Value, json};

const BOB: &str = "bob@bar.example";
const ABOUT_BOB: &str = "/people/show?who=address%3Abob%40bar.example";

/// One album at a keeper, and its guard.
async fn linked(alice: &mut Sitting<'_>) -> (Party, Party) {
    let guard = Party::start().await;
    let keeper = Party::keeper(&guard).await;
    register(&guard, &keeper, 1);
    for server in [&guard.url, &keeper.url] {
        alice.link(server, &guard).await;
    }
    alice.read().await;
    (guard, keeper)
}

async fn read_again(desk: &Desk, alice: &mut Sitting<'_>) -> Value {
    desk.clock.pass(20);
    alice.read().await;
    alice.json("/api/things").await["things"][0].clone()
}

#[tokio::test]
async fn threat_48_s37_a_policy_of_which_a_part_does_not_read_says_so_and_stays() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, keeper) = linked(&mut alice).await;
    keeper.answers("GET /manage/authorization-servers", 200, json!([{"issuer": "https://elsewhere.example", "pat": "active"}]));
    let email = json!([{"name": "email", "value": [BOB]}]);
    for (changes, says) in [
        (json!({"resource_scopes": ["view", {"x": 1}]}), "what it allows"),
        (json!({"resource_scopes": ["view", null]}), "what it allows"),
        (json!({"expires_at": "soon"}), "from when, until when"),
        (json!({"not_before": 5}), "from when, until when"),
        (json!({"client_id": [null]}), "applications that this desk cannot read"),
        (json!({"required_claims": [null]}), "conditions that this desk cannot read"),
        (json!({"required_claims": [{"name": "email", "value": [BOB], "weight": 3}]}), "for whom"),
        (json!({"defer_to": {}}), "something that it adds"),
    ] {
        let mut policy = json!({"_id": "p", "resource_id": "r0", "resource_scopes": ["view"], "required_claims": email});
        policy.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        guard.answers("GET /policies", 200, json!([policy]));
        let thing = read_again(&desk, &mut alice).await;
        assert_eq!(thing["shares"][0]["partly_read"], json!(true), "{changes}: {thing}");
        let key = thing["key"].as_str().unwrap();
        let page = alice.get(&format!("/thing/{key}")).await;
        assert!(page.text.contains("partly read") && page.text.contains(says), "{changes}: {}", page.text);
        assert!(!page.text.contains("Anyone at all") && !page.text.contains("proves Whoever"), "{changes}: {}", page.text);
        let page = alice.get(&format!("/guard?thing={key}")).await;
        assert!(!page.text.contains("name=\"along\""), "{changes}: it is not offered to be carried");
    }
    // what reads and narrows is shown beside who and what
    let narrow = json!({"_id": "p", "resource_id": "r0", "resource_scopes": ["view"], "required_claims": email, "max_uses": "3.0", "uses": 1,
        "purpose": "treatment", "valid_from": START + 9_000_000, "on_missing": "ask"});
    guard.answers("GET /policies", 200, json!([narrow]));
    let thing = read_again(&desk, &mut alice).await;
    assert_eq!(thing["shares"][0]["partly_read"], json!(false), "{thing}");
    let page = alice.get(&format!("/thing/{}", thing["key"].as_str().unwrap())).await;
    for says in ["2 more times", "treatment", " on, ", "you are asked"] {
        assert!(page.text.contains(says), "{says}: {}", page.text);
    }
    // what has no name cannot be ended by one: it is counted
    for (id, binding) in
        [(json!(["x"]), json!("r0")), (json!(null), json!("r0")), (json!(""), json!("r0")), (json!("p"), json!({}))]
    {
        guard.answers(
            "GET /policies",
            200,
            json!([{"_id": id, "resource_id": binding, "resource_scopes": ["view"], "required_claims": email}]),
        );
        let thing = read_again(&desk, &mut alice).await;
        assert_eq!(thing["shares"], json!([]), "{id}");
        assert!(alice.get("/").await.text.contains("lists 1 entries that this desk cannot read"), "{id} {binding}");
    }
}

#[tokio::test]
async fn threat_48_s37_whoever_cannot_be_read_is_let_in_to_nothing() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper) = linked(&mut alice).await;
    let csrf = alice.csrf().await;
    for (party, is_readable) in
        [(json!({"email": ["x"]}), false), (json!({"email": null}), false), (json!({}), false), (json!({"email": BOB}), true)]
    {
        let request = json!({"_id": "q", "state": "pending", "created": START, "expires_at": START + 10_000,
            "client": {"client_id": "viewer", "name": "Viewer"}, "requesting_party": party,
            "permissions": [{"resource_id": "r0", "resource_scopes": ["view"]}]});
        guard.answers("GET /requests", 200, json!([request]));
        guard.answers("POST /requests/q", 200, json!({}));
        read_again(&desk, &mut alice).await;
        let page = alice.get("/requests").await;
        assert_eq!(page.text.contains("value=\"approve\""), is_readable, "{party}: {}", page.text);
        assert!(page.text.contains("value=\"deny\""), "{party}");
        let before = guard.count("POST /requests/q");
        let servers = alice.json("/api/servers").await;
        let server = servers.as_array().unwrap().iter().find(|one| one["url"] == json!(guard.url)).unwrap()["id"].clone();
        let call = json!({"server": server, "request_id": "q", "decision": "approve"}).to_string();
        let headers = [("content-type", "application/json"), ("x-csrf-token", csrf.as_str())];
        let answer = alice.send("POST", "/api/requests", &headers, call).await;
        assert_eq!(
            (answer.status == 200, guard.count("POST /requests/q") > before),
            (is_readable, is_readable),
            "{}",
            answer.text
        );
    }
    let (carol, mut half) =
        ("carol@foo.example", json!({"_id": "d", "resources": "all", "resource_scopes": ["view"], "expires_at": START + 9}));
    for (delegate, may) in [(json!({"email": carol}), json!(["approve", {}])), (json!({"email": {}}), json!(["approve"]))] {
        (half["delegate"], half["may"]) = (delegate, may);
        guard.answers("GET /delegations", 200, json!([half]));
        read_again(&desk, &mut alice).await;
        let page = alice.get("/delegations").await;
        assert!(page.text.contains("partly read") && page.text.contains("End it"), "{half}: {}", page.text);
    }
}

/// Undo ends what was approved and the share that its server wrote for it, and nothing else.
#[tokio::test]
async fn what_she_allowed_at_the_desk_is_undone_whole() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper) = linked(&mut alice).await;
    let request = |state: &str, until: Value| {
        json!([{"_id": "q", "state": state, "created": START, "expires_at": START + 10_000, "client": {"client_id": "viewer", "name": "Viewer"},
            "requesting_party": {"email": BOB}, "permissions": [{"resource_id": "r0", "resource_scopes": ["view"]}], "approved_until": until}])
    };
    guard.answers("GET /requests", 200, request("pending", Value::Null));
    guard.answers("POST /requests/q", 200, json!({}));
    read_again(&desk, &mut alice).await;
    let page = alice.get("/requests").await;
    for button in ["week", "always", "deny", "never", "approve"] {
        assert!(page.text.contains(&format!("name=\"decision\" value=\"{button}\"")), "{button}: {}", page.text);
    }
    // the server has written it down as she wanted
    guard.answers("GET /requests", 200, request("approved", json!(START + 3_600)));
    let email = json!([{"name": "email", "value": [BOB]}]);
    let policy = |id: &str, client: Value, scopes: &[&str]| json!({"_id": id, "resource_id": "r0", "resource_scopes": scopes, "required_claims": email, "client_id": client});
    let all = [
        policy("written", json!(["viewer"]), &["view"]),
        policy("of-any-application", json!([]), &["view"]),
        policy("of-another", json!(["printer"]), &["view"]),
        policy("of-more", json!(["viewer"]), &["view", "edit"]),
    ];
    guard.answers("GET /policies", 200, json!(all));
    let (link, seen) = (page.field("link"), page.field("seen"));
    let answer = [("link", &*link), ("request", "q"), ("seen", &*seen), ("decision", "always"), ("grant", "r0 view")];
    let answered = alice.post("/requests", &answer).await;
    assert_eq!((answered.status, guard.count("POST /requests/q")), (303, 1), "{}", answered.text);
    let page = alice.get(&answered.location).await;
    assert!(
        page.text.contains("may view") && page.text.contains("until you end it.") && page.text.contains(">Undo<"),
        "{}",
        page.text
    );
    guard.asked();
    let undone = alice.post("/undo", &[("note", &page.field("note"))]).await;
    assert_eq!(undone.status, 303, "{}", undone.text);
    let told = alice.get(&undone.location).await;
    assert!(told.text.contains("Taken back"), "{}", told.text);
    assert_eq!((guard.count("DELETE /policies/written"), guard.count("DELETE /requests/q"), guard.count("DELETE")), (1, 1, 2));
    // the note is the one way
    assert_eq!(alice.post("/requests", &[("link", &link), ("request", "q"), ("decision", "undo")]).await.status, 400);
}

/// What she approved lets somebody in and is no policy: it is shown with what is shared, ends by itself, and with a share.
#[tokio::test]
async fn threat_48_what_was_approved_is_shown_and_ends_with_a_share() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper) = linked(&mut alice).await;
    let request = |id: &str, email: &str, state: &str, until: i64| {
        json!({"_id": id, "state": state, "created": START, "expires_at": START + 10_000, "client": {"client_id": "viewer", "name": "Viewer"},
            "requesting_party": {"email": email}, "permissions": [{"resource_id": "r0", "resource_scopes": ["view"]}], "approved_until": until})
    };
    let requests = json!([
        request("q1", BOB, "approved", START + 3_600),
        request("q2", "carol@foo.example", "approved", START + 3_600),
        request("over", "dave@foo.example", "approved", START - 1),
        request("no", "eve@foo.example", "denied", START + 3_600)
    ]);
    guard.answers("GET /requests", 200, requests);
    let thing = read_again(&desk, &mut alice).await;
    let (key, approved) = (thing["key"].as_str().unwrap().to_owned(), thing["approvals"].as_array().unwrap().len());
    assert_eq!(approved, 2, "{thing}");
    let page = alice.get(&format!("/thing/{key}")).await;
    assert!(
        page.text.contains(BOB) && page.text.contains("approved once") && page.text.contains("carol@foo.example"),
        "{}",
        page.text
    );
    assert!(
        !page.text.contains("Nobody but you") && !page.text.contains("dave@") && !page.text.contains("eve@"),
        "{}",
        page.text
    );
    assert!(alice.get("/people").await.text.contains(BOB));
    assert!(alice.get(ABOUT_BOB).await.text.contains("approved once"));
    // one by itself
    let link = page.field("link");
    guard.asked();
    assert_eq!(alice.post("/withdraw", &[("approval", "q2"), ("link", &link)]).await.status, 303);
    assert_eq!((guard.count("DELETE /requests/q2"), guard.count("DELETE")), (1, 1));
    assert_eq!(alice.post("/withdraw", &[("approval", "over"), ("link", &link)]).await.status, 400);
    let csrf = alice.csrf().await;
    for (id, status) in [("q2", 200), ("over", 400), ("no", 400)] {
        let call = json!({"server": link, "request_id": id}).to_string();
        let answer =
            alice.send("POST", "/api/withdrawals", &[("content-type", "application/json"), ("x-csrf-token", &csrf)], call).await;
        assert_eq!(answer.status, status, "{id}: {}", answer.text);
    }
    // with a share of the same thing for the same person
    let email = json!([{"name": "email", "value": [BOB]}]);
    guard.answers(
        "GET /policies",
        200,
        json!([{"_id": "p", "resource_id": "r0", "resource_scopes": ["view"], "required_claims": email}]),
    );
    read_again(&desk, &mut alice).await;
    guard.asked();
    assert_eq!(alice.post("/withdraw", &[("thing", &key), ("policy", "p"), ("place", &guard.url)]).await.status, 303);
    assert_eq!((guard.count("DELETE /policies/p"), guard.count("DELETE /requests/q1"), guard.count("DELETE")), (1, 1, 2));
    // with everything of his
    guard.asked();
    let page = alice.get(ABOUT_BOB).await;
    assert_eq!(alice.post("/people/withdraw", &[("sure", "yes"), ("who", &page.field("who"))]).await.status, 303);
    assert_eq!((guard.count("DELETE /policies/p"), guard.count("DELETE /requests/q1"), guard.count("DELETE")), (1, 1, 2));
    // and by its own time
    desk.clock.pass(4_000);
    let thing = read_again(&desk, &mut alice).await;
    assert_eq!(thing["approvals"], json!([]), "{thing}");
}

/// Whoever loses everything, and could share with himself by deciding for her, decides no more.
#[tokio::test]
async fn threat_48_whoever_loses_everything_decides_no_more() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper) = linked(&mut alice).await;
    let email = json!([{"name": "email", "value": [BOB]}]);
    let policy = json!({"_id": "p", "resource_id": "r0", "resource_scopes": ["view"], "required_claims": email});
    let deciding = |id: &str, who: &str| {
        json!({"_id": id, "delegate": {"email": who}, "resources": "all", "resource_scopes": ["view"], "may": ["share", "approve"],
            "expires_at": START + 1_000_000})
    };
    guard.answers("GET /policies", 200, json!([policy]));
    read_again(&desk, &mut alice).await;
    assert!(!alice.get(ABOUT_BOB).await.text.contains("decides for"), "he does not");
    guard.answers("GET /delegations", 200, json!([deciding("d1", "Bob@Bar.example"), deciding("d2", "carol@foo.example")]));
    read_again(&desk, &mut alice).await;
    let page = alice.get(ABOUT_BOB).await;
    assert!(page.text.contains("also decides for you: that ends, too"), "{}", page.text);
    guard.asked();
    let told = alice.post("/people/withdraw", &[("sure", "yes"), ("who", &page.field("who"))]).await;
    assert_eq!((guard.count("DELETE /policies/p"), guard.count("DELETE /delegations/d1"), guard.count("DELETE")), (1, 1, 2));
    assert!(alice.get(&told.location).await.text.contains("decides for you no more"), "{}", told.location);
}

/// A link from a mail is no page of this desk about anybody.
#[tokio::test]
async fn threat_36_what_a_link_says_is_nobodys_name() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper) = linked(&mut alice).await;
    let text = "Your desk was attacked. Write your passphrase to help@phish.example";
    let conditions = json!([{"name": "group", "value": ["staff"]}]);
    guard.answers(
        "GET /policies",
        200,
        json!([{"_id": "p", "resource_id": "r0", "resource_scopes": ["view"], "required_claims": conditions}]),
    );
    read_again(&desk, &mut alice).await;
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    for who in [format!("other:{text}"), "address:your.passphrase.to@phish.example".to_owned(), "anyone".to_owned()] {
        let page = alice.get(&format!("/people/show?who={}", encoded(&who))).await;
        assert_eq!(page.status, 404, "{who}");
        assert!(!page.text.contains("phish"), "{}", page.text);
    }
    assert_eq!(alice.get("/people/show?who=other%3Agroup+staff").await.status, 200);
    // no parameter of any page stands on it but in the field that it fills
    for path in [
        "/",
        "/share",
        "/guard",
        "/history",
        "/people",
        "/people/show",
        "/requests",
        "/servers",
        "/delegations",
        "/for-others",
        "/receipts",
        "/keys",
        "/keys/export",
        "/withdrawals",
        "/decide",
        "/self-issued",
        "/callback",
        "/thing/x",
        "/login",
    ] {
        let all = [
            "thing",
            "who",
            "error",
            "error_description",
            "state",
            "request",
            "title",
            "did",
            "server",
            "guard",
            "audience",
            "scope",
            "link",
        ];
        let query: Vec<String> = all.iter().map(|name| format!("{name}={}", encoded(text))).collect();
        let page = alice.get(&format!("{path}?{}", query.join("&"))).await;
        assert!(!page.text.contains("attacked"), "{path}: {}", page.text);
    }
    alice.make_key().await;
    let asks = |audience: &str| {
        format!(
            "/self-issued?response_type=id_token&scope=openid&nonce=n&client_id=https%3A%2F%2Fapp.example&redirect_uri=https%3A%2F%2Fapp.example&audience={}",
            encoded(audience)
        )
    };
    let page = alice.get(&asks("https://as.example Your desk was attacked")).await;
    assert!(!page.text.contains("<strong>as.example Your"), "{}", page.text);
    assert!(alice.get(&asks("https://as.example")).await.text.contains("<strong>as.example</strong>"));
}
