//! What a folder looks like to whom it was shared with (design/browser.md, *Folders*): pages, thumbnails, lists and zips, each
//! of what this token may view and of nothing else.

pub(super) mod thumbnails;

use super::super::route::{Pattern, Route};
use super::world::{RESOURCE, World, route, route_with};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::io::{Cursor, Read};
use tower::ServiceExt;

mod everybody;
mod names;
mod zips;

const BROWSER: &[(&str, &str)] = &[("accept", "text/html"), ("sec-fetch-mode", "navigate")];
const PROGRAM: &[(&str, &str)] = &[("accept", "application/json")];

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Vec<Value> {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    fn has(&self, name: &str, wanted: &str) -> bool {
        self.headers.get_all(name).iter().any(|value| value == wanted)
    }

    fn names(&self) -> Vec<String> {
        self.json().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    }
}

/// Alice's folder with an album, in which one picture is a thing of its own, and Bob's browser and token.
struct Shared {
    world: World,
    token: String,
    cookie: String,
}

impl Shared {
    async fn new(routes: Vec<Route>, files: &[&str]) -> Self {
        let world = World::new(crate::gateway::Store::in_memory(), &[]).await;
        for file in files {
            let place = world.folder.join(file);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, format!("what is in {file}")).unwrap();
        }
        world.gateway.replace_routes(routes);
        world.link().await;
        assert_eq!(world.status("/holiday/1.jpg", None).await, 401, "the album is registered");
        let token = world.rpt("r1");
        let cookie = world.gateway.begin_session_with("alice", &world.issuer, &token).await;
        Self { world, token, cookie }
    }

    /// Albums with all that is in them, and one picture that is not Bob's.
    async fn album(files: &[&str]) -> Self {
        let routes = vec![route("/holiday/private.jpg"), album("/{album}/{rest..}", "/{album}")];
        Self::new(routes, &[&["holiday/1.jpg", "holiday/private.jpg"], files].concat()).await
    }

    async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let mut request = Request::get(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.world.gateway.clone().router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn call(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let (parts, body) = self.send(path, fields).await.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// By a click in Bob's browser.
    async fn open(&self, path: &str) -> Answer {
        self.call(path, &[BROWSER, &[("cookie", &self.cookie)]].concat()).await
    }

    /// As part of a page in Bob's browser.
    async fn load(&self, path: &str, more: &[(&str, &str)]) -> Answer {
        self.call(path, &[&[("cookie", self.cookie.as_str()), ("sec-fetch-mode", "no-cors")], more].concat()).await
    }

    /// By Bob's program.
    async fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = format!("Bearer {}", self.token);
        self.call(path, &[fields, &[("authorization", &token)]].concat()).await
    }
}

fn album(path: &str, resource: &str) -> Route {
    route_with(path, |guarded| guarded.resource = Pattern::parse(resource).unwrap())
}

