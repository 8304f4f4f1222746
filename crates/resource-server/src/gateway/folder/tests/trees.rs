//! WebDAV's methods on a folder: directories, copies, moves and locks (RFC 4918).

use super::*;
use crate::gateway::reach::{Methods, Reach};

const LOCK: &str = "<?xml version=\"1.0\"?><D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope>\
    <D:locktype><D:write/></D:locktype><D:owner>me</D:owner></D:lockinfo>";

/// Somebody who may do everything but what stands here.
struct Without(&'static str, &'static str);

impl Reach for Without {
    fn may(self: Arc<Self>, methods: Methods, path: CanonicalPath) -> BoxFuture<'static, bool> {
        let is_allowed = !methods.contains(&self.0) || !path.encoded().starts_with(self.1);
        Box::pin(std::future::ready(is_allowed))
    }
}

async fn without(folder: &Folder, denied: Without, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let passing = Passing { reach: Arc::new(denied), principal: "bob".into(), ..Passing::by_itself() };
    call_as(folder, method, path, fields, "", passing).await
}

#[tokio::test]
async fn directories_are_made_listed_copied_moved_and_deleted() {
    let (place, folder) = Place::with("trees", &["album/1.jpg", "album/deep/2.jpg"], "x");
    let status = async |method: &str, path: &str, fields: &[(&str, &str)]| call(&folder, method, path, fields, "").await.status;
    assert_eq!(status("MKCOL", "/new/", &[]).await, 201);
    assert_eq!(status("MKCOL", "/new", &[]).await, 405);
    assert_eq!(status("MKCOL", "/none/new", &[]).await, 409);
    assert_eq!(status("MKCOL", "/.new", &[]).await, 404);
    assert_eq!(call(&folder, "MKCOL", "/other", &[], "<x/>").await.status, 415);
    let listed = call(&folder, "PROPFIND", "/album/", &[("depth", "1")], "").await;
    assert_eq!(listed.status, 207);
    for href in ["/album/", "/album/1.jpg", "/album/deep/"] {
        assert!(listed.body.contains(&format!("<D:href>{href}</D:href>")), "{}", listed.body);
    }
    assert!(!listed.body.contains("2.jpg"));
    let tag = call(&folder, "GET", "/album/1.jpg", &[], "").await.field("etag").to_owned();
    assert!(listed.body.contains(&format!("<D:getetag>{tag}</D:getetag>")) || listed.body.contains(&tag.replace('"', "&quot;")));
    assert_eq!(status("COPY", "/album/", &[("destination", "https://files.example/copy/")]).await, 201);
    assert_eq!(place.read("copy/deep/2.jpg").as_deref(), Some("x"));
    assert_eq!(status("COPY", "/album", &[("destination", "/copy"), ("overwrite", "F")]).await, 412);
    assert_eq!(status("COPY", "/album", &[("destination", "/copy"), ("depth", "0")]).await, 204);
    assert_eq!(status("COPY", "/album/1.jpg", &[("destination", "/album/1.jpg")]).await, 403);
    assert_eq!(status("COPY", "/album", &[("destination", "/album/deep/in")]).await, 403);
    assert_eq!(status("MOVE", "/album/deep", &[("destination", "/album")]).await, 403);
    assert_eq!(status("MOVE", "/album", &[("destination", "/none/album")]).await, 409);
    assert_eq!(status("MOVE", "/album", &[("destination", "/copy"), ("overwrite", "t")]).await, 204);
    assert_eq!((place.read("album/1.jpg"), place.read("copy/1.jpg").as_deref()), (None, Some("x")));
    assert_eq!(status("DELETE", "/copy/", &[]).await, 204);
    assert_eq!(status("DELETE", "/copy/", &[]).await, 404);
    for (method, fields) in
        [("DELETE", [("depth", "infinity")]), ("MOVE", [("destination", "/x")]), ("COPY", [("destination", "/")])]
    {
        assert_eq!(status(method, "/", &fields).await, 403, "{method}");
    }
    assert_eq!(place.all(), BTreeSet::new(), "and nothing is left over");
}

