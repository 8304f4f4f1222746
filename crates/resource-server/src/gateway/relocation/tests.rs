use super::*;

fn place(resource: &str, service: &str, text: &str) -> String {
    let relocation = Relocation::new(resource, service).unwrap();
    let called = format!("{}/albums/1.jpg", relocation.service_path);
    relocation.place(&called, text).unwrap_or_else(|| text.to_owned())
}

const OWN: &str = "https://photos.example";

#[test]
fn what_leads_to_the_service_leads_to_the_gateway() {
    let service = "http://127.0.0.1:9900";
    for text in [
        "http://127.0.0.1:9900/a?b=c#d",
        "HTTP://127.0.0.1:9900/a?b=c#d",
        "//127.0.0.1:9900/a?b=c#d",
        "http://bob:secret@127.0.0.1:9900/a?b=c#d",
        "http://127.1:9900/a?b=c#d",
        "http://0x7f.0.0.1:09900/a?b=c#d",
        "http://localhost:9900/a?b=c#d",
        "http://[::1]:9900/a?b=c#d",
        "https://127.0.0.1:9900/a?b=c#d",
        "http:\\\\127.0.0.1:9900\\a?b=c#d",
        "/\\127.0.0.1:9900/a?b=c#d",
        " http://127.0.0.1:9900/x/../a?b=c#d",
        "https://photos.example/a?b=c#d",
        "https://PHOTOS.example:443/a?b=c#d",
    ] {
        assert_eq!(place(OWN, service, text), "https://photos.example/a?b=c#d", "{text}");
    }
    for text in [
        "/a?b=c",
        "a/b",
        "../a",
        "?page=2",
        "#top",
        "",
        "https://elsewhere.example/a",
        "http://127.0.0.1:9901/a",
        "//evil.example/a",
        "/\\evil.example/a",
        "/\t/evil.example/a",
        "http://127.0.0.1:9900@evil.example/a",
        "http://127.0.0.1.evil.example:9900/a",
        "mailto:bob@bar.example",
        "ftp://127.0.0.1:9900/a",
        "http://[",
    ] {
        assert_eq!(place(OWN, service, text), text, "{text}");
    }
    assert_eq!(place(OWN, "http://inside.example", "https://Inside.example./a"), "https://photos.example/a");
    assert_eq!(place(OWN, "http://inside.example", "http://inside.example:8080/a"), "http://inside.example:8080/a");
}

#[test]
fn a_path_before_the_services_paths_goes_and_comes() {
    let service = "http://127.0.0.1:9900/app";
    for (text, expected) in [
        ("/app/a?b=c#d", "/a?b=c#d"),
        ("/app", "/"),
        ("/app/", "/"),
        ("/app/../app/a", "/a"),
        ("http://127.0.0.1:9900/app/a", "https://photos.example/a"),
        ("https://photos.example/app/a", "https://photos.example/a"),
        // written by a service that heeds `X-Forwarded-Prefix`, or beside what the gateway leads to
        ("/a", "/a"),
        ("/application/a", "/application/a"),
        ("http://127.0.0.1:9900/other", "https://photos.example/other"),
        ("a/b", "a/b"),
        // what stands behind the path is no host
        ("/app//evil.example/a", "https://photos.example//evil.example/a"),
        ("/app/\\evil.example/a", "https://photos.example//evil.example/a"),
        ("http://127.0.0.1:9900/app//evil.example", "https://photos.example//evil.example"),
        ("https://elsewhere.example/app/a", "https://elsewhere.example/app/a"),
    ] {
        assert_eq!(place(OWN, service, text), expected, "{text}");
    }
    for (own, service, text, expected) in [
        ("https://x.example/files", "http://127.0.0.1:9900", "/a", "/files/a"),
        ("https://x.example/files", "http://127.0.0.1:9900", "/files/a", "/files/a"),
        ("https://x.example/files", "http://127.0.0.1:9900", "http://127.0.0.1:9900/a", "https://x.example/files/a"),
        ("https://x.example/files", "http://127.0.0.1:9900/app", "/app/a", "/files/a"),
        ("https://x.example/files", "http://127.0.0.1:9900/files", "/files/a", "/files/a"),
    ] {
        assert_eq!(place(own, service, text), expected, "{own} {service} {text}");
    }
}

fn cookie(resource: &str, service: &str, line: &str) -> Option<String> {
    Relocation::new(resource, service).unwrap().cookie(line).map(Cow::into_owned)
}

#[test]
fn cookies_follow_their_paths() {
    let (plain, below, part) = ("http://127.0.0.1:9900", "http://127.0.0.1:9900/app", "https://x.example/files");
    for (own, service, line, expected) in [
        (OWN, plain, "a=1; Path=/x; HttpOnly", Some("a=1; Path=/x; HttpOnly")),
        (OWN, plain, "a=1; Domain=127.0.0.1; path=/", Some("a=1; path=/")),
        (OWN, plain, "a=1; Domain=photos.example", Some("a=1; Domain=photos.example")),
        (OWN, below, "a=1; Path=/app; Secure", Some("a=1; Path=/; Secure")),
        (OWN, below, "a=1;PATH=/app/x;Max-Age=1", Some("a=1; PATH=/x;Max-Age=1")),
        (OWN, below, "a=1; Path=/", Some("a=1; Path=/")),
        (OWN, below, "a=1; Path=/application", Some("a=1; Path=/application")),
        (OWN, below, "a=1; Path=x; Path", Some("a=1; Path=x; Path")),
        (OWN, below, "__Host-a=1; Path=/; Secure", Some("__Host-a=1; Path=/; Secure")),
        (OWN, below, "a=/app/x", Some("a=/app/x")),
        (part, plain, "a=1; Path=/x", Some("a=1; Path=/files/x")),
        (part, plain, "a=1; Path=/", Some("a=1; Path=/files/")),
        (part, "http://127.0.0.1:9900/files", "a=1; Path=/", Some("a=1; Path=/files/")),
        (part, below, "a=1; Path=/", Some("a=1; Path=/files/")),
        (part, below, "a=1; Path=/app/x", Some("a=1; Path=/files/x")),
        // what would be for another application at the same host
        (part, below, "a=1; Path=/other", None),
        (part, below, "a=1; Path=/app/x; Path=/other", None),
    ] {
        assert_eq!(cookie(own, service, line).as_deref(), expected, "{own} {service} {line}");
    }
}

#[test]
fn each_field_of_an_answer_is_read_by_itself() {
    let relocation = Relocation::new(OWN, "http://127.0.0.1:9900/app").unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (LOCATION, &b"/app/a"[..]),
        (LOCATION, b"http://127.0.0.1:9900/app/b"),
        (LOCATION, b"/app/\xff"),
        (CONTENT_LOCATION, b"/app/c"),
        (SET_COOKIE, b"a=1; Path=/app"),
        (SET_COOKIE, b"b=2"),
    ] {
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    relocation.write_back(&mut headers, "/app/x");
    let all = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    assert_eq!(all(LOCATION), [&b"/a"[..], b"https://photos.example/b", b"/app/\xff"]);
    assert_eq!(all(CONTENT_LOCATION), [b"/c"]);
    assert_eq!(all(SET_COOKIE), [&b"a=1; Path=/"[..], b"b=2"]);
    assert!(Relocation::new(OWN, "127.0.0.1").is_none());
}
