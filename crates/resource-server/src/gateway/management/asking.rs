//! What the issuer of management tokens is asked (decision 0062): about a token that an owner's application shows, and about an
//! owner's word. Anybody can send tokens that are none, and each question is counted at the issuer in the name of this gateway, which
//! needs its answers for owners: so tokens that are not known to be good wait for shares, of a network and of all together. An
//! answer that the issuer is busy, broken or away is no answer about the token.

use super::Application;
use super::token::{Known, Management};
use crate::gateway::Gateway;
use crate::gateway::questions::{Work, party_of};
use crate::protection::ProtectionError;
use client::ClientError;
use jose::digest;
use quick_cache::sync::Cache;
use types::Timestamp;
use types::peer::Caller;
use types::throttle::{NetworkShares, NetworkThrottle, Reserve, Shares, Taken, Throttle};

const MINUTE_SECONDS: i64 = 60;
/// Tokens of one network in a minute that turn out to be none, and those of a household where its neighbours used them up.
const WRONG: NetworkShares = NetworkShares { network: 120, household: 10, late: 60 };
/// The same of all networks together: a sixth of what a server of ours answers one client in a minute, where nobody set it.
const WRONG_OF_ALL: u32 = 1_000;
/// What is left where all together used that up, for those that had little part in it.
const RESERVE: Shares = Shares { household: 5, network: 20, region: 60, all: 500 };
/// Questions in a minute about good tokens of one owner.
const OF_OWNER: u32 = 3_000;
/// Good tokens that are remembered.
const MOST_KNOWN: usize = 10_000;

/// What the issuer says of a token.
pub(super) enum Told {
    Good(Known),
    Bad,
    /// It tells this gateway nothing about tokens.
    Nothing(String),
}

/// Who may have the issuer asked.
pub(super) struct Askers {
    /// Whose a token was, by its hash, when it was good last.
    known: Cache<[u8; 32], String>,
    wrong: NetworkThrottle,
    all: Throttle,
    reserve: Reserve,
    owners: Throttle,
}

impl Default for Askers {
    fn default() -> Self {
        Self {
            known: Cache::new(MOST_KNOWN),
            wrong: NetworkThrottle::per(WRONG, MINUTE_SECONDS),
            all: Throttle::per(WRONG_OF_ALL, MINUTE_SECONDS),
            reserve: Reserve::per(RESERVE, MINUTE_SECONDS),
            owners: Throttle::per(OF_OWNER, MINUTE_SECONDS),
        }
    }
}

/// A question that was counted.
struct Counted<'a> {
    of_network: Option<Taken<'a>>,
    of_all: Taken<'a>,
}

impl Counted<'_> {
    fn give_back(self) {
        self.of_all.give_back();
        if let Some(taken) = self.of_network {
            taken.give_back();
        }
    }
}

impl Askers {
    /// Counts a question about a token before it is asked. An error: not now.
    fn count(&self, token: &[u8; 32], caller: Option<Caller>, now: Timestamp) -> Result<Counted<'_>, ProtectionError> {
        let mut of_all = Taken::default();
        if let Some(owner) = self.known.get(token) {
            return match of_all.take(&self.owners, &owner, now) {
                true => Ok(Counted { of_network: None, of_all }),
                false => Err(ProtectionError::Busy),
            };
        }
        let address = caller.map(|Caller(address)| address.to_string()).unwrap_or_default();
        let of_network = self.wrong.take(&address, now).ok_or(ProtectionError::Busy)?;
        let has_few = self.reserve.note(&mut of_all, "", &address, now);
        if of_all.take(&self.all, "", now) || (has_few && self.reserve.take(&mut of_all, "", &address, now)) {
            return Ok(Counted { of_network: Some(of_network), of_all });
        }
        Counted { of_network: Some(of_network), of_all }.give_back();
        Err(ProtectionError::Busy)
    }

    /// What came of it. Only what was no token stays counted, and what a good one's owner asks.
    fn note(&self, token: [u8; 32], counted: Counted<'_>, answer: &Result<Told, ProtectionError>) {
        match answer {
            Ok(Told::Good(known)) => {
                let was_known = counted.of_network.is_none();
                if !was_known {
                    counted.give_back();
                    self.known.insert(token, known.owner.clone().unwrap_or_default());
                }
            }
            Ok(Told::Bad) => {
                self.known.remove(&token);
            }
            Ok(Told::Nothing(_)) | Err(_) => counted.give_back(),
        }
    }
}

impl Gateway {
    /// What the issuer says of a token that somebody sent.
    pub(super) async fn ask_about(
        &self,
        management: &Management,
        token: &str,
        caller: Option<Caller>,
    ) -> Result<Told, ProtectionError> {
        let (key, now) = (digest::sha256(&[token.as_bytes()]), self.client.clock.now());
        let askers = &self.rmts.askers;
        let counted = askers.count(&key, caller, now)?;
        let answer = self.introspect_management(management, token, caller).await;
        askers.note(key, counted, &answer);
        answer
    }

    async fn introspect_management(
        &self,
        management: &Management,
        token: &str,
        caller: Option<Caller>,
    ) -> Result<Told, ProtectionError> {
        let metadata = self.management_metadata(management).await?;
        let client = self.client.at(&management.issuer).within(&party_of(caller));
        let answer = match client.introspect(metadata, token).await {
            Ok(answer) => answer,
            Err(ClientError::NotTold(why)) => return Ok(Told::Nothing(why)),
            Err(error) => return Err(error.into()),
        };
        if !answer.is_good(self.client.clock.now())
            || !answer.aud.as_ref().is_some_and(|aud| aud.contains(&self.settings.resource))
        {
            return Ok(Told::Bad);
        }
        let application = Application::of(&answer);
        let owner = if management.owner_claim == "sub" { answer.sub } else { answer.username };
        let scope = answer.scope.unwrap_or_default();
        Ok(Told::Good(Known { scope, owner, cnf: answer.cnf, application, is_sure: true }))
    }

