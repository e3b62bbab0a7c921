//! What brings answers to a client's address back to us: a packet from a container that belongs to one of our transparent
//! sockets gets a mark (nf_tables), a rule leads what has the mark to a table of routes, and there all addresses are ours.
//!
//! ```text
//! container ─> k3c0 ─> prerouting: socket transparent 1 -> mark ─> rule: mark -> table ─> local ─> our socket
//! ```
//!
//! The table of nf_tables is our own, not the CNI plugin's. When somebody takes either of them away, it is made again.

use super::Setting;
use super::go;
use super::source::Sources;
use super::table::Shared;
use crate::network::cni;
use crate::network::netlink::{Netlink, attribute, errno, lacks_family, text, u32_at};
use crate::network::nft::{
    APPEND, BEGIN, DELETE_TABLE, END, EQUAL, GET_RULE, Message, NEW_CHAIN, NEW_RULE, NEW_TABLE, REGISTER,
    compare, expression, in_words, meta, nest, number, open, string,
};
use crate::sys::netlink::{Group, Socket};
use crate::sys::patience;
use netlink_packet_core::{DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

/// The table of nf_tables, and its one chain.
const TABLE: &str = "k3c-ports";
const CHAIN: &str = "answers";
/// The mark, the table of routes and the rule's place: a number that nobody else has.
const MARK: u32 = 0x6b3c;
/// How the names of the containers' bridges begin.
const BRIDGES: &str = "k3c";
/// The loopback device's number, the same in each namespace.
const LOOPBACK: u32 = 1;
/// `NF_INET_PRE_ROUTING`, `NF_IP_PRI_MANGLE`; `NFT_META_IIFNAME`, `NFT_META_MARK`.
const PRE_ROUTING: u32 = 0;
const MANGLE: i32 = -150;
const IN_NAME: u32 = 6;
const META_MARK: u32 = 3;
/// Whether version 6 is forwarded.
const FORWARDING_6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";
/// Pause between attempts when something keeps taking the table away.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of `ifaddrmsg`, of `ifinfomsg`; `IFA_LOCAL`, `IFA_ADDRESS`, `IFLA_IFNAME`.
const ADDRESS: usize = 8;
const LINK: usize = 16;
const IFA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;

/// Makes them in the containers' namespace, and again whenever they were taken away, in a thread of its own.
pub(super) fn keep(setting: &Setting, shared: &Arc<Shared>) -> io::Result<()> {
    let netns = setting.netns.clone();
    let weak = Arc::downgrade(shared);
    let (said, heard) = std::sync::mpsc::channel();
    thread::Builder::new().name("rules".into()).stack_size(256 << 10).spawn(move || {
        let news = go(netns.as_deref()).and_then(|()| Socket::listen(Group::PacketFilters));
        make(&weak);
        let _ = said.send(());
        let Ok(news) = news.inspect_err(|error| tracing::warn!(%error, "cannot watch nf_tables")) else {
            return;
        };
        let mut buffer = vec![0; 32 << 10];
        // What was missed or is too long is news, too.
        loop {
            let heard = news.receive(&mut buffer);
            if heard.is_err() {
                patience::pause(PAUSE);
            }
            if !make(&weak) {
                return;
            }
        }
    })?;
    heard.recv().map_err(io::Error::other)
}

/// Makes them where they are missing; false: nobody needs them any more.
fn make(shared: &Weak<Shared>) -> bool {
    let Some(shared) = shared.upgrade() else { return false };
    if let Err(error) = cni::ensure_rules() {
        tracing::warn!(%error, "cannot make the rules of the containers' networks again");
    }
    let (marks, four, six) = (marked(), routed(AddressFamily::Inet), routed(AddressFamily::Inet6));
    if let Err(error) = &marks {
        tracing::warn!(%error, "containers see the gateway's address instead of their clients'");
    }
    for (made, version) in [(&four, 4), (&six, 6)] {
        if let Err(error) = made {
            tracing::warn!(%error, version, "cannot route answers to any address to ourselves");
        }
    }
    // Where version 6 is not forwarded, containers have no route to other hosts' addresses.
    let six = six.is_ok() && fs::read_to_string(FORWARDING_6).is_ok_and(|text| text.trim() == "1");
    shared.sources.set_brought_back(marks.is_ok() && four.is_ok(), marks.is_ok() && six);
    true
}

/// Sees to it that there is the table of nf_tables with its rule.
fn marked() -> io::Result<()> {
    let mut netlink = open()?;
    let question = Message::new(GET_RULE, vec![string(1, TABLE), string(2, CHAIN)]);
    if netlink.list(&question).is_ok_and(|rules| !rules.is_empty()) {
        return Ok(());
    }
    let chain = vec![
        string(1, TABLE),
        string(3, CHAIN),
        nest(4, vec![number(1, PRE_ROUTING), number(2, MANGLE.cast_unsigned())]),
        string(7, "filter"),
    ];
    let rule = vec![string(1, TABLE), string(2, CHAIN), nest(4, rule())];
    netlink
        .transact([
            (Message::control(BEGIN), 0),
            // So that it can be deleted, whether it was there or not.
            (Message::new(NEW_TABLE, vec![string(1, TABLE)]), NLM_F_CREATE | NLM_F_ACK),
            (Message::new(DELETE_TABLE, vec![string(1, TABLE)]), NLM_F_ACK),
            (Message::new(NEW_TABLE, vec![string(1, TABLE)]), NLM_F_CREATE | NLM_F_ACK),
            (Message::new(NEW_CHAIN, chain), NLM_F_CREATE | NLM_F_ACK),
            (Message::new(NEW_RULE, rule), NLM_F_CREATE | APPEND | NLM_F_ACK),
            (Message::control(END), 0),
        ])
        .map_err(in_words)
}

/// `iifname "k3c*" socket transparent 1 meta mark set MARK`
fn rule() -> Vec<DefaultNla> {
    vec![
        meta(IN_NAME),
        compare(EQUAL, BRIDGES.as_bytes()),
        // The key 0 is `transparent`.
        expression("socket", vec![number(1, 0), number(2, REGISTER)]),
        compare(EQUAL, &[1]),
        expression(
            "immediate",
            vec![number(1, REGISTER), nest(2, vec![DefaultNla::new(1, MARK.to_ne_bytes().to_vec())])],
        ),
        expression("meta", vec![number(2, META_MARK), number(3, REGISTER)]),
    ]
}

/// Sees to it that what has the mark is for this host.
fn routed(family: AddressFamily) -> io::Result<()> {
    let mut netlink = Netlink::route()?;
    let rule = RouteNetlinkMessage::NewRule(marked_rule(family));
    unless_there(netlink.ask(rule, NLM_F_CREATE | NLM_F_EXCL))?;
    let mut route = RouteMessage::default();
    route.header.address_family = family;
    route.header.protocol = RouteProtocol::Static;
    route.header.scope = RouteScope::Host;
    route.header.kind = RouteType::Local;
    route.attributes = vec![RouteAttribute::Table(MARK), RouteAttribute::Oif(LOOPBACK)];
    unless_there(netlink.ask(RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_EXCL))
}

fn marked_rule(family: AddressFamily) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = family;
    rule.header.action = RuleAction::ToTable;
    rule.attributes = vec![
        RuleAttribute::Priority(MARK),
        RuleAttribute::FwMark(MARK),
        RuleAttribute::FwMask(u32::MAX),
        RuleAttribute::Table(MARK),
    ];
    rule
}

