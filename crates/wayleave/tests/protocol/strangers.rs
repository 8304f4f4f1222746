//! What anybody may make this server do - write a row, fetch keys, send a mail, try a secret - is limited before it is done,
//! by what it could harm and by where it comes from (threats 41 and 46, rule 4).

use crate::oauth::{Browser, CHALLENGE};
use crate::world::{Answer, UMA, World, basic, form};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");
const HERE: &str = "192.0.2.1";
/// Of the same /24 as the one before.
const NEXT_DOOR: &str = "192.0.2.200";
const ELSEWHERE: &str = "198.51.100.1";

/// An application that anybody may name.
const APP: &str = r#"
[[client]]
client_id = "app"
grant_types = ["authorization_code"]
redirect_uris = ["https://app.example/"]
"#;

/// How many of so many calls are answered with another status than 429.
async fn served(most: usize, mut call: impl AsyncFnMut(usize) -> Answer) -> usize {
    for n in 0..most {
        if call(n).await.status == 429 {
            return n;
        }
    }
    most
}

fn asking<'a>(client: &'a str, redirect_uri: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", redirect_uri),
        ("scope", "openid"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

#[tokio::test]
async fn threat_41_what_strangers_push_is_counted_by_network_and_is_small() {
    let world = World::on("memory", APP).await;
    let push = async |from: &str, more: &[(&str, &str)]| {
        let fields = [&asking("app", "https://app.example/"), more].concat();
        world.send_from(from, "POST", "/par", &[FORM], form(&fields)).await
    };
    push(HERE, &[("state", &"x".repeat(40_000))]).await.refused(413, "invalid_request");
    assert_eq!(served(400, async |_| push(HERE, &[]).await).await, 299, "with the one before");
    assert_eq!(push(NEXT_DOOR, &[]).await.status, 429, "one network");
    push(ELSEWHERE, &[]).await.ok(201);
    // a client of the operator proves itself, and has its own share
    let fields = [("client_id", "photos-rs"), ("redirect_uri", "http://127.0.0.1:9000/callback"), ("scope", "uma_protection")];
    let fields = [&asking("app", "")[..1], &fields, &asking("app", "")[4..]].concat();
    let basic = basic("photos-rs", "photos-secret");
    world.send_from(HERE, "POST", "/par", &[FORM, ("authorization", &basic)], form(&fields)).await.ok(201);
    // one that a stranger registered is a stranger, however it proves itself
    let made = json!({"redirect_uris": ["https://c.example/"]}).to_string();
    let made = world.send_from(ELSEWHERE, "POST", "/register", &[JSON], made).await;
    let basic = crate::world::basic(made.ok(201).get("client_id"), made.get("client_secret"));
    let fields = form(&asking(made.get("client_id"), "https://c.example/"));
    let answer = world.send_from(NEXT_DOOR, "POST", "/par", &[FORM, ("authorization", &basic)], fields).await;
    answer.refused(429, "temporarily_unavailable");
}

#[tokio::test]
async fn threat_46_a_registration_is_counted_before_anything_of_it_is_verified() {
    let vendor =
        "[[trusted_issuer]]\nissuer = \"https://vendor.example\"\njwks_file = \"idp.json\"\nsoftware_statements = true\n";
    let world = World::on("memory", vendor).await;
    let forged = jose::SigningKey::generate(jose::Algorithm::EdDsa).unwrap();
    let forged = forged.sign("JWT", &json!({"iss": "https://vendor.example"})).unwrap();
    let with = json!({"grant_types": [UMA], "software_statement": forged}).to_string();
    let post = async |from: &str| world.send_from(from, "POST", "/register", &[JSON], with.clone()).await;
    assert_eq!(served(700, async |_| post(HERE).await).await, 600);
    assert_eq!((post(NEXT_DOOR).await.status, post(ELSEWHERE).await.status), (429, 400));
    // the same for tokens that came by mail
    let plain = json!({"grant_types": [UMA]}).to_string();
    let bring = async |from: &str| {
        world.send_from(from, "POST", "/register", &[JSON, ("authorization", "Bearer x")], plain.clone()).await
    };
    assert_eq!((bring(HERE).await.status, bring(ELSEWHERE).await.status), (429, 401));
}

#[tokio::test]
async fn threat_46_changes_of_registrations_are_counted_too() {
    let world = World::one().await;
    let metadata = json!({"grant_types": [UMA]}).to_string();
    let made = world.send_from(HERE, "POST", "/register", &[JSON], metadata.clone()).await;
    let path = format!("/register/{}", made.ok(201).get("client_id"));
    let bearer = format!("Bearer {}", made.get("registration_access_token"));
    let put = async |from: &str| world.send_from(from, "PUT", &path, &[JSON, ("authorization", &bearer)], metadata.clone()).await;
    assert_eq!(served(400, async |_| put(HERE).await).await, 60, "the client's own share");
    assert_eq!(put(ELSEWHERE).await.status, 429, "wherever it is");
    // who holds no token uses up what his network has for that, and nothing of those who do
    let wrong =
        async |from: &str| world.send_from(from, "PUT", &path, &[JSON, ("authorization", "Bearer x")], metadata.clone()).await;
    assert_eq!(served(400, async |_| wrong(HERE).await).await, 300);
    let other = world.send_from(HERE, "POST", "/register", &[JSON], metadata.clone()).await;
    let (path, bearer) = (format!("/register/{}", other.ok(201).get("client_id")), other.get("registration_access_token"));
    let bearer = format!("Bearer {bearer}");
    let change =
        async |from: &str| world.send_from(from, "PUT", &path, &[JSON, ("authorization", &bearer)], metadata.clone()).await;
    for _ in 0..20 {
        change(NEXT_DOOR).await.ok(200);
    }
    world.pass(60);
    put(HERE).await.ok(200);
}

/// A whole day's registrations of one network are used up by one of it: each other household there still has some.
#[tokio::test]
async fn threat_46_who_registers_all_day_shuts_out_no_neighbour() {
    let world = World::one().await;
    let metadata = json!({"grant_types": [UMA]}).to_string();
    let post = async |from: &str| world.send_from(from, "POST", "/register", &[JSON], metadata.clone()).await;
    for _ in 0..10 {
        assert_eq!(served(400, async |_| post(HERE).await).await, 300);
        world.pass(60);
    }
    let mut of_neighbour = 0;
    for _ in 0..7 {
        assert_eq!(post(HERE).await.status, 429);
        of_neighbour += served(20, async |_| post(NEXT_DOOR).await).await;
        world.pass(60);
    }
    assert_eq!(of_neighbour, 50);
    post(ELSEWHERE).await.ok(201);
}

#[tokio::test]
async fn threat_46_secrets_of_clients_are_not_tried_without_end() {
    let world = World::one().await;
    let ask = async |from: &str, client: &str, secret: &str| {
        let fields = form(&[("grant_type", "client_credentials")]);
        world.send_from(from, "POST", "/token", &[FORM, ("authorization", &basic(client, secret))], fields).await
    };
    for n in 0..400 {
        ask(HERE, "photos-rs", "photos-secret").await.ok(200);
        assert_eq!(ask(HERE, "nobody", "x").await.status, if n < 300 { 401 } else { 429 }, "{n}");
    }
    assert_eq!(served(400, async |n| ask(HERE, "photos-rs", &format!("guess{n}")).await).await, 300);
    assert_eq!(ask(HERE, "photos-rs", "photos-secret").await.status, 429, "also the right one waits");
    ask(HERE, "manager", "manager-secret").await.ok(200);
    ask(ELSEWHERE, "photos-rs", "photos-secret").await.ok(200);
    world.pass(60);
    ask(HERE, "photos-rs", "photos-secret").await.ok(200);
    // assertions as well
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_assertion", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtYW5hZ2VyIn0.AAAA"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
    ];
    let assert = async |from: &str| world.send_from(from, "POST", "/token", &[FORM], form(&fields)).await;
    assert_eq!(served(400, async |_| assert(HERE).await).await, 300);
    assert_eq!(assert(ELSEWHERE).await.status, 401);
}

