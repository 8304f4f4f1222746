//! Where a list of a collection goes on behind something that whoever reads it may not view: its name is sealed, so that a list names
//! nothing that it does not show.

use super::super::Gateway;
use super::super::path::CanonicalPath;
use jose::base64url;

/// Before a sealed mark: no name begins so.
const SEALED: &str = "//";
/// All are of one length, whatever the name's: a name has fewer bytes.
const PADDED_BYTES: usize = 1_024;
/// After the name.
const PADDING: u8 = 0;

impl Gateway {
    pub(super) fn seal_mark(&self, above: &CanonicalPath, mark: &str) -> Option<String> {
        let mut plain = mark.as_bytes().to_vec();
        plain.resize(plain.len().max(PADDED_BYTES), PADDING);
        let sealed = self.sealing.seal(&plain, &context(above), &*self.client.randomness).ok()?;
        Some(format!("{SEALED}{}", base64url::encode(sealed)))
    }

    /// The mark that is meant, sealed or not.
    pub(super) fn open_mark(&self, above: &CanonicalPath, mark: Option<String>) -> Option<String> {
        let mark = mark?;
        let sealed = mark.strip_prefix(SEALED).and_then(base64url::decode);
        let plain = sealed.and_then(|sealed| self.sealing.open(&sealed, &context(above)));
        let plain = plain.and_then(|plain| String::from_utf8(plain).ok());
        Some(plain.map_or(mark, |plain| plain.trim_end_matches(char::from(PADDING)).to_owned()))
    }
}

fn context(above: &CanonicalPath) -> Vec<u8> {
    format!("list of {}", above.encoded()).into_bytes()
}
