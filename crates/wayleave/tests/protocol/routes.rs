//! Every route of every party, read from where it is registered: no word of ours stands in the way of an id that others choose
//! (threat 36), and whoever only looks ahead changes nothing (threat 41).

use crate::authority::{Signer, photo};
use crate::desk::Desk;
use crate::interaction::visit;
use crate::oauth::Browser;
use crate::world::{World, form};
use http::Request;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Fixed segments beside a variable one, and why whoever chooses an id shuts nobody out by them.
const BESIDE: [(&str, &str, &str); 2] = [
    ("/uma/policies/simulate", "/uma/policies/{id}", "every method of the id is answered by the id's handlers"),
    ("/uma/access-requests/stream", "/uma/access-requests/{id}", "ids of requests are made here, and 22 characters long"),
];

/// `GET` does something there besides reading.
const VISITS: [&str; 10] = [
    "/authorize",
    "/callback",
    "/claims",
    "/claims/manager",
    "/decide",
    "/login",
    "/login",
    "/login/callback",
    "/login/elsewhere",
    "/logout",
];

/// `GET` reads there, so that `HEAD` may do the same.
const READS: [&str; 80] = [
    "/",
    "/",
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-authorization-server/base",
    "/.well-known/openid-configuration",
    "/.well-known/openid-configuration",
    "/.well-known/uma2-configuration",
    "/.well-known/webfinger",
    "/account",
    "/api/history",
    "/api/me",
    "/api/offers",
    "/api/people",
    "/api/requests",
    "/api/servers",
    "/api/shared-with-me",
    "/api/things",
    "/api/withdrawals",
    "/applications",
    "/assets/icon.svg",
    "/assets/icon.svg",
    "/assets/live.js",
    "/assets/pages.js",
    "/assets/pages.js",
    "/assets/passkey.js",
    "/assets/passkey.js",
    "/assets/presses.js",
    "/assets/presses.js",
    "/assets/style.css",
    "/assets/style.css",
    "/claims/continue",
    "/delegations",
    "/for-others",
    "/guard",
    "/history",
    "/jwks",
    "/keys",
    "/keys/export",
    "/live",
    "/my/delegations",
    "/my/history",
    "/my/requests",
    "/my/resources",
    "/my/resources/{id}",
    "/my/searches/{id}",
    "/people",
    "/people/show",
    "/receipts",
    "/receipts/export",
    "/register/{id}",
    "/requests",
    "/self-issued",
    "/servers",
    "/share",
    "/thing/{key}",
    "/uma/access-requests",
    "/uma/access-requests/stream",
    "/uma/access-requests/{id}",
    "/uma/consent-receipts",
    "/uma/consent-receipts/{id}",
    "/uma/credentials",
    "/uma/credentials/{id}",
    "/uma/delegations",
    "/uma/discovery-requests",
    "/uma/discovery-requests/{id}",
    "/uma/events",
    "/uma/events/chain",
    "/uma/linked-managers",
    "/uma/owner-settings",
    "/uma/policies",
    "/uma/policies/simulate",
    "/uma/policies/{id}",
    "/uma/registered-resources",
    "/uma/registered-resources/{id}",
    "/uma/resources",
    "/uma/resources/",
    "/uma/resources/{id}",
    "/uma/revocations",
    "/userinfo",
    "/withdrawals",
];

struct Route {
    path: String,
    handlers: String,
}

