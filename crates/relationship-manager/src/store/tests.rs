//! What is sealed stays sealed, and what does not open is an error.

use super::seal::KEY_CHECK;
use super::*;
use crate::lock;
use jose::SystemRandomness;

/// Row 40: the desk with another key file, or a broken row.
#[tokio::test]
async fn threat_40_s22_what_does_not_open_at_the_desk_is_not_absent() {
    let mut store = Store::in_memory(SealingKey::new(&[1; 32]).unwrap());
    let first = store.secret("signing-key", || Some(vec![1])).await.unwrap();
    store.put_about("sub", &About { owner: "alice".into(), link: "l".into() }).await.unwrap();
    let session = Session { owner: "alice".into(), name: "Alice".into(), expires: Timestamp(9) };
    store.put_session("s", &session, Timestamp(0)).await.unwrap();
    let task: crate::task::Task = serde_json::from_value(serde_json::json!({"id": "t", "owner": "alice", "group": "g",
        "what": "withdraw", "link": "l", "server": "s", "method": "DELETE", "url": "u", "body": null, "created": 0,
        "standing": {"waiting": {"why": null}}, "tries": 0}))
    .unwrap();
    store.put_tasks(&[task], Timestamp(0)).await.unwrap();
    store.put_key("alice", "did:key:z", &"her key").await.unwrap();
    let right = std::mem::replace(&mut store.key, SealingKey::new(&[2; 32]).unwrap());
    assert_eq!(store.secret("signing-key", || Some(vec![2])).await, Err(StoreAway), "no key is made over one that is there");
    assert_eq!(store.find_about("sub"), Err(StoreAway));
    assert!(store.find_session("s").is_err() && store.list_tasks("alice").is_err());
    assert!(store.list_keys::<String>("alice").is_err());
    assert_eq!(store.find_about("another"), Ok(None), "what is absent is absent");
    store.key = right;
    assert_eq!(store.secret("signing-key", || Some(vec![2])).await, Ok(first));
    assert_eq!(store.list_due_tasks(Timestamp(10), 10, |_| false).unwrap().len(), 1);
}

/// A log-in of nobody is kept by the browser alone, which can neither read nor change it, nor bring a row for it.
#[tokio::test]
async fn threat_41_s17_what_a_browser_keeps_is_sealed() {
    let store = Store::in_memory(SealingKey::new(&[1; 32]).unwrap());
    let about = About { owner: "alice".into(), link: "l".into() };
    let sealed = store.sealed_for_browser(&about).unwrap();
    assert!(!sealed.contains("alice") && store.opened_from_browser::<About>(&sealed) == Some(about.clone()));
    let row = store.sealed_row(&NOTICE, vec!["sub".into()], &about).unwrap();
    let row = row.last().and_then(Value::as_blob).unwrap();
    for other in [jose::base64url::encode(row), format!("{sealed}A"), String::new(), "rubbish".into()] {
        assert_eq!(store.opened_from_browser::<About>(&other), None, "{other}");
    }
    let other = Store::in_memory(SealingKey::new(&[2; 32]).unwrap());
    assert_eq!(other.opened_from_browser::<About>(&sealed), None);
}

#[test]
fn tables_are_as_the_migration_makes_them() {
    for table in TABLES {
        let script = MIGRATIONS.0.join("\n");
        let line = script.lines().find(|line| line.contains(&format!("TABLE {} ", table.name))).unwrap();
        assert!(table.columns.iter().all(|column| line.contains(column.name)), "{}", table.name);
    }
}

