//! The story `desk`: one desk over two providers that know nothing of each other. Alice links all, shares by her own
//! signature, lets Carol decide while she is away, answers a request just in time, and takes back everything of Bob's in
//! one go - also from a server that is down just then.

mod cast;
mod world;

use super::exchanges::Exchanges;
use super::story::{Told, so, step};
pub(crate) use cast::Sitting;
use cast::Stranger;
use std::path::Path;
use std::time::{Duration, Instant};
pub(crate) use world::DESK_PASSWORD;
pub(super) use world::World;

const PASSPHRASE: &str = "correct horse battery staple";
const BOB: &str = "bob@bar.example";

/// Plays it; an error says at which point it broke off.
pub(super) async fn play(world: &mut World, folder: &Path, exchanges: Exchanges) -> Told<()> {
    let albums = super::story::choose(folder)?;
    let [photos, papers] = &world.gateways;
    let (picture, will) = (format!("{photos}/{}/{}", albums.0, albums.1), format!("{papers}/will/will.txt"));
    let (deed, letter) = (format!("{papers}/deeds/house.txt"), format!("{papers}/letters/first.txt"));
    let mut alice = Sitting::of(world, "alice", exchanges).await?;
    links(world, &mut alice, &[&picture, &will], exchanges).await?;
    let bob = Stranger::new(BOB, exchanges)?;
    let tokens = signs(world, &mut alice, &bob, &[&picture, &will]).await?;
    carol_decides(world, &mut alice, &deed, exchanges).await?;
    just_in_time(world, &mut alice, &letter, exchanges).await?;
    receipts(&mut alice).await?;
    takes_back(world, &mut alice, &bob, &[&picture, &will], &tokens).await?;
    step("That is the story. Four servers, one desk, and nobody in whom Alice had not let in.");
    Ok(())
}

async fn links(world: &World, alice: &mut Sitting, things: &[&str; 2], exchanges: Exchanges) -> Told<()> {
    step(
        "Alice has pictures with one provider and papers with another, each guarded by that provider's server. She links all four.",
    );
    // the first call of anybody has a thing registered
    for thing in things {
        Stranger::new(BOB, exchanges)?.asks(world, thing).await?;
    }
    for server in world.servers.iter().chain(&world.gateways) {
        alice.links(server).await?;
        so(&format!("linked: {server}"));
    }
    let page = alice.open("/requests").await?;
    if !page.html.contains(BOB) {
        return Err("the desk should show what Bob asked for".into());
    }
    so("what lies where, who guards it, and that Bob has asked already, is on one page now");
    Ok(())
}

async fn signs(world: &World, alice: &mut Sitting, bob: &Stranger, things: &[&str; 2]) -> Told<Vec<client::Rpt>> {
    step("She makes a key under a passphrase, registers it everywhere, and shares with Bob by her signature.");
    let page = alice.open("/keys").await?;
    let fields = [("what", "new"), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)];
    let page = alice.sends(&page, "/keys", &fields, "Register it there").await?;
    alice.sends(&page, "/keys", &[("what", "register")], "Counts at").await?;
    let page = alice.open("/share?all=yes").await?;
    let fields = [("email", BOB), ("scope", "view"), ("sign", "yes"), ("until", "2033-12-01"), ("step", "review")];
    let page = alice.sends(&page, "/share", &fields, "Exactly what you sign").await?;
    let promise = page.html.split("<strong>").nth(1).and_then(|rest| rest.split("</strong>").next()).unwrap_or_default();
    so(&format!("she reads: \"{promise}\" - and exactly what she signs"));
    alice.sends(&page, "/share", &[("step", "confirm")], "<h1>Shared").await?;
    let mut tokens = Vec::new();
    for thing in things {
        let rpt = bob.asks(world, thing).await?.ok_or("Bob should have been let in")?;
        if !bob.reads(thing, &rpt).await? {
            return Err(format!("Bob should read {thing}"));
        }
        tokens.push(rpt);
    }
    so("Bob proves his address and reads both; each provider has checked her signature by itself");
    Ok(tokens)
}

