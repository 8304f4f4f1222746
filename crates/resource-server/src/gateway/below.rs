//! What a call reaches below its path (threats 26 and 39). `PROPFIND`, `COPY`, `MOVE`, `LOCK` and `DELETE` of a collection
//! are calls to all that is in it (RFC 4918 9); where routes make other resources of that, the permission for the collection
//! says nothing of them.

use super::admission::Admitted;
use super::elsewhere::{DEPTH, Elsewhere, OVERWRITE, Wrong};
use super::path::CanonicalPath;
use super::route::{ANY, ANY_REST, Below, is_made_by};
use super::{Gateway, Need};
use crate::challenge::plain;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use std::sync::Arc;
use types::{OwnResourceId, ResourceId};

/// So many things below are looked at for one call.
const MOST_BELOW: usize = 100;
/// So many ids are read at a time.
const PAGE: usize = 200;

const OTHERS_BELOW: Wrong =
    Wrong::Elsewhere("Other resources are below this: send `Depth: 0` or `Depth: 1`, or name them one by one.");
const OTHERS_WITHIN: Wrong = Wrong::Elsewhere("In this directory are other resources: lock what you write, one by one.");
const NOT_ALL_BELOW: Wrong = Wrong::Elsewhere("Below this is something that you may not delete: delete what you may one by one.");

/// Whether a call is one to all that is below its path as well. A `LOCK` without a body holds on to a lock that is there
/// (RFC 4918 9.10.2).
fn reaches_all_below(parts: &Parts, has_body: bool) -> bool {
    let depth = parts.headers.get(DEPTH).map(HeaderValue::as_bytes);
    let is_infinite = depth.is_some_and(|depth| depth.eq_ignore_ascii_case(b"infinity"));
    match parts.method.as_str() {
        // RFC 4918 9.9.2: whatever else it says
        "MOVE" => true,
        // 9.1, 9.8.3, 9.10.3: where it says nothing
        "PROPFIND" | "COPY" => is_infinite || depth.is_none(),
        "LOCK" => has_body && (is_infinite || depth.is_none()),
        _ => is_infinite,
    }
}

/// Whether a call may reach anything beside its path and its destination.
pub(super) fn may_reach_below(parts: &Parts, has_body: bool, elsewhere: &Elsewhere) -> bool {
    elsewhere.destination.is_some() || matches!(parts.method.as_str(), "DELETE" | "LOCK") || reaches_all_below(parts, has_body)
}

/// A text before this one with little between them.
fn text_before(text: &str) -> Option<String> {
    let mut before = text.to_owned();
    let last = before.pop()?;
    let lower = u32::from(last).checked_sub(1).and_then(char::from_u32);
    before.extend(lower.into_iter().chain(lower.map(|_| char::MAX)));
    Some(before)
}

impl Gateway {
    /// Looks at all that a call reaches beside its path and its destination, which are judged already (`all`).
    pub(super) async fn check_below(
        self: &Arc<Self>,
        parts: &Parts,
        has_body: bool,
        path: &CanonicalPath,
        elsewhere: &Elsewhere,
        all: &[Admitted],
        token: &HeaderValue,
    ) -> Result<(), Box<Response>> {
        if self.backend.judges_what_is_below(&parts.method, path).await {
            return Ok(());
        }
        let refused = |wrong: Wrong| Err(Box::new(wrong.answer()));
        let reaches_all = reaches_all_below(parts, has_body);
        if reaches_all && !self.others_below(path, all).is_empty() {
            return refused(OTHERS_BELOW);
        }
        // RFC 4918 7.4: whatever its depth, a lock on a directory is one on which names are in it, and whoever holds on to one
        // has it as well. A service's locks are its own matter
        if parts.method.as_str() == "LOCK" && self.backend.is_folder() && !self.others_below(path, all).is_empty() {
            return refused(OTHERS_WITHIN);
        }
        // what is written over there is deleted first, with all that is in it (RFC 4918 9.8.4)
        let overwrites = parts.headers.get(OVERWRITE).is_none_or(|value| !value.as_bytes().eq_ignore_ascii_case(b"F"));
        if let Some(destination) = elsewhere.destination.as_ref().filter(|_| reaches_all || overwrites)
            && !self.others_below(destination, all).is_empty()
        {
            return refused(OTHERS_BELOW);
        }
        match parts.method == http::Method::DELETE && !self.may_delete_below(path, all, token).await? {
            true => refused(NOT_ALL_BELOW),
            false => Ok(()),
        }
    }

