//! What stands at the doors of protected APIs and of endpoints that clients authenticate at: tokens, proofs and
//! credentials that are missing, wrong, old or there twice (RFC 6749 2.3, RFC 6750 3, RFC 9449 4.3, 7.1, 9).

use crate::world::{Answer, ISSUER, World, basic, form};
use jose::dpop::{Request, prove};
use jose::{Algorithm, Clock, SigningKey};
use serde_json::{Value, json};

/// A client that wants DPoP, as resource server and as manager.
const BOUND: &str = r#"
[[client]]
client_id = "bound-rs"
client_secret = "bound-secret"
grant_types = ["client_credentials"]
scope = "uma_protection"
acts_for = "alice"
[[client]]
client_id = "bound-manager"
client_secret = "bound-secret"
grant_types = ["client_credentials"]
scope = "uma_policy"
acts_for = "alice"
"#;

/// Each API, whose token it takes, and how it is called.
const APIS: [(&str, &str, &str); 20] = [
    ("GET", "/uma/resources", "bound-rs"),
    ("POST", "/uma/resources", "bound-rs"),
    ("GET", "/uma/resources/x", "bound-rs"),
    ("PUT", "/uma/resources/x", "bound-rs"),
    ("DELETE", "/uma/resources/x", "bound-rs"),
    ("POST", "/uma/permissions", "bound-rs"),
    ("GET", "/uma/revocations", "bound-rs"),
    ("POST", "/introspect", "bound-rs"),
    ("GET", "/uma/policies", "bound-manager"),
    ("POST", "/uma/policies/simulate", "bound-manager"),
    ("GET", "/uma/registered-resources", "bound-manager"),
    ("GET", "/uma/access-requests", "bound-manager"),
    ("GET", "/uma/access-requests/stream", "bound-manager"),
    ("GET", "/uma/events", "bound-manager"),
    ("GET", "/uma/credentials", "bound-manager"),
    ("GET", "/uma/consent-receipts", "bound-manager"),
    ("GET", "/uma/linked-managers", "bound-manager"),
    ("GET", "/uma/delegations", "bound-manager"),
    ("GET", "/uma/owner-settings", "bound-manager"),
    ("GET", "/userinfo", "bound-manager"),
];

struct Holder<'a> {
    world: &'a World,
    key: SigningKey,
    serial: std::cell::Cell<u32>,
}

impl<'a> Holder<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, key: SigningKey::generate(Algorithm::Es256).unwrap(), serial: Default::default() }
    }

    fn proof(&self, method: &str, path: &str, token: Option<&str>, age: i64) -> String {
        self.serial.set(self.serial.get() + 1);
        let url = format!("{ISSUER}{path}");
        let request = Request { method, url: &url, access_token: token };
        prove(&self.key, &request, format!("p{}", self.serial.get()), self.world.clock.now().plus(-age), None).unwrap()
    }

    async fn token(&self, client: &str) -> String {
        let (authorization, proof) = (basic(client, "bound-secret"), self.proof("POST", "/token", None, 0));
        let headers =
            [("authorization", &*authorization), ("dpop", &*proof), ("content-type", "application/x-www-form-urlencoded")];
        let answer = self.world.send("POST", "/token", &headers, "grant_type=client_credentials").await;
        assert_eq!(answer.ok(200).get("token_type"), "DPoP");
        answer.get("access_token").to_owned()
    }
}

async fn call(world: &World, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let form = path.starts_with("/introspect");
    let media = if form { "application/x-www-form-urlencoded" } else { "application/json" };
    let body = if form { "token=x" } else { "{}" };
    world.send(method, path, &[&[("content-type", media)], headers].concat(), body).await
}

