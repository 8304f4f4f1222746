//! The owner's pages at the server: requests, history, what is empty, and addresses that lead nowhere.

use crate::oauth::Browser;
use crate::world::{Answer, World};
use serde_json::{Value, json};

/// Bob asks to see the album, with a sentence of his; what the server answers.
async fn ask(world: &World, pat: &str, album: &str, message: &str) -> Answer {
    let ticket = world.ticket(pat, album, "view").await;
    world.trade_as_bob("viewer", &ticket, &[("owner_message", message)]).await
}

async fn policies(world: &World) -> Vec<Value> {
    let pmt = world.access("manager").await;
    world.call("GET", "/uma/policies", &pmt, Value::Null).await.ok(200).json.as_array().unwrap().clone()
}

/// Answers the one request that waits, by this button.
async fn press(browser: &Browser<'_>, decision: &[(&str, &str)]) -> Answer {
    let page = browser.open("/my/requests").await;
    let id = page.text.split("action=\"/my/requests/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let permission =
        page.text.split("name=\"permission\" value=\"").nth(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    let mut fields = decision.to_vec();
    fields.extend(permission.as_deref().map(|permission| ("permission", permission)));
    let answered = browser.submit(&page, &format!("/my/requests/{id}"), &fields).await;
    assert_eq!(answered.status, 303, "{}", answered.text);
    browser.open(answered.header("location")).await
}

#[tokio::test]
async fn a_request_shows_the_sentence_as_a_quotation_and_how_many_wait() {
    let world = World::one().await;
    let (pat, browser) = (world.pat().await, Browser::new(&world));
    browser.log_in("alice").await;
    assert!(!browser.open("/my/requests").await.text.contains("class=\"count\""));
    for (n, odd) in ["May I? <script>alert(1)</script> x", "Please."].into_iter().enumerate() {
        let album = world.resource(&pat, "view").await;
        ask(&world, &pat, &album, odd).await.refused(403, "request_submitted");
        let page = browser.open("/my/requests").await;
        assert!(page.text.contains(&format!("<span class=\"count\">{}<", n + 1)), "{}", page.text);
    }
    let page = browser.open("/my/requests").await;
    assert!(page.text.contains("<blockquote>“Please.”</blockquote>"), "{}", page.text);
    assert!(page.text.contains("“May I? &#60;script&#62;alert(1)&#60;/script&#62; x”"), "{}", page.text);
    assert!(browser.open("/my/history").await.text.contains("<span class=\"count\">2<"), "on every page");
    let carol = Browser::new(&world);
    carol.log_in("carol").await;
    assert!(!carol.open("/my/requests").await.text.contains("class=\"count\""), "hers alone");
}

#[tokio::test]
async fn a_request_is_allowed_for_a_week_or_always_and_undone() {
    for (button, until, said) in [
        ("week", Some("2027-01-22"), "bob@bar.example may view Album, with Viewer, until and including 22 January."),
        ("always", None, "bob@bar.example may view Album, with Viewer, until you end it."),
    ] {
        for world in World::each().await {
            let (pat, browser) = (world.pat().await, Browser::new(&world));
            browser.log_in("alice").await;
            let album = world.resource(&pat, "view").await;
            ask(&world, &pat, &album, "").await.refused(403, "request_submitted");
            let page = press(&browser, &[("decision", button)]).await;
            assert!(page.text.contains(said), "{}", page.text);
            let answered = format!("view Album, {}<", said.split(", with Viewer, ").nth(1).unwrap().trim_end_matches('.'));
            let later = browser.open("/my/requests").await;
            assert!(later.text.contains(&answered), "the list says it as the note did: {}", later.text);
            let all = policies(&world).await;
            assert_eq!(all.len(), 1, "{button}");
            assert_eq!(all[0]["expires_at"].as_i64(), until.map(|date| ui::end_of_date(date).unwrap().0));
            let rpt = ask(&world, &pat, &album, "").await.ok(200).get("access_token").to_owned();
            // it stands once where she looks who can reach it
            let shown = browser.open(&format!("/my/resources/{album}")).await;
            assert_eq!(shown.text.matches("bob@bar.example may view, with Viewer").count(), 1, "{}", shown.text);
            assert!(!shown.text.contains("approved once"), "{}", shown.text);
            let id = page.text.split("action=\"/my/requests/").nth(1).unwrap().split('"').next().unwrap().to_owned();
            browser.submit(&page, &format!("/my/requests/{id}"), &[("decision", "withdraw")]).await;
            assert!(policies(&world).await.is_empty(), "what she takes back is taken back whole");
            assert_eq!(world.introspect(&pat, &rpt).await, json!({"active": false}));
            ask(&world, &pat, &album, "").await.refused(403, "request_submitted");
        }
    }
}

/// Undo takes back what she has just done, and no more: who asked waits as before, with what they wrote.
#[tokio::test]
async fn what_she_undoes_waits_for_her_again() {
    for world in World::each().await {
        let (pat, browser) = (world.pat().await, Browser::new(&world));
        browser.log_in("alice").await;
        let album = world.resource(&pat, "view").await;
        ask(&world, &pat, &album, "Please.").await.refused(403, "request_submitted");
        let page = press(&browser, &[("decision", "always")]).await;
        let rpt = ask(&world, &pat, &album, "").await.ok(200).get("access_token").to_owned();
        let undo = async |page: &Answer, decision: &str| {
            let id = page.text.split("action=\"/my/requests/").nth(1).unwrap().split('"').next().unwrap().to_owned();
            let undone = browser.submit(page, &format!("/my/requests/{id}"), &[("decision", decision)]).await;
            browser.open(undone.header("location")).await
        };
        assert!(page.text.contains("action=\"/my/undo\"") && page.text.contains(">Undo<"), "{}", page.text);
        let waiting = undo(&page, "undo").await;
        for said in ["Taken back: bob@bar.example waits for your answer again.", "“Please.”", "class=\"count\">1<"] {
            assert!(waiting.text.contains(said), "{said}: {}", waiting.text);
        }
        assert!(policies(&world).await.is_empty());
        let history = browser.open("/my/history").await.text;
        assert!(history.contains("What you had allowed was taken back: Album") && !history.contains("refused"), "{history}");
        assert_eq!(world.introspect(&pat, &rpt).await, json!({"active": false}));
        // he joins what waits, and nothing of before comes back with the next answer
        ask(&world, &pat, &album, "").await.refused(403, "request_submitted");
        assert!(browser.open("/my/requests").await.text.contains("class=\"count\">1<"));
        press(&browser, &[("decision", "week")]).await;
        assert_eq!(world.introspect(&pat, &rpt).await, json!({"active": false}));
        ask(&world, &pat, &album, "").await.ok(200);
        // once it would have run out, it is taken back and nothing waits
        world.pass(8 * 86_400);
        browser.log_in("alice").await;
        let over = undo(&browser.open("/my/requests").await, "undo").await;
        assert!(
            over.text.contains("gets in no more by what you approved") && !over.text.contains("class=\"count\""),
            "{}",
            over.text
        );
    }
}

/// Whoever asked goes on waiting where she undoes her answer, however often, and gets in by the next one.
#[tokio::test]
async fn who_asked_goes_on_waiting_when_she_undoes_her_answer() {
    for world in World::each().await {
        let (pat, browser) = (world.pat().await, Browser::new(&world));
        browser.log_in("alice").await;
        let album = world.resource(&pat, "view").await;
        let mut ticket = ask(&world, &pat, &album, "").await.refused(403, "request_submitted").get("ticket").to_owned();
        let undo_answer = async || {
            let page = press(&browser, &[("decision", "approve")]).await;
            let id = page.text.split("action=\"/my/requests/").nth(1).unwrap().split('"').next().unwrap().to_owned();
            browser.submit(&page, &format!("/my/requests/{id}"), &[("decision", "undo")]).await
        };
        // twice between two of his polls, and once more behind them
        for times in [2, 1] {
            for _ in 0..times {
                assert_eq!(undo_answer().await.status, 303);
            }
            world.pass(60);
            let waiting = world.trade("viewer", &ticket, &[]).await;
            ticket = waiting.refused(403, "request_submitted").get("ticket").to_owned();
        }
        press(&browser, &[("decision", "approve")]).await;
        world.pass(60);
        let rpt = world.trade("viewer", &ticket, &[]).await.ok(200).get("access_token").to_owned();
        assert_eq!(world.introspect(&pat, &rpt).await["active"], true);
        // what she takes back without a word of waiting is over for who waits
        let diary = world.resource(&pat, "view").await;
        let ticket = ask(&world, &pat, &diary, "").await.refused(403, "request_submitted").get("ticket").to_owned();
        let page = press(&browser, &[("decision", "approve")]).await;
        let id = page.text.split("action=\"/my/requests/").nth(1).unwrap().split('"').next().unwrap().to_owned();
        browser.submit(&page, &format!("/my/requests/{id}"), &[("decision", "withdraw")]).await;
        world.pass(60);
        world.trade("viewer", &ticket, &[]).await.refused(403, "request_denied");
    }
}

/// A person is one, whatever lets her in.
#[tokio::test]
async fn things_tell_how_many_people_reach_them() {
    let world = World::one().await;
    let (pat, pmt, browser) = (world.pat().await, world.access("manager").await, Browser::new(&world));
    browser.log_in("alice").await;
    let album = world.resource(&pat, "view").await;
    let reach = async || {
        let page = browser.open("/my/resources").await.text;
        page.split("<span class=\"tag").nth(1).unwrap().split('>').nth(1).unwrap().split('<').next().unwrap().to_owned()
    };
    assert_eq!(reach().await, "only you");
    ask(&world, &pat, &album, "").await.refused(403, "request_submitted");
    press(&browser, &[("decision", "week")]).await;
    assert_eq!(reach().await, "1 person", "by an approval, and the share that came of it");
    world.share(&album, "view", "bob@bar.example").await;
    assert_eq!(reach().await, "1 person");
    world.share(&album, "view", "carol@bar.example").await;
    assert_eq!(reach().await, "2 people");
    let group = json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": [{"name": "role", "value": ["x"]}]});
    world.call("POST", "/uma/policies", &pmt, group).await.ok(201);
    assert_eq!(reach().await, "2 people, and others");
    world.share(&album, "view", "").await;
    assert_eq!(reach().await, "anyone");
}

#[tokio::test]
async fn no_and_no_for_ever() {
    for (button, next) in [("deny", "request_submitted"), ("never", "request_denied")] {
        let world = World::one().await;
        let (pat, browser) = (world.pat().await, Browser::new(&world));
        browser.log_in("alice").await;
        let album = world.resource(&pat, "view").await;
        ask(&world, &pat, &album, "").await.refused(403, "request_submitted");
        let page = press(&browser, &[("decision", button)]).await;
        assert!(page.text.contains("bob@bar.example was not let in."), "{}", page.text);
        ask(&world, &pat, &album, "").await.refused(403, next);
    }
}

/// What is wrong with an answer is said at the request, and the form keeps what was typed.
#[tokio::test]
async fn an_answer_that_does_not_read_stays_in_its_form() {
    let world = World::one().await;
    let (pat, browser) = (world.pat().await, Browser::new(&world));
    browser.log_in("alice").await;
    let album = world.resource(&pat, "view").await;
    ask(&world, &pat, &album, "").await.refused(403, "request_submitted");
    let page = browser.open("/my/requests").await;
    let id = page.text.split("action=\"/my/requests/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let (place, view) = (format!("/my/requests/{id}"), format!("{album} view"));
    for (fields, said) in [
        (vec![("decision", "approve"), ("for", "date"), ("until", "2020-01-01"), ("permission", &*view)], "That day is over"),
        (vec![("decision", "week"), ("for", "month"), ("until", "2027-02-28"), ("permission", &*view)], "a date as well"),
        (vec![("decision", "week"), ("for", "once")], "Tick what you allow"),
        (vec![("for", "day"), ("permission", &*view)], "Allow it, or say no"),
    ] {
        let answer = browser.submit(&page, &place, &fields).await;
        assert_eq!(answer.status, 400, "{fields:?}");
        assert!(answer.text.contains("class=\"wrong\"") && answer.text.contains(said), "{fields:?}: {}", answer.text);
        let kept = |(name, value): &(&str, &str)| match *name {
            "for" => answer.text.contains(&format!("name=\"for\" value=\"{value}\" checked")),
            "until" => answer.text.contains(&format!("value=\"{value}\" data-means")),
            _ => true,
        };
        assert!(fields.iter().all(kept), "{fields:?}: {}", answer.text);
        let is_ticked = fields.iter().any(|(name, _)| *name == "permission");
        assert_eq!(answer.text.contains(&format!("value=\"{view}\" checked")), is_ticked, "{fields:?}");
    }
    assert!(policies(&world).await.is_empty());
    // somebody else answered meanwhile
    press(&browser, &[("decision", "deny")]).await;
    let late = browser.submit(&page, &place, &[("decision", "week"), ("permission", &view)]).await;
    assert!(late.status == 409 && late.text.contains("note error"), "{}", late.text);
}

/// Her own share of the same person stays when an approval is withdrawn.
#[tokio::test]
async fn what_she_shared_herself_outlives_a_withdrawn_approval() {
    let world = World::one().await;
    let (pat, browser) = (world.pat().await, Browser::new(&world));
    browser.log_in("alice").await;
    let album = world.resource(&pat, "view edit").await;
    world.share(&album, "edit", "bob@bar.example").await;
    ask(&world, &pat, &album, "").await.refused(403, "request_submitted");
    press(&browser, &[("decision", "approve"), ("for", "month")]).await;
    assert_eq!(policies(&world).await.len(), 2);
    let page = browser.open("/my/requests").await;
    let id = page.text.split("action=\"/my/requests/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    browser.submit(&page, &format!("/my/requests/{id}"), &[("decision", "withdraw")]).await;
    let left = policies(&world).await;
    assert_eq!((left.len(), &left[0]["resource_scopes"]), (1, &json!(["edit"])));
}

/// With whom something was shared, and who lost it.
#[tokio::test]
async fn the_history_names_whom_she_shared_with() {
    for world in World::each().await {
        let (pat, album, policy) = world.album().await;
        world.bobs_rpt("viewer", &pat, &album).await;
        world.pass(1);
        world.withdraw(&policy).await;
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let page = browser.open("/my/history").await;
        let lines: Vec<_> = page.text.split("<li>").filter(|line| line.contains("Album")).collect();
        for words in ["Shared: Album", "A share was withdrawn: Album"] {
            let line = lines.iter().find(|line| line.contains(words)).unwrap();
            assert!(line.contains("with bob@bar.example"), "{line}");
        }
        assert!(page.text.contains("bob@bar.example with Viewer"), "{}", page.text);
        let pmt = world.access("manager").await;
        let events = world.call("GET", "/uma/events", &pmt, Value::Null).await.ok(200).json.clone();
        assert_eq!(events[0]["claims"]["email"], json!("bob@bar.example"));
        // and forgets him when it must
        world.app.authorization_server.erase_requesting_party("bob@bar.example").await.unwrap();
        assert!(!browser.open("/my/history").await.text.contains("bob@bar.example"), "{}", world.engine);
    }
}

#[tokio::test]
async fn the_list_says_who_is_reached_and_where_things_are_kept() {
    let world = World::one().await;
    let (pat, browser) = (world.pat().await, Browser::new(&world));
    browser.log_in("alice").await;
    let empty = browser.open("/my/resources").await;
    let link = "href=\"http://127.0.0.1:9000/.wayleave/link?owner=alice\"";
    assert!(!empty.text.contains(link), "this place does not begin links as a gateway does: {}", empty.text);
    assert_eq!(empty.text.matches("class=\"button\"").count(), 1, "one sentence, one button: {}", empty.text);
    let description = json!({"resource_scopes": ["view"], "name": "Sea", "icon_uri": "http://127.0.0.1:9000/icons/sea.png"});
    let sea = world.call("POST", "/uma/resources", &pat, description).await.ok(201).get("_id").to_owned();
    let spy = json!({"resource_scopes": ["view"], "name": "Spy", "icon_uri": "https://evil.example/spy.png"});
    world.call("POST", "/uma/resources", &pat, spy).await.ok(201);
    let page = browser.open("/my/resources").await;
    assert!(page.text.contains("src=\"http://127.0.0.1:9000/icons/sea.png\""), "{}", page.text);
    let policy = page.header("content-security-policy");
    assert!(policy.contains("img-src 'self' data: http://127.0.0.1:9000;") && !policy.contains("evil"), "{policy}");
    assert!(!page.text.contains("evil.example") && page.text.contains("tag private"), "{}", page.text);
    let shares = |page: &Answer| page.text.matches("1 person<").count();
    assert_eq!(shares(&page), 0);
    ask(&world, &pat, &sea, "").await.refused(403, "request_submitted");
    press(&browser, &[("decision", "approve")]).await;
    assert_eq!(shares(&browser.open("/my/resources").await), 1, "what was approved counts");
    world.pass(86_400);
    browser.log_in("alice").await;
    assert_eq!(shares(&browser.open("/my/resources").await), 0, "and no longer than it lasts");
}

/// A program reads what it always did; a person finds the way home.
#[tokio::test]
async fn an_address_that_leads_nowhere_is_a_page_for_people() {
    let world = World::one().await;
    let page = world.send("GET", "/nowhere", &[("accept", "text/html,application/xhtml+xml;q=0.9")], "").await;
    assert_eq!((page.status, page.header("content-type")), (404, "text/html; charset=utf-8"));
    assert!(page.text.contains("href=\"/\"") && page.header("content-security-policy").contains("default-src 'none'"));
    for accept in ["*/*", "application/json", ""] {
        world.send("GET", "/nowhere", &[("accept", accept)], "").await.refused(404, "not_found");
    }
    world.send("POST", "/nowhere", &[("accept", "text/html")], "").await.refused(404, "not_found");
    let browser = Browser::new(&world);
    browser.log_in("alice").await;
    let missing = browser.open("/my/resources/nothing").await;
    assert!(missing.status == 404 && missing.text.contains("Go to the start"), "{}", missing.text);
}

/// What is guarded no more is let in to by nobody: the page says so where the answer stands, and keeps its form.
#[tokio::test]
async fn a_request_for_what_is_gone_can_only_be_refused() {
    for world in World::each().await {
        let (pat, browser) = (world.pat().await, Browser::new(&world));
        browser.log_in("alice").await;
        let album = world.resource(&pat, "view").await;
        ask(&world, &pat, &album, "May I?").await.refused(403, "request_submitted");
        let page = browser.open("/my/requests").await;
        let id = page.text.split("action=\"/my/requests/").nth(1).unwrap().split('"').next().unwrap().to_owned();
        world.call("DELETE", &format!("/uma/resources/{album}"), &pat, Value::Null).await;
        let place = format!("/my/requests/{id}");
        let permission = format!("{album} view");
        for decision in [&[("decision", "week")][..], &[("decision", "always")], &[("decision", "approve"), ("for", "once")]] {
            let fields = [decision, &[("permission", &*permission)]].concat();
            let refused = browser.submit(&page, &place, &fields).await;
            assert_eq!(refused.status, 400, "{decision:?}");
            assert!(refused.text.contains("not guarded here any more") && refused.text.contains("May I?"), "{}", refused.text);
        }
        assert_eq!(browser.submit(&page, &place, &[("decision", "deny")]).await.status, 303);
    }
}

/// Row 16: a share with somebody else keeps nobody from asking who says that he wants to.
#[tokio::test]
async fn whoever_has_no_share_asks_also_where_others_have_one() {
    for world in World::each().await {
        let (pat, browser) = (world.pat().await, Browser::new(&world));
        browser.log_in("alice").await;
        let album = world.resource(&pat, "view").await;
        let place = format!("/my/resources/{album}");
        let page = browser.open(&place).await;
        let shared = browser.submit(&page, &format!("{place}/share"), &[("email", "carol@bar.example"), ("scope", "view")]).await;
        assert_eq!(shared.status, 303, "{}", shared.text);
        ask(&world, &pat, &album, "May I?").await.refused(403, "request_denied");
        let ticket = world.ticket(&pat, &album, "view").await;
        let wanted = [("owner_message", "May I?"), ("ask_owner", "true")];
        world.trade_as_bob("viewer", &ticket, &wanted).await.refused(403, "request_submitted");
        assert!(browser.open("/my/requests").await.text.contains("May I?"));
    }
}
