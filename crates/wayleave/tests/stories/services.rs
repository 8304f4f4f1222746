//! Other people's services behind the gateway, unchanged, used by their own ordinary clients (issue of the gateway in
//! earnest): Git over HTTP (dulwich of PyPI, and `git`), nginx, a service that speaks HTTP/2; and a call that needs more
//! than one resource.

use crate::gateway::{Guarded, admitted, challenge_of, raw};
use crate::processes::{Folder, LONGEST, Server, free_port};
use outbound::Method;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// A service of somebody else's; ended when dropped.
pub(crate) struct Service(Child);

impl Service {
    pub(crate) async fn start(mut command: Command, port: u16) -> Self {
        let service = Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(begun.elapsed() < LONGEST, "the service does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // politely first, so that a master ends its workers
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn git(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=Alice", "-c", "user.email=alice@foo.example", "-c", "init.defaultBranch=main"]);
    command.args(arguments).current_dir(folder).env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.output().unwrap()
}

/// Alice keeps her notes in Git. Bob reads them with `git`, and cannot write.
#[tokio::test(flavor = "multi_thread")]
async fn a_git_repository_is_cloned_with_an_rpt() {
    let folder = Folder::new();
    let (notes, port) = (folder.0.join("notes"), free_port());
    std::fs::create_dir_all(&notes).unwrap();
    assert!(git(&notes, &["init"]).status.success());
    std::fs::write(notes.join("note.txt"), "by the sea").unwrap();
    assert!(git(&notes, &["add", "."]).status.success() && git(&notes, &["commit", "-m", "one"]).status.success());
    let mut dulwich = Command::new(root().join("target/python/bin/python"));
    let script = "import sys, dulwich.web; dulwich.web.main(['web', '-l', '127.0.0.1', '-p', sys.argv[1], sys.argv[2]])";
    dulwich.args(["-c", script, &port.to_string(), &notes.display().to_string()]);
    let _service = Service::start(dulwich, port).await;
    let server = Server::start("");
    let guarded = Guarded::start_changed(&server, &format!("http://127.0.0.1:{port}"), |text| {
        let before = text.find("[[gateway.route]]").unwrap();
        format!(
            "{}[[gateway.route]]\npath = \"/info/refs\"\nresource = \"/notes\"\nowner = \"alice\"\nscopes = {{ GET = [\"view\"] }}\n\
             [[gateway.route]]\npath = \"/git-upload-pack\"\nresource = \"/notes\"\nowner = \"alice\"\nscopes = {{ POST = [\"view\"] }}\n\
             [[gateway.route]]\npath = \"/git-receive-pack\"\nresource = \"/notes\"\nowner = \"alice\"\nscopes = {{ POST = [\"edit\"] }}\n\
             [[gateway.route]]\npath = \"/albums/holiday/1.jpg\"\nresource = \"/notes\"\nowner = \"alice\"\nscopes = {{ GET = [\"view\"] }}\n",
            &text[..before]
        )
    });
    let refused = git(&folder.0, &["clone", &guarded.url, "stolen"]);
    assert!(!refused.status.success() && !folder.0.join("stolen/note.txt").exists());
    let rpt = admitted(&server, &guarded, 1).await;
    let header = format!("http.extraHeader=Authorization: {} {}", rpt.token_type, rpt.token);
    let cloned = git(&folder.0, &["-c", &header, "clone", &guarded.url, "copy"]);
    assert!(cloned.status.success(), "{}", String::from_utf8_lossy(&cloned.stderr));
    let copy = folder.0.join("copy");
    assert_eq!(std::fs::read_to_string(copy.join("note.txt")).unwrap(), "by the sea");
    std::fs::write(copy.join("note.txt"), "by Bob").unwrap();
    assert!(git(&copy, &["commit", "-am", "two"]).status.success());
    assert!(!git(&copy, &["-c", &header, "push"]).status.success(), "he may view, and not edit");
}

/// Debian's nginx, as it comes.
#[tokio::test]
async fn nginx_serves_what_the_gateway_guards() {
    let (folder, port) = (Folder::new(), free_port());
    std::fs::create_dir_all(folder.0.join("files/albums/holiday")).unwrap();
    let picture: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    std::fs::write(folder.0.join("files/albums/holiday/1.jpg"), &picture).unwrap();
    let place = folder.0.display();
    let config = format!(
        "daemon off; user root; pid {place}/pid; error_log {place}/log;\nevents {{}}\nhttp {{ access_log off; default_type image/jpeg;\n\
         client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u;\n\
         scgi_temp_path {place}/s;\n server {{ listen 127.0.0.1:{port}; root {place}/files; dav_methods PUT DELETE; }} }}\n"
    );
    std::fs::write(folder.0.join("nginx.conf"), config).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.args(["-p", &place.to_string(), "-c", "nginx.conf"]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let _service = Service::start(nginx, port).await;
    let server = Server::start("");
    let guarded = Guarded::start(&server, &format!("http://127.0.0.1:{port}"));
    let rpt = admitted(&server, &guarded, 1).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let ask = async |method: Method, more: &[(&'static str, &str)]| {
        let headers = [&[("authorization", bearer.as_str())][..], more].concat();
        raw(method, &guarded.photo(), &headers).await
    };
    // our own client reads a megabyte at most; what is larger comes in parts
    let part = ask(Method::GET, &[("range", "bytes=1000000-1999999")]).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &picture[1_000_000..2_000_000]));
    let head = ask(Method::HEAD, &[]).await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.body.len()), (200, Some("3000000"), 0));
    let tag = head.header("etag").unwrap().to_owned();
    assert_eq!(ask(Method::GET, &[("if-none-match", &tag)]).await.status, 304);
    assert_eq!(ask(Method::DELETE, &[]).await.status, 401);
    assert!(folder.0.join("files/albums/holiday/1.jpg").exists());
    assert_eq!(raw(Method::GET, &guarded.photo(), &[]).await.status, 401);
}

#[tokio::test]
async fn a_service_may_speak_http_2() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("h2c://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let echo = hyper::service::service_fn(async |request: http::Request<hyper::body::Incoming>| {
                let seen = format!("{:?} {} {}", request.version(), request.method(), request.uri().path());
                let token = request.headers().contains_key("authorization");
                Ok::<_, std::convert::Infallible>(http::Response::new(format!("{seen} {token}")))
            });
            let builder = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new()).http2_only();
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(async move { builder.serve_connection(io, echo).await });
        }
    });
    let server = Server::start("");
    let guarded = Guarded::start(&server, &address);
    let rpt = admitted(&server, &guarded, 1).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let answer = raw(Method::GET, &guarded.photo(), &[("authorization", &bearer)]).await;
    assert_eq!(String::from_utf8_lossy(&answer.body), "HTTP/2.0 GET /albums/holiday/1.jpg false");
}