fn unless_there<T>(answer: io::Result<T>) -> io::Result<()> {
    match answer {
        Err(error) if errno(&error) != libc::EEXIST => Err(error),
        _ => Ok(()),
    }
}

/// Removes from the calling thread's namespace what is there of them: as root it is the host's.
///
/// # Errors
/// The kernel refuses.
pub fn remove() -> io::Result<()> {
    let mut netlink = Netlink::route()?;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        // The route goes first: without it nothing of the rule is left.
        let mut route = RouteMessage::default();
        route.header.address_family = family;
        route.header.kind = RouteType::Local;
        route.header.scope = RouteScope::Host;
        route.attributes = vec![RouteAttribute::Table(MARK), RouteAttribute::Oif(LOOPBACK)];
        let _ = netlink.ask(RouteNetlinkMessage::DelRoute(route), 0);
        let _ = netlink.ask(RouteNetlinkMessage::DelRule(marked_rule(family)), 0);
    }
    open()?
        .transact([
            (Message::control(BEGIN), 0),
            (Message::new(NEW_TABLE, vec![string(1, TABLE)]), NLM_F_CREATE | NLM_F_ACK),
            (Message::new(DELETE_TABLE, vec![string(1, TABLE)]), NLM_F_ACK),
            (Message::control(END), 0),
        ])
        .map_err(in_words)
}

/// Reads the containers' networks: those of their bridges.
pub(super) fn look_around(setting: &Setting, sources: &Sources) -> io::Result<()> {
    let netns = setting.netns.clone();
    let looked = thread::spawn(move || {
        go(netns.as_deref())?;
        networks()
    });
    let networks = looked.join().map_err(|_| io::Error::other("the thread that looked panicked"))??;
    sources.set_inside(networks);
    Ok(())
}

fn networks() -> io::Result<Vec<(IpAddr, u8)>> {
    let mut netlink = Netlink::route()?;
    let links = netlink.list(&RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let bridges: Vec<u32> = links
        .iter()
        .filter(|body| {
            let name = body.get(LINK..).and_then(|attributes| attribute(attributes, IFLA_IFNAME));
            name.is_some_and(|name| text(name).starts_with(BRIDGES))
        })
        .filter_map(|body| u32_at(body, 4))
        .collect();
    let all = match netlink.list(&RouteNetlinkMessage::GetAddress(AddressMessage::default())) {
        Err(error) if lacks_family(&error) => Vec::new(),
        all => all?,
    };
    Ok(all
        .iter()
        .filter_map(|body| {
            let index = u32_at(body, 4)?;
            let value = attribute(body.get(ADDRESS..)?, IFA_ADDRESS)?;
            let address = match value.len() {
                4 => IpAddr::from(<[u8; 4]>::try_from(value).ok()?),
                16 => IpAddr::from(<[u8; 16]>::try_from(value).ok()?),
                _ => return None,
            };
            bridges.contains(&index).then_some((address, *body.get(1)?))
        })
        .collect())
}
