//! Messages to nf_tables: those of the kernel's `linux/netfilter/nf_tables.h` and `nfnetlink.h`.

use super::netlink::{Netlink, errno};
use netlink_packet_core::{DefaultNla, Emitable, NetlinkSerializable};
use std::io;

/// `NFPROTO_INET`: both versions of IP.
const INET: u8 = 1;
/// `NFNL_SUBSYS_NFTABLES`, and its messages.
const NFTABLES: u16 = 10;
pub(super) const NEW_TABLE: u16 = 0;
pub(super) const DELETE_TABLE: u16 = 2;
pub(super) const NEW_CHAIN: u16 = 3;
pub(super) const GET_CHAIN: u16 = 4;
pub(super) const DELETE_CHAIN: u16 = 5;
pub(super) const NEW_RULE: u16 = 6;
pub(super) const GET_RULE: u16 = 7;
pub(super) const DELETE_RULE: u16 = 8;
/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`.
pub(super) const BEGIN: u16 = 0x10;
pub(super) const END: u16 = 0x11;
/// `NLA_F_NESTED`
const NESTED: u16 = 0x8000;
/// `NLM_F_APPEND`
pub(super) const APPEND: u16 = 0x800;
/// `NFT_REG_1`; `NFT_CMP_EQ`, `NFT_CMP_NEQ`.
pub(super) const REGISTER: u32 = 1;
pub(super) const EQUAL: u32 = 0;
pub(super) const UNEQUAL: u32 = 1;

/// A conversation about packet filters.
pub(super) fn open() -> io::Result<Netlink> {
    Netlink::netfilter().map_err(in_words)
}

/// An error of the kernel's, with what is to be done about it.
pub(super) fn in_words(error: io::Error) -> io::Error {
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

/// Loads a property of the packet.
pub(super) fn meta(key: u32) -> DefaultNla {
    expression("meta", vec![number(1, REGISTER), number(2, key)])
}

/// Compares what is loaded.
pub(super) fn compare(how: u32, with: &[u8]) -> DefaultNla {
    let data = nest(3, vec![DefaultNla::new(1, with.to_vec())]);
    expression("cmp", vec![number(1, REGISTER), number(2, how), data])
}

/// Drops the packet: the code `NF_DROP` in the register of the verdict.
pub(super) fn drop_packet() -> DefaultNla {
    expression("immediate", vec![number(1, 0), nest(2, vec![nest(2, vec![number(1, 0)])])])
}

/// An expression of a rule.
pub(super) fn expression(name: &str, data: Vec<DefaultNla>) -> DefaultNla {
    nest(1, vec![string(1, name), nest(2, data)])
}

pub(super) fn string(kind: u16, text: &str) -> DefaultNla {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    DefaultNla::new(kind, bytes)
}

pub(super) fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}

pub(super) fn nest(kind: u16, inner: Vec<DefaultNla>) -> DefaultNla {
    let mut bytes = vec![0; inner.as_slice().buffer_len()];
    inner.as_slice().emit(&mut bytes);
    DefaultNla::new(kind | NESTED, bytes)
}

/// A message to nf_tables.
#[derive(Clone, Debug)]
pub(super) struct Message {
    kind: u16,
    family: u8,
    subsystem: u16,
    attributes: Vec<DefaultNla>,
}

impl Message {
    pub(super) fn new(kind: u16, attributes: Vec<DefaultNla>) -> Self {
        Self { kind: NFTABLES << 8 | kind, family: INET, subsystem: 0, attributes }
    }

    /// The beginning or end of a transaction.
    pub(super) fn control(kind: u16) -> Self {
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
    fn a_kernel_without_it_is_named_with_its_remedy() {
        let error = in_words(io::Error::from_raw_os_error(libc::EPROTONOSUPPORT));
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("modprobe -a nf_tables"), "{error}");
        assert!(!in_words(io::Error::from_raw_os_error(libc::EPERM)).to_string().contains("modprobe"));
    }
}
