//! On which engines a server keeps its store in these tests.

use database::Location;
use std::path::Path;

/// By this it is known where tests find a database: `cargo xtask test` and `cargo xtask postgres` start one.
const POSTGRES: &str = "WAYLEAVE_TEST_POSTGRES";

/// Where one server has its store, and the name of its schema there.
pub(crate) struct Place {
    pub(crate) location: Location,
    pub(crate) schema: String,
}

/// All that there are.
pub(crate) fn list() -> Vec<&'static str> {
    let mut all = vec!["memory", "sqlite"];
    all.extend(std::env::var_os(POSTGRES).map(|_| "postgres"));
    all
}

/// Names the engine of tests that need but one server. Where it is not said they are done in memory.
const ENGINE: &str = "WAYLEAVE_TEST_ENGINE";

pub(crate) fn one() -> &'static str {
    let wanted = std::env::var(ENGINE).unwrap_or_else(|_| "memory".to_owned());
    list().into_iter().find(|engine| *engine == wanted).unwrap_or_else(|| panic!("{ENGINE} is none of {:?}", list()))
}

pub(crate) fn place(engine: &str, folder: &Path, number: u32) -> Place {
    match engine {
        "memory" => Place { location: Location::Memory, schema: String::new() },
        "sqlite" => Place { location: Location::File(folder.join("world.db")), schema: String::new() },
        _ => {
            let url = std::env::var(POSTGRES).expect("`cargo xtask test` and `cargo xtask postgres` say where it is");
            Place {
                location: Location::Postgres { url, password: None },
                schema: format!("world_{}_{number}", std::process::id()),
            }
        }
    }
}

/// Where everything is tried, PostgreSQL is tried as well.
#[test]
fn a_whole_run_tries_every_engine() {
    assert!(std::env::var_os("CI").is_none() || list().contains(&"postgres"), "run `cargo xtask test`");
}
