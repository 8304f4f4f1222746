//! The guides of `docs/applications.md` as they stand in the book, with the real applications and their real clients.

use crate::gateway::{Guarded, challenge_of, raw, viewer};
use crate::processes::{Folder, Server, free_port};
use crate::services::{Service, root};
use client::{Called, TicketRequest, Traded};
use outbound::{Method, Request};
use std::path::Path;
use std::process::{Command, Output};
use types::token::ID_TOKEN_FORMAT;

/// What stands in the book below a heading, in its nth block of this language.
fn in_book(heading: &str, language: &str, nth: usize) -> String {
    let book = std::fs::read_to_string(root().join("docs/applications.md")).unwrap();
    let (_, chapter) = book.split_once(&format!("\n## {heading}\n")).unwrap();
    let chapter = chapter.split("\n## ").next().unwrap();
    let mut blocks = chapter.split(&format!("```{language}\n")).skip(1);
    blocks.nth(nth).unwrap().split("\n```").next().unwrap().to_owned()
}

/// The gateway of a guide, before an application at this port: its names are those of this machine, and its PAT comes at once.
fn gateway(server: &Server, heading: &str, app: &str, host: &str, port: u16) -> Guarded {
    Guarded::start_changed(server, "http://unused", |_| {
        let (url, listen) = (format!("http://127.0.0.1:{}", server.gateway_port), format!("127.0.0.1:{}", server.gateway_port));
        in_book(heading, "toml", 0)
            .replace(&format!("https://{host}"), &url)
            .replace("127.0.0.1:9000", &listen)
            .replace(app, &format!("127.0.0.1:{port}"))
            .replace("https://as.example", &server.issuer)
            .replace("client_secret_file = \"photos.secret\"", "client_secret = \"photos-secret\"\npat = \"client_credentials\"")
    })
}

/// Alice lets Bob do this with all that is registered.
async fn share(server: &Server, scopes: &[&str]) {
    let mut manager = viewer();
    manager.credentials = client::Credentials::secret("manager", "manager-secret");
    let metadata = manager.discover(&server.issuer).await.unwrap();
    let pmt = manager.client_credentials(&metadata, "uma_policy").await.unwrap().access_token;
    let bearer = format!("Bearer {pmt}");
    let list = raw(Method::GET, &metadata.registered_resources_endpoint.unwrap(), &[("authorization", &bearer)]).await;
    let resources: Vec<serde_json::Value> = serde_json::from_slice(&list.body).unwrap();
    for resource in resources {
        let claims = serde_json::json!([{"name": "email", "value": ["bob@bar.example"]}]);
        let policy = serde_json::json!({"resource_id": resource["_id"], "resource_scopes": scopes, "required_claims": claims});
        let endpoint = metadata.policy_endpoint.as_deref().unwrap();
        let request = Request::json(Method::POST, endpoint, &policy).header("authorization", &bearer);
        assert_eq!(manager.outbound.send(request).await.unwrap().status, 201);
    }
}

/// Bob's token, after a call by this method was challenged and Alice shared these scopes.
async fn token(server: &Server, url: &str, method: Method, scopes: &[&str], serial: u32) -> String {
    let client = viewer();
    let Called::Challenged(_) = client.call(method.clone(), url, None).await.unwrap() else { panic!("{url} is open") };
    share(server, scopes).await;
    let Called::Challenged(challenge) = client.call(method, url, None).await.unwrap() else { panic!() };
    let metadata = client.discover(&challenge.issuer).await.unwrap();
    let (token, resource) = (server.id_token(serial), challenge.resource.clone());
    let wanted = scopes.join(" ");
    let request = TicketRequest {
        ticket: &challenge.ticket,
        resource: challenge.confirmed.then_some(&*resource),
        claim: Some((&token, ID_TOKEN_FORMAT)),
        scope: Some(&wanted),
        ..TicketRequest::default()
    };
    match client.trade(&metadata, &request).await.unwrap() {
        Traded::Granted(tokens) => client.rpt(&tokens, &challenge).unwrap().token,
        Traded::Denied { error, description } => panic!("{error}: {description}"),
        _ => panic!("Bob should have got in"),
    }
}