/// An album and its photo: one ticket is for all that a call needs.
#[tokio::test]
async fn one_ticket_is_for_all_that_a_call_needs() {
    let server = Server::start("");
    let guarded = Guarded::start_changed(&server, "", |text| {
        text.replace("owner = \"alice\"", "also = [\"/albums/{album}/{photo}\"]\nowner = \"alice\"")
    });
    let challenge = challenge_of(&raw(Method::GET, &guarded.photo(), &[]).await);
    assert_eq!(challenge.as_uri, server.issuer);
    let desk = crate::desk::Desk::open(&server).await;
    let endpoint = desk.metadata.registered_resources_endpoint.clone().unwrap();
    let (_, all) = desk.api(Method::GET, &endpoint, &desk.pmt, serde_json::Value::Null).await.unwrap();
    let mut ids: Vec<&str> = all.as_array().unwrap().iter().map(|one| one["_resource_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["/albums/holiday", "/albums/holiday/1.jpg"]);
    // one of the two is not enough
    let album = all.as_array().unwrap().iter().find(|one| one["_resource_id"] == "/albums/holiday").unwrap();
    let anyone = serde_json::json!({"resource_id": album["_id"], "resource_scopes": ["view"], "required_claims": []});
    desk.api(Method::POST, desk.metadata.policy_endpoint.as_deref().unwrap(), &desk.pmt, anyone).await.unwrap();
    let (_, partial) = desk.trade(&challenge.ticket).await.unwrap();
    let bearer = format!("Bearer {}", partial["access_token"].as_str().unwrap());
    assert_eq!(raw(Method::GET, &guarded.photo(), &[("authorization", &bearer)]).await.status, 401);
    let rpt = admitted(&server, &guarded, 1).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    assert_eq!(raw(Method::GET, &guarded.photo(), &[("authorization", &bearer)]).await.status, 200);
}
