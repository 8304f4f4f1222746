//! What works, and is hardly what anybody wants: said by `wayleave config check`, and in the log of each start.

use crate::config::{AccountConfig, ClientConfig, Config, GatewayConfig, NOT_BUILT};
use types::spelling::normalize_username;
use types::token::UMA_PROTECTION;

/// A password of fewer characters is guessed: NIST SP 800-63B-4 3.1.1.2 has 15 where it is the only factor, and never below 8.
const SHORT_PASSWORD: usize = 8;

/// A line for each thing to look at.
pub fn list(config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    let is_server_alone = config.gateway.is_none() && config.manager.is_none();
    if is_server_alone && config.account.is_empty() && config.login_provider.is_empty() {
        lines.push("nobody can log in, there is neither an [[account]] nor a [[login_provider]]".to_owned());
    }
    lines.extend(config.account.iter().filter_map(|account| describe_account(config, account)));
    lines
        .extend(config.client.iter().flat_map(|client| [describe_acting(config, client), describe_unlinkable(client)]).flatten());
    lines.extend(config.gateway.as_ref().map(describe_gateway).unwrap_or_default());
    lines.extend(
        NOT_BUILT
            .iter()
            .filter(|key| is_wanted(config, key))
            .map(|key| format!("{key} is not built yet: it is taken, and has no effect")),
    );
    lines
}

/// Writes them into the log.
pub fn log(config: &Config) {
    for line in list(config) {
        tracing::info!("look: {line}");
    }
}

fn describe_account(config: &Config, account: &AccountConfig) -> Option<String> {
    let name = &account.username;
    let is_short = account.password.as_ref().is_some_and(|password| password.chars().count() < SHORT_PASSWORD);
    if is_short {
        return Some(format!("[[account]] `{name}`: its password has fewer than {SHORT_PASSWORD} characters: it can be guessed"));
    }
    let ways_in = [&account.password, &account.password_hash, &account.password_file];
    let has_none = ways_in.into_iter().all(Option::is_none) && config.login_provider.is_empty();
    has_none.then(|| {
        format!(
            "[[account]] `{name}` has no password, and there is no [[login_provider]]: nobody can log in as `{name}`, unless a \
             passkey was added before"
        )
    })
}

/// Whom a client acts for without that being declared beside it.
fn describe_acting(config: &Config, client: &ClientConfig) -> Option<String> {
    let name = client.acts_for.as_deref().filter(|name| *name != "self")?;
    let is_declared = |account: &AccountConfig| normalize_username(&account.username) == normalize_username(name);
    let line = || format!("[[client]] `{}`: acts_for: there is no such [[account]]", client.client_id);
    (!config.account.iter().any(is_declared)).then(line)
}

/// A resource server that gets no token for what it keeps.
fn describe_unlinkable(client: &ClientConfig) -> Option<String> {
    let has_scope = client.scope.split(' ').any(|scope| scope == UMA_PROTECTION);
    (client.resource.is_some() && !has_scope).then(|| {
        format!(
            "[[client]] `{}` is a resource server (`resource`), and its `scope` lacks `{UMA_PROTECTION}`: nobody can link it",
            client.client_id
        )
    })
}

fn describe_gateway(gateway: &GatewayConfig) -> Vec<String> {
    let mut lines = Vec::new();
    if gateway.route.is_empty() {
        lines.push("there is no [[gateway.route]]: everything is answered with 404".to_owned());
    }
    if gateway.browser.is_none() && gateway.route.iter().any(|route| !route.public) {
        lines.push(
            "without [gateway.browser] people with browsers read that the operator of the server does not know this application: \
             docs/first.md declares it on both sides"
                .to_owned(),
        );
    }
    let is_plain = |url: &url::Url| url.scheme() == "http" && !crate::config::is_loopback(url);
    if url::Url::parse(&gateway.resource).is_ok_and(|url| is_plain(&url)) {
        lines.push(format!(
            "gateway.resource: `{}` is http and not this machine: servers and desks take https alone, and what is sent there can be \
             read on its way",
            gateway.resource
        ));
    }
    if gateway.forward_auth.is_some() && gateway.trusted_proxies.is_empty() {
        lines.push("[gateway.forward_auth] answers nobody: name the proxy that asks in `gateway.trusted_proxies`".to_owned());
    }
    lines
}

/// Whether somebody counts on it: what is said to be off is off.
fn is_wanted(config: &Config, key: &str) -> bool {
    config.says(key) && (key != "profiles.pensions" || config.profiles.pensions)
}
