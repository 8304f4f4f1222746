//! *Viewer*: a third party's small confidential web client, in which Bob opens the link of an album.
//! RPT and PCT stay on its server, in his session; his browser sees pictures, never a token
//! (Grant 5.2). It also shows the demo's outbox, because Bob's mailbox is nowhere else.

use super::Places;
use crate::config::Config;
use crate::outbox::Outbox;
use crate::{Exit, assemble};
use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use client::{Called, Challenge, Client, ClientError, Credentials, PersonSending, PersonSent, Rpt, TicketRequest, Traded};
use jose::{SystemClock, SystemRandomness};
use outbound::Method;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const COOKIE: &str = "viewer_session";
/// The sheet of every page, in its own dress.
const STYLE: [&str; 2] = [ui::STYLE, include_str!("../../templates/viewer.css")];
const ICON: &str = include_str!("../../templates/viewer.svg");

/// What a session holds, for one person.
#[derive(Clone, Default)]
struct Session {
    rpt: Option<Rpt>,
    pct: Option<String>,
    /// On the way to the authorization server, for which picture.
    sent: Option<(PersonSent, Challenge, String)>,
    /// Waiting for the owner: the ticket to come back with.
    waiting: HashMap<String, (Challenge, String)>,
}

/// The application.
pub(super) struct Viewer {
    client: Client,
    gateway: String,
    own: String,
    issuer: String,
    /// An album that is there.
    example: String,
    outbox: Arc<Outbox>,
    sessions: Mutex<HashMap<String, Session>>,
}

enum Seen {
    Content(outbound::Response),
    SendTo(String),
    Note { status: StatusCode, title: &'static str, text: String, retry: bool },
}

impl Viewer {
    pub(super) fn new(config: &Config, places: &Places, example: String, outbox: Arc<Outbox>) -> Result<Arc<Self>, Exit> {
        let client = Client {
            outbound: assemble::outbound(config, &[])?.for_all_listed(),
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            credentials: Credentials::secret("viewer", "viewer-secret"),
            dpop_key: Some(Arc::new(jose::SigningKey::generate(jose::Algorithm::Es256).map_err(Exit::failed)?)),
        };
        let sessions = Mutex::default();
        let Places { issuer, gateway, viewer: own, .. } = places.clone();
        Ok(Arc::new(Self { client, gateway, own, issuer, example, outbox, sessions }))
    }

    pub(super) fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/", get(home))
            .route("/open", get(open))
            .route("/picture", get(picture))
            .route("/claims", get(returned))
            .route("/outbox", get(outbox))
            .route("/assets/style.css", get(async || ([(header::CONTENT_TYPE, "text/css")], STYLE.concat())))
            .route("/assets/icon.svg", get(async || ([(header::CONTENT_TYPE, "image/svg+xml")], ICON)))
            .with_state(self)
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of a browser; made when it has none.
    fn session(&self, headers: &HeaderMap) -> (String, Session, bool) {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let id = pairs.find(|(name, _)| *name == COOKIE).map(|(_, id)| id.to_owned());
        match id.and_then(|id| self.sessions().get(&id).cloned().map(|session| (id, session))) {
            Some((id, session)) => (id, session, false),
            None => (jose::ambient::random_text::<32>(&SystemRandomness), Session::default(), true),
        }
    }

    fn keep(&self, id: &str, session: Session) {
        self.sessions().insert(id.to_owned(), session);
    }

    /// Opens a URL at the gateway for this session, as far as it goes.
    async fn see(&self, url: &str, session: &mut Session) -> Result<Seen, ClientError> {
        let answer = match &session.rpt {
            Some(rpt) => self.client.call(Method::GET, url, Some(rpt)).await?,
            None => self.client.call(Method::GET, url, None).await?,
        };
        match answer {
            Called::Answered(answer) => Ok(Seen::Content(answer)),
            Called::AuthorizationServerUnreachable => Ok(note(
                StatusCode::BAD_GATEWAY,
                "Not now",
                "Nobody can say right now whether you may see this. Is the gateway linked to its owner?",
                true,
            )),
            Called::Challenged(challenge) => {
                let waiting = session.waiting.remove(url);
                let (challenge, ticket) = waiting.unwrap_or_else(|| (challenge.clone(), challenge.ticket.clone()));
                self.trade(url, session, challenge, ticket).await
            }
        }
    }

