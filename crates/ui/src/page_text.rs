//! Text on pages. Whatever stands in a page and is not ours was written by somebody: it is escaped, and characters that nobody
//! sees or that turn the direction of the words beside them are left out (threat 36), for every page of every party, in the one
//! place that all of them pass. Each crate with templates names it in its `askama.toml`.

use askama::filters::{Escaper, Html};
use std::fmt::{self, Write};
use types::spelling::is_invisible;

/// Escapes text for HTML, without what nobody sees.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageText;

impl Escaper for PageText {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        text.split(is_invisible).try_for_each(|part| Html.write_escaped_str(&mut dest, part))
    }

    fn write_escaped_char<W: Write>(&self, dest: W, c: char) -> fmt::Result {
        if is_invisible(c) { Ok(()) } else { Html.write_escaped_char(dest, c) }
    }
}

#[cfg(test)]
mod tests {
    use crate::{ErrorPage, render};

    #[test]
    fn threat_36_text_of_others_neither_hides_nor_turns_on_a_page() {
        let page = render(&ErrorPage { title: "Hol\u{202e}iday <b>", what: "a\u{200b}b\u{2066}c\u{feff}" });
        assert!(page.contains("Holiday &#60;b&#62;") && page.contains("abc"), "{page}");
        assert!(!page.chars().any(types::spelling::is_invisible));
    }
}