    /// The same for a call that needs nobody's permission: it reaches nothing that does.
    pub(super) fn check_below_public(&self, parts: &Parts, path: &CanonicalPath) -> Result<(), Box<Response>> {
        let reaches_all = reaches_all_below(parts, true) || parts.method == http::Method::DELETE;
        match reaches_all && !self.others_below(path, &[]).is_empty() {
            true => Err(Box::new(OTHERS_BELOW.answer())),
            false => Ok(()),
        }
    }

    fn others_below(&self, path: &CanonicalPath, all: &[Admitted]) -> Vec<Below> {
        let is_judged = |own_id: &str| all.iter().flat_map(|one| one.needs.iter()).any(|need| need.resource.as_str() == own_id);
        self.routes().iter().flat_map(|route| route.find_below(path, is_judged)).collect()
    }

    /// Whether the same token may delete each thing below that this gateway knows. Most applications delete what is in a thing
    /// together with it, so that nobody could ever delete one that may have others in it.
    async fn may_delete_below(
        self: &Arc<Self>,
        path: &CanonicalPath,
        all: &[Admitted],
        token: &HeaderValue,
    ) -> Result<bool, Box<Response>> {
        let Some(source) = all.first() else { return Ok(false) };
        for below in self.others_below(path, all) {
            let Some(owner) = below.owner.clone() else { return Ok(false) };
            let Some(known) = self.list_known(&owner, &below.pattern).await? else { return Ok(false) };
            match known.is_empty() {
                // whose name is written otherwise may be somebody whose things are known (threat 26)
                true if owner != source.owner => return Ok(false),
                true => continue,
                false => {}
            }
            let Some(scopes) = below.scopes.get(http::Method::DELETE.as_str()) else { return Ok(false) };
            let need = |own_id: OwnResourceId| Need { resource: ResourceId::new(own_id.as_str()), scopes: scopes.clone() };
            let needs = known.into_iter().map(need).collect();
            if !self.still_allows(&Admitted { owner, needs, ..source.clone() }, token).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What is registered of an owner by this pattern; none: more than is looked at for one call.
    pub(super) async fn list_known(&self, owner: &str, pattern: &str) -> Result<Option<Vec<OwnResourceId>>, Box<Response>> {
        let beginning = pattern.split(ANY).next().unwrap_or_default();
        // with what follows, or where nothing of the pattern is open, the beginning is an id itself
        let beginning = if pattern.ends_with(ANY_REST) { beginning.trim_end_matches('/') } else { beginning };
        let (mut known, mut after) = (Vec::new(), text_before(beginning).map(|before| OwnResourceId::from(before.as_str())));
        loop {
            let page = self.store.registered_ids(owner, after.as_ref(), PAGE).await.map_err(|error| {
                tracing::error!(%error, "what is below a path cannot be read");
                Box::new(plain(StatusCode::SERVICE_UNAVAILABLE, "What is registered cannot be read right now: try again."))
            })?;
            let is_behind = |own_id: &str| own_id > beginning && !own_id.starts_with(beginning);
            let is_last = page.len() < PAGE || page.last().is_some_and(|own_id| is_behind(own_id.as_str()));
            after = page.last().cloned();
            known.extend(page.into_iter().filter(|own_id| is_made_by(pattern, own_id.as_str())));
            if known.len() > MOST_BELOW {
                return Ok(None);
            }
            if is_last {
                return Ok(Some(known));
            }
        }
    }
}
