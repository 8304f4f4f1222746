//! Answering a request that waits at a server: what she answers is the request that she was shown - that party, that client,
//! those things -, and no more than it asks for (threat 36).

use crate::holdings::Holdings;
use crate::{Manager, Trouble};
use http::Method;
use jose::{base64url, digest};
use serde_json::{Value, json};
use std::sync::Arc;
use types::access_request::{AccessRequestDocument, AccessRequestState, DecisionDocument, DecisionKind};

/// Which request, where, and whose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) link: &'a str,
    pub(crate) request: &'a str,
    /// Somebody who lets her decide; empty: her own.
    pub(crate) of: &'a str,
}

/// What she is shown of a request, as one name: with another party, client or thing it is another one.
pub(crate) fn seen_name(request: &AccessRequestDocument) -> String {
    let shown = json!([request.id, request.client, request.requesting_party, request.permissions, request.message]);
    base64url::encode(digest::sha256(&[shown.to_string().as_bytes()]))
}

/// Who asks: the address, else the name; none where that cannot be read, and then nothing is allowed.
pub(crate) fn party_of(request: &AccessRequestDocument) -> Option<&str> {
    let said = |name: &str| request.requesting_party.get(name).filter(|said| !said.is_null());
    said("email").or_else(|| said("sub"))?.as_str().filter(|text| !text.trim().is_empty())
}

impl Holdings {
    pub(crate) fn request(&self, answered: Answered<'_>) -> Option<&AccessRequestDocument> {
        let snapshot = &self.server(answered.link)?.snapshot;
        let all = match answered.of {
            "" => &snapshot.requests,
            of => &snapshot.for_others.iter().find(|other| other.owner == of)?.requests,
        };
        all.iter().find(|request| request.id.as_str() == answered.request)
    }
}

/// The decision with everything that it allows written down, so that nothing is allowed that the request does not ask for.
pub(crate) fn spelled_out(request: &AccessRequestDocument, decision: DecisionDocument) -> Result<DecisionDocument, Trouble> {
    if decision.decision == DecisionKind::Deny {
        return Ok(DecisionDocument { permissions: None, ..decision });
    }
    if party_of(request).is_none() {
        let what = "This desk cannot read who asks: refuse it, or answer it on that server's own pages.";
        return Err(Trouble::Refused(what.into()));
    }
    let allowed = decision.permissions.clone().unwrap_or_else(|| request.permissions.clone());
    let asked = |one: &types::PermissionRequest| {
        let same = request.permissions.iter().filter(|asked| asked.resource_id == one.resource_id);
        let scopes = same.flat_map(|asked| asked.resource_scopes.iter().cloned()).collect::<types::ScopeSet>();
        !one.resource_scopes.is_empty() && one.resource_scopes.is_subset(&scopes)
    };
    match !allowed.is_empty() && allowed.iter().all(asked) {
        true => Ok(DecisionDocument { permissions: Some(allowed), ..decision }),
        false => Err(Trouble::Refused("Allow only what the request asks for.".into())),
    }
}

/// How it stands once its server has taken the decision.
fn decided_as(request: &AccessRequestDocument, decision: &DecisionDocument) -> AccessRequestDocument {
    match decision.decision {
        DecisionKind::Deny => AccessRequestDocument { state: AccessRequestState::Denied, ..request.clone() },
        DecisionKind::Approve => AccessRequestDocument {
            state: AccessRequestState::Approved,
            permissions: decision.permissions.clone().unwrap_or_else(|| request.permissions.clone()),
            approved_until: decision.expires_at,
            ..request.clone()
        },
    }
}

