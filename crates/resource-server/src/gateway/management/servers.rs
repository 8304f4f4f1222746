//! `/authorization-servers`: those that an owner can choose here, and how she stands with them (protocol.md 2, 5.4).

use super::{Answer, Managing, invalid, not_done, not_found, read, refuse, unavailable, unreadable, wrong_method};
use crate::gateway::link::FULL;
use crate::gateway::store::{Account, Link, LinkState};
use crate::gateway::told::Destination;
use crate::gateway::{Gateway, Trust};
use crate::protection::ProtectionError;
use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use types::available_resource::{ChosenAccount, ChosenServer, PatState, ServerConfirmation, ServerRequest, ToAuthorize};

impl Gateway {
    pub(super) async fn managed_servers(&self, managing: &Managing, parts: &Parts, body: Body, rest: &[&str]) -> Answer {
        let owner = managing.owner.as_str();
        match (parts.method.as_str(), rest) {
            ("GET", []) => Ok(Json(self.chosen_servers(owner).await.map_err(unreadable)?).into_response()),
            ("POST", []) => self.choose_server(managing, read(body).await?).await,
            ("GET", [issuer]) => {
                let issuer = super::decoded(issuer).ok_or_else(not_found)?;
                let found =
                    self.chosen_servers(owner).await.map_err(unreadable)?.into_iter().find(|server| server.issuer == issuer);
                found.map(|server| Json(server).into_response()).ok_or_else(not_found)
            }
            ("PUT", [issuer]) => self.confirm_server(managing, &super::decoded(issuer).ok_or_else(not_found)?, body).await,
            (_, [] | [_]) => Err(wrong_method()),
            _ => Err(not_found()),
        }
    }

    /// The operator's, and those that she brought.
    async fn chosen_servers(&self, owner: &str) -> Result<Vec<ChosenServer>, ProtectionError> {
        let links = self.store.list_links(owner).await?;
        let preferred = self.preferred_server(owner).await?;
        let listed = self.settings.authorization_servers.iter().cloned();
        let brought = links.iter().map(|(issuer, _)| issuer.clone()).filter(|issuer| !self.is_listed(issuer));
        let shown = |issuer: String| {
            let link = links.iter().find(|(of, _)| *of == issuer).map(|(_, link)| link);
            let owner: String = form_urlencoded::byte_serialize(owner.as_bytes()).collect();
            let at: String = form_urlencoded::byte_serialize(issuer.as_bytes()).collect();
            let to_link = format!("{}/.wayleave/link?owner={owner}&authorization_server={at}", self.settings.resource);
            ChosenServer {
                name: url::Url::parse(&issuer).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default(),
                pat: match link.map(|link| link.state) {
                    None if self.is_ready_made(&issuer) => PatState::Active,
                    None => PatState::None,
                    Some(LinkState::Active) => PatState::Active,
                    Some(LinkState::Pending) => PatState::Pending,
                    Some(LinkState::Withdrawn) => PatState::Withdrawn,
                },
                account: link.map(|link| link.account.clone()).filter(|account| *account != Account::default()).map(account_of),
                default: preferred.as_ref() == Some(&issuer),
                authorize_uri: self.is_listed(&issuer).then_some(to_link),
                issuer,
            }
        };
        Ok(listed.chain(brought).map(shown).collect())
    }

    /// Starts getting a PAT there.
    async fn choose_server(&self, managing: &Managing, wanted: ServerRequest) -> Answer {
        let owner = managing.owner.as_str();
        let (issuer, hint) = match (wanted.issuer, wanted.address) {
            (Some(issuer), None) => (issuer, None),
            (None, Some(typed)) => {
                let address = types::email::normalize_reachable(&typed);
                let address = address.ok_or_else(|| invalid("`address` is no e-mail address: write it as alice@example.org"))?;
                let client = self.client.in_name_of(&format!("owner {owner}"));
                let found = client.issuer_of(&address).await;
                (found.map_err(|error| unsupported(&error.to_string()))?, Some(address))
            }
            _ => return Err(invalid("send `issuer` or `address`, one of the two")),
        };
        self.check_issuer(&issuer).map_err(unsupported)?;
        if !self.has_room(owner, &issuer).await.map_err(unreadable)? {
            return Err(refuse(StatusCode::CONFLICT, "too_many_authorization_servers", FULL));
        }
        match self.begin_chosen(owner, &issuer, hint.as_deref(), managing.by.as_ref()).await {
            Ok(authorize_uri) => Ok((StatusCode::ACCEPTED, Json(ToAuthorize { authorize_uri })).into_response()),
            Err(ProtectionError::Refused(why)) => Err(unsupported(&format!("`{issuer}` cannot be used: {why}"))),
            Err(error) => Err(not_done(&issuer, &error)),
        }
    }

