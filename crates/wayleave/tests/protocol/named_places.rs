//! Places that clients name - key sets, resources -: who is asked, by whose word, and how often (threats 17 and 46).

use crate::world::{World, form};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");
const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";

/// A place that gives what it holds, and counts.
async fn key_place() -> (String, Arc<AtomicU32>, Arc<std::sync::Mutex<String>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, count) = (format!("http://{}/keys", listener.local_addr().unwrap()), Arc::new(AtomicU32::new(0)));
    let keys = Arc::new(std::sync::Mutex::new(String::new()));
    let (counted, held) = (count.clone(), keys.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let body = held.lock().unwrap().clone();
            let status = if body.is_empty() { "500 No" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, count, keys)
}

/// A client that signs with new keys is known again at once, and nobody makes us fetch its keys without end by saying so.
#[tokio::test]
async fn threat_46_a_client_that_rotates_its_keys_is_known_again() {
    let (url, count, held) = key_place().await;
    let client = format!("[[client]]\nclient_id = \"signer\"\njwks_uri = \"{url}\"\ngrant_types = [\"client_credentials\"]\n");
    let world = World::on("memory", &client).await;
    let make = || jose::SigningKey::generate(jose::Algorithm::Es256).unwrap();
    let (old, new, foreign) = (make(), make(), make());
    let hold = |keys: &[&jose::SigningKey]| {
        let keys: Vec<_> = keys.iter().map(|key| key.public().to_jwk()).collect();
        *held.lock().unwrap() = json!({"keys": keys}).to_string();
    };
    let serial = AtomicU32::new(0);
    let ask = async |key: &jose::SigningKey, client: &str| {
        let jti = serial.fetch_add(1, Ordering::Relaxed).to_string();
        let claims = json!({"iss": client, "sub": client, "aud": crate::world::ISSUER, "exp": world.now() + 60, "jti": jti});
        let assertion = key.sign("JWT", &claims).unwrap();
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let fields = [("grant_type", "client_credentials"), ("client_assertion", &*assertion), ("client_assertion_type", kind)];
        world.send("POST", "/token", &[FORM], form(&fields)).await.status
    };
    let fetched = || count.load(Ordering::Relaxed);
    hold(&[&old]);
    assert_eq!((ask(&old, "signer").await, ask(&old, "signer").await, fetched()), (200, 200, 1));
    hold(&[&new]);
    world.pass(30);
    assert_eq!((ask(&new, "signer").await, fetched()), (200, 2));
    assert_eq!(ask(&old, "signer").await, 401, "what was taken back is good no more");
    for _ in 0..20 {
        assert_eq!(ask(&foreign, "signer").await, 401);
    }
    assert_eq!(fetched(), 2, "it was asked just now");
    // what cannot be asked leaves what is there
    held.lock().unwrap().clear();
    world.pass(30);
    assert_eq!((ask(&foreign, "signer").await, ask(&new, "signer").await, fetched()), (401, 200, 3));
    // a stranger that names the same place has nobody asked there, and its failure is its own
    let named = json!({"grant_types": ["client_credentials"], "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": url});
    let made = world.send_from(ELSEWHERE, "POST", "/register", &[JSON], named.to_string()).await;
    hold(&[&new]);
    assert_eq!((ask(&new, made.ok(201).get("client_id")).await, ask(&new, "signer").await, fetched()), (401, 200, 3));
}

/// Where a claim to a resource stands as it was, nobody is asked about it again.
#[tokio::test]
async fn threat_46_an_unchanged_resource_is_not_asked_again() {
    let (url, count, held) = key_place().await;
    let world = World::on("memory", "[outbound]\nallow_private_networks = true\nallow_http = true\n").await;
    *held.lock().unwrap() = json!({"resource": url, "jwks_uri": url}).to_string();
    let claimed = json!({"grant_types": ["client_credentials"], "token_endpoint_auth_method": "private_key_jwt",
        "jwks_uri": url, "resource": url});
    let made = world.send_from(HERE, "POST", "/register", &[JSON], claimed.to_string()).await;
    let path = format!("/register/{}", made.ok(201).get("client_id"));
    let bearer = format!("Bearer {}", made.get("registration_access_token"));
    let put = async |metadata: &serde_json::Value| {
        world.send_from(HERE, "PUT", &path, &[JSON, ("authorization", &bearer)], metadata.to_string()).await.status
    };
    for _ in 0..5 {
        assert_eq!(put(&claimed).await, 200);
    }
    assert_eq!(count.load(Ordering::Relaxed), 1);
    for (member, value) in [("jwks_uri", format!("{url}/other")), ("resource", format!("{url}/other"))] {
        let mut other = claimed.clone();
        other[member] = json!(value);
        assert_eq!(put(&other).await, 400, "{member}");
    }
    assert_eq!(count.load(Ordering::Relaxed), 3);
    // the proof of the claim is not given up either
    let mut other = claimed.clone();
    other["token_endpoint_auth_method"] = json!("none");
    assert_eq!(put(&other).await, 400);
}

/// A signature that names no key is tried at each of a set, so that a stranger's set is short.
#[tokio::test]
async fn threat_46_a_stranger_names_no_more_keys_than_are_quickly_tried() {
    let (url, _, held) = key_place().await;
    let world = World::on("memory", "[outbound]\nallow_private_networks = true\nallow_http = true\n").await;
    let key = jose::SigningKey::generate(jose::Algorithm::Es256).unwrap();
    let named = json!({"grant_types": ["client_credentials"], "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": url});
    let made = world.send_from(HERE, "POST", "/register", &[JSON], named.to_string()).await;
    let client = made.ok(201).get("client_id").to_owned();
    for (count, status) in [(33, 401), (32, 200)] {
        let keys = vec![key.public().to_jwk(); count];
        *held.lock().unwrap() = json!({"keys": keys}).to_string();
        let claims =
            json!({"iss": client, "sub": client, "aud": crate::world::ISSUER, "exp": world.now() + 60, "jti": count.to_string()});
        let assertion = key.sign("JWT", &claims).unwrap();
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let fields = [("grant_type", "client_credentials"), ("client_assertion", &*assertion), ("client_assertion_type", kind)];
        assert_eq!(world.send("POST", "/token", &[FORM], form(&fields)).await.status, status, "{count}");
        world.pass(30);
    }
}
