//! An answer does not depend on the path taken to it (threat 11): ticket, upgrade and what-if, over worlds made up
//! at random from a seed.

use crate::world::{ID_TOKEN, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn some_of(&mut self, all: &[&str]) -> Vec<String> {
        let mut picked: Vec<String> = all.iter().filter(|_| self.roll(2) == 0).map(|one| (*one).to_owned()).collect();
        if picked.is_empty() {
            picked.push(all[usize::try_from(self.roll(all.len() as u64)).unwrap()].to_owned());
        }
        picked
    }
}

const SCOPES: [&str; 3] = ["view", "edit", "print"];

/// A policy on one of the albums: for anyone, for Bob, for somebody else, over, for another client, or asking.
fn policy(dice: &mut Dice, albums: &[String], now: i64) -> Value {
    let album = &albums[usize::try_from(dice.roll(albums.len() as u64)).unwrap()];
    let mut policy = json!({"resource_id": album, "resource_scopes": dice.some_of(&SCOPES), "required_claims": []});
    match dice.roll(5) {
        0 => {}
        1 => policy["required_claims"] = json!([{"name": "email", "value": ["bob@bar.example"]}]),
        2 => policy["required_claims"] = json!([{"name": "email", "value": ["eve@bar.example", "Bob@BAR.example"]}]),
        3 => policy["required_claims"] = json!([{"name": "email", "value": ["eve@bar.example"]}]),
        _ => policy["required_claims"] = json!([{"name": "age", "value": [18]}]),
    }
    match dice.roll(8) {
        0 => policy["valid_from"] = json!(now + 100),
        1 => policy["client_id"] = json!(["printer"]),
        2 => policy["on_missing"] = json!("ask"),
        3 => policy["on_missing"] = json!("deny"),
        4 => policy["expires_at"] = json!(now + 500),
        _ => {}
    }
    policy
}

/// (resource, scope) of permissions, ends included.
fn held(permissions: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for permission in permissions.as_array().into_iter().flatten() {
        for scope in permission["resource_scopes"].as_array().unwrap() {
            all.insert(format!("{} {scope} {}", permission["resource_id"], permission["exp"]));
        }
    }
    all
}

/// What came of a trade: its kind, and what is permitted.
async fn outcome(world: &World, pat: &str, answer: &crate::world::Answer) -> (String, BTreeSet<String>) {
    match answer.status {
        200 => {
            let seen = world.introspect(pat, answer.get("access_token")).await;
            ("granted".into(), held(&seen["permissions"]))
        }
        _ => (answer.get("error").to_owned(), BTreeSet::new()),
    }
}

#[tokio::test]
async fn threat_11_ticket_upgrade_and_what_if_are_one() {
    let mut kinds = BTreeSet::new();
    for seed in 1..=60_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let settings = format!(
            "[assessment]\nno_policy = \"{}\"\npartial_grants = {}\n",
            if dice.roll(2) == 0 { "deny" } else { "ask" },
            dice.roll(3) > 0
        );
        let world = World::on("memory", &settings).await;
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        let mut albums = Vec::new();
        for _ in 0..3 {
            albums.push(world.resource(&pat, &SCOPES.join(" ")).await);
        }
        // of another album Bob holds an RPT already
        let other = world.resource(&pat, "view").await;
        world.share(&other, "view", "bob@bar.example").await;
        let before = world.ticket(&pat, &other, "view").await;
        let old = world.trade_as_bob("viewer", &before, &[]).await.ok(200).get("access_token").to_owned();
        let carried = held(&world.introspect(&pat, &old).await["permissions"]);
        for _ in 0..dice.roll(7) {
            let policy = policy(&mut dice, &albums, world.now());
            world.policy(policy).await;
        }
        let mut permissions = Vec::new();
        for album in &albums {
            if dice.roll(3) > 0 {
                permissions.push(json!({"resource_id": album, "resource_scopes": dice.some_of(&SCOPES)}));
            }
        }
        if permissions.is_empty() {
            permissions.push(json!({"resource_id": albums[0], "resource_scopes": ["view"]}));
        }
        let permissions = Value::Array(permissions);
        let body =
            json!({"permissions": permissions, "client_id": "viewer", "claims": {"email": "bob@bar.example", "sub": "bob"}});
        let what_if = world.call("POST", "/uma/policies/simulate", &pmt, body).await;
        // none of the paths may change what the next one finds: the upgrade is tried before anybody is asked
        let ticket = async || {
            let made = world.call("POST", "/uma/permissions", &pat, permissions.clone()).await;
            made.ok(201).get("ticket").to_owned()
        };
        let token = world.id_token("viewer", json!({}));
        let claim = [("claim_token", token.as_str()), ("claim_token_format", ID_TOKEN)];
        let by_ticket = world.trade("viewer", &ticket().await, &claim).await;
        let by_ticket = outcome(&world, &pat, &by_ticket).await;
        let token = world.id_token("viewer", json!({}));
        let with_rpt = [("claim_token", token.as_str()), ("claim_token_format", ID_TOKEN), ("rpt", old.as_str())];
        let by_upgrade = world.trade("viewer", &ticket().await, &with_rpt).await;
        let mut by_upgrade = outcome(&world, &pat, &by_upgrade).await;
        by_upgrade.1 = by_upgrade.1.difference(&carried).cloned().collect();
        assert_eq!(by_ticket, by_upgrade, "seed {seed}");
        assert_eq!(held(&what_if.ok(200).json["permissions"]), by_ticket.1, "seed {seed}: {}", what_if.text);
        let told = what_if.json["result"].as_str().unwrap();
        let expected = match told {
            "granted" | "partial" => "granted",
            "submitted" => "request_submitted",
            "denied" => "request_denied",
            other => other,
        };
        assert_eq!(expected, by_ticket.0, "seed {seed}: {}", what_if.text);
        // never wider than what was asked for
        for held in &by_ticket.1 {
            let asked = permissions.as_array().unwrap().iter().any(|permission| {
                permission["resource_scopes"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|scope| held.starts_with(&format!("{} {scope} ", permission["resource_id"])))
            });
            assert!(asked, "seed {seed}: {held}");
        }
        kinds.insert(told.to_owned());
    }
    assert_eq!(kinds.len(), 5, "every outcome was met: {kinds:?}");
}
