//! Properties of a line, with time in turns: one place is given back at each.

use super::*;
use futures_util::FutureExt;
use std::collections::VecDeque;
use std::pin::Pin;

type Entering = Pin<Box<dyn Future<Output = Option<Place>>>>;

fn region(n: usize) -> Party {
    Party::new([format!("region {n}"), format!("network {n}"), format!("host {n}")])
}

/// Somebody who comes in or waits.
struct Caller {
    entering: Entering,
    party: usize,
}

/// A place of the world that a line leads to: whoever came in first is served first.
struct World {
    line: Line,
    waiting: Vec<Caller>,
    inside: VecDeque<(usize, Place)>,
    refused: Vec<usize>,
}

impl World {
    fn new(inside: usize, waiting: usize) -> Self {
        let line = Line::new(Room { inside, waiting });
        Self { line, waiting: Vec::new(), inside: VecDeque::new(), refused: Vec::new() }
    }

    fn come(&mut self, party: usize, as_party: Party) {
        let line = self.line.clone();
        let entering = Box::pin(async move { line.enter(&as_party).await });
        self.waiting.push(Caller { entering, party });
        self.look();
    }

    fn look(&mut self) {
        // who came last may have made somebody leave who was looked at before
        (0..2).for_each(|_| self.look_once());
        let state = self.line.state();
        assert!(state.inside <= state.room.inside && state.inside == self.inside.len(), "never above the bound");
        assert!(state.waiting.len() <= state.room.waiting && state.waiting.len() == self.waiting.len());
    }

    fn look_once(&mut self) {
        let mut still = Vec::new();
        for mut caller in std::mem::take(&mut self.waiting) {
            match caller.entering.as_mut().now_or_never() {
                Some(Some(place)) => self.inside.push_back((caller.party, place)),
                Some(None) => self.refused.push(caller.party),
                None => still.push(caller),
            }
        }
        self.waiting = still;
    }

    /// One is served; whose turn that was.
    fn serve(&mut self) -> Option<usize> {
        let (party, place) = self.inside.pop_front()?;
        drop(place);
        self.look();
        Some(party)
    }

    fn has_inside(&self, party: usize) -> bool {
        self.inside.iter().any(|(one, _)| *one == party)
    }
}

/// However many calls of however many parties wait: a new one's first call comes in within a round, and its next in another.
#[test]
fn threat_46_a_flood_of_parties_keeps_a_new_one_no_longer_than_a_round() {
    for (parties, places, calls) in [(1, 1, 100), (1, 24, 500), (3, 24, 100), (7, 4, 30), (64, 24, 3), (200, 8, 1)] {
        let mut world = World::new(places, 400);
        let flood = |world: &mut World| {
            for party in 0..parties {
                let has = world.waiting.iter().filter(|caller| caller.party == party).count();
                (has..calls.min(400 / parties)).for_each(|_| world.come(party, region(party)));
            }
        };
        flood(&mut world);
        let new = parties;
        for call in 0..3 {
            world.come(new, region(new));
            let mut turns = 0;
            while !world.has_inside(new) {
                world.serve();
                flood(&mut world);
                turns += 1;
                assert!(turns <= parties + 1, "call {call}: {parties} parties, {places} places");
            }
            while world.has_inside(new) {
                world.serve();
                flood(&mut world);
            }
            assert!(!world.refused.contains(&new), "whoever floods is refused, and nobody else");
        }
    }
}

/// Parties that come newly without end do not go before those that wait.
#[test]
fn threat_46_ever_new_parties_are_no_way_past_who_waits() {
    let mut world = World::new(2, 100);
    (0..12).for_each(|n| world.come(n, region(n)));
    (0..3).for_each(|_| world.come(1_000, region(1_000)));
    let mut served = 0;
    for turn in 0..60 {
        served += usize::from(world.serve() == Some(1_000));
        world.come(2_000 + turn, region(2_000 + turn));
    }
    assert_eq!(served, 3, "who waits with three calls has three turns");
}

/// Who has a whole region has one share, and so has a network in it among its neighbours.
#[test]
fn threat_46_networks_of_one_region_share_its_turns() {
    let mut world = World::new(4, 200);
    let of = |network: usize| Party::new(["region".into(), format!("network {network}"), format!("host {network}")]);
    (0..150).for_each(|n| world.come(n, of(n)));
    world.come(1_000, region(1_000));
    world.serve();
    assert!(world.has_inside(1_000), "another region comes at once");
    // a neighbour of one network that floods
    let mut world = World::new(4, 50);
    (0..100).for_each(|_| world.come(1, of(1)));
    world.come(2, of(2));
    world.serve();
    assert!(world.has_inside(2) && !world.refused.contains(&2));
}

/// The line is short: of those that wait, the last of the party with most of them leaves.
#[test]
fn threat_46_who_has_most_in_a_full_line_leaves_it() {
    let mut world = World::new(1, 6);
    (0..10).for_each(|_| world.come(1, region(1)));
    assert_eq!((world.waiting.len(), world.refused.len()), (6, 3));
    (2..5).for_each(|n| world.come(n, region(n)));
    assert_eq!(world.refused, [1; 6], "and no newcomer");
    let none = Party::default();
    let mut world = World::new(1, 2);
    (0..5).for_each(|n| world.come(n, none.clone()));
    assert_eq!(world.refused, [3, 4], "who is of no party comes in the order of coming");
    let order: Vec<_> = std::iter::from_fn(|| world.serve()).collect();
    assert_eq!(order, [0, 1, 2]);
}

