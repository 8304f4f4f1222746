//! Sessions as the tests begin them.

use super::*;

impl Gateway {
    /// The `Cookie` field of a browser whose session has this token of an owner.
    pub(in crate::gateway) async fn begin_session_with(&self, owner: &str, issuer: &str, token: &str) -> String {
        let held = self.begin_session(None, None).await.unwrap();
        let (owner, issuer, token) = (owner.to_owned(), issuer.to_owned(), token.to_owned());
        let expires = self.client.clock.now().plus(600);
        let grant = Grant { owner, issuer, token, expires, refresh_token: None, is_copied: false };
        self.change_session(&held.cookie, |session| session.put_grant(grant)).await.unwrap();
        self.browsers.names.set_session(&held.cookie, 9).split(';').next().unwrap().to_owned()
    }

    /// That browser's session has this token from now on.
    pub(in crate::gateway) async fn change_session_to(&self, cookie: &str, owner: &str, issuer: &str, token: &str) {
        let cookie = cookie.split_once('=').unwrap().1;
        let (owner, issuer, token) = (owner.to_owned(), issuer.to_owned(), token.to_owned());
        let expires = self.client.clock.now().plus(600);
        let grant = Grant { owner, issuer, token, expires, refresh_token: None, is_copied: false };
        self.change_session(cookie, |session| session.put_grant(grant)).await.unwrap().unwrap();
    }

    /// The cookie of a session whose token of an owner is over, and what renews it.
    pub(in crate::gateway) async fn begin_session_to_renew(&self, owner: &str, issuer: &str, refresh_token: &str) -> String {
        let held = self.begin_session(None, None).await.unwrap();
        let (owner, issuer, token) = (owner.to_owned(), issuer.to_owned(), "over".to_owned());
        let grant = Grant {
            owner,
            issuer,
            token,
            expires: Timestamp(0),
            refresh_token: Some(refresh_token.to_owned()),
            is_copied: false,
        };
        self.change_session(&held.cookie, |session| session.put_grant(grant)).await.unwrap().unwrap();
        held.cookie
    }

    /// What that session puts before a call for this owner's things.
    pub(in crate::gateway) async fn present_of(&self, cookie: &str, owner: &str, issuer: &str) -> Option<String> {
        let held = Held { cookie: cookie.to_owned(), session: self.read_session(cookie).await.unwrap()? };
        let grant = held.session.find_grant_at(owner, issuer)?;
        Some(self.find_presented(&held, grant).await?.to_str().unwrap().to_owned())
    }

    /// She is let in to more of this owner's things, by another token.
    pub(in crate::gateway) async fn let_in_to_more(&self, cookie: &str, owner: &str, issuer: &str, token: &str) {
        let (owner, issuer, token) = (owner.to_owned(), issuer.to_owned(), token.to_owned());
        let expires = self.client.clock.now().plus(600);
        let grant = Grant { owner, issuer, token, expires, refresh_token: Some("of the other".to_owned()), is_copied: false };
        self.change_session(cookie, |session| session.put_grant(grant)).await.unwrap().unwrap();
    }

    /// The token of an owner that it holds.
    pub(in crate::gateway) async fn token_of(&self, cookie: &str, owner: &str, issuer: &str) -> Option<String> {
        let session = self.read_session(cookie).await.unwrap()?;
        session.find_grant_at(owner, issuer).map(|grant| grant.token.clone())
    }

    /// Its row is as one of an older version.
    pub(in crate::gateway) async fn name_before_by_id(&self, cookie: &str, before: &str) {
        let rewrite = |session: &mut Session| {
            let mut row = serde_json::to_value(&*session).unwrap();
            row.as_object_mut().unwrap().remove("before_cookie");
            row["before"] = id_of(before).into();
            *session = serde_json::from_value(row).unwrap();
        };
        self.change_session(cookie, rewrite).await.unwrap().unwrap();
    }

    pub(in crate::gateway) async fn end_session_to_renew(&self, cookie: &str) {
        self.end_session(cookie).await.unwrap();
    }

    /// The browser comes back from another server: under which cookie.
    pub(in crate::gateway) async fn move_session(&self, cookie: &str) -> String {
        let held = Held { cookie: cookie.to_owned(), session: self.read_session(cookie).await.unwrap().unwrap() };
        self.begin_session(Some(held), None).await.unwrap().cookie
    }

    /// A call comes with this cookie: whether that opens a session.
    pub(in crate::gateway) async fn shows(&self, cookie: &str) -> bool {
        let set = self.browsers.names.set_session(cookie, 60);
        let pair = set.split(';').next().unwrap().to_owned();
        let headers = http::HeaderMap::from_iter([(http::header::COOKIE, pair.parse().unwrap())]);
        self.find_held(&headers).await.unwrap_or_else(|_| panic!("it cannot be read")).is_some()
    }
}
