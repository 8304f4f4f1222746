//! Sharing at the server's own pages: the form, the link, and the mail that tells of it.

use crate::oauth::Browser;
use crate::world::{Answer, PHOTOS, START, World};
use serde_json::{Value, json};

const BOB: &str = "bob@bar.example";
/// A day before the worlds of the tests begin, and days after.
const PAST: &str = "2020-01-01";
const LATER: &str = "2027-02-28";

async fn album(world: &World, more: Value) -> String {
    let mut description = json!({"resource_scopes": ["delete", "edit", "view"], "name": "Holiday 2025",
        "resource_location": format!("{PHOTOS}/holiday-2025")});
    description.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let pat = world.pat().await;
    world.call("POST", "/uma/resources", &pat, description).await.ok(201).get("_id").to_owned()
}

async fn policies(world: &World) -> Vec<Value> {
    let pmt = world.access("manager").await;
    world.call("GET", "/uma/policies", &pmt, Value::Null).await.ok(200).json.as_array().unwrap().clone()
}

/// A browser of Alice's, and the page of an album.
async fn at_album<'a>(world: &'a World, album: &str) -> (Browser<'a>, String, Answer) {
    let browser = Browser::new(world);
    browser.log_in("alice").await;
    let place = format!("/my/resources/{album}");
    let page = browser.open(&place).await;
    (browser, place, page)
}

fn mails(world: &World) -> Vec<authorization_server::mailer::Message> {
    world.mailbox.0.lock().unwrap().clone()
}

#[tokio::test]
async fn the_form_begins_with_the_least_and_keeps_what_was_typed() {
    for world in World::each().await {
        let album = album(&world, json!({})).await;
        let (browser, place, page) = at_album(&world, &album).await;
        let boxes: Vec<_> =
            page.text.match_indices("name=\"scope\" value=\"").map(|(at, mark)| &page.text[at + mark.len()..]).collect();
        let names: Vec<_> = boxes.iter().map(|rest| rest.split('"').next().unwrap()).collect();
        assert_eq!(names, ["view", "edit", "delete"]);
        let is_ticked = |rest: &&str| rest.split('>').next().unwrap().contains(" checked");
        assert_eq!(boxes.iter().map(is_ticked).collect::<Vec<_>>(), [true, false, false], "looking, and nothing else ever");
        assert!(page.text.contains("Look at it.") && page.text.contains("min=\"2027-01-15\""), "{}", page.text);
        assert!(page.text.contains("kept at 127.0.0.1:9000") && page.text.contains("http://127.0.0.1:9000/holiday-2025"));
        let share = format!("{place}/share");
        for (fields, said) in [
            (vec![("email", BOB), ("scope", "edit"), ("until", PAST)], "That day is over"),
            (vec![("email", BOB), ("scope", "edit"), ("for", "date")], "Write the last day"),
            (vec![("email", BOB), ("scope", "edit"), ("for", "week"), ("until", LATER)], "not both"),
            (vec![("email", BOB), ("for", "week")], "Choose at least one thing"),
            (vec![("email", "bob at bar"), ("scope", "edit")], "address"),
            (vec![("scope", "edit"), ("for", "week")], "Write the address"),
            (vec![("email", BOB), ("scope", "edit"), ("message", &*"x".repeat(281)), ("mail", "yes")], "these are 281"),
            (vec![("email", "bob at bar"), ("scope", "edit"), ("mail", "yes")], "address"),
        ] {
            let answer = browser.submit(&page, &share, &fields).await;
            assert_eq!(answer.status, 400, "{fields:?}");
            assert!(answer.text.contains("class=\"wrong\"") && answer.text.contains(said), "{fields:?}: {}", answer.text);
            let kept = |(name, value): &(&str, &str)| match *name {
                "email" | "until" => answer.text.contains(&format!("value=\"{value}\"")),
                "scope" => answer.text.contains("value=\"edit\" aria-describedby=\"means-2\" checked"),
                "for" => answer.text.contains(&format!("name=\"for\" value=\"{value}\" checked")),
                "message" => answer.text.contains(value),
                _ => true,
            };
            assert!(fields.iter().all(kept), "{fields:?}: {}", answer.text);
        }
        assert!(policies(&world).await.is_empty() && mails(&world).is_empty());
    }
}

