//! `wayleave get URL`: fetches a protected URL like curl, walking the whole UMA flow and saying on
//! standard error what it does.

use crate::Exit;
use crate::whole_file::WholeFile;
use client::{Called, Client, Credentials, Rpt, TicketRequest, Traded};
use jose::{SystemClock, SystemRandomness};
use outbound::{Method, Outbound, Settings};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use types::token::ID_TOKEN_FORMAT;

/// How often the owner is waited for before giving up.
const POLLS: usize = 120;

#[derive(clap::Args)]
pub struct Options {
    /// The protected URL
    url: String,
    /// Client id at the authorization server
    #[arg(long, default_value = "wayleave-get")]
    client_id: String,
    /// File with the client's secret; a public client has none
    #[arg(long)]
    client_secret_file: Option<PathBuf>,
    /// File with an ID token to show who asks
    #[arg(long)]
    claim_token_file: Option<PathBuf>,
    /// Scope to ask for besides what the call needs
    #[arg(long)]
    scope: Option<String>,
    /// Port of the redirect URI http://127.0.0.1:PORT/claims, registered for the client
    #[arg(long, default_value_t = 9002)]
    claims_port: u16,
    /// Where to write the content [default: standard output]
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Prove a key of this run's own (DPoP)
    #[arg(long)]
    dpop: bool,
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "* {text}");
}

/// Walks the flow.
pub async fn run(options: Options) -> Result<(), Exit> {
    let client = client_of(&options)?;
    say(&format!("GET {}", options.url));
    let challenge = match client.call(Method::GET, &options.url, None).await.map_err(Exit::failed)? {
        Called::Answered(answer) => return finish(&options, answer.status.as_u16(), &answer.body),
        Called::AuthorizationServerUnreachable => return Err(Exit::failed("its authorization server cannot be reached")),
        Called::Challenged(challenge) => challenge,
    };
    say(&format!("protected: a ticket of {}", challenge.issuer));
    let metadata = client.discover(&challenge.issuer).await.map_err(Exit::failed)?;
    let claim = options.claim_token_file.as_ref().map(std::fs::read_to_string).transpose().map_err(Exit::usage)?;
    let mut ticket = challenge.ticket.clone();
    let mut pushed = false;
    for _ in 0..POLLS {
        let request = TicketRequest {
            ticket: &ticket,
            resource: challenge.confirmed.then_some(challenge.resource.as_str()),
            claim: claim.as_deref().filter(|_| !pushed).map(|token| (token.trim(), ID_TOKEN_FORMAT)),
            scope: options.scope.as_deref(),
            ..TicketRequest::default()
        };
        pushed = claim.is_some();
        match client.trade(&metadata, &request).await.map_err(Exit::failed)? {
            Traded::Granted(tokens) => {
                say("an RPT; calling again with it");
                let rpt = client.rpt(&tokens, &challenge).map_err(Exit::failed)?;
                return fetch(&client, &options, &rpt).await;
            }
            Traded::NeedInfo { ticket: next, required_claims, redirect_user } => {
                let names: Vec<_> = required_claims.iter().filter_map(|claim| claim.name.clone()).collect();
                say(&format!("it wants to know: {}", names.join(", ")));
                let endpoint = redirect_user.ok_or_else(|| Exit::failed("and it does not say where to show that"))?;
                ticket = gather(&client, &endpoint, &next, options.claims_port).await?;
            }
            Traded::Submitted { ticket: next, interval } => {
                say(&format!("the owner is asked; asking again in {interval} s"));
                tokio::time::sleep(Duration::from_secs(u64::try_from(interval).unwrap_or(5).max(1))).await;
                ticket = next;
            }
            Traded::Denied { error, description } => return Err(Exit::failed(format!("{error}: {description}"))),
        }
    }
    Err(Exit::failed("the owner has not answered"))
}

