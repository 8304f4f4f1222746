//! `[gateway.cors]`: whose scripts may call and read what is guarded.

use serde::{Deserialize, Serialize};
use url::Url;

/// `[gateway.cors]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CorsConfig {
    /// Like `https://app.example`; `*` alone: every origin. None: nothing is said of it.
    #[serde(default)]
    pub origins: Vec<String>,
}

impl CorsConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.origins.len() > 1 && self.origins.iter().any(|origin| origin == "*") {
            return Err("gateway.cors.origins: `*` stands alone".into());
        }
        match self.origins.iter().all(|origin| origin == "*" || is_origin(origin)) {
            true => Ok(()),
            false => {
                Err("gateway.cors.origins: each must be an origin as browsers send it, like https://app.example, without a path \
                          or a slash at the end; or `*`"
                    .into())
            }
        }
    }
}

/// As the `Origin` field has it (RFC 6454 6.2).
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        let check = |origins: &[&str]| CorsConfig { origins: origins.iter().map(|one| (*one).to_owned()).collect() }.check();
        for fine in [&[][..], &["*"], &["https://app.example", "http://127.0.0.1:3000", "http://[::1]:8080"]] {
            assert_eq!(check(fine), Ok(()), "{fine:?}");
        }
        for wrong in [
            "https://app.example/",
            "https://App.example",
            "https://app.example:443",
            "https://app.example/x",
            "https://bob@app.example",
            "app.example",
            "null",
            "https://*.app.example",
            "",
        ] {
            let is_star = wrong.contains('*');
            assert!(check(&[wrong]).is_err() || is_star, "{wrong}");
        }
        assert!(check(&["*", "https://app.example"]).is_err());
    }
}
