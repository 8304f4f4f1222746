//! What nobody has linked yet: whose it is, whoever reads the log and whoever comes by hear where that is done.

use super::*;
use crate::gateway::FromTrustedProxy;

async fn ask(world: &World, redirect: &str, fields: &[(&str, &str)]) -> (u16, Option<String>, String) {
    let mut request = Request::get(format!("/.wayleave/auth{redirect}"))
        .header("x-original-method", "GET")
        .header("x-original-url", format!("{RESOURCE}/alice/a"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(FromTrustedProxy);
    let answer = world.gateway.clone().router().oneshot(request).await.unwrap();
    let place = answer.headers().get("location").or(answer.headers().get("x-wayleave-visit"));
    let place = place.map(|place| place.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let text = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, place, String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn a_person_at_a_proxy_is_led_to_where_an_owner_links() {
    let server = Known::default().start().await;
    let world = World::new(&[&server], true).await;
    let person = [("accept", "text/html"), ("sec-fetch-mode", "navigate")];
    let visit = format!("{RESOURCE}/.wayleave/visit?to=%2Falice%2Fa");
    for (redirect, status) in [("", 302), ("?redirect=no", 401)] {
        let (seen, place, _) = ask(&world, redirect, &person).await;
        assert_eq!((seen, place.as_deref()), (status, Some(visit.as_str())), "{redirect}");
        let (seen, place, text) = ask(&world, redirect, &[]).await;
        assert_eq!((seen, place), (403, None), "{redirect}");
        assert!(text.contains(&format!("{RESOURCE}/.wayleave/link?for=%2Falice%2Fa")), "{text}");
    }
    let link = format!("{RESOURCE}/.wayleave/link?for=%2Falice%2Fa");
    for path in ["/.wayleave/visit?to=/alice/a", "/alice/a"] {
        let page = Browser::at("192.0.2.7").open(&world, path).await;
        assert!(page.status == 403 && page.text.contains("Not ready yet"), "{}", page.text);
        assert_eq!(page.to.as_ref(), Some(&link), "{path}");
    }
    assert!(!world.gateway.unlinked.is_new("alice") && world.gateway.unlinked.is_new("bob"), "the log was told of her once");
    world.link("alice", &server, &["a"]).await;
    assert_eq!(ask(&world, "", &[]).await.0, 401);
}
