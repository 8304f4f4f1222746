//! Servers that lie about what she signed, ask for one thing and mean another, or answer in ways of their own (threats 36, 39).

use crate::desk::{Desk, Page, Sitting, until};
use crate::desk_crowd::register;
use crate::party::Party;
use crate::world::START;
use serde_json::{Value, json};

pub(crate) const BOB: &str = "bob@bar.example";
pub(crate) const ABOUT_BOB: &str = "/people/show?who=address%3Abob%40bar.example";

/// Albums at a keeper that this desk is linked to, with their guard.
pub(crate) async fn linked(alice: &mut Sitting<'_>, count: usize) -> (Party, Party) {
    let guard = Party::start().await;
    let keeper = Party::keeper(&guard).await;
    register(&guard, &keeper, count);
    for server in [&guard.url, &keeper.url] {
        alice.link(server, &guard).await;
    }
    alice.read().await;
    (guard, keeper)
}

/// Shares everything with Bob by her signature: what was posted.
pub(crate) async fn sign(alice: &mut Sitting<'_>, guard: &Party) -> Vec<String> {
    alice.make_key().await;
    guard.asked();
    let fields = [("all", "yes"), ("email", BOB), ("scope", "view"), ("sign", "yes")];
    let page = alice.post("/share", &[&fields[..], &[("step", "review")]].concat()).await;
    let (prepared, did) = (page.field("prepared"), page.field("did"));
    let page =
        alice.post("/share", &[&fields[..], &[("step", "confirm"), ("prepared", &prepared), ("did", &did)]].concat()).await;
    assert!(page.text.contains("<h1>Shared"), "{}", page.text);
    guard.asked().into_iter().filter(|asked| asked.what == "POST /policies").map(|asked| asked.body).collect()
}

