//! The one table of nf_tables: what leaves the containers' subnets has the address of the way out. It is made once, in one
//! transaction, and again by the next pod if somebody took it away. Messages are those of the kernel's
//! `linux/netfilter/nf_tables.h` and `nfnetlink.h`.

use super::address::Subnet;
use crate::network::netlink::{Netlink, errno};
use netlink_packet_core::{DefaultNla, Emitable, NLM_F_ACK, NLM_F_CREATE, NetlinkSerializable};
use sha2::{Digest, Sha256};
use std::io;
use std::net::Ipv6Addr;

/// The table's name, in the family of both versions of IP.
pub(super) const TABLE: &str = "k3c";
/// `NFPROTO_INET`; `NFPROTO_IPV4` and `NFPROTO_IPV6`, as `meta nfproto` has them.
const INET: u8 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// `NFNL_SUBSYS_NFTABLES`, and its messages.
const NFTABLES: u16 = 10;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const GET_CHAIN: u16 = 4;
const NEW_RULE: u16 = 6;
/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`.
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
/// `NLA_F_NESTED`
const NESTED: u16 = 0x8000;
/// `NLM_F_APPEND`
const APPEND: u16 = 0x800;

/// `NF_INET_POST_ROUTING`, `NF_IP_PRI_NAT_SRC`, `IFNAMSIZ`.
const POST_ROUTING: u32 = 4;
const SOURCE_NAT: u32 = 100;
const NAME_LENGTH: usize = 16;
/// `NFT_REG_1`; `NFT_META_OIFNAME`, `NFT_META_NFPROTO`; `NFT_CMP_EQ`, `NFT_CMP_NEQ`; `NFT_PAYLOAD_NETWORK_HEADER`.
const REGISTER: u32 = 1;
const OUT_NAME: u32 = 7;
const PROTOCOL: u32 = 15;
const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;
const NETWORK_HEADER: u32 = 1;

/// What the table is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Masquerade<'a> {
    pub(super) bridge: &'a str,
    pub(super) subnet: Subnet,
    pub(super) sixth: Option<Ipv6Addr>,
}

impl Masquerade<'_> {
    /// Sees to it that the table is there, as it must be.
    ///
    /// # Errors
    /// The kernel has no nf_tables, in words.
    pub(super) fn ensure(&self) -> io::Result<()> {
        let mut netlink = open()?;
        let chain = self.chain();
        let known = Message::new(GET_CHAIN, vec![string(1, TABLE), string(3, &chain)]);
        match netlink.ask(known, 0) {
            Ok(_) => return Ok(()),
            Err(error) if errno(&error) == libc::ENOENT => {}
            Err(error) => return Err(in_words(error)),
        }
        let mut all = vec![
            (Message::control(BEGIN), 0),
            // So that it can be deleted, whether it was there or not.
            (Message::new(NEW_TABLE, vec![string(1, TABLE)]), NLM_F_CREATE | NLM_F_ACK),
            (Message::new(DELETE_TABLE, vec![string(1, TABLE)]), NLM_F_ACK),
            (Message::new(NEW_TABLE, vec![string(1, TABLE)]), NLM_F_CREATE | NLM_F_ACK),
            (Message::new(NEW_CHAIN, chain_of(&chain)), NLM_F_CREATE | NLM_F_ACK),
        ];
        for rule in self.rules() {
            let attributes = vec![string(1, TABLE), string(2, &chain), nest(4, rule)];
            all.push((Message::new(NEW_RULE, attributes), NLM_F_CREATE | APPEND | NLM_F_ACK));
        }
        all.push((Message::control(END), 0));
        netlink.transact(all).map_err(in_words)
    }

    /// The chain's name tells of all that is in it: one of other settings is another chain.
    fn chain(&self) -> String {
        let of = format!("1 {} {:?} {:?}", self.bridge, self.subnet, self.sixth);
        let hash = Sha256::digest(of.as_bytes());
        format!("out-{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
    }

    /// The expressions of each rule.
    fn rules(&self) -> Vec<Vec<DefaultNla>> {
        let network = self.subnet.network().octets();
        let mut rules = vec![self.rule(IPV4, 12, &network, self.subnet.bits)];
        // Sources of the version 4 are at 12 of the header, of the version 6 at 8.
        rules.extend(self.sixth.map(|network| self.rule(IPV6, 8, &network.octets(), 64)));
        rules
    }

    /// What comes from `network` and does not go to the bridge is masqueraded.
    fn rule(&self, protocol: u8, offset: u32, network: &[u8], bits: u8) -> Vec<DefaultNla> {
        let mut bridge = self.bridge.as_bytes().to_vec();
        bridge.resize(NAME_LENGTH, 0);
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
            compare(UNEQUAL, &bridge),
            expression("masq", Vec::new()),
        ]
    }
}

/// Removes the table. One that is not there is no error.
pub(super) fn remove() -> io::Result<()> {
    let all = [
        (Message::control(BEGIN), 0),
        (Message::new(NEW_TABLE, vec![string(1, TABLE)]), NLM_F_CREATE | NLM_F_ACK),
        (Message::new(DELETE_TABLE, vec![string(1, TABLE)]), NLM_F_ACK),
        (Message::control(END), 0),
    ];
    open()?.transact(all).map_err(in_words)
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

fn open() -> io::Result<Netlink> {
    Netlink::netfilter().map_err(in_words)
}

/// An error of the kernel's, with what is to be done about it.
fn in_words(error: io::Error) -> io::Error {
    // The last is about a kind of chain or rule.
    let lacks = [libc::EPROTONOSUPPORT, libc::EOPNOTSUPP, libc::EINVAL, libc::EAFNOSUPPORT, libc::ENOENT];
    if lacks.contains(&errno(&error)) {
        let words = format!(
            "the kernel has no nf_tables ({error}): sudo modprobe -a nf_tables nft_masq nft_chain_nat \
             (and for every boot: printf 'nf_tables\\nnft_masq\\nnft_chain_nat\\n' | sudo tee \
             /etc/modules-load.d/k3c.conf)"
        );
        return io::Error::new(io::ErrorKind::Unsupported, words);
    }
    io::Error::new(error.kind(), format!("cannot set up nf_tables: {error}"))
}

/// The mask's byte at `at`, of a network of that many bits.
fn mask_byte(bits: u8, at: usize) -> u8 {
    let before = usize::from(bits).saturating_sub(at * 8).min(8);
    u8::try_from(0xff00_u32 >> before & 0xff).unwrap_or_default()
}

/// A chain of the type nat, hooked in where packets leave.
fn chain_of(name: &str) -> Vec<DefaultNla> {
    vec![
        string(1, TABLE),
        string(3, name),
        nest(4, vec![number(1, POST_ROUTING), number(2, SOURCE_NAT)]),
        string(7, "nat"),
    ]
}

fn meta(key: u32) -> DefaultNla {
    expression("meta", vec![number(1, REGISTER), number(2, key)])
}

fn compare(how: u32, with: &[u8]) -> DefaultNla {
    let data = nest(3, vec![DefaultNla::new(1, with.to_vec())]);
    expression("cmp", vec![number(1, REGISTER), number(2, how), data])
}

fn expression(name: &str, data: Vec<DefaultNla>) -> DefaultNla {
    nest(1, vec![string(1, name), nest(2, data)])
}

fn string(kind: u16, text: &str) -> DefaultNla {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    DefaultNla::new(kind, bytes)
}

fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}

fn nest(kind: u16, inner: Vec<DefaultNla>) -> DefaultNla {
    let mut bytes = vec![0; inner.as_slice().buffer_len()];
    inner.as_slice().emit(&mut bytes);
    DefaultNla::new(kind | NESTED, bytes)
}

/// A message to nf_tables.
#[derive(Clone, Debug)]
struct Message {
    kind: u16,
    family: u8,
    subsystem: u16,
    attributes: Vec<DefaultNla>,
}

impl Message {
    fn new(kind: u16, attributes: Vec<DefaultNla>) -> Self {
        Self { kind: NFTABLES << 8 | kind, family: INET, subsystem: 0, attributes }
    }

    /// The beginning or end of a transaction.
    fn control(kind: u16) -> Self {
        Self { kind, family: 0, subsystem: NFTABLES, attributes: Vec::new() }
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        4 + self.attributes.as_slice().buffer_len()
    }

    /// `nfgenmsg`, then the attributes.
    fn serialize(&self, buffer: &mut [u8]) {
        buffer[0] = self.family;
        buffer[1] = 0;
        buffer[2..4].copy_from_slice(&self.subsystem.to_be_bytes());
        self.attributes.as_slice().emit(&mut buffer[4..]);
    }
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
        let of = |bridge, subnet, sixth: Option<&str>| {
            let sixth = sixth.map(|text| text.parse().unwrap());
            Masquerade { bridge, subnet: Subnet::parse(subnet).unwrap(), sixth }.chain()
        };
        let one = of("b", "10.0.0.0/8", None);
        assert_eq!(one, of("b", "10.0.0.0/8", None));
        assert!(one.len() < 32);
        for other in
            [of("c", "10.0.0.0/8", None), of("b", "10.0.0.0/16", None), of("b", "10.0.0.0/8", Some("fd00::"))]
        {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_kernel_without_it_is_named_with_its_remedy() {
        let error = in_words(io::Error::from_raw_os_error(libc::EPROTONOSUPPORT));
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("modprobe -a nf_tables"), "{error}");
        assert!(!in_words(io::Error::from_raw_os_error(libc::EPERM)).to_string().contains("modprobe"));
    }
}
