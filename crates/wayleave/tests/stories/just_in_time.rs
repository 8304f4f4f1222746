//! A policy just in time, while its owner waits (protocol.md 1.4 (a)): Alice opens her own album with an application that
//! nobody has let in yet. The server's page sends her to her desk, she allows it there, and goes on.

use crate::gateway::Guarded;
use crate::processes::Server;
use crate::relations::{Desk, Sitting, laboratory, reads, viewer};
use client::{Called, Challenge, Client, PersonSending, PersonSent, TicketRequest, Traded};
use outbound::Method;
use wayleave::demo::browser::{Shown, attribute};

const BACK: &str = "http://127.0.0.1:9001/claims";

/// Viewer, on its way with somebody.
struct Viewer {
    client: Client,
    challenge: Challenge,
    sent: PersonSent,
}

impl Viewer {
    async fn begin(guarded: &Guarded) -> Self {
        let client = viewer();
        let Called::Challenged(challenge) = client.call(Method::GET, &guarded.photo(), None).await.unwrap() else { panic!() };
        let metadata = client.discover(&challenge.issuer).await.unwrap();
        let request =
            TicketRequest { ticket: &challenge.ticket, resource: Some(&challenge.resource), ..TicketRequest::default() };
        let Traded::NeedInfo { ticket, redirect_user, .. } = client.trade(&metadata, &request).await.unwrap() else { panic!() };
        let sent = client.send_person(&metadata, &PersonSending::to(&redirect_user.unwrap(), &ticket, BACK)).unwrap();
        Self { client, challenge, sent }
    }

    /// What it gets after she has come back.
    async fn finish(&self, guarded: &Guarded, back: &Shown) -> Result<u16, String> {
        let query: Vec<(String, String)> = back.url.query_pairs().into_owned().collect();
        let ticket = self.client.person_returned(&self.sent, &query).map_err(|error| error.to_string())?;
        let metadata = self.client.discover(&self.challenge.issuer).await.unwrap();
        let request = TicketRequest { ticket: &ticket, resource: Some(&self.challenge.resource), ..TicketRequest::default() };
        match self.client.trade(&metadata, &request).await.unwrap() {
            Traded::Granted(tokens) => Ok(reads(guarded, &self.client.rpt(&tokens, &self.challenge).unwrap()).await),
            Traded::Submitted { .. } => Err("request_submitted".into()),
            _ => Err("something else".into()),
        }
    }
}

/// From the server's page to the desk's.
async fn to_desk(alice: &mut Sitting, page: &Shown) -> Shown {
    let tag = page.html.split("<a ").find(|tag| tag.contains("/claims/manager"));
    let path = attribute(tag.unwrap_or_else(|| panic!("{}: {}", page.url, page.html)), "href");
    alice.browser.open(page.url.join(&path).unwrap().as_str()).await.unwrap()
}

async fn lab() -> (Vec<Server>, Vec<Guarded>, Desk, Sitting) {
    let (servers, guarded) = laboratory().await;
    let desk = Desk::start();
    let mut alice = Sitting::of(&desk, "alice").await;
    for place in [&servers[0].issuer, &guarded[0].url] {
        alice.link(place).await;
    }
    alice.browser.stop_at = Some(BACK.to_owned());
    (servers, guarded, desk, alice)
}

#[tokio::test]
async fn she_writes_a_policy_at_her_desk_while_she_waits_and_goes_on() {
    let (_servers, guarded, _desk, mut alice) = lab().await;
    let viewer = Viewer::begin(&guarded[0]).await;
    let page = alice.browser.open(&viewer.sent.url).await.unwrap();
    let page = to_desk(&mut alice, &page).await;
    let says = "Whoever proves the address alice@foo.example may view Holiday</strong>, with";
    assert!(page.html.contains(says) && page.html.contains("127.0.0.1"), "{}: {}", page.url, page.html);
    let asked = page.url.clone();
    let page = alice.browser.submit(&page, "/decide", &[("decision", "approve"), ("until", "2033-12-01")]).await.unwrap();
    let back = alice.browser.submit(&page, "/claims/continue", &[("decision", "approve")]).await.unwrap();
    assert_eq!(viewer.finish(&guarded[0], &back).await, Ok(200));
    let thing = alice.things().await[0].clone();
    assert_eq!(thing["shares"][0]["who"], "alice@foo.example", "{thing}");
    // without it, the server asks her as it always did
    let mut other = asked.clone();
    other.query_pairs_mut().clear().append_pair("request", "rubbish");
    for (url, says) in [(other.as_str(), "This is no request for a policy")] {
        let page = alice.browser.open(url).await.unwrap();
        assert!(page.status == 400 && page.html.contains(says), "{}", page.html);
    }
}

