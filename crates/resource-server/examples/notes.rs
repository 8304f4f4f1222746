//! A protected service in sixty lines: `GET /notes/1` needs the scope `read` on the note.
//!
//! Run an authorization server with a client `notes-rs` (secret `notes-secret`, `acts_for` an account,
//! scope `uma_protection`), then:
//! `cargo run -p wayleave-resource-server --example notes -- http://127.0.0.1:8080`

use axum::Router;
use axum::routing::get;
use client::{Client, Credentials};
use jose::{SystemClock, SystemRandomness};
use outbound::{Outbound, Settings};
use std::sync::Arc;
use types::{ResourceDescription, ScopeSet};
use wayleave_resource_server::layer::ResourceServer;
use wayleave_resource_server::{Need, Protection, UmaLayer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let client = Client {
        outbound: Outbound::new(Settings { configured: vec![issuer.clone()], ..Settings::default() })?,
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials: Credentials::secret("notes-rs", "notes-secret"),
        dpop_key: None,
    };
    let protection = Protection::discover(client, &issuer).await?;
    let server = Arc::new(ResourceServer::new(protection, "notes", "http://127.0.0.1:9100"));
    let scopes = ScopeSet::parse("read")?;
    let description =
        ResourceDescription { name: Some("First note".into()), resource_scopes: scopes.clone(), ..Default::default() };
    let note = server.register(&description).await?;

    let layer = UmaLayer::new(server, move |request| {
        let need = Need { resource: note.clone(), scopes: scopes.clone() };
        (request.uri.path() == "/notes/1").then_some(need)
    });
    let app = Router::new().route("/notes/1", get(async || "Buy milk.\n")).layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:9100").await?;
    axum::serve(listener, app).await?;
    Ok(())
}
