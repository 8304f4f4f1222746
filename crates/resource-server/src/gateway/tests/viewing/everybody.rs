//! What everybody may see has the same pages, without a log-in, and nobody's name on them.

use super::super::super::route::Access;
use super::*;

fn public(path: &str) -> Route {
    Route { path: Pattern::parse(path).unwrap(), access: Access::Public(["GET".to_owned()].into()) }
}

async fn shared() -> Shared {
    let routes =
        vec![route("/open/mine.jpg"), public("/open/{rest..}"), public("/flat/{photo}"), album("/holiday/{rest..}", "/holiday")];
    let files = ["holiday/1.jpg", "open/1.jpg", "open/mine.jpg", "open/.secret.jpg", "open/more/2.jpg", "open/film.mp4"];
    Shared::new(routes, &[&files[..], &["flat/3.jpg", "flat/deep/4.jpg"]].concat()).await
}

#[tokio::test]
async fn everybody_sees_the_page_of_an_album_that_is_public() {
    let shared = shared().await;
    let page = shared.call("/open/", BROWSER).await;
    let html = page.text();
    assert_eq!(page.status, 200, "{html}");
    for there in [
        "Everybody may see this",
        "src=\"https://photos.example/open/1.jpg?thumbnail=320\"",
        "href=\"https://photos.example/open/more/\"",
        "href=\"https://photos.example/open/film.mp4?view\"",
        "href=\"https://photos.example/open/?zip\"",
    ] {
        assert!(html.contains(there), "{there}: {html}");
    }
    for absent in ["mine", "secret", "Shared by", "alice", "Log out"] {
        assert!(!html.contains(absent), "{absent}: {html}");
    }
    // by its name without a slash, and whoever has a session sees the same
    assert_eq!(shared.call("/open", BROWSER).await.header("location"), "https://photos.example/open/");
    assert_eq!(shared.call("/open/more", BROWSER).await.header("location"), "https://photos.example/open/more/");
    assert!(shared.open("/open/").await.text().contains("Everybody may see this"));
    let item = shared.call("/open/1.jpg?view", BROWSER).await;
    assert!(
        item.status == 200 && item.text().contains("1.jpg?thumbnail=1280") && !item.text().contains("mine"),
        "{}",
        item.text()
    );
    let names: Vec<_> = contents(&mut zip_of(&shared.call("/open/?zip", &[]).await)).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["open/1.jpg", "open/film.mp4", "open/more/2.jpg"]);
    assert_eq!(shared.call("/open/", PROGRAM).await.names(), ["more", "1.jpg", "film.mp4"]);
    assert_eq!(shared.call("/open/1.jpg?thumbnail=320", &[]).await.status, 200);
    // what is not there is not there, and what is guarded still is
    for (path, status) in [("/open/nothing/", 404), ("/open/mine.jpg?thumbnail=320", 401), ("/holiday/?zip", 401)] {
        assert_eq!(shared.call(path, &[]).await.status, status, "{path}");
    }
    assert_eq!(shared.call("/open/nothing/", BROWSER).await.status, 404);
    assert_eq!(shared.call("/open/1.jpg", BROWSER).await.text(), "what is in open/1.jpg");
}

/// A route for what is in a directory, and for nothing below that.
#[tokio::test]
async fn a_directory_of_public_things_has_a_page_as_well() {
    let shared = shared().await;
    let page = shared.call("/flat/", BROWSER).await;
    assert!(page.status == 200 && page.text().contains("/flat/3.jpg?thumbnail=320"), "{}", page.text());
    assert!(!page.text().contains("deep"), "no route is for what is in it: {}", page.text());
    assert_eq!(shared.call("/flat", BROWSER).await.header("location"), "https://photos.example/flat/");
    assert_eq!(shared.call("/flat/", &[]).await.status, 404, "for programs it is as ever");
}
