//! What the person gave, and to which authorization server it may go. A resource server names the authorization server, and
//! anybody may be a resource server: so a secret and a claim token go to a server that the person named herself, and to no
//! other (RFC 6749 2.3, RFC 9700 4.4).

use super::Options;
use crate::Exit;
use crate::config::{Config, is_loopback};
use types::spelling::readable;
use url::Url;

/// What a client may ask for by `--scope`, where nobody said.
const USUAL_SCOPE: &str = "view edit";

/// What this client is at one server.
#[derive(Clone)]
pub(super) struct Registration {
    pub(super) client_id: String,
    pub(super) secret: Option<String>,
    /// An ID token that says who asks.
    pub(super) claim_token: Option<String>,
}

impl Registration {
    /// Whether there is something that a server could use in its place.
    pub(super) fn is_secret(&self) -> bool {
        self.secret.is_some() || self.claim_token.is_some()
    }

    /// What to do where the server does not know this client: what its operator would have to declare.
    pub(super) fn describe_missing(&self, issuer: &str, claims_port: u16, wanted: &str) -> String {
        let scope = if wanted.is_empty() { USUAL_SCOPE } else { wanted };
        let text = |text: &str| toml::Value::String(readable(text)).to_string();
        let secret = if self.secret.is_some() { "client_secret_file = \"...\"    # with the secret that you gave\n" } else { "" };
        format!(
            "\n\n`{}` does not know this client, or its secret. If that is your server, put this into its configuration and start it \
             again;\nelse have a client registered there, and name it by --client-id (or by [[get]], see docs/getting.md).\n\n\
             [[client]]\nclient_id = {}\n{secret}grant_types = [\"{}\"]\nscope = {}\nclaims_redirect_uris = \
             [\"http://127.0.0.1:{claims_port}/claims\"]",
            readable(issuer),
            text(&self.client_id),
            types::token::UMA_TICKET,
            text(scope)
        )
    }
}

/// A registration, and the server that it belongs to.
struct Named {
    issuer: String,
    registration: Registration,
}

/// Everything that was given.
pub(super) struct Given {
    /// The server of `--authorization-server`.
    issuer: Option<String>,
    /// What the options say.
    registration: Registration,
    /// What `[[get]]` of the configuration says.
    configured: Vec<Named>,
}

fn read(file: &std::path::Path) -> Result<String, Exit> {
    let text = std::fs::read_to_string(file);
    text.map(|text| text.trim().to_owned()).map_err(|error| Exit::usage(format!("{} cannot be read: {error}", file.display())))
}

/// One issuer, with or without the slash at its end.
fn is_same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// A place that may be called: https, or this very machine.
pub(super) fn check_place(text: &str) -> Result<Url, Exit> {
    let place = Url::parse(text).ok().filter(|url| url.username().is_empty() && url.password().is_none());
    place.filter(|url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))).ok_or_else(|| {
        let shown = readable(text);
        Exit::usage(format!("`{shown}` must be a URL with https (http on this machine alone: 127.0.0.1, [::1] or localhost)"))
    })
}

impl Given {
    pub(super) fn read(options: &Options, config: Option<&Config>) -> Result<Self, Exit> {
        if let Some(issuer) = &options.authorization_server {
            check_place(issuer)?;
        }
        let registration = Registration {
            client_id: options.client_id.clone(),
            secret: options.client_secret_file.as_deref().map(read).transpose()?,
            claim_token: options.claim_token_file.as_deref().map(read).transpose()?,
        };
        let configured = config.map(of_configuration).transpose()?.unwrap_or_default();
        Ok(Self { issuer: options.authorization_server.clone(), registration, configured })
    }

    /// Whether the person named this server, in the options or in the configuration.
    pub(super) fn names(&self, issuer: &str) -> bool {
        self.issuer.as_deref().is_some_and(|own| is_same(own, issuer)) || self.find_configured(issuer).is_some()
    }

    fn find_configured(&self, issuer: &str) -> Option<&Registration> {
        self.configured.iter().find(|named| is_same(&named.issuer, issuer)).map(|named| &named.registration)
    }

    /// What this server may be told. `is_here`: resource and server are both on this machine, where she tries things out.
    pub(super) fn for_server(&self, issuer: &str, is_here: bool) -> Result<&Registration, Exit> {
        let is_secret = self.registration.is_secret();
        let shown = readable(issuer);
        match (&self.issuer, self.find_configured(issuer)) {
            (Some(own), _) if is_same(own, issuer) => Ok(&self.registration),
            (None, Some(registration)) if !is_secret => Ok(registration),
            (Some(own), _) => Err(Exit::failed(format!(
                "the resource is guarded by `{shown}`, and what you gave is for `{own}`: nothing was sent there. If it is yours, \
                 name it by --authorization-server, with what you are there"
            ))),
            (None, _) if is_secret && !is_here => Err(Exit::failed(format!(
                "the resource says that `{shown}` guards it. Your secret or claim token goes to no server that you did not name: \
                 if it is for this one, name it by --authorization-server"
            ))),
            (None, _) => Ok(&self.registration),
        }
    }
}

