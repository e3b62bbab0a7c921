//! The one table of nf_tables. Each network has two chains in it: what leaves its subnets has the address of the way out,
//! and nothing goes from it to another network of ours, or to anywhere when it is internal. They are made once, in one
//! transaction, and again when somebody took them away: a bridge's alias says all that must be known for that.

use super::BRIDGES;
use super::links::{Link, Links};
use super::request::Network;
use crate::model::subnet::{Subnet, Subnet6};
use crate::network::netlink::{Netlink, attribute, errno, text};
use crate::network::nft::{
    APPEND, BEGIN, DELETE_CHAIN, DELETE_RULE, DELETE_TABLE, END, EQUAL, GET_CHAIN, Message, NEW_CHAIN,
    NEW_RULE, NEW_TABLE, REGISTER, UNEQUAL, compare, drop_packet, expression, in_words, meta, nest, number,
    open, string,
};
use netlink_packet_core::{DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL};
use sha2::{Digest, Sha256};
use std::io;

/// The table's name, in the family of both versions of IP.
pub(super) const TABLE: &str = "k3c";
/// `NFPROTO_IPV4` and `NFPROTO_IPV6`, as `meta nfproto` has them.
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// `NF_INET_FORWARD`, `NF_INET_POST_ROUTING`; `NF_IP_PRI_FILTER`, `NF_IP_PRI_NAT_SRC`; `IFNAMSIZ`.
const FORWARD: u32 = 2;
const POST_ROUTING: u32 = 4;
const FILTER: u32 = 0;
const SOURCE_NAT: u32 = 100;
const NAME_LENGTH: usize = 16;
/// `NFT_META_IIFNAME`, `NFT_META_OIFNAME`, `NFT_META_NFPROTO`; `NFT_PAYLOAD_NETWORK_HEADER`.
const IN_NAME: u32 = 6;
const OUT_NAME: u32 = 7;
const PROTOCOL: u32 = 15;
const NETWORK_HEADER: u32 = 1;
/// Bytes before the attributes of an answer: `nfgenmsg`. `NFTA_CHAIN_TABLE`, `NFTA_CHAIN_NAME`.
const HEAD: usize = 4;
const OF_TABLE: u16 = 1;
const NAME: u16 = 3;

/// How the alias of a bridge of ours begins.
const ALIAS: &str = "k3c:";

/// A network's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    bridge: String,
    subnet: Subnet,
    sixth: Option<Subnet6>,
    internal: bool,
}

impl Rules {
    /// Those of a network.
    pub(super) fn of(network: &Network) -> Self {
        let Network { bridge, subnet, sixth, internal, .. } = network.clone();
        Self { bridge, subnet, sixth, internal }
    }

    /// What its bridge's alias says of them.
    pub(super) fn alias(&self) -> String {
        let sixth = self.sixth.map_or_else(|| "-".to_owned(), |sixth| sixth.to_string());
        format!("{ALIAS} {} {sixth} {}", self.subnet, if self.internal { "internal" } else { "open" })
    }

    /// Reads a bridge's alias; `None`: it is not ours.
    fn read(bridge: &str, alias: &str) -> Option<Self> {
        let mut words = alias.strip_prefix(ALIAS)?.split_whitespace();
        let subnet = words.next()?.parse().ok()?;
        let sixth = match words.next()? {
            "-" => None,
            text => Some(text.parse().ok()?),
        };
        Some(Self { bridge: bridge.to_owned(), subnet, sixth, internal: words.next()? == "internal" })
    }

    /// Sees to it that they are there, as they must be.
    ///
    /// # Errors
    /// The kernel has no nf_tables, in words.
    pub(super) fn ensure(&self) -> io::Result<()> {
        let mut netlink = open()?;
        let known = Message::new(GET_CHAIN, vec![string(1, TABLE), string(3, &self.chain("out"))]);
        match netlink.ask(known, 0) {
            Ok(_) => return Ok(()),
            Err(error) if errno(&error) == libc::ENOENT => {}
            Err(error) => return Err(in_words(error)),
        }
        let mut all = vec![(Message::new(NEW_TABLE, vec![string(1, TABLE)]), NLM_F_CREATE | NLM_F_ACK)];
        all.extend(without(&mut netlink, &self.bridge)?);
        let (out, within) = (self.chain("out"), self.chain("in"));
        let chains = [
            (&out, chain_of(&out, "nat", POST_ROUTING, SOURCE_NAT), self.outwards()),
            (&within, chain_of(&within, "filter", FORWARD, FILTER), self.between()),
        ];
        for (name, chain, rules) in chains {
            all.push((Message::new(NEW_CHAIN, chain), NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK));
            for rule in rules {
                let attributes = vec![string(1, TABLE), string(2, name), nest(4, rule)];
                all.push((Message::new(NEW_RULE, attributes), NLM_F_CREATE | APPEND | NLM_F_ACK));
            }
        }
        match transact(&mut netlink, all) {
            // Somebody else of ours made them meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done,
        }
    }