/// A place that counts who asks for it, and answers each with an error after a moment.
async fn counting_place() -> (String, Arc<AtomicU32>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, count) = (format!("http://{}/keys", listener.local_addr().unwrap()), Arc::new(AtomicU32::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            });
        }
    });
    (url, count)
}

/// Whoever names a client makes its keys be fetched: once, however many ask, and not again for a while where that failed.
#[tokio::test]
async fn threat_46_keys_are_fetched_once_for_a_crowd() {
    let (keys, count) = counting_place().await;
    let client = format!(
        "[[client]]\nclient_id = \"signer\"\njwks_uri = \"{keys}\"\ngrant_types = [\"client_credentials\"]\n[outbound]\nallow_private_networks = true\nallow_http = true\n"
    );
    let world = Arc::new(World::on("memory", &client).await);
    let ask = |n: usize| {
        let world = world.clone();
        tokio::spawn(async move {
            let fields = [
                ("grant_type", "client_credentials"),
                ("client_assertion", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJzaWduZXIifQ.AAAA"),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ];
            world.send_from(&format!("198.51.{n}.1"), "POST", "/token", &[FORM], form(&fields)).await.status
        })
    };
    for _ in 0..2 {
        for call in (0..40).map(ask).collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap(), 401);
        }
    }
    assert_eq!(count.load(Ordering::Relaxed), 1);
    world.pass(60);
    ask(0).await.unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 2, "later they are tried again");
}