#[tokio::test]
async fn until_when_is_chosen_and_told_in_one_wording() {
    for world in World::each().await {
        let album = album(&world, json!({})).await;
        let (browser, place, page) = at_album(&world, &album).await;
        for (lasts, until, end, words) in [
            ("", "", None, "may view, until you end it<"),
            ("always", "", None, "may view, until you end it<"),
            ("day", "", Some("2027-01-16"), "may view, until and including 16 January<"),
            ("week", "", Some("2027-01-22"), "may view, until and including 22 January<"),
            ("month", "", Some("2027-02-15"), "may view, until and including 15 February<"),
            ("", LATER, Some(LATER), "may view, until and including 28 February<"),
            ("date", "2028-02-29", Some("2028-02-29"), "may view, until and including 29 February 2028<"),
        ] {
            let fields = [("email", BOB), ("scope", "view"), ("for", lasts), ("until", until)];
            let made = browser.submit(&page, &format!("{place}/share"), &fields).await;
            assert_eq!((made.status, made.header("location").split('?').next()), (303, Some(place.as_str())));
            let shown = browser.open(&place).await;
            assert!(shown.text.contains(&format!("{BOB} {words}")), "{lasts} {until}: {}", shown.text);
            let all = policies(&world).await;
            let expected = end.map(|date| ui::end_of_date(date).unwrap().0);
            assert_eq!((all.len(), all[0]["expires_at"].as_i64()), (1, expected), "{lasts} {until}");
            world.withdraw(all[0]["_id"].as_str().unwrap()).await;
        }
        assert_eq!(world.now(), START);
        // what has ended lets nobody in, and says so elsewhere
        browser.submit(&page, &format!("{place}/share"), &[("email", BOB), ("scope", "view"), ("for", "day")]).await;
        world.pass(3 * 86_400);
        browser.log_in("alice").await;
        let page = browser.open(&place).await;
        let (standing, ended) = page.text.split_once("Ended: 1").unwrap();
        assert!(standing.contains("Only you.") && !standing.contains(BOB) && ended.contains(BOB), "{}", page.text);
        assert!(browser.open("/my/resources").await.text.contains("only you"));
    }
}

/// Her days end where she is, as far as her browser says where that is.
#[tokio::test]
async fn days_end_in_the_zone_of_the_browser() {
    let world = World::one().await;
    let album = album(&world, json!({})).await;
    let (browser, place, page) = at_album(&world, &album).await;
    browser.cookies.borrow_mut().push(("wl_zone".into(), "America/Los_Angeles".into()));
    browser.submit(&page, &format!("{place}/share"), &[("email", BOB), ("scope", "view"), ("until", LATER)]).await;
    let shown = browser.open(&place).await;
    assert!(shown.text.contains("until and including 28 February<"), "{}", shown.text);
    let known = std::path::Path::new("/usr/share/zoneinfo/America/Los_Angeles").exists();
    let end = ui::end_of_date(LATER).unwrap().0 + if known { 8 * 3_600 } else { 0 };
    assert_eq!(policies(&world).await[0]["expires_at"], json!(end));
    for odd in ["../../../etc/passwd", "%00", "Nowhere"] {
        browser.cookies.borrow_mut().retain(|(name, _)| name != "wl_zone");
        browser.cookies.borrow_mut().push(("wl_zone".into(), odd.into()));
        assert_eq!(browser.open(&place).await.status, 200);
    }
}

/// She reads the mail, then it is sent, once, and she reads what was sent.
#[tokio::test]
async fn a_share_is_mailed_once_she_has_read_the_mail() {
    for world in World::each().await {
        let album = album(&world, json!({})).await;
        let (browser, place, page) = at_album(&world, &album).await;
        let share = format!("{place}/share");
        let fields = [
            ("email", "Bob@BAR.example"),
            ("scope", "view"),
            ("for", "week"),
            ("message", "Look at\r\nthe \u{202e}cliffs"),
            ("mail", "yes"),
        ];
        let asked = browser.submit(&page, &share, &fields).await;
        assert!(asked.ok(200).text.contains("bob@bar.example gets this mail"), "{}", asked.text);
        assert!(mails(&world).is_empty() && policies(&world).await.is_empty(), "nothing is done before she confirms");
        // back to the form, with all of it
        let mut change = fields.to_vec();
        change.push(("change", "yes"));
        let form = browser.submit(&asked, &share, &change).await;
        assert!(form.ok(200).text.contains("value=\"Bob@BAR.example\"") && form.text.contains("the cliffs"), "{}", form.text);
        let mut confirmed = fields.to_vec();
        confirmed.push(("confirm", "yes"));
        let made = browser.submit(&asked, &share, &confirmed).await;
        assert_eq!(made.status, 303, "{}", made.text);
        let [mail] = <[_; 1]>::try_from(mails(&world)).unwrap();
        assert_eq!((mail.to.as_str(), mail.subject.as_str()), (BOB, "alice shares something with you"));
        for words in [
            "alice (alice@foo.example) shares",
            "“Holiday 2025”",
            "You may view, until and including 22 January.",
            "“Look at the cliffs”",
            "\nhttp://127.0.0.1:9000/holiday-2025\n",
        ] {
            assert!(mail.text.contains(words), "{words}: {}", mail.text);
        }
        assert_eq!(policies(&world).await.len(), 1);
        let told = browser.open(made.header("location")).await;
        assert!(
            told.text.contains("bob@bar.example gets this mail, sent just now") && told.text.contains("“Look at the cliffs”")
        );
        // nobody else can have her page say something
        let carol = Browser::new(&world);
        carol.log_in("carol").await;
        assert_eq!(carol.open(made.header("location")).await.status, 404);
        let forged = browser.open(&format!("{place}?note=AAAA")).await;
        assert!(forged.ok(200).text.contains("Bob@BAR.example may view") && !forged.text.contains("gets this mail"));
    }
}

