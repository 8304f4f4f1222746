//! Row 46: who asks much keeps nobody waiting for long, and whoever needs no answer not at all.

use super::super::questions::About;
use super::super::*;
use super::world::World;
use crate::protection::ProtectionError;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use jose::digest;
use outbound::Place;
use types::peer::Caller;

/// The calls of somebody at this address: some have a place, and the others wait.
struct Flood<'a> {
    places: Vec<Place>,
    _waiting: Vec<BoxFuture<'a, Result<Place, ProtectionError>>>,
}

fn flood<'a>(world: &'a World, about: About, address: &str, calls: usize) -> Flood<'a> {
    let caller = Some(Caller(address.parse().unwrap()));
    let (mut places, mut waiting) = (Vec::new(), Vec::new());
    for _ in 0..calls {
        let mut one = world.gateway.wait_to_ask(about, &world.issuer, caller).boxed();
        match one.as_mut().now_or_never() {
            // of a full line it may be the one that has to leave
            Some(entered) => places.extend(entered.ok()),
            None => waiting.push(one),
        }
    }
    Flood { places, _waiting: waiting }
}

async fn linked() -> World {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    world.link().await;
    assert_eq!(world.status("/a.jpg", None).await, 401);
    world
}

#[tokio::test]
async fn threat_46_s23_a_token_that_is_judged_here_waits_for_no_stranger() {
    let world = linked().await;
    let all = [About::KnownToken, About::UnknownToken, About::Ticket];
    let _floods: Vec<_> =
        all.iter().flat_map(|about| (1..4).map(|n| flood(&world, *about, &format!("192.{n}.2.1"), 100))).collect();
    assert!(all.iter().all(|about| flood(&world, *about, "192.9.2.1", 1).places.is_empty()));
    // its first use, while all places are taken
    let one = world.rpt("r1");
    assert_eq!(world.status("/a.jpg", Some(&one)).await, 200);
}

#[tokio::test]
async fn threat_46_a_token_is_known_where_it_was_good_and_nowhere_else() {
    let world = linked().await;
    let known = |token: &str, issuer: &str| world.gateway.kind_of(token, issuer);
    assert_eq!(known("made-up", &world.issuer), About::UnknownToken);
    // mallory's own thing, at a server of mallory's
    world.gateway.givers.let_in.insert(digest::sha256(&[b"mallory's"]), "https://mallory.example".into());
    assert_eq!(known("mallory's", "https://mallory.example"), About::KnownToken);
    assert_eq!(known("mallory's", &world.issuer), About::UnknownToken, "no pass at another's server");
    let good = HeaderValue::from_static("Bearer good");
    world.gateway.remember_issuer(Some(&good), &world.issuer);
    assert_eq!(known("good", &world.issuer), About::KnownToken);
    // what is judged here is asked of nobody, so it takes no room among those of whom that is remembered
    let judged_here = world.rpt("r1");
    assert_eq!(world.status("/a.jpg", Some(&judged_here)).await, 200);
    assert!(world.gateway.givers.let_in.get(&digest::sha256(&[judged_here.as_bytes()])).is_none());
}

#[tokio::test]
async fn threat_46_strangers_tickets_take_turns_by_network() {
    let world = linked().await;
    let mut evil: Vec<_> = (1..4).map(|n| flood(&world, About::Ticket, &format!("192.{n}.2.1"), 40)).collect();
    let inside: usize = evil.iter().map(|flood| flood.places.len()).sum();
    assert_eq!(inside, About::Ticket.room(true).inside);
    let status = world.status("/a.jpg", None);
    let served = async {
        for _ in 0..3 {
            evil[0].places.pop();
        }
    };
    let (status, ()) = tokio::join!(status, served);
    assert_eq!(status, 401, "the next turn behind two networks that have none yet");
    // who brings a token waits in another line
    assert_eq!(flood(&world, About::UnknownToken, "192.1.2.1", 1).places.len(), 1);
}

/// A server that lets the renewal of her PAT hang keeps those of no other server.
#[tokio::test]
async fn threat_46_a_renewal_that_hangs_keeps_no_other_link() {
    let world = linked().await;
    let issuers = ["a", "evil", "z"].map(str::to_owned);
    let gateway = &world.gateway;
    let free = |of: &'static str| async move { gateway.link_turn("alice", of).await.try_lock_owned() };
    let hangs = free("evil").await.unwrap();
    let mut turns = world.gateway.link_turns("alice", &issuers).boxed();
    assert!(turns.as_mut().now_or_never().is_none());
    assert!(free("a").await.is_ok() && free("z").await.is_ok() && free("evil").await.is_err());
    drop(hangs);
    let held = turns.await;
    assert!(held.len() == 3 && free("a").await.is_err() && free("z").await.is_err());
    drop(held);
    assert!(free("evil").await.is_ok());
}

/// A line that is full is no server that is away: it is left alone by nobody, and whoever comes is told when to come again.
#[tokio::test]
async fn threat_46_a_full_line_says_nothing_about_the_server() {
    let world = linked().await;
    let room = About::Ticket.room(true);
    let enter = || world.gateway.wait_to_ask(About::Ticket, &world.issuer, None);
    let mut held = join_all((0..room.inside).map(|_| enter())).await;
    let mut waiting: Vec<_> = (0..room.waiting).map(|_| enter().boxed()).collect();
    assert!(waiting.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
    let answer = world.get("/a.jpg", None).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    assert!(world.gateway.check_rest(&world.issuer).is_ok());
    waiting.clear();
    held.clear();
    assert_eq!(world.status("/a.jpg", None).await, 401);
}
