//! Other OpenID providers (`[[login_provider]]`), spoken to by the client library: code flow with PKCE, pushed where they take
//! that, ID token and `iss` checked. Whom their answer lets in is `identity`'s to say.

use crate::config::{Config, LoginProviderConfig};
use crate::{Exit, assemble};
use async_trait::async_trait;
use client::oauth::{CodeFlow, CodeRequest};
use client::{Client, ClientError, Credentials};
use identity::Failure;
use identity::upstream::{Upstream, UpstreamAccount};
use jose::{SystemClock, SystemRandomness};
use serde_json::Value;
use std::sync::Arc;
use types::{ErrorCode, Refusal};

struct Provider {
    config: LoginProviderConfig,
    client: Client,
}

/// Those of the configuration.
pub(crate) fn of(config: &Config) -> Result<Vec<Arc<dyn Upstream>>, Exit> {
    let one = |provider: &LoginProviderConfig| -> Result<Arc<dyn Upstream>, Exit> {
        let secret = config.secret(
            &format!("[[login_provider]] `{}`: client_secret", provider.issuer),
            provider.client_secret.as_ref(),
            provider.client_secret_file.as_ref(),
        )?;
        let client = Client {
            outbound: assemble::outbound(config, std::slice::from_ref(&provider.issuer))?.for_listed(&provider.issuer),
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            credentials: Credentials { client_id: provider.client_id.clone(), secret, key: None },
            dpop_key: None,
        };
        Ok(Arc::new(Provider { config: provider.clone(), client }))
    };
    config.login_provider.iter().map(one).collect()
}

impl Provider {
    /// In words for whoever logs in; the cause is in the log.
    fn failed(&self, error: &ClientError) -> Failure {
        // what a provider says besides names the person who is not let in
        let said = match error {
            ClientError::Refused { error, .. } => error.clone(),
            other => other.to_string(),
        };
        tracing::info!(error = said, issuer = self.config.issuer, "a log-in elsewhere failed");
        let name = &self.config.name;
        Failure::Refused(match error {
            ClientError::Outbound(_) | ClientError::NotNow { .. } => {
                Refusal::new(ErrorCode::TemporarilyUnavailable, format!("{name} does not answer: try again in a moment"))
            }
            ClientError::Refused { error, .. } if error == "access_denied" => {
                Refusal::new(ErrorCode::AccessDenied, format!("you did not log in at {name}"))
            }
            _ => Refusal::new(ErrorCode::InvalidRequest, format!("the log-in at {name} did not work: start again")),
        })
    }
}

#[async_trait]
impl Upstream for Provider {
    fn issuer(&self) -> &str {
        &self.config.issuer
    }

    fn name(&self) -> &str {
        &self.config.name
    }

    fn makes_accounts(&self) -> bool {
        self.config.make_accounts
    }

    fn email_domains(&self) -> &[String] {
        &self.config.email_domains
    }

    async fn begin(&self, redirect_uri: &str, again: bool) -> Result<(String, String), Failure> {
        let metadata = self.client.discover_openid(&self.config.issuer).await.map_err(|error| self.failed(&error))?;
        let request = CodeRequest { redirect_uri, scope: "openid profile email", again, ..CodeRequest::default() };
        let (url, flow) = self.client.begin_pushed(&metadata, &request).await.map_err(|error| self.failed(&error))?;
        Ok((url, serde_json::to_string(&flow).map_err(identity::internal)?))
    }

    async fn finish(&self, begun: &str, query: &[(String, String)]) -> Result<UpstreamAccount, Failure> {
        let flow: CodeFlow = serde_json::from_str(begun).map_err(identity::internal)?;
        let metadata = self.client.discover_openid(&self.config.issuer).await.map_err(|error| self.failed(&error))?;
        let authorized = self.client.finish_code(&metadata, &flow, query).await.map_err(|error| self.failed(&error))?;
        let sub = authorized.account.get("sub").and_then(Value::as_str).filter(|sub| !sub.is_empty());
        let nobody = || self.failed(&ClientError::Protocol("the ID token names nobody".into()));
        let sub = sub.ok_or_else(nobody)?.to_owned();
        Ok(UpstreamAccount { sub, claims: self.client.with_userinfo(&metadata, &authorized).await })
    }
}
