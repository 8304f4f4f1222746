//! Passwords: argon2id, a few at a time ([`crate::hashing_queue`]), off the threads that answer requests.

use crate::hashing_queue::{HashingQueue, Waiting};
use crate::{Failure, internal};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use jose::Randomness;
use types::spelling;

/// The longest password taken, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Whether a text is a hash that a password can be held against.
pub fn is_hash(text: &str) -> bool {
    PasswordHash::new(text).is_ok_and(|hash| hash.hash.is_some())
}

/// Hashes and checks passwords.
#[derive(Default)]
pub struct Passwords {
    queue: HashingQueue,
    /// Compared against where there is no account, so that both take the same time.
    nobody: std::sync::OnceLock<String>,
}

impl Passwords {
    /// Argon2id in PHC form, for the operator.
    pub async fn hash(&self, password: &str, randomness: &dyn Randomness) -> Result<String, Failure> {
        self.hash_for(&Waiting::of_operator(), password, randomness).await
    }

    async fn hash_for(&self, who: &Waiting, password: &str, randomness: &dyn Randomness) -> Result<String, Failure> {
        let salt: [u8; 16] = jose::ambient::random(randomness);
        let password = spelling::normalize_password(password);
        let work = move || {
            let hash: Result<PasswordHash, _> = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
            hash.map(|hash| hash.to_string()).map_err(internal)
        };
        self.queue.run(who, work).await?
    }

    /// Whether the password is the one that was hashed. Without a hash: no, after the same work.
    pub(crate) async fn verify(
        &self,
        password: &str,
        hash: Option<String>,
        who: &Waiting,
        randomness: &dyn Randomness,
    ) -> Result<bool, Failure> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Ok(false);
        }
        let known = hash.is_some();
        let hash = match (hash, self.nobody.get()) {
            (Some(hash), _) => hash,
            (None, Some(nobody)) => nobody.clone(),
            (None, None) => {
                let made = self.hash_for(who, "nobody", randomness).await?;
                self.nobody.get_or_init(|| made).clone()
            }
        };
        let mut spellings = vec![spelling::normalize_password(password)];
        // hashed before passwords were normalized, or elsewhere: as it was typed
        spellings.extend(Some(password.to_owned()).filter(|typed| !spellings.contains(typed)));
        let fits = self.queue.run(who, move || {
            let fits = |hash: &PasswordHash, typed: &String| Argon2::default().verify_password(typed.as_bytes(), hash).is_ok();
            PasswordHash::new(&hash).is_ok_and(|hash| spellings.iter().any(|typed| fits(&hash, typed)))
        });
        Ok(fits.await? && known)
    }
}