#[tokio::test]
async fn an_album_shows_what_this_session_may_view() {
    let odd = "<img src=x onerror=alert(1)>.jpg";
    let files = ["holiday/film.mp4", "holiday/song.mp3", "holiday/will.pdf", "holiday/drawing.svg", "holiday/page.html"];
    let more = ["holiday/.secret.jpg", "holiday/beach/2.jpg", &format!("holiday/{odd}")];
    let shared = Shared::album(&[&files[..], &more].concat()).await;
    let page = shared.open("/holiday/").await;
    let html = page.text();
    assert_eq!(page.status, 200, "{html}");
    for there in [
        "Shared by <strong>alice</strong>",
        "href=\"https://photos.example/holiday/beach/\"",
        "src=\"https://photos.example/holiday/1.jpg?thumbnail=320\"",
        "href=\"https://photos.example/holiday/film.mp4?view\"",
        "<audio controls preload=\"none\" src=\"https://photos.example/holiday/song.mp3\"",
        "href=\"https://photos.example/holiday/will.pdf\" download=",
        "href=\"https://photos.example/holiday/drawing.svg\" download=",
        "href=\"https://photos.example/holiday/?zip\"",
        "loading=\"lazy\"",
        "&#60;img src=x onerror=alert(1)&#62;.jpg",
    ] {
        assert!(html.contains(there), "{there}: {html}");
    }
    for absent in ["private", "secret", "<img src=x", "style=", "onclick", "drawing.svg?thumbnail", "Share</a>"] {
        assert!(!html.contains(absent), "{absent}: {html}");
    }
    let policy = page.header("content-security-policy");
    let assets = "script-src https://photos.example/.wayleave/assets/;";
    for rule in [assets, "default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "media-src 'self'"] {
        assert!(policy.contains(rule) && !policy.contains("unsafe"), "{policy}");
    }
    assert_eq!((page.header("x-content-type-options"), page.header("x-frame-options")), ("nosniff", "DENY"));
    assert!(page.header("cache-control").contains("no-store") && page.has("vary", "Cookie"));
    // one picture, with the way to those beside it
    let one = shared.open("/holiday/1.jpg?view").await.text();
    assert!(
        one.contains("1.jpg?thumbnail=1280") && one.contains("rel=\"next\" href=\"https://photos.example/holiday/%3Cimg"),
        "{one}"
    );
    let film = shared.open("/holiday/film.mp4?view").await.text();
    assert!(film.contains("<video controls") && film.contains("rel=\"prev\" href=\"https://photos.example/holiday/%3Cimg"));
    // below it, with the way back
    let beach = shared.open("/holiday/beach/").await.text();
    assert!(beach.contains("2.jpg?thumbnail=320") && beach.contains("<a href=\"https://photos.example/holiday/\">"), "{beach}");
    assert_eq!(shared.open("/holiday/beach").await.header("location"), "https://photos.example/holiday/beach/");
    // without script, and by whatever else is opened, it is what lies there
    assert_eq!(shared.open("/holiday/1.jpg").await.text(), "what is in holiday/1.jpg");
    std::fs::create_dir(shared.world.folder.join("holiday/later")).unwrap();
    let empty = shared.open("/holiday/later/").await.text();
    assert!(empty.contains("Nothing is here yet") && !empty.contains("?zip"), "{empty}");
}

