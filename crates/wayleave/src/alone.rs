//! A gateway and a desk answer only while nobody else can have their store.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;

/// The site while this process is sure of its store. What it has in memory may be another's to change otherwise, so nothing is
/// answered from it.
pub(crate) fn while_sure(site: Router, is_sure: impl Fn() -> bool + Clone + Send + Sync + 'static) -> Router {
    site.layer(middleware::from_fn(move |request: Request, next: Next| {
        let is_sure = is_sure();
        async move {
            if is_sure {
                return next.run(request).await;
            }
            let again = [(header::RETRY_AFTER, HeaderValue::from_static("2"))];
            (StatusCode::SERVICE_UNAVAILABLE, again, "What is kept here cannot be read right now: try again.").into_response()
        }
    }))
}
