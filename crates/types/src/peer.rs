//! Network addresses of callers, as they are compared and counted: one canonical form wherever a listener or a header names
//! one, and the blocks by which limits count.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who called, as the listener saw it or a trusted proxy said; only the wiring puts it on a request.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub IpAddr);

/// The trusted proxies by which a call came, in the order in which they handed it on; only the wiring puts it on a request.
#[derive(Clone, Debug)]
pub struct Proxies(pub Vec<IpAddr>);

/// The address itself: an IPv4 one that arrives in IPv6 clothes (`::ffff:192.0.2.1`, on a listener of both) is the IPv4 one.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whom a limit of attempts counts as one: an IPv4 address, or the /64 of IPv6 that one household or machine has whole.
pub fn host_of(address: IpAddr) -> String {
    match canonical(address) {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("{}/64", kept_bits(ip, 64)),
    }
}

/// Whom a limit may leave a little beside a flood: an IPv4 address, or the /56 of IPv6 that a household is given whole.
pub fn household_of(address: IpAddr) -> String {
    match canonical(address) {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("{}/56", kept_bits(ip, 56)),
    }
}

/// Where many networks come from one hand: /16 of IPv4, and the /32 of IPv6 that any provider is given.
pub fn region_of(address: IpAddr) -> String {
    match canonical(address) {
        IpAddr::V4(ip) => format!("{}/16", Ipv4Addr::from_bits(ip.to_bits() & !0xffff)),
        IpAddr::V6(ip) => format!("{}/32", kept_bits(ip, 32)),
    }
}

/// The network that an address is in, as limits for strangers count it: /24 of IPv4, /48 of IPv6 (protocol.md 1.7).
pub fn network_of(address: IpAddr) -> String {
    match canonical(address) {
        IpAddr::V4(ip) => format!("{}/24", Ipv4Addr::from_bits(ip.to_bits() & !0xff)),
        IpAddr::V6(ip) => format!("{}/48", kept_bits(ip, 48)),
    }
}

/// By which somebody is told from others where they take turns: her region, her network in it, her host in that.
pub fn names_of(address: IpAddr) -> [String; 3] {
    [region_of(address), network_of(address), host_of(address)]
}

fn kept_bits(ip: Ipv6Addr, bits: u32) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
    Ipv6Addr::from_bits(ip.to_bits() & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_38_one_caller_is_one_however_she_is_written() {
        let host = |text: &str| host_of(text.parse().unwrap());
        assert_eq!(host("::ffff:192.0.2.1"), host("192.0.2.1"));
        assert_ne!(host("192.0.2.1"), host("192.0.2.2"));
        assert_eq!(host("2001:db8:0:1::1"), host("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_ne!(host("2001:db8:0:1::1"), host("2001:db8:0:2::1"));
    }

    #[test]
    fn households_and_regions_are_counted_whole() {
        let household = |text: &str| household_of(text.parse().unwrap());
        assert_eq!(household("2001:db8:0:1::1"), household("2001:db8:0:ff::1"));
        assert_ne!(household("2001:db8:0:1::1"), household("2001:db8:0:100::1"));
        assert_eq!((household("::ffff:192.0.2.1"), household("192.0.2.1")), ("192.0.2.1".into(), "192.0.2.1".into()));
        let region = |text: &str| region_of(text.parse().unwrap());
        assert_eq!(region("2001:db8:1::1"), region("2001:db8:ffff::1"));
        assert_ne!(region("2001:db8::1"), region("2001:db9::1"));
        assert_eq!((region("192.0.2.1"), region("192.0.255.1")), ("192.0.0.0/16".into(), "192.0.0.0/16".into()));
    }

    #[test]
    fn networks_are_counted_whole() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.200"));
        assert_ne!(network("192.0.2.1"), network("192.0.3.1"));
        assert_eq!(network("2001:db8:7:1::1"), network("2001:db8:7:ffff::9"));
        assert_ne!(network("2001:db8:7::1"), network("2001:db8:8::1"));
    }
}
