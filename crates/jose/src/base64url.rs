//! base64url without padding (RFC 7515 2). Any other spelling of the same bytes is refused, so a
//! token has exactly one text.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Text of these bytes.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Bytes of this text; `None` for padding, foreign characters and stray bits.
pub fn decode(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_spelling() {
        assert_eq!(decode("AA").unwrap(), [0]);
        for other in ["AA==", "AB", "A", "A+", "A A"] {
            assert_eq!(decode(other), None, "{other}");
        }
    }
}
