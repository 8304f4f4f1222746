//! The JWT bearer grant (RFC 7523 2.1) with an assertion of this server's own: a resource server that found an owner in
//! its records gets a PAT for her (protocol.md 2.2). The assertion is for that client alone, good once, and ends with
//! the search that it came of, and where its owner withdraws her link to that resource server.

use crate::AuthorizationServer;
use crate::discovery::{ASSERTION_LIFETIME, Search};
use identity::token::TokenRequest;
use identity::{Failure, SpentId};
use jose::UnverifiedJws;
use serde::Deserialize;
use types::discovery::{PAT_ASSERTION_TYPE, SearchAt, SearchState};
use types::token::{TokenResponse, UMA_PROTECTION};
use types::{ClientId, ErrorCode, Refusal, ScopeSet, Timestamp};

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    client_id: ClientId,
    sub: String,
    search: String,
    jti: String,
    exp: Timestamp,
}

fn invalid_grant() -> Failure {
    Failure::Refused(Refusal::new(
        ErrorCode::InvalidGrant,
        "the assertion is unknown, used, ended or another client's: nothing can be done with it",
    ))
}

/// One that has found her has its PAT: withdrawn, it is not given another by what it still holds.
fn waits_for(search: &Search, client: &ClientId) -> bool {
    search.servers.iter().any(|server| server.client == *client && server.state != SearchAt::Found)
}

impl AuthorizationServer {
    /// Trades an assertion.
    pub async fn exchange_assertion(&self, request: &TokenRequest<'_>) -> Result<TokenResponse, Failure> {
        request.form.check_unrepeated()?;
        let scope = request.form.one("scope")?.unwrap_or(UMA_PROTECTION);
        if scope != UMA_PROTECTION || request.client.is_public() {
            return Failure::refuse(ErrorCode::InvalidScope, "such an assertion is good for `uma_protection` alone");
        }
        let text = request.form.required("assertion")?;
        let keys = self.identity.keys.own_key_set(self.now());
        let jws =
            UnverifiedJws::parse(text).and_then(|jws| jws.expect_type(PAT_ASSERTION_TYPE)).and_then(|jws| jws.verify(&keys));
        let claims = jws.and_then(|jws| jws.claims::<Claims>()).map_err(|_| invalid_grant())?.into_inner();
        let ours = claims.iss == self.issuer().as_str() && claims.aud == self.identity.url(types::path::TOKEN);
        if !ours || claims.client_id != request.client.id || claims.exp <= self.now() {
            return Err(invalid_grant());
        }
        let search = self.find_search_of(&claims.search, &claims.sub).await?;
        let search = search.filter(|search| search.state == SearchState::Approved);
        let search = search.filter(|search| waits_for(search, &request.client.id)).ok_or_else(invalid_grant)?;
        if self.is_unlinked_since(&search, &request.client.id).await? {
            return Err(invalid_grant());
        }
        let made = Some(claims.exp.plus(ASSERTION_LIFETIME.saturating_neg()));
        let spent = SpentId { kind: "pat-assertion", issuer: String::new(), id: claims.jti, expires: claims.exp, made };
        let scopes: ScopeSet = ScopeSet::parse(UMA_PROTECTION).map_err(identity::internal)?;
        let response = self.identity.issue_for_owner(request, &search.owner, &scopes, spent).await?;
        // she ended it while this was on its way: nothing comes of it any more
        if self.store.find_search(&search.id).await?.is_none() {
            self.identity.end_family_of(&response.access_token).await?;
            return Err(invalid_grant());
        }
        let found = |search: &mut Search| {
            for server in search.servers.iter_mut().filter(|server| server.client == request.client.id) {
                server.state = SearchAt::Found;
            }
        };
        self.change_search(&search, found).await?;
        Ok(response)
    }
}
