//! Questions that an authorization server is asked for a call (row 46): about its token, or for a ticket. Anybody makes as many
//! calls as he likes, and a server may take its time: so only some are under way at a time, and the others wait in a line, in
//! which each region, each network in it and each host in that has its turn ([`outbound::Lines`]). Whoever wants a ticket,
//! whoever brings a token that nobody knows here, and whoever brings one that was good at that server have lines of their own.
//! Of a token that is judged here nobody is asked, and it waits for nothing.

use super::Gateway;
use crate::guard::{Turn, Turns};
use crate::protection::ProtectionError;
use async_trait::async_trait;
use outbound::{Lines, Party, Place, Room};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use types::peer::{Caller, names_of};
use url::Url;

/// How long somebody waits for a turn: as long as for the server itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who has to leave a full line hears so after that time.
const REFUSED_AFTER: Duration = Duration::from_secs(1);

/// Those that are under way and those that wait.
#[derive(Default)]
pub(super) struct Questions(Lines);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A token that let somebody in before, by the word of the same server; it is judged all the same.
    KnownToken,
    UnknownToken,
    Ticket,
}

impl About {
    fn name(self) -> &'static str {
        match self {
            Self::KnownToken => "known",
            Self::UnknownToken => "unknown",
            Self::Ticket => "ticket",
        }
    }

    /// At one server; together these are fewer than the calls that may be under way to one place.
    pub(super) fn room(self, is_listed: bool) -> Room {
        let inside = match (self, is_listed) {
            (Self::KnownToken, true) => 128,
            (Self::KnownToken, false) => 64,
            (_, true) => 32,
            (_, false) => 16,
        };
        Room { inside, waiting: inside.saturating_mul(4) }
    }
}

/// How long a call waited here before anybody was asked.
#[derive(Default)]
pub(super) struct Waited(Mutex<Duration>);

impl Waited {
    pub(super) fn time(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, more: Duration) {
        let mut time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *time = time.saturating_add(more);
    }
}

/// What a call asks about its token at one server.
pub(super) struct Asks<'a> {
    gateway: &'a Gateway,
    issuer: &'a str,
    caller: Option<Caller>,
    waited: Waited,
    /// The PAT with which it asked last.
    pat: Mutex<Option<String>>,
}

impl<'a> Asks<'a> {
    pub(super) fn new(gateway: &'a Gateway, issuer: &'a str, caller: Option<Caller>) -> Self {
        Self { gateway, issuer, caller, waited: Waited::default(), pat: Mutex::default() }
    }

    pub(super) fn waited(&self) -> &Waited {
        &self.waited
    }

    /// The PAT with which it asked last, if it asked.
    pub(super) fn take_pat(&self) -> Option<String> {
        self.pat.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait]
impl Turns for Asks<'_> {
    async fn wait(&self, token: &str, pat: &str) -> Result<Turn, ProtectionError> {
        *self.pat.lock().unwrap_or_else(PoisonError::into_inner) = Some(pat.to_owned());
        let begun = Instant::now();
        let about = self.gateway.kind_of(token, self.issuer);
        let place = self.gateway.wait_to_ask(about, self.issuer, self.caller).await;
        self.waited.add(begun.elapsed());
        Ok(Turn { place: Some(place?), by: Work::Calls.of(self.caller) })
    }
}

/// Looks at what is under way: these wait for no call that is new.
pub(super) struct Looks(pub(super) Option<Caller>);

#[async_trait]
impl Turns for Looks {
    async fn wait(&self, _: &str, _: &str) -> Result<Turn, ProtectionError> {
        Ok(Turn { place: None, by: Work::Looks.of(self.0) })
    }
}

/// What a server is asked for. Where many call one place, each of these has a part of the turns that are had in the name of one
/// server, whoever fills the others: so new calls keep nothing that is under way from going on, nor the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Calls,
    Looks,
    Pats,
}

impl Work {
    pub(super) fn party(self) -> Party {
        let name = match self {
            Self::Calls => "calls",
            Self::Looks => "looks",
            Self::Pats => "pats",
        };
        Party::new([name.to_owned()])
    }

    pub(super) fn of(self, caller: Option<Caller>) -> Party {
        party_of(caller).within(&self.party())
    }
}

impl Gateway {
    /// A turn to ask for a ticket.
    pub(super) async fn wait_for_ticket(&self, issuer: &str, caller: Option<Caller>) -> Result<Place, ProtectionError> {
        // who is left alone is not waited for
        self.check_rest(issuer)?;
        self.wait_to_ask(About::Ticket, issuer, caller).await
    }

    pub(super) async fn wait_to_ask(&self, about: About, issuer: &str, caller: Option<Caller>) -> Result<Place, ProtectionError> {
        let is_listed = self.is_listed(issuer);
        let to = format!("{} {}", about.name(), line_to(issuer, is_listed));
        let begun = Instant::now();
        let place = self.questions.0.enter(&to, about.room(is_listed), &party_of(caller), PATIENCE).await;
        if place.is_none() {
            // answered at once, who floods would come again at once
            tokio::time::sleep(REFUSED_AFTER.saturating_sub(begun.elapsed())).await;
        }
        place.ok_or(ProtectionError::Busy)
    }

    /// Which kind of question one about this token is. What is good at a server of one's own is a stranger's at another.
    pub(super) fn kind_of(&self, token: &str, issuer: &str) -> About {
        let by = self.givers.let_in.get(&super::givers::key_of(token));
        if by.as_deref() == Some(issuer) { About::KnownToken } else { About::UnknownToken }
    }
}

/// Several issuers at one origin are one server, which somebody may bring many of.
fn line_to(issuer: &str, is_listed: bool) -> String {
    let origin = Url::parse(issuer).map(|url| url.origin().ascii_serialization());
    let origin = origin.unwrap_or_else(|_| issuer.to_owned());
    if is_listed { format!("listed {origin}") } else { origin }
}

/// Whom a turn is given to.
pub(super) fn party_of(caller: Option<Caller>) -> Party {
    match caller {
        Some(Caller(address)) => Party::new(names_of(address)),
        None => Party::new(["unknown".to_owned()]),
    }
}
