//! What a client must not do.

use super::*;
use crate::Credentials;
use jose::{SystemClock, SystemRandomness};
use outbound::{Outbound, Settings};
use std::sync::Arc;

fn client() -> Client {
    Client {
        outbound: Outbound::new(Settings::default()).unwrap(),
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials: Credentials::public("viewer"),
        dpop_key: None,
    }
}

#[test]
fn a_resource_is_a_prefix_of_whole_segments_at_the_same_origin() {
    for (url, resource, within) in [
        ("https://rs.example/photos/1", "https://rs.example/photos", true),
        ("https://rs.example/photos/1", "https://rs.example/", true),
        ("https://rs.example/photos", "https://rs.example/photos/", true),
        ("https://rs.example/photosecret", "https://rs.example/photos", false),
        ("https://rs.example.evil/photos", "https://rs.example/photos", false),
        ("http://rs.example/photos", "https://rs.example/photos", false),
        ("https://rs.example:444/photos", "https://rs.example/photos", false),
        ("https://rs.example/x", "https://rs.example/photos", false),
    ] {
        assert_eq!(is_within(url, resource), within, "{url} in {resource}");
    }
}

/// Cases: G-5.2-1
#[tokio::test]
async fn an_rpt_is_used_at_its_own_resource_server_and_nowhere_else() {
    let rpt = Rpt {
        token: "secret".into(),
        token_type: "Bearer".into(),
        resource: "https://rs.example".into(),
        refresh_token: None,
        issuer: None,
    };
    let called = client().call(Method::GET, "https://evil.example/photos", Some(&rpt)).await;
    assert!(matches!(called, Err(ClientError::Protocol(_))));
}

/// Cases: G-5.1-2, G-5.1-3, G-5.1-4, G-5.1-5, G-5.1-6, G-5.1-7, G-3.3.2-13, G-3.3.3-6, G-5.5-4
#[test]
fn only_the_answer_to_this_visit_is_taken() {
    let client = client();
    let sent = send(&client, false, "https://as.example/claims?id=234").unwrap();
    assert!(sent.url.starts_with("https://as.example/claims?id=234&client_id=viewer&ticket=t1&"));
    assert_eq!(sent.state.len(), 43);
    assert_ne!(send(&client, false, "https://as.example/claims").unwrap().state, sent.state);
    let query = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
    let good = query(&[("ticket", "t2"), ("state", &sent.state), ("surprise", "x")]);
    assert_eq!(client.person_returned(&sent, &good).unwrap(), "t2");
    for bad in [
        query(&[("ticket", "t2")]),
        query(&[("ticket", "t2"), ("state", "guessed")]),
        query(&[("ticket", "t1"), ("state", &sent.state)]),
        query(&[("error", "access_denied"), ("state", &sent.state)]),
    ] {
        assert!(client.person_returned(&sent, &bad).is_err(), "{bad:?}");
    }
}

/// A dishonest server sends a person on to another's page: what she brings from there is not traded at the dishonest one.
#[test]
fn threat_15_what_another_server_answered_is_not_taken() {
    let client = client();
    let own = "https://as.example";
    for (says_issuer, issuers, taken) in [
        (true, &[own][..], true),
        (false, &[own], true),
        (false, &[], true),
        (true, &[], false),
        (true, &["https://other.example"], false),
        (false, &["https://other.example"], false),
        (false, &["https://as.example/"], false),
        (false, &[""], false),
        (false, &[own, "https://other.example"], false),
        (true, &["https://other.example", own], false),
    ] {
        let sent = send(&client, says_issuer, "https://as.example/claims").unwrap();
        for more in [("ticket", "t2"), ("error", "access_denied")] {
            let pairs = [more, ("state", &*sent.state)].into_iter().chain(issuers.iter().map(|iss| ("iss", *iss)));
            let query: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let answer = client.person_returned(&sent, &query);
            let is_foreign = matches!(&answer, Err(ClientError::Protocol(what)) if what.contains("another authorization server"));
            assert_eq!(is_foreign, !taken, "{says_issuer} {issuers:?}");
        }
    }
}

