use super::super::Pattern;
use super::*;
use types::ScopeSet;

const RESOURCE: &str = "https://photos.example";

fn url(resource: &str) -> Option<Url> {
    Url::parse(resource).ok()
}

fn read(method: &str, fields: &[(&str, &str)]) -> Result<Elsewhere, Wrong> {
    let mut request = http::Request::builder().method(method).uri("/albums/holiday/1.jpg");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let parts = request.body(()).unwrap().into_parts().0;
    let path = CanonicalPath::parse(parts.uri.path()).unwrap();
    Elsewhere::read(&parts, &path, url(RESOURCE).as_ref())
}

#[test]
fn threat_39_s36_a_destination_is_read_in_one_form() {
    for (text, path) in [
        ("/albums/holiday/2.jpg", "/albums/holiday/2.jpg"),
        ("https://photos.example/albums/holiday/2.jpg", "/albums/holiday/2.jpg"),
        ("HTTPS://Photos.EXAMPLE:443/albums/%68oliday/2.jpg", "/albums/holiday/2.jpg"),
        ("https://photos.example:/a%20b/(1)", "/a%20b/(1)"),
    ] {
        assert_eq!(place(text, url(RESOURCE).as_ref()).unwrap().encoded(), path, "{text}");
    }
    for text in [
        "https://evil.example/albums/holiday/2.jpg",
        "https://photos.example.evil.example/albums/holiday/2.jpg",
        "https://photos.example@evil.example/albums/holiday/2.jpg",
        "https://alice@photos.example/albums/holiday/2.jpg",
        "https://photos.example:8443/albums/holiday/2.jpg",
        "https://photos.example:99999/albums/holiday/2.jpg",
        "https://photos.example\\@evil.example/albums/holiday/2.jpg",
        "http://photos.example/albums/holiday/2.jpg",
        "file:///albums/holiday/2.jpg",
        "//photos.example/albums/holiday/2.jpg",
        "albums/holiday/2.jpg",
        "https:/photos.example/x",
        "/albums/%2e%2e/secret/2.jpg",
        "/albums/../secret/2.jpg",
        "/albums//2.jpg",
        "/albums/holiday%2f..%2f..%2fsecret",
        "/albums/holiday/2.jpg?x=1",
        "/albums/holiday/2.jpg#top",
        "/albums/holiday/2.jpg;v=1",
        "/albums/%252e%252e/2.jpg",
        "/albums\\secret",
        "https://photos.example",
        "/x://photos.example/albums/..",
    ] {
        let wrong = place(text, url(RESOURCE).as_ref());
        assert!(matches!(wrong, Err(Wrong::Elsewhere(_))), "{text}: {wrong:?}");
    }
    assert_eq!(place("https://x.example/files/a/b", url("https://x.example/files").as_ref()).unwrap().encoded(), "/a/b");
    assert!(place("https://x.example/filesa/b", url("https://x.example/files").as_ref()).is_err());
    assert!(place("/other/a/b", url("https://x.example/files").as_ref()).is_err());
    assert_eq!(place("http://[::1]:9000/a", url("http://[::1]:9000").as_ref()).unwrap().encoded(), "/a");
    assert!(place("http://[::1]/a", url("http://[::1]:9000").as_ref()).is_err());
}

#[test]
fn threat_39_s36_a_copy_says_where_to_and_what_it_says_is_read() {
    assert!(matches!(read("MOVE", &[]), Err(Wrong::Unreadable(_))));
    assert!(matches!(read("COPY", &[("destination", "")]), Err(Wrong::Unreadable(_))));
    assert!(read("GET", &[]).unwrap().destination.is_none());
    // whatever the method: a service may look at it
    assert!(read("PATCH", &[("destination", "https://evil.example/x")]).is_err());
    for (name, value) in [("overwrite", "yes"), ("overwrite", "F, T"), ("depth", "2"), ("depth", "0, infinity")] {
        assert!(matches!(read("COPY", &[("destination", "/a"), (name, value)]), Err(Wrong::Unreadable(_))), "{name}: {value}");
    }
    for (name, value) in [("overwrite", "f"), ("depth", "Infinity"), ("depth", "0")] {
        assert!(read("COPY", &[("destination", "/a"), (name, value)]).is_ok(), "{name}: {value}");
    }
}

