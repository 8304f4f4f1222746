//! The desk as an OpenID provider for requesting parties: by the accounts of its log-in, and self-issued, by a key of theirs
//! alone. Neither makes it a manager of anybody's things (threat 31).

use crate::choosing::{LABORATORY, open_gateway};
use crate::gateway::{Guarded, challenge_of, raw};
use crate::processes::Server;
use crate::relations::{Desk, Sitting, open_outbound, reads, viewer};
use client::{Called, TicketRequest, Traded};
use jose::{SystemClock, base64url, digest};
use outbound::Method;
use serde_json::json;
use types::token::ID_TOKEN_FORMAT;
use wayleave::demo::browser::Browser;

const VIEWER: &str = "http://127.0.0.1:9001/claims";

/// Trades a fresh ticket with the claim token that `of` gets for it.
async fn with_token(guarded: &Guarded, of: impl AsyncFnOnce(&str, &str) -> String) -> Result<u16, String> {
    let client = viewer();
    let Called::Challenged(challenge) = client.call(Method::GET, &guarded.photo(), None).await.unwrap() else { panic!() };
    let metadata = client.discover(&challenge.issuer).await.unwrap();
    let bound = base64url::encode(digest::sha256(&[challenge.ticket.as_bytes()]));
    let token = of(&challenge.issuer, &bound).await;
    let resource = Some(challenge.resource.as_str());
    let request =
        TicketRequest { ticket: &challenge.ticket, resource, claim: Some((&token, ID_TOKEN_FORMAT)), ..TicketRequest::default() };
    match client.trade(&metadata, &request).await.unwrap() {
        Traded::Granted(tokens) => Ok(reads(guarded, &client.rpt(&tokens, &challenge).unwrap()).await),
        Traded::NeedInfo { .. } => Err("need_info".into()),
        Traded::Submitted { .. } => Err("request_submitted".into()),
        Traded::Denied { error, .. } => Err(error),
        Traded::Spent { .. } => Err("invalid_grant".into()),
    }
}

#[tokio::test]
async fn a_stranger_shows_a_key_and_gets_in_where_that_key_was_let_in() {
    let server = Server::start(LABORATORY);
    let guarded = open_gateway(&server, |text| text);
    challenge_of(&raw(Method::GET, &guarded.photo(), &[]).await);
    let desk = Desk::start();
    // Mallory is nobody to that server; her desk makes her a key
    let mut stranger = Sitting::of(&desk, "mallory").await;
    let page = stranger.open("/keys").await;
    let fields = [("what", "new"), ("passphrase", "correct horse battery"), ("again", "correct horse battery")];
    let page = stranger.browser.submit(&page, "/keys", &fields).await.unwrap();
    let did = page.html.split("name=\"did\" value=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#58;", ":");
    let owner = crate::desk::Desk::open(&server).await;
    let registered = owner.metadata.registered_resources_endpoint.clone().unwrap();
    let (_, all) = owner.api(Method::GET, &registered, &owner.pmt, serde_json::Value::Null).await.unwrap();
    let policy = json!({"resource_id": all[0]["_id"], "resource_scopes": ["view"],
        "required_claims": [{"name": "sub", "issuer": [did], "value": [did]}]});
    let policies = owner.metadata.policy_endpoint.clone().unwrap();
    assert_eq!(owner.api(Method::POST, &policies, &owner.pmt, policy).await.unwrap().0, 201);
    stranger.browser.stop_at = Some(VIEWER.to_owned());
    let desk_url = desk.url.clone();
    let mut show = async |issuer: &str, bound: &str| {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("client_id", VIEWER),
                ("redirect_uri", VIEWER),
                ("response_type", "id_token"),
                ("scope", "openid"),
                ("nonce", "n"),
                ("state", "s"),
                ("audience", issuer),
                ("ticket_challenge", bound),
            ])
            .finish();
        let page = stranger.browser.open(&format!("{desk_url}/self-issued?{query}")).await.unwrap();
        assert!(page.html.contains("asks who you are") && page.html.contains(&did), "{}", page.html);
        let back = stranger.browser.submit(&page, "/self-issued", &[("decision", "approve")]).await.unwrap();
        let fragment = back.url.fragment().unwrap().to_owned();
        let fields: Vec<(String, String)> = form_urlencoded::parse(fragment.as_bytes()).into_owned().collect();
        assert_eq!(fields[1], ("state".into(), "s".into()));
        fields[0].1.clone()
    };
    assert_eq!(with_token(&guarded, &mut show).await, Ok(200));
    // for another ticket, another server, or of another key: as if nothing had been shown
    let another = with_token(&guarded, async |issuer, _| show(issuer, "another").await).await;
    assert_eq!(another, Err("need_info".into()));
    let elsewhere = with_token(&guarded, async |_, bound| show("https://as.example", bound).await).await;
    assert_eq!(elsewhere, Err("need_info".into()));
    let other = jose::SigningKey::generate(jose::Algorithm::EdDsa).unwrap();
    let now = jose::Clock::now(&SystemClock);
    let forged = with_token(&guarded, async |issuer, bound| {
        let claims = json!({"iss": did, "sub": did, "aud": issuer, "iat": now, "exp": now.plus(60), "jti": "f", "ticket_challenge": bound});
        other.sign_as("JWT", &did, &claims).unwrap()
    });
    assert_eq!(forged.await, Err("need_info".into()));
    // a key vouches for itself and for nobody else, nor for any address
    let own = jose::did::of_key(other.public());
    let vouching = with_token(&guarded, async |issuer, bound| {
        let claims = json!({"iss": own, "sub": did, "aud": issuer, "iat": now, "exp": now.plus(60), "jti": "v",
            "ticket_challenge": bound, "email": "bob@bar.example", "email_verified": true});
        other.sign_as("JWT", &own, &claims).unwrap()
    });
    assert_eq!(vouching.await, Err("need_info".into()));
    // places that are not safe are not answered
    for (client, says) in [("https://a.example", "must be called by the place"), ("", "must be called by the place")] {
        let url = format!("{}/self-issued?client_id={client}&redirect_uri=http://evil.example", desk.url);
        let page = stranger.browser.open(&url).await.unwrap();
        assert!(page.status == 400 && page.html.contains(says), "{}", page.html);
    }
    let unsafe_place = format!("{}/self-issued?client_id=http://evil.example", desk.url);
    let page = stranger.browser.open(&unsafe_place).await.unwrap();
    assert!(page.status == 400 && page.html.contains("not safe"), "{}", page.html);
}

