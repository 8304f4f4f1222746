//! Answers of other makers, member by member.

use super::*;
use crate::introspection::{self, Introspection};
use crate::metadata::{self, Metadata, ProtectedResourceMetadata};
use crate::policy::PolicyDocument;
use crate::token::{ContinuedProcess, TokenResponse};
use serde_json::json;

fn with(base: &Value, name: &str, value: &Value) -> Value {
    let mut changed = base.clone();
    changed.as_object_mut().unwrap().insert(name.to_owned(), value.clone());
    changed
}

/// Whatever stands in a member that may be left out, the answer reads.
fn reads_whatever_stands_in<T: DeserializeOwned + serde::Serialize>(base: &Value, optional: &[&str], needed: &[&str]) {
    let plain = read::<T>(base.clone(), needed).unwrap_or_else(|error| panic!("{error}: {base}"));
    for name in optional {
        for value in [
            json!(null),
            json!([]),
            json!({}),
            json!(7),
            json!("7"),
            json!("text"),
            json!(true),
            json!([null]),
            json!(-1.5),
            json!([[1]]),
        ] {
            let changed = with(base, name, &value);
            let answer = read::<T>(changed, needed).unwrap_or_else(|error| panic!("{name} = {value}: {error}"));
            if value.is_null() {
                let same = serde_json::to_value(&answer.said).unwrap() == serde_json::to_value(&plain.said).unwrap();
                assert!(same && answer.left_out.is_empty(), "{name}: null is as if it were not there");
            }
        }
    }
    assert!(read::<T>(with(base, "some-extension", &json!({"a": [1]})), needed).unwrap().left_out.is_empty());
}

#[test]
fn threat_39_s37_optional_members_are_optional_whatever_stands_there() {
    let token = json!({"access_token": "t", "token_type": "Bearer"});
    let optional = ["expires_in", "refresh_token", "scope", "id_token", "pct", "upgraded"];
    reads_whatever_stands_in::<TokenResponse>(&token, &optional, &["resource"]);
    let server = json!({"issuer": "https://as.example"});
    let optional = [
        "scopes_supported",
        "grant_types_supported",
        "registration_endpoint",
        "claims_parameter_supported",
        "prompt_values_supported",
        "policy_endpoint",
        "uma_profiles_supported",
        "end_session_endpoint",
    ];
    reads_whatever_stands_in::<Metadata>(&server, &optional, &metadata::NARROWING);
    let resource = json!({"resource": "https://rs.example"});
    let optional = ["authorization_servers", "jwks_uri", "resource_management_endpoint", "bearer_methods_supported"];
    reads_whatever_stands_in::<ProtectedResourceMetadata>(&resource, &optional, &["resource"]);
    let process = json!({"error": "need_info", "ticket": "t"});
    let optional = ["error_description", "required_claims", "redirect_user", "interval"];
    reads_whatever_stands_in::<ContinuedProcess>(&process, &optional, &[]);
    let active = json!({"active": true});
    reads_whatever_stands_in::<Introspection>(
        &active,
        &["scope", "username", "sub", "iat", "token_type"],
        &introspection::NARROWING,
    );
}

#[test]
fn threat_39_s37_numbers_and_texts_come_in_either_form() {
    for (said, read_as) in [
        (json!(3600), Some(3600)),
        (json!("3600"), Some(3600)),
        (json!(" 3600 "), Some(3600)),
        (json!(3599.9), Some(3599)),
        (json!("59.5"), Some(59)),
        (json!(-1), Some(-1)),
        (json!("soon"), None),
        (json!(1e300), None),
        (json!("NaN"), None),
        (json!(null), None),
        (json!([60]), None),
    ] {
        let token = json!({"access_token": "t", "token_type": "Bearer", "expires_in": said});
        let token = read::<TokenResponse>(token, &[]).unwrap().said;
        assert_eq!(token.expires_in, read_as, "{said}");
    }
    let token = json!({"access_token": 12345, "token_type": "Bearer"});
    assert_eq!(read::<TokenResponse>(token, &[]).unwrap().said.access_token, "12345");
}

/// What makes an answer stricter is understood, or the answer is not.
#[test]
fn threat_48_s37_what_narrows_an_answer_is_not_left_out() {
    let base = json!({"active": true, "permissions": [{"resource_id": "r", "resource_scopes": ["view"]}]});
    for (name, value) in [
        ("exp", json!("tomorrow")),
        ("permissions", json!({})),
        ("permissions", json!([{"resource_id": "r", "resource_scopes": "view"}])),
        ("permissions", json!([{"resource_id": "r", "resource_scopes": ["view"], "exp": "tomorrow"}])),
        ("aud", json!(7.5)),
        ("active", json!("yes")),
    ] {
        assert!(read::<Introspection>(with(&base, name, &value), &introspection::NARROWING).is_err(), "{name} = {value}");
    }
    let exp = read::<Introspection>(with(&base, "exp", &json!("1800000000")), &introspection::NARROWING).unwrap().said.exp;
    assert_eq!(exp.map(|exp| exp.0), Some(1_800_000_000), "a number as text says the same");
    for member in ["authorization_response_iss_parameter_supported", "claims_response_iss_parameter_supported"] {
        let iss = json!({"issuer": "https://as.example", member: "true"});
        assert!(read::<Metadata>(iss, &metadata::NARROWING).is_err(), "{member}");
    }
}

#[test]
fn threat_39_s37_what_is_left_out_is_told() {
    let policy = json!({"_id": "p", "resource_id": "r", "resource_scopes": ["view"], "expires_at": "tomorrow", "defer_to": {"x": 1},
        "required_claims": [{"name": "email", "value": ["bob@bar.example"], "weight": 3}], "max_uses": null});
    let Answer { said, left_out } = read::<PolicyDocument>(policy, &[]).unwrap();
    assert_eq!(said.required_claims.len(), 1);
    let named: BTreeSet<&str> = left_out.iter().map(String::as_str).collect();
    assert_eq!(named, BTreeSet::from(["expires_at", "defer_to", "required_claims.0.weight"]));
    for bad in [json!(null), json!([]), json!("x"), json!({}), json!({"_id": "p"})] {
        assert!(read::<PolicyDocument>(bad.clone(), &[]).is_err(), "{bad}");
    }
}

#[test]
fn threat_39_s37_an_answer_of_nothing_but_mistakes_ends() {
    let many: Value = (0..10_000).map(|n| (format!("m{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
    assert!(read::<PolicyDocument>(many, &[]).is_err());
}
