//! Ports of containers, and the host's that lead to them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// tcp(7)
    #[default]
    Tcp,
    /// udp(7)
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl FromStr for Protocol {
    type Err = InvalidPort;

    fn from_str(text: &str) -> Result<Self, InvalidPort> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Err(InvalidPort("SCTP ports cannot be published or exposed: use tcp or udp".into())),
            _ => Err(InvalidPort(format!("invalid proto: {text}"))),
        }
    }
}

/// A port of a container: `80/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    /// Never 0.
    pub number: u16,
    /// Protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

impl FromStr for Port {
    type Err = InvalidPort;

    /// `80` is `80/tcp`.
    fn from_str(text: &str) -> Result<Self, InvalidPort> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let number = number.parse().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| InvalidPort(format!("invalid port: {text}")))?;
        Ok(Self { number, protocol: protocol.parse()? })
    }
}

/// A wish that ports of the host lead to a container's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// Address of the host; `None`: all of them.
    pub ip: Option<IpAddr>,
    /// The first and the last port of the host, one of which is taken; `None`: any that is free.
    pub host: Option<(u16, u16)>,
    /// The container's.
    pub port: Port,
}

impl Publish {
    /// Reads what stands behind `-p`: `[[ip:][host]:]container[/protocol]`, with ranges, or
    /// `target=80,published=8080,protocol=tcp`.
    ///
    /// # Errors
    /// It is none of that, in Docker's words.
    pub fn parse(text: &str) -> Result<Vec<Self>, InvalidPort> {
        if text.contains('=') {
            return Self::parse(&in_short(text)?);
        }
        let (rest, target) = text.rsplit_once(':').unwrap_or(("", text));
        let (ip, host) = rest.rsplit_once(':').unwrap_or(("", rest));
        let (target, protocol) = target.split_once('/').unwrap_or((target, "tcp"));
        if target.is_empty() {
            return Err(InvalidPort(format!("no port specified: {text}<empty>")));
        }
        let protocol: Protocol = protocol.parse()?;
        let ip = address(ip)?;
        let bad = |what: &str, range: &str| InvalidPort(format!("invalid {what}: {range}"));
        let (first, last) = range(target).ok_or_else(|| bad("containerPort", target))?;
        let hosts = match host {
            "" | "0" => None,
            host => Some(range(host).ok_or_else(|| bad("hostPort", host))?),
        };
        if let Some((lowest, highest)) = hosts
            && last - first != highest - lowest
        {
            return match first == last {
                true => Ok(vec![Self { ip, host: hosts, port: Port { number: first, protocol } }]),
                false => Err(InvalidPort(format!(
                    "invalid ranges specified for container and host Ports: {target} and {host}"
                ))),
            };
        }
        let one = |number: u16| {
            let host = hosts.map(|(lowest, _)| lowest + (number - first)).map(|host| (host, host));
            Self { ip, host, port: Port { number, protocol } }
        };
        Ok((first..=last).map(one).collect())
    }
}

/// The long form in the short one.
fn in_short(text: &str) -> Result<String, InvalidPort> {
    let (mut target, mut published, mut protocol) = ("", "", "tcp");
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("target", value)) => target = value,
            Some(("published", value)) => published = value,
            Some(("protocol", value)) => protocol = value,
            Some(("mode", "host" | "ingress")) => {}
            _ => {
                let words = format!("invalid publish opts format (should be name=value but got '{part}')");
                return Err(InvalidPort(words));
            }
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

/// Reads what stands behind `--expose`: a port or a range of them, with a protocol or without.
///
/// # Errors
/// It is neither, in Docker's words.
pub fn exposed(text: &str) -> Result<Vec<Port>, InvalidPort> {
    if text.contains(':') {
        return Err(InvalidPort(format!("invalid port format for --expose: {text}")));
    }
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.parse()?;
    let (first, last) =
        range(numbers).ok_or_else(|| InvalidPort(format!("invalid range format for --expose: {text}")))?;
    Ok((first..=last).map(|number| Port { number, protocol }).collect())
}

/// Ports that a filter names: `80`, `80-90/udp`.
///
/// # Errors
/// It names none.
pub fn range_of_ports(text: &str) -> Result<Vec<Port>, InvalidPort> {
    let bad = || InvalidPort(format!("invalid port: {text}"));
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.parse()?;
    let (first, last) = range(numbers).ok_or_else(bad)?;
    Ok((first..=last).map(|number| Port { number, protocol }).collect())
}

/// `80` or `80-90`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten().filter(|number| *number > 0)
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

/// An address of the host; those of version 6 are in brackets, or not.
fn address(text: &str) -> Result<Option<IpAddr>, InvalidPort> {
    if text.is_empty() {
        return Ok(None);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map(Some).map_err(|_| InvalidPort(format!("invalid IP address: {text}")))
}

/// A port of the host that leads to one of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Published {
    /// The container's.
    pub port: Port,
    /// Address of the host.
    pub ip: IpAddr,
    /// The host's.
    pub host: u16,
}

/// A port as a list shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShownPort {
    /// The container's.
    pub port: Port,
    /// Address and port of the host; `None`: it is exposed only.
    pub host: Option<(IpAddr, u16)>,
}

/// The ports of a row: published ones, and those that are only exposed.
pub fn shown(exposed: &[String], published: &[Published]) -> Vec<ShownPort> {
    let unpublished = exposed
        .iter()
        .filter_map(|text| text.parse().ok())
        .filter(|port| published.iter().all(|published| published.port != *port))
        .map(|port| ShownPort { port, host: None });
    let host = |one: &Published| ShownPort { port: one.port, host: Some((one.ip, one.host)) };
    published.iter().map(host).chain(unpublished).collect()
}

