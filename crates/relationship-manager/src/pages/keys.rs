//! Her keys: made, opened, registered at her servers, carried elsewhere; and whether her word alone counts.

use super::things::host_of;
use super::{Desk, Fields, at_desk, page, posted, see_other};
use crate::holdings::Known;
use crate::passkey::{Brought, Key};
use crate::person::Person;
use crate::renewal::EndingWord;
use crate::signing::{Prepared, subject_of};
use crate::vault::{OpenKey, SHORTEST};
use crate::{Manager, Trouble};
use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;

struct KeyRow {
    did: String,
    created: String,
    /// The one that she signs with.
    current: bool,
    open: bool,
    passphrase: bool,
    passkeys: Vec<PasskeyRow>,
    /// Ids of its passkeys, for the browser.
    known: String,
    lacking: Vec<String>,
    having: Vec<String>,
    export: String,
}

struct PasskeyRow {
    credential: String,
    name: String,
    created: String,
}

/// What a page needs to ask a browser for a passkey of this desk.
pub(super) struct Asking {
    pub(super) challenge: String,
    pub(super) party: String,
    pub(super) salt: String,
}

impl Asking {
    /// The challenge is nobody's to check: the secret that comes with the answer opens a key, or does not.
    pub(super) fn of(manager: &Manager, person: &Person) -> Self {
        let (party, salt) = (manager.passkey_party(), manager.passkey_salt(&person.owner));
        Self { challenge: manager.new_id(), party, salt }
    }
}

/// What a passkey brought with a form.
pub(super) fn brought(fields: &Fields) -> Option<Brought<'_>> {
    Brought::of(fields.one("credential"), fields.one("secret"))
}

/// What is said over what will be signed.
pub(super) struct ToBeSigned {
    pub(super) title: &'static str,
    pub(super) lead: String,
    pub(super) action: &'static str,
    pub(super) what: &'static str,
}

#[derive(Template)]
#[template(path = "sign.html")]
struct SignPage<'a> {
    title: &'a str,
    lead: &'a str,
    action: &'a str,
    what: &'a str,
    id: String,
    did: &'a str,
    open: bool,
    passphrase: bool,
    known: String,
    asking: Asking,
    texts: Vec<(String, String)>,
    csrf: &'a str,
}

/// Shows exactly what will be signed, and asks for the key where it is not open.
pub(super) fn sign_page(
    manager: &Manager,
    person: &Person,
    key: &Key,
    (id, prepared): (String, &Prepared),
    shown: &ToBeSigned,
) -> Response {
    let text = |claims: &serde_json::Value| serde_json::to_string_pretty(claims).unwrap_or_default();
    let body = ui::render(&SignPage {
        title: shown.title,
        lead: &shown.lead,
        action: shown.action,
        what: shown.what,
        id,
        did: &key.did,
        open: manager.opened_key(person).is_some_and(|open| open.did == key.did),
        passphrase: key.kept.is_some(),
        known: key.known(),
        asking: Asking::of(manager, person),
        texts: prepared.drafts.iter().map(|draft| (host_of(&draft.name), text(&draft.claims))).collect(),
        csrf: &person.csrf,
    });
    page(manager, Some(person), StatusCode::OK, shown.title, "/keys", &body)
}

struct Demand {
    link: String,
    place: String,
    on: bool,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage<'a> {
    keys: Vec<KeyRow>,
    demands: Vec<Demand>,
    /// Keys that count for her and are not at this desk: subject, and where.
    others: Vec<(String, String)>,
    /// Signed shares that end soon, in words.
    ending: Vec<String>,
    shortest: usize,
    failed: Vec<String>,
    asking: Asking,
    site: &'a str,
    user: String,
    name: &'a str,
    /// Where she says how she logs in, where that is this desk.
    account: Option<String>,
    csrf: &'a str,
}

/// Which of her keys it is.
#[derive(Clone, Copy)]
struct Which {
    current: bool,
    open: bool,
}

fn row(manager: &Manager, servers: &[Known], key: &Key, is: Which, reader: &ui::Reader) -> KeyRow {
    let can = |known: &&Known| !known.link.ended && known.snapshot.signs;
    let (having, lacking): (Vec<&Known>, Vec<&Known>) = servers.iter().filter(can).partition(|known| known.has_key(&key.did));
    let places = |all: Vec<&Known>| all.into_iter().map(|known| host_of(known.link.place.url())).collect();
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("did", &key.did).finish();
    KeyRow {
        did: key.did.clone(),
        created: reader.moment(key.created),
        current: is.current,
        open: is.open,
        passphrase: key.kept.is_some(),
        known: key.known(),
        passkeys: key
            .passkeys
            .iter()
            .map(|one| PasskeyRow {
                credential: one.credential.clone(),
                name: one.name.clone(),
                created: reader.moment(one.created),
            })
            .collect(),
        lacking: places(lacking),
        having: places(having),
        export: format!("{}/keys/export?{query}", manager.settings.url),
    }
}

