//! Servers that are not what they are asked as, at the desk.

use crate::relations::{Desk, Sitting};
use axum::Router;
use axum::extract::{Path, State};
use serde_json::{Value, json};

/// Says of itself what each path is to say: `/{case}/...`.
async fn document(State(origin): State<String>, Path((case, kind)): Path<(String, String)>) -> axum::Json<Value> {
    let own = format!("{origin}/{case}");
    let resource = kind == "oauth-protected-resource";
    let server = |changes: Value| {
        let mut metadata = json!({"issuer": own, "authorization_endpoint": format!("{own}/authorize"), "token_endpoint": format!("{own}/token"),
            "jwks_uri": format!("{own}/jwks"), "registration_endpoint": format!("{origin}/register"), "policy_endpoint": format!("{own}/policies")});
        metadata.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        metadata
    };
    let keeps = |changes: Value| {
        let mut metadata = json!({"resource": own, "resource_management_endpoint": format!("{own}/manage"),
            "resource_management_authorization_servers": [format!("{origin}/script")]});
        metadata.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        metadata
    };
    axum::Json(match (case.as_str(), resource) {
        ("another", false) => server(json!({"issuer": "https://as.example"})),
        ("script", false) => server(json!({"authorization_endpoint": "javascript:alert(1)//"})),
        ("bare", false) => server(json!({"policy_endpoint": null})),
        ("impostor", true) => keeps(json!({"resource": "https://photos.example"})),
        ("elsewhere", true) => keeps(json!({"resource_management_endpoint": "https://evil.example/manage"})),
        ("nobody", true) => keeps(json!({"resource_management_authorization_servers": []})),
        ("unmanaged", true) => keeps(json!({"resource_management_endpoint": null})),
        _ => Value::Null,
    })
}

#[tokio::test]
async fn threat_19_a_server_that_is_another_than_it_was_asked_as_is_not_linked() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let inserted =
        async |state: State<String>, Path((kind, case)): Path<(String, String)>| document(state, Path((case, kind))).await;
    let site = Router::new()
        .route("/.well-known/{kind}/{case}", axum::routing::get(inserted))
        .route("/{case}/.well-known/{kind}", axum::routing::get(document))
        .route("/register", axum::routing::post(async || axum::Json(json!({"client_id": "desk", "client_id_issued_at": 1}))))
        .with_state(origin.clone());
    tokio::spawn(async move { axum::serve(listener, site).await });
    let desk = Desk::start();
    let mut alice = Sitting::of(&desk, "alice").await;
    let page = alice.open("/servers").await;
    for (typed, says) in [
        (format!("{origin}/another"), "do not trust it"),
        (format!("{origin}/impostor"), "neither an authorization server nor a resource server"),
        (format!("{origin}/elsewhere"), "Do not trust it"),
        (format!("{origin}/nobody"), "does not say where its owners log in"),
        (format!("{origin}/unmanaged"), "does not let its owners manage"),
        (format!("{origin}/bare"), "is no UMA authorization server"),
        (format!("{origin}/script"), "names no authorization endpoint"),
        (format!("{origin}/nothing"), "neither an authorization server nor a resource server"),
        ("http://127.0.0.1:9".to_owned(), "did not answer"),
        ("javascript:alert(1)".to_owned(), "no address and no URL"),
        ("not a server".to_owned(), "no address and no URL"),
        ("alice@127.0.0.1:9".to_owned(), "did not answer"),
    ] {
        let shown = alice.browser.submit(&page, "/servers", &[("server", &typed)]).await.unwrap();
        assert!([400, 502].contains(&shown.status) && shown.html.contains(says), "{typed}: {}", shown.html);
        assert!(!shown.html.contains("href=\"javascript"), "{typed}");
    }
    assert!(alice.open("/servers").await.html.contains("No server is linked yet"));
    // answers that nobody waits for, and of another browser
    for query in ["", "?state=x&code=y", "?error=access_denied&state=x"] {
        let shown = alice.browser.open(&format!("{}/callback{query}", desk.url)).await.unwrap();
        assert!(shown.status == 400 && shown.html.contains("does not belong to this browser"), "{query}: {}", shown.html);
    }
}
