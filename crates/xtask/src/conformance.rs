//! `docs/conformance.md` from the tests: every case of `docs/conformance-cases.txt` with the tests
//! that bear its id. A test bears ids in its documentation, `/// Cases: G-3.3.4-8, X-7`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

struct Case {
    id: String,
    level: String,
    who: String,
    what: String,
}

/// Cases that bind only people who write profiles, or whoever deploys: answered in this chapter.
const ANSWERED: &str = "docs/conformance-answers.md";

/// Writes the page anew.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    let page = page(root)?;
    std::fs::write(root.join("docs/conformance.md"), page).map_err(|error| error.to_string())
}

/// Fails if a case has neither test nor answer, a test bears an unknown id, or the page is not what the
/// tests say: a test that is gone shows as a change of the page.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let page = page(root)?;
    let has = std::fs::read_to_string(root.join("docs/conformance.md")).unwrap_or_default();
    if has == page { Ok(()) } else { Err("docs/conformance.md is not what the tests say: run `cargo xtask conformance`".into()) }
}

fn page(root: &Path) -> Result<String, String> {
    let cases = cases(root)?;
    let tests = tests(root)?;
    let answers = std::fs::read_to_string(root.join(ANSWERED)).unwrap_or_default();
    let unknown: Vec<_> = tests.keys().filter(|id| !cases.iter().any(|case| case.id == **id)).cloned().collect();
    if !unknown.is_empty() {
        return Err(format!("tests bear ids that are no case: {}", unknown.join(", ")));
    }
    let answered = |id: &str| answers.lines().any(|line| line.starts_with(&format!("- **{id}**")));
    let missing: Vec<_> =
        cases.iter().filter(|case| !tests.contains_key(&case.id) && !answered(&case.id)).map(|case| &*case.id).collect();
    if !missing.is_empty() {
        return Err(format!("these cases have neither test nor answer: {}", missing.join(", ")));
    }
    let mut page = String::from(
        "# Conformance\n\nEvery requirement of the UMA 2.0 Grant (G) and of Federated Authorization (F), scenarios across both (X), \
         and the tests that bear its id. Made by `cargo xtask conformance`; the test run fails if it is out of date.\n\n\
         | case | level | who | what | tests |\n|---|---|---|---|---|\n",
    );
    for case in &cases {
        let mut names = tests.get(&case.id).cloned().unwrap_or_default();
        if answered(&case.id) {
            names.push("[answered](conformance-answers.md)".into());
        }
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            case.id,
            case.level,
            case.who,
            case.what.replace('|', "\\|"),
            names.join("<br>")
        );
    }
    Ok(page)
}

fn cases(root: &Path) -> Result<Vec<Case>, String> {
    let place = root.join("docs/conformance-cases.txt");
    let text = std::fs::read_to_string(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &str| {
        let mut parts = line.splitn(4, " | ").map(str::to_owned);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(id), Some(level), Some(who), Some(what)) => Ok(Case { id, level, who, what }),
            _ => Err(format!("docs/conformance-cases.txt: `{line}` is not `id | level | who | what`")),
        }
    };
    lines.map(read).collect()
}

/// Names of tests by the ids they bear.
fn tests(root: &Path) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for place in sources(&root.join("crates")) {
        let text = std::fs::read_to_string(&place).map_err(|error| error.to_string())?;
        let name = place.strip_prefix(root).unwrap_or(&place).display().to_string();
        let mut ids: Vec<String> = Vec::new();
        for line in text.lines().map(str::trim) {
            if let Some((_, list)) = line.strip_prefix("///").and_then(|doc| doc.split_once("Cases:")) {
                ids.extend(list.split(',').map(|id| id.trim().trim_end_matches('.').to_owned()).filter(|id| !id.is_empty()));
            } else if let Some(function) = function_of(line) {
                for id in ids.drain(..) {
                    found.entry(id).or_default().push(format!("`{function}` ({name})"));
                }
            }
        }
    }
    Ok(found)
}

pub(crate) fn function_of(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(['(', '<']).next()
}

/// Where we speak of tests, and have none.
fn own() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let place = entry.path();
            if place.is_dir() {
                open.push(place);
            } else if place.extension().is_some_and(|end| end == "rs") && !place.starts_with(own()) {
                found.push(place);
            }
        }
    }
    found.sort();
    found
}
