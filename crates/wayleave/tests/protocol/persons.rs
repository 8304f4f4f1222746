//! One person of each issuer in a process (protocol.md 1.3, case S11).

use crate::interaction::{get, prove, visit};
use crate::oauth::Browser;
use crate::world::{Answer, ID_TOKEN, IDP, World};
use serde_json::{Value, json};

/// Both spellings of the issuer are trusted; the same key is behind them.
fn spelled_twice() -> String {
    format!(
        "[[trusted_issuer]]\nissuer = \"{IDP}/\"\njwks_file = \"idp.json\"\nclaims = [\"email\", \"email_verified\", \"name\"]\nemail_domains = [\"bar.example\"]\n[assessment]\nno_policy = \"deny\"\n"
    )
}

fn carol() -> Value {
    json!({"sub": "carol", "name": "Carol", "email": null, "email_verified": null})
}

/// An album for whoever is both: Bob's address, Carol's name.
async fn for_both(world: &World) -> (String, String) {
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    let both = json!([{"name": "email", "value": ["bob@bar.example"]}, {"name": "name", "value": ["Carol"]}]);
    world.policy(json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": both})).await;
    (pat, album)
}

async fn push(world: &World, ticket: &str, about: Value, more: &[(&str, &str)]) -> Answer {
    let token = world.id_token("viewer", about);
    let mut fields = vec![("claim_token", token.as_str()), ("claim_token_format", ID_TOKEN)];
    fields.extend_from_slice(more);
    world.trade("viewer", ticket, &fields).await
}

#[track_caller]
fn says_so(answer: &Answer) {
    answer.refused(403, "need_info");
    assert!(answer.get("error_description").contains("two people"), "{}", answer.text);
    let open: Vec<_> = answer.json["required_claims"].as_array().unwrap().iter().map(|claim| &claim["name"]).collect();
    assert_eq!(open, ["name"], "what the second one says stays open");
}

#[tokio::test]
async fn threat_45_s11_two_subjects_of_one_issuer_are_two_people() {
    for world in World::each_with(&spelled_twice()).await {
        for second in [
            carol(),
            json!({"sub": "Bob", "name": "Carol"}),
            json!({"sub": "carol", "name": "Carol", "iss": format!("{IDP}/")}),
            json!({"sub": "carol", "name": "Carol", "email": "bob@bar.example", "email_verified": true}),
        ] {
            let (pat, album) = for_both(&world).await;
            let first = world.ticket(&pat, &album, "view").await;
            let next = push(&world, &first, json!({}), &[]).await.refused(403, "need_info").get("ticket").to_owned();
            let answer = push(&world, &next, second.clone(), &[]).await;
            says_so(&answer);
            // a later step does not forget whom the process is about
            let later = push(&world, answer.get("ticket"), second.clone(), &[]).await;
            says_so(&later);
            // the same person may say more
            push(&world, later.get("ticket"), json!({"name": "Carol"}), &[]).await.ok(200);
        }
    }
}

#[tokio::test]
async fn threat_45_s11_a_token_that_did_not_count_is_not_used_up() {
    for world in World::each().await {
        let (pat, album) = for_both(&world).await;
        let song = world.resource(&pat, "view").await;
        world.policy(json!({"resource_id": song, "resource_scopes": ["view"], "required_claims": [{"name": "name", "value": ["Carol"]}]})).await;
        let first = world.ticket(&pat, &album, "view").await;
        let next = push(&world, &first, json!({}), &[]).await.get("ticket").to_owned();
        let token = world.id_token("viewer", carol());
        let claim = [("claim_token", token.as_str()), ("claim_token_format", ID_TOKEN)];
        says_so(&world.trade("viewer", &next, &claim).await);
        let own = world.ticket(&pat, &song, "view").await;
        world.trade("viewer", &own, &claim).await.ok(200);
    }
}

#[tokio::test]
async fn threat_45_s11_nor_with_a_pct() {
    for world in World::each_with(&spelled_twice()).await {
        let (pat, album) = for_both(&world).await;
        let open = world.resource(&pat, "view").await;
        world.share(&open, "view", "").await;
        let ticket = world.ticket(&pat, &open, "view").await;
        let bobs = push(&world, &ticket, json!({}), &[]).await.ok(200).get("pct").to_owned();
        let ticket = world.ticket(&pat, &open, "view").await;
        let carols = push(&world, &ticket, carol(), &[]).await.ok(200).get("pct").to_owned();
        // both at once, in both orders
        for iss in [IDP.to_owned(), format!("{IDP}/")] {
            let ticket = world.ticket(&pat, &album, "view").await;
            let mut about = carol();
            about["iss"] = json!(iss);
            says_so(&push(&world, &ticket, about, &[("pct", &bobs)]).await);
        }
        let ticket = world.ticket(&pat, &album, "view").await;
        assert_ne!(push(&world, &ticket, json!({}), &[("pct", &carols)]).await.status, 200);
        // Bob before, Carol's PCT behind
        let ticket = world.ticket(&pat, &album, "view").await;
        let next = push(&world, &ticket, json!({}), &[]).await.get("ticket").to_owned();
        says_so(&world.trade("viewer", &next, &[("pct", &carols)]).await);
        // Carol's token first, in a step without the PCT
        let ticket = world.ticket(&pat, &album, "view").await;
        let next = push(&world, &ticket, carol(), &[]).await.get("ticket").to_owned();
        let answer = world.trade("viewer", &next, &[("pct", &bobs)]).await;
        assert!(answer.refused(403, "need_info").get("error_description").contains("two people"));
        // an own PCT goes with an own token, and what is newer counts
        let ticket = world.ticket(&pat, &album, "view").await;
        let upgraded = push(&world, &ticket, json!({"name": "Carol"}), &[("pct", &bobs)]).await;
        upgraded.ok(200);
    }
}

/// The RPT of one does not take in what another was granted.
#[tokio::test]
async fn threat_45_s11_rpts_of_two_people_do_not_merge() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let song = world.resource(&pat, "view").await;
        world.policy(json!({"resource_id": song, "resource_scopes": ["view"], "required_claims": [{"name": "name", "value": ["Carol"]}]})).await;
        let bobs = world.bobs_rpt("viewer", &pat, &album).await.get("access_token").to_owned();
        let ticket = world.ticket(&pat, &song, "view").await;
        let carols = push(&world, &ticket, carol(), &[("rpt", &bobs)]).await;
        assert!(carols.ok(200).json.get("upgraded").is_none());
        assert_eq!(world.introspect(&pat, &bobs).await["active"], true);
    }
}