/// The desk's log-in is an OpenID provider like any other: where a server trusts it, its ID tokens count as claims.
#[tokio::test]
async fn a_desks_log_in_vouches_for_its_people_where_a_server_trusts_it() {
    let desk = Desk::at(
        "127.0.0.1",
        &format!(
            "[[client]]\nclient_id = \"viewer\"\nclient_secret = \"viewer-secret\"\nscope = \"openid profile\"\n\
             grant_types = [\"authorization_code\"]\nredirect_uris = [\"{VIEWER}\"]\n"
        ),
    );
    let issuer = format!("{}/.wayleave/login", desk.url);
    let trust = format!(
        "{LABORATORY}[[trusted_issuer]]\nissuer = \"{issuer}\"\njwks_uri = \"{issuer}/jwks\"\nclaims = [\"preferred_username\"]\n"
    );
    let server = Server::start(&trust);
    let guarded = open_gateway(&server, |text| text);
    challenge_of(&raw(Method::GET, &guarded.photo(), &[]).await);
    let owner = crate::desk::Desk::open(&server).await;
    let registered = owner.metadata.registered_resources_endpoint.clone().unwrap();
    let (_, all) = owner.api(Method::GET, &registered, &owner.pmt, serde_json::Value::Null).await.unwrap();
    let policy = json!({"resource_id": all[0]["_id"], "resource_scopes": ["view"],
        "required_claims": [{"name": "preferred_username", "issuer": [issuer], "value": ["carol"]}]});
    let policies = owner.metadata.policy_endpoint.clone().unwrap();
    assert_eq!(owner.api(Method::POST, &policies, &owner.pmt, policy).await.unwrap().0, 201);
    // Viewer, which both know, pushes what it got there
    for (who, outcome) in [("carol", Ok(200)), ("mallory", Err("request_denied".to_owned()))] {
        let got = with_token(&guarded, async |_, _| id_token_of(&issuer, who).await).await;
        assert_eq!(got, outcome, "{who}");
    }
}

/// Somebody logs in at the desk's log-in for Viewer.
async fn id_token_of(issuer: &str, who: &str) -> String {
    let client = viewer();
    let metadata = client.discover_openid(issuer).await.unwrap();
    let (url, flow) = client.begin_code(&metadata, VIEWER, "openid profile", None).unwrap();
    let mut browser = Browser::new(open_outbound());
    browser.stop_at = Some(VIEWER.to_owned());
    let page = browser.open(&url).await.unwrap();
    let password = format!("{who}-desk-password");
    let page = browser.submit(&page, "/login", &[("username", who), ("password", &password)]).await.unwrap();
    let back = browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await.unwrap();
    let query: Vec<(String, String)> = back.url.query_pairs().into_owned().collect();
    client.finish_code(&metadata, &flow, &query).await.unwrap().tokens.id_token.unwrap()
}