fn send(client: &Client, says_issuer: bool, endpoint: &str) -> Result<PersonSent, ClientError> {
    let issuer = "https://as.example".to_owned();
    let metadata = Metadata { issuer, claims_response_iss_parameter_supported: says_issuer, ..Metadata::default() };
    client.send_person(&metadata, &PersonSending::to(endpoint, "t1", "https://viewer.example/back"))
}

#[test]
fn s37_types_of_tokens_are_read_in_whatever_letters() {
    for (sent, used) in [("bearer", "Bearer"), ("Bearer", "Bearer"), ("DPOP", "DPoP"), ("dpop", "DPoP")] {
        assert_eq!(scheme_of(sent), Ok(used));
    }
    assert!(scheme_of("mac").is_err() && scheme_of("").is_err());
}

#[test]
fn threat_36_a_person_is_sent_to_a_page_and_nowhere_else() {
    let client = client();
    let send = |endpoint: &str| send(&client, false, endpoint);
    for good in ["https://as.example/claims", "http://127.0.0.1:8080/c", "http://[::1]/c", "http://localhost:1/c"] {
        assert!(send(good).is_ok(), "{good}");
    }
    for bad in [
        "javascript:alert(1)//",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://as.example/",
        "mailto:a@as.example",
        "vscode://x",
        "http://as.example/claims",
        "http://127.0.0.1.nip.example/",
        "https://as.example@evil.example/",
        "https://user:word@as.example/",
        "/claims",
        "",
    ] {
        assert!(send(bad).is_err(), "{bad}");
    }
    assert!(send(&format!("https://as.example/{}", "x".repeat(3_000))).is_err());
}

#[test]
fn threat_46_no_server_makes_its_client_wait_for_ever_or_not_at_all() {
    let seconds = |interval| wait_of(interval).as_secs();
    assert_eq!([None, Some(-5), Some(0), Some(7), Some(i64::MAX), Some(i64::MIN)].map(seconds), [5, 1, 1, 7, 300, 1]);
}

/// Whoever answers a call may hand out the ticket of another resource server, and leave its own metadata out.
#[test]
fn threat_21_an_rpt_goes_to_the_place_that_it_is_for() {
    let bound = Client { dpop_key: Some(Arc::new(jose::SigningKey::generate(jose::Algorithm::Es256).unwrap())), ..client() };
    let obtain = |client: &Client, confirmed: Option<&str>, said: Option<&str>, token_type: &str| {
        let challenge = Challenge {
            issuer: "https://as.example".into(),
            ticket: "t1".into(),
            called: "https://rs.example/photos/1".into(),
            resource: confirmed.unwrap_or("https://rs.example").into(),
            confirmed: confirmed.is_some(),
        };
        let tokens = serde_json::json!({"access_token": "secret", "token_type": token_type, "resource": said});
        client.rpt(&serde_json::from_value(tokens).unwrap(), &challenge).map(|rpt| rpt.resource).ok()
    };
    let own = Some("https://rs.example/photos");
    for (confirmed, said, token_type, used_at) in [
        // what metadata confirmed, the server must say too, where it says anything
        (own, own, "Bearer", own),
        (own, None, "Bearer", own),
        (own, Some("https://other.example"), "Bearer", None),
        (own, Some("https://rs.example"), "DPoP", None),
        // without metadata its word alone counts, and its RPT is good no further
        (None, own, "Bearer", own),
        (None, Some("https://rs.example/"), "Bearer", Some("https://rs.example/")),
        (None, Some("https://other.example"), "Bearer", None),
        (None, Some("https://other.example"), "DPoP", None),
        (None, Some("https://rs.example/photosecret"), "Bearer", None),
        (None, Some("https://rs.example/letters"), "Bearer", None),
        (None, Some("https://rs.example:444/photos"), "Bearer", None),
        (None, Some("http://rs.example/photos"), "Bearer", None),
        (None, Some(""), "Bearer", None),
        (None, Some("the-gateway"), "Bearer", None),
        // nobody says it
        (None, None, "Bearer", None),
        (None, None, "DPoP", Some("https://rs.example")),
    ] {
        assert_eq!(obtain(&bound, confirmed, said, token_type).as_deref(), used_at, "{confirmed:?} {said:?} {token_type}");
    }
    assert_eq!(obtain(&client(), None, None, "DPoP"), None, "it has no key that it could be bound to");
}
