//! Active content of a folder, for people with browsers (design/browser.md, *Active content*).

use super::super::*;
use super::world::World;
use axum::body::Body;
use tower::ServiceExt;

async fn ask(world: &World, method: &str, host: &str, path: &str, cookie: Option<&str>) -> Response {
    let mut request = Request::builder().method(method).uri(path).header("host", host).header("accept", "text/html");
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    world.gateway.clone().router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn what_could_run_is_shown_under_another_name_for_a_minute() {
    let world = World::new(Store::in_memory(), &["page.html", "other.html", "picture.jpg"]).await;
    world.link().await;
    for (path, id) in [("/page.html", "r1"), ("/other.html", "r2"), ("/picture.jpg", "r3")] {
        assert_eq!(world.status(path, None).await, 401, "{id}");
    }
    let cookie = world.gateway.hold("alice", &world.issuer, world.rpt("r1")).await;
    let (own, content) = ("photos.example", "content.example");
    let sent = ask(&world, "GET", own, "/page.html", Some(&cookie)).await;
    assert_eq!(sent.status(), 302);
    let place = sent.headers()["location"].to_str().unwrap().to_owned();
    let place = place.strip_prefix("https://content.example").unwrap().to_owned();
    assert!(place.starts_with("/page.html?wl_content="), "{place}");
    assert_eq!(sent.headers()["referrer-policy"], "no-referrer");
    // there it runs, as nobody, and neither a cookie nor a token is asked for or heeded
    let shown = ask(&world, "GET", content, &place, None).await;
    assert_eq!(shown.status(), 200);
    assert!(!shown.headers().contains_key("content-disposition") && !shown.headers().contains_key("set-cookie"));
    assert!(shown.headers()["content-security-policy"].to_str().unwrap().starts_with("sandbox allow-scripts"));
    assert_eq!(shown.headers()["x-content-type-options"], "nosniff");
    assert_eq!(axum::body::to_bytes(shown.into_body(), 100).await.unwrap(), "a picture");
    // for this path alone, and nothing else is there
    let pass = place.split_once('?').unwrap().1;
    for path in ["/other.html", "/picture.jpg", "/", "/.wayleave/", "/.wayleave/jwks"] {
        assert_eq!(ask(&world, "GET", content, &format!("{path}?{pass}"), Some(&cookie)).await.status(), 404, "{path}");
    }
    assert_eq!(ask(&world, "GET", content, "/page.html", Some(&cookie)).await.status(), 404);
    assert_eq!(ask(&world, "GET", content, &format!("{place}x"), None).await.status(), 404);
    assert_eq!(ask(&world, "PUT", content, &place, None).await.status(), 405);
    // under its own name a pass is nothing, and whoever brings a token gets a file to keep
    assert_eq!(ask(&world, "HEAD", own, &place, None).await.status(), 401);
    let kept = world.get("/page.html", Some(&world.rpt("r1"))).await;
    assert_eq!(kept.headers()["content-disposition"], "attachment");
    // a session that has ended opens nothing
    let ended = world.gateway.hold("alice", &world.issuer, world.rpt("r2")).await;
    let sent = ask(&world, "GET", own, "/other.html", Some(&ended)).await;
    let place = sent.headers()["location"].to_str().unwrap().replace("https://content.example", "");
    assert_eq!(ask(&world, "GET", "content.example:443", &place, None).await.status(), 200);
    let out = Request::post("/.wayleave/logout").header("cookie", &ended).header("sec-fetch-site", "same-origin");
    let out = world.gateway.clone().router().oneshot(out.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(out.status(), 200);
    assert_eq!(ask(&world, "GET", content, &place, None).await.status(), 404);
}
