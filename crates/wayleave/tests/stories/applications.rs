//! The guides of `docs/applications.md` as they stand in the book, with the real applications and their real clients.

use crate::gateway::{Guarded, challenge_of, raw, viewer};
use crate::processes::{Folder, Server, free_port};
use crate::services::{Service, root};
use bytes::Bytes;
use client::{Called, TicketRequest, Traded};
use hyper::body::{Body, Frame};
use outbound::{Method, Request};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, Output};
use std::task::{Context, Poll};
use types::token::ID_TOKEN_FORMAT;

/// What stands in the book below a heading, in its nth block of this language.
pub(crate) fn in_book(heading: &str, language: &str, nth: usize) -> String {
    let book = std::fs::read_to_string(root().join("docs/applications.md")).unwrap();
    let (_, chapter) = book.split_once(&format!("\n## {heading}\n")).unwrap();
    let chapter = chapter.split("\n## ").next().unwrap();
    let begin = format!("```{language}\n");
    let mut blocks = chapter.split(begin.as_str()).skip(1);
    blocks.nth(nth).unwrap().split("\n```").next().unwrap().to_owned()
}

/// The gateway of a guide, before an application at this port: its names are those of this machine, and its PAT comes at once.
fn gateway(server: &Server, heading: &str, app: &str, host: &str, port: u16) -> Guarded {
    Guarded::start_changed(server, "http://unused", |_| {
        let (url, listen) = (format!("http://127.0.0.1:{}", server.gateway_port), format!("127.0.0.1:{}", server.gateway_port));
        as_known(&in_book(heading, "toml", 0), "client_credentials")
            .replace(&format!("https://{host}"), &url)
            .replace("127.0.0.1:9000", &listen)
            .replace(app, &format!("127.0.0.1:{port}"))
            .replace("https://as.example", &server.issuer)
    })
}

