//! Who called, and how often those of one network may make this desk ask somebody before anybody is known (threat 41).

use crate::lock;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use types::Timestamp;
use types::peer::network_of;

/// Who called, as the wiring saw it; nobody else can put it on a request.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub IpAddr);

/// Answers of log-ins that one network may bring in a minute: a household or an office has few.
const PER_MINUTE: u32 = 60;
/// Networks that are counted at one time: a flood of them does not fill the memory, it closes the door for the minute.
const MOST_NETWORKS: usize = 10_000;
const MINUTE_SECONDS: i64 = 60;

/// Counts of this minute, by network.
#[derive(Default)]
pub(crate) struct Callers(Mutex<(i64, HashMap<String, u32>)>);

impl Callers {
    /// Takes one of the share of the caller's network, before the work. Calls whose caller is not known share one.
    pub(crate) fn may_ask(&self, caller: Option<Caller>, now: Timestamp) -> bool {
        let network = caller.map(|caller| network_of(caller.0)).unwrap_or_default();
        let minute = now.0.div_euclid(MINUTE_SECONDS);
        let mut counts = lock(&self.0);
        if counts.0 != minute {
            *counts = (minute, HashMap::new());
        }
        if counts.1.len() >= MOST_NETWORKS && !counts.1.contains_key(&network) {
            return false;
        }
        let count = counts.1.entry(network).or_default();
        *count = count.saturating_add(1);
        *count <= PER_MINUTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_41_s17_networks_are_counted_whole_and_in_bounded_memory() {
        let callers = Callers::default();
        let from = |text: String, now: i64| callers.may_ask(Some(Caller(text.parse().unwrap())), Timestamp(now));
        let taken = |now: i64| (0..100).filter(|n| from(format!("2001:db8:7:{n}::1"), now)).count();
        assert_eq!((taken(60), taken(61), taken(120)), (60, 0, 60));
        let networks = (0..20_000_u32).filter(|n| from(format!("10.{}.{}.1", n / 256, n % 256), 180)).count();
        assert_eq!(networks, MOST_NETWORKS);
        assert!(from("10.0.0.2".into(), 180), "who is counted already is not shut out by those who come after");
    }
}
