//! Decision 45: what comes while a directory is judged is neither taken along nor lost.

use super::*;
use crate::gateway::reach::{Methods, Reach};
use std::sync::Mutex;
use tokio::task::JoinHandle;

/// Whoever may do everything; while it is asked of a thing in a directory, somebody else makes a call.
struct Meanwhile {
    folder: Arc<Folder>,
    method: &'static str,
    path: &'static str,
    /// What may not be done.
    denied: &'static str,
    made: Mutex<Option<JoinHandle<u16>>>,
}

impl Meanwhile {
    fn new(folder: &Arc<Folder>, method: &'static str, path: &'static str) -> Self {
        Self { folder: folder.clone(), method, path, denied: "nothing", made: Mutex::default() }
    }

    /// Begins the other call, until it is done or waits at a gate.
    async fn make_call(&self) {
        if self.made.lock().unwrap().is_some() {
            return;
        }
        let (folder, method, path) = (self.folder.clone(), self.method, self.path);
        let body = if method == "PUT" { "hers" } else { "" };
        let made = tokio::spawn(async move { call(&folder, method, path, &[], body).await.status });
        while !made.is_finished() && self.folder.files.gates().count_waiting() == 0 {
            tokio::task::yield_now().await;
        }
        *self.made.lock().unwrap() = Some(made);
    }

    async fn answer(&self) -> u16 {
        let made = self.made.lock().unwrap().take();
        made.unwrap().await.unwrap()
    }
}

impl Reach for Meanwhile {
    fn may(self: Arc<Self>, _: Methods, path: CanonicalPath) -> BoxFuture<'static, bool> {
        Box::pin(async move {
            self.make_call().await;
            !path.encoded().starts_with(self.denied)
        })
    }
}

async fn change(meanwhile: &Arc<Meanwhile>, method: &str, path: &str, fields: &[(&str, &str)]) -> u16 {
    let passing = Passing { reach: meanwhile.clone(), principal: "bob".into(), ..Passing::by_itself() };
    call_as(&meanwhile.folder, method, path, fields, "", passing).await.status
}

/// What is in it, once it has been changed.
const FILES: [&str; 4] = ["album/1.jpg", "album/private/2.jpg", "other/3.jpg", "other/private/4.jpg"];

fn place() -> (Place, Arc<Folder>) {
    let name = format!("meanwhile-{}", jose::ambient::random_text::<6>(&jose::SystemRandomness));
    let (place, folder) = Place::with(&name, &FILES, "x");
    (place, Arc::new(folder))
}

#[tokio::test]
async fn threat_39_what_comes_while_a_directory_is_judged_is_not_taken_along() {
    let over = [("destination", "/other")];
    let to = [("destination", "/new")];
    for (method, fields) in [("DELETE", &[][..]), ("MOVE", &to[..]), ("MOVE", &over[..])] {
        for path in ["/album/private/new.jpg", "/album/private/deep"] {
            let (place, folder) = place();
            let making = if path.ends_with("jpg") { "PUT" } else { "MKCOL" };
            let meanwhile = Arc::new(Meanwhile::new(&folder, making, path));
            let changed = change(&meanwhile, method, "/album", fields).await;
            let made = meanwhile.answer().await;
            // it comes too late, and is told so: nothing of hers is anywhere, and nothing is lost
            assert!(matches!((changed, made), (201 | 204, 404 | 409)), "{method} {fields:?} {path} {changed} {made}");
            assert!(place.all().iter().all(|(_, length)| *length == 1), "{:?}", place.all());
        }
    }
}

#[tokio::test]
async fn threat_39_what_comes_into_what_is_replaced_is_not_lost() {
    for method in ["MOVE", "COPY"] {
        let (place, folder) = place();
        let meanwhile = Arc::new(Meanwhile::new(&folder, "PUT", "/other/private/new.jpg"));
        assert_eq!(change(&meanwhile, method, "/album", &[("destination", "/other")]).await, 204);
        // the directory that is there then has a `private` of its own; a copy may not have come so far
        let made = meanwhile.answer().await;
        assert!(made == 201 || method == "COPY" && made == 404, "{method} {made}");
        assert_eq!(place.read("other/private/new.jpg").as_deref(), (made == 201).then_some("hers"));
        assert_eq!((place.read("other/private/2.jpg").as_deref(), place.read("other/3.jpg")), (Some("x"), None));
    }
}

/// Where the directory is left, whoever waited goes on; elsewhere nobody waits at all.
#[tokio::test]
async fn who_waits_at_a_directory_that_stays_goes_on() {
    let (place, folder) = place();
    for (path, denied) in [("/album/private/new.jpg", "/album/private/2.jpg"), ("/other/new.jpg", "/album/private/2.jpg")] {
        let meanwhile = Arc::new(Meanwhile { denied, ..Meanwhile::new(&folder, "PUT", path) });
        assert_eq!(change(&meanwhile, "DELETE", "/album", &[]).await, 403);
        assert_eq!(meanwhile.answer().await, 201, "{path}");
        assert_eq!(place.read(path.trim_start_matches('/')).as_deref(), Some("hers"));
    }
    assert_eq!(folder.files.gates().count_waiting(), 0);
    // a file comes into a directory that is moved: both are judged
    let meanwhile = Arc::new(Meanwhile { denied: "/album/private/2.jpg", ..Meanwhile::new(&folder, "DELETE", "/album/private") });
    assert_eq!(change(&meanwhile, "MOVE", "/album", &[("destination", "/new")]).await, 403);
    assert_eq!(meanwhile.answer().await, 204);
}

/// A copy writes into its destination for long, and holds nobody up there meanwhile.
#[tokio::test]
async fn a_copy_goes_on_with_others_beside_it() {
    let (place, folder) = place();
    let copied = call(&folder, "COPY", "/album", &[("destination", "/other")], "").await;
    assert_eq!((copied.status, place.read("other/private/2.jpg").as_deref()), (204, Some("x")));
    let copied = call(&folder, "COPY", "/album/1.jpg", &[("destination", "/other")], "").await;
    assert_eq!((copied.status, place.read("other").as_deref()), (204, Some("x")));
}

/// Whoever brings something that is long on its way keeps nobody from anything before it is there.
#[tokio::test]
async fn threat_46_who_sends_no_end_keeps_nobody_from_writing() {
    for (method, fields) in
        [("DELETE", &[][..]), ("MOVE", &[("destination", "/other")][..]), ("COPY", &[("destination", "/other")])]
    {
        let (_place, folder) = place();
        let elder = folder.clone();
        let slow = tokio::spawn(async move {
            let mut parts = parts_of(method);
            for (name, value) in fields {
                parts.headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            let path = CanonicalPath::parse("/album").unwrap();
            let elsewhere = Elsewhere::read(&parts, &path, url::Url::parse("https://files.example").ok().as_ref()).unwrap();
            let passing = Passing { principal: "mallory".into(), elsewhere, ..Passing::by_itself() };
            let never = Body::from_stream(futures_util::stream::pending::<std::io::Result<Bytes>>());
            elder.serve(&parts, never, &path, &passing).await
        });
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        for path in ["/album/new.jpg", "/other/new.jpg"] {
            let written = tokio::time::timeout(Duration::from_secs(5), call(&folder, "PUT", path, &[], "hers")).await;
            assert_eq!(written.expect("nobody waits").status, 201, "{method} {path}");
        }
        slow.abort();
    }
}