#[tokio::test]
async fn what_is_not_shared_is_not_shown_in_any_way() {
    let shared = Shared::album(&["garden/1.jpg"]).await;
    assert_eq!(shared.world.status("/garden/1.jpg", None).await, 401);
    let closed = |answer: &Answer| answer.text().contains("Not shared with you") || answer.text().contains("cannot be opened");
    for path in ["/garden/", "/nowhere/", "/holiday/nothing/", "/holiday/private.jpg?view", "/holiday/none.jpg?view"] {
        let answer = shared.open(path).await;
        assert!(answer.status.is_client_error() && closed(&answer), "{path} {}: {}", answer.status, answer.text());
    }
    for path in ["/garden/?zip", "/garden/1.jpg?thumbnail=320", "/holiday/private.jpg?thumbnail=320", "/garden/"] {
        let (by_page, by_program) = (shared.load(path, PROGRAM).await, shared.ask(path, PROGRAM).await);
        assert_eq!((by_page.status.as_u16(), by_program.status.as_u16()), (401, 401), "{path}");
        assert_eq!(shared.call(path, PROGRAM).await.status, 401, "{path}");
    }
    for path in ["/holiday/nothing/", "/holiday/nothing/?zip", "/holiday/none.jpg?thumbnail=320", "/holiday/1.jpg/?zip"] {
        assert_eq!(shared.load(path, PROGRAM).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_program_reads_an_album_in_pages_and_whoever_asks_for_nothing_new_is_answered_as_ever() {
    let files: Vec<String> = (0..9).map(|n| format!("holiday/{n:02}.png")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let shared = Shared::album(&[&files[..], &["holiday/beach/2.jpg"]].concat()).await;
    let whole = shared.ask("/holiday/", PROGRAM).await;
    let (kept, varies) = (&whole.headers["cache-control"], whole.headers.get_all("vary").iter());
    assert_eq!(kept, "private, no-cache");
    assert!(varies.into_iter().any(|value| value.to_str().unwrap().starts_with("Accept,")), "a browser gets a page from there");
    let names = whole.names();
    assert_eq!((names.len(), names[0].as_str(), names[1].as_str(), names[10].as_str()), (11, "beach", "00.png", "1.jpg"));
    let first = &whole.json()[1];
    assert_eq!(first["url"], format!("{RESOURCE}/holiday/00.png"));
    assert_eq!((&first["kind"], &first["media_type"], &first["size"]), (&"picture".into(), &"image/png".into(), &25.into()));
    assert!(first["modified"].is_i64() && whole.json()[0]["kind"] == "album" && whole.json()[0].get("size").is_none());
    let (mut path, mut read) = ("/holiday/?limit=3".to_owned(), Vec::new());
    loop {
        let page = shared.load(&path, PROGRAM).await;
        read.extend(page.names());
        let Some(next) = page.header("link").strip_prefix(&format!("<{RESOURCE}")).map(str::to_owned) else { break };
        path = next.split('>').next().unwrap().to_owned();
    }
    assert_eq!(read, names);
    for bad in ["0", "1001", "x", "-1", ""] {
        assert_eq!(shared.ask(&format!("/holiday/?limit={bad}"), PROGRAM).await.status, 400, "{bad}");
    }
    // the list that there was before
    let plain = shared.ask("/holiday/", &[("accept", "*/*")]).await.text();
    assert!(plain.starts_with("[\"00.png\",") && shared.ask("/holiday/", BROWSER).await.text() == plain, "{plain}");
    assert_eq!(shared.ask("/holiday/1.jpg?view", &[]).await.text(), "what is in holiday/1.jpg");
}

#[tokio::test]
async fn thousands_of_files_come_page_after_page() {
    let files: Vec<String> = (0..10_000).map(|n| format!("holiday/{n:05}.jpg")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let shared = Shared::album(&files).await;
    let begun = std::time::Instant::now();
    let first = shared.open("/holiday/").await.text();
    assert_eq!(first.matches("?thumbnail=640 640w").count(), 200);
    let next = first.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(next, format!("{RESOURCE}/holiday/?after=00199.jpg"));
    let second = shared.open(next.strip_prefix(RESOURCE).unwrap()).await.text();
    assert!(second.contains("00200.jpg?view") && !second.contains("00199.jpg?view") && second.contains("Back to the beginning"));
    let last = shared.ask("/holiday/?limit=1000&after=09998.jpg", PROGRAM).await;
    assert_eq!((last.names(), last.header("link")), (vec!["09999.jpg".to_owned(), "1.jpg".to_owned()], ""));
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// A collection that no route names is of the resource that its files are of, for people alone.
#[tokio::test]
async fn an_album_has_a_page_where_routes_name_its_files_alone() {
    let shared = Shared::new(vec![album("/{album}/{photo}", "/{album}")], &["holiday/1.jpg", "garden/1.jpg"]).await;
    assert_eq!(shared.open("/holiday").await.header("location"), "https://photos.example/holiday/");
    assert!(shared.open("/holiday/").await.text().contains("1.jpg?thumbnail=320"));
    // whether it is there or not, and without a session
    assert_eq!(shared.call("/none?x=y", BROWSER).await.header("location"), "https://photos.example/none/?x=y");
    assert_eq!(shared.load("/holiday/", PROGRAM).await.names(), ["1.jpg"]);
    assert!(shared.open("/holiday/1.jpg/").await.status == 404);
    // nothing is done there but looking
    for method in ["DELETE", "PUT", "PROPFIND", "MKCOL"] {
        let request = Request::builder().method(method).uri("/holiday/").header("cookie", &shared.cookie);
        let request = request.header("sec-fetch-site", "same-origin").body(Body::empty()).unwrap();
        let answer = shared.world.gateway.clone().router().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 404, "{method}");
    }
    // for programs nothing is there, as ever
    for path in ["/holiday", "/holiday/", "/holiday/?zip"] {
        assert_eq!(
            (shared.ask(path, PROGRAM).await.status, shared.call(path, &[]).await.status.as_u16()),
            (StatusCode::NOT_FOUND, 404)
        );
    }
    // each file a thing of its own: there is no one thing that all of them are
    let each = Shared::new(vec![route("/{album}/{photo}")], &["holiday/1.jpg", "holiday/2.jpg"]).await;
    assert_eq!(each.world.status("/holiday/2.jpg", None).await, 401);
    let shelf = each.open("/holiday/").await.text();
    assert!(shelf.contains("/holiday/1.jpg\"") && !shelf.contains("2.jpg"), "{shelf}");
    assert_eq!(
        (each.call("/holiday/", BROWSER).await.status, each.open("/garden/").await.status.as_u16()),
        (StatusCode::NOT_FOUND, 404)
    );
}

#[tokio::test]
async fn the_beginning_shows_what_a_session_has() {
    let shared = Shared::album(&["garden/1.jpg"]).await;
    assert_eq!(shared.world.status("/garden/1.jpg", None).await, 401);
    let start = shared.open("/").await;
    let html = start.text();
    assert!(start.status == 200 && html.contains("href=\"https://photos.example/holiday/\""), "{html}");
    assert!(html.contains("of alice") && !html.contains("garden") && !html.contains("private"), "{html}");
    // nobody is told anything without a session, and a program nothing at all
    assert_eq!(
        (shared.call("/", BROWSER).await.status, shared.ask("/", PROGRAM).await.status.as_u16()),
        (StatusCode::NOT_FOUND, 404)
    );
    let nothing = shared.world.gateway.begin_session_with("carol", &shared.world.issuer, "x").await;
    let empty = shared.call("/", &[BROWSER, &[("cookie", &nothing)]].concat()).await;
    assert!(empty.status == 200 && empty.text().contains("Open the link that you were given"), "{}", empty.text());
}

fn zip_of(answer: &Answer) -> zip::ZipArchive<Cursor<Vec<u8>>> {
    zip::ZipArchive::new(Cursor::new(answer.body.clone())).unwrap()
}

fn contents(archive: &mut zip::ZipArchive<Cursor<Vec<u8>>>) -> Vec<(String, String)> {
    let count = archive.len();
    let mut read = |at| {
        let mut file = archive.by_index(at).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        (String::from_utf8_lossy(file.name_raw()).into_owned(), String::from_utf8_lossy(&bytes).into_owned())
    };
    (0..count).map(&mut read).collect()
}

#[tokio::test]
async fn a_zip_has_all_that_may_be_viewed() {
    let shared = Shared::album(&["holiday/beach/Åsa.jpg", "holiday/.hidden", "holiday/a\\b.jpg"]).await;
    let zip = shared.load("/holiday/?zip", &[]).await;
    assert_eq!((zip.status.as_u16(), zip.header("content-type")), (200, "application/zip"));
    assert!(zip.header("content-disposition").starts_with("attachment; filename=\"holiday.zip\""));
    let all = contents(&mut zip_of(&zip));
    let named = |name: &str| (format!("holiday/{name}"), format!("what is in holiday/{name}"));
    assert_eq!(all, [named("1.jpg"), named("beach/Åsa.jpg")]);
    assert_eq!(contents(&mut zip_of(&shared.ask("/holiday/?zip", &[]).await)), all);
    let below = contents(&mut zip_of(&shared.open("/holiday/beach/?zip").await));
    assert_eq!(below, [("beach/Åsa.jpg".to_owned(), "what is in holiday/beach/Åsa.jpg".to_owned())]);
    assert_eq!(shared.call("/holiday/?zip", &[]).await.status, 401);
}

/// A file that goes, one that shrinks and one that grows while others are read: the zip is whole, and says what it lacks.
#[tokio::test]
async fn a_zip_of_what_changes_meanwhile_is_whole_and_says_what_is_missing() {
    let files = ["holiday/2-gone.jpg", "holiday/3-grows.jpg", "holiday/4-shrinks.jpg", "holiday/What is missing.txt"];
    let shared = Shared::album(&files).await;
    let place = |name: &str| shared.world.folder.join("holiday").join(name);
    std::fs::write(place("1.jpg"), vec![b'x'; 8 << 20]).unwrap();
    let answer = shared.send("/holiday/?zip", &[("cookie", &shared.cookie)]).await;
    // nobody has read anything yet, and the first one does not fit into what waits
    std::fs::remove_file(place("2-gone.jpg")).unwrap();
    std::fs::write(place("3-grows.jpg"), "longer than it was when the list was read").unwrap();
    std::fs::write(place("4-shrinks.jpg"), "").unwrap();
    let (parts, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let all = contents(&mut zip_of(&Answer { status: parts.status, headers: parts.headers, body }));
    let names: Vec<_> = all.iter().map(|(name, _)| name.strip_prefix("holiday/").unwrap()).collect();
    assert_eq!(names, ["1.jpg", "3-grows.jpg", "4-shrinks.jpg", "What is missing.txt", "_What is missing.txt"]);
    assert_eq!((all[0].1.len(), all[1].1.as_str()), (8 << 20, "longer than it was when the list was read"));
    assert!(all[4].1.contains("holiday/2-gone.jpg: it was gone"), "{}", all[4].1);
}
