//! Forms at the desk that she did not send: from other sites, other sessions, other times; and cookies that somebody else set
//! (threat 42).

use crate::desk::{DESK, Desk, Sitting};
use crate::party::Party;

/// Every form that changes something.
const FORMS: [(&str, &[(&str, &str)]); 17] = [
    ("/share", &[("all", "yes"), ("anyone", "yes"), ("scope", "view"), ("step", "confirm")]),
    ("/withdraw", &[("thing", "x"), ("policy", "y"), ("sure", "yes")]),
    ("/guard", &[("thing", "x"), ("issuer", "https://evil.example")]),
    ("/unguard", &[("thing", "x"), ("registration", "y"), ("sure", "yes")]),
    ("/people/withdraw", &[("who", "anyone"), ("sure", "yes")]),
    ("/requests", &[("decision", "approve")]),
    ("/servers", &[("server", "https://evil.example")]),
    ("/servers/read", &[]),
    ("/servers/unlink", &[("id", "x")]),
    ("/servers/guard", &[("what", "introduce"), ("link", "x"), ("server", "https://evil.example")]),
    ("/delegations", &[("email", "mallory@bar.example"), ("may", "share"), ("scopes", "view"), ("until", "2030-01-01")]),
    ("/decide", &[("decision", "approve")]),
    ("/keys", &[("what", "new"), ("passphrase", "correct horse"), ("again", "correct horse")]),
    ("/keys/export", &[("did", "x"), ("passphrase", "correct horse")]),
    ("/withdrawals", &[("again", "https://evil.example")]),
    ("/undo", &[("note", "x")]),
    ("/logout", &[]),
];

async fn linked(alice: &mut Sitting<'_>) -> Party {
    let party = Party::start().await;
    alice.link(&party.url, &party).await;
    party.asked();
    party
}

#[tokio::test]
async fn threat_42_s10_forms_of_others_are_refused_everywhere() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let party = linked(&mut alice).await;
    let hers = alice.csrf().await;
    let of_other_session = Sitting::of(&desk, "alice").await.csrf().await;
    let of_mallory = Sitting::of(&desk, "mallory").await.csrf().await;
    let own: &[(&str, &str)] = &[("origin", DESK), ("sec-fetch-site", "same-origin")];
    let attempts: [(&str, &[(&str, &str)], &str); 10] = [
        ("no token", own, ""),
        ("a token of another session of hers", own, &of_other_session),
        ("a token of somebody else's session", own, &of_mallory),
        ("her token from an origin without a name", &[("origin", "null")], &hers),
        ("her token from another origin", &[("origin", "https://evil.example")], &hers),
        ("her token from another port", &[("origin", "https://desk.example:444")], &hers),
        ("her token without TLS", &[("origin", "http://desk.example")], &hers),
        ("her token from another site, by the browser's word", &[("sec-fetch-site", "cross-site")], &hers),
        ("her token from a neighbour", &[("origin", DESK), ("sec-fetch-site", "same-site")], &hers),
        ("two origins", &[("origin", DESK), ("origin", "https://evil.example")], &hers),
    ];
    for (path, fields) in FORMS {
        for (attempt, headers, csrf) in &attempts {
            let page = alice.post_with(path, headers, &[&[("csrf", *csrf)][..], fields].concat()).await;
            assert_eq!(page.status, 403, "{path}, {attempt}: {}", page.text);
        }
    }
    for path in ["/api/share", "/api/withdrawals", "/api/requests"] {
        for (attempt, headers, csrf) in &attempts {
            let headers = [&[("x-csrf-token", *csrf), ("content-type", "application/json")][..], headers].concat();
            let page = alice.send("POST", path, &headers, "{}".into()).await;
            assert_eq!(page.status, 403, "{path}, {attempt}: {}", page.text);
        }
    }
    assert_eq!(party.asked().len(), 0, "nothing was done");
    assert_eq!(alice.json("/api/servers").await.as_array().unwrap().len(), 1);
    assert!(alice.get("/keys").await.status == 200, "and she is logged in");
}

#[tokio::test]
async fn threat_42_s10_a_token_ends_with_its_session() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (old_token, old_cookie) = (alice.csrf().await, alice.cookie_line());
    let mut again = Sitting::new(&desk);
    again.cookies.clone_from(&alice.cookies);
    assert_eq!(alice.post("/logout", &[]).await.status, 200);
    assert_eq!(again.get("/keys").await.status, 303, "a cookie that was kept opens nothing");
    let mut alice = Sitting::of(&desk, "alice").await;
    assert_ne!(alice.cookie_line(), old_cookie);
    let page = alice.post_with("/servers/read", &[("origin", DESK)], &[("csrf", &old_token)]).await;
    assert_eq!(page.status, 403);
}

#[tokio::test]
async fn threat_42_s10_cookies_belong_to_this_host_and_come_once() {
    let desk = Desk::open().await;
    let mut alice = Sitting::new(&desk);
    let page = alice.get("/login").await;
    let line = &page.cookies[0];
    for part in ["__Host-wl_desk_begun=", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!line.to_lowercase().contains("domain="), "{line}");
    let mut alice = Sitting::of(&desk, "alice").await;
    let mut mallory = Sitting::of(&desk, "mallory").await;
    let name = "__Host-wl_desk";
    let (hers, others) = (alice.cookies[name].clone(), mallory.cookies[name].clone());
    let csrf = mallory.csrf().await;
    // whichever comes first, neither counts; in one line, in two, with spaces, without
    for lines in [
        vec![format!("{name}={hers}; {name}={others}")],
        vec![format!("{name}={others};{name}={hers}")],
        vec![format!("{name}={hers}"), format!("{name}={others}")],
        vec![format!("{name}={hers}; other=1; {name}={hers}")],
    ] {
        let mut request = http::Request::post("/servers/read").header("origin", DESK);
        for line in &lines {
            request = request.header("cookie", line);
        }
        let page = desk.send(request.body(format!("csrf={csrf}").into()).unwrap()).await;
        assert_eq!(page.status, 400, "{lines:?}: {}", page.text);
        let mut request = http::Request::get("/api/me");
        for line in &lines {
            request = request.header("cookie", line);
        }
        let page = desk.send(request.body(axum::body::Body::empty()).unwrap()).await;
        assert!(page.status >= 400 && !page.text.contains("csrf"), "{lines:?}: {}", page.text);
    }
    // a cookie under the name of a desk without TLS, as a neighbour could set it, is none
    alice.cookies = std::iter::once(("wl_desk".to_owned(), hers)).collect();
    assert_eq!(alice.get("/keys").await.status, 303);
    // the browser that began a log-in is the one that ends it, also with both cookies there
    let mut browser = Sitting::new(&desk);
    let page = browser.get("/login").await;
    let state = page.location.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let begun = &browser.cookies["__Host-wl_desk_begun"];
    let doubled = format!("__Host-wl_desk_begun={begun}; __Host-wl_desk_begun={begun}");
    let request = http::Request::get(format!("/callback?code=c&state={state}")).header("cookie", doubled);
    assert_eq!(desk.send(request.body(axum::body::Body::empty()).unwrap()).await.status, 400);
}
