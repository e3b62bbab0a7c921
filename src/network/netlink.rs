//! Questions to the kernel over netlink(7), and its answers. What is asked is typed (netlink-packet-route), answers are
//! read attribute by attribute, so that what a newer kernel adds is passed over.

use crate::sys::netlink::{Family, Socket};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use std::io;

/// Bytes of a message's header: its length, type, flags, number and sender.
const HEADER: usize = 16;
/// A longer datagram the kernel does not send: it fits dumps to what the reader takes, up to this.
const LONGEST: usize = 32 << 10;
/// Types of messages that end an answer.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// A dump that something changed under.
const INTERRUPTED: u16 = 0x10;
/// Attempts at a dump that is not interrupted.
const ATTEMPTS: usize = 8;
/// An error's explanation in words (`NLMSGERR_ATTR_MSG`), and the flags that say whether there is one.
const WORDS: u16 = 1;
const CAPPED: u16 = 0x100;
const EXPLAINED: u16 = 0x200;

/// An attribute's kind, without its flags.
const KIND: u16 = 0x3fff;

/// A conversation with the kernel, about the network namespace in which it was begun.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: Socket,
    number: u32,
}

/// A message of an answer, without its header.
pub(super) type Body = Vec<u8>;

impl Netlink {
    /// Begins one about interfaces, addresses and routes.
    pub(super) fn route() -> io::Result<Self> {
        Ok(Self { socket: Socket::open(Family::Route)?, number: 0 })
    }

    /// Begins one about packet filters.
    pub(super) fn netfilter() -> io::Result<Self> {
        Ok(Self { socket: Socket::open(Family::Netfilter)?, number: 0 })
    }

    /// Asks for one thing, or for something to be done; `flags` beside those of any request.
    pub(super) fn ask<M: NetlinkSerializable>(&mut self, what: M, flags: u16) -> io::Result<Vec<Body>> {
        let bytes = self.message(what, NLM_F_REQUEST | NLM_F_ACK | flags);
        self.socket.send(&bytes)?;
        let (answer, _) = self.answer(self.number)?;
        Ok(answer)
    }

    /// Asks for all of something.
    pub(super) fn list<M: NetlinkSerializable + Clone>(&mut self, what: &M) -> io::Result<Vec<Body>> {
        let mut last = Vec::new();
        for _ in 0..ATTEMPTS {
            let bytes = self.message(what.clone(), NLM_F_REQUEST | NLM_F_DUMP);
            self.socket.send(&bytes)?;
            let (answer, interrupted) = self.answer(self.number)?;
            if !interrupted {
                return Ok(answer);
            }
            last = answer;
        }
        Ok(last)
    }

    /// Does several things, or none of them: `count` messages between the two that make a transaction of them.
    pub(super) fn transact<M: NetlinkSerializable>(
        &mut self,
        what: impl IntoIterator<Item = (M, u16)>,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut acknowledged = Vec::new();
        for (message, flags) in what {
            bytes.extend(self.message(message, NLM_F_REQUEST | flags));
            if flags & NLM_F_ACK != 0 {
                acknowledged.push(self.number);
            }
        }
        self.socket.send(&bytes)?;
        for number in acknowledged {
            self.answer(number)?;
        }
        Ok(())
    }

    fn message<M: NetlinkSerializable>(&mut self, what: M, flags: u16) -> Vec<u8> {
        self.number += 1;
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.number;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(what));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        // The next message of a datagram begins at a multiple of four.
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// The answer to the message of that number, and whether something changed meanwhile.
    fn answer(&mut self, number: u32) -> io::Result<(Vec<Body>, bool)> {
        let mut bodies = Vec::new();
        let mut interrupted = false;
        let mut buffer = vec![0; LONGEST];
        loop {
            let length = self.socket.receive(&mut buffer)?;
            let mut rest = &buffer[..length];
            while let Some((header, body, next)) = split(rest) {
                rest = next;
                if header.number < number && header.kind == ERROR {
                    // A transaction's earlier message.
                    verdict(&header, body)?;
                    continue;
                }
                if header.number != number {
                    continue;
                }
                interrupted |= header.flags & INTERRUPTED != 0;
                match header.kind {
                    ERROR | DONE => return verdict(&header, body).map(|()| (bodies, interrupted)),
                    _ => bodies.push(body.to_vec()),
                }
            }
        }
    }
}

/// A message's header.
struct Head {
    kind: u16,
    flags: u16,
    number: u32,
}

