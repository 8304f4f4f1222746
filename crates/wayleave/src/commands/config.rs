//! `wayleave config check`: everything that a start would find wrong is found without one.

use super::{gateway, manager, server};
use crate::config::{AccountConfig, ClientConfig, Config};
use crate::{Exit, assemble, say, serve};
use types::spelling::normalize_username;

/// A password of fewer characters is guessed: NIST SP 800-63B-4 3.1.1.2 has 15 where it is the only factor, and never below 8.
const SHORT_PASSWORD: usize = 8;

/// Says which parties the configuration is for, and what works but should not stay so.
pub fn check(config: &Config) -> Result<(), Exit> {
    check_server(config)?;
    if let Some(section) = &config.gateway {
        gateway::check(config, section)?;
    }
    if let Some(section) = &config.manager {
        manager::check(config, section)?;
    }
    say::line("the configuration works");
    for line in describe(config) {
        say::line(&line);
    }
    Ok(())
}

/// Secrets, keys, certificates of an authorization server.
fn check_server(config: &Config) -> Result<(), Exit> {
    assemble::check_store("store.url", &config.store.url)?;
    assemble::mailer(config)?;
    assemble::outbound(config, &[])?;
    assemble::identity_settings(config)?;
    assemble::uma_settings(config)?;
    crate::upstream::of(config)?;
    server::admin_token(config)?;
    for account in &config.account {
        config.secret(account.password.as_ref(), account.password_file.as_ref())?;
    }
    for client in &config.client {
        config.secret(client.client_secret.as_ref(), client.client_secret_file.as_ref())?;
        assemble::declared_keys(config, client)?;
    }
    match &config.server.tls {
        Some(tls) => serve::acceptor(config, tls).map(drop).map_err(Exit::usage),
        None => Ok(()),
    }
}

/// A line for each party, and for each thing to look at.
fn describe(config: &Config) -> Vec<String> {
    let mut lines = vec![format!("  wayleave server: {} listens at {}", config.server.issuer, config.server.listen)];
    lines.push(match &config.gateway {
        Some(gateway) => format!("  wayleave gateway: {} listens at {}", gateway.resource, gateway.listen),
        None => "  wayleave gateway: does not start from this file, which has no [gateway]".into(),
    });
    lines.push(match &config.manager {
        Some(manager) => format!("  wayleave manager: {} listens at {}", manager.url, manager.listen),
        None => "  wayleave manager: does not start from this file, which has no [manager]".into(),
    });
    let is_server_alone = config.gateway.is_none() && config.manager.is_none();
    if is_server_alone && config.account.is_empty() && config.login_provider.is_empty() {
        lines.push("  look: nobody can log in, there is neither an [[account]] nor a [[login_provider]]".into());
    }
    let is_short =
        |account: &&AccountConfig| account.password.as_ref().is_some_and(|password| password.chars().count() < SHORT_PASSWORD);
    lines.extend(config.account.iter().filter(is_short).map(|account| {
        format!(
            "  look: [[account]] `{}`: its password has fewer than {SHORT_PASSWORD} characters: it can be guessed",
            account.username
        )
    }));
    lines.extend(config.client.iter().filter_map(|client| describe_undeclared(config, client)));
    lines
}

/// Whom a client acts for without that being declared beside it.
fn describe_undeclared(config: &Config, client: &ClientConfig) -> Option<String> {
    let name = client.acts_for.as_deref().filter(|name| *name != "self")?;
    let is_declared = |account: &AccountConfig| normalize_username(&account.username) == normalize_username(name);
    let line = || format!("  look: [[client]] `{}`: acts_for `{name}`: there is no such [[account]]", client.client_id);
    (!config.account.iter().any(is_declared)).then(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a secret, an empty file and a folder of things.
    fn place() -> std::path::PathBuf {
        let place = std::env::temp_dir().join(format!("wayleave-config-{}", std::process::id()));
        std::fs::create_dir_all(place.join("things")).unwrap();
        std::fs::write(place.join("secret"), "s3cret-s3cret-s3cret").unwrap();
        std::fs::write(place.join("empty"), "").unwrap();
        place
    }

    fn told(text: &str) -> Result<Vec<String>, String> {
        let said = |exit| match exit {
            Exit::Failed(what) | Exit::Usage(what) => what,
        };
        let config = Config::parse(text, std::iter::empty(), place())?;
        check(&config).map_err(said)?;
        Ok(describe(&config))
    }

    const GATEWAY: &str = "[gateway]\nlisten = '127.0.0.1:0'\nresource = 'http://127.0.0.1:1'\nauthorization_servers = \
                           ['http://127.0.0.1:2']\nclient_id = 'a'\n";

    #[test]
    fn what_a_start_would_find_is_found() {
        for (text, said) in [
            ("[[account]]\nusername = 'a'\npassword_file = 'none'", "none cannot be read"),
            ("[[client]]\nclient_id = 'a'\nclient_secret_file = 'none'", "none cannot be read"),
            ("[[client]]\nclient_id = 'a'\njwks_file = 'none'", "none"),
            ("[[client]]\nclient_id = 'a'\njwks_file = 'secret'", "secret"),
            ("[server.tls]\ncert = 'none'\nkey = 'none'", "server.tls"),
            ("[server.tls]\ncert = 'empty'\nkey = 'empty'", "server.tls"),
            ("[server]\nadmin_token_file = 'empty'", "admin_token_file"),
            ("[outbound]\nca_file = 'none'", "outbound.ca_file"),
            ("[store]\nurl = 'postgres://a/b'", "store.url"),
            ("[store]\nurl = 'mysql://a/b'", "store.url"),
            ("[mail]\nsubmission = 'smtp://127.0.0.1:25'\nfrom = 'a@b.example'\nusername = 'a'\npassword_file = 'none'", "none"),
            ("[[trusted_issuer]]\nissuer = 'https://a.example'\njwks_file = 'none'", "none"),
            (&format!("{GATEWAY}folder = 'none'"), "gateway.folder"),
            (&format!("{GATEWAY}folder = 'secret'"), "gateway.folder"),
            (&format!("{GATEWAY}folder = 'things'\nclient_secret_file = 'none'"), "none cannot be read"),
            (&format!("{GATEWAY}folder = 'things'\nstore = {{ url = 'mysql://a' }}"), "gateway.store.url"),
            (&format!("{GATEWAY}folder = 'things'\ndiscovery = {{ csv = 'none' }}"), "gateway.discovery.csv"),
            (&format!("{GATEWAY}folder = 'things'\nbrowser = {{ client_id = 'b', client_secret_file = 'none' }}"), "none"),
            (
                "[manager]\nlisten = '127.0.0.1:0'\nurl = 'http://127.0.0.1:1'\nstore = { url = 'postgres://a' }",
                "manager.store.url",
            ),
        ] {
            let error = told(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn what_works_is_described_with_what_to_look_at() {
        let lines = told(&format!("{GATEWAY}folder = 'things'")).unwrap().join("\n");
        assert!(lines.contains("wayleave gateway: http://127.0.0.1:1") && lines.contains("no [manager]"), "{lines}");
        assert!(!lines.contains("look:"), "{lines}");
        let lines = told("[[account]]\nusername = 'a'\npassword = 'a'\n[[client]]\nclient_id = 'c'\nacts_for = 'b'").unwrap();
        assert_eq!(lines.iter().filter(|line| line.contains("look:")).count(), 2, "{lines:?}");
        assert!(told("").unwrap().join("\n").contains("nobody can log in"));
    }
}