/// Who gives up at whatever moment leaves nothing behind: neither in the line, nor a place that nobody has.
#[test]
fn threat_46_who_gives_up_frees_a_turn_and_leaves_nothing() {
    let mut random: u64 = 7;
    let mut draw = |most: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % most
    };
    for _ in 0..200 {
        let mut world = World::new(1 + draw(5), draw(20));
        for _ in 0..100 {
            let party = draw(6);
            match draw(4) {
                0 | 1 => world.come(party, region(party)),
                2 => drop(world.serve()),
                _ if world.waiting.is_empty() => {}
                _ => {
                    let at = draw(world.waiting.len());
                    drop(world.waiting.swap_remove(at));
                    world.look();
                }
            }
            let state = world.line.state();
            assert!(state.waiting.is_empty() || state.inside == state.room.inside, "nobody waits before a free place");
        }
        while world.serve().is_some() {}
        let state = world.line.state();
        assert!(state.inside == 0 && state.waiting.is_empty() && state.shares.is_empty());
    }
}

/// A place that was given to somebody who had gone at that very moment goes to the next.
#[test]
fn threat_46_a_place_that_nobody_takes_goes_to_the_next() {
    let mut world = World::new(1, 10);
    (0..3).for_each(|n| world.come(n, region(n)));
    // the second is given the place, and is gone before it looks
    drop(world.inside.pop_front());
    drop(world.waiting.remove(0));
    world.look();
    assert!(world.has_inside(2));
}

#[tokio::test]
async fn threat_46_lines_are_forgotten_and_patience_ends() {
    let (lines, room, none) = (Lines::default(), Room { inside: 1, waiting: 5 }, Party::default());
    let enter = |to: &str| lines.enter(&to.to_owned().leak()[..], room, &none, Duration::from_millis(10));
    let held = enter("a").await;
    assert!(held.is_some() && enter("a").await.is_none() && enter("b").await.is_some());
    for n in 0..3 * MOST_LINES {
        drop(enter(&n.to_string()).await);
    }
    assert!(lines.count() <= MOST_LINES && enter("a").await.is_none(), "one that somebody is in is kept");
    drop(held);
    assert!(enter("a").await.is_some());
}

/// In the name of this server, for this work, from this region.
fn of(server: usize, work: &str, from: usize) -> Party {
    let [server, from] = [format!("server {server}"), format!("region {from}")];
    Party::new([from.clone(), format!("network of {from}"), from])
        .within(&Party::new([work.to_owned()]))
        .within(&Party::new([server]))
}

/// However many servers of one side have their things at somebody's place, from one machine or many: who asks there for another
/// server comes in at the next turn, and so does each kind of work, and each who calls, in that server's name.
#[test]
fn threat_46_many_servers_at_one_place_keep_another_no_longer_than_a_round() {
    let (servers, hers, machine) = (44, 1_000, 1);
    let mut world = World::new(100, 300);
    let flood = |world: &mut World| {
        while world.waiting.len() < 290 {
            let n = world.inside.len() + world.waiting.len();
            world.come(n % servers, of(n % servers, if n % 3 == 0 { "looks" } else { "calls" }, machine));
        }
    };
    flood(&mut world);
    let comes_next = |world: &mut World, as_party: Party, within: usize| {
        let has = |world: &World| world.inside.iter().filter(|(one, _)| *one == 2_000).count();
        let had = has(world);
        world.come(2_000, as_party);
        let turns = (0..=within).find(|_| {
            world.serve();
            has(world) > had
        });
        assert!(turns.is_some() && !world.refused.contains(&2_000));
    };
    comes_next(&mut world, of(hers, "calls", 2), 1);
    // the same machine asks for her server as well, as often as it can
    (0..40).for_each(|_| world.come(hers, of(hers, "calls", machine)));
    flood(&mut world);
    for work in ["looks", "pats"] {
        comes_next(&mut world, of(hers, work, 2), servers + 1);
    }
    while world.inside.iter().any(|(one, _)| *one == 2_000) {
        world.serve();
    }
    // in a round of the servers one turn is hers, and the next of those is his who calls from elsewhere
    comes_next(&mut world, of(hers, "calls", 2), 2 * (servers + 1));
}

/// Whoever forgets to say for whom it asks is one party: nobody that others have to wait for, and nobody that is kept waiting.
#[test]
fn threat_46_who_is_not_named_takes_turns_like_everybody() {
    let mut world = World::new(4, 50);
    (0..60).for_each(|_| world.come(1, Party::default()));
    (0..3).for_each(|_| world.come(2, of(2, "calls", 2)));
    assert!(!world.refused.contains(&2));
    (0..6).for_each(|_| {
        world.serve();
    });
    assert!(!world.waiting.iter().any(|caller| caller.party == 2), "every other turn at least");
    let mut world = World::new(4, 50);
    (0..60).for_each(|_| world.come(2, of(2, "calls", 2)));
    world.come(1, Party::default());
    world.serve();
    assert!(world.has_inside(1) && !world.refused.contains(&1));
    // a name in one party is another in another
    let mut world = World::new(2, 50);
    (0..20).for_each(|_| world.come(1, of(1, "calls", 7)));
    (0..2).for_each(|n| world.come(2 + n, of(2, "calls", 8 - n)));
    world.serve();
    assert!(world.has_inside(2), "that one of region 7 has much elsewhere changes nothing in the order here");
}
