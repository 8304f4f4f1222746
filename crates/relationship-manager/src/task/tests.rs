use super::*;
use serde_json::json;

/// One URL that keeps and guards is linked as each by itself, and each link asks what is its own.
#[test]
fn threat_36_what_a_guard_was_asked_is_not_asked_of_a_keeper() {
    let keeper = Place::ResourceServer { resource: "s".into(), management: "s/m".into(), issuer: "s".into() };
    let guard = Place::AuthorizationServer { issuer: "s".into() };
    for (url, of_keeper, of_guard) in [
        ("s/m/my-withdrawn-tokens", true, false),
        ("s/m/my-resources/a/registrations/r", true, false),
        ("s/policies/p", false, true),
        ("s/requests/q", false, true),
        ("", true, true),
    ] {
        let task: Task = serde_json::from_value(
            json!({"id": "t", "owner": "alice", "group": "g", "what": "withdraw", "link": "l", "server": "s",
            "method": "POST", "url": url, "body": null, "created": 0, "standing": {"waiting": {"why": null}}, "tries": 0}),
        )
        .unwrap();
        assert_eq!((task.is_asked_at(&keeper), task.is_asked_at(&guard)), (of_keeper, of_guard), "{url}");
    }
}

/// A guard whose own paths look like a keeper's is told all the same.
#[test]
fn threat_36_a_task_says_of_whom_it_is_asked() {
    let guard = Place::AuthorizationServer { issuer: "s".into() };
    for (of_keeper, is_asked) in [(json!(false), true), (json!(true), false), (Value::Null, false)] {
        let task: Task =
            serde_json::from_value(json!({"id": "t", "owner": "alice", "group": "g", "what": "withdraw", "link": "l",
            "server": "s", "method": "DELETE", "url": "s/my-resources/policies/p", "body": null, "created": 0,
            "standing": {"waiting": {"why": null}}, "tries": 0, "of_keeper": of_keeper}))
            .unwrap();
        assert_eq!(task.is_asked_at(&guard), is_asked, "{of_keeper}");
    }
}

/// A server that is away for longer than a key's words usually live is still told when it comes back.
#[test]
fn threat_36_s31_what_nobody_confirmed_is_not_forgotten() {
    let task = |standing: Value, body: Value| -> Task {
        serde_json::from_value(json!({"id": "t", "owner": "alice", "group": "g", "what": "withdraw", "link": "l", "server": "s",
            "method": "POST", "url": "u", "body": body, "created": 0, "standing": standing, "tries": 0}))
        .unwrap()
    };
    let year = Timestamp(366 * 86_400);
    let (waits, unheard) = (json!({"waiting": {"why": null}}), json!({"unheard": {"why": "away"}}));
    for (standing, body, is_past) in [
        (json!({"confirmed": {"at": 1}}), Value::Null, true),
        (json!({"refused": {"why": "no"}}), Value::Null, true),
        (waits.clone(), Value::Null, false),
        (waits, json!({"exp": 1}), false),
        (unheard.clone(), Value::Null, false),
        (unheard.clone(), json!({"exp": year.0 + 1}), false),
        (unheard, json!({"exp": year.0 - 1}), true),
    ] {
        assert_eq!(task(standing.clone(), body.clone()).is_past(year), is_past, "{standing} {body}");
    }
    assert!(!task(json!({"confirmed": {"at": 1}}), Value::Null).is_past(Timestamp(SHOWN)), "shown for a week");
}
