//! The UMA client (Grant 3): calls, challenges, trades, and sending a person to show who she is.

use crate::oauth::read_granted;
use crate::refusal::refusal;
use crate::{Client, ClientError};
use outbound::{Method, Request, Response};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use types::challenge::{UNREACHABLE_WARNING, UmaChallenge};
use types::metadata::{Metadata, ProtectedResourceMetadata};
use types::origin::is_plain_host;
use types::token::{ContinuedProcess, RequiredClaim, TokenResponse, UMA_TICKET};
use url::{Host, Url};

/// A requesting party token, and the one place it may be used at (protocol.md 2.1). Kept by the
/// client; never shown to the person (Grant 5.2).
#[derive(Clone, Serialize, Deserialize)]
pub struct Rpt {
    pub token: String,
    pub token_type: String,
    /// The resource server's identifier: its URL, or an origin where it has no metadata.
    pub resource: String,
    pub refresh_token: Option<String>,
    /// The authorization server that gave it; none: one that was kept before that was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

/// Names the authorization server of a call's token, so that a resource server which several guard shows it to no other
/// (protocol.md 2.1).
const AUTHORIZATION_SERVER: &str = "authorization-server";

/// A challenge that was read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Issuer of the authorization server.
    pub issuer: String,
    pub ticket: String,
    /// The URL that was called.
    pub called: String,
    /// Where an RPT got with it may be used.
    pub resource: String,
    /// `resource` was confirmed by the resource server's metadata, and is sent to the server.
    pub confirmed: bool,
}

/// What came of a call.
pub enum Called {
    /// The resource server answered; the body is whole.
    Answered(Response),
    Challenged(Challenge),
    /// 403 with the warning of Grant 3.2.2: this process ends here.
    AuthorizationServerUnreachable,
}

/// What a trade needs beside the server's metadata.
#[derive(Clone, Default)]
pub struct TicketRequest<'a> {
    pub ticket: &'a str,
    pub resource: Option<&'a str>,
    /// Token and format.
    pub claim: Option<(&'a str, &'a str)>,
    pub pct: Option<&'a str>,
    pub rpt: Option<&'a str>,
    pub scope: Option<&'a str>,
    /// Whether the owner is asked where nothing else lets it pass (protocol.md 1.2); none: as the server does.
    pub ask_owner: Option<bool>,
    /// What whoever asks says to her.
    pub owner_message: Option<&'a str>,
    /// The resource server is to see the person's address, of which she is told (protocol.md 1.2 `disclose`).
    pub disclose_email: bool,
}

/// What a person is sent with to show who she is.
#[derive(Clone, Copy)]
pub struct PersonSending<'a> {
    pub endpoint: &'a str,
    pub ticket: &'a str,
    pub claims_redirect_uri: &'a str,
    /// The page there says that the resource server sees her address.
    pub disclose_email: bool,
}

impl<'a> PersonSending<'a> {
    /// The resource server is told no address.
    pub fn to(endpoint: &'a str, ticket: &'a str, claims_redirect_uri: &'a str) -> Self {
        Self { endpoint, ticket, claims_redirect_uri, disclose_email: false }
    }
}

/// What came of a trade.
pub enum Traded {
    Granted(Box<TokenResponse>),
    NeedInfo {
        ticket: String,
        required_claims: Vec<RequiredClaim>,
        redirect_user: Option<String>,
    },
    /// When to ask again: not at once, and not never, whatever the server says.
    Submitted {
        ticket: String,
        interval: Duration,
    },
    /// The ticket is no longer good (Grant 3.3.6): it was used or is too old (`invalid_grant`), or what it was for is guarded by
    /// another server since (`invalid_scope`, where the client asked for no scope). The next call to the resource server tells,
    /// with a ticket that is good.
    Spent {
        description: String,
    },
    Denied {
        error: String,
        description: String,
    },
}

/// A person on her way to the claims interaction endpoint; kept with her session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonSent {
    pub url: String,
    pub state: String,
    ticket: String,
    /// To which server, and whether that says so when it answers.
    issuer: String,
    says_issuer: bool,
}

fn is_spent(error: &str, request: &TicketRequest<'_>) -> bool {
    error == "invalid_grant" || (error == "invalid_scope" && request.scope.is_none())
}

