//! Calls of a session that take long. What the session holds is renewed and gets more meanwhile; the token by which a call was let in
//! ends then, and nothing was withdrawn: the call goes on by the one that came in its place.

use super::super::Gateway;
use super::super::admission::Admitted;
use super::session::Held;
use http::HeaderValue;
use std::sync::{Mutex, PoisonError};

/// The session of a call, and the token by which it goes on.
pub(in super::super) struct Following {
    cookie: String,
    token: Mutex<HeaderValue>,
}

impl Following {
    pub(in super::super) fn new(held: &Held, token: &HeaderValue) -> Self {
        Self { cookie: held.cookie.clone(), token: Mutex::new(token.clone()) }
    }

    pub(in super::super) fn token(&self) -> HeaderValue {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Gateway {
    /// What a session holds now for what it was let in to; none: it has ended, or has nothing of it any more.
    pub(in super::super) async fn find_held_token(&self, following: &Following, admitted: &Admitted) -> Option<HeaderValue> {
        let session = self.read_session(&following.cookie).await.ok()??;
        let held = Held { cookie: following.cookie.clone(), session };
        let grant = held.session.find_grant_at(&admitted.owner, &admitted.issuer)?;
        self.find_presented(&held, grant).await
    }

    /// The same; none as well: it holds what it held.
    pub(in super::super) async fn follow(&self, following: &Following, admitted: &Admitted) -> Option<HeaderValue> {
        let value = self.find_held_token(following, admitted).await?;
        let mut token = following.token.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *token != value;
        is_new.then(|| {
            *token = value.clone();
            value
        })
    }
}
