//! A resource owner token that is taken is within its bounds, is written again as the same, and is nobody's who did not
//! sign it.

use super::shared::{alike, choose, signer, strangers, tamper};
use jose::resource_owner_token::{MAX_BYTES, MAX_RESOURCES, RotError, TYPE, sign};
use jose::{KeySet, UnverifiedToken};
use serde_json::Value;

pub(crate) fn holds(data: &[u8]) {
    let (choice, rest) = choose(data);
    match choice % 2 {
        0 => sent(&String::from_utf8_lossy(rest)),
        _ => signed(choice, rest),
    }
}

fn sent(text: &str) {
    let Ok(token) = UnverifiedToken::parse(text) else { return };
    assert!(text.len() <= MAX_BYTES);
    let _ = (token.issuer(), token.delegation());
    assert!(token.verify(strangers()).is_err());
}

fn signed(choice: u8, payload: &[u8]) {
    let Ok(claims) = types::json::parse::<Value>(payload) else { return };
    let own = || KeySet::new(vec![signer().public().clone()]);
    let text = signer().sign(TYPE, &claims).unwrap();
    let read = |text: &str| UnverifiedToken::parse(text)?.verify(&own());
    let token = match read(&text) {
        Ok(token) => token,
        Err(RotError::Content(_) | RotError::TooLong | RotError::Jws(_)) => return,
    };
    assert!(text.len() <= MAX_BYTES && (1..=MAX_RESOURCES).contains(&token.resources.len()));
    assert!(token.iat < token.exp && !token.aud.is_empty() && !token.jti.is_empty() && token.jti.len() <= 128);
    assert!(token.resources.iter().all(|one| !one.allowed_scopes.is_empty()));
    assert!(token.delegation.is_some() || token.iss == token.resource_owner_id);
    let other = tamper(&text, usize::from(choice).wrapping_mul(payload.len()));
    assert!(other == text || read(&other).is_err());
    // under the kid that `iss` says, as the desk signs it
    let again = sign(signer(), &token).unwrap();
    let keys = KeySet::new(vec![signer().public().clone().with_kid(token.iss.clone())]);
    match UnverifiedToken::parse(&again).and_then(|token| token.verify(&keys)) {
        Ok(second) => assert!(alike(&serde_json::to_value(&*token).unwrap(), &serde_json::to_value(&*second).unwrap())),
        // a long `iss` stands twice, in the header too
        Err(error) => assert_eq!(error, RotError::TooLong),
    }
}
