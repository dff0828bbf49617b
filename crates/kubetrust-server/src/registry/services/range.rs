//! The addresses and ports that services are given, and in which order they are tried.

use std::collections::HashSet;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use kubetrust_auth::random::{self, NoRandomness};

/// Fewest bits that a range leaves for its addresses: eight of them (`validateServiceClusterIPRange`).
const FEWEST_HOST_BITS: u32 = 3;
/// Most bits of an IPv6 range: its prefix has 64 or more (`NewIPAllocator`).
const MOST_HOST_BITS_V6: u32 = 64;

/// A family of addresses, as `ipFamilies` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `IPv4`
    V4,
    /// `IPv6`
    V6,
}

impl Family {
    /// Of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// As objects say it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// From what an object says.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::V4, Self::V6].into_iter().find(|family| family.name() == name)
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

/// A range of service addresses (`--service-cluster-ip-range`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    family: Family,
    network: u128,
    host_bits: u32,
}

impl AddressRange {
    /// Its family.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// The first address that is given: the one after the network's, which is that of the Service `kubernetes`.
    #[must_use]
    pub fn first(&self) -> IpAddr {
        self.at(self.network + 1)
    }

    /// Whether a service may have this address: neither IPv4's network nor its broadcast address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let number = number(address);
        Family::of(address) == self.family && number > self.network && number - self.network <= self.count()
    }

    /// How many addresses can be given.
    fn count(&self) -> u128 {
        let all = (1_u128 << self.host_bits) - 1;
        match self.family {
            Family::V4 => all - 1,
            Family::V6 => all,
        }
    }

    /// An address that is free, if there is one.
    pub fn next(&self, mut is_free: impl FnMut(IpAddr) -> bool) -> Result<Option<IpAddr>, NoRandomness> {
        let reserved = reserved(1 << self.host_bits, 16, 256);
        let found = pick(self.count(), reserved, |index| {
            is_free(self.at(self.network + 1 + index))
        })?;
        Ok(found.map(|index| self.at(self.network + 1 + index)))
    }

    fn at(&self, number: u128) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
            Family::V6 => Ipv6Addr::from_bits(number).into(),
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl FromStr for AddressRange {
    type Err = BadRange;

    fn from_str(text: &str) -> Result<Self, BadRange> {
        let no_cidr = || BadRange::NoCidr(text.to_owned());
        let (address, prefix) = text.trim().split_once('/').ok_or_else(no_cidr)?;
        let address: IpAddr = address.parse().map_err(|_| no_cidr())?;
        let prefix: u32 = prefix.parse().map_err(|_| no_cidr())?;
        let (family, width) = (Family::of(address), if address.is_ipv4() { 32 } else { 128 });
        let host_bits = u32::checked_sub(width, prefix).ok_or_else(no_cidr)?;
        if host_bits < FEWEST_HOST_BITS {
            return Err(BadRange::Small(text.to_owned()));
        }
        if family == Family::V6 && host_bits > MOST_HOST_BITS_V6 {
            return Err(BadRange::Large(text.to_owned()));
        }
        Ok(Self {
            family,
            network: number(address) >> host_bits << host_bits,
            host_bits,
        })
    }
}

impl std::fmt::Display for AddressRange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = if self.family == Family::V4 { 32 } else { 128 };
        write!(formatter, "{}/{}", self.at(self.network), width - self.host_bits)
    }
}

/// Why something is no range of addresses or ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRange {
    /// No CIDR.
    #[error("{0:?} is no range of addresses; write one as 10.96.0.0/12 or fd00:10:96::/112")]
    NoCidr(String),
    /// Too few addresses.
    #[error("{0} has too few addresses for services; take /29 (IPv6: /125) or more")]
    Small(String),
    /// Too many addresses.
    #[error("{0} is too large; the shortest prefix for IPv6 service addresses is /64")]
    Large(String),
    /// Not one range of each family at most.
    #[error("service addresses are of one range, or of one for IPv4 and one for IPv6")]
    Families,
    /// No range of ports.
    #[error("{0:?} is no range of ports; write one as 30000-32767")]
    Ports(String),
}

/// The node ports that services are given (`--service-node-port-range`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl Default for PortRange {
    fn default() -> Self {
        Self {
            first: 30_000,
            last: 32_767,
        }
    }
}