/// A request of Bob's is not joined, and its approval not met, by a process that Carol began.
#[tokio::test]
async fn threat_45_s11_an_approval_is_one_persons() {
    for world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        let ticket = world.ticket(&pat, &album, "view").await;
        let waiting = push(&world, &ticket, json!({}), &[]).await;
        waiting.refused(403, "request_submitted");
        let ticket = world.ticket(&pat, &album, "view").await;
        push(&world, &ticket, carol(), &[]).await.refused(403, "request_submitted");
        let pmt = world.access("manager").await;
        let inbox = world.call("GET", "/uma/access-requests", &pmt, Value::Null).await;
        let requests = inbox.ok(200).json.as_array().unwrap().clone();
        assert_eq!(requests.len(), 2);
        let bobs = requests.iter().find(|one| one["requesting_party"]["sub"] == "bob").unwrap()["_id"].as_str().unwrap();
        world.call("POST", &format!("/uma/access-requests/{bobs}"), &pmt, json!({"decision": "approve"})).await.ok(200);
        // Carol's own step in Bob's process: she does not count, he does
        world.pass(6);
        push(&world, waiting.get("ticket"), carol(), &[]).await.ok(200);
    }
}

/// What was shown here - by log-in or by a code - and what is pushed are of one person of this issuer; two who show
/// themselves here, one behind the other, are two.
#[tokio::test]
async fn threat_45_s11_gathered_and_pushed_are_one_person() {
    for world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        let both = json!([{"name": "email", "value": ["bob@bar.example"]}, {"name": "name", "value": ["carol"]}]);
        world.policy(json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": both})).await;
        let ticket = world.ticket(&pat, &album, "view").await;
        let browser = Browser::new(&world);
        let page = visit(&browser, &[("client_id", "viewer"), ("ticket", &ticket)]).await;
        let next = get(&prove(&browser, page, true).await.1, "ticket").unwrap();
        let again = world.trade("viewer", &next, &[]).await.refused(403, "need_info").get("ticket").to_owned();
        // Carol logs in where Bob has shown his address
        browser.log_in("carol").await;
        let page = visit(&browser, &[("client_id", "viewer"), ("ticket", &again)]).await;
        let refused = browser.submit(&page, "/claims/continue", &[("decision", "approve")]).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(refused.text.contains("omebody else has shown"));
    }
}

/// Keys that speak for themselves are each their own issuer: none speaks for another.
#[tokio::test]
async fn threat_45_s11_a_key_speaks_for_itself_alone() {
    let world = World::one().await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    let (one, other) = (key(), key());
    let ids = [&one, &other].map(|key| jose::did::of_key(key.public()));
    let conditions =
        json!([{"name": "sub", "value": [ids[0]], "issuer": [ids[0]]}, {"name": "email", "value": ["bob@bar.example"]}]);
    world.policy(json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": conditions})).await;
    let ticket = world.ticket(&pat, &album, "view").await;
    let next = push_own(&world, &one, &ticket, &ids[0], json!({"email": "bob@bar.example", "email_verified": true})).await;
    let next = next.refused(403, "need_info").get("ticket").to_owned();
    // the other key says that it is the first one's subject
    let answer = push_own(&world, &other, &next, &ids[0], json!({"iss": ids[1]})).await;
    let next = answer.refused(403, "need_info").get("ticket").to_owned();
    push(&world, &next, json!({"sub": ""}), &[]).await.refused(403, "need_info");
}

fn key() -> jose::SigningKey {
    jose::SigningKey::generate(jose::Algorithm::EdDsa).unwrap()
}

async fn push_own(world: &World, key: &jose::SigningKey, ticket: &str, sub: &str, more: Value) -> Answer {
    let now = world.now();
    let mut claims = json!({"iss": sub, "sub": sub, "aud": "viewer", "iat": now, "exp": now + 60});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let iss = claims["iss"].as_str().unwrap().to_owned();
    let token = key.sign_as("JWT", &iss, &claims).unwrap();
    world.trade("viewer", ticket, &[("claim_token", &token), ("claim_token_format", ID_TOKEN)]).await
}
