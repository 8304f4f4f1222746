//! Of the cookies that a browser sends one is ours, by its whole name, or none is.

use super::shared::choose;
use ui::Cookies;

const PLACES: [&str; 4] =
    ["https://photos.example", "http://127.0.0.1:9000", "https://photos.example/app", "http://localhost/a_b"];
const NAME: &str = "wl_session";

/// First byte: the place. Lines: those of the call.
pub(crate) fn holds(data: &[u8]) {
    let (choice, data) = choose(data);
    let cookies = Cookies::of(PLACES[usize::from(choice) % PLACES.len()]);
    let full = cookies.name(NAME);
    let lines = || data.split(|byte| *byte == b'\n');
    let found = cookies.find(lines(), NAME);
    // RFC 6265 5.2 and 4.2.1: pairs between semicolons, a name up to the first `=`
    let pairs = lines().flat_map(|line| line.split(|byte| *byte == b';'));
    let own: Vec<&[u8]> = pairs
        .filter_map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            (pair[..at].trim_ascii() == full.as_bytes()).then(|| pair[at + 1..].trim_ascii())
        })
        .collect();
    match own[..] {
        [] => assert_eq!(found, Ok(None)),
        [one] => assert_eq!(found, Ok(std::str::from_utf8(one).ok())),
        _ => assert!(found.is_err(), "nobody can tell which of two is ours"),
    }
    // one that is set is found again
    let line = cookies.set(NAME, "value", 9);
    let pair = line.split(';').next().unwrap();
    assert_eq!(cookies.find([pair.as_bytes()], NAME), Ok(Some("value")));
}
