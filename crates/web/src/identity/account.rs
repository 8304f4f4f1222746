//! `/account`: how a person logs in - her passkeys, and her accounts at other providers -, and log-in by each of them.

use super::login::{Asked, login_again_url, login_page, login_url, page, posted};
use crate::Host;
use crate::browser::{Visit, is_led_from_elsewhere, safe_return, see_other, with_carried, without_carried};
use crate::extract::{Parts, split};
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use identity::passkey::{Assertion, Registration, user_handle};
use identity::upstream::{Arrived, Departure, Returning};
use identity::{Failure, Form};
use types::{ErrorCode, Refusal, path};

/// What a form needs to ask for a passkey.
pub(crate) struct Question {
    pub(crate) challenge: String,
    /// Host name that the passkey is for.
    pub(crate) party: String,
}

impl Question {
    pub(crate) fn of(app: &Host, visit: &Visit) -> Self {
        let (party, _) = app.identity.relying_party();
        Self { challenge: app.identity.passkey_question(&visit.form_cookie), party }
    }
}

/// Another provider, as a page offers it.
pub(super) struct Elsewhere {
    pub(super) name: String,
    pub(super) query: String,
}

/// For what somebody goes to another provider.
pub(super) enum Purpose<'a> {
    LogIn {
        /// She must prove herself there anew.
        again: bool,
    },
    /// To link an account of hers, with a token of her browser for that alone, so that no other page can begin it.
    Link(&'a str),
}

/// Those whose people may log in here.
pub(super) fn elsewhere(app: &Host, back: &str, purpose: &Purpose<'_>) -> Vec<Elsewhere> {
    let one = |provider: &std::sync::Arc<dyn identity::upstream::Upstream>| {
        let mut form = Form::default();
        form.set("issuer", provider.issuer());
        form.set("return", back);
        match purpose {
            Purpose::LogIn { again: true } => form.set("again", "1"),
            Purpose::LogIn { again: false } => {}
            Purpose::Link(token) => form.set("link", token),
        }
        Elsewhere { name: provider.name().to_owned(), query: form.encode() }
    };
    app.identity.upstream.iter().map(one).collect()
}

struct PasskeyRow {
    id: String,
    name: String,
    when: String,
}

struct LinkedRow {
    name: String,
    provider: String,
    known_as: String,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage<'a> {
    base: String,
    csrf: String,
    site: &'a str,
    name: &'a str,
    user: String,
    question: Question,
    /// No passkey can be made for where this server is.
    is_at_numbers: bool,
    known: String,
    passkeys: Vec<PasskeyRow>,
    linked: Vec<LinkedRow>,
    elsewhere: Vec<Elsewhere>,
    /// She proved herself a short while ago; else where she does so again.
    again: Option<String>,
    error: Option<String>,
}

async fn render(app: &Host, visit: &Visit, error: Option<String>) -> Result<Response, Failure> {
    let back = format!("{}{}", app.base(), path::ACCOUNT);
    let Some((account, session)) = &visit.person else { return Ok(visit.answer(app, see_other(&login_url(app, &back, None)))) };
    let passkeys = app.identity.list_passkeys(&account.id).await?;
    let linked = app.identity.list_linked_log_ins(&account.id).await?;
    let name_of = |issuer: &str| {
        let known = app.identity.upstream.iter().find(|one| one.issuer() == issuer);
        known.map_or_else(|| issuer.to_owned(), |one| one.name().to_owned())
    };
    let reader = visit.reader(app);
    let moment = |time| reader.zone.moment(time, reader.now);
    let question = Question::of(app, visit);
    let body = ui::render(&AccountPage {
        base: app.base(),
        csrf: visit.csrf(app),
        site: &app.site,
        name: account.display_name(),
        user: user_handle(&account.id),
        is_at_numbers: question.party.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok(),
        question,
        known: passkeys.iter().map(|one| one.passkey.id.as_str()).collect::<Vec<_>>().join(" "),
        passkeys: passkeys
            .into_iter()
            .map(|one| PasskeyRow {
                when: match one.last_used {
                    Some(used) => format!("last used {}", moment(used)),
                    None => format!("added {}, not used yet", moment(one.created)),
                },
                id: one.passkey.id,
                name: one.name,
            })
            .collect(),
        linked: linked
            .into_iter()
            .map(|one| LinkedRow { name: one.name(), provider: name_of(&one.issuer), known_as: one.known_as })
            .collect(),
        elsewhere: elsewhere(app, &back, &Purpose::Link(&visit.linking_token(app))),
        again: (!session.is_fresh(app.identity.now())).then(|| login_again_url(app, &back, Some(&account.username))),
        error,
    });
    Ok(visit.page(app, "Log-in", path::ACCOUNT, &body, &[]))
}

