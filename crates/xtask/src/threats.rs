//! The last column of `docs/threats.md` from the tests: those that are named after the row, `threat_07_...`.

use crate::conformance::{function_of, sources};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

const PAGE: &str = "docs/threats.md";
/// How a row without tests begins its last cell: it says with what it comes.
const LATER: &str = "comes with ";

/// Writes the page anew.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    let page = page(root)?;
    std::fs::write(root.join(PAGE), page).map_err(|error| error.to_string())
}

/// Fails if a row has no test, a test is named after no row, or the page is out of date.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let has = std::fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    if has == page(root)? { Ok(()) } else { Err(format!("{PAGE} is not what the tests say: run `cargo xtask conformance`")) }
}

fn page(root: &Path) -> Result<String, String> {
    let mut tests = tests(root)?;
    let text = std::fs::read_to_string(root.join(PAGE)).map_err(|error| format!("{PAGE}: {error}"))?;
    let mut page = String::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split(" | ").collect();
        let row = cells.first().and_then(|cell| cell.strip_prefix("| ")).and_then(|number| number.parse::<u32>().ok());
        match (row, cells.get(1), cells.get(2), cells.get(3)) {
            (Some(row), Some(attack), Some(rule), Some(held)) => {
                let held = match tests.remove(&row) {
                    Some(named) => named.join("<br>"),
                    None if held.starts_with(LATER) => held.trim_end_matches(" |").to_owned(),
                    None => return Err(format!("{PAGE}: row {row} has no test named after it, and does not say `{LATER}...`")),
                };
                let _ = writeln!(page, "| {row} | {attack} | {rule} | {held} |");
            }
            _ => {
                let _ = writeln!(page, "{line}");
            }
        }
    }
    match tests.keys().next() {
        Some(row) => Err(format!("{PAGE} has no row {row}, but a test is named after it")),
        None => Ok(page),
    }
}

/// Tests by the number in their name.
fn tests(root: &Path) -> Result<BTreeMap<u32, Vec<String>>, String> {
    let mut found: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for place in sources(&root.join("crates")) {
        let text = std::fs::read_to_string(&place).map_err(|error| error.to_string())?;
        let name = place.strip_prefix(root).unwrap_or(&place).display().to_string();
        for function in text.lines().filter_map(|line| function_of(line.trim())) {
            let row = function.strip_prefix("threat_").and_then(|rest| rest.split('_').next()?.parse().ok());
            if let Some(row) = row {
                found.entry(row).or_default().push(format!("`{function}` ({name})"));
            }
        }
    }
    Ok(found)
}
