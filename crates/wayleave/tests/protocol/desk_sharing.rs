//! Sharing at the desk, as at a server's own pages: until when by the same fields and words, what is wrong at its field, and the
//! link to send afterwards.

use crate::desk::{Desk, Sitting};
use crate::party::Party;
use serde_json::{Value, json};

const BOB: &str = "bob@bar.example";

/// Albums at a keeper, which says of each that it can be opened here.
async fn linked(alice: &mut Sitting<'_>, places: &[&str]) -> (Party, Party) {
    let guard = Party::start().await;
    let keeper = Party::keeper(&guard).await;
    let registration = |n: usize| {
        json!([{"_id": format!("g{n}"), "authorization_server": guard.url, "authorization_server_resource_id": format!("r{n}"),
            "registered_scopes": ["view", "edit"], "state": "active"}])
    };
    let of = |(n, place): (usize, &&str)| {
        json!({"_resource_id": format!("k{n}"), "name": format!("Album {n}"), "resource_scopes": ["view", "edit"],
            "resource_location": place.replace("KEEPER", &keeper.url), "registrations": registration(n)})
    };
    let kept: Vec<Value> = places.iter().enumerate().map(of).collect();
    let guarded = |n: usize| {
        json!({"_id": format!("r{n}"), "_resource_id": format!("k{n}"), "resource_server": keeper.url, "name": format!("Album {n}"),
        "resource_scopes": ["view", "edit"], "user_access_policy_uri": format!("{}/my/resources/r{n}", guard.url)})
    };
    keeper.answers("GET /manage/my-resources", 200, json!(kept));
    guard.answers("GET /resources", 200, (0..places.len()).map(guarded).collect());
    for server in [&guard.url, &keeper.url] {
        alice.link(server, &guard).await;
    }
    (guard, keeper)
}

/// What was posted as a share last.
fn shared(guard: &Party) -> Value {
    let asked = guard.asked();
    let posted = asked.iter().rev().find(|asked| asked.what.starts_with("POST /policies")).unwrap();
    serde_json::from_str::<Value>(&posted.body).unwrap()[0].clone()
}

#[tokio::test]
async fn until_when_is_chosen_as_at_a_server() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper) = linked(&mut alice, &["KEEPER/albums/0"]).await;
    guard.answers("POST /policies?atomic=true", 201, json!([{"_id": "made"}]));
    let form = alice.get("/share?all=yes").await;
    for label in ["for a week", "for a month", "for a day", "until I end it", "until a date"] {
        assert!(form.text.contains(&format!("<span>{label}</span>")), "{label}: {}", form.text);
    }
    assert!(form.text.contains("value=\"always\" checked"), "{}", form.text);
    // it is the 15th of January in 2027
    for (lasts, until, words, last_day, end) in [
        ("day", "", "until and including 16 January", "2027-01-16", json!(1_800_144_000)),
        ("week", "", "until and including 22 January", "2027-01-22", json!(1_800_662_400)),
        ("month", "", "until and including 15 February", "2027-02-15", json!(1_802_736_000)),
        ("date", "2027-01-20", "until and including 20 January", "2027-01-20", json!(1_800_489_600)),
        ("", "2027-01-20", "until and including 20 January", "2027-01-20", json!(1_800_489_600)),
        ("always", "", "until you withdraw it", "", Value::Null),
    ] {
        let fields = [("all", "yes"), ("email", BOB), ("scope", "view"), ("for", lasts), ("until", until)];
        let review = alice.post("/share", &[&fields[..], &[("step", "review")]].concat()).await;
        assert!(review.text.contains(words), "{lasts}: {}", review.text);
        // what she read is what is done, on whichever day she presses
        let (lasts, until) = (review.field("for"), review.field("until"));
        assert_eq!(until, last_day);
        let fields = [("all", "yes"), ("email", BOB), ("scope", "view"), ("for", &*lasts), ("until", &*until)];
        let done = alice.post("/share", &[&fields[..], &[("step", "confirm")]].concat()).await;
        assert!(done.text.contains("<h1>Shared</h1>"), "{}", done.text);
        assert_eq!(shared(&guard)["expires_at"], end, "{words}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_share_stands_at_its_field_and_what_was_typed_stays() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper) = linked(&mut alice, &["KEEPER/albums/0"]).await;
    for (field, more, words) in [
        ("email", vec![("scope", "view"), ("for", "week")], "Say whom you share with"),
        ("email", vec![("scope", "view"), ("email", "nobody")], "is no e-mail address"),
        ("scope", vec![("email", BOB), ("for", "week")], "Choose at least one thing"),
        ("until", vec![("email", BOB), ("scope", "view"), ("for", "date"), ("until", "2020-01-01")], "That day is over"),
        ("until", vec![("email", BOB), ("scope", "view"), ("for", "week"), ("until", "2028-01-01")], "not both"),
        ("until", vec![("email", BOB), ("scope", "view"), ("for", "year")], "Choose how long"),
    ] {
        let page = alice.post("/share", &[&[("all", "yes"), ("step", "review")][..], &more[..]].concat()).await;
        let wrong = format!("<p class=\"wrong\" id=\"wrong-{field}\">");
        let said = page.text.split(&wrong).nth(1).unwrap_or_else(|| panic!("{field}: {}", page.text));
        assert!(said.split("</p>").next().unwrap().contains(words), "{field}: {}", page.text);
        for (_, value) in more.iter().filter(|(name, value)| *name == "email" && *value == BOB || *name == "until") {
            assert!(page.text.contains(&format!("value=\"{value}\"")), "{field}: {}", page.text);
        }
    }
    assert_eq!(guard.count("POST /policies"), 0);
}

/// A link elsewhere is none that she would send (protocol.md 1.1).
#[tokio::test]
async fn threat_33_after_sharing_there_is_the_link_to_send_and_none_to_another_place() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let places = ["KEEPER/albums/0", "https://evil.example/albums/1", "javascript:alert(1)", "KEEPER/albums/3#x"];
    let (guard, keeper) = linked(&mut alice, &places).await;
    guard.answers("POST /policies?atomic=true", 201, json!([{"_id": "a"}, {"_id": "b"}, {"_id": "c"}, {"_id": "d"}]));
    let done = alice.post("/share", &[("all", "yes"), ("email", BOB), ("scope", "view"), ("step", "confirm")]).await;
    assert!(done.text.contains("this desk sends no mail"), "{}", done.text);
    assert!(done.text.contains(&format!("value=\"{}/albums/0\" readonly", keeper.url)), "{}", done.text);
    assert!(done.text.contains(&format!("href=\"{}/my/resources/r0\"", guard.url)), "where the server mails it: {}", done.text);
    assert_eq!(done.text.matches("data-copy=").count(), 1, "{}", done.text);
    assert!(!done.text.contains("evil.example") && !done.text.contains("javascript:"), "{}", done.text);
    let things = alice.json("/api/things").await;
    let first = things["things"].as_array().unwrap().iter().find(|thing| thing["name"] == "Album 0").unwrap();
    let key = first["key"].as_str().unwrap().to_owned();
    let page = alice.get(&format!("/thing/{key}")).await;
    assert!(page.text.contains(&format!("value=\"{}/albums/0\" readonly", keeper.url)), "{}", page.text);
}
