//! Passwords: argon2id, at most two at a time, off the threads that answer requests.

use crate::{Failure, internal};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use jose::Randomness;
use std::sync::Arc;
use tokio::sync::Semaphore;
use types::{ErrorCode, spelling};

/// The longest password taken, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 1024;
/// Passwords that are checked or wait for it at the same time.
const MAX_WAITING: usize = 200;

/// Hashes and checks passwords.
pub struct Passwords {
    at_once: Arc<Semaphore>,
    /// Places of those who wait, with those whose turn it is.
    waiting: Semaphore,
    /// Compared against where there is no account, so that both take the same time.
    nobody: std::sync::OnceLock<String>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { at_once: Arc::new(Semaphore::new(2)), waiting: Semaphore::new(MAX_WAITING), nobody: std::sync::OnceLock::new() }
    }
}

impl Passwords {
    /// Argon2id in PHC form.
    pub async fn hash(&self, password: &str, randomness: &dyn Randomness) -> Result<String, Failure> {
        let salt: [u8; 16] = jose::ambient::random(randomness);
        let password = spelling::normalize_password(password);
        self.run(move || {
            let hash: Result<PasswordHash, _> = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
            hash.map(|hash| hash.to_string()).map_err(internal)
        })
        .await?
    }

    /// Whether the password is the one that was hashed. Without a hash: no, after the same work.
    pub async fn verify(&self, password: &str, hash: Option<String>, randomness: &dyn Randomness) -> Result<bool, Failure> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Ok(false);
        }
        let known = hash.is_some();
        let hash = match (hash, self.nobody.get()) {
            (Some(hash), _) => hash,
            (None, Some(nobody)) => nobody.clone(),
            (None, None) => {
                let made = self.hash("nobody", randomness).await?;
                self.nobody.get_or_init(|| made).clone()
            }
        };
        let mut spellings = vec![spelling::normalize_password(password)];
        // hashed before passwords were normalized, or elsewhere: as it was typed
        spellings.extend(Some(password.to_owned()).filter(|typed| !spellings.contains(typed)));
        let fits = self.run(move || {
            let fits = |hash: &PasswordHash, typed: &String| Argon2::default().verify_password(typed.as_bytes(), hash).is_ok();
            PasswordHash::new(&hash).is_ok_and(|hash| spellings.iter().any(|typed| fits(&hash, typed)))
        });
        Ok(fits.await? && known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        // whoever would wait longer than a person does is told at once
        let Ok(_place) = self.waiting.try_acquire() else {
            return Failure::refuse(ErrorCode::TooManyRequests, "many people log in right now: try again in a moment");
        };
        let _permit = self.at_once.clone().acquire_owned().await.map_err(internal)?;
        tokio::task::spawn_blocking(work).await.map_err(internal)
    }
}
