//! What she signed and ends soon: proposed to be signed anew when her key is open, shown as it will be signed, and never signed
//! by itself. The old word is withdrawn once the new one stands.

use crate::Manager;
use crate::holdings::{Basis, Holdings, Thing};
use crate::ledger::{Said, Word, scopes_for};
use crate::person::Person;
use crate::signing::{Draft, Form, LIFETIME, Prepared, jti_of};
use jose::ResourceOwnerToken;
use serde_json::json;
use types::{OwnResourceId, Timestamp};

/// Seconds before its end from which on a signed share is proposed.
const SOON: i64 = 14 * 86_400;

/// Whether a token of these times is to be proposed: one that was signed for our usual lifetime, because she named no end.
/// What ends on a day that she chose ends then.
fn ends_soon(begin: i64, end: i64, now: Timestamp) -> bool {
    end.saturating_sub(begin) == LIFETIME && now.0 < end && end < now.plus(SOON).0
}

/// Something that she signed and that ends soon: the word, and one of the things that it names.
pub(crate) struct EndingWord<'a> {
    pub(crate) id: &'a str,
    pub(crate) token: &'a ResourceOwnerToken,
    pub(crate) thing: &'a Thing,
    pub(crate) own_id: &'a OwnResourceId,
}

impl Holdings {
    /// What of her ledger ends soon, thing by thing. Nothing that a server lists comes in here (threat 36).
    pub(crate) fn ending_words(&self, now: Timestamp) -> Vec<EndingWord<'_>> {
        let of = |(id, word)| {
            let (id, word): (&str, &Word) = (id, word);
            let Said::Share(token) = &word.said else { return Vec::new() };
            if !ends_soon(token.iat.0, token.exp.0, now) {
                return Vec::new();
            }
            let things = token.resources.iter().filter_map(|one| {
                let thing = self.kept(one.resource_server.as_str(), one.resource_id.as_str())?;
                // one that its keeper says is taken back is no share any more
                let stands = thing.shares.iter().any(|share| matches!(&share.basis, Basis::Signed { word } if word == id));
                (thing.is_vouched && stands).then_some(EndingWord { id, token, thing, own_id: &one.resource_id })
            });
            things.collect()
        };
        self.ledger.live(now).flat_map(of).collect()
    }
}

impl Manager {
    /// What she would sign to renew what ends soon: the same words about the same thing, by the key that she has now, with a
    /// new end. One token for each thing, for the server that guards it now.
    pub(crate) fn prepare_renewal(&self, person: &Person, holdings: &Holdings, did: &str) -> (String, Prepared) {
        let now = self.now();
        let draft = |ending: EndingWord<'_>| {
            let (token, thing) = (ending.token, ending.thing);
            let scopes = scopes_for(token, &thing.server, ending.own_id);
            let guard = thing.usable_guards().find(|guard| token.aud.contains(&guard.issuer))?;
            let claims = json!({
                "jti": jti_of(self), "iss": did, "resource_owner_id": did, "aud": [thing.server, guard.issuer], "iat": now,
                "exp": now.plus(LIFETIME), "resources": [thing.entry(&scopes)?], "allowed_rqp": token.allowed_rqp,
            });
            let (link, name, guard) = (guard.link.clone()?, thing.name.clone(), guard.issuer.clone());
            let (replaces, placed) = (Some(ending.id.to_owned()), holdings.placed_as(&link, [thing.server.as_str()]));
            Some(Draft { form: Form::ResourceOwnerToken, link, guard, name, claims, placed, replaces })
        };
        let mut drafts: Vec<Draft> = holdings.ending_words(now).into_iter().filter_map(draft).collect();
        // the old word goes only where all that it names stands anew
        let parts = |id: &String| match holdings.word(id).map(|word| &word.said) {
            Some(Said::Share(token)) => token.resources.len(),
            _ => usize::MAX,
        };
        let renewed: Vec<String> = drafts.iter().filter_map(|draft| draft.replaces.clone()).collect();
        let whole = |id: &String| renewed.iter().filter(|one| *one == id).count() >= parts(id);
        drafts.iter_mut().for_each(|draft| draft.replaces = draft.replaces.take().filter(whole));
        self.keep_shown(person, drafts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_soon_and_was_not_meant_to_is_proposed() {
        let begin = 1_000_000;
        let end = begin + LIFETIME;
        for (begin, end, now, soon) in [
            (begin, end, begin, false),
            (begin, end, end - SOON, false),
            (begin, end, end - SOON + 1, true),
            (begin, end, end - 1, true),
            (begin, end, end, false),
            (begin, begin + 86_400, begin, false),
        ] {
            assert_eq!(ends_soon(begin, end, Timestamp(now)), soon, "{begin} {end} {now}");
        }
    }
}