/// `GET /account`.
pub(super) async fn get(State(app): State<Host>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| render(&app, visit, None).await).await
}

/// `POST /account`: a passkey is added or removed, an account elsewhere is unlinked.
pub(super) async fn post(State(app): State<Host>, request: Request) -> Response {
    posted(&app, request, async |visit, _parts, form| {
        let Some((_, session)) = &visit.person else {
            return Err(Refusal::new(ErrorCode::LoginRequired, "You are logged out. Log in and try again.").into());
        };
        let text = |name: &str| form.one(name).map(Option::unwrap_or_default);
        let done = match text("what")? {
            "add" => {
                let answer = Registration {
                    id: text("credential")?,
                    client_data: text("client_data")?,
                    authenticator_data: text("authenticator_data")?,
                    public_key: text("public_key")?,
                    algorithm: text("algorithm")?.parse().unwrap_or_default(),
                };
                let question = (text("question")?, visit.form_cookie.as_str());
                app.identity.add_passkey(session, text("name")?, &answer, question).await
            }
            "remove" => app.identity.remove_passkey(session, text("id")?).await,
            "unlink" => app.identity.unlink_log_in(session, text("id")?).await,
            _ => Failure::refuse(ErrorCode::InvalidRequest, "nothing was asked for"),
        };
        match done {
            Ok(()) => Ok(see_other(&format!("{}{}", app.base(), path::ACCOUNT))),
            Err(Failure::Refused(refusal)) => {
                let mut response = render(&app, visit, Some(crate::browser::sentence(&refusal.description))).await?;
                *response.status_mut() = crate::error::status_of(refusal.code);
                Ok(response)
            }
            Err(failure) => Err(failure),
        }
    })
    .await
}

/// The answer of a passkey in a form, its id, and the question it answers.
pub(super) async fn by_passkey(
    app: &Host,
    visit: &Visit,
    parts: &Parts,
    form: &Form,
    account: Option<&types::AccountId>,
) -> Result<Option<String>, Failure> {
    let text = |name: &str| form.one(name).map(Option::unwrap_or_default);
    let (client_data, authenticator_data) = (text("client_data")?, text("authenticator_data")?);
    let answer = Assertion { client_data, authenticator_data, signature: text("signature")? };
    let (id, question) = (text("credential")?, (text("question")?, visit.form_cookie.as_str()));
    match account {
        None => {
            let replaced = visit.session_cookie.as_deref();
            app.identity.log_in_by_passkey(id, &answer, question, &parts.address(), replaced).await.map(Some)
        }
        Some(account) => {
            let right = app.identity.check_passkey(account, id, &answer, question, &parts.address()).await?;
            Ok(right.then(String::new))
        }
    }
}