pub(crate) fn claims_of(token: &str) -> Value {
    serde_json::from_slice(&jose::base64url::decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn threat_36_s03_a_guard_that_lies_about_what_she_signed_changes_nothing() {
    let lies: [(&str, fn(&str, &str) -> Value, bool); 8] = [
        ("leaves it out", |_, _| json!([]), true),
        (
            "shows it without what she signed",
            |jti, _| {
                json!([{"_id": jti, "resource_id": "r0", "resource_scopes": ["view"],
            "required_claims": [{"name": "email", "value": [BOB]}]}])
            },
            true,
        ),
        (
            "gives it another name",
            |_, text| {
                json!([{"_id": "other", "resource_id": "r0", "resource_scopes": ["view"], "authority": text,
            "required_claims": [{"name": "email", "value": [BOB]}], "expires_at": START + 9}])
            },
            false,
        ),
        (
            "shows it twice",
            |_, text| {
                json!([{"_id": "a", "resource_id": "r0", "resource_scopes": ["view"], "authority": text},
            {"_id": "b", "resource_id": "r0", "resource_scopes": ["view"], "authority": text}])
            },
            true,
        ),
        (
            "alters the text",
            |jti, text| {
                json!([{"_id": jti, "resource_id": "r0", "resource_scopes": ["view"],
            "authority": format!("{}AAAA", &text[..text.len() - 4])}])
            },
            true,
        ),
        (
            "shows it as over",
            |jti, text| {
                json!([{"_id": jti, "resource_id": "r0", "resource_scopes": ["view"], "authority": text,
            "required_claims": [{"name": "email", "value": [BOB]}], "expires_at": 1, "state": "expired"}])
            },
            false,
        ),
        (
            "shows it for somebody else",
            |jti, text| {
                json!([{"_id": jti, "resource_id": "r0", "resource_scopes": ["view", "edit"],
            "authority": text, "required_claims": [{"name": "email", "value": ["mallory@bar.example"]}]}])
            },
            true,
        ),
        (
            "shows it on another thing",
            |jti, text| json!([{"_id": jti, "resource_id": "r1", "resource_scopes": ["view"], "authority": text}]),
            true,
        ),
    ];
    for (lie, list, is_told) in lies {
        let desk = Desk::open().await;
        let mut alice = Sitting::of(&desk, "alice").await;
        let (guard, keeper) = linked(&mut alice, 1).await;
        let signed = sign(&mut alice, &guard).await;
        let claims = claims_of(&signed[0]);
        let jti = claims["jti"].as_str().unwrap();
        guard.answers("GET /policies", 200, list(jti, &signed[0]));
        desk.clock.pass(30);
        alice.read().await;
        // it is shown as she signed it, once, and what differs is told
        let thing = &alice.json("/api/things").await["things"][0];
        let shares = thing["shares"].as_array().unwrap();
        assert_eq!(shares.len(), 1, "{lie}: {thing}");
        assert_eq!(
            (&shares[0]["signed"], &shares[0]["who"], &shares[0]["resource_scopes"]),
            (&json!(true), &json!(BOB), &json!(["view"])),
            "{lie}: {thing}"
        );
        assert_eq!(!thing["contradictions"].as_array().unwrap().is_empty(), is_told, "{lie}: {thing}");
        // it is taken back by its own name, where it counts
        keeper.asked();
        guard.asked();
        let page = alice.get(ABOUT_BOB).await;
        assert_eq!(alice.post("/people/withdraw", &[("sure", "yes"), ("who", &page.field("who"))]).await.status, 303);
        let told: Vec<Value> = keeper
            .asked()
            .into_iter()
            .filter(|asked| asked.what == "POST /manage/my-withdrawn-tokens")
            .map(|asked| serde_json::from_str(&asked.body).unwrap())
            .collect();
        assert_eq!(told, [json!({"jti": jti, "exp": claims["exp"]})], "{lie}");
        assert_eq!(guard.count(&format!("DELETE /policies/{jti}")), 1, "{lie}");
        assert!(!alice.get("/people").await.text.contains(BOB), "{lie}");
    }
}

/// A request for a policy, as the guard signs it; and the form that Alice is shown.
fn request_by(guard: &Party, sub: &str, jti: &str, resources: &Value) -> String {
    let claims = json!({"iss": guard.url, "aud": crate::desk::DESK, "sub": sub, "jti": jti, "iat": START, "exp": START + 300,
        "client": {"client_id": "viewer", "name": "Viewer", "verified": false}, "client_host": "viewer.example", "resources": resources,
        "resource_scopes": ["view"], "required_claims": [{"name": "email", "value": [BOB]}], "ticket_challenge": "t",
        "return_uri": format!("{}/back", guard.url)});
    guard.signs("policy-request+jwt", &claims)
}

fn sub_of(guard: &Party) -> String {
    let asked = guard.asked().into_iter().find(|asked| asked.what == "POST /managers").unwrap();
    serde_json::from_str::<Value>(&asked.body).unwrap()["sub"].as_str().unwrap().to_owned()
}

async fn shown(alice: &mut Sitting<'_>, request: &str) -> Page {
    let page = alice.get(&format!("/decide?request={request}")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    page
}

#[tokio::test]
async fn threat_36_s05_what_is_written_is_what_she_was_shown_once() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper) = linked(&mut alice, 3).await;
    let sub = sub_of(&guard);
    let request = request_by(&guard, &sub, "one", &json!(["r0", "r1", "nobody-knows-this"]));
    let page = shown(&mut alice, &request).await;
    let seen = page.field("shown");
    let posts =
        |guard: &Party| guard.asked().into_iter().filter(|asked| asked.what.starts_with("POST /policies")).collect::<Vec<_>>();
    let approve = |request: &str, seen: &str| {
        vec![
            ("request".to_owned(), request.to_owned()),
            ("shown".to_owned(), seen.to_owned()),
            ("decision".to_owned(), "approve".to_owned()),
        ]
    };
    let send = async |sitting: &mut Sitting<'_>, fields: Vec<(String, String)>| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        sitting.post("/decide", &fields).await
    };
    // another request under the same name of what was shown; nothing that was shown; something made up
    let other = request_by(&guard, &sub, "two", &json!(["r0", "r1", "r2"]));
    for (request, seen) in [(&other, seen.as_str()), (&request, ""), (&request, "made-up")] {
        assert_eq!(send(&mut alice, approve(request, seen)).await.status, 400);
    }
    // another session, her own and somebody else's
    let mut again = Sitting::of(&desk, "alice").await;
    let mut carol = Sitting::of(&desk, "carol").await;
    for sitting in [&mut again, &mut carol] {
        assert_eq!(send(sitting, approve(&request, &seen)).await.status, 400);
    }
    assert!(posts(&guard).is_empty());
    // the thing is another one meanwhile
    let mut things: Value = serde_json::from_str(&guard.said("GET /resources")).unwrap();
    things[0]["resource_scopes"] = json!(["edit"]);
    let before = guard.said("GET /resources");
    guard.answers("GET /resources", 200, things.clone());
    things.as_array_mut().unwrap().remove(0);
    guard.answers("GET /resources", 200, things);
    desk.clock.pass(20);
    alice.read().await;
    assert_eq!(send(&mut alice, approve(&request, &seen)).await.status, 400);
    assert!(posts(&guard).is_empty());
    guard.answers("GET /resources", 200, serde_json::from_str(&before).unwrap());
    desk.clock.pass(20);
    alice.read().await;
    // as it was shown: both things that it named, and no third
    let seen = shown(&mut alice, &request).await.field("shown");
    // a passphrase that was mistyped is no answer yet
    let mistyped = [approve(&request, &seen), vec![("prepared".into(), "x".into())]].concat();
    assert_eq!(send(&mut alice, mistyped).await.status, 400);
    let answer = send(&mut alice, approve(&request, &seen)).await;
    assert_eq!((answer.status, answer.location), (303, format!("{}/back", guard.url)), "{}", answer.text);
    let written = posts(&guard);
    assert_eq!(written.len(), 1);
    let written: Value = serde_json::from_str(&written[0].body).unwrap();
    let ids: Vec<&str> = written.as_array().unwrap().iter().map(|one| one["resource_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["r0", "r1"]);
    assert!(
        written
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["client_id"] == json!(["viewer"]) && one["resource_scopes"] == json!(["view"]))
    );
    // once
    assert_eq!(send(&mut alice, approve(&request, &seen)).await.status, 400);
    assert!(posts(&guard).is_empty());
}

/// What is registered while two servers are read one after the other contradicts nobody; a lie stays one.
#[tokio::test(flavor = "multi_thread")]
async fn threat_36_s02_what_was_just_registered_is_no_contradiction() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, keeper) = linked(&mut alice, 1).await;
    keeper.hangs("GET /manage/my-resources");
    register(&guard, &keeper, 2);
    desk.clock.pass(20);
    alice.read().await;
    let doubts = async |alice: &mut Sitting<'_>| alice.get("/").await.text.matches("says that it guards").count();
    assert!(guard.count("GET /resources") >= 2);
    assert_eq!(doubts(&mut alice).await, 0, "the keeper has not been asked since");
    keeper.release();
    desk.clock.pass(20);
    alice.read().await;
    assert_eq!(doubts(&mut alice).await, 0);
    assert_eq!(alice.json("/api/things").await["total"], 2);
    // the guard claims a third that the keeper does not know of
    let more: Vec<Value> = (0..3)
        .map(|n| {
            json!({"_id": format!("r{n}"), "_resource_id": format!("k{n}"), "resource_server": keeper.url,
        "name": format!("Album {n}"), "resource_scopes": ["view", "edit"]})
        })
        .collect();
    guard.answers("GET /resources", 200, json!(more));
    for _ in 0..2 {
        desk.clock.pass(20);
        alice.read().await;
    }
    assert_eq!(doubts(&mut alice).await, 1, "{}", alice.get("/").await.text);
}