impl Client {
    /// Calls a protected URL, with an RPT if there is one for that place.
    pub async fn call(&self, method: Method, url: &str, rpt: Option<&Rpt>) -> Result<Called, ClientError> {
        let answer = self.outbound.send(self.request(method, url, rpt)?).await?;
        self.read_answer(url, answer).await
    }

    /// The same for content of any size: its pieces go to `piece`. What is no success is short, and in the answer.
    pub async fn fetch(
        &self,
        url: &str,
        rpt: Option<&Rpt>,
        piece: impl FnMut(&[u8]) -> std::io::Result<()> + Send,
    ) -> Result<Called, ClientError> {
        let answer = self.outbound.stream(self.request(Method::GET, url, rpt)?, piece).await?;
        self.read_answer(url, answer).await
    }

    fn request<'a>(&self, method: Method, url: &'a str, rpt: Option<&Rpt>) -> Result<Request<'a>, ClientError> {
        let mut request = Request { method: method.clone(), ..Request::get(url) };
        if let Some(rpt) = rpt {
            if !is_within(url, &rpt.resource) {
                return Err(ClientError::protocol("an RPT is used at its own resource server and nowhere else"));
            }
            request = request.header("authorization", &format!("{} {}", rpt.token_type, rpt.token));
            if let Some(issuer) = &rpt.issuer {
                request = request.header(AUTHORIZATION_SERVER, issuer);
            }
            let bound = rpt.token_type.eq_ignore_ascii_case("dpop");
            let proof = if bound { self.prove(method.as_str(), url, Some(&rpt.token), None)? } else { None };
            if let Some(proof) = proof {
                request = request.header("dpop", &proof);
            }
        }
        Ok(request)
    }

    async fn read_answer(&self, url: &str, answer: Response) -> Result<Called, ClientError> {
        let warned = answer.header("warning").is_some_and(|warning| warning.contains(UNREACHABLE_WARNING));
        if answer.status == 403 && warned {
            return Ok(Called::AuthorizationServerUnreachable);
        }
        let values = answer.headers.get_all("www-authenticate").iter().filter_map(|value| value.to_str().ok());
        match UmaChallenge::find(values) {
            Some(challenge) if answer.status == 401 => Ok(Called::Challenged(self.check_challenge(url, challenge).await?)),
            _ => Ok(Called::Answered(answer)),
        }
    }

    /// A ticket is only worth something with the resource server it is of: the metadata that the
    /// challenge names must be of that place, and of the URL that was called (threat 21).
    async fn check_challenge(&self, url: &str, challenge: UmaChallenge) -> Result<Challenge, ClientError> {
        let (issuer, ticket, called) = (challenge.as_uri, challenge.ticket, url.to_owned());
        let Some(metadata_url) = &challenge.resource_metadata else {
            let origin = Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
            return Ok(Challenge { issuer, ticket, called, resource: origin, confirmed: false });
        };
        if !same_origin(metadata_url, url) {
            return Err(ClientError::protocol("the challenge points to another server's metadata: do not trust it"));
        }
        let answer = self.outbound.send(Request::get(metadata_url)).await?;
        let metadata: ProtectedResourceMetadata = types::answer::parse(&answer.body, &["resource"])
            .map_err(|error| ClientError::protocol(format!("the resource's metadata do not read: {error}")))?;
        if !is_within(url, &metadata.resource) {
            return Err(ClientError::protocol("the metadata are of another resource than was called: do not trust it"));
        }
        Ok(Challenge { issuer, ticket, called, resource: metadata.resource, confirmed: true })
    }

    /// Trades a ticket at the token endpoint.
    pub async fn trade(&self, metadata: &Metadata, request: &TicketRequest<'_>) -> Result<Traded, ClientError> {
        let mut form = vec![("grant_type", UMA_TICKET), ("ticket", request.ticket)];
        form.extend(request.resource.map(|resource| ("resource", resource)));
        form.extend(request.pct.map(|pct| ("pct", pct)));
        form.extend(request.rpt.map(|rpt| ("rpt", rpt)));
        form.extend(request.scope.map(|scope| ("scope", scope)));
        form.extend(request.ask_owner.map(|asks| ("ask_owner", if asks { "true" } else { "false" })));
        form.extend(request.owner_message.map(|message| ("owner_message", message)));
        form.extend(request.disclose_email.then_some(("disclose", "email")));
        if let Some((token, format)) = request.claim {
            form.extend([("claim_token", token), ("claim_token_format", format)]);
        }
        let answer = self.post_form(metadata, &metadata.token_endpoint, &form).await?;
        if answer.status == 200 {
            return Ok(Traded::Granted(Box::new(read_granted(&answer.body)?)));
        }
        match types::answer::parse::<ContinuedProcess>(&answer.body, &[]) {
            Ok(process) if process.ticket == request.ticket => {
                Err(ClientError::protocol("the server gave the same ticket back (Grant 5.5)"))
            }
            Ok(process) if process.error == "need_info" => {
                let redirect_user = process.redirect_user.or_else(|| metadata.claims_interaction_endpoint.clone());
                Ok(Traded::NeedInfo { ticket: process.ticket, required_claims: process.required_claims, redirect_user })
            }
            Ok(process) if process.error == "request_submitted" => {
                Ok(Traded::Submitted { ticket: process.ticket, interval: wait_of(process.interval) })
            }
            _ => match refusal(&answer) {
                ClientError::Refused { error, description } if is_spent(&error, request) => Ok(Traded::Spent { description }),
                ClientError::Refused { error, description } => Ok(Traded::Denied { error, description }),
                other => Err(other),
            },
        }
    }

    /// The RPT of a grant, tied to the resource server that the ticket came from. Whoever answered the call may have fetched
    /// that ticket at another resource server (threat 21): so the server must say that the RPT is for the place that was
    /// called, or it was told that place, or the RPT is bound to a key, whose proofs are good at one URL alone.
    pub fn rpt(&self, tokens: &TokenResponse, challenge: &Challenge) -> Result<Rpt, ClientError> {
        let is_bound = self.dpop_key.is_some() && tokens.token_type.eq_ignore_ascii_case("dpop");
        if tokens.resource.is_none() && !challenge.confirmed && !is_bound {
            return Err(ClientError::UnnamedResource);
        }
        self.rpt_on_trust(tokens, challenge)
    }

    /// The same where somebody answers for the place that was called: servers that know the standards alone do not say
    /// which resource server an RPT is for (Grant 3.3.5).
    pub fn rpt_on_trust(&self, tokens: &TokenResponse, challenge: &Challenge) -> Result<Rpt, ClientError> {
        let resource = match &tokens.resource {
            Some(said) if challenge.confirmed && *said != challenge.resource => return Err(other_resource()),
            // without metadata the server's word alone says what the place is
            Some(said) if !is_within(&challenge.called, said) => return Err(other_resource()),
            Some(said) => said,
            None => &challenge.resource,
        };
        Ok(Rpt {
            token: tokens.access_token.clone(),
            token_type: scheme_of(&tokens.token_type)?.to_owned(),
            resource: resource.clone(),
            refresh_token: tokens.refresh_token.clone(),
            issuer: Some(challenge.issuer.clone()),
        })
    }

    /// Where to send the person of this server (Grant 3.3.2), with a fresh unguessable `state` (5.1).
    pub fn send_person(&self, metadata: &Metadata, person: &PersonSending<'_>) -> Result<PersonSent, ClientError> {
        let PersonSending { endpoint, ticket, claims_redirect_uri, disclose_email } = *person;
        let mut url = page_of(endpoint)?;
        let state = self.random_text();
        url.query_pairs_mut().extend_pairs([
            ("client_id", self.credentials.client_id.as_str()),
            ("ticket", ticket),
            ("claims_redirect_uri", claims_redirect_uri),
            ("state", state.as_str()),
        ]);
        if disclose_email {
            url.query_pairs_mut().append_pair("disclose", "email");
        }
        let (issuer, says_issuer) = (metadata.issuer.clone(), metadata.claims_response_iss_parameter_supported);
        Ok(PersonSent { url: url.into(), state, ticket: ticket.to_owned(), issuer, says_issuer })
    }

    /// The next ticket of a person who came back. `state` must be the one that was sent, and the answer that of the server to
    /// which she was sent; unknown parameters are ignored (Grant 3.3.3, 5.1).
    pub fn person_returned(&self, sent: &PersonSent, query: &[(String, String)]) -> Result<String, ClientError> {
        let get = |name: &str| query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        if get("state") != Some(sent.state.as_str()) {
            return Err(ClientError::protocol("the answer does not belong to this visit: start again"));
        }
        if !is_from(&sent.issuer, sent.says_issuer, query) {
            return Err(ClientError::protocol("the answer comes from another authorization server than was asked"));
        }
        if let Some(error) = get("error") {
            return Err(ClientError::refused(error, get("error_description").unwrap_or_default()));
        }
        match get("ticket") {
            Some(ticket) if ticket != sent.ticket => Ok(ticket.to_owned()),
            _ => Err(ClientError::protocol("the answer brings no new ticket: start again")),
        }
    }
}