/// All challenges of an answer, as they stand.
fn challenges(answer: &Answer) -> Vec<String> {
    answer.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn challenged(answer: &Answer, status: u16, scheme: &str, error: &str) {
    answer.refused(status, error);
    let all = challenges(answer);
    let wanted = format!("error=\"{error}\"");
    assert!(all.first().is_some_and(|first| first.starts_with(&format!("{scheme} ")) && first.contains(&wanted)), "{all:?}");
}

#[tokio::test]
async fn threat_47_s27_every_protected_api_answers_a_bad_proof_with_401_and_a_challenge() {
    for world in World::each_with(BOUND).await {
        let holder = Holder::new(&world);
        for (method, path, client) in APIS {
            let token = holder.token(client).await;
            let bound = format!("DPoP {token}");
            let proof = |age| holder.proof(method, path, Some(&token), age);
            let with = async |proofs: &[&str]| {
                let proofs = proofs.iter().map(|proof| ("dpop", *proof));
                let headers: Vec<_> = [("authorization", &*bound)].into_iter().chain(proofs).collect();
                call(&world, method, path, &headers).await
            };
            challenged(&with(&[]).await, 401, "DPoP", "invalid_dpop_proof");
            challenged(&with(&["rubbish"]).await, 401, "DPoP", "invalid_dpop_proof");
            challenged(&with(&[&proof(120)]).await, 401, "DPoP", "invalid_dpop_proof");
            let elsewhere = holder.proof(method, "/elsewhere", Some(&token), 0);
            challenged(&with(&[&elsewhere]).await, 401, "DPoP", "invalid_dpop_proof");
            let untied = holder.proof(method, path, None, 0);
            challenged(&with(&[&untied]).await, 401, "DPoP", "invalid_dpop_proof");
            let other = Holder::new(&world).proof(method, path, Some(&token), 0);
            challenged(&with(&[&other]).await, 401, "DPoP", "invalid_token");
            challenged(&with(&[&proof(0), &proof(0)]).await, 401, "DPoP", "invalid_dpop_proof");
            // from before this process: a nonce is demanded, and is there to be used
            let asked = with(&[&proof(30)]).await;
            challenged(&asked, 401, "DPoP", "use_dpop_nonce");
            let url = format!("{ISSUER}{path}");
            let request = Request { method, url: &url, access_token: Some(&token) };
            let nonce = Some(asked.header("dpop-nonce").to_owned());
            assert_ne!(nonce.as_deref(), Some(""), "{path}");
            let jti = format!("nonce {path} {method}");
            let good = prove(&holder.key, &request, jti, world.clock.now().plus(-30), nonce).unwrap();
            let answer = if path.ends_with("/stream") { continue } else { with(&[&good]).await };
            assert!(![401, 503].contains(&answer.status) && answer.header("dpop-nonce").is_empty(), "{path}: {}", answer.text);
            challenged(&with(&[&good]).await, 401, "DPoP", "invalid_dpop_proof");
            // the key is not left out
            let bearer = format!("Bearer {token}");
            challenged(&call(&world, method, path, &[("authorization", &bearer)]).await, 401, "Bearer", "invalid_token");
            challenged(
                &call(&world, method, path, &[("authorization", "DPoP x"), ("dpop", &proof(0))]).await,
                401,
                "DPoP",
                "invalid_token",
            );
        }
    }
}

#[tokio::test]
async fn threat_47_s27_bearer_errors_are_told_as_rfc_6750_has_them() {
    let world = World::on("memory", BOUND).await;
    let (pat, pmt) = (world.pat().await, world.access("manager").await);
    for (method, path, client) in APIS {
        // nothing was sent: how to authenticate, and no error
        let nothing = call(&world, method, path, &[]).await;
        assert_eq!(nothing.status, 401, "{path}");
        let all = challenges(&nothing);
        assert!(all.first().is_some_and(|first| first.starts_with("Bearer ")) && all.len() == 2, "{path}: {all:?}");
        assert!(all.iter().all(|challenge| !challenge.contains("error=")) && all[1].starts_with("DPoP algs="), "{all:?}");
        challenged(&call(&world, method, path, &[("authorization", "Bearer nonsense")]).await, 401, "Bearer", "invalid_token");
        let foreign = format!("Bearer {}", if client == "bound-rs" { &pmt } else { &pat });
        challenged(&call(&world, method, path, &[("authorization", &foreign)]).await, 403, "Bearer", "insufficient_scope");
    }
}

#[tokio::test]
async fn threat_47_s38_a_token_is_sent_once_and_in_one_way() {
    let world = World::on("memory", BOUND).await;
    let (pat, pmt) = (world.pat().await, world.access("manager").await);
    for (method, path, client) in APIS {
        let good = format!("Bearer {}", if client == "bound-rs" { &pat } else { &pmt });
        for second in [&*good, "Bearer x", "Basic eDp4"] {
            for pair in [[&*good, second], [second, &*good]] {
                let twice = call(&world, method, path, &pair.map(|value| ("authorization", value))).await;
                challenged(&twice, 400, "Bearer", "invalid_request");
            }
        }
        let both = call(&world, method, &format!("{path}?access_token=x"), &[("authorization", &good)]).await;
        challenged(&both, 400, "Bearer", "invalid_request");
    }
    // a form has room for one, too
    let bearer = format!("Bearer {pmt}");
    let headers = [("authorization", &*bearer), ("content-type", "application/x-www-form-urlencoded")];
    let both = world.send("POST", "/userinfo", &headers, form(&[("access_token", &pmt)])).await;
    challenged(&both, 400, "Bearer", "invalid_request");
}

#[tokio::test]
async fn threat_47_s38_a_client_proves_itself_once_and_in_one_way() {
    let world = World::on("memory", BOUND).await;
    let right = basic("photos-rs", "photos-secret");
    let media = ("content-type", "application/x-www-form-urlencoded");
    let fields = |path: &str| -> Vec<(&str, &str)> {
        match path {
            "/token" => vec![("grant_type", "client_credentials")],
            "/par" => vec![("response_type", "code")],
            _ => vec![("token", "x")],
        }
    };
    for path in ["/token", "/par", "/revoke", "/introspect"] {
        let body = form(&fields(path));
        for second in [&*right, "Basic eDp4", "Bearer x"] {
            for pair in [[&*right, second], [second, &*right]] {
                let headers = [media, ("authorization", pair[0]), ("authorization", pair[1])];
                world.send("POST", path, &headers, body.clone()).await.refused(400, "invalid_request");
            }
        }
        for more in [
            &[("client_id", "photos-rs"), ("client_secret", "photos-secret")][..],
            &[("client_secret", "photos-secret")],
            &[("client_assertion", "x"), ("client_assertion_type", "y")],
        ] {
            let body = form(&[&fields(path), more].concat());
            world.send("POST", path, &[media, ("authorization", &right)], body).await.refused(400, "invalid_request");
        }
        for twice in [&[("client_id", "photos-rs"), ("client_id", "photos-rs")][..], &[("unknown", "1"), ("unknown", "1")]] {
            let body = form(&[&fields(path), twice].concat());
            world.send("POST", path, &[media, ("authorization", &right)], body).await.refused(400, "invalid_request");
        }
        // the token endpoint's rule for proofs: 400, and the nonce with it
        let holder = Holder::new(&world);
        let send = async |proofs: &[String]| {
            let proofs = proofs.iter().map(|proof| ("dpop", proof.as_str()));
            let headers: Vec<_> = [media, ("authorization", &*right)].into_iter().chain(proofs).collect();
            world.send("POST", path, &headers, body.clone()).await
        };
        let proof = |age| holder.proof("POST", path, None, age);
        send(&[proof(0), proof(0)]).await.refused(400, "invalid_dpop_proof");
        let asked = send(&[proof(30)]).await;
        assert_ne!(asked.refused(400, "use_dpop_nonce").header("dpop-nonce"), "", "{path}");
    }
}

/// A resource server asks by its PAT or by its credentials, not by both.
#[tokio::test]
async fn threat_47_s38_introspection_is_asked_in_one_way() {
    let world = World::on("memory", BOUND).await;
    let bearer = format!("Bearer {}", world.pat().await);
    let headers = [("authorization", &*bearer), ("content-type", "application/x-www-form-urlencoded")];
    for more in [
        &[("client_id", "photos-rs"), ("client_secret", "photos-secret")][..],
        &[("client_assertion", "x")],
        &[("token", "y")],
        &[("access_token", "y")],
    ] {
        let body = form(&[&[("token", "x")], more].concat());
        world.send("POST", "/introspect", &headers, body).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn threat_47_s38_a_registration_is_managed_with_one_token() {
    let world = World::one().await;
    let media = ("content-type", "application/json");
    let metadata = json!({"redirect_uris": ["https://c.example/"]}).to_string();
    let made = world.send("POST", "/register", &[media], metadata.clone()).await;
    let path = format!("/register/{}", made.ok(201).get("client_id"));
    let token = format!("Bearer {}", made.get("registration_access_token"));
    for method in ["GET", "PUT", "DELETE"] {
        let headers = [media, ("authorization", &token), ("authorization", "Bearer x")];
        challenged(&world.send(method, &path, &headers, metadata.clone()).await, 400, "Bearer", "invalid_request");
        let nothing = world.send(method, &path, &[media], metadata.clone()).await;
        assert!(nothing.status == 401 && !challenges(&nothing).is_empty(), "{}", nothing.text);
    }
    let twice = [media, ("authorization", "Bearer x"), ("authorization", "Bearer y")];
    world.send("POST", "/register", &twice, metadata).await.refused(400, "invalid_request");
    world.call("GET", &path, made.get("registration_access_token"), Value::Null).await.ok(200);
}