/// Nothing but a request of a linked server, for whoever is at the desk, leads to a policy; going back writes none.
#[tokio::test]
async fn threat_31_nobody_elses_request_becomes_a_policy() {
    let (servers, guarded, desk, mut alice) = lab().await;
    let viewer = Viewer::begin(&guarded[0]).await;
    let page = alice.browser.open(&viewer.sent.url).await.unwrap();
    let page = to_desk(&mut alice, &page).await;
    let asked = page.url.clone();
    let page = alice.browser.submit(&page, "/decide", &[("decision", "back")]).await.unwrap();
    assert!(page.html.contains("Show who you are"), "{}", page.html);
    let back = alice.browser.submit(&page, "/claims/continue", &[("decision", "approve")]).await.unwrap();
    assert_eq!(viewer.finish(&guarded[0], &back).await, Ok(200), "she is the owner, and needs nobody's leave");
    // somebody else at the same desk
    let mut mallory = Sitting::of(&desk, "mallory").await;
    let page = mallory.browser.open(asked.as_str()).await.unwrap();
    assert!(page.status == 400 && page.html.contains("for somebody else at this desk"), "{}", page.html);
    // a forged one, word for word
    let text = asked.query_pairs().find(|(name, _)| name == "request").unwrap().1.into_owned();
    let claims: serde_json::Value = {
        let payload = jose::base64url::decode(text.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice(&payload).unwrap()
    };
    let key = jose::SigningKey::generate(jose::Algorithm::EdDsa).unwrap();
    let forged = key.sign("policy-request+jwt", &claims).unwrap();
    let mut url = asked.clone();
    url.query_pairs_mut().clear().append_pair("request", &forged);
    let page = alice.browser.open(url.as_str()).await.unwrap();
    assert!(page.status == 400 && page.html.contains("not signed by the server"), "{}", page.html);
    // somebody who is not its owner is offered no desk
    let viewer = Viewer::begin(&guarded[0]).await;
    let mut carol = Sitting::of(&desk, "carol").await;
    carol.link(&servers[0].issuer).await;
    let page = carol.browser.open(&viewer.sent.url).await.unwrap();
    assert!(page.html.contains("Show who you are") && !page.html.contains("/claims/manager"), "{}", page.html);
}

/// Where the server takes only what she signed, she signs it there and then.
#[tokio::test]
async fn where_her_signature_is_demanded_she_signs_it() {
    let (_servers, guarded, _desk, mut alice) = lab().await;
    let page = alice.open("/keys").await;
    let fields = [("what", "new"), ("passphrase", "correct horse battery"), ("again", "correct horse battery")];
    let page = alice.browser.submit(&page, "/keys", &fields).await.unwrap();
    alice.browser.submit(&page, "/keys", &[("what", "register")]).await.unwrap();
    let page = alice.open("/keys").await;
    let link = page.html.split("name=\"link\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    alice.browser.submit(&page, "/keys", &[("what", "demand"), ("on", "yes"), ("link", &link)]).await.unwrap();
    let viewer = Viewer::begin(&guarded[0]).await;
    let page = alice.browser.open(&viewer.sent.url).await.unwrap();
    let page = to_desk(&mut alice, &page).await;
    assert!(page.html.contains("takes only what you signed") && page.html.contains("allowed_rqp"), "{}", page.html);
    let page = alice.browser.submit(&page, "/decide", &[("decision", "approve")]).await.unwrap();
    let back = alice.browser.submit(&page, "/claims/continue", &[("decision", "approve")]).await.unwrap();
    assert_eq!(viewer.finish(&guarded[0], &back).await, Ok(200));
    assert_eq!(alice.things().await[0]["shares"][0]["signed"], true);
}
