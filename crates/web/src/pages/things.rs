//! How a thing stands on the owner's pages: its name, its picture, and where it is kept. What a resource server says of it is
//! shown as its words; a picture is shown only from the place that keeps the thing. Called by the owner's pages.

use crate::Shared;
use crate::browser::origin_of;
use crate::identity::quoted;
use identity::Failure;
use types::resource::OwnedResource;
use types::spelling::readable;
use types::{ClientId, ResourceServerId, Timestamp};

/// The picture of a thing: its own, over one by its type.
pub(super) struct Picture {
    pub(super) own: Option<String>,
    /// An outline, 24 by 24.
    pub(super) outline: &'static str,
}

const PHOTO: &str = "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01";
const SOUND: &str =
    "M9 18V6l10-2v12M9 18a2.5 2.5 0 1 1-2.5-2.5A2.5 2.5 0 0 1 9 18zM19 16a2.5 2.5 0 1 1-2.5-2.5A2.5 2.5 0 0 1 19 16z";
const FILM: &str = "M4 5h16v14H4zM10 9l5 3-5 3z";
const TEXT: &str = "M6 3h9l4 4v14H6zM15 3v4h4M9 12h7M9 16h7";
const HEALTH: &str = "M12 20s-7-4.4-7-9.6A4.1 4.1 0 0 1 12 7a4.1 4.1 0 0 1 7 3.4C19 15.600 12 20 12 20z";
const FOLDER: &str = "M3 6h6l2 2h10v11H3z";

/// By words of its type, else of its name.
fn outline_of(words: &str) -> &'static str {
    let words = words.to_lowercase();
    let has = |some: &[&str]| some.iter().any(|word| words.contains(word));
    if has(&["photo", "picture", "album", "image", "holiday", "jpg"]) {
        PHOTO
    } else if has(&["music", "audio", "song", "sound"]) {
        SOUND
    } else if has(&["video", "film", "movie"]) {
        FILM
    } else if has(&["document", "note", "text", "letter", "pdf", "will"]) {
        TEXT
    } else if has(&["fhir", "health", "patient", "record"]) {
        HEALTH
    } else {
        FOLDER
    }
}

impl Picture {
    pub(super) fn of(thing: &OwnedResource) -> Self {
        let words = thing.description.resource_type.as_deref().or(thing.description.name.as_deref()).unwrap_or_default();
        // whoever keeps it may show it; nobody else learns that she looks at her things
        let is_kept_there = |uri: &&String| {
            let origin = origin_of(uri);
            !origin.is_empty() && origin == origin_of(thing.resource_server.as_str())
        };
        Self { own: thing.description.icon_uri.as_ref().filter(is_kept_there).cloned(), outline: outline_of(words) }
    }
}

/// The origins of pictures, for the policy of a page that shows them.
pub(super) fn origins<'a>(pictures: impl Iterator<Item = &'a Picture>) -> Vec<String> {
    let mut all: Vec<String> = pictures.filter_map(|picture| picture.own.as_deref()).flat_map(origin_of).collect();
    all.sort();
    all.dedup();
    all
}

/// What the thing is called.
pub(super) fn name_of(thing: &OwnedResource) -> String {
    readable(thing.description.name.as_deref().unwrap_or(thing.id.as_str()))
}

/// What the place is called that keeps something, or where it is.
pub(super) async fn place_of(app: &Shared, server: &ResourceServerId) -> Result<String, Failure> {
    let client = match app.identity.store.find_client_by_resource(server.as_str()).await? {
        Some(client) => Some(client),
        None => app.identity.store.find_client(&ClientId::new(server.as_str())).await?.map(|client| (*client).clone()),
    };
    Ok(match client.filter(|client| client.name.is_some()) {
        Some(client) => quoted(&client),
        None => readable(server.as_str().split_once("://").map_or(server.as_str(), |(_, rest)| rest).trim_end_matches('/')),
    })
}

/// What an application is called.
pub(super) async fn client_name(app: &Shared, id: &ClientId) -> Result<String, Failure> {
    let client = app.identity.store.find_client(id).await?;
    Ok(client.map_or_else(|| readable(id.as_str()), |client| quoted(&client)))
}

/// What it was called then: its new name says nothing of what it did before.
pub(super) async fn client_name_at(app: &Shared, id: &ClientId, time: Timestamp) -> Result<String, Failure> {
    let client = app.identity.store.find_client(id).await?;
    Ok(client.map_or_else(
        || readable(id.as_str()),
        |client| match client.declared {
            true => client.display_name(),
            false => ui::quote(&client.display_name_at(time)),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_picture_comes_from_where_the_thing_is_kept() {
        for (icon, is_shown) in [
            ("https://rs.example/icons/1.png", true),
            ("https://evil.example/spy.png", false),
            ("https://rs.example.evil.example/spy.png", false),
            ("http://rs.example/1.png", false),
            ("javascript:alert(1)", false),
            ("data:image/svg+xml,x", false),
            ("", false),
        ] {
            let thing = json!({"_id": "1", "resource_server": "https://rs.example", "user_access_policy_uri": "", "policies": [],
                "resource_scopes": ["view"], "icon_uri": icon, "type": "https://types.example/photoalbum"});
            let picture = Picture::of(&serde_json::from_value(thing).unwrap());
            assert_eq!((picture.own.is_some(), picture.outline), (is_shown, PHOTO), "{icon}");
        }
        let here = Picture { own: Some("https://rs.example/1.png".into()), outline: TEXT };
        assert_eq!(origins([&here, &here].into_iter()), ["https://rs.example"]);
    }
}
