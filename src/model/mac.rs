//! Ethernet addresses.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The address that a container has unless another one is wished for: made up (the second bit says so), with its IPv4
    /// address in it.
    pub fn of(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x6b, a, b, c, d])
    }
}

/// A text that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid MAC address: {0}")]
pub struct NoMac(String);

impl FromStr for Mac {
    type Err = NoMac;

    /// Reads six bytes in hexadecimal, with colons or dashes between. A group's address, and that of nobody, is none.
    fn from_str(text: &str) -> Result<Self, NoMac> {
        let bytes: Option<Vec<u8>> = text
            .split([':', '-'])
            .map(|byte| {
                let hex = byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
                hex.then(|| u8::from_str_radix(byte, 16).ok()).flatten()
            })
            .collect();
        let known = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
        let own = known.filter(|bytes| bytes[0] & 1 == 0 && *bytes != [0; 6]);
        own.map(Self).ok_or_else(|| NoMac(text.to_owned()))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl TryFrom<String> for Mac {
    type Error = NoMac;

    fn try_from(text: String) -> Result<Self, NoMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for text in ["02:42:ac:11:00:02", "02-42-AC-11-00-02"] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), "02:42:ac:11:00:02");
        }
        for text in
            ["", "02:42", "02:42:ac:11:00:0g", "01:00:5e:00:00:01", "00:00:00:00:00:00", "+2:42:ac:11:00:02"]
        {
            assert_eq!(text.parse::<Mac>(), Err(NoMac(text.to_owned())), "{text}");
        }
    }
}
