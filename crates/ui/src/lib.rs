//! What every page shares: the shell, the style sheet, the error page, dates in words, and the
//! headers that go with HTML. Called by `web`, `resource-server` and the parties; knows no
//! protocol and no HTTP framework.
//!
//! Pages are rendered on the server and work without JavaScript, but for passkeys, which browsers give to scripts alone; the
//! policy of [`content_security_policy`] allows no script but our own.

mod dates;
mod events;
mod forms;
mod people;
mod scopes;

pub use dates::{Lasting, Reader, ZONE_COOKIE, Zone};
pub use events::{crowd_in_words, event_in_words, few_in_words, outcome_in_words, state_in_words};
pub use forms::{Cookies, DoubledCookie, is_led_from_elsewhere, is_own_form};
pub use people::{name_party, quote, within_quotes};
pub use scopes::{find_meaning, least_first, meaning_of};

use askama::Template;
use types::Timestamp;
use types::origin::is_source;
use types::spelling::is_invisible;

/// The style sheet, served as `/assets/style.css`.
pub const STYLE: &str = include_str!("../assets/style.css");
/// Passkeys, served as `/assets/passkey.js`.
pub const PASSKEY_SCRIPT: &str = include_str!("../assets/passkey.js");
/// What pages of a server do beyond HTML, served as `/assets/pages.js`.
pub const PAGES_SCRIPT: &str = include_str!("../assets/pages.js");
/// What keeps presses that began elsewhere from deciding anything, served as `/assets/presses.js`.
pub const PRESSES_SCRIPT: &str = include_str!("../assets/presses.js");
/// News of a desk, served as `/assets/live.js`.
pub const LIVE_SCRIPT: &str = include_str!("../assets/live.js");
/// News for a page that waits, served as `/assets/waiting.js`.
pub const WAITING_SCRIPT: &str = include_str!("../assets/waiting.js");
/// Pictures of an album one by one, served as `/assets/album.js`.
pub const ALBUM_SCRIPT: &str = include_str!("../assets/album.js");
/// The icon, served as `/assets/icon.svg`.
pub const ICON: &str = include_str!("../assets/icon.svg");

/// Most places of the bar at the bottom of a phone; where there are more links, the last place unfolds the rest.
const PLACES: usize = 5;
const MORE: &str = "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"M5 12h.01M12 12h.01M19 12h.01\"/></svg>";

/// A link of the navigation.
pub struct Link {
    pub path: &'static str,
    pub text: &'static str,
    /// An outline, 24 by 24, for the bar of a phone.
    pub icon: &'static str,
    pub current: bool,
    /// How many wait there for her.
    pub count: usize,
}

/// Who is logged in, and the hidden field of her forms.
pub struct Person {
    pub name: String,
    pub csrf: String,
}

/// A page around its body. `body` is HTML; everything else is text and gets escaped.
#[derive(Template)]
#[template(path = "shell.html")]
pub struct Page<'a> {
    pub site: &'a str,
    pub title: &'a str,
    /// Path before all of ours, empty at the root.
    pub base: &'a str,
    pub links: &'a [Link],
    pub person: Option<Person>,
    pub narrow: bool,
    /// Scripts of ours for every page, below `/assets`.
    pub scripts: &'a [&'a str],
    pub body: &'a str,
}

impl Page<'_> {
    /// Links that have no place of their own in the bar of a phone.
    fn folded(&self) -> impl Iterator<Item = &Link> {
        let placed = if self.links.len() > PLACES { PLACES.saturating_sub(1) } else { self.links.len() };
        self.links.iter().skip(placed)
    }

    fn is_current_folded(&self) -> bool {
        self.folded().any(|link| link.current)
    }
}

/// The body of an error page.
#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage<'a> {
    pub title: &'a str,
    pub what: &'a str,
}

/// Renders; a template of ours cannot fail but for memory, and then the page is empty. Whatever others wrote that stands on
/// the page, nothing of it is invisible, or turns the words beside it.
pub fn render(template: &impl Template) -> String {
    let html = template.render().unwrap_or_default();
    match html.chars().any(is_invisible) {
        true => html.chars().filter(|c| !is_invisible(*c)).collect(),
        false => html,
    }
}

/// The policy of our pages: own style, pictures and scripts, nothing inline, no frame. `form_targets` are origins
/// that a form's answer may redirect to (browsers hold `form-action` to redirects too). What is no origin stands in none.
pub fn content_security_policy(form_targets: &[String]) -> String {
    content_security_policy_with(form_targets, &[])
}

/// The same of a page that shows pictures of these origins as well.
pub fn content_security_policy_with(form_targets: &[String], pictures: &[String]) -> String {
    let listed =
        |all: &[String]| -> String { all.iter().filter(|origin| is_source(origin)).map(|origin| format!(" {origin}")).collect() };
    let (pictures, form_targets) = (listed(pictures), listed(form_targets));
    format!(
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:{pictures}; form-action 'self'{form_targets}; frame-ancestors 'none'; base-uri 'none'"
    )
}