    async fn trade(&self, url: &str, session: &mut Session, challenge: Challenge, ticket: String) -> Result<Seen, ClientError> {
        let metadata = self.client.discover(&challenge.issuer).await?;
        let request = TicketRequest {
            ticket: &ticket,
            resource: challenge.confirmed.then_some(challenge.resource.as_str()),
            pct: session.pct.as_deref(),
            rpt: session.rpt.as_ref().map(|rpt| rpt.token.as_str()),
            ..TicketRequest::default()
        };
        match self.client.trade(&metadata, &request).await? {
            Traded::Granted(tokens) => {
                let rpt = self.client.rpt(&tokens, &challenge)?;
                session.pct = tokens.pct.clone().or(session.pct.take());
                session.rpt = Some(rpt.clone());
                match self.client.call(Method::GET, url, Some(&rpt)).await? {
                    Called::Answered(answer) => Ok(Seen::Content(answer)),
                    _ => Ok(note(StatusCode::FORBIDDEN, "Only in part", "You were let in, but not to this.", false)),
                }
            }
            Traded::NeedInfo { ticket, redirect_user, .. } => {
                let endpoint = redirect_user
                    .ok_or_else(|| ClientError::Protocol("the server does not say where to show who you are".into()))?;
                let way_back = format!("{}/claims", self.own);
                let person = PersonSending::to(&endpoint, &ticket, &way_back);
                let sent = self.client.send_person(&metadata, &person)?;
                let to = sent.url.clone();
                session.sent = Some((sent, challenge, url.to_owned()));
                Ok(Seen::SendTo(to))
            }
            Traded::Submitted { ticket, .. } => {
                session.waiting.insert(url.to_owned(), (challenge, ticket));
                Ok(note(
                    StatusCode::ACCEPTED,
                    "The owner is asked",
                    "This is not shared with you yet. Its owner sees that you asked. Look again in a moment.",
                    true,
                ))
            }
            Traded::Spent { .. } => {
                Ok(note(StatusCode::CONFLICT, "Not any more", "What you asked for changed meanwhile. Look again.", true))
            }
            Traded::Denied { .. } => Ok(note(
                StatusCode::FORBIDDEN,
                "Not shared with you",
                "Ask whoever sent you the link, if you think that it should be.",
                false,
            )),
        }
    }

    fn page(&self, title: &str, body: &str) -> Response {
        let narrow = title != "Album" && title != "Outbox";
        let shell = ui::Page { site: "Viewer", title, base: "", links: &[], person: None, narrow, scripts: &[], body };
        let mut response = Html(ui::render(&shell)).into_response();
        if let Ok(policy) = HeaderValue::from_str(&ui::content_security_policy(std::slice::from_ref(&self.issuer))) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }

    fn is_ours(&self, url: &str) -> bool {
        client::uma::is_within(url, &self.gateway)
    }
}

fn note(status: StatusCode, title: &'static str, text: &str, retry: bool) -> Seen {
    Seen::Note { status, title, text: text.to_owned(), retry }
}

#[derive(Template)]
#[template(path = "viewer_home.html")]
struct HomePage<'a> {
    example: &'a str,
}

#[derive(Template)]
#[template(path = "viewer_album.html")]
struct AlbumPage {
    name: String,
    pictures: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "viewer_note.html")]
struct NotePage<'a> {
    title: &'a str,
    text: &'a str,
    again: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "viewer_outbox.html")]
struct OutboxPage {
    messages: Vec<Vec<Piece>>,
}

/// A part of a message.
struct Piece {
    text: String,
    is_link: bool,
}

/// A message with its addresses apart, so that they can be followed: an address stands on a line, or between spaces.
fn pieces(text: &str) -> Vec<Piece> {
    let piece =
        |text: &str| Piece { text: text.to_owned(), is_link: text.starts_with("http://") || text.starts_with("https://") };
    text.split_inclusive(char::is_whitespace)
        .flat_map(|word| word.split_at_checked(word.trim_end().len()).map(<[&str; 2]>::from))
        .flatten()
        .map(piece)
        .collect()
}

/// A mail without what only a mail program reads.
fn for_a_reader(mail: &str) -> String {
    let (head, text) = mail.split_once("\n\n").unwrap_or(("", mail));
    let for_people = |line: &&str| ["To: ", "Subject: ", "From: "].iter().any(|name| line.starts_with(name));
    let head: Vec<&str> = head.lines().filter(for_people).collect();
    format!("{}\n\n{text}", head.join("\n"))
}

async fn home(State(viewer): State<Arc<Viewer>>) -> Response {
    viewer.page("Open an album", &ui::render(&HomePage { example: &viewer.example }))
}

