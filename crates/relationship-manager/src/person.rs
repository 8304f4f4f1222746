//! Who is at the desk: log-in by an OpenID provider (the manager's own, or another's), and the session after it.

use crate::store::{Begun, Session};
use crate::{Manager, Trouble};
use client::{Client, Credentials};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use jose::{base64url, digest};
use serde_json::Value;
use std::time::Duration;
use types::Timestamp;
use types::metadata::Metadata;
use types::throttle::{Throttle, Try};
use ui::Cookies;

/// How long a server is waited for that is to say whether it knows this manager.
const PATIENCE: Duration = Duration::from_secs(2);

/// Servers at which this manager registers in a day because one person begins there.
const MOST_REGISTRATIONS: u32 = 30;
const HOUR_SECONDS: i64 = 3_600;
const DAY_SECONDS: i64 = 86_400;
/// Seconds that a log-in may take.
pub(crate) const BEGUN_LIFETIME: i64 = 600;
/// Longest page of ours, in bytes, that is gone back to after the log-in.
const MAX_BACK_BYTES: usize = 1_500;
/// Seconds that a session lasts.
const SESSION_LIFETIME: i64 = 12 * 3600;

/// Somebody at the desk.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) owner: String,
    pub(crate) name: String,
    /// Hidden field of her forms.
    pub(crate) csrf: String,
    pub(crate) session: String,
    /// In which time zone she reads, and when.
    pub(crate) reader: ui::Reader,
}

/// Cookie of the session.
const SESSION: &str = "wl_desk";

/// A cookie of a request; one that came twice is refused, since somebody else may have set one of the two (threat 42).
pub(crate) fn cookie(cookies: &Cookies, headers: &HeaderMap, name: &str) -> Result<Option<String>, Trouble> {
    let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let found = cookies.find(lines, name).map_err(|doubled| Trouble::Refused(doubled.to_string()))?;
    Ok(found.map(str::to_owned))
}

/// Whether a form, or a program's call, may come from a page of this desk: by what the browser says of its origin.
pub(crate) fn is_own_form(url: &str, headers: &HeaderMap) -> bool {
    let origin = url::Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let values = |name: &'static str| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    ui::is_own_form(&origin, values("origin"), values("sec-fetch-site"))
}

/// Whether a page of another site led the browser here.
pub(crate) fn is_led_from_elsewhere(headers: &HeaderMap) -> bool {
    ui::is_led_from_elsewhere(headers.get_all("sec-fetch-site").iter().map(HeaderValue::as_bytes))
}

impl Manager {
    /// How its cookies are named and set: where it is served by TLS, so that no other host can set them.
    pub(crate) fn cookies(&self) -> Cookies {
        Cookies::of(&self.settings.url)
    }

    /// The line that sets the session's cookie.
    pub(crate) fn session_line(&self, id: &str) -> String {
        self.cookies().set(SESSION, id, SESSION_LIFETIME)
    }

    /// Who has sent this.
    pub(crate) async fn person(&self, headers: &HeaderMap) -> Result<Option<Person>, Trouble> {
        let Some(id) = cookie(&self.cookies(), headers, SESSION)? else { return Ok(None) };
        let session = self.store.find_session(&hashed(&id)).await?.filter(|session| self.now() < session.expires);
        Ok(session.map(|session| Person {
            owner: session.owner,
            name: session.name,
            csrf: base64url::encode(digest::sha256(&[&self.csrf, id.as_bytes()])),
            session: hashed(&id),
            reader: self.reader(headers),
        }))
    }

    /// The zone that the script of our pages tells; one that came twice is not known.
    fn reader(&self, headers: &HeaderMap) -> ui::Reader {
        let zone = cookie(&self.cookies(), headers, ui::ZONE_COOKIE).ok().flatten();
        ui::Reader { zone: zone.map(|name| ui::Zone::named(&name)).unwrap_or_default(), now: self.now() }
    }

    async fn login_client(&self) -> Result<Client, Trouble> {
        match &self.login_client {
            Some(credentials) => {
                let client = self.client.at(&self.settings.login);
                Ok(Client { credentials: credentials.clone(), dpop_key: None, ..client })
            }
            None => Ok(Client { dpop_key: None, ..self.client_at(&self.settings.login).await? }),
        }
    }

    /// Begins the log-in: where to send the browser, and what it keeps. Nobody is known yet, so nothing is written here and
    /// nothing pushed to the log-in (threat 41): the browser has it all, sealed.
    pub(crate) async fn begin_log_in(&self, back: Option<String>) -> Result<(String, String), Trouble> {
        let metadata = self.metadata_of(&self.settings.login).await?;
        let (url, flow) = self.login_client().await?.begin_code(&metadata, &self.callback(), "openid profile email", None)?;
        // what does not fit into a cookie is not gone back to
        let back = back.filter(|back| back.len() <= MAX_BACK_BYTES);
        let begun = Begun { flow, expires: self.now().plus(BEGUN_LIFETIME), linking: None, back };
        Ok((url, self.store.sealed_for_browser(&begun)?))
    }

