//! What a browser brings and gets: the session cookie, the form cookie with its hidden field,
//! redirects, and pages in the shell.

use crate::extract::Parts;
use crate::pages::Reader;
use crate::{Host, Provider};
use askama::Template;
use authorization_server::kept_proof::{self, Browser, KeptProof};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use identity::session::Session;
use identity::{Account, Failure, Form};
use types::origin::is_scheme_of_app;
use types::{ErrorCode, Refusal};
use ui::{Link, Page, Person};

const SESSION: &str = "wl_session";
const FORM: &str = "wl_form";
const CARRIED: &str = "wl_elsewhere";
const KNOWN: &str = "wl_known";
const PROOF: &str = "wl_proof";
const FORM_COOKIE_CHARACTERS: usize = 43;
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A browser's visit.
pub struct Visit {
    /// The form cookie's text; made when the browser has none yet.
    pub form_cookie: String,
    new_form_cookie: bool,
    pub session_cookie: Option<String>,
    /// Of an address that was proved in this browser.
    proof_cookie: Option<String>,
    /// What the browser remembers of log-ins here; empty where it is nothing.
    pub known: String,
    pub person: Option<(Account, Session)>,
    /// How many wait for her answer.
    waiting: usize,
    zone: ui::Zone,
}

impl Visit {
    /// Who visits; what cannot be told is answered at once, with a page.
    pub async fn begin(app: &Host, parts: &Parts) -> Result<Self, Box<Response>> {
        let nobody = Self {
            form_cookie: String::new(),
            new_form_cookie: false,
            session_cookie: None,
            proof_cookie: None,
            known: String::new(),
            person: None,
            waiting: 0,
            zone: ui::Zone::default(),
        };
        Self::of(app, parts).await.map_err(|failure| Box::new(nobody.error_page(app, failure)))
    }

    /// Reads cookies and finds out who is logged in.
    async fn of(app: &Host, parts: &Parts) -> Result<Self, Failure> {
        let form = cookie(app, parts, FORM)?.filter(|text| text.len() == FORM_COOKIE_CHARACTERS);
        let session_cookie = cookie(app, parts, SESSION)?;
        let session = match &session_cookie {
            Some(text) => app.identity.find_session(text).await?,
            None => None,
        };
        let person = match session {
            Some(session) => app.identity.account_of(&session).await?.map(|account| (account, session)),
            None => None,
        };
        let new_form_cookie = form.is_none();
        let form_cookie = form.unwrap_or_else(|| {
            format!("{}{}", app.identity.random_id(), app.identity.random_id()).chars().take(FORM_COOKIE_CHARACTERS).collect()
        });
        // it opens nothing: one that came twice is as if it had not come
        let known = cookie(app, parts, KNOWN).ok().flatten().unwrap_or_default();
        // of two, nobody can tell which is hers: an address is proved once more
        let proof_cookie = cookie(app, parts, PROOF).ok().flatten();
        let zone = cookie(app, parts, ui::ZONE_COOKIE).ok().flatten().map(|name| ui::Zone::named(&name)).unwrap_or_default();
        let waiting = match (&app.authorization_server, &person) {
            (Some(server), Some((account, _))) => server.count_waiting(&account.id).await?,
            _ => 0,
        };
        Ok(Self { form_cookie, new_form_cookie, session_cookie, proof_cookie, known, person, waiting, zone })
    }

    /// Who reads the page, and when.
    pub(crate) fn reader(&self, app: &Provider) -> Reader {
        Reader { zone: self.zone.clone(), now: app.identity.now() }
    }