#[tokio::test]
async fn a_file_is_replaced_in_one_step() {
    let (place, folder) = Place::with("replaced-by", &["album/1.jpg"], "one");
    std::fs::write(place.0.join("files/album/2.jpg"), "two").unwrap();
    for (method, status) in [("COPY", 204), ("MOVE", 204)] {
        let moved = call(&folder, method, "/album/1.jpg", &[("destination", "/album/2.jpg")], "").await;
        assert_eq!((moved.status, place.read("album/2.jpg").as_deref()), (status, Some("one")), "{method}");
    }
    assert_eq!(place.read("album/1.jpg"), None);
    // a directory in its place is deleted first
    std::fs::create_dir(place.0.join("files/album/dir")).unwrap();
    assert_eq!(call(&folder, "MOVE", "/album/2.jpg", &[("destination", "/album/dir")], "").await.status, 204);
    assert_eq!(place.read("album/dir").as_deref(), Some("one"));
}

/// Threats 26 and 39: what is in a directory is judged thing by thing.
#[tokio::test]
async fn threat_39_a_directory_is_listed_moved_and_deleted_by_what_is_in_it() {
    let (place, folder) = Place::with("judged", &["album/1.jpg", "album/hers/2.jpg", "other/hers/3.jpg"], "x");
    let before = place.all();
    let listed = without(&folder, Without("PROPFIND", "/album/hers/"), "PROPFIND", "/album/", &[("depth", "1")]).await;
    assert_eq!((listed.status, listed.body.contains("hers"), listed.body.contains("1.jpg")), (207, false, true));
    let names = without(&folder, Without("GET", "/album/hers/"), "GET", "/album", &[]).await;
    assert_eq!(names.body, r#"["1.jpg"]"#);
    let to = ("destination", "/new");
    let over = ("destination", "/other");
    for (denied, method, fields) in [
        (Without("DELETE", "/album/hers/2.jpg"), "DELETE", vec![]),
        (Without("MOVE", "/album/hers/2.jpg"), "MOVE", vec![to]),
        (Without("COPY", "/album/hers/2.jpg"), "COPY", vec![to]),
        (Without("PUT", "/new/hers/2.jpg"), "COPY", vec![to]),
        (Without("PUT", "/new/hers/2.jpg"), "MOVE", vec![to]),
        (Without("DELETE", "/other/hers/3.jpg"), "MOVE", vec![over]),
        (Without("DELETE", "/other/hers/3.jpg"), "COPY", vec![over, ("depth", "0")]),
    ] {
        assert_eq!(without(&folder, denied, method, "/album", &fields).await.status, 403, "{method} {fields:?}");
        assert_eq!(place.all(), before, "{method} {fields:?}");
    }
    assert_eq!(without(&folder, Without("COPY", "/album/"), "COPY", "/album", &[to, ("depth", "0")]).await.status, 201);
    assert_eq!(place.all(), before);
    let options = without(&folder, Without("PUT", "/album"), "OPTIONS", "/album", &[]).await;
    assert_eq!((options.status, options.field("dav")), (200, "1, 2"));
    assert!(options.field("allow").contains("GET") && !options.field("allow").contains("PUT"), "{}", options.field("allow"));
}

/// What is not served is neither lost nor told.
#[tokio::test]
async fn what_is_not_served_is_not_deleted_with_its_directory() {
    let (place, folder) = Place::with("hidden", &["album/1.jpg", "album/deep/.git"], "x");
    for method in ["DELETE", "COPY"] {
        let fields = [("destination", "/album")];
        let path = if method == "DELETE" { "/album" } else { "/new" };
        std::fs::create_dir_all(place.0.join("files/new")).unwrap();
        assert_eq!(call(&folder, method, path, &fields[..usize::from(method == "COPY")], "").await.status, 403, "{method}");
        assert_eq!(place.read("album/deep/.git").as_deref(), Some("x"));
    }
    let copied = call(&folder, "COPY", "/album", &[("destination", "/copy")], "").await;
    assert_eq!((copied.status, place.read("copy/deep/.git"), place.read("copy/1.jpg").is_some()), (201, None, true));
}

#[tokio::test]
async fn a_lock_is_its_callers_alone_and_ends() {
    let (_place, folder) = Place::with("locks", &["album/1.txt"], "x");
    let somebody = |name: &str| Passing { principal: name.into(), ..Passing::by_itself() };
    let by = async |name: &str, method: &str, fields: &[(&str, &str)], body: &str| {
        call_as(&folder, method, "/album/1.txt", fields, body, somebody(name)).await
    };
    let locked = by("bob", "LOCK", &[("timeout", "Infinite, Second-4100000000")], LOCK).await;
    assert_eq!(locked.status, 200, "{}", locked.body);
    assert!(locked.body.contains("Second-600"), "{}", locked.body);
    let token = locked.field("lock-token").to_owned();
    let held = format!("({token})");
    assert_eq!(by("eve", "LOCK", &[], LOCK).await.status, 423);
    for (name, fields, status) in [
        ("bob", vec![], 423),
        ("eve", vec![], 423),
        ("eve", vec![("if", held.as_str())], 423),
        ("bob", vec![("if", held.as_str())], 204),
        ("bob", vec![("if", "(<urn:uuid:0>)")], 412),
        ("bob", vec![("if", "(<DAV:no-lock>)")], 412),
    ] {
        assert_eq!(by(name, "PUT", &fields, "y").await.status, status, "{name} {fields:?}");
    }
    assert_eq!(call(&folder, "DELETE", "/album", &[], "").await.status, 423);
    assert_eq!(by("eve", "UNLOCK", &[("lock-token", &token)], "").await.status, 403);
    assert_eq!(by("bob", "LOCK", &[("if", &held), ("timeout", "Infinite")], "").await.status, 200);
    assert_eq!(by("bob", "UNLOCK", &[("lock-token", &token)], "").await.status, 204);
    assert_eq!(by("eve", "PUT", &[], "z").await.status, 204);
    assert_eq!(by("bob", "PUT", &[("if", &held)], "y").await.status, 412, "there is no such lock any more");
    // what is not there yet is made by its lock
    let made = call(&folder, "LOCK", "/album/new.txt", &[], LOCK).await;
    assert_eq!((made.status, call(&folder, "GET", "/album/new.txt", &[], "").await.body.as_str()), (201, ""));
    assert_eq!(call(&folder, "LOCK", "/none/new.txt", &[], LOCK).await.status, 409);
}

#[tokio::test]
async fn nobody_fills_the_locks_for_others() {
    let (_place, folder) = Place::with("many-locks", &[], "");
    let by = |name: &str| Passing { principal: name.into(), ..Passing::by_itself() };
    let lock = async |name: &str, n: usize| {
        call_as(&folder, "LOCK", &format!("/album/{name}-{n}"), &[("depth", "0")], LOCK, by(name)).await.status
    };
    for n in 0..64 {
        assert_eq!(lock("eve", n).await, 201);
    }
    assert_eq!(lock("eve", 64).await, 507);
    assert_eq!(lock("bob", 0).await, 201);
    // as many callers as somebody likes, on her own things
    for n in 0..512 {
        assert_eq!(lock(&format!("mallory.{}", n / 64), n).await, 201);
    }
    assert_eq!((lock("mallory.9", 0).await, lock("alice.1", 0).await), (507, 201));
}

#[tokio::test]
async fn xml_without_measure_is_refused() {
    let (_place, folder) = Place::with("xml", &["album/1.txt"], "x");
    let nested = format!("<a>{}{}</a>", "<b>".repeat(8_000), "</b>".repeat(8_000));
    let bomb = "<!DOCTYPE a [<!ENTITY x \"xx\">]><D:propfind xmlns:D=\"DAV:\"><D:allprop/>&x;</D:propfind>";
    for method in ["PROPFIND", "PROPPATCH", "LOCK"] {
        for (body, status) in [(nested.as_str(), 400), (bomb, 400), ("<a", 400), (&" ".repeat(70_000), 413)] {
            let answer = call(&folder, method, "/album/1.txt", &[("depth", "0")], body).await;
            assert_eq!(answer.status, status, "{method} {}", &body[..10.min(body.len())]);
        }
    }
    for depth in [&[][..], &[("depth", "infinity")], &[("depth", "infinity"), ("x-litmus", "1")]] {
        let answer = call(&folder, "PROPFIND", "/album", depth, "").await;
        assert_eq!((answer.status, answer.body.contains("propfind-finite-depth")), (403, true));
    }
    // what makes a parser stumble ends its own call alone
    for condition in ["([])", "(<>)", "(Not <x> [\"a\"])", "([W/\"\"])", "()", "(Not)", "(x)"] {
        let answer = call(&folder, "PUT", "/album/1.txt", &[("if", condition)], "y").await;
        let expected = if condition.starts_with("([W/") || condition.contains("Not <") { [412, 204] } else { [400, 400] };
        assert!(expected.contains(&answer.status), "{condition} {}", answer.status);
    }
}

/// RFC 4918 4: properties of clients' own go with the file, and change nothing of it.
#[tokio::test]
async fn what_clients_note_of_a_file_stays_with_it() {
    let (place, folder) = Place::with("properties", &["album/1.txt"], "x");
    let set = |value: &str| {
        format!(
            "<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><n:mood xmlns:n=\"urn:n\">{value}</n:mood></D:prop></D:set></D:propertyupdate>"
        )
    };
    let file = place.0.join("files/album/1.txt");
    let keeps = rustix::fs::setxattr(&file, "user.wayleave.tried", b"x", rustix::fs::XattrFlags::empty()).is_ok();
    let tag = call(&folder, "GET", "/album/1.txt", &[], "").await.field("etag").to_owned();
    let patched = call(&folder, "PROPPATCH", "/album/1.txt", &[], &set("calm")).await;
    assert_eq!(patched.status, 207);
    if !keeps {
        assert!(patched.body.contains("403 Forbidden"), "{}", patched.body);
        return;
    }
    assert!(patched.body.contains("200 OK"), "{}", patched.body);
    let ask = "<D:propfind xmlns:D=\"DAV:\"><D:prop><n:mood xmlns:n=\"urn:n\"/></D:prop></D:propfind>";
    let mood = async |path: &str| call(&folder, "PROPFIND", path, &[("depth", "0")], ask).await.body.contains(">calm<");
    assert!(mood("/album/1.txt").await);
    assert_eq!(call(&folder, "GET", "/album/1.txt", &[], "").await.field("etag"), tag);
    assert_eq!(call(&folder, "PUT", "/album/1.txt", &[], "y").await.status, 204);
    assert_eq!(call(&folder, "COPY", "/album/1.txt", &[("destination", "/album/2.txt")], "").await.status, 201);
    assert_eq!(call(&folder, "MOVE", "/album/1.txt", &[("destination", "/album/3.txt")], "").await.status, 201);
    assert!(mood("/album/2.txt").await && mood("/album/3.txt").await);
    assert_eq!(call(&folder, "PUT", "/album/1.txt", &[], "new").await.status, 201);
    assert!(!mood("/album/1.txt").await, "a new file has none");
    let much = call(&folder, "PROPPATCH", "/album/2.txt", &[], &set(&"x".repeat(4_000))).await;
    assert!(much.body.contains("507"), "{}", much.body);
    assert!(mood("/album/2.txt").await, "all or nothing");
    let remove = set("").replace("D:set", "D:remove");
    assert_eq!(call(&folder, "PROPPATCH", "/album/2.txt", &[], &remove).await.status, 207);
    assert!(!mood("/album/2.txt").await);
    assert_eq!(call(&folder, "PROPPATCH", "/album", &[], &set("calm")).await.status, 207);
    assert_eq!(call(&folder, "COPY", "/album", &[("destination", "/other/")], "").await.status, 201);
    assert!(mood("/other").await && mood("/other/3.txt").await);
    // a file in the place of a directory, written with a slash
    assert_eq!(call(&folder, "COPY", "/album/3.txt", &[("destination", "/other/")], "").await.status, 204);
    assert_eq!(place.read("other").as_deref(), Some("y"));
}

/// RFC 4918 7.4: a lock on a directory is held for what is in it, and is named by the directory.
#[tokio::test]
async fn a_lock_on_a_directory_is_for_all_in_it() {
    let (_place, folder) = Place::with("deep-locks", &["album/1.txt"], "x");
    let locked = call(&folder, "LOCK", "/album/", &[("depth", "infinity")], LOCK).await;
    let held = format!("<https://files.example/album/> ({})", locked.field("lock-token"));
    for (method, path) in [("PUT", "/album/1.txt"), ("PUT", "/album/2.txt"), ("MKCOL", "/album/deep"), ("DELETE", "/album/1.txt")]
    {
        assert_eq!(call(&folder, method, path, &[], "").await.status, 423, "{method} {path}");
        assert!(matches!(call(&folder, method, path, &[("if", &held)], "").await.status, 201 | 204), "{method} {path}");
    }
}

/// RFC 4918 7.4: by a lock on a directory alone, nothing comes into it or goes, and what is in it can be written.
#[tokio::test]
async fn a_lock_on_a_directory_alone_keeps_its_members() {
    let (_place, folder) = Place::with("shallow-locks", &["album/1.txt", "other/2.txt"], "x");
    let locked = call(&folder, "LOCK", "/album/", &[("depth", "0")], LOCK).await;
    let held = format!("<https://files.example/album/> ({})", locked.field("lock-token"));
    let into = ("destination", "/album/2.txt");
    for (method, path, fields) in [
        ("PUT", "/album/new.txt", vec![]),
        ("MKCOL", "/album/deep", vec![]),
        ("COPY", "/other/2.txt", vec![into]),
        ("MOVE", "/other/2.txt", vec![into]),
        ("DELETE", "/album/1.txt", vec![]),
    ] {
        assert_eq!(call(&folder, method, path, &fields, "").await.status, 423, "{method} {path}");
    }
    assert_eq!(call(&folder, "PUT", "/album/1.txt", &[], "y").await.status, 204);
    assert_eq!(call(&folder, "PUT", "/album/new.txt", &[("if", &held)], "y").await.status, 201);
    assert_eq!(call(&folder, "DELETE", "/album/1.txt", &[("if", &held)], "").await.status, 204);
    let eve = Passing { principal: "eve".into(), ..Passing::by_itself() };
    assert_eq!(call_as(&folder, "DELETE", "/album/new.txt", &[("if", &held)], "", eve).await.status, 423);
}

/// RFC 4918 9.1, 14.24: of each thing it is said what it has and what it has not, and no more than was asked.
#[tokio::test]
async fn who_names_properties_is_told_which_are_not_there() {
    let (place, folder) = Place::with("named", &["album/1.txt", "album/2.txt"], "x");
    let keeps = rustix::fs::setxattr(place.0.join("files"), "user.wayleave.tried", b"x", rustix::fs::XattrFlags::empty()).is_ok();
    let set = "<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><n:mood xmlns:n=\"urn:n\">calm</n:mood>\
        <n:other xmlns:n=\"urn:n\">secret</n:other></D:prop></D:set></D:propertyupdate>";
    assert_eq!(call(&folder, "PROPPATCH", "/album/1.txt", &[], set).await.status, 207);
    let ask =
        "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:getetag/><n:mood xmlns:n=\"urn:n\"/><D:quota-used-bytes/></D:prop></D:propfind>";
    let answer = call(&folder, "PROPFIND", "/album", &[("depth", "1")], ask).await;
    assert_eq!(answer.status, 207);
    let of = |href: &str| {
        let at = answer.body.find(&format!("<D:href>{href}</D:href>")).unwrap();
        let said = answer.body[at..].split("</D:response>").next().unwrap();
        let missing = said.split("<D:propstat>").find(|status| status.contains("404 Not Found")).unwrap_or_default();
        (said.matches("mood").count(), missing.contains("mood"), missing.contains("<quota-used-bytes xmlns=\"DAV:\"/>"))
    };
    assert_eq!(of("/album/2.txt"), (1, true, true), "{}", answer.body);
    assert_eq!(of("/album/1.txt"), if keeps { (2, false, true) } else { (1, true, true) }, "{}", answer.body);
    assert!(!answer.body.contains("secret"), "nobody asked for it");
    assert!(answer.body.ends_with("</D:response></D:multistatus>"), "{}", answer.body);
    // whatever a client calls the namespace
    for ask in [
        "<x:propfind xmlns:x=\"DAV:\"><x:prop><x:resourcetype/><x:getetag/><x:none/></x:prop></x:propfind>",
        "<propfind xmlns=\"DAV:\"><prop><resourcetype/><getetag/><none/></prop></propfind>",
        "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:resourcetype/><x xmlns=\"DAV:\"/><D:getetag/><D:none/></D:prop></D:propfind>",
    ] {
        let said = call(&folder, "PROPFIND", "/album/1.txt", &[("depth", "0")], ask).await.body;
        let (there, missing) = said.split_once("</D:propstat>").unwrap();
        assert!(there.contains("getetag") && there.contains("resourcetype") && !there.contains("none"), "{said}");
        assert!(
            missing.contains("<none xmlns=\"DAV:\"/>") && !missing.contains("getetag") && !missing.contains("resourcetype"),
            "{said}"
        );
    }
    let many = format!("<propfind xmlns=\"DAV:\"><prop>{}</prop></propfind>", "<a xmlns=\"urn:n\"/>".repeat(101));
    let refused = call(&folder, "PROPFIND", "/album", &[("depth", "1")], &many).await;
    assert_eq!((refused.status, refused.body.contains("100")), (400, true));
}

/// However many properties a call names, the disk is asked once for each thing.
#[tokio::test]
async fn properties_are_read_once_for_a_call_and_a_thing() {
    let (place, folder) = Place::with("read-once", &["album/1.txt", "album/2.txt"], "x");
    let keep = |file: &str, value: &[u8]| {
        rustix::fs::setxattr(place.0.join(file), "user.wayleave.properties", value, rustix::fs::XattrFlags::empty())
    };
    let property = br#"[{"name":"a","xml":"<a/>"}]"#;
    if keep("files/album/1.txt", property).and_then(|()| keep("files/album/2.txt", property)).is_err() {
        return;
    }
    let paths = ["/album/1.txt", "/album/2.txt"].map(|path| CanonicalPath::parse(path).unwrap());
    let call = folder.call(&parts_of("PROPFIND"), &paths[0], &Passing::by_itself()).unwrap();
    let asked = dav_server::fs::DavProp { name: "a".into(), prefix: None, namespace: None, xml: None };
    assert!(folder.files.find_property(&call, &paths[0], &asked).await.is_ok());
    for file in ["files/album/1.txt", "files/album/2.txt"] {
        keep(file, b"[]").unwrap();
    }
    assert!(folder.files.find_property(&call, &paths[0], &asked).await.is_ok(), "it is known");
    assert!(folder.files.find_property(&call, &paths[1], &asked).await.is_err(), "another thing's are its own");
}
