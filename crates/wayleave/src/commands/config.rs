//! `wayleave config check`: everything that a start would find wrong is found without one.

use super::{gateway, looks, manager, server};
use crate::config::Config;
use crate::{Exit, assemble, declared, say, serve};

/// Says which parties the configuration is for, and what works but should not stay so.
pub async fn check(config: &Config) -> Result<(), Exit> {
    check_parties(config).map_err(|exit| config.locate(exit))?;
    let mut gone = declared::list_gone(config).await.map_err(|exit| config.locate(exit))?;
    say::line("the configuration works");
    gone.extend(gateway::list_left(config).await.into_iter().map(|line| format!("wayleave gateway: {line}")));
    for line in describe(config).into_iter().chain(gone.into_iter().map(|line| format!("  look: {line}"))) {
        say::line(&line);
    }
    Ok(())
}

fn check_parties(config: &Config) -> Result<(), Exit> {
    check_server(config)?;
    if let Some(section) = &config.gateway {
        gateway::check(config, section)?;
    }
    match &config.manager {
        Some(section) => manager::check(config, section),
        None => Ok(()),
    }
}

/// Secrets, keys, certificates of an authorization server.
fn check_server(config: &Config) -> Result<(), Exit> {
    assemble::location(config, "store", &config.store)?;
    assemble::mailer(config)?;
    assemble::outbound(config, &[])?;
    assemble::identity_settings(config)?;
    assemble::uma_settings(config)?;
    crate::upstream::of(config)?;
    server::admin_token(config)?;
    declared::check(config)?;
    match &config.server.tls {
        Some(tls) => serve::acceptor(config, tls).map(drop).map_err(Exit::usage),
        None => Ok(()),
    }
}

/// A line for each party, and for each thing to look at.
fn describe(config: &Config) -> Vec<String> {
    let mut lines = vec![describe_server(config)];
    lines.push(match &config.gateway {
        Some(gateway) => format!("  wayleave gateway: {} listens at {}", gateway.resource, gateway.listen),
        None => "  wayleave gateway: is not configured in this file, which has no [gateway]".into(),
    });
    lines.push(match &config.manager {
        Some(manager) => format!("  wayleave manager: {} listens at {}", manager.url, manager.listen),
        None => "  wayleave manager: is not configured in this file, which has no [manager]".into(),
    });
    lines.extend(looks::list(config).into_iter().map(|line| format!("  look: {line}")));
    lines
}

