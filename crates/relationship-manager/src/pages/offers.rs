//! People who would let her decide for them, and her answer: as a form, and as JSON (`GET` and `POST /api/offers`).

use super::api_actions::call;
use super::things::host_of;
use super::{Desk, posted, see_other};
use crate::for_other::OfferAnswer;
use crate::holdings::Holdings;
use crate::{Trouble, words};
use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use types::delegation::May;

/// An offer on a page.
pub(super) struct OfferRow {
    pub(super) link: String,
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) may: String,
    pub(super) place: String,
}

/// Offers of all servers, and how many more there are than are shown.
pub(super) fn rows(holdings: &Holdings) -> (Vec<OfferRow>, usize) {
    let verb = |may: &May| match may {
        May::Approve => "answer requests",
        May::Share => "share",
    };
    let rows = holdings.servers.iter().flat_map(|known| {
        known.snapshot.offers.iter().map(move |offer| OfferRow {
            link: known.link.id.clone(),
            owner: offer.owner.clone(),
            name: words::visible(&offer.name),
            may: words::list(offer.may.iter().map(verb)),
            place: host_of(known.link.place.url()),
        })
    });
    (rows.collect(), holdings.servers.iter().map(|known| known.snapshot.more_offers).sum())
}

/// `POST /offers`: `link`, `owner` (each that is meant), and the answer.
pub(super) async fn answer(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let answer = match fields.one("answer") {
            "accept" => OfferAnswer::Accept,
            "decline" => OfferAnswer::Decline,
            _ => return Err(Trouble::Refused("Accept it or decline it.".into())),
        };
        let from: Vec<String> = fields.all("owner").map(str::to_owned).collect();
        manager.answer_offers(&person.owner, fields.one("link"), &from, answer).await?;
        Ok(see_other("/delegations"))
    })
    .await
}

/// What `GET /api/offers` answers.
pub(super) fn as_json(holdings: &Holdings) -> Value {
    let all = holdings.servers.iter().flat_map(|known| {
        let offers = known.snapshot.offers.iter();
        offers.map(|offer| json!({"server": known.link.id, "owner": offer.owner, "name": offer.name, "may": offer.may}))
    });
    json!(all.collect::<Vec<_>>())
}

/// `{"server": id of /api/servers, "owner", "answer": "accept" | "decline"}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    server: String,
    owner: String,
    answer: OfferAnswer,
}

/// `POST /api/offers`.
pub(super) async fn answer_json(State(manager): Desk, request: Request) -> Response {
    call(manager, request, async |manager, person, answered: Answered| {
        manager.answer_offers(&person.owner, &answered.server, &[answered.owner], answered.answer).await?;
        Ok(as_json(&*manager.holdings(&person.owner).await?))
    })
    .await
}
