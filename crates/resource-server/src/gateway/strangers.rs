//! What anybody may make this gateway do without a token: a call to something new registers it (`admission.rs`). Before a
//! folder that ends with the folder. A service is asked first whether there is anything, and how much is registered in this
//! way is limited by owner and by the network that it comes from (threat 41).

use super::backend::Backend;
use super::browser::OfSession;
use super::path::CanonicalPath;
use super::{Behind, Gateway, Passing, PatBy, Wanted};
use crate::challenge::plain;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use std::time::{Duration, Instant};
use types::Timestamp;
use types::peer::Caller;
use types::throttle::{Throttle, Try};

/// Registrations by calls in an hour, before others wait.
const PER_OWNER: u32 = 300;
const MADE_PER_OWNER: u32 = 100;
/// Looks of one network, and of one machine in it, so that no neighbour uses up all of them.
const PER_NETWORK: u32 = 200;
const PER_HOST: u32 = 100;
/// Things that calls of one network would make in an hour, and of one machine, without a session: a part of what one owner has.
const MADE_PER_NETWORK: u32 = 60;
const MADE_PER_HOST: u32 = 40;
/// Links of one network in an hour that have the authorization server asked, and of one machine.
const LINKS_PER_NETWORK: u32 = 400;
const LINKS_PER_HOST: u32 = 200;
/// Visits of one network in an hour that come back with a ticket that is none, and of one machine.
const VISITS_PER_NETWORK: u32 = 400;
const VISITS_PER_HOST: u32 = 200;
const HOUR_SECONDS: i64 = 3_600;
/// How long the service has to say whether there is anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// What callers may do in an hour: a share for each network, and one for each machine in it.
struct ByCaller {
    networks: Throttle,
    hosts: Throttle,
}

impl ByCaller {
    fn new(per_network: u32, per_host: u32) -> Self {
        Self { networks: Throttle::per(per_network, HOUR_SECONDS), hosts: Throttle::per(per_host, HOUR_SECONDS) }
    }

    /// How many seconds somebody has to wait, where that is one too many.
    fn count(&self, caller: Option<Caller>, now: Timestamp) -> Result<Asked, i64> {
        let network = caller.map(|caller| types::peer::network_of(caller.0)).unwrap_or_default();
        let host = caller.map(|caller| types::peer::host_of(caller.0)).unwrap_or_default();
        let Some(own) = self.hosts.take(&host, now) else { return Err(self.hosts.seconds_left(&host, now)) };
        if let Some(networks) = self.networks.take(&network, now) {
            return Ok(Asked { host: own, network: networks });
        }
        self.hosts.give_back(own);
        Err(self.networks.seconds_left(&network, now))
    }

    fn give_back(&self, asked: Asked) {
        self.hosts.give_back(asked.host);
        self.networks.give_back(asked.network);
    }
}

/// A look that was counted.
#[must_use]
pub(super) struct Asked {
    host: Try,
    network: Try,
}

/// Counts of an hour, each for one purpose: who uses one up leaves the others. They count by a clock that nobody sets.
pub(super) struct Strangers {
    began: Instant,
    asks: ByCaller,
    links: ByCaller,
    visits: ByCaller,
    makers: ByCaller,
    /// By owner: what is registered, and what nobody says is there yet.
    owners: Throttle,
    makes: Throttle,
}

/// What was counted before a registration.
#[derive(Default)]
#[must_use]
pub(super) struct Counted {
    asked: Option<Asked>,
    owner: Option<Try>,
    made: Option<Try>,
    maker: Option<Asked>,
}

impl Default for Strangers {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            asks: ByCaller::new(PER_NETWORK, PER_HOST),
            links: ByCaller::new(LINKS_PER_NETWORK, LINKS_PER_HOST),
            visits: ByCaller::new(VISITS_PER_NETWORK, VISITS_PER_HOST),
            makers: ByCaller::new(MADE_PER_NETWORK, MADE_PER_HOST),
            owners: Throttle::per(PER_OWNER, HOUR_SECONDS),
            makes: Throttle::per(MADE_PER_OWNER, HOUR_SECONDS),
        }
    }
}

impl Strangers {
    fn at(&self, now: Instant) -> Timestamp {
        Timestamp(i64::try_from(now.saturating_duration_since(self.began).as_secs()).unwrap_or(i64::MAX))
    }

    /// Whether somebody may make this gateway ask the service about one more path; else the seconds to wait.
    pub(super) fn may_ask(&self, caller: Option<Caller>, now: Instant) -> Result<Asked, i64> {
        self.asks.count(caller, self.at(now))
    }

    /// Whether somebody may have the authorization server asked once more to link. Anybody can begin a link, and say that an
    /// answer to it has come.
    pub(super) fn may_link(&self, caller: Option<Caller>, now: Instant) -> Result<(), i64> {
        self.links.count(caller, self.at(now)).map(drop)
    }