/// A server starts from every file: from one that says nothing of it, with defaults.
fn describe_server(config: &Config) -> String {
    let (issuer, listen) = (&config.server.issuer, &config.server.listen);
    match (config.is_for_a_server(), config.is_default()) {
        (false, _) => {
            "  wayleave server: is not configured in this file, which has no [server] with `listen` and `issuer`".into()
        }
        (true, true) => {
            format!("  wayleave server: would start with defaults, since nothing is configured: {issuer} at {listen}")
        }
        (true, false) => format!("  wayleave server: {issuer} listens at {listen}"),
    }
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
        std::fs::write(place.join("lines"), "one\ntwo\n").unwrap();
        std::fs::create_dir_all(place.join("wayleave-data/things")).unwrap();
        let _ = std::os::unix::fs::symlink(place.join("secret"), place.join("things/link"));
        place
    }

    async fn told(text: &str) -> Result<Vec<String>, String> {
        let said = |exit| match exit {
            Exit::Failed(what) | Exit::Usage(what) => what,
        };
        let config = Config::parse(text, std::iter::empty(), place())?;
        check(&config).await.map_err(said)?;
        Ok(describe(&config))
    }

    const PUBLIC: &str = "[[gateway.route]]\npath = '/{rest..}'\npublic = true";
    const GATEWAY: &str = "[gateway]\nlisten = '127.0.0.1:0'\nresource = 'http://127.0.0.1:1'\nauthorization_servers = \
                           ['http://127.0.0.1:2']\nclient_id = 'a'\n";

    #[tokio::test]
    async fn what_a_start_would_find_is_found() {
        for (text, said) in [
            ("[[account]]\nusername = 'a'\npassword_file = 'none'", "that it names cannot be read"),
            ("[[client]]\nclient_id = 'a'\nclient_secret_file = 'none'", "that it names cannot be read"),
            ("[[client]]\nclient_id = 'a'\njwks_file = 'none'", "jwks_file: the file that it names"),
            ("[[client]]\nclient_id = 'a'\njwks_file = 'secret'", "secret"),
            ("[server.tls]\ncert = 'none'\nkey = 'none'", "server.tls"),
            ("[server.tls]\ncert = 'empty'\nkey = 'empty'", "`-----BEGIN CERTIFICATE-----`"),
            ("[server]\nadmin_token_file = 'empty'", "admin_token_file"),
            ("[[account]]\nusername = 'a'\npassword_file = 'empty'", "password_file"),
            ("[[account]]\nusername = 'a'\npassword = ' '", "password: it is empty"),
            ("[[client]]\nclient_id = 'a'\nclient_secret = ''", "client_secret: it is empty"),
            ("[[client]]\nclient_id = 'a'\nclient_secret_file = 'empty'", "is empty: write a secret"),
            ("[[client]]\nclient_id = 'a'\nclient_secret_file = 'lines'", "has more than one line"),
            (&format!("{GATEWAY}folder = 'things'\nclient_secret_file = 'empty'"), "gateway.client_secret_file"),
            (&format!("{GATEWAY}folder = 'things'\nbrowser = {{ client_id = 'b', client_secret = '' }}"), "is empty"),
            (&format!("{GATEWAY}folder = '.'\nclient_secret_file = 'secret'"), "keeps what others may not see"),
            (&format!("{GATEWAY}folder = 'things'\nclient_secret_file = 'things/link'"), "keeps what others may not see"),
            (
                &format!("{GATEWAY}folder = 'things'\nclient_secret = 's3cret'\nstore = {{ url = 'sqlite:things/gateway.db' }}"),
                "keeps what others may not see",
            ),
            (
                &format!("{GATEWAY}folder = 'wayleave-data/things'\nclient_secret_file = 'secret'"),
                "keeps what others may not see",
            ),
            ("[outbound]\nca_file = 'none'", "outbound.ca_file"),
            ("[store]\nurl = 'postgres://a:b:c/d'", "store.url"),
            ("[store]\nurl = 'memory:'\npassword_file = 'x'", "store.password_file"),
            ("[store]\nurl = 'mysql://a/b'", "store.url"),
            (
                "[mail]\nsubmission = 'smtp://127.0.0.1:25'\nfrom = 'a@b.example'\nusername = 'a'\npassword_file = 'none'",
                "that it names",
            ),
            ("[[trusted_issuer]]\nissuer = 'https://a.example'\njwks_file = 'none'", "jwks_file: the file that it names"),
            (&format!("{GATEWAY}folder = 'none'"), "gateway.folder"),
            (&format!("{GATEWAY}folder = 'secret'"), "gateway.folder"),
            (&format!("{GATEWAY}folder = 'things'\nclient_secret_file = 'none'"), "that it names cannot be read"),
            (&format!("{GATEWAY}folder = 'things'\nstore = {{ url = 'mysql://a' }}"), "gateway.store.url"),
            (&format!("{GATEWAY}folder = 'things'\ndiscovery = {{ csv = 'none' }}"), "gateway.discovery.csv"),
            (
                &format!("{GATEWAY}folder = 'things'\nbrowser = {{ client_id = 'b', client_secret_file = 'none' }}"),
                "that it names",
            ),
            ("[manager]\nlisten = '127.0.0.1:0'\nurl = 'http://127.0.0.1:1'\nstore = { url = 'mysql://a' }", "manager.store.url"),
        ] {
            let error = told(text).await.unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    /// What stands in a table with secrets may be one that lost its place, and what a start says goes into a journal.
    #[tokio::test]
    async fn threat_40_no_line_of_a_check_says_what_stands_in_the_file() {
        let account = "[[account]]\nusername = 'alice'\npassword = 'long-enough'\n";
        for text in [
            "[[client]]\nclient_id = 'a'\njwks_file = 'S3cr3t'",
            "[[trusted_issuer]]\nissuer = 'https://a.example'\njwks_file = 'S3cr3t'",
            "[mail]\nsubmission = 'smtp://127.0.0.1:25'\nfrom = 'https://u:S3cr3t@h.example'",
            "[mail]\nsubmission = 'smtp://127.0.0.1:25'\nfrom = 'S3cr3t@'",
            &format!("{account}[[client]]\nclient_id = 'c'\nscope = 'uma_protection'\nacts_for = 'S3cr3t'"),
        ] {
            let said = told(text).await.map_or_else(|error| error, |lines| lines.join("\n"));
            assert!(!said.contains("S3cr3t"), "{text}: {said}");
            assert!(["jwks_file: ", "from: ", "acts_for: "].iter().any(|key| said.contains(key)), "{text}: {said}");
        }
    }

    #[tokio::test]
    async fn what_works_is_described_with_what_to_look_at() {
        let lines = told(&format!("{GATEWAY}folder = 'things'\n{PUBLIC}")).await.unwrap().join("\n");
        assert!(lines.contains("wayleave gateway: http://127.0.0.1:1") && lines.contains("no [manager]"), "{lines}");
        assert!(lines.contains("wayleave server: is not configured in this file") && !lines.contains("look:"), "{lines}");
        let plain = GATEWAY.replace("'http://127.0.0.1:1'", "'http://photos.example'");
        let lines = told(&format!("{plain}folder = 'things'")).await.unwrap().join("\n");
        assert!(lines.contains("look: gateway.resource: `http://photos.example` is http"), "{lines}");
        let lines = told("").await.unwrap().join("\n");
        assert!(lines.contains("wayleave server: would start with defaults") && lines.contains("nobody can log in"), "{lines}");
        let lines = told("[server]\nlisten = '127.0.0.1:1'").await.unwrap().join("\n");
        assert!(lines.contains("wayleave server: http://127.0.0.1:8080 listens at 127.0.0.1:1"), "{lines}");
    }

    #[tokio::test]
    async fn what_nobody_wants_is_named() {
        let route = "[[gateway.route]]\npath = '/{rest..}'\nresource = '/'\nowner = 'alice'\nscopes = { GET = ['view'] }\n";
        let gateway = format!("{GATEWAY}folder = 'things'\n");
        let browser = "[gateway.browser]\nclient_id = 'b'\nclient_secret = 's'\n";
        let account = "[[account]]\nusername = 'alice'\n";
        let provider = "[[login_provider]]\nissuer = 'https://a.example'\nname = 'A'\nclient_id = 'c'\n";
        let rs = "password = 'long-enough'\n[[client]]\nclient_id = 'c'\nresource = 'https://c.example'\n";
        for (text, looks) in [
            (format!("{gateway}{route}"), &["without [gateway.browser]"][..]),
            (format!("{gateway}{browser}{route}"), &[]),
            (format!("{gateway}{PUBLIC}"), &[]),
            (gateway.clone(), &["there is no [[gateway.route]]"]),
            (
                format!("{gateway}forward_auth = {{ headers = 'x-forwarded' }}\n{PUBLIC}"),
                &["[gateway.forward_auth] answers nobody"],
            ),
            (account.into(), &["`alice` has no password, and there is no [[login_provider]]"]),
            (format!("{account}{provider}"), &[]),
            (format!("{account}password_hash = '$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$QUFBQUFBQUFBQUFBQUFBQQ'"), &[]),
            (format!("{account}password = 'short'"), &["fewer than 8 characters"]),
            (format!("{account}{rs}"), &["`c` is a resource server (`resource`), and its `scope` lacks `uma_protection`"]),
            (
                format!("{account}{rs}scope = 'openid uma_protection'\nacts_for = 'b'"),
                &["[[client]] `c`: acts_for: there is no such [[account]]"],
            ),
            (format!("{account}{rs}scope = 'uma_protection_x'"), &["lacks `uma_protection`"]),
            (
                format!("{provider}[assessment]\nmailbox_proof_lifetime = 60"),
                &["assessment.mailbox_proof_lifetime is not built yet"],
            ),
            (format!("{provider}[profiles]\npensions = true"), &["profiles.pensions is not built yet"]),
            (format!("{provider}[profiles]\npensions = false"), &[]),
        ] {
            let lines = told(&text).await.unwrap();
            let told: Vec<&String> = lines.iter().filter(|line| line.contains("look:")).collect();
            assert!(told.len() == looks.len() && looks.iter().all(|look| told[0].contains(look)), "{text}: {told:?}");
        }
    }
}
