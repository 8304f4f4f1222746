//! Items of a server's lists, as far as they read. What narrows may not vanish: an item without the name by which it could be
//! ended is counted as unread, and of an item of which a part did not read it is kept which part, in words, so that pages say so
//! and nothing of it is carried to another server.

use client::api::Listed;
use std::collections::{BTreeMap, BTreeSet};
use types::access_request::AccessRequestDocument;
use types::available_resource::AvailableResource;
use types::delegation::{DelegateName, DelegationDocument};
use types::policy::PolicyDocument;

/// Which applications something is for did not read.
pub(crate) const APPLICATIONS: &str = "for which applications";

/// Something that a server calls by a name.
pub(crate) trait Named {
    /// Its name, where it can be shown and ended by it. `left_out`: members that did not read.
    fn name(&self, left_out: &[String]) -> Option<&str>;

    /// A member that is there, and says nothing.
    fn empty_member(&self) -> Option<&'static str> {
        None
    }
}

/// Whether one of these members, or a part of it, did not read.
fn has_lost(left_out: &[String], member: &str) -> bool {
    left_out.iter().any(|path| path.split('.').next() == Some(member))
}

/// By dots alone nothing is reached: no path has them as a segment, however they are written (WHATWG URL 4.4).
fn filled(text: &str) -> Option<&str> {
    Some(text).filter(|text| !["", ".", ".."].contains(text))
}

impl Named for PolicyDocument {
    fn name(&self, left_out: &[String]) -> Option<&str> {
        // what it is about must be said whole: one of two names is another thing
        let is_bound = self.resource_id.is_some() || (self.resource_server.is_some() && self.own_id.is_some());
        let lost = ["resource_id", "resource_server", "_resource_id"].iter().any(|member| has_lost(left_out, member));
        self.id.as_ref().and_then(|id| filled(id.as_str())).filter(|_| is_bound && !lost)
    }
}

impl Named for AccessRequestDocument {
    fn name(&self, _: &[String]) -> Option<&str> {
        filled(self.id.as_str())
    }
}

impl Named for DelegationDocument {
    fn name(&self, _: &[String]) -> Option<&str> {
        self.id.as_deref().and_then(filled)
    }

    fn empty_member(&self) -> Option<&'static str> {
        let DelegateName { email, account, resource_owner_id } = &self.delegate;
        (email.is_none() && account.is_none() && resource_owner_id.is_none()).then_some("delegate")
    }
}

impl Named for super::Guarded {
    fn name(&self, left_out: &[String]) -> Option<&str> {
        // without its own id it would agree with whatever its keeper calls it
        filled(self.id.as_str()).filter(|_| !has_lost(left_out, "_resource_id"))
    }
}

impl Named for AvailableResource {
    fn name(&self, _: &[String]) -> Option<&str> {
        self.own_id().and_then(|id| filled(id.as_str()))
    }
}

/// What did not read, by the name of the item: in words.
pub(crate) type Unclear = BTreeMap<String, BTreeSet<String>>;

/// A list, as far as it reads.
#[derive(Debug)]
pub(crate) struct Sorted<T> {
    pub(crate) items: Vec<T>,
    pub(crate) unclear: Unclear,
    /// Items that have no name.
    pub(crate) nameless: usize,
}

/// What a member says, in words.
fn words_of(path: &str) -> &'static str {
    match path.split('.').next().unwrap_or_default() {
        "required_claims" | "delegate" | "requesting_party" => "for whom",
        "client_id" | "client" => APPLICATIONS,
        "resource_scopes" | "may" | "permissions" => "what it allows",
        "resource_id" | "resource_server" | "_resource_id" | "resources" => "of what",
        "expires_at" | "valid_from" | "not_before" | "max_uses" | "uses" | "created" => "from when, until when or how often",
        "on_missing" | "state" => "what happens to whoever shows nothing",
        _ => "something that it adds",
    }
}

pub(crate) fn sort<T: Named>(listed: Listed<T>) -> Sorted<T> {
    let mut sorted = Sorted { items: Vec::new(), unclear: Unclear::new(), nameless: 0 };
    for item in listed.items {
        let Some(name) = item.said.name(&item.left_out) else {
            sorted.nameless = sorted.nameless.saturating_add(1);
            continue;
        };
        let members = item.left_out.iter().map(String::as_str).chain(item.said.empty_member());
        let words: BTreeSet<String> = members.map(|path| words_of(path).to_owned()).collect();
        if !words.is_empty() {
            sorted.unclear.entry(name.to_owned()).or_default().extend(words);
        }
        sorted.items.push(item.said);
    }
    sorted
}

#[cfg(test)]
mod tests;
