//! A call on its way through: judged, with all that it names, and under watch to its end in both directions (threats 27,
//! 39 and 44).

use super::admission::Admitted;
use super::elsewhere::Elsewhere;
use super::owner::FromTrustedProxy;
use super::tunnel::{self, Tunnel};
use super::upstream::cut_short;
use super::{Gateway, OwnerOf, Wanted, fields, path};
use crate::challenge::plain;
use crate::watch::{self, Cut, MayGoOn, WasCut};
use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use jose::digest;
use std::sync::Arc;

/// A call that was let in.
pub(super) struct Passing {
    pub(super) may_go_on: MayGoOn,
    /// Why its body was cut, once it was.
    pub(super) was_cut: WasCut,
    pub(super) elsewhere: Elsewhere,
    /// What it asks of a web socket, where it may have one.
    pub(super) web_socket: Option<tunnel::Asked>,
    pub(super) is_trusted_proxy: bool,
    /// In which headers trusted proxies name owners.
    pub(super) owner_headers: Vec<String>,
    /// Which headers pass from anybody, beside those that always do.
    pub(super) pass_headers: Vec<String>,
}

impl Gateway {
    pub(super) async fn protected(self: &Arc<Self>, mut parts: Parts, body: Body, path: &path::CanonicalPath) -> Response {
        if let Some(unfit) = fields::find_unfit(&parts.headers, &self.owner_headers()) {
            return unfit.answer();
        }
        let wanted = match self.wanted(&mut parts, path).await {
            Ok(wanted) => wanted,
            Err(response) => return *response,
        };
        match self.admit(&parts, path, &wanted).await {
            Ok(admitted) => self.let_in(parts, body, path, &wanted, admitted).await.unwrap_or_else(|refusal| *refusal),
            Err(response) => *response,
        }
    }

    async fn let_in(
        self: &Arc<Self>,
        mut parts: Parts,
        body: Body,
        path: &path::CanonicalPath,
        wanted: &Wanted,
        admitted: Admitted,
    ) -> Result<Response, Box<Response>> {
        let token = parts.headers.get(header::AUTHORIZATION).cloned().ok_or_else(|| Box::new(cut_short(Cut::Withdrawn)))?;
        self.remember_issuer(Some(&token), &admitted.issuer);
        let elsewhere = Elsewhere::read(&parts, path, &self.settings.resource).map_err(|wrong| Box::new(wrong.answer()))?;
        let mut all = vec![admitted];
        if let (Some(destination), Some(source)) = (&elsewhere.destination, all.first()) {
            let there = self.admit_destination(&mut parts, destination, source, &token).await?;
            all.push(there);
        }
        let has_body = !http_body::Body::is_end_stream(&body);
        Box::pin(self.check_below(&parts, has_body, path, &elsewhere, &all, &token)).await?;
        let web_socket = tunnel::Asked::read(&parts).filter(|_| self.backend.has_web_sockets());
        if web_socket.is_some() && !wanted.takes_web_sockets {
            return Err(Box::new(no_web_sockets(path)));
        }
        let uploads = self.settings.uploads;
        if http_body::Body::size_hint(&body).lower() > uploads.max_bytes {
            return Err(Box::new(cut_short(Cut::TooLong)));
        }
        let may_go_on = self.watch(all, token);
        let (body, was_cut) = watch::incoming(body, watch::INTERVAL, uploads, may_go_on.clone());
        let passing = Passing {
            may_go_on: may_go_on.clone(),
            was_cut,
            elsewhere,
            web_socket,
            is_trusted_proxy: parts.extensions.get::<FromTrustedProxy>().is_some(),
            owner_headers: self.owner_headers(),
            pass_headers: self.settings.pass_headers.clone(),
        };
        let mut answer = self.backend.forward(parts, body, path, &passing).await;
        fields::keep_private(answer.headers_mut());
        Ok(under_watch(answer, may_go_on))
    }

    /// Remembers who gave a token, so that it alone is asked the next time.
    fn remember_issuer(&self, authorization: Option<&HeaderValue>, issuer: &str) {
        let token = authorization.and_then(|value| value.to_str().ok()).and_then(|value| value.split_once(' '));
        let Some((_, token)) = token else { return };
        self.issued_by.insert(digest::sha256(&[token.trim().as_bytes()]), issuer.to_owned());
    }

    fn owner_headers(&self) -> Vec<String> {
        let routes = self.routes();
        let named = routes.iter().filter_map(|route| if let OwnerOf::Header(name) = &route.owner { Some(name) } else { None });
        named.cloned().collect()
    }

    /// Asks whether all that let a call in still does.
    fn watch(self: &Arc<Self>, all: Vec<Admitted>, token: HeaderValue) -> MayGoOn {
        let call = Arc::new((self.clone(), all, token));
        Arc::new(move || {
            let call = call.clone();
            async move {
                let (gateway, all, token) = &*call;
                for admitted in all {
                    if !gateway.still_allows(admitted, token).await {
                        return false;
                    }
                }
                true
            }
            .boxed()
        })
    }
}

fn no_web_sockets(path: &path::CanonicalPath) -> Response {
    tracing::warn!(path = path.encoded(), "a web socket was refused: its route does not say `websocket = true`");
    plain(
        StatusCode::FORBIDDEN,
        "This route takes no web sockets. If it should, write `websocket = true` in its [[gateway.route]].",
    )
}

/// The answer under watch.
fn under_watch(mut answer: Response, may_go_on: MayGoOn) -> Response {
    match answer.extensions_mut().remove::<Tunnel>() {
        Some(tunnel) => {
            tunnel.carry(watch::INTERVAL, may_go_on);
            answer
        }
        None => watch::answered(answer, may_go_on),
    }
}

impl Passing {
    /// A call that the gateway makes by itself, with nothing of a caller's.
    pub(super) fn by_itself() -> Self {
        Self {
            may_go_on: Arc::new(|| std::future::ready(true).boxed()),
            was_cut: WasCut::default(),
            elsewhere: Elsewhere::default(),
            web_socket: None,
            is_trusted_proxy: false,
            owner_headers: Vec::new(),
            pass_headers: Vec::new(),
        }
    }
}
