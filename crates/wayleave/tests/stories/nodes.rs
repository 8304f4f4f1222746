//! Two servers for one issuer, on one PostgreSQL: whichever of them a call comes to.

use crate::desk::Desk;
use crate::gateway::Guarded;
use crate::processes::{Server, database, until, until_out};
use outbound::{Method, Request};
use serde_json::{Value, json};
use std::collections::HashSet;

impl Desk {
    async fn share(&self) -> (String, String) {
        let registration = self.metadata.resource_registration_endpoint.clone().unwrap();
        let policies = self.metadata.policy_endpoint.clone().unwrap();
        let (status, made) =
            self.api(Method::POST, &registration, &self.pat, json!({"resource_scopes": ["view"]})).await.unwrap();
        assert_eq!(status, 201, "{made}");
        let resource = made["_id"].as_str().unwrap().to_owned();
        let document = json!({"resource_id": resource, "resource_scopes": ["view"], "required_claims": []});
        let (status, made) = self.api(Method::POST, &policies, &self.pmt, document).await.unwrap();
        assert_eq!(status, 201, "{made}");
        (resource, made["_id"].as_str().unwrap().to_owned())
    }

    async fn is_active(&self, rpt: &str) -> bool {
        let url = self.metadata.introspection_endpoint.clone().unwrap();
        let form = format!("token={rpt}");
        let request = Request::form(&url, form).header("authorization", &format!("Bearer {}", self.pat));
        let answer = self.client.outbound.send(request).await.unwrap();
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        told["active"] == json!(true)
    }

    /// Kinds of what stands in Alice's chain, each event once.
    async fn history(&self) -> Vec<String> {
        let url = self.metadata.events_endpoint.clone().unwrap();
        let (status, told) = self.api(Method::GET, &url, &self.pmt, Value::Null).await.unwrap();
        assert_eq!(status, 200, "{told}");
        let events = told.as_array().cloned().unwrap_or_else(|| told["events"].as_array().unwrap().clone());
        events.iter().map(|event| event["_id"].as_str().or(event["id"].as_str()).unwrap().to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_of_one_server_is_redeemed_at_another_and_a_withdrawal_reaches_it() {
    let server = Server::start_on_postgres();
    let (beside, _folder, there) = server.start_beside();
    let one = Desk::open(&server).await;
    let two = one.at(&server.issuer, &there).await;
    let (resource, policy) = one.share().await;
    // a ticket counts at both, and once
    let ticket = one.ticket(&resource).await.unwrap();
    let (status, granted) = two.trade(&ticket).await.unwrap();
    assert_eq!(status, 200, "{granted}");
    assert_eq!(one.trade(&ticket).await.unwrap().1["error"], "invalid_grant");
    let rpt = granted["access_token"].as_str().unwrap().to_owned();
    assert!(one.is_active(&rpt).await && two.is_active(&rpt).await);
    // of many who redeem one ticket at both, one gets something
    let ticket = two.ticket(&resource).await.unwrap();
    let all = (0..16).map(|n| if n % 2 == 0 { one.trade(&ticket) } else { two.trade(&ticket) });
    let answers = futures_util::future::join_all(all).await;
    assert_eq!(answers.iter().filter(|answer| answer.as_ref().unwrap().0 == 200).count(), 1, "{answers:?}");
    // what was withdrawn at one ends at the other
    assert!(two.is_active(&rpt).await, "the replay of another ticket is no matter of this one");
    let policies = one.metadata.policy_endpoint.clone().unwrap();
    let (status, _) = one.api(Method::DELETE, &format!("{policies}/{policy}"), &one.pmt, Value::Null).await.unwrap();
    assert_eq!(status, 204);
    until_out(async || !two.is_active(&rpt).await).await;
    assert!(!one.is_active(&rpt).await);
    // what both have written is one history, sealed by one of them, each event once
    until("the history of both is whole", async || {
        let (of_one, of_two) = (one.history().await, two.history().await);
        let each: HashSet<_> = of_one.iter().collect();
        of_one.len() >= 4 && each.len() == of_one.len() && of_one == of_two
    })
    .await;
    // where one is gone, the other goes on, and seals what both have left
    drop(beside);
    let (resource, _) = one.share().await;
    let ticket = one.ticket(&resource).await.unwrap();
    assert_eq!(one.trade(&ticket).await.unwrap().0, 200);
}

/// A gateway keeps its things in a database as in a file: a second one does not come beside it, and after a crash all is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_on_a_database_is_one_process_and_finds_its_things_again() {
    let server = Server::start_on_postgres();
    let url = database("gateway");
    let mut guarded =
        Guarded::start_changed(&server, "", |text| text.replace("url = \"sqlite:gateway.db\"", &format!("url = \"{url}\"")));
    let place = format!("{}/albums/holiday/1.jpg", guarded.url);
    let desk = Desk::open(&server).await.at("http://nowhere.example", &guarded.url).await;
    let ticket_of = async || {
        let answer = desk.client.outbound.send(Request::get(&place)).await.unwrap();
        (answer.status.as_u16(), answer.header("www-authenticate").unwrap_or_default().to_owned())
    };
    let (status, challenge) = ticket_of().await;
    assert!(status == 401 && challenge.contains("ticket="), "{status} {challenge}");
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_wayleave"))
        .arg("gateway")
        .current_dir(&guarded.folder.0)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && said.contains("is served by another process"), "{said}");
    guarded.kill();
    guarded.run_again();
    let (status, challenge) = ticket_of().await;
    assert!(status == 401 && challenge.contains("ticket="), "{status} {challenge}");
    // while it cannot be sure that its store is its own it says nothing from it, and goes on where nobody else had it
    let sql = |text: &str| {
        let mut psql = std::process::Command::new("psql");
        psql.args([&url, "-qAtc", text]).stdout(std::process::Stdio::null());
        psql
    };
    let thief = "SELECT pg_advisory_lock(hashtextextended('wayleave_gateway first', 0)); SELECT pg_sleep(5)";
    let mut thief = sql(thief).spawn().unwrap();
    let end = "SELECT pg_terminate_backend(held.pid) FROM pg_locks held JOIN pg_locks waiting USING (classid, objid, objsubid) \
               WHERE held.granted AND NOT waiting.granted AND held.locktype = 'advisory'";
    until("nothing is said", async || sql(end).status().unwrap().success() && ticket_of().await.0 == 503).await;
    thief.wait().unwrap();
    until("it goes on", async || ticket_of().await.0 == 401).await;
}
