//! `Accept: application/json` of a collection: what of it this call may view, in pages (`limit`, `after`, `Link`).

use super::super::Gateway;
use super::collection::{self, Facts};
use super::members::{Judge, Member};
use super::{View, not_a_directory};
use crate::challenge::plain;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use std::io;
use std::path::Path;
use std::sync::Arc;
use types::Timestamp;

const USUAL: usize = 100;
const MOST: usize = 1_000;

/// One thing of a collection.
#[derive(Serialize)]
struct Listed {
    name: String,
    kind: &'static str,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<Timestamp>,
}

/// Whether a program asks for a list in so many words; who takes anything is answered as ever.
pub(super) fn is_wanted(parts: &Parts) -> bool {
    let lists = parts.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut media = lists.flat_map(|list| list.split(',')).map(|range| range.split(';').next().unwrap_or_default().trim());
    media.any(|media| media.eq_ignore_ascii_case("application/json"))
}

impl Gateway {
    pub(super) async fn answer_list(self: &Arc<Self>, root: &Path, view: &View<'_>) -> io::Result<Response> {
        let entries = collection::read(root, view.path).await?;
        let limit = match view.query("limit").map(|text| text.parse::<usize>()) {
            None => USUAL,
            Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
            Some(_) => return Ok(plain(StatusCode::BAD_REQUEST, "`limit` is a number from 1 to 1000.")),
        };
        let mut judge = Judge::new(self, view.let_in).ok_or_else(not_a_directory)?;
        let mark = self.open_mark(view.path, view.query("after"));
        let page = judge.page(view.path, collection::skip_to(&entries, mark.as_deref()), limit).await;
        let names = page.members.iter().map(|member| member.entry.name.clone()).collect();
        let facts = collection::read_facts(root, view.path, names).await?;
        let listed: Vec<_> = page.members.into_iter().zip(facts).map(|(member, facts)| self.list_one(member, facts)).collect();
        let mut response = axum::Json(listed).into_response();
        // a browser gets a page from the same address, and what is in it changes
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept, Sec-Fetch-Mode, Sec-Fetch-Dest"));
        if let Some(next) = &page.next {
            let after: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
            let here = view.path.encoded();
            let link = format!("<{}{here}?limit={limit}&after={after}>; rel=\"next\"", self.settings.resource);
            response.headers_mut().extend(HeaderValue::from_str(&link).ok().map(|link| (header::LINK, link)));
        }
        Ok(response)
    }

    fn list_one(&self, member: Member, facts: Option<Facts>) -> Listed {
        let is_file = !member.entry.is_album();
        let media_type = is_file.then(|| mime_guess::from_path(&member.entry.name).first_or_octet_stream().to_string());
        Listed {
            url: format!("{}{}", self.settings.resource, member.path.encoded()),
            kind: member.entry.kind.name(),
            media_type,
            size: facts.map(|facts| facts.bytes),
            modified: facts.map(|facts| facts.changed),
            name: member.entry.name,
        }
    }
}
