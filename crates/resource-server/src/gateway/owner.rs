//! Whose a call's resource is: named in the route, in the path, by a trusted proxy's header, or by a look-up (threat
//! 27: what a stranger sends decides nothing).

use super::Gateway;
use super::path::CanonicalPath;
use super::questions::party_of;
use super::route::{Guarded, MatchedGuarded, OwnerOf};
use super::store::LinkState;
use super::strangers::Asker;
use super::viewer::show_name;
use crate::protection::ProtectionError;
use client::ClientError;
use http::request::Parts;
use jose::digest;
use outbound::Request;
use serde::Deserialize;
use std::time::{Duration, Instant};
use types::peer::Caller;
use types::spelling::visible;

/// How long a look-up's answer is kept.
const KEPT: Duration = Duration::from_secs(60);
const MAX_NAME: usize = 256;

/// On a request that came from one of `trusted_proxies`; the wiring puts it there, nobody else can.
#[derive(Clone, Copy, Debug)]
pub struct FromTrustedProxy;

#[derive(Deserialize)]
struct Named {
    owner: String,
}

impl Gateway {
    /// What people read of an owner: her name, where a server of the operator's said it when she linked, else as she is known
    /// here. Nobody reads as whom somebody else is known.
    pub(super) async fn say_owner(&self, owner: &str) -> String {
        self.find_name_of(owner).await.unwrap_or_else(|| show_name(owner))
    }

    async fn find_name_of(&self, owner: &str) -> Option<String> {
        let links = self.store.list_links(owner).await.ok()?.into_iter();
        let mut listed = links.filter(|(issuer, link)| self.is_listed(issuer) && link.state == LinkState::Active);
        let name = visible(listed.find_map(|(_, link)| link.account.name)?.trim());
        let is_plain =
            !name.is_empty() && !self.is_others(owner, &name).await && !self.is_others(owner, &name.to_lowercase()).await;
        is_plain.then_some(name)
    }

    /// Whether another owner is known by this name, or that cannot be told.
    async fn is_others(&self, owner: &str, name: &str) -> bool {
        name != owner && self.store.list_links(name).await.map_or(true, |links| !links.is_empty())
    }

    /// Whose a resource is, where its own id alone says so.
    pub(super) fn path_owner(&self, own_id: &types::OwnResourceId) -> Option<String> {
        self.routes().iter().find_map(|route| route.maker_of(own_id.as_str()))?.owner_of_id(own_id.as_str())
    }

    /// The owner of what a route leads to; none: nobody's, which is answered as nothing there.
    pub(super) async fn owner_of(
        &self,
        matched: &MatchedGuarded<'_>,
        parts: &mut Parts,
        path: &CanonicalPath,
    ) -> Result<Option<String>, ProtectionError> {
        let trusted = parts.extensions.get::<FromTrustedProxy>().is_some();
        if !trusted {
            // the service behind must not believe it either
            for name in self.owner_headers() {
                parts.headers.remove(name.as_str());
            }
        }
        match &matched.route.owner {
            OwnerOf::Named(_) | OwnerOf::Path(_) => Ok(matched.owner.clone()),
            OwnerOf::Header(name) => {
                let mut sent = parts.headers.get_all(name.as_str()).iter();
                let (one, more) = (sent.next(), sent.next());
                let name = one.filter(|_| more.is_none()).and_then(|value| value.to_str().ok()).map(str::trim);
                Ok(name.filter(|name| !name.is_empty()).map(str::to_owned))
            }
            OwnerOf::Lookup(url) => Box::pin(self.look_up(url, path, Asker::of(parts).caller)).await,
        }
    }

    /// The same, where a path may be taken for others: all of them are hers, or it is nobody's.
    pub(super) async fn one_owner_of(
        &self,
        matched: &MatchedGuarded<'_>,
        parts: &mut Parts,
        path: &CanonicalPath,
    ) -> Result<Option<String>, ProtectionError> {
        let owner = self.owner_of(matched, parts, path).await?;
        for beside in &matched.beside {
            if owner != self.owner_of(beside, parts, path).await? {
                return Ok(None);
            }
        }
        Ok(owner)
    }

    async fn look_up(
        &self,
        template: &str,
        path: &CanonicalPath,
        caller: Option<Caller>,
    ) -> Result<Option<String>, ProtectionError> {
        let (asked_at, key) = (Instant::now(), key_of(template, path));
        if let Some((_, owner)) = self.owners.get(&key).filter(|(asked, _)| asked.elapsed() < KEPT) {
            return Ok(Some(owner));
        }
        let encoded: String = form_urlencoded::byte_serialize(path.encoded().as_bytes()).collect();
        let url = template.replace("{path}", &encoded);
        let asked = self.client.at(template).outbound.send(Request::get(&url).by(party_of(caller))).await;
        let answer = asked.map_err(ClientError::from)?;
        if answer.status == 404 {
            return Ok(None);
        }
        if answer.status == 429 || answer.status.is_server_error() {
            return Err(ProtectionError::Unreachable);
        }
        if answer.status != 200 {
            return Err(ProtectionError::Refused(format!("the look-up of owners answered HTTP {}", answer.status.as_u16())));
        }
        let text = std::str::from_utf8(&answer.body).unwrap_or_default().trim();
        let owner = types::json::parse::<Named>(text.as_bytes()).map_or_else(|_| text.to_owned(), |named| named.owner);
        if owner.is_empty() || owner.len() > MAX_NAME || owner.contains(['\n', '\r', '{']) {
            return Err(ProtectionError::Refused("the look-up of owners answered no name".into()));
        }
        self.owners.insert(key, (asked_at, owner.clone()));
        Ok(Some(owner))
    }

    /// Whose a path was said to be, a moment ago.
    pub(super) fn find_looked_up(&self, route: &Guarded, path: &CanonicalPath) -> Option<String> {
        let OwnerOf::Lookup(template) = &route.owner else { return None };
        self.owners.get(&key_of(template, path)).map(|(_, owner)| owner)
    }
}

/// Of what is asked, where: one route's answer is none of another's, and a long path takes no more room.
fn key_of(template: &str, path: &CanonicalPath) -> [u8; 32] {
    digest::sha256(&[template.as_bytes(), b"\0", path.encoded().as_bytes()])
}