/// Servers of other makers: what is optional is left out, `null`, or of another type.
#[tokio::test]
async fn threat_39_s37_servers_that_answer_in_their_own_way_can_be_linked() {
    for odd in [json!(null), json!([]), json!(7), json!("text"), json!({})] {
        let desk = Desk::open().await;
        let mut alice = Sitting::of(&desk, "alice").await;
        let guard = Party::start().await;
        guard.adds_to_metadata("scopes_supported", &if odd.is_array() { json!(null) } else { odd.clone() });
        for member in [
            "claims_parameter_supported",
            "prompt_values_supported",
            "introspection_endpoint",
            "something_else",
            "dpop_signing_alg_values_supported",
        ] {
            guard.adds_to_metadata(member, &odd);
        }
        guard.answers(
            "POST /register",
            201,
            json!({"client_id": "us", "client_id_issued_at": odd, "redirect_uris": odd, "jwks": odd}),
        );
        guard.rotates(&json!("3600"));
        let keeper = Party::keeper(&guard).await;
        register(&guard, &keeper, 1);
        for list in ["GET /delegations", "GET /requests", "GET /credentials"] {
            guard.answers(list, 200, json!(null));
        }
        for server in [&guard.url, &keeper.url] {
            alice.link(server, &guard).await;
        }
        alice.read().await;
        let servers = alice.json("/api/servers").await;
        assert!(servers.as_array().unwrap().iter().all(|one| one["error"].is_null()), "{odd}: {servers}");
        assert_eq!(alice.json("/api/things").await["total"], 1, "{odd}");
    }
}

