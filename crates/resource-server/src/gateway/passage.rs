//! A call on its way through: judged, with all that it names, and under watch to its end in both directions (threats 27,
//! 39 and 44).

mod let_in;

use super::admission::Admitted;
use super::below::may_reach_below;
use super::browser::{Following, Held};
use super::elsewhere::{Elsewhere, Wrong};
use super::forward_auth::AskedBefore;
use super::history::Outcome;
use super::identity::Identity;
use super::owner::FromTrustedProxy;
use super::reach::{self, Reach};
use super::tunnel::{self, Tunnel};
use super::upstream::cut_short;
use super::viewer::View;
use super::{Check, Gateway, OwnerOf, Wanted, fields, givers, path, public};
use crate::challenge::plain;
use crate::offline::Offline;
use crate::presentation;
use crate::watch::{self, Cut, Permission, WasCut, Watch};
use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use jose::digest;
pub(super) use let_in::LetIn;
use std::sync::Arc;

/// A call that was let in.
pub(super) struct Passing {
    pub(super) permission: Arc<dyn Permission>,
    /// What it may do beside its own path.
    pub(super) reach: Arc<dyn Reach>,
    /// Whose things it is about and who makes it, the same for each call of hers by one application; told to nobody.
    /// Empty before a service: a folder alone keeps locks.
    pub(super) principal: String,
    /// Whether the owner of what it is about makes it.
    pub(super) is_owner: bool,
    /// Why its body was cut, once it was.
    pub(super) was_cut: WasCut,
    pub(super) elsewhere: Elsewhere,
    /// What it asks of a web socket, where it may have one.
    pub(super) web_socket: Option<tunnel::Asked>,
    /// Who calls, for the service to know; none: nobody says.
    pub(super) identity: Option<Identity>,
    /// Whether the gateway asks for itself, and nobody called.
    pub(super) is_by_itself: bool,
    pub(super) is_trusted_proxy: bool,
    /// In which headers trusted proxies name owners.
    pub(super) owner_headers: Vec<String>,
    /// Which headers pass from anybody, beside those that always do.
    pub(super) pass_headers: Vec<String>,
}

/// A call whose token suffices for its own path.
struct Allowed<'c> {
    path: &'c path::CanonicalPath,
    wanted: &'c Wanted,
    admitted: Admitted,
    elsewhere: Elsewhere,
    token: HeaderValue,
    has_body: bool,
    /// Bytes that its body has at least.
    length: u64,
}

/// A call of which everything is judged: all that let it in, and with what it goes on.
pub(super) struct Whole {
    all: Vec<Admitted>,
    elsewhere: Elsewhere,
    web_socket: Option<tunnel::Asked>,
    token: HeaderValue,
}

impl Whole {
    /// Roughly what is kept of it.
    pub(super) fn approximate_bytes(&self) -> u64 {
        self.all.iter().map(|admitted| admitted.answer.approximate_bytes()).fold(0, u64::saturating_add)
    }

    /// Whether who calls is the owner of all of it, by the word of who guards it.
    pub(super) fn is_owners(&self) -> bool {
        self.all.iter().all(|admitted| admitted.answer.is_owner == Some(true))
    }
}

/// What a call brings.
#[derive(Clone, Copy, Default)]
pub(super) struct Brought {
    has_body: bool,
    /// Bytes that its body has at least.
    length: u64,
}

impl Brought {
    /// What a proxy has that asks before: it may be anything.
    pub(super) fn unseen() -> Self {
        Self { has_body: true, length: 0 }
    }

    pub(super) fn of(body: &Body) -> Self {
        let length = http_body::Body::size_hint(body).lower();
        Self { has_body: !http_body::Body::is_end_stream(body), length }
    }
}

/// A call that was not let in.
pub(super) struct Refused {
    /// Whose it was about, where that is known.
    pub(super) owner: Option<String>,
    pub(super) answer: Box<Response>,
}

impl Gateway {
    pub(super) async fn protected(self: &Arc<Self>, mut parts: Parts, body: Body, path: &path::CanonicalPath) -> Response {
        match self.judge_call(&mut parts, Brought::of(&body), path, None).await {
            Ok(whole) => self.let_in(parts, body, path, whole, None).await,
            Err(refused) => *refused.answer,
        }
    }

