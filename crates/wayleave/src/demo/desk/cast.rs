//! Who plays: Alice and Carol in their browsers at the desk, Bob and Dave with a viewer.

use super::world::{DESK_PASSWORD, PROVIDER, World};
use crate::demo::ALICE_PASSWORD;
use crate::demo::browser::{Browser, Shown, attribute};
use crate::demo::exchanges::Exchanges;
use crate::demo::story::Told;
use client::{Called, Client, Credentials, Rpt, TicketRequest, Traded};
use jose::{Clock, SystemClock, SystemRandomness};
use outbound::{Method, Outbound, Settings};
use serde_json::json;
use std::sync::Arc;
use types::token::ID_TOKEN_FORMAT;

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(super) fn way_out(exchanges: Exchanges) -> Told<Outbound> {
    Outbound::new(Settings {
        allow_private_networks: true,
        allow_http: true,
        watcher: exchanges.watcher(),
        ..Settings::default()
    })
}

/// What a page complains about.
fn said(page: &Shown) -> String {
    let note = page.html.split("role=\"alert\">").nth(1).and_then(|rest| rest.split("</div>").next());
    note.unwrap_or("nothing said").replace("<p>", "").replace("</p>", "")
}

/// Somebody at the desk.
pub(crate) struct Sitting {
    browser: Browser,
    name: &'static str,
    desk: String,
}

impl Sitting {
    pub(super) async fn of(world: &World, name: &'static str, exchanges: Exchanges) -> Told<Self> {
        Self::at(&world.desk, name, exchanges).await
    }

    /// At the desk of this URL.
    pub(crate) async fn at(desk: &str, name: &'static str, exchanges: Exchanges) -> Told<Self> {
        let mut browser = Browser::new(way_out(exchanges)?);
        let page = browser.open(desk).await?;
        let page = browser.submit(&page, "/login", &[("username", name), ("password", DESK_PASSWORD)]).await?;
        if page.html.contains("/authorize/decision") {
            browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await?;
        }
        Ok(Self { browser, name, desk: desk.to_owned() })
    }

    pub(crate) async fn open(&mut self, path: &str) -> Told<Shown> {
        self.browser.open(&format!("{}{path}", self.desk)).await
    }

    /// Sends a form, which must lead to a page that says this.
    pub(crate) async fn sends(&mut self, page: &Shown, form: &str, fields: &[(&str, &str)], says: &str) -> Told<Shown> {
        let shown = self.browser.submit(page, form, fields).await?;
        if shown.html.contains(says) { Ok(shown) } else { Err(format!("{} does not say `{says}`", shown.url)) }
    }

    pub(crate) async fn links(&mut self, server: &str) -> Told<()> {
        let page = self.open("/servers").await?;
        let page = self.browser.submit(&page, "/servers", &[("server", server)]).await?;
        let to = page.html.split("class=\"button\" ").nth(1).map(|tag| attribute(tag, "href"));
        let to =
            to.filter(|to| to.starts_with("http")).ok_or_else(|| format!("the desk does not find {server}: {}", said(&page)))?;
        let mut page = self.browser.open(&to).await?;
        for _ in 0..3 {
            page = if page.html.contains("/authorize/decision") {
                let fields = [("decision", "approve"), ("password", ALICE_PASSWORD)];
                self.browser.submit(&page, "/authorize/decision", &fields).await?
            } else if page.html.contains("name=\"password\"") {
                let fields = [("username", self.name), ("password", ALICE_PASSWORD)];
                self.browser.submit(&page, "/login", &fields).await?
            } else {
                break;
            };
        }
        if page.html.contains("Your servers") { Ok(()) } else { Err(format!("{server} was not linked: {}", page.url)) }
    }

    /// Waits until a page says something.
    pub(crate) async fn sees(&mut self, path: &str, says: &str) -> Told<Shown> {
        for _ in 0..150 {
            let page = self.open(path).await?;
            if page.html.contains(says) {
                return Ok(page);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Err(format!("{path} never says `{says}`"))
    }

    /// Allows the first request that waits.
    pub(super) async fn allows(&mut self, page: &Shown, remember: bool) -> Told<()> {
        let grant = page.html.split("name=\"grant\"").nth(1).map(|rest| attribute(rest, "value")).unwrap_or_default();
        let remember = if remember { "yes" } else { "no" };
        let fields = [("decision", "approve"), ("remember", remember), ("grant", grant.as_str())];
        self.sends(page, "/requests", &fields, "Requests").await.map(drop)
    }
}

/// Somebody outside, who can prove an address.
pub(super) struct Stranger {
    client: Client,
    address: &'static str,
}

impl Stranger {
    pub(super) fn new(address: &'static str, exchanges: Exchanges) -> Told<Self> {
        let client = Client {
            outbound: way_out(exchanges)?,
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            credentials: Credentials::secret("viewer", "viewer-secret"),
            dpop_key: None,
        };
        Ok(Self { client, address })
    }

    /// A token for a thing; none where the owner is asked first.
    pub(super) async fn asks(&self, world: &World, url: &str) -> Told<Option<Rpt>> {
        let challenge = match self.client.call(Method::GET, url, None).await.map_err(told)? {
            Called::Challenged(challenge) => challenge,
            _ => return Err(format!("{url} is not protected")),
        };
        let metadata = self.client.discover(&challenge.issuer).await.map_err(told)?;
        let now = SystemClock.now();
        let claims = json!({"iss": PROVIDER, "sub": self.address, "aud": "viewer", "iat": now, "exp": now.plus(60), "email": self.address,
            "email_verified": true, "jti": jose::ambient::random_text::<16>(&SystemRandomness)});
        let token = world.provider.sign("JWT", &claims).map_err(told)?;
        let resource = Some(challenge.resource.as_str());
        let claim = Some((token.as_str(), ID_TOKEN_FORMAT));
        let request = TicketRequest { ticket: &challenge.ticket, resource, claim, ..TicketRequest::default() };
        match self.client.trade(&metadata, &request).await.map_err(told)? {
            Traded::Granted(tokens) => self.client.rpt(&tokens, &challenge).map(Some).map_err(told),
            Traded::Submitted { .. } => Ok(None),
            Traded::Denied { error, description } => Err(format!("{error}: {description}")),
            Traded::Spent { description } => Err(format!("the ticket is spent: {description}")),
            Traded::NeedInfo { .. } => Err("more is asked than an address".into()),
        }
    }

    /// Whether a call with it gets through.
    pub(super) async fn reads(&self, url: &str, rpt: &Rpt) -> Told<bool> {
        match self.client.call(Method::GET, url, Some(rpt)).await.map_err(told)? {
            Called::Answered(answer) => Ok(answer.status == 200),
            _ => Ok(false),
        }
    }
}
