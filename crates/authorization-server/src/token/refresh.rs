//! Refresh and revocation of RPTs, as identity's [`Grant`] (Grant 3.6, 3.7). A refresh assesses
//! nothing and gains nothing: what still rests on something goes on, in the requested part.

use crate::AuthorizationServer;
use crate::changes::{Changes, Write};
use async_trait::async_trait;
use identity::token::{Grant, Renewed, Rotation, TokenRequest};
use identity::token_text::{self, TokenKind};
use identity::{AuthenticatedClient, CommitError, Failure, internal};
use rules::Rpt;
use types::event::EventKind;
use types::token::{TokenResponse, UMA_TICKET};
use types::{ErrorCode, Refusal, ScopeSet};

fn ended() -> Failure {
    Failure::Refused(Refusal::new(
        ErrorCode::InvalidGrant,
        "what was granted is withdrawn or has ended: ask the resource server for a ticket",
    ))
}

impl AuthorizationServer {
    /// By what the resource server of an RPT stands: its owner's consent, or, where it has one PAT for all owners, its being
    /// known here (protocol.md 3). None where that has ended.
    async fn find_ground(&self, rpt: &Rpt) -> Result<Option<identity::Requirement>, Failure> {
        if rpt.by_own_id {
            let server = self.identity.store.find_client(&rpt.resource_server).await?;
            return Ok(server.map(|server| identity::Requirement::ClientStands(server.id.clone())));
        }
        let is_linked = self.is_linked(&rpt.pat_grant).await?;
        Ok(is_linked.then(|| identity::Requirement::ConsentStands(rpt.pat_grant.clone())))
    }
}

#[async_trait]
impl Grant for AuthorizationServer {
    fn grant_type(&self) -> &'static str {
        UMA_TICKET
    }

    async fn refresh(
        &self,
        request: &TokenRequest<'_>,
        renews: &Renewed,
        rotation: Rotation,
    ) -> Result<Result<TokenResponse, CommitError>, Failure> {
        let old: Rpt = renews.read().map_err(internal)?;
        if old.cnf.is_some() && old.cnf != request.jkt {
            return Failure::refuse(ErrorCode::InvalidDpopProof, "the RPT is bound to a key: send a DPoP proof by that key");
        }
        if !self.stands_by(&old.requesting_party, old.issued).await? {
            return Err(ended());
        }
        // two people of one issuer got it together, before that was refused (protocol.md 1.3)
        let is_one_person = old.requesting_party.is_one_person();
        let Some(ground) = self.find_ground(&old).await?.filter(|_| is_one_person) else { return Err(ended()) };
        let mut scopes = self.standing_scopes(&old.scopes).await?;
        if let Some(asked) = request.form.one("scope")? {
            let asked = ScopeSet::parse(asked).map_err(|e| Refusal::new(ErrorCode::InvalidScope, e.to_string()))?;
            if let Some(foreign) = asked.iter().find(|scope| !old.scopes.iter().any(|granted| granted.scope == **scope)) {
                return Failure::refuse(
                    ErrorCode::InvalidScope,
                    format!("the scope `{foreign}` was not granted: a refresh may only narrow"),
                );
            }
            scopes.retain(|granted| asked.contains(&granted.scope));
        }
        if scopes.is_empty() {
            return Err(ended());
        }
        let now = self.now();
        let rpt = Rpt { scopes, issued: now, expires: now.plus(self.settings.rpt_lifetime), cnf: request.jkt.clone(), ..old };
        let (text, keep) = self.new_rpt(&rpt, request.client.access_token_format).await?;
        let mut response = self.rpt_response(text, &rpt).await?;
        response.refresh_token = Some(rotation.refresh_token);
        let lines = self.line_of_known(&rpt, EventKind::RptRefreshed).await?;
        let mut changes = Changes { identity: rotation.changes, requires: vec![], writes: vec![keep] };
        changes.identity.requires.push(ground);
        Ok(self.commit_with_lines(changes, lines).await.map(|()| response))
    }

    async fn revoke(&self, client: &AuthenticatedClient, text: &str) -> Result<bool, Failure> {
        if let Some(key) = token_text::key_of(TokenKind::Pct, text) {
            if self.find_pct(&key).await?.is_some_and(|pct| pct.client == client.id) {
                self.store.commit(Changes::of(vec![Write::DeletePct(key)])).await?;
            }
            return Ok(true);
        }
        let Some((key, rpt)) = self.find_rpt_by_text(text).await? else { return Ok(false) };
        if rpt.client == client.id {
            let lines = self.line_of_known(&rpt, EventKind::RptRevoked).await?;
            let ended = Write::DeleteRpt { owner: rpt.owner, key };
            self.commit_with_lines(Changes::of(vec![ended]), lines).await?;
        }
        Ok(true)
    }
}
