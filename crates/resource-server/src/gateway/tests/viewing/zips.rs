//! What of another resource is in a zip, and what is not.

use super::super::super::history::Outcome;
use super::*;
use serde_json::json;

impl Shared {
    /// Bob's token for more than the album.
    fn rpt_for(&self, ids: &[&str]) -> String {
        let now = self.world.gateway.client.clock.now().0;
        let permissions: Vec<_> = ids.iter().map(|id| json!({"resource_id": id, "resource_scopes": ["view"]})).collect();
        let claims = json!({"iss": self.world.issuer, "aud": RESOURCE, "jti": ids.concat(), "iat": now, "exp": now + 600,
            "client_id": "viewer", "sub": "bob", "permissions": permissions});
        format!("Bearer {}", self.world.key.sign("at+jwt", &claims).unwrap())
    }

    async fn count_allowed(&self, own_id: &str) -> u64 {
        self.world.gateway.write_history().await;
        let lines = self.world.gateway.store.list_history("alice", None, 100).await.unwrap();
        let of_it =
            |what: &crate::gateway::history::What| what.outcome == Outcome::Allowed && what.resource_id.as_str() == own_id;
        lines.iter().filter(|line| of_it(&line.what)).map(|line| line.count).sum()
    }

    async fn zip(&self, authorization: &str) -> Vec<(String, String)> {
        let answer = self.call("/holiday/?zip", &[("authorization", authorization)]).await;
        assert_eq!(answer.status, 200);
        contents(&mut zip_of(&answer))
    }
}

/// The album, and a directory in it whose files are of another resource.
async fn shared() -> Shared {
    let routes = vec![album("/holiday/private/{photo}", "/holiday/private"), album("/{album}/{rest..}", "/{album}")];
    let shared = Shared::new(routes, &["holiday/1.jpg", "holiday/private/2.jpg", "holiday/private/3.jpg"]).await;
    assert_eq!(shared.world.status("/holiday/private/2.jpg", None).await, 401, "it is registered");
    assert_eq!(shared.world.registered(), ["/holiday", "/holiday/private"]);
    shared
}

#[tokio::test]
async fn a_zip_has_of_another_resource_what_the_token_opens_and_history_says_so() {
    let shared = shared().await;
    let names = |all: Vec<(String, String)>| all.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(shared.zip(&shared.rpt_for(&["r1"])).await), ["holiday/1.jpg"]);
    assert_eq!(shared.count_allowed("/holiday/private").await, 0);
    let all = shared.zip(&shared.rpt_for(&["r1", "r2"])).await;
    assert_eq!(all[1].1, "what is in holiday/private/2.jpg");
    assert_eq!(names(all), ["holiday/1.jpg", "holiday/private/2.jpg", "holiday/private/3.jpg"]);
    assert_eq!(shared.count_allowed("/holiday/private").await, 1, "once for all that is in it");
    let other = shared.call("/holiday/?zip", &[("authorization", &shared.rpt_for(&["r2"]))]).await;
    assert_eq!(other.status, 401);
}

/// Who downloads by a session has in the zip what that holds when a file is read, and not what it held at the beginning.
#[tokio::test]
async fn a_zip_of_a_session_goes_by_what_the_session_holds_then() {
    let both = ["holiday/1.jpg", "holiday/private/2.jpg", "holiday/private/3.jpg"];
    let less = ["holiday/1.jpg", "holiday/private/2.jpg"];
    for (before, after, expected) in [(&["r1", "r2"][..], &["r1"][..], &less[..]), (&["r1"], &["r1", "r2"], &both)] {
        let shared = shared().await;
        // so much does not fit into what waits to be read
        let large = if before.len() == 2 { "holiday/private/2.jpg" } else { "holiday/1.jpg" };
        std::fs::write(shared.world.folder.join(large), vec![b'x'; 8 << 20]).unwrap();
        let (gateway, token_of) = (&shared.world.gateway, |ids: &[&str]| shared.rpt_for(ids).replace("Bearer ", ""));
        let cookie = gateway.begin_session_with("alice", &shared.world.issuer, &token_of(before)).await;
        let answer = shared.send("/holiday/?zip", &[("cookie", &cookie), ("sec-fetch-mode", "no-cors")]).await;
        assert_eq!(answer.status(), 200);
        while before.len() == 2 && shared.count_allowed("/holiday/private").await == 0 {
            tokio::task::yield_now().await;
        }
        gateway.change_session_to(&cookie, "alice", &shared.world.issuer, &token_of(after)).await;
        // as long as what is known of a session is kept
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        let read = contents(&mut zip_of(&Answer { status: parts.status, headers: parts.headers, body }));
        let names: Vec<_> = read.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, expected, "{before:?}");
    }
}

/// A permission that ends while another file of it is on its way opens the next one no more.
#[tokio::test]
async fn a_zip_goes_on_without_what_is_taken_back_meanwhile() {
    let shared = shared().await;
    std::fs::write(shared.world.folder.join("holiday/private/2.jpg"), vec![b'x'; 8 << 20]).unwrap();
    let authorization = shared.rpt_for(&["r1", "r2"]);
    let answer = shared.send("/holiday/?zip", &[("authorization", &authorization)]).await;
    // its first file does not fit into what waits to be read; it has begun as soon as history has it
    while shared.count_allowed("/holiday/private").await == 0 {
        tokio::task::yield_now().await;
    }
    let store = &shared.world.gateway.store;
    let all = store.registrations("alice", &types::OwnResourceId::from("/holiday/private")).await.unwrap();
    store.change_registrations(&[], &all.iter().collect::<Vec<_>>()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let read = contents(&mut zip_of(&Answer { status: parts.status, headers: parts.headers, body }));
    let lengths: Vec<_> = read.iter().map(|(name, text)| (name.as_str(), text.len())).collect();
    assert_eq!(lengths, [("holiday/1.jpg", 24), ("holiday/private/2.jpg", 8 << 20)]);
}
