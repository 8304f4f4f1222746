//! Which things of a collection a call may view: each is judged by the token of the call, as a GET of its own would be, or by
//! what the session holds at that moment by which a person calls. What one resource covers is judged once. Who needs nobody's
//! permission views what everybody may.

use super::super::admission::Admitted;
use super::super::passage::LetIn;
use super::super::path::CanonicalPath;
use super::super::route::{self, Matched, Route};
use super::super::{Gateway, public};
use super::collection::Entry;
use crate::guard::Need;
use http::{HeaderValue, Method};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long what a session holds, and that something is hidden, is taken to be so: as long as any answer about a token.
const KEPT: Duration = Duration::from_secs(1);
/// So many things are looked at for one page; where fewer may be viewed, another page goes on.
const MOST_LOOKED_AT: usize = 2_000;
/// So many different permissions are asked after for one page, and remembered.
const MOST_PERMISSIONS: usize = 500;

/// A thing in a collection that may be viewed.
pub(super) struct Member {
    pub(super) entry: Entry,
    pub(super) path: CanonicalPath,
}

/// Members in a row, and where the next go on, if there may be more.
pub(super) struct Page {
    pub(super) members: Vec<Member>,
    pub(super) next: Option<String>,
}

/// What was found out about a set of permissions.
struct Known {
    needs: Arc<[Need]>,
    admitted: Option<Admitted>,
    asked: Instant,
}

/// By what one call is judged.
struct JudgedBy {
    source: Admitted,
    /// None: the session holds nothing any more.
    token: Option<HeaderValue>,
    /// The call, which may be of a session whose token changes.
    let_in: Option<Arc<LetIn>>,
    looked: Instant,
}

/// Judges by the token of one call.
pub(super) struct Judge {
    gateway: Arc<Gateway>,
    routes: Arc<Vec<Route>>,
    /// None: by nobody's permission.
    by: Option<JudgedBy>,
    known: Vec<Known>,
}

/// How something may be viewed.
pub(super) enum Standing {
    /// By what let the call in, or by nobody's permission.
    Covered,
    /// By a permission that was asked after.
    Admitted(Admitted),
    Hidden,
}

impl Judge {
    /// Of a call that was let in, or of everybody; none: nothing let the call in.
    pub(super) fn new(gateway: &Arc<Gateway>, let_in: Option<&Arc<LetIn>>) -> Option<Self> {
        let Some(let_in) = let_in else { return Some(Self::with(gateway, None)) };
        let (source, token) = (let_in.all.first()?.clone(), Some(let_in.token.clone()));
        let by = JudgedBy { source, token, let_in: Some(let_in.clone()), looked: Instant::now() };
        Some(Self::with(gateway, Some(by)))
    }

    pub(super) fn by(gateway: &Arc<Gateway>, source: Admitted, token: HeaderValue) -> Self {
        Self::with(gateway, Some(JudgedBy { source, token: Some(token), let_in: None, looked: Instant::now() }))
    }

    fn with(gateway: &Arc<Gateway>, by: Option<JudgedBy>) -> Self {
        Self { gateway: gateway.clone(), routes: gateway.routes(), by, known: Vec::new() }
    }

    /// What let the call in; none: nobody's permission was needed.
    pub(super) fn source(&self) -> Option<&Admitted> {
        self.by.as_ref().map(|by| &by.source)
    }

    pub(super) async fn may_view(&mut self, path: &CanonicalPath) -> bool {
        !matches!(self.standing_of(path).await, Standing::Hidden)
    }

    pub(super) async fn standing_of(&mut self, path: &CanonicalPath) -> Standing {
        let needs = match self.needs_of(path) {
            Some(Needed::Nothing) => return Standing::Covered,
            Some(Needed::These(needs)) => needs,
            None => return Standing::Hidden,
        };
        let Some(source) = self.source() else { return Standing::Hidden };
        if needs.iter().all(|need| is_covered(source, need)) {
            return Standing::Covered;
        }
        let known = self.known.iter().find(|known| known.needs == needs);
        if let Some(known) = known.filter(|known| known.admitted.is_some() || known.asked.elapsed() < KEPT) {
            return known.admitted.clone().map_or(Standing::Hidden, Standing::Admitted);
        }
        let wanted = Admitted { needs: needs.clone(), ..source.clone() };
        self.known.retain(|known| known.needs != needs);
        if self.known.len() >= MOST_PERMISSIONS {
            self.known.clear();
        }
        let asked = Instant::now();
        let admitted = self.still_stands(&wanted).await.then_some(wanted);
        self.known.push(Known { needs, admitted: admitted.clone(), asked });
        admitted.map_or(Standing::Hidden, Standing::Admitted)
    }

    /// Whether a permission stands now, by what the call or its session has.
    pub(super) async fn still_stands(&mut self, admitted: &Admitted) -> bool {
        let Some(by) = self.by.as_mut() else { return false };
        if let Some(let_in) = by.let_in.as_ref().filter(|_| by.looked.elapsed() >= KEPT) {
            by.looked = Instant::now();
            by.token = let_in.find_token(&by.source).await;
        }
        let Some(token) = &by.token else { return false };
        self.gateway.still_allows(admitted, token).await
    }

    /// What a GET of this needs. None: nothing is there for the owner of this collection, by the path alone.
    fn needs_of(&self, path: &CanonicalPath) -> Option<Needed> {
        let found = match path.ends_with_slash() {
            true => route::find_collection(&self.routes, path),
            false => route::find(&self.routes, path),
        };
        match found? {
            Matched::Public(methods) => public::is_among(methods, &Method::GET).then_some(Needed::Nothing),
            Matched::Guarded(matched) => {
                let source = self.source()?;
                let is_hers = |owner: &Option<String>| owner.as_ref() == Some(&source.owner);
                let are_hers = is_hers(&matched.owner) && matched.beside.iter().all(|beside| is_hers(&beside.owner));
                let needs = matched.needs(|route| route.scopes.get(Method::GET.as_str())).filter(|_| are_hers)?;
                Some(Needed::These(needs))
            }
        }
    }

    /// The next so many that may be viewed of what a directory holds.
    pub(super) async fn page(&mut self, above: &CanonicalPath, entries: &[Entry], limit: usize) -> Page {
        let (mut members, mut last): (_, Option<(&Entry, bool)>) = (Vec::new(), None);
        for (at, entry) in entries.iter().enumerate() {
            if members.len() >= limit || at >= MOST_LOOKED_AT || self.known.len() >= MOST_PERMISSIONS {
                let next = last.and_then(|(entry, is_shown)| match is_shown {
                    true => Some(entry.mark()),
                    // what she may not view is not named to her either
                    false => self.gateway.seal_mark(above, &entry.mark()),
                });
                return Page { members, next };
            }
            last = Some((entry, false));
            let Some(path) = entry.path_in(above) else { continue };
            if self.may_view(&path).await {
                last = Some((entry, true));
                members.push(Member { entry: entry.clone(), path });
            }
        }
        Page { members, next: None }
    }
}

fn is_covered(source: &Admitted, need: &Need) -> bool {
    let is_it = |own: &&Need| own.resource == need.resource;
    source.needs.iter().find(is_it).is_some_and(|own| need.scopes.iter().all(|scope| own.scopes.contains(scope)))
}

enum Needed {
    Nothing,
    These(Arc<[Need]>),
}
