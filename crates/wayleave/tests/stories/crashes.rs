//! `kill -9` in the middle of a mixed load: what was acknowledged is there, what was spent stays spent.

use crate::desk::Desk;
use crate::processes::Server;
use outbound::{Method, Request};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often it is killed.
const TIMES: usize = 12;
const AT_ONCE: usize = 6;

/// What the server has acknowledged.
#[derive(Default)]
struct Acknowledged {
    resources: Vec<String>,
    policies: Vec<String>,
    withdrawn: Vec<String>,
    spent: Vec<String>,
    rpts: Vec<String>,
    /// Heads of the owner's event chain, as she kept them.
    heads: Vec<String>,
}

impl Desk {
    /// One round of work; each step is noted once it is acknowledged. `None`: the server is gone.
    async fn work(&self, noted: &Mutex<Acknowledged>) -> Option<()> {
        let registration = self.metadata.resource_registration_endpoint.clone()?;
        let policies = self.metadata.policy_endpoint.clone()?;
        let (status, made) = self.api(Method::POST, &registration, &self.pat, json!({"resource_scopes": ["view"]})).await?;
        assert_eq!(status, 201, "{made}");
        let resource = made["_id"].as_str()?.to_owned();
        noted.lock().unwrap().resources.push(resource.clone());
        let document = json!({"resource_id": resource, "resource_scopes": ["view"], "required_claims": []});
        let (_, made) = self.api(Method::POST, &policies, &self.pmt, document.clone()).await?;
        noted.lock().unwrap().policies.push(made["_id"].as_str()?.to_owned());
        let ticket = self.ticket(&resource).await?;
        let (status, granted) = self.trade(&ticket).await?;
        assert_eq!(status, 200, "{granted}");
        {
            let mut noted = noted.lock().unwrap();
            noted.spent.push(ticket);
            noted.rpts.push(granted["access_token"].as_str()?.to_owned());
        }
        let (_, made) = self.api(Method::POST, &policies, &self.pmt, document).await?;
        let extra = made["_id"].as_str()?.to_owned();
        let (status, _) = self.api(Method::DELETE, &format!("{policies}/{extra}"), &self.pmt, Value::Null).await?;
        assert_eq!(status, 204);
        noted.lock().unwrap().withdrawn.push(extra);
        let url = self.metadata.events_endpoint.clone()?;
        let request = Request::get(&url).header("authorization", &format!("Bearer {}", self.pmt));
        let answer = self.client.outbound.send(request).await.ok()?;
        noted.lock().unwrap().heads.push(answer.header("event-head")?.to_owned());
        Some(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_and_what_was_spent_stays_spent() {
    let mut server = Server::start("");
    let noted = Arc::new(Mutex::new(Acknowledged::default()));
    for round in 0..TIMES {
        let desk = Arc::new(Desk::open(&server).await);
        let stop = Arc::new(AtomicBool::new(false));
        let mut hands = Vec::new();
        for _ in 0..AT_ONCE {
            let (desk, noted, stop) = (desk.clone(), noted.clone(), stop.clone());
            hands.push(tokio::spawn(async move { while !stop.load(Ordering::Relaxed) && desk.work(&noted).await.is_some() {} }));
        }
        let enough = noted.lock().unwrap().rpts.len() + 3 + round;
        while noted.lock().unwrap().rpts.len() < enough {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        server.process.as_mut().unwrap().kill();
        stop.store(true, Ordering::Relaxed);
        for hand in hands {
            hand.await.unwrap();
        }
        server.run();
    }
    let noted = noted.lock().unwrap().take();
    check(&Desk::open(&server).await, &noted).await;
    assert!(noted.heads.len() > TIMES);
    let heads = server.folder.0.join("heads");
    std::fs::write(&heads, noted.heads.join("\n")).unwrap();
    let verified = Command::new(env!("CARGO_BIN_EXE_wayleave"))
        .args(["audit", "verify", "--head"])
        .arg(&heads)
        .current_dir(&server.folder.0)
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

impl Acknowledged {
    fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

async fn check(desk: &Desk, noted: &Acknowledged) {
    assert!(noted.rpts.len() > TIMES * 3);
    let registration = desk.metadata.resource_registration_endpoint.clone().unwrap();
    let policies = desk.metadata.policy_endpoint.clone().unwrap();
    for id in &noted.resources {
        assert_eq!(desk.api(Method::GET, &format!("{registration}/{id}"), &desk.pat, Value::Null).await.unwrap().0, 200);
    }
    for id in &noted.policies {
        assert_eq!(desk.api(Method::GET, &format!("{policies}/{id}"), &desk.pmt, Value::Null).await.unwrap().0, 200);
    }
    for id in &noted.withdrawn {
        assert_eq!(desk.api(Method::GET, &format!("{policies}/{id}"), &desk.pmt, Value::Null).await.unwrap().0, 404);
    }
    for ticket in &noted.spent {
        assert_eq!(desk.trade(ticket).await.unwrap().1["error"], "invalid_grant");
    }
    for rpt in &noted.rpts {
        let form = form_urlencoded::Serializer::new(String::new()).append_pair("token", rpt).finish();
        let url = desk.metadata.introspection_endpoint.clone().unwrap();
        let request = Request::form(&url, form).header("authorization", &format!("Bearer {}", desk.pat));
        let answer = desk.client.outbound.send(request).await.unwrap();
        assert!(String::from_utf8_lossy(&answer.body).contains("\"active\":true"));
    }
}
