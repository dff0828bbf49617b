//! Addresses of this machine that no other test uses, so that tests with well-known ports can run side by side.
//!
//! On Linux every address of 127.0.0.0/8 is this machine's: each test takes a /24 of its own, in which each host of
//! its cluster has an address and the ports that it would have in the field.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// The ports a test may count on, on each of the first hosts.
const CHECKED_PORTS: [u16; 3] = [2379, 2380, 6443];
const CHECKED_HOSTS: u8 = 7;

/// The last address of a network is the mark that it is taken.
const GUARD_HOST: u8 = 254;
const GUARD_PORT: u16 = 2378;

/// Networks 127.10.0.0/24 to 127.249.255.0/24: low and high ones are left to people and to other software.
const FIRST: u32 = 10 << 8;
const COUNT: u32 = 240 << 8;

/// How many taken networks are passed over before giving up.
const ATTEMPTS: u32 = 1000;

/// A /24 of the loopback range, this test's own until dropped.
#[derive(Debug)]
pub struct Loopback {
    network: [u8; 3],
    /// A port can be bound once: the operating system keeps the mark, and clears it even after a crash.
    _guard: TcpListener,
}

impl Loopback {
    /// Takes a network in which nothing listens on the ports of etcd and the API server.
    #[track_caller]
    #[must_use]
    pub fn reserve() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Processes start far apart (by the golden ratio), so that they seldom meet at all.
        let start = process::id().wrapping_mul(40_503);
        (0..ATTEMPTS)
            .find_map(|_| {
                let number = FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
                let [_, _, second, third] = number.to_be_bytes();
                Self::take([127, second, third])
            })
            .unwrap_or_else(|| {
                panic!("no free network in 127.0.0.0/8: only Linux has them all, or {ATTEMPTS} are taken")
            })
    }

    /// The address of a host of this network, 1 to 253.
    #[track_caller]
    #[must_use]
    pub fn host(&self, number: u8) -> Ipv4Addr {
        assert!(
            (1..GUARD_HOST).contains(&number),
            "a host is numbered 1 to 253, not {number}"
        );
        address(self.network, number)
    }

    fn take(network: [u8; 3]) -> Option<Self> {
        let guard = TcpListener::bind((address(network, GUARD_HOST), GUARD_PORT)).ok()?;
        let free = (1..=CHECKED_HOSTS)
            .flat_map(|host| CHECKED_PORTS.map(|port| (address(network, host), port)))
            .all(|socket| TcpListener::bind(socket).is_ok());
        free.then_some(Self { network, _guard: guard })
    }
}

fn address([first, second, third]: [u8; 3], host: u8) -> Ipv4Addr {
    Ipv4Addr::new(first, second, third, host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same_while_both_live() {
        let taken: Vec<Loopback> = (0..20).map(|_| Loopback::reserve()).collect();
        let mut networks: Vec<[u8; 3]> = taken.iter().map(|loopback| loopback.network).collect();
        networks.sort_unstable();
        networks.dedup();
        assert_eq!(networks.len(), 20);
        assert!(networks.iter().all(|network| Loopback::take(*network).is_none()));
    }

    #[test]
    fn a_network_in_use_is_passed_over() {
        let network = Loopback::reserve().network;
        let _etcd = TcpListener::bind((address(network, 3), 2379)).unwrap();
        assert!(Loopback::take(network).is_none());
    }
}
