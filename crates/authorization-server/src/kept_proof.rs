//! Proofs of addresses that a browser keeps (docs/decisions/0034): who typed a mailed code at the claims page need not do so
//! again in this browser for an hour, whichever application asks. What she shows to each of them she is asked every time.
//!
//! The browser has a cookie that is a secret; the row is found by its hash, sealed, and bound to the browser's form cookie as
//! well: one of the two alone opens nothing. It is a proof of an address, and no log-in: it opens the claims page only.

use crate::AuthorizationServer;
use crate::changes::{Changes, Write};
use crate::claims_interaction::Interaction;
use crate::code_limits::Guess;
use identity::session::Session;
use identity::{Account, CommitError, Failure, SpentId, internal, session};
use jose::{base64url, digest};
use serde::{Deserialize, Serialize};
use types::{ErrorCode, Refusal, Timestamp};

/// Seconds that a proof is kept. They are not prolonged by use.
pub const LIFETIME: i64 = 3_600;

/// An address that was proved in a browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptProof {
    pub email: String,
    /// Hash of the form cookie of that browser.
    browser: String,
    pub expires: Timestamp,
}

/// Who is known in a browser.
pub struct Known<'a> {
    /// Who is logged in.
    pub account: Option<(&'a Account, &'a Session)>,
    /// The address that was proved, where nobody is.
    pub proof: Option<&'a KeptProof>,
    /// From which address the browser calls.
    pub from: &'a str,
}

/// What a browser brings along that tells it from others.
pub struct Browser<'a> {
    /// Text of its form cookie.
    pub form: &'a str,
    /// Text of the cookie of a proof that it keeps.
    pub proof: Option<&'a str>,
}

/// An address was proved.
pub struct Proved {
    pub interaction: Interaction,
    /// Text of the cookie that the browser is to keep.
    pub cookie: String,
}

/// What a proof is sealed for: its own row.
fn proof_context(id: &str) -> String {
    format!("kept proof {id}")
}

/// How a browser is known by its form cookie.
pub(crate) fn browser_of(form_cookie: &str) -> String {
    base64url::encode(digest::sha256(&[b"browser\0", form_cookie.as_bytes()]))
}

fn refuse<T>(what: &str) -> Result<T, Failure> {
    Failure::refuse(ErrorCode::InvalidRequest, what)
}

impl AuthorizationServer {
    /// The proof that this browser keeps. One that has ended, is another browser's or does not open is none.
    pub async fn find_proof(&self, browser: &Browser<'_>) -> Result<Option<KeptProof>, Failure> {
        let Some(cookie) = browser.proof else { return Ok(None) };
        let id = session::id_of(cookie);
        let Some(sealed) = self.store.find_proof(&id).await? else { return Ok(None) };
        let plain = self.identity.keys.open(&sealed, &proof_context(&id));
        let proof = plain.and_then(|plain| serde_json::from_slice::<KeptProof>(&plain).ok());
        Ok(proof.filter(|proof| self.now() < proof.expires && proof.browser == browser_of(browser.form)))
    }

    /// Checks a code; guesses are limited, before any is compared. A right one is good once, and what it proves takes the
    /// place of whatever the browser kept before: no cookie that somebody has put there becomes this proof's.
    pub async fn check_code(
        &self,
        interaction: Interaction,
        code: &str,
        browser: &Browser<'_>,
        from: &str,
    ) -> Result<Proved, Failure> {
        let Some(awaiting) = interaction.awaiting.clone() else { return refuse("ask for a code first") };
        if self.now() >= awaiting.expires {
            return refuse("this code is too old: ask for a new one");
        }
        let guess = Guess { from, code: &awaiting.digest, address: &awaiting.email };
        let guess = self.codes.take_guess(&guess, self.now())?;
        let code: String = code.chars().filter(char::is_ascii_digit).collect();
        let digest = self.code_digest(&interaction, &awaiting.email, &code);
        if !digest::equal(digest.as_bytes(), awaiting.digest.as_bytes()) {
            return refuse("that is not the code that was sent: look again, or ask for a new one");
        }
        let (id, expires) = (awaiting.digest, awaiting.expires);
        let spent = SpentId { kind: "mailed code", issuer: String::new(), id, expires, made: None };
        let cookie = self.keep_proof(&awaiting.email, browser, spent).await?;
        self.codes.give_back(guess, &awaiting.email, from);
        let mut interaction = interaction.begin_anew();
        interaction.proven_email = Some(awaiting.email);
        Ok(Proved { interaction, cookie })
    }

    async fn keep_proof(&self, email: &str, browser: &Browser<'_>, spent: SpentId) -> Result<String, Failure> {
        let cookie = jose::ambient::random_text::<32>(&*self.identity.randomness);
        let (id, expires) = (session::id_of(&cookie), self.now().plus(LIFETIME));
        let proof = KeptProof { email: email.to_owned(), browser: browser_of(browser.form), expires };
        let plain = serde_json::to_vec(&proof).map_err(internal)?;
        let sealed = self.identity.keys.seal(&plain, &proof_context(&id), &*self.identity.randomness)?;
        let mut changes = Changes::of_identity(vec![identity::Write::Spend(spent)]);
        changes.writes.extend(browser.proof.map(|old| Write::DeleteProof(session::id_of(old))));
        changes.writes.push(Write::PutProof { id, sealed, expires });
        match self.store.commit(changes).await {
            Ok(()) => Ok(cookie),
            Err(CommitError::Spent) => refuse("this code was used before: ask for a new one"),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends it: whoever has the cookie is nobody any more.
    pub async fn end_proof(&self, cookie: &str) -> Result<(), Failure> {
        self.store.commit(Changes::of(vec![Write::DeleteProof(session::id_of(cookie))])).await?;
        Ok(())
    }
}

impl Interaction {
    /// The same without the code that is on its way: another address is to be proved.
    pub fn begin_anew(mut self) -> Self {
        (self.proven_email, self.awaiting) = (None, None);
        self
    }

    /// Whether a page that shows this shows who is known.
    pub fn shows(&self, proof: Option<&KeptProof>) -> bool {
        self.proven_email.as_deref() == proof.map(|proof| &*proof.email)
    }

    /// The same with what a page now shows of who is known.
    pub fn showing(mut self, proof: Option<&KeptProof>) -> Self {
        self.proven_email = proof.map(|proof| proof.email.clone());
        self
    }
}

impl Known<'_> {
    /// Her `sub` here: the account's, or the address that she proved and that the page showed to her. Two people may sit at one
    /// browser, each with a page of her own: what one of them has read, the other does not agree to.
    pub(crate) fn subject_of(&self, interaction: &Interaction) -> Result<String, Refusal> {
        let refuse = |what: &str| Refusal::new(ErrorCode::InvalidRequest, what);
        match (self.account, self.proof) {
            (Some((account, _)), _) => Ok(account.id.as_str().to_owned()),
            (None, Some(proof)) if interaction.shows(self.proof) => Ok(proof.email.clone()),
            (None, Some(_)) => Err(refuse("somebody else is known in this browser now: look at what is shown, and decide again")),
            (None, None) => Err(refuse("log in or prove an address first")),
        }
    }
}
