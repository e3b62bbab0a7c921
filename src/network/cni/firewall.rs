//! The one table of nf_tables: what leaves the containers' subnets has the address of the way out. It is made once, in one
//! transaction, and again by the next pod if somebody took it away.

use super::address::Subnet;
use crate::network::netlink::errno;
use crate::network::nft::{
    APPEND, BEGIN, DELETE_TABLE, END, EQUAL, GET_CHAIN, Message, NEW_CHAIN, NEW_RULE, NEW_TABLE, REGISTER,
    UNEQUAL, compare, expression, in_words, meta, nest, number, open, string,
};
use netlink_packet_core::{DefaultNla, NLM_F_ACK, NLM_F_CREATE};
use sha2::{Digest, Sha256};
use std::io;
use std::net::Ipv6Addr;

/// The table's name, in the family of both versions of IP.
pub(super) const TABLE: &str = "k3c";
/// `NFPROTO_IPV4` and `NFPROTO_IPV6`, as `meta nfproto` has them.
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// `NF_INET_POST_ROUTING`, `NF_IP_PRI_NAT_SRC`, `IFNAMSIZ`.
const POST_ROUTING: u32 = 4;
const SOURCE_NAT: u32 = 100;
const NAME_LENGTH: usize = 16;
/// `NFT_META_OIFNAME`, `NFT_META_NFPROTO`; `NFT_PAYLOAD_NETWORK_HEADER`.
const OUT_NAME: u32 = 7;
const PROTOCOL: u32 = 15;
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
}
