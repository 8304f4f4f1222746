//! How many requests may wait for one owner, and which give way (protocol.md 1.4): nobody fills an inbox so that others are
//! pushed out of it. Whoever showed a verified address is counted by its domain, everybody else - a stranger - together
//! with all strangers. Strangers push out only each other, and so do people of a domain that has its share.

use crate::AccessRequest;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use types::{AccessRequestId, email, peer};

/// Most that wait for one owner.
pub const MAX_WAITING: usize = 200;
/// Most that wait from one domain of verified addresses.
pub const MAX_OF_DOMAIN: usize = 20;
/// Most that wait from all strangers together.
pub const MAX_OF_STRANGERS: usize = 20;
/// Most that wait from strangers by one client, and from strangers in one block of network addresses.
pub const MAX_OF_STRANGERS_ALIKE: usize = 5;

/// Why there is no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("too many requests of your domain wait for this owner: ask again later")]
    Domain,
    #[error("too many requests wait for this owner: show a verified e-mail address, or ask again later")]
    Inbox,
}

/// Stands between the two parts of what a request keeps of where it came from; no digest has it.
const OF_REGION: char = '@';

/// What a request keeps of the network that it came from (`types::peer::network_of`): a digest of it, and one of its region,
/// since a digest does not say what region its network is in. Written before there were regions: the first part alone.
pub fn origin_of(network: &str, digest: impl Fn(&str) -> String) -> String {
    let address: Option<IpAddr> = network.split('/').next().and_then(|address| address.parse().ok());
    let region = address.map_or_else(|| network.to_owned(), peer::region_of);
    format!("{}{OF_REGION}{}", digest(network), digest(&region))
}

/// Which of the `waiting` requests of an owner give way to a `new` one, so that it fits.
pub fn make_room(waiting: &[AccessRequest], new: &AccessRequest) -> Result<Vec<AccessRequestId>, Full> {
    let mut left: Vec<&AccessRequest> = waiting.iter().collect();
    left.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    let mut inbox = Inbox { left, gone: Vec::new() };
    match domain(new) {
        Some(own) => inbox.shrink_domain(new, |one| domain(one).as_ref() == Some(&own))?,
        None => {
            inbox.shrink(MAX_OF_STRANGERS_ALIKE, new, |one| is_stranger(one) && network(one) == network(new));
            inbox.shrink(MAX_OF_STRANGERS_ALIKE, new, |one| is_stranger(one) && one.client == new.client);
            inbox.shrink(MAX_OF_STRANGERS, new, is_stranger);
        }
    }
    while inbox.left.len() >= MAX_WAITING {
        if !inbox.drop_oldest(is_stranger) && (is_stranger(new) || !inbox.drop_oldest_of_most_crowded()) {
            return Err(Full::Inbox);
        }
    }
    Ok(inbox.gone)
}

/// What waits, the oldest first, and what has given way.
struct Inbox<'a> {
    left: Vec<&'a AccessRequest>,
    gone: Vec<AccessRequestId>,
}

impl Inbox<'_> {
    /// Fewer than `most` of these are left. Those from where the new one comes go first: so a crowd pushes itself out.
    fn shrink(&mut self, most: usize, new: &AccessRequest, of: impl Fn(&AccessRequest) -> bool) {
        while self.left.iter().filter(|one| of(one)).count() >= most {
            if !self.drop_oldest(|one| of(one) && network(one) == network(new)) && !self.drop_oldest(&of) {
                return;
            }
        }
    }

    /// The same for people of one domain, who know nothing of each other where anybody gets an address. Whoever fills it makes
    /// room again: the oldest goes of the network from which most have come, and one more from there finds no room. Where all
    /// came from different networks, the oldest goes of the region from which most have, else of the new one's client, else of
    /// all.
    fn shrink_domain(&mut self, new: &AccessRequest, of: impl Fn(&AccessRequest) -> bool) -> Result<(), Full> {
        while self.left.iter().filter(|one| of(one)).count() >= MAX_OF_DOMAIN {
            let mut networks = BTreeMap::<Option<&str>, usize>::new();
            for one in self.left.iter().filter(|one| of(one)) {
                let count = networks.entry(network(one)).or_default();
                *count = count.saturating_add(1);
            }
            let own = networks.get(&network(new)).copied().unwrap_or(0);
            let most = networks.values().copied().max().unwrap_or(0);
            let crowd = networks.into_iter().find(|(_, count)| *count == most).map(|(network, _)| network);
            let gone = match crowd {
                Some(_) if most > 1 && own == most => return Err(Full::Domain),
                Some(crowd) if most > 1 => self.drop_oldest(|one| of(one) && network(one) == crowd),
                _ => {
                    self.drop_oldest_of_region(&of)
                        || self.drop_oldest(|one| of(one) && one.client == new.client)
                        || self.drop_oldest(&of)
                }
            };
            if !gone {
                return Err(Full::Domain);
            }
        }
        Ok(())
    }

    /// Whoever has a /32 of IPv6 has as many networks as she likes.
    fn drop_oldest_of_region(&mut self, of: impl Fn(&AccessRequest) -> bool) -> bool {
        let mut regions = BTreeMap::<Option<&str>, usize>::new();
        for one in self.left.iter().filter(|one| of(one)) {
            let count = regions.entry(region(one)).or_default();
            *count = count.saturating_add(1);
        }
        let crowd = regions.into_iter().max_by_key(|(_, count)| *count).filter(|(_, count)| *count > 1);
        crowd.is_some_and(|(crowd, _)| self.drop_oldest(|one| of(one) && region(one) == crowd))
    }

    /// Whether there was one.
    fn drop_oldest(&mut self, of: impl Fn(&AccessRequest) -> bool) -> bool {
        let Some(at) = self.left.iter().position(|one| of(one)) else { return false };
        self.gone.push(self.left.remove(at).id.clone());
        true
    }

    /// Where all have addresses, the neighbourhood with most of them gives way.
    fn drop_oldest_of_most_crowded(&mut self) -> bool {
        let mut crowds = BTreeMap::<Option<String>, (usize, Reverse<usize>)>::new();
        for (at, one) in self.left.iter().enumerate() {
            crowds.entry(neighbourhood(one)).or_insert((0, Reverse(at))).0 += 1;
        }
        let Some((_, Reverse(at))) = crowds.into_values().max() else { return false };
        self.gone.push(self.left.remove(at).id.clone());
        true
    }
}

