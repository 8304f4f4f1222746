//! What others leave here is short, can be read, and does not fill the store or a page (threats 12, 36 and 41; rule 4), and a
//! delegate who names an owner is never given her own instead (threat 49).

use crate::oauth::{Browser, CHALLENGE};
use crate::world::{Answer, ISSUER, World, form};
use serde_json::{Value, json};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn register(world: &World, metadata: &Value) -> Answer {
    world.send("POST", "/register", &[("content-type", "application/json")], metadata.to_string()).await
}

#[tokio::test]
async fn threat_41_what_a_stranger_registers_is_short_and_can_be_read() {
    let world = World::one().await;
    let plain = json!({"redirect_uris": ["https://c.example/"]});
    let with = |member: &str, value: Value| {
        let mut metadata = plain.clone();
        metadata[member] = value;
        metadata
    };
    let keys = |count: usize| {
        let key = jose::SigningKey::generate(jose::Algorithm::Es256).unwrap().public().to_jwk();
        json!({"keys": vec![json!(key); count]})
    };
    let made = register(&world, &plain).await;
    let path = format!("/register/{}", made.ok(201).get("client_id"));
    for (member, value, named) in [
        ("client_name", json!("N".repeat(201)), "`client_name`"),
        ("client_name", json!("Way\u{202e}evael"), "U+202E"),
        ("client_name", json!("Way\u{200b}leave"), "U+200B"),
        ("client_name", json!("Way\u{200d}leave"), "U+200D"),
        ("client_name", json!("Way\nleave"), "U+000A"),
        ("software_id", json!("s".repeat(201)), "`software_id`"),
        ("scope", json!((0..201).map(|n| format!("s{n}")).collect::<Vec<_>>().join(" ")), "`scope`"),
        ("redirect_uris", json!(vec!["https://c.example/"; 33]), "`redirect_uris`"),
        ("claims_redirect_uris", json!([format!("https://c.example/{}", "x".repeat(2_100))]), "`claims_redirect_uris`"),
        ("jwks", keys(200), "`jwks`"),
        ("contacts", json!(vec!["ops@c.example"; 2_000]), "16384 bytes"),
        ("x_unknown", json!("x".repeat(20_000)), "16384 bytes"),
    ] {
        let put = world.call("PUT", &path, made.get("registration_access_token"), with(member, value.clone())).await;
        for answer in [register(&world, &with(member, value)).await, put] {
            assert_eq!(answer.status, 400, "{member}: {}", answer.text);
            let error = if member.ends_with("redirect_uris") { "invalid_redirect_uri" } else { "invalid_client_metadata" };
            assert!(answer.get("error") == error && answer.get("error_description").contains(named), "{member}: {}", answer.text);
        }
    }
    for name in
        ["N".repeat(200), "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}".into(), "Love \u{2764}\u{fe0f}".into()]
    {
        register(&world, &with("client_name", json!(name))).await.ok(201);
    }
    register(&world, &with("jwks", keys(20))).await.ok(201);
}

/// Every item of a list, page by page; none is longer than half of what readers take.
async fn walk(world: &World, token: &str, path: &str) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut url) = (Vec::new(), 0, format!("{path}?limit=1000"));
    loop {
        let page = world.call("GET", &url, token, Value::Null).await;
        assert!(page.ok(200).text.len() <= 512 * 1024 + 2, "{path}: {}", page.text.len());
        let items = page.json.as_array().unwrap();
        ids.extend(items.iter().map(|item| item["_id"].as_str().unwrap().to_owned()));
        pages += 1;
        let link = page.header("link");
        let Some(next) = link.strip_suffix(">; rel=\"next\"") else { return (ids, pages) };
        url = next.trim_start_matches('<').to_owned();
    }
}

#[tokio::test]
async fn threat_12_a_page_can_be_read_whatever_is_in_it() {
    for world in World::each().await {
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        for n in 0..200 {
            let long = json!({"resource_scopes": ["view"], "name": format!("Album {n}"), "description": "d".repeat(4_000)});
            world.call("POST", "/uma/resources", &pat, long).await.ok(201);
        }
        let (mut ids, pages) = walk(&world, &pmt, "/uma/registered-resources").await;
        assert!(pages == 2, "{pages}");
        let album = ids[0].clone();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 200, "each of them, once");
        let policy = json!({"resource_id": album, "resource_scopes": ["view"], "purpose": "p".repeat(900)});
        world.call("POST", "/uma/policies", &pmt, json!(vec![policy; 600])).await.ok(200);
        let (mut ids, pages) = walk(&world, &pmt, "/uma/policies").await;
        assert!(pages > 1, "{pages}");
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 600);
    }
}

