//! A resource moves from one authorization server to another, and is never on neither - also where the gateway is
//! killed in the middle (protocol.md 2).

use crate::choosing::{HOLIDAY, LABORATORY, Owner, open_gateway};
use crate::desk::Desk;
use crate::gateway::{Guarded, admitted, challenge_of, raw};
use crate::processes::{LONGEST, Server, free_port};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use outbound::{Method, Outbound, Settings};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// What is waited for: a call of this method below this path, before or after its server saw it.
type Trap = (Method, &'static str, bool);

/// Stands before an authorization server, and holds calls back that fall into the trap.
#[derive(Clone, Default)]
struct Gate {
    server: String,
    trap: Arc<Mutex<Option<Trap>>>,
    sprung: Arc<Notify>,
    /// Lets a call go on that was held back.
    release: Arc<Notify>,
}

impl Gate {
    /// A server behind a gate, which is its issuer.
    async fn before(people: &str) -> (Self, Server) {
        let port = free_port();
        let issuer = format!("http://127.0.0.1:{port}");
        let mut listen = String::new();
        let mut server = Server::start_changed(|text| {
            let own = text.split("issuer = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
            listen = own.clone();
            format!("{}{people}", text.replace(&format!("issuer = \"{own}\""), &format!("issuer = \"{issuer}\"")))
        });
        server.issuer = issuer;
        let gate = Self { server: listen, ..Self::default() };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let router = axum::Router::new().fallback(through).with_state(gate.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (gate, server)
    }

    fn set(&self, trap: Option<Trap>) {
        *self.trap.lock().unwrap() = trap;
    }

    /// Whether a call falls into the trap at this point.
    fn springs(&self, method: &Method, path: &str, after: bool) -> bool {
        let mut trap = self.trap.lock().unwrap();
        let springs = trap.as_ref().is_some_and(|trap| trap.0 == *method && path.starts_with(trap.1) && trap.2 == after);
        if springs {
            *trap = None;
            self.sprung.notify_one();
        }
        springs
    }
}

async fn through(State(gate): State<Gate>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    if gate.springs(&parts.method, &path, false) {
        gate.release.notified().await;
    }
    let url = format!("{}{}", gate.server, parts.uri);
    let settings = Settings { allow_private_networks: true, allow_http: true, ..Settings::default() };
    let mut headers = parts.headers;
    headers.remove("host");
    let body = to_bytes(body, 1 << 20).await.unwrap().to_vec();
    let request = outbound::Request { method: parts.method.clone(), headers, body: Some(body), ..outbound::Request::get(&url) };
    let Ok(answer) = Outbound::new(settings).unwrap().send(request).await else {
        let mut away = Response::new(Body::empty());
        *away.status_mut() = http::StatusCode::BAD_GATEWAY;
        return away;
    };
    if gate.springs(&parts.method, &path, true) {
        gate.release.notified().await;
    }
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response.headers_mut().remove("transfer-encoding");
    response
}

/// What is registered at a server, in the owner's eyes there.
async fn registered_at(server: &Server) -> usize {
    let desk = Desk::open(server).await;
    let endpoint = desk.metadata.registered_resources_endpoint.clone().unwrap();
    let (_, all) = desk.api(Method::GET, &endpoint, &desk.pmt, Value::Null).await.unwrap();
    all.as_array().unwrap().len()
}

/// Two servers, a gateway that is linked with both, and Alice.
struct Two {
    at_a: Gate,
    at_b: Gate,
    a: Server,
    b: Server,
    guarded: Guarded,
    alice: Owner,
}

impl Two {
    async fn new() -> Self {
        let ((at_a, a), (at_b, b)) = (Gate::before(LABORATORY).await, Gate::before(LABORATORY).await);
        let guarded = open_gateway(&a, |text| text);
        let alice = Owner::with(&a, &guarded).await;
        let to = alice.brings(json!({"issuer": b.issuer})).await;
        assert!(alice.follow(&to).await.html.contains("linked"));
        let issuer: String = form_urlencoded::byte_serialize(b.issuer.as_bytes()).collect();
        alice.call(Method::PUT, &format!("/authorization-servers/{issuer}"), Value::Null).await;
        raw(Method::GET, &guarded.photo(), &[]).await;
        Self { at_a, at_b, a, b, guarded, alice }
    }

    async fn only_registration(&self) -> Value {
        let all = self.alice.get(&format!("{HOLIDAY}/registrations")).await;
        assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
        all[0].clone()
    }

    async fn moves(&self, to: &Server) -> (u16, Value) {
        let id = self.only_registration().await["_id"].as_str().unwrap().to_owned();
        let path = format!("{HOLIDAY}/registrations/{id}");
        self.alice.call(Method::PUT, &path, json!({"authorization_server": to.issuer})).await
    }
}

#[tokio::test]
async fn a_resource_moves_and_what_stays_behind_is_said() {
    let mut two = Two::new().await;
    // one that is away gets nothing, and nothing is lost
    two.b.process = None;
    let here = two.only_registration().await;
    let (status, refusal) = two.moves(&two.b).await;
    assert_eq!((status, &refusal["error"]), (502, &json!("authorization_server_unreachable")), "{refusal}");
    assert_eq!(two.only_registration().await, here);
    two.b.run();
    let rpt = admitted(&two.a, &two.guarded, 1).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let with = [("authorization", bearer.as_str())];
    assert_eq!(raw(Method::GET, &two.guarded.photo(), &with).await.status, 200);
    let before = two.only_registration().await;
    let (status, moved) = two.moves(&two.b).await;
    assert_eq!((status, &moved["authorization_server"], &moved["state"]), (200, &json!(two.b.issuer), &json!("active")));
    assert!(moved["_id"] != before["_id"] && moved["not_carried"].as_array().unwrap().len() == 3, "{moved}");
    let refused = raw(Method::GET, &two.guarded.photo(), &with).await;
    assert_eq!(challenge_of(&refused).as_uri, two.b.issuer, "at once, and the new one is asked from now on");
    assert_eq!((registered_at(&two.a).await, registered_at(&two.b).await), (0, 1));
    assert_eq!(two.moves(&two.b).await.1["not_carried"], json!([]), "it is there already");
}

#[tokio::test]
async fn a_move_is_killed_at_each_step_and_ends_on_one_side() {
    for (at_new, trap) in [
        (true, (Method::POST, types::path::RESOURCES, false)),
        (true, (Method::POST, types::path::RESOURCES, true)),
        (false, (Method::DELETE, types::path::RESOURCES, false)),
        (false, (Method::DELETE, types::path::RESOURCES, true)),
    ] {
        let mut two = Two::new().await;
        let gate = if at_new { two.at_b.clone() } else { two.at_a.clone() };
        gate.set(Some(trap.clone()));
        {
            let moving = two.moves(&two.b);
            tokio::select! {
                _ = moving => panic!("it should have been held back at {trap:?}"),
                () = gate.sprung.notified() => {}
            }
        }
        let meanwhile = challenge_of(&raw(Method::GET, &two.guarded.photo(), &[]).await).as_uri;
        assert_eq!(meanwhile, if at_new { two.a.issuer.clone() } else { two.b.issuer.clone() }, "guarded all the time");
        let others = two.alice.get(&format!("{HOLIDAY}/registrations")).await;
        let one = format!("{HOLIDAY}/registrations/{}", others[0]["_id"].as_str().unwrap());
        assert_eq!(two.alice.call(Method::DELETE, &one, Value::Null).await.0, 409, "one at a time");
        two.guarded.kill();
        two.guarded.run_again();
        challenge_of(&raw(Method::GET, &two.guarded.photo(), &[]).await);
        // it goes on by itself
        let begun = std::time::Instant::now();
        while (registered_at(&two.a).await, registered_at(&two.b).await) != (0, 1) {
            assert!(begun.elapsed() < LONGEST, "{trap:?}: {} and {}", registered_at(&two.a).await, registered_at(&two.b).await);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let last = two.only_registration().await;
        assert_eq!((&last["authorization_server"], &last["state"]), (&json!(two.b.issuer), &json!("active")), "{trap:?}");
        assert_eq!(challenge_of(&raw(Method::GET, &two.guarded.photo(), &[]).await).as_uri, two.b.issuer);
        let rpt = admitted(&two.b, &two.guarded, 1).await;
        let bearer = format!("{} {}", rpt.token_type, rpt.token);
        assert_eq!(raw(Method::GET, &two.guarded.photo(), &[("authorization", &bearer)]).await.status, 200);
    }
}

/// A call that began before a move ends after it: it is sent to the server that has the resource now, and nothing comes
/// back to life at the old one.
#[tokio::test]
async fn a_call_follows_a_resource_that_moves_under_it() {
    let two = Two::new().await;
    two.at_a.set(Some((Method::POST, types::path::PERMISSIONS, false)));
    let photo = two.guarded.photo();
    let call = raw(Method::GET, &photo, &[]);
    let meanwhile = async {
        two.at_a.sprung.notified().await;
        assert_eq!(two.moves(&two.b).await.0, 200);
        assert_eq!(registered_at(&two.a).await, 0);
        two.at_a.release.notify_one();
    };
    let (answer, ()) = tokio::join!(call, meanwhile);
    assert_eq!(challenge_of(&answer).as_uri, two.b.issuer);
    assert_eq!((registered_at(&two.a).await, registered_at(&two.b).await), (0, 1));
    assert_eq!(two.only_registration().await["authorization_server"], json!(two.b.issuer));
}
