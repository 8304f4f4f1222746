//! `docs/settings.md` names every setting, and none that is not: what the code takes is read from what it says to one that it
//! does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use wayleave::config::Config;

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md")).unwrap()
}

/// By heading, the keys of the table below it, each with its default.
fn written() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut heading = String::new();
    for line in page().lines() {
        if let Some(title) = line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")) {
            heading = title.to_owned();
        } else if let Some(row) = line.strip_prefix("| `") {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let key = cells[0].trim_end_matches('`').to_owned();
            found.entry(heading.clone()).or_default().insert(key, cells[1].trim_matches('`').to_owned());
        }
    }
    found
}

/// What the code takes in a table.
fn taken(table: &str, is_list: bool) -> BTreeSet<String> {
    let header = match (table, is_list) {
        ("", _) => String::new(),
        (_, true) => format!("[[{table}]]\n"),
        (_, false) => format!("[{table}]\n"),
    };
    let error = Config::parse(&format!("{header}nonsense_of_nobody = 1"), std::iter::empty(), PathBuf::new()).unwrap_err();
    let list = error.split_once("expected ").unwrap_or_else(|| panic!("{table}: {error}")).1;
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

const LISTS: [&str; 6] = ["account", "client", "trusted_issuer", "login_provider", "get", "gateway.route"];

#[test]
fn every_setting_is_in_the_book_and_none_that_is_not() {
    let written = written();
    for (table, rows) in &written {
        let rows: BTreeSet<String> = rows.keys().cloned().collect();
        assert_eq!(rows, taken(table, LISTS.contains(&table.as_str())), "docs/settings.md, `{table}`");
    }
    let tables: BTreeSet<&str> =
        written.keys().map(String::as_str).filter(|table| !table.contains('.') && !table.is_empty()).collect();
    assert_eq!(tables, taken("", false).iter().map(String::as_str).collect(), "each has a chapter");
    // what a row calls a table has one, too
    for (table, rows) in &written {
        let inner = rows.keys().filter(|key| page().contains(&format!("| `{key}` | | a table: ")));
        for key in inner.filter(|_| !table.is_empty()) {
            assert!(
                written.contains_key(&format!("{table}.{key}")) || written.contains_key(&format!("gateway.{key}")),
                "{table}.{key}"
            );
        }
    }
}

/// What hands these keys on is asked for by those who work with them, and not the keys.
const HANDED_ON: [(&str, &str); 4] = [
    ("gateway.route", "routes"),
    ("gateway.uploads", "limits"),
    ("gateway.forward_auth", "family"),
    ("gateway.route.owner", "routes"),
];

/// The text of all sources of the program below `folder`, but for tests and what only says whether settings fit.
fn sources(folder: &Path, is_wanted: &impl Fn(&Path) -> bool) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let place = entry.unwrap().path();
        if place.is_dir() {
            text += &sources(&place, is_wanted);
        } else if is_wanted(&place) && place.extension().is_some_and(|ext| ext == "rs") {
            let whole = std::fs::read_to_string(&place).unwrap();
            text += whole.split("#[cfg(test)]").next().unwrap();
        }
    }
    text
}

/// Whether a member of this name is read there.
fn reads(text: &str, key: &str) -> bool {
    let key = if key == "type" { "resource_type" } else { key };
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    text.split(&format!(".{key}")).skip(1).any(ends)
}

/// A setting that nothing reads is a promise that nobody keeps: each is read where somebody works by it, or said to do nothing.
#[test]
fn every_setting_does_something_or_says_that_it_does_not() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let is_config = |place: &Path| {
        place.strip_prefix(&source).is_ok_and(|place| place.starts_with("config") || place == Path::new("config.rs"))
    };
    let is_tests = |place: &Path| place.ends_with("tests.rs") || place.ends_with("looks.rs");
    let work = sources(&source, &|place| !is_config(place) && !is_tests(place));
    let handed = sources(&source, &|place| is_config(place) && !is_tests(place));
    let page = page();
    for (table, rows) in written() {
        for key in rows.keys().filter(|_| !table.is_empty()) {
            let by = HANDED_ON.iter().find(|(of, _)| *of == table).map(|(_, by)| by);
            let is_read = match by {
                Some(by) => reads(&work, by) && reads(&handed, key),
                None => reads(&work, key),
            };
            let name = format!("{table}.{key}");
            let is_announced = wayleave::config::NOT_BUILT.contains(&name.as_str());
            assert!(is_read != is_announced, "{name}: is it read anywhere, and is it in NOT_BUILT?");
            let row = page.lines().find(|line| line.starts_with(&format!("| `{key}` |")) && line.contains("not built yet"));
            assert_eq!(row.is_some(), is_announced, "{name}: docs/settings.md");
        }
    }
}

