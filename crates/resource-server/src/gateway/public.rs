//! What everybody may see: the style sheet of an application, its page for health checks (`browser.md`, *Routes*). Nobody's
//! permission is asked and nothing is said of who calls; it is a call through this gateway in everything else.

use super::browser::is_navigation;
use super::elsewhere::Elsewhere;
use super::owner::FromTrustedProxy;
use super::reach::Everybodys;
use super::route::{self, Access, Matched};
use super::upstream::cut_short;
use super::viewer::View;
use super::{Gateway, Passing, fields, not_allowed, path};
use crate::challenge::plain;
use crate::watch::{self, Watch};
use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whether a call by this method is one by these; HEAD goes with GET.
pub(super) fn is_among(methods: &BTreeSet<String>, method: &Method) -> bool {
    methods.contains(method.as_str()) || *method == Method::HEAD && methods.contains("GET")
}

impl Gateway {
    /// By which methods everybody may go there; none: it is guarded, or not there.
    pub(super) fn public_methods(&self, path: &path::CanonicalPath) -> Option<BTreeSet<String>> {
        let routes = self.routes();
        // most gateways have none, and most calls are not to it
        if !routes.iter().any(|route| matches!(route.access, Access::Public(_))) {
            return None;
        }
        match route::find(&routes, path)? {
            Matched::Public(methods) => Some(methods.clone()),
            Matched::Guarded(_) => None,
        }
    }

    /// The same, of the page of a collection that no route names.
    pub(super) fn public_collection(&self, parts: &Parts, path: &path::CanonicalPath) -> Option<BTreeSet<String>> {
        if !is_navigation(parts) || !self.may_be_collection(path) {
            return None;
        }
        match route::find_collection(&self.routes(), path)? {
            Matched::Public(methods) => Some(methods.clone()),
            Matched::Guarded(_) => None,
        }
    }

    /// Whether a call may pass without anybody's permission, and what else it names.
    pub(super) fn judge_public(
        &self,
        parts: &Parts,
        path: &path::CanonicalPath,
        methods: &BTreeSet<String>,
    ) -> Result<Elsewhere, Box<Response>> {
        if let Some(unfit) = fields::find_unfit(&parts.headers, &self.owner_headers()) {
            return Err(Box::new(unfit.answer()));
        }
        if !is_among(methods, &parts.method) {
            let methods = methods.iter().map(String::as_str).collect::<Vec<_>>();
            return Err(Box::new(not_allowed(&methods.join(", "))));
        }
        let elsewhere = match Elsewhere::read(parts, path, self.resource.as_ref()) {
            Ok(elsewhere) if elsewhere.destination.is_none() => elsewhere,
            Ok(_) => return Err(Box::new(plain(StatusCode::FORBIDDEN, "Nothing is moved from here."))),
            Err(wrong) => return Err(Box::new(wrong.answer())),
        };
        self.check_below_public(parts, path)?;
        Ok(elsewhere)
    }

    pub(super) async fn public(
        self: &Arc<Self>,
        parts: Parts,
        body: Body,
        path: &path::CanonicalPath,
        methods: &BTreeSet<String>,
    ) -> Response {
        let elsewhere = match self.judge_public(&parts, path, methods) {
            Ok(elsewhere) => elsewhere,
            Err(refusal) => return *refusal,
        };
        let mut watch = Watch::begin(Passing::permission_for_everybody(), watch::INTERVAL);
        let (body, was_cut) = watch::incoming(body, self.settings.uploads, &watch);
        let passing = Passing {
            reach: Arc::new(Everybodys(self.clone())),
            was_cut,
            elsewhere,
            is_by_itself: false,
            is_trusted_proxy: parts.extensions.get::<FromTrustedProxy>().is_some(),
            owner_headers: self.owner_headers(),
            pass_headers: self.settings.pass_headers.clone(),
            ..Passing::by_itself()
        };
        let wish = self.wish_of(&parts, path, true);
        let answering = async {
            if let Some(wish) = wish {
                let view = View { parts: &parts, path, let_in: None, held: None };
                if let Some(shown) = Box::pin(self.show(&wish, &view)).await {
                    return shown;
                }
            }
            self.backend.forward(parts, body, path, &passing).await
        };
        match watch.during(answering).await {
            Ok(answer) => watch.answered(answer),
            Err(cut) => cut_short(cut),
        }
    }
}
