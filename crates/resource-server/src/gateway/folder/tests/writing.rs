//! C-2 and C-3: writing and deleting under conditions, and parts of files.

use super::*;

#[tokio::test]
async fn c_2_of_two_who_edit_a_file_the_second_is_told() {
    let (place, folder) = Place::with("edited", &["album/1.txt"], "first");
    let tag_of = async |path: &str| call(&folder, "GET", path, &[], "").await.field("etag").to_owned();
    let both = tag_of("/album/1.txt").await;
    let put = async |fields: &[(&str, &str)], body: &str| call(&folder, "PUT", "/album/1.txt", fields, body).await;
    let first = put(&[("if-match", &both)], "by one").await;
    assert_eq!(first.status, 204);
    assert_eq!(first.field("etag"), tag_of("/album/1.txt").await, "what was written has this tag");
    assert_eq!(put(&[("if-match", &both)], "by another").await.status, 412);
    assert_eq!(call(&folder, "DELETE", "/album/1.txt", &[("if-match", &both)], "").await.status, 412);
    let to = [("if-match", both.as_str()), ("destination", "/album/2.txt")];
    for method in ["MOVE", "COPY"] {
        assert_eq!(call(&folder, method, "/album/1.txt", &to, "").await.status, 412, "{method}");
    }
    for fields in [
        [("if-none-match", "*")],
        [("if-match", "\"x\"")],
        [("if-match", "garbage")],
        [("if-unmodified-since", "Sun, 09 Sep 2001 01:46:40 GMT")],
        [("if-none-match", first.field("etag"))],
    ] {
        assert_eq!(put(&fields, "by another").await.status, 412, "{fields:?}");
    }
    assert_eq!(put(&[("if-none-match", "garbage")], "by another").await.status, 400);
    assert_eq!(place.read("album/1.txt").as_deref(), Some("by one"));
    // only what is not there yet, and only what is
    assert_eq!(call(&folder, "PUT", "/album/2.txt", &[("if-match", "*")], "x").await.status, 412);
    assert_eq!(call(&folder, "PUT", "/album/2.txt", &[("if-none-match", "*")], "x").await.status, 201);
    assert_eq!(call(&folder, "PUT", "/album/2.txt", &[("if-none-match", "*")], "y").await.status, 412);
    assert_eq!(place.read("album/2.txt").as_deref(), Some("x"));
    // RFC 9110 13.2.1: of what is not there, nothing else is said
    assert_eq!(call(&folder, "DELETE", "/album/3.txt", &[("if-match", "*")], "").await.status, 404);
    assert_eq!(call(&folder, "GET", "/album/3.txt", &[("if-match", "*")], "").await.status, 404);
    let now = tag_of("/album/1.txt").await;
    assert_eq!(call(&folder, "DELETE", "/album/1.txt", &[("if-match", &now)], "").await.status, 204);
}

/// Both began when the condition held; when the second is to take its place, it does not.
#[tokio::test]
async fn c_2_a_condition_holds_when_the_file_appears() {
    for (fields, file) in [("if-match", Some("old")), ("if-none-match", None), ("if", Some("old"))] {
        let (place, folder) = Place::with("raced", &[], "");
        if let Some(content) = file {
            std::fs::write(place.0.join("files/album/1.txt"), content).unwrap();
        }
        let value = match file {
            Some(_) => call(&folder, "GET", "/album/1.txt", &[], "").await.field("etag").to_owned(),
            None => "*".to_owned(),
        };
        let value = if fields == "if" { format!("([{value}])") } else { value };
        let folder = Arc::new(folder);
        let begin = |body: Body| {
            let (folder, value) = (folder.clone(), value.clone());
            tokio::spawn(async move {
                let mut parts = parts_of("PUT");
                parts.headers.insert(fields, value.parse().unwrap());
                let path = CanonicalPath::parse("/album/1.txt").unwrap();
                let elsewhere = Elsewhere::read(&parts, &path, url::Url::parse("https://files.example").ok().as_ref()).unwrap();
                let passing = Passing { elsewhere, ..Passing::by_itself() };
                folder.serve(&parts, body, &path, &passing).await.status().as_u16()
            })
        };
        let ((a, body_a), (b, body_b)) = (by_hand(), by_hand());
        let (first, second) = (begin(body_a), begin(body_b));
        for _ in 0..4 {
            a.send(Ok(Bytes::from_static(b"a"))).await.unwrap();
            b.send(Ok(Bytes::from_static(b"b"))).await.unwrap();
        }
        drop(a);
        assert_eq!(first.await.unwrap(), if file.is_some() { 204 } else { 201 });
        drop(b);
        assert_eq!(second.await.unwrap(), 412);
        assert_eq!(place.read("album/1.txt").as_deref(), Some("aaaa"));
        assert_eq!(place.all().len(), 1, "nothing is left over");
    }
}

#[tokio::test]
async fn c_3_a_part_of_a_file_is_not_taken_for_the_file() {
    let twenty = "0123456789abcdefghij";
    let (place, folder) = Place::with("parts", &["album/1.txt"], twenty);
    for range in ["bytes 5-8/20", "bytes 5-8/*", "bytes */20", "bytes 0-19/20", "nonsense", ""] {
        for path in ["/album/1.txt", "/album/new.txt"] {
            let answer = call(&folder, "PUT", path, &[("content-range", range)], "abcd").await;
            assert_eq!(answer.status, 400, "{range}");
        }
    }
    let sabre = [("content-type", "application/x-sabredav-partialupdate"), ("x-update-range", "bytes=5-8")];
    let patched = call(&folder, "PATCH", "/album/1.txt", &sabre, "abcd").await;
    assert_eq!((patched.status, patched.field("allow").contains("PUT")), (405, true));
    assert_eq!(place.all(), [("files/album/1.txt".to_owned(), 20)].into());
    assert_eq!(place.read("album/1.txt").as_deref(), Some(twenty));
}

/// A folder that is a disk of its own has nothing beside it: what is being written lies in the directory that it is for.
#[tokio::test]
async fn threat_44_what_is_written_into_a_disk_of_its_own_is_held_there() {
    let (place, folder) = Place::with("own-disk", &["album/1.jpg", "other/2.jpg"], "x");
    std::fs::write(place.0.join(".files.uploads"), "nothing can lie beside").unwrap();
    let (folder, allowed) = (Arc::new(folder), Arc::new(AtomicBool::new(true)));
    let (write, body) = by_hand();
    let (its, may) = (folder.clone(), allowed.clone());
    let writing = tokio::spawn(async move { put(&its, "/album/new.jpg", body, &may).await });
    for _ in 0..3 {
        write.send(Ok(Bytes::from_static(b"piece"))).await.unwrap();
    }
    // every number that was given back leads to another directory now
    let others: Vec<_> = (0..64).map(|_| std::fs::File::open(place.0.join("files/other")).unwrap()).collect();
    drop(write);
    assert_eq!(writing.await.unwrap(), 201);
    assert_eq!(place.read("album/new.jpg").as_deref(), Some("piecepiecepiece"));
    assert_eq!(place.all().len(), 4, "{:?}", place.all());
    drop(others);
}