fn source(path: &str) -> String {
    std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Names of paths, and what they are.
fn constants() -> BTreeMap<String, String> {
    let text = source("types/src/path.rs") + &source("types/src/webfinger.rs");
    let one = |line: &str| {
        let (name, value) = line.strip_prefix("pub const ")?.split_once(": &str = ")?;
        Some((name.to_owned(), value.split('"').nth(1)?.to_owned()))
    };
    text.lines().filter_map(one).collect()
}

/// What stands between the parenthesis that has just opened and the one that closes it.
fn inside(text: &str) -> &str {
    let mut open = 1;
    let end = text.find(|letter| {
        open += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        open == 0
    });
    &text[..end.unwrap()]
}

fn routes_in(file: &str, constants: &BTreeMap<String, String>) -> Vec<Route> {
    let text = source(file);
    let found = text.split(".route(").skip(1).map(|rest| {
        let call = inside(rest).trim();
        let (written, handlers) = match call.strip_prefix("&format!(") {
            Some(rest) => (inside(rest), &rest[inside(rest).len() + 1..]),
            None => call.split_once(',').unwrap(),
        };
        let constant = |name: &str| constants[name.trim().rsplit("::").next().unwrap()].clone();
        let path = match (written.split('"').nth(1), written.split_once("\", ")) {
            (None, _) => constant(written),
            (Some(literal), None) => literal.to_owned(),
            (Some(literal), Some((_, name))) => {
                literal.replacen("{}", &constant(name.trim_end_matches(',')), 1).replace("{base}", "/base")
            }
        };
        Route { path: path.replace("{{", "{").replace("}}", "}"), handlers: handlers.trim_matches([',', ' ', '\n']).to_owned() }
    });
    found.collect()
}

fn routes_of_server() -> Vec<Route> {
    let constants = constants();
    let files = ["web/src/identity.rs", "web/src/uma.rs", "web/src/pages.rs"];
    files.iter().flat_map(|file| routes_in(file, &constants)).collect()
}

fn routes_of_desk() -> Vec<Route> {
    routes_in("relationship-manager/src/pages.rs", &constants())
}

/// Slices that a gateway's management matches its paths by, each function's apart; `None` is a name that others choose.
fn slices_of_gateway() -> Vec<Vec<Vec<Option<String>>>> {
    let files = ["management.rs", "management/credentials.rs", "management/servers.rs", "management/told.rs"];
    let functions = files.iter().flat_map(|file| {
        let text = source(&format!("resource-server/src/gateway/{file}"));
        text.split("fn ").map(str::to_owned).collect::<Vec<_>>()
    });
    let slice = |pattern: &str| -> Option<Vec<Option<String>>> {
        let inner = pattern.rsplit_once('[')?.1.split_once(']')?.0;
        let segments = inner.split(',').map(str::trim).filter(|one| !one.is_empty() && !one.contains(".."));
        Some(segments.map(|one| one.strip_prefix('"').map(|word| word.trim_end_matches('"').to_owned())).collect())
    };
    let arms = |text: String| -> Vec<Vec<Option<String>>> {
        let lines = text.lines().filter_map(|line| line.split_once("=>").map(|(pattern, _)| pattern.to_owned()));
        lines.flat_map(|pattern| pattern.split('|').filter_map(slice).collect::<Vec<_>>()).collect()
    };
    functions.map(arms).filter(|found| !found.is_empty()).collect()
}

fn is_beside(fixed: &[Option<String>], variable: &[Option<String>]) -> bool {
    let mut segments = fixed.iter().zip(variable);
    fixed.len() == variable.len() && fixed != variable && segments.all(|(own, other)| other.is_none() || own == other)
}

fn segments(path: &str) -> Vec<Option<String>> {
    path.split('/').map(|one| (!one.starts_with('{')).then(|| one.to_owned())).collect()
}

/// Whoever chooses the id of a share, a delegation, a client or a thing chooses no word that we keep for ourselves.
#[test]
fn threat_36_s03_no_word_of_ours_stands_in_the_way_of_an_id() {
    let (server, desk) = (routes_of_server(), routes_of_desk());
    assert!(server.len() > 60 && desk.len() > 45, "{} {}", server.len(), desk.len());
    let mut found = BTreeSet::new();
    for party in [&server, &desk] {
        for (fixed, variable) in party.iter().flat_map(|fixed| party.iter().map(move |variable| (fixed, variable))) {
            if is_beside(&segments(&fixed.path), &segments(&variable.path)) && !fixed.path.ends_with('/') {
                found.insert((fixed.path.as_str(), variable.path.as_str()));
            }
        }
    }
    assert_eq!(found, BESIDE.iter().map(|(fixed, variable, _)| (*fixed, *variable)).collect());
    let slices = slices_of_gateway();
    assert!(slices.iter().flatten().count() > 20, "{slices:?}");
    for function in slices {
        let beside = |one: &Vec<Option<String>>| function.iter().any(|other| is_beside(one, other));
        assert!(!function.iter().any(beside), "{function:?}");
    }
}

/// A route that is new says whether it may be looked at: axum answers `HEAD` by `GET`.
#[test]
fn threat_41_s17_each_route_says_what_a_look_ahead_does() {
    let all: Vec<Route> = routes_of_server().into_iter().chain(routes_of_desk()).collect();
    let is_visit = |route: &&Route| route.handlers.starts_with("visited(") || route.handlers.contains(".head(look_ahead)");
    let is_read = |route: &&Route| {
        route.handlers.starts_with("get(") || ["resources", "resources.clone()", "simulated()"].contains(&route.handlers.as_str())
    };
    let sorted = |mut paths: Vec<String>| {
        paths.sort();
        paths
    };
    assert_eq!(sorted(all.iter().filter(is_visit).map(|route| route.path.clone()).collect()), VISITS);
    assert_eq!(
        sorted(all.iter().filter(|route| is_read(route) && !is_visit(route)).map(|route| route.path.clone()).collect()),
        READS
    );
}

/// `simulate` is a good id of a share, and the share ends like any other.
#[tokio::test]
async fn threat_36_s03_a_share_that_is_called_as_a_route_is_ended_all_the_same() {
    for world in World::each().await {
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        photo(&world, &pat).await;
        let alice = Signer::new(jose::Algorithm::EdDsa);
        alice.register(&world, &pmt).await;
        let bearer = format!("Bearer {pmt}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/rot+jwt")];
        for id in ["simulate", "stream", "chain", "mine", "batch"] {
            let made = world.send("POST", "/uma/policies", &headers, alice.token(&world, id, json!({}))).await;
            assert_eq!(made.ok(201).get("_id"), id);
            let place = format!("/uma/policies/{id}");
            assert_eq!(world.call("GET", &place, &pmt, json!(null)).await.ok(200).get("_id"), id);
            assert_ne!(world.call("PUT", &place, &pmt, json!({})).await.status, 405);
            world.call("DELETE", &place, &pmt, json!(null)).await.ok(204);
            world.call("GET", &place, &pmt, json!(null)).await.refused(404, "not_found");
        }
        world.call("POST", "/uma/policies/simulate", &pmt, json!({"x": 1})).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn threat_41_s17_who_looks_ahead_changes_nothing_at_a_server() {
    for world in World::each().await {
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let cookies =
            browser.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let look = async |path: &str| {
            let answer = world.send("HEAD", path, &[("cookie", &cookies)], "").await;
            assert!(answer.status == 200 && answer.text.is_empty(), "{path}: {}", answer.status);
            assert!(!answer.headers.contains_key("set-cookie") && !answer.headers.contains_key("location"), "{path}");
        };
        for path in VISITS.iter().filter(|path| !["/callback", "/decide"].contains(path)) {
            look(path).await;
        }
        // a ticket is not spent
        let (pat, album, _) = world.album().await;
        let ticket = world.ticket(&pat, &album, "view").await;
        let fields = [("client_id", "viewer"), ("ticket", &*ticket), ("claims_redirect_uri", "http://127.0.0.1:9001/claims")];
        look(&format!("/claims?{}", form(&fields))).await;
        assert_eq!(visit(&browser, &fields).await.status, 200);
        // a pushed request waits no longer for it
        let challenge = [("code_challenge", crate::oauth::CHALLENGE), ("code_challenge_method", "S256")];
        let request = [("response_type", "code"), ("redirect_uri", "http://127.0.0.1:9000/callback"), ("scope", "openid")];
        let pushed = world.post("/par", "photos-rs", &[&request[..], &challenge[..]].concat()).await;
        let query = form(&[("client_id", "photos-rs"), ("request_uri", pushed.ok(201).get("request_uri"))]);
        look(&format!("/authorize?{query}")).await;
        look(&format!("/login?{}", form(&[("return", &format!("/authorize?{query}"))]))).await;
        world.pass(91);
        assert_eq!(browser.open(&format!("/authorize?{query}")).await.status, 400);
    }
}

#[tokio::test]
async fn threat_41_s17_who_looks_ahead_has_nothing_asked_by_a_desk() {
    let desk = Desk::open().await;
    for path in ["/login", "/callback?code=c&state=s", "/decide?request=x"] {
        let page = desk.send(Request::head(path).body(axum::body::Body::empty()).unwrap()).await;
        assert!(page.status == 200 && page.cookies.is_empty() && page.location.is_empty(), "{path}");
    }
    assert_eq!(desk.login.asked().len(), 0);
}