impl PortRange {
    /// Whether a service may have this port.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// A port that is free, if there is one.
    pub fn next(&self, mut is_free: impl FnMut(u16) -> bool) -> Result<Option<u16>, NoRandomness> {
        let count = u128::from(self.last - self.first) + 1;
        let at = |index| self.first.saturating_add(u16::try_from(index).unwrap_or(u16::MAX));
        let found = pick(count, reserved(count, 32, 128), |index| is_free(at(index)))?;
        Ok(found.map(at))
    }
}

impl FromStr for PortRange {
    type Err = BadRange;

    /// `30000-32767`, or `30000+100` for so many after it (`k8s.io/apimachinery/pkg/util/net`).
    fn from_str(text: &str) -> Result<Self, BadRange> {
        let bad = || BadRange::Ports(text.to_owned());
        let port = |text: &str| text.trim().parse::<u16>().map_err(|_| bad());
        let (first, last) = if let Some((first, last)) = text.split_once('-') {
            (port(first)?, port(last)?)
        } else if let Some((first, more)) = text.split_once('+') {
            let first = port(first)?;
            (first, first.saturating_add(port(more)?))
        } else {
            (port(text)?, port(text)?)
        };
        if first == 0 || first > last {
            return Err(bad());
        }
        Ok(Self { first, last })
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.first, self.last)
    }
}

/// Fewest at the beginning of a range that are left to whoever asks for one by name, where it has more than these.
const FEWEST_RESERVED: u128 = 16;

/// How many at the beginning of a range of `size` are given last, so that those which are asked for by name are seldom
/// taken (`calculateRangeOffset`, KEP-3070 and KEP-3668).
fn reserved(size: u128, step: u128, most: u128) -> u128 {
    if size <= FEWEST_RESERVED {
        return 0;
    }
    (size / step).clamp(FEWEST_RESERVED, most)
}

/// The index of a free one of `count`: from a random one behind the reserved ones on, and of the reserved ones last.
/// Looks at each once at most, so at no more than one above the number of those that are taken.
fn pick(count: u128, reserved: u128, mut is_free: impl FnMut(u128) -> bool) -> Result<Option<u128>, NoRandomness> {
    let reserved = reserved.min(count);
    for (begin, size) in [(reserved, count - reserved), (0, reserved)] {
        if size == 0 {
            continue;
        }
        let mut bytes = [0; 16];
        random::fill(&mut bytes)?;
        let offset = u128::from_le_bytes(bytes) % size;
        if let Some(index) = (0..size)
            .map(|step| begin + (offset + step) % size)
            .find(|index| is_free(*index))
        {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Whether no two are the same.
pub(super) fn differ<T: Eq + Hash>(items: impl IntoIterator<Item = T>) -> bool {
    let mut seen = HashSet::new();
    items.into_iter().all(|item| seen.insert(item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_gives_each_of_its_addresses_once_and_the_first_ones_last() {
        for (text, first, last, count) in [
            ("10.0.0.0/29", "10.0.0.1", "10.0.0.6", 6),
            ("10.0.0.77/26", "10.0.0.65", "10.0.0.126", 62),
            ("fd00::/123", "fd00::1", "fd00::1f", 31),
        ] {
            let range: AddressRange = text.parse().unwrap();
            let mut given = Vec::new();
            while let Some(address) = range.next(|address| !given.contains(&address)).unwrap() {
                assert!(range.contains(address), "{text}: {address}");
                given.push(address);
            }
            if count > 16 {
                let early = &given[..count - 16];
                let reserved = (number(range.first())..).take(16).map(|number| range.at(number));
                assert!(reserved.into_iter().all(|address| !early.contains(&address)), "{text}");
            }
            given.sort();
            let want: (IpAddr, IpAddr) = (first.parse().unwrap(), last.parse().unwrap());
            assert_eq!(
                (given[0], given[given.len() - 1], given.len()),
                (want.0, want.1, count),
                "{text}"
            );
            assert_eq!(range.first(), want.0);
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/30",
            "x/8",
            "10.0.0.0/-1",
            "fd00::/63",
            "fd00::/126",
        ] {
            assert!(text.parse::<AddressRange>().is_err(), "{text}");
        }
        for text in ["", "0-10", "10-9", "70000", "a-b", "1-65536", "-"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
        for (text, shown) in [
            ("30000-32767", "30000-32767"),
            ("80+9", "80-89"),
            ("65000+9999", "65000-65535"),
            ("7", "7-7"),
        ] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), shown);
        }
        let ports: PortRange = "1-3".parse().unwrap();
        assert_eq!(ports.next(|port| port == 2).unwrap(), Some(2));
        assert_eq!(ports.next(|_| false).unwrap(), None);
    }
}