    /// A chain's name tells of all that is in it: one of other settings is another chain.
    fn chain(&self, kind: &str) -> String {
        let hash = Sha256::digest(format!("2 {}", self.alias()).as_bytes());
        format!("{kind}-{:02x}{:02x}{:02x}{:02x}-{}", hash[0], hash[1], hash[2], hash[3], self.bridge)
    }

    /// The expressions of each rule about what leaves.
    fn outwards(&self) -> Vec<Vec<DefaultNla>> {
        if self.internal {
            return Vec::new();
        }
        let network = self.subnet.network().octets();
        let mut rules = vec![self.rule(IPV4, 12, &network, self.subnet.bits())];
        // Sources of the version 4 are at 12 of the header, of the version 6 at 8.
        rules.extend(self.sixth.map(|sixth| self.rule(IPV6, 8, &sixth.network().octets(), 64)));
        rules
    }

    /// The expressions of each rule about what goes from one network to another.
    fn between(&self) -> Vec<Vec<DefaultNla>> {
        let is = |key, how| vec![meta(key), compare(how, &padded(&self.bridge))];
        let dropped = |mut rule: Vec<DefaultNla>, and: Vec<DefaultNla>| {
            rule.extend(and);
            rule.push(drop_packet());
            rule
        };
        if self.internal {
            return vec![
                dropped(is(IN_NAME, EQUAL), is(OUT_NAME, UNEQUAL)),
                dropped(is(OUT_NAME, EQUAL), is(IN_NAME, UNEQUAL)),
            ];
        }
        let mut to_others = vec![meta(OUT_NAME), compare(EQUAL, BRIDGES.as_bytes())];
        to_others.push(compare(UNEQUAL, &padded(&self.bridge)));
        vec![dropped(is(IN_NAME, EQUAL), to_others)]
    }

    /// What comes from `network` and does not go to the bridge is masqueraded.
    fn rule(&self, protocol: u8, offset: u32, network: &[u8], bits: u8) -> Vec<DefaultNla> {
        let length = u32::try_from(network.len()).unwrap_or_default();
        let mask: Vec<u8> = (0..network.len()).map(|at| mask_byte(bits, at)).collect();
        vec![
            meta(PROTOCOL),
            compare(EQUAL, &[protocol]),
            expression(
                "payload",
                vec![number(1, REGISTER), number(2, NETWORK_HEADER), number(3, offset), number(4, length)],
            ),
            expression(
                "bitwise",
                vec![
                    number(1, REGISTER),
                    number(2, REGISTER),
                    number(3, length),
                    nest(4, vec![DefaultNla::new(1, mask.clone())]),
                    nest(5, vec![DefaultNla::new(1, vec![0; mask.len()])]),
                ],
            ),
            compare(EQUAL, network),
            meta(OUT_NAME),
            compare(UNEQUAL, &padded(&self.bridge)),
            expression("masq", Vec::new()),
        ]
    }
}

/// Whether an interface is a bridge of ours.
pub(super) fn is_ours(link: &Link) -> bool {
    link.alias.starts_with(ALIAS)
}

/// Sees to it that all bridges of the caller's namespace have their rules.
pub(super) fn ensure_all(links: &mut Links) -> io::Result<()> {
    let mut outcome = Ok(());
    for bridge in links.named(BRIDGES)? {
        if let Some(rules) = Rules::read(&bridge.name, &bridge.alias) {
            outcome = outcome.and(rules.ensure());
        }
    }
    outcome
}

/// Removes the rules of a bridge. Those that are not there are no error.
pub(super) fn forget(bridge: &str) -> io::Result<()> {
    let mut netlink = open()?;
    let all = without(&mut netlink, bridge)?;
    if all.is_empty() { Ok(()) } else { transact(&mut netlink, all) }
}

