//! `[gateway.forward_auth]`: a proxy asks here before it makes a call.

use resource_server::gateway::OriginalIn;
use serde::{Deserialize, Serialize};

/// `[gateway.forward_auth]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardAuthConfig {
    /// `x-forwarded` or `x-original`: the fields in which it names the call.
    pub headers: String,
}

impl ForwardAuthConfig {
    /// As the gateway takes it.
    pub fn family(&self) -> Result<OriginalIn, String> {
        match self.headers.as_str() {
            "x-forwarded" => Ok(OriginalIn::Forwarded),
            "x-original" => Ok(OriginalIn::Original),
            _ => Err("gateway.forward_auth.headers: it must be x-forwarded (Traefik, Caddy) or x-original (nginx, Envoy)".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::GatewayConfig;
    use super::*;

    #[test]
    fn a_proxy_names_calls_in_one_of_two_families_of_fields() {
        let read = |text: &str| toml::from_str::<ForwardAuthConfig>(text).map_err(|_| "unread".to_owned())?.family();
        assert_eq!(read("headers = 'x-forwarded'"), Ok(OriginalIn::Forwarded));
        assert_eq!(read("headers = 'x-original'"), Ok(OriginalIn::Original));
        for bad in ["headers = 'X-Forwarded'", "headers = ''", "headers = 'both'"] {
            assert!(read(bad).unwrap_err().contains("x-original"), "{bad}");
        }
        for bad in ["", "headers = ['x-forwarded']", "headers = 'x-original'\nproxies = []"] {
            assert_eq!(read(bad), Err("unread".into()), "{bad}");
        }
    }

    #[test]
    fn what_the_proxy_serves_is_said_as_ever() {
        let check = |more: &str| {
            let text = "listen = '127.0.0.1:9000'\nresource = 'https://photos.example'\nclient_id = 'photos'\n\
                        authorization_servers = ['https://as.example']\n";
            let config = toml::from_str::<GatewayConfig>(&format!("{text}{more}")).unwrap();
            config.check().map_err(|fault| fault.to_string())
        };
        let asks = "forward_auth = { headers = 'x-original' }\n";
        assert_eq!(check(&format!("{asks}upstream = 'http://127.0.0.1:9900'")), Ok(()));
        assert_eq!(check(&format!("{asks}folder = 'files'")), Ok(()));
        assert!(check(asks).unwrap_err().contains("`upstream` or `folder`: with [gateway.forward_auth] as well"));
        assert!(check("folder = 'files'\nforward_auth = { headers = 'x' }").unwrap_err().contains("x-forwarded"));
    }
}