/// `POST /login/passkey`.
pub(super) async fn log_in(State(app): State<Host>, request: Request) -> Response {
    posted(&app, request, async |visit, parts, form| {
        let back = safe_return(&app, form.one("return")?);
        match by_passkey(&app, visit, parts, form, None).await {
            Ok(cookie) => {
                let response = visit.answer(&app, see_other(&back));
                visit.begin_session(&app, response, &cookie.unwrap_or_default()).await
            }
            Err(Failure::Refused(refusal)) => {
                let what = crate::browser::sentence(&refusal.description);
                let again = form.one("again")?.is_some();
                let mut response =
                    login_page(&app, visit, Asked { back, again, username: "", error: Some(&what), address: parts.address() })
                        .await;
                *response.status_mut() = crate::error::status_of(refusal.code);
                Ok(response)
            }
            Err(failure) => Err(failure),
        }
    })
    .await
}

/// Before a log-in elsewhere that a page of another site began in the browser of somebody who is logged in.
#[derive(Template)]
#[template(path = "elsewhere.html")]
struct ElsewherePage<'a> {
    name: &'a str,
    provider: &'a str,
    url: String,
    home: String,
}

/// Asks whoever is logged in, and was led here, whether she goes on; none: she is sent on at once.
fn ask_before_elsewhere(app: &Host, visit: &Visit, parts: &Parts, issuer: &str) -> Option<Response> {
    let (account, _) = visit.person.as_ref().filter(|_| is_led_from_elsewhere(parts))?;
    let provider = app.identity.upstream.iter().find(|one| one.issuer() == issuer)?;
    let url = format!("{}{}?{}", app.base(), path::LOGIN_ELSEWHERE, parts.uri.query().unwrap_or_default());
    let asks = ElsewherePage { name: account.display_name(), provider: provider.name(), url, home: app.base() };
    Some(visit.page(app, "Log in again", "login", &ui::render(&asks), &[]))
}

/// `GET /login/elsewhere?issuer=&return=&link=`: to another provider.
pub(super) async fn begin_elsewhere(State(app): State<Host>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let query = parts.query()?;
        let back = safe_return(&app, query.one("return")?);
        let linking = match (query.one("link")?, &visit.person) {
            (None, _) => None,
            (Some(token), Some((_, session))) if visit.is_linking_token(&app, token) => Some(session),
            (Some(_), Some(_)) => {
                let what = "this link is too old, or came from another place: load the page again";
                return Failure::refuse(ErrorCode::InvalidRequest, what);
            }
            (Some(_), None) => return Ok(visit.answer(&app, see_other(&login_url(&app, &back, None)))),
        };
        let issuer = query.one("issuer")?.unwrap_or_default();
        // with a token of her own page she has decided
        if linking.is_none()
            && let Some(asks) = ask_before_elsewhere(&app, visit, &parts, issuer)
        {
            return Ok(asks);
        }
        let (again, address) = (query.one("again")?.is_some(), parts.address());
        let departure = Departure { issuer, back: &back, linking, again, address: &address };
        let (url, carried) = app.identity.begin_upstream(&departure, &visit.form_cookie).await?;
        Ok(with_carried(&app, visit.answer(&app, see_other(&url)), &carried))
    })
    .await
}

/// `GET /login/callback`: back from there.
pub(super) async fn callback(State(app): State<Host>, request: Request) -> Response {
    let (parts, _) = split(request);
    page(&app, &parts, async |visit| {
        let carried = visit.carried(&app, &parts)?;
        let browser = Returning {
            carried: &carried,
            query: parts.uri.query().unwrap_or_default(),
            form_cookie: &visit.form_cookie,
            session: visit.session(),
            session_cookie: visit.session_cookie.as_deref(),
            address: &parts.address(),
        };
        let arrived = match app.identity.finish_upstream(&browser).await {
            Ok(arrived) => arrived,
            // what was carried is good for one answer
            Err(failure) => return Ok(without_carried(&app, visit.error_page(&app, failure))),
        };
        let response = match arrived {
            Arrived::LoggedIn { cookie, back } => {
                visit.begin_session(&app, visit.answer(&app, see_other(&back)), &cookie).await?
            }
            Arrived::Linked { back } => visit.answer(&app, see_other(&back)),
        };
        Ok(without_carried(&app, response))
    })
    .await
}
