//! `/my-history`, `/my-rules` and `/my-withdrawn-tokens`: what an owner is told, and what she says beside her shares.

use super::{
    Answer, BASE, bad_limit, done, invalid, limit_of, not_found, paged, query_of, read, refuse, unavailable, unreadable,
    wrong_method,
};
use crate::gateway::store::{Rule, Withdrawn};
use crate::gateway::{Gateway, Route};
use axum::Json;
use axum::body::Body;
use axum::response::IntoResponse;
use http::request::Parts;
use http::{StatusCode, header};
use types::ScopeSet;

/// Most rules of one owner: each call is held against all of them.
const MAX_RULES: usize = 200;

impl Gateway {
    /// Who reached what, when, under whose word; what was refused, and why. Newest first.
    pub(super) async fn history(&self, owner: &str, parts: &Parts) -> Answer {
        if parts.method != http::Method::GET {
            return Err(wrong_method());
        }
        let query = query_of(parts);
        let limit = limit_of(&query).ok_or_else(bad_limit)?;
        self.write_history().await;
        let all = self
            .store
            .list_history(owner, query.get("after").map(String::as_str), limit.saturating_add(1))
            .await
            .map_err(unreadable)?;
        Ok(paged(&format!("{}{BASE}/my-history", self.settings.resource), limit, all, |last| last.id.clone()))
    }

    pub(super) async fn withdrawn_tokens(&self, owner: &str, parts: &Parts, body: Body) -> Answer {
        match parts.method.as_str() {
            "GET" => {
                let query = query_of(parts);
                let limit = limit_of(&query).ok_or_else(bad_limit)?;
                let after = query.get("after").map(String::as_str);
                let all = self.store.list_withdrawn(owner, after, limit.saturating_add(1)).await.map_err(unreadable)?;
                let base = format!("{}{BASE}/my-withdrawn-tokens", self.settings.resource);
                Ok(paged(&base, limit, all, |last| last.jti.clone()))
            }
            "POST" => {
                let withdrawn: Withdrawn = read(body).await?;
                if withdrawn.jti.is_empty() || withdrawn.jti.len() > 128 {
                    return Err(invalid("`jti` must be the one of a token"));
                }
                self.store.withdraw(owner, &withdrawn, self.client.clock.now()).await.map_err(|_| unavailable())?;
                Ok(done())
            }
            _ => Err(wrong_method()),
        }
    }

    pub(super) async fn managed_rules(&self, owner: &str, parts: &Parts, body: Body, rest: &[&str]) -> Answer {
        let rules = self.store.list_rules(owner).await.map_err(unreadable)?;
        match (parts.method.as_str(), rest) {
            ("GET", []) => Ok(Json(&*rules).into_response()),
            ("GET", [id]) => {
                rules.iter().find(|rule| rule.id == *id).map(|rule| Json(rule).into_response()).ok_or_else(not_found)
            }
            ("POST", []) => self.create_rule(owner, read(body).await?).await,
            ("DELETE", [id]) => {
                if !rules.iter().any(|rule| rule.id == *id) {
                    return Err(not_found());
                }
                self.store.delete_rule(owner, id).await.map_err(|_| unavailable())?;
                Ok(done())
            }
            (_, [] | [_]) => Err(wrong_method()),
            _ => Err(not_found()),
        }
    }

    async fn create_rule(&self, owner: &str, rule: Rule) -> Answer {
        // of several that come at once, each is counted
        let turn = self.turn(&format!("rules of {owner}")).await;
        let _held = turn.lock().await;
        if self.store.list_rules(owner).await.map_err(unreadable)?.len() >= MAX_RULES {
            return Err(invalid("at most 200 rules: take one away first"));
        }
        check_rule(&rule).map_err(invalid)?;
        if let Some(own_id) = &rule.resource_id {
            self.check_hers(owner, own_id).await?;
        }
        let no_scope = |what: String| refuse(StatusCode::BAD_REQUEST, "invalid_scope", &what);
        self.check_scopes(owner, &rule).map_err(no_scope)?;
        let rule = Rule { id: jose::ambient::random_text::<16>(&*self.client.randomness), ..rule };
        self.store.put_rule(owner, &rule).await.map_err(|_| unavailable())?;
        let location = format!("{}{BASE}/my-rules/{}", self.settings.resource, rule.id);
        Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(rule)).into_response())
    }

    /// A scope that nothing of hers has is a slip: the rule would leave open what she thinks is shut.
    fn check_scopes(&self, owner: &str, rule: &Rule) -> Result<(), String> {
        let Some(scopes) = &rule.resource_scopes else { return Ok(()) };
        let offered: ScopeSet = match &rule.resource_id {
            Some(own_id) => self.offered_scopes(own_id),
            None => {
                let hers = |route: &&Route| route.may_belong_to(owner);
                self.routes().iter().filter(hers).flat_map(Route::all_scopes).collect()
            }
        };
        match scopes.is_subset(&offered) {
            true => Ok(()),
            false => Err(format!("`resource_scopes` must be some of `{offered}`")),
        }
    }
}

/// What names nobody and nothing takes nothing away.
fn check_rule(rule: &Rule) -> Result<(), &'static str> {
    let is_text = |text: &str| !text.is_empty() && !text.contains(char::is_control);
    if !rule.id.is_empty() {
        return Err("`_id` is given here: leave it out");
    }
    if rule.resource_scopes.as_ref().is_some_and(ScopeSet::is_empty) {
        return Err("`resource_scopes` names no scope: leave it out for all");
    }
    if rule.client_id.as_ref().is_some_and(|client| !is_text(client.as_str())) {
        return Err("`client_id` names no application: leave it out for all");
    }
    if rule.claims.iter().any(|(name, wanted)| !is_text(name) || !wanted.all_are(is_text)) {
        return Err("each of `claims` has a name, and a text or a list of texts that are not empty");
    }
    Ok(())
}
