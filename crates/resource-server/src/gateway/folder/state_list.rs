//! Whether an `If` field reads (RFC 4918 10.4.2): `dav-server` passes over one that does not, and what was to be a condition would
//! be none. Called by `folder.rs`.

/// Tags of places and lists of conditions, as [`crate::gateway::elsewhere`] writes them.
pub(super) fn is_readable(field: &str) -> bool {
    let mut rest = field.trim();
    let mut has_list = false;
    while !rest.is_empty() {
        let after = match rest.strip_prefix('(') {
            Some(list) => {
                has_list = true;
                after_list(list)
            }
            None => after_coded_url(rest),
        };
        let Some(after) = after else { return false };
        rest = after.trim_start();
    }
    has_list
}

/// What follows a list whose parenthesis was opened.
fn after_list(list: &str) -> Option<&str> {
    let mut rest = list.trim_start();
    let mut conditions = 0_usize;
    loop {
        if let Some(after) = rest.strip_prefix(')') {
            return (conditions > 0).then_some(after);
        }
        let is_negated = rest.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("not"));
        let condition = if is_negated { rest.get(3..)?.trim_start() } else { rest };
        rest = after_coded_url(condition).or_else(|| after_entity_tag(condition))?.trim_start();
        conditions = conditions.saturating_add(1);
    }
}

fn after_coded_url(text: &str) -> Option<&str> {
    let (url, after) = text.strip_prefix('<')?.split_once('>')?;
    (!url.is_empty() && !url.contains(['<', ' '])).then_some(after)
}

fn after_entity_tag(text: &str) -> Option<&str> {
    let tag = text.strip_prefix('[')?;
    let opaque = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?;
    opaque.split_once('"')?.1.strip_prefix(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_webdav_read_or_are_refused() {
        for good in [
            "(<urn:uuid:1>)",
            "(<urn:uuid:1> [\"a\"])",
            "(Not <DAV:no-lock>)",
            "([W/\"a b\"]) (Not [\"c\"] <urn:x>)",
            "<https://files.example/a> (<urn:uuid:1>) (not <urn:uuid:2>)",
            "( <urn:uuid:1> )",
        ] {
            assert!(is_readable(good), "{good}");
        }
        for bad in
            ["", "()", "(Not)", "(x)", "(<>)", "([])", "([\"])", "([a])", "(<urn:x>", "<urn:x>", "[\"a\"]", "(<urn:x>) x", "(é)"]
        {
            assert!(!is_readable(bad), "{bad}");
        }
    }
}