    /// Whether this can be an authorization server of somebody here (RFC 8414 2): one of the list, or else an https URL that may
    /// be called. What cannot be one is not asked, and not said to be away.
    pub(super) fn check_issuer(&self, issuer: &str) -> Result<(), &'static str> {
        if self.is_listed(issuer) {
            return Ok(());
        }
        if self.settings.trust == Trust::List {
            return Err("this resource server takes the authorization servers of its metadata alone");
        }
        let is_issuer = url::Url::parse(issuer).is_ok_and(|url| {
            url.query().is_none() && url.fragment().is_none() && url.host_str().is_some_and(|host| !host.is_empty())
        });
        match is_issuer && self.client.outbound.may_call(issuer) {
            true => Ok(()),
            // it may hold a password: it is not repeated
            false => Err("an authorization server is named by its issuer: an https URL with a public name, and no more"),
        }
    }

    /// The account there is hers.
    async fn confirm_server(&self, managing: &Managing, issuer: &str, body: Body) -> Answer {
        let owner = managing.owner.as_str();
        let bytes = axum::body::to_bytes(body, super::MAX_BODY).await.map_err(|_| invalid("the body is too long"))?;
        let wanted: ServerConfirmation = match bytes.is_empty() {
            true => ServerConfirmation::default(),
            false => types::json::parse(&bytes).map_err(|error| invalid(&error.to_string()))?,
        };
        let was_pending = self.change_links(managing, issuer, wanted.default).await?;
        if was_pending {
            let destination = Destination { owner: owner.to_owned(), issuer: issuer.to_owned() };
            self.expect_news(&destination);
            self.enrol(owner);
        }
        let found = self.chosen_servers(owner).await.map_err(unreadable)?.into_iter().find(|server| server.issuer == issuer);
        found.map(|server| Json(server).into_response()).ok_or_else(not_found)
    }
}

impl Gateway {
    /// Whether it waited for her word. Her links change together, so that one of them is the usual one, whatever happens.
    async fn change_links(&self, managing: &Managing, issuer: &str, default: Option<bool>) -> Result<bool, Response> {
        let owner = managing.owner.as_str();
        // in one order, so that of two who change them neither waits for the other
        let mut issuers: Vec<String> =
            self.store.list_links(owner).await.map_err(unreadable)?.into_iter().map(|(of, _)| of).collect();
        issuers.sort();
        let _held = self.link_turns(owner, &issuers).await;
        let links = self.store.list_links(owner).await.map_err(unreadable)?;
        let link =
            links.iter().find(|(of, _)| of == issuer && issuers.contains(of)).map(|(_, link)| link).ok_or_else(not_found)?;
        if link.state == LinkState::Withdrawn {
            return Err(refuse(
                StatusCode::CONFLICT,
                "withdrawn",
                "it takes the word of this resource server no more: link it again",
            ));
        }
        let (was_pending, preferred) = (link.state == LinkState::Pending, default.unwrap_or(link.preferred));
        let changed = links.iter().filter_map(|(of, link)| match of == issuer {
            // whoever confirms it vouches for it, and it rests on that application
            true if was_pending => {
                Some((of.clone(), Link { state: LinkState::Active, preferred, by: managing.by.clone(), ..link.clone() }))
            }
            true => Some((of.clone(), Link { preferred, ..link.clone() })),
            false if preferred && link.preferred && issuers.contains(of) => {
                Some((of.clone(), Link { preferred: false, ..link.clone() }))
            }
            false => None,
        });
        let mark = was_pending.then(|| self.new_mark());
        let changed: Vec<(String, Link)> = changed.collect();
        self.store.change_links(owner, &changed, mark.as_deref()).await.map_err(|_| unavailable())?;
        Ok(was_pending)
    }
}

pub(super) fn unsupported(what: &str) -> Response {
    refuse(StatusCode::BAD_REQUEST, "unsupported_authorization_server", what)
}

fn account_of(account: Account) -> ChosenAccount {
    ChosenAccount { sub: account.sub, email: account.email }
}
