//! Rows 26 and 39: a folder by WebDAV, through the whole gateway: what a token reaches of what is in a directory.

use super::super::*;
use super::world::{RESOURCE, World, route_with};
use axum::body::Body;
use http::{HeaderName, HeaderValue};
use serde_json::json;
use tower::ServiceExt;
use types::ScopeSet;

/// Albums are resources, and so is each picture in one; in `shared` all is one resource.
fn routes() -> Vec<Route> {
    let mut scopes = MethodScopes::default();
    scopes.add("read", ScopeSet::parse("view").unwrap()).unwrap();
    scopes.add("write", ScopeSet::parse("edit").unwrap()).unwrap();
    let with = |path: &str, resource: &str| {
        route_with(path, |guarded| {
            guarded.scopes = scopes.clone();
            guarded.resource = Pattern::parse(resource).unwrap();
        })
    };
    vec![
        with("/shared/{rest..}", "/shared"),
        with("/{album}/", "/{album}"),
        with("/{album}", "/{album}"),
        with("/{album}/{picture}", "/{album}/{picture}"),
    ]
}

async fn world() -> World {
    let world = World::new(Store::in_memory(), &[]).await;
    for file in ["holiday/1.jpg", "holiday/2.jpg", "mine/3.jpg", "shared/deep/4.jpg", "shared/5.jpg"] {
        std::fs::create_dir_all(world.folder.join(file).parent().unwrap()).unwrap();
        std::fs::write(world.folder.join(file), "a picture").unwrap();
    }
    world.gateway.replace_routes(routes());
    world.link().await;
    for own_id in ["/holiday", "/holiday/1.jpg", "/holiday/2.jpg", "/mine", "/mine/3.jpg", "/shared"] {
        world.gateway.register_by_itself("alice", &types::OwnResourceId::from(own_id), &world.issuer).await.unwrap();
    }
    world
}

const HOLIDAY: &str = "r1";
const FIRST: &str = "r2";
const SECOND: &str = "r3";
const SHARED: &str = "r6";

impl World {
    fn rpt_to_edit(&self, resource_ids: &[&str]) -> String {
        self.rpt_by("bob", resource_ids)
    }

    fn rpt_by(&self, subject: &str, resource_ids: &[&str]) -> String {
        let now = self.gateway.client.clock.now().0;
        let permission = |id: &&str| json!({"resource_id": id, "resource_scopes": ["view", "edit"]});
        let permissions: Vec<_> = resource_ids.iter().map(permission).collect();
        let claims = json!({"iss": self.issuer, "aud": RESOURCE, "jti": format!("{subject} {}", resource_ids.concat()), "iat": now, "exp": now + 600,
            "client_id": "editor", "sub": subject, "_is_owner": subject == "alice", "permissions": permissions});
        self.key.sign("at+jwt", &claims).unwrap()
    }