/// Whether what a person brought back is this server's answer, as far as can be told. A dishonest server may send her on to
/// another's page, with the way back and the `state` of its own visit: the ticket that she brings is then the other's, and is
/// not for the dishonest one. An answer that says whose it is (`iss`, as in RFC 9207 2.4) is compared, announced or not.
pub fn is_from(issuer: &str, says_issuer: bool, query: &[(String, String)]) -> bool {
    let mut said = query.iter().filter(|(name, _)| name == "iss").map(|(_, value)| value.as_str());
    match (said.next(), said.next()) {
        (None, _) => !says_issuer,
        (Some(said), None) => said == issuer,
        // said twice, it says nothing
        (Some(_), Some(_)) => false,
    }
}

/// Seconds after which a server that says nothing is asked again, and the longest that it may want.
const USUAL_INTERVAL_SECONDS: i64 = 5;
const MAX_INTERVAL_SECONDS: i64 = 300;

fn wait_of(interval: Option<i64>) -> Duration {
    let seconds = interval.unwrap_or(USUAL_INTERVAL_SECONDS).clamp(1, MAX_INTERVAL_SECONDS);
    Duration::from_secs(seconds.unsigned_abs())
}

/// Longest page that a person is sent to, in bytes.
const MAX_PAGE_BYTES: usize = 2_048;

