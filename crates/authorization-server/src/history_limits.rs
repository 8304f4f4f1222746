//! How many lines others write into an owner's history by asking in vain (threat 41). One ticket of nobody can be traded again
//! and again, and each time she would read of it: what she did herself, and who really got in, would stand behind it. So the
//! same said again within an hour is said once, and a client, and what comes of one network by clients that the operator does
//! not know, have so many lines an hour. Whoever is let in is always written down, but not each time that the same is done once more
//! within the hour; what she does herself is.

use types::throttle::{Taken, Throttle};
use types::{ClientId, OwnerId, Timestamp};

const HOUR_SECONDS: i64 = 3_600;
const LINES_OF_CLIENT_BY_HOUR: u32 = 60;
const LINES_OF_NETWORK_BY_HOUR: u32 = 16;
/// Of the same person for the same scope of the same thing by the same application.
const SAME_GRANTS_BY_HOUR: u32 = 20;

pub(crate) struct HistoryLimits {
    same: Throttle,
    of_client: Throttle,
    of_network: Throttle,
    same_grants: Throttle,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            same: Throttle::per(1, HOUR_SECONDS),
            of_client: Throttle::per(LINES_OF_CLIENT_BY_HOUR, HOUR_SECONDS),
            of_network: Throttle::per(LINES_OF_NETWORK_BY_HOUR, HOUR_SECONDS),
            same_grants: Throttle::per(SAME_GRANTS_BY_HOUR, HOUR_SECONDS),
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

    /// Whether one more line is written of somebody who was let in. Whoever has the same once more, or refreshes what he has, is
    /// written down so often in an hour and not each time, or what he does hides what others do. `what` he may do is counted one
    /// by one: where anything of it was not said so often, the line is written, so that nothing new goes unsaid.
    pub(crate) fn admits_grant(
        &self,
        owner: &OwnerId,
        person: &str,
        what: impl IntoIterator<Item = String>,
        now: Timestamp,
    ) -> bool {
        let is_new = |one: &String| self.same_grants.admit(&format!("{owner} {person} {one}"), now);
        // each is counted, also behind one that was admitted
        what.into_iter().filter(is_new).count() > 0
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

    /// What he repeats uses up nothing of what he gets newly: that he can do more, or with something else, is a line.
    #[test]
    fn threat_41_s16_nobody_uses_up_the_lines_of_what_he_gets_newly() {
        let (limits, alice) = (HistoryLimits::default(), OwnerId::from("alice"));
        let admits =
            |what: &[&str]| limits.admits_grant(&alice, "mallory", what.iter().map(|one| (*one).to_owned()), Timestamp(0));
        let old: Vec<String> = (0..50).map(|n| format!("refreshed album s{n}")).collect();
        for one in &old {
            assert_eq!((0..100).filter(|_| admits(&[one])).count(), 20);
        }
        assert!(!admits(&[&old[0], &old[1]]), "all of it was said often");
        assert!(admits(&["refreshed album delete"]) && admits(&[&old[0], "issued diary view"]));
    }

    #[test]
    fn threat_41_s16_who_is_let_in_again_and_again_hides_nobody() {
        let (limits, alice) = (HistoryLimits::default(), OwnerId::from("alice"));
        let lines = |person: &str, what: &str| {
            (0..1_000).filter(|_| limits.admits_grant(&alice, person, [what.to_owned()], Timestamp(0))).count()
        };
        assert_eq!((lines("mallory", "refreshed view"), lines("bob", "refreshed view")), (20, 20));
        assert_eq!(lines("mallory", "refreshed view"), 0);
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