    /// What tells this browser from others.
    pub fn browser(&self) -> Browser<'_> {
        Browser { form: &self.form_cookie, proof: self.proof_cookie.as_deref() }
    }

    /// The address that was proved in this browser, where nobody is logged in.
    pub async fn find_proof(&self, app: &Provider) -> Result<Option<KeptProof>, Failure> {
        match (&app.authorization_server, &self.person) {
            (Some(server), None) => server.find_proof(&self.browser()).await,
            _ => Ok(None),
        }
    }

    /// An answer after which nobody is known in this browser by an address that was proved in it.
    pub async fn forget_proof(&self, app: &Provider, mut response: Response) -> Result<Response, Failure> {
        if let (Some(server), Some(cookie)) = (&app.authorization_server, &self.proof_cookie) {
            server.end_proof(cookie).await?;
            set_cookie(app, &mut response, PROOF, "", 0);
        }
        Ok(response)
    }

    /// The same, and she is logged out.
    pub async fn leave(&self, app: &Provider, response: Response) -> Result<Response, Failure> {
        if let Some(cookie) = &self.session_cookie {
            app.identity.end_session(cookie).await?;
        }
        let mut response = self.forget_proof(app, response).await?;
        set_cookie(app, &mut response, SESSION, "", 0);
        Ok(response)
    }

    /// An answer with the cookie of a new session. Whoever was known before by an address may be somebody else.
    pub async fn begin_session(&self, app: &Provider, response: Response, cookie: &str) -> Result<Response, Failure> {
        let mut response = self.forget_proof(app, response).await?;
        set_cookie(app, &mut response, SESSION, cookie, identity::session::LIFETIME);
        Ok(response)
    }

    /// What the browser carried while it was at another provider.
    pub fn carried(&self, app: &Provider, parts: &Parts) -> Result<String, Failure> {
        Ok(cookie(app, parts, CARRIED)?.unwrap_or_default())
    }

    pub fn session(&self) -> Option<&Session> {
        self.person.as_ref().map(|(_, session)| session)
    }

    /// The hidden field of this browser's forms, in this session.
    pub fn csrf(&self, app: &Provider) -> String {
        app.identity.form_token(&self.form_cookie, self.session())
    }

    /// What a link to another provider carries: good to begin that in this session, and for no form, since it stands in a URL.
    pub fn linking_token(&self, app: &Provider) -> String {
        app.identity.form_token(&self.linking_cookie(), self.session())
    }

    /// Whether a link to another provider came from a page of ours.
    pub fn is_linking_token(&self, app: &Provider, sent: &str) -> bool {
        app.identity.is_form_token(sent, &self.linking_cookie(), self.session())
    }

    fn linking_cookie(&self) -> String {
        format!("linking {}", self.form_cookie)
    }

    /// Refuses a form that did not come from our own page in this browser.
    pub fn check_csrf(&self, app: &Provider, parts: &Parts, form: &Form) -> Result<(), Failure> {
        let sent = form.one("csrf")?.unwrap_or_default();
        let fits = app.identity.is_form_token(sent, &self.form_cookie, self.session());
        if !is_own_form(app, parts) || self.new_form_cookie || !fits {
            return Failure::refuse(
                ErrorCode::InvalidRequest,
                "this form is too old, or came from another place: reload the page and send it again",
            );
        }
        Ok(())
    }

    /// An answer with the cookies this visit needs.
    pub fn answer(&self, app: &Provider, response: impl IntoResponse) -> Response {
        let mut response = response.into_response();
        if self.new_form_cookie {
            set_cookie(app, &mut response, FORM, &self.form_cookie, 30 * 86_400);
        }
        if let Some((account, session)) = &self.person {
            let known = app.identity.remember_browser(account, session, &self.known);
            if known != self.known {
                set_cookie(app, &mut response, KNOWN, &known, identity::known_browser::LIFETIME);
            }
        }
        response
    }

    /// A page in the shell that shows pictures of these origins.
    pub fn page_with_pictures(&self, app: &Provider, title: &str, current: &str, body: &str, pictures: &[String]) -> Response {
        let mut response = self.page(app, title, current, body, &[]);
        if let Ok(policy) = HeaderValue::from_str(&ui::content_security_policy_with(&[], pictures)) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }

    /// A page in the shell.
    pub fn page(&self, app: &Provider, title: &str, current: &str, body: &str, form_targets: &[String]) -> Response {
        let owner = self.person.is_some();
        let narrow = matches!(current, "login" | "consent" | "claims" | "error");
        let links: Vec<Link> = OWNER_LINKS
            .iter()
            .filter(|(path, ..)| owner && !narrow && (app.is_authorization_server() || ALONE.contains(path)))
            .map(|(path, text, icon)| Link { path, text, icon, current: *path == current, count: self.count_at(path) })
            .collect();
        let person =
            self.person.as_ref().map(|(account, _)| Person { name: account.display_name().to_owned(), csrf: self.csrf(app) });
        // a script tells the next page in which zone its reader lives
        let body = format!("{body}\n<data hidden data-zone value=\"{}\"></data>", app.cookies.name(ui::ZONE_COOKIE));
        let base = app.base();
        let shell = Page {
            site: &app.site,
            title,
            base: &base,
            links: &links,
            person,
            narrow,
            scripts: &["presses.js", "pages.js"],
            body: &body,
        };
        let html = ui::render(&shell);
        let mut response = self.answer(app, Html(html));
        if let Ok(policy) = HeaderValue::from_str(&ui::content_security_policy(form_targets)) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }

    /// How many wait behind a link of the navigation.
    fn count_at(&self, path: &str) -> usize {
        if path == types::path::MY_REQUESTS { self.waiting } else { 0 }
    }

    /// An error as a page, for people.
    pub fn error_page(&self, app: &Provider, failure: Failure) -> Response {
        let refusal = match failure {
            Failure::Refused(refusal) => refusal,
            Failure::Unavailable(cause) => {
                tracing::error!(%cause, "a page could not be answered");
                Refusal::new(ErrorCode::TemporarilyUnavailable, "This cannot be answered right now. Try again in a moment.")
            }
        };
        let trouble = Trouble { title: "This did not work", what: &sentence(&refusal.description), home: &app.base() };
        let mut response = self.page(app, trouble.title, "error", &ui::render(&trouble), &[]);
        *response.status_mut() = crate::error::status_of(refusal.code);
        response
    }
}

