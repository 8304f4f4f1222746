//! People with browsers where nobody can be led anywhere (design/browser.md 1): a page says so, and programs notice nothing.

use super::world::World;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::Method;
use tower::ServiceExt;

async fn navigate(world: &World, method: Method, path: &str) -> (Response, String) {
    let request = Request::builder().method(method).uri(path).header("accept", "text/html").header("sec-fetch-mode", "navigate");
    let answer = world.gateway.clone().router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (Response::from_parts(parts, Body::empty()), String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn where_a_gateway_is_no_client_a_page_says_so() {
    let world = World::new(crate::gateway::Store::in_memory(), &["cliffs.jpg"]).await;
    // nobody has linked: the answer is as ever, in words
    let (answer, text) = navigate(&world, Method::GET, "/cliffs.jpg").await;
    assert!(answer.status() == 403 && answer.headers().contains_key("warning") && text.contains("Not ready yet"), "{text}");
    assert!(text.contains("href=\"https://photos.example/.wayleave/link?for=%2Fcliffs.jpg\""), "{text}");
    let (answer, _) = navigate(&world, Method::GET, "/.wayleave/link?for=%2Fcliffs.jpg").await;
    assert_eq!(answer.status(), 303);
    assert!(answer.headers()["location"].to_str().unwrap().starts_with(&format!("{}/authorize?", world.issuer)));
    world.link().await;
    for path in ["/cliffs.jpg", "/absent.jpg"] {
        let (answer, text) = navigate(&world, Method::GET, path).await;
        assert!(answer.status() == 403 && text.contains("cannot be opened in a browser here"), "{path}: {text}");
        for (name, value) in [("x-frame-options", "DENY"), ("referrer-policy", "no-referrer"), ("cache-control", "no-store")] {
            assert_eq!(answer.headers()[name], value);
        }
        // nobody frames it, holds its window, or learns from it where anybody's server is
        assert_eq!(answer.headers()["cross-origin-opener-policy"], "same-origin");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self';"), "{policy}");
        assert!(!answer.headers().contains_key("set-cookie"));
    }
    assert_eq!((world.status("/cliffs.jpg", None).await, world.status("/absent.jpg", None).await), (401, 404));
    let (answer, text) = navigate(&world, Method::HEAD, "/cliffs.jpg").await;
    assert_eq!((answer.status().as_u16(), text.contains("html")), (401, false));
    // nothing is guarded there, whoever asks
    let (answer, text) = navigate(&world, Method::GET, "/no/route").await;
    assert!(answer.status() == 404 && text.contains("Nothing is here"), "{text}");
    for (path, kind) in [("style.css", "text/css"), ("icon.svg", "image/svg+xml"), ("waiting.js", "text/javascript")] {
        let answer = world.get(&format!("/.wayleave/assets/{path}"), None).await;
        assert!(answer.status() == 200 && answer.headers()["content-type"].to_str().unwrap().starts_with(kind), "{path}");
    }
}

#[tokio::test]
async fn a_gateway_says_what_it_is_and_how_an_owner_begins() {
    let world = World::new(crate::gateway::Store::in_memory(), &["cliffs.jpg"]).await;
    assert_eq!(world.gateway.list_unlinked().await, ["alice"]);
    for path in
        ["/", "/.wayleave/link", "/.wayleave/link?owner=mallory", "/.wayleave/link?for=%2Fno%2Froute", "/.wayleave/link?for=x"]
    {
        let (answer, text) = navigate(&world, Method::GET, path).await;
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(answer.status() == 404 && text.contains("<h1>Photos</h1>") && text.contains("name=\"owner\""), "{path}: {text}");
        assert!(policy.contains(&format!("form-action 'self' {};", world.issuer)), "{policy}");
        assert_eq!(text.contains("Nobody of this name"), path.ends_with("mallory"), "{path}");
        // the name at the top leads to the beginning
        assert!(
            text.contains("class=\"brand\" href=\"https://photos.example/\"") && text.contains("<title>Photos</title>"),
            "{text}"
        );
        // programs hear what they always heard
        assert_eq!(world.status(path, None).await, 404, "{path}");
    }
    let (answer, _) = navigate(&world, Method::GET, "/.wayleave/").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (303, &http::HeaderValue::from_static("https://photos.example/"))
    );
    world.link().await;
    assert!(world.gateway.list_unlinked().await.is_empty());
}