    /// Judges a call, by its own token or by what a browser's session holds for it.
    pub(super) async fn judge_call(
        self: &Arc<Self>,
        parts: &mut Parts,
        brought: Brought,
        path: &path::CanonicalPath,
        held: Option<&Held>,
    ) -> Result<Whole, Refused> {
        let nobodys = |answer: Response| Refused { owner: None, answer: Box::new(answer) };
        if let Some(unfit) = fields::find_unfit(&parts.headers, &self.owner_headers()) {
            return Err(nobodys(unfit.answer()));
        }
        let wanted = self.wanted(parts, path).await.map_err(|answer| Refused { owner: None, answer })?;
        // what cannot be read has nobody asked about it, and spends no proof
        let elsewhere = Elsewhere::read(parts, path, self.resource.as_ref());
        if let Err(wrong @ Wrong::Unreadable(_)) = elsewhere {
            return Err(nobodys(wrong.answer()));
        }
        if let Some(held) = held {
            Box::pin(self.present(parts, &wanted, held)).await;
        }
        let of_owner = |answer| Refused { owner: Some(wanted.owner.clone()), answer };
        let admitted = self.admit(parts, path, &wanted).await.map_err(of_owner)?;
        let (source, token) = (admitted.clone(), parts.headers.get(header::AUTHORIZATION).cloned());
        let judged = match (elsewhere, token) {
            (Ok(elsewhere), Some(token)) => {
                let Brought { has_body, length } = brought;
                let call = Allowed { path, wanted: &wanted, admitted, elsewhere, token, has_body, length };
                self.judge_whole(parts, call).await
            }
            (Err(wrong), _) => Err(Box::new(wrong.answer())),
            (_, None) => Err(Box::new(cut_short(Cut::Withdrawn))),
        };
        judged.map_err(|refusal| {
            if parts.extensions.get::<AskedBefore>().is_none() {
                self.note_refused(&source, refusal.status());
            }
            of_owner(refusal)
        })
    }

    /// Judges all that a call names beside its own path, how far it goes and how much it brings.
    async fn judge_whole(self: &Arc<Self>, parts: &mut Parts, call: Allowed<'_>) -> Result<Whole, Box<Response>> {
        let Allowed { path, wanted, admitted, elsewhere, token, has_body, length } = call;
        self.remember_issuer(Some(&token), &admitted.issuer);
        let mut all = vec![admitted];
        if let (Some(destination), Some(source)) = (&elsewhere.destination, all.first()) {
            let there = self.admit_destination(parts, destination, source, &token).await?;
            all.push(there);
        }
        if may_reach_below(parts, has_body, &elsewhere) {
            Box::pin(self.check_below(parts, has_body, path, &elsewhere, &all, &token)).await?;
        }
        let web_socket = tunnel::Asked::read(parts).filter(|_| self.backend.has_web_sockets());
        if web_socket.is_some() && !wanted.takes_web_sockets {
            return Err(Box::new(no_web_sockets(path)));
        }
        if length > self.settings.uploads.max_bytes {
            return Err(Box::new(cut_short(Cut::TooLong)));
        }
        Ok(Whole { all, elsewhere, web_socket, token })
    }

    /// Makes a call that was let in. `held`: the session of the browser by which a person makes it.
    pub(super) async fn let_in(
        self: &Arc<Self>,
        parts: Parts,
        body: Body,
        path: &path::CanonicalPath,
        whole: Whole,
        held: Option<&Held>,
    ) -> Response {
        self.note_whole(&whole);
        let identity = self.identify_whole(&whole, path);
        let Whole { all, elsewhere, web_socket, token } = whole;
        let principal = self.find_folder().and(all.first()).map(principal_of).unwrap_or_default();
        let is_owner = all.first().is_some_and(|admitted| admitted.answer.is_owner == Some(true));
        let following = held.map(|held| Following::new(held, &token));
        let permission = Arc::new(LetIn { gateway: self.clone(), all, token, following });
        let reach = permission.clone();
        let mut watch = Watch::begin(permission.clone(), watch::INTERVAL);
        let (body, was_cut) = watch::incoming(body, self.settings.uploads, &watch);
        let passing = Passing {
            permission: permission.clone(),
            reach,
            principal,
            is_owner,
            was_cut,
            elsewhere,
            web_socket,
            identity,
            is_by_itself: false,
            is_trusted_proxy: parts.extensions.get::<FromTrustedProxy>().is_some(),
            owner_headers: self.owner_headers(),
            pass_headers: self.settings.pass_headers.clone(),
        };
        let wish = self.wish_of(&parts, path, held.is_some());
        let answering = async {
            if let Some(wish) = wish {
                let view = View { parts: &parts, path, let_in: Some(&permission), held };
                if let Some(shown) = Box::pin(self.show(&wish, &view)).await {
                    return shown;
                }
            }
            self.backend.forward(parts, body, path, &passing).await
        };
        let mut answer = match watch.during(answering).await {
            Ok(answer) => answer,
            Err(cut) => return cut_short(cut),
        };
        fields::keep_private(answer.headers_mut());
        under_watch(answer, watch)
    }

    /// Her history says what was let through, everything that it reached, and only that.
    pub(super) fn note_whole(&self, whole: &Whole) {
        for admitted in &whole.all {
            self.note_allowed(admitted);
        }
    }

