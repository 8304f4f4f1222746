//! The story `photos`: a stranger gets to see a shared photo.

use super::browser::{Browser, Shown, attribute, forms};
use super::exchanges::Exchanges;
use super::pictures::find_albums;
use super::{ALICE_PASSWORD, BOB, Places};
use crate::say;
use client::{Called, Challenge, Client, Credentials, PersonSending, Rpt, TicketRequest, Traded};
use jose::{Clock, SystemClock, SystemRandomness};
use outbound::{Method, Outbound, Settings};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::metadata::Metadata;

/// How long the gateway has to register an album.
const LONGEST_REGISTERING: Duration = Duration::from_secs(60);

pub(super) type Told<T> = Result<T, String>;

/// Alice at her browser; Bob at his, with Viewer's client at work for him.
struct Cast<'a> {
    places: &'a Places,
    alice: Browser,
    bob: Browser,
    viewer: Client,
    metadata: Metadata,
}

pub(super) fn step(text: &str) {
    say::line(&format!("\n{text}"));
}

pub(super) fn so(text: &str) {
    say::line(&format!("    {text}"));
}

/// Plays it; an error says at which point it broke off.
pub(super) async fn photos(places: &Places, folder: &Path, exchanges: Exchanges) -> Told<()> {
    let (album, picture, other) = choose(folder)?;
    let configured = vec![places.issuer.clone(), places.gateway.clone(), places.viewer.clone()];
    let settings = Settings { configured, watcher: exchanges.watcher(), ..Settings::default() };
    let outbound = Outbound::new(settings)?;
    let viewer = Client {
        outbound: outbound.clone(),
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials: Credentials::secret("viewer", "viewer-secret"),
        dpop_key: None,
    };
    let metadata = viewer.discover(&places.issuer).await.map_err(|error| error.to_string())?;
    let mut bob = Browser::new(outbound.clone());
    bob.stop_at = Some(format!("{}/claims", places.viewer));
    let mut cast = Cast { places, alice: Browser::new(outbound), bob, viewer, metadata };
    cast.alice_links().await?;
    let resource = cast.alice_shares(&album).await?;
    let picture_url = places.url_of(&[&album, &picture]);
    let rpt = cast.bob_sees(&picture_url, &folder.join(&album).join(&picture)).await?;
    cast.bob_may_not_delete(&picture_url, &rpt).await?;
    let both = cast.bob_asks_for_more(&other, &rpt).await?;
    cast.alice_withdraws(&resource, &picture_url, &both).await?;
    step("That is the story. Every token in it was checked, none was shown to a browser.");
    Ok(())
}

/// An album with a picture, and another album.
pub(super) fn choose(folder: &Path) -> Told<(String, String, String)> {
    let mut full = find_albums(folder).into_iter();
    match (full.next(), full.next()) {
        (Some(album), Some(other)) => Ok((album.folder, album.picture, other.folder)),
        _ => Err(format!("{} must hold two folders with pictures at least", folder.display())),
    }
}

fn expect(page: &Shown, text: &str) -> Told<()> {
    if page.html.contains(text) { Ok(()) } else { Err(format!("{} (HTTP {}) does not say `{text}`", page.url, page.status)) }
}

