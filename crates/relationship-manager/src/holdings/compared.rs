//! What authorization servers list, held against what she signed. What differs is told in plain words, and the ledger
//! stands (threat 36).

use super::{Doubt, Known, key_of_own};
use crate::ledger::{Ledger, Said, Word};
use crate::store::Place;
use crate::words;
use std::collections::{HashMap, HashSet};
use types::delegation::DelegationDocument;
use types::policy::PolicyDocument;
use types::{PolicyId, Timestamp};

/// What was found.
#[derive(Default)]
pub(super) struct Compared {
    pub(super) doubts: Vec<Doubt>,
    /// Policies, by issuer and id, that are a word of hers as that server lists it.
    of_ledger: HashSet<(String, PolicyId)>,
}

impl Compared {
    /// Whether this is what a server makes of a word of hers: it is shown from the ledger, and not a second time.
    pub(super) fn is_of_ledger(&self, issuer: &str, policy: &PolicyDocument) -> bool {
        policy.id.as_ref().is_some_and(|id| self.of_ledger.contains(&(issuer.to_owned(), id.clone())))
    }
}

/// Words by what a list may name them by.
struct Index<'a> {
    by_text: HashMap<&'a str, (&'a str, &'a Word)>,
    by_jti: HashMap<&'a str, Vec<(&'a str, &'a Word)>>,
}

impl<'a> Index<'a> {
    fn of(ledger: &'a Ledger) -> Self {
        let mut by_jti: HashMap<&str, Vec<(&str, &Word)>> = HashMap::new();
        ledger.iter().for_each(|(id, word)| by_jti.entry(word.jti()).or_default().push((id, word)));
        Self { by_text: ledger.iter().map(|(id, word)| (word.text.as_str(), (id, word))).collect(), by_jti }
    }

    /// The word that this server means by this policy: by its text, else by its name, where the word is for that server.
    fn find(&self, issuer: &str, text: Option<&str>, id: Option<&str>) -> Option<(&'a str, &'a Word)> {
        if let Some(found) = text.and_then(|text| self.by_text.get(text)) {
            return Some(*found);
        }
        // of a token about several things, the second one's policy is called `jti:2`
        let jti = id?.split(':').next().unwrap_or_default();
        let all = self.by_jti.get(jti)?;
        all.iter().find(|(_, word)| word.guards.iter().any(|guard| guard == issuer)).copied()
    }
}

pub(super) fn compare(servers: &[Known], ledger: &Ledger, now: Timestamp) -> Compared {
    let (mut compared, index) = (Compared::default(), Index::of(ledger));
    let of_ledger = &mut compared.of_ledger;
    for known in servers {
        let (Place::AuthorizationServer { issuer }, Some(answered)) = (&known.link.place, known.snapshot.answered) else {
            continue;
        };
        let doubts = &mut compared.doubts;
        let of_word = |word: &Word, words: String| Doubt { server: issuer.clone(), thing: thing_of(word), words, again: None };
        let still = |id: &str, word: &Word| Doubt {
            again: Some(id.to_owned()),
            ..of_word(word, format!("still lists what you took back: {}", in_words(word)))
        };
        let mut seen: HashSet<&str> = HashSet::new();
        for policy in &known.snapshot.policies {
            let id = policy.id.as_ref().map(PolicyId::as_str);
            let Some((word_id, word)) = index.find(issuer, policy.authority.as_deref(), id) else { continue };
            seen.insert(word_id);
            of_ledger.extend(policy.id.clone().map(|id| (issuer.clone(), id)));
            if word.is_live(now) {
                doubts.extend(difference(word, policy).map(|words| of_word(word, words)));
            } else if still_listed(word, answered) {
                doubts.push(still(word_id, word));
            }
        }
        for one in &known.snapshot.delegations {
            let Some((word_id, word)) = index.find(issuer, one.delegation.as_deref(), one.id.as_deref()) else { continue };
            seen.insert(word_id);
            if word.is_live(now) {
                doubts.extend(delegation_difference(word, one).map(|words| of_word(word, words)));
            } else if still_listed(word, answered) {
                doubts.push(still(word_id, word));
            }
        }
        // what was signed before it was asked, and is not in its answer
        let owed = |word: &Word| word.guards.contains(issuer) && word.since < answered && !word.is_of_other_account(&known.link);
        let missing = ledger.live(now).filter(|(id, word)| owed(word) && !seen.contains(id));
        doubts.extend(missing.map(|(_, word)| of_word(word, format!("does not list what you signed: {}", in_words(word)))));
    }
    compared
}

/// The thing that it is about; of several, the first.
fn thing_of(word: &Word) -> Option<String> {
    let Said::Share(token) = &word.said else { return None };
    token.resources.first().map(|one| key_of_own(one.resource_server.as_str(), &one.resource_id))
}

/// Whether it has had the time to hear of it.
fn still_listed(word: &Word, answered: Timestamp) -> bool {
    const TIME_TO_HEAR_SECONDS: i64 = 60;
    word.withdrawn.is_some_and(|at| at.plus(TIME_TO_HEAR_SECONDS) < answered)
}

fn in_words(word: &Word) -> String {
    match &word.said {
        Said::Share(token) => format!("{}, for {}", word.name, words::who_of_token(&token.allowed_rqp).name()),
        Said::Delegation(delegation) => format!("that {} decides for you", words::readable(&delegation.sub)),
    }
}

/// How a server tells otherwise of what she signed.
fn difference(word: &Word, policy: &PolicyDocument) -> Option<String> {
    let Said::Share(token) = &word.said else { return None };
    let what = in_words(word);
    if policy.authority.as_deref() != Some(word.text.as_str()) {
        let who = words::who(&policy.required_claims);
        let may = words::may(&who, &[word.name.as_str()], &policy.resource_scopes);
        return Some(format!("shows {what} without what you signed, as: {may}"));
    }
    let who = words::who(&policy.required_claims);
    if who != words::who_of_token(&token.allowed_rqp) {
        return Some(format!("lists what you signed ({what}) as if it were for somebody else: {}", who.name()));
    }
    let signed = token.resources.iter().any(|one| policy.resource_scopes.is_subset(&one.allowed_scopes));
    if !signed {
        return Some(format!("lists what you signed ({what}) as if it let more pass"));
    }
    if policy.expires_at.is_none_or(|end| end > token.exp) {
        return Some(format!("lists what you signed ({what}) as if it ended later"));
    }
    None
}

fn delegation_difference(word: &Word, one: &DelegationDocument) -> Option<String> {
    let Said::Delegation(delegation) = &word.said else { return None };
    let same = one.delegation.as_deref() == Some(word.text.as_str())
        && one.resources == delegation.resources
        && one.resource_scopes.is_subset(&delegation.resource_scopes)
        && one.may.iter().all(|may| delegation.may.contains(may))
        && one.expires_at.is_some_and(|end| end <= delegation.exp);
    (!same).then(|| format!("lists what you signed otherwise: {}", in_words(word)))
}