/// A page of the claims endpoint at which an address may be proved.
async fn claims_page(browser: &Browser<'_>) -> Answer {
    let world = browser.world;
    let (pat, album, _) = world.album().await;
    let ticket = world.ticket(&pat, &album, "view").await;
    crate::interaction::visit(browser, &[("client_id", "viewer"), ("ticket", &ticket)]).await
}

#[tokio::test]
async fn threat_46_mail_to_an_address_and_from_a_network_is_limited_before_it_is_sent() {
    let world = World::one().await;
    let browser = Browser::new(&world);
    let send = async |from: &str, to: &str| {
        world.call_from(from.parse().unwrap());
        let page = claims_page(&browser).await;
        browser.submit(&page, "/claims/continue", &[("email", to)]).await
    };
    let mut mails = 0;
    for minute in 0..8 {
        mails += served(30, async |n| send(&format!("203.0.{n}.1"), "bob@bar.example").await).await;
        assert!(mails <= 20 * (minute + 1));
        world.pass(60);
    }
    assert_eq!(mails, 120, "an hour has so many for one address, from wherever");
    world.pass(3_600);
    // one network has a part of them, and the others theirs
    let mut of_one = 0;
    for _ in 0..3 {
        of_one += served(20, async |n| send(&format!("198.51.100.{n}"), "bob@bar.example").await).await;
        world.pass(60);
    }
    assert_eq!(of_one, 30);
    assert_eq!(served(1, async |_| send("192.0.2.9", "bob@bar.example").await).await, 1, "bob is not shut out");
    world.pass(3_600);
    // and a network has so many, to whomever
    let sent = served(300, async |n| send(&format!("192.0.2.{}", n % 250), &format!("bob{n}@bar.example")).await).await;
    assert_eq!(sent, 240);
}

