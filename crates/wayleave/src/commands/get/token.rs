//! `--print-token`: the RPT alone on standard output, for a program that walks no UMA flow by itself, and what of the scopes
//! that were asked for (`--scope`) it lacks.

use super::say;
use crate::Exit;
use client::Rpt;
use std::io::{IsTerminal, Write};
use types::ScopeSet;
use types::spelling::readable;
use types::token::TokenResponse;

/// Says which of the wanted scopes the token lacks, as far as the server tells.
pub(super) fn tell_missing(wanted: &ScopeSet, tokens: &TokenResponse) {
    // what was not asked for is not missed, whatever the server says
    let missing = tokens.scopes_not_granted.intersection(wanted);
    if !missing.is_empty() {
        say(&format!(
            "not granted: {}. The owner gave you no more, or the client is not registered for it (`scope` of its [[client]])",
            readable(&missing.to_string())
        ));
    }
}

/// Prints the token on a line of its own.
pub(super) fn print(rpt: &Rpt, seconds: Option<i64>) -> Result<(), Exit> {
    // what stands in a header field (RFC 6750 2.1): a server that writes anything else would write on a terminal, or into a script
    if rpt.token.is_empty() || !rpt.token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Exit::failed("the server gave a token with characters that no token has: it is not printed"));
    }
    let mut out = std::io::stdout();
    let while_good = seconds.map_or_else(String::new, |seconds| format!(", good for {seconds} s"));
    say(&format!("a token for {} and nowhere else{while_good}", readable(&rpt.resource)));
    if out.is_terminal() {
        say("whoever reads it here can use it: better keep it from the screen, TOKEN=$(wayleave get --print-token ...)");
    }
    writeln!(out, "{}", rpt.token)
        .and_then(|()| out.flush())
        .map_err(|error| Exit::failed(format!("it cannot be printed: {error}")))
}