fn python(place: &Path, script: &str) -> Output {
    let mut command = Command::new(root().join("target/python/bin/python"));
    command.args(["-c", script]).current_dir(place).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

async fn start(folder: &Folder, program: &str, arguments: &[&str], port: u16) -> Service {
    let mut command = Command::new(root().join("target/python/bin").join(program));
    command.args(arguments).current_dir(&folder.0).env("PYTHONDONTWRITEBYTECODE", "1");
    Service::start(command, port).await
}

/// `wsgidav` of PyPI, and `webdavclient3`.
#[tokio::test(flavor = "multi_thread")]
async fn a_webdav_server_is_shared_as_the_book_says() {
    let (folder, port) = (Folder::new(), free_port());
    std::fs::create_dir_all(folder.0.join("files")).unwrap();
    let settings = in_book("A WebDAV server", "yaml", 0).replace("port: 9900", &format!("port: {port}"));
    std::fs::write(folder.0.join("wsgidav.yaml"), settings).unwrap();
    let _service = start(&folder, "wsgidav", &["--config", "wsgidav.yaml"], port).await;
    let server = Server::start("");
    let guarded = gateway(&server, "A WebDAV server", "127.0.0.1:9900", "files.example", port);
    let client = in_book("A WebDAV server", "python", 0).replace("https://files.example", &guarded.url);
    let refused = python(&folder.0, &client.replace("TOKEN", "'nonsense'"));
    assert!(!refused.status.success() && std::fs::read_dir(folder.0.join("files")).unwrap().next().is_none());
    let reader = token(&server, &guarded.url, Method::GET, &["view"], 1).await;
    assert!(!python(&folder.0, &client.replace("TOKEN", &format!("'{reader}'"))).status.success(), "he may view, and not edit");
    let writer = token(&server, &format!("{}/x", guarded.url), Method::PUT, &["view", "edit"], 2).await;
    let output = said(&python(&folder.0, &client.replace("TOKEN", &format!("'{writer}'"))));
    assert_eq!(output, "['copy.txt', 'note.txt']\n['note.txt']");
    assert_eq!(std::fs::read_to_string(folder.0.join("files/2025/note.txt")).unwrap(), "by the sea");
    let moved = |to: &str| {
        let script = format!(
            "import requests; print(requests.request('MOVE', '{0}/2025/note.txt', headers={{'Authorization': 'Bearer {writer}', \
             'Destination': '{to}', 'Overwrite': 'F'}}).status_code)",
            guarded.url
        );
        said(&python(&folder.0, &script))
    };
    assert_eq!(moved("https://elsewhere.example/note.txt"), "403");
    assert_eq!(moved("http://127.0.0.1/note.txt"), "403");
    assert_eq!(moved("/2025/a%20b.txt"), "201");
    assert!(folder.0.join("files/2025/a b.txt").exists());
}

/// Django of PyPI, and a client that behaves like a browser.
#[tokio::test(flavor = "multi_thread")]
async fn a_django_application_is_shared_as_the_book_says() {
    let (folder, port) = (Folder::new(), free_port());
    let server = Server::start("");
    let application = in_book("A Django application", "python", 0)
        .replace("9901", &port.to_string())
        .replace("[\"notes.example\"]", "[\"127.0.0.1\"]");
    std::fs::write(folder.0.join("notes.py"), application).unwrap();
    let _service = start(&folder, "python", &["notes.py"], port).await;
    let guarded = gateway(&server, "A Django application", "127.0.0.1:9901", "notes.example", port);
    let page = format!("{}/notes/", guarded.url);
    assert_eq!(&raw(Method::GET, &format!("{}/health", guarded.url), &[]).await.body[..], b"well");
    challenge_of(&raw(Method::GET, &page, &[("x-wayleave-subject", "alice")]).await);
    let reader = token(&server, &page, Method::GET, &["view"], 1).await;
    let writer = token(&server, &page, Method::POST, &["view", "edit"], 2).await;
    let script = format!(
        r#"
import requests, re
reader, writer = requests.Session(), requests.Session()
reader.headers["Authorization"], writer.headers["Authorization"] = "Bearer {reader}", "Bearer {writer}"
seen = reader.get("{page}").text
print("<form" in seen, re.search("You are ([^.]+)", seen)[1] not in ("", "AnonymousUser"))
form = writer.get("{page}")
print(form.status_code, "<form" in form.text)
token = re.search('csrfmiddlewaretoken" value="([^"]+)', form.text)[1]
kept = {{"note": "by the sea", "csrfmiddlewaretoken": token}}
for origin in ["http://evil.example", "{own}"]:
    answer = writer.post("{page}", data=kept, headers={{"Origin": origin}}, allow_redirects=False)
    print(answer.status_code, answer.headers.get("Location"))
print("by the sea" in writer.get("{page}").text, reader.post("{page}", data=kept).status_code)
one, other = (re.search("You are ([^.]+)", who.get("{page}", headers={{"X-Wayleave-Subject": "alice"}}).text)[1] for who in (reader, writer))
print(one == other, one != "alice")
"#,
        own = guarded.url
    );
    let expected = format!("False True\n200 True\n403 None\n302 {page}\nTrue 401\nTrue True");
    assert_eq!(said(&python(&folder.0, &script)), expected);
}
