//! Trading tickets for a person with a browser, as this gateway's own browser client (Grant 3.3): what comes of it is kept in
//! her session, and presented with her calls.

use super::super::{Gateway, Wanted};
use super::client::WayBack;
use super::navigation::is_navigation;
use super::session::{Grant, Held};
use crate::protection::ProtectionError;
use client::Client;
use client::uma::{TicketRequest, Traded};
use http::header;
use http::request::Parts;
use types::OwnResourceId;
use types::metadata::Metadata;
use types::peer::Caller;
use types::token::TokenResponse;

/// Seconds that an RPT is taken to live of which that is not said, and the longest that is believed.
const USUAL_LIFE_SECONDS: i64 = 300;
const LONGEST_LIFE_SECONDS: i64 = 366 * 86_400;

/// A call whose token is a session's, by this server.
#[derive(Clone)]
pub(in super::super) struct OfSession {
    pub(in super::super) issuer: String,
}

/// A ticket to be traded.
pub(super) struct Trade<'a> {
    pub(super) owner: &'a str,
    pub(super) issuer: &'a str,
    pub(super) ticket: &'a str,
    pub(super) held: Option<&'a Held>,
    pub(super) caller: Option<Caller>,
    /// Whether the owner is asked where nothing else lets it pass, and in which words.
    pub(super) asks: Asks<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Asks<'a> {
    Nobody,
    Owner { message: Option<&'a str> },
}

/// What came of it.
pub(super) enum Outcome {
    Granted {
        grant: Grant,
        pct: Option<String>,
    },
    /// She shows who she is there, first or again.
    Shows {
        ticket: String,
        endpoint: String,
    },
    Waits {
        ticket: String,
        interval_seconds: u64,
    },
    Closed,
    /// The ticket is none of this process.
    Spent,
}

/// The browser client at one authorization server.
pub(super) struct BrowserClient {
    pub(super) client: Client,
    pub(super) metadata: Metadata,
    pub(super) way_back: WayBack,
}

impl Gateway {
    pub(super) async fn trade(&self, trade: &Trade<'_>) -> Result<Outcome, ProtectionError> {
        let BrowserClient { client, metadata, .. } = self.browser_client(trade.issuer).await?;
        let _place = self.wait_for_ticket(trade.issuer, trade.caller).await?;
        let session = trade.held.map(|held| &held.session);
        let now = self.client.clock.now();
        let rpt = session.and_then(|session| session.find_grant_at(trade.owner, trade.issuer));
        let request = TicketRequest {
            ticket: trade.ticket,
            pct: session.and_then(|session| session.pct_at(trade.issuer)),
            rpt: rpt.filter(|grant| now < grant.expires).map(|grant| grant.token.as_str()),
            ask_owner: Some(matches!(trade.asks, Asks::Owner { .. })),
            owner_message: match trade.asks {
                Asks::Owner { message } => message,
                Asks::Nobody => None,
            },
            // what she was told once stays so for each token that takes the place of another
            disclose_email: session.is_some_and(|session| session.shows_address_at(trade.issuer)),
            ..TicketRequest::default()
        };
        let traded = async { Ok(client.trade(&metadata, &request).await?) };
        let traded = self.asking(trade.issuer, traded).await?;
        self.read_trade(trade, traded)
    }

    fn read_trade(&self, trade: &Trade<'_>, traded: Traded) -> Result<Outcome, ProtectionError> {
        Ok(match traded {
            Traded::Granted(mut tokens) => {
                let pct = tokens.pct.take();
                Outcome::Granted { grant: self.grant_of(trade.owner, trade.issuer, *tokens)?, pct }
            }
            Traded::NeedInfo { ticket, redirect_user: Some(endpoint), .. } => Outcome::Shows { ticket, endpoint },
            Traded::NeedInfo { .. } => Outcome::Closed,
            Traded::Submitted { ticket, interval } => Outcome::Waits { ticket, interval_seconds: interval.as_secs() },
            Traded::Denied { error, .. } if error == "request_denied" => Outcome::Closed,
            Traded::Spent { .. } => Outcome::Spent,
            Traded::Denied { error, .. } => {
                if error == "invalid_client" {
                    self.browsers.forget_client(trade.issuer);
                }
                // its description may name the person
                tracing::warn!(error, issuer = trade.issuer, "no person is led to this authorization server");
                return Err(ProtectionError::Refused(error));
            }
        })
    }

    pub(super) fn grant_of(&self, owner: &str, issuer: &str, tokens: TokenResponse) -> Result<Grant, ProtectionError> {
        let refuse = |what: &str| Err(ProtectionError::Refused(what.to_owned()));
        if !tokens.token_type.eq_ignore_ascii_case("bearer") {
            return refuse("it gives people with browsers tokens that are bound to a key, which they have not");
        }
        if tokens.resource.as_ref().is_some_and(|resource| *resource != self.settings.resource) {
            return refuse("its token is for another resource server");
        }
        let life = tokens.expires_in.unwrap_or(USUAL_LIFE_SECONDS).clamp(0, LONGEST_LIFE_SECONDS);
        let (owner, issuer, expires) = (owner.to_owned(), issuer.to_owned(), self.client.clock.now().plus(life));
        let grant =
            Grant { owner, issuer, token: tokens.access_token, expires, refresh_token: tokens.refresh_token, is_copied: false };
        if grant.is_short() { Ok(grant) } else { refuse("its token is too long") }
    }

    /// Servers that say of a call whether it may pass: where what it is about is registered, and those that are asked about
    /// everything.
    async fn issuers_of(&self, wanted: &Wanted) -> Vec<String> {
        let mut issuers = Vec::new();
        for need in &*wanted.needs {
            let own_id = OwnResourceId::new(need.resource.as_str());
            let Ok(all) = self.store.registrations(&wanted.owner, &own_id).await else { continue };
            issuers.extend(all.iter().filter(|one| one.guards()).map(|one| one.issuer.clone()));
        }
        let more = self.settings.authorization_servers.iter().filter(|issuer| self.is_server_level(issuer));
        issuers.extend(more.cloned());
        issuers
    }

    /// Puts what her session holds for this owner's things before the guard, as if she had brought it. Nobody else chooses to
    /// whom her token is shown: so it is shown to the server that gave it, where that guards what she calls, and to no other.
    pub(in super::super) async fn present(&self, parts: &mut Parts, wanted: &Wanted, held: &Held) {
        let Some(grant) = held.session.find_grant(&wanted.owner, &self.issuers_of(wanted).await) else { return };
        // a page may be put before her, on which she reads that the application there sees her address
        let is_told = held.session.shows_address_at(&grant.issuer);
        if !is_told && is_navigation(parts) && self.shows_address(parts.uri.path(), &grant.issuer) {
            return;
        }
        let Some(value) = self.find_presented(held, grant).await else { return };
        parts.headers.insert(header::AUTHORIZATION, value);
        parts.extensions.insert(OfSession { issuer: grant.issuer.clone() });
    }

    /// Gives back what a session held that has ended (RFC 7009); what cannot be told ends by itself.
    pub(super) async fn return_grants(&self, grants: Vec<Grant>) {
        for grant in grants {
            let Ok(BrowserClient { client, metadata, .. }) = self.browser_client(&grant.issuer).await else { continue };
            for token in grant.refresh_token.iter().chain([&grant.token]) {
                if let Err(error) = client.revoke(&metadata, token).await {
                    tracing::info!(%error, issuer = grant.issuer, "what a person had could not be given back");
                }
            }
        }
    }
}
