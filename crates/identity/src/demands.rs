//! What an authorization request asks for to make its answer stricter: `prompt`, `max_age`, `id_token_hint`, `claims` and the
//! like (OpenID Connect Core 3.1.2.1, 5.5). Each is honoured, or the request is refused; none is passed over, for a client
//! relies on it. What is only a hint - `login_hint`, `ui_locales`, `display`, `acr_values` - makes nothing stricter.

use crate::session::Session;
use crate::{Client, Failure, Form, Identity};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use types::{ErrorCode, Timestamp};

/// The longest `nonce`, in bytes: it is kept with the code.
const MAX_NONCE_BYTES: usize = 1024;
/// Seconds in which whoever logged in may come back to the request that sent her.
const RETURN_SECONDS: i64 = 5;
/// Seconds that a log-in may take at another provider, from her proof there until she is back.
const ELSEWHERE_SECONDS: i64 = 900;

/// The demands of one request.
#[derive(Clone, Default)]
pub(crate) struct Demands {
    /// No page may be shown.
    pub(crate) no_page: bool,
    /// She must prove herself for this request.
    log_in: bool,
    /// She must be asked, though she agreed before.
    pub(crate) consent: bool,
    /// Seconds since she proved herself.
    max_age: Option<i64>,
    /// The people whom the answer may be about; none: whoever is logged in.
    people: Option<BTreeSet<String>>,
}

/// How a session answers them.
pub(crate) enum Verdict<'a> {
    Fits(&'a Session),
    /// She must log in; `again`: though she may be logged in.
    MustLogIn {
        again: bool,
    },
    /// Somebody else has logged in for this request.
    AnotherPerson,
}

fn refuse<T>(what: impl Into<String>) -> Result<T, Failure> {
    Failure::refuse(ErrorCode::InvalidRequest, what)
}

impl Identity {
    /// Reads them, and refuses what cannot be honoured.
    pub(crate) fn read_demands(&self, client: &Client, form: &Form) -> Result<Demands, Failure> {
        if form.one("nonce")?.is_some_and(|nonce| nonce.len() > MAX_NONCE_BYTES) {
            return refuse("`nonce` must have at most 1024 bytes");
        }
        let is_thumbprint = |text: &str| text.len() == 43 && jose::base64url::decode(text).is_some();
        if form.one("dpop_jkt")?.is_some_and(|jkt| !is_thumbprint(jkt)) {
            return refuse("`dpop_jkt` must be the SHA-256 thumbprint of a key, base64url");
        }
        let mut demands = Demands { max_age: form.one("max_age")?.map(seconds_of).transpose()?, ..Demands::default() };
        demands.read_prompt(form.one("prompt")?.unwrap_or_default())?;
        if let Some(hint) = form.one("id_token_hint")? {
            match self.read_id_token_hint(hint).filter(|hint| hint.client == client.id) {
                Some(hint) => demands.demand_people([hint.account.as_str().to_owned()].into()),
                None => return refuse("`id_token_hint` must be an ID token that this server gave to this client"),
            }
        }
        if let Some(claims) = form.one("claims")? {
            demands.read_claims(claims)?;
        }
        Ok(demands)
    }
}

/// A number of seconds (OpenID Connect Core 3.1.2.1).
fn seconds_of(text: &str) -> Result<i64, Failure> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse().ok().filter(|_| digits) {
        Some(seconds) => Ok(seconds),
        None => refuse("`max_age` must be a number of seconds"),
    }
}

impl Demands {
    fn read_prompt(&mut self, prompt: &str) -> Result<(), Failure> {
        let words: Vec<&str> = prompt.split(' ').filter(|word| !word.is_empty()).collect();
        for word in &words {
            match *word {
                "none" if words.len() > 1 => return refuse("`prompt`: `none` goes with no other value"),
                "none" => self.no_page = true,
                // whoever logs in chooses the account
                "login" | "select_account" => self.log_in = true,
                "consent" => self.consent = true,
                _ => return refuse("`prompt` may be `none`, or of `login`, `consent` and `select_account`"),
            }
        }
        Ok(())
    }

    /// Claims are told by scope; what `claims` demands of who answers and how is read all the same (Core 5.5.1).
    fn read_claims(&mut self, text: &str) -> Result<(), Failure> {
        let Ok(asked) = types::json::parse::<Map<String, Value>>(text.as_bytes()) else {
            return refuse("`claims` must be a JSON object");
        };
        for place in asked.values().filter_map(Value::as_object) {
            let of = |claim: &str| place.get(claim).and_then(Value::as_object);
            if of("acr").and_then(|acr| acr.get("essential")) == Some(&Value::Bool(true)) {
                return refuse("`claims`: this server has no authentication context classes (`acr`)");
            }
            if let Some(sub) = of("sub") {
                let values = sub.get("values").and_then(Value::as_array).into_iter().flatten().chain(sub.get("value"));
                let people: BTreeSet<String> = values.filter_map(Value::as_str).map(str::to_owned).collect();
                if sub.contains_key("value") || sub.contains_key("values") {
                    self.demand_people(people);
                }
            }
        }
        Ok(())
    }