/// Row 40: the desk is started with the right key, another one, or one that opens a part.
#[tokio::test]
async fn threat_40_s26_another_key_is_noticed_at_the_start_and_changes_nothing() {
    let mut store = Store::in_memory(SealingKey::new(&[1; 32]).unwrap());
    assert_eq!(store.check_key().await, Ok(()), "a new store");
    assert_eq!(store.check_key().await, Ok(()), "the same key");
    let rows = |store: &Store| {
        let all = |table| Scan { table, index: None, prefix: &[], after: None, descending: false, limit: usize::MAX };
        TABLES.map(|table| store.database.scan(&all(table)).unwrap())
    };
    let before = rows(&store);
    let right = std::mem::replace(&mut store.key, SealingKey::new(&[2; 32]).unwrap());
    assert_eq!(store.check_key().await, Err(StoreClosed::OtherKey), "also where nothing but the check is sealed");
    assert_eq!(rows(&store), before);
    // a store of before there was a check
    store.key = right;
    store.write(vec![Operation::Delete { table: &SECRET, key: vec![KEY_CHECK.into()] }]).await.unwrap();
    store.put_about("sub", &About { owner: "alice".into(), link: "l".into() }).await.unwrap();
    let before = rows(&store);
    let right = std::mem::replace(&mut store.key, SealingKey::new(&[2; 32]).unwrap());
    assert_eq!(store.check_key().await, Err(StoreClosed::OtherKey));
    assert_eq!(rows(&store), before);
    store.put_about("another", &About { owner: "bob".into(), link: "l".into() }).await.unwrap();
    store.key = right;
    assert_eq!(store.check_key().await, Err(StoreClosed::Broken("notice")));
    store.write(vec![Operation::Delete { table: &NOTICE, key: vec!["another".into()] }]).await.unwrap();
    assert_eq!(store.check_key().await, Ok(()));
    assert_eq!(rows(&store)[2].len(), 1, "it has its check now");
}

/// A clock that was a day ahead when a withdrawal was asked for puts it off by no day.
#[tokio::test]
async fn threat_35_what_a_clock_that_was_ahead_put_off_is_due() {
    let store = Store::in_memory(SealingKey::new(&[1; 32]).unwrap());
    let task: crate::task::Task = serde_json::from_value(serde_json::json!({"id": "t", "owner": "alice", "group": "g",
        "what": "withdraw", "link": "l", "server": "s", "method": "DELETE", "url": "u", "body": null, "created": 0,
        "standing": {"waiting": {"why": null}}, "tries": 0}))
    .unwrap();
    let due = |now: i64| store.list_due_tasks(Timestamp(now), 10, |_| false).unwrap().len();
    store.put_tasks(&[task], Timestamp(86_400)).await.unwrap();
    assert_eq!(due(86_400), 0, "it waits for a moment");
    assert_eq!(due(100), 1, "the clock is right again");
}

/// However much one server owes, and one owner asks, the others' turn comes.
#[tokio::test]
async fn threat_46_s31_what_one_server_owes_takes_nobody_elses_turn() {
    let store = Store::in_memory(SealingKey::new(&[1; 32]).unwrap());
    let task = |owner: &str, link: &str, n: usize| -> crate::task::Task {
        serde_json::from_value(serde_json::json!({"id": format!("{link}-{n}"), "owner": owner, "group": "g", "what": "withdraw",
            "link": link, "server": "s", "method": "DELETE", "url": "u", "body": null, "created": 0,
            "standing": {"waiting": {"why": null}}, "tries": 0}))
        .unwrap()
    };
    let owed: Vec<_> = (0..25_000).map(|n| task("alice", "hanging", n)).collect();
    store.put_tasks(&owed, Timestamp(0)).await.unwrap();
    let picked = |now: i64, busy: &str| {
        let all = store.list_due_tasks(Timestamp(now), 200, |server| server.link == busy).unwrap();
        let of = |link: &str| all.iter().filter(|task| task.link == link).count();
        (of("hanging"), of("other"))
    };
    assert_eq!(picked(0, ""), (0, 0), "not yet due");
    store.put_tasks(&[task("alice", "other", 0), task("bob", "other", 1)], Timestamp(5)).await.unwrap();
    assert_eq!(picked(10, ""), (200, 2));
    assert_eq!(picked(10, "hanging"), (0, 2));
    // what is confirmed, or deleted, is due no more
    let mut done = serde_json::to_value(task("alice", "other", 0)).unwrap();
    done["standing"] = serde_json::json!({"confirmed": {"at": 9}});
    let done: crate::task::Task = serde_json::from_value(done).unwrap();
    store.put_tasks(&[done], Timestamp(10)).await.unwrap();
    store.delete_tasks("bob", &["other-1".into()]).await.unwrap();
    assert_eq!(picked(100, "hanging"), (0, 0));
    // and after a restart it is the same
    *lock(&store.due) = None;
    assert_eq!(picked(100, ""), (200, 0));
}

