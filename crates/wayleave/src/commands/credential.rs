//! `wayleave credential new|prove` and `wayleave rot sign|verify` (protocol.md 3): an owner's key in a file, for people
//! who try things out and for tests. A relationship manager keeps keys better.

use crate::{Exit, say};
use jose::resource_owner_token::{self, AllowedParty, AllowedResource};
use jose::{Algorithm, Clock, ResourceOwnerToken, SigningKey, SystemClock, SystemRandomness, UnverifiedToken, base64url, did};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use types::Timestamp;
use types::credential::PROOF_TYPE;
use types::json::OneOrMany;

/// Seconds that a token lives where its claims do not say: 90 days.
const LIFETIME: i64 = 90 * 86_400;

#[derive(clap::Subcommand)]
pub enum Credential {
    /// Make a key, and print the credential to register
    #[command(after_help = "Example:\n  wayleave credential new --key alice.key")]
    New {
        /// Where the private key goes; the file must not exist
        #[arg(long)]
        key: PathBuf,
        /// P-256 and did:jwk instead of Ed25519 and did:key
        #[arg(long)]
        p256: bool,
    },
    /// Prove to a server that you have the key: prints the `proof` to send
    #[command(
        after_help = "Example:\n  wayleave credential prove --key alice.key --audience https://as.example --challenge CHALLENGE"
    )]
    Prove {
        /// File of the key
        #[arg(long)]
        key: PathBuf,
        /// The server: its issuer, or its `resource`
        #[arg(long)]
        audience: String,
        /// The challenge that it answered
        #[arg(long)]
        challenge: String,
    },
}

#[derive(clap::Subcommand)]
pub enum Rot {
    /// Sign what a JSON file says: `aud`, `resources` and `allowed_rqp` at least
    #[command(
        after_help = "Example:\n  wayleave rot sign --key alice.key share.json\n\nWhoever the token lets in can read all of it: sign one for each person."
    )]
    Sign {
        /// File of the key
        #[arg(long)]
        key: PathBuf,
        /// The JSON file
        claims: PathBuf,
    },
    /// Check a token's form and its signature by the key in its DID, and print what it says
    #[command(after_help = "Example:\n  wayleave rot verify share.rot")]
    Verify {
        /// File of the token
        token: PathBuf,
    },
}

/// The file of a key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    did: String,
    algorithm: Algorithm,
    /// base64url.
    pkcs8: String,
}

/// What a person writes; the rest is filled in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    #[serde(default)]
    jti: Option<String>,
    aud: OneOrMany,
    #[serde(default)]
    nbf: Option<Timestamp>,
    #[serde(default)]
    exp: Option<Timestamp>,
    resources: Vec<AllowedResource>,
    allowed_rqp: AllowedParty,
}

pub fn run(command: Credential) -> Result<(), Exit> {
    match command {
        Credential::New { key, p256 } => new(&key, if p256 { Algorithm::Es256 } else { Algorithm::EdDsa }),
        Credential::Prove { key, audience, challenge } => {
            let (key, did) = read_key(&key)?;
            let claims = json!({"aud": audience, "nonce": challenge, "iat": SystemClock.now()});
            say::line(&key.sign_as(PROOF_TYPE, &did, &claims).map_err(Exit::failed)?);
            Ok(())
        }
    }
}

fn new(place: &Path, algorithm: Algorithm) -> Result<(), Exit> {
    let key = SigningKey::generate(algorithm).map_err(Exit::failed)?;
    let did = did::of_key(key.public());
    let pkcs8 = base64url::encode(key.to_pkcs8().map_err(Exit::failed)?);
    let text = serde_json::to_string_pretty(&KeyFile { did: did.clone(), algorithm, pkcs8 }).map_err(Exit::failed)?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(place).and_then(|mut file| {
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        // half a key is none
        written.inspect_err(|_| drop(std::fs::remove_file(place)))
    });
    written.map_err(|error| {
        Exit::usage(match error.kind() {
            ErrorKind::AlreadyExists => {
                format!("{} is there already: name a new file, a key is never written over", place.display())
            }
            _ => format!("{}: {error}", place.display()),
        })
    })?;
    say::line(&json!({"cred_type": "did", "cred_value": {"id": did}}).to_string());
    Ok(())
}