/// One item that does not read costs that item alone, and she is told; what says more than is understood does not come along.
#[tokio::test]
async fn threat_36_s37_items_that_do_not_read_are_counted_and_conditions_are_not_lost() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, keeper) = linked(&mut alice, 1).await;
    // of what a resource server says of a server that could guard, most may be left out
    keeper.answers("GET /manage/authorization-servers", 200, json!([{"issuer": "https://elsewhere.example", "pat": "active"}]));
    let email = json!([{"name": "email", "value": [BOB]}]);
    guard.answers("GET /policies", 200, json!([
        7, null, {"_id": "broken"},
        {"_id": "plain", "resource_id": "r0", "resource_scopes": ["view"], "required_claims": email, "expires_at": null, "client_id": null},
        {"_id": "more", "resource_id": "r0", "resource_scopes": ["edit"], "required_claims": email, "only_on": "sundays"},
        {"_id": "odd", "resource_id": "r0", "resource_scopes": ["view"], "required_claims": "staff"},
    ]));
    desk.clock.pass(20);
    alice.read().await;
    let thing = alice.json("/api/things").await["things"][0].clone();
    let shares = thing["shares"].as_array().unwrap();
    let who =
        |id: &str| shares.iter().find(|share| share["policy_id"] == id).map(|share| share["who"].as_str().unwrap().to_owned());
    assert_eq!((who("plain").as_deref(), who("more").as_deref()), (Some(BOB), Some(BOB)), "{thing}");
    assert_ne!(who("odd"), who("nobody"));
    assert!(!who("odd").unwrap().to_lowercase().contains("anyone"), "{thing}");
    assert!(alice.get("/").await.text.contains("cannot read"), "she is told");
    let key = thing["key"].as_str().unwrap();
    let page = alice.get(&format!("/guard?thing={key}")).await;
    assert_eq!(page.text.matches("name=\"along\"").count(), 1, "what says more than is understood is not offered: {}", page.text);
    until("all of Bob's ends all the same", async || {
        let page = alice.get(ABOUT_BOB).await;
        alice.post("/people/withdraw", &[("sure", "yes"), ("who", &page.field("who"))]).await;
        guard.count("DELETE /policies/plain") > 0 && guard.count("DELETE /policies/more") > 0
    })
    .await;
}

/// Another account's server knows nothing of hers: what it answers confirms nothing. As who she was, she is heard.
#[tokio::test]
async fn threat_36_s03_what_one_account_withdrew_another_does_not_confirm() {
    for unlinks in [true, false] {
        let desk = Desk::open().await;
        let mut alice = Sitting::of(&desk, "alice").await;
        let (guard, _keeper) = linked(&mut alice, 1).await;
        guard.answers(
            "GET /policies",
            200,
            json!([{"_id": "p", "resource_id": "r0", "resource_scopes": ["view"],
            "required_claims": [{"name": "email", "value": [BOB]}]}]),
        );
        desk.clock.pass(30);
        alice.read().await;
        guard.answers("DELETE /policies/p", 500, Value::Null);
        let page = alice.get(ABOUT_BOB).await;
        assert_eq!(alice.post("/people/withdraw", &[("sure", "yes"), ("who", &page.field("who"))]).await.status, 303);
        let link = alice.json("/api/servers").await[0]["id"].as_str().unwrap().to_owned();
        if unlinks {
            let page = alice.post("/servers/unlink", &[("id", &link)]).await;
            assert!(page.status < 400, "{}", page.text);
        }
        guard.answers("DELETE /policies/p", 404, Value::Null);
        guard.asked();
        alice.link_as(&guard.url, &guard, "another-account").await;
        for _ in 0..3 {
            desk.clock.pass(60);
            desk.manager.tend().await;
            alice.read().await;
        }
        assert_eq!(guard.count("DELETE /policies/p"), 0, "{unlinks}");
        let tasks = alice.json("/api/withdrawals").await.to_string();
        assert!(tasks.contains("not_told") && !tasks.contains("\"confirmed\""), "{unlinks}: {tasks}");
        guard.answers("DELETE /policies/p", 204, Value::Null);
        alice.link(&guard.url, &guard).await;
        until("it is asked as who she was", async || {
            desk.clock.pass(60);
            desk.manager.tend().await;
            guard.count("DELETE /policies/p") > 0
        })
        .await;
    }
}

/// A share of whose name no path has a segment could not be ended: it is counted as unread, and nothing else is asked in its place.
#[tokio::test]
async fn threat_36_s03_what_is_called_by_dots_does_not_read() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper) = linked(&mut alice, 1).await;
    let policy = |id: &str| {
        json!({"_id": id, "resource_id": "r0", "resource_scopes": ["view"],
        "required_claims": [{"name": "email", "value": [BOB]}]})
    };
    guard.answers("GET /policies", 200, json!([policy(".."), policy("p"), policy(".")]));
    desk.clock.pass(30);
    alice.read().await;
    assert_eq!(alice.json("/api/things").await["things"][0]["shares"].as_array().unwrap().len(), 1);
    guard.asked();
    let page = alice.get(ABOUT_BOB).await;
    assert_eq!(alice.post("/people/withdraw", &[("sure", "yes"), ("who", &page.field("who"))]).await.status, 303);
    let deleted: Vec<String> =
        guard.asked().into_iter().map(|asked| asked.what).filter(|what| what.starts_with("DELETE")).collect();
    assert_eq!(deleted, ["DELETE /policies/p"]);
}
