//! Whether the machine's clock can be believed (threat 35, docs/decisions/0069). One that is set back makes good again what had
//! ended: so nobody is served until it is right. One that leaps ahead ends what has not ended: so nothing is swept, and no time
//! is noted as served, by a time that a clock which nobody sets does not bear out, until the leap has lasted.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode, header};
use jose::{Clock, SystemClock};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tower::{Service, ServiceExt, service_fn};
use types::Timestamp;

/// Seconds that the clock may stand behind the latest time that was served.
pub const BEHIND: i64 = 60;
/// Seconds that it may go ahead of what has passed.
const AHEAD: i64 = 300;
/// How long a leap lasts that is believed.
const LASTED: Duration = Duration::from_secs(900);
/// Seconds after which whoever is refused tries again.
const TRY_AGAIN: &str = "60";

/// What can be said of the clock now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It goes as time does.
    Steady,
    /// It leapt ahead, and that has not lasted.
    Leapt,
    /// It stands behind what was served.
    Behind,
}

/// What to do about a clock that is behind; for a start and for a server that runs.
pub fn explain(served: Timestamp) -> String {
    format!(
        "the clock stands behind the latest time that was served here, {}: set it right. If it is right now, and was ahead once: \
         stop this, and put the store back by `wayleave backup FILE` and `wayleave restore FILE`, which ends what was given then",
        ui::in_words(served)
    )
}

struct State {
    /// The latest time that is borne out.
    confirmed: i64,
    /// When that was so, by a clock that nobody sets.
    at: Instant,
    /// Since when the clock is ahead of it.
    leapt: Option<Instant>,
    standing: Standing,
}

/// Watches the clock for one party.
pub struct ClockWatch {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl ClockWatch {
    /// From the latest time on that the store knows to have been served. A machine that was off for long has leapt in the same
    /// way as one whose clock is wrong.
    pub fn new(clock: Arc<dyn Clock>, served: Option<Timestamp>) -> Self {
        let now = clock.now().0;
        let confirmed = served.map_or(now, |served| served.0);
        let is_long_after = confirmed.saturating_add(AHEAD) < now;
        // at a start that is nothing to speak of
        let standing = if is_long_after { Standing::Leapt } else { Standing::Steady };
        let state = State { confirmed, at: Instant::now(), leapt: None, standing };
        Self { clock, state: Mutex::new(state) }
    }

    /// Of the machine's clock, where nothing is known of before.
    pub fn of_system() -> Arc<Self> {
        Arc::new(Self::new(Arc::new(SystemClock), None))
    }

    /// Looks at the clock.
    pub fn look(&self) -> Standing {
        self.look_at(Instant::now())
    }

    fn look_at(&self, at: Instant) -> Standing {
        let now = self.clock.now().0;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.standing;
        state.standing = state.judge(now, at);
        match (before, state.standing) {
            (Standing::Behind, Standing::Behind) => {}
            (_, Standing::Behind) => tracing::error!("nobody is served: {}", explain(Timestamp(state.confirmed))),
            (Standing::Behind, _) => tracing::info!("the clock is right again: everybody is served"),
            (Standing::Steady, Standing::Leapt) => {
                tracing::warn!("the clock leapt ahead: nothing is swept until that has lasted for {} seconds", LASTED.as_secs());
            }
            _ => {}
        }
        state.standing
    }

    /// The latest time that is borne out: by it is swept, and it is noted as served.
    pub fn confirmed(&self) -> Timestamp {
        self.look();
        Timestamp(self.state.lock().unwrap_or_else(PoisonError::into_inner).confirmed)
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

impl State {
    fn judge(&mut self, now: i64, at: Instant) -> Standing {
        if now.saturating_add(BEHIND) < self.confirmed {
            // what passes now is not known to be borne out
            (self.at, self.leapt) = (at, None);
            return Standing::Behind;
        }
        let passed = i64::try_from(at.saturating_duration_since(self.at).as_secs()).unwrap_or(i64::MAX);
        let expected = self.confirmed.saturating_add(passed);
        if now <= expected.saturating_add(AHEAD) {
            if now > self.confirmed {
                (self.confirmed, self.at) = (now, at);
            }
            self.leapt = None;
            return Standing::Steady;
        }
        let since = *self.leapt.get_or_insert(at);
        if at.saturating_duration_since(since) >= LASTED {
            (self.confirmed, self.at, self.leapt) = (now, at, None);
            return Standing::Steady;
        }
        if passed > 0 {
            (self.confirmed, self.at) = (expected, at);
        }
        Standing::Leapt
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

    /// The clock shows this when so much has passed.
    struct Machine {
        hand: Arc<Hand>,
        began: Instant,
        watch: ClockWatch,
    }

    impl Machine {
        fn new(served: Option<i64>) -> Self {
            let hand = Arc::new(Hand(AtomicI64::new(100_000)));
            let watch = ClockWatch::new(hand.clone(), served.map(Timestamp));
            Self { hand, began: Instant::now(), watch }
        }

        fn shows(&self, time: i64, passed: u64) -> (Standing, i64) {
            self.hand.0.store(time, Ordering::Relaxed);
            let standing = self.watch.look_at(self.began + Duration::from_secs(passed));
            (standing, self.watch.state.lock().unwrap().confirmed)
        }
    }

    #[test]
    fn threat_35_a_clock_that_is_set_back_serves_nobody_until_it_is_right() {
        let machine = Machine::new(None);
        assert_eq!(machine.shows(100_030, 30), (Standing::Steady, 100_030));
        assert_eq!(machine.shows(99_980, 40), (Standing::Steady, 100_030), "a little is nothing");
        assert_eq!(machine.shows(99_960, 50), (Standing::Behind, 100_030));
        assert_eq!(machine.shows(99_960, 5_000), (Standing::Behind, 100_030), "however long it lasts");
        assert_eq!(machine.shows(100_100, 5_001), (Standing::Steady, 100_100));
    }

    #[test]
    fn threat_35_nothing_is_swept_by_a_leap_that_does_not_last() {
        let machine = Machine::new(None);
        let day = 86_400;
        assert_eq!(machine.shows(100_030 + day, 30), (Standing::Leapt, 100_030));
        assert_eq!(machine.shows(100_800 + day, 800), (Standing::Leapt, 100_800));
        assert_eq!(machine.shows(100_820, 820), (Standing::Steady, 100_820), "it never was");
        assert_eq!(machine.shows(100_900 + day, 900), (Standing::Leapt, 100_900));
        assert_eq!(machine.shows(101_799 + day, 1_799), (Standing::Leapt, 101_799));
        assert_eq!(machine.shows(101_800 + day, 1_800), (Standing::Steady, 101_800 + day), "it has lasted");
        assert_eq!(machine.shows(101_810, 1_810), (Standing::Behind, 101_800 + day));
    }

    #[tokio::test]
    async fn threat_35_whoever_comes_meanwhile_comes_again() {
        let machine = Machine::new(Some(100_000));
        let (hand, watch) = (machine.hand.clone(), Arc::new(machine.watch));
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

    /// A machine that was off, or whose clock is wrong when it begins: neither is known at once.
    #[test]
    fn threat_35_a_start_long_after_what_was_served_is_a_leap() {
        let machine = Machine::new(Some(50_000));
        assert_eq!(machine.shows(100_001, 1), (Standing::Leapt, 50_001));
        assert_eq!(machine.shows(100_901, 901), (Standing::Steady, 100_901));
        let soon = Machine::new(Some(99_900));
        assert_eq!(soon.shows(100_001, 1), (Standing::Steady, 100_001));
    }
}