/// A gateway of the book as the client that the server of these stories knows.
pub(crate) fn as_known(text: &str, pat: &str) -> String {
    let line = |line: &str| match line.split_once(" = ").map(|(key, _)| key) {
        Some("client_id") => "client_id = \"photos-rs\"".to_owned(),
        Some("client_secret_file") => format!("client_secret = \"photos-secret\"\npat = \"{pat}\""),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
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

/// Bob's token to read, where Alice shares these scopes, and, where that is another method, to call by it as well.
pub(crate) async fn token(server: &Server, url: &str, method: Method, scopes: &[&str], serial: u32) -> String {
    let client = viewer();
    let Called::Challenged(_) = client.call(Method::GET, url, None).await.unwrap() else { panic!("{url} is open") };
    share(server, scopes).await;
    let reading = trade(server, url, Method::GET, None, serial).await;
    match method {
        Method::GET => reading,
        method => trade(server, url, method, Some(&reading), serial + 50).await,
    }
}

async fn trade(server: &Server, url: &str, method: Method, rpt: Option<&str>, serial: u32) -> String {
    let client = viewer();
    let Called::Challenged(challenge) = client.call(method, url, None).await.unwrap() else { panic!("{url} is open") };
    let metadata = client.discover(&challenge.issuer).await.unwrap();
    let (token, resource) = (server.id_token(serial), challenge.resource.clone());
    let request = TicketRequest {
        ticket: &challenge.ticket,
        resource: challenge.confirmed.then_some(&*resource),
        claim: Some((&token, ID_TOKEN_FORMAT)),
        rpt,
        ..TicketRequest::default()
    };
    match client.trade(&metadata, &request).await.unwrap() {
        Traded::Granted(tokens) => client.rpt(&tokens, &challenge).unwrap().token,
        Traded::Denied { error, description } => panic!("{error}: {description}"),
        Traded::Spent { description } => panic!("spent: {description}"),
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

/// Runs a program of PyPI in a folder.
pub(crate) async fn start(folder: &Folder, program: &str, arguments: &[&str], port: u16) -> Service {
    let mut command = Command::new(root().join("target/python/bin").join(program));
    command.args(arguments).current_dir(&folder.0).env("PYTHONDONTWRITEBYTECODE", "1");
    Service::start(command, port).await
}

/// As the book has it in the `[[client]]` of whoever fetches tokens.
fn may_ask_for_view_and_edit(people: String) -> String {
    people.replace("client_id = \"viewer\"\n", "client_id = \"viewer\"\nscope = \"view edit\"\n")
}

/// Bob's token, got by the command that the book has. He is known by a claim token here, and needs no browser.
fn token_of_the_book(server: &Server, folder: &Folder, url: &str, serial: u32) -> String {
    std::fs::write(folder.0.join("secret"), "viewer-secret").unwrap();
    std::fs::write(folder.0.join("claim"), server.id_token(serial)).unwrap();
    let options = "--client-id viewer --client-secret-file secret --claim-token-file claim";
    let command = in_book("A WebDAV server", "sh", 0);
    let command = command.replace("https://files.example", url);
    let command = command.replace("wayleave get", &format!("{} get {options}", env!("CARGO_BIN_EXE_wayleave")));
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{command}\necho $TOKEN")]).current_dir(&folder.0);
    said(&shell.output().unwrap())
}

/// `wsgidav` of PyPI, and `webdavclient3`.
#[tokio::test(flavor = "multi_thread")]
async fn a_webdav_server_is_shared_as_the_book_says() {
    let (folder, port) = (Folder::new(), free_port());
    std::fs::create_dir_all(folder.0.join("files")).unwrap();
    let settings = in_book("A WebDAV server", "yaml", 0).replace("port: 9900", &format!("port: {port}"));
    std::fs::write(folder.0.join("wsgidav.yaml"), settings).unwrap();
    let _service = start(&folder, "wsgidav", &["--config", "wsgidav.yaml"], port).await;
    let server = Server::start_changed(may_ask_for_view_and_edit);
    let guarded = gateway(&server, "A WebDAV server", "127.0.0.1:9900", "files.example", port);
    let client = in_book("A WebDAV server", "python", 0).replace("https://files.example", &guarded.url);
    let with = |token: &str| client.replace("os.environ[\"TOKEN\"]", &format!("'{token}'"));
    let refused = python(&folder.0, &with("nonsense"));
    assert!(!refused.status.success() && std::fs::read_dir(folder.0.join("files")).unwrap().next().is_none());
    let reader = token(&server, &guarded.url, Method::GET, &["view"], 1).await;
    assert!(!python(&folder.0, &with(&reader)).status.success(), "he may view, and not edit");
    share(&server, &["view", "edit"]).await;
    let writer = token_of_the_book(&server, &folder, &guarded.url, 2);
    let output = said(&python(&folder.0, &with(&writer)));
    assert!(output.ends_with("['copy.txt', 'note.txt']\n['note.txt']"), "{output}");
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
    let expected = format!("True True\n200 True\n403 None\n302 {page}\nTrue 401\nTrue True");
    assert_eq!(said(&python(&folder.0, &script)), expected);
}

/// Debian's nginx.
#[tokio::test(flavor = "multi_thread")]
async fn a_static_site_is_shared_as_the_book_says() {
    let (folder, port) = (Folder::new(), free_port());
    let place = folder.0.display();
    for (path, text) in [("index.html", "welcome"), ("drafts/index.html", "not yet"), ("style.css", "p {}")] {
        let path = folder.0.join("site").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let site = in_book("A static site", "nginx", 0);
    let site = site.replace("127.0.0.1:9903", &format!("127.0.0.1:{port}")).replace("/srv/site", &format!("{place}/site"));
    let config = format!(
        "daemon off; user root; pid {place}/pid; error_log {place}/log;\nevents {{}}\nhttp {{ access_log off;\n\
         client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u;\n\
         scgi_temp_path {place}/s;\n{site}\n}}\n"
    );
    std::fs::write(folder.0.join("nginx.conf"), config).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.args(["-p", &place.to_string(), "-c", "nginx.conf"]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let _service = Service::start(nginx, port).await;
    let server = Server::start("");
    let guarded = gateway(&server, "A static site", "127.0.0.1:9903", "site.example", port);
    let get =
        async |path: &str, fields: &[(&'static str, &str)]| raw(Method::GET, &format!("{}{path}", guarded.url), fields).await;
    assert_eq!(&get("/", &[]).await.body[..], b"welcome");
    assert_eq!(&get("/style.css", &[]).await.body[..], b"p {}");
    let moved = get("/drafts", &[]).await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (301, Some(format!("{}/drafts/", guarded.url).as_str())));
    let drafts = format!("{}/drafts/", guarded.url);
    let bearer = format!("Bearer {}", token(&server, &drafts, Method::GET, &["view"], 1).await);
    assert_eq!(get("/drafts/index.html", &[]).await.status, 401);
    assert_eq!(&get("/drafts/", &[("authorization", &bearer)]).await.body[..], b"not yet");
}

/// A service at a path, and what it created comes back by the gateway's name.
#[tokio::test(flavor = "multi_thread")]
async fn a_fhir_service_is_shared_as_the_book_says() {
    let (folder, port) = (Folder::new(), free_port());
    let service = in_book("A FHIR service", "python", 0).replace("9902", &port.to_string());
    std::fs::write(folder.0.join("fhir.py"), service).unwrap();
    let _service = start(&folder, "python", &["fhir.py"], port).await;
    let server = Server::start("");
    let guarded = gateway(&server, "A FHIR service", "127.0.0.1:9902", "fhir.example", port);
    let patient = format!("{}/Patient/7", guarded.url);
    assert_eq!(raw(Method::GET, &format!("{}/metadata", guarded.url), &[]).await.status, 200);
    let reader = format!("Bearer {}", token(&server, &patient, Method::GET, &["read"], 1).await);
    let observations = format!("{patient}/Observation");
    let writer = format!("Bearer {}", token(&server, &observations, Method::POST, &["read", "write"], 2).await);
    let weight = serde_json::json!({"resourceType": "Observation", "valueQuantity": {"value": 71}});
    let write = async |bearer: &str| {
        let request = Request::json(Method::POST, &observations, &weight).header("authorization", bearer);
        viewer().outbound.send(request).await.unwrap()
    };
    assert_eq!(write(&reader).await.status, 401, "he may read, and not write");
    let created = write(&writer).await;
    assert_eq!((created.status.as_u16(), created.header("location")), (201, Some(format!("{observations}/1").as_str())));
    let read = raw(Method::GET, &observations, &[("authorization", &reader), ("origin", "https://app.example")]).await;
    assert_eq!(read.header("access-control-allow-origin"), Some("https://app.example"));
    let bundle: serde_json::Value = serde_json::from_slice(&read.body).unwrap();
    let performer = &bundle["entry"][0]["resource"]["performer"][0]["display"];
    assert!(performer.as_str().is_some_and(|name| !name.is_empty()), "{bundle}");
    let preflight = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    let answer = raw(Method::OPTIONS, &patient, &preflight).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-headers")), (204, Some("authorization")));
}

/// A body that comes in these parts.
struct InParts(VecDeque<Frame<Bytes>>);

impl Body for InParts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// gRPC's shape: HTTP/2 both ways, and fields behind the body, of the call and of the answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_a_call_goes_on_and_behind_an_answer_comes_back() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("h2c://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serve = hyper::service::service_fn(async |request: http::Request<hyper::body::Incoming>| {
                let wants = request.headers().get("te").is_some_and(|te| te == "trailers");
                let mut behind = http::HeaderMap::new();
                for (name, value) in
                    [("grpc-status", "0"), ("grpc-message", "done"), ("set-cookie", "a=1"), ("x-wayleave-subject", "x")]
                {
                    behind.insert(name, value.parse().unwrap());
                }
                let (mut body, mut brought) = (request.into_body(), Vec::new());
                while let Some(Ok(part)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                    brought.extend(
                        part.into_trailers().ok().into_iter().flat_map(|behind| behind.keys().cloned().collect::<Vec<_>>()),
                    );
                }
                let parts = [Frame::data(Bytes::from(format!("{wants} {brought:?}"))), Frame::trailers(behind)];
                Ok::<_, Infallible>(http::Response::new(InParts(parts.into())))
            });
            let builder = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new()).http2_only();
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(async move { builder.serve_connection(io, serve).await });
        }
    });
    let server = Server::start("");
    let guarded =
        Guarded::start_changed(&server, &address, |text| text.replace("GET = [\"view\"]", "GET = [\"view\"], POST = [\"view\"]"));
    let rpt = crate::gateway::admitted(&server, &guarded, 1).await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).http2_only(true).build_http();
    let request =
        http::Request::post(guarded.photo()).header("te", "trailers").header("authorization", format!("Bearer {}", rpt.token));
    let brought = [("x-sum", "1"), ("x-wayleave-subject", "alice"), ("authorization", "Bearer x")];
    let brought = brought.map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)));
    let parts = [Frame::data(Bytes::from_static(b"call")), Frame::trailers(http::HeaderMap::from_iter(brought))];
    let mut body = client.request(request.body(InParts(parts.into())).unwrap()).await.unwrap().into_body();
    let (mut data, mut behind) = (Vec::new(), Vec::new());
    while let Some(part) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match part.unwrap().into_data() {
            Ok(piece) => data.extend(piece),
            Err(frame) => behind.extend(frame.into_trailers().unwrap().keys().map(ToString::to_string)),
        }
    }
    assert_eq!((&data[..], behind), (&b"true [\"x-sum\"]"[..], vec!["grpc-status".to_owned(), "grpc-message".to_owned()]));
}