    /// Whether somebody may come back once more from showing who she is: anybody can say that she does.
    pub(super) fn may_visit(&self, caller: Option<Caller>, now: Instant) -> Result<Asked, i64> {
        self.visits.count(caller, self.at(now))
    }

    /// She did.
    pub(super) fn give_back_visit(&self, asked: Asked) {
        self.visits.give_back(asked);
    }

    /// Whether one more thing of this account may be registered by a call, which `reads` or makes it. Made-up names have a
    /// share of their own, and leave the other to what is there.
    fn may_register(&self, account: &str, reads: bool, now: Instant) -> Result<Counted, i64> {
        let now = self.at(now);
        let made = if reads { None } else { self.makes.take(account, now) };
        if !reads && made.is_none() {
            return Err(self.makes.seconds_left(account, now));
        }
        match self.owners.take(account, now) {
            Some(owner) => Ok(Counted { owner: Some(owner), made, ..Counted::default() }),
            None => {
                if let Some(one) = made {
                    self.makes.give_back(one);
                }
                Err(self.owners.seconds_left(account, now))
            }
        }
    }

    /// The same of whoever asks, with the look that was counted before: one machine that makes things up leaves others their part.
    fn count_registration(&self, account: &str, asker: Asker<'_>, asked: Asked, now: Instant) -> Result<Counted, i64> {
        let maker = match asker.reads || asker.is_known {
            true => Ok(None),
            false => self.makers.count(asker.caller, self.at(now)).map(Some),
        };
        let counted = maker.and_then(|maker| match self.may_register(account, asker.reads, now) {
            Ok(counted) => Ok(Counted { maker, ..counted }),
            Err(wait) => {
                maker.into_iter().for_each(|maker| self.makers.give_back(maker));
                Err(wait)
            }
        });
        match counted {
            Ok(counted) => Ok(Counted { asked: Some(asked), ..counted }),
            Err(wait) => {
                // nobody was asked about what is to be made
                if !asker.reads {
                    self.asks.give_back(asked);
                }
                Err(wait)
            }
        }
    }

    /// Nothing was registered: the owner's shares are as before. That the service was asked counts all the same, unless
    /// somebody else was away, so that it was asked in vain.
    pub(super) fn give_back(&self, counted: Counted) {
        self.give_back_all(Counted { asked: None, ..counted });
    }

    pub(super) fn give_back_all(&self, counted: Counted) {
        if let Some(one) = counted.owner {
            self.owners.give_back(one);
        }
        if let Some(one) = counted.made {
            self.makes.give_back(one);
        }
        if let Some(one) = counted.maker {
            self.makers.give_back(one);
        }
        if let Some(one) = counted.asked {
            self.asks.give_back(one);
        }
    }
}

/// Who made a call to something that nobody knows yet.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    /// It changes nothing.
    pub(super) reads: bool,
    /// A session of this gateway holds something of the owner's: whose it is was shown.
    is_known: bool,
    /// A part of what it is about.
    pub(super) query: Option<&'a str>,
    pub(super) caller: Option<Caller>,
}

impl<'a> Asker<'a> {
    pub(super) fn of(parts: &'a Parts) -> Self {
        // what these make is not there before; every other method is about something that is
        let reads = !matches!(parts.method.as_str(), "PUT" | "MKCOL" | "PATCH" | "LOCK");
        let is_known = parts.extensions.get::<OfSession>().is_some();
        Self { reads, is_known, query: parts.uri.query(), caller: parts.extensions.get().copied() }
    }
}

impl Gateway {
    /// A folder has what it has, and a route may name one thing or ask whose a thing is; else anybody can name things.
    pub(super) async fn check_stranger(
        &self,
        wanted: &Wanted,
        path: &CanonicalPath,
        asker: Asker<'_>,
    ) -> Result<Counted, Box<Response>> {
        if matches!(self.settings.behind, Behind::Folder(_)) || !wanted.is_named_by_caller {
            return Ok(Counted::default());
        }
        let now = Instant::now();
        let asked = self.strangers.may_ask(asker.caller, now).map_err(enough)?;
        // what a call is to make is not there yet
        if asker.reads {
            let what = "The service behind this gateway does not answer.";
            let silent = || Box::new(plain(StatusCode::BAD_GATEWAY, what));
            match look_soon(&self.backend, path, asker.query).await {
                Look::There => {}
                Look::NotThere => return Err(missing()),
                Look::NoAnswer => return Err(silent()),
                Look::Away => {
                    self.strangers.asks.give_back(asked);
                    return Err(silent());
                }
            }
        }
        self.strangers.count_registration(self.account_of(wanted), asker, asked, now).map_err(enough)
    }