    /// One that is opaque: what its issuer says of it is all that is known.
    pub(super) async fn check_opaque(
        &self,
        management: &Management,
        token: &str,
        caller: Option<Caller>,
    ) -> Result<Option<Known>, ProtectionError> {
        match self.ask_about(management, token, caller).await? {
            Told::Good(known) => Ok(Some(known)),
            Told::Bad => Ok(None),
            Told::Nothing(why) => Err(ProtectionError::Refused(why)),
        }
    }

    /// One that is a JWT says by itself whose it is; whether its owner has withdrawn the application since, its server says. One
    /// that does not answer is done without for as long as a withdrawal may take to be known; until it has answered, nothing is
    /// changed by such a token.
    pub(super) async fn check_own_jwt(
        &self,
        management: &Management,
        token: &str,
        caller: Option<Caller>,
    ) -> Result<Option<Known>, ProtectionError> {
        let Some(signed) = self.check_signed(management, token).await? else { return Ok(None) };
        match self.ask_about(management, token, caller).await {
            Ok(Told::Good(told)) => Ok(Some(Known { application: told.application, ..signed.known })),
            Ok(Told::Bad) => Ok(None),
            // a server that answers no such question to this gateway gives tokens that its keys alone speak for
            Ok(Told::Nothing(why)) => {
                if self.is_worth_a_line(&format!("tokens of {}", management.issuer)) {
                    tracing::warn!(why, issuer = management.issuer, "whether a management token was withdrawn is not told");
                }
                Ok(Some(signed.known))
            }
            Err(_) if signed.is_young => Ok(Some(Known { is_sure: false, ..signed.known })),
            Err(error) => Err(error),
        }
    }

    /// Whether what an owner agreed to for an application stands.
    pub(in crate::gateway) async fn ask_about_grant(&self, grant: &str) -> Result<bool, ProtectionError> {
        if let Some(own) = &self.own_log_in {
            return own.stands(grant).await;
        }
        let Some(management) = &self.settings.management else { return Err(ProtectionError::Unlinked) };
        let metadata = self.management_metadata(management).await?;
        let client = self.client.at(&management.issuer).within(&Work::Pats.party());
        Ok(client.introspect_grant(metadata, grant).await?.active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::management::Application;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn good(owner: &str) -> Result<Told, ProtectionError> {
        let application = Application { client: None, name: None, grant: None, declared: false };
        let owner = Some(owner.to_owned());
        Ok(Told::Good(Known { scope: String::new(), owner, cnf: None, application, is_sure: true }))
    }

    fn caller(number: u32) -> Option<Caller> {
        Some(Caller(std::net::Ipv4Addr::from(number).into()))
    }

    /// How many of so many made-up tokens are asked about, each from the address that is said.
    fn asked(askers: &Askers, most: u32, from: impl Fn(u32) -> u32) -> usize {
        let one = |n: u32| match askers.count(&digest::sha256(&[&n.to_be_bytes()]), caller(from(n)), NOW) {
            Ok(counted) => {
                askers.note(digest::sha256(&[&n.to_be_bytes()]), counted, &Ok(Told::Bad));
                true
            }
            Err(error) => {
                assert_eq!(error, ProtectionError::Busy);
                false
            }
        };
        (0..most).filter(|n| one(*n)).count()
    }

    #[test]
    fn threat_46_made_up_management_tokens_leave_the_gateway_its_answers() {
        let askers = Askers::default();
        let (good_token, new_token) = ([1; 32], [2; 32]);
        let counted = askers.count(&good_token, caller(1), NOW).unwrap();
        askers.note(good_token, counted, &good("alice"));
        assert_eq!(asked(&askers, 6_000, |_| 0x0a00_0001), 120, "one host");
        // a token that was good is asked about from there as ever, and a new one is once others of the network are not used up
        for _ in 0..300 {
            let counted = askers.count(&good_token, caller(0x0a00_0001), NOW).unwrap();
            askers.note(good_token, counted, &good("alice"));
        }
        let counted = askers.count(&new_token, caller(0x0a00_0002), NOW).unwrap();
        askers.note(new_token, counted, &good("bob"));
        // a crowd of networks has what all have together, and a newcomer has something of the reserve
        assert_eq!(
            asked(&askers, 20_000, |n| 0x1400_0001 + (n % 200) * 0x0001_0000),
            1_000,
            "a thousand of all, and of the reserve"
        );
        let counted = askers.count(&[3; 32], caller(0x6401_0101), NOW).unwrap();
        askers.note([3; 32], counted, &Ok(Told::Bad));
        let counted = askers.count(&good_token, caller(0x0a00_0001), NOW).unwrap();
        // one that is good no more is a stranger's
        askers.note(good_token, counted, &Ok(Told::Bad));
        assert!(askers.count(&good_token, caller(0x0a00_0001), NOW).is_err());
    }

    #[test]
    fn what_was_not_answered_is_not_counted() {
        let askers = Askers::default();
        for error in [ProtectionError::Unreachable, ProtectionError::Later(5), ProtectionError::Busy] {
            for _ in 0..200 {
                let counted = askers.count(&[1; 32], caller(1), NOW).unwrap();
                askers.note([1; 32], counted, &Err(error.clone()));
            }
        }
        for n in 0..200_u8 {
            let counted = askers.count(&[n; 32], caller(1), NOW).unwrap();
            askers.note([n; 32], counted, &good("alice"));
        }
        assert_eq!(asked(&askers, 200, |_| 1), 120);
    }
}
