//! Ports, to and from the wire.

use super::Invalid;
use crate::model::port::{Port, Protocol, Publish, ShownPort};
use crate::proto::k3c::v1 as wire;
use std::net::IpAddr;

impl From<Publish> for wire::PublishPort {
    fn from(wish: Publish) -> Self {
        let (first, last) = wish.host.unwrap_or_default();
        Self {
            host_ip: wish.ip.map(|ip| ip.to_string()).unwrap_or_default(),
            host_first: first.into(),
            host_last: last.into(),
            port: wish.port.number.into(),
            protocol: wish.port.protocol.to_string(),
        }
    }
}

impl TryFrom<wire::PublishPort> for Publish {
    type Error = Invalid;

    fn try_from(wish: wire::PublishPort) -> Result<Self, Invalid> {
        let host = match (wish.host_first, wish.host_last) {
            (0, 0) => None,
            (first, last) if first <= last => {
                Some((number("publish.host_first", first)?, number("publish.host_last", last)?))
            }
            (first, last) => {
                return Err(Invalid::new("publish.host_last", format_args!("{first}-{last} is no range")));
            }
        };
        Ok(Self {
            ip: address("publish.host_ip", &wish.host_ip)?,
            host,
            port: port(wish.port, &wish.protocol)?,
        })
    }
}

impl From<ShownPort> for wire::ShownPort {
    fn from(shown: ShownPort) -> Self {
        let (ip, host) = shown.host.map_or_else(Default::default, |(ip, port)| (ip.to_string(), port));
        Self {
            host_ip: ip,
            host_port: host.into(),
            port: shown.port.number.into(),
            protocol: shown.port.protocol.to_string(),
        }
    }
}

impl TryFrom<wire::ShownPort> for ShownPort {
    type Error = Invalid;

    fn try_from(shown: wire::ShownPort) -> Result<Self, Invalid> {
        let ip = address("ports.host_ip", &shown.host_ip)?;
        let host = match (ip, shown.host_port) {
            (Some(ip), port) if port > 0 => Some((ip, number("ports.host_port", port)?)),
            _ => None,
        };
        Ok(Self { port: port(shown.port, &shown.protocol)?, host })
    }
}

/// Exposed ports, each of which must be one.
pub(super) fn exposed(all: Vec<String>) -> Result<Vec<String>, Invalid> {
    match all.iter().find_map(|text| text.parse::<Port>().err()) {
        Some(error) => Err(Invalid::new("spec.expose", error)),
        None => Ok(all),
    }
}

fn address(field: &'static str, text: &str) -> Result<Option<IpAddr>, Invalid> {
    match text {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| Invalid::new(field, format_args!("invalid IP address: {text}"))),
    }
}

fn port(port: u32, protocol: &str) -> Result<Port, Invalid> {
    let protocol: Protocol = protocol.parse().map_err(|error| Invalid::new("protocol", error))?;
    Ok(Port { number: number("port", port)?, protocol })
}

fn number(field: &'static str, number: u32) -> Result<u16, Invalid> {
    let port = u16::try_from(number).ok().filter(|number| *number > 0);
    port.ok_or_else(|| Invalid::new(field, format_args!("{number} is no port: they are from 1 to 65535")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for text in ["80", "127.0.0.1:8080:80/udp", "[::1]:8000-8010:80"] {
            let wish = Publish::parse(text).unwrap().remove(0);
            assert_eq!(Publish::try_from(wire::PublishPort::from(wish.clone())).unwrap(), wish, "{text}");
        }
        let port: Port = "80/tcp".parse().unwrap();
        for host in [None, Some(("::".parse().unwrap(), 8080))] {
            let shown = ShownPort { port, host };
            assert_eq!(ShownPort::try_from(wire::ShownPort::from(shown)).unwrap(), shown);
        }
    }

    #[test]
    fn what_is_no_port_is_refused() {
        let good = wire::PublishPort { port: 80, protocol: "tcp".into(), ..Default::default() };
        for (bad, said) in [
            (wire::PublishPort { port: 0, ..good.clone() }, "0 is no port"),
            (wire::PublishPort { port: 65536, ..good.clone() }, "65536 is no port"),
            (wire::PublishPort { protocol: "sctp".into(), ..good.clone() }, "SCTP"),
            (wire::PublishPort { host_ip: "x".into(), ..good.clone() }, "invalid IP address: x"),
            (wire::PublishPort { host_first: 2, host_last: 1, ..good.clone() }, "2-1 is no range"),
        ] {
            let error = Publish::try_from(bad).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(exposed(vec!["80/tcp".into()]).is_ok() && exposed(vec!["80/sctp".into()]).is_err());
    }
}
