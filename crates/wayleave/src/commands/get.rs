//! `wayleave get URL`: fetches a protected URL like curl, walking the whole UMA flow and saying on
//! standard error what it does.
//!
//! Whoever answers at that URL may be dishonest, and so may the authorization server that it names: what the person gave goes
//! where she said ([`given`]), what they say is shown and not obeyed, and they choose no place on her network.

mod content;
mod given;
mod token;
mod visit;

use crate::Exit;
use crate::config::{Config, is_loopback};
use client::{Challenge, Client, ClientError, Credentials, Rpt, TicketRequest, Traded};
use content::Fetched;
use given::{Given, Registration};
use jose::{SigningKey, SystemClock, SystemRandomness};
use outbound::{Outbound, Settings};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use types::metadata::Metadata;
use types::spelling::{readable, visible};
use types::token::{ID_TOKEN_FORMAT, RequiredClaim, TokenResponse};
use url::Url;

/// How often the owner is waited for before giving up.
const POLLS: usize = 120;
/// How often a spent ticket is replaced by the resource server.
const TICKETS: usize = 3;
/// Most claims that are named to the person.
const MAX_NAMED: usize = 20;

#[derive(clap::Args)]
pub struct Options {
    /// The protected URL
    url: String,
    /// Issuer of the authorization server that secret and claim token are for; they go to no other
    #[arg(long, value_name = "ISSUER")]
    authorization_server: Option<String>,
    /// Client id at the authorization server
    #[arg(long, default_value = "wayleave-get")]
    client_id: String,
    /// File with the client's secret; a public client has none
    #[arg(long)]
    client_secret_file: Option<PathBuf>,
    /// File with an ID token to show who asks
    #[arg(long)]
    claim_token_file: Option<PathBuf>,
    /// Scope to ask for besides what the call needs; may be given more than once
    #[arg(long)]
    scope: Vec<String>,
    /// Port of the redirect URI http://127.0.0.1:PORT/claims, registered for the client
    #[arg(long, default_value_t = 9002)]
    claims_port: u16,
    /// Where to write the content [default: standard output]
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Print the token alone, for another program, and fetch nothing
    #[arg(long, conflicts_with_all = ["output", "dpop"])]
    print_token: bool,
    /// Prove a key of this run's own (DPoP)
    #[arg(long)]
    dpop: bool,
    /// Hand the token to whoever answers at URL, also where nobody says what place it is for
    #[arg(long)]
    trust_resource_server: bool,
}

/// What others say in it stands on this one line.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "* {}", visible(text));
}

fn failed(error: impl std::fmt::Display) -> Exit {
    Exit::failed(visible(&error.to_string()))
}

/// Walks the flow. `config` is a file that the person named, which says what she is at which server.
pub async fn run(options: Options, config: Option<&Config>) -> Result<(), Exit> {
    let given = Given::read(&options, config)?;
    let scope = types::ScopeSet::parse(&options.scope.join(" ")).map_err(|error| Exit::usage(format!("--scope: {error}")))?;
    given::check_place(&options.url)?;
    let key = options.dpop.then(|| SigningKey::generate(jose::Algorithm::Es256)).transpose().map_err(failed)?.map(Arc::new);
    // where she sends it herself, it may go: her own network too
    let client = client_of(Some(&options.url), Credentials::none(), key.as_ref())?;
    for _ in 0..TICKETS {
        say(&format!("GET {}", options.url));
        let challenge = match content::fetch(&client, &options, None).await? {
            Fetched::Challenged(challenge) => challenge,
            Fetched::Content if options.print_token => {
                return Err(Exit::failed("it answers without a token: there is none to print"));
            }
            Fetched::Content => return Ok(()),
        };
        let Some((tokens, rpt)) = admit(&options, &given, &challenge, &scope, key.as_ref()).await? else { continue };
        if options.print_token {
            return token::print(&rpt, tokens.expires_in);
        }
        say("an RPT; calling again with it");
        return match content::fetch(&client, &options, Some(&rpt)).await? {
            Fetched::Content => Ok(()),
            Fetched::Challenged(_) => Err(Exit::failed("the resource server refused the RPT")),
        };
    }
    Err(Exit::failed("every ticket of the resource server was spent before it could be used"))
}

