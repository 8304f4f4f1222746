//! A delegation that is taken is within its bounds, cannot be passed on, and is written again as the same.

use super::shared::{alike, choose, signer, strangers, tamper};
use jose::delegation::{MAX_RESOURCES, TYPE, sign};
use jose::resource_owner_token::{MAX_BYTES, RotError};
use jose::{KeySet, UnverifiedDelegation};
use serde_json::Value;
use types::delegation::Covered;

pub(crate) fn holds(data: &[u8]) {
    let (choice, rest) = choose(data);
    match choice % 2 {
        0 => sent(&String::from_utf8_lossy(rest)),
        _ => signed(choice, rest),
    }
}

fn sent(text: &str) {
    let Ok(delegation) = UnverifiedDelegation::parse(text) else { return };
    assert!(text.len() <= MAX_BYTES);
    let _ = delegation.issuer();
    assert!(delegation.verify(strangers()).is_err());
}

fn signed(choice: u8, payload: &[u8]) {
    let Ok(claims) = types::json::parse::<Value>(payload) else { return };
    let own = || KeySet::new(vec![signer().public().clone()]);
    let text = signer().sign(TYPE, &claims).unwrap();
    let read = |text: &str| UnverifiedDelegation::parse(text)?.verify(&own());
    let Ok(delegation) = read(&text) else { return };
    assert!(text.len() <= MAX_BYTES && delegation.delegation.is_none() && delegation.iss != delegation.sub);
    assert!(delegation.iat < delegation.exp && !delegation.aud.is_empty());
    assert!(!delegation.may.is_empty() && !delegation.resource_scopes.is_empty());
    if let Covered::Only(some) = &delegation.resources {
        assert!((1..=MAX_RESOURCES).contains(&some.len()));
    }
    let other = tamper(&text, usize::from(choice).wrapping_mul(payload.len()));
    assert!(other == text || read(&other).is_err());
    let again = sign(signer(), &delegation).unwrap();
    let keys = KeySet::new(vec![signer().public().clone().with_kid(delegation.iss.clone())]);
    match UnverifiedDelegation::parse(&again).and_then(|delegation| delegation.verify(&keys)) {
        Ok(second) => assert!(alike(&serde_json::to_value(&*delegation).unwrap(), &serde_json::to_value(&*second).unwrap())),
        Err(error) => assert_eq!(error, RotError::TooLong),
    }
}
