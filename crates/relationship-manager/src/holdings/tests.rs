use super::*;
use crate::ledger::{Hers, Ledger};
use serde_json::{Value, json};

fn link(id: &str, place: Place) -> Link {
    Link {
        id: id.into(),
        place,
        account: None,
        access_token: String::new(),
        bound: false,
        renew_from: Timestamp(0),
        refresh_token: None,
        renewal_asked: None,
        ended: false,
        added: Timestamp(0),
        told: None,
        offers: std::collections::BTreeMap::new(),
    }
}

fn known(link: Link, snapshot: Value) -> Known {
    let mut whole = json!({"asked": 0, "answered": 0, "error": null});
    whole.as_object_mut().unwrap().extend(snapshot.as_object().unwrap().clone());
    Known { link, snapshot: serde_json::from_value(whole).unwrap() }
}

fn joined(servers: Vec<Known>) -> Holdings {
    Holdings::of(servers, Ledger::default(), &Hers::default(), Timestamp(10))
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
    let all = joined(vec![photos(), server()]);
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
    let other = joined(vec![server(), photos()]);
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
        let all = joined(servers);
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
    let all = joined(vec![photos, server()]);
    let filter = |words: &str| Filter { words: words.into(), ..Filter::default() };
    let mut looks = (0..10).map(|_| {
        let begun = std::time::Instant::now();
        assert_eq!(all.find(&filter("picture 1999")).len(), 12);
        assert_eq!(all.find(&filter("PICTURE photos.example 777")).len(), 38);
        // what its keeper does not list is not there, whatever a guard says
        assert_eq!(all.find(&Filter { shared: true, ..Filter::default() }).len(), 1);
        begun.elapsed()
    });
    // the machine may do something else meanwhile
    assert!(looks.any(|took| took.as_millis() < 1_000), "none of ten is within a second");
}

fn at(issuer: &str, snapshot: Value) -> Known {
    known(link(issuer, Place::AuthorizationServer { issuer: issuer.into() }), snapshot)
}

/// Another resource server, with one thing that this registration is about.
fn papers(id: &str) -> Known {
    let place = Place::ResourceServer {
        resource: "https://papers.example".into(),
        management: "https://papers.example/manage".into(),
        issuer: "https://papers.example/login".into(),
    };
    let registrations = json!([{"_id": "r", "authorization_server": "https://as.example", "authorization_server_resource_id": id,
        "registered_scopes": ["view"], "state": "active"}]);
    let available =
        json!([{"resource_scopes": ["view"], "name": "Letter", "_resource_id": "/l", "registrations": registrations}]);
    known(link("papers", place), json!({"available": available}))
}

/// A server that guards nothing says that it does: by the keeper's name for a thing, by the other guard's, by a name of its
/// own, and with more that would be possible.
#[test]
fn threat_36_s02_the_keeper_alone_says_who_guards() {
    let claims = [
        json!({"_id": "X", "resource_server": "https://photos.example", "resource_scopes": ["view", "edit"], "_resource_id": "/a"}),
        json!({"_id": "X", "resource_server": "https://photos.example", "resource_scopes": ["view", "edit"], "_resource_id": "/b"}),
        json!({"_id": "A", "resource_server": "https://photos.example", "resource_scopes": ["view", "edit"], "_resource_id": "/a"}),
        json!({"_id": "X", "resource_server": "https://photos.example", "resource_scopes": ["view"], "name": "Holiday"}),
        json!({"_id": "X", "resource_server": "https://photos.example", "resource_scopes": ["view"], "_resource_id": "/none"}),
    ];
    let view = ScopeSet::parse("view edit").unwrap();
    for claim in claims {
        let evil = || at("https://evil.example", json!({"guarded": [claim.clone()]}));
        for servers in [vec![photos(), server(), evil()], vec![evil(), server(), photos()]] {
            let all = joined(servers);
            let issuers: Vec<&str> =
                all.things.iter().flat_map(|thing| &thing.guards).map(|guard| guard.issuer.as_str()).collect();
            assert!(!issuers.contains(&"https://evil.example"), "{claim}: {issuers:?}");
            let holiday = all.things.iter().find(|thing| thing.name == "Holiday").unwrap();
            assert_eq!(holiday.guard_for(&view).unwrap().issuer, "https://as.example");
            assert!(all.doubts.iter().any(|doubt| doubt.server == "https://evil.example"), "{claim}: {:?}", all.doubts);
            assert_eq!(all.things.len(), 3, "{claim}");
        }
    }
}