#[test]
fn threat_39_s36_conditions_are_about_what_is_called() {
    let to = ("destination", "/albums/holiday/2.jpg");
    for good in [
        "(<urn:uuid:1> [\"a)b\"]) (Not <DAV:no-lock>)",
        "<https://photos.example/albums/holiday/1.jpg> (<urn:uuid:1>)",
        "</albums/holiday/2.jpg> ([W/\"x>y\"]) (<urn:a>) </albums/%68oliday/1.jpg> (Not [\"z\"])",
    ] {
        assert!(read("MOVE", &[to, ("if", good)]).is_ok(), "{good}");
    }
    for other in [
        "</albums/secret/1.jpg> ([\"guess\"])",
        "<https://evil.example/albums/holiday/1.jpg> (<urn:uuid:1>)",
        "(<urn:uuid:1>) </albums/secret/1.jpg> (<urn:uuid:2>)",
        "</albums/holiday/%2e%2e/secret> (<urn:uuid:2>)",
    ] {
        assert!(matches!(read("MOVE", &[to, ("if", other)]), Err(Wrong::Elsewhere(_))), "{other}");
    }
    for rubbish in ["<", "</albums/holiday/1.jpg>", "()</x", "(\"", "x", "(<urn:uuid:1>) x", "(<urn:uuid:1>"] {
        assert!(matches!(read("MOVE", &[to, ("if", rubbish)]), Err(Wrong::Unreadable(_))), "{rubbish}");
    }
    assert!(read("PUT", &[("if", "</albums/holiday/2.jpg> (<urn:uuid:1>)")]).is_err(), "no destination, no second thing");
    // RFC 4918 7.4: a lock on a directory is held for what is in it
    assert!(read("PUT", &[("if", "</albums/holiday/> (<urn:uuid:1>) </albums> (Not <urn:uuid:2>)")]).is_ok());
    assert!(read("PUT", &[("if", "</albums/holiday> ([\"a\"])")]).is_err(), "what it is like is told to whoever may read it");
    assert!(read("PUT", &[("if", "</albums/holidays> (<urn:uuid:1>)")]).is_err());
}

#[test]
fn threat_39_s36_what_was_judged_goes_on() {
    let fields = [
        ("destination", "https://Photos.example/albums/%68oliday/2.jpg"),
        ("if", "</albums/holiday/%31.jpg> (<urn:uuid:1> [\"x\"])   (Not <DAV:no-lock>)"),
    ];
    let elsewhere = read("MOVE", &fields).unwrap();
    let mut headers = HeaderMap::new();
    elsewhere.write(&mut headers, "http://127.0.0.1:9900/base");
    assert_eq!(headers["destination"], "http://127.0.0.1:9900/base/albums/holiday/2.jpg");
    assert_eq!(headers["if"], "<http://127.0.0.1:9900/base/albums/holiday/1.jpg> (<urn:uuid:1> [\"x\"]) (Not <DAV:no-lock>)");
    let mut headers = HeaderMap::new();
    Elsewhere::default().write(&mut headers, "http://x");
    assert!(headers.is_empty());
}

#[test]
fn threat_39_s36_writing_there_needs_what_put_needs() {
    let scopes = |all: &[(&str, &str)]| {
        all.iter().map(|(method, scopes)| ((*method).to_owned(), ScopeSet::parse(scopes).unwrap())).collect()
    };
    let route = |all: &[(&str, &str)]| Guarded {
        resource: Pattern::parse("/a").unwrap(),
        also: vec![],
        owner: OwnerOf::Named("alice".into()),
        resource_type: None,
        name: None,
        scopes: scopes(all),
        takes_web_sockets: false,
        tells_email: false,
    };
    let full = route(&[("GET", "view"), ("PUT", "edit"), ("COPY", "view"), ("MOVE", "delete")]);
    assert_eq!(scopes_to_write(&full, "COPY"), ScopeSet::parse("edit view").ok());
    assert_eq!(scopes_to_write(&full, "MOVE"), ScopeSet::parse("delete edit").ok());
    assert_eq!(scopes_to_write(&route(&[("COPY", "copy")]), "COPY"), ScopeSet::parse("copy").ok());
    assert_eq!(scopes_to_write(&route(&[("GET", "view"), ("PUT", "edit")]), "COPY"), None);
}
