//! How much a policy is once it is read: what is kept in memory and what one call judges by are measured so, and not by how
//! short it was written (threat 46). Called wherever a policy is made, kept or judged by.

use super::Policy;
use types::json::{weight_of, weight_of_text};
use types::policy::ClaimCondition;
use types::{ErrorCode, Refusal};

/// Most bytes in memory of a policy that is made now. Older ones that take more are read as they are.
const MAX_WEIGHT: usize = 256 * 1024;
/// A policy counts as one, where calls have room for so many; one that is larger counts as several.
const BYTES_OF_ONE: usize = 4 * 1024;

impl Policy {
    /// Bytes that it takes in memory, about.
    pub fn weight(&self) -> usize {
        let texts = self.scopes.iter().map(|scope| weight_of_text(scope.as_str()));
        let texts = texts.chain(self.clients.iter().map(|client| weight_of_text(client.as_str())));
        let texts = texts.chain(self.purpose.iter().map(|purpose| weight_of_text(purpose)));
        let texts = texts.chain(self.authority.iter().map(|authority| weight_of_text(&authority.token)));
        let parts: usize = texts.chain(self.conditions.iter().map(weight_of_condition)).sum();
        parts.saturating_add(size_of::<Self>()).saturating_add(self.owner.as_str().len())
    }

    /// As how many policies it counts where a call judges by so many.
    pub fn counts_as(&self) -> usize {
        (self.weight() / BYTES_OF_ONE).max(1)
    }

    /// Refuses a new one that would take more memory than a policy has.
    pub(crate) fn check_weight(&self) -> Result<(), Refusal> {
        match self.weight() > MAX_WEIGHT {
            true => Err(Refusal::new(
                ErrorCode::InvalidRequest,
                format!(
                    "a policy takes at most {MAX_WEIGHT} bytes once it is read: name fewer clients, scopes or issuers in one"
                ),
            )),
            false => Ok(()),
        }
    }
}

fn weight_of_condition(condition: &ClaimCondition) -> usize {
    let texts = condition.issuer.iter().chain(&condition.claim_token_format).map(|text| weight_of_text(text));
    let parts: usize = texts.chain(condition.value.iter().map(weight_of)).sum();
    parts.saturating_add(size_of::<ClaimCondition>()).saturating_add(condition.name.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use types::{OwnerId, PolicyId, Timestamp};

    fn made(document: Value) -> Result<Policy, String> {
        let document = serde_json::from_value(document).unwrap();
        Policy::from_document(document, PolicyId::new("p"), OwnerId::new("alice"), 0, Timestamp(1))
            .map_err(|refusal| refusal.description)
    }

    fn with(claims: Value) -> Result<Policy, String> {
        made(json!({"resource_id": "r", "resource_scopes": ["view"], "required_claims": claims}))
    }

    #[test]
    fn threat_46_a_policy_names_a_thousand_values_in_all() {
        let claim = |name: &str, count: usize| json!({"name": name, "value": vec![1; count]});
        assert!(with(json!([claim("a", 1_000)])).is_ok());
        assert!(with(json!([claim("a", 500), claim("b", 500)])).is_ok());
        for many in [
            json!([claim("a", 1_001)]),
            json!([claim("a", 500), claim("b", 501)]),
            json!([{"name": "a", "value": [vec![1; 1_000]]}]),
        ] {
            let refused = with(many).unwrap_err();
            assert!(refused.contains("at most 1000 values"), "{refused}");
        }
    }

    #[test]
    fn threat_46_what_is_short_to_write_is_not_long_to_keep() {
        let clients =
            |count: usize| made(json!({"resource_id": "r", "resource_scopes": ["view"], "client_id": vec!["a"; count]}));
        assert!(clients(1_000).is_ok());
        assert!(clients(20_000).unwrap_err().contains("bytes once it is read"));
        let small = with(json!([{"name": "email", "value": ["bob@bar.example"]}])).unwrap();
        let large = with(json!([{"name": "n", "value": vec!["x".repeat(90); 1_000]}])).unwrap();
        assert_eq!((small.counts_as(), large.counts_as()), (1, 29), "{} {}", small.weight(), large.weight());
    }
}
