//! A program's bearer token is shown to the server that gave it, and to none that an owner brought beside it (decision 0062).

use super::server::Permission;
use super::*;
use types::OwnResourceId;

struct Two {
    world: World,
    listed: Arc<Known>,
    hers: Arc<Known>,
}

/// Holiday is guarded by the operator's server and by one that Alice brought, which comes first; Private by the first alone, and
/// what is Mallory's by the other alone.
async fn two() -> Two {
    let new = || Known { registers_clients: true, ..Known::default() };
    let (listed, hers) = (new().start().await, new().start().await);
    let world = World::new(&[&listed], true).await;
    world.link("alice", &hers, &["holiday"]).await;
    world.link("alice", &listed, &["private"]).await;
    world.link("mallory", &hers, &["m"]).await;
    listed.resources.lock().unwrap().push("/alice/holiday".into());
    let own_id = OwnResourceId::from("/alice/holiday");
    let known = world.gateway.store.registrations("alice", &own_id).await.unwrap();
    let also: Vec<_> = known
        .iter()
        .map(|one| store::Registered { id: "also".into(), issuer: listed.at(""), resource_id: Some("r1".into()), ..one.clone() })
        .collect();
    world.gateway.store.change_registrations(&also, &[]).await.unwrap();
    Two { world, listed, hers }
}

impl Two {
    /// The server gives this for what it knows by these names.
    fn give(&self, server: &Known, token: &str, resources: &[&str]) {
        let one = |id: &&str| Permission { resource: (*id).to_owned(), scopes: vec!["view".to_owned()] };
        server.permissions.lock().unwrap().insert(token.to_owned(), resources.iter().map(one).collect());
    }

    async fn call(&self, path: &str, token: &str, names: Option<&Known>) -> u16 {
        // what was answered a moment ago is no question
        tokio::time::sleep(std::time::Duration::from_millis(850)).await;
        let mut request = Request::get(path).header("authorization", format!("Bearer {token}"));
        if let Some(server) = names {
            request = request.header("authorization-server", server.at(""));
        }
        let answer = self.world.gateway.clone().router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        answer.status().as_u16()
    }

    fn shown_to_hers(&self, token: &str) -> bool {
        self.hers.introspected.lock().unwrap().iter().any(|shown| shown == token)
    }
}

#[tokio::test]
async fn threat_21_a_program_s_token_is_shown_to_who_gave_it() {
    let two = two().await;
    // upgraded: it opens Private as well
    two.give(&two.listed, "both", &["r0", "r1"]);
    assert_eq!(two.call("/alice/holiday", "both", None).await, 200);
    assert!(!two.shown_to_hers("both"), "the operator's server is asked first");
    // the share of Holiday ends; and the thing of somebody else is guarded by the other alone
    two.give(&two.listed, "both", &["r0"]);
    assert_eq!(two.call("/alice/holiday", "both", None).await, 401);
    assert_eq!(two.call("/mallory/m", "both", None).await, 401);
    assert_eq!(two.call("/alice/private", "both", None).await, 200);
    assert!(!two.shown_to_hers("both"), "who gave it is known");
    // one that was never let in, and does not suffice
    two.give(&two.listed, "little", &["r0"]);
    assert_eq!(two.call("/alice/holiday", "little", None).await, 401);
    assert!(!two.shown_to_hers("little"), "the operator's server knew it");
    // named by the call, nobody else whom an owner brought is asked
    assert_eq!(two.call("/mallory/m", "new", Some(&two.listed)).await, 401);
    assert!(!two.shown_to_hers("new"));
}

#[tokio::test]
async fn a_token_of_a_server_that_an_owner_brought_lets_in_as_ever() {
    let two = two().await;
    for (token, names) in [("plain", None), ("named", Some(&two.hers))] {
        two.give(&two.hers, token, &["r0", "r1"]);
        for path in ["/alice/holiday", "/alice/holiday", "/mallory/m"] {
            assert_eq!(two.call(path, token, names.map(|server| &**server)).await, 200, "{token} {path}");
        }
    }
    let asked = two.listed.introspected.lock().unwrap().iter().filter(|token| *token == "plain").count();
    assert_eq!(asked, 1, "who gave it is remembered");
    // nothing of it opens what the other guards alone
    assert_eq!(two.call("/alice/private", "plain", None).await, 401);
}

/// Where the operator's server cannot be asked, it may have given the token.
#[tokio::test]
async fn threat_21_who_is_away_may_have_given_a_token() {
    let two = two().await;
    two.world.gateway.rest(two.listed.at(""), std::time::Duration::from_secs(60));
    two.give(&two.hers, "hers", &["r0"]);
    assert_ne!(two.call("/alice/holiday", "unknown", None).await, 200);
    assert!(!two.shown_to_hers("unknown"));
    assert_eq!(two.call("/alice/holiday", "hers", Some(&two.hers)).await, 200, "named, it is asked");
}
