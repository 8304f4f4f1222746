//! Parameters of the UMA grant beside the ticket (Grant 3.3.1; protocol.md 1.2, 1.4, 2.1).

use crate::claims::Pushed;
use identity::Form;
use identity::token::TokenRequest;
use rules::assessment::AskOwner;
use types::{ErrorCode, Refusal, ScopeSet};

/// Parameters of the request beside the ticket.
pub(super) struct Parameters<'a> {
    pub claim: Option<Pushed<'a>>,
    pub pct: Option<&'a str>,
    pub rpt: Option<&'a str>,
    pub scope: ScopeSet,
    pub resource: Option<&'a str>,
    pub ask_owner: AskOwner,
    pub owner_message: Option<&'a str>,
    /// Whether the resource server is to see the person's address.
    pub disclose_email: bool,
}

/// Most characters of what somebody writes to an owner.
const MAX_MESSAGE: usize = 280;

/// Reads them, or says what is wrong.
pub(super) fn read_parameters<'a>(request: &'a TokenRequest<'_>) -> Result<Parameters<'a>, Refusal> {
    let form = request.form;
    form.check_unrepeated()?;
    let claim = match (form.one("claim_token")?, form.one("claim_token_format")?) {
        (Some(token), Some(format)) => Some(Pushed { token, format }),
        (None, None) => None,
        _ => return Err(Refusal::new(ErrorCode::InvalidRequest, "send `claim_token` and `claim_token_format` together")),
    };
    let resource = match form.all("resource") {
        [] => None,
        [one] => Some(one.as_str()),
        _ => return Err(Refusal::new(ErrorCode::InvalidTarget, "a ticket has one resource server: send `resource` once")),
    };
    let scope = ScopeSet::parse(form.one("scope")?.unwrap_or_default());
    let scope = scope.map_err(|error| Refusal::new(ErrorCode::InvalidScope, error.to_string()))?;
    let ask_owner = match form.one("ask_owner")? {
        None => AskOwner::Yes,
        Some("true") => AskOwner::Expressly,
        Some("false") => AskOwner::Later,
        Some(_) => return Err(Refusal::new(ErrorCode::InvalidRequest, "`ask_owner` may be `true` or `false`")),
    };
    let owner_message = form.one("owner_message")?.filter(|message| !message.is_empty());
    if owner_message.is_some_and(|message| !is_readable(message)) {
        let what = "`owner_message` has at most 280 characters, and no control characters";
        return Err(Refusal::new(ErrorCode::InvalidRequest, what));
    }
    let disclose_email = wants_email(form)?;
    Ok(Parameters {
        claim,
        pct: form.one("pct")?,
        rpt: form.one("rpt")?,
        scope,
        resource,
        ask_owner,
        owner_message,
        disclose_email,
    })
}

/// Whether the client wants the resource server to see the person's address (`disclose`, protocol.md 1.2).
pub(crate) fn wants_email(form: &Form) -> Result<bool, Refusal> {
    match form.one("disclose")? {
        None => Ok(false),
        Some("email") => Ok(true),
        Some(_) => Err(Refusal::new(ErrorCode::InvalidRequest, "`disclose` may be `email`")),
    }
}

/// Short, on one line, and read in the order in which it is written.
fn is_readable(message: &str) -> bool {
    message.chars().count() <= MAX_MESSAGE && !message.chars().any(|c| c.is_control() || types::spelling::is_invisible(c))
}
