//! C-1, C-4, C-5 and C-6: reading files, whichever times and names they have.

use super::*;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TWENTY: &str = "0123456789abcdefghij";

fn set_time(place: &Place, file: &str, time: SystemTime) {
    std::fs::File::options().write(true).open(place.0.join("files").join(file)).unwrap().set_modified(time).unwrap();
}

fn seconds(count: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(count)
}

#[tokio::test]
async fn c_1_a_download_is_resumed_in_the_same_file_alone() {
    let (place, folder) = Place::with("resumed", &["album/1.jpg"], TWENTY);
    let get = async |fields: &[(&str, &str)]| call(&folder, "GET", "/album/1.jpg", fields, "").await;
    set_time(&place, "album/1.jpg", seconds(1_000_000_000));
    let before = get(&[]).await;
    let (date, tag) = (before.field("last-modified").to_owned(), before.field("etag").to_owned());
    assert_eq!((before.status, date.as_str(), before.body.as_str()), (200, "Sun, 09 Sep 2001 01:46:40 GMT", TWENTY));
    assert!(tag.starts_with('"') && tag.len() > 10, "{tag}");
    let part = get(&[("range", "bytes=5-9"), ("if-range", &tag)]).await;
    assert_eq!((part.status, part.body.as_str(), part.field("content-range")), (206, "56789", "bytes 5-9/20"));
    // within the second of a date there may be two files
    let whole = get(&[("range", "bytes=5-9"), ("if-range", &date)]).await;
    assert_eq!((whole.status, whole.body.as_str()), (200, TWENTY));
    assert_eq!(get(&[("if-none-match", &tag)]).await.status, 304);
    assert_eq!(get(&[("if-modified-since", &date)]).await.status, 304);
    // as long as before, and another
    std::fs::write(place.0.join("new"), TWENTY.to_uppercase()).unwrap();
    std::fs::rename(place.0.join("new"), place.0.join("files/album/1.jpg")).unwrap();
    set_time(&place, "album/1.jpg", seconds(1_000_000_001));
    for validator in [&date, &tag] {
        let whole = get(&[("range", "bytes=5-9"), ("if-range", validator)]).await;
        assert_eq!((whole.status, whole.body), (200, TWENTY.to_uppercase()), "{validator}");
    }
    assert_eq!(get(&[("if-none-match", &tag)]).await.status, 200);
    assert_eq!(get(&[("if-match", &tag)]).await.status, 412);
    assert_eq!(get(&[("if-unmodified-since", &date), ("range", "bytes=5-9")]).await.status, 412);
    // the tag tells it also where somebody put its time back
    set_time(&place, "album/1.jpg", seconds(1_000_000_000));
    assert_eq!(get(&[("range", "bytes=5-9"), ("if-range", &tag)]).await.status, 200);
    let unchanged = get(&[("if-none-match", &format!("W/{}", get(&[]).await.field("etag")))]).await;
    assert_eq!((unchanged.status, unchanged.body.as_str(), unchanged.field("etag").is_empty()), (304, "", false));
}

#[tokio::test]
async fn c_4_what_is_asked_of_a_file_is_what_comes() {
    let (_place, folder) = Place::with("ranges", &["album/1.jpg"], TWENTY);
    for (range, status, body) in [
        ("bytes=-500", 206, TWENTY),
        ("bytes=5-9", 206, "56789"),
        ("bytes=18-", 206, "ij"),
        ("bytes=0-1,5-6", 200, TWENTY),
        ("items=0-1", 200, TWENTY),
        ("nonsense", 200, TWENTY),
    ] {
        let got = call(&folder, "GET", "/album/1.jpg", &[("range", range)], "").await;
        assert_eq!((got.status, got.body.as_str()), (status, body), "{range}");
        assert_eq!(got.field("accept-ranges"), "bytes");
        assert_eq!(got.field("content-length"), body.len().to_string());
        assert_eq!(got.field("content-type"), "image/jpeg");
        assert_eq!(got.field("x-content-type-options"), "nosniff");
        let head = call(&folder, "HEAD", "/album/1.jpg", &[("range", range)], "").await;
        assert_eq!((head.status, head.body.as_str(), head.field("content-length")), (200, "", "20"), "{range}");
    }
    let beyond = call(&folder, "GET", "/album/1.jpg", &[("range", "bytes=20-")], "").await;
    assert_eq!((beyond.status, beyond.field("content-range")), (416, "bytes */20"));
}