async fn outbox(State(viewer): State<Arc<Viewer>>) -> Response {
    viewer.page(
        "Outbox",
        &ui::render(&OutboxPage { messages: viewer.outbox.read().iter().map(|(_, text)| pieces(&for_a_reader(text))).collect() }),
    )
}

#[derive(serde::Deserialize)]
struct Opened {
    url: String,
}

async fn open(State(viewer): State<Arc<Viewer>>, headers: HeaderMap, Query(opened): Query<Opened>) -> Response {
    show(&viewer, &headers, &opened.url, false).await
}

async fn picture(State(viewer): State<Arc<Viewer>>, headers: HeaderMap, Query(opened): Query<Opened>) -> Response {
    show(&viewer, &headers, &opened.url, true).await
}

async fn show(viewer: &Viewer, headers: &HeaderMap, url: &str, raw: bool) -> Response {
    if !viewer.is_ours(url) {
        let page = NotePage {
            title: "Not an album",
            text: "Viewer opens links that begin with the address of Alice's pictures.",
            again: None,
        };
        return (StatusCode::BAD_REQUEST, viewer.page(page.title, &ui::render(&page))).into_response();
    }
    let (id, mut session, new) = viewer.session(headers);
    let seen = viewer.see(url, &mut session).await;
    viewer.keep(&id, session);
    let mut response = match seen {
        Ok(Seen::Content(answer)) if raw || !answer.status.is_success() || !is_list(&answer) => content(answer),
        Ok(Seen::Content(answer)) => album(viewer, url, &answer),
        Ok(Seen::SendTo(to)) => (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response(),
        Ok(Seen::Note { status, title, text, retry }) => {
            let page = NotePage { title, text: &text, again: retry.then_some(url) };
            (status, viewer.page(title, &ui::render(&page))).into_response()
        }
        Err(error) => {
            let text = error.to_string();
            let page = NotePage { title: "That did not work", text: &text, again: Some(url) };
            (StatusCode::BAD_GATEWAY, viewer.page(page.title, &ui::render(&page))).into_response()
        }
    };
    if new {
        let cookie = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax");
        response.headers_mut().extend(HeaderValue::from_str(&cookie).ok().map(|value| (header::SET_COOKIE, value)));
    }
    response
}

/// Whether it is what an album has, and no picture.
fn is_list(answer: &outbound::Response) -> bool {
    let media = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media.is_some_and(|media| media.starts_with("application/json"))
}

fn content(answer: outbound::Response) -> Response {
    let mut response = Response::new(Body::from(answer.body.clone()));
    *response.status_mut() = answer.status;
    if let Some(media) = answer.headers.get(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, media.clone());
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // whatever it is, it runs nothing here
    let policy = HeaderValue::from_static("sandbox; default-src 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn album(viewer: &Viewer, url: &str, answer: &outbound::Response) -> Response {
    let names: Vec<String> = serde_json::from_slice(&answer.body).unwrap_or_default();
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pictures = names.into_iter().map(|name| (encode(&format!("{}/{name}", url.trim_end_matches('/'))), name)).collect();
    let name = url.rsplit('/').find(|part| !part.is_empty()).unwrap_or("album").replace('-', " ");
    viewer.page("Album", &ui::render(&AlbumPage { name, pictures }))
}

/// The person comes back from the authorization server.
async fn returned(State(viewer): State<Arc<Viewer>>, headers: HeaderMap, Query(query): Query<Vec<(String, String)>>) -> Response {
    let (id, mut session, _) = viewer.session(&headers);
    let Some((sent, challenge, url)) = session.sent.take() else {
        let page = NotePage { title: "Nothing to go on with", text: "Open the album again.", again: None };
        return (StatusCode::BAD_REQUEST, viewer.page(page.title, &ui::render(&page))).into_response();
    };
    match viewer.client.person_returned(&sent, &query) {
        Ok(ticket) => {
            session.waiting.insert(url.clone(), (challenge, ticket));
            viewer.keep(&id, session);
            let to = format!("/open?url={}", form_urlencoded::byte_serialize(url.as_bytes()).collect::<String>());
            (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
        }
        Err(error) => {
            viewer.keep(&id, session);
            tracing::debug!(%error, "somebody came back without a ticket");
            let text = "You went back without showing who you are, so nothing was opened.";
            let page = NotePage { title: "Nothing was shown", text, again: Some(&url) };
            (StatusCode::BAD_REQUEST, viewer.page(page.title, &ui::render(&page))).into_response()
        }
    }
}
