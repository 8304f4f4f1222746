//! Whom she lets decide for her - of all or of some of her things, by her word or by her signature -, and the end of that.

use super::keys::{ToBeSigned, brought};
use super::offers::OfferRow;
use super::sharing::chosen;
use super::things::{Again, host_of, told_again, troubles};
use super::{Desk, Fields, First, Shown, at_desk, page, posted, see_other};
use crate::delegating::Delegating;
use crate::for_other::ForOther;
use crate::holdings::{Holdings, Known};
use crate::ledger::{Said, Word};
use crate::person::Person;
use crate::{Manager, Trouble, words};
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;
use types::delegation::{Covered, DelegationDocument, May};
use types::{Scope, ScopeSet, Timestamp};

struct Row {
    link: String,
    id: String,
    who: String,
    may: String,
    until: String,
    place: String,
    signed: bool,
    /// A server says that she signed it, and no key of hers did.
    not_signed: bool,
    /// What of it this desk does not understand.
    unclear: Option<String>,
    /// She took it back, and the server still lists it.
    taken_back: bool,
}

struct Server {
    link: String,
    place: String,
}

#[derive(Template)]
#[template(path = "delegations.html")]
struct DelegationsPage<'a> {
    /// Things that it is to be about; none: everything.
    names: Vec<&'a str>,
    more: usize,
    keys: Vec<&'a str>,
    has_key: bool,
    failed: Vec<String>,
    listed: First<Row>,
    servers: Vec<Server>,
    for_others: First<String>,
    /// The same, each to be put away.
    taken: First<OfferRow>,
    /// People who would let her decide, and have no answer.
    offers: Vec<OfferRow>,
    more_offers: usize,
    /// Whether she may share for one of them.
    shares: bool,
    troubles: Vec<String>,
    again: Vec<Again>,
    csrf: &'a str,
}

/// What somebody may do, and of what.
fn in_words(may: &[May], scopes: &ScopeSet, resources: &Covered) -> String {
    let verbs = may.iter().map(|may| match may {
        May::Approve => "answer requests",
        May::Share => "share",
    });
    let about = match resources {
        Covered::All => "everything of yours".to_owned(),
        Covered::Only(some) if some.len() == 1 => "one thing of yours".to_owned(),
        Covered::Only(some) => format!("{} things of yours", some.len()),
    };
    let scopes = words::scopes(scopes);
    format!("may {} for you: {scopes}, of {about}", words::list(verbs))
}

/// What a server lists, and does not stand in her ledger as what holds.
fn row(holdings: &Holdings, known: &Known, one: &DelegationDocument, reader: &ui::Reader) -> Row {
    let name = &one.delegate;
    let who = name.email.clone().or(name.resource_owner_id.clone()).or(name.account.as_ref().map(|id| id.as_str().to_owned()));
    let id = one.id.clone().unwrap_or_default();
    let is_hers = one.delegation.as_deref().is_some_and(|text| holdings.ledger.has_text(text));
    Row {
        link: known.link.id.clone(),
        who: who.map_or_else(|| "Somebody whose name this desk cannot read".to_owned(), |who| words::readable(&who)),
        may: in_words(&one.may, &one.resource_scopes, &one.resources),
        until: one.expires_at.map(|end| reader.until(end)).unwrap_or_default(),
        place: host_of(known.link.place.url()),
        signed: false,
        not_signed: one.delegation.is_some() && !is_hers,
        unclear: known.snapshot.unclear_delegations.get(&id).map(|unclear| words::list(unclear.iter().cloned())),
        taken_back: is_hers,
        id,
    }
}

/// What she signed, from her ledger.
fn signed_row(id: &str, word: &Word, reader: &ui::Reader) -> Option<Row> {
    let Said::Delegation(delegation) = &word.said else { return None };
    Some(Row {
        link: String::new(),
        id: id.to_owned(),
        who: words::readable(&delegation.sub),
        may: in_words(&delegation.may, &delegation.resource_scopes, &delegation.resources),
        until: reader.until(delegation.exp),
        place: words::list(word.guards.iter().map(|guard| host_of(guard))),
        signed: true,
        not_signed: false,
        unclear: None,
        taken_back: false,
    })
}

