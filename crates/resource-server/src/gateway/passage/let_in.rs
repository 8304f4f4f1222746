//! By what a call was let in, and whether it still would be: looked at by its watch, and by whatever the call reaches beside its
//! path. A call of a session goes on by what that holds.

use super::super::browser::Following;
use super::super::reach::{Methods, Reach};
use super::super::{Gateway, path};
use super::Admitted;
use crate::watch::Permission;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use std::sync::Arc;

/// All that let a call in.
pub(in super::super) struct LetIn {
    pub(super) gateway: Arc<Gateway>,
    pub(in super::super) all: Vec<Admitted>,
    pub(in super::super) token: HeaderValue,
    /// The session by which a person makes the call.
    pub(super) following: Option<Following>,
}

impl LetIn {
    /// With which it goes on.
    fn token_now(&self) -> HeaderValue {
        self.following.as_ref().map_or_else(|| self.token.clone(), Following::token)
    }

    /// With which more is asked for than let it in: of a session, what it holds now. None: nothing.
    pub(in super::super) async fn find_token(&self, admitted: &Admitted) -> Option<HeaderValue> {
        match &self.following {
            Some(following) => self.gateway.find_held_token(following, admitted).await,
            None => Some(self.token.clone()),
        }
    }

    async fn stands(&self) -> bool {
        if self.gateway.still_allow(&self.all, &self.token_now()).await {
            return true;
        }
        match self.follow().await {
            Some(token) => self.gateway.still_allow(&self.all, &token).await,
            None => false,
        }
    }

    /// The token that came in the place of the one by which a session's call was let in; none: that is the same.
    async fn follow(&self) -> Option<HeaderValue> {
        self.gateway.follow(self.following.as_ref()?, self.all.first()?).await
    }
}

impl Permission for LetIn {
    fn look(self: Arc<Self>) -> BoxFuture<'static, bool> {
        async move { self.stands().await }.boxed()
    }
}

impl Reach for LetIn {
    fn may(self: Arc<Self>, methods: Methods, path: path::CanonicalPath) -> BoxFuture<'static, bool> {
        async move {
            if self.gateway.may_reach(&self.all, &self.token_now(), methods, &path).await {
                return true;
            }
            match self.follow().await {
                Some(token) => self.gateway.may_reach(&self.all, &token, methods, &path).await,
                None => false,
            }
        }
        .boxed()
    }
}