#[tokio::test]
async fn threat_41_what_others_leave_is_short() {
    let world = World::one().await;
    let (pat, pmt) = (world.pat().await, world.access("manager").await);
    let album = world.resource(&pat, "view").await;
    for (member, value, named) in [
        ("name", json!("n".repeat(5_000)), "`name`"),
        ("name#fr", json!("n".repeat(5_000)), "`name#fr`"),
        ("_resource_id", json!("i".repeat(5_000)), "`_resource_id`"),
        ("icon_uri", json!(format!("https://rs.example/{}", "i".repeat(5_000))), "`icon_uri`"),
    ] {
        let mut description = json!({"resource_scopes": ["view"]});
        description[member] = value;
        let refused = world.call("POST", "/uma/resources", &pat, description).await;
        assert!(refused.refused(400, "invalid_request").get("error_description").contains(named), "{}", refused.text);
    }
    let mut translated = json!({"resource_scopes": ["view"]});
    for n in 0..40 {
        translated[format!("description#x{n}")] = json!("d".repeat(4_000));
    }
    world.call("POST", "/uma/resources", &pat, translated).await.refused(400, "invalid_request");
    for (path, body, named) in [
        ("/uma/policies", json!({"resource_id": album, "resource_scopes": ["view"], "purpose": "p".repeat(1_001)}), "`purpose`"),
        (
            "/uma/policies",
            json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": [{"name": "x", "value": ["v".repeat(200_000)]}]}),
            "bytes",
        ),
        (
            "/uma/delegations",
            json!({"delegate": {"email": "carol@foo.example"}, "resources": ["r".repeat(70_000)], "resource_scopes": ["view"], "may": ["share"]}),
            "bytes",
        ),
        (
            "/uma/credentials",
            json!({"cred_type": "client", "cred_value": {"client_id": "x", "jwks": {"keys": []}, "name": "n".repeat(9_000)}}),
            "`cred_value`",
        ),
    ] {
        let refused = world.call("POST", path, &pmt, body).await;
        assert!(refused.refused(400, "invalid_request").get("error_description").contains(named), "{path}: {}", refused.text);
    }
}

const APP: &str = r#"
[[client]]
client_id = "app"
grant_types = ["authorization_code"]
redirect_uris = ["https://app.example/"]
"#;