/// The first message of a datagram's rest, and what follows it; `None`: there is none.
fn split(bytes: &[u8]) -> Option<(Head, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?;
    let head = Head { kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, number: u32_at(bytes, 8)? };
    let body = bytes.get(HEADER..length)?;
    Some((head, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// What an acknowledgement, or a dump's end, says.
fn verdict(head: &Head, body: &[u8]) -> io::Result<()> {
    let code = u32_at(body, 0).unwrap_or_default().cast_signed();
    if code >= 0 {
        return Ok(());
    }
    let error = io::Error::from_raw_os_error(-code);
    // nlmsgerr: the code, the header of the message, and, unless capped, the rest of it.
    let quoted = match head.flags & CAPPED {
        0 => usize::try_from(u32_at(body, 4).unwrap_or_default()).unwrap_or_default().max(HEADER),
        _ => HEADER,
    };
    let words = (head.kind == ERROR && head.flags & EXPLAINED != 0)
        .then(|| body.get(4 + quoted.next_multiple_of(4)..))
        .flatten()
        .and_then(|attributes| attribute(attributes, WORDS))
        .map(text);
    Err(match words {
        Some(words) if !words.is_empty() => Explained { words, error }.into(),
        _ => error,
    })
}

/// An error that the kernel explained.
#[derive(Debug, thiserror::Error)]
#[error("{error}: {words}")]
struct Explained {
    words: String,
    error: io::Error,
}

impl From<Explained> for io::Error {
    fn from(explained: Explained) -> Self {
        Self::new(explained.error.kind(), explained)
    }
}

/// The number of a kernel's error, explained or not; 0: it is another.
pub(super) fn errno(error: &io::Error) -> i32 {
    let explained = error.get_ref().and_then(|inner| inner.downcast_ref::<Explained>());
    explained.map_or(error, |explained| &explained.error).raw_os_error().unwrap_or_default()
}

/// Whether a refusal says that the kernel does not have that family of addresses, or has it switched off.
pub(super) fn lacks_family(error: &io::Error) -> bool {
    [libc::EAFNOSUPPORT, libc::EOPNOTSUPP, libc::EACCES].contains(&errno(error))
}

/// The value of the first attribute of that kind.
pub(super) fn attribute(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    each(attributes).find(|(known, _)| *known == kind).map(|(_, value)| value)
}

/// All attributes: their kinds and values.
pub(super) fn each(mut attributes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(4..length)?;
        let kind = u16_at(attributes, 2)? & KIND;
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A text of the kernel's, which ends with a zero.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// A number in the machine's own order.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledgement(code: i32, flags: u16, words: &str) -> Vec<u8> {
        let mut body = code.to_ne_bytes().to_vec();
        body.extend([0; HEADER]);
        if !words.is_empty() {
            let length = u16::try_from(4 + words.len() + 1).unwrap();
            body.extend(length.to_ne_bytes());
            body.extend(WORDS.to_ne_bytes());
            body.extend(words.bytes());
            body.push(0);
        }
        let mut message = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        message.extend(ERROR.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(7_u32.to_ne_bytes());
        message.extend(0_u32.to_ne_bytes());
        message.extend(body);
        message
    }

    #[test]
    fn refusals_have_the_kernels_number_and_words() {
        let of = |bytes: &[u8]| {
            let (head, body, _) = split(bytes).unwrap();
            assert_eq!(head.number, 7);
            verdict(&head, body)
        };
        assert!(of(&acknowledgement(0, CAPPED, "")).is_ok());
        let plain = of(&acknowledgement(-libc::EEXIST, CAPPED, "")).unwrap_err();
        assert_eq!((errno(&plain), plain.kind()), (libc::EEXIST, io::ErrorKind::AlreadyExists));
        let explained = of(&acknowledgement(-libc::EINVAL, CAPPED | EXPLAINED, "no such mode")).unwrap_err();
        assert_eq!(errno(&explained), libc::EINVAL);
        assert!(explained.to_string().ends_with("no such mode"), "{explained}");
        assert_eq!(errno(&io::Error::other("x")), 0);
    }

    #[test]
    fn cut_off_datagrams_end() {
        let whole = acknowledgement(0, 0, "");
        assert!(split(&whole).is_some());
        for length in 0..whole.len() {
            assert!(split(&whole[..length]).is_none(), "{length}");
        }
        // A header and an attribute of 6 bytes, cut off anywhere.
        let attributes = [6, 0, 9, 0x80, 1, 2, 0, 0, 4, 0, 3, 0];
        let all: Vec<(u16, &[u8])> = each(&attributes).collect();
        assert_eq!(all, [(9, &[1, 2][..]), (3, &[])]);
        assert_eq!((attribute(&attributes, 3), attribute(&attributes, 1)), (Some(&[][..]), None));
        for length in 0..6 {
            assert_eq!(each(&attributes[..length]).count(), 0, "{length}");
        }
        let mut absurd = whole;
        absurd[..4].copy_from_slice(&3_u32.to_ne_bytes());
        assert!(split(&absurd).is_none());
    }
}