    /// Who makes it.
    pub(super) fn identify_whole(&self, whole: &Whole, path: &path::CanonicalPath) -> Option<Identity> {
        whole.all.first().and_then(|admitted| self.identify(admitted, path))
    }

    /// Whether what let a call in still would.
    pub(super) async fn still_lets_in(self: &Arc<Self>, whole: &Whole) -> bool {
        self.still_allow(&whole.all, &whole.token).await
    }

    async fn still_allow(self: &Arc<Self>, all: &[Admitted], token: &HeaderValue) -> bool {
        for admitted in all {
            if !self.still_allows(admitted, token).await {
                return false;
            }
        }
        true
    }

    /// What a token opened.
    pub(super) fn note_allowed(&self, admitted: &Admitted) {
        self.note(&admitted.noted(), Outcome::Allowed, None);
    }

    /// Its token would do, and the call was refused all the same.
    fn note_refused(&self, admitted: &Admitted, status: StatusCode) {
        let why = match status {
            StatusCode::FORBIDDEN => "it names another place, or goes further than its token",
            StatusCode::PAYLOAD_TOO_LARGE => "it brings more than is taken",
            _ => "it could not be judged whole",
        };
        self.note(&admitted.noted(), Outcome::Refused, Some(why.to_owned()));
    }

    /// Remembers who gave a token, so that it alone is asked the next time.
    pub(super) fn remember_issuer(&self, authorization: Option<&HeaderValue>, issuer: &str) {
        let token = authorization.and_then(|value| value.to_str().ok()).and_then(|value| value.split_once(' '));
        let Some((_, token)) = token else { return };
        // one that is judged here names its issuer
        if self.settings.check == Check::Offline && Offline::is_checked_here(token) {
            return;
        }
        let key = givers::key_of(token.trim());
        if self.givers.let_in.get(&key).is_none_or(|known| known != issuer) {
            self.givers.let_in.insert(key, issuer.to_owned());
        }
        self.note_giver(&key, issuer);
    }

    /// Whether a call may pass, without making it: for whoever serves the content by other means.
    pub async fn admits(self: &Arc<Self>, parts: &mut Parts) -> bool {
        if presentation::check(parts).is_err() {
            return false;
        }
        let Ok(path) = path::CanonicalPath::parse(parts.uri.path()) else { return false };
        if let Some(methods) = self.public_methods(&path) {
            return public::is_among(&methods, &parts.method);
        }
        let Ok(wanted) = self.wanted(parts, &path).await else { return false };
        let Ok(admitted) = self.admit(parts, &path, &wanted).await else { return false };
        self.remember_issuer(parts.headers.get(header::AUTHORIZATION), &admitted.issuer);
        self.note_allowed(&admitted);
        true
    }

    pub(super) fn owner_headers(&self) -> Vec<String> {
        let routes = self.routes();
        let owners = routes.iter().filter_map(|route| Some(&route.guarded()?.owner));
        owners.filter_map(|owner| if let OwnerOf::Header(name) = owner { Some(name.clone()) } else { None }).collect()
    }
}

/// Whose things it is about, and who calls by whose word: `owner.caller`.
fn principal_of(admitted: &Admitted) -> String {
    let answer = &admitted.answer;
    let client = answer.client_id.as_ref().map(types::ClientId::as_str).unwrap_or_default();
    let subject = answer.sub.as_deref().unwrap_or_default();
    let parts = [admitted.issuer.as_str(), "\0", client, "\0", subject].map(str::as_bytes);
    let hash = |parts: &[&[u8]]| jose::base64url::encode(digest::sha256(parts));
    format!("{}.{}", hash(&[admitted.owner.as_bytes()]), hash(&parts))
}

/// Nobody's permission is needed.
struct Everybodys;

impl Permission for Everybodys {
    fn look(self: Arc<Self>) -> BoxFuture<'static, bool> {
        std::future::ready(true).boxed()
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
fn under_watch(mut answer: Response, watch: Watch) -> Response {
    match answer.extensions_mut().remove::<Tunnel>() {
        Some(tunnel) => {
            tunnel.carry(watch);
            answer
        }
        None => watch.answered(answer),
    }
}

impl Passing {
    pub(super) fn permission_for_everybody() -> Arc<dyn Permission> {
        Arc::new(Everybodys)
    }

    /// A call that the gateway makes by itself, with nothing of a caller's.
    pub(super) fn by_itself() -> Self {
        Self {
            permission: Self::permission_for_everybody(),
            reach: Arc::new(reach::Own),
            principal: String::new(),
            is_owner: false,
            was_cut: WasCut::default(),
            elsewhere: Elsewhere::default(),
            web_socket: None,
            identity: None,
            is_by_itself: true,
            is_trusted_proxy: false,
            owner_headers: Vec::new(),
            pass_headers: Vec::new(),
        }
    }
}
