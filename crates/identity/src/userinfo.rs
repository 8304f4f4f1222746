//! The userinfo endpoint (OpenID Connect Core 5.3).

use crate::access_token::Presented;
use crate::account::Standing;
use crate::id_token::claims_about;
use crate::{Failure, Identity};
use serde_json::{Map, Value};
use types::ErrorCode;

impl Identity {
    /// Claims about the person who gave this token, as far as its scopes go.
    pub async fn userinfo(&self, presented: &Presented<'_>) -> Result<Map<String, Value>, Failure> {
        let token = self.check_own_token(presented).await?;
        let account = match &token.account {
            Some(id) if token.scope.has("openid") => self.store.find_account(id).await?,
            _ => None,
        };
        match account {
            Some(account) if account.standing == Standing::Gone => {
                Failure::refuse(ErrorCode::InvalidToken, "the account of this token is closed: nobody is told of it")
            }
            Some(account) => Ok(claims_about(&account, &token.scope)),
            None => {
                Failure::refuse(ErrorCode::InsufficientScope, "this needs an access token with scope `openid` from the code flow")
            }
        }
    }
}