#[tokio::test]
async fn threat_46_codes_are_not_guessed_by_asking_for_more_of_them() {
    let world = World::one().await;
    let mut wrong = 0;
    for n in 0..20 {
        let from = if n < 12 { format!("203.0.113.{n}") } else { "192.0.2.9".to_owned() };
        world.call_from(from.parse().unwrap());
        let browser = Browser::new(&world);
        let page = claims_page(&browser).await;
        let next = browser.submit(&page, "/claims/continue", &[("email", "bob@bar.example")]).await;
        let page = browser.open(next.header("location")).await;
        let guesses = served(9, async |n| browser.submit(&page, "/claims/continue", &[("code", &format!("{n:08}"))]).await).await;
        assert!(guesses <= 5, "a code has five tries");
        wrong += guesses;
        world.pass(10);
        if n == 11 {
            assert_eq!(wrong, 30, "an address has thirty in an hour of one network, with however many codes");
        }
    }
    assert_eq!(wrong, 60, "and another network its own: nobody elsewhere keeps her from typing hers");
    world.pass(3_600);
    // tries of one caller at many addresses
    world.call_from(HERE.parse().unwrap());
    let mut wrong = 0;
    for n in 0..30 {
        let browser = Browser::new(&world);
        let page = claims_page(&browser).await;
        let next = browser.submit(&page, "/claims/continue", &[("email", &format!("bob{n}@bar.example"))]).await;
        let page = browser.open(next.header("location")).await;
        wrong += served(5, async |n| browser.submit(&page, "/claims/continue", &[("code", &format!("{n:08}"))]).await).await;
    }
    assert_eq!(wrong, 60);
}

/// Whoever goes to another provider makes us call it.
#[tokio::test]
async fn threat_46_log_ins_elsewhere_are_counted_before_the_provider_is_called() {
    let (place, count) = counting_place().await;
    let issuer = place.trim_end_matches("/keys");
    let provider =
        format!("[[login_provider]]\nissuer = \"{issuer}\"\nname = \"Bar\"\nclient_id = \"us\"\nclient_secret = \"secret\"\n");
    let world = World::on("memory", &provider).await;
    let path = format!("/login/elsewhere?{}", form(&[("issuer", issuer)]));
    let go = async |from: &str| world.send_from(from, "GET", &path, &[], "").await;
    assert_eq!(served(400, async |_| go(HERE).await).await, 300);
    let called = count.load(Ordering::Relaxed);
    assert_eq!((go(NEXT_DOOR).await.status, count.load(Ordering::Relaxed)), (429, called));
    assert_ne!(go(ELSEWHERE).await.status, 429);
    // nobody else's issuer is looked at
    let path = format!("/login/elsewhere?{}", form(&[("issuer", "http://169.254.169.254")]));
    assert_eq!(world.send_from(ELSEWHERE, "GET", &path, &[], "").await.status, 400);
}

/// None of these leaves anything, whoever calls.
#[tokio::test]
async fn threat_41_what_names_nobody_writes_nothing() {
    let world = World::on("sqlite", APP).await;
    let place = world.store.sqlite().unwrap().path().to_owned();
    // each commit appends to the journal, or changes the file
    let size = || {
        ["world.db", "world.db-wal"]
            .map(|name| std::fs::metadata(place.with_file_name(name)).map(|meta| (meta.len(), meta.modified().ok())).ok())
    };
    let before = size();
    for (method, path, body) in [
        ("GET", format!("/authorize?{}", form(&asking("app", "https://app.example/"))), String::new()),
        ("GET", format!("/authorize?{}", form(&asking("nobody", "https://app.example/"))), String::new()),
        ("POST", "/par".into(), form(&asking("nobody", "https://app.example/"))),
        ("POST", "/token".into(), form(&[("grant_type", UMA), ("client_id", "app"), ("ticket", "x")])),
        ("POST", "/token".into(), form(&[("grant_type", UMA), ("client_id", "nobody"), ("ticket", "x")])),
        ("POST", "/revoke".into(), form(&[("client_id", "app"), ("token", "x")])),
        ("POST", "/introspect".into(), form(&[("client_id", "app"), ("token", "x")])),
        ("GET", "/claims?client_id=viewer&ticket=x".into(), String::new()),
        ("GET", "/login".into(), String::new()),
        ("GET", "/logout".into(), String::new()),
        ("GET", "/.well-known/webfinger?resource=acct:alice@foo.example".into(), String::new()),
        ("POST", "/login".into(), form(&[("username", "alice"), ("password", "x")])),
    ] {
        let answer = world.send(method, &path, &[FORM], body).await;
        assert!(answer.status != 201, "{path}");
    }
    assert_eq!(size(), before);
}
