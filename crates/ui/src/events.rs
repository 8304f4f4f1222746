//! Events in plain words, for every page that tells of them.

use types::event::{Crowd, EventKind, EventOutcome};

/// Who they were of whom an event tells together.
pub fn crowd_in_words(crowd: Crowd) -> String {
    let Crowd { different, times, of_one_network } = crowd;
    format!("at least {different} more people or applications, {times} times, {of_one_network} of these from one network")
}

/// What happened, as the beginning of a line.
pub fn kind_in_words(kind: EventKind) -> &'static str {
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
        K::ResourceServerLinked => "A resource server was linked",
        K::ResourceServerUnlinked => "A resource server was unlinked",
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
