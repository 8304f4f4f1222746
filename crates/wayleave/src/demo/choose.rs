//! The story `choose`: one owner's resources, any authorization server. Her pictures at one gateway under two servers, a
//! third that she brings by her address, an album that moves while somebody reads it, a server that turns hostile, an
//! archive without log-in that finds her records, and the history that shows it.

mod cast;
mod world;

use super::exchanges::Exchanges;
use super::story::{Told, so, step};
use cast::Cast;
use outbound::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
pub(super) use world::World;

/// Plays it; an error says at which point it broke off.
pub(super) async fn play(world: &World, folder: &Path, exchanges: Exchanges) -> Told<()> {
    let albums = super::story::choose(folder)?;
    let mut cast = Cast::gather(world, exchanges).await?;
    cast.links(&albums).await?;
    let (first, second) = (format!("/{}", albums.0), format!("/{}", albums.2));
    let picture = format!("{}{first}/{}", world.gateway, albums.1);
    cast.signs_for_bob(&first, &second).await?;
    cast.reads(&picture).await?;
    cast.brings_a_third(&first).await?;
    cast.moves_while_bob_reads(&first, &picture).await?;
    cast.is_betrayed(&second, folder).await?;
    cast.is_found_in_the_archive().await?;
    cast.looks_back().await?;
    step("That is the story. Three servers, and none of them could let anybody in whom Alice had not.");
    Ok(())
}

impl Cast<'_> {
    async fn links(&mut self, albums: &(String, String, String)) -> Told<()> {
        let (a, b) = (self.world.servers.0.clone(), self.world.servers.1.clone());
        step("Alice's pictures lie behind one gateway. She links it with two authorization servers of different operators.");
        for issuer in [&a, &b] {
            let encoded: String = form_urlencoded::byte_serialize(issuer.as_bytes()).collect();
            let url = format!("{}/.wayleave/link?owner=alice&authorization_server={encoded}", self.world.gateway);
            self.follows(&url, "Linked").await?;
            so(&format!("linked with {issuer}"));
        }
        for (album, issuer) in [(&albums.0, &a), (&albums.2, &b)] {
            self.only_at(&format!("/{album}"), issuer).await?;
            so(&format!("`{album}` is guarded by {issuer}"));
        }
        Ok(())
    }

    async fn signs_for_bob(&mut self, first: &str, second: &str) -> Told<()> {
        step("This gateway believes nobody but her. She registers her key there and at both servers, and signs what Bob may.");
        self.registers_key(&self.world.gateway.clone(), None).await?;
        let issuers = [self.world.servers.0.clone(), self.world.servers.1.clone()];
        for issuer in &issuers {
            self.registers_key(issuer, Some(issuer)).await?;
        }
        self.signs("bobs-albums", &[first, second], &issuers).await?;
        so("one token of hers: Bob, if he proves bob@bar.example, may view both albums");
        Ok(())
    }

    async fn reads(&mut self, picture: &str) -> Told<()> {
        step("Bob asks for a picture.");
        let bytes = self.bob_reads(picture).await?;
        so(&format!("he proves his address and gets {bytes} bytes; her token came with his, and the gateway checked it"));
        Ok(())
    }

    async fn brings_a_third(&mut self, first: &str) -> Told<()> {
        step("Alice would rather have a server of her own choice. She names her address there.");
        let (status, answer) =
            self.manage(Method::POST, "/authorization-servers", json!({"address": "alice@quux.example"})).await?;
        let to =
            answer.get("authorize_uri").and_then(Value::as_str).ok_or_else(|| format!("HTTP {status}: {answer}"))?.to_owned();
        so("WebFinger of quux.example says which server that is; the gateway registers there, with its own key");
        self.follows(&to, "Almost linked").await?;
        so("the account there has another address: the gateway waits for her word");
        let third = self.world.servers.2.clone();
        let encoded: String = form_urlencoded::byte_serialize(third.as_bytes()).collect();
        let (_, confirmed) = self.manage(Method::PUT, &format!("/authorization-servers/{encoded}"), json!({})).await?;
        so(&format!("she confirms it: {}", confirmed.get("pat").and_then(Value::as_str).unwrap_or("nothing")));
        self.registers_key(&third, Some(&third)).await?;
        self.signs("bobs-album-there", &[first], std::slice::from_ref(&third)).await
    }

    async fn moves_while_bob_reads(&mut self, first: &str, picture: &str) -> Told<()> {
        step("She moves an album there, while Bob goes on reading.");
        let mut reading = self.bob_goes_on_reading(picture);
        reading.goes_on(100).await;
        let registration = self.registration_of(first).await?;
        let path = format!("{}/registrations/{registration}", cast::resource(first));
        let (status, moved) = self.manage(Method::PUT, &path, json!({"authorization_server": self.world.servers.2})).await?;
        if status != 200 {
            return Err(format!("it did not move: HTTP {status}: {moved}"));
        }
        for what in moved.get("not_carried").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            so(&format!("not carried - {what}"));
        }
        reading.goes_on(100).await;
        let read = reading.stop().await?;
        so(&format!(
            "Bob read {} times and was sent to another server {} times; never was the album open, or gone",
            read.times, read.sent
        ));
        if read.sent < 2 { Err("he should have been sent to the new server".into()) } else { Ok(()) }
    }

    async fn is_betrayed(&mut self, second: &str, folder: &Path) -> Told<()> {
        step("The second server turns hostile: its operator writes a share that Alice never made, for everybody.");
        let picture = std::fs::read_dir(folder.join(second.trim_start_matches('/'))).into_iter().flatten().flatten().next();
        let name = picture.and_then(|entry| entry.file_name().into_string().ok()).unwrap_or_default();
        let url = format!("{}{second}/{name}", self.world.gateway);
        let status = self.mallory_tries(&url).await?;
        so(&format!("Mallory gets a token there - and HTTP {status} from the gateway: Alice did not sign that"));
        if status != 401 { Err("Mallory should have been refused".into()) } else { Ok(()) }
    }

    async fn is_found_in_the_archive(&mut self) -> Told<()> {
        step("An archive keeps letters of hers, and has no log-in. She lets her server ask whether it knows her.");
        let search = self.searches().await?;
        let to = search.get("authorize_uri").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.consents_to_search(&to).await?;
        so("she sees what would be told: her name and date of birth, which the server knows, and an address, her own word");
        let begun = Instant::now();
        let letters = format!("{}/letters/first.txt", self.world.archive);
        while self.is_unlinked(&letters).await? {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err("the archive did not find her".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        so("the archive has `SMITH, Alice M., 31/01/1980`: it is she, and her letters are under her server's protection now");
        Ok(())
    }

    async fn looks_back(&mut self) -> Told<()> {
        step("What the gateway tells her, newest first:");
        let (_, history) = self.manage(Method::GET, "/my-history", Value::Null).await?;
        let text = |line: &Value, name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut betrayed = false;
        for line in history.as_array().into_iter().flatten() {
            let why = text(line, "why");
            betrayed |= why.contains("without the owner's own token");
            let because = if why.is_empty() { format!("signed: {}", text(line, "authority")) } else { why };
            let count = line.get("count").and_then(Value::as_u64).unwrap_or(0);
            so(&format!(
                "{:8} {count:3} x {} by {} ({because})",
                text(line, "outcome"),
                text(line, "resource_id"),
                text(line, "authorization_server")
            ));
        }
        if betrayed { Ok(()) } else { Err(format!("the history does not show the betrayal: {history}")) }
    }
}