    /// A log-in that a browser brings back as it was given: for the log-in of this desk alone.
    pub(crate) fn begun_log_in(&self, brought: &str) -> Option<Begun> {
        self.store.opened_from_browser::<Begun>(brought).filter(|begun| begun.linking.is_none())
    }

    /// After it: the session's cookie. Whoever is logged in comes back as herself: a link of another site may have begun it.
    pub(crate) async fn finish_log_in(
        &self,
        begun: &Begun,
        query: &[(String, String)],
        before: Option<&Person>,
    ) -> Result<String, Trouble> {
        let metadata = self.metadata_of(&begun.flow.issuer).await?;
        let authorized = self.login_client().await?.finish_code(&metadata, &begun.flow, query).await?;
        let account = self.login_client().await?.with_userinfo(&metadata, &authorized).await;
        let text = |name: &str| account.get(name).and_then(Value::as_str);
        let sub = text("sub").ok_or_else(|| Trouble::Refused("the log-in does not say who you are".into()))?;
        let name = ["name", "preferred_username", "email"].iter().find_map(|name| text(name)).unwrap_or(sub);
        let id = self.new_id();
        let session = Session {
            owner: format!("{} {sub}", begun.flow.issuer),
            name: name.to_owned(),
            expires: self.now().plus(SESSION_LIFETIME),
        };
        if before.is_some_and(|before| before.owner != session.owner) {
            let what = "You are logged in as somebody else here. Log out first, and log in then.";
            return Err(Trouble::Refused(what.into()));
        }
        self.store.put_session(&hashed(&id), &session, self.now()).await?;
        Ok(id)
    }

    pub(crate) async fn log_out(&self, person: &Person) -> Result<(), Trouble> {
        self.close_key(person);
        Ok(self.store.delete_session(&person.session).await?)
    }

    /// This manager as a client of a server that it registers with at first.
    pub(crate) async fn client_at(&self, issuer: &str) -> Result<Client, Trouble> {
        let client_id = self.registered_at(issuer).await?;
        Ok(Client { credentials: Credentials::key(client_id, self.key.clone()), ..self.client.at(issuer) })
    }

    /// The same where somebody begins something. A server may have forgotten the registration; so it is where it knows a new one and
    /// not this: one that takes no assertion of ours for another reason knows neither. A server that anybody names may lead the
    /// registration to another's place: so many begin in one person's name in a day, and anew at one server once in an hour.
    pub(crate) async fn client_known_at(&self, owner: &str, metadata: &Metadata) -> Result<Client, Trouble> {
        let issuer = &metadata.issuer;
        let is_kept = self.store.find_registration(issuer).await?.is_some();
        if !is_kept && !self.registering.may_begin(owner, self.now()) {
            return Err(Trouble::TooMany("You have begun with very many new servers today. Try again tomorrow.".into()));
        }
        let client = self.client_at(issuer).await?;
        // what the server does not say soon, it says when that which begins goes on
        let says = async |client: &Client| tokio::time::timeout(PATIENCE, client.is_known(metadata)).await;
        if !is_kept || !matches!(says(&client).await, Ok(Ok(false))) {
            return Ok(client);
        }
        let Some(place) = self.registering.take_anew(owner, issuer, self.now()) else { return Ok(client) };
        let registered = self.register_at_server(issuer).await;
        if registered.is_err() {
            // it is everybody's, and nothing came of it
            self.registering.anew.give_back(place);
        }
        let new = registered?;
        let anew = Client { credentials: Credentials::key(new.client_id.clone(), self.key.clone()), ..client.clone() };
        if !matches!(says(&anew).await, Ok(Ok(true))) {
            return Ok(client);
        }
        tracing::warn!(issuer, "the server does not know this manager any more: it has registered there anew");
        self.store.put_registration(issuer, &new).await?;
        self.registrations.forget(issuer);
        Ok(anew)
    }
}

/// How often this manager registers because somebody wants to begin at a server.
pub(crate) struct Registering {
    of_person: Throttle,
    anew: Throttle,
}

impl Default for Registering {
    fn default() -> Self {
        Self { of_person: Throttle::per(MOST_REGISTRATIONS, DAY_SECONDS), anew: Throttle::per(1, HOUR_SECONDS) }
    }
}

impl Registering {
    fn may_begin(&self, owner: &str, now: Timestamp) -> bool {
        self.of_person.admit(owner, now)
    }

    /// The one place of an hour to register anew at a server, for whoever may begin: nobody else takes it from the others.
    fn take_anew(&self, owner: &str, issuer: &str, now: Timestamp) -> Option<Try> {
        let of_person = self.of_person.take(owner, now)?;
        let place = self.anew.take(issuer, now);
        if place.is_none() {
            self.of_person.give_back(of_person);
        }
        place
    }
}

/// A session is found by its cookie, and its cookie not by the store.
fn hashed(id: &str) -> String {
    base64url::encode(digest::sha256(&[id.as_bytes()]))
}