/// Ports in one line, as Docker's lists have them: those with the same number on both sides in ranges, then the others.
pub fn line(ports: &[ShownPort]) -> String {
    let mut ports = ports.to_vec();
    ports.sort_by_key(|one| (one.port.number, one.host.map(|(ip, host)| (ip.to_string(), host)), one.port));
    let mut done = Vec::new();
    let mut open: Vec<(Option<IpAddr>, Protocol, u16, u16)> = Vec::new();
    let mut others = Vec::new();
    for ShownPort { port, host } in ports {
        let ip = match host {
            Some((ip, host)) if host != port.number => {
                others.push(format!("{}->{port}", SocketAddr::new(ip, host)));
                continue;
            }
            other => other.map(|(ip, _)| ip),
        };
        match open.iter_mut().find(|(of, protocol, ..)| (*of, *protocol) == (ip, port.protocol)) {
            None => open.push((ip, port.protocol, port.number, port.number)),
            Some((_, _, _, last)) if last.checked_add(1) == Some(port.number) => *last = port.number,
            Some(group) => {
                done.push(together(*group));
                (group.2, group.3) = (port.number, port.number);
            }
        }
    }
    done.extend(open.into_iter().map(together));
    done.extend(others);
    done.join(", ")
}

fn together((ip, protocol, first, last): (Option<IpAddr>, Protocol, u16, u16)) -> String {
    let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
    match ip {
        None => format!("{range}/{protocol}"),
        Some(IpAddr::V4(ip)) => format!("{ip}:{range}->{range}/{protocol}"),
        Some(IpAddr::V6(ip)) => format!("[{ip}]:{range}->{range}/{protocol}"),
    }
}

/// A text that names no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPort(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        match Publish::parse(text) {
            Err(error) => error.to_string(),
            Ok(all) => {
                let one = |one: &Publish| {
                    let ip = one.ip.map_or_else(|| "*".into(), |ip| ip.to_string());
                    let host = one.host.map_or_else(|| "any".into(), |(a, b)| format!("{a}-{b}"));
                    format!("{ip} {host} {}", one.port)
                };
                all.iter().map(one).collect::<Vec<_>>().join("; ")
            }
        }
    }

    #[test]
    fn forms() {
        for (text, expected) in [
            ("80", "* any 80/tcp"),
            ("8080:80", "* 8080-8080 80/tcp"),
            (":80", "* any 80/tcp"),
            ("0:80", "* any 80/tcp"),
            ("53:53/UDP", "* 53-53 53/udp"),
            ("127.0.0.1:8080:80", "127.0.0.1 8080-8080 80/tcp"),
            ("127.0.0.1::80", "127.0.0.1 any 80/tcp"),
            ("[::1]:80:81", "::1 80-80 81/tcp"),
            ("::1:80:81", "::1 80-80 81/tcp"),
            ("8000-8001:80-81", "* 8000-8000 80/tcp; * 8001-8001 81/tcp"),
            ("80-81", "* any 80/tcp; * any 81/tcp"),
            ("8000-8010:80", "* 8000-8010 80/tcp"),
            ("target=80,published=8080,protocol=udp", "* 8080-8080 80/udp"),
            ("target=80", "* any 80/tcp"),
            ("", "no port specified: <empty>"),
            ("8080:", "no port specified: 8080:<empty>"),
            ("x:80", "invalid hostPort: x"),
            ("80:x", "invalid containerPort: x"),
            ("80:0", "invalid containerPort: 0"),
            ("80:65536", "invalid containerPort: 65536"),
            ("+80", "invalid containerPort: +80"),
            ("81-80", "invalid containerPort: 81-80"),
            ("a.b:80:80", "invalid IP address: a.b"),
            ("8000-8001:80-83", "invalid ranges specified for container and host Ports: 80-83 and 8000-8001"),
            ("80/icmp", "invalid proto: icmp"),
            ("80/sctp", "SCTP ports cannot be published or exposed: use tcp or udp"),
            ("a=b", "invalid publish opts format (should be name=value but got 'a=b')"),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }

    #[test]
    fn exposed_ones() {
        let of =
            |text| exposed(text).map(|all| all.iter().map(Port::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!(of("80-81/udp").unwrap(), "80/udp 81/udp");
        assert_eq!(of("80:80").unwrap_err().to_string(), "invalid port format for --expose: 80:80");
        assert_eq!(of("x").unwrap_err().to_string(), "invalid range format for --expose: x");
        assert!(of("80/sctp").is_err());
    }

    #[test]
    fn lines() {
        let published = |ip: &str, host, number| Published {
            ip: ip.parse().unwrap(),
            host,
            port: Port { number, protocol: Protocol::Tcp },
        };
        let both = [published("::", 8080, 80), published("0.0.0.0", 8080, 80)];
        let of = |exposed: &[&str], published: &[Published]| {
            line(&shown(&exposed.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), published))
        };
        assert_eq!(of(&["80/tcp"], &both), "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
        assert_eq!(of(&["9000/tcp", "9001/tcp", "53/udp"], &[]), "53/udp, 9000-9001/tcp");
        let same = [80, 81, 82, 90].map(|number| published("0.0.0.0", number, number));
        assert_eq!(of(&["7/udp"], &same), "0.0.0.0:80-82->80-82/tcp, 7/udp, 0.0.0.0:90->90/tcp");
        assert_eq!(of(&[], &[published("::1", 1, 2)]), "[::1]:1->2/tcp");
    }
}