fn read_key(place: &Path) -> Result<(SigningKey, String), Exit> {
    let wrong = |what: &dyn std::fmt::Display| Exit::usage(format!("{}: {what}", place.display()));
    let text = std::fs::read(place).map_err(|error| wrong(&error))?;
    let file: KeyFile = types::json::parse_hidden(&text).map_err(|error| wrong(&error))?;
    let pkcs8 = base64url::decode(&file.pkcs8).ok_or_else(|| wrong(&"`pkcs8` is no base64url"))?;
    let key = SigningKey::from_pkcs8(file.algorithm, &pkcs8).map_err(|error| wrong(&error))?;
    if did::of_key(key.public()) != file.did {
        return Err(wrong(&"the key is not the one of its `did`"));
    }
    Ok((key, file.did))
}

pub fn rot(command: Rot) -> Result<(), Exit> {
    match command {
        Rot::Sign { key, claims } => sign(&key, &claims),
        Rot::Verify { token } => verify(&token),
    }
}

fn sign(key: &Path, claims: &Path) -> Result<(), Exit> {
    let (key, did) = read_key(key)?;
    let wrong = |what: &dyn std::fmt::Display| Exit::usage(format!("{}: {what}", claims.display()));
    let text = std::fs::read(claims).map_err(|error| wrong(&error))?;
    let draft: Draft = types::json::parse(&text).map_err(|error| wrong(&error))?;
    let now = SystemClock.now();
    let token = ResourceOwnerToken {
        jti: draft.jti.unwrap_or_else(|| jose::ambient::random_text::<16>(&SystemRandomness)),
        iss: did.clone(),
        aud: draft.aud,
        iat: now,
        nbf: draft.nbf,
        exp: draft.exp.unwrap_or(now.plus(LIFETIME)),
        resource_owner_id: did,
        resources: draft.resources,
        allowed_rqp: draft.allowed_rqp,
        delegation: None,
    };
    let text = resource_owner_token::sign(&key, &token).map_err(Exit::failed)?;
    // what nobody would take is not given out
    check(&text).map_err(|error| wrong(&error))?;
    say::line(&text);
    if names_several(&token.allowed_rqp) {
        say::aside(NAMES_SEVERAL);
    }
    Ok(())
}

/// The text goes whole with the RPT of each of them.
const NAMES_SEVERAL: &str = "everybody whom this token lets in can read all addresses in it: sign one for each person if they are not to know of each other";

fn names_several(party: &AllowedParty) -> bool {
    party.claims.get("email").and_then(serde_json::Value::as_array).is_some_and(|all| all.len() > 1)
}

fn check(text: &str) -> Result<ResourceOwnerToken, String> {
    let unverified = UnverifiedToken::parse(text).map_err(|error| error.to_string())?;
    let keys = did::keys_of(&unverified.issuer().unwrap_or_default()).map_err(|error| error.to_string())?;
    unverified.verify(&keys).map(jose::Verified::into_inner).map_err(|error| error.to_string())
}

fn verify(token: &Path) -> Result<(), Exit> {
    let text = std::fs::read_to_string(token).map_err(|error| {
        // a token is good for whoever has it: it is not said again
        let is_token = token.to_str().is_some_and(|text| UnverifiedToken::parse(text).is_ok());
        Exit::usage(match is_token {
            true => "name a file that holds the token, and not the token itself".to_owned(),
            false => format!("{}: {error}", token.display()),
        })
    })?;
    let token = check(text.trim()).map_err(Exit::failed)?;
    say::line(&serde_json::to_string_pretty(&token).map_err(Exit::failed)?);
    if token.exp <= SystemClock.now() {
        return Err(Exit::failed("the signature is good, but the token has expired"));
    }
    Ok(())
}
