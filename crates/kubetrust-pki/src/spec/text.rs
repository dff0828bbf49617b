//! The formats of a field's text.

use std::net::{IpAddr, Ipv6Addr};
use std::path::{Component, Path, PathBuf};

use ipnet::IpNet;
use jiff::SignedDuration;

use super::choice::Choice;
use super::diagnostic::{Problem, closest, quoted};
use super::model::{DnsName, Endpoint, HostOrIp};

/// A type that a field's text is read as.
pub(super) trait Text: Sized {
    /// What the text has to be: `a DNS name`.
    const WHAT: &'static str;
    /// A regular expression that every valid text matches.
    const PATTERN: Option<&'static str> = None;
    /// The valid texts, where they can be listed.
    const CHOICES: &'static [Choice] = &[];

    fn parse(text: &str) -> Result<Self, Problem>;
}

/// What there is to say about a text that is none of `choices`.
pub(super) fn unknown_choice(text: &str, choices: &[Choice]) -> Problem {
    let names = || choices.iter().map(|choice| choice.name);
    let list = names().map(quoted).collect::<Vec<_>>().join(", ");
    Problem::new(format!("{} is not a value of this field", quoted(text))).hint(
        match (closest(text, names()), choices) {
            (_, [only]) => format!("write `{}`", only.name),
            (Some(name), _) => format!("did you mean `{name}`? It takes {list}"),
            (None, _) => format!("write one of {list}"),
        },
    )
}

/// The cluster's name.
pub(super) struct ClusterName(pub(super) String);

impl Text for ClusterName {
    const WHAT: &'static str = "a DNS label";
    const PATTERN: Option<&'static str> = Some("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$");

    fn parse(text: &str) -> Result<Self, Problem> {
        match DnsName::new(text) {
            Ok(_) if !text.contains('.') => Ok(Self(text.to_owned())),
            _ => Err(Problem::new(format!("{} is not a DNS label", quoted(text)))
                .hint("write 1 to 63 lower-case letters, digits and `-`, without `-` at the ends")),
        }
    }
}

impl Text for DnsName {
    const WHAT: &'static str = "a DNS name";
    const PATTERN: Option<&'static str> =
        Some(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$");

    fn parse(text: &str) -> Result<Self, Problem> {
        let name = DnsName::new(text).map_err(|error| {
            let problem = Problem::new(format!("{} {error}", quoted(text)));
            let tidy = text.trim_end_matches('.').to_lowercase();
            if DnsName::new(&tidy).is_ok() {
                problem.hint(format!("write `{tidy}`"))
            } else {
                problem
            }
        })?;
        // Resolvers take a name that ends in a number for an address (RFC 1123, section 2.1).
        match text.rsplit_once('.') {
            Some((_, last)) if last.bytes().all(|b| b.is_ascii_digit()) => Err(Problem::new(format!(
                "{} is not a name: it ends in a number, as an address does",
                quoted(text)
            ))),
            _ => Ok(name),
        }
    }
}

/// A host's name, which also names its folder.
pub(super) struct HostName(pub(super) DnsName);

impl Text for HostName {
    const WHAT: &'static str = "a DNS name";
    const PATTERN: Option<&'static str> = DnsName::PATTERN;

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.contains(['/', '\\']) || text.starts_with('.') {
            return Err(Problem::new(format!(
                "{} can't name a host: it names the host's folder too",
                quoted(text)
            ))
            .hint("write a DNS name, without `/` and not starting with `.`"));
        }
        if text.len() > HOST_NAME_LIMIT {
            return Err(Problem::new(format!(
                "the name is {} characters long; at most {HOST_NAME_LIMIT} leave room for `system:node:` before it in \
                 the 64 of a certificate's CN",
                text.len()
            ))
            .hint("give the host a shorter name, and the long one under `names`"));
        }
        DnsName::parse(text).map(Self)
    }
}

/// X.509 bounds a common name to 64 characters (RFC 5280 appendix A, `ub-common-name`), and a kubelet's is
/// `system:node:` and its host's name.
const HOST_NAME_LIMIT: usize = 64 - "system:node:".len();

impl Text for IpAddr {
    const WHAT: &'static str = "an IP address";

    fn parse(text: &str) -> Result<Self, Problem> {
        let address: Self = text.parse().map_err(|_| {
            let problem = Problem::new(format!("{} is not an IP address", quoted(text)));
            match text.split_once(['/', '%']) {
                Some((address, _)) if address.parse::<Self>().is_ok() => {
                    problem.hint(format!("write `{address}` alone"))
                }
                _ => problem.hint("write one such as 192.0.2.11 or 2001:db8::11"),
            }
        })?;
        reachable(address)
    }
}