/// Mail goes to whom a share names, as long as it lets them in, to a link at the place that keeps the thing.
#[tokio::test]
async fn a_mail_goes_to_whom_the_share_names_and_nowhere_else() {
    let world = World::one().await;
    let album = album(&world, json!({})).await;
    let (browser, place, page) = at_album(&world, &album).await;
    let bobs = world.share(&album, "view", BOB).await;
    let mail = async |policy: &str, to: &str| {
        let fields = [("to", to), ("message", "Hello"), ("confirm", "yes")];
        browser.submit(&page, &format!("{place}/policies/{policy}/mail"), &fields).await.status
    };
    for to in ["eve@evil.example", "", "bob@bar.example, eve@evil.example", "bob@bar.example\r\nBcc: eve@evil.example"] {
        assert_eq!(mail(&bobs, to).await, 400, "{to}");
    }
    let anyones = world.share(&album, "view", "").await;
    assert_eq!((mail(&anyones, BOB).await, mail("nothing", BOB).await), (400, 404));
    assert!(mails(&world).is_empty());
    assert_eq!((mail(&bobs, BOB).await, mail(&bobs, BOB).await), (303, 303));
    assert_eq!(mails(&world).len(), 1, "sent twice at once, it is one mail");
    let shown = browser.submit(&page, &format!("{place}/policies/{bobs}/mail"), &[("to", BOB), ("message", "Hello")]).await;
    assert!(shown.ok(200).text.contains("gets this mail") && mails(&world).len() == 1);
    // of another thing, and of one that leads elsewhere
    let other = self::album(&world, json!({"resource_location": "https://evil.example/holiday"})).await;
    let elsewhere = format!("/my/resources/{other}/policies/{bobs}/mail");
    assert_eq!(browser.submit(&page, &elsewhere, &[("to", BOB), ("confirm", "yes")]).await.status, 404);
    let its_own = world.share(&other, "view", BOB).await;
    let odd = browser.open(&format!("/my/resources/{other}")).await;
    assert!(!odd.text.contains("evil.example") && !odd.text.contains("Mail it"), "{}", odd.text);
    let its_mail = format!("/my/resources/{other}/policies/{its_own}/mail");
    assert_eq!(browser.submit(&page, &its_mail, &[("to", BOB), ("confirm", "yes")]).await.status, 400);
    assert_eq!(mails(&world).len(), 1);
}

/// Twenty an hour for each owner; what was refused counts for nothing.
#[tokio::test]
async fn twenty_mails_an_hour() {
    let world = World::one().await;
    let album = album(&world, json!({})).await;
    let (browser, place, page) = at_album(&world, &album).await;
    let bobs = world.share(&album, "view", BOB).await;
    let mail = async |to: &str, message: &str| {
        let fields = [("to", to), ("message", message), ("confirm", "yes")];
        browser.submit(&page, &format!("{place}/policies/{bobs}/mail"), &fields).await
    };
    for n in 0..30 {
        assert_eq!(mail("eve@evil.example", &format!("{n}")).await.status, 400);
    }
    for n in 0..20 {
        assert_eq!(mail(BOB, &format!("number {n}")).await.status, 303);
    }
    assert_eq!(mails(&world).len(), 20);
    let refused = mail(BOB, "one more").await;
    let told = browser.open(refused.header("location")).await;
    assert!(told.text.contains("got no mail") && told.text.contains("20 mails"), "{}", told.text);
    assert_eq!(mails(&world).len(), 20);
    world.pass(3_601);
    browser.log_in("alice").await;
    let page = browser.open(&place).await;
    let fields = [("to", BOB), ("message", "an hour later"), ("confirm", "yes")];
    browser.submit(&page, &format!("{place}/policies/{bobs}/mail"), &fields).await;
    assert_eq!(mails(&world).len(), 21);
}

/// Whose name, and whose thing: nothing of it turns, hides, or ends a line.
#[tokio::test]
async fn threat_36_what_others_wrote_is_one_line_of_the_mail() {
    let world = World::one().await;
    let odd = "Holiday\r\n\r\nYour account is closed:\u{202e} go to https://evil.example";
    let album = album(&world, json!({"name": odd, "description": "<b>https://evil.example</b>"})).await;
    let (browser, place, page) = at_album(&world, &album).await;
    let bobs = world.share(&album, "view", BOB).await;
    let fields = [("to", BOB), ("message", ""), ("confirm", "yes")];
    browser.submit(&page, &format!("{place}/policies/{bobs}/mail"), &fields).await;
    let [mail] = <[_; 1]>::try_from(mails(&world)).unwrap();
    assert!(mail.text.contains("    “Holiday Your account is closed: go to https://evil.example”\n"), "{}", mail.text);
    assert!(!mail.text.contains('\u{202e}') && !mail.text.contains("<b>") && !mail.subject.contains("evil"), "{mail:?}");
}