    async fn ask(&self, method: &str, path: &str, ids: &[&str], fields: &[(&'static str, &str)]) -> (u16, String) {
        let token = self.rpt_to_edit(ids);
        let (status, _, body) = self.ask_with(&token, method, path, fields, "").await;
        (status, body)
    }

    async fn ask_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        fields: &[(&'static str, &str)],
        body: &'static str,
    ) -> (u16, http::HeaderMap, String) {
        let mut request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        for (name, value) in fields {
            request = request.header(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let answer = self.gateway.clone().router().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (head.status.as_u16(), head.headers, String::from_utf8_lossy(&body).into_owned())
    }
}

#[tokio::test]
async fn threat_39_what_a_token_does_not_open_is_not_listed() {
    let world = world().await;
    for (ids, seen) in
        [(vec![HOLIDAY], vec![]), (vec![HOLIDAY, SECOND], vec!["2.jpg"]), (vec![HOLIDAY, FIRST, SECOND], vec!["1.jpg", "2.jpg"])]
    {
        let (status, told) = world.ask("PROPFIND", "/holiday/", &ids, &[("depth", "1")]).await;
        assert_eq!(status, 207);
        let (_, names) = world.ask("GET", "/holiday/", &ids, &[]).await;
        assert_eq!(serde_json::from_str::<Vec<String>>(&names).unwrap(), seen);
        for name in ["1.jpg", "2.jpg"] {
            assert_eq!(told.contains(name), seen.contains(&name), "{told}");
        }
    }
    let (_, told) = world.ask("PROPFIND", "/shared/", &[SHARED], &[("depth", "1")]).await;
    assert!(told.contains("/shared/5.jpg") && told.contains("/shared/deep/"), "what is one resource is seen whole: {told}");
    assert_eq!(world.ask("PROPFIND", "/holiday/", &[FIRST], &[("depth", "1")]).await.0, 401);
}

#[tokio::test]
async fn threat_39_a_directory_goes_as_a_whole_or_stays() {
    let world = world().await;
    let is_there = |file: &str| world.folder.join(file).exists();
    assert_eq!(world.ask("DELETE", "/holiday/", &[HOLIDAY, FIRST], &[]).await.0, 403);
    assert!(is_there("holiday/1.jpg") && is_there("holiday/2.jpg"));
    let to = ("destination", "https://photos.example/shared/new");
    assert_eq!(world.ask("MOVE", "/holiday/", &[HOLIDAY, FIRST, SHARED], &[to]).await.0, 403);
    assert_eq!(world.ask("MOVE", "/shared/deep", &[SHARED], &[("destination", "/mine/deep")]).await.0, 403);
    assert_eq!(world.ask("MOVE", "/shared/deep", &[SHARED], &[to]).await.0, 201);
    assert!(is_there("shared/new/4.jpg") && !is_there("shared/deep"));
    // nothing that was permitted goes with what moved: the old place is guarded as before, and the new one too
    assert_eq!(world.ask("MOVE", "/holiday/1.jpg", &[FIRST, SHARED], &[("destination", "/shared/1.jpg")]).await.0, 201);
    assert_eq!(world.ask("GET", "/shared/1.jpg", &[FIRST], &[]).await.0, 401);
    assert_eq!(world.ask("GET", "/holiday/1.jpg", &[FIRST], &[]).await.0, 404);
    assert_eq!(world.ask("MOVE", "/shared/5.jpg", &[SHARED], &[("destination", "/holiday/2.jpg")]).await.0, 403);
    assert_eq!(world.ask("DELETE", "/holiday/", &[HOLIDAY, FIRST, SECOND], &[]).await.0, 204);
    assert!(!is_there("holiday"));
}

const LOCK: &str = "<lockinfo xmlns=\"DAV:\"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>";

/// A lock keeps what is in a directory as it is: nobody takes one on what others have there, whatever its depth.
#[tokio::test]
async fn threat_39_a_lock_keeps_nobody_from_what_the_locker_may_not_touch() {
    let world = world().await;
    std::fs::create_dir(world.folder.join("empty")).unwrap();
    world.gateway.register_by_itself("alice", &types::OwnResourceId::from("/empty"), &world.issuer).await.unwrap();
    let bob = world.rpt_to_edit(&[HOLIDAY, FIRST, SHARED, "r7"]);
    for depth in ["0", "infinity"] {
        for path in ["/holiday", "/holiday/", "/empty", "/empty/"] {
            let (status, ..) = world.ask_with(&bob, "LOCK", path, &[("depth", depth)], LOCK).await;
            assert_eq!(status, 403, "{path} {depth}");
        }
        // of one resource, or a file
        for path in ["/holiday/1.jpg", "/shared/deep", "/shared/5.jpg"] {
            let (status, head, _) = world.ask_with(&bob, "LOCK", path, &[("depth", depth)], LOCK).await;
            assert_eq!(status, 200, "{path} {depth}");
            let token = head["lock-token"].to_str().unwrap().to_owned();
            assert_eq!(world.ask_with(&bob, "UNLOCK", path, &[("lock-token", &token)], "").await.0, 204);
        }
    }
    let (status, ..) = world.ask_with(&bob, "LOCK", "/holiday", &[("if", "(<urn:uuid:0>)")], "").await;
    assert_eq!(status, 403, "nor is one held on to");
}

/// RFC 4918 7.5: whoever runs the place may end locks; here owners do so with what is theirs.
#[tokio::test]
async fn threat_39_an_owner_ends_every_lock_on_what_is_hers() {
    let world = world().await;
    let (bob, eve) = (world.rpt_to_edit(&[SHARED]), world.rpt_by("eve", &[SHARED]));
    let alice = world.rpt_by("alice", &[SHARED]);
    for (path, depth) in [("/shared/deep", "0"), ("/shared/deep", "infinity"), ("/shared/5.jpg", "0")] {
        let (status, head, _) = world.ask_with(&bob, "LOCK", path, &[("depth", depth)], LOCK).await;
        assert_eq!(status, 200);
        let token = head["lock-token"].to_str().unwrap().to_owned();
        // she finds it where it is
        let (_, _, told) = world.ask_with(&alice, "PROPFIND", path, &[("depth", "0")], "").await;
        assert!(told.contains(token.trim_matches(['<', '>'])), "{told}");
        let unlock = async |rpt: &str, path: &str| world.ask_with(rpt, "UNLOCK", path, &[("lock-token", &token)], "").await.0;
        assert_eq!(unlock(&eve, path).await, 403);
        assert_eq!(unlock(&alice, "/shared/none").await, 409, "it is not there");
        assert_eq!(unlock(&alice, path).await, 204);
        assert_eq!(unlock(&bob, path).await, 409, "it has ended");
    }
}

/// RFC 9110 8.4: a file is kept as it is read later, and what is coded is refused before anything is written.
#[tokio::test]
async fn a_coded_file_is_not_taken() {
    let world = world().await;
    let token = world.rpt_to_edit(&[FIRST]);
    for (coding, expected) in [("gzip", 415), ("identity, gzip", 415), ("identity", 204)] {
        let (status, _, text) = world.ask_with(&token, "PUT", "/holiday/1.jpg", &[("content-encoding", coding)], "new").await;
        assert_eq!(status, expected, "{coding}: {text}");
    }
}
