//! Watches the machine's clock for a party ([`rules::clock`]): while it stands behind what was served, nobody is served; and nothing is
//! swept, and no time is noted as served, by a leap ahead that has not lasted (threat 35, docs/decisions/0069).

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode, header};
use jose::{Clock, SystemClock};
pub use rules::clock::BEHIND;
use rules::clock::{LASTED, ObservedClock, Standing};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tower::{Service, ServiceExt, service_fn};
use types::Timestamp;

/// Seconds after which whoever is refused tries again.
const TRY_AGAIN: &str = "60";

/// What to do about a clock that is behind; for a start and for a server that runs.
pub fn explain(served: Timestamp) -> String {
    format!(
        "the clock stands behind the latest time that was served here, {}: set it right. If it is right now, and was ahead once: \
         stop this, and put the store back by `wayleave backup FILE` and `wayleave restore FILE`, which ends what was given then",
        ui::in_words(served)
    )
}

/// The same where a backup was put here by a clock that was ahead: whatever is made until then would count as made before it.
pub fn explain_restored(at: Timestamp) -> String {
    format!(
        "a backup was restored here by a clock that showed {}, which has not come yet: set the clock right, and do `wayleave restore FILE` \
         once more, with the same backup",
        ui::in_words(at)
    )
}

/// Watches the clock for one party.
pub struct ClockWatch {
    clock: Arc<dyn Clock>,
    observed: Mutex<ObservedClock>,
}

impl ClockWatch {
    /// From the latest time on that the store knows to have been served.
    pub fn new(clock: Arc<dyn Clock>, served: Option<Timestamp>) -> Self {
        let observed = Mutex::new(ObservedClock::new(served, clock.now(), Instant::now()));
        Self { clock, observed }
    }

    /// Of the machine's clock, where nothing is known of before.
    pub fn of_system() -> Arc<Self> {
        Arc::new(Self::new(Arc::new(SystemClock), None))
    }

    /// Looks at the clock, and says in the log where it stands otherwise than before.
    pub fn look(&self) -> Standing {
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = observed.standing();
        let standing = observed.look(self.clock.now(), Instant::now());
        match (before, standing) {
            (Standing::Behind, Standing::Behind) => {}
            (_, Standing::Behind) => tracing::error!("nobody is served: {}", explain(observed.confirmed())),
            (Standing::Behind, _) => tracing::info!("the clock is right again: everybody is served"),
            (Standing::Steady, Standing::Leapt) => {
                tracing::warn!("the clock leapt ahead: nothing is swept until that has lasted for {} seconds", LASTED.as_secs());
            }
            _ => {}
        }
        standing
    }

    /// The latest time that is borne out: by it is swept, and it is noted as served.
    pub fn confirmed(&self) -> Timestamp {
        self.look();
        self.observed.lock().unwrap_or_else(PoisonError::into_inner).confirmed()
    }

    /// Whether it goes as time does, so that what ends by the clock may be ended for good.
    pub fn is_steady(&self) -> bool {
        self.look() == Standing::Steady
    }

    /// Whether it stands behind, so that nobody is served.
    pub fn is_behind(&self) -> bool {
        self.look() == Standing::Behind
    }

    /// A site that serves nobody while the clock stands behind.
    pub fn before<S>(
        self: Arc<Self>,
        site: S,
    ) -> impl Service<
        Request<Body>,
        Response = Response,
        Error = Infallible,
        Future = impl Future<Output = Result<Response, Infallible>> + Send,
    > + Clone
    + Send
    + Sync
    + 'static
    where
        S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        service_fn(move |request| {
            let (watch, site) = (self.clone(), site.clone());
            async move {
                match watch.is_behind() {
                    true => Ok(refuse()),
                    false => site.oneshot(request).await,
                }
            }
        })
    }
}

fn refuse() -> Response {
    let what = "{\"error\":\"temporarily_unavailable\",\"error_description\":\"the clock of this server is wrong: its log says what to \
                do about it\"}";
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store"), (header::RETRY_AFTER, TRY_AGAIN)];
    (StatusCode::SERVICE_UNAVAILABLE, headers, what).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::Relaxed))
        }
    }

    #[tokio::test]
    async fn threat_35_whoever_comes_meanwhile_comes_again() {
        let hand = Arc::new(Hand(AtomicI64::new(100_000)));
        let watch = Arc::new(ClockWatch::new(hand.clone(), Some(Timestamp(100_000))));
        let site = watch.before(service_fn(async |_: Request<Body>| Ok(StatusCode::OK.into_response())));
        let answers = async |time: i64| {
            hand.0.store(time, Ordering::Relaxed);
            site.clone().oneshot(Request::new(Body::empty())).await.unwrap()
        };
        assert_eq!(answers(100_001).await.status(), StatusCode::OK);
        let refused = answers(90_000).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[header::RETRY_AFTER], TRY_AGAIN);
        assert_eq!(answers(100_002).await.status(), StatusCode::OK);
    }
}
