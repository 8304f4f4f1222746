//! Her receipts (protocol.md 1.6): what she agreed to and took back, signed by the server where she did; kept, shown, exported.

use super::things::{host_of, troubles};
use super::{Desk, at_desk, page};
use crate::consent_receipt::KeptReceipt;
use crate::holdings::{Holdings, Known};
use crate::words;
use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use types::consent_receipt::ReceiptEvent;

/// Most that are shown; the export has them all.
const SHOWN: usize = 500;

/// A receipt in one line.
pub(super) struct ReceiptRow {
    pub(super) when: String,
    pub(super) what: String,
    /// What it is about, and its page.
    pub(super) name: Option<String>,
    pub(super) key: Option<String>,
    pub(super) place: String,
    pub(super) verified: bool,
    pub(super) ended: bool,
}

#[derive(Template)]
#[template(path = "receipts.html")]
struct ReceiptsPage {
    rows: Vec<ReceiptRow>,
    troubles: Vec<String>,
}

/// All receipts, the newest first.
pub(super) fn rows(holdings: &Holdings, reader: &ui::Reader) -> Vec<ReceiptRow> {
    let mut all: Vec<(&Known, &KeptReceipt)> =
        holdings.servers.iter().flat_map(|known| known.snapshot.receipts.iter().map(move |kept| (known, kept))).collect();
    all.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.listed.receipt.consent_timestamp));
    all.into_iter().map(|(known, kept)| row(holdings, (known, kept), reader)).collect()
}

fn row(holdings: &Holdings, (known, kept): (&Known, &KeptReceipt), reader: &ui::Reader) -> ReceiptRow {
    let receipt = &kept.listed.receipt;
    let purpose = receipt.services.first().and_then(|service| service.purposes.first());
    let who = purpose.and_then(|purpose| purpose.third_party_name.clone()).unwrap_or_else(|| "somebody".to_owned());
    let ended = receipt.event == ReceiptEvent::Withdrawn;
    let verb = if ended { "You took back" } else { "You agreed" };
    let scopes = words::scopes(&receipt.scopes);
    let what = purpose.map(|purpose| purpose.purpose.clone()).unwrap_or_default();
    let thing = receipt.resource_id.as_ref().and_then(|id| holdings.guarded(known.link.place.issuer(), id));
    ReceiptRow {
        when: reader.moment(receipt.consent_timestamp),
        what: format!("{verb}: {who}, {what} ({scopes})"),
        name: thing.map(|thing| thing.name.clone()),
        key: thing.map(|thing| thing.key.clone()),
        place: host_of(known.link.place.url()),
        verified: kept.verified,
        ended,
    }
}

pub(super) async fn list(State(manager): Desk, request: Request) -> Response {
    at_desk(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner).await?;
        let rows = rows(&holdings, &person.reader).into_iter().take(SHOWN).collect();
        let body = ui::render(&ReceiptsPage { rows, troubles: troubles(&holdings, &person.reader) });
        Ok(page(manager, Some(person), StatusCode::OK, "Receipts", "/people", &body))
    })
    .await
}

/// All of them as a file, signed as they came.
pub(super) async fn export(State(manager): Desk, request: Request) -> Response {
    at_desk(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner).await?;
        let all: Vec<_> = holdings.servers.iter().flat_map(|known| &known.snapshot.receipts).map(|kept| &kept.listed).collect();
        let mut response = serde_json::to_string_pretty(&all).unwrap_or_default().into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"wayleave-receipts.json\""));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    })
    .await
}