#[tokio::test]
async fn c_5_a_file_of_any_time_is_served() {
    let (place, folder) = Place::with("times", &["album/1.jpg"], TWENTY);
    let old = UNIX_EPOCH - Duration::from_secs(18_489_600);
    let never = UNIX_EPOCH - Duration::from_secs(5_000_000_000);
    let far = seconds(4_000_000_000);
    let farther = seconds(15_000_000_000);
    for time in [old, never, UNIX_EPOCH, UNIX_EPOCH - Duration::from_nanos(1), UNIX_EPOCH + Duration::from_nanos(1), far, farther]
    {
        set_time(&place, "album/1.jpg", time);
        for method in ["GET", "HEAD"] {
            let got = call(&folder, method, "/album/1.jpg", &[], "").await;
            assert_eq!(got.status, 200, "{time:?}");
            let now = jose::ambient::SystemClock.now().0;
            let told = got.field("last-modified");
            let told = (!told.is_empty()).then(|| httpdate::parse_http_date(told).unwrap().duration_since(UNIX_EPOCH).unwrap());
            assert!(told.is_none_or(|told| told.as_secs() <= now.unsigned_abs()), "{time:?}: never later than the answer");
            assert_eq!(told.is_some(), time >= UNIX_EPOCH, "{time:?}");
            let same = call(&folder, method, "/album/1.jpg", &[("if-none-match", got.field("etag"))], "").await;
            assert_eq!(same.status, 304, "{time:?}");
        }
        let listed = call(&folder, "PROPFIND", "/album/1.jpg", &[("depth", "0")], "").await;
        assert_eq!(listed.status, 207, "{time:?}");
        assert!(listed.body.contains("getcontentlength>20<"), "{}", listed.body);
        let since = [("if-modified-since", "Sun, 01 Jun 1969 00:00:00 GMT")];
        let expected = if time <= UNIX_EPOCH - Duration::from_secs(18_489_600) { 304 } else { 200 };
        assert_eq!(call(&folder, "GET", "/album/1.jpg", &since, "").await.status, expected, "{time:?}");
    }
}

#[tokio::test]
async fn c_6_a_name_that_is_listed_can_be_called() {
    let long = "x".repeat(251) + ".jpg";
    let names = ["50% off.jpg", "100%", "%.txt", "a b.jpg", "Grüße ☂.jpg", "..odd", "a..b", "q?#&=+,'().jpg", "[1].jpg", &long];
    let unserved = ["5%de.jpg", "a;b.jpg", "back\\slash", "line\nbreak", ".hidden", "...", "\u{ff0e}\u{ff0e}"];
    let (place, folder) = Place::with("names", &[], "");
    for name in names.iter().chain(&unserved) {
        std::fs::write(place.0.join("files/album").join(name), TWENTY).unwrap();
    }
    let bytes = std::os::unix::ffi::OsStrExt::from_bytes(&b"caf\xe9.jpg"[..]);
    std::fs::write(place.0.join("files/album").join::<&std::ffi::OsStr>(bytes), TWENTY).unwrap();
    let listed = call(&folder, "GET", "/album/", &[], "").await;
    let listed: BTreeSet<String> = serde_json::from_str(&listed.body).unwrap();
    let served: BTreeSet<String> = names.iter().filter(|name| !name.starts_with('.')).map(|name| (*name).to_owned()).collect();
    assert_eq!(listed, served);
    let told = call(&folder, "PROPFIND", "/album/", &[("depth", "1")], "").await;
    assert_eq!(told.body.matches("<D:response>").count(), served.len() + 1);
    for name in &listed {
        let path = format!("/album/{}", percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC));
        let got = call(&folder, "GET", &path, &[], "").await;
        assert_eq!((got.status, got.body.as_str()), (200, TWENTY), "{name}");
        assert_eq!(call(&folder, "DELETE", &path, &[], "").await.status, 204, "{name}");
        assert_eq!(call(&folder, "PUT", &path, &[], TWENTY).await.status, 201, "{name}");
    }
    assert_eq!(call(&folder, "GET", "/album/50%25%20off.jpg", &[], "").await.status, 200);
    assert_eq!(call(&folder, "GET", &format!("/album/{}", "x".repeat(300)), &[], "").await.status, 400);
}

#[tokio::test]
async fn what_could_run_under_this_servers_name_is_not_shown() {
    let (place, folder) = Place::with("active", &["album/1.html", "album/1.svg", "album/1.txt"], "x");
    std::fs::write(place.0.join("files/album/1.jpg"), "  <!doctype html><script>1</script>").unwrap();
    for (path, is_active) in [("/album/1.html", true), ("/album/1.svg", true), ("/album/1.jpg", true), ("/album/1.txt", false)] {
        for range in [&[][..], &[("range", "bytes=0-0")]] {
            let got = call(&folder, "GET", path, range, "").await;
            assert_eq!(got.field("content-disposition"), if is_active { "attachment" } else { "" }, "{path}");
            assert_eq!(got.field("content-security-policy"), "sandbox; default-src 'none'");
            assert_eq!(got.field("x-content-type-options"), "nosniff");
        }
    }
}

/// A file that is replaced while it is read is read to its end; one that is cut is not filled up.
#[tokio::test]
async fn c_1_a_file_that_is_replaced_while_it_is_read_is_one_file() {
    let (place, folder) = Place::with("replaced", &[], "");
    let file = place.0.join("files/album/1.jpg");
    let old = "o".repeat(400_000);
    let begin = async || {
        std::fs::write(&file, &old).unwrap();
        let path = CanonicalPath::parse("/album/1.jpg").unwrap();
        let answer = folder.serve(&parts_of("GET"), Body::empty(), &path, &Passing::by_itself()).await;
        assert_eq!(answer.headers()["content-length"], "400000");
        answer.into_body()
    };
    let body = begin().await;
    assert_eq!(call(&folder, "PUT", "/album/1.jpg", &[], &"n".repeat(400_000)).await.status, 204);
    assert_eq!(axum::body::to_bytes(body, 1 << 20).await.unwrap(), old.as_bytes());
    let body = begin().await;
    std::fs::File::options().write(true).open(&file).unwrap().set_len(10).unwrap();
    assert!(axum::body::to_bytes(body, 1 << 20).await.is_err(), "nobody takes it for the whole");
}