    fn demand_people(&mut self, people: BTreeSet<String>) {
        self.people = Some(match self.people.take() {
            Some(before) => before.intersection(&people).cloned().collect(),
            None => people,
        });
    }

    /// Whether it is asked for certain people.
    pub(crate) fn names_people(&self) -> bool {
        self.people.is_some()
    }

    /// Whether the answer may be about whoever has this session.
    pub(crate) fn allow_person(&self, session: &Session) -> bool {
        self.people.as_ref().is_none_or(|people| people.contains(session.account.as_str()))
    }

    /// Judges a session. `taken`: when a pushed request came here; whoever proved herself since then did so for it.
    pub(crate) fn judge<'a>(&self, session: Option<&'a Session>, taken: Option<Timestamp>, now: Timestamp) -> Verdict<'a> {
        let again = self.log_in || self.max_age.is_some();
        let Some(session) = session else { return Verdict::MustLogIn { again } };
        let returned = session.started().plus(RETURN_SECONDS) > now && session.auth_time.plus(ELSEWHERE_SECONDS) > now;
        let answered = returned || taken.is_some_and(|taken| session.auth_time >= taken);
        if !self.allow_person(session) {
            return if answered { Verdict::AnotherPerson } else { Verdict::MustLogIn { again: true } };
        }
        let young = self.max_age.is_none_or(|age| session.auth_time.plus(age) >= now);
        match answered || (young && !self.log_in) {
            true => Verdict::Fits(session),
            false => Verdict::MustLogIn { again: true },
        }
    }
}

/// What is left of `prompt` once she was sent to log in: that she logs in is settled then, and nothing else is.
pub fn prompt_after_log_in(prompt: &str) -> String {
    let left = prompt.split(' ').filter(|word| !matches!(*word, "" | "login" | "select_account"));
    left.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn session(started: i64, proved: i64) -> Session {
        Session {
            id: String::new(),
            account: "alice".into(),
            auth_time: NOW.plus(-proved),
            by: None,
            expires: NOW.plus(crate::session::LIFETIME - started),
        }
    }

    fn fits(demands: &Demands, session: &Session, taken: Option<i64>) -> bool {
        matches!(demands.judge(Some(session), taken.map(|ago| NOW.plus(-ago)), NOW), Verdict::Fits(_))
    }

    #[test]
    fn threat_48_s12_a_log_in_settles_the_log_in_and_nothing_else() {
        assert_eq!(prompt_after_log_in("login consent"), "consent");
        assert_eq!(prompt_after_log_in("consent"), "consent");
        assert_eq!(prompt_after_log_in("select_account login"), "");
    }

    #[test]
    fn threat_48_c16_how_old_a_proof_may_be() {
        let aged = |max_age| Demands { max_age: Some(max_age), ..Demands::default() };
        assert!(fits(&Demands::default(), &session(9_000, 9_000), None));
        assert!(fits(&aged(300), &session(300, 300), None) && !fits(&aged(299), &session(300, 300), None));
        assert!(fits(&aged(0), &session(2, 2), None), "she comes right from the log-in");
        // another provider let her in without asking
        assert!(!fits(&aged(300), &session(1, 7_200), None));
        let log_in = Demands { log_in: true, ..Demands::default() };
        assert!(!fits(&log_in, &session(10, 10), None) && fits(&log_in, &session(1, 1), None));
        // a pushed request knows when it came, and she may read and reload
        assert!(fits(&log_in, &session(600, 600), Some(601)) && !fits(&log_in, &session(600, 600), Some(599)));
    }

    #[test]
    fn threat_48_c16_what_cannot_be_honoured_is_refused() {
        let prompt = |text: &str| Demands::default().read_prompt(text).is_ok();
        for good in ["", "none", "login", "consent login", "select_account", " login "] {
            assert!(prompt(good), "{good}");
        }
        for bad in ["none login", "login none", "create", "LOGIN", "none none", "login,consent"] {
            assert!(!prompt(bad), "{bad}");
        }
        for bad in ["abc", "-1", "+1", "1.5", "1e3", " 1", "99999999999999999999", "0x1"] {
            assert!(seconds_of(bad).is_err(), "{bad}");
        }
        assert_eq!(seconds_of("0").unwrap(), 0);
        let claims = |text: &str| Demands::default().read_claims(text).is_ok();
        assert!(claims(r#"{"id_token": {"email": {"essential": true}, "acr": {"values": ["x"]}}}"#));
        for bad in ["", "x", "[]", r#"{"id_token": {"acr": {"essential": true, "values": ["x"]}}}"#] {
            assert!(!claims(bad), "{bad}");
        }
        let mut demands = Demands::default();
        demands.read_claims(r#"{"id_token": {"sub": {"value": "bob"}}}"#).unwrap();
        assert!(!demands.allow_person(&session(1, 1)));
    }
}