/// The body of an error page, with a way out.
#[derive(Template)]
#[template(path = "trouble.html")]
struct Trouble<'a> {
    title: &'a str,
    what: &'a str,
    home: &'a str,
}

/// No route: JSON for programs, and a page for whoever opens an address in a browser.
pub(crate) async fn not_found(app: Host, request: Request) -> Response {
    let (parts, _) = crate::extract::split(request);
    if !parts.wants_page() {
        return crate::error::not_found().await;
    }
    let visit = match Visit::begin(&app, &parts).await {
        Ok(visit) => visit,
        Err(answer) => return *answer,
    };
    let what = "This address leads nowhere here. It may have been cut off on its way to you.";
    let trouble = Trouble { title: "Nothing is here", what, home: &app.base() };
    let mut response = visit.page(&app, trouble.title, "error", &ui::render(&trouble), &[]);
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

const OWNER_LINKS: [(&str, &str, &str); 6] = [
    ("/my/resources", "Things", "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4"),
    ("/my/requests", "Requests", "M4 5h16v11h-6l-4 4v-4H4z"),
    ("/my/history", "History", "M12 7v5l3 2M4 12a8 8 0 1 1 2.5 5.8M4 20v-4h4"),
    (
        "/my/delegations",
        "Delegates",
        "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 20c0-3.5 2.5-5.5 6-5.5s6 2 6 5.5M17 8v6M14 11h6",
    ),
    ("/applications", "Applications", "M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h6v6h-6z"),
    ("/account", "Account", "M12 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM5 20c0-3.5 3-5.5 7-5.5s7 2 7 5.5"),
];
/// Those that there are where people are only logged in.
const ALONE: [&str; 2] = ["/applications", "/account"];

/// A description as a sentence for people.
pub fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

/// Whether a form may have come from one of our own pages.
pub fn is_own_form(app: &Provider, parts: &Parts) -> bool {
    let lines = |name: HeaderName| parts.headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    ui::is_own_form(app.origin(), lines(header::ORIGIN), lines(SEC_FETCH_SITE))
}

/// Whether a page of another site led the browser here.
pub fn is_led_from_elsewhere(parts: &Parts) -> bool {
    ui::is_led_from_elsewhere(parts.headers.get_all(SEC_FETCH_SITE).into_iter().map(HeaderValue::as_bytes))
}

fn cookie(app: &Provider, parts: &Parts, name: &str) -> Result<Option<String>, Failure> {
    let lines = parts.headers.get_all(header::COOKIE).into_iter().map(HeaderValue::as_bytes);
    let found = app.cookies.find(lines, name);
    let found = found.map_err(|doubled| Refusal::new(ErrorCode::InvalidRequest, doubled.to_string()))?;
    Ok(found.map(str::to_owned))
}

fn set_cookie(app: &Provider, response: &mut Response, name: &str, value: &str, max_age: i64) {
    if let Ok(value) = HeaderValue::from_str(&app.cookies.set(name, value, max_age)) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// With what the browser keeps of an address that was proved in it.
pub fn with_proof(app: &Provider, mut response: Response, cookie: &str) -> Response {
    set_cookie(app, &mut response, PROOF, cookie, kept_proof::LIFETIME);
    response
}

/// With what the browser carries while it is at another provider; it comes back from there by a link.
pub fn with_carried(app: &Provider, mut response: Response, carried: &str) -> Response {
    set_cookie(app, &mut response, CARRIED, carried, 900);
    response
}

/// With that taken away.
pub fn without_carried(app: &Provider, mut response: Response) -> Response {
    set_cookie(app, &mut response, CARRIED, "", 0);
    response
}

/// 303 See Other.
pub fn see_other(url: &str) -> Response {
    match HeaderValue::from_str(url) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// A path of ours to come back to after log-in; anything else is the start page.
pub fn safe_return(app: &Provider, text: Option<&str>) -> String {
    let base = app.base();
    match text {
        Some(path)
            if path.starts_with(&format!("{base}/"))
                && !path.starts_with("//")
                && !path.contains(|c: char| c == '\\' || c.is_control()) =>
        {
            path.to_owned()
        }
        _ => format!("{base}/"),
    }
}

/// The origin of a URL, for the policy of pages whose form leads there. The grammar of policies has no IPv6 addresses, so
/// that one which names such a host would let nothing pass: its scheme stands for it, as for an application that has a scheme of
/// its own.
pub fn origin_of(url: &str) -> Vec<String> {
    let source = |url: url::Url| match url.host() {
        _ if is_scheme_of_app(url.scheme()) => format!("{}:", url.scheme()),
        Some(url::Host::Ipv6(_)) => format!("{}:", url.scheme()),
        _ => url.origin().ascii_serialization(),
    };
    url::Url::parse(url).ok().map(source).filter(|origin| origin != "null").into_iter().collect()
}
