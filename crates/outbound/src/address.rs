//! Which addresses a name may lead to.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Resolves once per connection, and drops what is not public. The addresses it gives are those
/// that are connected to, so a second answer of the name server changes nothing.
#[derive(Clone)]
pub(super) struct GuardedResolver {
    pub(super) allow_private: bool,
    pub(super) hosts: HashMap<String, SocketAddr>,
    /// The operator's own name server; none: the system's way.
    pub(super) dns: Option<TokioResolver>,
    /// Name of the operator's own proxy, which may be wherever it likes.
    pub(super) proxy: Option<String>,
}

/// Asks this name server and no other.
pub(super) fn asking(dns: SocketAddr) -> Result<TokioResolver, String> {
    let mut server = NameServerConfig::udp_and_tcp(dns.ip());
    server.connections.iter_mut().for_each(|connection| connection.port = dns.port());
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().timeout = Duration::from_secs(2);
    builder.build().map_err(|error| format!("outbound.dns: {error}"))
}

impl GuardedResolver {
    /// The addresses of a name that may be called; an error where there is none.
    pub(super) async fn find(&self, name: &str) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let fixed = self.hosts.get(name).copied();
        let found: Vec<SocketAddr> = match (fixed, &self.dns) {
            (Some(address), _) => vec![address],
            (None, Some(dns)) => {
                // a dot at the end: exactly this name, no search list
                let answer = dns.lookup_ip(format!("{}.", name.trim_end_matches('.'))).await?;
                answer.iter().map(|ip| SocketAddr::new(ip, 0)).collect()
            }
            (None, None) => tokio::net::lookup_host((name, 0)).await?.collect(),
        };
        let trusted = fixed.is_some() || self.allow_private || self.proxy.as_deref() == Some(name);
        let allowed: Vec<_> = found.into_iter().filter(|address| trusted || is_public(address.ip())).collect();
        if allowed.is_empty() {
            return Err(io::Error::other("the name leads to no address that may be called").into());
        }
        Ok(allowed)
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, name) = (self.clone(), name.as_str().to_owned());
        Box::pin(async move { Ok(Box::new(resolver.find(&name).await?.into_iter()) as Addrs) })
    }
}

/// Whether an address is one of the public internet: not loopback, private, link-local, shared,
/// multicast, documentation or unspecified, nor an IPv4 one of these inside IPv6 (IANA's registries of special-purpose
/// addresses).
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => match embedded_v4(ip) {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(ip),
        },
    }
}

fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = ip.segments();
    // the well-known prefix alone; 64:ff9b:1::/48 is of local use (RFC 8215)
    let nat64 = segments.starts_with(&[0x64, 0xff9b, 0, 0, 0, 0]);
    let six_to_four = segments.starts_with(&[0x2002]);
    let octets = ip.octets();
    let at = |from: usize| {
        let four: Option<[u8; 4]> = octets.get(from..from.saturating_add(4)).and_then(|part| part.try_into().ok());
        four.map(Ipv4Addr::from)
    };
    if nat64 {
        at(12)
    } else if six_to_four {
        at(2)
    } else {
        ip.to_ipv4().filter(|_| !ip.is_loopback() && !ip.is_unspecified())
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_broadcast()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    // nothing but 2000::/3 is given out as global unicast (RFC 4291 2.4); what has a purpose of its own is named there
    let is_global = (first & 0xe000) == 0x2000;
    // 2001::/23 is for protocols, Teredo among them; 2001:db8::/32 and 3fff::/20 are for documentation
    let special = (first == 0x2001 && (second < 0x200 || second == 0xdb8)) || (first == 0x3fff && second < 0x1000);
    is_global && !special
}
