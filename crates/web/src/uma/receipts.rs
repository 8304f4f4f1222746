//! Consent receipts (protocol.md 1.6).

use super::{listed, pmt};
use crate::Shared;
use crate::identity::{secret, with_parts};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::header;
use axum::response::Response;
use types::consent_receipt::{ListedReceipt, TYPE};

/// `GET {consent_receipts_endpoint}`, newest first.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        let page = parts.page::<String>()?;
        let (receipts, last) = app.authorization_server.list_receipts(&pmt, &page).await?;
        listed(&app, &parts, &receipts, last, |one: &ListedReceipt| one.receipt.id.clone())
    })
    .await
}

/// `GET {consent_receipts_endpoint}/{_id}`: JSON, or the signed receipt alone for whoever accepts that.
pub(super) async fn read(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        let listed = app.authorization_server.read_receipt(&pmt, &id).await?;
        let media = format!("application/{TYPE}");
        let accepted = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        if accepted.is_some_and(|accepted| accepted.contains(&media)) {
            return Ok(secret(([(header::CONTENT_TYPE, media)], listed.receipt_jwt)));
        }
        Ok(secret(Json(listed)))
    })
    .await
}
