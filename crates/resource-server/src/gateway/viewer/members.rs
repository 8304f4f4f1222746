//! Which things of a collection a call may view: each is judged by the token of the call, as a GET of its own would be. What
//! one resource covers is judged once.

use super::super::admission::Admitted;
use super::super::passage::LetIn;
use super::super::path::CanonicalPath;
use super::super::route::{self, Matched, Route};
use super::super::{Gateway, public};
use super::collection::Entry;
use crate::guard::Need;
use http::{HeaderValue, Method};
use std::sync::Arc;

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
}

/// Judges by the token of one call.
pub(super) struct Judge {
    gateway: Arc<Gateway>,
    routes: Arc<Vec<Route>>,
    source: Admitted,
    token: HeaderValue,
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
    /// None: nothing let the call in.
    pub(super) fn new(gateway: &Arc<Gateway>, let_in: &LetIn) -> Option<Self> {
        Some(Self::by(gateway, let_in.all.first()?.clone(), let_in.token.clone()))
    }

    pub(super) fn by(gateway: &Arc<Gateway>, source: Admitted, token: HeaderValue) -> Self {
        Self { gateway: gateway.clone(), routes: gateway.routes(), source, token, known: Vec::new() }
    }

    pub(super) fn source(&self) -> &Admitted {
        &self.source
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
        if needs.iter().all(|need| self.is_covered(need)) {
            return Standing::Covered;
        }
        if let Some(known) = self.known.iter().find(|known| known.needs == needs) {
            return known.admitted.clone().map_or(Standing::Hidden, Standing::Admitted);
        }
        if self.known.len() >= MOST_PERMISSIONS {
            self.known.clear();
        }
        let admitted = Admitted { needs: needs.clone(), ..self.source.clone() };
        let admitted = self.gateway.still_allows(&admitted, &self.token).await.then_some(admitted);
        self.known.push(Known { needs, admitted: admitted.clone() });
        admitted.map_or(Standing::Hidden, Standing::Admitted)
    }

    /// Whether a permission that was asked after before still stands now.
    pub(super) async fn still_stands(&self, admitted: &Admitted) -> bool {
        self.gateway.still_allows(admitted, &self.token).await
    }

    fn is_covered(&self, need: &Need) -> bool {
        let is_it = |own: &&Need| own.resource == need.resource;
        self.source.needs.iter().find(is_it).is_some_and(|own| need.scopes.iter().all(|scope| own.scopes.contains(scope)))
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
                let is_hers = |owner: &Option<String>| owner.as_ref() == Some(&self.source.owner);
                let are_hers = is_hers(&matched.owner) && matched.beside.iter().all(|beside| is_hers(&beside.owner));
                let needs = matched.needs(|route| route.scopes.get(Method::GET.as_str())).filter(|_| are_hers)?;
                Some(Needed::These(needs))
            }
        }
    }

    /// The next so many that may be viewed of what a directory holds.
    pub(super) async fn page(&mut self, above: &CanonicalPath, entries: &[Entry], limit: usize) -> Page {
        let (mut members, mut last) = (Vec::new(), None);
        for (at, entry) in entries.iter().enumerate() {
            if members.len() >= limit || at >= MOST_LOOKED_AT || self.known.len() >= MOST_PERMISSIONS {
                return Page { members, next: last };
            }
            last = Some(entry.mark());
            let Some(path) = entry.path_in(above) else { continue };
            if self.may_view(&path).await {
                members.push(Member { entry: entry.clone(), path });
            }
        }
        Page { members, next: None }
    }
}

enum Needed {
    Nothing,
    These(Arc<[Need]>),
}
