//! What is read of others' answers.

use super::*;
use serde_json::json;
use types::error::ErrorBody;

fn read<T: serde::de::DeserializeOwned>(answer: &Value) -> Result<T, String> {
    types::json::parse(answer.to_string().as_bytes()).map_err(|error| error.to_string())
}

/// What standards leave optional may be left out, in every answer that we read.
#[test]
fn s37_optional_members_of_others_answers_are_optional() {
    // RFC 7591 3.2.1
    let registered: Registered = read(&json!({"client_id": "c"})).unwrap();
    assert_eq!((registered.client_id.as_str(), registered.client_secret), ("c", None));
    let more = json!({"client_id": "c", "client_secret": "s", "client_secret_expires_at": 0, "redirect_uris": null,
        "token_endpoint_auth_method": "tls_client_auth", "contacts": ["a@b.example"]});
    assert_eq!(read::<Registered>(&more).unwrap().client_secret.as_deref(), Some("s"));
    assert!(read::<Registered>(&json!({"client_secret": "s"})).is_err());
    // RFC 6749 5.1, 5.2
    assert!(read::<TokenResponse>(&json!({"access_token": "t", "token_type": "bearer"})).is_ok());
    assert!(read::<ErrorBody>(&json!({"error": "invalid_grant"})).is_ok());
    // RFC 7662 2.2: one audience or several
    for aud in [json!("a"), json!(["b", "a"])] {
        let answer: Introspection = read(&json!({"active": true, "aud": aud})).unwrap();
        assert!(answer.aud.unwrap().contains("a"));
    }
    assert!(read::<Introspection>(&json!({"active": false})).is_ok());
    // Federated Authorization 5.1.1
    let permission = json!({"active": true, "permissions": [{"resource_id": "r", "resource_scopes": ["view"]}]});
    assert!(read::<Introspection>(&permission).is_ok());
    // RFC 8414 2, RFC 9728 2
    assert!(read::<Metadata>(&json!({"issuer": "https://as.example"})).is_ok());
    assert!(read::<types::metadata::ProtectedResourceMetadata>(&json!({"resource": "https://rs.example"})).is_ok());
    // RFC 7033 4.4
    assert!(read::<types::webfinger::ResourceDescriptor>(&json!({"subject": "acct:a@b.example"})).is_ok());
    // Grant 3.3.6; Federated Authorization 3.2.1, 4.2
    let process = json!({"error": "need_info", "ticket": "t", "required_claims": [{}]});
    assert!(read::<types::token::ContinuedProcess>(&process).is_ok());
    assert!(read::<types::resource::RegisteredResource>(&json!({"_id": "r"})).is_ok());
    assert!(read::<types::permission::PermissionTicket>(&json!({"ticket": "t"})).is_ok());
}