pub(super) async fn list(State(manager): Desk, request: Request) -> Response {
    at_desk(manager, request.headers(), async |manager, person| shown(manager, person, Vec::new()).await).await
}

async fn shown(manager: &Arc<Manager>, person: &Person, failed: Vec<String>) -> super::Shown {
    let holdings = manager.holdings(&person.owner).await?;
    let all = manager.keys(&person.owner).await?;
    let open = manager.opened_key(person);
    let is_open = |key: &Key| open.as_ref().is_some_and(|open| open.did == key.did);
    let keys = all
        .iter()
        .enumerate()
        .map(|(at, key)| row(manager, &holdings.servers, key, Which { current: at == 0, open: is_open(key) }, &person.reader));
    let demands = holdings.servers.iter().filter_map(|known| {
        let on = known.snapshot.demands_signature?;
        Some(Demand { link: known.link.id.clone(), place: host_of(known.link.place.url()), on })
    });
    let body = ui::render(&KeysPage {
        keys: keys.collect(),
        demands: demands.collect(),
        others: others(&holdings.servers, &all),
        ending: holdings.ending_words(manager.now()).iter().map(|one| ending_in_words(one, &person.reader)).collect(),
        shortest: SHORTEST,
        failed,
        asking: Asking::of(manager, person),
        site: &manager.settings.name,
        user: jose::base64url::encode(jose::digest::sha256(&[person.owner.as_bytes()])),
        name: &person.name,
        account: manager.settings.login.starts_with(&manager.settings.url).then(|| format!("{}/account", manager.settings.login)),
        csrf: &person.csrf,
    });
    Ok(page(manager, Some(person), StatusCode::OK, "Keys", "/keys", &body))
}

fn ending_in_words(ending: &EndingWord<'_>, reader: &ui::Reader) -> String {
    let who = crate::words::who_of_token(&ending.token.allowed_rqp);
    format!("{}: {}, {}", ending.thing.name, who.name(), reader.until(ending.token.exp))
}

/// Credentials that count at her servers without being a key of this desk.
fn others(servers: &[Known], own: &[Key]) -> Vec<(String, String)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for known in servers {
        for subject in known.snapshot.credentials.iter().filter_map(|one| subject_of(&one.cred_value)) {
            if own.iter().any(|key| key.did == subject) {
                continue;
            }
            let place = host_of(known.link.place.url());
            match found.iter_mut().find(|(other, _)| other == subject) {
                Some((_, places)) => places.push(place),
                None => found.push((subject.to_owned(), vec![place])),
            }
        }
    }
    found.into_iter().map(|(subject, places)| (subject, crate::words::list(places))).collect()
}

pub(super) async fn change(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let (did, passphrase) = (fields.one("did"), secret(fields, "passphrase"));
        let passkey = || brought(fields).ok_or_else(|| Trouble::Refused("No passkey was used. Try again.".into()));
        match fields.one("what") {
            "new" if passphrase != secret(fields, "again") => {
                return Err(Trouble::Refused("The two passphrases are not the same.".into()));
            }
            "new" => drop(manager.make_key(person, passphrase).await?),
            "open" => drop(manager.open_key(person, did, passphrase).await?),
            "new-by-passkey" => manager.make_key_by_passkey(person, passkey()?, fields.one("name")).await?,
            "open-by-passkey" => drop(manager.open_by_passkey(person, passkey()?).await?),
            "add-passkey" => {
                manager.add_vault_passkey(person, &just_opened(manager, person, did)?, passkey()?, fields.one("name")).await?
            }
            "remove-passkey" => manager.remove_vault_passkey(person, fields.one("credential")).await?,
            "passphrase" if passphrase != secret(fields, "again") => {
                return Err(Trouble::Refused("The two passphrases are not the same.".into()));
            }
            "passphrase" => manager.seal_under(person, &just_opened(manager, person, did)?, passphrase).await?,
            "delete" if fields.one("sure") != "yes" => {
                return Err(Trouble::Refused("Tick that you are sure: nobody can give the key back to you.".into()));
            }
            "withdraw" if fields.one("sure") != "yes" => {
                return Err(Trouble::Refused("Tick that you are sure: what this key signed ends with it.".into()));
            }
            "withdraw" => {
                manager.withdraw_credential(&person.owner, did).await?;
                return Ok(see_other("/withdrawals"));
            }
            "delete" => manager.delete_key(person, did).await?,
            "renew" => return renew(manager, person, did).await,
            "sign-renewal" => {
                let key = manager.key_for(person, did, passphrase, brought(fields)).await?;
                let signed = manager.sign(person, fields.one("prepared"), &key).await?;
                if !signed.failed.is_empty() {
                    return shown(manager, person, signed.failed).await;
                }
            }
            "close" => manager.close_key(person),
            "import" => manager.import_key(person, fields.one("exported"), passphrase).await?,
            "register" => {
                let failed = manager.register_key(person, &opened(manager, person, did)?).await?;
                if !failed.is_empty() {
                    return shown(manager, person, failed).await;
                }
            }
            "demand" => manager.demand_signature(&person.owner, fields.one("link"), fields.one("on") == "yes").await?,
            _ => return Err(Trouble::Refused("Nothing was asked for.".into())),
        }
        Ok(see_other("/keys"))
    })
    .await
}