/// Whether this is what a server makes of something that stands in her ledger, and that she did not take back.
fn is_of_ledger(holdings: &Holdings, known: &Known, one: &DelegationDocument, now: Timestamp) -> bool {
    let issuer = known.link.place.issuer();
    let means = |word: &Word| {
        let by_name = Some(word.jti()) == one.id.as_deref() && word.guards.iter().any(|guard| guard == issuer);
        matches!(word.said, Said::Delegation(_)) && (by_name || one.delegation.as_deref() == Some(word.text.as_str()))
    };
    holdings.ledger.live(now).any(|(_, word)| means(word))
}

pub(super) async fn list(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    at_desk(manager, &parts.headers, async |manager, person| shown(manager, person, &query, Vec::new()).await).await
}

/// People whose offer she took up.
fn taken(holdings: &Holdings) -> First<OfferRow> {
    let of = |known: &Known| {
        let (link, place) = (known.link.id.clone(), host_of(known.link.place.url()));
        let row = move |other: &ForOther| OfferRow {
            link: link.clone(),
            owner: other.owner.clone(),
            name: words::readable(&other.name),
            may: String::new(),
            place: place.clone(),
        };
        let is_taken = |other: &&ForOther| known.link.offers.get(&other.owner) == Some(&true);
        known.snapshot.for_others.iter().filter(is_taken).map(row).collect::<Vec<_>>()
    };
    First::of(holdings.servers.iter().flat_map(of))
}

async fn shown(manager: &Arc<Manager>, person: &Person, query: &Fields, failed: Vec<String>) -> Shown {
    let holdings = manager.holdings(&person.owner).await?;
    let has_key = manager.current_key(&person.owner).await?.is_some();
    let things = chosen(&holdings, query);
    let able = |known: &&Known| known.snapshot.delegations_endpoint.is_some();
    let servers = holdings.servers.iter().filter(able);
    let now = manager.now();
    let signed = holdings.ledger.live(now).filter_map(|(id, word)| signed_row(id, word, &person.reader));
    let listed = holdings.servers.iter().flat_map(|known| known.snapshot.delegations.iter().map(move |one| (known, one)));
    let listed = listed
        .filter(|(known, one)| !is_of_ledger(&holdings, known, one, now))
        .map(|(known, one)| row(&holdings, known, one, &person.reader));
    let rows = signed.chain(listed);
    let others = holdings.servers.iter().flat_map(|known| {
        let place = host_of(known.link.place.url());
        known.snapshot.for_others.iter().map(move |one| {
            let stale = if one.is_stale { " (what waits there could not be read just now)" } else { "" };
            let part = if one.is_in_part { " (until you accept it, the first of what is there)" } else { "" };
            format!("{}, at {place}{part}{stale}", words::readable(&one.name))
        })
    });
    let (offers, more_offers) = super::offers::rows(&holdings);
    let body = ui::render(&DelegationsPage {
        names: things.iter().take(10).map(|thing| thing.name.as_str()).collect(),
        more: things.len().saturating_sub(10),
        keys: things.iter().map(|thing| thing.key.as_str()).collect(),
        has_key,
        failed,
        listed: First::of(rows),
        servers: servers.map(|known| Server { link: known.link.id.clone(), place: host_of(known.link.place.url()) }).collect(),
        for_others: First::of(others),
        taken: taken(&holdings),
        offers,
        more_offers,
        shares: holdings.servers.iter().any(|known| known.snapshot.for_others.iter().any(|one| !one.shareable.is_empty())),
        troubles: troubles(&holdings, &person.reader),
        again: told_again(&holdings),
        csrf: &person.csrf,
    });
    Ok(page(manager, Some(person), StatusCode::OK, "Who decides for you", "/people", &body))
}