fn client_of(options: &Options) -> Result<Client, Exit> {
    let loopback = options.url.starts_with("http://127.0.0.1")
        || options.url.starts_with("http://localhost")
        || options.url.starts_with("http://[::1]");
    let settings = Settings { allow_private_networks: true, allow_http: loopback, ..Settings::default() };
    let secret = options.client_secret_file.as_ref().map(std::fs::read_to_string).transpose().map_err(Exit::usage)?;
    let dpop_key = match options.dpop {
        true => Some(Arc::new(jose::SigningKey::generate(jose::Algorithm::Es256).map_err(Exit::failed)?)),
        false => None,
    };
    Ok(Client {
        outbound: Outbound::new(settings).map_err(Exit::failed)?,
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials: Credentials {
            client_id: options.client_id.clone(),
            secret: secret.map(|text| text.trim_end().to_owned()),
            key: None,
        },
        dpop_key,
    })
}

/// Sends the person to the server, and waits on a port of loopback for her to come back.
async fn gather(client: &Client, endpoint: &str, ticket: &str, port: u16) -> Result<String, Exit> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| Exit::failed(format!("port {port}: {error}")))?;
    let sent = client.send_person(endpoint, ticket, &format!("http://127.0.0.1:{port}/claims")).map_err(Exit::failed)?;
    say(&format!("open this in a browser: {}", sent.url));
    loop {
        let (mut stream, _) = listener.accept().await.map_err(Exit::failed)?;
        let mut buffer = vec![0; 8192];
        let read = stream.read(&mut buffer).await.map_err(Exit::failed)?;
        let text = String::from_utf8_lossy(buffer.get(..read).unwrap_or_default()).into_owned();
        let target = text.split(' ').nth(1).unwrap_or_default();
        let Some(query) = target.strip_prefix("/claims?") else {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
            continue;
        };
        let body = "Thank you. Go back to the terminal.\n";
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
        let query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        return client.person_returned(&sent, &query).map_err(Exit::failed);
    }
}

async fn fetch(client: &Client, options: &Options, rpt: &Rpt) -> Result<(), Exit> {
    let mut out = Output::begin(options)?;
    let mut unwritten = None;
    let write = |piece: &[u8]| out.write_all(piece).inspect_err(|error| unwritten = Some(error.to_string()));
    let answer = client.download(&options.url, Some(rpt), write).await;
    if let Some(error) = unwritten {
        return Err(Exit::failed(format!("the content cannot be written: {error}")));
    }
    let answer = answer.map_err(Exit::failed)?;
    let status = answer.status.as_u16();
    say(&format!("HTTP {status}"));
    if !answer.status.is_success() {
        return Err(Exit::failed("the resource server refused the RPT"));
    }
    if options.output.is_some() && !is_whole(status) {
        return Err(Exit::failed(format!("the server answered {status}, which is not the whole content")));
    }
    out.keep()
}

/// Whether an answer is the content (RFC 9110 15.3): not a part of it that nobody asked for, nor a word about it.
fn is_whole(status: u16) -> bool {
    matches!(status, 200 | 203)
}

/// Where the content goes; a file is replaced when everything has come, and only then.
enum Output {
    File(WholeFile),
    Standard,
}

impl Output {
    fn begin(options: &Options) -> Result<Self, Exit> {
        let Some(place) = &options.output else { return Ok(Self::Standard) };
        let begun = WholeFile::begin(place);
        begun.map(Self::File).map_err(|error| Exit::failed(format!("{}: {error}", place.display())))
    }

    fn write_all(&mut self, piece: &[u8]) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.write_all(piece),
            Self::Standard => std::io::stdout().write_all(piece),
        }
    }

    fn keep(self) -> Result<(), Exit> {
        match self {
            Self::File(file) => file.keep().map_err(Exit::failed),
            Self::Standard => std::io::stdout().flush().map_err(Exit::failed),
        }
    }
}

fn finish(options: &Options, status: u16, body: &[u8]) -> Result<(), Exit> {
    say(&format!("HTTP {status}"));
    let success = (200..300).contains(&status);
    // the text of an error is no content, nor is a part
    let is_content = options.output.is_none() || is_whole(status);
    if is_content {
        let mut out = Output::begin(options)?;
        out.write_all(body).map_err(Exit::failed)?;
        out.keep()?;
    }
    if success && is_content { Ok(()) } else { Err(Exit::failed(format!("the server answered {status}"))) }
}