/// A resource server says that an honest guard calls its thing what is another server's thing there.
#[test]
fn threat_36_s02_a_keeper_cannot_take_another_ones_place_at_a_guard() {
    for servers in [vec![papers("A"), photos(), server()], vec![photos(), server(), papers("A")]] {
        let all = joined(servers);
        let letter = all.things.iter().find(|thing| thing.name == "Letter").unwrap();
        assert!(letter.guard_for(&ScopeSet::parse("view").unwrap()).is_none(), "{letter:?}");
        assert!(letter.shares.is_empty(), "and no share of the other thing is shown as its own");
        let holiday = all.things.iter().find(|thing| thing.name == "Holiday").unwrap();
        assert_eq!((holiday.shares.len(), holiday.guards[0].link.as_deref()), (1, Some("as")));
        assert!(all.doubts.iter().any(|doubt| doubt.server == "https://papers.example"), "{:?}", all.doubts);
    }
}

/// Nobody who keeps it is linked: each server's word makes a thing of its own, and nothing is signed for either.
#[test]
fn threat_36_s02_what_nobody_vouches_for_is_shown_apart_and_never_signed() {
    let one = json!([{"_id": "1", "resource_server": "https://far.example", "resource_scopes": ["view"], "name": "Diary", "_resource_id": "/d"}]);
    let all = joined(vec![at("https://a.example", json!({"guarded": one})), at("https://b.example", json!({"guarded": one}))]);
    let guards: Vec<usize> = all.things.iter().map(|thing| thing.guards.len()).collect();
    assert_eq!(guards, [1, 1]);
    assert!(all.things.iter().all(|thing| thing.entry(&ScopeSet::parse("view").unwrap()).is_none()));
}

#[test]
fn threat_36_names_that_hide_or_turn_are_shown_without_it() {
    let name = "Hol\u{202e}yad\u{200b}\r\nthe \u{0}rest";
    let listed = json!([{"_id": "1", "resource_server": "https://far.example", "resource_scopes": ["view"], "name": name}]);
    let all = joined(vec![at("https://a.example", json!({"guarded": listed}))]);
    assert_eq!(all.things[0].name, "Holyad the rest");
}

/// Ids of policies are one server's own: what is withdrawn is what she pointed at.
#[test]
fn threat_36_a_share_is_named_by_its_server_too() {
    let mut photos = photos();
    let mut second = photos.snapshot.available[0].registrations[0].clone();
    (second.id, second.authorization_server) = ("r2".into(), "https://b.example".into());
    photos.snapshot.available[0].registrations.push(second);
    let guard = |issuer: &str| {
        let guarded =
            json!([{"_id": "A", "resource_server": "https://photos.example", "resource_scopes": ["view"], "_resource_id": "/a"}]);
        let policies = json!([{"_id": "1", "resource_id": "A", "resource_scopes": ["view"], "required_claims": []}]);
        at(issuer, json!({"guarded": guarded, "policies": policies}))
    };
    let all = joined(vec![photos, guard("https://as.example"), guard("https://b.example")]);
    let key = all.things.iter().find(|thing| thing.name == "Holiday").unwrap().key.clone();
    for place in ["https://as.example", "https://b.example"] {
        assert_eq!(all.share(&key, "1", Some(place)).unwrap().1.place, place);
    }
    assert!(all.share(&key, "1", None).is_err(), "it does not say which");
    assert!(all.share(&key, "1", Some("https://c.example")).is_err());
    assert!(all.share(&key, "2", None).is_err());
}

/// A guard knows a resource server by the name of its client alone. A linked gateway says that it keeps that thing, under a name
/// of its own choice: the thing stays what it is, and the gateway's own is none of the guard's.
#[test]
fn threat_36_s02_a_keeper_does_not_take_the_place_of_one_without_a_url() {
    let records = |name: &Value, own_id: &Value| {
        let guarded = json!([{"_id": "X", "resource_server": "records-client", "resource_scopes": ["view"], "name": name, "_resource_id": own_id}]);
        at("https://as.example", json!({"guarded": guarded}))
    };
    for own_id in [json!(null), json!("/l"), json!("/records")] {
        for servers in [
            vec![papers("X"), records(&json!("Medical records"), &own_id)],
            vec![records(&json!("Medical records"), &own_id), papers("X")],
        ] {
            let all = joined(servers);
            let letter = all.things.iter().find(|thing| thing.name == "Letter").unwrap();
            assert!(letter.guard_for(&ScopeSet::parse("view").unwrap()).is_none(), "{letter:?}");
            let records = all.things.iter().find(|thing| thing.name == "Medical records").unwrap();
            assert_eq!((records.is_vouched, records.guards.len()), (false, 1));
            assert_eq!(all.guarded("https://as.example", &"X".into()).unwrap().name, "Medical records");
            assert!(all.doubts.iter().any(|doubt| doubt.server == "https://papers.example"), "{:?}", all.doubts);
        }
    }
    // an honest one says the same as the guard, and is believed
    let all = joined(vec![papers("X"), records(&json!("Letter"), &json!("/l"))]);
    assert_eq!(all.things.len(), 1);
    assert!(all.things[0].guard_for(&ScopeSet::parse("view").unwrap()).is_some());
}