/// A seal knows its row: what somebody with the store copies from one into another does not open there. A store of before is
/// sealed anew at its first start.
#[tokio::test]
async fn threat_40_a_seal_opens_in_its_own_row_alone() {
    let store = Store::in_memory(SealingKey::new(&[1; 32]).unwrap());
    let session = |owner: &str| Session { owner: owner.into(), name: owner.into(), expires: Timestamp(9) };
    store.put_session("of-alice", &session("alice"), Timestamp(0)).await.unwrap();
    store.put_session("of-mallory", &session("mallory"), Timestamp(0)).await.unwrap();
    let row = |id: &str| store.database.get(&SESSION, &[id.into()]).unwrap().unwrap();
    let swapped = vec!["of-mallory".into(), 9_i64.into(), row("of-alice").last().unwrap().clone()];
    store.write(vec![Operation::Put { table: &SESSION, row: swapped }]).await.unwrap();
    assert_eq!(store.find_session("of-mallory").err(), Some(StoreAway));
    assert!(store.find_session("of-alice").unwrap().is_some());
    // as a store of before has it: sealed for its table, and no key check
    let plain = serde_json::to_vec(&session("bob")).unwrap();
    let sealed = store.key.seal(&plain, SESSION.name.as_bytes(), &SystemRandomness).unwrap();
    let old = vec!["of-mallory".into(), 9_i64.into(), sealed.into()];
    store.write(vec![Operation::Put { table: &SESSION, row: old }]).await.unwrap();
    assert!(store.find_session("of-mallory").is_err(), "not before it was sealed anew");
    assert_eq!(store.check_key().await, Ok(()));
    assert_eq!(store.find_session("of-mallory").unwrap().unwrap().owner, "bob");
    assert!(store.find_session("of-alice").unwrap().is_some());
}

fn waiting(id: &str, link: &str) -> crate::task::Task {
    serde_json::from_value(
        serde_json::json!({"id": id, "owner": "alice", "group": "g", "what": "withdraw", "link": link, "server": "s",
        "method": "DELETE", "url": "u", "body": null, "created": 0, "standing": {"waiting": {"why": null}}, "tries": 0}),
    )
    .unwrap()
}

fn confirmed(task: &crate::task::Task) -> crate::task::Task {
    let mut whole = serde_json::to_value(task).unwrap();
    whole["standing"] = serde_json::json!({"confirmed": {"at": 7}});
    serde_json::from_value(whole).unwrap()
}

/// A try that comes back after its server was unlinked: what the end of the link says of it stays, and it is asked no more.
#[tokio::test]
async fn threat_46_s31_a_try_under_way_does_not_undo_the_end_of_its_link() {
    let store = Store::in_memory(SealingKey::new(&[1; 32]).unwrap());
    let task = waiting("t", "l");
    store.put_tasks(&[task.clone(), waiting("other", "m")], Timestamp(0)).await.unwrap();
    assert_eq!(store.list_due_tasks(Timestamp(9), 10, |_| false).unwrap().len(), 2);
    store.delete_link("alice", "l", "unlinked", Timestamp(1)).await.unwrap();
    let standing = |store: &Store| store.list_tasks("alice").unwrap().iter().find(|one| one.id == "t").unwrap().standing.clone();
    let told = crate::task::Standing::Unheard { why: "unlinked".into() };
    assert_eq!(standing(&store), told);
    // the copy that was on its way
    store.keep_tried(&[task.clone(), confirmed(&waiting("other", "m"))], Timestamp(2)).await.unwrap();
    assert_eq!(standing(&store), told);
    assert!(store.list_due_tasks(Timestamp(99), 10, |_| false).unwrap().is_empty(), "the other one of that try was kept");
    // linked again, under another name: a try of before changes nothing either
    let again = waiting("t", "new link");
    store.put_tasks(std::slice::from_ref(&again), Timestamp(3)).await.unwrap();
    store.keep_tried(&[confirmed(&task)], Timestamp(4)).await.unwrap();
    assert_eq!(standing(&store), again.standing);
    store.keep_tried(&[confirmed(&again)], Timestamp(5)).await.unwrap();
    assert_eq!(standing(&store), confirmed(&again).standing);
    // what is deleted does not come back
    store.delete_tasks("alice", &["t".into()]).await.unwrap();
    store.keep_tried(&[again], Timestamp(6)).await.unwrap();
    assert!(store.list_tasks("alice").unwrap().iter().all(|one| one.id != "t"));
}