async fn carol_decides(world: &World, alice: &mut Sitting, deed: &str, exchanges: Exchanges) -> Told<()> {
    step("Alice goes away, and lets Carol answer requests for her at the notary's server.");
    let page = alice.open("/delegations").await?;
    let [_, second] = &world.servers;
    let named = second.trim_start_matches("http://");
    let option = page.html.split("<option ").find(|option| option.contains(named)).unwrap_or_default();
    let link = super::browser::attribute(option, "value");
    let fields = [
        ("email", "carol@foo.example"),
        ("may", "approve"),
        ("may", "share"),
        ("scopes", "view"),
        ("until", "2033-12-01"),
        ("link", link.as_str()),
        ("what", "new"),
    ];
    alice.sends(&page, "/delegations", &fields, "carol@foo.example may answer requests and share for you").await?;
    let mut carol = Sitting::of(world, "carol", exchanges).await?;
    carol.links(second).await?;
    let dave = Stranger::new("dave@bar.example", exchanges)?;
    if dave.asks(world, deed).await?.is_some() {
        return Err("Dave should have to wait".into());
    }
    let page = carol.sees("/requests", "dave@bar.example").await?;
    so("Dave asks for the deeds; Carol sees it at her desk, at once");
    carol.allows(&page, true).await?;
    let rpt = dave.asks(world, deed).await?.ok_or("Dave should have been let in")?;
    if !dave.reads(deed, &rpt).await? {
        return Err("Dave should read them".into());
    }
    so("she allows it, and Dave reads them; Alice's history says that it was Carol");
    Ok(())
}

async fn just_in_time(world: &World, alice: &mut Sitting, letter: &str, exchanges: Exchanges) -> Told<()> {
    step("Erin asks, and nobody has ever thought of her.");
    let erin = Stranger::new("erin@quux.example", exchanges)?;
    if erin.asks(world, letter).await?.is_some() {
        return Err("Erin should have to wait".into());
    }
    let page = alice.sees("/requests", "erin@quux.example").await?;
    let one = page.html.split("<article").find(|part| part.contains("erin@quux.example")).unwrap_or_default().to_owned();
    let page = super::browser::Shown { html: format!("<article{one}"), ..page };
    alice.allows(&page, true).await?;
    let rpt = erin.asks(world, letter).await?.ok_or("Erin should have been let in")?;
    if !erin.reads(letter, &rpt).await? {
        return Err("Erin should read it".into());
    }
    so("her desk was told by the server; one press there, a policy just in time, and Erin reads");
    Ok(())
}

async fn receipts(alice: &mut Sitting) -> Told<()> {
    step("Every server gave receipts for what she agreed to.");
    let page = alice.sees("/receipts", BOB).await?;
    if page.html.contains("not verified") {
        return Err("a receipt does not verify".into());
    }
    so(&format!("{} of them, each with a signature that verifies", page.html.matches(">verified<").count()));
    Ok(())
}

async fn takes_back(
    world: &mut World,
    alice: &mut Sitting,
    bob: &Stranger,
    things: &[&str; 2],
    tokens: &[client::Rpt],
) -> Told<()> {
    step("The notary's server goes down. Just then Alice takes back everything of Bob's.");
    world.second_goes_away().await?;
    let page = alice.open("/people/show?who=address%3Abob%40bar.example").await?;
    let begun = Instant::now();
    let page = alice.sends(&page, "/people/withdraw", &[("sure", "yes")], "not yet confirmed").await?;
    so(&format!(
        "{} confirmed, {} not yet",
        page.html.matches("tag \">confirmed").count(),
        page.html.matches("not yet confirmed").count()
    ));
    let [picture, will] = things;
    let (Some(first), Some(second)) = (tokens.first(), tokens.get(1)) else { return Err("two tokens were wanted".into()) };
    while bob.reads(picture, first).await? {
        if begun.elapsed() > Duration::from_secs(10) {
            return Err("Bob should be out".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    so(&format!("Bob's next call for a picture fails, {} ms after she pressed", begun.elapsed().as_millis()));
    world.second_comes_back().await?;
    for _ in 0..300 {
        if !alice.open("/withdrawals").await?.html.contains("not yet confirmed") && !bob.reads(will, second).await? {
            so("the notary's server comes back, is told, confirms, and Bob is out there, too");
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("the second server never confirmed".into())
}
