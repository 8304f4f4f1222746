//! What she signed and ends soon: proposed to be signed anew when her key is open, shown as it will be signed, and never signed
//! by itself. The old word is withdrawn once the new one stands.

use crate::Manager;
use crate::holdings::{Holdings, Share, Thing};
use crate::person::Person;
use crate::signing::{Draft, Form, LIFETIME, Prepared, jti_of};
use jose::UnverifiedJws;
use serde_json::json;
use types::Timestamp;

/// Seconds before its end from which on a signed share is proposed.
const SOON: i64 = 14 * 86_400;

/// Whether a token of these times is to be proposed: one that was signed for our usual lifetime, because she named no end.
/// What ends on a day that she chose ends then.
fn ends_soon(begin: i64, end: i64, now: Timestamp) -> bool {
    end.saturating_sub(begin) == LIFETIME && now.0 < end && end < now.plus(SOON).0
}

impl Holdings {
    /// Signed shares that end soon.
    pub(crate) fn ending(&self, now: Timestamp) -> Vec<(&Thing, &Share)> {
        let soon = |share: &&Share| {
            let Some(claims) = share.token.as_deref().and_then(|token| UnverifiedJws::parse(token).ok()) else { return false };
            let number = |name: &str| claims.claimed_value(name).and_then(|value| value.as_i64()).unwrap_or_default();
            ends_soon(number("iat"), number("exp"), now)
        };
        let of = |thing| {
            let thing: &Thing = thing;
            thing.shares.iter().filter(soon).map(move |share| (thing, share)).collect::<Vec<_>>()
        };
        self.things.iter().flat_map(of).collect()
    }
}

impl Manager {
    /// What she would sign to renew what ends soon: the same words, by the key that she has now, with a new end.
    pub(crate) fn prepare_renewal(&self, person: &Person, holdings: &Holdings, did: &str) -> (String, Prepared) {
        let now = self.now();
        let draft = |(thing, share): (&Thing, &Share)| {
            let old = UnverifiedJws::parse(share.token.as_deref()?).ok()?;
            let claims = json!({
                "jti": jti_of(self), "iss": did, "resource_owner_id": did, "aud": old.claimed_value("aud")?, "iat": now,
                "exp": now.plus(LIFETIME), "resources": old.claimed_value("resources")?,
                "allowed_rqp": old.claimed_value("allowed_rqp")?,
            });
            let replaces = Some((thing.key.clone(), share.policy.as_str().to_owned()));
            let (link, name) = (share.link.clone(), thing.name.clone());
            Some(Draft { form: Form::ResourceOwnerToken, link, name, claims, replaces })
        };
        let drafts = holdings.ending(now).into_iter().filter_map(draft).collect();
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