/// Removes the table. One that is not there is no error.
pub(super) fn remove() -> io::Result<()> {
    let all = vec![
        (Message::new(NEW_TABLE, vec![string(1, TABLE)]), NLM_F_CREATE | NLM_F_ACK),
        (Message::new(DELETE_TABLE, vec![string(1, TABLE)]), NLM_F_ACK),
    ];
    transact(&mut open()?, all)
}

fn transact(netlink: &mut Netlink, what: Vec<(Message, u16)>) -> io::Result<()> {
    let begin = (Message::control(BEGIN), 0);
    let end = (Message::control(END), 0);
    netlink.transact([begin].into_iter().chain(what).chain([end])).map_err(in_words)
}

/// What removes the chains that a bridge has, of whatever settings.
fn without(netlink: &mut Netlink, bridge: &str) -> io::Result<Vec<(Message, u16)>> {
    let all = netlink.list(&Message::new(GET_CHAIN, Vec::new())).map_err(in_words)?;
    let chains = all.iter().filter_map(|body| {
        let attributes = body.get(HEAD..)?;
        let ours = attribute(attributes, OF_TABLE).is_some_and(|table| text(table) == TABLE);
        let name = text(attribute(attributes, NAME)?);
        (ours && is_of(&name, bridge)).then_some(name)
    });
    Ok(chains
        .flat_map(|name| {
            [(DELETE_RULE, 2), (DELETE_CHAIN, 3)].map(|(kind, place)| {
                (Message::new(kind, vec![string(1, TABLE), string(place, &name)]), NLM_F_ACK)
            })
        })
        .collect())
}

/// Whether a chain is a bridge's, or of an older version, which had one for the only bridge.
fn is_of(chain: &str, bridge: &str) -> bool {
    let mut parts = chain.splitn(3, '-').skip(2);
    parts.next().is_none_or(|of| of == bridge)
}

/// An interface's name as the kernel compares it.
fn padded(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(NAME_LENGTH, 0);
    bytes
}

/// Whether the kernel has nf_tables.
///
/// # Errors
/// It has not, in words.
pub(super) fn probe() -> io::Result<()> {
    let what = Message::new(GET_CHAIN, vec![string(1, TABLE), string(3, "none")]);
    match open()?.ask(what, 0) {
        Err(error) if errno(&error) != libc::ENOENT => Err(in_words(error)),
        _ => Ok(()),
    }
}

/// The mask's byte at `at`, of a network of that many bits.
fn mask_byte(bits: u8, at: usize) -> u8 {
    let before = usize::from(bits).saturating_sub(at * 8).min(8);
    u8::try_from(0xff00_u32 >> before & 0xff).unwrap_or_default()
}

/// A chain that is hooked in.
fn chain_of(name: &str, kind: &str, hook: u32, priority: u32) -> Vec<DefaultNla> {
    vec![
        string(1, TABLE),
        string(3, name),
        nest(4, vec![number(1, hook), number(2, priority)]),
        string(7, kind),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        let of = |bits| (0..4).map(|at| mask_byte(bits, at)).collect::<Vec<_>>();
        for (bits, mask) in [
            (8, [255, 0, 0, 0]),
            (16, [255, 255, 0, 0]),
            (20, [255, 255, 240, 0]),
            (29, [255, 255, 255, 248]),
        ] {
            assert_eq!(of(bits), mask, "{bits}");
        }
    }

    #[test]
    fn other_settings_are_another_chain() {
        let of = |bridge: &str, subnet: &str, sixth: Option<&str>, internal| {
            let sixth = sixth.map(|text| text.parse().unwrap());
            Rules { bridge: bridge.into(), subnet: subnet.parse().unwrap(), sixth, internal }
        };
        let one = of("b-1", "10.0.0.0/8", None, false);
        assert_eq!(one.chain("out"), one.clone().chain("out"));
        for other in [
            of("c", "10.0.0.0/8", None, false),
            of("b-1", "10.0.0.0/16", None, false),
            of("b-1", "10.0.0.0/8", Some("fd00::/64"), false),
            of("b-1", "10.0.0.0/8", None, true),
        ] {
            assert_ne!(one.chain("out"), other.chain("out"));
            assert_eq!(is_of(&one.chain("in"), &other.bridge), other.bridge == "b-1");
            assert_eq!(Rules::read(&other.bridge, &other.alias()), Some(other));
        }
        assert!(is_of("out-00112233", "any"));
        assert_eq!(Rules::read("b", "somebody's"), None);
    }
}