impl Manager {
    /// `seen`: the request as she was shown it; none where a program answers what it has read.
    pub(crate) async fn decide(
        self: &Arc<Self>,
        owner: &str,
        answered: Answered<'_>,
        seen: Option<&str>,
        decision: DecisionDocument,
    ) -> Result<(), Trouble> {
        let holdings = self.holdings(owner).await?;
        let Some(request) = holdings.request(answered) else {
            return Err(Trouble::Refused("There is no such request any more.".into()));
        };
        if seen.is_some_and(|seen| seen != seen_name(request)) {
            return Err(Trouble::Refused("This request is another one than you were shown. Look at it again.".into()));
        }
        let whole = spelled_out(request, decision)?;
        let decided = decided_as(request, &whole);
        let decision = serde_json::to_value(whole).unwrap_or_default();
        let Answered { link, request, of } = answered;
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("owner", of).finish();
        let query = if of.is_empty() { String::new() } else { format!("?{query}") };
        let request = crate::share::segment(request);
        let at = |metadata: &types::metadata::Metadata| {
            metadata.access_requests_endpoint.as_ref().map(|url| format!("{url}/{request}{query}"))
        };
        let answer = self.api_at(owner, link, Method::POST, at, Some(&without_nulls(decision))).await?;
        if answer.status == 200 && of.is_empty() {
            self.note_decided(owner, link, decided).await;
        }
        self.read_servers(owner, [link.to_owned()]).await;
        match answer.status {
            200 => Ok(()),
            409 => Err(Trouble::Refused("This request was answered before, or has run out.".into())),
            _ => Err(Trouble::Refused(answer.refusal())),
        }
    }
}

/// Members that say nothing are left out.
fn without_nulls(mut value: Value) -> Value {
    value.as_object_mut().into_iter().for_each(|members| members.retain(|_, value| !value.is_null()));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(changes: &Value) -> AccessRequestDocument {
        let mut whole = json!({"_id": "q1", "state": "pending", "created": 1, "expires_at": 9,
            "client": {"client_id": "viewer", "name": "Viewer", "verified": true}, "requesting_party": {"email": "bob@bar.example"},
            "permissions": [{"resource_id": "A", "resource_scopes": ["view"]}]});
        whole.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn threat_36_s05_another_party_client_or_thing_is_another_request() {
        let shown = seen_name(&request(&json!({})));
        assert_eq!(shown, seen_name(&request(&json!({"state": "approved", "expires_at": 10}))));
        for change in [
            json!({"requesting_party": {"email": "eve@bar.example"}}),
            json!({"client": {"client_id": "other", "name": "Viewer", "verified": true}}),
            json!({"permissions": [{"resource_id": "B", "resource_scopes": ["view"]}]}),
            json!({"permissions": [{"resource_id": "A", "resource_scopes": ["view", "edit"]}]}),
        ] {
            assert_ne!(shown, seen_name(&request(&change)), "{change}");
        }
    }

    #[test]
    fn threat_36_s05_an_answer_allows_no_more_than_was_asked() {
        let decide = |permissions: Value| {
            let decision = json!({"decision": "approve", "permissions": permissions});
            spelled_out(&request(&json!({})), serde_json::from_value(decision).unwrap())
        };
        let all = decide(Value::Null).unwrap().permissions.unwrap();
        assert_eq!(serde_json::to_value(all).unwrap(), json!([{"resource_id": "A", "resource_scopes": ["view"]}]));
        assert!(decide(json!([{"resource_id": "A", "resource_scopes": ["view"]}])).is_ok());
        // whoever cannot be read is let in to nothing
        for party in [
            json!({"email": ["x"]}),
            json!({"email": {}, "sub": "s"}),
            json!({"email": ""}),
            json!({}),
            json!({"sub": 7}),
            json!({"name": "Bob"}),
            json!({"email": null}),
        ] {
            let decide = |decision: &str| {
                let decision = serde_json::from_value(json!({"decision": decision})).unwrap();
                spelled_out(&request(&json!({"requesting_party": party})), decision)
            };
            assert!(decide("approve").is_err() && decide("deny").is_ok(), "{party}");
        }
        for more in [
            json!([]),
            json!([{"resource_id": "A", "resource_scopes": []}]),
            json!([{"resource_id": "A", "resource_scopes": ["view", "edit"]}]),
            json!([{"resource_id": "A", "resource_scopes": ["view"]}, {"resource_id": "B", "resource_scopes": ["view"]}]),
        ] {
            assert!(decide(more.clone()).is_err(), "{more}");
        }
    }
}
