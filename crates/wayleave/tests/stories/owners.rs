//! Whose a resource is, where its path does not say so: a trusted proxy's header, or a look-up (threat 27).

use crate::gateway::{Guarded, raw};
use crate::processes::Server;
use outbound::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A gateway whose route's owner is `owner`, trusting proxies at these addresses.
fn guarded(server: &Server, upstream: &str, owner: &str, trusted: &str) -> Guarded {
    Guarded::start_changed(server, upstream, |text| {
        let text = text.replace("owner = \"alice\"", &format!("owner = {owner}"));
        text.replace("trust = \"list\"", &format!("trust = \"list\"\ntrusted_proxies = [{trusted}]"))
    })
}

/// Answers owners, and what is asked of the service behind; counts look-ups.
async fn service() -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let owner = async move |uri: http::Uri| {
        count.fetch_add(1, Ordering::SeqCst);
        let path = uri.query().unwrap_or_default().to_owned();
        match path.as_str() {
            "path=%2Falbums%2Fholiday%2F1.jpg" => (http::StatusCode::OK, "{\"owner\": \"alice\"}\n"),
            "path=%2Falbums%2Fbroken%2F1.jpg" => (http::StatusCode::INTERNAL_SERVER_ERROR, "oops"),
            _ => (http::StatusCode::NOT_FOUND, ""),
        }
    };
    let router = axum::Router::new().route("/owner", axum::routing::get(owner));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, asked)
}

#[tokio::test]
async fn threat_27_an_owner_in_a_header_is_believed_from_trusted_proxies_alone() {
    let server = Server::start("");
    let call = async |guarded: &Guarded, headers: &[(&'static str, &str)]| {
        raw(Method::GET, &guarded.photo(), headers).await.status.as_u16()
    };
    let open = guarded(&server, "", "{ header = \"X-Owner\" }", "");
    assert_eq!(call(&open, &[("x-owner", "alice")]).await, 404, "anybody could say so");
    drop(open);
    let behind = guarded(&server, "", "{ header = \"X-Owner\" }", "\"127.0.0.1\"");
    assert_eq!(call(&behind, &[("x-owner", "alice")]).await, 401, "hers: a ticket is had");
    assert_eq!(call(&behind, &[]).await, 404);
    assert_eq!(call(&behind, &[("x-owner", "alice"), ("x-owner", "bob")]).await, 404, "one owner, not two");
}

#[tokio::test]
async fn an_owner_is_looked_up_once_and_what_is_nobodys_is_not_there() {
    let server = Server::start("");
    let (service, asked) = service().await;
    let guarded = guarded(&server, &service, &format!("{{ lookup = \"{service}/owner?path={{path}}\" }}"), "");
    let call = async |album: &str| {
        let url = format!("{}/albums/{album}/1.jpg", guarded.url);
        raw(Method::GET, &url, &[]).await.status.as_u16()
    };
    assert_eq!(call("holiday").await, 401);
    assert_eq!(call("holiday").await, 401);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the answer is kept");
    assert_eq!(call("nowhere").await, 404);
    assert_eq!(call("broken").await, 503, "nobody says whose it is: then nobody gets in");
}
