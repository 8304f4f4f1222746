//! Which claim tokens count, and where conditions stand on what they say.

use super::*;
use jose::{Algorithm, KeySet, SigningKey, UnverifiedJws};
use serde_json::json;

const NOW: Timestamp = Timestamp(1_800_000_000);

fn trust() -> Trust {
    Trust {
        issuer: "https://idp.bar.example".into(),
        claims: ["email", "email_verified", "name"].map(str::to_owned).into(),
        email_domains: vec!["bar.example".into()],
    }
}

fn token(changes: Value) -> Verified<ClaimToken> {
    let mut claims = json!({
        "iss": "https://idp.bar.example", "sub": "bob", "aud": "viewer", "exp": NOW.0 + 300, "iat": NOW.0,
        "email": "Bob@bar.example", "email_verified": true, "name": "Bob", "role": "admin",
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let text = key.sign("JWT", &claims).unwrap();
    UnverifiedJws::parse(&text).unwrap().verify(&KeySet::new(vec![key.public().clone()])).unwrap().claims().unwrap()
}

fn accept_with(changes: Value, may_push_claims: bool) -> Result<Accepted, NotCounted> {
    let here = Presentation {
        issuer: &"https://as.example".into(),
        client: &"viewer".into(),
        may_push_claims,
        ticket_challenge: "this-ticket",
        max_age: 3600,
        now: NOW,
        format: types::token::ID_TOKEN_FORMAT,
    };
    accept(&token(changes), &trust(), &here)
}

/// Threats 1 and 2; Cases: G-5.7-2, G-5.7-3
#[test]
fn threat_02_a_token_for_somebody_else_does_not_count() {
    assert!(accept_with(json!({}), true).is_ok());
    assert!(accept_with(json!({"aud": "https://as.example"}), true).is_ok());
    assert_eq!(accept_with(json!({"aud": "other-client"}), true), Err(NotCounted::Audience));
    assert_eq!(accept_with(json!({"aud": ["viewer", "other"]}), true), Err(NotCounted::Audience));
    assert_eq!(accept_with(json!({"azp": "other"}), true), Err(NotCounted::Audience));
    // a client that may not push: only for us, and only with this very ticket
    assert_eq!(accept_with(json!({}), false), Err(NotCounted::Audience));
    assert_eq!(accept_with(json!({"aud": "https://as.example"}), false), Err(NotCounted::Ticket));
    let bound = json!({"aud": "https://as.example", "ticket_challenge": "this-ticket"});
    assert!(accept_with(bound, false).is_ok());
    assert_eq!(accept_with(json!({"ticket_challenge": "another"}), true), Err(NotCounted::Ticket));
}

#[test]
fn a_stale_token_does_not_count() {
    for stale in
        [json!({"exp": NOW.0 - 61}), json!({"iat": NOW.0 - 3661}), json!({"iat": NOW.0 + 61}), json!({"nbf": NOW.0 + 61})]
    {
        assert_eq!(accept_with(stale.clone(), true), Err(NotCounted::Stale), "{stale}");
    }
}

#[test]
fn an_address_counts_only_verified_and_within_the_issuers_domains() {
    let has_email = |changes| accept_with(changes, true).unwrap().claims.iter().any(|c| c.name == "email");
    assert!(has_email(json!({})));
    assert!(!has_email(json!({"email_verified": null})));
    assert!(!has_email(json!({"email_verified": "true"})));
    assert!(!has_email(json!({"email": "bob@foo.example"})));
    let names: Vec<_> = accept_with(json!({}), true).unwrap().claims.into_iter().map(|c| c.name).collect();
    assert!(!names.contains(&"role".to_owned()), "only trusted claims are taken");
}

#[test]
fn a_condition_holds_is_open_or_is_wrong() {
    let mut claims = Claims::default();
    let condition = ClaimCondition {
        name: "email".into(),
        issuer: vec!["https://idp.bar.example".into()],
        value: vec![json!("bob@bar.example")],
        claim_token_format: vec![],
    };
    assert_eq!(claims.standing(&condition), Standing::Open);
    let mut claim = Claim {
        name: "email".into(),
        value: json!("bob@bar.example"),
        issuer: "https://elsewhere.example".into(),
        format: types::token::ID_TOKEN_FORMAT.into(),
        auth_time: None,
    };
    claims.state(claim.clone());
    assert_eq!(claims.standing(&condition), Standing::Open, "another issuer's word leaves it open");
    claim.issuer = "https://idp.bar.example".into();
    claim.value = json!("eve@bar.example");
    claims.state(claim.clone());
    assert_eq!(claims.standing(&condition), Standing::Wrong);
    claim.value = json!("BOB@bar.example");
    claims.state(claim);
    assert_eq!(claims.standing(&condition), Standing::Holds);
}

fn subject(iss: &str, sub: &str) -> Subject {
    Subject { iss: iss.into(), sub: sub.to_owned() }
}

#[test]
fn threat_46_nobody_is_known_by_keys_without_end() {
    let mut party = RequestingParty::of(subject("https://as.example", "bob"));
    let keys = (0..2_000).filter(|n| {
        let did = format!("did:key:z{n}");
        party.admit(subject(&did, &did)).is_ok()
    });
    assert_eq!(keys.count(), 4);
    let more = (0..2_000).filter(|n| party.admit(subject(&format!("https://i{n}.example"), "bob")).is_ok()).count();
    assert_eq!((more, party.iter().count()), (11, 16));
    assert!(party.admit(subject("https://as.example", "bob")).is_ok(), "what is known stays");
    assert!(party.is_one_person());
}

#[test]
fn threat_41_s16_keys_of_ones_own_make_nobody_another_person() {
    let bob = RequestingParty::of(subject("https://as.example", "bob"));
    let mut with_key = bob.clone();
    with_key.admit(subject("did:key:z1", "did:key:z1")).unwrap();
    assert_eq!((with_key.person(), bob.person()), (bob.clone(), bob));
    let key = RequestingParty::of(subject("did:key:z1", "did:key:z1"));
    assert_eq!(key.person(), key, "whom nothing else names");
}
