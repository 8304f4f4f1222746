//! What is asked of servers, and when.

use super::super::TASK;
use super::{Store, key, on_each_engine};
use database::Operation;
use futures_util::FutureExt;
use std::time::Duration;
use types::Timestamp;

/// A clock that was a day ahead when a withdrawal was asked for puts it off by no day.
#[tokio::test]
async fn threat_35_what_a_clock_that_was_ahead_put_off_is_due() {
    on_each_engine(async |store| {
        let task: crate::task::Task = serde_json::from_value(serde_json::json!({"id": "t", "owner": "alice", "group": "g",
        "what": "withdraw", "link": "l", "server": "s", "method": "DELETE", "url": "u", "body": null, "created": 0,
        "standing": {"waiting": {"why": null}}, "tries": 0}))
        .unwrap();
        let due = async |now: i64| store.due_tasks(now, 10, |_| false).await.unwrap().len();
        store.put_tasks(&[task], Timestamp(86_400)).await.unwrap();
        assert_eq!(due(86_400).await, 0, "it waits for a moment");
        assert_eq!(due(100).await, 1, "the clock is right again");
    })
    .await;
}

/// However much one server owes, and one owner asks, the others' turn comes.
#[tokio::test]
async fn threat_46_s31_what_one_server_owes_takes_nobody_elses_turn() {
    on_each_engine(async |store| {
        let task = |owner: &str, link: &str, n: usize| -> crate::task::Task {
            serde_json::from_value(
                serde_json::json!({"id": format!("{link}-{n}"), "owner": owner, "group": "g", "what": "withdraw",
            "link": link, "server": "s", "method": "DELETE", "url": "u", "body": null, "created": 0,
            "standing": {"waiting": {"why": null}}, "tries": 0}),
            )
            .unwrap()
        };
        let owed: Vec<_> = (0..25_000).map(|n| task("alice", "hanging", n)).collect();
        store.put_tasks(&owed, Timestamp(0)).await.unwrap();
        let picked = async |now: i64, busy: &str| {
            let all = store.due_tasks(now, 200, |server| server.link == busy).await.unwrap();
            let of = |link: &str| all.iter().filter(|task| task.link == link).count();
            (of("hanging"), of("other"))
        };
        assert_eq!(picked(0, "").await, (0, 0), "not yet due");
        store.put_tasks(&[task("alice", "other", 0), task("bob", "other", 1)], Timestamp(5)).await.unwrap();
        assert_eq!(picked(10, "").await, (200, 2));
        assert_eq!(picked(10, "hanging").await, (0, 2));
        // what is confirmed, or deleted, is due no more
        let mut done = serde_json::to_value(task("alice", "other", 0)).unwrap();
        done["standing"] = serde_json::json!({"confirmed": {"at": 9}});
        let done: crate::task::Task = serde_json::from_value(done).unwrap();
        store.put_tasks(&[done], Timestamp(10)).await.unwrap();
        store.delete_tasks("bob", &["other-1".into()]).await.unwrap();
        assert_eq!(picked(100, "hanging").await, (0, 0));
        // and after a restart it is the same
        *store.due.lock().await = None;
        assert_eq!(picked(100, "").await, (200, 0));
    })
    .await;
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
    on_each_engine(async |store| {
        let task = waiting("t", "l");
        store.put_tasks(&[task.clone(), waiting("other", "m")], Timestamp(0)).await.unwrap();
        assert_eq!(store.due_tasks(9, 10, |_| false).await.unwrap().len(), 2);
        store.delete_link("alice", "l", "unlinked", Timestamp(1)).await.unwrap();
        let standing = async |store: &Store| {
            store.list_tasks("alice").await.unwrap().iter().find(|one| one.id == "t").unwrap().standing.clone()
        };
        let told = crate::task::Standing::Unheard { why: "unlinked".into() };
        assert_eq!(standing(&store).await, told);
        // the copy that was on its way
        store.keep_tried(&[task.clone(), confirmed(&waiting("other", "m"))], Timestamp(2)).await.unwrap();
        assert_eq!(standing(&store).await, told);
        assert!(store.due_tasks(99, 10, |_| false).await.unwrap().is_empty(), "the other one of that try was kept");
        // linked again, under another name: a try of before changes nothing either
        let again = waiting("t", "new link");
        store.put_tasks(std::slice::from_ref(&again), Timestamp(3)).await.unwrap();
        store.keep_tried(&[confirmed(&task)], Timestamp(4)).await.unwrap();
        assert_eq!(standing(&store).await, again.standing);
        store.keep_tried(&[confirmed(&again)], Timestamp(5)).await.unwrap();
        assert_eq!(standing(&store).await, confirmed(&again).standing);
        // what is deleted does not come back
        store.delete_tasks("alice", &["t".into()]).await.unwrap();
        store.keep_tried(&[again], Timestamp(6)).await.unwrap();
        assert!(store.list_tasks("alice").await.unwrap().iter().all(|one| one.id != "t"));
    })
    .await;
}