impl Cast<'_> {
    async fn alice_links(&mut self) -> Told<()> {
        step("Alice links the gateway that keeps her pictures with her authorization server.");
        let page = self.alice.open(&format!("{}/.wayleave/link?owner=alice", self.places.gateway)).await?;
        expect(&page, "Log in")?;
        let page = self.alice.submit(&page, "/login", &[("username", "alice"), ("password", ALICE_PASSWORD)]).await?;
        expect(&page, "Let ")?;
        so("She is asked to log in, and whether the gateway may act for her. She allows it.");
        let page = self.alice.submit(&page, "/authorize/decision", &[("decision", "approve")]).await?;
        expect(&page, "Linked")?;
        so("The gateway has a token of her own (PAT), and registers her albums.");
        Ok(())
    }

    /// Shares an album; the path of its page.
    async fn alice_shares(&mut self, album: &str) -> Told<String> {
        let words = album.replace(['-', '_'], " ");
        step(&format!("Alice shares `view` of the album `{words}` with {BOB}, for a week."));
        let path = self.finds_registered(&words).await?;
        let page = self.alice.open(&format!("{}{path}", self.places.issuer)).await?;
        let date = ui::date_of(SystemClock.now().plus(7 * 86_400));
        let fields = [("email", BOB), ("scope", "view"), ("until", date.as_str())];
        let page = self.alice.submit(&page, "/share", &fields).await?;
        expect(&page, &format!("{BOB} may view"))?;
        so(&format!("{BOB} has no account there, and need not have one."));
        Ok(path)
    }

    /// The path of an album's page, once it is registered: a large folder takes its time.
    async fn finds_registered(&mut self, words: &str) -> Told<String> {
        let (name, begun) = (format!("<strong>{}</strong>", words.to_lowercase()), Instant::now());
        loop {
            let list = self.alice.open(&format!("{}/my/resources", self.places.issuer)).await?;
            let mut items = list.html.split("<li>").filter(|item| item.contains("/my/resources/"));
            if let Some(item) = items.find(|item| item.to_lowercase().contains(&name)) {
                return Ok(attribute(item, "href"));
            }
            if begun.elapsed() > LONGEST_REGISTERING {
                return Err(format!("the album {words} is not registered"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn bob_sees(&mut self, url: &str, file: &Path) -> Told<Rpt> {
        step(&format!("Bob opens {url}"));
        let challenge = self.challenged(url, None).await?;
        so("401: it is protected. The gateway names the authorization server, and gives a ticket.");
        let resource = challenge.resource.clone();
        let request = TicketRequest { ticket: &challenge.ticket, resource: Some(&resource), ..TicketRequest::default() };
        let Traded::NeedInfo { ticket, required_claims, redirect_user } = self.trade(&request).await? else {
            return Err("the server should have asked who Bob is".into());
        };
        let names: Vec<_> = required_claims.into_iter().filter_map(|claim| claim.name).collect();
        so(&format!("need_info: the server wants to know: {}. It does not say which value would do.", names.join(", ")));
        let ticket = self.bob_proves(&redirect_user.unwrap_or_default(), &ticket).await?;
        so(&format!("Bob has proved {BOB} with a code from his mail."));
        let request = TicketRequest { ticket: &ticket, resource: Some(&resource), ..TicketRequest::default() };
        let Traded::Granted(tokens) = self.trade(&request).await? else { return Err("Bob should have got in".into()) };
        let rpt = self.viewer.rpt(&tokens, &challenge).map_err(|error| error.to_string())?;
        let bytes = self.get(url, &rpt).await?;
        let wanted = std::fs::read(file).map_err(|error| error.to_string())?;
        if bytes != wanted {
            return Err("the picture arrived changed".into());
        }
        so(&format!("He has an RPT, and the picture: {} bytes, the very ones on Alice's disk.", bytes.len()));
        Ok(rpt)
    }

    async fn bob_proves(&mut self, endpoint: &str, ticket: &str) -> Told<String> {
        let way_back = format!("{}/claims", self.places.viewer);
        let person = PersonSending::to(endpoint, ticket, &way_back);
        let sent = self.viewer.send_person(&self.metadata, &person).map_err(|error| error.to_string())?;
        let page = self.bob.open(&sent.url).await?;
        expect(&page, "Show who you are")?;
        let page = match page.html.contains("Show my address to") {
            true => {
                so("He proved his address in this browser a moment ago: there is no second code.");
                page
            }
            false => self.bob_types_a_code(&page).await?,
        };
        expect(&page, "Show my address to Viewer?")?;
        let page = self.bob.submit(&page, "/claims/continue", &[("decision", "approve"), ("keep", "yes")]).await?;
        let query: Vec<(String, String)> = page.url.query_pairs().into_owned().collect();
        self.viewer.person_returned(&sent, &query).map_err(|error| error.to_string())
    }

    async fn bob_types_a_code(&mut self, page: &Shown) -> Told<Shown> {
        let page = self.bob.submit(page, "/claims/continue", &[("email", BOB)]).await?;
        expect(&page, "on its way")?;
        let code = self.newest_code()?;
        self.bob.submit(&page, "/claims/continue", &[("code", &code)]).await
    }

    fn newest_code(&self) -> Told<String> {
        let entries = std::fs::read_dir(&*self.places.outbox).map_err(|error| error.to_string())?;
        let newest = entries.flatten().map(|entry| entry.path()).max().ok_or("no mail has come")?;
        let text = std::fs::read_to_string(newest).map_err(|error| error.to_string())?;
        let code = text.split("Your code is ").nth(1).and_then(|rest| rest.split_whitespace().next());
        code.map(str::to_owned).ok_or_else(|| "the mail has no code".into())
    }

    async fn bob_may_not_delete(&mut self, url: &str, rpt: &Rpt) -> Told<()> {
        step("Bob tries to delete the picture.");
        match self.viewer.call(Method::DELETE, url, Some(rpt)).await.map_err(|error| error.to_string())? {
            Called::Challenged(_) => so("401 with a new ticket: his RPT holds `view`, not `delete`. The picture stays."),
            _ => return Err("deleting should have been refused".into()),
        }
        Ok(())
    }

    /// Bob asks to edit and view another album; Alice approves a part. The upgraded RPT.
    async fn bob_asks_for_more(&mut self, other: &str, rpt: &Rpt) -> Told<Rpt> {
        step(&format!("Bob asks for another album, `{other}`: he would like to edit it, and to view it."));
        let url = self.places.url_of(&[other, "new.jpg"]);
        let Called::Challenged(challenge) =
            self.viewer.call(Method::PUT, &url, Some(rpt)).await.map_err(|error| error.to_string())?
        else {
            return Err("editing should have been challenged".into());
        };
        let resource = challenge.resource.clone();
        let request = TicketRequest {
            ticket: &challenge.ticket,
            resource: Some(&resource),
            scope: Some("view"),
            ..TicketRequest::default()
        };
        let first = self.trade(&request).await?;
        let Traded::NeedInfo { ticket, redirect_user, .. } = first else {
            return Err("the server should have asked who asks".into());
        };
        let ticket = self.bob_proves(&redirect_user.unwrap_or_default(), &ticket).await?;
        let request =
            TicketRequest { ticket: &ticket, resource: Some(&resource), scope: Some("view"), ..TicketRequest::default() };
        let Traded::Submitted { mut ticket, interval } = self.trade(&request).await? else {
            return Err("the owner should have been asked".into());
        };
        so("request_submitted: Alice has not shared it, so she is asked.");
        self.alice_approves_a_part().await?;
        loop {
            tokio::time::sleep(interval).await;
            let request = TicketRequest {
                ticket: &ticket,
                resource: Some(&resource),
                rpt: Some(&rpt.token),
                scope: Some("view"),
                ..TicketRequest::default()
            };
            match self.trade(&request).await? {
                Traded::Submitted { ticket: next, .. } => ticket = next,
                Traded::Granted(tokens) => {
                    let both = self.viewer.rpt(&tokens, &challenge).map_err(|error| error.to_string())?;
                    self.get(&self.places.url_of(&[other]), &both).await?;
                    so(if tokens.upgraded == Some(true) {
                        "Bob's RPT was upgraded: it now holds `view` of both albums."
                    } else {
                        "Bob has an RPT for it."
                    });
                    return Ok(both);
                }
                _ => return Err("Bob should have got a part".into()),
            }
        }
    }

    async fn alice_approves_a_part(&mut self) -> Told<()> {
        let page = self.alice.open(&format!("{}/my/requests", self.places.issuer)).await?;
        expect(&page, &format!("{BOB} asks"))?;
        let form = forms(&page.html).find(|form| form.action.contains("/my/requests/")).ok_or("the request has no form")?;
        let boxes = page.html.split("<input ").filter(|tag| tag.contains("name=\"permission\""));
        let view =
            boxes.map(|tag| attribute(tag, "value")).find(|value| value.ends_with(" view")).ok_or("`view` is not offered")?;
        self.alice.submit(&page, &form.action, &[("permission", &view), ("decision", "approve")]).await?;
        so("Alice sees the request in her inbox, unticks `edit`, and approves the rest.");
        Ok(())
    }

    async fn alice_withdraws(&mut self, resource: &str, url: &str, rpt: &Rpt) -> Told<()> {
        step("Alice withdraws the first share.");
        self.get(url, rpt).await?;
        let page = self.alice.open(&format!("{}{resource}", self.places.issuer)).await?;
        let withdrawn = Instant::now();
        let page = self.alice.submit(&page, "/withdraw", &[]).await?;
        expect(&page, "Only you")?;
        while self.get(url, rpt).await.is_ok() {
            if withdrawn.elapsed() > Duration::from_secs(2) {
                return Err("Bob can still see it two seconds after".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        so(&format!("Bob's next call fails, {} ms after: what his RPT rested on is gone.", withdrawn.elapsed().as_millis()));
        Ok(())
    }

    async fn challenged(&self, url: &str, rpt: Option<&Rpt>) -> Told<Challenge> {
        match self.viewer.call(Method::GET, url, rpt).await.map_err(|error| error.to_string())? {
            Called::Challenged(challenge) => Ok(challenge),
            Called::AuthorizationServerUnreachable => Err("the gateway cannot reach the authorization server".into()),
            Called::Answered(answer) => Err(format!("{url} answered {} without a token", answer.status)),
        }
    }

    async fn trade(&self, request: &TicketRequest<'_>) -> Told<Traded> {
        let traded = self.viewer.trade(&self.metadata, request).await.map_err(|error| error.to_string())?;
        match traded {
            Traded::Denied { error, description } => Err(format!("{error}: {description}")),
            Traded::Spent { description } => Err(format!("the ticket is spent: {description}")),
            other => Ok(other),
        }
    }

    async fn get(&self, url: &str, rpt: &Rpt) -> Told<Vec<u8>> {
        match self.viewer.call(Method::GET, url, Some(rpt)).await.map_err(|error| error.to_string())? {
            Called::Answered(answer) if answer.status == 200 => Ok(answer.body.to_vec()),
            _ => Err(format!("{url} cannot be seen")),
        }
    }
}