/// Where a person may be sent: a page on the web, or on her own machine, and nothing that her browser would run or that
/// looks like another place.
fn page_of(endpoint: &str) -> Result<Url, ClientError> {
    let refuse = || ClientError::protocol("`redirect_user` is no page that a person may be sent to: https, or http on loopback");
    let url = Url::parse(endpoint).ok().filter(|_| endpoint.len() <= MAX_PAGE_BYTES).ok_or_else(refuse)?;
    let is_here = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let has_host = url.host_str().is_some_and(is_plain_host);
    let is_plain = url.username().is_empty() && url.password().is_none() && has_host;
    let is_page = is_plain && (url.scheme() == "https" || (url.scheme() == "http" && is_here));
    if is_page { Ok(url) } else { Err(refuse()) }
}

/// How a token of this type is sent. The type is one word in whatever letters (RFC 6749 5.1), and one that is not
/// understood is not used (7.1).
fn scheme_of(token_type: &str) -> Result<&'static str, ClientError> {
    let known = ["Bearer", "DPoP"].into_iter().find(|scheme| scheme.eq_ignore_ascii_case(token_type));
    known.ok_or_else(|| {
        ClientError::protocol(format!("the server gave a token of the type `{token_type}`: only Bearer and DPoP are used"))
    })
}

fn other_resource() -> ClientError {
    ClientError::protocol("the RPT is of another resource server than was called: do not use it, nor trust who answered")
}

fn same_origin(a: &str, b: &str) -> bool {
    match (Url::parse(a), Url::parse(b)) {
        (Ok(a), Ok(b)) => a.origin() == b.origin(),
        _ => false,
    }
}

/// Whether `resource` is a same-origin, whole-segment prefix of `url` (protocol.md 2.1).
pub fn is_within(url: &str, resource: &str) -> bool {
    let (Ok(url), Ok(resource)) = (Url::parse(url), Url::parse(resource)) else { return false };
    if url.origin() != resource.origin() || resource.query().is_some() {
        return false;
    }
    let prefix = resource.path().trim_end_matches('/');
    url.path() == prefix || url.path().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