/// The key of this name, where this session has it open.
fn opened(manager: &Manager, person: &Person, did: &str) -> Result<OpenKey, Trouble> {
    let open = manager.opened_key(person).filter(|open| open.did == did);
    open.ok_or_else(|| Trouble::Refused("Open the key first.".into()))
}

/// The same, where it was opened a moment ago: whoever finds a key open at a desk that nobody sits at would else open it by a
/// secret of his own from then on.
fn just_opened(manager: &Manager, person: &Person, did: &str) -> Result<OpenKey, Trouble> {
    let (open, is_just) = (opened(manager, person, did)?, manager.is_just_opened(person, did));
    let anew = "You opened it a while ago: close it and open it again first.";
    is_just.then_some(open).ok_or_else(|| Trouble::Refused(anew.into()))
}

/// What she would sign so that nothing ends that she did not mean to end.
async fn renew(manager: &Arc<Manager>, person: &Person, did: &str) -> super::Shown {
    let key = manager.current_key(&person.owner).await?.filter(|key| key.did == did);
    let key = key.ok_or_else(|| Trouble::Refused("You sign with another key now. Load the page again.".into()))?;
    let holdings = manager.holdings(&person.owner).await?;
    let (id, prepared) = manager.prepare_renewal(person, &holdings, &key.did);
    if prepared.drafts.is_empty() {
        return Err(Trouble::Refused("Nothing that you signed ends soon.".into()));
    }
    let lead = "The same words as before, with a new end. The old ones are withdrawn once the new ones stand.".to_owned();
    let shown = ToBeSigned { title: "Sign these anew?", lead, action: "/keys", what: "sign-renewal" };
    Ok(sign_page(manager, person, &key, (id, &prepared), &shown))
}

/// As it was typed: a passphrase may begin or end with a space.
fn secret<'a>(fields: &'a Fields, name: &'a str) -> &'a str {
    fields.all(name).next().unwrap_or_default()
}

#[derive(Template)]
#[template(path = "export.html")]
struct ExportPage<'a> {
    did: &'a str,
    csrf: &'a str,
}

/// Her sealed key in a file: at once where she has just opened it, else for its passphrase.
pub(super) async fn export(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    at_desk(manager, &parts.headers, async |manager, person| {
        let did = query.one("did");
        let sealed = sealed_key(manager, person, did).await?;
        if manager.is_just_opened(person, did) {
            return Ok(sealed);
        }
        let body = ui::render(&ExportPage { did, csrf: &person.csrf });
        Ok(page(manager, Some(person), StatusCode::FORBIDDEN, "Export your key", "/keys", &body))
    })
    .await
}

pub(super) async fn export_by_passphrase(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let did = fields.one("did");
        let sealed = sealed_key(manager, person, did).await?;
        manager.open_key(person, did, secret(fields, "passphrase")).await?;
        Ok(sealed)
    })
    .await
}

/// One of her keys as it is kept: sealed under its passphrase.
async fn sealed_key(manager: &Manager, person: &Person, did: &str) -> super::Shown {
    let key = manager.keys(&person.owner).await?.into_iter().find(|key| key.did == did);
    let key = key.ok_or_else(|| Trouble::Refused("You have no such key here.".into()))?;
    let key = key.kept.ok_or_else(|| {
        Trouble::Refused("Only passkeys open this key. Give it a passphrase first: the export is sealed under it.".into())
    })?;
    let mut response = serde_json::to_string_pretty(&key).unwrap_or_default().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"wayleave-key.json\""));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
