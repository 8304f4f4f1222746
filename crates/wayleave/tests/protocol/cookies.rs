//! Cookies as browsers get them from an https issuer: names, attributes, and that no other spelling of them counts (RFC
//! 6265bis 4.1.3, threat 42).

use crate::people::PEOPLE;
use crate::world::{Answer, World, form};

const AT: &str = "https://as.example";
const PROVIDER: &str = "[[login_provider]]\nissuer = \"https://login.bar.example\"\nname = \"Bar\"\nclient_id = \"us\"\nclient_secret = \"secret\"\n";

async fn world(issuer: &str) -> World {
    let people = PEOPLE.replace("issuer = \"http://127.0.0.1:8080\"", &format!("issuer = \"{issuer}\""));
    World::of("memory", &people, PROVIDER).await
}

/// Lines of `Set-Cookie`, each as its parts.
fn cookies(answer: &Answer) -> Vec<Vec<String>> {
    let lines = answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
    lines.map(|line| line.split(';').map(|part| part.trim().to_owned()).collect()).collect()
}

fn csrf_of(page: &Answer) -> String {
    page.text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// What each cookie must say.
#[track_caller]
fn is_locked(parts: &[String], prefix: &str) {
    assert!(parts[0].starts_with(prefix), "{parts:?}");
    for wanted in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
        assert!(parts.iter().any(|part| part == wanted), "{wanted}: {parts:?}");
    }
    assert!(!parts.iter().any(|part| part.to_ascii_lowercase().starts_with("domain")), "{parts:?}");
}

#[tokio::test]
async fn threat_42_s10_cookies_of_an_https_issuer_are_of_its_host_alone() {
    for (issuer, base) in [(AT, ""), ("https://as.example/one", "/one")] {
        let world = world(issuer).await;
        let page = world.get(&format!("{base}/login")).await;
        let form_cookie = cookies(&page).pop().unwrap();
        is_locked(&form_cookie, "__Host-");
        let fields = [("csrf", &*csrf_of(&page)), ("username", "alice"), ("password", "alice-password")];
        let log_in = async |cookie: &str| {
            let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", AT), ("cookie", cookie)];
            world.send("POST", &format!("{base}/login"), &headers, form(&fields)).await
        };
        // the same under its plain name is nobody's: a sibling host, or http, could have set it
        let plain = form_cookie[0].trim_start_matches("__Host-");
        for planted in [plain, &plain.to_ascii_uppercase(), &form_cookie[0].replace("__Host-", "__host-")] {
            assert_eq!(log_in(planted).await.status, 400, "{planted}");
        }
        let done = log_in(&form_cookie[0]).await;
        let session = cookies(done.ok(303)).pop().unwrap();
        is_locked(&session, "__Host-");
        assert!(session.iter().any(|part| part == "Max-Age=43200"), "{session:?}");
        let open = async |cookie: &str| world.send("GET", &format!("{base}/account"), &[("cookie", cookie)], "").await;
        let both = format!("{}; {}", form_cookie[0], session[0]);
        let account = open(&both).await;
        account.ok(200);
        assert_eq!(open(&both.replace("__Host-", "")).await.status, 303, "no session by its plain name");
        // log-out takes it away under its own name
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", AT), ("cookie", &*both)];
        let out = world.send("POST", &format!("{base}/logout"), &headers, form(&[("csrf", &csrf_of(&account))])).await;
        let gone = cookies(out.ok(303)).pop().unwrap();
        is_locked(&gone, session[0].split('=').next().unwrap());
        assert!(gone.iter().any(|part| part == "Max-Age=0"), "{gone:?}");
        let carried = cookies(&world.get(&format!("{base}/login/callback?code=x&state=y")).await);
        let carried = carried.iter().find(|parts| parts[0].contains("elsewhere")).unwrap();
        is_locked(carried, "__Host-");
    }
}

/// A proof of an address is kept like a session, for an hour.
#[tokio::test]
async fn threat_42_a_proof_that_a_browser_keeps_is_of_its_host_alone() {
    let world = world(AT).await;
    let (pat, album, _) = world.album().await;
    let ticket = world.ticket(&pat, &album, "view").await;
    let begun = world.get(&format!("/claims?{}", form(&[("client_id", "viewer"), ("ticket", &ticket)]))).await;
    let cookie = cookies(begun.ok(303)).pop().unwrap()[0].clone();
    let post = async |url: &str, name: &str, value: &str| {
        let page = world.send("GET", url, &[("cookie", &cookie)], "").await;
        let i = page.text.split("name=\"i\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", AT), ("cookie", &*cookie)];
        let fields = form(&[("csrf", &csrf_of(&page)), ("i", i), (name, value)]);
        world.send("POST", "/claims/continue", &headers, fields).await
    };
    let sent = post(begun.header("location"), "email", "bob@bar.example").await;
    let mail = world.mailbox.0.lock().unwrap().last().unwrap().text.clone();
    let code = mail.split("Your code is ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let proved = post(sent.ok(303).header("location"), "code", &code).await;
    let proof = cookies(proved.ok(303)).pop().unwrap();
    is_locked(&proof, "__Host-wl_proof=");
    assert!(proof.iter().any(|part| part == "Max-Age=3600"), "{proof:?}");
    let open = async |proof: &str| {
        let both = format!("{cookie}; {proof}");
        world.send("GET", proved.header("location"), &[("cookie", &*both)], "").await.text.contains("<dd>bob@bar.example</dd>")
    };
    assert!(open(&proof[0]).await && !open(&proof[0].replace("__Host-", "")).await);
}
