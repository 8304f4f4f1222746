//! Locks of a folder (RFC 4918 6 and 7), which Finder and Office need before they write. They are kept in memory: ten minutes
//! unless they are refreshed, so many for one caller and for all, and none is anybody's but the caller's who took it. Whoever
//! may not write takes none. Called by `dav-server`.

use dav_server::davpath::DavPath;
use dav_server::ls::{DavLock, DavLockSystem, LsFuture};
use jose::Randomness;
use jose::ambient::{self, Clock};
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use xmltree::Element;

/// How long a lock is kept that nobody refreshes.
const LONGEST: Duration = Duration::from_secs(600);
/// So many of one caller's, on one owner's things, and in all.
const MOST_OF_ONE: usize = 64;
const MOST_OF_OWNER: usize = 512;
const MOST: usize = 16_384;
/// Bytes of what a caller says of itself in a lock.
const MOST_OWNER_BYTES: usize = 1_024;

struct Kept {
    lock: DavLock,
    /// Names of its path.
    names: Vec<Vec<u8>>,
    ends_millis: i64,
}

impl Kept {
    fn is_of(&self, principal: Option<&str>) -> bool {
        self.lock.principal.as_deref() == principal
    }

    /// Whether it covers a place: its own, or one below where it goes deep.
    fn covers(&self, names: &[Vec<u8>]) -> bool {
        self.names == names || self.lock.deep && names.starts_with(&self.names)
    }
}

#[derive(Clone)]
pub(super) struct Locks {
    kept: Arc<Mutex<Vec<Kept>>>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
}

impl Debug for Locks {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("locks")
    }
}

fn names_of(path: &DavPath) -> Vec<Vec<u8>> {
    path.as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}

impl Locks {
    pub(super) fn new(clock: Arc<dyn Clock>, randomness: Arc<dyn Randomness>) -> Self {
        Self { kept: Arc::default(), clock, randomness }
    }

    /// Those that have not ended.
    fn current(&self) -> MutexGuard<'_, Vec<Kept>> {
        let now = self.clock.now_millis();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| one.ends_millis > now);
        kept
    }

    /// Whether this caller may take another one. Whoever runs a server of her own makes up as many callers as she likes, on
    /// her own things alone.
    pub(super) fn has_room(&self, principal: &str) -> bool {
        let kept = self.current();
        let of_owner = kept.iter().filter(|one| owner_in(one.lock.principal.as_deref()) == owner_in(Some(principal))).count();
        let of_one = kept.iter().filter(|one| one.is_of(Some(principal))).count();
        kept.len() < MOST && of_owner < MOST_OF_OWNER && of_one < MOST_OF_ONE
    }

    /// Whether somebody keeps what is in a directory as it is, by a lock on the directory alone (RFC 4918 7.4). Whoever holds it
    /// says so in `If`.
    pub(super) fn keeps_members(&self, directory: &[String], principal: &str, conditions: &str) -> bool {
        let is_held = |one: &Kept| one.is_of(Some(principal)) && conditions.contains(&format!("<{}>", one.lock.token));
        let is_of_directory = |one: &&Kept| !one.lock.deep && one.names.iter().eq(directory.iter().map(String::as_bytes));
        let kept = self.current();
        let met: Vec<&Kept> = kept.iter().filter(is_of_directory).collect();
        !met.is_empty() && !met.iter().any(|one| is_held(one))
    }

    /// Whether a lock by this token is somebody else's.
    pub(super) fn is_others(&self, token: &str, principal: &str) -> bool {
        self.current().iter().any(|one| one.lock.token == token && !one.is_of(Some(principal)))
    }

    fn token(&self) -> String {
        let mut bytes: [u8; 16] = ambient::random(&*self.randomness);
        // RFC 9562 5.4: version 4, in its variant
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = *version & 0x0f | 0x40;
        *variant = *variant & 0x3f | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let part = |from, to| hex.get(from..to).unwrap_or_default();
        format!("urn:uuid:{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
    }

    fn make(&self, path: &DavPath, principal: Option<&str>, timeout: Option<Duration>, shared: bool, deep: bool) -> Kept {
        let timeout = timeout.unwrap_or(LONGEST).min(LONGEST);
        let ends_millis = self.ends_after(timeout);
        let timeout_at = Some(UNIX_EPOCH + Duration::from_millis(ends_millis.unsigned_abs()));
        let (token, principal) = (self.token(), principal.map(str::to_owned));
        let path_of = Box::new(path.clone());
        let lock = DavLock { token, path: path_of, principal, owner: None, timeout_at, timeout: Some(timeout), shared, deep };
        Kept { lock, names: names_of(path), ends_millis }
    }

    fn ends_after(&self, timeout: Duration) -> i64 {
        self.clock.now_millis().saturating_add(i64::try_from(timeout.as_millis()).unwrap_or_default())
    }
}

