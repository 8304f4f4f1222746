//! Back to a client with an error. A link to us must not take a browser to a place that some stranger chose (RFC 9700 4.11.2):
//! where nobody vouches for the place, a page says where it leads, and the person goes there or not.

use crate::Host;
use crate::browser::{Visit, see_other, sentence};
use crate::extract::Parts;
use askama::Template;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::Response;
use identity::redirect_uri::place_of;
use identity::way_back::WayBack;
use url::Url;

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

#[derive(Template)]
#[template(path = "onward.html")]
struct OnwardPage<'a> {
    client: String,
    host: String,
    what: String,
    url: &'a str,
}

/// The error, to the client or as a page.
pub(crate) async fn answer_back(app: &Host, visit: &Visit, parts: &Parts, back: WayBack) -> Response {
    if !shows_a_page(parts) {
        return visit.answer(app, see_other(&back.url));
    }
    match app.identity.may_send_back(&back, visit.session(), came_from(parts)).await {
        Ok(true) => visit.answer(app, see_other(&back.url)),
        Ok(false) => onward_page(app, visit, &back),
        Err(failure) => visit.error_page(app, failure),
    }
}

/// Whether a person would see where this leads: a browser that opens a page says so (Fetch Metadata). What is loaded into a
/// hidden frame, as for `prompt=none`, and programs that are no browsers, get the answer that the standards have.
fn shows_a_page(parts: &Parts) -> bool {
    parts.headers.get_all(SEC_FETCH_DEST).iter().any(|dest| dest == "document")
}

fn came_from(parts: &Parts) -> Option<&str> {
    parts.headers.get(header::REFERER)?.to_str().ok()
}

fn onward_page(app: &Host, visit: &Visit, back: &WayBack) -> Response {
    let told = Url::parse(&back.url)
        .ok()
        .and_then(|url| url.query_pairs().find(|(name, _)| name == "error_description").map(|(_, what)| what.into_owned()));
    let page = OnwardPage {
        client: ui::within_quotes(&back.client.display_name()),
        host: place_of(&back.url),
        what: sentence(&told.unwrap_or_default()),
        url: &back.url,
    };
    let mut response = visit.page(app, "This did not work", "error", &ui::render(&page), &[]);
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
