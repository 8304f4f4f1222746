//! Events in plain words, for every page that tells of them.

use crate::Reader;
use types::event::{Crowd, EventDocument, EventKind, EventOutcome, Restored};

/// Who they were of whom an event tells together.
pub fn crowd_in_words(crowd: Crowd) -> String {
    let Crowd { different, times, of_one_network } = crowd;
    format!("at least {different} more people or applications, {times} times, {of_one_network} of these from one network")
}

/// Of what time the state is to which a server was put back.
pub fn state_in_words(restored: Restored, reader: &Reader) -> String {
    format!("the state of {}", reader.moment(restored.state_of))
}

/// What an event tells, as the beginning of a line. One of a refusal that refused nobody tells that what was approved has ended.
pub fn event_in_words(event: &EventDocument) -> &'static str {
    match (event.kind, event.outcome) {
        (EventKind::RequestDenied, None) => "What you had allowed was taken back",
        (kind, _) => kind_in_words(kind),
    }
}

/// What happened, as the beginning of a line.
fn kind_in_words(kind: EventKind) -> &'static str {
    use EventKind as K;
    match kind {
        K::ResourceRegistered => "Put under guard",
        K::ResourceUpdated => "Its description changed",
        K::ResourceDeleted => "No longer guarded here",
        K::PolicyCreated => "Shared",
        K::PolicyUpdated => "A share was changed",
        K::PolicyDeleted => "A share was withdrawn",
        K::ClaimsGathered => "Somebody showed who they are",
        K::RptIssued => "Access was given",
        K::RptUpgraded => "Access was widened",
        K::RptRefreshed => "Access was renewed",
        K::RptRevoked => "Access was given back",
        K::RptRefused => "Access was not given",
        K::RequestSubmitted => "Somebody asked you",
        K::RequestApproved => "A request was approved",
        K::RequestDenied => "A request was refused",
        K::RequestExpired => "A request ran out",
        K::CredentialRegistered => "A key of yours was registered",
        K::CredentialWithdrawn => "A key of yours was withdrawn",
        K::DelegationCreated => "You let somebody decide for you",
        K::DelegationWithdrawn => "Somebody no longer decides for you",
        K::ManagerLinked => "A desk is told of requests to you",
        K::ManagerUnlinked => "A desk is told nothing more",
        K::ResourceServerLinked => "A place that keeps things of yours was linked",
        K::ResourceServerUnlinked => "A place that keeps things of yours was unlinked",
        K::ServerRestored => "This server was put back to an earlier state: what you changed after it has to be done again",
    }
}

/// Most names that stand in one line.
const NAMES_OF_LINE: usize = 3;

/// `Holiday, Garden, Letters and 12 more`: names of some of so many things.
pub fn few_in_words(names: &[String], count: usize) -> String {
    let shown = names.get(..NAMES_OF_LINE).unwrap_or(names);
    match (shown, count.saturating_sub(shown.len())) {
        (all, more) if more > 0 => format!("{} and {more} more", all.join(", ")),
        ([rest @ .., last], _) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        (all, _) => all.join(", "),
    }
}

/// How it ended: a word, and the class of its tag.
pub fn outcome_in_words(outcome: EventOutcome) -> (&'static str, &'static str) {
    match outcome {
        EventOutcome::Granted => ("granted", ""),
        EventOutcome::Partial => ("granted in part", ""),
        EventOutcome::NeedInfo => ("asked who they are", "wait"),
        EventOutcome::Submitted => ("waits for you", "wait"),
        EventOutcome::Denied => ("refused", "no"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_names_stand_for_many() {
        let names: Vec<String> = ["A", "B", "C", "D"].map(str::to_owned).into();
        for (shown, count, words) in [
            (1, 1, "A"),
            (2, 2, "A and B"),
            (3, 3, "A, B and C"),
            (4, 4, "A, B, C and 1 more"),
            (4, 15, "A, B, C and 12 more"),
            (1, 9, "A and 8 more"),
        ] {
            assert_eq!(few_in_words(&names[..shown], count), words);
        }
    }
}
