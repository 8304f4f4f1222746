//! What goes on under HTTP: TLS, clients that are slow or write rubbish, name servers, submission of mail.

use crate::processes::{Folder, LONGEST, Process, Server, free_port};
use authorization_server::mailer::{Mailer, Message};
use outbound::{Outbound, Request, Settings};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// A certificate authority, and a certificate of it for `localhost`; written into `folder`.
pub(crate) fn certificates(folder: &Folder) -> String {
    certificates_for(folder, &["localhost", "alice.example"])
}

/// The same for these names.
pub(crate) fn certificates_for(folder: &Folder, names: &[&str]) -> String {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    std::fs::write(folder.0.join("ca.pem"), &authority_pem).unwrap();
    std::fs::write(folder.0.join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.0.join("key.pem"), key.serialize_pem()).unwrap();
    authority_pem
}

fn outbound(ca_pem: Option<String>) -> Outbound {
    let ca_pem = ca_pem.map(String::into_bytes);
    Outbound::new(Settings { allow_private_networks: true, allow_http: true, ca_pem, ..Settings::default() }).unwrap()
}

/// Cases: F-1.3-1
#[tokio::test]
async fn tls_is_spoken_and_nothing_else_where_it_is_configured() {
    let folder = Folder::new();
    let authority = certificates(&folder);
    for (more, is_served) in [("", true), ("client_ca = \"ca.pem\"\n", false)] {
        let port = free_port();
        let issuer = format!("https://localhost:{port}");
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\nissuer = \"{issuer}\"\nadmin_listen = \"127.0.0.1:{}\"\n\
             [server.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n{more}[store]\nurl = \"memory:\"\n",
            free_port()
        );
        std::fs::write(folder.0.join("wayleave.toml"), text).unwrap();
        let _process = Process::start(&["server"], &folder.0);
        let url = format!("{issuer}/.well-known/uma2-configuration");
        let answer = outbound(Some(authority.clone())).send(Request::get(&url)).await;
        assert_eq!(answer.is_ok_and(|answer| answer.status == 200), is_served, "{more}");
        assert!(outbound(None).send(Request::get(&url)).await.is_err(), "an authority that is not trusted");
        let plain = outbound(None).send(Request::get(&url.replace("https", "http"))).await;
        assert!(plain.is_err(), "without TLS nothing is said");
    }
}

/// Sends what no HTTP client would, and reads what comes back.
async fn raw(server: &Server, text: &str) -> String {
    let mut stream = TcpStream::connect(server.issuer.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = tokio::time::timeout(LONGEST, stream.read_to_string(&mut answer)).await;
    answer
}

#[tokio::test]
async fn what_is_no_http_is_told_so_in_one_sentence() {
    let server = Server::start("");
    let long = "x".repeat(200_000);
    for (text, status) in [
        ("POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef".to_owned(), "400"),
        ("POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n".to_owned(), "400"),
        ("rubbish\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), "431"),
    ] {
        let answer = raw(&server, &text).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        let body: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
        assert_eq!(body["error"], "invalid_request");
        assert!(body["error_description"].as_str().unwrap().len() > 20);
    }
}

/// How HTTP/2 begins, without any request.
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Slow and silent clients: none holds up another, and none may stay for ever.
#[tokio::test]
async fn threat_46_slow_and_silent_clients_hold_up_nobody_and_are_let_go() {
    let server = Server::start("");
    let address = server.issuer.strip_prefix("http://").unwrap().to_owned();
    let url = format!("{}/.well-known/uma2-configuration", server.issuer);
    let ask_twenty_times = async || {
        let begun = Instant::now();
        for _ in 0..20 {
            assert_eq!(outbound(None).send(Request::get(&url)).await.unwrap().status, 200);
        }
        begun.elapsed()
    };
    let alone = ask_twenty_times().await;
    let mut slow = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let begun = ["POST /token HT", "POST /token HTTP/1.1\r\nHost: a\r\nContent-Le", "", "P", PREFACE][n % 5];
        stream.write_all(begun.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let beside_them = ask_twenty_times().await;
    assert!(beside_them < Duration::from_secs(3) + 10 * alone, "two hundred slow ones, and nobody waits: {beside_them:?}");
    for mut stream in slow {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(LONGEST, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "who sends no headers is let go");
    }
}

/// A name server that says of every name that it is 127.0.0.1; the names it was asked for.
async fn name_server() -> (std::net::SocketAddr, tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (asked, questions) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let query = &buffer[..length];
            let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
            let is_a = query[end - 3] == 1;
            // header: an answer, no error, one question, one answer if an A record is asked for
            let mut answer = vec![query[0], query[1], 0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0];
            answer.extend(&query[12..end]);
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            }
            let _ = asked.send(query[12..end - 4].to_vec());
            let _ = socket.send_to(&answer, from).await;
        }
    });
    (address, questions)
}

#[tokio::test]
async fn names_are_asked_of_the_configured_server_and_guarded_all_the_same() {
    let server = Server::start("");
    let (dns, mut questions) = name_server().await;
    let settings = |allow| Settings { allow_private_networks: allow, allow_http: true, dns: Some(dns), ..Settings::default() };
    let url = server.issuer.replace("127.0.0.1", "as.wayleave.example") + "/.well-known/uma2-configuration";
    let answer = Outbound::new(settings(true)).unwrap().send(Request::get(&url)).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(questions.recv().await.unwrap(), b"\x02as\x08wayleave\x07example\0");
    let guarded = Outbound::new(settings(false)).unwrap().send(Request::get(&url)).await;
    assert!(guarded.is_err(), "a name may not lead to a private address, whoever says so");
}

/// A submission server that takes one message: what it heard.
async fn submission_server() -> (std::net::SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let (mut lines, mut all, mut in_data) = (BufReader::new(read).lines(), String::new(), false);
        write.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            all.push_str(&line);
            all.push('\n');
            let reply = match (in_data, line.as_str()) {
                (true, ".") => "250 taken\r\n",
                (true, _) => continue,
                (false, "DATA") => "354 go on\r\n",
                (false, "QUIT") => "221 bye\r\n",
                (false, _) => "250 ok\r\n",
            };
            in_data = line == "DATA";
            write.write_all(reply.as_bytes()).await.unwrap();
            if reply.starts_with("250 taken") {
                break;
            }
        }
        all
    });
    (address, heard)
}

#[tokio::test]
async fn mail_is_submitted_where_the_configuration_says() {
    let (address, heard) = submission_server().await;
    let text = format!("[mail]\nsubmission = \"smtp://{address}\"\nfrom = \"no-reply@foo.example\"\n");
    let config = wayleave::config::Config::parse(&text, std::iter::empty(), "".into()).unwrap();
    let submission = wayleave::submission::Submission::new(&config, config.mail.as_ref().unwrap()).ok().unwrap();
    let message = |to: &str| Message { to: to.into(), subject: "Your code".into(), text: "Your code is 12345678".into() };
    submission.send(message("bob@bar.example")).await.unwrap();
    let heard = heard.await.unwrap();
    for line in [
        "MAIL FROM:<no-reply@foo.example>",
        "RCPT TO:<bob@bar.example>",
        "Your code is 12345678",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(heard.contains(line), "{line}: {heard}");
    }
    // an address is one address, never a way to say more; and who is away is said to be away
    assert!(submission.send(message("bob@bar.example>\r\nRCPT TO:<eve@evil.example")).await.is_err());
    assert!(submission.send(message("bob@bar.example")).await.is_err());
}
