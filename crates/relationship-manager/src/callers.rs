//! Who called, and how often those of one network may make this desk ask somebody before anybody is known (threat 41).

use types::Timestamp;
use types::peer::Caller;
use types::throttle::{NetworkShares, NetworkThrottle, Taken};

/// Answers of log-ins that one network may bring in a minute, 60 with those of households whose neighbours have brought so many
/// false ones. A household or an office has few, and right ones do not count.
const ANSWERS: NetworkShares = NetworkShares { network: 40, household: 4, late: 20 };
const MINUTE_SECONDS: i64 = 60;

/// Counts of answers that nobody has proved yet.
pub(crate) struct Callers(NetworkThrottle);

impl Default for Callers {
    fn default() -> Self {
        Self(NetworkThrottle::per(ANSWERS, MINUTE_SECONDS))
    }
}

impl Callers {
    /// Takes one of the share of the caller's network, before the work; to be given back where the answer was right. Calls
    /// whose caller is not known share one.
    pub(crate) fn may_ask(&self, caller: Option<Caller>, now: Timestamp) -> Option<Taken<'_>> {
        self.0.take(&caller.map(|caller| caller.0.to_string()).unwrap_or_default(), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_41_s17_networks_are_counted_whole_and_none_shuts_out_another() {
        let callers = Callers::default();
        let from = |text: String, now: i64| callers.may_ask(Some(Caller(text.parse().unwrap())), Timestamp(now)).is_some();
        let taken = |now: i64| (0..100).filter(|n| from(format!("2001:db8:7:{n}::1"), now)).count();
        assert_eq!((taken(60), taken(61), taken(120)), (40, 0, 40));
        assert!(from("2001:db8:7:ff00::1".into(), 61), "a neighbour");
        let networks = (0..20_000_u32).filter(|n| from(format!("10.{}.{}.1", n / 256, n % 256), 180)).count();
        assert_eq!(networks, 20_000);
        assert!(from("10.255.0.2".into(), 180));
    }

    #[test]
    fn threat_41_s17_who_logs_in_rightly_uses_nothing_up() {
        let callers = Callers::default();
        for _ in 0..200 {
            callers.may_ask(None, Timestamp(60)).unwrap().give_back();
        }
    }
}
