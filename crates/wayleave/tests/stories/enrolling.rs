//! C-8: Alice links a gateway that keeps thousands of things of hers. The last page comes at once, and everything is
//! registered exactly once - also where the gateway is killed in the middle.

use crate::desk::Desk;
use crate::gateway::{Guarded, raw, viewer};
use crate::processes::{LONGEST, Server};
use outbound::Method;
use serde_json::Value;
use std::time::{Duration, Instant};
use wayleave::demo::browser::{Browser, Shown};

const FILES: usize = 1_500;

/// Alice's last page.
async fn link(guarded: &Guarded) -> Shown {
    let mut browser = Browser::new(viewer().outbound);
    let page = browser.open(&format!("{}/.wayleave/link?owner=alice", guarded.url)).await.unwrap();
    let page = browser.submit(&page, "/login", &[("username", "alice"), ("password", "alice-password")]).await.unwrap();
    browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await.unwrap()
}

/// Everything that is registered, by the gateway's own ids.
async fn registered(desk: &Desk) -> Vec<String> {
    let endpoint = desk.metadata.registered_resources_endpoint.clone().unwrap();
    let (bearer, mut found, mut after) = (format!("Bearer {}", desk.pmt), Vec::new(), String::new());
    loop {
        let answer = raw(Method::GET, &format!("{endpoint}?limit=1000{after}"), &[("authorization", &bearer)]).await;
        let page: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
        found.extend(page.iter().map(|one| one["_resource_id"].as_str().unwrap().to_owned()));
        match page.last() {
            Some(last) if page.len() == 1_000 => after = format!("&after={}", last["_id"].as_str().unwrap()),
            _ => return found,
        }
    }
}

#[tokio::test]
async fn threat_46_c08_a_gateway_that_is_killed_registers_each_of_thousands_once() {
    let server = Server::start("");
    let mut guarded = Guarded::start_changed(&server, "", |text| {
        let text = text.replace("pat = \"client_credentials\"", "pat = \"code\"");
        text.replace(
            "path = \"/albums/{album}/{photo}\"\nresource = \"/albums/{album}\"",
            "path = \"/{photo}\"\nresource = \"/{photo}\"",
        )
    });
    for n in 0..FILES {
        std::fs::write(guarded.folder.0.join(format!("files/{n:05}.jpg")), "x").unwrap();
    }
    let page = link(&guarded).await;
    assert!(page.html.contains("Linked") && page.html.contains("is being registered right now"), "{}", page.html);
    let desk = Desk::open(&server).await;
    assert!(registered(&desk).await.len() < FILES, "the page does not wait for all of them");
    // as crashes come: once early, once in the middle
    for enough in [40, 400] {
        let begun = Instant::now();
        while registered(&desk).await.len() < enough {
            assert!(begun.elapsed() < LONGEST);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        guarded.kill();
        let told = registered(&desk).await.len();
        assert!((enough..FILES).contains(&told), "{told}");
        guarded.run_again();
    }
    let begun = Instant::now();
    while registered(&desk).await.len() < FILES + 1 {
        assert!(begun.elapsed() < 5 * LONGEST, "{}", registered(&desk).await.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut all = registered(&desk).await;
    all.sort();
    all.dedup();
    assert_eq!(all.len(), FILES + 1, "with `/albums`");
    assert_eq!(registered(&desk).await.len(), FILES + 1, "none twice");
}