#[test]
fn defaults_in_the_book_are_those_of_the_code() {
    let minimal = "[gateway]\nlisten = '127.0.0.1:0'\nresource = 'http://127.0.0.1:1'\nfolder = '.'\nauthorization_servers = \
                   ['http://127.0.0.1:2']\nclient_id = 'a'\n[gateway.management]\nissuer = 'http://127.0.0.1:2'\n[manager]\nlisten = \
                   '127.0.0.1:0'\nurl = 'http://127.0.0.1:3'";
    let config = Config::parse(minimal, std::iter::empty(), PathBuf::new()).unwrap();
    let shown: toml::Table = toml::to_string(&config).unwrap().parse().unwrap();
    let mut compared = 0;
    for (table, rows) in written() {
        let mut here = Some(&shown);
        for part in table.split('.').filter(|part| !part.is_empty()) {
            here = here.and_then(|table| table.get(part)).and_then(toml::Value::as_table);
        }
        for (key, default) in rows.iter().filter(|(_, default)| !default.is_empty() && !table.is_empty()) {
            let Some(value) = here.and_then(|table| table.get(key)) else { continue };
            let own: toml::Table = format!("v = {default}").parse().unwrap();
            assert_eq!(own["v"], *value, "{table}.{key}");
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared}");
}

/// What stands at a key may be a secret that lost its place: no refusal says it again (threat 20).
const MARKER: &str = "S3cr3tOfSomebody";

/// By these a table is told from its like, and so named in what is said of it.
const NAMES: [&str; 5] =
    ["account.username", "client.client_id", "trusted_issuer.issuer", "login_provider.issuer", "gateway.route.path"];

/// These are names of places, which have no user and no password.
const PLACES: [&str; 19] = [
    "server.issuer",
    "client.jwks_uri",
    "client.resource",
    "client.redirect_uris",
    "client.claims_redirect_uris",
    "client.post_logout_redirect_uris",
    "trusted_issuer.issuer",
    "trusted_issuer.jwks_uri",
    "login_provider.issuer",
    "get.authorization_server",
    "gateway.resource",
    "gateway.authorization_servers",
    "gateway.content_origin",
    "gateway.management.issuer",
    "gateway.cors.origins",
    "manager.url",
    "manager.login",
    "server.listen",
    "gateway.listen",
];

/// A configuration that works, with all tables that its rows need.
const WORKS: &str = "[[account]]
username = 'alice'
[[client]]
client_id = 'a'
[[trusted_issuer]]
issuer = 'https://idp.example'
jwks_file = 'k'
[[login_provider]]
issuer = 'https://log.example'
name = 'L'
client_id = 'l'
[[get]]
authorization_server = 'https://as.example'
client_id = 'g'
[mail]
submission = 'smtp://a'
from = 'a@b.example'
[store]
url = 'memory:'
[gateway]
listen = '127.0.0.1:0'
resource = 'https://photos.example'
folder = '.'
authorization_servers = ['https://as.example']
client_id = 'a'
store = { url = 'memory:' }
cors = { origins = [] }
forward_auth = { headers = 'x-original' }
[gateway.management]
issuer = 'https://as.example'
[gateway.browser]
client_id = 'b'
client_secret = 's'
[[gateway.route]]
path = '/a'
resource = '/a'
owner = 'alice'
scopes = { GET = ['view'] }
[manager]
listen = '127.0.0.1:0'
url = 'https://desk.example'
store = { url = 'memory:' }
";

/// The same with a value at a key of a table.
fn with(table: &str, key: &str, value: toml::Value) -> toml::Table {
    let mut whole: toml::Table = WORKS.parse().unwrap();
    let mut here = &mut whole;
    for part in table.split('.') {
        let entry = here.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if !entry.is_table() && !entry.is_array() {
            *entry = toml::Value::Table(toml::Table::new());
        }
        here = match entry {
            toml::Value::Array(all) => all[0].as_table_mut().unwrap(),
            entry => entry.as_table_mut().unwrap(),
        };
    }
    here.insert(key.to_owned(), value);
    whole
}

#[test]
fn threat_20_no_refusal_says_what_stands_at_a_key() {
    let parse = |text: &str| Config::parse(text, std::iter::empty(), PathBuf::new());
    parse(WORKS).unwrap();
    let (url, address) = (format!("https://bob:{MARKER}@host.example"), format!("{MARKER}@host.example x"));
    let (mut refused, mut told, mut open) = (0, Vec::new(), Vec::new());
    for (table, rows) in written().iter().filter(|(table, _)| !table.is_empty()) {
        for key in rows.keys() {
            let name = format!("{table}.{key}");
            for text in [MARKER, &url, &address] {
                let one = toml::Value::String(text.to_owned());
                let (mut is_refused, is_url) = (true, text == url);
                for value in [one.clone(), toml::Value::Array(vec![one])] {
                    let said = match parse(&toml::to_string(&with(table, key, value)).unwrap()) {
                        Ok(_) => {
                            is_refused = false;
                            continue;
                        }
                        Err(said) => said,
                    };
                    refused += 1;
                    if said.contains(MARKER) && (is_url || !NAMES.contains(&name.as_str())) {
                        told.push(format!("{name} = {text}: {said}"));
                    }
                }
                if is_url && !is_refused && PLACES.contains(&name.as_str()) {
                    open.push(name.clone());
                }
            }
        }
    }
    assert!(told.is_empty(), "{told:#?}");
    assert!(open.is_empty(), "taken with a password in it: {open:?}");
    assert!(refused > 200, "{refused}");
}