fn domain(request: &AccessRequest) -> Option<String> {
    request.claims.email().and_then(email::domain_of)
}

/// The network that it came from.
fn network(request: &AccessRequest) -> Option<&str> {
    let origin = request.network.as_deref()?;
    Some(origin.split_once(OF_REGION).map_or(origin, |(network, _)| network))
}

/// The region of the network that it came from; of one that does not say, the network itself.
fn region(request: &AccessRequest) -> Option<&str> {
    let origin = request.network.as_deref()?;
    Some(origin.split_once(OF_REGION).map_or(origin, |(_, region)| region))
}

fn is_stranger(request: &AccessRequest) -> bool {
    domain(request).is_none()
}

/// The last two labels of the domain: who has one domain can make as many below it as she likes.
fn neighbourhood(request: &AccessRequest) -> Option<String> {
    let domain = domain(request)?;
    let from = domain.rmatch_indices('.').nth(1).map_or(0, |(dot, _)| dot.saturating_add(1));
    domain.get(from..).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_request::State;
    use crate::claim::{Claim, Claims};
    use types::Timestamp;

    /// Says nothing of what it was made of, as a keyed digest does.
    fn digested(text: &str) -> String {
        jose::base64url::encode(jose::digest::sha256(&[text.as_bytes()]))
    }

    fn request(at: i64, address: Option<&str>, client: &str, network: &str) -> AccessRequest {
        let mut claims = Claims::default();
        if let Some(address) = address {
            claims.state(Claim {
                name: "email".into(),
                value: address.into(),
                issuer: "https://idp.example".into(),
                format: types::token::ID_TOKEN_FORMAT.into(),
                auth_time: None,
            });
        }
        AccessRequest {
            id: format!("{at:05}").into(),
            owner: "alice".into(),
            client: client.into(),
            requesting_party: Default::default(),
            claims,
            permissions: vec![],
            created: Timestamp(at),
            expires_at: Timestamp(1_000_000),
            state: State::Pending,
            delegation: None,
            instead_of: Vec::new(),
            message: None,
            network: Some(origin_of(network, digested)),
            version: 0,
        }
    }

    /// The requests come one after the other; what waits in the end, and who found no room.
    fn arrive(all: Vec<AccessRequest>) -> (Vec<AccessRequest>, usize) {
        let (mut waiting, mut refused) = (Vec::<AccessRequest>::new(), 0);
        for one in all {
            match make_room(&waiting, &one) {
                Ok(gone) => {
                    waiting.retain(|old| !gone.contains(&old.id));
                    waiting.push(one);
                }
                Err(_) => refused += 1,
            }
            assert!(waiting.len() <= MAX_WAITING);
        }
        (waiting, refused)
    }

    #[test]
    fn threat_41_s15_strangers_push_out_only_strangers() {
        let mut all = vec![request(0, Some("bob@bar.example"), "viewer", "net-b")];
        all.extend((1..=205).map(|at| request(at, None, &format!("client{at}"), &format!("net{at}"))));
        let (waiting, refused) = arrive(all);
        assert_eq!(refused, 0);
        assert_eq!(waiting.iter().filter(|one| is_stranger(one)).count(), MAX_OF_STRANGERS);
        assert_eq!(waiting[0].created, Timestamp(0), "Bob's waits");
    }

    #[test]
    fn threat_41_s15_one_client_or_one_network_pushes_out_its_own() {
        for alike in [true, false] {
            let mut all: Vec<_> = (0..10).map(|at| request(at, None, &format!("c{at}"), &format!("n{at}"))).collect();
            all.extend((100..150).map(|at| match alike {
                true => request(at, None, "one", &format!("n{at}")),
                false => request(at, None, &format!("c{at}"), "one"),
            }));
            let (waiting, _) = arrive(all);
            assert_eq!(waiting.iter().filter(|one| one.created.0 < 10).count(), 10, "nobody else's went");
            assert_eq!(waiting.len(), 15);
        }
        // a client that many use: those of the crowd's own network go first
        let mut all = vec![request(0, None, "viewer", "honest")];
        all.extend((1..50).map(|at| request(at, None, "viewer", "crowd")));
        assert_eq!(arrive(all).0[0].created, Timestamp(0));
    }

    /// Twenty free addresses of one mail domain, and Bob has one there as well.
    #[test]
    fn threat_41_s15_whoever_fills_a_domain_makes_room_again() {
        let address = |at: i64| format!("p{at}@mail.example");
        let bob = |at: i64| request(at, Some("bob@mail.example"), "viewer", "home");
        let has_bob = |waiting: &[AccessRequest]| waiting.iter().any(|one| one.claims.email() == Some("bob@mail.example"));
        // all from one network, before him and after
        let mut all: Vec<_> = (0..20).map(|at| request(at, Some(&address(at)), "viewer", "evil")).collect();
        all.push(bob(20));
        all.extend((21..80).map(|at| request(at, Some(&address(at)), "viewer", "evil")));
        // and some more from networks that are new
        all.extend((80..90).map(|at| request(at, Some(&address(at)), "viewer", &format!("evil{at}"))));
        let (waiting, refused) = arrive(all);
        assert!(has_bob(&waiting) && waiting.len() == MAX_OF_DOMAIN);
        assert_eq!(refused, 59, "one more of the crowd's own network finds no room");
        // from as many networks, by one client: its own go first
        let spread = |at: i64, client: &str| request(at, Some(&address(at)), client, &format!("net{at}"));
        // from the many networks of one provider, by his client
        let mut all = vec![request(0, Some("bob@mail.example"), "viewer", "192.0.2.0/24")];
        all.extend((1..60).map(|at| request(at, Some(&address(at)), "viewer", &format!("2001:db8:{at:x}::/48"))));
        assert!(has_bob(&arrive(all).0));
        let mut all = vec![bob(0)];
        all.extend((1..60).map(|at| spread(at, "evil")));
        assert!(has_bob(&arrive(all.clone()).0), "another client's crowd");
        all.insert(0, request(0, Some("carol@bar.example"), "viewer", "home"));
        assert!(arrive(all).0.iter().any(|one| one.claims.email() == Some("carol@bar.example")), "never of another domain");
    }

    /// One /32 of IPv6: each request from a network, by a client and for an address of its own.
    #[test]
    fn threat_41_s15_a_region_pushes_out_its_own() {
        let crowd =
            |at: i64| request(at, Some(&format!("p{at}@mail.example")), &format!("c{at}"), &format!("2001:db8:{at:x}::/48"));
        let bob = request(0, Some("bob@mail.example"), "viewer", "192.0.2.0/24");
        let mut all = vec![bob];
        all.extend((1..=200).map(crowd));
        let (waiting, refused) = arrive(all);
        assert_eq!((waiting.len(), refused), (MAX_OF_DOMAIN, 0));
        assert_eq!(waiting[0].created, Timestamp(0), "Bob's waits");
        // rows of before say their network alone: each counts for itself
        let mut old = request(0, None, "c", "192.0.2.0/24");
        old.network = Some(digested("192.0.2.0/24"));
        assert_eq!((network(&old), region(&old)), (old.network.as_deref(), old.network.as_deref()));
        assert_eq!(network(&old), network(&request(1, None, "c", "192.0.2.0/24")), "a row of before is of the same network");
    }

    #[test]
    fn threat_41_s15_a_domain_has_twenty_and_a_crowd_of_domains_makes_room_itself() {
        let of_domain = (0..30).map(|at| request(at, Some(&format!("p{at}@Evil.example")), "viewer", "n")).collect();
        let (waiting, refused) = arrive(of_domain);
        assert_eq!((waiting.len(), refused), (MAX_OF_DOMAIN, 10));
        let mut all = vec![request(0, Some("bob@bar.example"), "viewer", "n")];
        all.extend((1..=5).map(|at| request(at, None, &format!("c{at}"), &format!("n{at}"))));
        all.extend((10..400).map(|at| request(at, Some(&format!("x@d{at}.evil.test")), "viewer", "n")));
        let (waiting, _) = arrive(all);
        assert_eq!(waiting.len(), MAX_WAITING);
        assert_eq!(waiting[0].created, Timestamp(0), "the crowd's own went");
        assert!(!waiting.iter().any(is_stranger), "and strangers' before them");
        assert_eq!(make_room(&waiting, &request(999, None, "c", "n")), Err(Full::Inbox), "strangers push out strangers alone");
    }
}
