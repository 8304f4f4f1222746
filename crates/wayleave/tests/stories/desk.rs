//! Alice's resource server and manager at work over the wire, and Viewer's trades.

use crate::processes::Server;
use client::{Client, Credentials};
use jose::{SystemClock, SystemRandomness};
use outbound::{Method, Outbound, Request, Settings};
use serde_json::{Value, json};
use std::sync::Arc;
use types::metadata::Metadata;
use types::token::UMA_TICKET;

/// What they work with.
pub(crate) struct Desk {
    pub(crate) client: Client,
    pub(crate) metadata: Metadata,
    pub(crate) pat: String,
    pub(crate) pmt: String,
}

impl Desk {
    pub(crate) async fn open(server: &Server) -> Self {
        let settings = Settings { configured: vec![server.issuer.clone()], ..Settings::default() };
        let client = Client {
            outbound: Outbound::new(settings).unwrap(),
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            credentials: Credentials::secret("photos-rs", "photos-secret"),
            dpop_key: None,
        };
        let metadata = client.discover(&server.issuer).await.unwrap();
        let pat = client.client_credentials(&metadata, "uma_protection").await.unwrap().access_token;
        let manager = Client { credentials: Credentials::secret("manager", "manager-secret"), ..client.clone() };
        let pmt = manager.client_credentials(&metadata, "uma_policy").await.unwrap().access_token;
        Self { client, metadata, pat, pmt }
    }

    /// The same people, whose calls come to another process for the same issuer.
    pub(crate) async fn at(&self, issuer: &str, there: &str) -> Self {
        let settings = Settings { configured: vec![there.to_owned()], ..Settings::default() };
        let client = Client { outbound: Outbound::new(settings).unwrap(), ..self.client.clone() };
        let text = serde_json::to_string(&self.metadata).unwrap().replace(issuer, there);
        let metadata = serde_json::from_str(&text).unwrap();
        Self { client, metadata, pat: self.pat.clone(), pmt: self.pmt.clone() }
    }

    pub(crate) async fn api(&self, method: Method, url: &str, token: &str, body: Value) -> Option<(u16, Value)> {
        let request = match body {
            Value::Null => Request { method, ..Request::get(url) },
            body => Request::json(method, url, &body),
        };
        let answer = self.client.outbound.send(request.header("authorization", &format!("Bearer {token}"))).await.ok()?;
        Some((answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
    }

    pub(crate) async fn trade(&self, ticket: &str) -> Option<(u16, Value)> {
        let fields =
            [("grant_type", UMA_TICKET), ("ticket", ticket), ("client_id", "viewer"), ("client_secret", "viewer-secret")];
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let answer = self.client.outbound.send(Request::form(&self.metadata.token_endpoint, form)).await.ok()?;
        Some((answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
    }

    pub(crate) async fn ticket(&self, resource: &str) -> Option<String> {
        let body = json!({"resource_id": resource, "resource_scopes": ["view"]});
        let (_, answer) = self.api(Method::POST, self.metadata.permission_endpoint.as_deref()?, &self.pat, body).await?;
        answer["ticket"].as_str().map(str::to_owned)
    }
}