/// A commit that failed, and one that ends before another and is noted after it: the line says what the table says.
#[tokio::test]
async fn threat_46_s31_what_stands_in_the_table_stands_in_the_line() {
    let store = Store::in_memory(SealingKey::new(&[1; 32]).unwrap());
    let due = || store.list_due_tasks(Timestamp(9), 10, |_| false).unwrap().len();
    let task = waiting("t", "l");
    store.put_tasks(std::slice::from_ref(&task), Timestamp(0)).await.unwrap();
    assert_eq!(due(), 1);
    store.note_tasks(&[task.clone().left_untold("it was unlinked, and that is not on disk")]);
    assert_eq!(due(), 1);
    store.put_tasks(&[confirmed(&task)], Timestamp(1)).await.unwrap();
    store.note_tasks(&[task]);
    assert_eq!(due(), 0);
    // somebody who was given up before she said what she had committed
    let row = store.task_operation(&waiting("u", "l"), Timestamp(1)).unwrap();
    store.write(vec![row]).await.unwrap();
    assert_eq!(due(), 0);
    assert_eq!(store.list_due_tasks(Timestamp(9 + 600), 10, |_| false).unwrap().len(), 1);
}

/// The other way round: what is confirmed while the link is being ended stays confirmed.
#[tokio::test]
async fn threat_46_s31_the_end_of_a_link_does_not_undo_a_confirmation() {
    let store = Store::in_memory(SealingKey::new(&[1; 32]).unwrap());
    let task = waiting("t", "l");
    store.put_tasks(&[task.clone(), waiting("u", "l")], Timestamp(0)).await.unwrap();
    let (batch, ended) = store.end_of_link("alice", "l", "unlinked", Timestamp(1)).unwrap();
    assert_eq!(ended.len(), 2);
    store.keep_tried(&[confirmed(&task)], Timestamp(1)).await.unwrap();
    assert!(matches!(store.database.commit(batch).await, Err(database::CommitError::Broken(_))), "nothing of it happens");
    store.delete_link("alice", "l", "unlinked", Timestamp(2)).await.unwrap();
    let standings: Vec<_> = store.list_tasks("alice").unwrap().into_iter().map(|task| task.standing).collect();
    assert_eq!(standings, [confirmed(&task).standing, crate::task::Standing::Unheard { why: "unlinked".into() }]);
}

/// Rows that do not open, or are gone, take nobody's place in the line of their server.
#[tokio::test]
async fn threat_46_s31_what_does_not_open_holds_up_no_other_task() {
    let mut store = Store::in_memory(SealingKey::new(&[1; 32]).unwrap());
    let all: Vec<_> = (0..250).map(|n| waiting(&format!("a{n:03}"), "l")).chain([waiting("z", "l")]).collect();
    store.put_tasks(&all, Timestamp(0)).await.unwrap();
    assert_eq!(store.list_due_tasks(Timestamp(9), 1, |_| false).unwrap().len(), 1, "the line is there");
    let right = std::mem::replace(&mut store.key, SealingKey::new(&[2; 32]).unwrap());
    for task in &all[..240] {
        let row = store.task_operation(task, Timestamp(0)).unwrap();
        store.write(vec![row]).await.unwrap();
    }
    store.key = right;
    for task in &all[240..250] {
        store.write(vec![Operation::Delete { table: &TASK, key: vec!["alice".into(), task.id.as_str().into()] }]).await.unwrap();
    }
    let picked = |now| store.list_due_tasks(Timestamp(now), 200, |_| false).unwrap().into_iter().map(|task| task.id);
    let picked: Vec<String> = picked(9).chain(picked(9)).collect();
    assert_eq!(picked, ["z"]);
}