/// A commit that failed, and one that ends before another and is noted after it: the line says what the table says.
#[tokio::test]
async fn threat_46_s31_what_stands_in_the_table_stands_in_the_line() {
    on_each_engine(async |store| {
        let due = async || store.due_tasks(9, 10, |_| false).await.unwrap().len();
        let task = waiting("t", "l");
        store.put_tasks(std::slice::from_ref(&task), Timestamp(0)).await.unwrap();
        assert_eq!(due().await, 1);
        store.note_one("alice", "t").await.unwrap();
        assert_eq!(due().await, 1);
        store.put_tasks(&[confirmed(&task)], Timestamp(1)).await.unwrap();
        store.note_one("alice", "t").await.unwrap();
        assert_eq!(due().await, 0);
        // somebody who was given up before she said what she had committed
        let row = store.task_operation(&waiting("u", "l"), Timestamp(1)).unwrap();
        store.write(vec![row]).await.unwrap();
        assert_eq!(due().await, 0);
        assert_eq!(store.due_tasks(9 + 600, 10, |_| false).await.unwrap().len(), 1);
    })
    .await;
}

/// The other way round: what is confirmed while the link is being ended stays confirmed.
#[tokio::test]
async fn threat_46_s31_the_end_of_a_link_does_not_undo_a_confirmation() {
    on_each_engine(async |store| {
        let task = waiting("t", "l");
        store.put_tasks(&[task.clone(), waiting("u", "l")], Timestamp(0)).await.unwrap();
        let (batch, ended) = store.end_of_link("alice", "l", "unlinked", Timestamp(1)).await.unwrap();
        assert_eq!(ended.len(), 2);
        store.keep_tried(&[confirmed(&task)], Timestamp(1)).await.unwrap();
        assert!(matches!(store.records.commit(batch).await, Err(database::CommitError::Broken(_))), "nothing of it happens");
        store.delete_link("alice", "l", "unlinked", Timestamp(2)).await.unwrap();
        let standings: Vec<_> = store.list_tasks("alice").await.unwrap().into_iter().map(|task| task.standing).collect();
        assert_eq!(standings, [confirmed(&task).standing, crate::task::Standing::Unheard { why: "unlinked".into() }]);
    })
    .await;
}

/// Rows that do not open, or are gone, take nobody's place in the line of their server.
#[tokio::test]
async fn threat_46_s31_what_does_not_open_holds_up_no_other_task() {
    on_each_engine(async |mut store| {
        let all: Vec<_> = (0..250).map(|n| waiting(&format!("a{n:03}"), "l")).chain([waiting("z", "l")]).collect();
        store.put_tasks(&all, Timestamp(0)).await.unwrap();
        assert_eq!(store.due_tasks(9, 1, |_| false).await.unwrap().len(), 1, "the line is there");
        let right = store.exchange_key(key(2));
        for task in &all[..240] {
            let row = store.task_operation(task, Timestamp(0)).unwrap();
            store.write(vec![row]).await.unwrap();
        }
        store.exchange_key(right);
        for task in &all[240..250] {
            store
                .write(vec![Operation::Delete { table: &TASK, key: vec!["alice".into(), task.id.as_str().into()] }])
                .await
                .unwrap();
        }
        let picked = async |now| store.due_tasks(now, 200, |_| false).await.unwrap().into_iter().map(|task| task.id);
        let picked: Vec<String> = picked(9).await.chain(picked(9).await).collect();
        assert_eq!(picked, ["z"]);
    })
    .await;
}

/// A page that is closed while what it asked for is on its way to the disk: it is asked all the same, as soon as it is there.
#[tokio::test]
async fn threat_46_s31_whoever_is_given_up_is_heard() {
    on_each_engine(async |store| {
        assert!(store.due_tasks(0, 10, |_| false).await.unwrap().is_empty(), "the line is there");
        // its first step, and no other
        let _ = store.put_tasks(&[waiting("t", "l")], Timestamp(0)).now_or_never();
        for _ in 0..40 {
            let _ = store.due_tasks(5, 10, |_| false).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let written = store.list_tasks("alice").await.unwrap().len();
        assert_eq!(store.due_tasks(5 + 15, 10, |_| false).await.unwrap().len(), written);
    })
    .await;
}

/// What is shown no more is forgotten; what is asked anew between the look and that is not.
#[tokio::test]
async fn threat_46_s31_what_is_asked_anew_is_not_forgotten() {
    on_each_engine(async |store| {
        let is_over = |task: &crate::task::Task| matches!(task.standing, crate::task::Standing::Confirmed { .. });
        for _ in 0..5 {
            let over = ["a", "b"].map(|id| confirmed(&waiting(id, "l")));
            store.put_tasks(&over, Timestamp(0)).await.unwrap();
            let asked_anew = async { store.put_tasks(&[waiting("a", "new link")], Timestamp(1)).await };
            let (asked, looked) = tokio::join!(asked_anew, store.list_tasks_but("alice", is_over));
            assert!(asked.is_ok() && looked.is_ok());
            let left = store.list_tasks_but("alice", is_over).await.unwrap();
            assert_eq!(left.iter().map(|task| (task.id.as_str(), task.link.as_str())).collect::<Vec<_>>(), [("a", "new link")]);
            assert_eq!(store.list_tasks("alice").await.unwrap().len(), 1, "the other one is gone");
        }
        assert_eq!(store.due_tasks(99, 10, |_| false).await.unwrap().len(), 1);
    })
    .await;
}
