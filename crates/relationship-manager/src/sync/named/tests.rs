//! Each member of what servers list, with each kind of rubbish in it: read in another form, marked, or counted; never dropped.

use super::*;
use crate::sync::Guarded;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What no member can mean; `null` in a list is none of it, and no absent item either.
fn rubbish() -> [Value; 7] {
    [json!({"x": 1}), json!([{"x": 1}]), json!([null]), json!("no such thing"), json!(true), json!(1e300), json!([["x"]])]
}

fn listed<T: DeserializeOwned>(item: Value) -> Listed<T> {
    match types::answer::read(item, &[]) {
        Ok(item) => Listed { items: vec![item], unread: 0 },
        Err(_) => Listed { items: Vec::new(), unread: 1 },
    }
}

/// Whether the whole of it is said by what was read.
fn says<T: Serialize>(read: &T, member: &str, value: &Value) -> bool {
    let read = serde_json::to_value(read).unwrap();
    let found = read.get(member).cloned().unwrap_or(Value::Null);
    let as_text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let all = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    let (found, value) = (all(&found), all(value));
    // `null` says nothing, and a number may come as a text
    found.len() == value.len() && found.iter().zip(&value).all(|(one, other)| as_text(one) == as_text(other))
}

fn holds_for<T: Named + DeserializeOwned + Serialize>(base: &Value, members: &[&str]) {
    let plain = sort(listed::<T>(base.clone()));
    assert!(plain.items.len() == 1 && plain.unclear.is_empty() && plain.nameless == 0, "{base}");
    let plain = serde_json::to_value(&plain.items[0]).unwrap();
    for member in members {
        for value in rubbish() {
            let mut changed = base.clone();
            changed[*member] = value.clone();
            let listed = listed::<T>(changed);
            let unread = listed.unread;
            let sorted = sort(listed);
            let is_told = unread + sorted.nameless + sorted.unclear.len() > 0;
            assert!(is_told || says(&sorted.items[0], member, &value), "{member} = {value}: {:?}", sorted.unclear);
        }
        let mut null = base.clone();
        null[*member] = Value::Null;
        let listed = listed::<T>(null);
        let unread = listed.unread;
        let sorted = sort(listed);
        // as if it were not there: what must be there makes the item unread
        assert!(unread + sorted.nameless == 1 || sorted.unclear.is_empty(), "{member}");
    }
    let mut more = base.clone();
    more["something_new"] = json!({"only": "sundays"});
    let sorted = sort(listed::<T>(more));
    let known = serde_json::to_value(&sorted.items[0]).unwrap();
    let is_same = plain.as_object().unwrap().iter().all(|(member, value)| known[member] == *value);
    assert!(is_same, "what is not known changes nothing of what is");
}

#[test]
fn threat_48_s37_no_member_of_what_servers_list_vanishes_unmarked() {
    let policy = json!({"_id": "p", "resource_id": "r", "resource_scopes": ["view"], "client_id": ["viewer"], "valid_from": 1,
        "required_claims": [{"name": "email", "value": ["bob@bar.example"]}], "expires_at": 9, "max_uses": 3, "uses": 1,
        "purpose": "treatment", "on_missing": "ask", "state": "waiting", "authority": "t", "delegation": "d"});
    let members = [
        "_id",
        "resource_id",
        "resource_scopes",
        "client_id",
        "valid_from",
        "required_claims",
        "expires_at",
        "max_uses",
        "uses",
        "purpose",
        "on_missing",
        "state",
        "authority",
        "delegation",
    ];
    holds_for::<PolicyDocument>(&policy, &members);
    for (member, value) in
        [("not_before", json!(5)), ("defer_to", json!({})), ("resource_server", json!({})), ("_resource_id", json!([]))]
    {
        let mut more = policy.clone();
        more[member] = value;
        let sorted = sort(listed::<PolicyDocument>(more));
        assert!(sorted.unclear.len() + sorted.nameless == 1, "{member}");
    }
    let delegation = json!({"_id": "d", "delegate": {"email": "carol@foo.example"}, "resources": ["r"], "resource_scopes": ["view"],
        "may": ["approve"], "expires_at": 9, "created": 1, "owner": "o", "owner_name": "Alice", "delegation": "t"});
    let members =
        ["_id", "delegate", "resources", "resource_scopes", "may", "expires_at", "created", "owner", "owner_name", "delegation"];
    holds_for::<DelegationDocument>(&delegation, &members);
    let request = json!({"_id": "q", "state": "pending", "created": 1, "expires_at": 9, "client": {"client_id": "v", "name": "V",
        "verified": true}, "requesting_party": {"email": "bob@bar.example"}, "permissions": [{"resource_id": "r", "resource_scopes": ["view"]}],
        "message": "please"});
    let members = ["_id", "state", "created", "expires_at", "client", "permissions", "message"];
    holds_for::<AccessRequestDocument>(&request, &members);
    let guarded = json!({"_id": "A", "resource_server": "https://rs.example", "resource_scopes": ["view"], "_resource_id": "/a"});
    holds_for::<Guarded>(&guarded, &["_id", "resource_server", "resource_scopes", "_resource_id"]);
}

/// Parts of parts: of a condition, of a delegate, of a permission.
#[test]
fn threat_48_s37_parts_of_members_do_not_vanish_either() {
    let claim = |changes: Value| {
        let mut claim = json!({"name": "email", "value": ["bob@bar.example"]});
        claim.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({"_id": "p", "resource_id": "r", "resource_scopes": ["view"], "required_claims": [claim]})
    };
    for changes in [
        json!({"issuer": [null]}),
        json!({"issuer": {}}),
        json!({"claim_token_format": [null]}),
        json!({"weight": 3}),
        json!({"name": {}}),
        json!({"value": "bob@bar.example"}),
        json!({"value": null}),
    ] {
        let sorted = sort(listed::<PolicyDocument>(claim(changes.clone())));
        assert_eq!(sorted.unclear["p"], BTreeSet::from(["for whom".to_owned()]), "{changes}");
    }
    for scopes in [json!(["view", null]), json!(["view", {"x": 1}]), json!(["view", "no scope at all"])] {
        let policy = json!({"_id": "p", "resource_id": "r", "resource_scopes": scopes});
        assert!(sort(listed::<PolicyDocument>(policy)).unclear.contains_key("p"), "{scopes}");
        let delegation = json!({"_id": "d", "delegate": {"email": {"x": 1}}, "resources": "all", "resource_scopes": scopes, "may": ["approve", {}]});
        let sorted = sort(listed::<DelegationDocument>(delegation));
        assert_eq!(sorted.unclear["d"], BTreeSet::from(["for whom".to_owned(), "what it allows".to_owned()]), "{scopes}");
    }
}
