//! Administration on the server's store: keys, events, invitations.

use super::server::admin::{self, Erase, Erased, Invite};
use crate::config::Config;
use crate::{Exit, assemble, say};
use authorization_server::event::{self, Verdict};
use axum::body::Bytes;
use database::Location;
use identity::Keys;
use jose::{Clock, SystemClock, SystemRandomness};
use serde::Serialize;
use std::path::Path;
use store::Store;
use tokio::net::UnixStream;

/// The server's store and its keys; it must be one that outlives a process.
async fn open(config: &Config) -> Result<(Store, Keys), Exit> {
    let location = assemble::location(config, "store", &config.store)?;
    if location == Location::Memory {
        return Err(Exit::usage("store.url: what is in memory ends with the process: name a store that stays"));
    }
    let sealed = assemble::Sealed { location: &location, schema: store::NAME };
    let key = assemble::read_key_file(config, &SystemRandomness, &[sealed]).await?;
    let store = assemble::open_store(&location, store::NAME).await?;
    let keys = Keys::new(key).map_err(Exit::failed)?;
    keys.load(&store, &SystemClock, &SystemRandomness).await.map_err(Exit::failed)?;
    Ok((store, keys))
}

/// `wayleave key rotate`: a running server takes the new keys up by itself.
pub async fn rotate_keys(config: &Config) -> Result<(), Exit> {
    let (store, keys) = open(config).await?;
    for kid in keys.rotate(&store, SystemClock.now(), &SystemRandomness).await.map_err(Exit::failed)? {
        say::line(&format!("{kid}: published now, signs in {} seconds", identity::keys::LEAD));
    }
    Ok(())
}

/// `wayleave audit verify --head FILE`: each line of the file is an `Event-Head` that somebody kept.
pub async fn verify_heads(config: &Config, file: &Path) -> Result<(), Exit> {
    let heads = std::fs::read_to_string(file).map_err(|error| Exit::usage(format!("{}: {error}", file.display())))?;
    let (store, keys) = open(config).await?;
    let own = keys.own_key_set(SystemClock.now());
    for head in heads.lines().filter(|line| !line.trim().is_empty()) {
        match event::verify_head(&store, &own, head).await.map_err(Exit::failed)? {
            Verdict::Whole { n } => say::line(&format!("the chain is whole: {n} events, and the head is one of them")),
            Verdict::Lost { n } => return Err(Exit::failed(format!("event {n}, which the head vouches for, is lost"))),
            Verdict::Forked { n } => return Err(Exit::failed(format!("event {n} is not the one that the head vouches for"))),
        }
    }
    Ok(())
}

/// `wayleave audit erase --email ADDRESS`: by the running server, if there is one, else on the store itself.
pub async fn erase(config: &Config, email: &str) -> Result<(), Exit> {
    let socket = config.path(&config.server.data_dir).join(admin::SOCKET);
    let events = match UnixStream::connect(&socket).await {
        Ok(stream) => erase_over(stream, email).await?,
        Err(_) => {
            let server = assemble::server(config).await?;
            server.app.authorization_server.erase_requesting_party(email).await.map_err(Exit::failed)?
        }
    };
    say::line(&format!("{events} events told of this address, and do not any more; requests in its name are gone"));
    Ok(())
}

/// `wayleave client invite ADDRESS`: by the running server, which sends the mail.
pub async fn invite(config: &Config, email: &str) -> Result<(), Exit> {
    let socket = config.path(&config.server.data_dir).join(admin::SOCKET);
    let stream = UnixStream::connect(&socket).await;
    let stream = stream.map_err(|error| Exit::failed(format!("{}: {error}: start the server", socket.display())))?;
    post_over(stream, "/invitations", &Invite { email: email.to_owned() }).await?;
    say::line(&format!("{email} was sent a token to register a client with"));
    Ok(())
}

async fn erase_over(stream: UnixStream, email: &str) -> Result<usize, Exit> {
    let body = post_over(stream, "/erase", &Erase { email: email.to_owned() }).await?;
    serde_json::from_slice::<Erased>(&body).map(|erased| erased.events).map_err(Exit::failed)
}

/// The body of what the admin socket answers.
async fn post_over(stream: UnixStream, path: &str, body: &impl Serialize) -> Result<Bytes, Exit> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.map_err(Exit::failed)?;
    tokio::spawn(connection);
    let body = serde_json::to_string(body).map_err(Exit::failed)?;
    let request = http::Request::post(path).header("host", "admin").header("content-type", "application/json").body(body);
    let answer = sender.send_request(request.map_err(Exit::failed)?).await.map_err(Exit::failed)?;
    let (status, body) = (answer.status(), axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 1 << 20).await);
    let body = body.map_err(Exit::failed)?;
    if !status.is_success() {
        return Err(Exit::failed(String::from_utf8_lossy(&body)));
    }
    Ok(body)
}