/// An instant in words: `1 December 2026, 14:05 UTC`.
pub fn in_words(time: Timestamp) -> String {
    match jiff::Timestamp::from_second(time.0) {
        Ok(time) => time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%-d %B %Y, %H:%M UTC").to_string(),
        Err(_) => "a time beyond the calendar".to_owned(),
    }
}

/// An instant as the `Date` of a mail says it (RFC 5322 3.3): `Tue, 01 Dec 2026 14:05:00 +0000`.
pub fn in_mail(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_second(time.0).unwrap_or_default();
    time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// The UTC date of an instant, as date fields write it: `2026-12-01`.
pub fn date_of(time: Timestamp) -> String {
    match jiff::Timestamp::from_second(time.0) {
        Ok(time) => time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d").to_string(),
        Err(_) => String::new(),
    }
}

/// Midnight at the end of a date `2026-12-01`, in UTC.
pub fn end_of_date(text: &str) -> Option<Timestamp> {
    let date = jiff::civil::Date::strptime("%Y-%m-%d", text).ok().filter(|date| date.year() >= 1970)?;
    let end = date.tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(end.timestamp().as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_36_nothing_on_a_page_hides_or_turns() {
        let what = "Hol\u{202e}yad \u{200b}<b>\u{2066}x";
        let html = render(&ErrorPage { title: "T\u{ad}", what });
        assert!(html.contains("Holyad &#60;b&#62;x") && html.contains("<h1>T</h1>") && !html.chars().any(is_invisible), "{html}");
    }

    /// Whoever names a place has no word in what a page may do.
    #[test]
    fn threat_36_nobody_writes_into_the_policy_of_a_page() {
        let hosts =
            ["https://x.example;sandbox", "https://*", "https://x,sandbox", "https://'none'", "null", "https://x.example"];
        let all = hosts.map(str::to_owned);
        let policy = content_security_policy_with(&all, &all);
        assert_eq!(policy, content_security_policy_with(&all[5..], &all[5..]));
        assert!(policy.contains("; img-src 'self' data: https://x.example; form-action 'self' https://x.example; "), "{policy}");
        assert!(content_security_policy(&[]).contains("form-action 'self';"));
    }

    #[test]
    fn dates_are_told_and_read() {
        assert_eq!(in_words(Timestamp(1_796_133_900)), "1 December 2026, 14:05 UTC");
        assert_eq!(in_words(Timestamp(0)), "1 January 1970, 00:00 UTC");
        assert_eq!(in_words(end_of_date("2028-02-29").unwrap()), "1 March 2028, 00:00 UTC");
        for bad in ["2027-02-29", "2026-13-01", "tomorrow", "2026-1", "0001-01-01"] {
            assert_eq!(end_of_date(bad), None, "{bad}");
        }
    }

    /// Six links are six at a desk, and four with a fold on a phone, which leads to the other two.
    #[test]
    fn a_phone_has_five_places_at_most() {
        let link = |path, current| Link { path, text: "x", icon: "", current, count: 0 };
        let bar = |paths: &[&'static str], current: &str| {
            let links: Vec<Link> = paths.iter().map(|path| link(*path, *path == current)).collect();
            let page =
                Page { site: "s", title: "t", base: "", links: &links, person: None, narrow: false, scripts: &[], body: "" };
            let html = render(&page);
            let places = html.matches("<li>").count() + html.matches("<li class=\"more\">").count();
            (places - html.split("<summary").skip(1).map(|rest| rest.matches("<li>").count()).sum::<usize>(), html)
        };
        let (places, html) = bar(&["/a", "/b", "/c", "/d", "/e"], "/e");
        assert!(places == 5 && !html.contains("More"), "{html}");
        let (places, html) = bar(&["/a", "/b", "/c", "/d", "/e", "/f"], "/f");
        assert!(places == 5 && html.contains("<summary class=\"current\">"), "{html}");
        for path in ["/e", "/f"] {
            assert_eq!(html.matches(&format!("href=\"{path}\"")).count(), 2, "{html}");
        }
        assert!(bar(&["/a", "/b", "/c", "/d", "/e", "/f"], "/a").1.contains("<summary>"));
    }

    #[test]
    fn what_people_typed_is_escaped() {
        let page = Page {
            site: "Wayleave",
            title: "<script>",
            base: "",
            links: &[],
            person: None,
            narrow: true,
            scripts: &[],
            body: "<p>ok</p>",
        };
        let html = render(&page);
        assert!(html.contains("&#60;script&#62;") && html.contains("<p>ok</p>"), "{html}");
    }
}