/// Lets the caller in at the authorization server of a challenge; nothing where its ticket is no longer good, as when the
/// resource moved to another server meanwhile.
async fn admit(
    options: &Options,
    given: &Given,
    challenge: &Challenge,
    scope: &types::ScopeSet,
    key: Option<&Arc<SigningKey>>,
) -> Result<Option<(TokenResponse, Rpt)>, Exit> {
    let place = given::check_place(&options.url)?;
    say(&format!("protected: a ticket of {}", readable(&challenge.issuer)));
    let is_here = is_loopback(&place) && Url::parse(&challenge.issuer).is_ok_and(|issuer| is_loopback(&issuer));
    let own = given.for_server(&challenge.issuer, is_here)?;
    if !given.names(&challenge.issuer) && own.is_secret() {
        say("your secret or claim token goes there, since that is on this machine; name servers by --authorization-server");
    }
    let named = (given.names(&challenge.issuer) || is_here).then_some(challenge.issuer.as_str());
    let credentials = Credentials { client_id: own.client_id.clone(), secret: own.secret.clone(), key: None };
    let server = client_of(named, credentials, key)?;
    let Some(tokens) = obtain(&server, options, challenge, own, scope).await? else { return Ok(None) };
    token::tell_missing(scope, &tokens);
    let rpt = bound(&server, options, challenge, &tokens)?;
    Ok(Some((tokens, rpt)))
}

/// A client that calls public places, and this one wherever it is.
fn client_of(named: Option<&str>, credentials: Credentials, key: Option<&Arc<SigningKey>>) -> Result<Client, Exit> {
    let settings = Settings { configured: named.map(str::to_owned).into_iter().collect(), ..Settings::default() };
    Ok(Client {
        outbound: Outbound::new(settings).map_err(failed)?,
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials,
        dpop_key: key.cloned(),
    })
}

/// Trades the ticket until there is an RPT; nothing where the first one is spent.
async fn obtain(
    client: &Client,
    options: &Options,
    challenge: &Challenge,
    own: &Registration,
    scope: &types::ScopeSet,
) -> Result<Option<TokenResponse>, Exit> {
    let wanted = scope.to_string();
    let metadata = client.discover(&challenge.issuer).await.map_err(|error| {
        let unnamed = "; one on your own network must be named: --authorization-server";
        let what = error.to_string();
        failed(if matches!(error, ClientError::Outbound(_)) { what + unnamed } else { what })
    })?;
    let mut ticket = challenge.ticket.clone();
    for round in 0..POLLS {
        let request = TicketRequest {
            ticket: &ticket,
            resource: challenge.confirmed.then_some(challenge.resource.as_str()),
            claim: own.claim_token.as_deref().filter(|_| round == 0).map(|token| (token, ID_TOKEN_FORMAT)),
            scope: Some(wanted.as_str()).filter(|wanted| !wanted.is_empty()),
            ..TicketRequest::default()
        };
        ticket = match client.trade(&metadata, &request).await.map_err(failed)? {
            Traded::Granted(tokens) => return Ok(Some(*tokens)),
            Traded::Spent { description } if round == 0 => {
                say(&format!("the ticket is spent: {}", readable(&description)));
                return Ok(None);
            }
            Traded::Spent { description } => return Err(failed(format!("the ticket is spent: {description}"))),
            Traded::NeedInfo { ticket: next, required_claims, redirect_user } => {
                show_wanted(&metadata, &required_claims);
                let endpoint = redirect_user.ok_or_else(|| Exit::failed("and it does not say where to show that"))?;
                visit::send(client, &metadata, &endpoint, &next, options.claims_port).await?
            }
            Traded::Submitted { ticket: next, interval } => {
                say(&format!("the owner is asked; asking again in {} s", interval.as_secs()));
                tokio::time::sleep(interval).await;
                next
            }
            Traded::Denied { error, description } => {
                let refusal = visible(&format!("{error}: {description}"));
                let is_unknown = error == "invalid_client";
                let advice = if is_unknown {
                    own.describe_missing(&challenge.issuer, options.claims_port, &wanted)
                } else {
                    String::new()
                };
                return Err(Exit::Failed(refusal + &advice));
            }
        };
    }
    Err(Exit::failed("the owner has not answered"))
}

fn show_wanted(metadata: &Metadata, claims: &[RequiredClaim]) {
    let names = claims.iter().filter_map(|claim| claim.name.as_deref()).take(MAX_NAMED);
    let names: Vec<_> = names.map(|name| format!("`{}`", readable(name))).collect();
    say(&format!("{} wants to know: {}", readable(&metadata.issuer), names.join(", ")));
}

const TO_WHOM: &str = "Ask with --dpop, so that it is good at your URL alone; or, if you know who answers there, say \
                       --trust-resource-server";

/// The RPT; a key that was asked for must be in it (RFC 9449 5).
fn bound(client: &Client, options: &Options, challenge: &Challenge, tokens: &TokenResponse) -> Result<Rpt, Exit> {
    if options.dpop && !tokens.token_type.eq_ignore_ascii_case("dpop") {
        return Err(Exit::failed("the server gave a token that is not bound to the key (DPoP): it is not used"));
    }
    let rpt = match options.trust_resource_server {
        true => client.rpt_on_trust(tokens, challenge),
        false => client.rpt(tokens, challenge),
    };
    rpt.map_err(|error| match error {
        ClientError::UnnamedResource => failed(format!("{error}. {TO_WHOM}")),
        error => failed(error),
    })
}