/// Refuses addresses that no host can be reached at.
fn reachable(address: IpAddr) -> Result<IpAddr, Problem> {
    let refuse = |why: &str| Err(Problem::new(format!("`{address}` {why}")).hint("write the address of one host"));
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(Problem::new(format!("`{address}` is an IPv4 address written as IPv6"))
                .hint(format!("write `{}`", address.to_canonical())))
        }
        _ if address.is_unspecified() => refuse("is the unspecified address"),
        _ if address.is_multicast() => refuse("is a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() => refuse("is the broadcast address"),
        _ => Ok(address),
    }
}

impl Text for IpNet {
    const WHAT: &'static str = "a network in CIDR notation";
    const PATTERN: Option<&'static str> = Some("^[0-9a-fA-F.:]+/[0-9]{1,3}$");

    fn parse(text: &str) -> Result<Self, Problem> {
        let network: Self = text.parse().map_err(|_| {
            let problem = Problem::new(format!("{} is not a network in CIDR notation", quoted(text)));
            if text.parse::<IpAddr>().is_ok() {
                problem.hint(format!(
                    "add the prefix length, such as {text}/{}",
                    if text.contains(':') { 112 } else { 16 }
                ))
            } else {
                problem.hint("write one such as 10.96.0.0/12 or fd00:10:96::/112")
            }
        })?;
        if network != network.trunc() {
            return Err(Problem::new(format!("`{network}` has bits set beyond its prefix"))
                .hint(format!("write `{}`", network.trunc())));
        }
        if reachable(network.addr()).is_err() {
            return Err(
                Problem::new(format!("`{network}` is not a network of hosts' addresses"))
                    .hint("write one such as 10.96.0.0/12 or fd00:10:96::/112"),
            );
        }
        // The API server takes the first address for itself; a network needs another for its first service.
        let longest = network.max_prefix_len() - 2;
        if network.prefix_len() > longest {
            return Err(Problem::new(format!("`{network}` is too small for services"))
                .hint(format!("give it a prefix of /{longest} or shorter")));
        }
        Ok(network)
    }
}

impl Text for HostOrIp {
    const WHAT: &'static str = "a DNS name or an IP address";

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.parse::<IpAddr>().is_ok() {
            return IpAddr::parse(text).map(Self::Ip);
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        match DnsName::parse(name) {
            Ok(_) => Ok(Self::Name(text.to_owned())),
            Err(_) if name != text => Err(Problem::new(format!("{} has no DNS name after its `*.`", quoted(text)))
                .hint("write one such as `*.example.org`")),
            Err(problem) => Err(problem),
        }
    }
}

/// A TCP port.
pub(super) struct Port(pub(super) u16);

impl Text for Port {
    const WHAT: &'static str = "a port";

    fn parse(text: &str) -> Result<Self, Problem> {
        port_number(text).map(Self).ok_or_else(|| {
            Problem::new(format!("{} is not a port", quoted(text))).hint("write a number from 1 to 65535")
        })
    }
}

fn port_number(text: &str) -> Option<u16> {
    // `parse` takes `+1` as well.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number: &u16| digits && *number > 0)
}

impl Text for Endpoint {
    const WHAT: &'static str = "`HOST` or `HOST:PORT`";

    fn parse(text: &str) -> Result<Self, Problem> {
        let problem = |why: &str| {
            Problem::new(format!("{} {why}", quoted(text)))
                .hint("write a DNS name or an IP address, `:PORT` after it if it isn't 6443, an IPv6 address in `[]`")
        };
        if let Some((_, rest)) = text.split_once("://") {
            let bare = rest.split('/').next().unwrap_or_default();
            return Err(
                Problem::new(format!("{} is a URL", quoted(text))).hint(format!("write {} alone", quoted(bare)))
            );
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(|| problem("has no `]`"))?;
                host.parse::<Ipv6Addr>()
                    .map_err(|_| problem("has no IPv6 address between `[` and `]`"))?;
                let port = after.strip_prefix(':');
                if port.is_none() && !after.is_empty() {
                    return Err(problem("has no `:` after the `]`"));
                }
                (host, port)
            }
            None if text.parse::<Ipv6Addr>().is_ok() => (text, None),
            None => text
                .rsplit_once(':')
                .map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            None => super::table::DEFAULT_PORT,
            Some(text) => port_number(text).ok_or_else(|| problem("has no valid port: it has to be 1 to 65535"))?,
        };
        let host = match host.parse::<IpAddr>() {
            Ok(_) => HostOrIp::Ip(IpAddr::parse(host)?),
            Err(_) => HostOrIp::Name(DnsName::parse(host)?.as_str().to_owned()),
        };
        Ok(Self { host, port })
    }
}

/// A lifetime: at least a second, at most a hundred years.
pub(super) struct Lifetime(pub(super) SignedDuration);

/// A duration that may be zero, but is at most a day.
pub(super) struct UpToADay(pub(super) SignedDuration);