/// What a form says, or what is wrong with it.
fn delegating_of(person: &Person, fields: &Fields) -> Result<Delegating, Trouble> {
    let refused = |what: &str| Err(Trouble::Refused(what.into()));
    let may: Vec<&str> = ["approve", "share"].into_iter().filter(|may| fields.all("may").any(|own| own == *may)).collect();
    let words = fields.one("scopes").split([' ', ',']).filter(|scope| !scope.is_empty());
    let Ok(scopes) = words.map(Scope::parse).collect::<Result<ScopeSet, _>>() else {
        return refused("Write what they may let others do as words, such as: view, download.");
    };
    let until = person.reader.end_of_date(fields.one("until"));
    let (Some(until), false, false) = (until, may.is_empty(), scopes.is_empty()) else {
        return refused("Say what they may do, with which scopes, and a last day that is not over.");
    };
    let who = match fields.one("email") {
        did if did.starts_with("did:") => Some(did.to_owned()),
        typed => types::email::normalize(typed),
    };
    let Some(who) = who else { return refused("Say who: by an e-mail address, or by the name of their key (did:...).") };
    Ok(Delegating {
        who,
        things: fields.all("thing").map(str::to_owned).collect(),
        at: fields.all("link").filter(|link| !link.is_empty()).map(str::to_owned).collect(),
        scopes,
        may,
        until,
    })
}

pub(super) async fn change(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| match fields.one("what") {
        "end" => end(manager, person, fields).await,
        "sign" => sign(manager, person, fields).await,
        _ => {
            let wanted = delegating_of(person, fields)?;
            if wanted.is_signed() {
                return review(manager, person, &wanted).await;
            }
            let (done, failed) = manager.delegate(&person.owner, &wanted).await?;
            match (done, failed.is_empty()) {
                (0, true) => Err(Trouble::Refused("No server of yours guards this and takes delegations.".into())),
                (_, true) => Ok(see_other("/delegations")),
                _ => shown(manager, person, &Fields::default(), failed).await,
            }
        }
    })
    .await
}

async fn end(manager: &Arc<Manager>, person: &Person, fields: &Fields) -> Shown {
    let holdings = manager.holdings(&person.owner).await?;
    if fields.one("link").is_empty() {
        if holdings.word(fields.one("id")).is_none() {
            return Err(Trouble::Refused("This has ended already.".into()));
        }
        manager.withdraw_words(&person.owner, &[fields.one("id").to_owned()]).await?;
        return Ok(see_other("/withdrawals"));
    }
    let known = holdings.server(fields.one("link"));
    let known = known.ok_or_else(|| Trouble::Refused("This server is not linked any more.".into()))?;
    let one = known.snapshot.delegations.iter().find(|one| one.id.as_deref() == Some(fields.one("id")));
    let one = one.ok_or_else(|| Trouble::Refused("This has ended already.".into()))?;
    let wanted = holdings.end_of(known, one, &row(&holdings, known, one, &person.reader).who);
    manager.ask(&person.owner, wanted.into_iter().collect()).await?;
    Ok(see_other("/withdrawals"))
}

async fn review(manager: &Arc<Manager>, person: &Person, wanted: &Delegating) -> Shown {
    let Some(key) = manager.current_key(&person.owner).await? else {
        return Err(Trouble::Refused("Somebody who is named by a key is named by your signature: make a key first.".into()));
    };
    let holdings = manager.holdings(&person.owner).await?;
    let (id, prepared) = manager.prepare_delegation(person, &holdings, wanted, &key.did)?;
    let shown = ToBeSigned {
        title: "Let them decide?",
        lead: format!(
            "You are about to sign that {} decides for you, as far as it says here. Servers that keep your things believe it, \
             whatever another server says.",
            wanted.who
        ),
        action: "/delegations",
        what: "sign",
    };
    Ok(super::keys::sign_page(manager, person, &key, (id, &prepared), &shown))
}

async fn sign(manager: &Arc<Manager>, person: &Person, fields: &Fields) -> Shown {
    let passphrase = fields.all("passphrase").next().unwrap_or_default();
    let key = manager.key_for(person, fields.one("did"), passphrase, brought(fields)).await?;
    let signed = manager.sign(person, fields.one("prepared"), &key).await?;
    match signed.failed.is_empty() {
        true => Ok(see_other("/delegations")),
        false => shown(manager, person, &Fields::default(), signed.failed).await,
    }
}