fn of_configuration(config: &Config) -> Result<Vec<Named>, Exit> {
    let named = config.get.iter().map(|own| {
        let key = |name: &str| format!("[[get]] `{}`: {name}", own.authorization_server);
        let read_claim = |file: &String| config.read_secret(&key("claim_token_file"), file).map(|text| text.trim().to_owned());
        let registration = Registration {
            client_id: own.client_id.clone(),
            secret: config.secret(&key("client_secret"), own.client_secret.as_ref(), own.client_secret_file.as_ref())?,
            claim_token: own.claim_token_file.as_ref().map(read_claim).transpose()?,
        };
        Ok(Named { issuer: own.authorization_server.clone(), registration })
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(issuer: Option<&str>, secret: Option<&str>, claim_token: Option<&str>) -> Given {
        let own = |client_id: &str, secret: Option<&str>, claim_token: Option<&str>| Registration {
            client_id: client_id.into(),
            secret: secret.map(Into::into),
            claim_token: claim_token.map(Into::into),
        };
        let configured =
            vec![Named { issuer: "https://as.example".into(), registration: own("printer", Some("s2"), Some("c2")) }];
        Given { issuer: issuer.map(Into::into), registration: own("app", secret, claim_token), configured }
    }

    #[test]
    fn what_was_given_goes_to_the_server_that_it_is_for() {
        let who = |given: &Given, issuer: &str, is_here| given.for_server(issuer, is_here).ok().map(|own| own.client_id.clone());
        let secret = Some("s1");
        for (named, secret, claim, issuer, is_here, told) in [
            // named by option, and by the configuration
            (Some("https://bar.example"), secret, secret, "https://bar.example", false, Some("app")),
            (Some("https://bar.example/"), secret, None, "https://bar.example", false, Some("app")),
            (None, None, None, "https://as.example/", false, Some("printer")),
            // another than was named, and one that resembles it
            (Some("https://bar.example"), None, None, "https://evil.example", false, None),
            (Some("https://bar.example"), secret, None, "https://as.example", false, None),
            (Some("https://bar.example"), secret, None, "https://bar.example:8443", false, None),
            (Some("https://bar.example"), secret, None, "https://bar.example.evil.example", false, None),
            (Some("https://bar.example"), secret, None, "http://bar.example", true, None),
            (Some("https://bar.example"), secret, None, "https://bar.example/tenant", false, None),
            // nobody said whose the secret, or the claim token, is
            (None, secret, None, "https://evil.example", false, None),
            (None, None, secret, "https://evil.example", false, None),
            (None, secret, None, "https://as.example", false, None),
            // nothing that could be lost, and this machine
            (None, None, None, "https://evil.example", false, Some("app")),
            (None, secret, secret, "http://127.0.0.1:8080", true, Some("app")),
        ] {
            assert_eq!(who(&given(named, secret, claim), issuer, is_here).as_deref(), told, "{named:?} {issuer}");
        }
        let error = given(None, secret, None).for_server("https://evil.example", false).map(drop).unwrap_err();
        assert!(matches!(error, Exit::Failed(what) if what.contains("--authorization-server")));
    }

    /// What is proposed to a server's operator is a configuration that works, whatever the client is called.
    #[test]
    fn what_a_server_lacks_can_be_pasted_into_its_configuration() {
        for (client_id, secret, wanted) in
            [("wayleave-get", None, ""), ("pr\"in]ter\n[server]", Some("s".to_owned()), "view print")]
        {
            let own = Registration { client_id: client_id.into(), secret, claim_token: None };
            let advice = own.describe_missing("https://as.example", 9002, wanted);
            let (said, snippet) = advice.split_once("[[client]]").unwrap();
            assert!(said.contains("`https://as.example`"), "{said}");
            let snippet = format!("[[client]]{snippet}");
            let config = Config::parse(&snippet, std::iter::empty(), std::path::PathBuf::new()).unwrap();
            let client = config.client.first().unwrap();
            assert_eq!(client.client_id, readable(client_id));
            assert_eq!(client.scope, if wanted.is_empty() { "view edit" } else { wanted });
            assert_eq!(client.claims_redirect_uris, ["http://127.0.0.1:9002/claims"]);
            assert_eq!(client.client_secret_file.is_some(), own.secret.is_some());
        }
    }

    #[test]
    fn only_this_machine_is_called_without_tls() {
        for (good, url) in [
            (true, "https://as.example/x"),
            (true, "http://127.0.0.1:8080"),
            (true, "http://127.9.9.9"),
            (true, "http://[::1]:1/x"),
            (true, "http://localhost/x"),
            (false, "http://127.0.0.1.nip.example/"),
            (false, "http://localhost.evil.example/"),
            (false, "http://127.0.0.1@evil.example/"),
            (false, "http://user@127.0.0.1/"),
            (false, "http://as.example/"),
            (false, "ftp://127.0.0.1/"),
            (false, "javascript:alert(1)"),
            (false, "foo"),
        ] {
            assert_eq!(check_place(url).is_ok(), good, "{url}");
        }
    }
}
