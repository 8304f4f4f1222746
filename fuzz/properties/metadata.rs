//! Metadata of servers, of resources and of clients are read, written and read again alike.

use super::shared::{choose, is_written_again_alike};
use types::client::ClientMetadata;
use types::metadata::{Metadata, ProtectedResourceMetadata};
use types::path::{OAUTH_AUTHORIZATION_SERVER, UMA2_CONFIGURATION, appended_well_known, inserted_well_known};

pub(crate) fn holds(data: &[u8]) {
    let (choice, rest) = choose(data);
    match choice % 4 {
        0 => is_written_again_alike::<Metadata>(rest),
        1 => is_written_again_alike::<ProtectedResourceMetadata>(rest),
        2 => is_written_again_alike::<ClientMetadata>(rest),
        _ => well_known(&String::from_utf8_lossy(rest)),
    }
}

/// Documents of an issuer are at its own host.
fn well_known(issuer: &str) {
    let Ok(url) = url::Url::parse(issuer) else { return };
    if url.as_str().trim_end_matches('/') != issuer.trim_end_matches('/') || url.query().is_some() || url.fragment().is_some() {
        return;
    }
    for place in [appended_well_known(issuer, UMA2_CONFIGURATION), inserted_well_known(issuer, OAUTH_AUTHORIZATION_SERVER)] {
        assert!(place.contains("/.well-known/"));
        let Ok(place) = url::Url::parse(&place) else { continue };
        assert!(!url.has_host() || (place.host(), place.port()) == (url.host(), url.port()), "{issuer} {place}");
    }
}
