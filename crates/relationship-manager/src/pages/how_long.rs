//! Until when something is shared, as every form of this desk and of the servers asks it: for a week, a month, a day, until she ends
//! it (which is set), or until a date. Fields `for` and `until`, read by [`ui::Reader::chosen_end`].

use super::Fields;
use askama::Template;

#[derive(Template)]
#[template(path = "how_long.html")]
struct Choice<'a> {
    /// Behind the names of its elements, where a page has several.
    suffix: &'a str,
    lasts: &'a str,
    until: &'a str,
    today: String,
    is_signed: bool,
    wrong: Option<&'a str>,
}

impl Choice<'_> {
    /// Whether it lasts so long: until she ends it, where nothing is said.
    fn is_lasting(&self, lasts: &str) -> bool {
        self.lasts == lasts || (lasts == "always" && self.lasts.is_empty())
    }
}

/// The choice with what was typed, and what is wrong with it. `may_be_signed`: what is signed has an end of its own.
pub(super) fn choice(reader: &ui::Reader, fields: &Fields, may_be_signed: bool, wrong: Option<&str>) -> String {
    let (lasts, until, today) = (fields.one("for"), fields.one("until"), reader.today());
    // a date alone is one, too
    let lasts = if lasts.is_empty() && !until.is_empty() { "date" } else { lasts };
    ui::render(&Choice { suffix: "", lasts, until, today, is_signed: may_be_signed, wrong })
}

/// The same, of one form among several.
pub(super) fn choice_of(reader: &ui::Reader, number: usize) -> String {
    let suffix = format!("-{number}");
    ui::render(&Choice { suffix: &suffix, lasts: "", until: "", today: reader.today(), is_signed: false, wrong: None })
}