/// Two servers list one word of hers; she takes it back between the reading of the one and that of the other.
#[tokio::test]
async fn threat_36_a_word_that_she_took_back_is_not_written_over() {
    let store = Store::in_memory(SealingKey::new(&[1; 32]).unwrap());
    let word: crate::ledger::Word = serde_json::from_value(serde_json::json!({"text": "a.b.c", "name": "Holiday", "guards": [], "since": 1,
        "origin": "found", "said": {"share": {"jti": "j", "iss": "did:key:z", "resource_owner_id": "did:key:z", "aud": ["https://as.example"],
        "iat": 0, "exp": 1_000, "allowed_rqp": {}, "resources": [{"resource_server": "https://rs.example", "resource_id": "/a",
        "allowed_scopes": ["view"]}]}}}))
    .unwrap();
    store.add_words("alice", std::slice::from_ref(&word), Timestamp(1)).await.unwrap();
    store.withdraw_words("alice", std::slice::from_ref(&word), &[], Timestamp(2)).await.unwrap();
    store.add_words("alice", std::slice::from_ref(&word), Timestamp(3)).await.unwrap();
    assert_eq!(store.list_words("alice").unwrap()[0].withdrawn, Some(Timestamp(2)));
}

/// As who a word was placed is kept when the link ends that says so, also of words that did not say it before.
#[tokio::test]
async fn threat_36_s03_the_end_of_a_link_keeps_whose_it_was() {
    let store = Store::in_memory(SealingKey::new(&[1; 32]).unwrap());
    let word: crate::ledger::Word = serde_json::from_value(serde_json::json!({"text": "a.b.c", "name": "Holiday", "guards": ["https://as.example"],
        "since": 9, "origin": "signed_here", "said": {"share": {"jti": "j", "iss": "did:key:z", "resource_owner_id": "did:key:z",
        "aud": ["https://as.example"], "iat": 0, "exp": 1_000, "allowed_rqp": {}, "resources": [{"resource_server": "https://rs.example",
        "resource_id": "/a", "allowed_scopes": ["view"]}]}}}))
    .unwrap();
    let link: super::Link = serde_json::from_value(serde_json::json!({"id": "l.alice", "place": {"authorization_server":
        {"issuer": "https://as.example"}}, "account": null, "access_token": "", "bound": false, "renew_from": 0, "refresh_token": null,
        "ended": false, "added": 1}))
    .unwrap();
    store.put_link("alice", &link).await.unwrap();
    store.add_words("alice", std::slice::from_ref(&word), Timestamp(9)).await.unwrap();
    let (_, as_it_stood) = store.word_as_it_stands("alice", &word).unwrap();
    store.delete_link("alice", "l.alice", "unlinked", Timestamp(10)).await.unwrap();
    // what was read before the link ended is written nowhere
    let stale = Batch { checks: vec![as_it_stood], operations: vec![store.word_operation("alice", &word).unwrap()] };
    assert!(matches!(store.database.commit(stale).await, Err(database::CommitError::Broken(_))));
    // taken back by somebody who read it before
    store.withdraw_words("alice", std::slice::from_ref(&word), &[], Timestamp(11)).await.unwrap();
    let kept = store.list_words("alice").unwrap().remove(0);
    assert_eq!((kept.placed, kept.withdrawn), (vec![crate::ledger::PlacedAs::of(&link)], Some(Timestamp(11))));
}
