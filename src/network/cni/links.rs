//! Interfaces, addresses and routes: what the plugin asks of rtnetlink(7).

use crate::model::mac::Mac;
use crate::network::netlink::{self, Netlink, attribute, each, errno, text, u32_at};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes of the fixed parts before the attributes: `ifinfomsg`, `ifaddrmsg`, `rtmsg`.
const LINK: usize = 16;
const ADDRESS: usize = 8;
const ROUTE: usize = 12;
/// if_link.h, if_addr.h, rtnetlink.h.
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_IFALIAS: u16 = 20;
const IFLA_LINK_NETNSID: u16 = 37;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

/// An interface as the kernel tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) alias: String,
    pub(super) mac: Mac,
    pub(super) mtu: u32,
    pub(super) up: bool,
    /// The bridge that it is a port of.
    pub(super) master: Option<u32>,
    /// Its other end's number, over there.
    pub(super) peer: Option<u32>,
    /// Our number of the namespace that its other end is in.
    pub(super) namespace: Option<i32>,
}

impl Link {
    fn read(body: &[u8]) -> Option<Self> {
        let mut link = Self {
            index: u32_at(body, 4)?,
            up: u32_at(body, 8)? & LinkFlags::Up.bits() != 0,
            ..Self::default()
        };
        for (kind, value) in each(body.get(LINK..)?) {
            match kind {
                IFLA_ADDRESS => link.mac = Mac(value.try_into().unwrap_or_default()),
                IFLA_IFNAME => link.name = text(value),
                IFLA_IFALIAS => link.alias = text(value),
                IFLA_MTU => link.mtu = u32_at(value, 0)?,
                IFLA_LINK => link.peer = u32_at(value, 0),
                IFLA_MASTER => link.master = u32_at(value, 0),
                IFLA_LINK_NETNSID => link.namespace = u32_at(value, 0).map(u32::cast_signed),
                _ => {}
            }
        }
        Some(link)
    }
}

/// A pair of interfaces to be made: the host's end is a port of a bridge, and up; the pod's is in its namespace.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    pub(super) host: &'a str,
    pub(super) host_mac: Mac,
    pub(super) bridge: u32,
    pub(super) pod: &'a str,
    pub(super) pod_mac: Mac,
    pub(super) namespace: BorrowedFd<'a>,
    pub(super) mtu: Option<u32>,
}

/// Questions about one namespace's interfaces.
#[derive(Debug)]
pub(super) struct Links(Netlink);

impl Links {
    /// Of the calling thread's namespace.
    pub(super) fn here() -> io::Result<Self> {
        Netlink::route().map(Self)
    }

