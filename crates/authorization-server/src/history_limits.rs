//! How many lines others write into an owner's history by asking in vain (threat 41). One ticket of nobody can be traded again
//! and again, and each time she would read of it: what she did herself, and who really got in, would stand behind it. So the
//! same said again within an hour is said once, and a client, and what comes of one network by clients that the operator does
//! not know, have so many lines an hour. Whoever is let in is always written down, but not each time that the same is done once more
//! within the hour; what she does herself is.

mod grants;

pub(crate) use grants::{SaidGrant, Whom};
use types::throttle::{Taken, Throttle};
use types::{ClientId, OwnerId, Timestamp};

const HOUR_SECONDS: i64 = 3_600;
const LINES_OF_CLIENT_BY_HOUR: u32 = 60;
const LINES_OF_NETWORK_BY_HOUR: u32 = 16;

pub(crate) struct HistoryLimits {
    same: Throttle,
    of_client: Throttle,
    of_network: Throttle,
    /// How often she is told that the same was given to the same person.
    pub(crate) grants: grants::Grants,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            same: Throttle::per(1, HOUR_SECONDS),
            of_client: Throttle::per(LINES_OF_CLIENT_BY_HOUR, HOUR_SECONDS),
            of_network: Throttle::per(LINES_OF_NETWORK_BY_HOUR, HOUR_SECONDS),
            grants: grants::Grants::default(),
        }
    }
}

/// A line that somebody would write into an owner's history.
pub(crate) struct Line<'a> {
    pub owner: &'a OwnerId,
    pub client: &'a ClientId,
    /// Whether the operator knows the client.
    pub declared: bool,
    /// Where it was called from: a block of addresses.
    pub network: &'a str,
    /// What it says, and of whom.
    pub text: &'a str,
}

impl HistoryLimits {
    /// Takes it; `None` where it is not written. To be given back where it was not, after all.
    pub(crate) fn take(&self, line: &Line<'_>, now: Timestamp) -> Option<Taken<'_>> {
        let Line { owner, client, declared, network, text } = line;
        let mut taken = Taken::default();
        let admitted = (*declared || taken.take(&self.of_network, &format!("{owner} {network}"), now))
            && taken.take(&self.of_client, &format!("{owner} {client}"), now)
            && taken.take(&self.same, &format!("{owner} {client} {text}"), now);
        if admitted {
            return Some(taken);
        }
        taken.give_back();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_41_s16_who_asks_in_vain_fills_no_history() {
        let (limits, alice) = (HistoryLimits::default(), OwnerId::from("alice"));
        let line = |client: &str, declared, network: &str, text: &str, now| {
            let (owner, client) = (&alice, &ClientId::from(client));
            limits.take(&Line { owner, client, declared, network, text }, Timestamp(now)).is_some()
        };
        assert!(line("photos", true, "192.0.2", "denied bob", 0) && !line("photos", true, "192.0.2", "denied bob", 10));
        assert!(line("photos", true, "192.0.2", "denied carol", 10), "somebody else");
        assert!(line("photos", true, "192.0.2", "denied bob", 3_600), "an hour after");
        // a stranger has many clients, and each time says something else
        let strange = (0..1_000).filter(|n| line(&format!("c{n}"), false, "198.51.100", &n.to_string(), 20)).count();
        assert_eq!(strange, 16);
        assert!(line("other", false, "203.0.113", "denied bob", 20), "another network");
        let loud = (0..1_000).filter(|n| line("loud", true, "203.0.113", &n.to_string(), 20)).count();
        assert_eq!(loud, 60);
    }

    #[test]
    fn what_was_not_written_is_given_back() {
        let limits = HistoryLimits::default();
        let (owner, client) = (&OwnerId::from("alice"), &ClientId::from("c"));
        let line = Line { owner, client, declared: false, network: "192.0.2", text: "x" };
        for _ in 0..40 {
            limits.take(&line, Timestamp(0)).unwrap().give_back();
        }
        assert!(limits.take(&line, Timestamp(0)).is_some() && limits.take(&line, Timestamp(0)).is_none());
    }
}