/// Whose things a caller locks, in `owner.caller`.
fn owner_in(principal: Option<&str>) -> Option<&str> {
    principal?.split('.').next()
}

/// Who took it, in its own words, if there are few.
fn short(owner: Option<&Element>) -> Option<Box<Element>> {
    let owner = owner?;
    let mut written = Vec::new();
    owner.write(&mut written).ok().filter(|()| written.len() <= MOST_OWNER_BYTES)?;
    Some(Box::new(owner.clone()))
}

fn ready<'a, T: Send + 'a>(value: T) -> LsFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl DavLockSystem for Locks {
    fn lock(
        &self,
        path: &DavPath,
        principal: Option<&str>,
        owner: Option<&Element>,
        timeout: Option<Duration>,
        shared: bool,
        deep: bool,
    ) -> LsFuture<'_, Result<DavLock, DavLock>> {
        let mut made = self.make(path, principal, timeout, shared, deep);
        made.lock.owner = short(owner);
        let has_room = principal.is_some_and(|principal| self.has_room(principal));
        let mut kept = self.current();
        let is_in_the_way = |one: &&Kept| {
            let meet = one.covers(&made.names) || deep && one.names.starts_with(&made.names);
            meet && !(shared && one.lock.shared)
        };
        if let Some(other) = kept.iter().find(is_in_the_way) {
            return ready(Err(other.lock.clone()));
        }
        if !has_room {
            return ready(Err(made.lock));
        }
        let lock = made.lock.clone();
        kept.push(made);
        ready(Ok(lock))
    }

    fn unlock(&self, path: &DavPath, token: &str) -> LsFuture<'_, Result<(), ()>> {
        let names = names_of(path);
        let mut kept = self.current();
        let before = kept.len();
        kept.retain(|one| one.lock.token != token || !one.covers(&names));
        ready(if kept.len() < before { Ok(()) } else { Err(()) })
    }

    fn refresh(&self, path: &DavPath, token: &str, timeout: Option<Duration>) -> LsFuture<'_, Result<DavLock, ()>> {
        let names = names_of(path);
        let timeout = timeout.unwrap_or(LONGEST).min(LONGEST);
        let ends_millis = self.ends_after(timeout);
        let mut kept = self.current();
        let Some(one) = kept.iter_mut().find(|one| one.lock.token == token && one.covers(&names)) else { return ready(Err(())) };
        one.ends_millis = ends_millis;
        one.lock.timeout = Some(timeout);
        one.lock.timeout_at = Some(UNIX_EPOCH + Duration::from_millis(ends_millis.unsigned_abs()));
        ready(Ok(one.lock.clone()))
    }

    fn check(
        &self,
        path: &DavPath,
        principal: Option<&str>,
        ignore_principal: bool,
        deep: bool,
        submitted_tokens: &[String],
    ) -> LsFuture<'_, Result<(), DavLock>> {
        let names = names_of(path);
        let kept = self.current();
        // asked of a state token in `If`: whether there is such a lock (RFC 4918 10.4.4)
        if ignore_principal {
            let is_there = kept.iter().any(|one| one.covers(&names) && submitted_tokens.contains(&one.lock.token));
            return ready(if is_there { Ok(()) } else { Err(self.make(path, None, None, false, false).lock) });
        }
        let is_held = |one: &Kept| submitted_tokens.contains(&one.lock.token) && one.is_of(principal);
        let met: Vec<&Kept> = kept.iter().filter(|one| one.covers(&names) || deep && one.names.starts_with(&names)).collect();
        // an exclusive lock is passed by its token; of shared ones by any of theirs at one place (RFC 4918 7.5)
        let is_passed =
            |one: &&&Kept| is_held(one) || one.lock.shared && met.iter().any(|other| other.names == one.names && is_held(other));
        match met.iter().find(|one| !is_passed(one)) {
            Some(other) => ready(Err(other.lock.clone())),
            None => ready(Ok(())),
        }
    }

    fn discover(&self, path: &DavPath) -> LsFuture<'_, Vec<DavLock>> {
        let names = names_of(path);
        ready(self.current().iter().filter(|one| one.covers(&names)).map(|one| one.lock.clone()).collect())
    }

    fn delete(&self, path: &DavPath) -> LsFuture<'_, Result<(), ()>> {
        let names = names_of(path);
        self.current().retain(|one| !one.names.starts_with(&names));
        ready(Ok(()))
    }
}
