use super::*;
use serde_json::{Value, json};

fn link(id: &str, place: Place) -> Link {
    Link {
        id: id.into(),
        place,
        account: None,
        access_token: String::new(),
        bound: false,
        expires: Timestamp(0),
        refresh_token: None,
        ended: false,
        added: Timestamp(0),
        told: None,
    }
}

fn known(link: Link, snapshot: Value) -> Known {
    let mut whole = json!({"asked": 0, "answered": 0, "error": null});
    whole.as_object_mut().unwrap().extend(snapshot.as_object().unwrap().clone());
    Known { link, snapshot: serde_json::from_value(whole).unwrap() }
}

fn photos() -> Known {
    let place = Place::ResourceServer {
        resource: "https://photos.example".into(),
        management: "https://photos.example/manage".into(),
        issuer: "https://photos.example/login".into(),
    };
    let album = |id: &str, name: &str, registrations: Value| json!({"resource_scopes": ["view", "edit"], "name": name, "_resource_id": id, "registrations": registrations});
    let at = |id: &str| {
        json!([{"_id": "r", "authorization_server": "https://as.example", "authorization_server_resource_id": id,
            "registered_scopes": ["view"], "state": "active"}])
    };
    let available = json!([album("/a", "Holiday", at("A")), album("/b", "Birthday", json!([]))]);
    known(link("rs", place), json!({"available": available}))
}

fn server() -> Known {
    let guarded = json!([
        {"_id": "A", "resource_server": "https://photos.example", "resource_scopes": ["view"], "name": "Holiday", "_resource_id": "/a"},
        {"_id": "M", "resource_server": "https://music.example", "resource_scopes": ["play"], "name": "Mixtape"}]);
    let bob = json!([{"name": "email", "value": ["bob@bar.example"]}]);
    let policies = json!([
        {"_id": "p1", "resource_id": "A", "resource_scopes": ["view"], "required_claims": bob},
        {"_id": "p2", "resource_id": "M", "resource_scopes": ["play"], "required_claims": []},
        {"_id": "p3", "resource_server": "https://photos.example", "_resource_id": "/b", "resource_scopes": ["view"], "required_claims": bob,
         "state": "waiting"},
        {"_id": "p4", "resource_id": "gone", "resource_scopes": ["view"], "required_claims": []}]);
    let place = Place::AuthorizationServer { issuer: "https://as.example".into() };
    known(link("as", place), json!({"guarded": guarded, "policies": policies}))
}

#[test]
fn each_thing_is_there_once_with_its_guards_and_shares() {
    let all = Holdings::of(vec![photos(), server()]);
    let names: Vec<_> = all.things.iter().map(|thing| (thing.name.as_str(), thing.guards.len(), thing.shares.len())).collect();
    assert_eq!(names, [("Birthday", 0, 1), ("Holiday", 1, 1), ("Mixtape", 1, 1)]);
    let holiday = all.things.iter().find(|thing| thing.name == "Holiday").unwrap();
    assert_eq!((holiday.guards[0].link.as_deref(), holiday.guards[0].scopes.to_string()), (Some("as"), "view".into()));
    assert_eq!(all.thing(&holiday.key).unwrap().name, "Holiday");
    let people = all.people();
    assert_eq!(people[&Who::Address("bob@bar.example".into())], 2);
    assert_eq!(people[&Who::Anyone], 1);
    let (servers, guards) = all.places();
    assert_eq!((servers.len(), guards.len()), (2, 1));
    // the order in which servers are linked does not matter
    let other = Holdings::of(vec![server(), photos()]);
    assert!(other.things.iter().zip(&all.things).all(|(a, b)| (a.key.as_str(), a.shares.len()) == (&b.key, b.shares.len())));
}

/// Two servers may call things alike; one of them cannot make its own look like the other's.
#[test]
fn threat_19_names_of_an_authorization_server_are_its_own() {
    let other = || {
        let place = Place::AuthorizationServer { issuer: "https://other.example".into() };
        let guarded = json!([{"_id": "M", "resource_server": "https://music.example", "resource_scopes": ["play"]}]);
        let anyone = json!([{"_id": "p9", "resource_id": "M", "resource_scopes": ["play"], "required_claims": []}]);
        known(link("other", place), json!({"guarded": guarded, "policies": anyone}))
    };
    for servers in [vec![photos(), server(), other()], vec![other(), server(), photos()]] {
        let all = Holdings::of(servers);
        let names: Vec<_> =
            all.things.iter().map(|thing| (thing.name.as_str(), thing.guards.len(), thing.shares.len())).collect();
        assert_eq!(names, [("Birthday", 0, 1), ("Holiday", 1, 1), ("M", 1, 1), ("Mixtape", 1, 1)]);
    }
}

#[test]
fn twenty_thousand_things_are_filtered_in_a_blink() {
    let mut photos = photos();
    let one = photos.snapshot.available[0].clone();
    photos.snapshot.available = (0..20_000)
        .map(|n| {
            let mut another = one.clone();
            another.description.own_id = Some(format!("/{n}").as_str().into());
            another.description.name = Some(format!("Picture {n}"));
            another.registrations.clear();
            another
        })
        .collect();
    let all = Holdings::of(vec![photos, server()]);
    let begun = std::time::Instant::now();
    let filter = |words: &str| Filter { words: words.into(), ..Filter::default() };
    assert_eq!(all.find(&filter("picture 1999")).len(), 12);
    assert_eq!(all.find(&filter("PICTURE photos.example 777")).len(), 38);
    assert_eq!(all.find(&Filter { shared: true, ..Filter::default() }).len(), 2);
    assert!(begun.elapsed().as_millis() < 1_000, "{:?}", begun.elapsed());
}