async fn push(world: &World, from: &str, state: &str) -> Answer {
    let fields = [
        ("response_type", "code"),
        ("client_id", "app"),
        ("scope", "openid"),
        ("state", state),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    world.send_from(from, "POST", "/par", &[FORM], form(&fields)).await
}

fn bring(pushed: &Answer) -> String {
    format!("/authorize?{}", form(&[("client_id", "app"), ("request_uri", pushed.get("request_uri"))]))
}

#[tokio::test]
async fn threat_41_what_is_pushed_is_short_and_bounded_in_number() {
    let world = World::on("memory", APP).await;
    push(&world, "192.0.2.1", &"x".repeat(17_000)).await.refused(413, "invalid_request");
    let mut kept = 0;
    while push(&world, "192.0.2.1", "s").await.status == 201 {
        kept += 1;
        assert!(kept <= 1_000);
    }
    assert_eq!(push(&world, "192.0.2.77", "s").await.status, 429, "of the same network");
    push(&world, "198.51.100.1", "s").await.ok(201);
    world.pass(90);
    push(&world, "192.0.2.1", "s").await.ok(201);
}

/// A browser without a person lengthens the life of a request within limits, and apart from those with a person.
#[tokio::test]
async fn threat_41_a_request_that_nobody_brings_does_not_wait_without_end() {
    let world = World::on("memory", APP).await;
    let alice = Browser::new(&world);
    alice.log_in("alice").await;
    let mut waiting = Vec::new();
    for n in 0..1_002 {
        let pushed = push(&world, &format!("10.{}.{}.1", n / 250, n % 250), "s").await;
        assert_eq!(world.send_from("192.0.2.1", "GET", &bring(pushed.ok(201)), &[], "").await.status, 303);
        waiting.push(bring(&pushed));
    }
    let hers = push(&world, "203.0.113.1", "s").await;
    assert_eq!(alice.open(&bring(hers.ok(201))).await.status, 200);
    let elsewhere = push(&world, "203.0.113.1", "s").await;
    world.send_from("198.51.100.1", "GET", &bring(elsewhere.ok(201)), &[], "").await.ok(303);
    world.pass(91);
    assert_eq!(alice.open(&waiting[0]).await.status, 200, "she has the time of pages");
    assert_eq!(alice.open(&waiting[1_001]).await.status, 400, "too many of one network");
    assert_eq!(alice.open(&bring(&hers)).await.status, 200);
    assert_eq!(alice.open(&bring(&elsewhere)).await.status, 200);
}

#[tokio::test]
async fn threat_49_an_owner_is_named_where_delegates_act_or_the_call_is_refused() {
    let world = World::one().await;
    let carols = world.access("carols-manager").await;
    let delegation =
        json!({"delegate": {"email": "carol@foo.example"}, "resources": "all", "resource_scopes": ["view"], "may": ["share"]});
    world.call("POST", "/uma/delegations", &world.access("manager").await, delegation).await.ok(201);
    let given = world.call("GET", "/uma/delegations?role=delegate", &carols, Value::Null).await;
    let alice = given.ok(200).json[0]["owner"].as_str().unwrap().to_owned();
    let to_bob =
        json!({"delegate": {"email": "bob@bar.example"}, "resources": "all", "resource_scopes": ["view"], "may": ["share"]});
    for (method, path, body) in [
        ("GET", "/uma/owner-settings", Value::Null),
        ("PUT", "/uma/owner-settings", json!({"list_for_requesting_party": true})),
        ("GET", "/uma/delegations", Value::Null),
        ("POST", "/uma/delegations", to_bob),
        ("DELETE", "/uma/delegations/x", Value::Null),
        ("GET", "/uma/credentials", Value::Null),
        ("POST", "/uma/credentials", json!({"cred_type": "did", "cred_value": {"id": "did:key:x"}})),
        ("GET", "/uma/consent-receipts", Value::Null),
        ("GET", "/uma/events", Value::Null),
        ("GET", "/uma/events/chain", Value::Null),
        ("GET", "/uma/discovery-requests", Value::Null),
        ("GET", "/uma/linked-managers", Value::Null),
        ("POST", "/uma/linked-managers", json!({"issuer": ISSUER, "sub": "x"})),
    ] {
        let answer = world.call(method, &format!("{path}?owner={alice}"), &carols, body).await;
        assert!(answer.refused(400, "invalid_request").get("error_description").contains("`owner`"), "{method} {path}");
    }
    let answer = world.call("GET", &format!("/uma/policies?role=requesting_party&owner={alice}"), &carols, Value::Null).await;
    answer.refused(400, "invalid_request");
    for path in ["/uma/policies", "/uma/registered-resources", "/uma/access-requests"] {
        world.call("GET", &format!("{path}?owner={alice}"), &carols, Value::Null).await.ok(200);
    }
}

/// RFC 7033: whoever asks for addresses of this server's own domain is not told which there are.
#[tokio::test]
async fn threat_38_webfinger_tells_nobody_who_has_an_account() {
    let people = crate::people::PEOPLE.replace("issuer = \"http://127.0.0.1:8080\"", "issuer = \"https://foo.example\"");
    let world = World::of("memory", &people, "").await;
    let find = async |address: &str| world.get(&format!("/.well-known/webfinger?{}", form(&[("resource", address)]))).await;
    let (known, unknown) = (find("acct:alice@foo.example").await, find("acct:nobody@foo.example").await);
    assert_eq!(known.ok(200).json["links"], unknown.ok(200).json["links"]);
    find("acct:nobody@mail.example").await.ok(404);
}

/// Nor does one with a person, for more than she asks for in an hour.
#[tokio::test]
async fn threat_46_what_somebody_brings_is_bounded_too() {
    let world = World::on("memory", APP).await;
    let (mallory, alice) = (Browser::new(&world), Browser::new(&world));
    mallory.log_in("carol").await;
    alice.log_in("alice").await;
    let mut waiting = Vec::new();
    for n in 0..101 {
        let pushed = bring(push(&world, &format!("10.0.{n}.1"), "s").await.ok(201));
        assert_eq!(mallory.open(&pushed).await.status, 200);
        waiting.push(pushed);
    }
    let hers = bring(push(&world, "203.0.113.1", "s").await.ok(201));
    assert_eq!(alice.open(&hers).await.status, 200);
    world.pass(91);
    let statuses = [mallory.open(&waiting[99]).await.status, mallory.open(&waiting[100]).await.status];
    assert_eq!((statuses, alice.open(&hers).await.status), ([200, 400], 200));
}

/// A page that opens windows of its own client in her browser ends nothing of another's that she goes on with.
#[tokio::test]
async fn threat_46_windows_of_one_client_end_no_request_of_another() {
    let other = APP.replace("\"app\"", "\"other\"");
    let world = World::on("memory", &format!("{APP}{other}")).await;
    let alice = Browser::new(&world);
    alice.log_in("alice").await;
    for n in 0..101 {
        let pushed = bring(&push(&world, &format!("10.0.{n}.1"), "s").await);
        assert_eq!(alice.open(&pushed).await.status, 200);
    }
    let fields = [
        ("response_type", "code"),
        ("client_id", "other"),
        ("scope", "openid"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let pushed = world.send_from("203.0.113.1", "POST", "/par", &[FORM], form(&fields)).await;
    let hers = bring(pushed.ok(201)).replace("client_id=app", "client_id=other");
    assert_eq!(alice.open(&hers).await.status, 200);
    world.pass(91);
    assert_eq!(alice.open(&hers).await.status, 200);
}
