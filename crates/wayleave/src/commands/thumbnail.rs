//! `wayleave make-thumbnail SIDE`: what a gateway runs for each thumbnail. Nobody types it, so it stands in no help and no man
//! page, and it begins before anything else of this program does: no log, no threads, no configuration.

use resource_server::gateway::run_thumbnail_process;
use std::ffi::OsString;
use std::process::ExitCode;

const NAME: &str = "make-thumbnail";
/// This program as it runs, also where an upgrade has put another in its place or taken it away.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// As a gateway runs it; the side comes behind.
pub(super) fn command() -> Vec<String> {
    vec![THIS_PROGRAM.to_owned(), NAME.to_owned()]
}

/// The exit status, where this process is such a one.
pub fn run_if_asked(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    let is_asked = arguments.next()? == NAME;
    let side = arguments.next().filter(|_| is_asked)?.to_str()?.parse().ok()?;
    Some(run_thumbnail_process(side))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_that_is_typed_is_taken_for_it() {
        for line in ["wayleave", "wayleave gateway", "wayleave make-thumbnail", "wayleave make-thumbnail x", "make-thumbnail 320"]
        {
            assert!(run_if_asked(line.split(' ').map(OsString::from)).is_none(), "{line}");
        }
    }
}
