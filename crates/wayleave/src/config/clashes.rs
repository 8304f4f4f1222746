//! Two parties of one file at one address: whichever starts second would not.

use super::Config;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a party of the file listens.
struct Listener<'a> {
    key: &'static str,
    address: &'a str,
}

impl Config {
    /// Refuses what cannot be listened at twice.
    pub(super) fn check_listeners(&self) -> Result<(), String> {
        let server = self.is_for_a_server().then_some(&self.server);
        let given = [
            ("server.listen", server.map(|server| &server.listen)),
            ("server.admin_listen", server.and_then(|server| server.admin_listen.as_ref())),
            ("gateway.listen", self.gateway.as_ref().map(|gateway| &gateway.listen)),
            ("manager.listen", self.manager.as_ref().map(|manager| &manager.listen)),
        ];
        let mut before: Vec<Listener<'_>> = Vec::new();
        for (key, address) in given {
            let Some(address) = address else { continue };
            if let Some(other) = before.iter().find(|other| is_one_place(other.address, address)) {
                return Err(format!(
                    "{key}: {address} is where {} is already ({}): give each a port of its own",
                    other.key, other.address
                ));
            }
            before.push(Listener { key, address });
        }
        Ok(())
    }
}

/// Whether nobody can listen at both at one time.
fn is_one_place(one: &str, other: &str) -> bool {
    let (Some((one_host, one_port)), Some((other_host, other_port))) = (one.rsplit_once(':'), other.rsplit_once(':')) else {
        return false;
    };
    // the system chooses another each time
    if one_port != other_port || one_port == "0" {
        return false;
    }
    let (ones, others) = (addresses_of(one), addresses_of(other));
    if ones.is_empty() || others.is_empty() {
        return one_host.eq_ignore_ascii_case(other_host);
    }
    ones.iter().any(|one| others.iter().any(|other| covers(*one, *other) || covers(*other, *one)))
}

/// What a host in a `listen` stands for; nothing where only a name server knows.
fn addresses_of(text: &str) -> Vec<IpAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return vec![address.ip().to_canonical()];
    }
    match text.rsplit_once(':') {
        Some((host, _)) if host.eq_ignore_ascii_case("localhost") => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        _ => Vec::new(),
    }
}

/// Whether whoever listens at the one has the other too. `[::]` takes calls by IPv4 as well.
fn covers(one: IpAddr, other: IpAddr) -> bool {
    one == other || (one.is_unspecified() && (one.is_ipv6() || other.is_ipv4()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_is_known_in_each_of_its_forms() {
        for (one, other, is_one) in [
            ("127.0.0.1:8080", "127.0.0.1:8080", true),
            ("0.0.0.0:8080", "127.0.0.1:8080", true),
            ("127.0.0.1:8080", "0.0.0.0:8080", true),
            ("[::]:8080", "127.0.0.1:8080", true),
            ("[::]:8080", "0.0.0.0:8080", true),
            ("[::ffff:127.0.0.1]:8080", "127.0.0.1:8080", true),
            ("localhost:8080", "127.0.0.1:8080", true),
            ("[::1]:8080", "LOCALHOST:8080", true),
            ("host.example:8080", "HOST.example:8080", true),
            ("127.0.0.1:8080", "127.0.0.1:8081", false),
            ("127.0.0.1:8080", "127.0.0.2:8080", false),
            ("127.0.0.1:8080", "[::1]:8080", false),
            ("0.0.0.0:8080", "[::1]:8080", false),
            ("host.example:8080", "127.0.0.1:8080", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("nonsense", "nonsense", false),
        ] {
            assert_eq!((is_one_place(one, other), is_one_place(other, one)), (is_one, is_one), "{one} {other}");
        }
    }
}
