//! What a call that was let in may do beside its own path: a folder asks it of each thing in a directory, before the thing is
//! listed, copied, moved or deleted with it (threats 26 and 39). Each is judged as if it were called by itself.

use super::Gateway;
use super::admission::Admitted;
use super::path::CanonicalPath;
use super::public::is_among;
use super::route::{self, Matched, MatchedGuarded};
use crate::guard::Need;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use std::sync::Arc;
use types::ScopeSet;

/// Methods that need something of a place, each by its name.
pub(super) type Methods = &'static [&'static str];

/// Who is asked.
pub(super) trait Reach: Send + Sync {
    /// Whether the same caller may do all of this there.
    fn may(self: Arc<Self>, methods: Methods, path: CanonicalPath) -> BoxFuture<'static, bool>;
}

/// Of what needs nobody's permission: other public things alone.
pub(super) struct Everybodys(pub(super) Arc<Gateway>);

impl Reach for Everybodys {
    fn may(self: Arc<Self>, methods: Methods, path: CanonicalPath) -> BoxFuture<'static, bool> {
        async move { self.0.is_public(methods, &path) }.boxed()
    }
}

/// Of the gateway itself.
pub(super) struct Own;

impl Reach for Own {
    fn may(self: Arc<Self>, _: Methods, _: CanonicalPath) -> BoxFuture<'static, bool> {
        std::future::ready(true).boxed()
    }
}

/// What all of these methods need; none: one of them cannot be done.
fn scopes_of(matched: &MatchedGuarded<'_>, methods: Methods) -> Option<Arc<[Need]>> {
    matched.needs(|route| {
        let mut all = methods.iter().map(|method| route.scopes.get(method));
        let first: ScopeSet = all.next()??;
        all.try_fold(first, |sum, scopes| Some(sum.union(&scopes?)))
    })
}

/// Whether a call was let in by at least this.
fn covers(admitted: &Admitted, owner: Option<&str>, need: &Need) -> bool {
    let has = |known: &Need| known.resource == need.resource && need.scopes.iter().all(|scope| known.scopes.contains(scope));
    owner.is_none_or(|owner| owner == admitted.owner) && admitted.needs.iter().any(has)
}

impl Gateway {
    fn is_public(&self, methods: Methods, path: &CanonicalPath) -> bool {
        let Some(allowed) = self.public_methods(path) else { return false };
        methods.iter().all(|method| method.parse().is_ok_and(|method| is_among(&allowed, &method)))
    }

    /// Whether what let a call in lets it do this as well, at a path that is not its own.
    pub(super) async fn may_reach(
        self: &Arc<Self>,
        all: &[Admitted],
        token: &HeaderValue,
        methods: Methods,
        path: &CanonicalPath,
    ) -> bool {
        let wanted = {
            let routes = self.routes();
            let Some(Matched::Guarded(matched)) = route::find(&routes, path) else { return self.is_public(methods, path) };
            let Some(needs) = scopes_of(&matched, methods) else { return false };
            let owner = matched.owner.clone();
            // what somebody else may be taken for the owner of is told by its own call alone
            let is_one = matched.beside.iter().all(|other| other.owner == owner);
            if is_one { Some((owner, needs)) } else { None }
        };
        let Some((owner, needs)) = wanted else { return false };
        if needs.iter().all(|need| all.iter().any(|admitted| covers(admitted, owner.as_deref(), need))) {
            return true;
        }
        // who is named by a header or by a look-up is named for the path that is called
        let (Some(owner), Some(source)) = (owner, all.first()) else { return false };
        self.still_allows(&Admitted { owner, needs, ..source.clone() }, token).await
    }
}
