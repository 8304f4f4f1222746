//! Rows 26 and 39: what a call to a collection reaches of what is in it.

use super::super::*;
use super::world::{RESOURCE, World, route_with, serve};
use axum::body::Body;
use http::{HeaderName, HeaderValue};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;
use types::ScopeSet;

const METHODS: [&str; 8] = ["GET", "PUT", "DELETE", "PROPFIND", "COPY", "MOVE", "LOCK", "REPORT"];

fn routes() -> Vec<Route> {
    let scopes: MethodScopes = METHODS.iter().map(|method| ((*method).to_owned(), ScopeSet::parse("view").unwrap())).collect();
    let with = |path: &str, resource: &str| {
        route_with(path, |guarded| {
            guarded.scopes = scopes.clone();
            guarded.resource = Pattern::parse(resource).unwrap();
        })
    };
    vec![
        with("/albums/{album}", "/albums/{album}"),
        with("/albums/{album}/{photo}", "/albums/{album}/{photo}"),
        with("/notes/{note}", "/notes/{note}"),
        with("/notes/{note}/{page}", "/notes/{note}"),
    ]
}

/// A gateway before a service that answers everything; Alice's things are registered by whoever calls them first.
async fn before_a_service() -> World {
    let behind = Behind::Upstream(serve(Router::new().fallback(async || StatusCode::OK)).await);
    let world = World::before(behind, Store::in_memory(), std::env::temp_dir().join("wayleave-no-folder")).await;
    world.gateway.replace_routes(routes());
    world.link().await;
    world
}

impl World {
    /// An RPT for these, by their places in the order of registration.
    fn rpt_for(&self, resource_ids: &[&str]) -> String {
        let now = self.gateway.client.clock.now().0;
        let permissions: Vec<_> = resource_ids.iter().map(|id| json!({"resource_id": id, "resource_scopes": ["view"]})).collect();
        let claims = json!({"iss": self.issuer, "aud": RESOURCE, "jti": resource_ids.concat(), "iat": now, "exp": now + 600,
            "client_id": "viewer", "sub": "bob", "permissions": permissions});
        self.key.sign("at+jwt", &claims).unwrap()
    }

    async fn call(&self, method: &str, path: &str, token: &str, fields: &[(&'static str, &str)], body: &'static str) -> u16 {
        let mut request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        for (name, value) in fields {
            request = request.header(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let router = self.gateway.clone().router();
        router.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn threat_39_s36_a_collection_says_nothing_of_other_resources_in_it() {
    let world = before_a_service().await;
    for path in ["/albums/holiday", "/albums/mine", "/notes/a", "/notes/b"] {
        assert_eq!(world.status(path, None).await, 401, "{path}");
    }
    let token = world.rpt_for(&["r1", "r2", "r3", "r4"]);
    let to = |path: &'static str| ("destination", path);
    for (method, path, fields, body, expected) in [
        ("PROPFIND", "/albums/holiday", vec![], "", 403),
        ("PROPFIND", "/albums/holiday", vec![("depth", "infinity")], "", 403),
        ("PROPFIND", "/albums/holiday", vec![("depth", "1")], "", 200),
        ("COPY", "/albums/holiday", vec![to("/notes/b")], "", 403),
        ("COPY", "/albums/holiday", vec![to("/notes/b"), ("depth", "Infinity")], "", 403),
        ("COPY", "/albums/holiday", vec![to("/notes/b"), ("depth", "0")], "", 200),
        // what is over there is deleted first, with all that is in it
        ("COPY", "/notes/a", vec![to("/albums/mine"), ("depth", "0")], "", 403),
        ("COPY", "/notes/a", vec![to("/albums/mine"), ("depth", "0"), ("overwrite", "F")], "", 200),
        ("COPY", "/notes/a", vec![to("/albums/mine"), ("overwrite", "F")], "", 403),
        ("COPY", "/notes/a", vec![to("/notes/b")], "", 200),
        ("MOVE", "/albums/holiday", vec![to("/notes/b")], "", 403),
        ("MOVE", "/albums/holiday", vec![to("/notes/b"), ("depth", "0")], "", 403),
        ("MOVE", "/notes/a", vec![to("/notes/b")], "", 200),
        ("MOVE", "/notes/a", vec![to("/albums/mine"), ("overwrite", "F")], "", 403),
        ("LOCK", "/albums/holiday", vec![], "<lockinfo/>", 403),
        ("LOCK", "/albums/holiday", vec![("depth", "0")], "<lockinfo/>", 200),
        ("LOCK", "/albums/holiday", vec![("if", "(<urn:x:1>)")], "", 200),
        ("REPORT", "/albums/holiday", vec![("depth", "infinity")], "<report/>", 403),
        ("REPORT", "/albums/holiday", vec![], "<report/>", 200),
        ("GET", "/albums/holiday", vec![], "", 200),
    ] {
        assert_eq!(world.call(method, path, &token, &fields, body).await, expected, "{method} {path} {fields:?}");
    }
}

#[tokio::test]
async fn threat_39_s36_whoever_deletes_a_collection_may_delete_what_is_in_it() {
    let world = before_a_service().await;
    assert_eq!(world.status("/albums/holiday", None).await, 401);
    let album = world.rpt_for(&["r1"]);
    assert_eq!(world.call("DELETE", "/albums/holiday", &album, &[], "").await, 200, "nothing is known to be in it");
    for path in ["/albums/holiday/1.jpg", "/albums/holidays/9.jpg", "/albums/holiday/2.jpg"] {
        assert_eq!(world.status(path, None).await, 401, "{path}");
    }
    for (may, expected) in [(vec!["r1"], 403), (vec!["r1", "r2"], 403), (vec!["r1", "r2", "r4"], 200)] {
        let token = world.rpt_for(&may);
        assert_eq!(world.call("DELETE", "/albums/holiday", &token, &[], "").await, expected, "{may:?}");
    }
    let known = async || world.gateway.list_known("alice", "/albums/holiday/\0").await.unwrap().map(|all| all.len());
    assert_eq!(known().await, Some(2));
    for n in 0..100 {
        let own_id = types::OwnResourceId::from(format!("/albums/holiday/more-{n}.jpg").as_str());
        world.gateway.register_by_itself("alice", &own_id, &world.issuer).await.unwrap();
    }
    assert_eq!(known().await, None, "more than are looked at for one call");
    assert_eq!(world.gateway.list_known("alice", "/albums/holiday").await.unwrap().map(|all| all.len()), Some(1));
}

/// RFC 9112 7: what a service packed in a way that nobody asked for is not handed on as if it were the thing itself.
#[tokio::test]
async fn threat_26_an_answer_in_another_transfer_coding_is_no_answer() {
    for (coding, expected) in [("chunked", 200), ("gzip, chunked", 502), ("gzip\r\ntransfer-encoding: chunked", 502)] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let behind = Behind::Upstream(format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 4_096];
                let _ = stream.read(&mut head).await;
                let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {coding}\r\n\r\n1\r\na\r\n0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let world = World::before(behind, Store::in_memory(), std::env::temp_dir().join("wayleave-no-folder")).await;
        world.gateway.replace_routes(routes());
        world.link().await;
        world.gateway.register_by_itself("alice", &types::OwnResourceId::from("/notes/a"), &world.issuer).await.unwrap();
        assert_eq!(world.call("GET", "/notes/a", &world.rpt_for(&["r1"]), &[], "").await, expected, "{coding}");
    }
}