    /// An interface by its name; `None`: there is none.
    pub(super) fn find(&mut self, name: &str) -> io::Result<Option<Link>> {
        let mut what = LinkMessage::default();
        what.attributes = vec![LinkAttribute::IfName(name.into()), no_figures()];
        match self.0.ask(RouteNetlinkMessage::GetLink(what), 0) {
            Ok(answer) => Ok(answer.iter().find_map(|body| Link::read(body))),
            Err(error) if errno(&error) == libc::ENODEV => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The ports of a bridge.
    pub(super) fn ports(&mut self, bridge: u32) -> io::Result<Vec<Link>> {
        let mut what = LinkMessage::default();
        what.attributes = vec![LinkAttribute::Controller(bridge), no_figures()];
        let all = self.0.list(&RouteNetlinkMessage::GetLink(what))?;
        Ok(all
            .iter()
            .filter_map(|body| Link::read(body))
            .filter(|link| link.master == Some(bridge))
            .collect())
    }

    /// All interfaces whose names begin so.
    pub(super) fn named(&mut self, beginning: &str) -> io::Result<Vec<Link>> {
        let mut what = LinkMessage::default();
        what.attributes = vec![no_figures()];
        let all = self.0.list(&RouteNetlinkMessage::GetLink(what))?;
        let links = all.iter().filter_map(|body| Link::read(body));
        Ok(links.filter(|link| link.name.starts_with(beginning)).collect())
    }

    /// Makes a bridge, up.
    pub(super) fn make_bridge(&mut self, name: &str, mac: Mac, mtu: Option<u32>) -> io::Result<()> {
        let mut bridge = raised();
        bridge.attributes = vec![
            LinkAttribute::IfName(name.into()),
            LinkAttribute::Address(mac.0.into()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        bridge.attributes.extend(mtu.map(LinkAttribute::Mtu));
        self.make(bridge)
    }

    /// Makes a pair. A peer that is up before its other end is a port is refused by the kernel (`ENOTCONN`).
    pub(super) fn make_pair(&mut self, pair: &Pair<'_>) -> io::Result<()> {
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(pair.pod.into()),
            LinkAttribute::Address(pair.pod_mac.0.into()),
            LinkAttribute::NetNsFd(pair.namespace.as_raw_fd()),
        ];
        peer.attributes.extend(pair.mtu.map(LinkAttribute::Mtu));
        let mut host = raised();
        host.attributes = vec![
            LinkAttribute::IfName(pair.host.into()),
            LinkAttribute::Address(pair.host_mac.0.into()),
            LinkAttribute::Controller(pair.bridge),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        host.attributes.extend(pair.mtu.map(LinkAttribute::Mtu));
        self.make(host)
    }

    fn make(&mut self, link: LinkMessage) -> io::Result<()> {
        self.0.ask(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// Brings an interface up.
    pub(super) fn raise(&mut self, index: u32) -> io::Result<()> {
        let mut link = raised();
        link.header.index = index;
        self.0.ask(RouteNetlinkMessage::SetLink(link), 0).map(drop)
    }

    /// Writes an interface's alias, which nothing but people and ourselves reads.
    pub(super) fn name_also(&mut self, index: u32, alias: &str) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes = vec![LinkAttribute::IfAlias(alias.into())];
        self.0.ask(RouteNetlinkMessage::SetLink(link), 0).map(drop)
    }

    /// Removes an interface, and a pair's other end with it. One that is gone is no error.
    pub(super) fn remove(&mut self, index: u32) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        match self.0.ask(RouteNetlinkMessage::DelLink(link), 0) {
            Err(error) if errno(&error) != libc::ENODEV => Err(error),
            _ => Ok(()),
        }
    }

    /// Gives an interface an address, if it does not have it. IPv6's is not probed for first: it is nobody else's.
    pub(super) fn give(&mut self, index: u32, address: IpAddr, bits: u8) -> io::Result<()> {
        let mut what = AddressMessage::default();
        what.header.index = index;
        what.header.prefix_len = bits;
        what.header.scope = AddressScope::Universe;
        what.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
        match address {
            IpAddr::V4(v4) => {
                what.header.family = AddressFamily::Inet;
                let hosts = u32::MAX.checked_shr(bits.into()).unwrap_or_default();
                what.attributes.push(AddressAttribute::Broadcast(Ipv4Addr::from(u32::from(v4) | hosts)));
            }
            IpAddr::V6(_) => {
                what.header.family = AddressFamily::Inet6;
                what.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            }
        }
        match self.0.ask(RouteNetlinkMessage::NewAddress(what), NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if errno(&error) != libc::EEXIST => Err(error),
            _ => Ok(()),
        }
    }

    /// All addresses; with `namespace`, of the namespace that has this number here.
    pub(super) fn addresses(&mut self, namespace: Option<i32>) -> io::Result<Vec<(u32, IpAddr)>> {
        let mut what = AddressMessage::default();
        what.attributes.extend(namespace.map(AddressAttribute::TargetNetNsId));
        let all = self.0.list(&RouteNetlinkMessage::GetAddress(what))?;
        Ok(all
            .iter()
            .filter_map(|body| {
                let attributes = body.get(ADDRESS..)?;
                let value =
                    attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS))?;
                Some((u32_at(body, 4)?, address(value)?))
            })
            .collect())
    }

    /// Sends what goes nowhere else to `gateway`.
    pub(super) fn route_all(&mut self, index: u32, gateway: IpAddr) -> io::Result<()> {
        let mut route = RouteMessage::default();
        route.header.address_family = family(gateway);
        route.header.table = RouteHeader::RT_TABLE_MAIN;
        route.header.protocol = RouteProtocol::Boot;
        route.header.scope = RouteScope::Universe;
        route.header.kind = RouteType::Unicast;
        route.attributes = vec![RouteAttribute::Gateway(gateway.into()), RouteAttribute::Oif(index)];
        self.0.ask(RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// Destinations of all routes that do not lead through a gateway or lead somewhere: of version 4, with their bits and
    /// the number of their interface.
    pub(super) fn destinations(&mut self) -> io::Result<Vec<(Ipv4Addr, u8, u32)>> {
        let mut what = RouteMessage::default();
        what.header.address_family = AddressFamily::Inet;
        what.header.table = RouteHeader::RT_TABLE_MAIN;
        let all = self.0.list(&RouteNetlinkMessage::GetRoute(what))?;
        Ok(all
            .iter()
            .filter_map(|body| {
                let attributes = body.get(ROUTE..)?;
                let IpAddr::V4(to) = attribute(attributes, RTA_DST).and_then(address)? else { return None };
                let through = attribute(attributes, RTA_OIF).and_then(|value| u32_at(value, 0))?;
                Some((to, *body.get(1)?, through))
            })
            .collect())
    }

    /// Gateways of the default routes through an interface.
    pub(super) fn gateways(&mut self, index: u32) -> io::Result<Vec<IpAddr>> {
        let mut found = Vec::new();
        for of in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut what = RouteMessage::default();
            what.header.address_family = of;
            let all = match self.0.list(&RouteNetlinkMessage::GetRoute(what)) {
                Err(error) if netlink::lacks_family(&error) => continue,
                all => all?,
            };
            found.extend(all.iter().filter_map(|body| {
                let attributes = body.get(ROUTE..)?;
                let through = attribute(attributes, RTA_OIF).and_then(|value| u32_at(value, 0));
                let everything = body.get(1) == Some(&0) && through == Some(index);
                everything.then(|| attribute(attributes, RTA_GATEWAY).and_then(address)).flatten()
            }));
        }
        Ok(found)
    }
}

/// Spares the kernel to count all packets of all interfaces.
fn no_figures() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}

/// A message about an interface that is to be up.
fn raised() -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    link
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into()),
        _ => None,
    }
}