    /// Where one PAT is for all, all owners are one account, and their names can be made up.
    fn account_of<'w>(&self, wanted: &'w Wanted) -> &'w str {
        if self.settings.pat == PatBy::Code { wanted.owner.as_str() } else { "" }
    }
}

pub(super) fn missing() -> Box<Response> {
    Box::new(plain(StatusCode::NOT_FOUND, "Nothing is here."))
}

/// Too many, and when to come again (RFC 6585 4).
fn enough(wait: i64) -> Box<Response> {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "Too many new things were asked for here: try again later.");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
    Box::new(response)
}

/// What a service says of a path.
pub(super) enum Look {
    There,
    NotThere,
    /// It does not say.
    NoAnswer,
    /// It is not there itself, which is said at once: nobody was asked.
    Away,
}

/// The same, unless that takes too long.
pub(super) async fn look_soon(backend: &Backend, path: &CanonicalPath, query: Option<&str>) -> Look {
    tokio::time::timeout(PATIENCE, look(backend, path, query)).await.unwrap_or(Look::NoAnswer)
}

/// Looks whether the service answers for a path and its query: asks with `HEAD`, which changes nothing (RFC 9110 9.2.1),
/// without a body and without any field of the caller's. Where `HEAD` is not known, the first byte is asked for with `GET`.
/// What is refused to a stranger, or answered in another way, is there.
async fn look(backend: &Backend, path: &CanonicalPath, query: Option<&str>) -> Look {
    let status = match ask(backend, Method::HEAD, path, query).await {
        Some(405 | 501) => ask(backend, Method::GET, path, query).await,
        other => other,
    };
    match status {
        Some(404 | 410) => Look::NotThere,
        Some(502 | 503) => Look::Away,
        Some(500..) | None => Look::NoAnswer,
        Some(_) => Look::There,
    }
}

/// The status that the service answers with; none where the URL cannot be written.
async fn ask(backend: &Backend, method: Method, path: &CanonicalPath, query: Option<&str>) -> Option<u16> {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let mut request = http::Request::builder().method(&method).uri(format!("{}{query}", path.encoded()));
    if method == Method::GET {
        request = request.header(header::RANGE, "bytes=0-0");
    }
    let (parts, ()) = request.body(()).ok()?.into_parts();
    let answer = backend.forward(parts, axum::body::Body::empty(), path, &Passing::by_itself()).await;
    Some(answer.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_41_s16_registrations_are_counted_by_owner_and_network() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        let from = |text: &str| Some(Caller(text.parse().unwrap()));
        let asked = |caller, now| (0..1_000).filter(|_| strangers.may_ask(caller, now).is_ok()).count();
        assert_eq!(asked(from("192.0.2.1"), now), 100);
        assert_eq!(asked(from("::ffff:192.0.2.200"), now), 100, "a neighbour has what is left");
        assert_eq!(asked(from("192.0.2.3"), now), 0, "the same network");
        assert_eq!(asked(from("192.0.3.1"), now), 100);
        let hour = now + Duration::from_secs(3_601);
        assert_eq!(asked(from("192.0.2.1"), hour), 100);
        let registered = |owner, now| (0..1_000).filter(|_| strangers.may_register(owner, true, now).is_ok()).count();
        assert_eq!((registered("alice", now), registered("alice", now), registered("bob", now)), (300, 0, 300));
        let made = (0..1_000).filter(|_| strangers.may_register("carol", false, now).is_ok()).count();
        assert_eq!((made, registered("carol", now)), (100, 200), "made-up names leave room for what is there");
    }

    #[test]
    fn threat_41_s16_what_was_not_registered_is_given_back() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        for _ in 0..1_000 {
            let counted = strangers.may_register("alice", true, now).unwrap();
            strangers.give_back(counted);
        }
        assert_eq!((0..1_000).filter(|_| strangers.may_register("alice", true, now).is_ok()).count(), 300);
        assert!((1..=3_600).contains(&strangers.may_register("alice", true, now).err().unwrap()));
    }

    /// One IPv6 provider has tens of thousands of networks: who uses each of them shuts nobody else out.
    #[test]
    fn threat_41_s17_a_flood_of_networks_closes_no_door() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        for n in 0..120_000_u128 {
            let caller = Caller(std::net::Ipv6Addr::from((0x2001_0db8_u128 << 96) | (n << 80)).into());
            strangers.may_link(Some(caller), now).ok();
        }
        let good = Some(Caller("192.0.2.1".parse().unwrap()));
        assert!((0..20).all(|_| strangers.may_link(good, now).is_ok()));
        assert!(strangers.may_ask(good, now).is_ok() && strangers.may_register("alice", true, now).is_ok());
    }
}