const DURATION: &str = "a duration such as 8760h, 365d, 52w, 5m or 1h30m";
const DURATION_PATTERN: Option<&str> = Some("^(?=.)([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$");

impl Text for Lifetime {
    const WHAT: &'static str = DURATION;
    const PATTERN: Option<&'static str> = DURATION_PATTERN;

    fn parse(text: &str) -> Result<Self, Problem> {
        let duration = duration(text)?;
        if duration <= SignedDuration::ZERO {
            return Err(
                Problem::new(format!("{} is not longer than zero", quoted(text))).hint(format!("write {DURATION}"))
            );
        }
        if duration > SignedDuration::from_hours(100 * 365 * 24) {
            return Err(Problem::new(format!("{} is longer than 100 years", quoted(text))).hint("write a shorter one"));
        }
        Ok(Self(duration))
    }
}

impl Text for UpToADay {
    const WHAT: &'static str = DURATION;
    const PATTERN: Option<&'static str> = DURATION_PATTERN;

    fn parse(text: &str) -> Result<Self, Problem> {
        let duration = duration(text)?;
        if duration < SignedDuration::ZERO || duration > SignedDuration::from_hours(24) {
            return Err(Problem::new(format!("{} is not between 0s and 24h", quoted(text))));
        }
        Ok(Self(duration))
    }
}

/// Reads weeks, days of 24 hours, hours, minutes and seconds, in that order. Jiff reads durations too, and much
/// besides ("1 year ago", months, nanoseconds) that has no meaning for a certificate.
fn duration(text: &str) -> Result<SignedDuration, Problem> {
    let invalid = || Problem::new(format!("{} is not a duration", quoted(text))).hint(format!("write {DURATION}"));
    let (negative, mut rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds: i64 = 0;
    for (unit, unit_seconds) in [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)] {
        if let Some((digits, tail)) = rest.split_once(unit) {
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(invalid());
            }
            // A number that doesn't fit is too long in any case.
            let count: i64 = digits.parse().unwrap_or(i64::MAX);
            seconds = seconds.saturating_add(count.saturating_mul(unit_seconds));
            rest = tail;
        }
    }
    if !rest.is_empty() {
        return Err(invalid());
    }
    Ok(SignedDuration::from_secs(if negative { -seconds } else { seconds }))
}

/// A country of a subject.
pub(super) struct Country(pub(super) String);

impl Text for Country {
    const WHAT: &'static str = "a country code of two capital letters";
    const PATTERN: Option<&'static str> = Some("^[A-Z]{2}$");

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Problem::new(format!("{} is not a country code", quoted(text)))
                .hint("write the two capital letters of ISO 3166, such as DE"))
        }
    }
}

/// An attribute of a subject. X.520 bounds an organizational unit to 64 characters, and the others less tightly.
pub(super) struct Attribute(pub(super) String);

impl Text for Attribute {
    const WHAT: &'static str = "text of 1 to 64 characters";
    const PATTERN: Option<&'static str> = Some(r"^[^\u0000-\u001f\u007f-\u009f]{1,64}$");

    fn parse(text: &str) -> Result<Self, Problem> {
        if (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Problem::new(format!("{} can't be part of a subject", quoted(text)))
                .hint("write 1 to 64 characters, without control characters"))
        }
    }
}

/// A file where kubetrust runs.
pub(super) struct LocalPath(pub(super) PathBuf);

impl Text for LocalPath {
    const WHAT: &'static str = "the path of a file";
    const PATTERN: Option<&'static str> = Some(r"^[^\u0000-\u001f\u007f-\u009f]+$");

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() || text.chars().any(char::is_control) {
            Err(Problem::new(format!("{} is not a path", quoted(text))).hint("write the path of a file"))
        } else {
            Ok(Self(text.into()))
        }
    }
}

/// A folder on a host. It appears in unit files and command lines, hence no characters that those would split.
pub(super) struct InstallPath(pub(super) PathBuf);

impl Text for InstallPath {
    const WHAT: &'static str = "an absolute path";
    const PATTERN: Option<&'static str> = Some("^/[A-Za-z0-9._/@+-]+$");

    fn parse(text: &str) -> Result<Self, Problem> {
        let refuse = |why: &str| {
            Err(Problem::new(format!("{} {why}", quoted(text))).hint("write an absolute path such as /etc/kubernetes"))
        };
        let path = Path::new(text);
        if !text.starts_with('/') {
            refuse("is not an absolute path")
        } else if path.components().any(|component| component == Component::ParentDir) {
            refuse("leaves its folder with `..`")
        } else if path.components().count() == 1 {
            refuse("is the root folder")
        } else if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._/@+-".contains(&b))
        {
            refuse("holds characters besides letters, digits and `._/@+-`")
        } else {
            // Components leave out doubled and trailing slashes, with which paths printed into files would differ.
            Ok(Self(path.components().collect()))
        }
    }
}
