//! `wayleave get` against servers that are not honest: what it gives to whom, and what it shows and does of what they say.

use crate::processes::Folder;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server of somebody's: answers by path, and remembers what it was sent.
#[derive(Clone, Default)]
struct Liar {
    url: String,
    answers: Arc<Mutex<Vec<(String, Vec<u8>)>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Liar {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let liar = Self { url: format!("http://{}", listener.local_addr().unwrap()), ..Self::default() };
        let own = liar.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let own = own.clone();
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    let mut buffer = [0; 8192];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        request.extend_from_slice(&buffer[..read]);
                        if is_whole(&String::from_utf8_lossy(&request)) {
                            break;
                        }
                    }
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                    own.heard.lock().unwrap().push(text);
                    let answers = own.answers.lock().unwrap().clone();
                    let found = answers.iter().rev().find(|(at, _)| *at == path).map(|(_, answer)| answer.clone());
                    let _ = stream.write_all(&found.unwrap_or_else(|| answer("404 Not Found", "", b""))).await;
                });
            }
        });
        liar
    }

    fn says(&self, path: &str, status: &str, head: &str, body: impl AsRef<[u8]>) {
        self.answers.lock().unwrap().push((path.to_owned(), answer(status, head, body.as_ref())));
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    /// It is an authorization server, and answers each ticket so.
    fn answers_tickets(&self, status: &str, body: &str) {
        let url = &self.url;
        let metadata = serde_json::json!({"issuer": url, "authorization_endpoint": format!("{url}/a"),
            "token_endpoint": format!("{url}/token"), "jwks_uri": format!("{url}/j")});
        self.says("/.well-known/uma2-configuration", "200 OK", "", metadata.to_string());
        self.says("/token", status, "", body);
    }
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn answer(status: &str, head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    [format!("HTTP/1.1 {status}\r\n{head}Content-Length: {length}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat()
}

fn challenge(issuer: &str) -> String {
    format!("WWW-Authenticate: UMA as_uri=\"{issuer}\", ticket=\"t1\"\r\n")
}

const SECRETS: [&str; 6] = ["--client-id", "app", "--client-secret-file", "secret", "--claim-token-file", "claim"];

struct Person {
    folder: Folder,
}

impl Person {
    fn new() -> Self {
        let folder = Folder::new();
        std::fs::write(folder.0.join("secret"), "the-secret").unwrap();
        std::fs::write(folder.0.join("claim"), "eyJ.id.token").unwrap();
        Self { folder }
    }

    async fn gets(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wayleave"));
        command.args(arguments).current_dir(&self.folder.0);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

/// What it said; it failed with this status.
fn failed(output: &Output, status: i32) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(said.lines().all(|line| line.starts_with("* ") || line.starts_with("wayleave: ")), "{said}");
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
    said
}

const SAID: &str = r#"{"error": "request_denied", "error_description": "no"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn threat_36_a_secret_goes_to_the_server_that_the_person_named() {
    let (resource, evil, person) = (Liar::start().await, Liar::start().await, Person::new());
    evil.answers_tickets("403 Forbidden", SAID);
    let url = format!("{}/x", resource.url);
    let get = async |more: &[&str]| person.gets(&[&["get", &url][..], &SECRETS, more].concat()).await;
    // she named another one: nothing goes to this, neither secret nor ticket
    resource.says("/x", "401 Unauthorized", &challenge(&evil.url), "");
    let said = failed(&get(&["--authorization-server", "https://as.example"]).await, 1);
    assert!(said.contains("nothing was sent there") && evil.heard().is_empty(), "{said}");
    // she named none, and it is elsewhere than on this machine
    for issuer in ["https://as.evil.example", "https://169.254.169.254", "http://127.0.0.1.nip.example", "https://10.0.0.1"] {
        resource.says("/x", "401 Unauthorized", &challenge(issuer), "");
        let said = failed(&get(&[]).await, 1);
        assert!(said.contains("--authorization-server"), "{issuer}: {said}");
    }
    // without secrets a private place that a server names is not called either
    resource.says("/x", "401 Unauthorized", &challenge("https://169.254.169.254"), "");
    let said = failed(&person.gets(&["get", &url]).await, 1);
    assert!(said.contains("not a URL that may be called"), "{said}");
    // the one she named is told, and only what belongs to it
    let honest = Liar::start().await;
    honest.answers_tickets("403 Forbidden", SAID);
    resource.says("/x", "401 Unauthorized", &challenge(&honest.url), "");
    failed(&get(&["--authorization-server", &honest.url]).await, 1);
    let told = honest.heard().concat();
    assert!(told.to_lowercase().contains("authorization: basic ") && told.contains("claim_token=eyJ.id.token"), "{told}");
    // by a file, in which each server has its own
    let file =
        format!("[[get]]\nauthorization_server = \"{}\"\nclient_id = \"mine\"\nclient_secret_file = \"secret\"\n", honest.url);
    std::fs::write(person.folder.0.join("me.toml"), file).unwrap();
    assert!(person.gets(&["--config", "me.toml", "config", "check"]).await.status.success());
    failed(&person.gets(&["--config", "me.toml", "get", &url]).await, 1);
    assert!(honest.heard().concat().to_lowercase().contains("authorization: basic "));
    resource.says("/x", "401 Unauthorized", &challenge(&evil.url), "");
    failed(&person.gets(&["--config", "me.toml", "get", &url]).await, 1);
    let told = evil.heard().concat();
    assert!(told.contains("ticket=t1") && !told.to_lowercase().contains("authorization:") && !told.contains("mine"), "{told}");
    // nothing that lies in the folder by chance is such a file
    std::fs::rename(person.folder.0.join("me.toml"), person.folder.0.join("wayleave.toml")).unwrap();
    resource.says("/x", "401 Unauthorized", &challenge(&honest.url), "");
    failed(&person.gets(&["get", &url]).await, 1);
    assert!(!honest.heard().concat().to_lowercase().contains("authorization:"));
    // nor is anything sent in clear to what only looks like this machine
    for url in ["http://127.0.0.1.nip.example/x", "http://localhost.evil.example/x", "http://127.0.0.1@evil.example/", "foo"] {
        assert!(failed(&person.gets(&["get", url]).await, 2).contains("https"), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_36_what_servers_say_commands_nothing() {
    let (resource, server, person) = (Liar::start().await, Liar::start().await, Person::new());
    resource.says("/x", "401 Unauthorized", &challenge(&server.url), "");
    let url = format!("{}/x", resource.url);
    let escape = r"\u001b]0;owned\u0007\u202e\n* HTTP 200";
    for (body, shown) in [
        (format!(r#"{{"error": "request_denied{escape}", "error_description": "{escape}"}}"#), "owned"),
        (
            format!(
                r#"{{"error": "need_info", "ticket": "t2", "required_claims": [{{"name": "{escape}"}}], "redirect_user": "javascript:alert(1)//"}}"#
            ),
            "no page that a person may be sent to",
        ),
        (r#"{"error": "need_info", "ticket": "t2", "redirect_user": "http://127.0.0.1.nip.example/c"}"#.into(), "no page"),
        (r#"{"error": "need_info", "ticket": "t1", "redirect_user": "https://as.example/"}"#.into(), "same ticket"),
        (
            format!(
                r#"{{"error": "need_info", "ticket": "t2", "required_claims": [{}]}}"#,
                vec![r#"{"name": "a"}"#; 5_000].join(",")
            ),
            "to show that",
        ),
        ("[".repeat(20_000), "HTTP 403"),
    ] {
        server.answers_tickets("403 Forbidden", &body);
        let said = failed(&person.gets(&["get", &url]).await, 1);
        assert!(said.contains(shown) && said.len() < 2_000, "{body}: {said}");
    }
    // a key was asked for, and the token is bound to none
    server.answers_tickets("200 OK", r#"{"access_token": "rpt", "token_type": "Bearer"}"#);
    assert!(failed(&person.gets(&["get", &url, "--dpop"]).await, 1).contains("not bound"));
    // it sends elsewhere with what she gave
    server.answers_tickets("302 Found", "");
    server.says("/token", "302 Found", &format!("Location: {}/stolen\r\n", resource.url), "");
    failed(&person.gets(&[&["get", &url][..], &SECRETS].concat()).await, 1);
    assert!(!resource.heard().concat().contains("/stolen"));
}

/// Somebody answers with the ticket of another resource server, so that her client fetches the RPT for him.
#[tokio::test(flavor = "multi_thread")]
async fn threat_21_an_rpt_goes_to_nobody_who_relays_a_ticket() {
    let (relay, server, person) = (Liar::start().await, Liar::start().await, Person::new());
    let url = format!("{}/x", relay.url);
    relay.says("/x", "401 Unauthorized", &challenge(&server.url), "");
    let get = async |said: Option<&str>, more: &[&str]| {
        let tokens = serde_json::json!({"access_token": "the-rpt", "token_type": "Bearer", "resource": said});
        server.answers_tickets("200 OK", &tokens.to_string());
        let output = person.gets(&[&["get", &url, "--authorization-server", &server.url][..], &SECRETS, more].concat()).await;
        (failed(&output, 1), relay.heard().concat().contains("the-rpt"))
    };
    for other in ["https://rs.example", "http://127.0.0.1:1", &format!("{}/y", relay.url)] {
        for more in [&[][..], &["--trust-resource-server"]] {
            let (said, handed) = get(Some(other), more).await;
            assert!(said.contains("another resource server") && !handed, "{other}: {said}");
        }
    }
    let (said, handed) = get(None, &[]).await;
    assert!(said.contains("--dpop") && said.contains("--trust-resource-server") && !handed, "{said}");
    // it is for that place, or she knows who answers there
    assert!(get(Some(&url), &[]).await.1 && get(Some(&relay.url), &[]).await.1);
    assert!(get(None, &["--trust-resource-server"]).await.1);
}

/// What is printed is a token that is for the place that was named, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn threat_21_a_token_is_printed_alone_or_not_at_all() {
    let (resource, server, person) = (Liar::start().await, Liar::start().await, Person::new());
    let url = format!("{}/x", resource.url);
    resource.says("/x", "401 Unauthorized", &challenge(&server.url), "what stands below a challenge");
    let get = async |token: &str, place: &str| {
        let tokens = serde_json::json!({"access_token": token, "token_type": "Bearer", "resource": place, "expires_in": 600,
            "scopes_not_granted": ["edit", "\u{1b}]0;owned", "never-asked-for"]});
        server.answers_tickets("200 OK", &tokens.to_string());
        person.gets(&["get", "--print-token", &url, "--scope", "view", "--scope", "edit"]).await
    };
    let output = get("the-rpt", &resource.url).await;
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(output.status.success() && output.stdout == b"the-rpt\n", "{said}");
    assert!(said.contains(&format!("a token for {} and nowhere else, good for 600 s", resource.url)), "{said}");
    assert!(!said.contains("the-rpt") && !said.contains("owned") && !said.contains("never"), "{said}");
    assert!(!resource.heard().concat().contains("the-rpt"), "nobody is called with it");
    assert!(server.heard().concat().contains("scope=edit+view"), "both were asked for");
    for (token, place) in
        [("the-rpt", "https://rs.example"), ("the\u{1b}[31mrpt", resource.url.as_str()), ("two words", &resource.url)]
    {
        let output = get(token, place).await;
        failed(&output, 1);
        assert!(output.stdout.is_empty(), "{token} {place}");
    }
    resource.says("/x", "200 OK", "", "open to everybody");
    let output = get("the-rpt", &resource.url).await;
    assert!(failed(&output, 1).contains("without a token") && output.stdout.is_empty());
    for more in [&["-o", "file"][..], &["--dpop"], &["--scope", "a\"b"]] {
        assert_eq!(person.gets(&[&["get", "--print-token", &url][..], more].concat()).await.status.code(), Some(2), "{more:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c09_what_is_not_protected_may_be_of_any_size() {
    let (resource, person) = (Liar::start().await, Person::new());
    let long = vec![7; 3_000_000];
    resource.says("/x", "200 OK", "", &long);
    let url = format!("{}/x", resource.url);
    let output = person.gets(&["get", &url]).await;
    assert!(output.status.success() && output.stdout == long);
    assert!(person.gets(&["get", &url, "-o", "file"]).await.status.success());
    assert_eq!(std::fs::read(person.folder.0.join("file")).unwrap(), long);
    // what comes encoded was not asked for, and is not the content
    for coding in ["gzip", "GZIP, identity", "br"] {
        resource.says("/x", "200 OK", &format!("content-encoding: {coding}\r\n"), b"packed");
        for arguments in [&["get", &url, "-o", "file"][..], &["get", &url]] {
            let output = person.gets(arguments).await;
            assert!(failed(&output, 1).contains("content-encoding") && output.stdout.is_empty());
        }
    }
    assert_eq!(std::fs::read(person.folder.0.join("file")).unwrap(), long);
    // an error is read so far, however long it is
    for status in ["404 Not Found", "401 Unauthorized", "302 Found"] {
        resource.says("/x", status, "", &long);
        failed(&person.gets(&["get", &url, "-o", "file"]).await, 1);
        assert_eq!(std::fs::read(person.folder.0.join("file")).unwrap(), long);
        assert_eq!(person.gets(&["get", &url]).await.stdout.len(), 64 * 1024);
    }
}

/// A thing may move to another server between the call and the question: the ticket is spent, and the next call says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_spent_ticket_is_asked_for_again_and_not_without_end() {
    let (resource, old, new, person) = (Liar::start().await, Liar::start().await, Liar::start().await, Person::new());
    let url = format!("{}/x", resource.url);
    old.answers_tickets("400 Bad Request", r#"{"error": "invalid_scope", "error_description": "nothing of it is available"}"#);
    resource.says("/x", "401 Unauthorized", &challenge(&old.url), b"");
    let refused = failed(&person.gets(&["get", "--scope", "view", &url]).await, 1);
    assert!(refused.contains("invalid_scope"), "a scope of her own may be none of that thing: {refused}");
    let said = failed(&person.gets(&["get", &url]).await, 1);
    assert!(said.contains("every ticket of the resource server was spent"), "{said}");
    resource.heard();
    old.answers_tickets("400 Bad Request", r#"{"error": "invalid_grant", "error_description": "this ticket is no longer good"}"#);
    new.answers_tickets(
        "200 OK",
        &serde_json::json!({"access_token": "rpt", "token_type": "Bearer", "resource": resource.url}).to_string(),
    );
    resource.says("/x", "401 Unauthorized", &challenge(&old.url), b"");
    let said = failed(&person.gets(&["get", &url]).await, 1);
    assert!(said.contains("every ticket of the resource server was spent"), "{said}");
    assert_eq!(resource.heard().iter().filter(|call| call.starts_with("GET /x ")).count(), 3);
    // it moves once the first ticket was spent
    let moved = async {
        while !old.heard().iter().any(|call| call.starts_with("POST /token")) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        resource.says("/x", "401 Unauthorized", &challenge(&new.url), b"");
    };
    old.heard();
    let arguments = ["get", "--print-token", &url];
    let (output, ()) = tokio::join!(person.gets(&arguments), moved);
    assert!(output.status.success() && output.stdout == b"rpt\n", "{}", String::from_utf8_lossy(&output.stderr));
}
